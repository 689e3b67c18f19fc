"""Whose turn it is, as all who answer the same requests work it out alike."""

from oracle.chain.histories import RequestHistory
from oracle.types import RequestId
from oracle.worker.rivals import MOST, RECENT, Rivals
from tests.chains import NAMES, address, created, proposed, where

NOW = 1_900_000_000
REQUESTS = [RequestId(number.to_bytes(32, "big")) for number in range(200)]
TRIO = ("operator", "rival", "second")


def answered(who: str, time: int = NOW, **changes: object) -> RequestHistory:
    asked = created(**changes)  # type: ignore[arg-type]
    return RequestHistory(asked, (proposed(asked, who, where(100, time=time)),))


def rivals(me: str, *others: str) -> Rivals:
    found = Rivals(address(me))
    for who in others:
        found.note(answered(who))
    return found


def test_all_operators_agree_on_the_order() -> None:
    all_ = [rivals(me, *TRIO) for me in TRIO]

    for request in REQUESTS:
        assert sorted(each.turn(request, NOW) for each in all_) == [0, 1, 2]


def test_each_operator_is_first_for_its_share() -> None:
    first = [sum(rivals(me, *TRIO).turn(each, NOW) == 0 for each in REQUESTS) for me in TRIO]

    assert sum(first) == len(REQUESTS) and min(first) > len(REQUESTS) / 6


def test_who_is_alone_is_first() -> None:
    alone = rivals("operator", "operator")

    assert not alone.are_there(NOW)
    assert {alone.turn(each, NOW) for each in REQUESTS} == {0}


def test_many_names_keep_nobody_waiting_for_more_than_a_few_turns() -> None:
    found = rivals("operator", *NAMES)

    turns = [found.turn(each, NOW) for each in REQUESTS]

    assert max(turns) == MOST and 0 in turns


def test_names_that_come_and_go_are_not_kept() -> None:
    found = rivals("operator", *NAMES)

    assert len(found._seen) == 2 * MOST
    assert address(NAMES[-1]) in found._seen


def test_who_answers_no_more_is_waited_for_no_more() -> None:
    found = Rivals(address("operator"))
    found.note(answered("rival", time=NOW))

    assert max(found.turn(each, NOW + RECENT) for each in REQUESTS) == 1
    assert max(found.turn(each, NOW + RECENT + 1) for each in REQUESTS) == 0
    assert [found.are_there(NOW + RECENT), found.are_there(NOW + RECENT + 1)] == [True, False]


def test_who_was_seen_lately_is_not_forgotten_by_what_is_read_late() -> None:
    found = Rivals(address("operator"))
    for time in (NOW, NOW - 2 * RECENT):
        found.note(answered("rival", time=time))

    assert max(found.turn(each, NOW) for each in REQUESTS) == 1


def test_who_alone_could_answer_is_no_rival() -> None:
    found = Rivals(address("operator"))
    found.note(answered("rival", operator=address("rival")))
    found.note(RequestHistory(created(), ()))

    assert not found.are_there(NOW)
