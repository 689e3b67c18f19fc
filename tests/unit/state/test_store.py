"""What survives a crash: all of a step or nothing of it, once, however often it is read."""

import os
import sqlite3
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from sqlalchemy.exc import IntegrityError

from oracle.chain.codec import model_preimage
from oracle.chain.disputes import Dispute, key_of, replay
from oracle.chain.events import (
    DemandTimedOut,
    DisputeEvent,
    Event,
    FraudCommitted,
    FraudProven,
    ModelPublished,
    ModelUriAdded,
    PartDemanded,
    PartRevealed,
    RequestExpired,
    StakeAdded,
    TraceRevealed,
    WindowMoved,
)
from oracle.chain.node import Call, Fees
from oracle.chain.transactions import Outcome, Sent
from oracle.chain.watcher import Cursor
from oracle.errors import ConfigError
from oracle.state.duties import Close, Decision, Decline, Duty, DutyKind, Finish, Postpone, State
from oracle.state.store import Handled, Store
from oracle.types import AccountId, Address, Demand, Model, ModelId, Part, RequestId, Verdict, Wei
from tests.chains import (
    FEE,
    OUTPUT,
    PAYLOAD,
    URI,
    address,
    created,
    model,
    proposed,
    where,
)

QUEUE = Address("0x" + "Ab" * 20)
ME = address("operator")
ASKED = created()
ID = ASKED.request_id
MODEL = ModelId(b"\x33" * 32)

Open = Callable[..., Store]


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty database. PostgreSQL where EXACTUM_TEST_POSTGRES is the URL of a server."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/state.db"
        return
    server = os.environ.get("EXACTUM_TEST_POSTGRES")
    if server is None:
        pytest.skip("EXACTUM_TEST_POSTGRES is not set")
    schema = "exactum_" + uuid.uuid4().hex
    engine = sqlalchemy.create_engine(server)
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text(f"CREATE SCHEMA {schema}"))
    mark = "&" if "?" in server else "?"
    yield f"{server}{mark}options=-csearch_path%3D{schema}"
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text(f"DROP SCHEMA {schema} CASCADE"))
    engine.dispose()


@pytest.fixture
def open_store(url: str) -> Iterator[Open]:
    """Opens the same state once more, as a restarted worker does."""
    stores = []

    def opened(
        chain_id: int = 31337,
        queue: Address = QUEUE,
        operator: Address = ME,
        sender: Address | None = None,
    ) -> Store:
        stores.append(Store(url, chain_id, queue, operator, sender))
        return stores[-1]

    yield opened
    for store in stores:
        store.close()


@pytest.fixture
def store(open_store: Open) -> Store:
    return open_store()


def cursor(number: int = 1) -> Cursor:
    return Cursor(number, number.to_bytes(32, "big"))


def propose(deadline: int | None = 100, subject: bytes = ID) -> Duty:
    return Duty(DutyKind.PROPOSE, RequestId(subject), deadline=deadline)


def advance(store: Store, event: Event, *decisions: Decision) -> None:
    store.advance(cursor(event.where.block), [Handled(event, decisions)])


def sent(
    nonce: int = 0, duties: Sequence[int] = (), name: str = "", at: float = 1.5, **changes: Any
) -> Sent:
    values = Sent(
        hash=f"{nonce} {name}".encode(),
        raw=b"raw",
        nonce=nonce,
        gas=21_000,
        fees=Fees(Wei(2**200), Wei(3)),
        call=Call(QUEUE, b"data", Wei(2**90)),
        duties=tuple(duties),
        sent_at=at,
    )
    return replace(values, **changes)


def states(store: Store) -> list[State]:
    rows = store.duties(*State)
    return [row.state for row in sorted(rows, key=lambda row: row.id)]


# Whose state it is.


def test_store_opens_its_own_state_again(open_store: Open) -> None:
    open_store().advance(cursor(7), [])

    assert open_store().cursor() == cursor(7)


@pytest.mark.parametrize(
    "other",
    [
        {"chain_id": 1},
        {"queue": address("rival")},
        {"operator": address("rival")},
        {"sender": address("rival")},
    ],
)
def test_store_refuses_the_state_of_another(open_store: Open, other: dict[str, Any]) -> None:
    """Nor that of another key, whose nonces say nothing about ours."""
    open_store()

    with pytest.raises(ConfigError, match=f"belongs to account {ME} on chain 31337"):
        open_store(**other)


