"""What must survive a crash: what the chain said, what follows from it, and what we did."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import Connection, delete, func, select, union

from oracle.chain.events import PrepaidCollected, RequestCreated
from oracle.chain.histories import RequestHistory
from oracle.chain.view import Change
from oracle.state.agenda import Agenda, Owed
from oracle.state.deeds import Deeds
from oracle.state.duties import Due, DutyKind
from oracle.state.facts import Facts, History, parts
from oracle.state.outbox import StoredOutbox
from oracle.state.schema import (
    BLOCKS,
    DEEDS,
    DUTIES,
    ENDED,
    EVENTS,
    OPINIONS,
    PROGRESS,
    SENT_FOR,
    STUCK,
    TRANSACTIONS,
    UNWATCHED,
)
from oracle.types import Status

KEPT = 86_400  # seconds that a history is kept to which nothing can be added
MOST_DROPPED = 1000  # histories at once


class Store(Facts, Deeds, Agenda, StoredOutbox):
    """The whole state of one account."""

    def apply(self, change: Change, owed: Owed) -> None:
        """Takes in how the chain differs from what was read, and what follows: all or nothing."""
        with self._begin() as connection:
            touched = self._take_in(connection, change)
            last: Mapping[bytes, History] = {}  # which are asked for next
            begun = _begun(change)
            for some in parts(sorted(touched)):
                new = self._of_one_event(connection, [each for each in some if each in begun])
                histories = self._histories(connection, [each for each in some if each not in new])
                histories |= {each: begun[each] for each in new}
                found = self._renew(connection, some, histories, owed)
                connection.execute(delete(ENDED).where(ENDED.c.subject.in_(some)))
                ended = {s: _over(histories[s], due) for s, due in found.items() if s in histories}
                rows = [{"subject": s, "until": until} for s, until in ended.items() if until]
                if rows:
                    connection.execute(ENDED.insert(), rows)
                last = histories
            self._forget(touched)
            self._tell(touched | self._sent_by(connection, change.first))
        self._remember(last)

    def renew(self, subjects: Iterable[bytes], owed: Owed) -> None:
        """Works out anew what follows from these histories, because we did something about them."""
        subjects = sorted(subjects)
        self._tell(subjects)
        with self._begin() as connection:
            for some in parts(subjects):
                self._renew(connection, some, self._histories(connection, some), owed)

    def reset(self) -> None:
        """Forgets all that the chain said, since it says something else. What we did stays."""
        with self._begin() as connection:
            # What was signed and posted may be posted once more.
            found = connection.execute(
                union(select(DUTIES.c.subject), select(DEEDS.c.subject))
            ).scalars()
            subjects = [bytes(each) for each in found]
            for table in (BLOCKS, PROGRESS, EVENTS, ENDED, DUTIES, OPINIONS, STUCK):
                connection.execute(delete(table))
            self._forget_all()
            self._tell(subjects)

    def drop_ended(self, time: float) -> None:
        """Drops histories, with what we did about them, that ended long before the chain's `time`,
        some of them at once."""
        query = select(ENDED.c.subject).where(ENDED.c.until < time - KEPT).limit(MOST_DROPPED)
        with self._begin() as connection:
            subjects = [bytes(each) for each in connection.execute(query).scalars()]
            for some in parts(subjects):
                for table, column in (
                    (EVENTS, EVENTS.c.subject),
                    (ENDED, ENDED.c.subject),
                    (DUTIES, DUTIES.c.history),
                    (OPINIONS, OPINIONS.c.subject),
                    (STUCK, STUCK.c.subject),
                    (DEEDS, DEEDS.c.request_id),
                    (UNWATCHED, UNWATCHED.c.request_id),
                    (SENT_FOR, SENT_FOR.c.subject),
                ):
                    connection.execute(delete(table).where(column.in_(some)))
            self._forget(set(subjects))
            self._tell(subjects)

    def _of_one_event(self, connection: Connection, subjects: Sequence[bytes]) -> set[bytes]:
        """Gives those of which one event is known and no more, whatever the node says of when they
        began."""
        query = (
            select(EVENTS.c.subject)
            .where(EVENTS.c.subject.in_(subjects))
            .group_by(EVENTS.c.subject)
            .having(func.count() == 1)
        )
        return {bytes(each) for each in connection.execute(query).scalars()} if subjects else set()

    def _sent_by(self, connection: Connection, first: int) -> set[bytes]:
        """Gives what transactions are about that are in the blocks from `first` on: such a duty is
        sent until its block is read, and may be open then."""
        query = (
            select(SENT_FOR.c.subject)
            .join(TRANSACTIONS, SENT_FOR.c.hash == TRANSACTIONS.c.hash)
            .where(TRANSACTIONS.c.block >= first)
        )
        return {bytes(each) for each in connection.execute(query).scalars()}


def _begun(change: Change) -> dict[bytes, History]:
    """Gives the histories that begin with a change and have one event, as most do that are read for
    the first time. Others may have more than the change gives."""
    if not change.ends or any(isinstance(each, PrepaidCollected) for each in change.events):
        return {}
    counts = Counter(getattr(each, "request_id", None) for each in change.events)
    return {
        each.request_id: RequestHistory(each, ())
        for each in change.events
        if isinstance(each, RequestCreated) and counts[each.request_id] == 1
    }


def _over(history: History, due: Sequence[Due]) -> int | None:
    """Gives the time, in seconds, after which nothing can follow from a history any more; None
    where it goes on. What nobody answered by its deadline may stay as it is for ever."""
    if not isinstance(history, RequestHistory) or history.status is Status.PROPOSED:
        return None
    if any(each.duty.kind is not DutyKind.PROPOSE for each in due):
        return None
    last = [event.where.time for event in history.events]
    # What is void can be disputed for as long as it would have stood.
    over = {key for key, dispute in history.disputes.items() if dispute.conviction is not None}
    claims = history.claims_by_key.items()
    windows = [claim.proposal.settle_at for key, claim in claims if key not in over]
    deadlines = [each.deadline for dispute in history.disputes.values() for each in dispute.open]
    if history.status is Status.REQUESTED:
        last.append(history.request.deadline)
    return max([*last, *windows, *deadlines])
