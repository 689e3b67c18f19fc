"""What a node says of logs is taken for what it is, whatever it leaves out or garbles."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

from oracle.chain import receipts
from oracle.chain.connection import connect
from oracle.chain.events import Event
from oracle.chain.finality import Finality
from oracle.chain.logs import LogReader
from oracle.chain.node import Chain
from oracle.chain.replies import Block, Log
from oracle.chain.view import View
from oracle.errors import ChainError, LogsUnknown, RpcUnavailable
from oracle.state.store import Store
from oracle.types import Status
from tests import chains, nodes
from tests.chains import OUTPUT, World, address
from tests.integration.workers import Hire
from tests.nodes import Change, Limit, Proxy, Refusal
from tests.unit.state.changes import nothing

LOGS, RECEIPTS, RECEIPT = "eth_getLogs", "eth_getBlockReceipts", "eth_getTransactionReceipt"
BLOCK = "eth_getBlockByNumber"
ANSWERS = 3  # in one block


@dataclass(frozen=True)
class Desk:
    """A reader behind a proxy, and a block that has some logs."""

    world: World
    proxy: Proxy
    chain: Chain
    block: Block
    logs: Sequence[Log]

    def reader(self, **options: Any) -> LogReader:
        return LogReader(self.chain, self.world.deployment.watched, **options)

    def read(self, change: Change = nodes.unchanged, **options: Any) -> list[Log]:
        """Reads the block while the node does that."""
        self.proxy.change = change
        return self.reader(**options).of_block(self.block)

    def all(self) -> list[Log]:
        return self.reader().of_range(0, self.block.number)


@pytest.fixture(scope="module")
def answered() -> Iterator[World]:
    """A chain whose last block has several results."""
    with chains.anvil() as world:
        world.stake()
        model = world.publish()
        asked = [world.ask(model) for _ in range(ANSWERS)]
        batch = world.queue.propose([(each.request, OUTPUT) for each in asked])
        world.send("operator", batch)
        yield world


@pytest.fixture
def desk(answered: World) -> Iterator[Desk]:
    chain = answered.chain
    block = chain.block("latest")
    with nodes.proxy(chain.url) as proxy:
        logs = chain.logs(answered.deployment.watched, block.number, block.number)
        assert len(logs) == ANSWERS
        yield Desk(answered, proxy, connect(proxy.url), block, logs)


# What may be done to an answer.


def to(method: str, spoil: Callable[[Any], Any], times: int = 10**9) -> Change:
    """Spoils the first results of a method."""
    left = [times]

    def change(asked: str, result: Any) -> Any:
        if asked != method or left[0] == 0:
            return result
        left[0] -= 1
        return spoil(result)

    return change


def both(first: Change, second: Change) -> Change:
    return lambda method, result: second(method, first(method, result))


def lacking(*methods: str) -> Change:
    def change(method: str, result: Any) -> Any:
        if method in methods:
            raise Refusal(f"the method {method} does not exist")
        return result

    return change


def each(**fields: Any) -> Callable[[Any], Any]:
    return lambda result: [one | fields for one in result]


NONE = to(LOGS, lambda _: [])
WITHOUT_RECEIPTS = lacking(RECEIPTS, RECEIPT)


# One block.


def test_of_block_gives_all_logs_in_order(desk: Desk) -> None:
    assert desk.read() == desk.logs
    assert desk.read(proves=True) == desk.logs


def test_of_block_asks_nothing_about_a_block_whose_header_rules_them_out(desk: Desk) -> None:
    [log, *_] = desk.logs
    others = [replace(log, address=address("rival")), replace(log, topics=())]
    filters = [receipts.filter_of([other]).to_bytes(256, "big") for other in others]
    blocks = [replace(desk.block, bloom=bloom) for bloom in filters]
    desk.proxy.asked.clear()

    for block in (*blocks, replace(desk.block, bloom=bytes(256), transactions=())):
        assert desk.reader().of_block(block) == []
        assert desk.reader(proves=True).of_block(block) == []
    assert desk.proxy.asked == []


def test_of_block_asks_one_question_about_others(desk: Desk) -> None:
    for proves, method in ((False, LOGS), (True, RECEIPTS)):
        desk.proxy.asked.clear()
        desk.read(proves=proves)

        assert desk.proxy.asked == [method]


def test_of_block_is_unknown_while_a_node_gives_none(desk: Desk) -> None:
    empty = to(LOGS, lambda _: [], times=3)
    desk.proxy.change = both(empty, WITHOUT_RECEIPTS)
    reader = desk.reader()

    for _ in range(3):
        with pytest.raises(LogsUnknown, match=f"block {desk.block.number} .* gives none, which"):
            reader.of_block(desk.block)

    assert reader.of_block(desk.block) == desk.logs


@pytest.mark.parametrize("change", [NONE, both(NONE, lacking(RECEIPTS))], ids=["all", "alone"])
def test_of_block_reads_the_receipts_where_a_node_gives_no_logs(desk: Desk, change: Change) -> None:
    assert desk.read(change) == desk.logs


def test_of_block_proves_that_there_are_none(desk: Desk) -> None:
    """A filter that is full says nothing."""
    full = replace(desk.world.chain.block(1), bloom=b"\xff" * 256)

    assert desk.reader().of_block(full) == []
    desk.proxy.change = WITHOUT_RECEIPTS
    with pytest.raises(LogsUnknown):
        desk.reader().of_block(full)


def test_of_block_finds_out_that_some_are_left_out_if_it_proves(desk: Desk) -> None:
    short = to(LOGS, lambda result: result[1:])

    assert desk.read(short, proves=True) == desk.logs
    assert desk.read(short) == desk.logs[1:]


def test_of_block_insists_on_proof_where_it_had_some(desk: Desk) -> None:
    reader = desk.reader(proves=True)
    reader.of_block(desk.block)
    desk.proxy.change = both(to(LOGS, lambda result: result[1:]), WITHOUT_RECEIPTS)

    with pytest.raises(LogsUnknown, match="no receipts that can be read"):
        reader.of_block(desk.block)


def test_of_block_takes_an_answer_where_nothing_can_be_proven(desk: Desk) -> None:
    """As on a chain that writes receipts in a way of its own."""
    own = to(RECEIPTS, each(cumulativeGasUsed="0x1"))

    assert desk.read(own, proves=True) == desk.logs
    with pytest.raises(LogsUnknown, match="gives none"):
        desk.read(both(own, NONE), proves=True)
    with pytest.raises(LogsUnknown, match="gives none"):
        desk.read(both(own, NONE))


@pytest.mark.parametrize("value", [None, [], {}, "0x", [None], [{}]])
def test_of_block_is_unknown_while_receipts_are_garbled(desk: Desk, value: object) -> None:
    garbled = both(to(RECEIPTS, lambda _: value), to(RECEIPT, lambda _: value))

    with pytest.raises(LogsUnknown):
        desk.read(both(NONE, garbled))


@pytest.mark.parametrize("field", ["logIndex", "blockNumber"])
def test_of_block_is_unknown_while_receipts_say_that_logs_are_elsewhere(
    desk: Desk, field: str
) -> None:
    """No root covers these."""

    def elsewhere(result: Any) -> Any:
        return [one | {"logs": [log | {field: "0x7"} for log in one["logs"]]} for one in result]

    with pytest.raises(LogsUnknown, match="elsewhere"):
        desk.read(both(NONE, to(RECEIPTS, elsewhere)))


def test_of_block_orders_what_comes_newest_first(desk: Desk) -> None:
    assert desk.read(to(LOGS, lambda result: result[::-1])) == desk.logs


def test_of_block_takes_what_comes_twice_once(desk: Desk) -> None:
    assert desk.read(to(LOGS, lambda result: result * 2)) == desk.logs


def test_of_block_is_unknown_while_two_logs_have_one_place(desk: Desk) -> None:
    clash = to(LOGS, each(logIndex="0x0"))

    with pytest.raises(LogsUnknown, match="two logs that are number 0"):
        desk.read(both(clash, WITHOUT_RECEIPTS))


def test_of_block_leaves_out_what_was_taken_back(desk: Desk) -> None:
    again = to(LOGS, lambda result: result + [one | {"removed": True} for one in result])

    assert desk.read(again) == desk.logs
    with pytest.raises(LogsUnknown):
        desk.read(both(to(LOGS, each(removed=True)), WITHOUT_RECEIPTS))


def test_of_block_leaves_out_other_contracts(desk: Desk) -> None:
    foreign = to(LOGS, lambda result: [result[0] | {"address": address("rival")}, *result])

    assert desk.read(foreign) == desk.logs


def test_of_block_is_unknown_while_a_node_speaks_of_another_block(desk: Desk) -> None:
    replaced = to(LOGS, each(blockHash="0x" + "ab" * 32))

    with pytest.raises(LogsUnknown, match="another block"):
        desk.read(both(replaced, WITHOUT_RECEIPTS))


def each_topic(place: int) -> Change:
    """Another word in that place of each log's topics."""

    def change(result: Any) -> Any:
        return [one | {"topics": spoilt(one["topics"])} for one in result]

    def spoilt(topics: list[str]) -> list[str]:
        return [*topics[:place], "0x" + "ab" * 32, *topics[place + 1 :]]

    return to(LOGS, change)


