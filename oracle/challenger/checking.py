"""Runs results of others again: which are run now, and what was found about each."""

from collections.abc import Callable, MutableMapping, Sequence, Set
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol

import structlog

from oracle.chain.contracts import Subject
from oracle.chain.disputes import Dispute
from oracle.challenger import policy as challenger
from oracle.challenger.policy import Policy
from oracle.challenger.records import Records, key_of
from oracle.errors import InferenceTooSlow, OracleError
from oracle.inference import findings
from oracle.inference.answers import Inference
from oracle.inference.engine import Pursue
from oracle.inference.findings import Finding
from oracle.inference.waits import Waits
from oracle.state.agenda import Row
from oracle.state.duties import DutyKind, Key, State
from oracle.state.store import Store
from oracle.state.tries import RETRY, Tries, forget_all_but
from oracle.types import ModelId, RequestId
from oracle.visible import hex_id

log = structlog.get_logger()


class SecondView(Protocol):
    """A second view of the chain."""

    def objection(self, request_id: RequestId, payload: bytes, subject: Subject) -> str | None:
        """Says why what we read is not what the chain says. Gives None if it is."""
        ...


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


class Checking:
    """Checks each result, and works out the next step against one that is wrong."""

    def __init__(
        self,
        store: Store,
        records: Records,
        inference: Inference,
        policy: Policy,
        second_view: SecondView | None,
        tries: MutableMapping[Key, Tries],
        report: Callable[..., None],
        renew: Callable[[RequestId], None],
        ring: Callable[[], None],
        slots: int,
        time_limit: float,
    ):
        self._store = store
        self._records = records
        self._inference = inference
        self._policy = policy
        self._second_view = second_view
        self._tries = tries  # by duty
        self._report = report
        self._renew = renew  # works out anew what is owed about a request
        self._ring = ring  # is called when a run has ended
        self._slots = slots
        self._time_limit = time_limit
        self._waits = Waits(inference)
        self._running: dict[Key, tuple[Future[bytes], bytes]] = {}  # by duty, with the dispute
        self._began: dict[Key, float] = {}  # by duty, of those
        self._took: dict[ModelId, float] = {}  # seconds of the last run, by model
        self._found: dict[bytes, _Known] = {}  # by request

    @property
    def is_idle(self) -> bool:
        return not self._running and self._waits.is_empty

    @property
    def running(self) -> Set[Key]:
        """The duties that are run for."""
        return self._running.keys()

    def work(self, now: float) -> None:
        """Works one round."""
        for key, (future, dispute) in list(self._running.items()):
            if future.done():
                del self._running[key]
                self._note_run(key, now)
                self._take(key, future, dispute, now)
        self._waits.start_round()
        self._keep_files()
        self._drop_unwatched()
        self._ask_again(now)
        # A pursuit has a deadline that others set; a check has the whole window. What failed before
        # waits for the rest, or a few bad models could take up all the time there is.
        for kind in (DutyKind.PURSUE, DutyKind.CHECK):
            rows = self._store.duties(State.OPEN, kind=kind)
            for row in sorted(rows, key=self._urgency):
                if len(self._running) >= self._slots:
                    return
                if row.key in self._running or not self._tries[row.key].is_due(now):
                    continue
                if self._tries[row.key].too_slow and not self._has_room_for_slow():
                    continue
                if not self._is_worked_out(row) and self._has_file(row):
                    self._start(row, now)

    def run_time(self, request_id: RequestId) -> float:
        """Gives the seconds that the last run took of the model of a request; none where there was
        none."""
        request = self._records.request(request_id)
        return 0.0 if request is None else self._took.get(request.model, 0.0)

    def finding(self, request_id: RequestId) -> Finding | None:
        """Gives what to do next about a wrong result, if we have worked that out."""
        known, subject = self._found.get(request_id), self._records.subject(request_id)
        if known is None or subject is None:
            return None
        is_current = known.is_current(self._records.dispute(request_id, subject))
        return known.finding if is_current else None

    def forget(self, rows: Sequence[Row]) -> None:
        """Drops what was found about any requests but those of `rows`."""
        forget_all_but(self._found, {row.duty.subject for row in rows})

    def _is_worked_out(self, row: Row) -> bool:
        """Says whether another run would find nothing that is wanted now. That a result is wrong
        holds for as long as it stands; what to do next, until that was done."""
        if row.duty.kind is DutyKind.PURSUE:
            return self.finding(row.duty.request_id) is not None
        return self._wrong(row) is not None

    def _wrong(self, row: Row) -> _Known | None:
        """Gives what was found about the result that stands now, if it is wrong."""
        request_id = row.duty.request_id
        known, subject = self._found.get(request_id), self._records.subject(request_id)
        if known is None or subject is None:
            return None
        return known if known.dispute == key_of(request_id, subject) else None

    def _ask_again(self, now: float) -> None:
        """Asks the second node again about results that it did not bear out. It may be as slow as
        it likes, so that a refusal ends the round."""
        for row in self._store.duties(State.OPEN, kind=DutyKind.CHECK):
            known = self._wrong(row) if self._tries[row.key].is_due(now) else None
            if known is not None and not self._conclude_wrong(row, known, now):
                return

    def _urgency(self, row: Row) -> tuple[int, bool]:
        request = self._records.request(row.duty.request_id)
        is_ours = request is not None and request.refund_to in self._policy.refund_to
        return self._tries[row.key].failures, not is_ours

    def _has_room_for_slow(self) -> bool:
        """Runs that take long leave a place to others, if there are two."""
        slow = sum(1 for key in self._running if self._tries[key].too_slow)
        return slow < max(1, self._slots - 1)

    def _has_file(self, row: Row) -> bool:
        """Says whether a duty need not wait for its model's file."""
        request = self._records.request(row.duty.request_id)
        model = self._records.model_of(row.duty.request_id)
        if request is None or model is None:
            return True
        is_urgent = row.duty.kind is DutyKind.PURSUE
        return self._waits.has_file(model, lambda: self._store.uris(request.model), is_urgent)

    def _drop_unwatched(self) -> None:
        """Drops checks of models that our operator did not name."""
        if self._policy.models is None:
            return
        rows = self._store.duties(State.OPEN, kind=DutyKind.CHECK)
        requests = {row.key: self._records.request(row.duty.request_id) for row in rows}
        keys = [key for key, r in requests.items() if r and r.model not in self._policy.models]
        self._store.set_opinion(keys, State.DROPPED, "its model is not watched")

    def _keep_files(self) -> None:
        """Keeps the files of models whose results are pursued. A liar must not end a pursuit by no
        longer serving its model's file."""
        rows = self._store.duties(State.OPEN, State.SENT, kind=DutyKind.PURSUE)
        self._waits.keep(self._records.model_of(row.duty.request_id) for row in rows)

    def _start(self, row: Row, now: float) -> None:
        request_id = row.duty.request_id
        subject, model = self._records.subject(request_id), self._records.model_of(request_id)
        if subject is None or model is None:
            self._store.set_opinion([row.key], State.MISSED, "its model was never read")
            return
        dispute = self._records.dispute(request_id, subject)
        revealed = tuple(
            (event.part, event.data, event.siblings) for event in dispute.revealed.values()
        )
        left = max(0.0, (row.duty.deadline or now) - now)
        patience = challenger.patience(left, self._time_limit, self._tries[row.key].too_slow)
        future = self._inference.ask(
            model,
            self._store.uris(subject.request.model),
            self._store.payload(request_id),
            Pursue(subject.output, dispute.trace_root, revealed, patience),
        )
        self._running[row.key] = future, dispute.key
        future.add_done_callback(lambda _: self._ring())
        self._began[row.key] = now

    def _note_run(self, key: Key, now: float) -> None:
        began, request = self._began.pop(key), self._records.request(RequestId(key[1]))
        if request is not None:
            self._took[request.model] = now - began

    def _take(self, key: Key, future: "Future[bytes]", dispute: bytes, now: float) -> None:
        row = self._store.duty(key)
        if row is None or row.state is not State.OPEN:
            return  # ended meanwhile
        request_id = row.duty.request_id
        request = hex_id(request_id)
        try:
            finding = findings.read_finding(future.result())
        except OracleError as error:
            self._tries[key].too_slow += isinstance(error, InferenceTooSlow)
            log.error("cannot be checked yet", request=request, why=str(error))
            self._report_unwatched(row, request_id, f"it cannot be checked yet: {error}")
            self._tries[key].fail(now)
            return
        # A bug, which must not cost us the deadlines of the rest, nor let a liar go that found it.
        except Exception as error:
            log.error("cannot be checked yet", request=request, exc_info=error)
            self._tries[key].fail(now)
            return
        self._report_unwatched(row, request_id, finding.unwatched)
        if not finding.is_right:
            self._found[request_id] = known = _Known(finding, dispute)
            if row.duty.kind is DutyKind.CHECK:
                self._conclude_wrong(row, known, now)
        elif row.duty.kind is DutyKind.CHECK:
            log.info("reproduced", request=request)
            self._conclude(dispute, request_id, is_right=True)

    def _report_unwatched(self, row: Row, request_id: RequestId, reason: str) -> None:
        """Says, and keeps, why nobody could be convicted about a result. Whoever relies on it must
        not take our silence for consent."""
        self._store.report(request_id, reason)
        if reason:
            self._report(row, "unwatched", why=reason)

    def _conclude_wrong(self, row: Row, known: _Known, now: float) -> bool:
        """Takes a wrong result on, and says whether it did. Where there is a second node, it
        accuses nobody on the word of one alone."""
        request_id = row.duty.request_id
        request = hex_id(request_id)
        subject = self._records.subject(request_id)
        assert subject is not None
        operator = subject.proposal.operator
        if self._second_view is not None:
            payload = self._store.payload(request_id)
            objection = self._second_view.objection(request_id, payload, subject)
            if objection is not None:
                log.error("not pursued: our node may be wrong", request=request, why=objection)
                self._tries[row.key].not_before = now + RETRY
                return False
        income = challenger.income(subject.request, self._policy)
        log.error(
            "a result is wrong",
            request=request,
            operator=operator,
            certain_income=income.certain,
            hoped_income=income.hoped,
        )
        self._conclude(known.dispute, request_id, is_right=False)
        return True

    def _conclude(self, dispute: bytes, request_id: RequestId, is_right: bool) -> None:
        """Keeps what was found, from which it follows what is next."""
        self._store.keep_check(dispute, request_id, is_right)
        self._renew(request_id)
