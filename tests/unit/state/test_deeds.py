"""What we did is kept, whatever the chain says, for as long as it may matter."""

from dataclasses import replace

from oracle.chain.codec import request_words
from oracle.state.deeds import KEPT, Computed, Signed
from oracle.state.store import Store
from oracle.types import RequestId, Wei
from tests.chains import OUTPUT, created, request
from tests.unit.state.changes import Open, nothing, read, undo

ASKED, OTHER = created(1), created(2)
ID, OTHER_ID = ASKED.request_id, OTHER.request_id


def signed(id_: RequestId = ID, deadline: int = 1000, epoch: int = 3) -> Signed:
    return Signed(id_, request(deadline=deadline), epoch, 1.5, OUTPUT)


# Answers computed.


def test_output_is_what_was_computed_over_a_restart(open_store: Open) -> None:
    open_store().keep_outputs([Computed(ID, b"\x00\xff", 1.5)])

    assert (open_store().output(ID), open_store().took(ID)) == (b"\x00\xff", 1.5)


def test_output_is_the_last_that_was_computed(store: Store) -> None:
    store.keep_outputs([Computed(ID, b"first", 1.5)])
    store.keep_outputs([Computed(ID, b"second", 2.5)])

    assert (store.output(ID), store.took(ID)) == (b"second", 2.5)


def test_output_is_a_requests_own(store: Store) -> None:
    store.keep_outputs([Computed(OTHER_ID, b"ours", 1.5)])

    assert [store.output(each) for each in (ID, OTHER_ID)] == [None, b"ours"]
    assert [store.took(each) for each in (ID, OTHER_ID)] == [None, 1.5]


def test_output_is_kept_when_the_request_is_on_the_chain_no_more(store: Store) -> None:
    """It may come back in another block, and is not run again."""
    read(store, ASKED)
    store.keep_outputs([Computed(ID, OUTPUT, 0.5)])

    store.apply(undo(1), nothing)

    assert store.output(ID) == OUTPUT


def test_outputs_gives_those_that_are_asked_for(store: Store) -> None:
    ours = [Computed(each, OUTPUT, 0.5) for each in (ID, OTHER_ID)]
    store.keep_outputs(ours)

    assert store.outputs([ID, RequestId(b"\x09" * 32)]) == {ID: ours[0]}
    assert store.outputs([ID, OTHER_ID]) == {ID: ours[0], OTHER_ID: ours[1]}


# Answers signed.


def test_signed_comes_back_as_it_was_over_a_restart(open_store: Open) -> None:
    open_store().keep_signed(signed())

    assert open_store().signed(ID) == signed()
    assert (open_store().signed(OTHER_ID), open_store().output(ID)) == (None, None)


def test_signed_is_the_last_of_a_request(store: Store) -> None:
    store.keep_signed(signed())
    store.keep_signed(signed(epoch=4))

    assert store.signed(ID) == signed(epoch=4)


def test_took_is_that_of_the_run_before_that_of_what_was_signed(store: Store) -> None:
    store.keep_signed(signed())
    assert store.took(ID) == 1.5

    store.keep_outputs([Computed(ID, OUTPUT, 2.5)])
    assert store.took(ID) == 2.5


def test_unposted_is_what_may_still_be_posted(store: Store) -> None:
    early, late = signed(deadline=1000), signed(OTHER_ID, deadline=1001)
    for each in (early, late):
        store.keep_signed(each)

    assert [len(store.unposted(after)) for after in (999, 1000, 1001)] == [2, 1, 0]
    assert store.unposted(1000) == [late]


def test_unposted_is_nothing_that_the_chain_knows_of_until_it_no_longer_does(store: Store) -> None:
    store.keep_signed(signed())
    read(store, ASKED)
    assert store.unposted(0) == []

    store.apply(undo(1), nothing)
    assert store.unposted(0) == [signed()]


def test_drop_signed_drops_the_output_when_nobody_can_post_it(store: Store) -> None:
    store.keep_signed(signed())

    store.drop_signed(1000)
    assert store.signed(ID) == signed()
    store.drop_signed(1001)
    assert store.signed(ID) == replace(signed(), output=None)


def test_drop_signed_knows_what_was_signed_for_a_day(store: Store) -> None:
    """A chain may go back, by less."""
    store.keep_signed(signed())

    store.drop_signed(1000 + KEPT)
    assert store.signed(ID) is not None
    store.drop_signed(1001 + KEPT)
    assert store.signed(ID) is None


def test_drop_signed_keeps_what_was_posted_and_drops_nothing_else(store: Store) -> None:
    store.keep_signed(signed())
    read(store, ASKED)
    store.keep_outputs([Computed(OTHER_ID, OUTPUT, 0.5)])

    store.drop_signed(1001 + KEPT)

    assert store.signed(ID) == replace(signed(), output=None)
    assert store.output(OTHER_ID) == OUTPUT


def test_signed_keeps_the_words_of_the_request(store: Store) -> None:
    """The chain may never know it."""
    odd = request(fee=Wei(2**96 - 1), nonce=2**64 - 1, entropy=2**64 - 2, callback_gas=9)
    store.keep_signed(replace(signed(), request=odd))

    found = store.signed(ID)

    assert found is not None and request_words(found.request) == request_words(odd)


# Results checked.


def test_is_right_is_what_was_found_over_a_restart(open_store: Open) -> None:
    store = open_store()
    store.keep_check(b"d1", ID, True)
    store.keep_check(b"d2", OTHER_ID, False)

    assert [open_store().is_right(each) for each in (b"d1", b"d2", b"d3")] == [True, False, None]
    assert open_store().wrong() == 1


def test_is_right_is_the_last_that_was_found(store: Store) -> None:
    store.keep_check(b"d1", ID, True)
    store.keep_check(b"d1", ID, False)

    assert (store.is_right(b"d1"), store.wrong()) == (False, 1)


def test_unwatched_has_the_last_reason_of_each_until_it_is_none(store: Store) -> None:
    for id_, reason in ((ID, "first"), (OTHER_ID, "other"), (ID, "second")):
        store.report(id_, reason)
    assert store.unwatched() == {ID: "second", OTHER_ID: "other"}

    store.report(ID, "")
    assert store.unwatched() == {OTHER_ID: "other"}


def test_deeds_of_one_kind_are_of_no_other(store: Store) -> None:
    store.keep_check(ID, ID, True)
    store.keep_outputs([Computed(ID, OUTPUT, 0.5)])

    assert (store.is_right(ID), store.output(ID), store.signed(ID)) == (True, OUTPUT, None)