@pytest.mark.parametrize("change", [each(topics=[]), each(address=address("rival"))])
def test_of_block_is_unknown_while_logs_are_none_of_ours(desk: Desk, change: Any) -> None:
    """A log of ours that was garbled looks like another's, and must not be passed over."""
    with pytest.raises(LogsUnknown, match="were not asked about|cannot have written"):
        desk.read(both(to(LOGS, change), WITHOUT_RECEIPTS))


def test_of_block_is_unknown_while_logs_are_not_of_the_header(desk: Desk) -> None:
    invented = each_topic(1)

    with pytest.raises(LogsUnknown, match="rules out"):
        desk.read(both(invented, WITHOUT_RECEIPTS))


@pytest.mark.parametrize("bloom", [None, bytes(256)], ids=["missing", "blank"])
def test_of_block_takes_logs_beside_a_filter_that_says_nothing(desk: Desk, bloom: Any) -> None:
    plain = replace(desk.block, bloom=bloom)

    assert desk.reader().of_block(plain) == desk.logs
    desk.proxy.change = both(NONE, WITHOUT_RECEIPTS)
    with pytest.raises(LogsUnknown, match="of which its header says nothing"):
        desk.reader().of_block(plain)


def test_of_block_takes_none_beside_a_blank_filter_where_others_are_filled(desk: Desk) -> None:
    reader, blank = desk.reader(), replace(desk.block, bloom=bytes(256))
    reader.of_block(desk.block)
    desk.proxy.change = both(NONE, WITHOUT_RECEIPTS)

    assert reader.of_block(blank) == []


