"""Duties as they are stored: taken on, put off, ended."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, func, select, update

from oracle.chain.events import Where
from oracle.state.database import Database
from oracle.state.duties import Duty, DutyKind, State
from oracle.state.schema import CHECKS, DUTIES, REQUESTS, STUCK
from oracle.types import RequestId


@dataclass(frozen=True, slots=True)
class Row:
    """A duty as stored."""

    id: int
    duty: Duty
    state: State
    note: str


@dataclass(frozen=True, slots=True)
class Counts:
    """For health: how many duties stand where."""

    duties: dict[State, int]
    stuck: int
    nearest_deadline: int | None


class Agenda(Database):
    """The duties that we have and had."""

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
                self._insert(connection, DUTIES, **duty_values(pursuit, at))

    def take(self, duty: Duty, where: Where) -> None:
        """Takes on a duty that follows from what happened there, once; one that was given up, and
        turns out to be needed still, is open again."""
        values = duty_values(duty, where)
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
            set_declined(connection, row.duty.subject, reason)

    def forget_declined(self, until: float) -> None:
        """Drops what was declined and due by then: nobody looks at it again. The reason stays with
        the request."""
        with self._begin() as connection:
            connection.execute(
                delete(DUTIES).where(DUTIES.c.state == State.DECLINED, DUTIES.c.deadline <= until)
            )

    def accept(self, row: Row) -> None:
        """Takes on a duty to answer that was declined."""
        with self._begin() as connection:
            _turn(connection, row.id, State.DECLINED, State.OPEN, "")
            set_declined(connection, row.duty.subject, None)

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


def _row(found: Any) -> Row:
    duty = Duty(DutyKind(found.kind), found.subject, found.not_before, found.deadline)
    return Row(found.id, duty, State(found.state), found.note)


def _turn(connection: Connection, duty: int, before: State, after: State, note: str) -> None:
    connection.execute(
        update(DUTIES)
        .where(DUTIES.c.id == duty, DUTIES.c.state == before)
        .values(state=after, note=note)
    )


def set_declined(connection: Connection, request_id: bytes, reason: str | None) -> None:
    connection.execute(
        update(REQUESTS).where(REQUESTS.c.request_id == request_id).values(declined=reason)
    )


def duty_values(duty: Duty, where: Where) -> dict[str, object]:
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
