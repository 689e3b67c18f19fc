"""What must survive a crash: cursor, models, requests, duties, transactions. SQL by SQLAlchemy."""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    Connection,
    Table,
    create_engine,
    delete,
    event,
    func,
    inspect,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Engine
from sqlalchemy.exc import ArgumentError, DBAPIError

from oracle.chain.codec import request_bytes, request_from_bytes
from oracle.chain.disputes import Dispute, key_of, replay
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
    Where,
    WindowMoved,
)
from oracle.chain.node import Call, Fees
from oracle.chain.preimage import model_of
from oracle.chain.transactions import Outcome, Sent
from oracle.chain.watcher import Cursor
from oracle.errors import ConfigError
from oracle.state.duties import (
    Close,
    Decision,
    Decline,
    Duty,
    DutyKind,
    Finish,
    Postpone,
    State,
)
from oracle.state.events import dump_event, load_event
from oracle.state.schema import (
    CHECKS,
    COMMITMENTS,
    CURSOR,
    DISPUTE_EVENTS,
    DUTIES,
    IDENTITY,
    METADATA,
    MODELS,
    PROPOSALS,
    REQUESTS,
    STUCK,
    TRANSACTIONS,
    UNWATCHED,
    URIS,
)
from oracle.types import (
    Address,
    Model,
    ModelId,
    Proposal,
    Request,
    RequestId,
    Wei,
)


@dataclass(frozen=True, slots=True)
class Row:
    """A duty as stored."""

    id: int
    duty: Duty
    state: State
    note: str


@dataclass(frozen=True, slots=True)
class Handled:
    """An event and what was decided about it; or, if that failed, the traceback."""

    event: Event
    decisions: Sequence[Decision]
    traceback: str | None = None


@dataclass(frozen=True, slots=True)
class Counts:
    """For health: how many duties stand where."""

    duties: dict[State, int]
    stuck: int
    nearest_deadline: int | None