def test_of_block_trusts_no_blank_filter_where_logs_came_beside_one(desk: Desk) -> None:
    reader, blank = desk.reader(), replace(desk.block, bloom=bytes(256))
    reader.of_block(blank)
    reader.of_block(desk.block)
    desk.proxy.change = both(NONE, WITHOUT_RECEIPTS)

    with pytest.raises(LogsUnknown):
        reader.of_block(blank)


def test_of_block_asks_by_number_where_a_node_takes_no_hash(desk: Desk) -> None:
    desk.proxy.limit = refusing(lambda query: "blockHash" in query)
    reader = desk.reader()
    assert reader.of_block(desk.block) == desk.logs
    desk.proxy.asked.clear()

    assert reader.of_block(desk.block) == desk.logs
    assert desk.proxy.asked == [LOGS]


# Several blocks.


@pytest.fixture
def blocks(desk: Desk) -> list[Block]:
    """All since the contracts are there, and some of their deployment."""
    first = desk.world.deployment.first_block
    found = [desk.world.chain.block(number) for number in range(first, desk.block.number + 1)]
    desk.proxy.asked.clear()
    desk.proxy.requests = 0
    return found


def once(spoil: Callable[[Any], Any], at: int) -> Change:
    """Spoils one answer for logs."""
    left = [at]

    def change(method: str, result: Any) -> Any:
        if method != LOGS:
            return result
        left[0] -= 1
        return spoil(result) if left[0] == -1 else result

    return change


def refuse(_: Any) -> Any:
    raise Refusal("response size exceeded")


def test_of_blocks_asks_about_all_of_them_at_once(desk: Desk, blocks: list[Block]) -> None:
    expected = desk.world.chain.logs(desk.world.deployment.watched, 0, desk.block.number)

    assert desk.reader().of_blocks(blocks) == expected
    assert desk.proxy.requests == 1
    assert desk.proxy.asked == [LOGS] * len({log.block for log in expected})


@pytest.mark.parametrize("at", [0, 2, 5])
@pytest.mark.parametrize(
    "spoil",
    [
        *(refuse, lambda _: None, lambda _: [], lambda _: [{}], each(logIndex="0x0", data="0x1")),
        *(each(blockHash="0x" + "ab" * 32), each(topics=[]), each(address=address("rival"))),
    ],
    ids=["refused", "null", "none", "empty", "odd", "another block", "no topics", "foreign"],
)
def test_of_blocks_asks_again_about_a_block_whose_answer_is_not_plausible(
    desk: Desk, blocks: list[Block], at: int, spoil: Any
) -> None:
    expected = desk.all()
    desk.proxy.change = once(spoil, at)

    assert desk.reader().of_blocks(blocks) == expected


