"""A dispute as events tell it: what was demanded, what was revealed, how it ended."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from oracle.chain.events import (
    DemandTimedOut,
    DisputeEvent,
    FraudProven,
    PartDemanded,
    PartRevealed,
    TraceRevealed,
    Where,
)
from oracle.types import Demand, DemandId, Part


@dataclass(frozen=True, slots=True)
class Dispute:
    """The dispute about one proposal. `last` is the log that changed it last."""

    key: bytes
    demanded: Mapping[Part, PartDemanded] = field(default_factory=dict)
    revealed: Mapping[Part, PartRevealed] = field(default_factory=dict)
    trace_root: bytes | None = None
    conviction: FraudProven | DemandTimedOut | None = None
    last: Where | None = None

    @property
    def open(self) -> tuple[Demand, ...]:
        """The demands that wait for an answer."""
        if self.conviction is not None:
            return ()
        events = self.demanded.items()
        return tuple(event.demand for part, event in events if part not in self.revealed)


def replay(key: bytes, events: Iterable[DisputeEvent], before: Dispute | None = None) -> Dispute:
    """Replays events of the dispute with that key, and ignores those of others."""
    found = before or Dispute(key)
    # Once for all events, of which griefers may make thousands.
    demanded, revealed = dict(found.demanded), dict(found.revealed)
    root, conviction, last = found.trace_root, found.conviction, found.last
    for event in events:
        if key_of(event) != key:
            continue
        last = event.where
        match event:
            case PartDemanded(demand=demand):
                demanded[demand.part] = event
            case PartRevealed(part=part):
                revealed[part] = event
            case TraceRevealed(trace_root=root):
                pass
            case FraudProven() | DemandTimedOut():
                conviction = event
    return Dispute(key, demanded, revealed, root, conviction, last)


def key_of(event: DisputeEvent) -> bytes:
    return event.demand.dispute if isinstance(event, PartDemanded) else event.dispute


def demand_id(dispute: bytes, part: Part) -> DemandId:
    """Gives the 45 bytes by which a duty names a demand."""
    return DemandId(
        b"".join(
            (
                dispute,
                part.value.to_bytes(4, "big"),
                part.height.to_bytes(1, "big"),
                part.first.to_bytes(4, "big"),
                part.count.to_bytes(4, "big"),
            )
        )
    )


def split_demand_id(asked: DemandId) -> tuple[bytes, Part]:
    """Splits what `demand_id` gives into the dispute's key and the part."""
    places = ((32, 36), (36, 37), (37, 41), (41, 45))
    return asked[:32], Part(*(int.from_bytes(asked[a:b], "big") for a, b in places))
