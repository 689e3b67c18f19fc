"""Sends the challenger's transactions, each duty in one of its own."""

from collections.abc import Callable, MutableMapping, Sequence
from contextlib import suppress
from typing import Literal, assert_never, get_args

import structlog

from oracle.chain.codec import commitment
from oracle.chain.contracts import Disputes, Queue, Referee, Subject
from oracle.chain.node import Call, Chain
from oracle.chain.preimage import model_of
from oracle.chain.transactions import Sender
from oracle.challenger.policy import Policy
from oracle.challenger.records import Records, key_of
from oracle.errors import ChainError, NoRoom, Reverted, RpcUnavailable
from oracle.inference.findings import Finding, Fraud, Question
from oracle.state.agenda import Row
from oracle.state.duties import DutyKind, Key, State
from oracle.state.store import Store
from oracle.state.tries import RETRY, SOON, Tries
from oracle.types import RequestId, Wei
from oracle.visible import hex_id

log = structlog.get_logger()

PREPAID_PERCENT = 125  # of the price: the base fee may rise until the demand is mined
# What a challenger sends, in the order of `DutyKind`. A state may hold a worker's duties too.
Step = Literal[DutyKind.PROVE, DutyKind.COMMIT, DutyKind.DEMAND]
Sendable = Literal[
    DutyKind.PROVE,
    DutyKind.COMMIT,
    DutyKind.TIMEOUT,
    DutyKind.DEMAND,
    DutyKind.COLLECT,
    DutyKind.WITHDRAW,
]
SENDABLE: tuple[Sendable, ...] = get_args(Sendable)

# What a revert in simulation says of a duty: another has done it, or its time has not come. The
# node may be behind the events that we read, or ahead of them; the next that are read say what is
# owed still, so that nothing ends here.
_SOON = (
    *("AlreadyDemanded", "AlreadyConvicted", "AlreadyCommitted", "DemandNotOpen", "WrongStatus"),
    *("WrongDemand", "CommittedTooLate", "NotCommitted", "RevealNotOver", "WrongProposal"),
    "PrepaidTooLittle",
)
_LATER = ("NothingToCollect", "NothingToWithdraw")
_TOO_LATE = ("TooLateToDemand", "WindowOver")


