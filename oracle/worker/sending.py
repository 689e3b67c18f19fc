"""Sends the worker's transactions, several duties in one where that can be, and deals with what
the contracts refuse."""

from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import suppress
from typing import Literal, assert_never, get_args

import structlog

from oracle import merkle
from oracle.chain.contracts import Disputes, Queue, Subject
from oracle.chain.node import Call, Chain
from oracle.chain.transactions import Sender, Sent
from oracle.errors import ChainError, NoRoom, Reverted, RpcUnavailable
from oracle.state.agenda import Row
from oracle.state.duties import DutyKind, State
from oracle.state.store import Store
from oracle.state.tries import RETRY, SOON, Tries
from oracle.visible import hex_id
from oracle.worker.mandate import Mandate
from oracle.worker.policy import answer_gas
from oracle.worker.records import Records

log = structlog.get_logger()

MAX_BATCH = 50  # duties in one transaction
MAX_BATCH_GAS = 5_500_000  # of `answer_gas`; this also keeps outputs below what nodes take
# What a worker sends, in the order of `DutyKind`. A state may hold a challenger's duties too.
Sendable = Literal[
    DutyKind.REVEAL, DutyKind.PROPOSE, DutyKind.SETTLE, DutyKind.COLLECT, DutyKind.WITHDRAW
]
SENDABLE: tuple[Sendable, ...] = get_args(Sendable)
BATCHED = (DutyKind.PROPOSE, DutyKind.SETTLE, DutyKind.WITHDRAW)
NO_STAKE = "an answer waits until enough of our stake is free"
NO_MANDATE = "an answer waits until our key may sign it"
WOULD_SEND = "would send, but there is no key"


