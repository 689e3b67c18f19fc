"""What the challenger knows of the results that its duties are about."""

from oracle.chain.codec import dispute_key
from oracle.chain.contracts import Subject
from oracle.chain.disputes import Dispute, split_demand_id
from oracle.chain.events import PartDemanded
from oracle.state.agenda import Row
from oracle.state.remembered import remembered
from oracle.state.store import Store
from oracle.types import Model, RequestId, Status


class Records:
    """Looks things up in the store. What a request or a model is never changes, and is looked up in
    every round."""

    def __init__(self, store: Store):
        self._store = store
        self.request = remembered(store.request, 1 << 14)
        self._model = remembered(store.model, 1 << 10)

    def model_of(self, request_id: RequestId) -> Model | None:
        request = self.request(request_id)
        return None if request is None else self._model(request.model)

    def subject(self, request_id: RequestId) -> Subject | None:
        """Gives the request with the result that stands now, if there is one."""
        history = self._store.history(request_id)
        proposed = None if history is None else history.proposed
        if history is None or proposed is None or history.status is not Status.PROPOSED:
            return None
        return Subject(history.request, proposed.proposal, proposed.output)

    def dispute(self, request_id: RequestId, subject: Subject) -> Dispute:
        return self._store.dispute(request_id, key_of(request_id, subject))

    def demanded(self, row: Row) -> tuple[Subject | None, PartDemanded]:
        """Gives the demand that a duty is about, and the result that it is about, unless the event
        of that one was not read yet."""
        key, part = split_demand_id(row.duty.demand_id)
        request_id = self._store.request_of(key)
        history = None if request_id is None else self._store.history(request_id)
        assert history is not None, row  # from which the duty followed
        claim, event = history.claims_by_key.get(key), history.dispute(key).demanded[part]
        if claim is None:
            return None, event
        return Subject(history.request, claim.proposal, claim.output), event


def key_of(request_id: RequestId, subject: Subject) -> bytes:
    """Gives the key of the dispute about a result."""
    return dispute_key(request_id, subject.proposal, subject.output)
