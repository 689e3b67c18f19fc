"""The worker at work: events in by the watcher, duties kept by the store, transactions out."""

import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Event as Flag
from typing import Protocol

import structlog
from eth_utils import keccak

from oracle.chain.contracts import Queue
from oracle.chain.provider import Call, Chain
from oracle.chain.sender import Sender
from oracle.chain.watcher import Watcher
from oracle.duties import Decline, Duty, Kind, State
from oracle.errors import (
    ChainError,
    InferenceFailed,
    ModelUnavailable,
    OracleError,
    Reorganised,
    Reverted,
    RpcUnavailable,
    WrongChain,
)
from oracle.events import Event, OperatorSlashed, RequestCreated
from oracle.store import Handled, Row, Store
from oracle.types import Address, Model, ModelId, Request, RequestId, Wei
from oracle.worker import Policy, RequestOf, answer_gas, decide

log = structlog.get_logger()

MAX_BATCH = 50  # duties in one transaction
MAX_BATCH_GAS = 6_000_000  # of `answer_gas`; this also keeps outputs below what nodes take
TRIES = 3  # of an inference that dies
RETRY = 10.0  # seconds until what may get better by itself is tried again


class Inference(Protocol):
    def submit(self, model: Model, uris: Sequence[str], payload: bytes) -> "Future[bytes]": ...


@dataclass(frozen=True, slots=True)
class Setup:
    """What the service is made of. Without a sender it is a dry run: it infers, sends nothing."""

    chain: Chain
    queue: Queue
    watcher: Watcher
    store: Store
    inference: Inference
    policy: Policy
    sender: Sender | None
    parallel: int = 2  # inferences at once
    clock: Callable[[], float] = time.time


