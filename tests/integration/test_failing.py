"""Whatever fails in the middle of a round, nothing is lost by it, and nothing done twice."""

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from oracle.chain.events import RequestCreated, ResultProposed
from oracle.chain.node import Call
from oracle.chain.rollups import ORACLE
from oracle.errors import ChainError, OracleError, RpcUnavailable, StateUnavailable
from oracle.state.store import Store
from oracle.state.tries import RETRY
from oracle.types import Address, Model, ModelId, Status
from tests.chains import BOND, ETHER, WINDOW, World, address, variant
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
