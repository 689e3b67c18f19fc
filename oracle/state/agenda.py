"""Duties as they are stored: those that follow from histories, and what we make of each."""

import traceback
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from sqlalchemy import (
    ColumnElement,
    Connection,
    String,
    and_,
    case,
    delete,
    exists,
    func,
    literal,
    or_,
    select,
    tuple_,
)

from oracle.chain.transactions import Outcome
from oracle.state.duties import Due, Duty, DutyKind, Key, State
from oracle.state.facts import History, parts
from oracle.state.news import News
from oracle.state.schema import BLOCKS, DUTIES, OPINIONS, SENT_FOR, STUCK, TRANSACTIONS
from oracle.types import RequestId
from oracle.visible import hex_id

log = structlog.get_logger()

PASSED = "its deadline passed"
HAD_PASSED = "its deadline had passed when it was read"
MOST_SAID = 20  # new duties that are logged each by itself

Owed = Callable[[History], Iterable[Due]]
"""Says which duties follow from a history, beside what we did about it."""


@dataclass(frozen=True, slots=True)
class Row:
    """A duty as stored. `place` is that of the event that gave rise to it: its block, and its index
    there."""

    duty: Duty
    state: State
    note: str
    place: tuple[int, int]

    @property
    def key(self) -> Key:
        return self.duty.key


@dataclass(frozen=True, slots=True)
class Tally:
    """The duties of one kind that stand at the same point. Times are in seconds, by the chain's
    clock."""

    kind: DutyKind
    state: State
    count: int
    nearest: int | None  # deadline
    block: int | None  # the first that gave rise to one which may be done since
    since: int | None  # from when on the first may be done of those that had to wait


def _is_sent(
    kind: ColumnElement[str] | DutyKind, subject: ColumnElement[bytes] | bytes
) -> ColumnElement[bool]:
    """Says whether a duty is in a transaction that may yet be mined, or that succeeded, in a block
    that was not read."""
    read = select(func.coalesce(func.max(BLOCKS.c.number), -1)).scalar_subquery()
    is_waiting = TRANSACTIONS.c.outcome == Outcome.WAITING
    is_unread = and_(TRANSACTIONS.c.outcome == Outcome.SUCCEEDED, TRANSACTIONS.c.block > read)
    return exists().where(
        SENT_FOR.c.kind == kind,
        SENT_FOR.c.subject == subject,
        SENT_FOR.c.hash == TRANSACTIONS.c.hash,
        or_(is_waiting, is_unread),
    )


_STATE = case(
    (OPINIONS.c.state.is_not(None), OPINIONS.c.state),
    (_is_sent(DUTIES.c.kind, DUTIES.c.subject), literal(State.SENT.value, String)),
    else_=literal(State.OPEN.value, String),
)
_HAS_OPINION = and_(OPINIONS.c.kind == DUTIES.c.kind, OPINIONS.c.subject == DUTIES.c.subject)
_ROWS = select(DUTIES, _STATE.label("state"), OPINIONS.c.note).select_from(
    DUTIES.outerjoin(OPINIONS, _HAS_OPINION)
)