def test_store_says_whose_key_its_state_is_of(open_store: Open) -> None:
    open_store(sender=address("rival"))

    with pytest.raises(ConfigError, match=f"account {ME}, whose key is {address('rival')}, on"):
        open_store()


def test_store_says_why_it_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be opened"):
        Store(f"sqlite:///{tmp_path}/no/such/folder/state.db", 1, QUEUE, ME)


def test_store_refuses_a_file_that_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    path.write_text("not a database, but long enough to be looked at" * 100)

    with pytest.raises(ConfigError, match="cannot be opened"):
        Store(f"sqlite:///{path}", 1, QUEUE, ME)


def test_store_refuses_the_state_of_another_version(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/state.db"
    with sqlite3.connect(tmp_path / "state.db") as old:
        old.execute("CREATE TABLE models (model_id BLOB PRIMARY KEY, name TEXT)")

    with pytest.raises(ConfigError, match=f"{tmp_path}/state.db was made by another version"):
        Store(url, 1, QUEUE, ME)


@pytest.mark.parametrize("nonsense", ["nonsense", "nonsense://host/name"])
def test_store_refuses_a_url_that_is_none(nonsense: str) -> None:
    with pytest.raises(ConfigError, match="cannot be opened"):
        Store(nonsense, 1, QUEUE, ME)


# Advancing.


def test_cursor_is_none_before_anything_was_read(store: Store) -> None:
    assert store.cursor() is None


def test_advance_moves_the_cursor(store: Store) -> None:
    store.advance(cursor(1), [])
    store.advance(cursor(2), [])

    assert store.cursor() == cursor(2)


def test_advance_takes_on_duties(store: Store) -> None:
    advance(store, ASKED, propose())

    [row] = store.duties(State.OPEN)

    assert (row.duty, row.state, row.note) == (propose(), State.OPEN, "")


def test_advance_keeps_the_cursor_when_a_duty_cannot_be_stored(store: Store) -> None:
    store.advance(cursor(1), [])
    impossible = Duty(DutyKind.PROPOSE, None)  # type: ignore[arg-type]
    other = created(2)
    handled = [Handled(ASKED, [propose()]), Handled(other, [impossible])]

    with pytest.raises(IntegrityError):
        store.advance(cursor(2), handled)

    assert (store.cursor(), store.duties(*State), store.request(ID)) == (cursor(1), [], None)


def test_advance_makes_no_second_duty_when_a_block_is_read_twice(store: Store) -> None:
    advance(store, ASKED, propose())
    advance(store, ASKED, propose())

    assert states(store) == [State.OPEN]


def test_advance_opens_no_ended_duty_when_a_block_is_read_twice(store: Store) -> None:
    advance(store, ASKED, propose())
    store.end(store.duties(State.OPEN)[0].id, State.MISSED, "too late")
    advance(store, ASKED, propose())

    assert states(store) == [State.MISSED]


def test_advance_takes_on_a_duty_anew_when_another_event_asks_for_it(store: Store) -> None:
    advance(store, ASKED, propose())
    store.end(store.duties(State.OPEN)[0].id, State.SUPERSEDED, "")
    advance(store, replace(ASKED, where=where(9)), propose())

    assert states(store) == [State.SUPERSEDED, State.OPEN]


@pytest.mark.parametrize("state", [State.OPEN, State.SENT])
def test_advance_closes_duties_of_the_kind_and_subject(store: Store, state: State) -> None:
    other = propose(subject=b"other")
    settle = Duty(DutyKind.SETTLE, ID)
    advance(store, ASKED, propose(), other, settle)
    if state is State.SENT:
        store.record(sent(duties=[row.id for row in store.duties(State.OPEN)]))

    advance(store, proposed(ASKED), Close(DutyKind.PROPOSE, ID, State.DONE, "why"))

    rows = {
        (row.duty.kind, row.duty.subject): (row.state, row.note) for row in store.duties(*State)
    }
    assert rows == {
        (DutyKind.PROPOSE, ID): (State.DONE, "why"),
        (DutyKind.PROPOSE, b"other"): (state, ""),
        (DutyKind.SETTLE, ID): (state, ""),
    }


def test_advance_closes_no_duty_that_has_ended(store: Store) -> None:
    advance(store, ASKED, propose())
    store.end(store.duties(State.OPEN)[0].id, State.MISSED, "too late")

    advance(store, proposed(ASKED), Close(DutyKind.PROPOSE, ID, State.DONE))

    assert states(store) == [State.MISSED]


def test_advance_closes_only_what_was_due_when_the_close_says_by_when(store: Store) -> None:
    early, late = (
        Duty(DutyKind.WITHDRAW, AccountId(b"me"), not_before=time) for time in (100, 101)
    )
    advance(store, ASKED, early)
    advance(store, created(2), late)

    advance(store, created(3), Close(DutyKind.WITHDRAW, AccountId(b"me"), State.DONE, due_by=100))

    assert states(store) == [State.DONE, State.OPEN]


def test_advance_keeps_order_within_a_step(store: Store) -> None:
    """A duty that is taken on and ended in one step is ended."""
    steps = [
        Handled(ASKED, [propose()]),
        Handled(proposed(ASKED), [Close(DutyKind.PROPOSE, ID, State.SUPERSEDED)]),
    ]
    store.advance(cursor(), steps)

    assert states(store) == [State.SUPERSEDED]


def test_advance_keeps_why_a_request_was_declined(store: Store) -> None:
    advance(store, ASKED, Decline(ID, "too cheap"))

    assert store.declined(ID) == "too cheap"


def test_advance_looks_again_at_what_was_declined_until_a_time(store: Store) -> None:
    advance(store, ASKED, Decline(ID, "gas is dear", until=100))

    [row] = store.duties(State.DECLINED, kind=DutyKind.PROPOSE, due_after=99)
    assert (row.duty, row.note) == (propose(100), "gas is dear")
    assert store.duties(State.DECLINED, due_after=100) == []
    store.accept(row)
    assert (states(store), store.declined(ID)) == ([State.OPEN], None)


def test_forget_declined_drops_what_nobody_looks_at_again(store: Store) -> None:
    """The reason stays, and nothing else is touched."""
    later = created(2)
    advance(store, ASKED, Decline(ID, "gas is dear", until=100))
    advance(store, created(3), propose(100))
    advance(store, later, Decline(later.request_id, "gas is dear", until=101))

    store.forget_declined(100)

    assert sorted(row.duty.deadline or 0 for row in store.duties(*State)) == [100, 101]
    assert [row.state for row in store.duties(*State)] == [State.OPEN, State.DECLINED]
    assert store.declined(ID) == "gas is dear"


def test_decline_puts_an_open_duty_off_and_no_other(store: Store) -> None:
    advance(store, ASKED, propose())
    [row] = store.duties(State.OPEN)

    store.decline(row, "we could not defend it")
    assert (states(store), store.declined(ID)) == ([State.DECLINED], "we could not defend it")

    store.accept(row)
    store.end(row.id, State.MISSED, "")
    store.decline(row, "too late")
    assert states(store) == [State.MISSED]


@pytest.mark.parametrize(
    ("end", "left"),
    [
        (State.MISSED, State.DECLINED),
        (State.SUPERSEDED, State.SUPERSEDED),
        (State.DONE, State.DONE),
    ],
)
def test_advance_misses_nothing_that_was_declined(store: Store, end: State, left: State) -> None:
    """It is declined still when it expires, and over when somebody has answered."""
    advance(store, ASKED, Decline(ID, "gas is dear", until=100))

    advance(store, created(2), Close(DutyKind.PROPOSE, ID, end))

    assert states(store) == [left]


def test_advance_keeps_a_stuck_event_with_its_traceback(store: Store) -> None:
    handled = [Handled(ASKED, (), "Traceback…"), Handled(created(2), [propose()])]
    store.advance(cursor(2), handled)
    store.advance(cursor(2), handled)

    counts = store.counts()

    assert (counts.stuck, counts.duties) == (1, {State.OPEN: 1})
    assert store.request(ID) == ASKED.request


# What is known.


def test_request_and_payload_come_back_as_they_were(store: Store) -> None:
    asked = created(operator=ME, fee=Wei(2**96 - 1), nonce=2**64 - 1, entropy=2**64 - 2)
    advance(store, asked)

    assert (store.request(ID), store.payload(ID)) == (asked.request, PAYLOAD)


def test_what_was_never_read_is_none(store: Store) -> None:
    unknown = RequestId(bytes(32))

    assert store.request(unknown) is None
    assert store.proposal(unknown) is None
    assert store.output(unknown) is None
    assert store.declined(unknown) is None
    assert store.model(MODEL) is None
    assert store.uris(MODEL) == []


def published(what: Model, uri: str) -> ModelPublished:
    return ModelPublished(where(), MODEL, what, uri, model_preimage(what))


def test_model_comes_back_as_it_was(store: Store) -> None:
    what = model(ME, name="naïve 🦊 \ufffd", royalty=Wei(2**70))
    advance(store, published(what, URI))

    assert store.model(MODEL) == what


def test_uris_are_the_published_and_the_added_ones_each_once(store: Store) -> None:
    advance(store, published(model(ME), "a"))
    for block, uri in enumerate(["b", "a", "b"], 2):
        advance(store, ModelUriAdded(where(block), MODEL, uri))

    assert sorted(store.uris(MODEL)) == ["a", "b"]


def test_uris_are_none_when_a_model_came_without(store: Store) -> None:
    advance(store, published(model(ME), ""))

    assert store.uris(MODEL) == []


def test_proposal_is_the_last_one(store: Store) -> None:
    first, second = proposed(ASKED, "rival", where(2)), proposed(ASKED, "operator", where(3))
    proposal = replace(second.proposal, output_length=5)
    advance(store, first)
    advance(store, replace(second, proposal=proposal, output=b"other"))

    assert store.proposal(ID) == (proposal, b"other")


def test_proposal_is_kept_when_its_block_is_read_twice(store: Store) -> None:
    answer = proposed(ASKED)
    advance(store, answer)
    advance(store, answer)

    assert store.proposal(ID) == (answer.proposal, OUTPUT)


def test_output_is_what_was_computed_over_a_restart(open_store: Open) -> None:
    store = open_store()
    advance(store, ASKED)
    store.keep_output(ID, b"\x00\xff", 1.5)

    assert open_store().output(ID) == b"\x00\xff"


def test_output_is_kept_when_the_request_is_read_again(store: Store) -> None:
    advance(store, ASKED)
    store.keep_output(ID, OUTPUT, 0.5)
    advance(store, ASKED)

    assert store.output(ID) == OUTPUT


def test_each_request_has_its_own_answers(store: Store) -> None:
    """What is kept of one is read of no other."""
    other = created(2, where(2), fee=Wei(7))
    moved = replace(proposed(other).proposal, settle_at=5)
    for event in (replace(ASKED, payload=b"first"), other, proposed(ASKED), proposed(other)):
        advance(store, event)
    advance(store, WindowMoved(where(101), other.request_id, ME, moved))
    advance(store, other, Decline(other.request_id, "too cheap"))
    store.keep_output(other.request_id, b"ours", 1.5)

    assert (store.request(ID), store.payload(ID)) == (ASKED.request, b"first")
    assert (store.request(other.request_id), store.payload(other.request_id)) == (
        other.request,
        PAYLOAD,
    )
    assert store.proposal(ID) == (proposed(ASKED).proposal, OUTPUT)
    assert store.proposal(other.request_id) == (moved, OUTPUT)
    assert [store.declined(each) for each in (ID, other.request_id)] == [None, "too cheap"]
    assert [store.output(each) for each in (ID, other.request_id)] == [None, b"ours"]
    assert [store.took(each) for each in (ID, other.request_id)] == [None, 1.5]


def test_proposal_replaces_no_other_requests(store: Store) -> None:
    other = created(2)
    advance(store, proposed(other))
    advance(store, proposed(ASKED))

    assert store.proposal(other.request_id) == (proposed(other).proposal, OUTPUT)


def test_each_model_has_its_own_words_and_uris(store: Store) -> None:
    other, second = ModelId(b"\x44" * 32), model(ME, name="other")
    advance(store, published(model(ME), "a"))
    advance(store, ModelPublished(where(2), other, second, "b", model_preimage(second)))

    assert (store.model(MODEL), store.model(other)) == (model(ME), second)
    assert (store.uris(MODEL), store.uris(other)) == (["a"], ["b"])
    assert store.preimage(other) == model_preimage(second)


def test_committed_is_the_block_of_the_first_such_commitment(store: Store) -> None:
    for block, commitment in ((5, b"one"), (6, b"two"), (7, b"one")):
        advance(store, FraudCommitted(where(block), commitment, ME))

    assert [store.committed(each) for each in (b"one", b"two", b"three")] == [5, 6, None]


def dispute_events(dispute: bytes, block: int, request_id: RequestId = ID) -> list[DisputeEvent]:
    """One of each."""
    part = Part(1, 2, 0, 3)
    demand = Demand(dispute, part, b"\x11" * 32, 4, 5, 0, ME, Wei(6), 7)
    end = where(block + 3), request_id, dispute
    return [
        PartDemanded(where(block), request_id, ME, demand),
        TraceRevealed(where(block + 1), request_id, dispute, b"\x22" * 32),
        PartRevealed(where(block + 2), request_id, dispute, part, b"data", (b"\x33" * 32,)),
        FraudProven(*end, ME, Verdict(1, 2, 3, 4)) if block % 2 else DemandTimedOut(*end, part),
    ]


def test_disputes_are_a_requests_own_as_their_events_tell_them_the_oldest_first(
    open_store: Open,
) -> None:
    store = open_store()
    keys = [b"\x03" * 32, b"\x01" * 32, b"\x02" * 32]
    lists = [dispute_events(keys[0], 10), dispute_events(keys[1], 21)]
    lists.append(dispute_events(keys[2], 30, created(2).request_id))
    for event in (each for events in reversed(lists) for each in reversed(events)):
        advance(store, event)
        advance(store, event)
    store = open_store()
    told = [replay(key, events) for key, events in zip(keys, lists, strict=True)]

    assert store.disputes(ID) == told[:2]
    assert [store.dispute(key) for key in keys] == told
    assert all(key_of(event) == keys[0] for event in lists[0])
    assert (store.dispute(b"unknown"), store.disputes(RequestId(bytes(32)))) == (
        Dispute(b"unknown"),
        [],
    )


def test_conclude_ends_the_check_and_pursues_what_is_wrong(store: Store) -> None:
    for block, subject in ((1, b"right"), (2, b"wrong")):
        check = Duty(DutyKind.CHECK, RequestId(subject), deadline=100 + block)
        advance(store, replace(created(block), where=where(block, 3)), check)
    store.conclude(1, b"d1", RequestId(b"right"), True)
    store.conclude(2, b"d2", RequestId(b"wrong"), False)
    store.conclude(2, b"d2", RequestId(b"wrong"), False)

    assert [store.is_right(each) for each in (b"d1", b"d2", b"d3")] == [True, False, None]
    assert store.wrong() == 1
    assert states(store) == [State.DONE, State.DONE, State.OPEN]
    [row] = store.duties(State.OPEN)
    assert row.duty == Duty(DutyKind.PURSUE, RequestId(b"wrong"), deadline=102)
    assert store.place(row.id) == (2, 3)


def test_events_about_nothing_that_is_kept_leave_no_trace(store: Store) -> None:
    advance(store, RequestExpired(where(), ID, ME, FEE))
    advance(store, StakeAdded(where(), ME, Wei(1), Wei(1)))

    assert store.duties(*State) == []


# Duties.


@pytest.mark.parametrize("state", [State.OPEN, State.SENT, State.MISSED])
def test_advance_postpones_open_duties_of_the_kind_and_subject(store: Store, state: State) -> None:
    others = [propose(subject=b"other"), Duty(DutyKind.PROVE, ID, 1, 2)]
    advance(store, ASKED, propose(), *others)
    if state is State.SENT:
        store.record(sent(duties=[1]))
    elif state is State.MISSED:
        store.end(1, state, "")

    advance(store, proposed(ASKED), Postpone(DutyKind.PROPOSE, ID, 50, 60))

    found = {row.id: row.duty for row in store.duties(*State)}
    moved = propose() if state is State.MISSED else Duty(DutyKind.PROPOSE, ID, 50, 60)
    assert [found[place] for place in (1, 2, 3)] == [moved, *others]


def test_advance_finishes_what_was_sent_in_the_transaction(store: Store) -> None:
    advance(store, ASKED, propose(), Duty(DutyKind.SETTLE, ID), propose(subject=b"other"))
    advance(store, created(2), propose(subject=b"ended"))
    store.end(4, State.MISSED, "")
    store.record(sent(0, duties=[1, 2, 4]))
    store.record(sent(1, duties=[3]))

    advance(store, proposed(ASKED), Finish(DutyKind.PROPOSE, b"0 "))

    assert states(store) == [State.DONE, State.SENT, State.SENT, State.MISSED]


def test_take_is_once_and_opens_again_what_was_given_up(store: Store) -> None:
    rival = replace(propose(), kind=DutyKind.SETTLE)
    for duty, at in ((propose(), where(1)), (rival, where(1)), (propose(), where(2))):
        store.take(duty, at)
        store.take(duty, at)
    for place in (1, 2, 3):
        store.end(place, State.SUPERSEDED, "")
    store.take(propose(), where(1))

    assert states(store) == [State.OPEN, State.SUPERSEDED, State.SUPERSEDED]
    assert [store.place(each) for each in (1, 2, 3)] == [(1, 0), (1, 0), (2, 0)]


@pytest.mark.parametrize("state", [State.OPEN, State.SENT, State.DONE, State.MISSED])
def test_take_changes_nothing_else(store: Store, state: State) -> None:
    store.take(propose(), where(1))
    if state is State.SENT:
        store.record(sent(duties=[1]))
    elif state is not State.OPEN:
        store.end(1, state, "")
    store.take(propose(), where(1))

    assert states(store) == [state]


def test_duties_come_by_deadline_and_those_without_one_last(store: Store) -> None:
    deadlines = [300, None, 100, 200, None, 100]
    for block, deadline in enumerate(deadlines, 1):
        advance(store, created(block), propose(deadline, subject=bytes([block])))

    found = [(row.duty.deadline, row.duty.subject[0]) for row in store.duties(State.OPEN)]

    assert found == [(100, 3), (100, 6), (200, 4), (300, 1), (None, 2), (None, 5)]


def test_duties_can_be_of_one_kind_and_some_states(store: Store) -> None:
    advance(store, ASKED, propose(), Duty(DutyKind.SETTLE, ID), Duty(DutyKind.WITHDRAW, ID))
    store.record(sent(duties=[2]))
    store.end(3, State.DONE, "")

    assert [row.id for row in store.duties(State.OPEN, State.SENT)] == [1, 2]
    assert [row.id for row in store.duties(State.SENT, kind=DutyKind.PROPOSE)] == []
    assert [row.id for row in store.duties(State.SENT, kind=DutyKind.SETTLE)] == [2]


def test_end_changes_no_duty_that_has_ended(store: Store) -> None:
    advance(store, ASKED, propose())
    store.end(1, State.MISSED, "first")
    store.end(1, State.DONE, "second")

    [row] = store.duties(*State)

    assert (row.state, row.note) == (State.MISSED, "first")


def test_counts_are_of_states_and_the_nearest_open_deadline(store: Store) -> None:
    for block, deadline in enumerate([50, 80, 60, None], 1):
        advance(store, created(block), propose(deadline, subject=bytes([block])))
    store.end(1, State.DONE, "")
    store.record(sent(duties=[3]))

    counts = store.counts()

    assert counts.duties == {State.DONE: 1, State.OPEN: 2, State.SENT: 1}
    assert counts.nearest_deadline == 60


def test_counts_of_nothing(store: Store) -> None:
    counts = store.counts()

    assert (counts.duties, counts.stuck, counts.nearest_deadline) == ({}, 0, None)


# The outbox.


def test_record_keeps_all_that_is_needed_to_send_again(open_store: Open) -> None:
    one = sent(duties=(1, 2))
    legacy = sent(nonce=1, fees=Fees(Wei(5), None), call=Call(None, b"", Wei(0)))
    store = open_store()
    store.record(one)
    store.record(legacy)

    assert open_store().waiting() == [one, legacy]


def test_record_marks_open_duties_as_sent_and_no_others(store: Store) -> None:
    for block in (1, 2, 3):
        advance(store, created(block), propose(subject=bytes([block])))
    store.end(1, State.DONE, "")

    store.record(sent(duties=[1, 2]))

    assert states(store) == [State.DONE, State.SENT, State.OPEN]


def test_record_changes_nothing_when_it_cannot_be_kept(store: Store) -> None:
    advance(store, ASKED, propose())
    store.record(sent())

    with pytest.raises(IntegrityError):
        store.record(sent(duties=[1]))  # the same hash

    assert states(store) == [State.OPEN]


def test_waiting_comes_by_nonce_and_the_last_sent_of_each_last(store: Store) -> None:
    for nonce, name, at in [(2, "a", 1.0), (1, "b", 3.0), (1, "c", 2.0), (2, "d", 1.5)]:
        store.record(sent(nonce, name=name, at=at))

    assert [each.hash for each in store.waiting()] == [b"1 c", b"1 b", b"2 a", b"2 d"]


def test_close_leaves_duties_to_their_event_when_the_transaction_succeeded(store: Store) -> None:
    advance(store, ASKED, propose())
    store.record(sent(duties=[1]))

    store.close_nonce(0, Outcome.SUCCEEDED, b"0 ", 99)

    assert (states(store), store.waiting()) == ([State.SENT], [])


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.DISPLACED])
def test_close_opens_duties_again_when_it_did_not(store: Store, outcome: Outcome) -> None:
    for block in (1, 2):
        advance(store, created(block), propose(subject=bytes([block])))
    store.record(sent(duties=[1]))
    store.record(sent(duties=[1, 2], name="raised"))

    store.close_nonce(0, outcome, None, 0)

    assert (states(store), store.waiting()) == ([State.OPEN, State.OPEN], [])


