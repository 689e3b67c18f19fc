"""Transactions are followed until what became of them is final; what they cost is kept for good."""

from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError

from oracle.chain.node import Call, Fees
from oracle.chain.transactions import Outcome, Sent
from oracle.chain.view import Change
from oracle.state.duties import DutyKind, Key
from oracle.state.store import Store
from oracle.types import RequestId, Wei
from tests.chains import hash_of
from tests.unit.state.changes import QUEUE, Open, change, header, nothing, receipt, sent, undo

KEYS: list[Key] = [
    (DutyKind.PROPOSE, RequestId(b"\x01" * 32)),
    (DutyKind.SETTLE, RequestId(b"\x02" * 32)),
]


def outcomes(store: Store) -> dict[bytes, tuple[Outcome, int | None]]:
    """What became of each transaction that is followed, and the block that shows it."""
    return {each.hash: (each.outcome, each.block) for each in store.followed()}


# What is kept.


def test_record_keeps_all_that_is_needed_to_send_again(open_store: Open) -> None:
    one = sent()
    legacy = sent(nonce=1, fees=Fees(Wei(5), None), call=Call(None, b"", Wei(0)))
    store = open_store()
    store.record((one, KEYS))
    store.record((legacy, []))

    store = open_store()

    assert store.waiting() == store.followed() == [one, legacy]
    assert sorted(store.keys_of(one.hash)) == KEYS
    assert store.keys_of(legacy.hash) == []


def test_record_follows_anew_what_is_the_same_to_the_last_bit(store: Store) -> None:
    """As where a chain goes back further than was final."""
    duty = KEYS[0]
    store.record((sent(3), [duty]))
    store.mark_mined({3: receipt(sent(3), 60)})
    store.finish(3)

    store.record((sent(3, at=9.0), [duty]))

    [again] = store.followed()
    assert (again.sent_at, again.outcome, again.block) == (9.0, Outcome.WAITING, None)
    assert store.keys_of(again.hash) == [duty]


def test_record_changes_nothing_when_its_duties_cannot_be_kept(store: Store) -> None:
    with pytest.raises(IntegrityError):
        store.record((sent(), [KEYS[0], KEYS[0]]))

    assert store.followed() == []


def test_followed_comes_by_nonce_and_the_last_sent_of_each_last(store: Store) -> None:
    for nonce, name, at in [(2, "a", 1.0), (1, "b", 3.0), (1, "c", 2.0), (2, "d", 1.5)]:
        store.record((sent(nonce, name, at), []))

    assert [each.hash for each in store.followed()] == [b"1 c", b"1 b", b"2 a", b"2 d"]


# What becomes of it.


@pytest.mark.parametrize("succeeded", [True, False])
def test_mark_mined_is_of_one_transaction_and_displaces_the_others(
    store: Store, succeeded: bool
) -> None:
    raised = sent(name="raised")
    for each in (sent(), raised, sent(1)):
        store.record((each, KEYS))

    store.mark_mined({0: receipt(raised, 7, succeeded)})

    assert outcomes(store) == {
        sent().hash: (Outcome.DISPLACED, 7),
        raised.hash: (Outcome.SUCCEEDED if succeeded else Outcome.FAILED, 7),
        sent(1).hash: (Outcome.WAITING, None),
    }
    assert store.waiting() == [sent(1)]


def test_mark_mined_is_of_another_when_a_block_was_replaced(store: Store) -> None:
    raised = sent(name="raised")
    for each in (sent(), raised):
        store.record((each, KEYS))
    store.mark_mined({0: receipt(raised, 7)})

    store.mark_mined({0: receipt(sent(), 8)})

    assert outcomes(store) == {
        sent().hash: (Outcome.SUCCEEDED, 8),
        raised.hash: (Outcome.DISPLACED, 8),
    }


def test_mark_is_of_all_transactions_of_a_nonce(store: Store) -> None:
    for each in (sent(), sent(name="raised"), sent(1)):
        store.record((each, KEYS))

    store.mark(0, Outcome.DISPLACED, 7)

    assert list(outcomes(store).values()) == [(Outcome.DISPLACED, 7)] * 2 + [
        (Outcome.WAITING, None)
    ]


def test_mark_waiting_takes_back_what_was_mined(store: Store) -> None:
    for each in (sent(), sent(name="raised")):
        store.record((each, KEYS))
    store.mark_mined({0: receipt(sent(), 7)})

    store.mark_waiting(0)

    assert list(outcomes(store).values()) == [(Outcome.WAITING, None)] * 2
    assert store.moved() == set()


def test_mark_one_is_of_one_transaction(store: Store) -> None:
    for each in (sent(), sent(name="raised")):
        store.record((each, KEYS))

    store.mark_one(sent().hash, Outcome.REFUSED)

    assert outcomes(store)[sent().hash] == (Outcome.REFUSED, None)
    assert [each.hash for each in store.waiting()] == [sent(name="raised").hash]


def test_finish_follows_a_nonce_no_further(store: Store) -> None:
    for each in (sent(), sent(name="raised"), sent(1)):
        store.record((each, KEYS))
    store.mark_mined({0: receipt(sent(), 7)})

    store.finish(0)

    assert store.followed() == [sent(1)]