class Agenda(News):
    """The duties that we have. `missed` counts those that were, since it was opened."""

    def __init__(self, *where: Any, **whose: Any):
        super().__init__(*where, **whose)
        self.missed: Counter[DutyKind] = Counter()

    def _renew(
        self,
        connection: Connection,
        subjects: Sequence[bytes],
        histories: Mapping[bytes, History],
        owed: Owed,
    ) -> Mapping[bytes, Sequence[Due]]:
        """Puts what follows from the histories of `subjects` in the place of what followed, and
        gives it. What has no history any more obliges to nothing."""
        due: dict[bytes, list[Due]] = {}
        for subject in subjects:
            try:
                due[subject] = list(owed(histories[subject])) if subject in histories else []
            # One poisonous history must not cost us the deadlines of the rest.
            except Exception:
                log.error("a history is stuck", subject=hex_id(subject), exc_info=True)
                self._set_stuck(connection, subject, traceback.format_exc())
        for some in parts(list(due)):
            connection.execute(delete(STUCK).where(STUCK.c.subject.in_(some)))
        self._replace(connection, due)
        return due

    def _replace(self, connection: Connection, due: Mapping[bytes, Sequence[Due]]) -> None:
        is_theirs = DUTIES.c.history.in_(due.keys())
        query = select(DUTIES.c.kind, DUTIES.c.subject).where(is_theirs)
        before = {(kind, bytes(subject)) for kind, subject in connection.execute(query)}
        after = {
            (str(each.duty.kind), bytes(each.duty.subject)): (history, each)
            for history, found in due.items()
            for each in found
        }
        connection.execute(delete(DUTIES).where(is_theirs))
        # What is over is over, and so is what we made of it.
        for some in parts(list(before - after.keys())):
            keys = tuple_(OPINIONS.c.kind, OPINIONS.c.subject)
            connection.execute(delete(OPINIONS).where(keys.in_(some)))
        if after:
            connection.execute(DUTIES.insert(), [_values(*each) for each in after.values()])
        # A dispute's duties are about a demand, and not about the request whose history it is.
        self._tell(subject for _, subject in before | after.keys())
        _say_taken_on([after[key][1].duty for key in after.keys() - before])

    def duties(
        self,
        *states: State,
        kind: DutyKind | None = None,
        due_after: float | None = None,
        due_by: float | None = None,
        over_by: float | None = None,
        most: int | None = None,
    ) -> list[Row]:
        """Lists duties, the nearest deadline first, and `most` of them. Of times in seconds, with
        `due_after` it lists only those whose deadline is later, with `over_by` those whose deadline
        is not, and with `due_by` those that can be done by then."""
        query = _ROWS.where(_STATE.in_(states))
        if kind is not None:
            query = query.where(DUTIES.c.kind == kind)
        if due_after is not None:
            query = query.where(DUTIES.c.deadline > due_after)
        if over_by is not None:
            query = query.where(DUTIES.c.deadline <= over_by)
        if due_by is not None:
            query = query.where(DUTIES.c.not_before <= due_by)
        # A missing deadline sorts last in PostgreSQL and first in SQLite.
        order = (DUTIES.c.deadline.is_(None), DUTIES.c.deadline, DUTIES.c.block, DUTIES.c.log_index)
        ordered = query.order_by(*order, DUTIES.c.subject).limit(most)
        with self._begin() as connection:
            return list(map(_row, connection.execute(ordered)))

    def duties_of(self, kind: DutyKind, subjects: Collection[bytes]) -> dict[bytes, Row]:
        """Gives the duties of a kind that are owed about these subjects, by subject."""
        query = _ROWS.where(DUTIES.c.kind == kind)
        with self._begin() as connection:
            return {
                bytes(found.subject): _row(found)
                for some in parts(list(subjects))
                for found in connection.execute(query.where(DUTIES.c.subject.in_(some)))
            }

    def duty(self, key: Key) -> Row | None:
        """Gives a duty that is still owed."""
        query = _ROWS.where(DUTIES.c.kind == key[0], DUTIES.c.subject == key[1])
        with self._begin() as connection:
            found = connection.execute(query).one_or_none()
        return None if found is None else _row(found)

    def is_sent(self, key: Key) -> bool:
        """Says whether a duty, also one that is kept nowhere, is in a transaction of which we do
        not know what it did."""
        with self._begin() as connection:
            return bool(connection.execute(select(_is_sent(*key))).scalar_one())

    def set_opinion(self, keys: Iterable[Key], state: State, note: str) -> None:
        """Takes duties off the open ones: declined, dropped or missed."""
        given = list(keys)
        rows = [
            {"kind": str(kind), "subject": bytes(subject), "state": str(state), "note": note}
            for kind, subject in given
        ]
        if state is State.MISSED:
            self.missed.update(kind for kind, _ in given)
        self._tell(subject for _, subject in given)
        with self._begin() as connection:
            self._drop_opinions(connection, rows)
            if rows:
                connection.execute(OPINIONS.insert(), rows)

    def drop_opinion(self, key: Key) -> None:
        """Opens a duty again."""
        self._tell([key[1]])
        with self._begin() as connection:
            self._drop_opinions(connection, [{"kind": str(key[0]), "subject": bytes(key[1])}])

    def reconsider(self, time: float) -> None:
        """Opens what we did not want to do, since we may want it now, unless it is over at `time`,
        in seconds by the chain's clock."""
        self._reopen(OPINIONS.c.state.in_((State.DECLINED, State.DROPPED)), time)

    def forgive(self, time: float) -> None:
        """Opens what a block's time has ended, and the chain's `time` has not."""
        self._reopen(OPINIONS.c.note.in_((PASSED, HAD_PASSED)), time)

    def _reopen(self, condition: ColumnElement[bool], time: float) -> None:
        is_on = or_(DUTIES.c.deadline.is_(None), DUTIES.c.deadline > time)
        columns = OPINIONS.c.kind, OPINIONS.c.subject
        query = select(*columns).join(DUTIES, _HAS_OPINION).where(condition, is_on)
        with self._begin() as connection:
            rows = [row._asdict() for row in connection.execute(query)]
            self._tell(bytes(row["subject"]) for row in rows)
            self._drop_opinions(connection, rows)

    def _drop_opinions(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        for some in parts([(row["kind"], row["subject"]) for row in rows]):
            keys = tuple_(OPINIONS.c.kind, OPINIONS.c.subject)
            connection.execute(delete(OPINIONS).where(keys.in_(some)))

    def opinion(self, kind: DutyKind, request_id: RequestId) -> str | None:
        """Says why a duty is not done."""
        query = select(OPINIONS.c.note).where(
            OPINIONS.c.kind == kind, OPINIONS.c.subject == request_id
        )
        with self._begin() as connection:
            return connection.execute(query).scalar_one_or_none()

    def tallies(self, time: float) -> list[Tally]:
        """Counts all duties, and says since when those wait that may be done at `time`."""
        columns = (DUTIES.c.kind, DUTIES.c.deadline, DUTIES.c.block, DUTIES.c.not_before)
        each = _ROWS.with_only_columns(*columns, _STATE.label("state")).subquery().c
        is_later = and_(each.not_before > 0, each.not_before <= time)
        query = select(
            each.kind,
            each.state,
            func.count().label("count"),
            func.min(each.deadline).label("nearest"),
            func.min(case((each.not_before == 0, each.block))).label("block"),
            func.min(case((is_later, each.not_before))).label("since"),
        ).group_by(each.kind, each.state)
        with self._begin() as connection:
            rows = connection.execute(query).all()
        return [
            Tally(DutyKind(kind), State(state), count, nearest, block, since)
            for kind, state, count, nearest, block, since in rows
        ]

    def stuck(self) -> int:
        """Counts the histories that we could make nothing of."""
        with self._begin() as connection:
            return int(connection.execute(select(func.count()).select_from(STUCK)).scalar_one())

    def _set_stuck(self, connection: Connection, subject: bytes, why: str) -> None:
        connection.execute(delete(STUCK).where(STUCK.c.subject == subject))
        connection.execute(STUCK.insert().values(subject=subject, traceback=why))


def _say_taken_on(duties: Sequence[Duty]) -> None:
    if len(duties) > MOST_SAID:
        for kind, count in Counter(duty.kind for duty in duties).items():
            log.info("took on duties", kind=kind, count=count)
        return
    for duty in duties:
        subject, deadline = hex_id(duty.subject), duty.deadline
        log.info("took on a duty", kind=duty.kind, subject=subject, deadline=deadline)


def _values(history: bytes, due: Due) -> dict[str, object]:
    duty, where = due.duty, due.where
    return {
        "kind": str(duty.kind),
        "subject": bytes(duty.subject),
        "history": history,
        "block": where.block,
        "log_index": where.index,
        "not_before": duty.not_before,
        "deadline": duty.deadline,
    }


def _row(found: Any) -> Row:
    duty = Duty(DutyKind(found.kind), bytes(found.subject), found.not_before, found.deadline)  # type: ignore[arg-type]
    return Row(duty, State(found.state), found.note or "", (found.block, found.log_index))
