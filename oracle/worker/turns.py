"""Whose inference is next: every model has its turn, and long ones never take all there is."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from oracle.types import ModelId

SHORT = 2.0  # seconds of a run that others may be made to wait for


@dataclass(frozen=True, slots=True)
class Run:
    """One that waits for its turn, or has it."""

    duty: int
    model: ModelId
    is_short: bool  # not, where nobody knows
    failures: int = 0


def has_room(is_short: bool, running: Sequence[bool], slots: int) -> bool:
    """Says whether one more run may begin beside those that run, which are short or not. One slot
    is kept for short ones, so that long ones, of one model or of many, keep nobody waiting for
    longer than a short one takes."""
    if len(running) >= slots:
        return False
    return is_short or running.count(False) < max(1, slots - 1)


def in_turn(
    waiting: Sequence[Run], running: Iterable[Run], last: Mapping[ModelId, int]
) -> list[Run]:
    """Puts `waiting`, which has the nearest deadline first, in the order in which the runs are to
    begin. `last` says which turn each model had last.

    Runs that failed before wait for the rest. Then each model has its turn: first the model that
    has the fewest running, and of those the one whose last turn is the longest ago. However many
    requests one model has, another's first request waits for one of them at most.
    """
    having = Counter(run.model for run in running)
    places: dict[int, tuple[int, int, int]] = {}
    for run in waiting:
        places[run.duty] = (run.failures, having[run.model], last.get(run.model, -1))
        having[run.model] += 1
    return sorted(waiting, key=lambda run: places[run.duty])
