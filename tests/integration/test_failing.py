"""Whatever fails in the middle of a round, nothing is lost by it, and nothing done twice."""

from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection
from structlog.testing import capture_logs

from oracle.chain import transactions
from oracle.chain.events import PartRevealed, RequestCreated, ResultProposed
from oracle.chain.node import Call, Chain
from oracle.chain.rollups import ORACLE
from oracle.chain.transactions import GIVE_UP
from oracle.errors import (
    ChainError,
    ModelUnavailable,
    OracleError,
    Reverted,
    RpcUnavailable,
    StateUnavailable,
)
from oracle.inference.engine import Open, Task
from oracle.state.duties import DutyKind, State
from oracle.state.store import Store
from oracle.state.tries import RETRY
from oracle.types import LEAVES, Address, Model, ModelId, Part, Status, Wei
from tests import courts
from tests.chains import BOND, DELAY, ETHER, OUTPUT, WINDOW, World, address, request, variant
from tests.integration.workers import Hire, Worker
from tests.rollups import FJORD, become_rollup

ME = address("operator")
POINTS = 32  # at which a node is asked, from a request to its result, and some more


class Countdown:
    """Raises an error once: before a thing is done, or after, when only the answer is lost."""

    def __init__(self, error: OracleError, is_after: bool):
        self._error = error
        self._is_after = is_after
        self.left = 0

    @contextmanager
    def around(self) -> Iterator[None]:
        self.left -= 1
        is_now = self.left == 0
        if is_now and not self._is_after:
            raise self._error
        yield
        if is_now and self._is_after:
            raise self._error


class Later(courts.Honest):
    """Its passes over traces end when they are told to."""

    def __init__(self) -> None:
        super().__init__()
        self._passes: list[tuple[Future[bytes], bytes]] = []

    def ask(self, model: Model, uris: Any, payload: bytes, task: Task) -> "Future[bytes]":
        found = super().ask(model, uris, payload, task)
        if not isinstance(task, Open):
            return found
        self._passes.append((Future(), found.result()))
        return self._passes[-1][0]

    def end(self) -> None:
        for future, found in self._passes:
            future.set_result(found)


def failing(world: World, countdown: Countdown) -> World:
    """The same world, whose node fails once in a while."""

    class Failing:
        @contextmanager
        def guarded(self) -> Iterator[None]:
            with countdown.around(), super().guarded():  # type: ignore[misc]
                yield

    return World(variant(world.chain, Failing), world.deployment)


def failing_store(world: World, folder: Path, countdown: Countdown) -> Store:
    class Failing(Store):
        @contextmanager
        def _begin(self) -> Iterator[Connection]:
            with countdown.around(), super()._begin() as connection:
                yield connection

    return Failing(f"sqlite:///{folder}/failing.db", world.chain.id, world.deployment.queue, ME)


def fail_at(
    points: Iterable[int],
    world: World,
    worker: Worker,
    countdown: Countdown,
) -> None:
    """Asks again and again, and has the worker fail at those points between a request and its
    result."""
    model_id, asked = world.publish(), list[RequestCreated]()
    worker.work()
    for point in points:
        asked += [world.ask(model_id) for _ in range(2)]
        countdown.left = point
        for _ in range(4):
            try:
                worker.tick()
            except (ChainError, StateUnavailable):
                break
        countdown.left = 0
        worker.wait(RETRY + 1)
        worker.work()
        assert {world.status(each) for each in asked} == {Status.PROPOSED}, point
    proposed = Counter(event.request_id for event in world.all(ResultProposed))
    assert proposed == Counter(each.request_id for each in asked)


ERRORS: list[ChainError] = [RpcUnavailable("it does not answer"), ChainError("it refuses")]


