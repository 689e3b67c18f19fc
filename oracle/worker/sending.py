"""Sends the worker's transactions, several duties in one where that can be, and deals with what
the contracts refuse."""

from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal, assert_never, get_args

import structlog

from oracle import merkle
from oracle.chain.contracts import Disputes, Queue, Subject
from oracle.chain.node import Call, Chain
from oracle.chain.transactions import MAX_WAITING, Parcel, Sender, Sent
from oracle.errors import ChainError, NoRoom, Reverted, TooDear
from oracle.state.agenda import Row
from oracle.state.duties import DutyKind, Key, State
from oracle.state.store import Store
from oracle.state.tries import RETRY, SOON, Tries, is_due
from oracle.types import Request, Wei
from oracle.visible import hex_id
from oracle.worker.mandate import Mandate
from oracle.worker.policy import answer_gas
from oracle.worker.records import Records

log = structlog.get_logger()

MAX_BATCH = 50  # duties in one transaction
MOST_AT_ONCE = 1000  # duties of a kind in one round
MAX_BATCH_GAS = 5_500_000  # of `answer_gas`; this also keeps outputs below what nodes take
# What a worker sends, in the order of `DutyKind`. A state may hold a challenger's duties too.
Sendable = Literal[
    DutyKind.REVEAL, DutyKind.PROPOSE, DutyKind.SETTLE, DutyKind.COLLECT, DutyKind.WITHDRAW
]
SENDABLE: tuple[Sendable, ...] = get_args(Sendable)
OF_A_REQUEST = (DutyKind.PROPOSE, DutyKind.SETTLE)
BATCHED = (DutyKind.PROPOSE, DutyKind.SETTLE, DutyKind.WITHDRAW)
NO_STAKE = "an answer waits until enough of our stake is free"
NO_MANDATE = "an answer waits until our key may sign it"
CANNOT = "a transaction waits because it would revert"
WOULD_SEND = "would send, but there is no key"


@dataclass(frozen=True, slots=True)
class _Batch:
    """Duties of one kind, for one transaction."""

    kind: Sendable
    rows: Sequence[Row]


