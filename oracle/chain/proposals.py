"""Follows what becomes of each proposal, by the chain's events."""

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
    VOID = "void"  # its operator was slashed for another result


@dataclass(slots=True)
class Tracked:
    """One proposal. The next event about it may change its `fate`."""

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
    """Follows events in order. It keeps no payloads, so that a whole chain's proposals fit."""

    def __init__(self) -> None:
        self._all: list[Tracked] = []
        self._standing: dict[RequestId, Tracked] = {}
        # The proposal that ended last.
        self._ended: tuple[Tracked, bytes] | None = None  # with its transaction

    def __iter__(self) -> Iterator[Tracked]:
        """Yields the proposals in the order in which they were made."""
        return iter(self._all)

    def track(self, event: ResultProposed, model_id: ModelId) -> int:
        """Adds a proposal, and gives its place."""
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
        """Applies an event to the proposals that are tracked."""
        match event:
            case RequestSettled(request_id=request_id):
                self._end(request_id, Fate.SETTLED, event.where)
            # A request that has a proposal is reopened or expires only where a slash voided it.
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
