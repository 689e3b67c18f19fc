"""Several nodes as one chain: each of their faults, before a real anvil."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path
from threading import Event as Flag
from typing import Any

import pytest
from structlog.testing import capture_logs

from oracle.chain import lines
from oracle.chain.connection import connect
from oracle.chain.contracts import Subject
from oracle.chain.node import Call, Chain, open_node
from oracle.chain.nodes import Nodes, State
from oracle.chain.transactions import transact
from oracle.cli.challenger import SecondNode, TwoNodes, second_view_of
from oracle.cli.session import Session
from oracle.config import Settings
from oracle.errors import (
    ChainError,
    MalformedReply,
    NotFound,
    Reverted,
    RpcUnavailable,
    WrongChain,
)
from oracle.types import Status, Wei
from tests import nodes
from tests.chains import PAYLOAD, PEOPLE, World, address
from tests.integration.workers import hire
from tests.nodes import Fault, Proxy, Refusal

DEAD = "http://127.0.0.1:1"
FAULTS = [
    *(Fault.CLOSE, Fault.CUT, Fault.GARBAGE, Fault.HALF),
    *(HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.INTERNAL_SERVER_ERROR, HTTPStatus.BAD_GATEWAY),
]
READS: dict[str, Callable[[Chain], Any]] = {
    "eth_getBlockByNumber": lambda chain: chain.block("latest"),
    "eth_getLogs": lambda chain: chain.logs([], 0, 0),
    "eth_call": lambda chain: chain.call(Call(address("operator"), b"")),
    "eth_estimateGas": lambda chain: chain.estimate(
        Call(address("operator"), b""), address("operator")
    ),
    "eth_getTransactionCount": lambda chain: chain.nonce(address("operator")),
    "eth_gasPrice": lambda chain: chain.gas_price(),
    "eth_maxPriorityFeePerGas": lambda chain: chain.fees(),
    "eth_getCode": lambda chain: chain.code(address("operator")),
    "eth_getBalance": lambda chain: chain.balance(address("operator")),
    "eth_getTransactionByHash": lambda chain: chain.knows(b"\1" * 32),
    "eth_getTransactionReceipt": lambda chain: chain.receipt(b"\1" * 32),
}


@pytest.fixture
def pair(anvil: World) -> Iterator[tuple[Proxy, Proxy]]:
    with ExitStack() as stack:
        yield (
            stack.enter_context(nodes.proxy(anvil.chain.url)),
            stack.enter_context(nodes.proxy(anvil.chain.url)),
        )


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def both(pair: tuple[Proxy, Proxy], clock: Clock | None = None) -> Nodes:
    found = Nodes([each.url for each in pair], clock=clock or Clock())
    for each in pair:
        each.asked.clear()
        each.requests = 0
    return found


def states(chain: Nodes) -> list[State]:
    return [each.state for each in chain.health()]


def test_two_nodes_tell_what_one_tells(anvil: World, pair: tuple[Proxy, Proxy]) -> None:
    chain = both(pair)

    assert chain.id == anvil.chain.id
    assert chain.block("latest") == anvil.chain.block("latest")
    assert states(chain) == [State.UP, State.UP]
    for read in READS.values():
        assert read(chain) == read(anvil.chain)


def test_nothing_that_is_asked_of_one_node_is_asked_of_none_by_several() -> None:
    """What is not said again in Nodes would be asked of a node that it does not have."""
    inherited = {name for name in vars(Chain) if not name.startswith("_")} - set(vars(Nodes))

    assert inherited == {"times", "transactions", "estimation_block", "log_span", "is_embedded"}


def test_the_first_node_may_be_dead_at_the_start(pair: tuple[Proxy, Proxy]) -> None:
    with capture_logs() as said:
        chain = Nodes([DEAD, pair[1].url])

    assert chain.block("latest")
    assert states(chain) == [State.RESTING, State.UP]
    assert [each["event"] for each in said] == ["left a node"]


def test_a_start_without_any_node_says_what_each_said() -> None:
    with pytest.raises(RpcUnavailable, match="127.0.0.1:1 does not.*127.0.0.1:2 does not"):
        connect(DEAD, "http://127.0.0.1:2")


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
@pytest.mark.parametrize("method", READS)
def test_a_question_goes_on_to_the_next_node(
    anvil: World, pair: tuple[Proxy, Proxy], method: str, fault: Fault | HTTPStatus
) -> None:
    chain = both(pair)
    pair[0].fault = lambda asked: fault if asked == method else None

    assert READS[method](chain) == READS[method](anvil.chain)


def test_a_node_that_failed_rests_and_is_taken_back(pair: tuple[Proxy, Proxy]) -> None:
    clock = Clock()
    chain = both(pair, clock)
    pair[0].fail(HTTPStatus.INTERNAL_SERVER_ERROR)

    with capture_logs() as said:
        for _ in range(3):
            chain.gas_price()
        assert pair[0].requests == 1
        pair[0].fail(None)
        clock.now += 10
        chain.gas_price()
        chain.look()
        chain.gas_price()

    assert [each["event"] for each in said] == ["left a node", "took a node back"]
    assert "500" not in str(said[0]) and pair[0].url in said[0]["node"]
    assert states(chain) == [State.UP, State.UP]
    assert pair[0].asked[-1] == "eth_gasPrice"


def test_a_node_rests_longer_each_time(pair: tuple[Proxy, Proxy]) -> None:
    clock = Clock()
    chain = both(pair, clock)
    pair[0].fail(Fault.CLOSE)
    rests = []
    for _ in range(9):
        chain.look()
        rests.append(chain._members[0].rests_until - clock.now)

    assert rests == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_a_node_that_hangs_is_left_after_its_time(
    pair: tuple[Proxy, Proxy], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "READ", 0.2)
    chain = both(pair)
    pair[0].fail(Fault.HANG)

    assert chain.gas_price() > 0
    assert states(chain) == [State.RESTING, State.UP]


def test_a_revert_is_an_answer(anvil: World, pair: tuple[Proxy, Proxy]) -> None:
    chain = both(pair)

    with pytest.raises(Reverted):
        chain.estimate(anvil.queue.stake(Wei(0)), address("operator"))

    assert "eth_estimateGas" not in pair[1].asked
    assert states(chain) == [State.UP, State.UP]


def test_what_one_node_refuses_another_may_give(pair: tuple[Proxy, Proxy]) -> None:
    chain = both(pair)

    def refuse(method: str, result: Any) -> Any:
        if method == "eth_getLogs":
            raise Refusal("history has been pruned")
        return result

    pair[0].change = refuse

    assert chain.logs([], 0, 0) == []
    assert states(chain) == [State.UP, State.UP]
    assert chain.health()[0].lacks_logs_before == 1
    pair[0].asked.clear()
    chain.logs([], 0, 0)
    assert "eth_getLogs" not in pair[0].asked


def test_what_all_nodes_refuse_is_refused_in_the_words_of_the_first(
    pair: tuple[Proxy, Proxy],
) -> None:
    def refuse(_: str, __: Any) -> Any:
        raise Refusal("it is too hot")

    chain = both(pair)
    pair[0].change = pair[1].change = refuse

    with pytest.raises(ChainError, match=f"{pair[0].url} refused: it is too hot"):
        chain.gas_price()


# Heads.


def lag(blocks: int) -> nodes.Change:
    """Tells of a head so many blocks ago."""

    def change(method: str, result: Any) -> Any:
        if method != "eth_getBlockByNumber":
            return result
        number, time = int(result["number"], 16) - blocks, int(result["timestamp"], 16) - blocks
        return result | {"number": hex(number), "timestamp": hex(time)}

    return change


def test_a_node_that_lags_is_not_asked_about_what_is_now(
    anvil: World, pair: tuple[Proxy, Proxy]
) -> None:
    anvil.chain.rpc("anvil_mine", [hex(20)])
    chain = both(pair)
    pair[0].change = lag(10)

    with capture_logs() as said:
        chain.look()
        pair[0].asked.clear()
        assert chain.block("latest") == anvil.chain.block("latest")
        chain.nonce(address("operator"))
        assert pair[0].asked == []
        pair[0].change = nodes.unchanged
        chain.look()

    assert [each["event"] for each in said] == ["left a node", "took a node back"]
    assert said[0]["why"] == "its head lags by 10 blocks"


def test_a_node_whose_lag_nobody_saw_yet_is_left_when_it_tells_its_head(
    anvil: World, pair: tuple[Proxy, Proxy]
) -> None:
    anvil.chain.rpc("anvil_mine", [hex(20)])
    chain = both(pair)
    pair[0].change = lag(10)

    assert chain.block("latest") == anvil.chain.block("latest")
    assert states(chain) == [State.LAGGING, State.UP]
    assert chain.health()[0].lag == 10


def test_a_node_that_stands_still_is_left(anvil: World, pair: tuple[Proxy, Proxy]) -> None:
    clock = Clock()
    chain = both(pair, clock)
    frozen = anvil.chain.rpc("eth_getBlockByNumber", ["latest", False])
    pair[0].change = lambda method, it: frozen if method == "eth_getBlockByNumber" else it
    anvil.chain.rpc("anvil_mine", [hex(1)])
    chain.look()
    assert states(chain) == [State.UP, State.UP]

    clock.now += 61
    chain.look()

    assert states(chain) == [State.LAGGING, State.UP]
    assert chain.health()[0].still == 61


def test_a_node_that_is_behind_and_moves_is_kept(anvil: World, pair: tuple[Proxy, Proxy]) -> None:
    """Its head moved after the best one's did, and a chain may have no block for a minute."""
    clock = Clock()
    chain = both(pair, clock)
    anvil.chain.rpc("anvil_mine", [hex(2)])
    pair[0].fail(Fault.CLOSE)
    chain.look()
    pair[0].fault = lambda _: None
    pair[0].change = lag(1)
    clock.now += 30
    chain.look()

    clock.now += 40
    chain.look()

    assert states(chain) == [State.UP, State.UP]


