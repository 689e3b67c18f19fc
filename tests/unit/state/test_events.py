"""Whose history an event is part of, and that it comes back as it was."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oracle.chain.events import (
    Event,
    FraudCommitted,
    ModelDeprecated,
    ModelPublished,
    ModelUriAdded,
    OperatorSlashed,
    PartDemanded,
    PrepaidCollected,
    RequestSettled,
    SignerSet,
    StakeAdded,
    UnstakeStarted,
    Withdrawn,
)
from oracle.state.duties import account_id
from oracle.state.events import dispute_of, dump_event, load_event, subject_of
from oracle.types import Address, ModelId, Wei
from tests.chains import BOND, URI, address, created, model, proposed, where
from tests.events import KEY, OTHER, ROOT, STRANGER, demand, of_others, tales

ME = address("operator")
ASKED = created()
MODEL = ModelId(ROOT)


def slashed(operator: Address, challenger: Address) -> OperatorSlashed:
    return OperatorSlashed(where(), operator, challenger, BOND, Wei(1), Wei(1), 1)


@pytest.mark.parametrize(
    ("event", "subject"),
    [
        (ASKED, ASKED.request_id),
        (proposed(ASKED), ASKED.request_id),
        (RequestSettled(where(), ASKED.request_id, OTHER), ASKED.request_id),
        (PartDemanded(where(), ASKED.request_id, OTHER, demand(STRANGER)), ASKED.request_id),
        (ModelPublished(where(), MODEL, model(OTHER), URI, b""), MODEL),
        (ModelUriAdded(where(), MODEL, URI), MODEL),
        (ModelDeprecated(where(), MODEL, None), MODEL),
        (FraudCommitted(where(), b"\1" * 32, OTHER), b"\1" * 32),
        (UnstakeStarted(where(), ME, Wei(1), 2), account_id(ME)),
        (UnstakeStarted(where(), OTHER, Wei(1), 2), None),
        (Withdrawn(where(), ME, Wei(1)), account_id(ME)),
        (Withdrawn(where(), OTHER, Wei(1)), None),
        (slashed(ME, OTHER), account_id(ME)),
        (slashed(OTHER, ME), account_id(ME)),
        (slashed(OTHER, STRANGER), None),
        (StakeAdded(where(), ME, Wei(1), Wei(1)), None),
        (SignerSet(where(), ME, 0, OTHER, Wei(1)), None),
        (PrepaidCollected(where(), KEY, OTHER, Wei(7)), KEY),
    ],
    ids=lambda value: type(value).__name__,
)
def test_subject_of_is_whose_history_it_is(event: Event, subject: bytes | None) -> None:
    assert subject_of(event, ME) == subject


def test_dispute_of_is_that_of_what_was_asked_shown_or_collected() -> None:
    found = {type(each).__name__: dispute_of(each) for each in of_others(ASKED)}

    assert found == {
        "CallbackFailed": None,
        "CallbackRetried": None,
        "TraceRevealed": KEY,
        "PrepaidCollected": KEY,
        "PartDemanded": KEY,
    }


@given(tales(ASKED, ME), st.integers(0, 2**63 - 1))
def test_load_event_reads_what_was_dumped(events: list[Event], number: int) -> None:
    unstaked = UnstakeStarted(where(number, time=number), ME, Wei(2**256 - 1), number)
    for event in (ASKED, unstaked, *events):
        assert load_event(*dump_event(event)) == event