class Sending:
    """Without a sender it says what it would send. `finding` gives what was found out about a
    request's result, if that is what is to be done next."""

    def __init__(
        self,
        chain: Chain,
        queue: Queue,
        disputes: Disputes,
        referee: Referee,
        sender: Sender[Key] | None,
        policy: Policy,
        store: Store,
        records: Records,
        tries: MutableMapping[Key, Tries],
        report: Callable[..., None],
        finding: Callable[[RequestId], Finding | None],
    ):
        self._chain = chain
        self._queue = queue
        self._disputes = disputes
        self._referee = referee
        self._sender = sender
        self._policy = policy
        self._store = store
        self._records = records
        self._tries = tries  # by duty
        self._report = report
        self._finding = finding

    def work(self, steps: Sequence[Row], now: float, due_time: float) -> None:
        """Sends what is due, and the next `steps` of our pursuits."""
        with suppress(NoRoom):  # what is left waits for the next round
            self._send_ready(steps, now, due_time)

    def _send_ready(self, steps: Sequence[Row], now: float, due_time: float) -> None:
        rows = [*self._store.duties(State.OPEN, due_by=due_time), *steps]
        ready = [row for row in rows if self._tries[row.key].is_due(now)]
        for kind in SENDABLE:
            for row in ready:
                if row.duty.kind is kind:
                    self._send_one(kind, row, now)

    def _send_one(self, kind: Sendable, row: Row, now: float) -> None:
        try:
            call = self._call(kind, row)
            if call is None:
                return
            if self._sender is None:
                self._report(row, "would send, but there is no key", value=call.value)
                return
            if not self._is_in_budget(row, call):
                self._tries[row.key].not_before = now + RETRY
                return
            sent = self._sender.send(call, [row.key], now)
        except (NoRoom, RpcUnavailable):
            raise
        except ChainError as error:
            self._refused(row, error, now)
        else:
            hash_ = hex_id(sent.hash)
            log.info("sent", kind=row.duty.kind, prepaid=call.value or None, transaction=hash_)

    def is_committed(self, dispute: bytes, fraud: Fraud) -> bool:
        """Says whether we announced the proof, in a block that we have read."""
        return self._store.committed(self._commitment(dispute, fraud)) is not None

    def _is_in_budget(self, row: Row, call: Call) -> bool:
        limit, sender = self._policy.max_spend, self._sender
        # What brings money home is always worth sending.
        if (
            limit is None
            or sender is None
            or row.duty.kind in (DutyKind.COLLECT, DutyKind.WITHDRAW)
        ):
            return True
        gas = self._chain.estimate(call, sender.signer.address)
        needed = self._store.spent() + gas * self._chain.fees().maximum + call.value
        if needed > limit:
            self._report(row, "held back: it would cost more than --max-spend", needed=needed)
        return needed <= limit

    def _call(self, kind: Sendable, row: Row) -> Call | None:
        """Makes the call of a duty. Gives None where there is nothing to send yet, or no longer."""
        match kind:
            case DutyKind.WITHDRAW:
                return self._queue.withdraw(self._policy.challenger)
            case DutyKind.COLLECT:
                return self._disputes.collect(self._records.demanded(row)[1].demand)
            case DutyKind.TIMEOUT:
                subject, event = self._records.demanded(row)
                return None if subject is None else self._disputes.timeout(subject, event.demand)
            case DutyKind.DEMAND | DutyKind.COMMIT | DutyKind.PROVE:
                return self._step(kind, row.duty.request_id)
            case _:
                assert_never(kind)

    def _step(self, kind: Step, request_id: RequestId) -> Call | None:
        """Makes the call of a step, if what was found out still calls for that one."""
        subject, finding = self._records.subject(request_id), self._finding(request_id)
        model = None if subject is None else self._store.preimage(subject.request.model)
        if subject is None or finding is None or model is None:
            return None
        match kind, finding:
            case DutyKind.DEMAND, Finding(question=Question() as question):
                return self._demand(subject, model, question)
            case DutyKind.COMMIT, Finding(fraud=Fraud() as fraud):
                return self._commit(request_id, subject, model, fraud)
            case DutyKind.PROVE, Finding(fraud=Fraud() as fraud):
                return self._prove(request_id, subject, model, fraud)
            case _:
                return None

    def _demand(self, subject: Subject, model: bytes, asked: Question) -> Call:
        price = self._disputes.price_of(asked.part, asked.values, asked.leaves)
        prepaid = Wei(price * PREPAID_PERCENT // 100)
        return self._disputes.demand(subject, asked.part, model, asked.descriptors, prepaid)

    def _commit(self, request_id: RequestId, subject: Subject, model: bytes, fraud: Fraud) -> Call:
        """Makes the call that announces a proof, of which the referee says that it convicts."""
        dispute = self._records.dispute(request_id, subject)
        self._referee.must_convict(
            model_of(model).program_root, dispute.trace_root, subject, fraud.proof
        )
        return self._disputes.commit(self._commitment(dispute.key, fraud))

    def _prove(self, request_id: RequestId, subject: Subject, model: bytes, fraud: Fraud) -> Call:
        salt = self._salt(key_of(request_id, subject))
        return self._disputes.prove(subject, model, fraud.proof, salt)

    def _commitment(self, dispute: bytes, fraud: Fraud) -> bytes:
        me = self._policy.challenger
        return commitment(me, dispute, fraud.proof, self._salt(dispute))

    def _salt(self, dispute: bytes) -> bytes:
        """Gives the salt of our proof. We can find it again after a crash, and nobody else can."""
        sender = self._sender
        return bytes(32) if sender is None else sender.signer.secret(dispute)

    def _refused(self, row: Row, error: ChainError, now: float) -> None:
        """Deals with a duty whose transaction reverted in simulation. Nothing was sent."""
        subject = hex_id(row.duty.subject)
        name = error.name if isinstance(error, Reverted) else ""
        if name in _SOON:
            self._tries[row.key].not_before = now + SOON
        elif name in _LATER:
            self._tries[row.key].not_before = now + RETRY
        elif name in _TOO_LATE:
            self._report(row, "it is too late", why=str(error))
            self._tries[row.key].not_before = now + RETRY
        else:
            log.error("cannot be sent yet", kind=row.duty.kind, subject=subject, why=str(error))
            self._tries[row.key].not_before = now + RETRY