def test_nodes_of_a_chain_that_stands_still_are_kept(pair: tuple[Proxy, Proxy]) -> None:
    clock = Clock()
    chain = both(pair, clock)
    clock.now += 3600
    chain.look()

    assert states(chain) == [State.UP, State.UP]


def test_a_node_that_lags_is_believed_once_it_is_alone_for_long(
    anvil: World, pair: tuple[Proxy, Proxy]
) -> None:
    anvil.chain.rpc("anvil_mine", [hex(20)])
    clock = Clock()
    chain = both(pair, clock)
    pair[0].change = lag(10)
    pair[1].fail(Fault.CLOSE)

    with pytest.raises(RpcUnavailable, match="lags by 10 blocks"):
        chain.block("latest")
    clock.now += 61
    assert chain.block("latest").number == anvil.head() - 10


def test_logs_are_read_from_a_node_that_has_the_blocks(
    anvil: World, pair: tuple[Proxy, Proxy]
) -> None:
    """One that is behind by a block gives none, and does not say that it lacks the block."""
    chain = both(pair)
    pair[0].change = lambda method, it: [] if method == "eth_getLogs" else lag(2)(method, it)
    chain.look()
    anvil.stake()
    head = anvil.head()

    assert len(chain.logs(anvil.deployment.watched, head, head)) == 1


