"""All of a change is taken in or nothing of it, once, however often it is read."""

from collections.abc import Iterable
from dataclasses import replace

import pytest
from sqlalchemy.exc import IntegrityError

from oracle.chain.codec import dispute_key
from oracle.chain.events import (
    Event,
    PartDemanded,
    PartRevealed,
    PrepaidCollected,
    RequestExpired,
    RequestReopened,
    RequestSettled,
    UnstakeStarted,
)
from oracle.state.deeds import Computed
from oracle.state.duties import Due, Duty, DutyKind, Key, State
from oracle.state.facts import History
from oracle.state.store import KEPT, Store
from oracle.types import RequestId, Wei
from tests.chains import FEE, OUTPUT, address, created, proposed, where
from tests.events import PART, STRANGER, demand
from tests.unit.state.changes import (
    ME,
    Open,
    change,
    header,
    keys,
    nothing,
    ours,
    owing,
    propose,
    read,
    receipt,
    rows,
    sent,
    undo,
)

ASKED, OTHER = created(1), created(2)
ID, OTHER_ID = ASKED.request_id, OTHER.request_id
ANSWER = proposed(ASKED)
DISPUTE = dispute_key(ID, ANSWER.proposal, OUTPUT)
DEMANDED = PartDemanded(where(101), ID, ME, demand(STRANGER, key=DISPUTE, deadline=2_000_000_000))
TIME = ANSWER.where.time


# All or nothing.


def test_apply_changes_nothing_when_a_duty_cannot_be_stored(store: Store) -> None:
    store.apply(change(ASKED), ours)
    before = rows(store)

    def impossible(history: History) -> Iterable[Due]:
        yield from ours(history)
        yield Due(propose(ID), replace(ASKED.where, block=None))  # type: ignore[arg-type]

    with pytest.raises(IntegrityError):
        store.apply(change(OTHER, first=2, last=3, final=1), impossible)

    assert rows(store) == before
    assert (store.cursor(), store.request(OTHER_ID)) == (header(1), None)


def tale() -> list[Event]:
    """A request that is disputed, and another that is not."""
    return [
        *(ASKED, OTHER, UnstakeStarted(where(3), ME, Wei(5), 777)),
        *(ANSWER, DEMANDED, PartRevealed(where(102), ID, DISPUTE, PART, b"", ())),
        *(RequestSettled(where(103), ID, ME), PrepaidCollected(where(104), DISPUTE, ME, Wei(7))),
    ]


@pytest.mark.parametrize("count", range(1, 9))
def test_apply_is_harmless_when_repeated(store: Store, count: int) -> None:
    """As after a crash, of which nobody knows whether it was before or after."""
    events = tale()[:count]
    store.apply(change(*events), ours)
    for key in keys(store):
        store.set_opinion([key], State.DECLINED, "why")
    before = rows(store)

    store.apply(change(*events), ours)
    store.apply(change(*events, ends=False), ours)

    assert rows(store) == before


@pytest.mark.parametrize("count", range(8))
def test_apply_is_taken_back_by_an_undo(store: Store, count: int) -> None:
    """Whatever has happened is as if it had not."""
    store.apply(change(*tale()[:count], first=1, last=200), ours)
    before = rows(store, "events", "duties", "ended")
    block = tale()[count].where.block
    store.apply(change(*tale()[count:], first=block, last=200), ours)

    store.apply(undo(block), ours)

    assert rows(store, "events", "duties", "ended") == before


# Anew.


def test_reset_forgets_what_the_chain_said_and_keeps_what_we_did(store: Store) -> None:
    store.apply(change(ASKED, OTHER, ANSWER, final=50, settled=50), ours)
    store.set_opinion([(DutyKind.PROPOSE, OTHER_ID)], State.DECLINED, "why")
    store.keep_outputs([Computed(ID, OUTPUT, 0.5)])
    store.keep_check(DISPUTE, ID, True)
    store.report(ID, "why")
    store.record((sent(), [(DutyKind.SETTLE, ID)]))
    store.mark_mined({0: receipt(sent(), 60)})
    assert store.history(ID) is not None

    store.reset()

    left = {name for name, found in rows(store).items() if found}
    assert left == {"deeds", "unwatched", "transactions", "sent_for"}
    assert (store.cursor(), store.settled(), store.final()) == (None, None, -1)
    assert (store.history(ID), store.duties(*State)) == (None, [])
    assert (store.output(ID), store.is_right(DISPUTE)) == (OUTPUT, True)
    assert [each.block for each in store.followed()] == [60]


def test_reset_and_reading_again_is_as_reading_for_the_first_time(open_store: Open) -> None:
    store = open_store()
    store.apply(change(*tale()), ours)
    before = rows(store)
    store.reset()

    store.apply(change(*tale()), ours)

    assert rows(store) == before


# What is over.

SETTLED = RequestSettled(where(103, time=ANSWER.proposal.settle_at), ID, address("rival"))
EXPIRED = RequestExpired(where(103, time=ANSWER.proposal.settle_at), ID, STRANGER, FEE)
THEIRS = proposed(ASKED, "rival")


def is_known(store: Store, id_: RequestId = ID) -> bool:
    """Whether anything is kept of a request."""
    found = rows(store, "events", "ended", "duties", "opinions", "stuck", "deeds", "unwatched")
    return any(id_ in row or DISPUTE in row for every in found.values() for row in every)


