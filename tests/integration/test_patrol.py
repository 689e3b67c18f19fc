"""Disputes as the programs fight them: liars are slashed, the honest are not and lose nothing."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from oracle.duties import Kind, State
from oracle.events import (
    DemandTimedOut,
    FraudProven,
    OperatorSlashed,
    PartDemanded,
    RequestCreated,
)
from oracle.types import Status
from tests import chains, courts
from tests.chains import ETHER, World, address
from tests.courts import Challenger, Honest, Liar
from tests.integration import workers
from tests.liars import Lie


@pytest.fixture(scope="session")
def court_world() -> Iterator[World]:
    with courts.court() as world:
        yield world


@pytest.fixture
def court(court_world: World) -> Iterator[World]:
    with chains.undone(court_world.chain):
        yield court_world


def disputed(
    court: World, folder: Path, answers: Honest, who: str = "operator"
) -> tuple[RequestCreated, workers.Worker]:
    """A request that an operator of that kind has answered."""
    court.stake(who)
    asked = courts.ask(court, courts.publish(court))
    worker = workers.hire(court, folder, who, answers=answers)
    worker.work()
    assert court.status(asked) is Status.PROPOSED
    return asked, worker


def fight(challenger: Challenger, *workers_: workers.Worker, rounds: int = 12) -> None:
    """Turn by turn, until nobody does anything any more."""
    for _ in range(rounds):
        before = challenger.world.head()
        challenger.work()
        for worker in workers_:
            worker.work()
        if challenger.world.head() == before:
            return
    raise AssertionError(f"no end: {challenger.rows()}")


@pytest.mark.parametrize("lie", [Lie(None, 3), Lie(0, 5), Lie(2, 123), Lie(4, 299)])
def test_a_lying_operator_is_slashed(court: World, tmp_path: Path, lie: Lie) -> None:
    asked, liar = disputed(court, tmp_path, Liar(lie=lie))
    challenger = courts.hire(court, tmp_path)

    fight(challenger, liar)

    [slashed] = court.all(OperatorSlashed)
    assert (slashed.operator, slashed.challenger) == (address("operator"), address("challenger"))
    assert len(court.all(FraudProven)) == 1
    assert court.status(asked) is Status.REQUESTED
    assert challenger.patrol.open_pursuits == 0
    assert {row.state for row in challenger.rows()} <= {State.DONE, State.SUPERSEDED}
    # The reward is paid out, and all that was prepaid has come back.
    assert court.queue.credit_of(address("challenger")) == 0
    assert court.chain.balance(court.deployment.disputes) == 0


def test_a_silent_operator_is_slashed_by_timeout(court: World, tmp_path: Path) -> None:
    asked, silent = disputed(court, tmp_path, Liar(is_silent=True))
    challenger = courts.hire(court, tmp_path)

    fight(challenger, silent)
    assert court.all(OperatorSlashed) == []
    court.skip(courts.REVEAL + 1)
    fight(challenger, silent)

    assert len(court.all(DemandTimedOut)) == 1
    [slashed] = court.all(OperatorSlashed)
    assert slashed.challenger == address("challenger")
    assert court.chain.balance(court.deployment.disputes) == 0
    assert court.status(asked) is Status.REQUESTED


def test_an_honest_operator_is_left_alone(court: World, tmp_path: Path) -> None:
    asked, honest = disputed(court, tmp_path, Honest())
    challenger = courts.hire(court, tmp_path)

    fight(challenger, honest)
    court.skip(chains.WINDOW)
    fight(challenger, honest)

    assert court.all(PartDemanded) == []
    assert court.chain.nonce(address("challenger")) == 0
    assert court.status(asked) is Status.SETTLED
    assert [row.state for row in challenger.rows(Kind.CHECK)] == [State.DONE]


def test_a_challenger_that_starts_anew_each_round_convicts_too(
    court: World, tmp_path: Path
) -> None:
    _, liar = disputed(court, tmp_path, Liar())

    for _ in range(40):
        challenger = courts.hire(court, tmp_path)
        challenger.tick(2)
        challenger.store.close_engine()
        liar.tick()

    assert len(court.all(FraudProven)) == 1
    assert court.chain.balance(court.deployment.disputes) == 0


def test_two_challengers_share_a_dispute(court: World, tmp_path: Path) -> None:
    _, liar = disputed(court, tmp_path, Liar())
    first = courts.hire(court, tmp_path)
    second = courts.hire(court, tmp_path, "second")

    for _ in range(30):
        for each in (first, second, liar):
            each.tick()

    assert len(court.all(OperatorSlashed)) == 1
    parts = [event.demand.part for event in court.all(PartDemanded)]
    assert len(parts) == len(set(parts))
    assert court.chain.balance(court.deployment.disputes) == 0
    assert first.patrol.open_pursuits == second.patrol.open_pursuits == 0


def test_a_challenger_that_is_wrong_gains_nothing(court: World, tmp_path: Path) -> None:
    """It believes its own false trace; the operator is honest, answers, and is paid for it."""

    class Wrong(Liar):
        def answer(self, payload, task):
            from oracle import findings
            from oracle.exact.known import Known
            from oracle.inference import Pursue
            from oracle.tensor import decode

            if not isinstance(task, Pursue):
                return super().answer(payload, task)
            known = Known(self.told(payload)[0], task.trace_root)
            for part in task.revealed:
                known.add(*part)
            inputs = decode(payload, courts.engine().runner.program.signature.inputs)
            return findings.dump(findings.find(known, inputs, task.output))

    asked, honest = disputed(court, tmp_path, Honest())
    staked = court.queue.account_of(address("operator")).staked
    before = court.chain.balance(address("operator"))
    challenger = courts.hire(court, tmp_path, inference=Wrong())

    fight(challenger, honest)
    court.skip(courts.REACTION + chains.WINDOW)
    for _ in range(6):
        honest.work()

    assert court.all(OperatorSlashed) == [] and court.status(asked) is Status.SETTLED
    assert court.queue.account_of(address("operator")).staked > staked
    assert court.chain.balance(address("operator")) + chains.FEE > before
    assert court.chain.balance(court.deployment.disputes) == 0
    assert court.chain.balance(address("challenger")) < 1000 * ETHER