def test_what_one_node_lacks_is_asked_of_the_other(anvil: World, pair: tuple[Proxy, Proxy]) -> None:
    anvil.stake()
    block = anvil.chain.block("latest")
    [sent] = block.transactions
    chain = both(pair)
    missing = ("eth_getBlockByNumber", "eth_getTransactionReceipt", "eth_getTransactionByHash")
    pair[0].change = lambda method, it: None if method in missing else it

    assert chain.block(block.number) == block
    assert chain.receipt(sent) == anvil.chain.receipt(sent)
    assert chain.knows(sent)
    assert chain.sender_of(sent) == address("operator")


def test_what_all_nodes_lack_is_not_found(pair: tuple[Proxy, Proxy]) -> None:
    chain = both(pair)

    with pytest.raises(NotFound):
        chain.block(10**9)
    assert not chain.knows(b"\1" * 32) and chain.receipt(b"\1" * 32) is None
    assert all("eth_getTransactionReceipt" in each.asked for each in pair)


# Ids.


def other_id(method: str, result: Any) -> Any:
    return hex(7) if method == "eth_chainId" else result


def test_nodes_of_several_chains_are_refused_at_the_start(pair: tuple[Proxy, Proxy]) -> None:
    pair[1].change = other_id

    with pytest.raises(WrongChain, match="is of chain 31337, .* of 7"):
        connect(*(each.url for each in pair))


