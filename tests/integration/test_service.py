"""The worker at work on a devnet: what it does, what it survives, what it leaves to others."""

from concurrent.futures import Future
from dataclasses import replace
from math import inf
from threading import Event as Flag
from typing import Any

import pytest
from eth_utils import keccak
from hexbytes import HexBytes
from sqlalchemy import delete
from structlog.testing import capture_logs

from oracle.chain import transactions
from oracle.chain.events import (
    CallbackFailed,
    Event,
    RequestCreated,
    RequestSettled,
    ResultProposed,
)
from oracle.chain.node import Call
from oracle.chain.replies import Block
from oracle.errors import (
    ChainError,
    InferenceFailed,
    InferenceTooSlow,
    ModelMismatch,
    ModelUnavailable,
    Reverted,
    RpcUnavailable,
    RunsDiffer,
    SecondOpinionDiffers,
    Unwatched,
    WrongPayloadLength,
)
from oracle.inference.executor import Ran
from oracle.merkle import payload_root
from oracle.state.duties import DutyKind, State
from oracle.state.schema import EVENTS
from oracle.state.tries import RETRY
from oracle.types import Address, DType, ModelId, Signature, Status, TensorType, Wei
from oracle.worker.answering import DEATHS
from oracle.worker.policy import answer_gas
from oracle.worker.rivals import MOST
from oracle.worker.sending import NO_STAKE
from oracle.worker.service import LEAST_TURN
from oracle.worker.turns import SHORT
from tests.chains import (
    BOND,
    DELAY,
    ETHER,
    FEE,
    OUTPUT,
    PAYLOAD,
    ROYALTY,
    STAKE,
    TIMEOUT,
    URI,
    WINDOW,
    World,
    address,
    model,
    variant,
)
from tests.integration.workers import Answers, Hire

ME = address("operator")
_ITEM = "((bytes32,uint256,bytes32,uint256,uint256,uint256,uint256),(uint256,uint256),{})"
SETTLING = [
    *(f"settle{_ITEM.format('bytes')}", f"settleByRoot{_ITEM.format('bytes32')}"),
    *(f"settleBatch({_ITEM.format('bytes')}[])", f"settleBatchByRoot({_ITEM.format('bytes32')}[])"),
]


class Slow(Answers):
    """Never ends for models of that version; for any, if none is named."""

    def __init__(self, version: str = ""):
        super().__init__()
        self.version = version
        self.unfinished: list[Future[Ran]] = []

    def submit(self, model, uris, payload, most):
        if self.version not in ("", model.version):
            return super().submit(model, uris, payload, most)
        self.asked.append((model, tuple(uris), payload))
        self.most.append(most)
        self.unfinished.append(Future())
        return self.unfinished[-1]


# The whole way.


def proposer(world: World, asked: RequestCreated) -> Address:
    """Whose result stands."""
    proposed = world.history.request(asked.request_id).proposed
    assert proposed is not None
    return proposed.proposal.operator


def test_tick_answers_settles_and_is_paid(world: World, hire: Hire) -> None:
    world.stake()
    asked = world.ask(world.publish())
    worker = hire(world)

    worker.work()
    assert world.status(asked) is Status.PROPOSED
    world.skip(WINDOW)
    worker.work()

    assert world.status(asked) is Status.SETTLED
    assert worker.states() == []
    account = world.queue.account_of(ME)
    assert (account.staked, account.locked) == (STAKE + FEE - ROYALTY, 0)
    assert world.chain.nonce(ME) == 3  # stake, propose, settle


def test_tick_gives_inference_the_model_its_uris_and_the_payload(
    embedded: World, hire: Hire
) -> None:
    embedded.stake()
    model_id = embedded.publish()
    embedded.send("publisher", embedded.registry.add_uri(model_id, "ipfs://x"))
    embedded.ask(model_id)
    worker = hire(embedded)

    worker.tick()

    [(what, uris, payload)] = worker.answers.asked
    assert what == model(address("publisher"))
    assert (sorted(uris), payload) == (sorted([URI, "ipfs://x"]), PAYLOAD)


def test_tick_calls_the_consumer_back(world: World, hire: Hire) -> None:
    world.stake()
    contract = world.consumer()
    world.send("requester", Call(contract, b""))  # its callback returns
    asked = world.ask_by(contract, world.publish(), callback_gas=50_000)
    worker = hire(world)

    worker.work()
    world.skip(WINDOW)
    worker.work()

    assert world.queue.status_of(asked.request_id) == (Status.SETTLED, False)
    assert world.all(CallbackFailed) == []


def selectors(world: World) -> list[str]:
    """The functions by which results were settled, each once for a transaction."""
    sent = dict.fromkeys(event.where.transaction for event in world.all(RequestSettled))
    inputs = [world.chain.web3.eth.get_transaction(HexBytes(each))["input"] for each in sent]
    named = {keccak(text=text)[:4]: text.partition("(")[0] for text in SETTLING}
    return [named[bytes(each[:4])] for each in inputs]