def test_close_opens_no_duty_that_has_ended_meanwhile(store: Store) -> None:
    advance(store, ASKED, propose())
    store.record(sent(duties=[1]))
    advance(store, proposed(ASKED), Close(DutyKind.PROPOSE, ID, State.SUPERSEDED))

    store.close_nonce(0, Outcome.FAILED, b"0 ", 99)

    assert states(store) == [State.SUPERSEDED]


def test_close_leaves_other_nonces_waiting(store: Store) -> None:
    advance(store, ASKED, propose())
    store.record(sent(0))
    store.record(sent(1, duties=[1]))

    store.close_nonce(0, Outcome.FAILED, None, 0)

    assert [each.nonce for each in store.waiting()] == [1]
    assert states(store) == [State.SENT]


def test_close_is_harmless_when_repeated(store: Store) -> None:
    """As after a crash between the chain's answer and ours."""
    advance(store, ASKED, propose())
    store.record(sent(duties=[1]))
    store.close_nonce(0, Outcome.SUCCEEDED, b"0 ", 99)

    store.close_nonce(0, Outcome.DISPLACED, None, 0)

    assert states(store) == [State.SENT]


def test_spent_is_what_was_mined_and_what_may_be(store: Store) -> None:
    """Of each nonce what was mined, at its highest price; what waits, with all of its gas. What
    failed has cost its gas alone, what was displaced nothing."""
    assert store.spent() == 0

    price = Fees(Wei(10), None)
    values: dict[str, Any] = {"fees": price, "call": Call(QUEUE, b"", Wei(7)), "gas": 100}
    for nonce in range(4):
        store.record(sent(nonce, **values))
    store.record(sent(1, name="raised", **{**values, "fees": Fees(Wei(20), None)}))
    store.close_nonce(0, Outcome.SUCCEEDED, b"0 ", 30)
    assert store.spent() == (30 * 10 + 7) + 3 * (100 * 10 + 7) + (100 * 20 + 7)

    store.close_nonce(1, Outcome.FAILED, b"1 raised", 40)
    assert store.spent() == (30 * 10 + 7) + 40 * 20 + 2 * (100 * 10 + 7)

    store.close_nonce(2, Outcome.DISPLACED, None, 0)
    assert store.spent() == (30 * 10 + 7) + 40 * 20 + (100 * 10 + 7)


def test_sqlite_keeps_what_was_committed_when_the_power_fails(store: Store) -> None:
    if store._engine.dialect.name != "sqlite":
        pytest.skip("PostgreSQL does unless told otherwise")
    with store._engine.connect() as connection:
        found = [
            connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("journal_mode", "synchronous")
        ]

    assert found == ["wal", 2]  # 2 is FULL


def test_store_takes_the_largest_numbers_that_a_chain_may_send(store: Store) -> None:
    answer = proposed(ASKED)
    far = replace(answer.proposal, epoch=2**32 - 1, settle_at=2**63 - 1)
    advance(store, replace(answer, proposal=far), Duty(DutyKind.SETTLE, ID, 2**63 - 1))

    assert store.proposal(ID) == (far, OUTPUT)