def test_a_node_that_takes_another_id_is_left_for_good(
    anvil: World, pair: tuple[Proxy, Proxy]
) -> None:
    clock = Clock()
    chain = both(pair, clock)
    pair[0].change = other_id

    assert chain.block("latest") == anvil.chain.block("latest")
    pair[0].change = nodes.unchanged
    clock.now += 3600
    chain.look()

    assert states(chain) == [State.FOREIGN, State.UP]


def test_nothing_is_sent_to_a_node_that_took_another_id(
    anvil: World, pair: tuple[Proxy, Proxy]
) -> None:
    chain = both(pair)
    pair[0].change = other_id

    transact(chain, PEOPLE["operator"], anvil.queue.stake(Wei(10**18)))

    assert "eth_sendRawTransaction" not in pair[0].asked
    assert states(chain) == [State.FOREIGN, State.UP]


def test_nodes_that_all_take_another_id_are_no_longer_this_chain(
    pair: tuple[Proxy, Proxy],
) -> None:
    chain = both(pair)
    pair[0].change = pair[1].change = other_id

    with pytest.raises(WrongChain, match="All nodes are of another chain than 31337 now"):
        chain.block("latest")
    with pytest.raises(WrongChain):
        chain.broadcast(b"\1")
    assert all("eth_sendRawTransaction" not in each.asked for each in pair)


# Transactions.


def test_a_transaction_is_handed_to_all_nodes(anvil: World, pair: tuple[Proxy, Proxy]) -> None:
    chain = both(pair)

    receipt = transact(chain, PEOPLE["operator"], anvil.queue.stake(Wei(10**18)))

    assert receipt.succeeded
    for _ in range(100):
        if all("eth_sendRawTransaction" in each.asked for each in pair):
            return
        anvil.chain.gas_price()  # the second is not waited for
    raise AssertionError


def test_a_transaction_that_is_known_was_taken(anvil: World, pair: tuple[Proxy, Proxy]) -> None:
    anvil.stake()
    [sent] = anvil.chain.block("latest").transactions
    raw = bytes.fromhex(anvil.chain.rpc("debug_getRawTransaction", ["0x" + sent.hex()])[2:])

    both(pair).broadcast(raw)


def test_a_transaction_that_all_refuse_is_refused(pair: tuple[Proxy, Proxy]) -> None:
    with pytest.raises(ChainError, match="refused"):
        both(pair).broadcast(b"\1\2\3")


WORKED = ("eth_getBlockByNumber", "eth_getLogs", "eth_getTransactionCount")
SENT = ("eth_estimateGas", "eth_getTransactionReceipt", "eth_sendRawTransaction", "eth_chainId")


@pytest.mark.parametrize(
    "fault",
    [
        HTTPStatus.TOO_MANY_REQUESTS,
        *(pytest.param(fault, marks=pytest.mark.long) for fault in (Fault.CLOSE, Fault.HALF)),
    ],
)
def test_a_worker_answers_through_nodes_of_which_one_fails_at_each_method_in_turn(
    anvil: World, pair: tuple[Proxy, Proxy], tmp_path: Path, fault: Fault | HTTPStatus
) -> None:
    anvil.stake()
    model_id = anvil.publish()
    chain = both(pair)
    worker = hire(anvil, tmp_path, chain=chain)
    for method in (*WORKED, *SENT):

        def fail(asked: str, failing: str = method) -> Fault | HTTPStatus | None:
            return fault if asked == failing else None

        pair[0].fault = fail
        for member in chain._members:
            member.errors = 0
        asked = anvil.ask(model_id)

        worker.work()

        assert anvil.queue.status_of(asked.request_id)[0] is Status.PROPOSED, method
        assert method in pair[1].asked, f"the worker never asks {method}"


# Accusations.


