"""What we did that no chain takes back: answers computed, answers signed, results checked."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import Row as Found
from sqlalchemy import delete, exists, func, select, update

from oracle.chain.codec import request_bytes, request_from_bytes
from oracle.chain.events import RequestCreated
from oracle.state.events import load_event
from oracle.state.facts import parts
from oracle.state.news import News
from oracle.state.schema import DEEDS, EVENTS, PROGRESS, UNWATCHED
from oracle.types import Request, RequestId

KEPT = 86_400  # seconds that an answer is known of when it can no longer be posted

_OF = DEEDS.c
_IS_POSTED = exists().where(EVENTS.c.subject == _OF.request_id)


class DeedKind(StrEnum):
    COMPUTED = "computed"
    SIGNED = "signed"
    CHECKED = "checked"


@dataclass(frozen=True, slots=True)
class Computed:
    """An answer that we computed, and the seconds that its run took."""

    request_id: RequestId
    output: bytes
    seconds: float


@dataclass(frozen=True, slots=True)
class Ours:
    """What is known of an answer of ours: its request, where it was signed, and the seconds that
    its run took."""

    request: Request | None
    seconds: float


@dataclass(frozen=True, slots=True)
class Signed:
    """An answer that we signed. `seconds` is what its run took. Its output is dropped once nobody
    can post it any more."""

    request_id: RequestId
    request: Request
    epoch: int
    seconds: float
    output: bytes | None


class Deeds(News):
    """Keeps each deed before anybody else can know of it. A signature that was given cannot be
    taken back, or read again from anywhere."""

    def keep_outputs(self, found: Sequence[Computed]) -> None:
        """Keeps outputs that we computed, and what that took."""
        ids = [each.request_id for each in found]
        rows = [
            {
                "kind": DeedKind.COMPUTED,
                "subject": each.request_id,
                "request_id": each.request_id,
                "output": each.output,
                "seconds": each.seconds,
            }
            for each in found
        ]
        is_computed = _OF.kind == DeedKind.COMPUTED
        self._tell(ids)
        with self._begin() as connection:
            for some in parts(ids):
                connection.execute(delete(DEEDS).where(is_computed, _OF.subject.in_(some)))
            if rows:
                connection.execute(DEEDS.insert(), rows)

    def output(self, request_id: RequestId) -> bytes | None:
        """Gives the output that we computed, if we have."""
        found = self._deed(DeedKind.COMPUTED, request_id)
        return None if found is None else found.output

    def ours(self, request_ids: Collection[RequestId]) -> dict[RequestId, Ours]:
        """Gives what is known of answers of ours, computed or signed, to these requests."""
        query = select(_OF.request_id, _OF.words, _OF.seconds).where(_OF.seconds.is_not(None))
        found: dict[RequestId, Ours] = {}
        with self._begin() as connection:
            for some in parts(list(request_ids)):
                rows = connection.execute(query.where(_OF.request_id.in_(some)).order_by(_OF.kind))
                for id_, words, seconds in rows:
                    request_id = RequestId(bytes(id_))
                    request = None if words is None else request_from_bytes(words)
                    known = found.get(request_id) or Ours(None, seconds)  # the computed one's
                    found[request_id] = Ours(request, known.seconds)
        return found

    def took(self, request_id: RequestId) -> float | None:
        """Gives the seconds that our run took, or None where they are not known. What was signed
        before the chain knew of it is not run again."""
        for kind in (DeedKind.COMPUTED, DeedKind.SIGNED):
            found = self._deed(kind, request_id)
            if found is not None:
                seconds: float = found.seconds
                return seconds
        return None

    def outputs(self, request_ids: Collection[RequestId]) -> dict[RequestId, Computed]:
        """Gives the answers that we have computed, of those to these requests."""
        query = select(_OF.subject, _OF.output, _OF.seconds).where(_OF.kind == DeedKind.COMPUTED)
        with self._begin() as connection:
            found = [
                Computed(RequestId(bytes(subject)), bytes(output), seconds)
                for some in parts(list(request_ids))
                for subject, output, seconds in connection.execute(
                    query.where(_OF.subject.in_(some))
                )
            ]
        return {each.request_id: each for each in found}

    # Answers signed.

    def keep_signed(self, signed: Signed) -> None:
        """Keeps an answer that is about to be signed; one of the same request is signed anew after
        a slash only, which ended the signature of before."""
        self._tell([signed.request_id])
        self._keep(
            DeedKind.SIGNED,
            signed.request_id,
            signed.request_id,
            words=request_bytes(signed.request),
            deadline=signed.request.deadline,
            epoch=signed.epoch,
            seconds=signed.seconds,
            output=signed.output,
        )

    def signed(self, request_id: RequestId) -> Signed | None:
        found = self._deed(DeedKind.SIGNED, request_id)
        return None if found is None else _signed(found)

    def unposted(
        self, after: float, request_ids: Collection[RequestId] | None = None
    ) -> list[Signed]:
        """Lists the answers that may still be posted, as far as the chain was read until the time
        `after`: their deadline is later, and the chain knows nothing of them yet. It lists those to
        `request_ids` alone, where they are given."""
        query = select(DEEDS).where(_OF.kind == DeedKind.SIGNED, _OF.deadline > after, ~_IS_POSTED)
        given = None if request_ids is None else list(request_ids)
        queries = (
            [query] if given is None else [query.where(_OF.subject.in_(e)) for e in parts(given)]
        )
        with self._begin() as connection:
            return [_signed(found) for each in queries for found in connection.execute(each)]

    def drop_signed(self, until: float) -> None:
        """Drops the outputs of answers whose deadline was before the time `until`, and a day later
        the rest of those that were not posted: whoever asks and never posts would fill the disk,
        and no chain goes back for so long."""
        is_signed = _OF.kind == DeedKind.SIGNED
        is_over, has_output = _OF.deadline < until, _OF.output.is_not(None)
        is_old = _OF.deadline < until - KEPT
        with self._begin() as connection:
            connection.execute(
                update(DEEDS).where(is_signed, is_over, has_output).values(output=None)
            )
            connection.execute(delete(DEEDS).where(is_signed, is_old, ~_IS_POSTED))

    def has_signed(self) -> bool:
        """Says whether an answer of ours was signed, as far as we or the chain remember."""
        query = select(exists().where(_OF.kind == DeedKind.SIGNED))
        with self._begin() as connection:
            if connection.execute(query).scalar_one():
                return True
            kind = RequestCreated.__name__
            bodies = select(EVENTS.c.body).where(EVENTS.c.kind == kind)
            for (body,) in connection.execute(bodies):
                event = load_event(kind, body)
                assert isinstance(event, RequestCreated)
                # Whoever posts an answer makes its request with it.
                if event.request.is_callers and event.request.operator == self.account:
                    return True
        return False

    def alive_at(self) -> float | None:
        """Gives when a program last worked with this state, by its clock."""
        with self._begin() as connection:
            found: float | None = connection.execute(select(PROGRESS.c.alive_at)).scalar()
        return found

    def keep_alive(self, now: float) -> None:
        with self._begin() as connection:
            connection.execute(update(PROGRESS).values(alive_at=now))

    # Results checked.

    def keep_check(self, dispute: bytes, request_id: RequestId, is_right: bool) -> None:
        """Keeps whether a proposal was right when we ran it again."""
        self._keep(DeedKind.CHECKED, dispute, request_id, is_right=is_right)

    def is_right(self, dispute: bytes) -> bool | None:
        """Says whether a proposal was right when we ran it again. Gives None where we have not
        yet."""
        found = self._deed(DeedKind.CHECKED, dispute)
        return None if found is None else bool(found.is_right)

    def wrong(self) -> int:
        """Counts the proposals that we found to be wrong, of those that are still kept."""
        query = select(func.count()).select_from(DEEDS).where(_OF.is_right.is_(False))
        with self._begin() as connection:
            return int(connection.execute(query).scalar_one())

    def report(self, request_id: RequestId, reason: str) -> None:
        """Keeps why nobody could be convicted about a result; an empty reason forgets it."""
        with self._begin() as connection:
            connection.execute(delete(UNWATCHED).where(UNWATCHED.c.request_id == request_id))
            if reason:
                connection.execute(UNWATCHED.insert().values(request_id=request_id, reason=reason))

    def unwatched(self) -> dict[RequestId, str]:
        """Lists the results about which nobody could be convicted, with the reasons."""
        with self._begin() as connection:
            rows = connection.execute(select(UNWATCHED)).all()
        return {RequestId(bytes(row.request_id)): row.reason for row in rows}

    def _keep(
        self, kind: DeedKind, subject: bytes, request_id: RequestId, **values: object
    ) -> None:
        with self._begin() as connection:
            connection.execute(delete(DEEDS).where(_OF.kind == kind, _OF.subject == subject))
            row = {"kind": kind, "subject": subject, "request_id": request_id} | values
            connection.execute(DEEDS.insert().values(row))

    def _deed(self, kind: DeedKind, subject: bytes) -> "Found[tuple[Any, ...]] | None":
        query = select(DEEDS).where(_OF.kind == kind, _OF.subject == subject)
        with self._begin() as connection:
            return connection.execute(query).one_or_none()


def _signed(row: "Found[tuple[Any, ...]]") -> Signed:
    return Signed(
        RequestId(bytes(row.subject)),
        request_from_bytes(row.words),
        row.epoch,
        row.seconds,
        row.output,
    )
