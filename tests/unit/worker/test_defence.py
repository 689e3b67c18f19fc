"""When passes over traces begin, and what they answer. Nothing runs but the test's clock."""

from concurrent.futures import Future

import pytest

from oracle import serialization
from oracle.chain.disputes import demand_id, split_demand_id
from oracle.errors import InferenceFailed, InferenceTooSlow
from oracle.inference.engine import Open
from oracle.state.agenda import Row
from oracle.state.duties import Duty, DutyKind, Key, State
from oracle.types import DemandId, Part
from oracle.worker import defence
from oracle.worker.defence import Defence

PERIOD, RETRY = 900, 10
PAUSE = PERIOD / 3
ONE, OTHER, THIRD = (bytes([number] * 32) for number in range(3))


def demand(number: int, dispute: bytes = ONE, at: int = 0) -> Row:
    asked = demand_id(dispute, Part(number, 0, 0, 1))
    duty = Duty(DutyKind.REVEAL, asked, deadline=at + PERIOD)
    return Row(duty, State.OPEN, "", (number, 0))


def number_of(key: Key) -> int:
    """The number of the demand that a duty is about."""
    assert key[0] is DutyKind.REVEAL
    return split_demand_id(DemandId(key[1]))[1].value


class Court:
    """A defence, the passes that it began, and the demands that are open."""

    def __init__(self, slots: int = 2, short: tuple[bytes, ...] = ()):
        self.passes: list[tuple[float, Row, Open, Future[bytes]]] = []
        self.defence = Defence(self.ask, slots, PAUSE, RETRY)
        self.short = short
        self.time = 0.0
        self.rows: list[Row] = []

    def ask(self, row: Row, task: Open) -> "Future[bytes]":
        self.passes.append((self.time, row, task, Future()))
        return self.passes[-1][3]

    def at(self, time: float) -> None:
        self.time = time
        rows = sorted(self.rows, key=lambda row: row.duty.deadline or 0)
        self.defence.work(rows, lambda row: row.duty.subject[:32] in self.short, time, time, time)

    def finish(self, number: int = -1) -> None:
        *_, task, future = self.passes[number]
        future.set_result(serialization.dump([str(part.value).encode() for part in task.parts]))

    @property
    def answers(self) -> dict[int, bytes]:
        """By demand."""
        return {number_of(key): answer for key, answer in self.defence.answers.items()}

    @property
    def begun(self) -> list[tuple[float, int]]:
        """When, and for how many parts."""
        return [(time, len(task.parts)) for time, _, task, _ in self.passes]


def test_work_answers_all_demands_of_a_result_by_one_pass() -> None:
    court = Court()
    court.rows = [demand(number) for number in range(5)]

    court.at(0)
    court.finish()
    court.at(1)

    assert court.begun == [(0, 5)]
    assert court.answers == {number: b"%d" % number for number in range(5)}
    assert court.defence.is_idle


def test_work_begins_the_next_pass_a_third_of_the_period_later() -> None:
    """A demand in every second, for two periods: six passes, and each demand is answered before
    its deadline."""
    court = Court()
    answered: dict[int, float] = {}
    for second in range(2 * PERIOD):
        court.rows.append(demand(second, at=second))
        court.at(second)
        if not court.defence.is_idle:
            court.finish()
            court.at(second)
        answered |= {duty: second for duty in court.answers if duty not in answered}

    assert [time for time, _ in court.begun] == [PAUSE * number for number in range(6)]
    assert all(answered.get(asked, 0) < asked + PERIOD for asked in range(PERIOD))


def test_work_retries_a_pass_that_failed_without_the_pause() -> None:
    court = Court()
    court.rows = [demand(0)]
    court.at(0)
    court.passes[0][3].set_exception(InferenceFailed("it hung"))

    for time in (1, RETRY, RETRY + 1):
        court.at(time)

    assert [time for time, _ in court.begun] == [0, RETRY + 1]


def test_work_gives_a_pass_a_third_of_what_the_nearest_deadline_leaves() -> None:
    court = Court()
    court.rows = [demand(0, at=90), demand(1)]

    court.at(300)

    assert court.passes[0][2].patience == (PERIOD - 300) / 3