def test_two_nodes_of_several_must_agree(anvil: World, pair: tuple[Proxy, Proxy]) -> None:
    anvil.stake()
    model_id = anvil.publish()
    asked = anvil.ask(model_id)
    anvil.propose(asked)
    found = anvil.history.request(asked.request_id)
    [claim] = found.claims
    subject = Subject(asked.request, claim.proposal, claim.output)
    view = TwoNodes(both(pair), anvil.deployment)

    assert view.objection(asked.request_id, PAYLOAD, subject) is None

    pair[1].change = lambda method, it: [] if method == "eth_getLogs" else it
    said = view.objection(asked.request_id, PAYLOAD, subject) or ""
    assert f"{pair[0].url} bears it out; " in said
    assert f"{pair[1].url} knows no request" in said

    lie = replace(subject, output=bytes(8))
    pair[1].change = nodes.unchanged
    said = view.objection(asked.request_id, PAYLOAD, lie) or ""
    assert said.count("knows another result") == 2


def test_a_challenger_asks_two_of_several_nodes(anvil: World, pair: tuple[Proxy, Proxy]) -> None:
    session = Session(Settings(), both(pair), anvil.deployment)

    assert isinstance(second_view_of(session, None), TwoNodes)
    assert isinstance(second_view_of(session, pair[1].url), SecondNode)
    assert second_view_of(replace(session, chain=anvil.chain), None) is None


# Batches.


def test_several_questions_go_in_one_request(pair: tuple[Proxy, Proxy]) -> None:
    chain = open_node(pair[0].url)
    pair[0].requests = 0
    questions = [("eth_getBlockByNumber", [hex(0), False]), ("eth_chainId", [])]

    found: list[Any] = chain.ask_many(questions)
    block, id_ = found

    assert (block["number"], id_) == ("0x0", hex(chain.id))
    assert pair[0].requests == 1


def test_a_node_that_takes_no_batches_is_asked_one_by_one(pair: tuple[Proxy, Proxy]) -> None:
    chain = open_node(pair[0].url)
    pair[0].takes_batches = False
    pair[0].requests = 0

    for _ in range(2):
        assert chain.ask_many([("eth_chainId", [])] * 3) == [hex(chain.id)] * 3

    refused = 2  # for three questions, and for two
    assert pair[0].requests == refused + 3 + 3


@pytest.mark.parametrize(
    "refusal",
    [None, Fault.CLOSE, *map(HTTPStatus, (413, 429, 500))],
    ids=lambda refusal: refusal and refusal.name,
)
@pytest.mark.parametrize("most", [1, 2, 10, 30])
def test_a_node_is_asked_as_many_questions_at_a_time_as_it_takes(
    pair: tuple[Proxy, Proxy], most: int, refusal: Fault | HTTPStatus | None
) -> None:
    chain = open_node(pair[0].url, is_alone=False)
    pair[0].most_together, pair[0].too_many = most, refusal
    questions = [("eth_getBlockByNumber", [hex(at % 3), False]) for at in range(100)]
    chain.ask_many(questions)  # finds out
    pair[0].requests = 0

    found: list[Any] = chain.ask_many(questions)

    assert [int(each["number"], 16) for each in found] == [at % 3 for at in range(100)]
    probes = 6  # for more
    assert pair[0].requests <= 100 / (0.7 * most) + probes


def test_a_node_that_answers_none_of_many_questions_is_asked_fewer_next_time(
    pair: tuple[Proxy, Proxy],
) -> None:
    chain = open_node(pair[0].url, is_alone=False)
    questions: list[tuple[str, list[Any]]] = [("eth_chainId", [])] * 9
    pair[0].fail(Fault.CLOSE)
    with pytest.raises(RpcUnavailable):
        chain.ask_many(questions)
    pair[0].fail(None)
    pair[0].most_together = 4

    assert chain.ask_many(questions) == [hex(chain.id)] * 9


