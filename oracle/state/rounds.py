"""What the programs that watch a chain have in common: rounds, events in, deadlines missed."""

import time
from collections.abc import Callable
from threading import Event as Flag

import structlog

from oracle.chain.node import Chain
from oracle.chain.replies import Block
from oracle.chain.view import View
from oracle.errors import ChainError, Reorganised, StateUnavailable, WrongChain
from oracle.state.agenda import HAD_PASSED, PASSED, Owed, Row
from oracle.state.bell import Bell
from oracle.state.duties import DutyKind, State
from oracle.state.store import Store
from oracle.visible import hex_id

log = structlog.get_logger()

MOST_SKEW = 60.0  # seconds between our clock and a block that has just come


def run(
    tick: Callable[[], None],
    stop: Flag,
    pause: float,
    bell: Bell,
    errands: Callable[[], None] = lambda: None,
) -> None:
    """Works in rounds until `stop` is set, one every `pause` seconds, or as soon as one is called
    for; in between, `errands` as soon as the bell is rung. If a node does not answer, or answers
    with an error of its own, or the state cannot be kept, it waits and tries again. Who sets `stop`
    rings the bell."""
    wait = pause
    while not stop.is_set():
        bell.begin()
        try:
            tick()
            wait = pause
        except WrongChain:
            raise
        except ChainError as error:
            wait = min(60.0, 2 * wait)
            log.warning("the node does not answer", why=str(error), again_in=wait)
        except StateUnavailable as error:
            wait = min(60.0, 2 * wait)
            log.error("nothing can be kept, so nothing is done", why=error.why, again_in=wait)
        # What failed is not tried again at once, whoever calls.
        _rest(stop, wait, bell, errands, is_callable=wait == pause)


def _rest(
    stop: Flag, pause: float, bell: Bell, errands: Callable[[], None], is_callable: bool
) -> None:
    until = time.monotonic() + pause
    # A bell rung without end must keep no round waiting: who misses an answer is slashed.
    while not stop.is_set() and (left := until - time.monotonic()) > 0:
        if is_callable and bell.is_called:
            return
        if bell.wait(left):
            errands()


class Reading:
    """Reads the chain into the state, at the beginning of each round. `owed` says which duties
    follow from a history."""

    def __init__(self, chain: Chain, view: View, store: Store, owed: Owed):
        self._chain = chain
        self._view = view
        self._store = store
        self._owed = owed
        self._is_askew = False  # as was said
        cursor = store.cursor()
        # The newest block, its time, and the time until which all is read, in seconds. What a
        # program before us has read is where we begin, should the node give no block at first.
        self.head = -1
        self.read_until = 0 if cursor is None else cursor.time
        self.chain_time = self.read_until
        # By how many seconds our clock was ahead of a block that had just come.
        self.skew: float | None = None
        # How often blocks were replaced that we had read, and how many at once, at most.
        self.replacements = 0
        self.deepest = 0
        self.pace = 0.0  # seconds from one block to the next, of late
        self._read_before = -1  # the last block that was read in the round before
        # The times by which duties were given up: of the head, and of what is read.
        self._latest = {"chain_time": 0, "read_until": 0}
        self._is_first = True  # no round has ended yet

    def work(self, now: float) -> None:
        """Takes in what happened since the last round, gives up what can no longer be done in time,
        and says so."""
        before = self._store.cursor()
        self._read_before = -1 if before is None else before.number
        try:
            self._read()
        except Reorganised as error:
            log.error("all is read anew; what we did is kept", why=str(error))
            oldest = self._store.oldest()
            self._note_replaced(0 if oldest is None else oldest.number)
            self._store.reset()
            self._read_before = -1
            self._read()
        head, cursor = self._chain.block("latest"), self._store.cursor()
        self._compare_clocks(head, now)
        if 0 <= self.head < head.number and head.time >= self.chain_time:
            seconds = (head.time - self.chain_time) / (head.number - self.head)
            self.pace = seconds if not self.pace else (3 * self.pace + seconds) / 4
        self.head, self.chain_time = head.number, head.time
        self.read_until = 0 if cursor is None else cursor.time
        self._reconsider()
        self._miss()
        # Not by the word of one block alone: what is dropped is known to nobody any more.
        self._store.drop_ended(min(self.read_until, now))

    def renew(self, subject: bytes) -> None:
        """Works out anew what follows from a history, because we did something about it."""
        self._store.renew([subject], self._owed)

    def due_time(self, now: float) -> float:
        """Gives the time by which it is tried what may be done from a time on: where blocks are
        rare, the last one's is long past."""
        return max(now, self.chain_time)

    def _read(self) -> None:
        for change in self._view.changes(self._store):
            if change.last < change.first:
                self._note_replaced(change.first)
            self._store.apply(change, self._owed)

    def _note_replaced(self, first: int) -> None:
        """Notes that blocks from `first` on were replaced, before they are forgotten."""
        cursor = self._store.cursor()
        self.replacements += 1
        self.deepest = max(self.deepest, 0 if cursor is None else cursor.number - first + 1)

    def _reconsider(self) -> None:
        """Opens what we declined before we started, as another policy may want it; and what is not
        over any more, where a block's time was not the chain's, or the block was replaced."""
        if self._is_first:
            self._store.reconsider(self.chain_time)
        times = {"chain_time": self.chain_time, "read_until": self.read_until}
        if self._is_first or any(its < self._latest[name] for name, its in times.items()):
            self._store.forgive(self.chain_time)
        self._is_first, self._latest = False, times

    def _miss(self) -> None:
        """Only the chain's clock ends a duty. What was sent may have been in time, until all blocks
        before the deadline are read."""
        for state, time_ in ((State.OPEN, self.chain_time), (State.SENT, self.read_until)):
            over = self._store.duties(state, over_by=time_)
            missed = [row for row in over if not self._was_over(row)]
            for row in missed:
                log.error("missed a deadline", kind=row.duty.kind, subject=hex_id(row.duty.subject))
            keys = [row.key for row in missed]
            self._store.set_opinion(keys, State.MISSED, PASSED)
            late = {row.key for row in over} - set(keys)
            self._store.set_opinion(late, State.DROPPED, HAD_PASSED)

    def _was_over(self, row: Row) -> bool:
        """Says whether nobody could expect a duty of us, as its deadline had passed already when we
        read of it, and nothing of ours stood behind it."""
        is_new = row.place[0] > self._read_before
        return is_new and row.duty.kind is DutyKind.PROPOSE and row.state is State.OPEN

    def _compare_clocks(self, head: Block, now: float) -> None:
        """Says so where our clock is not the chain's, as a block shows that has just come."""
        if not 0 <= self.head < head.number:
            return
        self.skew = now - head.time
        is_askew = abs(self.skew) > MOST_SKEW
        if is_askew and not self._is_askew:
            log.warning("our clock is not the chain's", ahead_by=round(self.skew))
        self._is_askew = is_askew
