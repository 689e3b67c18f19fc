"""The results of ours that are open: kept up by what is new in the state, and added up."""

import heapq
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from math import inf

from oracle.state.duties import DutyKind, State
from oracle.state.store import Store
from oracle.types import ModelId, Request, RequestId
from oracle.worker.budget import Liability, Load


@dataclass(frozen=True, slots=True)
class OpenResult:
    """A result that may have to be defended. `run` is the seconds that its run took, None where
    that was lost."""

    request: Request
    run: float | None


class OpenResults:
    """Results whose windows are open, answers that were sent and are not yet on the chain, and
    those that were signed and may still be posted. There may be many, and each round changes
    few."""

    def __init__(self, store: Store):
        self._store = store
        self._news = store.follow()
        self._read_until: int | None = None
        self._begin()

    def _begin(self) -> None:
        self.load = Load()  # of those that are priced
        self._priced: dict[RequestId, Liability] = {}
        self._unpriced: dict[RequestId, OpenResult] = {}
        self._open: dict[RequestId, OpenResult] = {}
        self._models: Counter[ModelId] = Counter()
        self._until: dict[RequestId, float] = {}
        self._ends: list[tuple[float, RequestId]] = []  # a heap; of one, the last set holds

    @property
    def models(self) -> set[ModelId]:
        """The models of open results."""
        return set(self._models)

    def look(self, read_until: int) -> None:
        """Takes in what is new; `read_until` is the chain's time up to which it was read."""
        if self._read_until is None or read_until < self._read_until:
            self._begin()  # as blocks were taken back, what was over may be open again
            self._news.clear()
            changed = self._all(read_until)
        else:
            changed = {RequestId(each) for each in self._news if len(each) == 32}
            self._news.clear()
        self._read_until = None  # unless all goes well
        self._take_in(changed, read_until)
        while self._ends and self._ends[0][0] <= read_until:
            until, request_id = heapq.heappop(self._ends)
            if self._until.get(request_id) == until:
                self._drop(request_id)
        self._read_until = read_until

    def unpriced(self) -> list[tuple[RequestId, OpenResult]]:
        """Lists those of which it is not known yet what they take."""
        return list(self._unpriced.items())

    def price(self, request_id: RequestId, liability: Liability) -> None:
        """Adds what an open result takes."""
        del self._unpriced[request_id]
        self._priced[request_id] = liability
        self.load.add(liability)

    def _all(self, read_until: int) -> set[RequestId]:
        store = self._store
        rows = store.duties(State.OPEN, State.SENT, kind=DutyKind.SETTLE)
        rows += store.duties(State.SENT, kind=DutyKind.PROPOSE)
        signed = {each.request_id for each in store.unposted(read_until)}
        return {row.duty.request_id for row in rows} | signed

    def _take_in(self, changed: set[RequestId], read_until: int) -> None:
        unposted = self._store.unposted(read_until, changed)
        signed = {each.request_id: each.request.deadline for each in unposted}
        until = signed | dict(self._times(changed, read_until))
        # What is signed anew was run anew.
        for request_id in changed - until.keys() | signed.keys():
            self._drop(request_id)
        ours = self._store.ours([each for each in until if each not in self._open])
        for request_id, end in until.items():
            if request_id not in self._open:
                deed = ours.get(request_id)
                request = (deed and deed.request) or self._store.request(request_id)
                assert request is not None, request_id.hex()
                opened = OpenResult(request, deed.seconds if deed else None)
                self._open[request_id] = self._unpriced[request_id] = opened
                self._models[request.model] += 1
            self._until[request_id] = end
            if end < inf:
                heapq.heappush(self._ends, (end, request_id))

    def _times(
        self, changed: Collection[RequestId], read_until: int
    ) -> Iterator[tuple[RequestId, float]]:
        """Yields those of `changed` that are open on the chain, and until when they are."""
        store = self._store
        for row in store.duties_of(DutyKind.PROPOSE, changed).values():
            if row.state is State.SENT:
                yield row.duty.request_id, inf
        for row in store.duties_of(DutyKind.SETTLE, changed).values():
            if row.state in (State.OPEN, State.SENT) and row.duty.not_before > read_until:
                yield row.duty.request_id, row.duty.not_before

    def _drop(self, request_id: RequestId) -> None:
        self._until.pop(request_id, None)
        self._unpriced.pop(request_id, None)
        dropped = self._open.pop(request_id, None)
        if dropped is None:
            return
        model = dropped.request.model
        self._models[model] -= 1
        if not self._models[model]:
            del self._models[model]
        liability = self._priced.pop(request_id, None)
        if liability is not None:
            self.load.remove(liability)