class Sending:
    """Without a sender it says what it would send. `affordable` gives those of computed answers
    that we still want to post; `revealed`, the data and siblings for demands, by duty."""

    def __init__(
        self,
        chain: Chain,
        queue: Queue,
        disputes: Disputes | None,
        sender: Sender | None,
        mandate: Mandate,
        store: Store,
        records: Records,
        tries: MutableMapping[int, Tries],
        affordable: Callable[[Sequence[Row], float], list[Row]],
        revealed: Callable[[], Mapping[int, bytes]],
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
        self._revealed = revealed

    def work(self, now: float, chain_time: float) -> None:
        with suppress(NoRoom):  # what is left waits for the next round
            self._send_ready(now, chain_time)

    def _send_ready(self, now: float, chain_time: float) -> None:
        ready = [
            row
            for row in self._store.duties(State.OPEN)
            if row.duty.not_before <= chain_time and self._tries[row.id].is_due(now)
        ]
        for kind in SENDABLE:
            rows = [row for row in ready if row.duty.kind is kind and self._is_ready(row)]
            if kind is DutyKind.SETTLE:
                rows = self._send_older(rows, now)
            if kind is DutyKind.PROPOSE:
                rows = self._affordable(rows, now)
            for batch in self._batches(kind, rows):
                self._send_batch(kind, batch, now)

    def _send_older(self, rows: Sequence[Row], now: float) -> list[Row]:
        """Settles alone what was proposed before we were slashed, for it may be void, and a batch
        skips that without a word. Returns the rest."""
        if not rows:
            return []
        epoch = self._queue.account_of(self._mandate.operator).epoch
        rest = []
        for row in rows:
            proposed = self._store.proposal(row.duty.request_id)
            if proposed is None or proposed[0].epoch == epoch:
                rest.append(row)
            else:
                self._send_batch(DutyKind.SETTLE, [row], now)
        return rest

    def _batches(self, kind: Sendable, rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
        """Puts together what one transaction can do."""
        if kind not in BATCHED or (kind is DutyKind.PROPOSE and self._mandate.is_hot):
            yield from ([row] for row in rows)
        elif kind is DutyKind.SETTLE:
            for has_callback in (True, False):
                yield from self._filled([r for r in rows if self._has_callback(r) is has_callback])
        else:
            yield from self._filled(rows)

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
        match row.duty.kind:
            case DutyKind.REVEAL:
                return row.id in self._revealed()
            case DutyKind.PROPOSE:
                return self._store.output(row.duty.request_id) is not None
            case _:
                return True

    def _send_batch(self, kind: Sendable, rows: Sequence[Row], now: float) -> None:
        """Sends all in one transaction. Where that would revert, it sends them one by one, to find
        out which reverts."""
        sender = self._sender
        if sender is None:
            self._report(kind, rows)
            return
        try:
            duties = tuple(row.id for row in rows)
            sent = sender.send(self._call(kind, rows), duties, now, self._spare(kind, rows))
        except (NoRoom, RpcUnavailable):
            raise
        except ChainError as error:
            if len(rows) == 1:
                self._refused(rows[0], error, now)
                return
            for row in rows:
                self._send_batch(kind, [row], now)
        else:
            log.info("sent", kind=kind, duties=len(rows), transaction=hex_id(sent.hash))
            if kind is DutyKind.REVEAL:
                self._compare_with_prepaid(rows[0], sent)

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
            if self._tries[row.id].is_news(WOULD_SEND):
                log.info(WOULD_SEND, kind=kind, subject=hex_id(row.duty.subject))

    def _call(self, kind: Sendable, rows: Sequence[Row]) -> Call:
        queue, store = self._queue, self._store
        match kind:
            case DutyKind.REVEAL:
                return self._reveal(rows[0])
            case DutyKind.COLLECT:
                assert self._disputes is not None
                return self._disputes.collect(self._records.demanded(rows[0]).demand)
            case DutyKind.PROPOSE:
                ids = [row.duty.request_id for row in rows]
                answers = [(store.request(id_), store.output(id_)) for id_ in ids]
                return self._mandate.propose([(r, o) for r, o in answers if r and o is not None])
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
        event = self._records.demanded(row)
        request = self._store.request(event.request_id)
        proposed = self._store.proposal(event.request_id)
        assert self._disputes is not None and request is not None and proposed is not None
        found, size = self._revealed()[row.id], event.demand.part.size
        siblings = [found[at : at + 32] for at in range(size, len(found), 32)]
        subject = Subject(request, *proposed)
        return self._disputes.reveal(subject, event.demand, found[:size], siblings)

    def _refused(self, row: Row, error: ChainError, now: float) -> None:
        """Deals with a duty whose transaction reverted in simulation. Nothing was sent."""
        subject = hex_id(row.duty.subject)
        if not isinstance(error, Reverted):
            log.error("cannot be sent yet", kind=row.duty.kind, subject=subject, why=str(error))
            self._tries[row.id].not_before = now + RETRY
            return
        match error.name:
            # Who does not answer in time is slashed, so a node that is behind has no say in it: an
            # event ends this duty, or the deadline.
            case _ if row.duty.kind is DutyKind.REVEAL:
                log.warning("an answer cannot be sent yet", subject=subject, why=str(error))
                self._tries[row.id].not_before = now + SOON
            case "WindowNotOver":
                pass  # the chain's clock is behind ours
            case "ProposalVoid":
                self._reopen(row, now)
            case "NothingToWithdraw" | "NothingToCollect" if self._is_early(row):
                pass
            case "WrongProposal":
                # It was moved or replaced, by an event that we are about to read.
                self._tries[row.id].not_before = now + SOON
            case "WrongStatus" | "NothingToWithdraw" | "NothingToCollect":
                self._store.end(row.id, State.SUPERSEDED, str(error))
            case "DeadlinePassed":
                log.error("missed a deadline", kind=row.duty.kind, subject=subject)
                self._store.end(row.id, State.MISSED, str(error))
            # What we may put up in all covers it: bonds are still locked by results to be settled.
            case "InsufficientStake" | "SignerLimitReached":
                self._wait(row, NO_STAKE, error, now)
            case "WrongSigner":  # of the epoch that a slash has just ended, or no longer named
                self._wait(row, NO_MANDATE, error, now)
            case _:
                log.error("cannot be sent", kind=row.duty.kind, subject=subject, why=str(error))
                self._store.end(row.id, State.MISSED, str(error))

    def _wait(self, row: Row, why: str, error: Reverted, now: float) -> None:
        if self._tries[row.id].is_news(why):
            log.warning(why, subject=hex_id(row.duty.subject), why=str(error))
        self._tries[row.id].not_before = now + RETRY

    def _reopen(self, row: Row, now: float) -> None:
        """Frees the bond of a proposal that a slash voided; its request is others' to answer."""
        request_id = row.duty.request_id
        request, proposed = self._store.request(request_id), self._store.proposal(request_id)
        assert self._sender is not None and request is not None and proposed is not None
        proposal, output = proposed
        call = self._queue.reopen(request, proposal, merkle.payload_root(output))
        try:
            self._sender.send(call, (row.id,), now)
        except Reverted as error:  # somebody else was first, or the chain's clock is behind ours
            log.info("not reopened yet", request=hex_id(request_id), why=str(error))
            self._tries[row.id].not_before = now + RETRY
        else:
            log.warning("a slash voided our result: reopening", request=hex_id(request_id))

    def _is_early(self, row: Row) -> bool:
        """Says whether a duty's time has not come yet, by the chain's clock."""
        return self._chain.block("latest").time < row.duty.not_before
