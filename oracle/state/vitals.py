"""How a program does, as it looked after a round. Times are in seconds, money is in wei."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from oracle.state.agenda import Tally
from oracle.state.duties import DutyKind, State


@dataclass(frozen=True, slots=True)
class Blocks:
    """How far the chain is, and how far we are with it."""

    head: int
    read: int  # the last block whose events we took in
    final: int
    time: int  # of the head
    moved_at: float  # by our clock: when the last block that was read came to be another one
    skew: float | None  # by how much our clock is ahead of a block that had just come
    replacements: int  # how often blocks were replaced that we had read
    deepest: int  # blocks that were replaced at once, at most


@dataclass(frozen=True, slots=True)
class Urgent:
    """A duty that is not done. `takes` is how long it may take until it is: its run or its trace,
    and the transaction. `since` is when it could first be done, by the chain's clock."""

    kind: DutyKind
    state: State
    subject: bytes
    since: int
    deadline: int
    takes: float


@dataclass(frozen=True, slots=True)
class Waiting:
    """Transactions of which nobody knows what becomes of them."""

    count: int
    since: float | None  # when the oldest was sent, by our clock


@dataclass(frozen=True, slots=True)
class Purse:
    """What the account that sends has for gas. `spent` is the most that gas may have cost."""

    account: str
    balance: int
    gas_price: int
    spent: float


@dataclass(frozen=True, slots=True)
class Stake:
    """What an operator has at stake. `exposure` is all that could be slashed: the bonds behind open
    results and behind answers that were signed and may still be posted. None while models are being
    priced."""

    staked: int
    locked: int
    exposure: int | None
    trace_used: float | None  # seconds of the budget for showing traces that open results hold
    trace_budget: float
    unposted: int  # answers that were signed and may still be posted
    undefended: Sequence[bytes]  # models of open results whose trace could not be shown now


@dataclass(frozen=True, slots=True)
class Findings:
    """What a challenger has found, of the results that are still kept."""

    wrong: int
    unwatched: int


@dataclass(frozen=True, slots=True)
class NodeVitals:
    """How a node does. A single one has no other to lag behind."""

    name: str
    is_up: bool
    state: str
    lag: int  # blocks
    still: float  # since its head was seen to move
    errors: int  # in a row


@dataclass(frozen=True, slots=True)
class Vitals:
    at: float  # by our clock
    blocks: Blocks
    tallies: Sequence[Tally]
    urgent: Sequence[Urgent]
    oldest: int | None  # since when the oldest open duty waits, by the chain's clock
    stuck: int  # histories that we could make nothing of
    missed: Mapping[DutyKind, int]  # since the program started
    missed_at: float | None  # by our clock, the last one
    waiting: Waiting
    nodes: Sequence[NodeVitals]
    purse: Purse | None = None  # None in a dry run
    stake: Stake | None = None  # of an operator
    findings: Findings | None = None  # of a challenger

    def chain_time(self, now: float) -> float:
        """Gives the chain's time now, as our clock has gone on since."""
        return self.blocks.time + max(0.0, now - self.at)
