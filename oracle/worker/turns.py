"""Whose inference is next: every model has its turn, and long ones never take all there is."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf

from oracle.state.duties import Key
from oracle.types import ModelId

SHORT = 2.0  # seconds of a run that others may be made to wait for
# Seconds of a run that is handed over before a process is free for it, so that none idles until the
# next round; of all such runs, and how many, for each process.
BRIEF, AHEAD, MOST_AHEAD = 0.1, 0.5, 128
# Brief runs of one model go to a process together: so many seconds of them, and so many.
CHUNK, MOST_IN_CHUNK = 0.05, 32

Turn = ModelId | None
"""A model's, or that of all models together of which nobody knows yet how long they take."""


@dataclass(frozen=True, slots=True)
class Run:
    """One that waits for its turn, or has it. What is new is short, because it is stopped where it
    is not; that may be done again and again, with one model after another, so that all that are new
    have one turn together."""

    duty: Key
    place: tuple[int, int]  # of what was asked
    model: ModelId
    is_short: bool
    failures: int = 0
    is_new: bool = False
    seconds: float = inf  # that the last one took

    @property
    def is_brief(self) -> bool:
        return self.is_short and self.seconds <= BRIEF

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


class Room:
    """The room that `slots` processes have for more runs. What others are made to wait for is
    bounded by `has_room`; brief runs queue besides, for less than anybody notices."""

    def __init__(self, slots: int, going: Iterable[Run]):
        self._slots = slots
        self._lengths: list[bool] = []  # whether each is short, of those that are not brief
        self._brief = 0
        self._ahead = 0.0  # seconds of the brief ones
        for run in going:
            self.take(run)

    @property
    def most(self) -> int:
        """The number of runs that may begin at most."""
        free = max(0, self._slots - len(self._lengths))
        return max(0, free * (1 + MOST_AHEAD) - self._brief)

    def take(self, run: Run) -> None:
        if run.is_brief:
            self._brief += 1
            self._ahead += run.seconds
        else:
            self._lengths.append(run.is_short)

    def load(self, is_short: bool) -> None:
        """Takes a slot for what a model has loaded for."""
        self._lengths.append(is_short)

    def fits(self, run: Run) -> bool:
        """Says whether a run may begin now, or as soon as a process is free."""
        free = self._slots - len(self._lengths)
        if not run.is_brief:
            return has_room(run.is_short, self._lengths, self._slots)
        if self._brief < free:
            return True
        return self._brief < free * (1 + MOST_AHEAD) and self._ahead + run.seconds <= free * AHEAD


def chunks(runs: Sequence[Run]) -> Iterator[Sequence[Run]]:
    """Puts together what one process does at once, of runs that begin now. All that are brief have
    some of their model beside them, as far as there are any."""
    of_model: dict[ModelId, list[Run]] = {}
    for run in runs:
        if run.is_brief:
            of_model.setdefault(run.model, []).append(run)
        else:
            yield [run]
    for some in of_model.values():
        seconds = max(run.seconds for run in some)
        size = MOST_IN_CHUNK
        if seconds * size > CHUNK:
            size = max(1, int(CHUNK / seconds))
        yield from (some[at : at + size] for at in range(0, len(some), size))


def in_turn(waiting: Sequence[Run], running: Iterable[Turn], last: Mapping[Turn, int]) -> list[Run]:
    """Puts `waiting`, which has the nearest deadline first, in the order in which the runs are to
    begin. `running` has whose turns are being taken; `last`, which turn each model had last.

    New ones come in the order in which they were asked, since nearer deadlines cost nothing. Runs
    that failed before wait for the rest. Then each model has its turn: first the model that
    has the fewest running, and of those the one whose last turn is the longest ago. However many
    requests one model has, another's first request waits for one of them at most.
    """
    having = Counter(running)
    places: dict[Key, tuple[int, int, int]] = {}
    ordered = sorted(waiting, key=lambda run: run.place if run.is_new else (-1, -1))
    for run in ordered:
        places[run.duty] = (run.failures, having[run.turn], last.get(run.turn, -1))
        having[run.turn] += 1
    return sorted(ordered, key=lambda run: places[run.duty])