def test_tick_settles_by_root_what_wants_no_callback(world: World, hire: Hire) -> None:
    """Whoever is to be called is called with the output; the others' need not be sent again."""
    world.stake()
    model_id, contract = world.publish(), world.consumer()
    world.send("requester", Call(contract, b""))  # its callback returns
    called = [world.ask_by(contract, model_id, callback_gas=50_000) for _ in range(2)]
    others = [world.ask(model_id) for _ in range(3)]
    worker = hire(world, models=frozenset([model_id]))

    worker.work()
    world.skip(WINDOW)
    worker.work()

    owed = {world.queue.status_of(each.request_id) for each in called + others}
    assert owed == {(Status.SETTLED, False)}
    assert selectors(world) == ["settleBatch", "settleBatchByRoot"]


def test_tick_settles_one_by_its_root(world: World, hire: Hire) -> None:
    world.stake()
    asked = world.ask(world.publish())
    worker = hire(world)

    worker.work()
    world.skip(WINDOW)
    worker.work()

    assert world.status(asked) is Status.SETTLED
    assert selectors(world) == ["settleByRoot"]


@pytest.mark.parametrize("size", [32, 1024, 16_384])
@pytest.mark.parametrize("callback_gas", [0, 50_000])
def test_answer_gas_is_what_an_answer_takes_at_most(
    anvil: World, hire: Hire, size: int, callback_gas: int
) -> None:
    """With no byte of the output zero. Else the worker would pay for what it declines to."""
    anvil.stake()
    contract = anvil.consumer()
    anvil.send("requester", Call(contract, b""))  # its callback returns
    signature = Signature(
        (TensorType("x", DType.INT64, (1,)),), (TensorType("y", DType.UINT8, (size,)),)
    )
    # Without a royalty: the first that a publisher earns makes a slot, and no later one does.
    model_id = anvil.publish(signature=signature, royalty=Wei(0))
    asked = anvil.ask_by(contract, model_id, fee=ETHER, callback_gas=callback_gas)
    worker = hire(anvil, answers=Answers(output=b"\1" * size))

    worker.work()
    anvil.skip(WINDOW)
    worker.work()

    assert anvil.status(asked) is Status.SETTLED
    steps: list[Event] = [*anvil.all(ResultProposed), *anvil.all(RequestSettled)]
    receipts = [anvil.chain.receipt(event.where.transaction) for event in steps]
    assert sum(each.gas_used for each in receipts if each) <= answer_gas(asked.request)


def test_tick_settles_although_the_callback_fails(world: World, hire: Hire) -> None:
    world.stake()
    asked = world.ask_by(world.consumer(), world.publish(), callback_gas=50_000)
    worker = hire(world)

    worker.work()
    world.skip(WINDOW)
    worker.work()

    assert world.queue.status_of(asked.request_id) == (Status.SETTLED, True)
    [failed] = world.all(CallbackFailed)
    assert failed.reason == b"no"
    assert worker.states() == []


