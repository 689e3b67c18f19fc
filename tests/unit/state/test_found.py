"""Faults that were found in how histories are kept."""

from collections.abc import Iterable
from dataclasses import replace

from oracle.chain.codec import dispute_key
from oracle.chain.events import PartDemanded, PartRevealed, PrepaidCollected, RequestSettled
from oracle.chain.histories import RequestHistory
from oracle.state.duties import Due, State
from oracle.state.facts import History
from oracle.state.store import Store
from oracle.types import Wei
from tests.chains import OUTPUT, created, proposed, where
from tests.events import PART, STRANGER, demand
from tests.unit.state.changes import ME, change, nothing, ours, read, undo

ASKED = created()
ID = ASKED.request_id
ANSWER = proposed(ASKED)
KEY = dispute_key(ID, ANSWER.proposal, OUTPUT)


def poisoned(history: History) -> Iterable[Due]:
    assert isinstance(history, RequestHistory)
    if history.events:
        raise ValueError("poison")
    return ours(history)


def test_a_history_is_stuck_no_more_when_what_was_poisonous_is_undone(store: Store) -> None:
    read(store, ASKED, ANSWER, owed=poisoned)
    assert store.stuck() == 1

    store.apply(undo(100), poisoned)

    assert store.stuck() == 0


def test_what_was_collected_finds_its_request_when_the_demand_is_read_later(store: Store) -> None:
    """As where a node kept a log back, which is given once its block is final."""
    asked = PartDemanded(where(101), ID, ME, demand(STRANGER, key=KEY))
    shown = PartRevealed(where(102), ID, KEY, PART, b"", ())
    settled = RequestSettled(where(103), ID, ME)
    paid = PrepaidCollected(where(104), KEY, ME, Wei(7))
    store.apply(change(ASKED, ANSWER, settled, paid), ours)

    store.apply(change(asked, shown, first=101, last=102, ends=False), ours)

    assert store.duties(*State) == []


def test_history_is_none_when_it_was_dropped(store: Store) -> None:
    settled = RequestSettled(replace(where(103), time=2_000_000_000), ID, ME)
    read(store, ASKED, ANSWER, settled, owed=nothing)
    assert store.history(ID) is not None

    store.drop_ended(2**40)

    assert store.history(ID) is None
