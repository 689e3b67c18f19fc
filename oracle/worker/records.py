"""What the worker knows of the requests, models and demands that its duties are about."""

from collections.abc import Sequence
from functools import lru_cache

from oracle.chain.disputes import demand_id, split_demand_id
from oracle.chain.events import PartDemanded
from oracle.state.agenda import Row
from oracle.state.duties import OF_A_DEMAND, State, Subject
from oracle.state.store import Store
from oracle.state.tries import forget_all_but
from oracle.types import Request, RequestId


class Records:
    """Looks things up in the store, and remembers what is looked up in every round. What a request
    or a model is never changes."""

    def __init__(self, store: Store):
        self._store = store
        self._demands: dict[Subject, PartDemanded] = {}
        self.request = lru_cache(maxsize=1 << 16)(store.request)
        self.model = lru_cache(maxsize=1 << 10)(store.model)

    def request_id(self, row: Row) -> RequestId:
        """Gives the request that a duty is about, or the demand that it is about."""
        if row.duty.kind in OF_A_DEMAND:
            return self.demanded(row).request_id
        return row.duty.request_id

    def request_of(self, row: Row) -> Request:
        """Gives the request of a duty for which `is_known`."""
        request = self.request(self.request_id(row))
        assert request is not None
        return request

    def demanded(self, row: Row) -> PartDemanded:
        asked = row.duty.demand_id
        if asked not in self._demands:
            key = split_demand_id(asked)[0]
            for part, event in self._store.dispute(key).demanded.items():
                self._demands[demand_id(key, part)] = event
        return self._demands[asked]

    def is_known(self, row: Row) -> bool:
        """Says whether the duty's request and model are known, so that it can be run. If they are
        not, it ends the duty."""
        request = self.request(self.request_id(row))
        if request is not None and self.model(request.model) is not None:
            return True
        self._store.end(row.id, State.MISSED, "its request or model was never read")
        return False

    def forget(self, rows: Sequence[Row]) -> None:
        """Drops the demands that no duty of `rows` is about."""
        forget_all_but(self._demands, {row.duty.subject for row in rows})
