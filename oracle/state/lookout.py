"""Looks, after a round, how a program does."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import chain as joined

from oracle.chain.node import Chain
from oracle.chain.nodes import Nodes
from oracle.chain.nodes import State as NodeState
from oracle.chain.view import Header
from oracle.errors import ChainError
from oracle.state.agenda import Row, Tally
from oracle.state.duties import DutyKind, State
from oracle.state.rounds import Reading
from oracle.state.store import Store
from oracle.state.vitals import (
    Blocks,
    Findings,
    NodeVitals,
    Purse,
    Stake,
    Urgent,
    Vitals,
    Waiting,
)
from oracle.state.watch import Watch
from oracle.types import Address

LOOK = 1.0  # seconds from one look to the next, at least
ASK = 10.0  # seconds, where a node is asked for it or much is read
MINED = 60.0  # seconds until a transaction is mined, its fee raised once
PART = 4  # a transaction may take this part of the time that there is in all, where that is short
MOST = 100  # duties with the nearest deadlines that are looked at


@dataclass(frozen=True, slots=True)
class Own:
    """What only one of the programs can say of itself."""

    stake: Stake | None = None
    findings: Findings | None = None


class Lookout:
    """`account` is the one that sends, None in a dry run. `takes` says how many seconds a duty
    takes until its transaction can be sent, and `own` what one program alone can say."""

    def __init__(
        self,
        watch: Watch,
        chain: Chain,
        store: Store,
        reading: Reading,
        account: Address | None,
        takes: Callable[[Row], float],
        own: Callable[[], Own],
    ):
        self._watch = watch
        self._chain = chain
        self._store = store
        self._reading = reading
        self._account = account
        self._takes = takes
        self._own = own
        self._next_look = self._next_ask = 0.0
        self._purse: Purse | None = None
        self._last_own = Own()
        self._cursor: Header | None = None
        self._moved_at = self._head_moved_at = watch.clock()
        self._head = -1
        self._failures = 0  # of rounds, in a row
        self._missed = 0
        self._missed_at: float | None = None

    @contextmanager
    def round(self) -> Iterator[None]:
        """Looks at a round: how long it takes, whether it fails, and how things stand after it."""
        with self._watch.round():
            try:
                yield
            except ChainError:
                self._note_failure()
                raise
            self._failures = 0
            self._look()

    def _look(self) -> None:
        """Takes in how things stand, unless that was done just now."""
        now = self._watch.clock()
        if now < self._next_look:
            return
        self._next_look = now + LOOK
        if now >= self._next_ask:
            self._next_ask = now + ASK
            with suppress(ChainError):  # what was known is old then; the round was none the worse
                self._purse, self._last_own = self._count_coins(), self._own()
        self._watch.vitals = self._vitals(now)

    def _note_failure(self) -> None:
        """Takes in how the nodes do. All else is as it was after the last round that succeeded."""
        self._failures += 1
        seen = self._watch.vitals
        if seen is not None:
            self._watch.vitals = replace(seen, nodes=self._nodes(self._watch.clock()))

    def _vitals(self, now: float) -> Vitals:
        tallies = self._store.tallies(self._reading.chain_time)
        missed = self._store.missed
        if missed.total() > self._missed:
            self._missed, self._missed_at = missed.total(), now
        return Vitals(
            at=now,
            blocks=self._blocks(now),
            tallies=tallies,
            urgent=self._urgent(),
            oldest=self._oldest(tallies),
            stuck=self._store.stuck(),
            missed=dict(missed),
            missed_at=self._missed_at,
            waiting=self._waiting(),
            nodes=self._nodes(now),
            purse=self._purse,
            stake=self._last_own.stake,
            findings=self._last_own.findings,
        )

    def _blocks(self, now: float) -> Blocks:
        reading, cursor = self._reading, self._store.cursor()
        if cursor != self._cursor:
            self._cursor, self._moved_at = cursor, now
        return Blocks(
            head=reading.head,
            read=-1 if cursor is None else cursor.number,
            final=self._store.final(),
            time=reading.chain_time,
            moved_at=self._moved_at,
            skew=reading.skew,
            replacements=reading.replacements,
            deepest=reading.deepest,
        )

    def _urgent(self) -> list[Urgent]:
        """Lists the duties whose deadlines are nearest; of demands, which cost a bond, apart from
        the rest, of which there may be many."""
        store, after = self._store, self._reading.chain_time
        states = (State.OPEN, State.SENT)
        reveals = store.duties(*states, kind=DutyKind.REVEAL, due_after=after, most=MOST)
        others = store.duties(*states, due_after=after, most=MOST)
        rows = {row.key: row for row in joined(reveals, others)}
        times: dict[int, int] = {}  # by block
        found = []
        for row in rows.values():
            block, deadline = row.place[0], row.duty.deadline
            if block not in times:
                times[block] = store.time_of(block) or after
            since = max(times[block], row.duty.not_before)
            if deadline is not None:
                takes = self._seconds(row, deadline - since)
                what = (row.duty.kind, row.state, bytes(row.duty.subject))
                found.append(Urgent(*what, since, deadline, takes))
        return found

    def _seconds(self, row: Row, whole: float) -> float:
        mined = min(MINED, whole / PART)
        return mined if row.state is State.SENT else mined + self._takes(row)

    def _oldest(self, tallies: Sequence[Tally]) -> int | None:
        """Gives the time since which the oldest duty waits of those that may be done."""
        waiting = [each for each in tallies if each.state is State.OPEN]
        blocks = [each.block for each in waiting if each.block is not None]
        times = [each.since for each in waiting if each.since is not None]
        first = self._store.time_of(min(blocks)) if blocks else None
        return min([*times, *([] if first is None else [first])], default=None)

    def _waiting(self) -> Waiting:
        sent = self._store.waiting()
        nonces = {each.nonce for each in sent}
        return Waiting(len(nonces), min((each.sent_at for each in sent), default=None))

    def _nodes(self, now: float) -> list[NodeVitals]:
        if self._reading.head != self._head:
            self._head, self._head_moved_at = self._reading.head, now
        if not isinstance(self._chain, Nodes):
            failures, still = self._failures, now - self._head_moved_at
            state = NodeState.RESTING if failures else NodeState.UP
            return [NodeVitals(self._chain.name, not failures, state, 0, still, failures)]
        return [
            NodeVitals(
                each.name, each.state is NodeState.UP, each.state, each.lag, each.still, each.errors
            )
            for each in self._chain.health()
        ]

    def _count_coins(self) -> Purse | None:
        account = self._account
        if account is None:
            return None
        balance, price = self._chain.balance(account), self._chain.gas_price()
        return Purse(account, balance, price, self._store.gas_spent())
