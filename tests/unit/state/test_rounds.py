"""Rounds: what is read in each, what is missed, and how long is waited for the next."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from threading import Event as Flag
from threading import Timer

import pytest
import sqlalchemy

from oracle.chain.finality import Finality
from oracle.chain.replies import Block
from oracle.chain.view import View
from oracle.errors import ChainError, WrongChain
from oracle.state import rounds
from oracle.state.agenda import PASSED
from oracle.state.bell import Bell
from oracle.state.deeds import Computed
from oracle.state.duties import Duty, DutyKind, State
from oracle.state.rounds import Reading
from oracle.state.schema import EVENTS
from oracle.state.store import KEPT, Store
from tests.chains import TIMEOUT, World, eth_tester, undone, variant
from tests.unit.state.changes import ME, QUEUE, ours, sent


@pytest.fixture
def store() -> Iterator[Store]:
    opened = Store("sqlite:///:memory:", 1, QUEUE, ME)
    yield opened
    opened.close()


def reading(world: World, store: Store, depth: int = 100, confirmations: int = 0) -> Reading:
    finality = Finality(world.chain, depth)
    return Reading(
        world.chain, View(world.chain, world.deployment, finality, confirmations), store, ours
    )


# Reading.


def test_work_takes_on_what_follows_from_what_was_read(embedded: World, store: Store) -> None:
    asked = embedded.ask(embedded.publish())
    mine = reading(embedded, store)

    mine.work(embedded.time())

    [row] = store.duties(*State)
    assert row.duty == Duty(DutyKind.PROPOSE, asked.request_id, 0, asked.request.deadline)
    assert mine.chain_time == mine.read_until == embedded.time()


def test_work_reads_until_the_last_confirmed_block(embedded: World, store: Store) -> None:
    embedded.publish()
    eth_tester(embedded.chain).mine_blocks(2)
    before = embedded.chain.block(embedded.head() - 1).time
    mine = reading(embedded, store, confirmations=1)

    mine.work(embedded.time())

    assert (mine.read_until, mine.chain_time) == (before, embedded.time())


def test_work_follows_a_chain_that_replaces_blocks(embedded: World, store: Store) -> None:
    model_id, mine = embedded.publish(), reading(embedded, store)
    with undone(embedded.chain):
        gone = embedded.ask(model_id)
        mine.work(embedded.time())
        assert [row.duty.subject for row in store.duties(*State)] == [gone.request_id]

    asked = embedded.ask(model_id, payload=bytes(8))
    mine.work(embedded.time())

    assert [row.duty.subject for row in store.duties(*State)] == [asked.request_id]


def test_work_reads_anew_when_what_was_final_is_replaced(embedded: World, store: Store) -> None:
    """And keeps what it did."""
    model_id, mine = embedded.publish(), reading(embedded, store, depth=0)
    with undone(embedded.chain):
        gone = embedded.ask(model_id)
        mine.work(embedded.time())
        store.keep_outputs([Computed(gone.request_id, b"ours", 1.0)])

    asked = embedded.ask(model_id, payload=bytes(8))
    eth_tester(embedded.chain).mine_blocks(1)  # or the node may seem to be behind
    mine.work(embedded.time())

    assert [row.duty.subject for row in store.duties(*State)] == [asked.request_id]
    assert store.output(gone.request_id) == b"ours"


# Missing.


def test_work_reads_anew_where_one_hash_stood_for_two_blocks(embedded: World, store: Store) -> None:
    """A node made the first one up, and nobody saw."""
    model_id, mine = embedded.publish(), reading(embedded, store)
    asked = [embedded.ask(model_id)]
    mine.work(embedded.time())
    asked.append(embedded.ask(model_id, payload=bytes(8)))
    with store._begin() as connection:
        is_first = EVENTS.c.subject == asked[0].request_id
        made_up = {"block_hash": asked[1].where.block_hash, "log_index": asked[1].where.index}
        connection.execute(sqlalchemy.update(EVENTS).where(is_first).values(made_up))

    mine.work(embedded.time())

    found = {row.duty.subject for row in store.duties(State.OPEN)}
    assert found == {each.request_id for each in asked}


def test_work_gives_up_what_is_open_when_the_deadline_has_come(
    embedded: World, store: Store
) -> None:
    """By the chain's clock: ours has no say in it."""
    asked, mine = embedded.ask(embedded.publish()), reading(embedded, store)
    mine.work(embedded.time() + 2 * TIMEOUT)
    [row] = store.duties(*State)
    assert row.state is State.OPEN

    embedded.skip(asked.request.deadline - embedded.time())
    mine.work(embedded.time())

    [row] = store.duties(*State)
    assert (row.state, row.note) == (State.MISSED, "its deadline passed")


