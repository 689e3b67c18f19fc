"""Rounds: what a decision may know, what a step leaves behind, and what is missed or waited for."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Event as Flag

import pytest

from oracle.chain.connection import connect
from oracle.chain.disputes import Dispute
from oracle.chain.events import Event, RequestExpired, TraceRevealed
from oracle.chain.node import Chain
from oracle.chain.watcher import Cursor
from oracle.errors import ChainError, Reorganised, WrongChain
from oracle.state import rounds
from oracle.state.duties import Decision, Decline, Duty, DutyKind, State
from oracle.state.rounds import Book
from oracle.state.store import Handled, Store
from oracle.types import Address, RequestId, Wei
from tests.chains import FEE, World, address, created, embedded, where
from tests.unit.state.test_store import sent

ASKED, OTHER = created(), created(2)
ID = ASKED.request_id
KEY = b"\x01" * 32


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(
        f"sqlite:///{tmp_path}/state.db", 1, Address("0x" + "Ab" * 20), address("operator")
    )
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def chain() -> Chain:
    return connect("embedded")


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with embedded() as found:
        yield found


def keep(store: Store, *events: Event) -> None:
    store.advance(Cursor(0, b""), [Handled(event, ()) for event in events])


def trace(block: int, key: bytes, root: bytes, request_id: RequestId = ID) -> TraceRevealed:
    return TraceRevealed(where(block), request_id, key, root)


# What is known.


def test_book_knows_the_requests_of_the_store_and_of_the_step(store: Store) -> None:
    keep(store, ASKED)
    book = Book(store, Wei(3))
    assert (book.request_of(ID), book.request_of(OTHER.request_id)) == (ASKED.request, None)

    changed = replace(ASKED, request=replace(ASKED.request, fee=Wei(1)))
    for event in (OTHER, changed, RequestExpired(where(), ID, address("rival"), FEE)):
        book.note(event)

    assert book.request_of(ID) == changed.request
    assert book.request_of(OTHER.request_id) == OTHER.request
    assert book.gas_price == 3


def test_book_continues_the_stores_disputes_by_the_events_of_the_step(store: Store) -> None:
    keep(store, trace(1, KEY, b"first"))
    book = Book(store, Wei(0))
    more = [
        trace(2, KEY, b"second"),
        trace(3, b"\x02" * 32, b"third"),
        trace(4, b"\x03" * 32, b"of another", OTHER.request_id),
    ]
    for event in more:
        book.note(event)

    assert book.disputes_of(ID) == [
        Dispute(KEY, trace_root=b"second", last=where(2)),
        Dispute(b"\x02" * 32, trace_root=b"third", last=where(3)),
    ]
    assert [each.trace_root for each in book.disputes_of(OTHER.request_id)] == [b"of another"]


# Reading.


def test_read_takes_on_what_each_event_obliges_to_and_keeps_what_is_stuck(
    world: World, store: Store
) -> None:
    asked = [world.ask(world.publish(name=name)) for name in ("first", "second", "third")]

    def decide(event: Event, book: Book) -> Iterator[Decision]:
        if event == asked[0]:
            assert book.gas_price > 0
            assert book.request_of(asked[0].request_id) is None
            yield Duty(DutyKind.PROPOSE, asked[0].request_id, deadline=9)
        elif event == asked[1]:
            yield Duty(DutyKind.SETTLE, asked[1].request_id)
            raise ValueError("poison")
        elif event == asked[2]:
            assert book.request_of(asked[1].request_id) == asked[1].request
            yield Decline(asked[2].request_id, "why")

    rounds.read(world.chain, world.watcher, store, decide)
    head = world.chain.block("latest")

    assert store.cursor() == Cursor(head.number, head.hash)
    assert [row.duty for row in store.duties(*State)] == [
        Duty(DutyKind.PROPOSE, asked[0].request_id, deadline=9)
    ]
    assert store.counts().stuck == 1
    assert store.declined(asked[2].request_id) == "why"


# Missing.


def missed(store: Store) -> list[tuple[int, State, str]]:
    rows = store.duties(*State)
    return sorted((row.id, row.state, row.note) for row in rows)


def test_miss_gives_up_open_duties_whose_deadline_has_come(chain: Chain, store: Store) -> None:
    deadlines = [99, 100, 101, None]
    duties = [
        Duty(DutyKind.PROPOSE, RequestId(bytes([n])), 0, each) for n, each in enumerate(deadlines)
    ]
    store.advance(Cursor(0, b""), [Handled(ASKED, duties)])

    rounds.miss(chain, store, 100)

    late, open_ = (State.MISSED, "its deadline passed"), (State.OPEN, "")
    assert missed(store) == [(1, *late), (2, *late), (3, *open_), (4, *open_)]


def test_miss_waits_for_what_was_sent_until_all_blocks_before_the_deadline_are_read(
    chain: Chain, store: Store
) -> None:
    time = chain.block(0).time
    for deadline in (time, time + 1):
        store.take(Duty(DutyKind.PROPOSE, RequestId(bytes([deadline % 256])), 0, deadline), where())
    store.record(sent(duties=[1, 2]))
    rounds.miss(chain, store, time + 9)
    assert [state for _, state, _ in missed(store)] == [State.SENT, State.SENT]

    store.advance(Cursor(0, b""), [])
    rounds.miss(chain, store, time + 9)
    assert [state for _, state, _ in missed(store)] == [State.MISSED, State.SENT]


# Rounds.


class Pauses(Flag):
    """Waits for nobody and remembers how long it should have; is set after so many."""

    def __init__(self, rounds: int):
        super().__init__()
        self.waits: list[float | None] = []
        self._rounds = rounds

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.append(timeout)
        if len(self.waits) == self._rounds:
            self.set()
        return self.is_set()


def test_run_pauses_between_rounds_and_waits_longer_while_the_node_does_not_answer() -> None:
    answers = iter([None, *[ChainError("no")] * 6, None, ChainError("no")])

    def tick() -> None:
        answer = next(answers)
        if answer is not None:
            raise answer

    stop = Pauses(9)
    rounds.run(tick, stop, 2)

    assert stop.waits == [2, 4, 8, 16, 32, 60, 60, 2, 4]


@pytest.mark.parametrize("error", [Reorganised, WrongChain])
def test_run_ends_when_the_chain_is_another(error: type[ChainError]) -> None:
    def tick() -> None:
        raise error.__new__(error)

    with pytest.raises(error):
        rounds.run(tick, Pauses(3), 1)


def test_run_does_nothing_when_it_was_stopped_before() -> None:
    stop = Flag()
    stop.set()

    rounds.run(pytest.fail, stop, 1)


class Rung:
    """Whose bell is rung again whenever it was heard, as by many who ask at once."""

    def __init__(self, stop: Flag):
        self.bell = Flag()
        self.bell.set()
        self.worked = 0
        self._stop = stop

    def work(self) -> None:
        self.worked += 1
        self.bell.set()
        if self.worked == 1_000_000:  # nobody waits for ever for a round
            self._stop.set()


def test_run_works_a_round_however_often_the_bell_is_rung() -> None:
    stop = Flag()
    ticks: list[None] = []

    def tick() -> None:
        ticks.append(None)
        if len(ticks) == 3:
            stop.set()

    errands = Rung(stop)
    rounds.run(tick, stop, 0.01, errands)

    assert len(ticks) == 3 and errands.worked