@pytest.mark.parametrize("is_after", [False, True])
@pytest.mark.parametrize("error", ERRORS, ids=repr)
def test_nothing_is_lost_where_a_node_fails_in_a_round(
    anvil: World, hire: Hire, error: ChainError, is_after: bool
) -> None:
    countdown = Countdown(error, is_after)
    anvil.stake(amount=5 * ETHER)
    worker = hire(failing(anvil, countdown))
    first = 1 + ERRORS.index(error) + 2 * is_after

    fail_at(range(first, POINTS, 4), anvil, worker, countdown)


@pytest.mark.parametrize("is_after", [False, True])
@pytest.mark.parametrize("first", [1, 2])
def test_nothing_is_lost_where_the_state_fails_in_a_round(
    anvil: World, hire: Hire, tmp_path: Path, first: int, is_after: bool
) -> None:
    countdown = Countdown(StateUnavailable("disk I/O error"), is_after)
    anvil.stake(amount=5 * ETHER)
    worker = hire(anvil, store=failing_store(anvil, tmp_path, countdown))

    fail_at(range(first, 2 * POINTS, 5), anvil, worker, countdown)


def test_nothing_is_declined_because_a_rollup_does_not_say_what_it_charges(
    anvil: World, hire: Hire
) -> None:
    is_mute = [True]

    class Mute:
        def call(self, call: Call, sender: Address | None = None) -> bytes:
            if is_mute[0] and call.to == ORACLE:
                raise RpcUnavailable("it does not answer")
            return super().call(call, sender)  # type: ignore[misc, no-any-return]

    become_rollup(anvil, FJORD)
    anvil.stake()
    asked = anvil.ask(anvil.publish())
    worker = hire(World(variant(anvil.chain, Mute), anvil.deployment))
    with suppress(ChainError):
        worker.tick()

    is_mute[0] = False
    worker.work()

    assert anvil.status(asked) is Status.PROPOSED


def test_nothing_is_declined_because_the_state_cannot_be_read(
    anvil: World, hire: Hire, tmp_path: Path
) -> None:
    is_away = [True]

    class Away(Store):
        def model(self, model_id: ModelId) -> Model | None:
            if is_away[0]:
                raise StateUnavailable("disk I/O error")
            return super().model(model_id)

    anvil.stake()
    asked = anvil.ask(anvil.publish())
    url, id_ = f"sqlite:///{tmp_path}/away.db", anvil.chain.id
    worker = hire(anvil, store=Away(url, id_, anvil.deployment.queue, ME))
    with suppress(StateUnavailable):
        worker.tick()

    is_away[0] = False
    worker.work()

    assert anvil.status(asked) is Status.PROPOSED


@pytest.mark.parametrize("method", ["apply", "record", "drop_opinion", "keep_outputs"])
def test_nothing_is_lost_where_it_was_kept_and_the_answer_is_not(
    anvil: World, hire: Hire, tmp_path: Path, method: str
) -> None:
    """As where a database's server is cut off while it commits."""
    is_cut = [False]

    class CutOff(Store):
        @contextmanager
        def _begin(self) -> Iterator[Connection]:
            with super()._begin() as connection:
                yield connection
            if is_cut[0]:
                is_cut[0] = False
                raise StateUnavailable("the server closed the connection")

    def cut(self: Store, *arguments: Any) -> None:
        is_cut[0] = not is_cut[1:]
        is_cut[1:] = [True]  # once
        getattr(Store, method)(self, *arguments)

    anvil.stake()
    model_id, asked = anvil.publish(), list[RequestCreated]()
    url, id_ = f"sqlite:///{tmp_path}/cut.db", anvil.chain.id
    store = type("Cut", (CutOff,), {method: cut})(url, id_, anvil.deployment.queue, ME)
    worker = hire(anvil, store=store, max_exposure=BOND)
    is_cut[1:] = [True]
    worker.work()
    asked += [anvil.ask(model_id), anvil.ask(model_id)]

    is_cut[1:] = []
    for _ in range(4):
        with suppress(StateUnavailable):
            worker.work()
        worker.wait(RETRY + 1)
    anvil.skip(WINDOW)
    for _ in range(4):
        with suppress(StateUnavailable):
            worker.work()
        worker.wait(RETRY + 1)

    assert is_cut[1:]
    proposed = Counter(event.request_id for event in anvil.all(ResultProposed))
    assert proposed == Counter(each.request_id for each in asked)
    assert anvil.chain.nonce(ME) == 1 + 2 + 1  # stake, propose each by itself, settle the first


