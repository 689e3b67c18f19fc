"""What the challenger knows of the results that its duties are about."""

from functools import lru_cache

from oracle.chain.codec import dispute_key
from oracle.chain.contracts import Subject
from oracle.chain.disputes import Dispute
from oracle.state.store import Store
from oracle.types import Model, RequestId


class Records:
    """Looks things up in the store. What a request or a model is never changes, and is looked up in
    every round."""

    def __init__(self, store: Store):
        self._store = store
        self.request = lru_cache(maxsize=1 << 16)(store.request)
        self._model = lru_cache(maxsize=1 << 10)(store.model)

    def model_of(self, request_id: RequestId) -> Model | None:
        request = self.request(request_id)
        return None if request is None else self._model(request.model)

    def subject(self, request_id: RequestId) -> Subject | None:
        """Gives the request with the result that stands now, if there is one."""
        request, proposed = self.request(request_id), self._store.proposal(request_id)
        return None if request is None or proposed is None else Subject(request, *proposed)

    def dispute(self, request_id: RequestId, subject: Subject) -> Dispute:
        return self._store.dispute(key_of(request_id, subject))


def key_of(request_id: RequestId, subject: Subject) -> bytes:
    """Gives the key of the dispute about a result."""
    return dispute_key(request_id, subject.proposal, subject.output)
