"""Events to test policies and the state with: demands, what is between others, and whole tales."""

from collections.abc import Sequence
from dataclasses import replace

from hypothesis import strategies as st

from oracle.chain.codec import dispute_key
from oracle.chain.events import (
    CallbackFailed,
    CallbackRetried,
    DemandTimedOut,
    Event,
    FraudProven,
    PartDemanded,
    PartRevealed,
    PrepaidCollected,
    RequestCreated,
    RequestExpired,
    RequestReopened,
    RequestSettled,
    ResultProposed,
    TraceRevealed,
    WindowMoved,
)
from oracle.types import VALUE_TREE, Address, Demand, Part, Proposal, Verdict, Wei
from tests.chains import FEE, OUTPUT, address, where

STRANGER, OTHER = address("stranger"), address("rival")
KEY, ROOT = b"\x0d" * 32, b"\x0f" * 32
PART = Part(VALUE_TREE, 0, 0, 4)
PARTS = (PART, Part(VALUE_TREE, 0, 4, 4))
FIRST = 1_900_000_000  # seconds: when tales begin


def demand(who: Address, part: Part = PART, key: bytes = KEY, deadline: int = 1100) -> Demand:
    return Demand(key, part, bytes(32), 1, 0, 0, who, Wei(7), deadline)


def of_others(asked: RequestCreated) -> list[Event]:
    """What happens to a request and obliges nobody but those who are named in it."""
    id_ = asked.request_id
    return [
        CallbackFailed(where(200), id_, STRANGER, b""),
        CallbackRetried(where(200), id_, STRANGER),
        TraceRevealed(where(200), id_, KEY, ROOT),
        PrepaidCollected(where(200), KEY, STRANGER, Wei(7)),
        PartDemanded(where(200), id_, OTHER, demand(STRANGER)),
    ]


@st.composite
def tales(draw: st.DrawFn, asked: RequestCreated, *people: Address) -> Sequence[Event]:
    """Draws what may have happened to a request, one event a block, and what may not: any events in
    any order, some of disputes about its results and some of disputes about none."""
    who = st.sampled_from((*people, STRANGER, OTHER))
    proposals: list[Proposal] = []
    keys = [KEY]
    found: list[Event] = []
    for block in range(101, 101 + draw(st.integers(0, 12))):
        kind = draw(st.sampled_from(_KINDS))
        event = _event(kind, draw, asked, who, block, proposals, keys)
        if isinstance(event, ResultProposed):
            proposals.append(event.proposal)
            keys.append(dispute_key(asked.request_id, event.proposal, event.output))
        found.append(event)
    return found


_KINDS = (
    *(ResultProposed, ResultProposed, RequestSettled, RequestReopened, RequestExpired),
    *(WindowMoved, PartDemanded, PartDemanded, PartRevealed, PartRevealed, TraceRevealed),
    *(FraudProven, DemandTimedOut, PrepaidCollected, CallbackFailed, CallbackRetried),
)


def _event(
    kind: type[Event],
    draw: st.DrawFn,
    asked: RequestCreated,
    people: st.SearchStrategy[Address],
    block: int,
    proposals: Sequence[Proposal],
    keys: Sequence[bytes],
) -> Event:
    at, id_, who = where(block, time=FIRST + block), asked.request_id, draw(people)
    key, part = draw(st.sampled_from(keys)), draw(st.sampled_from(PARTS))
    window = FIRST + draw(st.integers(0, 200))
    new = Proposal(who, draw(st.integers(0, 1)), at.time, window, len(OUTPUT))
    if kind is ResultProposed:
        return ResultProposed(at, id_, new, OUTPUT)
    if kind is WindowMoved:
        moved = replace(proposals[-1], settle_at=window) if proposals else new
        return WindowMoved(at, id_, moved.operator, moved)
    if kind is PartDemanded:
        return PartDemanded(at, id_, who, demand(draw(people), part, key, at.time + 10))
    if kind is RequestExpired:
        return RequestExpired(at, id_, who, FEE)
    if kind is TraceRevealed:
        return TraceRevealed(at, id_, key, ROOT)
    if kind is PartRevealed:
        return PartRevealed(at, id_, key, part, b"", ())
    if kind is FraudProven:
        return FraudProven(at, id_, key, who, Verdict(0, 0, 1, 2))
    if kind is DemandTimedOut:
        return DemandTimedOut(at, id_, key, part)
    if kind is PrepaidCollected:
        return PrepaidCollected(at, key, who, Wei(draw(st.sampled_from((7, 8)))))
    if kind is CallbackFailed:
        return CallbackFailed(at, id_, who, b"")
    return kind(at, id_, who)  # type: ignore[call-arg, arg-type, return-value]