@pytest.mark.parametrize("kind", [DutyKind.PROPOSE, DutyKind.SETTLE])
def test_nothing_is_lost_because_a_node_makes_up_that_it_would_revert(
    anvil: World, hire: Hire, kind: DutyKind
) -> None:
    lies = [False]

    class Lying:
        def estimates(self, calls: Any, sender: Address) -> Any:
            return [None for _ in calls] if lies[0] else super().estimates(calls, sender)  # type: ignore[misc]

        def estimate(self, call: Call, sender: Address) -> Any:
            if lies[0]:
                raise Reverted("Unknown", {"data": "0x"})
            return super().estimate(call, sender)  # type: ignore[misc]

    anvil.stake()
    asked = anvil.ask(anvil.publish())
    worker = hire(World(variant(anvil.chain, Lying), anvil.deployment))
    if kind is DutyKind.SETTLE:
        worker.work()
        anvil.skip(WINDOW)

    lies[0] = True
    worker.tick(3)
    assert worker.states(kind) == [State.OPEN]
    lies[0] = False
    worker.wait(RETRY + 1)
    worker.work()

    assert anvil.status(asked) is (Status.PROPOSED if kind is DutyKind.PROPOSE else Status.SETTLED)


@pytest.mark.parametrize("kind", [DutyKind.PROPOSE, DutyKind.SETTLE, DutyKind.WITHDRAW])
@pytest.mark.parametrize("name", ["ProposalVoid", "NonCanonicalOutput", "RequestUnknown"])
def test_nothing_is_lost_because_a_node_makes_up_what_a_contract_would_say(
    anvil: World, hire: Hire, kind: DutyKind, name: str
) -> None:
    """Whatever the contracts say of something else."""
    lies = [False]

    class Lying:
        def estimates(self, calls: Any, sender: Address) -> Any:
            return [None for _ in calls] if lies[0] else super().estimates(calls, sender)  # type: ignore[misc]

        def estimate(self, call: Call, sender: Address) -> Any:
            if lies[0]:
                raise Reverted(name, {"id": "0x01"})
            return super().estimate(call, sender)  # type: ignore[misc]

    anvil.stake()
    asked = anvil.ask(anvil.publish())
    worker = hire(World(variant(anvil.chain, Lying), anvil.deployment))
    if kind is not DutyKind.PROPOSE:
        worker.work()
        anvil.skip(WINDOW)
    if kind is DutyKind.WITHDRAW:
        worker.work()
        anvil.send("operator", anvil.queue.unstake(Wei(5)))
        worker.work()
        anvil.skip(DELAY)

    lies[0] = True
    worker.tick(3)
    assert worker.states(kind) == [State.OPEN]
    lies[0] = False
    worker.wait(RETRY + 1)
    worker.work()

    done = Status.PROPOSED if kind is DutyKind.PROPOSE else Status.SETTLED
    assert anvil.status(asked) is done
    assert kind is DutyKind.PROPOSE or worker.states(kind) == []


# What must be shown.


@pytest.mark.parametrize("method", ["gas_price", "blocks", "receipts"])
def test_a_trace_is_shown_whatever_else_a_node_does_not_say(
    court: World, hire: Hire, method: str
) -> None:
    """Whoever does not show it in time is slashed."""
    is_mute = [False]

    def mute(self: Chain, *arguments: Any) -> Any:
        if is_mute[0]:
            raise RpcUnavailable("it does not answer")
        return getattr(super(Mute, self), method)(*arguments)  # type: ignore[arg-type]

    Mute = type("Mute", (), {method: mute})
    court.stake(amount=9 * ETHER)
    model_id = courts.publish(court)
    asked = [courts.ask(court, model_id)]
    passes = Later()
    worker = hire(World(variant(court.chain, Mute), court.deployment), answers=passes)
    worker.work()
    courts.demand(court, asked[0], Part(1, LEAVES, 0, 1))
    worker.tick(2)
    asked.append(courts.ask(court, model_id, seed=2))

    is_mute[0] = True
    passes.end()
    for _ in range(5):
        with suppress(ChainError):
            worker.tick()
        worker.wait(RETRY + 1)

    assert len(court.all(PartRevealed)) == 1
    assert court.status(asked[1]) is Status.REQUESTED


