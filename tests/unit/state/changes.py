"""Changes of a chain to take into a state, what is owed by them, and what is sent for that."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import sqlalchemy

from oracle.chain.events import Event
from oracle.chain.histories import RequestHistory
from oracle.chain.node import Call, Fees
from oracle.chain.replies import Receipt
from oracle.chain.transactions import Sent
from oracle.chain.view import Change, Header
from oracle.state.agenda import Owed
from oracle.state.duties import Due, Duty, DutyKind, Key
from oracle.state.facts import History
from oracle.state.schema import METADATA
from oracle.state.store import Store
from oracle.types import Address, RequestId, Wei
from oracle.worker import policy
from tests.chains import address, hash_of

QUEUE = Address("0x" + "Ab" * 20)
ME = address("operator")
START = 1_000  # seconds: the time of block 0

Open = Callable[..., Store]


def header(number: int, hash_: bytes | None = None) -> Header:
    return Header(number, hash_ or hash_of(number), START + number)


def change(
    *events: Event,
    first: int | None = None,
    last: int | None = None,
    final: int = -1,
    settled: int = -1,
    ends: bool = True,
) -> Change:
    """All that happened in these blocks, or in those of the events."""
    blocks = [each.where.block for each in events]
    first = min(blocks) if first is None else first
    last = max(blocks) if last is None else last
    headers = [header(number) for number in range(first, last + 1)]
    return Change(first, last, headers, events, final, settled, ends)


def undo(first: int, final: int = -1, settled: int = -1) -> Change:
    """Blocks from `first` on are on the chain no more."""
    return Change(first, first - 1, (), (), final, settled)


def nothing(_: History) -> Iterable[Due]:
    return ()


def ours(history: History) -> Iterable[Due]:
    """What an operator owes."""
    return policy.owed(history, ME)


def owing(duties: Mapping[bytes, Sequence[Duty]]) -> Owed:
    """What is owed by request, whatever has happened to it."""

    def owed(history: History) -> Iterable[Due]:
        assert isinstance(history, RequestHistory)
        found = duties.get(history.request_id, ())
        return [Due(duty, history.created.where) for duty in found]

    return owed


def read(store: Store, *events: Event, owed: Owed = ours) -> None:
    """Takes in events, of which those in a block are given together, in order."""
    blocks = dict.fromkeys(event.where.block for event in events)
    for block in blocks:
        store.apply(change(*(e for e in events if e.where.block == block)), owed)


def propose(subject: bytes, deadline: int | None = 100) -> Duty:
    return Duty(DutyKind.PROPOSE, RequestId(subject), deadline=deadline)


def sent(nonce: int = 0, name: str = "", at: float = 1.5, **changes: Any) -> Sent:
    values = Sent(
        hash=f"{nonce} {name}".encode(),
        raw=b"raw",
        nonce=nonce,
        gas=21_000,
        fees=Fees(Wei(2**200), Wei(3)),
        call=Call(QUEUE, b"data", Wei(2**90)),
        sent_at=at,
    )
    return replace(values, **changes)


def receipt(of: Sent, block: int, succeeded: bool = True, **changes: Any) -> Receipt:
    values = Receipt(of.hash, block, hash_of(block), succeeded, 99, Wei(1), None, ())
    return replace(values, **changes)


def keys(store: Store) -> set[Key]:
    """All duties that are kept, whatever we make of them."""
    with store._begin() as connection:
        rows = connection.execute(sqlalchemy.text("SELECT kind, subject FROM duties")).all()
    return {(DutyKind(kind), bytes(subject)) for kind, subject in rows}  # type: ignore[misc]


def rows(store: Store, *tables: str) -> dict[str, list[Any]]:
    """All rows of these tables, or of all but whose state it is."""
    names = tables or tuple(name for name in METADATA.tables if name != "identity")
    with store._begin() as connection:
        found = {n: connection.execute(sqlalchemy.select(METADATA.tables[n])).all() for n in names}
    return {name: sorted(map(_plain, every), key=repr) for name, every in found.items()}


def _plain(row: Any) -> tuple[object, ...]:
    return tuple(bytes(each) if isinstance(each, memoryview) else each for each in row)