class Store:
    """One operator's state. `url` as SQLAlchemy writes it: sqlite:///… or postgresql+psycopg://…"""

    def __init__(self, url: str, chain_id: int, queue: Address, operator: Address):
        self._engine = _open(url)
        with self._begin() as connection:
            METADATA.create_all(connection)
            _check_tables(connection)
            found = connection.execute(select(IDENTITY)).one_or_none()
            if found is None:
                values = {"chain_id": chain_id, "queue": queue, "operator": operator}
                connection.execute(IDENTITY.insert().values(values))
        if found is not None and tuple(found) != (chain_id, queue, operator):
            self.close_engine()
            raise ConfigError(
                f"This state belongs to operator {found.operator} on chain {found.chain_id}"
                f" (queue {found.queue}); give --state another file."
            )

    def close_engine(self) -> None:
        self._engine.dispose()

    @contextmanager
    def _begin(self) -> Iterator[Connection]:
        with self._engine.begin() as connection:
            yield connection

    # Events in.

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
                self._insert(connection, DUTIES, **_duty_values(decision, what.where))
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
                _set_declined(connection, request_id, reason)
                if until is not None:
                    duty = Duty(DutyKind.PROPOSE, request_id, deadline=until)
                    values = _duty_values(duty, what.where)
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

    def _insert(self, connection: Connection, table: Table, **values: object) -> None:
        """Inserts a row, or does nothing where the row is there already, because events may be read
        twice."""
        dialect = postgresql if self._engine.dialect.name == "postgresql" else sqlite
        connection.execute(dialect.insert(table).values(values).on_conflict_do_nothing())

    # What is known.

    def model(self, model_id: ModelId) -> Model | None:
        found = self.preimage(model_id)
        return None if found is None else model_of(found)

    def preimage(self, model_id: ModelId) -> bytes | None:
        """Gives the preimage of the model's id."""
        with self._begin() as connection:
            query = select(MODELS.c.preimage).where(MODELS.c.model_id == model_id)
            return connection.execute(query).scalar_one_or_none()

    def uris(self, model_id: ModelId) -> list[str]:
        with self._begin() as connection:
            query = select(URIS.c.uri).where(URIS.c.model_id == model_id)
            return list(connection.execute(query).scalars())

    def request(self, request_id: RequestId) -> Request | None:
        with self._begin() as connection:
            query = select(REQUESTS.c.words).where(REQUESTS.c.request_id == request_id)
            words = connection.execute(query).scalar_one_or_none()
        return None if words is None else request_from_bytes(words)

    def payload(self, request_id: RequestId) -> bytes:
        with self._begin() as connection:
            query = select(REQUESTS.c.payload).where(REQUESTS.c.request_id == request_id)
            return bytes(connection.execute(query).scalar_one())

    def proposal(self, request_id: RequestId) -> tuple[Proposal, bytes] | None:
        """Gives the last proposal and its output."""
        with self._begin() as connection:
            query = select(PROPOSALS).where(PROPOSALS.c.request_id == request_id)
            row = connection.execute(query).one_or_none()
        if row is None:
            return None
        operator = Address(row.operator)
        return Proposal(operator, row.epoch, row.proposed_at, row.settle_at), row.output

    def declined(self, request_id: RequestId) -> str | None:
        with self._begin() as connection:
            query = select(REQUESTS.c.declined).where(REQUESTS.c.request_id == request_id)
            return connection.execute(query).scalar_one_or_none()

    def output(self, request_id: RequestId) -> bytes | None:
        """Gives the output that we computed, if we have."""
        with self._begin() as connection:
            query = select(REQUESTS.c.output).where(REQUESTS.c.request_id == request_id)
            return connection.execute(query).scalar_one_or_none()

    def keep_output(self, request_id: RequestId, output: bytes, seconds: float) -> None:
        with self._begin() as connection:
            connection.execute(
                update(REQUESTS)
                .where(REQUESTS.c.request_id == request_id)
                .values(output=output, seconds=seconds)
            )

    def took(self, request_id: RequestId) -> float | None:
        """Gives the seconds that our run took, or None where they are not known."""
        with self._begin() as connection:
            query = select(REQUESTS.c.seconds).where(REQUESTS.c.request_id == request_id)
            return connection.execute(query).scalar_one_or_none()

    def dispute(self, key: bytes) -> Dispute:
        """Gives the dispute with that key as far as its events are read."""
        query = (
            select(DISPUTE_EVENTS.c.event)
            .where(DISPUTE_EVENTS.c.dispute == key)
            .order_by(DISPUTE_EVENTS.c.block, DISPUTE_EVENTS.c.log_index)
        )
        with self._begin() as connection:
            rows = list(connection.execute(query).scalars())
        return replay(key, map(load_event, rows))

    def disputes(self, request_id: RequestId) -> list[Dispute]:
        """Lists the disputes about a request, one for each of its proposals that was disputed."""
        query = (
            select(DISPUTE_EVENTS.c.dispute)
            .where(DISPUTE_EVENTS.c.request_id == request_id)
            .group_by(DISPUTE_EVENTS.c.dispute)
            .order_by(func.min(DISPUTE_EVENTS.c.block))
        )
        with self._begin() as connection:
            keys = list(connection.execute(query).scalars())
        return [self.dispute(key) for key in keys]

    def committed(self, commitment: bytes) -> int | None:
        """Gives the block of a commitment, or None where there is none."""
        query = select(COMMITMENTS.c.block).where(COMMITMENTS.c.commitment == commitment)
        with self._begin() as connection:
            return connection.execute(query).scalar_one_or_none()

    def is_right(self, dispute: bytes) -> bool | None:
        """Says whether a proposal was right when we ran it again. Gives None where we have not
        yet."""
        query = select(CHECKS.c.is_right).where(CHECKS.c.dispute == dispute)
        with self._begin() as connection:
            return connection.execute(query).scalar_one_or_none()

    def wrong(self) -> int:
        """Counts the proposals that we ever found to be wrong."""
        query = select(func.count()).select_from(CHECKS).where(CHECKS.c.is_right.is_(False))
        with self._begin() as connection:
            return int(connection.execute(query).scalar_one())

    def report(self, request_id: RequestId, reason: str) -> None:
        """Keeps why nobody could be convicted about a result; an empty reason forgets it."""
        with self._begin() as connection:
            connection.execute(delete(UNWATCHED).where(UNWATCHED.c.request_id == request_id))
            if reason:
                self._insert(connection, UNWATCHED, request_id=request_id, reason=reason)

    def unwatched(self) -> dict[RequestId, str]:
        """Lists the results about which nobody could be convicted, with the reasons."""
        with self._begin() as connection:
            rows = connection.execute(select(UNWATCHED)).all()
        return {RequestId(row.request_id): row.reason for row in rows}

    def spent(self) -> Wei:
        """Adds up the most that may have been spent: the gas of all that was mined, at the highest
        price that it might have paid, the value sent with it, and all that still waits."""
        columns = TRANSACTIONS.c
        query = select(
            columns.maximum, columns.value, columns.gas, columns.gas_used, columns.outcome
        ).where(columns.is_mined | (columns.outcome == Outcome.WAITING))
        with self._begin() as connection:
            rows = connection.execute(query).all()
        total = 0
        for row in rows:
            gas = row.gas if row.outcome == Outcome.WAITING else row.gas_used
            total += gas * int(row.maximum)
            total += 0 if row.outcome == Outcome.FAILED else int(row.value)
        return Wei(total)

    # Duties.

    def conclude(self, check: int, dispute: bytes, request_id: RequestId, is_right: bool) -> None:
        """Ends the check of a proposal with what was found; what is wrong is to be pursued."""
        with self._begin() as connection:
            self._insert(
                connection, CHECKS, dispute=dispute, request_id=request_id, is_right=is_right
            )
            row = connection.execute(select(DUTIES).where(DUTIES.c.id == check)).one()
            connection.execute(update(DUTIES).where(DUTIES.c.id == check).values(state=State.DONE))
            if not is_right:
                pursuit = Duty(DutyKind.PURSUE, request_id, deadline=row.deadline)
                at = Where(row.block, row.log_index, b"", 0)
                self._insert(connection, DUTIES, **_duty_values(pursuit, at))

    def take(self, duty: Duty, where: Where) -> None:
        """Takes on a duty that follows from what happened there, once; one that was given up, and
        turns out to be needed still, is open again."""
        values = _duty_values(duty, where)
        unique = ("kind", "subject", "block", "log_index")
        same = [DUTIES.c[name] == values[name] for name in unique]
        with self._begin() as connection:
            self._insert(connection, DUTIES, **values)
            connection.execute(
                update(DUTIES)
                .where(*same, DUTIES.c.state == State.SUPERSEDED)
                .values(state=State.OPEN)
            )

    def decline(self, row: Row, reason: str, is_for_good: bool = False) -> None:
        """Puts an open duty to answer off, for a reason that may pass, or for good."""
        state = State.SUPERSEDED if is_for_good else State.DECLINED
        with self._begin() as connection:
            _turn(connection, row.id, State.OPEN, state, reason)
            _set_declined(connection, row.duty.subject, reason)

    def accept(self, row: Row) -> None:
        """Takes on a duty to answer that was declined."""
        with self._begin() as connection:
            _turn(connection, row.id, State.DECLINED, State.OPEN, "")
            _set_declined(connection, row.duty.subject, None)

    def place(self, duty: int) -> tuple[int, int]:
        """Gives the block and the index of the log that gave rise to a duty."""
        query = select(DUTIES.c.block, DUTIES.c.log_index).where(DUTIES.c.id == duty)
        with self._begin() as connection:
            row = connection.execute(query).one()
        return row.block, row.log_index

    def duty(self, duty: int) -> Row:
        with self._begin() as connection:
            return _row(connection.execute(select(DUTIES).where(DUTIES.c.id == duty)).one())

    def duties(
        self, *states: State, kind: DutyKind | None = None, due_after: float | None = None
    ) -> list[Row]:
        """Lists duties, the nearest deadline first. With `due_after`, in seconds, it lists only
        those whose deadline is later."""
        query = select(DUTIES).where(DUTIES.c.state.in_(states))
        if kind is not None:
            query = query.where(DUTIES.c.kind == kind)
        if due_after is not None:
            query = query.where(DUTIES.c.deadline > due_after)
        # A missing deadline sorts last in PostgreSQL and first in SQLite.
        query = query.order_by(DUTIES.c.deadline.is_(None), DUTIES.c.deadline, DUTIES.c.id)
        with self._begin() as connection:
            rows = connection.execute(query).all()
        return list(map(_row, rows))

    def end(self, duty: int, state: State, note: str) -> None:
        """Ends a duty that is still open or sent."""
        with self._begin() as connection:
            connection.execute(
                update(DUTIES)
                .where(DUTIES.c.id == duty, DUTIES.c.state.in_((State.OPEN, State.SENT)))
                .values(state=state, note=note)
            )

    def counts(self) -> Counts:
        with self._begin() as connection:
            by_state = connection.execute(
                select(DUTIES.c.state, func.count()).group_by(DUTIES.c.state)
            ).all()
            stuck = connection.execute(select(func.count()).select_from(STUCK)).scalar_one()
            nearest = connection.execute(
                select(func.min(DUTIES.c.deadline)).where(
                    DUTIES.c.state.in_((State.OPEN, State.SENT))
                )
            ).scalar_one()
        return Counts({State(state): count for state, count in by_state}, stuck, nearest)

    # Transactions: the sender's Outbox.

    def record(self, sent: Sent) -> None:
        """Stores the transaction together with its duties' new state: both or neither."""
        priority = sent.fees.priority
        with self._begin() as connection:
            connection.execute(
                TRANSACTIONS.insert().values(
                    hash=sent.hash,
                    raw=sent.raw,
                    nonce=sent.nonce,
                    gas=sent.gas,
                    maximum=str(sent.fees.maximum),
                    priority=None if priority is None else str(priority),
                    to=sent.call.to,
                    data=sent.call.data,
                    value=str(sent.call.value),
                    duties=json.dumps(sent.duties),
                    sent_at=sent.sent_at,
                    outcome=Outcome.WAITING,
                )
            )
            connection.execute(
                update(DUTIES)
                .where(DUTIES.c.id.in_(sent.duties), DUTIES.c.state == State.OPEN)
                .values(state=State.SENT)
            )

    def waiting(self) -> list[Sent]:
        query = (
            select(TRANSACTIONS)
            .where(TRANSACTIONS.c.outcome == Outcome.WAITING)
            .order_by(TRANSACTIONS.c.nonce, TRANSACTIONS.c.sent_at)
        )
        with self._begin() as connection:
            rows = connection.execute(query).all()
        return [
            Sent(
                hash=row.hash,
                raw=row.raw,
                nonce=row.nonce,
                gas=row.gas,
                fees=Fees(
                    Wei(int(row.maximum)), None if row.priority is None else Wei(int(row.priority))
                ),
                call=Call(
                    None if row.to is None else Address(row.to), row.data, Wei(int(row.value))
                ),
                duties=tuple(json.loads(row.duties)),
                sent_at=row.sent_at,
            )
            for row in rows
        ]

    def close(self, nonce: int, outcome: Outcome, mined: bytes | None, gas_used: int) -> None:
        """Closes all transactions of a nonce. A duty whose transaction succeeded stays SENT until
        its event is read; any other is open again."""
        open_ones = (TRANSACTIONS.c.nonce == nonce) & (TRANSACTIONS.c.outcome == Outcome.WAITING)
        with self._begin() as connection:
            lists = connection.execute(select(TRANSACTIONS.c.duties).where(open_ones)).scalars()
            duties = {duty for each in lists for duty in json.loads(each)}
            connection.execute(update(TRANSACTIONS).where(open_ones).values(outcome=outcome))
            connection.execute(
                update(TRANSACTIONS)
                .where(TRANSACTIONS.c.hash == mined)
                .values(is_mined=True, gas_used=gas_used)
            )
            if outcome is not Outcome.SUCCEEDED:
                connection.execute(
                    update(DUTIES)
                    .where(DUTIES.c.id.in_(duties), DUTIES.c.state == State.SENT)
                    .values(state=State.OPEN)
                )