def test_nothing_changes_about_a_nonce_that_is_followed_no_further(store: Store) -> None:
    """Another program may have used it in another chain's past: what is final is ours."""
    store.record((sent(fees=Fees(Wei(10), None), call=Call(QUEUE, b"", Wei(0))), KEYS))
    store.mark_mined({0: receipt(sent(), 7)})
    store.finish(0)

    store.mark(0, Outcome.DISPLACED, 9)
    store.mark_waiting(0)

    assert (store.spent(), store.followed(), store.is_sent(KEYS[0])) == (990, [], True)


# Blocks that were replaced.


def test_moved_has_what_was_mined_in_a_block_that_was_replaced(store: Store) -> None:
    for nonce, block in ((0, 6), (1, 7), (2, 8)):
        store.record((sent(nonce), []))
        store.mark_mined({nonce: receipt(sent(nonce), block)})
    store.apply(change(first=5, last=8), nothing)
    assert store.moved() == set()

    others = [header(number, b"\x07" * 31 + bytes([number])) for number in (7, 8)]
    store.apply(Change(7, 8, others, (), -1, -1), nothing)

    assert store.moved() == {1, 2}
    store.mark_mined({1: receipt(sent(1), 8, block_hash=others[1].hash)})
    store.finish(2)
    assert store.moved() == set()


def test_moved_has_nothing_whose_block_was_not_read_or_is_final(store: Store) -> None:
    for nonce, block in ((0, 2), (1, 9)):
        store.record((sent(nonce), []))
        store.mark_mined({nonce: receipt(sent(nonce), block, block_hash=hash_of(99))})

    store.apply(change(first=1, last=8, final=5), nothing)

    assert store.moved() == set()


def test_moved_has_nothing_whose_block_is_merely_gone(store: Store) -> None:
    """Until another is read in its place, it may be mined in the same once more."""
    store.record((sent(), []))
    store.mark_mined({0: receipt(sent(), 7)})
    store.apply(change(first=5, last=8), nothing)

    store.apply(undo(7), nothing)

    assert store.moved() == set()


def test_moved_has_nothing_that_was_displaced(store: Store) -> None:
    """The block that showed it is not where the other one was mined."""
    store.record((sent(), []))
    store.mark(0, Outcome.DISPLACED, 7)

    store.apply(change(first=5, last=8), nothing)

    assert store.moved() == set()


def test_restless_rests_only_about_what_is_in_a_block_that_was_read(store: Store) -> None:
    """A node may name a block that is on no chain."""
    store.apply(change(first=5, last=8), nothing)
    for nonce, block, hash_ in ((0, 5, None), (1, 8, None), (2, 8, b"\x07" * 32), (3, 2**40, None)):
        store.record((sent(nonce), []))
        found = receipt(sent(nonce), block, block_hash=hash_ or hash_of(block))
        store.mark_mined({nonce: found})

    assert [each.nonce for each in store.restless(mined=4, final=5)] == [0, 2, 3]
    assert [each.nonce for each in store.restless(mined=1, final=4)] == [1, 2, 3]


# Money.

PRICE = Fees(Wei(10), None)
VALUES: dict[str, Any] = {"fees": PRICE, "call": Call(QUEUE, b"", Wei(7)), "gas": 100}


def mined(of: Sent, gas: int, succeeded: bool = True) -> Any:
    return receipt(of, 7, succeeded, gas_used=gas)


def test_spent_is_what_was_mined_and_what_may_be(store: Store) -> None:
    """Of each nonce what was mined, at its highest price; what waits, with all of its gas. What
    failed has cost its gas alone, what was displaced nothing."""
    assert store.spent() == 0

    for nonce in range(4):
        store.record((sent(nonce, **VALUES), []))
    raised = sent(1, "raised", **{**VALUES, "fees": Fees(Wei(20), None)})
    store.record((raised, []))
    store.mark_mined({0: mined(sent(0), 30)})
    assert store.spent() == (30 * 10 + 7) + 3 * (100 * 10 + 7) + (100 * 20 + 7)

    store.mark_mined({1: mined(raised, 40, succeeded=False)})
    assert store.spent() == (30 * 10 + 7) + 40 * 20 + 2 * (100 * 10 + 7)

    store.mark(2, Outcome.DISPLACED, 9)
    assert store.spent() == (30 * 10 + 7) + 40 * 20 + (100 * 10 + 7)

    store.mark_one(sent(3).hash, Outcome.REFUSED)
    assert store.spent() == (30 * 10 + 7) + 40 * 20


def test_spent_counts_once_what_was_mined_in_one_block_and_then_in_another(store: Store) -> None:
    store.record((sent(**VALUES), []))
    store.mark_mined({0: mined(sent(), 30)})
    store.mark_waiting(0)
    assert store.spent() == 100 * 10 + 7

    store.mark_mined({0: mined(sent(), 35)})
    assert store.spent() == 35 * 10 + 7


def test_spent_keeps_what_is_final_and_what_was_read_anew(open_store: Open) -> None:
    store = open_store()
    store.record((sent(**VALUES), []))
    store.mark_mined({0: mined(sent(), 30)})
    store.finish(0)
    store.reset()

    assert open_store().spent() == 30 * 10 + 7