def test_the_time_is_known_before_the_first_round_of_a_restart(
    embedded: World, store: Store
) -> None:
    """What must be shown is, though a node gives no more blocks: by that time it is paced."""
    embedded.ask(embedded.publish())
    reading(embedded, store).work(embedded.time())

    again = reading(embedded, store)

    assert again.chain_time == again.read_until == embedded.time()


def test_no_block_of_the_future_drops_what_is_open(embedded: World, store: Store) -> None:
    """One node may give it any time. What was dropped would be found again by nobody."""
    ahead = [TIMEOUT + 2 * KEPT]

    class Ahead:
        def blocks(self, numbers: Sequence[int]) -> list[Block]:
            found: list[Block] = super().blocks(numbers)  # type: ignore[misc]
            return [replace(each, time=each.time + ahead[0]) for each in found]

    asked = embedded.ask(embedded.publish())
    mine = reading(World(variant(embedded.chain, Ahead), embedded.deployment), store)
    now = embedded.time()
    mine.work(now)
    assert mine.read_until == now + ahead[0]
    ahead[0] = 0
    eth_tester(embedded.chain).mine_blocks(2)

    mine.work(now + 1)

    [row] = store.duties(*State)
    assert (row.duty.subject, row.state) == (asked.request_id, State.OPEN)


@pytest.mark.parametrize("name", ["chain_time", "read_until"])
def test_what_a_wrong_time_gave_up_is_taken_up_again(
    embedded: World, store: Store, name: str
) -> None:
    """Be it the newest block's or that of the last one that was read."""
    asked = embedded.ask(embedded.publish())
    mine = reading(embedded, store)
    mine.work(embedded.time())
    mine._latest[name] = asked.request.deadline + 1
    store.set_opinion([(DutyKind.PROPOSE, asked.request_id)], State.MISSED, PASSED)

    mine.work(embedded.time())

    [row] = store.duties(*State)
    assert row.state is State.OPEN


def test_work_waits_for_what_was_sent_until_all_blocks_before_the_deadline_are_read(
    embedded: World, store: Store
) -> None:
    asked = embedded.ask(embedded.publish())
    mine = reading(embedded, store, confirmations=1)
    eth_tester(embedded.chain).mine_blocks(1)
    mine.work(embedded.time())
    store.record((sent(), [(DutyKind.PROPOSE, asked.request_id)]))

    found = []
    embedded.skip(asked.request.deadline - embedded.time())
    for _ in range(2):
        mine.work(embedded.time())
        found += [row.state for row in store.duties(*State)]
        eth_tester(embedded.chain).mine_blocks(1)

    assert found == [State.SENT, State.MISSED]


def test_due_time_is_the_later_of_the_two_clocks(embedded: World, store: Store) -> None:
    """Where blocks are rare, the last one's time is long past."""
    mine = reading(embedded, store)
    mine.work(embedded.time())

    assert mine.due_time(embedded.time() - 5) == embedded.time()
    assert mine.due_time(embedded.time() + 5) == embedded.time() + 5


# Rounds.


