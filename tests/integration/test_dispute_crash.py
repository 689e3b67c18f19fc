"""Killed at any call, statement or commit of a dispute, and started again: it ends all the same.

The process is not killed but left where an exception met it; what it held in memory is lost, and
what it had not committed is rolled back. `tests/e2e/test_disputes.py` kills processes.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import sqlalchemy

from oracle.chain.events import OperatorSlashed
from oracle.chain.node import Chain
from oracle.state.duties import State
from oracle.state.store import Store
from oracle.types import Status
from tests import courts
from tests.chains import World, address, undone, variant
from tests.courts import Challenger, Honest, Liar
from tests.integration import workers
from tests.integration.test_patrol import Wrong, disputed
from tests.integration.workers import Worker

STRIDE = 97  # every how many points are tried; all of them with -m long
ROUNDS = 12


class Killed(BaseException):
    pass


@dataclass(eq=False)
class Fate:
    """Kills at the n-th point; 0 never does."""

    deadly: int = 0
    passed: int = field(default=0, init=False)

    def __call__(self, *_: object) -> None:
        self.passed += 1
        if self.passed == self.deadly:
            raise Killed

    def chain(self, chain: Chain) -> Chain:
        fate = self

        class Doomed:
            @contextmanager
            def guarded(self) -> Iterator[None]:
                fate()
                with super().guarded():  # type: ignore[misc]
                    yield
                fate()

        return variant(chain, Doomed)

    def on(self, store: Store) -> None:
        for name in ("before_cursor_execute", "commit"):
            sqlalchemy.event.listen(store._engine, name, self)


Party = Challenger | Worker
Start = Callable[[Fate], Party]


def work(start: Start, fate: Fate) -> None:
    """Until there is nothing to do now; killed, it starts again."""
    party = start(fate)
    try:
        party.work()
    except Killed:
        party.store.close()
        party = start(Fate())
        party.work()
    party.store.close()


def challenged(court: World, folder: Path, liar: Worker, fate: Fate) -> object:
    """How it ends."""

    def start(fate: Fate) -> Challenger:
        made = courts.hire(court, folder, chain=fate.chain(court.chain))
        fate.on(made.store)
        return made

    for _ in range(ROUNDS):
        before = court.head()
        work(start, fate)
        liar.work()
        if court.head() == before:
            break
    store = courts.hire(court, folder).store
    rows = store.duties(*State)
    return (
        Counter(type(event).__name__ for event in court.events()),
        court.chain.nonce(address("challenger")),
        court.chain.balance(court.deployment.disputes),
        court.queue.credit_of(address("challenger")),
        rows,
        bool(store.waiting()),
    )


def sweep(court: World, ending: Callable[[str, Fate], object], stride: int) -> int:
    """Kills at every `stride`-th point; returns how many were tried."""
    fate = Fate()
    with undone(court.chain):
        expected = ending("whole", fate)
    tried = range(1, fate.passed + 1, stride)
    for point in tried:
        with undone(court.chain):
            found = ending(f"killed-{point}", Fate(point))
        assert found == expected, f"killed at point {point} of {fate.passed}"
    return len(tried)


STRIDES = [pytest.param(STRIDE, id="some"), pytest.param(1, id="all", marks=pytest.mark.long)]


@pytest.mark.parametrize("stride", STRIDES)
def test_a_challenger_killed_anywhere_ends_as_one_that_was_not(
    court: World, tmp_path: Path, stride: int
) -> None:
    def ending(name: str, fate: Fate) -> object:
        folder = tmp_path / name
        folder.mkdir()
        _, liar = disputed(court, folder, Liar())
        found = challenged(court, folder, liar, fate)
        assert len(court.all(OperatorSlashed)) == 1
        return found

    assert sweep(court, ending, stride) > 5


@pytest.mark.parametrize("stride", STRIDES)
def test_a_worker_killed_anywhere_defends_itself(court: World, tmp_path: Path, stride: int) -> None:
    def ending(name: str, fate: Fate) -> object:
        folder = tmp_path / name
        folder.mkdir()
        asked, honest = disputed(court, folder, Honest())
        honest.store.close()
        griefer = courts.hire(court, folder, inference=Wrong())

        def start(fate: Fate) -> Worker:
            made = workers.hire(court, folder, answers=Honest(), chain=fate.chain(court.chain))
            fate.on(made.store)
            return made

        for _ in range(ROUNDS):
            before = court.head()
            griefer.work()
            work(start, fate)
            if court.head() == before:
                court.skip(courts.REACTION)
            if court.status(asked) is Status.SETTLED:
                break
        work(start, fate)
        assert court.all(OperatorSlashed) == []
        return (
            court.status(asked),
            Counter(type(event).__name__ for event in court.events()),
            court.chain.nonce(address("operator")),
            court.chain.balance(court.deployment.disputes),
        )

    assert sweep(court, ending, stride) > 5
