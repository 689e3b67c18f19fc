"""The worker at work: events in by the watcher, duties kept by the store, transactions out."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence, Set
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Event as Flag
from typing import Protocol

import structlog
from eth_utils import keccak

from oracle.chain.contracts import Disputes, Queue, Subject
from oracle.chain.disputes import demand_id, split_demand_id
from oracle.chain.events import Event, OperatorSlashed, PartDemanded
from oracle.chain.node import Call, Chain
from oracle.chain.transactions import Sender, Sent
from oracle.chain.watcher import Watcher
from oracle.errors import (
    ChainError,
    InferenceFailed,
    ModelUnavailable,
    OracleError,
    Reverted,
    RpcUnavailable,
)
from oracle.inference.engine import Open, Task
from oracle.state import rounds
from oracle.state.duties import Decision, DutyKind, State
from oracle.state.rounds import Book
from oracle.state.store import Row, Store
from oracle.types import Address, Model, ModelId, RequestId
from oracle.worker.policy import Policy, answer_gas, decide

log = structlog.get_logger()

MAX_BATCH = 50  # duties in one transaction
MAX_BATCH_GAS = 6_000_000  # of `answer_gas`; this also keeps outputs below what nodes take
TRIES = 3  # of an inference that dies, or an answer to a demand that hangs
BATCHED = (DutyKind.PROPOSE, DutyKind.SETTLE, DutyKind.WITHDRAW)
MAX_WAITING = 16  # transactions at once: nodes promise no account more room
RETRY = 10.0  # seconds until what may get better by itself is tried again
SOON = 1.0  # seconds until the chain may have caught up with us, or we with it


class Inference(Protocol):
    def ready(
        self, model: Model, uris: Callable[[], Sequence[str]], is_urgent: bool = False, /
    ) -> bool: ...

    def keep(self, files: Set[bytes], /) -> None: ...

    def submit(self, model: Model, uris: Sequence[str], payload: bytes) -> "Future[bytes]": ...

    def ask(
        self, model: Model, uris: Sequence[str], payload: bytes, task: Task
    ) -> "Future[bytes]": ...


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
    disputes: Disputes | None = None
    parallel: int = 2  # inferences at once
    clock: Callable[[], float] = time.time


class Service:
    def __init__(self, setup: Setup):
        self._setup = setup
        self._store = setup.store
        self._running: dict[int, tuple[DutyKind, Future[bytes]]] = {}  # by duty
        self._not_before: dict[int, float] = {}  # by duty: when to try again
        self._failures: Counter[int] = Counter()  # by duty
        self._deaths: Counter[int] = Counter()  # by duty: inferences that died
        self._parts: dict[int, bytes] = {}  # by duty: what answers a demand
        self._demands: dict[bytes, PartDemanded] = {}  # by what a duty calls them
        self._reported: set[int] = set()  # duties that a dry run has told of
        self._models: dict[int, Model] = {}  # by duty
        self._fetching: set[int] = set()  # duties that wait for a model's file

    def run(self, stop: Flag, pause: float) -> None:
        rounds.run(self.tick, stop, pause)

    def tick(self) -> None:
        """One round. Whatever it was doing when the process died, the next round does again."""
        now = self._setup.clock()
        rounds.read(self._setup.chain, self._setup.watcher, self._store, self._decide)
        chain_time = max(now, self._setup.chain.block("latest").time)
        rounds.miss(self._setup.chain, self._store, chain_time)
        self._infer(now)
        self._send(now, chain_time)
        if self._setup.sender is not None:
            self._setup.sender.follow(now)

    @property
    def is_idle(self) -> bool:
        """Whether no inference runs, no file is fetched and no transaction waits."""
        return not self._running and not self._fetching and not self._store.waiting()

    def _decide(self, event: Event, book: Book) -> Iterator[Decision]:
        policy = self._setup.policy
        match event:
            case OperatorSlashed(operator=operator) if operator == policy.operator:
                log.error("we were slashed", bond=event.bond, challenger=event.challenger)
            case PartDemanded(operator=operator, demand=demand) if operator == policy.operator:
                request = event.request_id.hex()
                log.warning("our result is disputed", request=request, answer_by=demand.deadline)
        return decide(event, policy, book.gas_price, book.request_of, book.disputes_of)

    # Inference.

    def _infer(self, now: float) -> None:
        for duty_id, (_, future) in list(self._running.items()):
            if future.done():
                del self._running[duty_id]
                self._take(duty_id, future, now)
        self._fetching.clear()
        # An answer that a dispute waits for does not wait for one that earns a fee; and what failed
        # before waits for the rest, or a few bad models could take up all the time there is.
        for kind in (DutyKind.REVEAL, DutyKind.PROPOSE):
            rows = self._store.duties(State.OPEN, kind=kind)
            for row in sorted(rows, key=lambda row: self._failures[row.id]):
                if sum(kind is of for of, _ in self._running.values()) >= self._setup.parallel:
                    break
                if self._may_start(row, now) and self._has_file(row):
                    self._start(row, now)
        self._keep_files()

    def _may_start(self, row: Row, now: float) -> bool:
        return (
            row.id not in self._running
            and self._not_before.get(row.id, 0) <= now
            and not self._is_ready(row)
        )

    def _has_file(self, row: Row) -> bool:
        """Whether no fetch keeps it waiting: one may take as long as a stranger's server wants, so
        it holds no inference's place."""
        model = self._model(row)
        if model is None:
            return True
        request_id, is_urgent = self._request_id(row), row.duty.kind is DutyKind.REVEAL

        def uris() -> Sequence[str]:
            request = self._store.request(request_id)
            return () if request is None else self._store.uris(ModelId(request.model))

        if self._setup.inference.ready(model, uris, is_urgent):
            return True
        self._fetching.add(row.id)
        return False

    def _model(self, row: Row) -> Model | None:
        if row.id not in self._models:
            request = self._store.request(self._request_id(row))
            model = None if request is None else self._store.model(request.model)
            if model is None:
                return None
            self._models[row.id] = model
        return self._models[row.id]

    def _keep_files(self) -> None:
        """Whoever cannot show the trace of an open result is slashed, and the model's publisher may
        serve its file no more."""
        rows = self._store.duties(State.OPEN, State.SENT)
        needed = [
            self._model(row)
            for row in rows
            if row.duty.kind in (DutyKind.REVEAL, DutyKind.SETTLE)
            or (row.duty.kind is DutyKind.PROPOSE and self._is_ready(row))
        ]
        self._setup.inference.keep({model.file_hash for model in needed if model is not None})
        for duty_id in self._models.keys() - {row.id for row in rows}:
            del self._models[duty_id]

    def _start(self, row: Row, now: float) -> None:
        request_id = self._request_id(row)
        request = self._store.request(request_id)
        model = None if request is None else self._store.model(request.model)
        if request is None or model is None:
            self._store.end(row.id, State.MISSED, "its request or model was never read")
            return
        uris = self._store.uris(ModelId(request.model))
        payload = self._store.payload(request_id)
        inference = self._setup.inference
        if row.duty.kind is DutyKind.REVEAL:
            # Time for more than one try, should one hang.
            left = max(0.0, (row.duty.deadline or now) - now)
            task = Open(split_demand_id(row.duty.subject)[1], patience=left / TRIES)
            future = inference.ask(model, uris, payload, task)
        else:
            future = inference.submit(model, uris, payload)
        self._running[row.id] = row.duty.kind, future

    def _request_id(self, row: Row) -> RequestId:
        if row.duty.kind in (DutyKind.REVEAL, DutyKind.COLLECT):
            return self._demanded(row).request_id
        return RequestId(row.duty.subject)

    def _demanded(self, row: Row) -> PartDemanded:
        asked = row.duty.subject
        if asked not in self._demands:
            key = split_demand_id(asked)[0]
            for part, event in self._store.dispute(key).demanded.items():
                self._demands[demand_id(key, part)] = event
        return self._demands[asked]

    def _take(self, duty_id: int, future: "Future[bytes]", now: float) -> None:
        rows = {row.id: row for row in self._store.duties(State.OPEN)}
        row = rows.get(duty_id)
        if row is None:
            return  # ended meanwhile
        request = "0x" + self._request_id(row).hex()
        match future.exception():
            case None if row.duty.kind is DutyKind.REVEAL:
                self._parts[duty_id] = future.result()
                log.info(
                    "opened our trace", request=request, part=split_demand_id(row.duty.subject)[1]
                )
            case None:
                output = future.result()
                self._store.keep_output(RequestId(row.duty.subject), output)
                log.info("computed", request=request, output_bytes=len(output))
            case ModelUnavailable() as error:
                log.warning("the model cannot be had yet", request=request, why=str(error))
                self._fail(duty_id, now)
            case OracleError() as error if row.duty.kind is DutyKind.REVEAL:
                # Who does not answer in time is slashed: there is no giving up before that.
                log.error("a demand cannot be answered yet", request=request, why=str(error))
                self._fail(duty_id, now)
            case InferenceFailed() as error if self._deaths[duty_id] < TRIES - 1:
                # Time or memory may have lacked because of us, not of the model.
                log.warning("the inference failed", request=request, why=str(error))
                self._deaths[duty_id] += 1
                self._fail(duty_id, now)
            case OracleError() as error:
                log.error("we do not answer", request=request, why=str(error))
                self._store.end(duty_id, State.MISSED, str(error))
            case error if row.duty.kind is DutyKind.REVEAL:  # a bug, and all the same
                log.error("a demand cannot be answered yet", request=request, exc_info=error)
                self._fail(duty_id, now)
            case error:  # a bug, which must not cost us the deadlines of the rest
                log.error("we cannot answer", request=request, exc_info=error)
                self._store.end(duty_id, State.MISSED, repr(error))

    def _fail(self, duty_id: int, now: float) -> None:
        self._failures[duty_id] += 1
        self._not_before[duty_id] = now + RETRY

    # Transactions out.

    def _send(self, now: float, chain_time: float) -> None:
        ready = [
            row
            for row in self._store.duties(State.OPEN)
            if row.duty.not_before <= chain_time and self._not_before.get(row.id, 0) <= now
        ]
        for kind in DutyKind:
            rows = [row for row in ready if row.duty.kind is kind and self._is_ready(row)]
            if kind is DutyKind.SETTLE:
                rows = self._send_older(rows, now)
            batches = self._batches(rows) if kind in BATCHED else ([row] for row in rows)
            for batch in batches:
                if len(self._store.waiting()) >= MAX_WAITING:
                    return
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
                self._send_batch(DutyKind.SETTLE, [row], now)
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
        match row.duty.kind:
            case DutyKind.REVEAL:
                return row.id in self._parts
            case DutyKind.PROPOSE:
                return self._store.output(RequestId(row.duty.subject)) is not None
            case _:
                return True

    def _send_batch(self, kind: DutyKind, rows: Sequence[Row], now: float) -> None:
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
            if kind is DutyKind.REVEAL:
                self._compare_with_prepaid(rows[0], sent)

    def _compare_with_prepaid(self, row: Row, sent: Sent) -> None:
        prepaid, cost = self._demanded(row).demand.prepaid, sent.gas * sent.fees.maximum
        if prepaid < cost:
            log.warning("what was prepaid may not cover our answer", prepaid=prepaid, cost=cost)

    def _spare(self, kind: DutyKind, rows: Sequence[Row]) -> int:
        """Gas that callbacks may burn although they did not in simulation, which would then lack
        for the callbacks after them. The last one's is in the estimate."""
        if kind is not DutyKind.SETTLE:
            return 0
        requests = [self._store.request(RequestId(row.duty.subject)) for row in rows[:-1]]
        return sum(request.callback_gas for request in requests if request is not None)

    def _report(self, kind: DutyKind, rows: Sequence[Row]) -> None:
        for row in rows:
            if row.id not in self._reported:
                self._reported.add(row.id)
                subject = row.duty.subject.hex()
                log.info("would send, but there is no key", kind=kind, subject=subject)

    def _call(self, kind: DutyKind, rows: Sequence[Row]) -> Call:
        queue, store = self._setup.queue, self._store
        ids = [RequestId(row.duty.subject) for row in rows]
        match kind:
            case DutyKind.REVEAL:
                return self._reveal(rows[0])
            case DutyKind.COLLECT:
                assert self._setup.disputes is not None
                return self._setup.disputes.collect(self._demanded(rows[0]).demand)
            case DutyKind.PROPOSE:
                answers = [(store.request(id_), store.output(id_)) for id_ in ids]
                return queue.propose([(r, o) for r, o in answers if r and o is not None])
            case DutyKind.SETTLE:
                results = [(store.request(id_), store.proposal(id_)) for id_ in ids]
                return queue.settle([(r, *proposed) for r, proposed in results if r and proposed])
            case DutyKind.WITHDRAW:
                return queue.withdraw(Address(self._setup.policy.operator))
            case _:
                raise ValueError(f"a worker has no duty to {kind}")

    def _reveal(self, row: Row) -> Call:
        event = self._demanded(row)
        request = self._store.request(event.request_id)
        proposed = self._store.proposal(event.request_id)
        assert self._setup.disputes is not None and request is not None and proposed is not None
        found, size = self._parts[row.id], event.demand.part.size
        siblings = [found[at : at + 32] for at in range(size, len(found), 32)]
        subject = Subject(request, *proposed)
        return self._setup.disputes.reveal(subject, event.demand, found[:size], siblings)

    def _refused(self, row: Row, error: ChainError, now: float) -> None:
        """What a revert in simulation means for a duty. Nothing was sent."""
        subject = row.duty.subject.hex()
        if not isinstance(error, Reverted):
            log.error("cannot be sent yet", kind=row.duty.kind, subject=subject, why=str(error))
            self._not_before[row.id] = now + RETRY
            return
        match error.name:
            # Who does not answer in time is slashed, so a node that is behind has no say in it: an
            # event ends this duty, or the deadline.
            case _ if row.duty.kind is DutyKind.REVEAL:
                log.warning("an answer cannot be sent yet", subject=subject, why=str(error))
                self._not_before[row.id] = now + SOON
            case "WindowNotOver":
                pass  # the chain's clock is behind ours
            case "ProposalVoid":
                self._reopen(row, now)
            case "NothingToWithdraw" | "NothingToCollect" if self._is_early(row):
                pass
            case "WrongProposal":
                # It was moved or replaced, by an event that we are about to read.
                self._not_before[row.id] = now + SOON
            case "WrongStatus" | "NothingToWithdraw" | "NothingToCollect":
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
