"""What the chain says is kept as far as it was read, and looked up as it was said."""

from dataclasses import replace

import pytest

from oracle.chain.codec import dispute_key, model_preimage
from oracle.chain.disputes import Dispute, replay
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
    PrepaidCollected,
    RequestExpired,
    RequestSettled,
    StakeAdded,
    TraceRevealed,
    WindowMoved,
)
from oracle.chain.view import Change
from oracle.errors import Reorganised
from oracle.state import facts
from oracle.state.facts import parts
from oracle.state.store import Store
from oracle.types import Demand, Model, ModelId, Part, RequestId, Verdict, Wei
from tests.chains import FEE, OUTPUT, PAYLOAD, URI, created, hash_of, model, proposed, where
from tests.unit.state.changes import (
    ME,
    Open,
    change,
    header,
    nothing,
    read,
    rows,
    undo,
)

ASKED = created()
ID = ASKED.request_id
MODEL = ModelId(b"\x33" * 32)


# How far it was read.


def test_nothing_is_known_before_anything_was_read(store: Store) -> None:
    assert (store.cursor(), store.oldest(), store.header(0)) == (None, None, None)
    assert (store.settled(), store.final()) == (None, -1)


def test_cursor_is_the_last_block_and_oldest_the_first(store: Store) -> None:
    store.apply(change(first=3, last=5), nothing)
    store.apply(change(first=6, last=6), nothing)

    assert (store.cursor(), store.oldest()) == (header(6), header(3))
    assert [store.header(number) for number in (2, 4, 7)] == [None, header(4), None]


def test_cursor_goes_back_when_blocks_are_undone(store: Store) -> None:
    store.apply(change(first=3, last=6), nothing)
    store.apply(undo(5), nothing)

    assert store.cursor() == header(4)


def test_apply_replaces_blocks_and_all_after_them(store: Store) -> None:
    store.apply(change(first=3, last=6), nothing)
    other = header(4, b"\x04" * 32)
    store.apply(Change(4, 4, [other], (), -1, -1), nothing)

    assert (store.cursor(), store.header(3), store.header(5)) == (other, header(3), None)


def test_apply_corrects_its_own_blocks_alone_where_it_does_not_end(store: Store) -> None:
    later, early = created(2, where(6)), created(3, where(4))
    store.apply(change(ASKED, later, first=1, last=6), nothing)

    store.apply(change(ASKED, early, first=1, last=4, ends=False), nothing)

    assert store.cursor() == header(6)
    ids = [each.request_id for each in (ASKED, early, later)]
    assert [store.history(each) is not None for each in ids] == [True] * 3


def test_silence_about_a_block_that_was_read_takes_nothing_back(store: Store) -> None:
    """A node that has lost its logs says none of them."""
    store.apply(change(ASKED, created(2, where(4)), first=1, last=6), nothing)

    store.apply(change(first=1, last=4, ends=False), nothing)

    assert store.history(ID) is not None
    assert store.history(created(2).request_id) is not None


def test_a_block_that_is_read_again_takes_the_place_of_another(store: Store) -> None:
    other = replace(where(4), block_hash=b"\x0f" * 32)
    false, true = created(2, where(4)), created(3, other)
    store.apply(change(ASKED, false, first=1, last=6), nothing)

    store.apply(change(ASKED, true, first=1, last=5, ends=False), nothing)

    assert store.history(false.request_id) is None
    assert store.history(true.request_id) is not None


def test_apply_keeps_the_last_final_block_and_those_after_it(store: Store) -> None:
    store.apply(change(first=1, last=9), nothing)
    store.apply(change(first=10, last=10, final=6, settled=2), nothing)

    assert (store.oldest(), store.cursor()) == (header(6), header(10))
    assert (store.final(), store.settled()) == (6, 2)


def test_apply_keeps_a_block_when_all_are_final(store: Store) -> None:
    """It says whether the chain is still the same."""
    store.apply(change(first=1, last=9, final=20, settled=9), nothing)

    assert (store.oldest(), store.cursor()) == (header(9), header(9))


def test_how_far_it_was_read_is_known_over_a_restart(open_store: Open) -> None:
    open_store().apply(change(first=1, last=9, final=5, settled=4), nothing)
    store = open_store()

    assert (store.cursor(), store.oldest()) == (header(9), header(5))
    assert (store.final(), store.settled()) == (5, 4)


def test_an_undone_block_takes_its_events_and_those_of_later_ones(store: Store) -> None:
    read(store, ASKED, created(2), created(3))
    store.apply(undo(2), nothing)

    assert [each[2] for each in rows(store, "events")["events"]] == [1]


def test_events_about_nothing_that_is_kept_leave_no_trace(store: Store) -> None:
    read(store, StakeAdded(where(), ME, Wei(1), Wei(1)))

    assert rows(store, "events") == {"events": []}