def test_tick_settles_only_when_the_window_is_over(world: World, hire: Hire) -> None:
    world.stake()
    asked = world.ask(world.publish())
    worker = hire(world)
    worker.work()
    world.skip(WINDOW // 2)

    worker.work()

    assert world.status(asked) is Status.PROPOSED
    assert worker.states(DutyKind.SETTLE) == [State.OPEN]


def test_tick_waits_for_the_chain_when_our_clock_is_ahead(embedded: World, hire: Hire) -> None:
    embedded.stake()
    asked = embedded.ask(embedded.publish())
    worker = hire(embedded)
    worker.work()

    worker.wait(WINDOW + 10)
    worker.tick(3)
    assert embedded.status(asked) is Status.PROPOSED
    embedded.skip(WINDOW)
    worker.work()

    assert embedded.status(asked) is Status.SETTLED


def test_tick_does_nothing_when_nothing_happened(embedded: World, hire: Hire) -> None:
    worker = hire(embedded)

    worker.work()

    assert worker.rows() == [] and worker.service.is_idle
    assert embedded.chain.nonce(ME) == 0


def test_tick_goes_on_with_the_state_of_before(embedded: World, hire: Hire) -> None:
    """A worker that is started anew for each round does as one that runs through."""
    embedded.stake()
    asked = embedded.ask(embedded.publish())

    for _ in range(6):
        hire(embedded).tick(2)
        embedded.skip(WINDOW)

    assert embedded.status(asked) is Status.SETTLED
    assert embedded.chain.nonce(ME) == 3


# Many at once.


def test_tick_answers_many_requests_in_one_transaction(world: World, hire: Hire) -> None:
    world.stake()
    model_id = world.publish()
    asked = [world.ask(model_id) for _ in range(12)]
    worker = hire(world, parallel=20, models=frozenset([model_id]))

    worker.work()
    world.skip(WINDOW)
    worker.work()

    assert {world.status(each) for each in asked} == {Status.SETTLED}
    assert world.chain.nonce(ME) == 3
    assert len({event.where.transaction for event in world.all(RequestSettled)}) == 1


def test_tick_infers_no_more_at_once_than_it_may(embedded: World, hire: Hire) -> None:
    embedded.stake()
    model_id = embedded.publish()
    for _ in range(5):
        embedded.ask(model_id)

    worker = hire(embedded, answers=Slow(), parallel=2, models=frozenset([model_id]))
    worker.tick(5)

    assert len(worker.answers.asked) == 2 and not worker.service.is_idle


def test_tick_leaves_a_slot_to_others_when_one_model_takes_long(
    embedded: World, hire: Hire
) -> None:
    """Ten requests for a heavy model, and one for a model whose runs are known to be short."""
    embedded.stake()
    light, heavy = embedded.publish(), embedded.publish(version="2")
    embedded.ask(light)
    worker = hire(embedded, answers=Slow("2"), parallel=2)
    worker.work()
    for _ in range(10):
        embedded.ask(heavy)
    worker.tick(3)

    asked = embedded.ask(light)
    worker.tick(3)

    assert embedded.status(asked) is Status.PROPOSED
    assert len(worker.answers.unfinished) == 1


def test_tick_tries_what_is_new_in_the_slot_of_short_ones(embedded: World, hire: Hire) -> None:
    """Nobody prices a model about which no dispute is possible. So it is run for a short time, and
    has its turn among those that take long if that was too short."""
    embedded.stake()
    heavy, new = embedded.publish(version="2"), embedded.publish()

    class Stopping(Slow):
        def submit(self, model, uris, payload, most):
            future = super().submit(model, uris, payload, most)
            if most <= SHORT and not future.done():
                self.unfinished.remove(future)
                future.set_exception(InferenceTooSlow("2 s"))
            return future

    worker = hire(embedded, answers=Stopping("2"), parallel=2)
    for _ in range(10):
        embedded.ask(heavy)
    worker.tick(5)
    assert worker.answers.most == [SHORT, inf] and len(worker.answers.unfinished) == 1

    asked = embedded.ask(new)
    worker.tick(3)

    assert embedded.status(asked) is Status.PROPOSED
    assert State.MISSED not in worker.states()


def test_tick_gives_each_model_its_turn(embedded: World, hire: Hire) -> None:
    embedded.stake()
    busy, other = embedded.publish(), embedded.publish(version="2")
    for _ in range(4):
        embedded.ask(busy)
    embedded.ask(other)
    worker = hire(embedded, parallel=1)

    worker.work()

    versions = [what.version for what, *_ in worker.answers.asked]
    assert versions == ["1", "2", "1", "1", "1"]


def test_tick_splits_settlements_whose_callbacks_fill_a_block(anvil: World, hire: Hire) -> None:
    """Each may take 10 M gas, and does: four in one transaction fit no block."""
    anvil.stake()
    model_id, contract = anvil.publish(), anvil.consumer("burns")
    asked = [anvil.ask_by(contract, model_id, fee=ETHER, callback_gas=10_000_000) for _ in range(4)]
    worker = hire(anvil, parallel=20, models=frozenset([model_id]))

    worker.work()
    anvil.skip(WINDOW)
    worker.work()

    assert {anvil.queue.status_of(each.request_id) for each in asked} == {(Status.SETTLED, True)}


def test_tick_settles_a_batch_whose_callbacks_burn_more_than_in_simulation(
    anvil: World, hire: Hire
) -> None:
    """Or a consumer that tells simulations from transactions could make us pay for reverts."""
    anvil.stake()
    model_id, contract = anvil.publish(), anvil.consumer("burns")
    asked = [anvil.ask_by(contract, model_id, fee=ETHER, callback_gas=400_000) for _ in range(6)]
    worker = hire(anvil, parallel=20, models=frozenset([model_id]))

    worker.work()
    anvil.skip(WINDOW)
    worker.work()

    assert {anvil.status(each) for each in asked} == {Status.SETTLED}
    assert anvil.chain.nonce(ME) == 3


def test_tick_answers_the_others_when_one_of_a_batch_reverts(embedded: World, hire: Hire) -> None:
    embedded.stake()
    good, bad = embedded.publish(), embedded.publish(version="2")
    asked = [embedded.ask(good), embedded.ask(bad), embedded.ask(good)]

    class NonCanonicalOnce(Answers):
        def submit(self, model, uris, payload, most):
            self.output = bytes.fromhex("8000000000000000") if model.version == "2" else OUTPUT
            return super().submit(model, uris, payload, most)

    worker = hire(embedded, answers=NonCanonicalOnce())
    with capture_logs() as said:
        worker.work()

    assert [embedded.status(each) for each in asked] == [
        Status.PROPOSED,
        Status.REQUESTED,
        Status.PROPOSED,
    ]
    # A node could have made it up, so it waits.
    [waiting] = [row for row in worker.rows(DutyKind.PROPOSE) if row.state is State.OPEN]
    assert waiting.duty.request_id == asked[1].request_id
    [why] = [each["why"] for each in said if each["event"].startswith("a transaction waits")]
    assert "NonCanonicalOutput" in why


def test_tick_sends_no_more_than_may_wait_when_a_batch_reverts(
    anvil: World, hire: Hire, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three may wait, and each of six is sent alone."""
    monkeypatch.setattr(transactions, "MAX_WAITING", 3)
    refusals = [Reverted("Unknown")]

    class Refuses:
        def estimate(self, call, sender):
            if refusals:
                raise refusals.pop()
            return super().estimate(call, sender)  # type: ignore[misc]

    anvil.stake()
    model_id = anvil.publish()
    asked = [anvil.ask(model_id) for _ in range(6)]
    chain = variant(anvil.chain, Refuses)
    worker = hire(anvil, chain=chain, models=frozenset([model_id]))
    anvil.chain.rpc("evm_setAutomine", [False])
    worker.tick(2)
    assert len(worker.store.waiting()) == 3

    anvil.chain.rpc("evm_setAutomine", [True])
    anvil.chain.rpc("evm_mine", [])
    worker.work()

    assert {anvil.status(each) for each in asked} == {Status.PROPOSED}


# Stake.


def test_tick_waits_for_stake_and_then_answers(world: World, hire: Hire) -> None:
    asked = world.ask(world.publish())
    worker = hire(world)
    worker.tick(4)
    assert worker.states() == [State.DECLINED] and not worker.answers.asked
    assert "above our stake of 0 wei" in worker.why(asked)

    world.stake()
    worker.wait(RETRY)
    worker.work()

    assert world.status(asked) is Status.PROPOSED


def test_tick_answers_as_many_as_the_stake_allows(embedded: World, hire: Hire) -> None:
    embedded.stake(amount=2 * BOND)
    model_id = embedded.publish()
    asked = [embedded.ask(model_id) for _ in range(4)]
    worker = hire(embedded)

    worker.work()

    assert [embedded.status(each) for each in asked].count(Status.PROPOSED) == 2
    assert worker.states(DutyKind.PROPOSE).count(State.DECLINED) == 2


def test_tick_says_once_that_an_answer_waits_for_stake_that_is_locked(
    embedded: World, hire: Hire
) -> None:
    """As while a result whose window is over waits to be settled."""
    embedded.stake(amount=BOND)
    model_id = embedded.publish()
    embedded.ask(model_id)
    worker = hire(embedded)
    worker.work()
    [settle] = worker.rows(DutyKind.SETTLE)
    embedded.skip(WINDOW + 1)
    worker.service._tries[settle.key].not_before = inf
    later = embedded.ask(model_id)

    with capture_logs() as logs:
        for _ in range(3):
            worker.tick(3)
            worker.wait(RETRY)

    said = [each for each in logs if "stake" in each["event"]]
    assert [each["event"] for each in said] == [NO_STAKE]
    worker.service._tries[settle.key].not_before = 0.0
    worker.work()
    worker.wait(RETRY)
    worker.work()
    assert embedded.status(later) is Status.PROPOSED


def test_tick_withdraws_when_the_delay_is_over(world: World, hire: Hire) -> None:
    world.stake()
    world.send("operator", world.queue.unstake(Wei(STAKE // 2)))
    worker = hire(world)
    worker.work()
    assert worker.states() == [State.OPEN]
    world.skip(DELAY)

    worker.work()

    assert worker.states() == []
    assert world.queue.unstaking_of(ME).amount == 0


def test_tick_withdraws_once_when_more_was_unstaked_meanwhile(embedded: World, hire: Hire) -> None:
    embedded.stake()
    worker = hire(embedded)
    for _ in range(2):
        embedded.send("operator", embedded.queue.unstake(Wei(5)))
        worker.work()
    embedded.skip(DELAY)

    worker.work()

    assert worker.states() == []
    assert embedded.queue.unstaking_of(ME).amount == 0


def test_tick_keeps_the_withdrawal_when_our_clock_is_ahead(embedded: World, hire: Hire) -> None:
    embedded.stake()
    embedded.send("operator", embedded.queue.unstake(Wei(5)))
    worker = hire(embedded)
    worker.work()
    worker.wait(DELAY + 10)
    worker.tick(3)
    assert worker.states() == [State.OPEN]

    embedded.skip(DELAY)
    worker.work()

    assert worker.states() == []


def test_tick_withdraws_although_a_stranger_had_our_credit_paid_before(
    embedded: World, hire: Hire
) -> None:
    embedded.stake()
    asked = embedded.ask(embedded.publish(), refund_to=ME)
    embedded.skip(TIMEOUT)
    embedded.send("stranger", embedded.queue.expire(asked.request))
    embedded.send("operator", embedded.queue.unstake(Wei(5)))
    embedded.send("stranger", embedded.queue.withdraw(ME))
    worker = hire(embedded)
    worker.work()
    embedded.skip(DELAY)

    worker.work()

    assert embedded.queue.unstaking_of(ME).amount == 0
    assert worker.states(DutyKind.WITHDRAW) == []


def test_tick_gives_up_settling_what_a_slash_voided(embedded: World, hire: Hire) -> None:
    embedded.stake()
    model_id = embedded.publish()
    lied, other = embedded.ask(model_id), embedded.ask(model_id)
    worker = hire(embedded)
    worker.work()
    answers = {event.request_id: event for event in embedded.all(ResultProposed)}
    embedded.slash(lied, answers[lied.request_id])
    void = answers[other.request_id].proposal
    embedded.skip(WINDOW)
    embedded.send("stranger", embedded.queue.reopen(other.request, void, payload_root(OUTPUT)))
    worker.work()

    assert worker.states(DutyKind.SETTLE) == []
    assert embedded.status(other) is Status.REQUESTED  # for others: we were slashed


def test_tick_reopens_what_a_slash_voided_when_nobody_else_did(embedded: World, hire: Hire) -> None:
    embedded.stake()
    model_id = embedded.publish()
    lied, other = embedded.ask(model_id), embedded.ask(model_id)
    worker = hire(embedded)
    worker.work()
    answers = {event.request_id: event for event in embedded.all(ResultProposed)}
    embedded.slash(lied, answers[lied.request_id])
    embedded.skip(WINDOW)
    worker.work()

    assert worker.states(DutyKind.SETTLE) == []
    assert embedded.status(other) is Status.REQUESTED
    assert embedded.queue.account_of(address("operator")).locked == 0


def test_tick_reopens_no_more_than_may_wait(
    anvil: World, hire: Hire, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three may wait, and what a slash voided is settled or reopened alone, each of six."""
    monkeypatch.setattr(transactions, "MAX_WAITING", 3)
    anvil.stake()
    model_id = anvil.publish()
    lied, *others = [anvil.ask(model_id) for _ in range(7)]
    worker = hire(anvil)
    worker.work()
    answers = {event.request_id: event for event in anvil.all(ResultProposed)}
    anvil.slash(lied, answers[lied.request_id])
    anvil.skip(WINDOW)
    anvil.chain.rpc("evm_setAutomine", [False])
    worker.tick(2)
    assert len(worker.store.waiting()) == 3

    anvil.chain.rpc("evm_setAutomine", [True])
    anvil.chain.rpc("evm_mine", [])
    worker.wait(RETRY)
    worker.work()

    assert {anvil.status(each) for each in others} == {Status.REQUESTED}


def test_tick_answers_what_a_slashed_rival_had_answered(embedded: World, hire: Hire) -> None:
    embedded.stake()
    embedded.stake("rival")
    asked = embedded.ask(embedded.publish())
    lie = embedded.propose(asked, "rival", bytes(8))
    worker = hire(embedded)
    worker.work()
    assert worker.states() == []

    embedded.slash(asked, lie)
    worker.work()
    worker.wait(MOST * LEAST_TURN)  # the rival may go first
    worker.work()
    embedded.skip(WINDOW)
    worker.work()

    assert embedded.status(asked) is Status.SETTLED
    assert proposer(embedded, asked) == ME


# Rivals.


def test_tick_of_two_workers_answers_each_request_once(world: World, hire: Hire) -> None:
    model_id = world.publish()
    workers = [hire(world, who) for who in ("operator", "rival")]
    for who in ("operator", "rival"):
        world.stake(who)
    asked = [world.ask(model_id) for _ in range(3)]

    for _ in range(4):
        for worker in workers:
            worker.tick()
    world.skip(WINDOW)
    for worker in workers:
        worker.work()

    assert {world.status(each) for each in asked} == {Status.SETTLED}
    assert len(world.all(ResultProposed)) == len(world.all(RequestSettled)) == 3
    assert [worker.states() for worker in workers] == [[], []]


def test_tick_is_superseded_when_a_rival_was_mined_first(anvil: World, hire: Hire) -> None:
    """Both are sent; the second reverts on chain."""
    anvil.stake()
    anvil.stake("rival")
    asked = anvil.ask(anvil.publish())
    worker = hire(anvil)
    anvil.chain.rpc("evm_setAutomine", [False])
    worker.tick(2)
    assert worker.states() == [State.SENT]
    rival = anvil.queue.propose([(asked.request, OUTPUT)])
    raw = {"from": address("rival"), "to": rival.to, "data": "0x" + rival.data.hex()}
    anvil.chain.rpc("anvil_impersonateAccount", [address("rival")])
    anvil.chain.rpc("eth_sendTransaction", [raw | {"gas": hex(500_000), "gasPrice": hex(10**12)}])
    anvil.chain.rpc("evm_mine", [])
    anvil.chain.rpc("evm_setAutomine", [True])

    worker.work()

    assert worker.states() == []
    assert proposer(anvil, asked) == address("rival")


def test_tick_is_done_when_a_stranger_settled(embedded: World, hire: Hire) -> None:
    embedded.stake()
    asked = embedded.ask(embedded.publish())
    worker = hire(embedded)
    worker.work()
    [answer] = embedded.all(ResultProposed)
    embedded.skip(WINDOW)
    embedded.settle(asked, answer)

    worker.work()

    assert worker.states() == []


# Inference that fails.


def test_tick_tries_again_when_the_model_could_not_be_had(embedded: World, hire: Hire) -> None:
    embedded.stake()
    asked = embedded.ask(embedded.publish())
    worker = hire(embedded, answers=Answers(failures=[ModelUnavailable("no URI gave it")]))
    worker.work()
    assert (worker.states(), len(worker.answers.asked)) == ([State.OPEN], 1)

    worker.wait(RETRY)
    worker.work()

    assert embedded.status(asked) is Status.PROPOSED


def test_tick_tries_again_when_an_inference_dies(embedded: World, hire: Hire) -> None:
    embedded.stake()
    asked = embedded.ask(embedded.publish())
    died = InferenceFailed("it took too long")
    worker = hire(embedded, answers=Answers(failures=[died] * (DEATHS - 1)))
    for _ in range(DEATHS):
        worker.work()
        worker.wait(RETRY)

    assert embedded.status(asked) is Status.PROPOSED


def test_tick_misses_with_a_note_when_an_inference_dies_each_time(
    embedded: World, hire: Hire
) -> None:
    embedded.stake()
    asked = embedded.ask(embedded.publish())
    died = InferenceFailed("it took too long")
    worker = hire(embedded, answers=Answers(failures=[died] * DEATHS))
    for _ in range(DEATHS + 1):
        worker.work()
        worker.wait(RETRY)

    assert embedded.status(asked) is Status.REQUESTED
    assert worker.rows()[0].note == "it took too long"


@pytest.mark.parametrize(
    "failure",
    [
        SecondOpinionDiffers("by more than noise"),
        RunsDiffer("this machine is not sound"),
        KeyError("a bug"),
        OSError("no space left"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_tick_misses_with_a_note_when_inference_fails(
    embedded: World, hire: Hire, failure: BaseException
) -> None:
    embedded.stake()
    bad = embedded.ask(embedded.publish())
    worker = hire(embedded, answers=Answers(failures=[failure]))
    worker.work()
    good = embedded.ask(bad.request.model)
    worker.work()

    assert [embedded.status(each) for each in (bad, good)] == [Status.REQUESTED, Status.PROPOSED]
    assert worker.rows()[0].state is State.MISSED
    assert str(failure) in worker.rows()[0].note


@pytest.mark.parametrize(
    "failure",
    [
        ModelMismatch("other bytes"),
        Unwatched("Nobody could be convicted of a lie about it"),
        WrongPayloadLength(3, 4),
    ],
    ids=lambda error: type(error).__name__,
)
def test_tick_declines_for_good_what_a_stranger_made_so(
    embedded: World, hire: Hire, failure: BaseException
) -> None:
    """Whoever publishes such a model, or pays for such a request, must not get a person up."""
    embedded.stake()
    asked = embedded.ask(embedded.publish())
    worker = hire(embedded, answers=Answers(failures=[failure]))
    with capture_logs() as said:
        worker.work()
        worker.wait(2 * RETRY)
        worker.work()

    assert (embedded.status(asked), worker.states()) == (Status.REQUESTED, [State.DROPPED])
    assert worker.why(asked) == str(failure)
    assert len(worker.answers.asked) == 1
    assert not [each for each in said if each["log_level"] == "error"]


@pytest.mark.parametrize("narrower", [{"models": frozenset()}, {"max_bond": BOND - 1}])
def test_tick_keeps_to_the_policy_that_it_came_back_with(
    embedded: World, hire: Hire, narrower: dict[str, Any]
) -> None:
    embedded.stake()
    asked = embedded.ask(embedded.publish())
    hire(embedded, answers=Slow()).tick()

    worker = hire(embedded, **narrower)
    worker.work()
    assert (embedded.status(asked), worker.states()) == (Status.REQUESTED, [State.DROPPED])

    hire(embedded).work()
    assert embedded.status(asked) is Status.PROPOSED


def test_tick_drops_an_answer_that_came_after_somebody_elses(embedded: World, hire: Hire) -> None:
    for who in ("operator", "rival"):
        embedded.stake(who)
    asked = embedded.ask(embedded.publish())
    worker = hire(embedded, answers=Slow())
    worker.tick()
    embedded.propose(asked, "rival")
    worker.tick()
    worker.answers.unfinished[0].set_result(Ran(OUTPUT, 0.0))
    worker.work()

    assert worker.states() == []
    assert embedded.chain.nonce(ME) == 1  # for the stake


def test_tick_misses_a_request_of_a_model_that_was_published_before_our_time(
    embedded: World, hire: Hire
) -> None:
    """As a registry shared with another deployment could have it."""
    model_id = embedded.publish()
    asked = embedded.ask(model_id)
    late = replace(embedded.deployment.contracts["InferenceQueue"], block=asked.where.block)
    contracts = {"ModelRegistry": late, "InferenceQueue": late}
    registry = embedded.deployment.contracts["ModelRegistry"]
    contracts["ModelRegistry"] = replace(registry, block=asked.where.block)
    world = World(embedded.chain, replace(embedded.deployment, contracts=contracts))
    worker = hire(world)

    worker.work()

    assert [(row.state, row.note) for row in worker.rows()] == [
        (State.MISSED, "its model was never read")
    ]


def test_tick_pays_once_for_what_is_done_though_no_event_says_so(
    embedded: World, hire: Hire
) -> None:
    """A batch skips it without a word, and succeeds each time."""
    embedded.stake()
    model_id = embedded.publish()
    asked = [embedded.ask(model_id) for _ in range(3)]
    worker = hire(embedded)
    worker.work()
    with worker.store._begin() as connection:
        connection.execute(delete(EVENTS).where(EVENTS.c.kind == ResultProposed.__name__))
    worker.store._forget_all()
    for each in asked:
        worker.service._reading.renew(each.request_id)
    assert worker.states() == [State.OPEN] * 3  # to be answered, as it seems
    sent = embedded.chain.nonce(ME)

    for _ in range(3):
        worker.tick(2)
        worker.wait(RETRY)

    assert embedded.chain.nonce(ME) == sent


# Deadlines.


def test_tick_misses_what_it_could_not_answer_in_time(world: World, hire: Hire) -> None:
    world.stake()
    asked = world.ask(world.publish())
    worker = hire(world, answers=Answers(failures=[ModelUnavailable("no URI gave it")]))
    worker.work()
    world.skip(TIMEOUT)
    worker.wait(RETRY)

    worker.work()

    assert (world.status(asked), worker.states()) == (Status.REQUESTED, [State.MISSED])
    assert worker.rows()[0].note == "its deadline passed"


def test_tick_believes_no_node_that_a_deadline_passed_before_a_block_says_so(
    embedded: World, hire: Hire
) -> None:
    """A node simulates by its own clock, which may be wrong."""
    embedded.stake()
    asked = embedded.ask(embedded.publish())
    refusals = [Reverted("DeadlinePassed", {"deadline": 1})]

    class RunsAhead:
        def estimate(self, call, sender):
            if refusals:
                raise refusals.pop()
            return super().estimate(call, sender)  # type: ignore[misc]

    worker = hire(embedded, chain=variant(embedded.chain, RunsAhead))
    worker.work()
    assert worker.states() == [State.OPEN]
    worker.wait(RETRY)
    worker.work()

    assert embedded.status(asked) is Status.PROPOSED


@pytest.mark.parametrize("restarts", [False, True])
def test_tick_takes_up_again_what_a_block_of_no_true_time_had_ended(
    embedded: World, hire: Hire, restarts: bool
) -> None:
    """One header that one node made up must not cost an answer."""
    ahead = [0]

    class Ahead:
        def block(self, number: int | str) -> Block:
            found: Block = super().block(number)  # type: ignore[misc]
            return replace(found, time=found.time + ahead[0])

    embedded.stake()
    world = World(variant(embedded.chain, Ahead), embedded.deployment)
    asked = embedded.ask(embedded.publish())
    worker = hire(world, answers=Slow())
    worker.tick()
    ahead[0] = 10 * TIMEOUT
    worker.tick()
    assert worker.states() == [State.MISSED]

    ahead[0] = 0
    if restarts:
        worker = hire(world)
    worker.tick()
    if not restarts:
        for future in worker.answers.unfinished:
            future.set_result(Ran(OUTPUT, 0.0))
    worker.wait(RETRY + 1)
    worker.service.tick()
    worker.service.tick()

    assert embedded.status(asked) is Status.PROPOSED


def test_tick_misses_nothing_that_it_had_declined_before_a_restart(
    embedded: World, hire: Hire
) -> None:
    embedded.stake()
    embedded.ask(embedded.publish(), fee=ROYALTY)
    worker = hire(embedded)
    worker.work()
    assert worker.states() == [State.DECLINED]
    embedded.skip(TIMEOUT + 1)

    worker = hire(embedded)
    worker.work()

    assert worker.states() == [State.DECLINED]


def test_tick_ends_nothing_by_our_own_clock(embedded: World, hire: Hire) -> None:
    """However far it runs ahead."""
    embedded.stake()
    asked = embedded.ask(embedded.publish(), timeout=1800)
    worker = hire(embedded)
    worker.wait(10 * TIMEOUT)

    worker.work()

    assert embedded.status(asked) is Status.PROPOSED


def test_tick_misses_a_proposal_that_the_batch_skipped_for_its_deadline(
    anvil: World, hire: Hire
) -> None:
    """The transaction succeeded, and nobody is told: only reading past the deadline shows it."""
    anvil.stake()
    model_id = anvil.publish()
    short, long = anvil.ask(model_id, timeout=1800), anvil.ask(model_id)
    worker = hire(anvil, models=frozenset([model_id]))
    anvil.chain.rpc("evm_setAutomine", [False])
    worker.tick(2)
    assert worker.states() == [State.SENT, State.SENT]
    anvil.skip(1810)
    anvil.chain.rpc("evm_setAutomine", [True])

    worker.work()

    assert [anvil.status(each) for each in (short, long)] == [Status.REQUESTED, Status.PROPOSED]
    assert worker.states(DutyKind.PROPOSE) == [State.MISSED]


def test_tick_does_not_miss_what_was_sent_in_time_and_waits_for_confirmations(
    anvil: World, hire: Hire
) -> None:
    anvil.stake()
    asked = anvil.ask(anvil.publish(), timeout=1800)
    worker = hire(anvil, confirmations=2)
    anvil.chain.rpc("anvil_mine", [hex(2)])
    worker.work()
    assert anvil.status(asked) is Status.PROPOSED
    anvil.skip(1810)
    worker.tick(2)
    assert worker.states() == [State.SENT]

    anvil.chain.rpc("anvil_mine", [hex(2)])
    worker.work()

    assert worker.states(DutyKind.PROPOSE) == []


# What it declines.


def test_tick_declines_and_says_why(embedded: World, hire: Hire) -> None:
    embedded.stake()
    served, other = embedded.publish(), embedded.publish(version="2")
    asked = {
        "it is for": embedded.ask(served, operator=address("rival")),
        "do not serve": embedded.ask(other),
        "above our": embedded.ask(served, bond=Wei(2 * BOND)),
        "it earns": embedded.ask(served, fee=ROYALTY),
    }
    worker = hire(embedded, models=frozenset([served]), max_bond=BOND)

    worker.work()

    del asked["it is for"]  # what others are asked for is no duty of ours
    for reason, each in asked.items():
        assert reason in worker.why(each)
    # Gas may become cheaper before the deadline; the others stay as they are.
    assert sorted(worker.states()) == [State.DECLINED, State.DROPPED, State.DROPPED]


def test_tick_answers_when_it_is_the_chosen_operator(embedded: World, hire: Hire) -> None:
    embedded.stake()
    asked = embedded.ask(embedded.publish(), operator=ME)
    worker = hire(embedded)

    worker.work()

    assert embedded.status(asked) is Status.PROPOSED


def test_tick_sends_nothing_in_a_dry_run(embedded: World, hire: Hire) -> None:
    embedded.stake()
    asked = embedded.ask(embedded.publish())
    worker = hire(embedded, dry=True)

    worker.tick(5)

    assert (embedded.status(asked), embedded.chain.nonce(ME)) == (Status.REQUESTED, 1)
    assert worker.store.output(asked.request_id) == OUTPUT


# What must not stop it.


def test_tick_goes_on_when_a_request_is_poison(embedded: World, hire: Hire) -> None:
    embedded.stake()
    poison, good = embedded.publish(), embedded.publish(version="2")
    asked = [embedded.ask(model_id) for model_id in (poison, good, poison)]

    class Chokes(frozenset[ModelId]):
        def __contains__(self, model_id: object) -> bool:
            if model_id == poison:
                raise ZeroDivisionError("chokes")
            return True

    worker = hire(embedded, models=Chokes())
    worker.work()

    assert [embedded.status(each) for each in asked] == [
        Status.REQUESTED,
        Status.PROPOSED,
        Status.REQUESTED,
    ]
    assert worker.states(DutyKind.PROPOSE) == [State.MISSED] * 2


def test_tick_declines_an_output_that_fits_no_transaction(embedded: World, hire: Hire) -> None:
    large = Signature(
        (TensorType("x", DType.INT64, (1,)),), (TensorType("y", DType.UINT8, (150_000,)),)
    )
    asked = embedded.ask(embedded.publish(signature=large), fee=ETHER)
    worker = hire(embedded)

    worker.work()

    assert "fits no transaction" in worker.why(asked)


def test_tick_tries_again_when_the_node_refuses_to_estimate(embedded: World, hire: Hire) -> None:
    embedded.stake()
    asked = embedded.ask(embedded.publish())
    refusals = [ChainError("header not found")] * 2

    class Refuses:
        def estimate(self, call, sender):
            if refusals:
                raise refusals.pop()
            return super().estimate(call, sender)  # type: ignore[misc]

    worker = hire(embedded, chain=variant(embedded.chain, Refuses))
    for _ in range(3):
        worker.tick(2)
        worker.wait(RETRY)

    assert embedded.status(asked) is Status.PROPOSED


@pytest.mark.parametrize("error", [RpcUnavailable("down"), ChainError("rate limit")])
def test_run_waits_for_a_node_that_does_not_answer(
    embedded: World, hire: Hire, error: ChainError
) -> None:
    embedded.stake()
    asked = embedded.ask(embedded.publish())
    stop, errors = Flag(), [error] * 3

    class Flaky:
        def block(self, number):
            if errors:
                raise errors.pop()
            if embedded.status(asked) is Status.PROPOSED:
                stop.set()
            return super().block(number)  # type: ignore[misc]

    worker = hire(embedded, chain=variant(embedded.chain, Flaky))
    worker.service.run(stop, 0.001)

    assert embedded.status(asked) is Status.PROPOSED
