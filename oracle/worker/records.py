"""What the worker knows of the requests, models and demands that its duties are about."""

from oracle.chain.disputes import split_demand_id
from oracle.chain.events import PartDemanded, ResultProposed
from oracle.chain.histories import RequestHistory
from oracle.state.agenda import Row
from oracle.state.duties import OF_A_DEMAND
from oracle.state.remembered import remembered
from oracle.state.store import Store
from oracle.types import Request, RequestId

UNREAD = "its model was never read"


class Records:
    """Looks things up in the store, and remembers what never changes: what a request or a model
    is, and which request a dispute is about."""

    def __init__(self, store: Store):
        self._store = store
        self.request = remembered(store.request, 1 << 14)
        self.model = remembered(store.model, 1 << 10)
        self._request_of = remembered(store.request_of, 1 << 14)

    def request_id(self, row: Row) -> RequestId:
        """Gives the request that a duty is about, or the demand that it is about."""
        if row.duty.kind not in OF_A_DEMAND:
            return row.duty.request_id
        found = self._request_of(split_demand_id(row.duty.demand_id)[0])
        assert found is not None, row  # of whose demand it is
        return found

    def request_of(self, row: Row) -> Request:
        """Gives the request of a duty for which `is_known`."""
        request = self.request(self.request_id(row))
        assert request is not None
        return request

    def history(self, row: Row) -> RequestHistory:
        """Gives all that happened to the request that a duty is about."""
        found = self._store.history(self.request_id(row))
        assert found is not None, row
        return found

    def demanded(self, row: Row) -> PartDemanded:
        key, part = split_demand_id(row.duty.demand_id)
        return self.history(row).dispute(key).demanded[part]

    def claim(self, row: Row) -> ResultProposed | None:
        """Gives the result that a demand is about, unless its event was not read yet."""
        return self.history(row).claims_by_key.get(split_demand_id(row.duty.demand_id)[0])

    def is_known(self, row: Row) -> bool:
        """Says whether the duty's model is known, so that it can be run."""
        return self.model(self.request_of(row).model) is not None