def test_a_history_without_its_request_is_none(store: Store) -> None:
    """As where the deployment is read from too late a block."""
    read(store, RequestExpired(where(), ID, ME, FEE))

    assert (store.history(ID), store.request(ID)) == (None, None)


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("index", [0, 1])
def test_apply_refuses_one_hash_for_two_blocks(store: Store, together: bool, index: int) -> None:
    """Which of the two is a node's lie, nobody knows: all is read anew."""
    twin = created(2, replace(where(2, index), block_hash=hash_of(1)))
    if not together:
        store.apply(change(ASKED), nothing)
    before = rows(store)

    with pytest.raises(Reorganised, match="stands for blocks 1 and 2"):
        store.apply(change(*([ASKED] if together else []), twin), nothing)

    assert rows(store) == before


# Histories.


def test_history_is_in_order_whatever_was_read_first(store: Store) -> None:
    answer, moved = proposed(ASKED), WindowMoved(where(100, 1), ID, ME, proposed(ASKED).proposal)
    end = RequestSettled(where(100, 2), ID, ME)
    store.apply(change(end, moved, answer, ASKED, first=1, last=100), nothing)

    found = store.history(ID)

    assert found is not None
    assert (found.created, found.events) == (ASKED, (answer, moved, end))


def test_history_is_what_it_is_now_when_it_was_asked_for_before(store: Store) -> None:
    answer = proposed(ASKED)

    def told() -> tuple[Event, ...] | None:
        found = store.history(ID)
        return None if found is None else found.events

    assert told() is None
    read(store, ASKED)
    assert told() == ()
    read(store, answer)
    assert told() == (answer,)
    store.apply(undo(100), nothing)
    assert told() == ()
    store.apply(undo(1), nothing)
    assert told() is None