def test_of_blocks_is_unknown_while_a_node_gives_none(desk: Desk, blocks: list[Block]) -> None:
    desk.proxy.change = both(NONE, WITHOUT_RECEIPTS)

    with pytest.raises(LogsUnknown, match="gives none, which its header does not confirm"):
        desk.reader().of_blocks(blocks)


def test_of_blocks_reads_the_receipts_where_a_node_gives_no_logs(
    desk: Desk, blocks: list[Block]
) -> None:
    expected = desk.all()
    desk.proxy.change = NONE

    assert desk.reader().of_blocks(blocks) == expected


def test_of_blocks_proves_each_block(desk: Desk, blocks: list[Block]) -> None:
    expected = desk.all()
    desk.proxy.change = to(LOGS, lambda result: result[1:])

    assert desk.reader(proves=True).of_blocks(blocks) == expected


def test_of_blocks_asks_by_number_where_a_node_takes_no_hash(
    desk: Desk, blocks: list[Block]
) -> None:
    expected = desk.all()
    desk.proxy.limit = refusing(lambda query: "blockHash" in query)

    assert desk.reader().of_blocks(blocks) == expected


def test_of_blocks_gives_up_where_the_node_is_down(desk: Desk, blocks: list[Block]) -> None:
    desk.proxy.change = lacking(LOGS, "eth_blockNumber")

    with pytest.raises(RpcUnavailable):
        desk.reader().of_blocks(blocks)


@pytest.mark.parametrize("depth", [0, 1000], ids=["final", "near the head"])
def test_a_view_asks_few_questions_about_many_blocks(anvil: World, depth: int) -> None:
    model = anvil.publish()
    for _ in range(60):
        anvil.ask(model)
    store = Store("sqlite:///:memory:", anvil.chain.id, anvil.queue.address, address("operator"))
    with nodes.proxy(anvil.chain.url) as proxy:
        chain = connect(proxy.url)
        view = View(chain, anvil.deployment, Finality(chain, depth))
        proxy.requests = 0
        found: list[Event] = []
        for change in view.changes(store):
            store.apply(change, nothing)
            found += change.events
    store.close()

    assert found == anvil.events()
    assert proxy.requests <= 1 + 2 * 2


# Limits.


def refusing(is_too_much: Callable[[dict[str, Any]], bool]) -> Limit:
    """Refuses some questions for logs."""

    def limit(method: str, parameters: list[Any]) -> None:
        if method == LOGS and is_too_much(parameters[0]):
            raise Refusal("query returned more than 10000 results")

    return limit


def longer_than(blocks: int) -> Limit:
    return refusing(lambda q: int(q["toBlock"], 16) - int(q["fromBlock"], 16) >= blocks)


def more_than(logs: int) -> Change:
    def spoil(result: Any) -> Any:
        if len(result) > logs:
            raise Refusal("response size exceeded")
        return result

    return to(LOGS, spoil)


def test_of_range_reads_as_many_blocks_as_a_node_gives(desk: Desk) -> None:
    expected = desk.all()
    with chains.undone(desk.world.chain):
        desk.world.chain.rpc("anvil_mine", [hex(500)])
        desk.proxy.limit = longer_than(10)

        assert desk.reader().of_range(0, desk.block.number + 500) == expected
    assert desk.proxy.asked.count(LOGS) <= 52 + 30


@pytest.mark.parametrize("logs", [3, 4, 20])
def test_of_range_reads_as_many_logs_as_a_node_gives(desk: Desk, logs: int) -> None:
    expected = desk.all()
    desk.proxy.change = more_than(logs)

    assert desk.reader().of_range(0, desk.block.number) == expected


def test_a_block_over_the_limit_is_read_by_contract(desk: Desk) -> None:
    expected = desk.all()[-ANSWERS - 1 :]
    desk.proxy.limit = refusing(lambda query: len(query["address"]) > 1)

    assert desk.reader().of_block(desk.block) == desk.logs
    assert desk.reader().of_range(desk.block.number - 1, desk.block.number) == expected


def test_a_block_over_the_limit_is_read_by_event(desk: Desk) -> None:
    expected = desk.all()[-ANSWERS - 1 :]
    desk.proxy.limit = refusing(lambda query: "topics" not in query)

    assert desk.reader().of_block(desk.block) == desk.logs
    assert desk.reader().of_range(desk.block.number - 1, desk.block.number) == expected


