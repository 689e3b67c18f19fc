"""What must survive a crash: cursor, models, requests, duties, transactions."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select, update

from oracle.chain.codec import request_bytes
from oracle.chain.disputes import key_of
from oracle.chain.events import (
    DemandTimedOut,
    Event,
    FraudCommitted,
    FraudProven,
    ModelPublished,
    ModelUriAdded,
    PartDemanded,
    PartRevealed,
    RequestCreated,
    ResultProposed,
    TraceRevealed,
    WindowMoved,
)
from oracle.chain.watcher import Cursor
from oracle.state.agenda import Agenda, duty_values, set_declined
from oracle.state.deeds import Deeds
from oracle.state.duties import Close, Decision, Decline, Duty, DutyKind, Finish, Postpone, State
from oracle.state.events import dump_event
from oracle.state.outbox import StoredOutbox
from oracle.state.records import Records
from oracle.state.schema import (
    COMMITMENTS,
    CURSOR,
    DISPUTE_EVENTS,
    DUTIES,
    MODELS,
    PROPOSALS,
    REQUESTS,
    STUCK,
    TRANSACTIONS,
    URIS,
)


@dataclass(frozen=True, slots=True)
class Handled:
    """An event and what was decided about it; or, if that failed, the traceback."""

    event: Event
    decisions: Sequence[Decision]
    traceback: str | None = None


class Store(Records, Deeds, Agenda, StoredOutbox):
    """The whole state of one account: takes on what events oblige it to do."""

    def cursor(self) -> Cursor | None:
        with self._begin() as connection:
            row = connection.execute(select(CURSOR)).one_or_none()
        return None if row is None else Cursor(row.number, row.hash)

    def advance(self, cursor: Cursor, handled: Iterable[Handled]) -> None:
        """Takes on what was decided and moves the cursor, all or nothing."""
        with self._begin() as connection:
            for each in handled:
                self._remember(connection, each.event)
                if each.traceback is not None:
                    self._set_stuck(connection, each.event, each.traceback)
                for decision in each.decisions:
                    self._apply(connection, each.event, decision)
            values = {"id": 1, "number": cursor.number, "hash": cursor.hash}
            if connection.execute(update(CURSOR).values(values)).rowcount == 0:
                connection.execute(CURSOR.insert().values(values))

    def _remember(self, connection: Connection, what: Event) -> None:
        match what:
            case ModelPublished(model_id=model_id, uri=uri, preimage=preimage):
                self._insert(connection, MODELS, model_id=model_id, preimage=preimage)
                if uri:
                    self._insert(connection, URIS, model_id=model_id, uri=uri)
            case ModelUriAdded(model_id=model_id, uri=uri):
                self._insert(connection, URIS, model_id=model_id, uri=uri)
            case RequestCreated(request_id=request_id, request=request, payload=payload):
                self._insert(
                    connection,
                    REQUESTS,
                    request_id=request_id,
                    words=request_bytes(request),
                    payload=payload,
                )
            case ResultProposed(request_id=request_id, proposal=proposal, output=output):
                connection.execute(PROPOSALS.delete().where(PROPOSALS.c.request_id == request_id))
                self._insert(
                    connection,
                    PROPOSALS,
                    request_id=request_id,
                    operator=proposal.operator,
                    epoch=proposal.epoch,
                    proposed_at=proposal.proposed_at,
                    settle_at=proposal.settle_at,
                    by_signer=proposal.by_signer,
                    output=output,
                )
            case WindowMoved(request_id=request_id, proposal=proposal):
                connection.execute(
                    update(PROPOSALS)
                    .where(PROPOSALS.c.request_id == request_id)
                    .values(settle_at=proposal.settle_at)
                )
            # Whoever sent it: a copy that came first is the challenger's all the same.
            case FraudCommitted(where=where, commitment=commitment):
                values = {"commitment": commitment, "block": where.block}
                self._insert(connection, COMMITMENTS, **values)
            case (
                PartDemanded() | PartRevealed() | TraceRevealed() | FraudProven() | DemandTimedOut()
            ):
                self._insert(
                    connection,
                    DISPUTE_EVENTS,
                    block=what.where.block,
                    log_index=what.where.index,
                    request_id=what.request_id,
                    dispute=key_of(what),
                    event=dump_event(what),
                )

    def _apply(self, connection: Connection, what: Event, decision: Decision) -> None:
        match decision:
            case Duty():
                self._insert(connection, DUTIES, **duty_values(decision, what.where))
            case Close(kind, subject, state, note, due_by):
                declined = () if state is State.MISSED else (State.DECLINED,)
                ended = (
                    update(DUTIES)
                    .where(DUTIES.c.kind == kind, DUTIES.c.subject == subject)
                    .where(DUTIES.c.state.in_((State.OPEN, State.SENT, *declined)))
                )
                if due_by is not None:
                    ended = ended.where(DUTIES.c.not_before <= due_by)
                connection.execute(ended.values(state=state, note=note))
            case Postpone(kind, subject, not_before, deadline):
                connection.execute(
                    update(DUTIES)
                    .where(DUTIES.c.kind == kind, DUTIES.c.subject == subject)
                    .where(DUTIES.c.state.in_((State.OPEN, State.SENT)))
                    .values(not_before=not_before, deadline=deadline)
                )
            case Finish(kind, transaction):
                lists = connection.execute(
                    select(TRANSACTIONS.c.duties).where(TRANSACTIONS.c.hash == transaction)
                ).scalars()
                sent = [duty for each in lists for duty in json.loads(each)]
                connection.execute(
                    update(DUTIES)
                    .where(DUTIES.c.kind == kind, DUTIES.c.id.in_(sent))
                    .where(DUTIES.c.state.in_((State.OPEN, State.SENT)))
                    .values(state=State.DONE)
                )
            case Decline(request_id, reason, until):
                set_declined(connection, request_id, reason)
                if until is not None:
                    duty = Duty(DutyKind.PROPOSE, request_id, deadline=until)
                    values = duty_values(duty, what.where)
                    values |= {"state": State.DECLINED, "note": reason}
                    self._insert(connection, DUTIES, **values)

    def _set_stuck(self, connection: Connection, what: Event, traceback: str) -> None:
        self._insert(
            connection,
            STUCK,
            block=what.where.block,
            log_index=what.where.index,
            event=repr(what),
            traceback=traceback,
        )
