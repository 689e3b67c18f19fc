"""What the chain says, as far as it was read: blocks, and the events in them."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence, Set
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import Connection, Select, and_, delete, func, literal, or_, select, update

from oracle.chain.disputes import Dispute
from oracle.chain.events import (
    Event,
    FraudCommitted,
    ModelPublished,
    ModelUriAdded,
    OperatorSlashed,
    PrepaidCollected,
    RequestCreated,
    UnstakeStarted,
    Withdrawn,
)
from oracle.chain.histories import AccountHistory, RequestHistory
from oracle.chain.preimage import model_of
from oracle.chain.view import Change, Header
from oracle.errors import Reorganised
from oracle.state.database import Database
from oracle.state.duties import account_id
from oracle.state.events import dispute_of, dump_event, load_event, subject_of
from oracle.state.schema import BLOCKS, EVENTS, PROGRESS
from oracle.types import Model, ModelId, Proposal, Request, RequestId
from oracle.visible import hex_id

MOST_ASKED = 500  # subjects in one query: databases limit its parameters
MOST_KEPT = 1024  # histories in memory

History = RequestHistory | AccountHistory
T = TypeVar("T")


class Facts(Database):
    """Keeps the events of all blocks that were read, and of no others."""

    def __init__(self, *where: Any, **whose: Any):
        super().__init__(*where, **whose)
        self._kept: dict[bytes, History] = {}  # the last that were asked for

    # How far it was read: what the view asks.

    def cursor(self) -> Header | None:
        return self._header(select(BLOCKS).order_by(BLOCKS.c.number.desc()).limit(1))

    def header(self, number: int) -> Header | None:
        return self._header(select(BLOCKS).where(BLOCKS.c.number == number))

    def oldest(self) -> Header | None:
        return self._header(select(BLOCKS).order_by(BLOCKS.c.number).limit(1))

    def settled(self) -> int | None:
        with self._begin() as connection:
            found: int | None = connection.execute(select(PROGRESS.c.settled)).scalar_one_or_none()
        return found

    def final(self) -> int:
        """Gives the last block of which we were told that it is final; a number below 0 where there
        is none."""
        with self._begin() as connection:
            found: int | None = connection.execute(select(PROGRESS.c.final)).scalar_one_or_none()
        return -1 if found is None else found

    def _header(self, query: Any) -> Header | None:
        with self._begin() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else Header(row.number, bytes(row.hash), row.time)

    def time_of(self, block: int) -> int | None:
        """Gives the time, in seconds, of a block that an event was read of."""
        query = select(EVENTS.c.kind, EVENTS.c.body).where(EVENTS.c.block == block).limit(1)
        with self._begin() as connection:
            found = connection.execute(query).one_or_none()
        return None if found is None else load_event(found.kind, found.body).where.time

    # Taking in.

    def _take_in(self, connection: Connection, change: Change) -> set[bytes]:
        """Makes what is known of the change's blocks what it gives; says whose histories differ."""
        self._require_distinct(connection, change.events)
        touched = self._replace_events(connection, change)
        gone = or_(
            BLOCKS.c.number.in_([each.number for each in change.headers]),
            and_(literal(change.ends), BLOCKS.c.number >= change.first),
        )
        connection.execute(delete(BLOCKS).where(gone))
        headers = [
            {"number": each.number, "hash": each.hash, "time": each.time} for each in change.headers
        ]
        if headers:
            connection.execute(BLOCKS.insert(), headers)
        # What may still be replaced is kept, and the last block that may not.
        is_final = BLOCKS.c.number <= change.final
        last = connection.execute(select(func.max(BLOCKS.c.number)).where(is_final)).scalar()
        if last is not None:
            connection.execute(delete(BLOCKS).where(BLOCKS.c.number < last))
        values = {"final": change.final, "settled": change.settled}
        if connection.execute(update(PROGRESS).values(values)).rowcount == 0:
            connection.execute(PROGRESS.insert().values(id=1, **values))
        return touched

    def _require_distinct(self, connection: Connection, events: Sequence[Event]) -> None:
        """Raises Reorganised where the hash of a block stands for two: what a node says of one of
        them is false, now or when it was read, and nobody knows which."""
        numbers = [(each.where.block_hash, each.where.block) for each in events]
        known = dict(numbers)
        for some in parts(list(known)):
            query = select(EVENTS.c.block_hash, EVENTS.c.block).distinct()
            rows = connection.execute(query.where(EVENTS.c.block_hash.in_(some)))
            numbers += [(bytes(hash_), number) for hash_, number in rows]
        for hash_, number in numbers:
            if known[hash_] != number:
                first, last = sorted((known[hash_], number))
                raise Reorganised(
                    f"One hash, {hex_id(hash_)}, stands for blocks {first} and {last}."
                )

    def _replace_events(self, connection: Connection, change: Change) -> set[bytes]:
        columns = EVENTS.c
        query = select(columns.block_hash, columns.log_index, columns.subject, columns.block).where(
            columns.block >= change.first
        )
        if not change.ends:
            query = query.where(columns.block <= change.last)
        found = connection.execute(query).all()
        before = {(bytes(hash_), index): bytes(subject) for hash_, index, subject, _ in found}
        given = {(each.where.block_hash, each.where.index): each for each in change.events}
        gone = before.keys() - given.keys()
        if not change.ends:  # silence about a block that is still there takes nothing back
            hashes = {each.number: each.hash for each in change.headers}
            hashes |= {each.where.block: each.where.block_hash for each in change.events}
            numbers = {bytes(hash_): number for hash_, _, _, number in found}
            gone = {key for key in gone if hashes.get(numbers[key[0]], key[0]) != key[0]}
        for hash_, index in gone:
            connection.execute(
                delete(EVENTS).where(columns.block_hash == hash_, columns.log_index == index)
            )
        fresh = [event for key, event in given.items() if key not in before]
        rows = list(self._rows(connection, fresh))
        if rows:
            connection.execute(EVENTS.insert(), rows)
        for row in rows:  # of which something was read before
            if row["dispute"] not in (None, row["subject"]):
                is_lost = columns.subject == row["dispute"]
                connection.execute(update(EVENTS).where(is_lost).values(subject=row["subject"]))
        return {before[key] for key in gone} | {row["subject"] for row in rows}

    def _rows(self, connection: Connection, events: Sequence[Event]) -> Iterator[dict[str, Any]]:
        requests: dict[bytes, bytes] = {}  # by dispute, of these events
        for event in events:
            subject, dispute = subject_of(event, self.account), dispute_of(event)
            if subject is None:
                continue
            if isinstance(event, PrepaidCollected):
                subject = requests.get(event.dispute) or self._request_of(connection, event.dispute)
            elif dispute is not None:
                requests[dispute] = subject
            kind, body = dump_event(event)
            yield {
                "block_hash": event.where.block_hash,
                "log_index": event.where.index,
                "block": event.where.block,
                "subject": bytes(subject),
                "dispute": dispute,
                "kind": kind,
                "body": body,
            }

    def _request_of(self, connection: Connection, dispute: bytes) -> bytes:
        """Gives the request that a dispute is about; the dispute itself where none was read."""
        found = connection.execute(_request_of(dispute)).scalar_one_or_none()
        return dispute if found is None else bytes(found)

    # Histories.

    def history(self, request_id: RequestId) -> RequestHistory | None:
        """Gives a request and all that happened to it; None where it was not read."""
        if request_id not in self._kept:
            self.recall([request_id])
        known = self._kept.get(request_id)
        return known if isinstance(known, RequestHistory) else None

    def recall(self, request_ids: Collection[RequestId]) -> None:
        """Reads, at once, the histories of requests that are about to be asked for one by one."""
        missing = [each for each in request_ids if each not in self._kept][:MOST_KEPT]
        if missing:
            with self._begin() as connection:
                for some in parts(missing):
                    self._remember(self._histories(connection, some))

    def _remember(self, histories: Mapping[bytes, History]) -> None:
        """Keeps histories in memory, and drops those that came first."""
        self._kept.update(histories)
        for subject in list(islice(self._kept, max(0, len(self._kept) - MOST_KEPT))):
            del self._kept[subject]

    def _forget(self, subjects: Set[bytes]) -> None:
        """Drops what is kept in memory of histories that differ now."""
        for subject in subjects & self._kept.keys():
            del self._kept[subject]

    def _forget_all(self) -> None:
        self._kept.clear()

    def _histories(self, connection: Connection, subjects: Sequence[bytes]) -> dict[bytes, History]:
        """Gives the histories of requests and of our account, of which duties may follow."""
        found: dict[bytes, History] = {}
        for subject, events in self._events(connection, subjects).items():
            if subject == account_id(self.account):
                kinds = (UnstakeStarted, Withdrawn, OperatorSlashed)
                ours = tuple(event for event in events if isinstance(event, kinds))
                found[subject] = AccountHistory(self.account, ours)
                continue
            created = [event for event in events if isinstance(event, RequestCreated)]
            if created:
                rest = tuple(event for event in events if event is not created[0])
                found[subject] = RequestHistory(created[0], rest)
        return found

    def _events(
        self, connection: Connection, subjects: Sequence[bytes]
    ) -> Mapping[bytes, list[Event]]:
        columns = EVENTS.c
        query = (
            select(columns.subject, columns.kind, columns.body)
            .where(columns.subject.in_(subjects))
            .order_by(columns.block, columns.log_index)
        )
        found: defaultdict[bytes, list[Event]] = defaultdict(list)
        for subject, kind, body in connection.execute(query):
            found[bytes(subject)].append(load_event(kind, body))
        return found

    def _about(self, subject: bytes) -> list[Event]:
        with self._begin() as connection:
            return self._events(connection, [subject]).get(subject, [])

    # Requests and results.

    def request(self, request_id: RequestId) -> Request | None:
        found = self.history(request_id)
        return None if found is None else found.request

    def payload(self, request_id: RequestId) -> bytes:
        found = self.history(request_id)
        assert found is not None, request_id.hex()
        return found.created.payload

    def proposal(self, request_id: RequestId) -> tuple[Proposal, bytes] | None:
        """Gives the last proposal and its output, also where it is void."""
        found = self.history(request_id)
        if found is None or not found.claims:
            return None
        return found.claims[-1].proposal, found.claims[-1].output

    def dispute(self, request_id: RequestId, key: bytes) -> Dispute:
        """Gives the dispute with that key about a result of the request, as far as it was read."""
        found = self.history(request_id)
        return Dispute(key) if found is None else found.dispute(key)

    def request_of(self, dispute: bytes) -> RequestId | None:
        """Gives the request that a dispute is about."""
        with self._begin() as connection:
            found = connection.execute(_request_of(dispute)).scalar_one_or_none()
        return None if found is None else RequestId(bytes(found))

    def committed(self, commitment: bytes) -> int | None:
        """Gives the block of a commitment, or None where there is none."""
        events = self._about(commitment)
        return next((each.where.block for each in events if isinstance(each, FraudCommitted)), None)

    # Models.

    def model(self, model_id: ModelId) -> Model | None:
        found = self.preimage(model_id)
        return None if found is None else model_of(found)

    def preimage(self, model_id: ModelId) -> bytes | None:
        """Gives the preimage of the model's id."""
        events = self._about(model_id)
        return next((each.preimage for each in events if isinstance(each, ModelPublished)), None)

    def uris(self, model_id: ModelId) -> list[str]:
        events = self._about(model_id)
        found = [e.uri for e in events if isinstance(e, (ModelPublished, ModelUriAdded)) and e.uri]
        return list(dict.fromkeys(found))

    def models(self) -> list[ModelId]:
        """Lists the ids of all published models."""
        query = select(EVENTS.c.subject).where(EVENTS.c.kind == ModelPublished.__name__)
        with self._begin() as connection:
            return [ModelId(bytes(each)) for each in connection.execute(query).scalars()]


def _request_of(dispute: bytes) -> Select[Any]:
    columns = EVENTS.c
    is_known = columns.subject != dispute  # what was collected is read before what it is about
    return select(columns.subject).where(columns.dispute == dispute, is_known).limit(1)


def parts(subjects: Sequence[T]) -> Iterator[Sequence[T]]:
    """Splits what is too much for one query."""
    for at in range(0, len(subjects), MOST_ASKED):
        yield subjects[at : at + MOST_ASKED]