@pytest.mark.parametrize("scheme", ["http", "ws"])
def test_answers_that_are_too_long_together_are_asked_for_apart(
    anvil: World, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    chain = connect(anvil.chain.url.replace("http", scheme))
    expected = [chain.block(number) for number in range(9)]
    monkeypatch.setattr(lines, "MAX_ANSWER", 10_000)

    assert chain.blocks(range(9)) == expected
    chain.hang_up()


def test_blocks_are_asked_for_in_one_request(anvil: World, pair: tuple[Proxy, Proxy]) -> None:
    chain = open_node(pair[0].url)
    pair[0].requests = 0

    found = chain.blocks(range(5))

    assert pair[0].requests == 1
    assert found == [anvil.chain.block(number) for number in range(5)]
    assert chain.times({3, 1}) == {1: found[1].time, 3: found[3].time}


def test_blocks_that_a_node_lacks_another_has(anvil: World, pair: tuple[Proxy, Proxy]) -> None:
    chain = both(pair)
    pair[0].change = lambda method, result: None if method == "eth_getBlockByNumber" else result

    assert chain.blocks(range(3)) == [anvil.chain.block(number) for number in range(3)]
    pair[1].change = pair[0].change
    with pytest.raises(NotFound, match="has no block 0"):
        chain.blocks(range(3))


def test_no_blocks_are_asked_of_nobody(pair: tuple[Proxy, Proxy]) -> None:
    chain = both(pair)
    for each in pair:
        each.fail(Fault.CLOSE)
    with pytest.raises(RpcUnavailable):
        chain.gas_price()

    assert chain.blocks([]) == []
    assert states(chain) == [State.RESTING, State.RESTING]


@pytest.mark.parametrize("number", ["0x2", None, [], "0x"])
def test_a_block_of_another_number_is_none(pair: tuple[Proxy, Proxy], number: Any) -> None:
    chain = open_node(pair[0].url)
    pair[0].change = lambda _, result: result | {"number": number}

    for ask in (lambda: chain.block(1), lambda: chain.blocks([1, 3])):
        with pytest.raises(MalformedReply):
            ask()


def test_a_question_that_is_refused_in_a_batch_is_refused_in_the_words_of_the_node(
    pair: tuple[Proxy, Proxy],
) -> None:
    chain = open_node(pair[0].url)

    with pytest.raises(ChainError, match="no_such_method|Method not found"):
        chain.ask_many([("eth_chainId", []), ("no_such_method", [])])


def test_the_embedded_chain_answers_several_questions(embedded: World) -> None:
    found: list[Any] = embedded.chain.ask_many([("eth_chainId", [])] * 2)

    assert found[0] == found[1]


# WebSockets.


def socket_of(world: World) -> str:
    return world.chain.url.replace("http://", "ws://")


@pytest.fixture
def socket(anvil: World) -> Iterator[Chain]:
    chain = connect(socket_of(anvil))
    yield chain
    chain.hang_up()  # or its threads go on


def test_a_node_is_asked_over_a_websocket(anvil: World, socket: Chain) -> None:
    chain = socket

    for read in READS.values():
        assert read(chain) == read(anvil.chain)
    assert chain.ask_many([("eth_chainId", []), ("eth_gasPrice", [])])[0] == hex(chain.id)
    assert transact(chain, PEOPLE["operator"], anvil.queue.stake(Wei(10**18))).succeeded


def test_a_websocket_that_was_dropped_is_opened_again(socket: Chain) -> None:
    chain = socket
    provider: Any = chain.web3.provider
    provider._open.close_socket()

    with pytest.raises(RpcUnavailable):
        chain.gas_price()
    assert chain.gas_price() > 0


def test_an_answer_over_a_websocket_is_bounded(
    anvil: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "MAX_ANSWER", 1000)
    chain = connect(socket_of(anvil))

    with pytest.raises(RpcUnavailable):
        chain.code(anvil.deployment.queue)
    chain.hang_up()


def test_a_new_block_is_told_over_a_websocket(anvil: World, socket: Chain) -> None:
    told = Flag()
    socket.on_head(told.set)
    for _ in range(100):
        anvil.chain.rpc("anvil_mine", [hex(1)])
        if told.wait(0.1):
            return
    raise AssertionError("no head was told")


def test_several_nodes_tell_of_new_blocks(anvil: World) -> None:
    nodes, told = Nodes([anvil.chain.url, socket_of(anvil)]), Flag()
    nodes.on_head(told.set)
    try:
        while not told.wait(0.1):
            anvil.chain.rpc("anvil_mine", [hex(1)])
    finally:
        nodes.hang_up()


@pytest.mark.parametrize("scheme", ["http://", "ws://"])
def test_a_chain_that_hung_up_answers_nothing_more(anvil: World, scheme: str) -> None:
    chain = connect(anvil.chain.url.replace("http://", scheme))
    chain.hang_up()

    with pytest.raises(RpcUnavailable, match="is asked no more: the program ends"):
        chain.gas_price()
