"""What a worker has left undone after one pass, of which whoever runs it by cron wants to hear."""

import pytest

from oracle.errors import ModelUnavailable
from oracle.state.duties import DutyKind, State
from oracle.types import Status, Wei
from tests.chains import TIMEOUT, WINDOW, World
from tests.integration.workers import Answers, Hire, Worker


def left(worker: Worker) -> list[tuple[DutyKind, State]]:
    return [(row.duty.kind, row.state) for row in worker.service.undone()]


def test_nothing_is_left_where_all_was_done(embedded: World, hire: Hire) -> None:
    """What is due later is not left."""
    embedded.stake()
    asked = embedded.ask(embedded.publish())
    worker = hire(embedded)

    worker.work()
    assert (embedded.status(asked), left(worker)) == (Status.PROPOSED, [])
    embedded.skip(WINDOW)
    worker.work()

    assert (embedded.status(asked), left(worker)) == (Status.SETTLED, [])


def test_what_could_not_be_done_now_is_left(embedded: World, hire: Hire) -> None:
    embedded.stake()
    embedded.ask(embedded.publish())
    worker = hire(embedded, answers=Answers(failures=[ModelUnavailable("no URI gave it")]))

    worker.work()

    assert left(worker) == [(DutyKind.PROPOSE, State.OPEN)]


def test_what_was_missed_is_left_in_the_pass_that_missed_it(embedded: World, hire: Hire) -> None:
    """And not in all later ones: nobody can do anything about it."""
    embedded.stake()
    embedded.ask(embedded.publish())
    worker = hire(embedded, answers=Answers(failures=[ModelUnavailable("no URI gave it")]))
    worker.work()
    embedded.skip(TIMEOUT)

    worker.work()
    assert left(worker) == [(DutyKind.PROPOSE, State.MISSED)]
    again = hire(embedded)
    again.work()

    assert (again.states(), left(again)) == ([State.MISSED], [])


@pytest.mark.parametrize("policy", [{"max_bond": Wei(1)}, {"margin": 10_000}])
def test_what_we_do_not_want_to_answer_is_not_left(
    embedded: World, hire: Hire, policy: dict[str, int]
) -> None:
    embedded.stake()
    embedded.ask(embedded.publish(), fee=2000 * 10**9)
    worker = hire(embedded, **policy)

    worker.work()

    assert worker.states(DutyKind.PROPOSE) in ([State.DECLINED], [State.DROPPED])
    assert left(worker) == []


def test_an_answer_that_nothing_is_staked_for_is_left(embedded: World, hire: Hire) -> None:
    embedded.ask(embedded.publish())
    worker = hire(embedded)

    worker.work()

    assert left(worker) == [(DutyKind.PROPOSE, State.DECLINED)]


def test_an_answer_that_our_key_may_not_give_is_left(embedded: World, hire: Hire) -> None:
    embedded.stake()
    embedded.ask(embedded.publish())
    worker = hire(embedded, hot="rival")

    worker.work()

    assert left(worker) == [(DutyKind.PROPOSE, State.DECLINED)]


def test_nothing_is_left_by_a_dry_run(embedded: World, hire: Hire) -> None:
    embedded.stake()
    embedded.ask(embedded.publish())
    worker = hire(embedded, dry=True)

    worker.work()

    assert (worker.states(), left(worker)) == ([State.OPEN], [])