class Pauses(Bell):
    """Waits for nobody and remembers how long it should have, as a clock says that stands still
    meanwhile; stops after so many."""

    def __init__(self, count: int, monkeypatch: pytest.MonkeyPatch):
        super().__init__()
        self.stop = Flag()
        self.waits: list[float] = []
        self._count = count
        self._now = 0.0
        monkeypatch.setattr(time, "monotonic", lambda: self._now)

    def wait(self, seconds: float) -> bool:
        self.waits.append(seconds)
        self._now += seconds
        if len(self.waits) == self._count:
            self.stop.set()
        return False


def test_run_pauses_between_rounds_and_waits_longer_while_the_node_does_not_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers = iter([None, *[ChainError("no")] * 6, None, ChainError("no")])

    def tick() -> None:
        answer = next(answers)
        if answer is not None:
            raise answer

    bell = Pauses(9, monkeypatch)
    rounds.run(tick, bell.stop, 2, bell)

    assert bell.waits == [2, 4, 8, 16, 32, 60, 60, 2, 4]


def test_run_goes_on_when_there_is_room_again_on_a_full_disk(
    embedded: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model_id, room = embedded.publish(), [1]
    asked = [embedded.ask(model_id, payload=bytes(8)) for _ in range(12)]  # fill some pages
    store = Store(f"sqlite:///{tmp_path}/state.db", 1, QUEUE, ME)

    @sqlalchemy.event.listens_for(store._engine, "begin")
    def limit(connection: sqlalchemy.Connection) -> None:
        connection.connection.cursor().execute(f"PRAGMA max_page_count = {room[0]}")

    mine, heads = reading(embedded, store), []

    def tick() -> None:
        heads.append(store.cursor())
        room[0] = 1 << 30 if len(heads) > 2 else 1
        mine.work(embedded.time())

    bell = Pauses(3, monkeypatch)
    rounds.run(tick, bell.stop, 1, bell)

    assert heads == [None, None, None] and bell.waits == [2, 4, 1]
    assert len(store.duties(*State)) == len(asked)
    store.close()


def test_run_ends_when_the_chain_is_another() -> None:
    def tick() -> None:
        raise WrongChain.__new__(WrongChain)

    with pytest.raises(WrongChain):
        rounds.run(tick, Flag(), 1, Bell())


def test_run_does_nothing_when_it_was_stopped_before() -> None:
    stop = Flag()
    stop.set()

    rounds.run(pytest.fail, stop, 1, Bell())


def test_run_works_a_round_however_often_the_bell_is_rung() -> None:
    """As by many who ask at once."""
    stop, bell = Flag(), Bell()
    ticks: list[None] = []
    worked: list[None] = []

    def tick() -> None:
        ticks.append(None)
        bell.ring()
        if len(ticks) == 3:
            stop.set()

    def errands() -> None:
        worked.append(None)
        bell.ring()
        if len(worked) == 1_000_000:  # nobody waits for ever for a round
            stop.set()

    rounds.run(tick, stop, 0.01, bell, errands)

    assert len(ticks) == 3 and 0 < len(worked) < 1_000_000


def test_run_works_a_round_at_once_when_one_is_called_for() -> None:
    """Also where that was done while the last one went on."""
    stop, bell = Flag(), Bell()
    ticks: list[None] = []

    def tick() -> None:
        ticks.append(None)
        bell.call() if len(ticks) < 5 else stop.set()

    rounds.run(tick, stop, 3600, bell)

    assert len(ticks) == 5


def test_run_waits_after_a_failure_whoever_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    bell = Pauses(2, monkeypatch)

    def tick() -> None:
        bell.call()
        raise ChainError("no")

    rounds.run(tick, bell.stop, 1, bell)

    assert bell.waits == [2, 4]


def test_run_ends_at_once_when_it_is_stopped_and_the_bell_rung() -> None:
    stop, bell = Flag(), Bell()

    def end() -> None:
        stop.set()
        bell.ring()

    rounds.run(lambda: Timer(0.05, end).start(), stop, 3600, bell)

    assert stop.is_set()