class Sending:
    """Without a sender it says what it would send. `affordable` gives the computed answers that we
    still want to post, so many at most; `most_gas`, what the gas to post answers may cost;
    `revealed`, the data and siblings for demands, by duty."""

    def __init__(
        self,
        chain: Chain,
        queue: Queue,
        disputes: Disputes | None,
        sender: Sender[Key] | None,
        mandate: Mandate,
        store: Store,
        records: Records,
        tries: MutableMapping[Key, Tries],
        affordable: Callable[[float, int], list[Row]],
        most_gas: Callable[[Sequence[Request]], Wei | None],
        has_rivals: Callable[[], bool],
        revealed: Callable[[], Mapping[Key, bytes]],
    ):
        self._chain = chain
        self._queue = queue
        self._disputes = disputes
        self._sender = sender
        self._mandate = mandate
        self._store = store
        self._records = records
        self._tries = tries  # by duty
        self._affordable = affordable
        self._most_gas = most_gas
        self._has_rivals = has_rivals
        self._revealed = revealed

    def reveal(self, now: float, due_time: float) -> None:
        """Shows what is demanded of our traces. Nothing is asked for it that a node may refuse."""
        self._work((DutyKind.REVEAL,), self._room(is_urgent=True), now, due_time)

    def work(self, now: float, due_time: float) -> bool:
        """Sends the rest of what is due and finds room. Says whether it sent something, and not
        all."""
        rest = [kind for kind in SENDABLE if kind is not DutyKind.REVEAL]
        return self._work(rest, self._room(is_urgent=False), now, due_time)

    def _room(self, is_urgent: bool) -> int:
        return MAX_WAITING if self._sender is None else self._sender.room(is_urgent)

    def _work(self, kinds: Sequence[Sendable], room: int, now: float, due_time: float) -> bool:
        batches: list[_Batch] = []
        for kind in kinds:
            left = room - len(batches)
            if left:
                most = left if self._is_alone(kind) else min(left * MAX_BATCH, MOST_AT_ONCE)
                rows = self._ready(kind, now, due_time, most)
                batches += islice(self._batches(kind, rows), left)
        self._send(batches, now)
        is_more = len(batches) >= room or sum(len(each.rows) for each in batches) >= MOST_AT_ONCE
        return self._sender is not None and room > 0 and is_more

    def _is_alone(self, kind: Sendable) -> bool:
        """Says whether each duty of a kind has a transaction of its own."""
        return kind not in BATCHED or (kind is DutyKind.PROPOSE and self._mandate.is_hot)

    def _ready(self, kind: Sendable, now: float, due_time: float, most: int) -> list[Row]:
        """Gives the duties of a kind that can be sent, some more than `most` where a few rest."""
        if kind is DutyKind.PROPOSE:
            return self._still_open(self._affordable(now, most), now)
        rows = self._store.duties(
            State.OPEN, kind=kind, due_by=due_time, most=most + len(self._tries)
        )
        return [row for row in rows if is_due(self._tries, row.key, now) and self._is_ready(row)]

    def _still_open(self, rows: Sequence[Row], now: float) -> list[Row]:
        """Leaves out what somebody else has answered, by what waits to be mined: a batch skips it
        without a word, and pays for it."""
        if not rows or not self._has_rivals():
            return list(rows)
        found = self._queue.are_open([row.duty.request_id for row in rows])
        for row, is_open in zip(rows, found, strict=True):
            if not is_open:
                self._tries[row.key].not_before = now + RETRY
        return [row for row, is_open in zip(rows, found, strict=True) if is_open]

    def _batches(self, kind: Sendable, rows: Sequence[Row]) -> Iterator["_Batch"]:
        """Puts together what one transaction can do, but alone what a transaction has done by its
        receipt, though no event says so: a batch skips what is done without a word, and would be
        paid for again and again. Alone goes too what was proposed before we were slashed: it may be
        void, and a batch skips that as well."""
        self._store.recall([row.duty.request_id for row in rows if kind in OF_A_REQUEST])
        done = self._store.succeeded([row.key for row in rows])
        alone = [row for row in rows if row.key in done or self._is_older(kind, row)]
        keys = {row.key for row in alone}
        yield from (_Batch(kind, [row]) for row in alone)
        rest = [row for row in rows if row.key not in keys]
        if self._is_alone(kind):
            yield from (_Batch(kind, [row]) for row in rest)
        elif kind is DutyKind.SETTLE:
            for has_callback in (True, False):
                some = [row for row in rest if self._has_callback(row) is has_callback]
                yield from (_Batch(kind, each) for each in self._filled(some))
        else:
            yield from (_Batch(kind, each) for each in self._filled(rest))

    def _is_older(self, kind: Sendable, row: Row) -> bool:
        if kind is not DutyKind.SETTLE:
            return False
        proposed = self._store.proposal(row.duty.request_id)
        return proposed is not None and proposed[0].epoch != self._mandate.account().epoch

    def _has_callback(self, row: Row) -> bool:
        """Says whether a result is settled with its output, which its consumer is called with. The
        output's root is enough for others."""
        request = self._store.request(row.duty.request_id)
        return request is not None and request.callback_gas > 0

    def _filled(self, rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
        batch: list[Row] = []
        gas = 0
        for row in rows:
            needed = self._gas(row)
            if batch and (len(batch) == MAX_BATCH or gas + needed > MAX_BATCH_GAS):
                yield batch
                batch, gas = [], 0
            batch.append(row)
            gas += needed
        if batch:
            yield batch

    def _gas(self, row: Row) -> int:
        """Gives the gas that an answer adds to its batch. All withdrawals are one call."""
        if row.duty.kind is DutyKind.WITHDRAW:
            return 0
        request = self._store.request(row.duty.request_id)
        return 0 if request is None else answer_gas(request)

    def _is_ready(self, row: Row) -> bool:
        if row.duty.kind is not DutyKind.REVEAL:
            return True
        return row.key in self._revealed() and self._records.claim(row) is not None

    def _send(self, batches: Sequence["_Batch"], now: float) -> None:
        """Sends each in one transaction. What would revert is sent one by one, to find out which
        does."""
        sender = self._sender
        if sender is None:
            for batch in batches:
                self._report(batch.kind, batch.rows)
            return
        split: list[_Batch] = []
        outputs = self._outputs(batches)
        parcels = [self._parcel(batch, outputs) for batch in batches]
        for batch, sent in zip(batches, sender.send_all(parcels, now), strict=True):
            if isinstance(sent, NoRoom):
                continue
            if not isinstance(sent, ChainError):
                self._say_sent(batch, sent)
            elif len(batch.rows) == 1:
                self._refused(batch.rows[0], sent, now)
            else:
                split += (_Batch(batch.kind, [row]) for row in batch.rows)
        if split:
            self._send(split, now)

    def _parcel(self, batch: "_Batch", outputs: Mapping[Key, bytes]) -> Parcel[Key]:
        kind, rows = batch.kind, batch.rows
        keys = [row.key for row in rows]
        call = self._call(kind, rows, outputs)
        return Parcel(call, keys, self._spare(kind, rows), self._worth(batch))

    def _worth(self, batch: "_Batch") -> Wei | None:
        """Gives what an answer's gas may cost by what it earns; None where it must be sent."""
        if batch.kind is not DutyKind.PROPOSE:
            return None
        requests = [self._records.request_of(row) for row in batch.rows]
        return self._most_gas(requests)

    def _say_sent(self, batch: "_Batch", sent: Sent) -> None:
        duties, hash_ = len(batch.rows), hex_id(sent.hash)
        log.info("sent", kind=batch.kind, duties=duties, transaction=hash_)
        if batch.kind is DutyKind.REVEAL:
            self._compare_with_prepaid(batch.rows[0], sent)

    def _compare_with_prepaid(self, row: Row, sent: Sent) -> None:
        prepaid, cost = self._records.demanded(row).demand.prepaid, sent.gas * sent.fees.maximum
        if prepaid < cost:
            log.warning("what was prepaid may not cover our answer", prepaid=prepaid, cost=cost)

    def _spare(self, kind: Sendable, rows: Sequence[Row]) -> int:
        """Gives the gas that callbacks may burn although they did not in simulation, and that the
        callbacks after them would then lack. The last callback's gas is in the estimate."""
        if kind is not DutyKind.SETTLE:
            return 0
        requests = [self._store.request(row.duty.request_id) for row in rows[:-1]]
        return sum(request.callback_gas for request in requests if request is not None)

    def _report(self, kind: Sendable, rows: Sequence[Row]) -> None:
        for row in rows:
            if self._tries[row.key].is_news(WOULD_SEND):
                log.info(WOULD_SEND, kind=kind, subject=hex_id(row.duty.subject))

    def _outputs(self, batches: Sequence["_Batch"]) -> dict[Key, bytes]:
        """Gives what is to be posted, by duty."""
        rows = [row for each in batches if each.kind is DutyKind.PROPOSE for row in each.rows]
        found = self._store.outputs([row.duty.request_id for row in rows])
        return {row.key: found[row.duty.request_id].output for row in rows}

    def _call(self, kind: Sendable, rows: Sequence[Row], outputs: Mapping[Key, bytes]) -> Call:
        queue, store = self._queue, self._store
        match kind:
            case DutyKind.REVEAL:
                return self._reveal(rows[0])
            case DutyKind.COLLECT:
                assert self._disputes is not None
                return self._disputes.collect(self._records.demanded(rows[0]).demand)
            case DutyKind.PROPOSE:
                answers = [(self._records.request_of(row), outputs[row.key]) for row in rows]
                return self._mandate.propose(answers)
            case DutyKind.SETTLE:
                ids = [row.duty.request_id for row in rows]
                found = [(store.request(id_), store.proposal(id_)) for id_ in ids]
                results = [(r, *proposed) for r, proposed in found if r and proposed]
                # All of a batch or none: see `_batches`.
                is_by_root = not self._has_callback(rows[0])
                return queue.settle_by_root(results) if is_by_root else queue.settle(results)
            case DutyKind.WITHDRAW:
                return queue.withdraw(self._mandate.operator)
            case _:
                assert_never(kind)

    def _reveal(self, row: Row) -> Call:
        demand, claim = self._records.demanded(row).demand, self._records.claim(row)
        found, size = self._revealed()[row.key], demand.part.size
        siblings = [found[at : at + 32] for at in range(size, len(found), 32)]
        assert self._disputes is not None and claim is not None
        subject = Subject(self._records.request_of(row), claim.proposal, claim.output)
        return self._disputes.reveal(subject, demand, found[:size], siblings)

    def _refused(self, row: Row, error: ChainError, now: float) -> None:
        """Deals with a duty whose transaction reverted in simulation. Nothing was sent."""
        subject = hex_id(row.duty.subject)
        if isinstance(error, TooDear):
            log.info("declined for now", request=subject, why=str(error))
            self._store.set_opinion([row.key], State.DECLINED, str(error))
            return
        if not isinstance(error, Reverted):
            log.error("cannot be sent yet", kind=row.duty.kind, subject=subject, why=str(error))
            self._tries[row.key].not_before = now + RETRY
            return
        match error.name:
            # Who does not answer in time is slashed, so a node that is behind has no say in it: an
            # event ends this duty, or the deadline.
            case _ if row.duty.kind is DutyKind.REVEAL:
                log.warning("an answer cannot be sent yet", subject=subject, why=str(error))
                self._tries[row.key].not_before = now + SOON
            case "WindowNotOver":  # the chain's clock is behind ours
                self._tries[row.key].not_before = now + SOON
            case "ProposalVoid" if row.duty.kind is DutyKind.SETTLE:
                self._reopen(row, now)
            case "NothingToWithdraw" | "NothingToCollect" if self._is_early(row):
                self._tries[row.key].not_before = now + SOON
            case "WrongProposal":
                # It was moved or replaced, by an event that we are about to read.
                self._tries[row.key].not_before = now + SOON
            # A deadline is over when a block says so, and not by the clock of a node.
            case "WrongStatus" | "NothingToWithdraw" | "NothingToCollect" | "DeadlinePassed":
                self._tries[row.key].not_before = now + RETRY
            # What we may put up in all covers it: bonds are still locked by results to be settled.
            case "InsufficientStake" | "SignerLimitReached":
                self._wait(row, NO_STAKE, error, now)
            case "WrongSigner":  # of the epoch that a slash has just ended, or no longer named
                self._wait(row, NO_MANDATE, error, now)
            # Whatever else it is, a node may make it up: it is tried until the deadline.
            case _:
                self._wait(row, CANNOT, error, now)

    def _wait(self, row: Row, why: str, error: Reverted, now: float) -> None:
        if self._tries[row.key].is_news(why):
            log.warning(why, kind=row.duty.kind, subject=hex_id(row.duty.subject), why=str(error))
        self._tries[row.key].not_before = now + RETRY

    def _reopen(self, row: Row, now: float) -> None:
        """Frees the bond of a proposal that a slash voided; its request is others' to answer."""
        request_id = row.duty.request_id
        request, proposed = self._store.request(request_id), self._store.proposal(request_id)
        assert self._sender is not None and request is not None and proposed is not None
        proposal, output = proposed
        call = self._queue.reopen(request, proposal, merkle.payload_root(output))
        try:
            self._sender.send(call, [row.key], now)
        except Reverted as error:  # somebody else was first, or the chain's clock is behind ours
            log.info("not reopened yet", request=hex_id(request_id), why=str(error))
            self._tries[row.key].not_before = now + RETRY
        else:
            log.warning("a slash voided our result: reopening", request=hex_id(request_id))

    def _is_early(self, row: Row) -> bool:
        """Says whether a duty's time has not come yet, by the chain's clock."""
        return self._chain.block("latest").time < row.duty.not_before
