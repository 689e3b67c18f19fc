"""Whose inference is next: every model has its turn, and long ones never take all there is."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from oracle.types import ModelId

SHORT = 2.0  # seconds of a run that others may be made to wait for

Turn = ModelId | None
"""A model's, or that of all models together of which nobody knows yet how long they take."""


@dataclass(frozen=True, slots=True)
class Run:
    """One that waits for its turn, or has it. What is new is short, because it is stopped where it
    is not; that may be done again and again, with one model after another, so that all that are new
    have one turn together."""

    duty: int
    model: ModelId
    is_short: bool
    failures: int = 0
    is_new: bool = False

    @property
    def turn(self) -> Turn:
        return None if self.is_new else self.model


def has_room(is_short: bool, running: Sequence[bool], slots: int) -> bool:
    """Says whether one more run may begin beside those that run, which are short or not. One slot
    is kept for short ones, so that long ones, of one model or of many, keep nobody waiting for
    longer than a short one takes."""
    if len(running) >= slots:
        return False
    return is_short or running.count(False) < max(1, slots - 1)


def in_turn(waiting: Sequence[Run], running: Iterable[Turn], last: Mapping[Turn, int]) -> list[Run]:
    """Puts `waiting`, which has the nearest deadline first, in the order in which the runs are to
    begin. `running` has whose turns are being taken; `last`, which turn each model had last.

    New ones come in the order in which they were asked, since nearer deadlines cost nothing. Runs
    that failed before wait for the rest. Then each model has its turn: first the model that
    has the fewest running, and of those the one whose last turn is the longest ago. However many
    requests one model has, another's first request waits for one of them at most.
    """
    having = Counter(running)
    places: dict[int, tuple[int, int, int]] = {}
    ordered = sorted(waiting, key=lambda run: run.duty if run.is_new else -1)
    for run in ordered:
        places[run.duty] = (run.failures, having[run.turn], last.get(run.turn, -1))
        having[run.turn] += 1
    return sorted(ordered, key=lambda run: places[run.duty])
