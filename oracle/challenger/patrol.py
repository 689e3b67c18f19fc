"""The challenger at work: runs again what others propose, and takes what is wrong to the slash."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from threading import Event as Flag
from typing import Protocol

import structlog

from oracle.chain.codec import commitment, dispute_key
from oracle.chain.contracts import Disputes, Queue, Referee, Subject
from oracle.chain.disputes import Dispute, split_demand_id
from oracle.chain.events import Event, Where
from oracle.chain.node import Call, Chain
from oracle.chain.preimage import model_of
from oracle.chain.transactions import Sender
from oracle.chain.watcher import Watcher
from oracle.challenger import policy as challenger
from oracle.challenger.policy import STEPS, Policy
from oracle.errors import (
    ChainError,
    InferenceTooSlow,
    NoRoom,
    OracleError,
    Reverted,
    RpcUnavailable,
)
from oracle.exact.proofs.evidence import ClaimKind
from oracle.inference import findings
from oracle.inference.answers import Inference
from oracle.inference.engine import Pursue
from oracle.inference.findings import Finding, Fraud
from oracle.inference.waits import Waits
from oracle.state import rounds
from oracle.state.duties import Decision, DutyKind, State
from oracle.state.rounds import Book
from oracle.state.store import Row, Store
from oracle.state.tries import RETRY, SOON, Tries, forget_all_but
from oracle.types import RequestId, Wei

log = structlog.get_logger()

PREPAID_PERCENT = 125  # of the price: the base fee may rise until the demand is mined

# What a revert in simulation means for a duty. The node may be behind the events that we read: what
# these still ask for is taken on again.
_DONE_BY_ANOTHER = (
    *("AlreadyDemanded", "AlreadyConvicted", "AlreadyCommitted", "DemandNotOpen", "WrongStatus"),
    *("NothingToCollect", "NothingToWithdraw", "WrongDemand"),
)
_NOT_YET = (
    *("CommittedTooLate", "NotCommitted", "RevealNotOver", "WrongProposal", "PrepaidTooLittle"),
)


class SecondView(Protocol):
    """A second view of the chain."""

    def objection(self, request_id: RequestId, payload: bytes, subject: Subject) -> str | None:
        """Says why what we read is not what the chain says. Gives None if it is."""
        ...


@dataclass(frozen=True, slots=True)
class Setup:
    """What the patrol is made of. Without a sender it is a dry run: it looks, and sends nothing."""

    chain: Chain
    queue: Queue
    disputes: Disputes
    referee: Referee
    watcher: Watcher
    store: Store
    inference: Inference
    policy: Policy
    sender: Sender | None
    second_view: SecondView | None = None
    parallel: int = 2  # inferences at once
    time_limit: float = 600.0  # seconds that any run may take
    clock: Callable[[], float] = time.time


@dataclass(frozen=True, slots=True)
class _Known:
    """A finding, which holds until what it asks for is answered. If any other answer ended it, a
    liar that answers its own demands all the time could keep us from ever acting on one."""

    finding: Finding
    dispute: bytes

    def is_current(self, dispute: Dispute) -> bool:
        question = self.finding.question
        is_answered = question is not None and question.part in dispute.revealed
        return self.dispute == dispute.key and not is_answered


@dataclass(frozen=True, slots=True)
class Summary:
    """`unwatched` has, by request, why nobody could be convicted of a lie. Money in wei; what is
    hoped for, a liar that convicts itself first takes away, and so it is no income to count on."""

    pursued: tuple[str, ...]
    unwatched: Mapping[str, str]
    certain_income: int
    hoped_income: int
    spent: int


class Patrol:
    def __init__(self, setup: Setup):
        self._setup = setup
        self._store = setup.store
        self._running: dict[int, tuple[Future[bytes], bytes]] = {}  # by duty, with the dispute
        self._found: dict[bytes, _Known] = {}  # by request
        self._tries: defaultdict[int, Tries] = defaultdict(Tries)  # by duty
        self._waits = Waits(setup.inference)
        # What a request or a model is never changes, and is looked up in every round.
        self._request = lru_cache(maxsize=1 << 16)(setup.store.request)
        self._model = lru_cache(maxsize=1 << 10)(setup.store.model)

    def run(self, stop: Flag, pause: float) -> None:
        rounds.run(self.tick, stop, pause)

    def tick(self) -> None:
        """Works one round. Whatever it was doing when the process died, the next round does
        again."""
        now = self._setup.clock()
        rounds.read(self._setup.chain, self._setup.watcher, self._store, self._decide)
        chain_time = max(now, self._setup.chain.block("latest").time)
        rounds.miss(self._setup.chain, self._store, chain_time)
        self._look(now)
        for row in self._store.duties(State.OPEN, kind=DutyKind.PURSUE):
            self._plan(row)
        self._forget()
        self._send(now, chain_time)
        if self._setup.sender is not None:
            self._setup.sender.follow(now)

    @property
    def is_idle(self) -> bool:
        """Says whether nothing runs, no file is fetched and no transaction waits."""
        return not self._running and self._waits.is_empty and not self._store.waiting()

    @property
    def is_pursuing(self) -> bool:
        """Says whether a result is wrong, or may be, and its operator not slashed yet."""
        waiting = self._store.duties(State.OPEN, kind=DutyKind.CHECK)
        return bool(waiting or self.open_pursuits)

    @property
    def open_pursuits(self) -> int:
        """The number of wrong results whose operators are not slashed yet."""
        return len(self._store.duties(State.OPEN, State.SENT, kind=DutyKind.PURSUE))

    def summary(self) -> Summary:
        """Says how things stand, by the state that is kept."""
        store = self._store
        wrong = store.duties(State.OPEN, State.SENT, kind=DutyKind.PURSUE)
        requests = [self._request(RequestId(row.duty.subject)) for row in wrong]
        found = [challenger.income(each, self._setup.policy) for each in requests if each]
        return Summary(
            pursued=tuple(row.duty.subject.hex() for row in wrong),
            unwatched={"0x" + id_.hex(): reason for id_, reason in store.unwatched().items()},
            certain_income=sum(each.certain for each in found),
            hoped_income=sum(each.hoped for each in found),
            spent=store.spent(),
        )

    def _decide(self, event: Event, book: Book) -> Iterator[Decision]:
        return challenger.decide(event, self._setup.policy, book.request_of, book.disputes_of)

    def _forget(self) -> None:
        """Drops what is kept about duties that have ended."""
        rows = self._store.duties(State.OPEN, State.SENT)
        forget_all_but(self._tries, {row.id for row in rows} | self._running.keys())
        forget_all_but(self._found, {row.duty.subject for row in rows})

    # Running again.

    def _look(self, now: float) -> None:
        for duty_id, (future, dispute) in list(self._running.items()):
            if future.done():
                del self._running[duty_id]
                self._take(duty_id, future, dispute, now)
        self._waits.start_round()
        self._keep_files()
        self._ask_again(now)
        # A pursuit has a deadline that others set; a check has the whole window. What failed before
        # waits for the rest, or a few bad models could take up all the time there is.
        for kind in (DutyKind.PURSUE, DutyKind.CHECK):
            rows = self._store.duties(State.OPEN, kind=kind)
            for row in sorted(rows, key=self._urgency):
                if len(self._running) >= self._setup.parallel:
                    return
                if row.id in self._running or not self._tries[row.id].is_due(now):
                    continue
                if self._tries[row.id].too_slow and not self._has_room_for_slow():
                    continue
                if not self._is_worked_out(row) and self._has_file(row):
                    self._start(row, now)

    def _is_worked_out(self, row: Row) -> bool:
        """Says whether another run would find nothing that is wanted now. That a result is wrong
        holds for as long as it stands; what to do next, until that was done."""
        if row.duty.kind is DutyKind.PURSUE:
            return self._finding(row) is not None
        return self._wrong(row) is not None

    def _wrong(self, row: Row) -> _Known | None:
        """Gives what was found about the result that stands now, if it is wrong."""
        request_id = RequestId(row.duty.subject)
        known, subject = self._found.get(request_id), self._subject(request_id)
        if known is None or subject is None:
            return None
        key = dispute_key(request_id, subject.proposal, subject.output)
        return known if known.dispute == key else None

    def _ask_again(self, now: float) -> None:
        """Asks the second node again about results that it did not bear out. It may be as slow as
        it likes, so that a refusal ends the round."""
        for row in self._store.duties(State.OPEN, kind=DutyKind.CHECK):
            known = self._wrong(row) if self._tries[row.id].is_due(now) else None
            if known is not None and not self._conclude_wrong(row, known, now):
                return

    def _urgency(self, row: Row) -> tuple[int, bool]:
        request = self._request(RequestId(row.duty.subject))
        is_ours = request is not None and request.refund_to in self._setup.policy.refund_to
        return self._tries[row.id].failures, not is_ours

    def _has_room_for_slow(self) -> bool:
        """Runs that take long leave a place to others, if there are two."""
        slow = sum(1 for duty_id in self._running if self._tries[duty_id].too_slow)
        return slow < max(1, self._setup.parallel - 1)

    def _has_file(self, row: Row) -> bool:
        """Says whether a duty need not wait for its model's file."""
        request = self._request(RequestId(row.duty.subject))
        model = None if request is None else self._model(request.model)
        if request is None or model is None:
            return True
        is_urgent = row.duty.kind is DutyKind.PURSUE
        return self._waits.has_file(model, lambda: self._store.uris(request.model), is_urgent)

    def _keep_files(self) -> None:
        """Keeps the files of models whose results are pursued. A liar must not end a pursuit by no
        longer serving its model's file."""
        rows = self._store.duties(State.OPEN, State.SENT, kind=DutyKind.PURSUE)
        requests = [self._request(RequestId(row.duty.subject)) for row in rows]
        self._waits.keep(self._model(each.model) for each in requests if each is not None)

    def _start(self, row: Row, now: float) -> None:
        request_id = RequestId(row.duty.subject)
        subject = self._subject(request_id)
        model = None if subject is None else self._model(subject.request.model)
        if subject is None or model is None:
            self._store.end(row.id, State.MISSED, "its request or model was never read")
            return
        dispute = self._dispute(request_id, subject)
        revealed = tuple(
            (event.part, event.data, event.siblings) for event in dispute.revealed.values()
        )
        left = max(0.0, (row.duty.deadline or now) - now)
        patience = challenger.patience(left, self._setup.time_limit, self._tries[row.id].too_slow)
        future = self._setup.inference.ask(
            model,
            self._store.uris(subject.request.model),
            self._store.payload(request_id),
            Pursue(subject.output, dispute.trace_root, revealed, patience),
        )
        self._running[row.id] = future, dispute.key

    def _take(self, duty_id: int, future: "Future[bytes]", dispute: bytes, now: float) -> None:
        row = self._store.duty(duty_id)
        if row.state is not State.OPEN:
            return  # ended meanwhile
        request_id = RequestId(row.duty.subject)
        request = "0x" + request_id.hex()
        try:
            finding = findings.read_finding(future.result())
        except OracleError as error:
            self._tries[duty_id].too_slow += isinstance(error, InferenceTooSlow)
            log.error("cannot be checked yet", request=request, why=str(error))
            self._report_unwatched(row, request_id, f"it cannot be checked yet: {error}")
            self._fail(duty_id, now)
            return
        # A bug, which must not cost us the deadlines of the rest, nor let a liar go that found it.
        except Exception as error:
            log.error("cannot be checked yet", request=request, exc_info=error)
            self._fail(duty_id, now)
            return
        self._report_unwatched(row, request_id, finding.unwatched)
        if not finding.is_right:
            self._found[request_id] = known = _Known(finding, dispute)
            if row.duty.kind is DutyKind.CHECK:
                self._conclude_wrong(row, known, now)
        elif row.duty.kind is DutyKind.CHECK:
            log.info("reproduced", request=request)
            self._store.conclude(row.id, dispute, request_id, is_right=True)

    def _report_unwatched(self, row: Row, request_id: RequestId, reason: str) -> None:
        """Says, and keeps, why nobody could be convicted about a result. Whoever relies on it must
        not take our silence for consent."""
        self._store.report(request_id, reason)
        if reason:
            self._report(row, "unwatched", why=reason)

    def _fail(self, duty_id: int, now: float) -> None:
        self._tries[duty_id].fail(now)

    def _conclude_wrong(self, row: Row, known: _Known, now: float) -> bool:
        """Takes a wrong result on, and says whether it did. Where there is a second node, it
        accuses nobody on the word of one alone."""
        request_id = RequestId(row.duty.subject)
        request = "0x" + request_id.hex()
        subject = self._subject(request_id)
        assert subject is not None
        operator = subject.proposal.operator
        if self._setup.second_view is not None:
            payload = self._store.payload(request_id)
            objection = self._setup.second_view.objection(request_id, payload, subject)
            if objection is not None:
                log.error("not pursued: our node may be wrong", request=request, why=objection)
                self._tries[row.id].not_before = now + RETRY
                return False
        income = challenger.income(subject.request, self._setup.policy)
        log.error(
            "a result is wrong",
            request=request,
            operator=operator,
            certain_income=income.certain,
            hoped_income=income.hoped,
        )
        self._store.conclude(row.id, known.dispute, request_id, is_right=False)
        return True

    def _finding(self, row: Row) -> Finding | None:
        """Gives what to do next about a wrong result, if we have worked that out."""
        request_id = RequestId(row.duty.subject)
        known, subject = self._found.get(request_id), self._subject(request_id)
        if known is None or subject is None:
            return None
        is_current = known.is_current(self._dispute(request_id, subject))
        return known.finding if is_current else None

    # The next step.

    def _plan(self, row: Row) -> None:
        request_id = RequestId(row.duty.subject)
        subject, finding = self._subject(request_id), self._finding(row)
        if subject is None:
            return
        dispute = self._dispute(request_id, subject)
        for duty, where in challenger.timeouts(dispute, self._setup.policy.challenger):
            self._store.take(duty, where)
        steps = [
            each
            for each in self._store.duties(State.OPEN, State.SENT)
            if each.duty.kind in STEPS and each.duty.subject == request_id
        ]
        if finding is None or any(each.state is State.SENT for each in steps):
            return
        committed = finding.fraud is not None and self._is_committed(dispute.key, finding.fraud)
        wanted = challenger.next_duty(request_id, row.duty.deadline, dispute, finding, committed)
        for each in steps:
            if wanted is None or each.duty.kind is not wanted.kind:
                self._store.end(each.id, State.SUPERSEDED, "another step is next")
        if wanted is not None and self._is_worth_it(row, subject):
            block, index = self._store.place(row.id)
            self._store.take(wanted, dispute.last or Where(block, index, b"", 0))

    def _is_worth_it(self, row: Row, subject: Subject) -> bool:
        price = self._setup.chain.gas_price()
        objection = challenger.objection(subject.request, self._setup.policy, price)
        if objection is not None:
            self._report(row, "not pursued; --even-at-a-loss would", why=objection)
        return objection is None

    def _is_committed(self, dispute: bytes, fraud: Fraud) -> bool:
        return self._store.committed(self._commitment(dispute, fraud)) is not None

    def _commitment(self, dispute: bytes, fraud: Fraud) -> bytes:
        me = self._setup.policy.challenger
        return commitment(me, dispute, fraud.proof, self._salt(dispute))

    def _salt(self, dispute: bytes) -> bytes:
        """Gives the salt of our proof. We can find it again after a crash, and nobody else can."""
        sender = self._setup.sender
        return bytes(32) if sender is None else sender.signer.secret(dispute)

    # Transactions out.

    def _send(self, now: float, chain_time: float) -> None:
        with suppress(NoRoom):  # what is left waits for the next round
            self._send_ready(now, chain_time)

    def _send_ready(self, now: float, chain_time: float) -> None:
        ready = [
            row
            for row in self._store.duties(State.OPEN)
            if row.duty.not_before <= chain_time and self._tries[row.id].is_due(now)
        ]
        for kind in DutyKind:
            for row in ready:
                if row.duty.kind is kind and kind not in (DutyKind.CHECK, DutyKind.PURSUE):
                    self._send_one(row, now)

    def _send_one(self, row: Row, now: float) -> None:
        try:
            call = self._call(row)
            if call is None:
                return
            if self._setup.sender is None:
                self._report(row, "would send, but there is no key", value=call.value)
                return
            if not self._is_in_budget(row, call):
                self._tries[row.id].not_before = now + RETRY
                return
            sent = self._setup.sender.send(call, (row.id,), now)
        except (NoRoom, RpcUnavailable):
            raise
        except ChainError as error:
            self._refused(row, error, now)
        else:
            hash_ = "0x" + sent.hash.hex()
            log.info("sent", kind=row.duty.kind, prepaid=call.value or None, transaction=hash_)

    def _is_in_budget(self, row: Row, call: Call) -> bool:
        limit, sender = self._setup.policy.max_spend, self._setup.sender
        # What brings money home is always worth sending.
        if (
            limit is None
            or sender is None
            or row.duty.kind in (DutyKind.COLLECT, DutyKind.WITHDRAW)
        ):
            return True
        gas = self._setup.chain.estimate(call, sender.signer.address)
        needed = self._store.spent() + gas * self._setup.chain.fees().maximum + call.value
        if needed > limit:
            self._report(row, "held back: it would cost more than --max-spend", needed=needed)
        return needed <= limit

    def _call(self, row: Row) -> Call | None:
        """Makes the call of a duty. Gives None where there is nothing to send yet, or no longer."""
        disputes = self._setup.disputes
        match row.duty.kind:
            case DutyKind.WITHDRAW:
                return self._setup.queue.withdraw(self._setup.policy.challenger)
            case DutyKind.COLLECT:
                key, part = split_demand_id(row.duty.subject)
                return disputes.collect(self._store.dispute(key).demanded[part].demand)
            case DutyKind.TIMEOUT:
                key, part = split_demand_id(row.duty.subject)
                event = self._store.dispute(key).demanded[part]
                subject = self._subject(event.request_id)
                return None if subject is None else disputes.timeout(subject, event.demand)
            case _:
                return self._step(row)

    def _step(self, row: Row) -> Call | None:
        request_id = RequestId(row.duty.subject)
        subject, finding = self._subject(request_id), self._finding(row)
        if subject is None or finding is None:
            return None
        model = self._store.preimage(subject.request.model)
        if model is None:
            return None
        disputes, key = self._setup.disputes, self._dispute(request_id, subject).key
        if row.duty.kind is DutyKind.DEMAND and finding.question is not None:
            asked = finding.question
            price = disputes.price_of(asked.part, asked.values, asked.leaves)
            prepaid = Wei(price * PREPAID_PERCENT // 100)
            return disputes.demand(subject, asked.part, model, asked.descriptors, prepaid)
        if finding.fraud is None:
            return None
        fraud = finding.fraud
        payload = self._store.payload(request_id) if fraud.reads_input else b""
        output = subject.output if fraud.kind is ClaimKind.OUTPUT else b""
        if row.duty.kind is DutyKind.COMMIT:
            root = self._store.dispute(key).trace_root
            program = model_of(model).program_root
            self._setup.referee.must_convict(program, root, subject, fraud.proof, payload, output)
            return disputes.commit(self._commitment(key, fraud))
        return disputes.prove(subject, model, fraud.proof, payload, output, self._salt(key))

    def _refused(self, row: Row, error: ChainError, now: float) -> None:
        """Deals with a duty whose transaction reverted in simulation. Nothing was sent."""
        subject = row.duty.subject.hex()
        name = error.name if isinstance(error, Reverted) else ""
        if name in _DONE_BY_ANOTHER:
            self._store.end(row.id, State.SUPERSEDED, str(error))
            self._tries[row.id].not_before = now + SOON
        elif name in _NOT_YET:
            self._tries[row.id].not_before = now + SOON
        elif name in ("TooLateToDemand", "WindowOver"):
            log.error("missed a deadline", kind=row.duty.kind, subject=subject)
            self._store.end(row.id, State.MISSED, str(error))
        else:
            log.error("cannot be sent yet", kind=row.duty.kind, subject=subject, why=str(error))
            self._tries[row.id].not_before = now + RETRY

    def _report(self, row: Row, sentence: str, **fields: object) -> None:
        """Logs a sentence about a duty, once."""
        if self._tries[row.id].is_news(sentence):
            log.warning(sentence, kind=row.duty.kind, subject=row.duty.subject.hex(), **fields)

    # What is known.

    def _subject(self, request_id: RequestId) -> Subject | None:
        request, proposed = self._request(request_id), self._store.proposal(request_id)
        return None if request is None or proposed is None else Subject(request, *proposed)

    def _dispute(self, request_id: RequestId, subject: Subject) -> Dispute:
        return self._store.dispute(dispute_key(request_id, subject.proposal, subject.output))
