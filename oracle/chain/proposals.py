"""What became of each proposal, as the events tell it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from oracle.chain.events import (
    Event,
    OperatorSlashed,
    RequestExpired,
    RequestReopened,
    RequestSettled,
    ResultProposed,
    Where,
    WindowMoved,
)
from oracle.types import Address, ModelId, RequestId


class Fate(StrEnum):
    PROPOSED = "proposed"  # its window is open
    FINAL = "final"  # its window is over, and nobody has settled it yet
    SETTLED = "settled"
    SLASHED = "slashed"  # convicted: its operator lost the bond for it
    VOID = "void"  # a slash of its operator for another result took it along


@dataclass(slots=True)
class Tracked:
    """One proposal. `fate` holds until the next event that is about it."""

    request_id: RequestId
    model_id: ModelId
    operator: Address
    epoch: int
    settle_at: int
    where: Where
    fate: Fate = Fate.PROPOSED

    def fate_at(self, time: int) -> Fate:
        is_over = self.fate is Fate.PROPOSED and time >= self.settle_at
        return Fate.FINAL if is_over else self.fate


class Proposals:
    """Follows events in order. Keeps no payloads, so that it may hold a whole chain's."""

    def __init__(self) -> None:
        self._all: list[Tracked] = []
        self._standing: dict[RequestId, Tracked] = {}
        self._ended: tuple[Tracked, bytes] | None = None  # the last, and in which transaction

    def __iter__(self) -> Iterator[Tracked]:
        """In the order in which they were proposed."""
        return iter(self._all)

    def track(self, event: ResultProposed, model_id: ModelId) -> int:
        """Takes it in; gives its place."""
        proposal = event.proposal
        tracked = Tracked(
            event.request_id,
            model_id,
            proposal.operator,
            proposal.epoch,
            proposal.settle_at,
            event.where,
        )
        self._all.append(tracked)
        self._standing[event.request_id] = tracked
        return len(self._all) - 1

    def follow(self, event: Event) -> None:
        """What the event says of the proposals that are tracked."""
        match event:
            case RequestSettled(request_id=request_id):
                self._end(request_id, Fate.SETTLED, event.where)
            # A request is reopened, or expires with a proposal, where a slash voided that.
            case RequestReopened(request_id=request_id) | RequestExpired(request_id=request_id):
                self._end(request_id, Fate.VOID, event.where)
            case WindowMoved(request_id=request_id, proposal=proposal):
                if request_id in self._standing:
                    self._standing[request_id].settle_at = proposal.settle_at
            case OperatorSlashed():
                self._slash(event)

    def _end(self, request_id: RequestId, fate: Fate, where: Where) -> None:
        tracked = self._standing.pop(request_id, None)
        if tracked is not None:
            tracked.fate = fate
            self._ended = tracked, where.transaction

    def _slash(self, event: OperatorSlashed) -> None:
        if self._ended is not None:
            tracked, transaction = self._ended
            convicted = tracked.fate is Fate.VOID and tracked.operator == event.operator
            if convicted and transaction == event.where.transaction:
                tracked.fate = Fate.SLASHED
        for tracked in self._of(event.operator):
            if tracked.epoch < event.epoch and event.where.time < tracked.settle_at:
                tracked.fate = Fate.VOID

    def _of(self, operator: Address) -> Iterable[Tracked]:
        return (each for each in self._standing.values() if each.operator == operator)
