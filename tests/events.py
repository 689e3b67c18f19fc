"""Events to test policies with: demands, and what is between others."""

from oracle.chain.events import (
    CallbackFailed,
    CallbackRetried,
    Event,
    FraudCommitted,
    ModelDeprecated,
    ModelPublished,
    ModelUriAdded,
    OperatorSlashed,
    PartDemanded,
    PrepaidCollected,
    RequestCreated,
    StakeAdded,
    TraceRevealed,
    UnstakeStarted,
    Withdrawn,
)
from oracle.types import VALUE_TREE, Address, Demand, ModelId, Part, Wei
from tests.chains import BOND, URI, address, model, where

STRANGER, OTHER = address("stranger"), address("rival")
KEY, ROOT = b"\x0d" * 32, b"\x0f" * 32
PART = Part(VALUE_TREE, 0, 0, 4)


def demand(who: Address, part: Part = PART, key: bytes = KEY, deadline: int = 1100) -> Demand:
    return Demand(key, part, bytes(32), 1, 0, 0, who, Wei(7), deadline)


def of_others(asked: RequestCreated) -> list[Event]:
    """What obliges nobody but those who are named in it."""
    id_, what = asked.request_id, ModelId(ROOT)
    return [
        ModelPublished(where(), what, model(OTHER), URI, b""),
        ModelUriAdded(where(), what, URI),
        ModelDeprecated(where(), what, None),
        CallbackFailed(where(), id_, STRANGER, b""),
        CallbackRetried(where(), id_, STRANGER),
        StakeAdded(where(), OTHER, Wei(1), Wei(1)),
        UnstakeStarted(where(), OTHER, Wei(5), 777),
        Withdrawn(where(), STRANGER, Wei(5)),
        OperatorSlashed(where(), OTHER, STRANGER, BOND, Wei(1), Wei(1), 1),
        TraceRevealed(where(), id_, KEY, ROOT),
        FraudCommitted(where(), ROOT, STRANGER),
        PrepaidCollected(where(), KEY, STRANGER, Wei(7)),
        PartDemanded(where(8), id_, OTHER, demand(STRANGER)),
    ]