def test_a_trace_is_shown_where_no_file_can_be_kept(court: World, hire: Hire) -> None:
    class Full(courts.Honest):
        def keep(self, _: object) -> None:
            raise ModelUnavailable("Nothing can be noted down: No space left on device.")

    court.stake(amount=9 * ETHER)
    asked = courts.ask(court, courts.publish(court))
    worker = hire(court, answers=Full())
    with capture_logs() as said:
        worker.work()
        courts.demand(court, asked, Part(1, LEAVES, 0, 1))
        worker.work()

    assert len(court.all(PartRevealed)) == 1
    assert len([each for each in said if each["event"].startswith("model files may be")]) == 1


def test_a_trace_is_shown_where_answers_wait_in_all_places_that_they_may_have(
    court: World, hire: Hire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transactions, "MAX_WAITING", 4)
    court.stake(amount=9 * ETHER)
    court.send("operator", court.queue.set_signer(address("second"), Wei(9 * ETHER)))
    model_id = courts.publish(court)
    asked, passes = courts.ask(court, model_id), Later()
    worker = hire(court, answers=passes, hot="second")  # each answer is a transaction of its own
    worker.work()
    courts.demand(court, asked, Part(1, LEAVES, 0, 1))
    for seed in range(2, 8):
        courts.ask(court, model_id, seed=seed)
    court.chain.rpc("evm_setAutomine", [False])
    worker.tick(4)
    assert worker.states(DutyKind.PROPOSE).count(State.SENT) == 3

    passes.end()
    worker.tick()

    assert worker.states(DutyKind.REVEAL) == [State.SENT]


def test_a_trace_is_shown_although_what_was_sent_before_is_refused_for_good(
    court: World, hire: Hire
) -> None:
    """A node that takes no answer, as where the account could not pay for it, leaves its nonce
    free, and keeps what comes after it for ever. The answer is tried again in each minute."""
    is_picky = [False]
    selectors = [call.data[:4] for call in _proposals(court)]

    class Picky:
        def hand_over(self, raws: Any) -> list[bool]:
            return [False for _ in raws]

        def broadcast(self, raw: bytes) -> None:
            if is_picky[0] and any(each in raw for each in selectors):
                raise ChainError("insufficient funds for gas * price + value")
            super().broadcast(raw)  # type: ignore[misc]

    court.stake(amount=9 * ETHER)
    model_id, passes = courts.publish(court), Later()
    asked = courts.ask(court, model_id)
    worker = hire(World(variant(court.chain, Picky), court.deployment), answers=passes)
    worker.work()
    courts.demand(court, asked, Part(1, LEAVES, 0, 1))
    is_picky[0] = True
    other = courts.ask(court, model_id, seed=2)
    worker.tick(3)
    passes.end()
    worker.tick()
    assert worker.states(DutyKind.REVEAL) == [State.SENT]
    assert worker.states(DutyKind.PROPOSE) == [State.SENT]

    for _ in range(8):
        worker.wait(GIVE_UP / 4)
        worker.tick()

    assert len(court.all(PartRevealed)) == 1
    is_picky[0] = False
    worker.work()
    assert court.status(other) is Status.PROPOSED


def _proposals(world: World) -> list[Call]:
    answer = (request(), OUTPUT)
    return [world.queue.propose([answer]), world.queue.propose([answer, answer])]