def test_reading_gives_up_where_a_node_refuses_everything(desk: Desk) -> None:
    desk.proxy.change = lacking(LOGS)

    with pytest.raises(ChainError, match="does not exist"):
        desk.reader().of_block(desk.block)
    with pytest.raises(ChainError, match="does not exist"):
        desk.reader().of_range(0, desk.block.number)
    assert desk.proxy.asked.count(LOGS) < 20


def test_a_node_that_is_down_is_not_taken_for_a_limit(desk: Desk) -> None:
    desk.proxy.change = lacking(LOGS, "eth_blockNumber")
    reader = desk.reader()

    with pytest.raises(RpcUnavailable):
        reader.of_range(0, desk.block.number)

    desk.proxy.change = nodes.unchanged
    desk.proxy.asked.clear()
    reader.of_range(0, desk.block.number)
    assert desk.proxy.asked.count(LOGS) == 1


# Final blocks.


@pytest.mark.parametrize("takes_batches", [True, False])
def test_of_range_is_unknown_where_a_node_has_not_got_so_far(
    desk: Desk, takes_batches: bool
) -> None:
    desk.proxy.takes_batches = takes_batches
    desk.proxy.change = both(to(BLOCK, lambda _: None), NONE)

    with pytest.raises(LogsUnknown, match="has not got so far"):
        desk.reader().of_range(0, desk.block.number)
    assert desk.proxy.asked.count(LOGS) <= 1


@pytest.mark.parametrize("takes_batches", [True, False])
def test_of_range_orders_and_cleans(desk: Desk, takes_batches: bool) -> None:
    expected = desk.all()
    desk.proxy.takes_batches = takes_batches
    taken_back = {"removed": True, "logIndex": "0x9"}
    desk.proxy.change = to(
        LOGS, lambda result: [one | taken_back for one in result] + result[::-1] + result
    )

    assert desk.reader().of_range(0, desk.block.number) == expected
    places = [(log.block, log.index) for log in expected]
    assert places == sorted(places) and len(places) == 2 + 2 * ANSWERS


def test_of_range_is_unknown_where_its_logs_are_of_two_chains(desk: Desk) -> None:
    other = to(LOGS, lambda result: [*result[:-1], result[-1] | {"blockHash": "0x" + "ab" * 32}])
    desk.proxy.change = other

    with pytest.raises(LogsUnknown, match="two blocks"):
        desk.reader().of_range(0, desk.block.number)


def test_of_range_is_unknown_where_logs_are_of_blocks_not_asked_for(desk: Desk) -> None:
    with pytest.raises(LogsUnknown, match="asked for other blocks"):
        desk.proxy.change = to(LOGS, each(blockNumber="0x7fff"))
        desk.reader().of_range(0, desk.block.number)


@pytest.mark.parametrize("takes_batches", [True, False])
def test_of_range_asks_for_all_at_once(desk: Desk, takes_batches: bool) -> None:
    desk.proxy.takes_batches = takes_batches
    reader = desk.reader()
    desk.proxy.asked.clear()

    for _ in range(3):
        reader.of_range(0, desk.block.number)

    assert desk.proxy.asked == ([BLOCK, LOGS] if takes_batches else [BLOCK, LOGS, BLOCK]) * 3


def test_of_range_can_be_of_one_subject(desk: Desk) -> None:
    operator = bytes.fromhex(address("operator")[2:])

    [staked] = desk.reader().of_range(0, desk.block.number, operator)

    assert staked.topics[1][-20:] == operator


def test_of_range_remembers_what_a_node_gives(desk: Desk) -> None:
    desk.proxy.limit = longer_than(10)
    reader = desk.reader()
    reader.of_range(0, desk.block.number)
    desk.proxy.asked.clear()

    reader.of_range(0, desk.block.number)

    assert desk.proxy.asked.count(LOGS) <= 4


# Whoever reads.


def test_a_worker_loses_nothing_to_a_node_that_gives_no_logs_for_a_while(
    anvil: World, hire: Hire
) -> None:
    anvil.stake()
    model = anvil.publish()
    with nodes.proxy(anvil.chain.url) as proxy:
        worker = hire(anvil, chain=connect(proxy.url))
        worker.work()
        proxy.change = both(NONE, WITHOUT_RECEIPTS)
        asked = anvil.ask(model)
        for _ in range(3):
            with pytest.raises(LogsUnknown):
                worker.tick()
        anvil.chain.rpc("anvil_mine", [hex(3)])
        with pytest.raises(LogsUnknown):
            worker.tick()
        proxy.change = nodes.unchanged

        worker.work()

    assert anvil.status(asked) is Status.PROPOSED
