"""What we did that the chain need not know of: answers that we signed and handed out."""

from dataclasses import dataclass

from sqlalchemy import Row as Found
from sqlalchemy import delete, exists, select, update

from oracle.chain.codec import request_bytes, request_from_bytes
from oracle.state.database import Database
from oracle.state.duties import DutyKind
from oracle.state.schema import DUTIES, SIGNED
from oracle.types import Request, RequestId

_POSTED = exists().where(DUTIES.c.kind == DutyKind.SETTLE, DUTIES.c.subject == SIGNED.c.request_id)
KEPT = 86_400  # seconds that an answer is known of when it can no longer be posted


@dataclass(frozen=True, slots=True)
class Deed:
    """An answer that we signed. `seconds` is what its run took. Its output is dropped once nobody
    can post it any more."""

    request_id: RequestId
    request: Request
    epoch: int
    seconds: float
    output: bytes | None


class Deeds(Database):
    """The answers that we signed. A signature that was given cannot be taken back, or read again
    from anywhere, so each is kept before it is handed out."""

    def keep_signed(self, deed: Deed) -> None:
        """Keeps an answer that is about to be signed; one of the same request is signed anew after
        a slash only, which ended the signature of before."""
        with self._begin() as connection:
            connection.execute(delete(SIGNED).where(SIGNED.c.request_id == deed.request_id))
            self._insert(
                connection,
                SIGNED,
                request_id=deed.request_id,
                words=request_bytes(deed.request),
                deadline=deed.request.deadline,
                epoch=deed.epoch,
                seconds=deed.seconds,
                output=deed.output,
            )

    def signed(self, request_id: RequestId) -> Deed | None:
        with self._begin() as connection:
            query = select(SIGNED).where(SIGNED.c.request_id == request_id)
            row = connection.execute(query).one_or_none()
        return None if row is None else _deed(row)

    def unposted(self, after: float) -> list[Deed]:
        """Lists the answers that may still be posted, as far as the chain was read until the time
        `after`: their deadline is later, and they are no results of ours yet."""
        query = select(SIGNED).where(SIGNED.c.deadline > after, ~_POSTED)
        with self._begin() as connection:
            rows = connection.execute(query).all()
        return list(map(_deed, rows))

    def drop_signed(self, until: float) -> None:
        """Drops the outputs of answers whose deadline was before the time `until`, and a day later
        the rest of those that were not posted: whoever asks and never posts would fill the disk,
        and no chain goes back for so long."""
        is_over, has_output = SIGNED.c.deadline < until, SIGNED.c.output.is_not(None)
        is_old = SIGNED.c.deadline < until - KEPT
        with self._begin() as connection:
            connection.execute(update(SIGNED).where(is_over, has_output).values(output=None))
            connection.execute(delete(SIGNED).where(is_old, ~_POSTED))


def _deed(row: "Found[tuple[object, ...]]") -> Deed:
    return Deed(
        RequestId(row.request_id),
        request_from_bytes(row.words),
        row.epoch,
        row.seconds,
        row.output,
    )