class Service:
    def __init__(self, setup: Setup):
        self._setup = setup
        self._store = setup.store
        self._running: dict[int, Future[bytes]] = {}  # by duty
        self._not_before: dict[int, float] = {}  # by duty: when to try again
        self._failures: Counter[int] = Counter()  # by duty: inferences that died
        self._reported: set[int] = set()  # duties that a dry run has told of

    def run(self, stop: Flag, pause: float) -> None:
        """Rounds until `stop` is set. A node that does not answer, or with an error of its own, is
        waited for."""
        wait = pause
        while not stop.is_set():
            try:
                self.tick()
                wait = pause
            except (Reorganised, WrongChain):
                raise
            except ChainError as error:
                wait = min(60.0, 2 * wait)
                log.warning("the node does not answer", why=str(error), again_in=wait)
            stop.wait(wait)

    def tick(self) -> None:
        """One round. Whatever it was doing when the process died, the next round does again."""
        now = self._setup.clock()
        self._read()
        chain_time = max(now, self._setup.chain.block("latest").time)
        self._miss(chain_time)
        self._infer(now)
        self._send(now, chain_time)
        if self._setup.sender is not None:
            self._setup.sender.follow(now)

    @property
    def is_idle(self) -> bool:
        """Whether no inference runs and no transaction waits."""
        return not self._running and not self._store.waiting()

    # Events in.

    def _read(self) -> None:
        for step in self._setup.watcher.steps(self._store.cursor()):
            gas_price = self._setup.chain.gas_price() if step.events else Wei(0)
            # Requests of this very step are not in the store yet.
            fresh = {e.request_id: e.request for e in step.events if isinstance(e, RequestCreated)}

            def request_of(
                request_id: RequestId, fresh: Mapping[RequestId, Request] = fresh
            ) -> Request | None:
                return fresh.get(request_id) or self._store.request(request_id)

            handled = [self._handle(event, gas_price, request_of) for event in step.events]
            self._store.advance(step.cursor, handled)

    def _handle(self, event: Event, gas_price: Wei, request_of: RequestOf) -> Handled:
        try:
            policy = self._setup.policy
            decisions = tuple(decide(event, policy, gas_price, request_of))
        # One poisonous event must not cost us the deadlines of the rest.
        except Exception:
            log.error("an event is stuck", what=repr(event), exc_info=True)
            return Handled(event, (), traceback.format_exc())
        for decision in decisions:
            _log_decision(decision)
        if isinstance(event, OperatorSlashed) and event.operator == policy.operator:
            log.error("we were slashed", bond=event.bond, challenger=event.challenger)
        return Handled(event, decisions)

    # Inference.

    def _infer(self, now: float) -> None:
        for duty_id, future in list(self._running.items()):
            if future.done():
                del self._running[duty_id]
                self._take(duty_id, future, now)
        for row in self._store.duties(State.OPEN, kind=Kind.PROPOSE):
            if len(self._running) >= self._setup.parallel:
                return
            if self._may_start(row, now):
                self._start(row, now)

    def _may_start(self, row: Row, now: float) -> bool:
        return (
            row.id not in self._running
            and self._not_before.get(row.id, 0) <= now
            and self._store.output(RequestId(row.duty.subject)) is None
        )

    def _start(self, row: Row, now: float) -> None:
        request_id = RequestId(row.duty.subject)
        request = self._store.request(request_id)
        model = None if request is None else self._store.model(request.model)
        if request is None or model is None:
            self._store.end(row.id, State.MISSED, "its request or model was never read")
            return
        uris = self._store.uris(ModelId(request.model))
        payload = self._store.payload(request_id)
        self._running[row.id] = self._setup.inference.submit(model, uris, payload)

    def _take(self, duty_id: int, future: "Future[bytes]", now: float) -> None:
        rows = {row.id: row for row in self._store.duties(State.OPEN, kind=Kind.PROPOSE)}
        row = rows.get(duty_id)
        if row is None:
            return  # ended meanwhile
        request = "0x" + row.duty.subject.hex()
        match future.exception():
            case None:
                output = future.result()
                self._store.keep_output(RequestId(row.duty.subject), output)
                log.info("computed", request=request, output_bytes=len(output))
            case ModelUnavailable() as error:
                log.warning("the model cannot be had yet", request=request, why=str(error))
                self._not_before[duty_id] = now + RETRY
            case InferenceFailed() as error if self._failures[duty_id] < TRIES - 1:
                # Time or memory may have lacked because of us, not of the model.
                log.warning("the inference failed", request=request, why=str(error))
                self._failures[duty_id] += 1
                self._not_before[duty_id] = now + RETRY
            case OracleError() as error:
                log.error("we do not answer", request=request, why=str(error))
                self._store.end(duty_id, State.MISSED, str(error))
            case error:  # a bug, which must not cost us the deadlines of the rest
                log.error("we cannot answer", request=request, exc_info=error)
                self._store.end(duty_id, State.MISSED, repr(error))

    # Transactions out.

    def _miss(self, chain_time: float) -> None:
        for row in self._store.duties(State.OPEN, State.SENT):
            deadline = row.duty.deadline
            if deadline is None or deadline > chain_time:
                continue
            # What was sent may have been in time, until all blocks before the deadline are read.
            if row.state is State.OPEN or self._has_read_until(deadline):
                log.error("missed a deadline", kind=row.duty.kind, subject=row.duty.subject.hex())
                self._store.end(row.id, State.MISSED, "its deadline passed")

    def _has_read_until(self, time: int) -> bool:
        cursor = self._store.cursor()
        return cursor is not None and self._setup.chain.block(cursor.number).time >= time

    def _send(self, now: float, chain_time: float) -> None:
        ready = [
            row
            for row in self._store.duties(State.OPEN)
            if row.duty.not_before <= chain_time and self._not_before.get(row.id, 0) <= now
        ]
        for kind in Kind:
            rows = [row for row in ready if row.duty.kind is kind and self._is_ready(row)]
            if kind is Kind.SETTLE:
                rows = self._send_older(rows, now)
            for batch in self._batches(rows):
                self._send_batch(kind, batch, now)

    def _send_older(self, rows: Sequence[Row], now: float) -> list[Row]:
        """Settles alone what was proposed before we were slashed, for it may be void, and a batch
        skips that without a word. Returns the rest."""
        if not rows:
            return []
        epoch = self._setup.queue.account_of(self._setup.policy.operator).epoch
        rest = []
        for row in rows:
            proposed = self._store.proposal(RequestId(row.duty.subject))
            if proposed is None or proposed[0].epoch == epoch:
                rest.append(row)
            else:
                self._send_batch(Kind.SETTLE, [row], now)
        return rest

    def _batches(self, rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
        batch: list[Row] = []
        gas = 0
        for row in rows:
            request = self._store.request(RequestId(row.duty.subject))
            needed = 0 if request is None else answer_gas(request)
            if batch and (len(batch) == MAX_BATCH or gas + needed > MAX_BATCH_GAS):
                yield batch
                batch, gas = [], 0
            batch.append(row)
            gas += needed
        if batch:
            yield batch

    def _is_ready(self, row: Row) -> bool:
        if row.duty.kind is not Kind.PROPOSE:
            return True
        return self._store.output(RequestId(row.duty.subject)) is not None

    def _send_batch(self, kind: Kind, rows: Sequence[Row], now: float) -> None:
        """All in one transaction; where that would revert, one by one, to find out which does."""
        sender = self._setup.sender
        if sender is None:
            self._report(kind, rows)
            return
        try:
            duties = tuple(row.id for row in rows)
            sent = sender.send(self._call(kind, rows), duties, now, self._spare(kind, rows))
        except RpcUnavailable:
            raise
        except ChainError as error:
            if len(rows) == 1:
                self._refused(rows[0], error, now)
                return
            for row in rows:
                self._send_batch(kind, [row], now)
        else:
            log.info("sent", kind=kind, duties=len(rows), transaction="0x" + sent.hash.hex())

    def _spare(self, kind: Kind, rows: Sequence[Row]) -> int:
        """Gas that callbacks may burn although they did not in simulation, which would then lack
        for the callbacks after them. The last one's is in the estimate."""
        if kind is not Kind.SETTLE:
            return 0
        requests = [self._store.request(RequestId(row.duty.subject)) for row in rows[:-1]]
        return sum(request.callback_gas for request in requests if request is not None)

    def _report(self, kind: Kind, rows: Sequence[Row]) -> None:
        for row in rows:
            if row.id not in self._reported:
                self._reported.add(row.id)
                subject = row.duty.subject.hex()
                log.info("would send, but there is no key", kind=kind, subject=subject)

    def _call(self, kind: Kind, rows: Sequence[Row]) -> Call:
        queue, store = self._setup.queue, self._store
        ids = [RequestId(row.duty.subject) for row in rows]
        match kind:
            case Kind.PROPOSE:
                answers = [(store.request(id_), store.output(id_)) for id_ in ids]
                return queue.propose([(r, o) for r, o in answers if r and o is not None])
            case Kind.SETTLE:
                results = [(store.request(id_), store.proposal(id_)) for id_ in ids]
                return queue.settle([(r, *proposed) for r, proposed in results if r and proposed])
            case Kind.WITHDRAW:
                return queue.withdraw(Address(self._setup.policy.operator))

    def _refused(self, row: Row, error: ChainError, now: float) -> None:
        """What a revert in simulation means for a duty. Nothing was sent."""
        subject = row.duty.subject.hex()
        if not isinstance(error, Reverted):
            log.error("cannot be sent yet", kind=row.duty.kind, subject=subject, why=str(error))
            self._not_before[row.id] = now + RETRY
            return
        match error.name:
            case "WindowNotOver":
                pass  # the chain's clock is behind ours
            case "ProposalVoid":
                self._reopen(row, now)
            case "NothingToWithdraw" if self._is_early(row):
                pass
            case "WrongStatus" | "WrongProposal" | "NothingToWithdraw":
                self._store.end(row.id, State.SUPERSEDED, str(error))
            case "DeadlinePassed":
                log.error("missed a deadline", kind=row.duty.kind, subject=subject)
                self._store.end(row.id, State.MISSED, str(error))
            case "InsufficientStake":
                log.error("our free stake is too small: add to it", subject=subject, why=str(error))
                self._not_before[row.id] = now + RETRY
            case _:
                log.error("cannot be sent", kind=row.duty.kind, subject=subject, why=str(error))
                self._store.end(row.id, State.MISSED, str(error))

    def _reopen(self, row: Row, now: float) -> None:
        """Frees the bond of a proposal that a slash voided; its request is others' to answer."""
        request_id = RequestId(row.duty.subject)
        request, proposed = self._store.request(request_id), self._store.proposal(request_id)
        assert self._setup.sender is not None and request is not None and proposed is not None
        proposal, output = proposed
        call = self._setup.queue.reopen(request, proposal, keccak(output))
        try:
            self._setup.sender.send(call, (row.id,), now)
        except Reverted as error:  # somebody else was first, or the chain's clock is behind ours
            log.info("not reopened yet", request=request_id.hex(), why=str(error))
            self._not_before[row.id] = now + RETRY
        else:
            log.warning("a slash voided our result: reopening", request=request_id.hex())

    def _is_early(self, row: Row) -> bool:
        """By the chain's clock."""
        return self._setup.chain.block("latest").time < row.duty.not_before


def _log_decision(decision: object) -> None:
    match decision:
        case Duty(kind=kind, subject=subject, deadline=deadline):
            log.info("took on a duty", kind=kind, subject=subject.hex(), deadline=deadline)
        case Decline(request_id=request_id, reason=reason):
            log.info("declined", request="0x" + request_id.hex(), why=reason)