def _row(found: Any) -> Row:
    duty = Duty(DutyKind(found.kind), found.subject, found.not_before, found.deadline)
    return Row(found.id, duty, State(found.state), found.note)


def _turn(connection: Connection, duty: int, before: State, after: State, note: str) -> None:
    connection.execute(
        update(DUTIES)
        .where(DUTIES.c.id == duty, DUTIES.c.state == before)
        .values(state=after, note=note)
    )


def _set_declined(connection: Connection, request_id: bytes, reason: str | None) -> None:
    connection.execute(
        update(REQUESTS).where(REQUESTS.c.request_id == request_id).values(declined=reason)
    )


def _duty_values(duty: Duty, where: Where) -> dict[str, object]:
    return {
        "kind": duty.kind,
        "subject": duty.subject,
        "block": where.block,
        "log_index": where.index,
        "not_before": duty.not_before,
        "deadline": duty.deadline,
        "state": State.OPEN,
        "note": "",
    }


def _open(url: str) -> Engine:
    try:
        engine = create_engine(url)
    except (ArgumentError, ImportError) as error:
        raise ConfigError(f"The state cannot be opened: {_first_line(error)}.") from error
    if engine.dialect.name == "sqlite":

        @event.listens_for(engine, "connect")
        def _durable(connection: object, _: object) -> None:
            cursor = connection.cursor()  # type: ignore[attr-defined]
            cursor.execute("PRAGMA journal_mode = WAL")
            cursor.execute("PRAGMA synchronous = FULL")
            cursor.close()

    try:
        engine.connect().close()
    except (DBAPIError, sqlite3.DatabaseError) as error:
        cause = getattr(error, "orig", error)
        raise ConfigError(f"The state cannot be opened: {_first_line(cause)}.") from error
    return engine


def _check_tables(connection: Connection) -> None:
    """Refuses the state of another version. It can be given up, since all that is kept follows from
    the chain."""
    tables = inspect(connection)
    for name, table in METADATA.tables.items():
        if {column["name"] for column in tables.get_columns(name)} != set(table.columns.keys()):
            raise ConfigError(
                "This state was made by another version of exactum; give --state another file, or"
                " move it away: what it held is read from the chain again."
            )


def _first_line(error: object) -> str:
    return str(error).strip().splitlines()[0].rstrip(".")
