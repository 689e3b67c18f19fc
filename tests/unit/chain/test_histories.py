"""Whatever is said to have happened to a request, its history is made of it."""

from collections.abc import Sequence

import pytest
from hypothesis import given

from oracle.chain.events import Event, ResultProposed, UnstakeStarted, Withdrawn
from oracle.chain.histories import AccountHistory, RequestHistory
from oracle.errors import NotFound
from oracle.types import Status, Wei
from tests.chains import address, created, where
from tests.events import OTHER, STRANGER, tales

ME = address("operator")
ASKED = created()


@given(tales(ASKED, ME))
def test_a_history_can_be_made_of_any_events(events: Sequence[Event]) -> None:
    found = RequestHistory(ASKED, tuple(events))

    results = [event for event in events if isinstance(event, ResultProposed)]
    assert [claim.where for claim in found.claims] == [event.where for event in results]
    assert (found.status is Status.PROPOSED) <= (found.proposed is not None)
    assert found.opened in [ASKED.where, *(event.where for event in events)]
    for who in (ME, OTHER, STRANGER):
        ended = found.ended(who)
        assert ended is None or ended in [event.where for event in events]
        for dispute in found.disputes.values():
            demands = list(dispute.demanded.values())
            assert set(found.uncollected(who, demands)) <= set(demands)
    if not results:
        with pytest.raises(NotFound):
            found.claim()


@given(tales(ASKED, ME))
def test_disputes_are_those_of_the_events_and_nothing_is_known_of_others(
    events: Sequence[Event],
) -> None:
    found = RequestHistory(ASKED, tuple(events))

    assert all(found.dispute(key) == each for key, each in found.disputes.items())
    assert found.dispute(bytes(32)).last is None


@pytest.mark.parametrize(
    ("block", "time", "was_paid"),
    [(5, 99, False), (5, 100, True), (4, 100, False), (3, 100, False)],
)
def test_was_paid_says_what_was_withdrawn_after_it_was_promised_and_due(
    block: int, time: int, was_paid: bool
) -> None:
    promised = UnstakeStarted(where(4), ME, Wei(5), 100)
    paid = Withdrawn(where(block, time=time), ME, Wei(5))

    assert AccountHistory(ME, (promised, paid)).was_paid(promised.where, 100) is was_paid