def test_history_is_kept_in_memory_for_the_last_that_were_asked_for(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(facts, "MOST_KEPT", 2)
    asked = [created(number) for number in (1, 2, 3)]
    read(store, *asked)

    for _ in range(2):
        for each in asked:
            found = store.history(each.request_id)
            assert found is not None and found.created == each
    assert len(store._kept) == 2


# Requests and results.


def test_request_and_payload_come_back_as_they_were(store: Store) -> None:
    asked = created(operator=ME, fee=Wei(2**96 - 1), nonce=2**64 - 1, entropy=2**64 - 2)
    read(store, asked)

    assert (store.request(ID), store.payload(ID)) == (asked.request, PAYLOAD)


def test_what_was_never_read_is_none(store: Store) -> None:
    unknown = RequestId(bytes(32))

    assert store.request(unknown) is None
    assert store.history(unknown) is None
    assert store.proposal(unknown) is None
    assert store.request_of(unknown) is None
    assert store.committed(unknown) is None
    assert store.dispute(unknown, b"key") == Dispute(b"key")
    assert store.model(MODEL) is None
    assert (store.uris(MODEL), store.models()) == ([], [])


def test_proposal_is_the_last_one(store: Store) -> None:
    first, second = proposed(ASKED, "rival", where(2)), proposed(ASKED, "operator", where(3))
    proposal = replace(second.proposal, output_length=5)
    read(store, ASKED, first, replace(second, proposal=proposal, output=b"other"))

    assert store.proposal(ID) == (proposal, b"other")


def test_proposal_is_none_without_one_and_kept_when_it_is_void(store: Store) -> None:
    read(store, ASKED)
    assert store.proposal(ID) is None

    answer = proposed(ASKED)
    read(store, answer, RequestExpired(where(101), ID, ME, FEE))
    assert store.proposal(ID) == (answer.proposal, OUTPUT)


def test_each_request_has_its_own_answers(store: Store) -> None:
    """What is kept of one is read of no other."""
    first, other = replace(ASKED, payload=b"first"), created(2, where(2), fee=Wei(7))
    moved = replace(proposed(other).proposal, settle_at=5)
    answers = proposed(ASKED), proposed(other, at=where(100, 1))
    events: list[Event] = [
        first,
        other,
        *answers,
        WindowMoved(where(101), other.request_id, ME, moved),
    ]

    read(store, *events)

    assert (store.request(ID), store.payload(ID)) == (ASKED.request, b"first")
    id_ = other.request_id
    assert (store.request(id_), store.payload(id_)) == (other.request, PAYLOAD)
    assert store.proposal(ID) == (proposed(ASKED).proposal, OUTPUT)
    assert store.proposal(id_) == (moved, OUTPUT)


def test_store_takes_the_largest_numbers_that_a_chain_may_send(store: Store) -> None:
    answer = proposed(ASKED)
    far = replace(answer.proposal, epoch=2**32 - 1, settle_at=2**63 - 1)
    read(store, ASKED, replace(answer, proposal=far))

    assert store.proposal(ID) == (far, OUTPUT)
    assert store.history(ID) is not None


# Models.


def published(what: Model, uri: str, block: int = 1, id_: ModelId = MODEL) -> ModelPublished:
    return ModelPublished(where(block), id_, what, uri, model_preimage(what))


def test_model_comes_back_as_it_was(store: Store) -> None:
    what = model(ME, name="naïve 🦊 \ufffd", royalty=Wei(2**70))
    read(store, published(what, URI))

    assert store.model(MODEL) == what


def test_uris_are_the_published_and_the_added_ones_each_once_in_order(store: Store) -> None:
    read(store, published(model(ME), "b"))
    read(store, *(ModelUriAdded(where(at), MODEL, uri) for at, uri in enumerate("cbac", 2)))

    assert store.uris(MODEL) == ["b", "c", "a"]


def test_uris_are_none_when_a_model_came_without(store: Store) -> None:
    read(store, published(model(ME), ""))

    assert store.uris(MODEL) == []


def test_each_model_has_its_own_words_and_uris(store: Store) -> None:
    other, second = ModelId(b"\x44" * 32), model(ME, name="other")
    read(store, published(model(ME), "a"), published(second, "b", 2, other))

    assert (store.model(MODEL), store.model(other)) == (model(ME), second)
    assert (store.uris(MODEL), store.uris(other)) == (["a"], ["b"])
    assert store.preimage(other) == model_preimage(second)
    assert sorted(store.models()) == [MODEL, other]


def test_a_model_is_unknown_when_its_block_is_undone(store: Store) -> None:
    read(store, published(model(ME), "a"), ModelUriAdded(where(2), MODEL, "b"))

    store.apply(undo(2), nothing)
    assert store.uris(MODEL) == ["a"]
    store.apply(undo(1), nothing)
    assert (store.model(MODEL), store.models()) == (None, [])


# Disputes.


def test_committed_is_the_block_of_the_first_such_commitment(store: Store) -> None:
    one, two = b"\x01" * 32, b"\x02" * 32
    read(
        store, *(FraudCommitted(where(at), each, ME) for at, each in ((5, one), (6, two), (7, one)))
    )

    assert [store.committed(each) for each in (one, two, bytes(32))] == [5, 6, None]


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
    keys = [b"\x03" * 32, b"\x01" * 32, b"\x02" * 32]
    other = created(2)
    lists = [dispute_events(keys[0], 10), dispute_events(keys[1], 21)]
    lists.append(dispute_events(keys[2], 30, other.request_id))
    read(open_store(), ASKED, other, *(event for events in lists for event in events))
    store = open_store()
    told = [replay(key, events) for key, events in zip(keys, lists, strict=True)]

    history = store.history(ID)

    assert history is not None and list(history.disputes.items()) == [
        *zip(keys, told[:2], strict=False)
    ]
    ids = (ID, ID, other.request_id)
    assert [store.dispute(id_, key) for id_, key in zip(ids, keys, strict=True)] == told
    assert [store.request_of(key) for key in keys] == list(ids)
    assert store.dispute(other.request_id, keys[0]) == Dispute(keys[0])


@pytest.mark.parametrize("is_one_change", [True, False])
def test_what_was_collected_is_part_of_the_history_of_its_disputes_request(
    store: Store, is_one_change: bool
) -> None:
    """The event tells its dispute alone."""
    answer = proposed(ASKED)
    key = dispute_key(ID, answer.proposal, OUTPUT)
    demand = Demand(key, Part(1, 2, 0, 3), bytes(32), 4, 5, 0, ME, Wei(6), 7)
    paid = PrepaidCollected(where(103), key, ME, Wei(6))
    events: list[Event] = [ASKED, answer, PartDemanded(where(101), ID, ME, demand), paid]
    if is_one_change:
        store.apply(change(*events), nothing)
    else:
        read(store, *events, owed=nothing)

    history = store.history(ID)
    assert history is not None and history.events[-1] == paid

    store.apply(undo(103), nothing)
    history = store.history(ID)
    assert history is not None and paid not in history.events


def test_what_was_collected_in_a_dispute_that_was_never_read_is_nobodys(store: Store) -> None:
    key = b"\x0e" * 32
    read(store, ASKED, PrepaidCollected(where(103), key, ME, Wei(6)))

    history = store.history(ID)
    assert history is not None and history.events == ()


def test_parts_splits_what_is_too_much_for_one_query() -> None:
    many = list(range(2 * facts.MOST_ASKED + 1))

    found = list(parts(many))

    assert [each for some in found for each in some] == many
    assert [len(some) for some in found] == [facts.MOST_ASKED, facts.MOST_ASKED, 1]


def test_apply_takes_in_more_requests_than_one_query_asks_for(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(facts, "MOST_ASKED", 3)
    asked = [created(number) for number in range(1, 11)]

    store.apply(change(*asked), nothing)

    assert all(store.history(each.request_id) is not None for each in asked)
    store.apply(undo(1), nothing)
    assert all(store.history(each.request_id) is None for each in asked)
