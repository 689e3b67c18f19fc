"""Whose inference is next. Pure: nothing runs."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from oracle.state.duties import DutyKind
from oracle.types import ModelId, RequestId
from oracle.worker.turns import (
    AHEAD,
    BRIEF,
    CHUNK,
    MOST_AHEAD,
    MOST_IN_CHUNK,
    Room,
    Run,
    chunks,
    has_room,
    in_turn,
)

BUSY, OTHER, THIRD = (ModelId(bytes([number] * 32)) for number in range(3))


def runs(*models: ModelId, first: int = 0, failures: int = 0) -> list[Run]:
    return [
        Run(
            duty=(DutyKind.PROPOSE, RequestId(number.to_bytes(32, "big"))),
            place=(number, 0),
            model=model,
            is_short=True,
            failures=failures,
        )
        for number, model in enumerate(models, first)
    ]


def order(*arguments: object) -> list[int]:
    return [run.place[0] for run in in_turn(*arguments)]  # type: ignore[arg-type]


def test_in_turn_takes_the_nearest_deadline_of_one_model() -> None:
    assert order(runs(BUSY, BUSY, BUSY), [], {}) == [0, 1, 2]


def test_in_turn_lets_no_model_go_twice_before_another_goes_once() -> None:
    assert order(runs(BUSY, BUSY, BUSY, OTHER, THIRD), [], {}) == [0, 3, 4, 1, 2]


def test_in_turn_counts_what_runs() -> None:
    assert order(runs(BUSY, OTHER), [BUSY], {}) == [1, 0]


def test_in_turn_takes_the_model_whose_last_turn_is_the_longest_ago() -> None:
    assert order(runs(BUSY, OTHER, THIRD), [], {BUSY: 7, OTHER: 6}) == [2, 1, 0]


def test_in_turn_takes_a_model_that_had_no_turn_before_the_one_that_had_the_first() -> None:
    assert order(runs(BUSY, OTHER), [], {BUSY: 0}) == [1, 0]


def test_in_turn_gives_all_new_models_one_turn() -> None:
    """Whoever publishes one model after another must not keep those that are known waiting."""
    new = [replace(run, is_new=True) for run in runs(OTHER, THIRD)]

    assert order(new + runs(BUSY, first=2), [], {None: 3, BUSY: 4}) == [0, 2, 1]
    assert order(new + runs(BUSY, first=2), [], {None: 4, BUSY: 3}) == [2, 0, 1]
    assert order(new + runs(BUSY, first=2), [None], {}) == [2, 0, 1]


def test_in_turn_takes_new_models_as_they_came() -> None:
    """Whoever asks with one deadline after another, each nearer, must not keep one that is new
    waiting for good."""
    new = [replace(run, is_new=True) for run in runs(OTHER, THIRD, BUSY)]

    assert order([new[2], new[1], new[0]], [], {}) == [0, 1, 2]


def test_in_turn_puts_what_failed_behind_the_rest() -> None:
    failed = runs(OTHER, failures=1)

    assert order(failed + runs(BUSY, BUSY, first=1), [], {}) == [1, 2, 0]


@pytest.mark.parametrize(
    ("is_short", "running", "slots", "fits"),
    [
        (True, [], 1, True),
        (False, [], 1, True),
        (True, [False], 1, False),
        (False, [False], 2, False),
        (False, [True], 2, True),
        (True, [False], 2, True),
        (True, [True, False], 2, False),
        (False, [False, True], 3, True),
        (False, [False, False], 3, False),
        (True, [False, False], 3, True),
    ],
)
def test_has_room_keeps_one_slot_of_several_for_short_ones(
    is_short: bool, running: list[bool], slots: int, fits: bool
) -> None:
    assert has_room(is_short, running, slots) is fits


# Brief runs, which queue.


def brief(count: int, seconds: float = 0.001, model: ModelId = BUSY, first: int = 0) -> list[Run]:
    return [replace(run, seconds=seconds) for run in runs(*([model] * count), first=first)]


def long_() -> Run:
    return replace(runs(OTHER)[0], is_short=False)


def taken(room: Room, waiting: Sequence[Run]) -> int:
    """How many find room, one after the other."""
    count = 0
    for run in waiting:
        if room.fits(run):
            room.take(run)
            count += 1
    return count


@pytest.mark.parametrize("slots", [1, 2, 8])
def test_no_more_brief_runs_queue_than_take_a_moment(slots: int) -> None:
    many = brief(10_000, seconds=0.02)

    assert taken(Room(slots, []), many) == pytest.approx(slots * AHEAD / 0.02, abs=1)


@pytest.mark.parametrize("slots", [1, 2, 8])
def test_no_more_brief_runs_queue_than_so_many(slots: int) -> None:
    room = Room(slots, [])
    assert room.most == slots * (1 + MOST_AHEAD)

    assert taken(room, brief(10_000, seconds=0.0)) == slots * (1 + MOST_AHEAD)
    assert room.most == 0


@pytest.mark.parametrize("slots", [1, 2, 8])
def test_what_queues_already_takes_room(slots: int) -> None:
    going = brief(slots * MOST_AHEAD, seconds=0.0)

    assert taken(Room(slots, going), brief(10_000, seconds=0.0)) == slots


@pytest.mark.parametrize("slots", [1, 2, 8])
def test_a_long_run_waits_for_no_brief_ones(slots: int) -> None:
    """However many there are: they come again and again."""
    room = Room(slots, [])
    taken(room, brief(10_000))

    assert room.fits(long_())


def test_brief_runs_wait_where_nothing_is_free() -> None:
    assert taken(Room(1, [long_()]), brief(10)) == 0


def test_brief_runs_have_the_slot_that_is_kept_for_short_ones() -> None:
    room = Room(2, [])
    room.take(long_())

    assert not room.fits(long_())
    assert taken(room, brief(10_000, seconds=0.0)) == 1 + MOST_AHEAD


def test_what_is_not_brief_queues_behind_nothing() -> None:
    room = Room(2, [])
    one, other, third = brief(3, seconds=BRIEF * 1.01)

    assert taken(room, [one, other, third]) == 2


def test_what_loads_takes_a_slot() -> None:
    room = Room(1, [])
    room.load(is_short=True)

    assert room.most == 0 and taken(room, brief(3)) == 0


def test_chunks_puts_together_brief_runs_of_one_model() -> None:
    given = [*brief(3), long_(), *brief(2, model=THIRD, first=3)]

    found = [[run.place[0] for run in some] for some in chunks(given)]

    assert sorted(found) == [[0], [0, 1, 2], [3, 4]]


@pytest.mark.parametrize(
    ("seconds", "most"),
    [(0.0, MOST_IN_CHUNK), (CHUNK / 10, 10), (CHUNK / 1.5, 1), (BRIEF, 1), (1e-9, MOST_IN_CHUNK)],
)
def test_chunks_leaves_each_process_a_moment_of_work(seconds: float, most: int) -> None:
    found = list(chunks(brief(100, seconds)))

    assert max(map(len, found)) == most
    assert [run for some in found for run in some] == brief(100, seconds)