def test_work_gives_a_pass_a_third_of_the_period_at_most() -> None:
    """Whatever time the chain's clock is said to be."""
    court = Court()
    court.rows = [demand(0, at=10**9)]

    court.at(0)

    assert [task.patience for _, _, task, _ in court.passes] == [PERIOD / 3]


@pytest.mark.parametrize("answer", [b"", b"\xff", serialization.dump([]), serialization.dump(1)])
def test_work_retries_a_pass_whose_answer_cannot_be_read(answer: bytes) -> None:
    court = Court()
    court.rows = [demand(0)]
    court.at(0)
    court.passes[0][3].set_result(answer)
    court.at(1)
    court.at(1 + RETRY)

    court.finish()
    court.at(2 + RETRY)

    assert court.begun == [(0, 1), (1 + RETRY, 1)] and court.answers == {0: b"0"}


def test_work_gives_a_pass_that_was_stopped_more_than_it_had() -> None:
    """Of two thirds of the period, a third is less than what was too little."""
    court = Court()
    court.rows = [demand(0)]
    court.at(0)
    court.passes[0][3].set_exception(InferenceTooSlow("it took more than 300 s"))

    court.at(PAUSE)
    court.at(PAUSE + RETRY)

    first, second = (task.patience for _, _, task, _ in court.passes)
    assert first == PERIOD / 3 and second == (PERIOD * 2 / 3 - RETRY) * 3 / 4 > first


def test_work_leaves_a_slot_to_those_who_want_answers() -> None:
    court = Court(slots=2, short=(THIRD,))
    court.rows = [demand(0, ONE), demand(1, OTHER), demand(2, THIRD)]

    court.at(0)

    assert [row.place[0] for _, row, *_ in court.passes] == [0, 2]


def test_work_takes_the_last_slot_when_time_runs_out() -> None:
    court = Court(slots=2)
    court.rows = [demand(0, ONE), demand(1, OTHER)]

    for time in (0, PERIOD - PAUSE, PERIOD - PAUSE + 1):
        court.at(time)

    assert [(time, row.place[0]) for time, row, *_ in court.passes] == [
        (0, 0),
        (PERIOD - PAUSE + 1, 1),
    ]


def test_work_puts_results_that_failed_behind_the_rest() -> None:
    court = Court(slots=1)
    court.rows = [demand(0, ONE)]
    court.at(0)
    court.passes[0][3].set_exception(InferenceFailed("it hung"))
    court.rows.append(demand(1, OTHER))
    court.at(RETRY)
    court.finish()
    court.rows.append(demand(2, THIRD))

    court.at(3 * RETRY)  # when the one that failed may begin again
    court.finish()
    court.at(4 * RETRY)

    assert [row.place[0] for _, row, *_ in court.passes] == [0, 1, 2, 0]


def test_work_forgets_failures_of_a_result_that_was_opened() -> None:
    court = Court(slots=1)
    court.rows = [demand(0, ONE)]
    court.at(0)
    court.passes[0][3].set_exception(InferenceFailed("it hung"))
    for time in (RETRY, 2 * RETRY):
        court.at(time)
    court.finish()

    court.at(3 * RETRY)
    court.rows = [demand(3, ONE), demand(4, OTHER, at=1)]
    court.at(3 * RETRY + PAUSE)

    assert [row.place[0] for _, row, *_ in court.passes] == [0, 0, 3]


def test_work_keeps_answers_until_their_duties_end() -> None:
    court = Court()
    court.rows = [demand(0)]
    court.at(0)
    court.finish()
    court.at(1)
    assert court.answers == {0: b"0"}

    court.rows = []
    court.at(2)

    assert court.answers == {}


def test_work_does_not_wait_with_what_one_pass_could_not_take() -> None:
    court = Court()
    court.rows = [demand(number) for number in range(defence.MAX_PARTS + 1)]

    for time in range(2):
        court.at(time)
        court.finish()

    assert court.begun == [(0, defence.MAX_PARTS), (1, 1)]


def test_work_gives_a_pass_as_long_as_the_chains_clock_leaves() -> None:
    """Ours may be ahead of it, and would leave a pass no time at all."""
    court = Court()

    court.defence.work([demand(0)], lambda _: True, 0, 2 * PERIOD, 300)

    assert court.passes[0][2].patience == (PERIOD - 300) / 3