@pytest.mark.parametrize("events", [[THEIRS, SETTLED], [EXPIRED]], ids=["settled", "expired"])
def test_drop_ended_drops_what_ended_a_day_ago(store: Store, events: list[Event]) -> None:
    read(store, ASKED, *events)
    over = SETTLED.where.time

    store.drop_ended(over + KEPT)
    assert is_known(store)
    store.drop_ended(over + KEPT + 1)
    assert not is_known(store)


def test_drop_ended_drops_all_that_is_kept_of_it_and_of_nothing_else(store: Store) -> None:
    read(store, ASKED, OTHER, THEIRS, SETTLED)
    for id_, dispute in ((ID, DISPUTE), (OTHER_ID, b"\x07" * 32)):
        store.keep_outputs([Computed(id_, OUTPUT, 0.5)])
        store.keep_check(dispute, id_, False)
        store.report(id_, "why")
    store.record((sent(), [(DutyKind.SETTLE, OTHER_ID)]))
    before = rows(store, "blocks", "transactions", "sent_for", "duties")

    store.drop_ended(SETTLED.where.time + 9 * KEPT)

    assert not is_known(store)
    assert store.history(OTHER_ID) is not None and store.output(OTHER_ID) == OUTPUT
    assert (store.is_right(b"\x07" * 32), store.unwatched()) == (False, {OTHER_ID: "why"})
    assert rows(store, "blocks", "transactions", "sent_for", "duties") == before


@pytest.mark.parametrize(
    "events",
    [
        [ANSWER],
        [THEIRS],
        [ANSWER, DEMANDED],
        [ANSWER, DEMANDED, RequestSettled(where(103), ID, ME)],
    ],
    ids=["ours", "theirs", "disputed", "unpaid"],
)
def test_drop_ended_drops_nothing_that_goes_on(store: Store, events: list[Event]) -> None:
    read(store, ASKED, *events)
    before = rows(store)

    store.drop_ended(2**40)

    assert rows(store) == before


@pytest.mark.parametrize(
    "events",
    [
        [],
        [THEIRS, RequestReopened(where(102), ID, address("rival"))],
        [ANSWER, RequestReopened(where(102), ID, ME)],
    ],
    ids=["asked", "reopened", "void"],
)
def test_drop_ended_drops_what_nobody_answered_a_day_after_its_deadline(
    store: Store, events: list[Event]
) -> None:
    """Nobody need call it expired."""
    read(store, ASKED, *events)

    store.drop_ended(ASKED.request.deadline + KEPT)
    assert is_known(store)
    store.drop_ended(ASKED.request.deadline + KEPT + 1)
    assert not is_known(store)


def test_drop_ended_waits_for_the_window_of_a_result_that_is_void(store: Store) -> None:
    """It can be disputed for as long as it would have stood, and whoever does not answer is
    slashed."""
    late = replace(ANSWER.proposal, settle_at=TIME + 5 * KEPT)
    events: list[Event] = [
        replace(ANSWER, proposal=late),
        RequestReopened(where(101), ID, ME),
        RequestExpired(where(102), ID, STRANGER, FEE),
    ]
    read(store, ASKED, *events)

    store.drop_ended(TIME + 6 * KEPT)
    assert is_known(store)
    store.drop_ended(TIME + 6 * KEPT + 1)
    assert not is_known(store)


def test_drop_ended_waits_for_open_demands_of_others(store: Store) -> None:
    """A challenger may owe a timeout by them as soon as it finds the result to be wrong."""
    asked = demand(STRANGER, key=DISPUTE, deadline=TIME + 5 * KEPT)
    read(store, ASKED, THEIRS, PartDemanded(where(101), ID, address("rival"), asked), SETTLED)

    store.drop_ended(TIME + 6 * KEPT)
    assert is_known(store)
    store.drop_ended(TIME + 6 * KEPT + 1)
    assert not is_known(store)


def test_drop_ended_drops_nothing_whose_end_was_undone(store: Store) -> None:
    read(store, ASKED, THEIRS, SETTLED)
    store.apply(undo(103), ours)

    store.drop_ended(2**40)

    assert is_known(store)


def test_drop_ended_drops_nothing_of_which_something_is_owed_anew(store: Store) -> None:
    read(store, ASKED, THEIRS, SETTLED, owed=nothing)
    assert rows(store, "ended")["ended"]
    event = replace(SETTLED, where=where(104))
    store.apply(change(event), owing({ID: [Duty(DutyKind.SETTLE, ID)]}))

    store.drop_ended(2**40)

    assert is_known(store)


def test_drop_ended_drops_some_at_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("oracle.state.store.MOST_DROPPED", 2)
    asked = [created(number) for number in range(1, 6)]
    ends = [RequestExpired(where(9, n), each.request_id, ME, FEE) for n, each in enumerate(asked)]
    store.apply(change(*asked, *ends, first=1), ours)

    left = []
    for _ in range(4):
        store.drop_ended(2**40)
        left.append(len(rows(store, "ended")["ended"]))

    assert left == [3, 1, 0, 0]
    assert rows(store, "events") == {"events": []}


def test_drop_ended_does_nothing_before_anything_ended(store: Store) -> None:
    store.drop_ended(2**40)

    assert rows(store)["events"] == []


def test_a_late_event_of_what_was_dropped_obliges_to_nothing(store: Store) -> None:
    read(store, ASKED, THEIRS, SETTLED)
    store.drop_ended(2**40)

    read(store, replace(DEMANDED, where=where(105)))

    found: set[Key] = keys(store)
    assert (found, store.stuck()) == (set(), 0)
