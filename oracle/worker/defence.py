"""Answers demands: one pass over a result's trace for all that are open, and then a pause."""

from collections import defaultdict
from collections.abc import Callable, Sequence, Set
from concurrent.futures import Future
from dataclasses import dataclass
from math import inf

import structlog

from oracle import serialization
from oracle.chain.disputes import split_demand_id
from oracle.errors import InferenceFailed, OracleError
from oracle.inference.engine import Open
from oracle.serialization import Unreadable
from oracle.state.agenda import Row
from oracle.state.duties import Key, State
from oracle.state.tries import forget_all_but
from oracle.visible import hex_id
from oracle.worker.budget import PASSES
from oracle.worker.turns import has_room

log = structlog.get_logger()

MAX_PARTS = 1000  # by one pass: some 18 MB of answers; the next pass for the rest does not wait
# Parts of what the nearest deadline leaves, which is the period at most, for a pass, should it
# hang. By its price it takes a third of the period at most. One that was stopped then is slower
# than its price, as on a busy machine, and a third of the rest would be too little again: so it
# gets more.
FIRST_PART, NEXT_PART = 1 / 3, 3 / 4

Ask = Callable[[Row, Open], "Future[bytes] | None"]
"""Has a child open parts of the trace of the result that a demand is about; None while its model's
file is being fetched."""


@dataclass(frozen=True, slots=True)
class _Pass:
    """One over the trace of a result, which answers these demands."""

    rows: Sequence[Row]
    is_short: bool
    future: "Future[bytes]"


@dataclass(slots=True)
class _Past:
    """Of a result's passes: when the last one began, by its pace, and how they went."""

    began: float = -inf
    failures: int = 0
    not_before: float = 0.0


class Defence:
    """`pause` is from the start of one pass over a result's trace to that of the next; `retry`,
    from a pass that failed. In seconds."""

    def __init__(self, ask: Ask, slots: int, pause: float, retry: float):
        self._ask = ask
        self._slots = slots
        self._pause = pause
        self._most = PASSES * pause or inf  # seconds that a demand leaves, whatever a clock says
        self._retry = retry
        self._running: dict[bytes, _Pass] = {}  # by dispute
        self._past: defaultdict[bytes, _Past] = defaultdict(_Past)  # by dispute
        self.answers: dict[Key, bytes] = {}  # by duty: data of its part, then the siblings

    @property
    def is_idle(self) -> bool:
        return not self._running

    def work(
        self,
        rows: Sequence[Row],
        is_short: Callable[[Row], bool],
        now: float,
        due_time: float,
        chain_time: float,
    ) -> None:
        """Works one round. `rows` are all demands that are open or whose answer was sent, the
        nearest deadline first. Passes are paced by `due_time`, and have as long as `chain_time`
        leaves, which is the chain's own."""
        for dispute, done in list(self._running.items()):
            if done.future.done():
                del self._running[dispute]
                self._take(dispute, done, now)
        owed = {row.key for row in rows}
        self.answers = {duty: answer for duty, answer in self.answers.items() if duty in owed}
        waiting: defaultdict[bytes, list[Row]] = defaultdict(list)
        for row in rows:
            if row.state is State.OPEN and row.key not in self.answers:
                waiting[split_demand_id(row.duty.demand_id)[0]].append(row)
        self._forget({split_demand_id(row.duty.demand_id)[0] for row in rows}, due_time)
        # What failed before waits for the rest, or a few results could take up all the time.
        for dispute in sorted(waiting, key=lambda each: self._past[each].failures):
            first = waiting[dispute][0]
            left = min(_left(first, chain_time), self._most)
            if self._may_begin(dispute, left, is_short(first), now, due_time):
                self._begin(dispute, waiting[dispute], is_short(first), due_time, left)

    def _forget(self, disputes: Set[bytes], due_time: float) -> None:
        """Drops what is kept about any disputes but these, those that a pass runs for, and those
        whose next pass would have to wait."""
        past = self._past.items()
        resting = {each for each, its in past if due_time < its.began + self._pause}
        forget_all_but(self._past, disputes | self._running.keys() | resting)

    def _may_begin(
        self, dispute: bytes, left: float, is_short: bool, now: float, due_time: float
    ) -> bool:
        """Says whether a pass may begin. A long one leaves a slot to short ones, unless its time is
        running out."""
        past = self._past[dispute]
        if dispute in self._running or now < past.not_before:
            return False
        if due_time < past.began + self._pause:
            return False
        is_urgent = left < self._pause
        running = [each.is_short for each in self._running.values()]
        return has_room(is_short or is_urgent, running, self._slots)

    def _begin(
        self, dispute: bytes, rows: Sequence[Row], is_short: bool, due_time: float, left: float
    ) -> None:
        is_all, rows = len(rows) <= MAX_PARTS, rows[:MAX_PARTS]
        parts = tuple(split_demand_id(row.duty.demand_id)[1] for row in rows)
        part = NEXT_PART if self._past[dispute].failures else FIRST_PART
        task = Open(parts, patience=part * left)
        future = self._ask(rows[0], task)
        if future is not None:
            self._past[dispute].began = due_time if is_all else -inf
            self._running[dispute] = _Pass(rows, is_short, future)

    def _take(self, dispute: bytes, done: _Pass, now: float) -> None:
        """Takes the answers of a pass, or notes its failure, after which the pass is tried again.
        It is never given up before the deadline, because whoever does not answer in time is
        slashed."""
        error = done.future.exception()
        found = None if error is not None else _read(done)
        if found is None and error is None:
            error = InferenceFailed("The answers of its process cannot be read.")
        if found is not None:
            for row, answer in zip(done.rows, found, strict=True):
                self.answers[row.key] = answer
            log.info("opened our trace", dispute=hex_id(dispute), parts=len(done.rows))
            self._past[dispute].failures = 0
            return
        past = self._past[dispute]
        past.began, past.not_before = -inf, now + self._retry
        past.failures += 1
        what = {"why": str(error)} if isinstance(error, OracleError) else {"exc_info": error}
        log.error("demands cannot be answered yet", dispute=hex_id(dispute), **what)


def _read(done: _Pass) -> tuple[bytes, ...] | None:
    """Gives the answers of a pass that ended well, or None where its process did not give as many
    as it was asked for: whoever took it over may say anything."""
    try:
        found = serialization.load(done.future.result(), tuple[bytes, ...])
    except Unreadable:
        return None
    return found if len(found) == len(done.rows) else None


def _left(row: Row, chain_time: float) -> float:
    """Gives the seconds until a demand's deadline."""
    return max(0.0, (row.duty.deadline or chain_time) - chain_time)
