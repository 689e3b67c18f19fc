"""Whose inference is next. Pure: nothing runs."""

from dataclasses import replace

import pytest

from oracle.types import ModelId
from oracle.worker.turns import Run, has_room, in_turn

BUSY, OTHER, THIRD = (ModelId(bytes([number] * 32)) for number in range(3))


def runs(*models: ModelId, first: int = 0, failures: int = 0) -> list[Run]:
    return [
        Run(duty, model, is_short=True, failures=failures)
        for duty, model in enumerate(models, first)
    ]


def order(*arguments: object) -> list[int]:
    return [run.duty for run in in_turn(*arguments)]  # type: ignore[arg-type]


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
