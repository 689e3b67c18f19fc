"""Has models run for the worker, once their files are here."""

from collections.abc import Iterable, Sequence
from concurrent.futures import Future

from oracle.inference.answers import Inference
from oracle.inference.engine import Open, Price, Task
from oracle.inference.executor import Ran
from oracle.inference.waits import Waits
from oracle.state.store import Store
from oracle.types import Model, ModelId, RequestId
from oracle.worker.records import Records


class Models:
    def __init__(self, inference: Inference, store: Store, records: Records):
        self._inference = inference
        self._store = store
        self._records = records
        self._waits = Waits(inference)

    @property
    def is_idle(self) -> bool:
        """Says whether no file is fetched."""
        return self._waits.is_empty

    def start_round(self) -> None:
        self._waits.start_round()

    def has_file(self, model_id: ModelId, is_urgent: bool = False) -> bool:
        """Says whether a model's file needs no more waiting."""
        model = self._model(model_id)
        return self._waits.has_file(model, lambda: self._store.uris(model_id), is_urgent)

    def keep(self, models: Iterable[ModelId]) -> None:
        """Keeps the files of these models, and no others, from being evicted."""
        self._waits.keep(map(self._records.model, models))

    def submit(self, model_id: ModelId, request_id: RequestId, most: float) -> "Future[Ran]":
        """Begins a run for an answer, which is stopped after `most` seconds."""
        payload, uris = self._store.payload(request_id), self._store.uris(model_id)
        return self._inference.submit(self._model(model_id), uris, payload, most)

    def submit_all(
        self, model_id: ModelId, request_ids: Sequence[RequestId], most: float
    ) -> "Future[list[Ran | None]]":
        """Begins brief runs for several answers, which are stopped after `most` seconds."""
        payloads, uris = list(map(self._store.payload, request_ids)), self._store.uris(model_id)
        return self._inference.submit_all(self._model(model_id), uris, payloads, most)

    def is_here(self, model_id: ModelId) -> bool:
        """Says whether a model's file is here. It fetches none."""
        return self._inference.is_here(self._model(model_id))

    def run(self, model_id: ModelId, payload: bytes, most: float) -> "Future[Ran]":
        """Begins a run of a payload that no request of the chain has."""
        return self._inference.submit(
            self._model(model_id), self._store.uris(model_id), payload, most
        )

    def open(self, model_id: ModelId, request_id: RequestId, task: Open) -> "Future[bytes] | None":
        """Begins a pass over the trace of a result; gives None while the file is fetched."""
        return self._ask(model_id, self._store.payload(request_id), task)

    def price(self, model_id: ModelId, most: float) -> "Future[bytes] | None":
        """Begins to price a model's trace; gives None while the file is fetched."""
        return self._ask(model_id, b"", Price(most))

    def _ask(self, model_id: ModelId, payload: bytes, task: Task) -> "Future[bytes] | None":
        if not self.has_file(model_id, isinstance(task, Open)):
            return None
        uris = self._store.uris(model_id)
        return self._inference.ask(self._model(model_id), uris, payload, task)

    def _model(self, model_id: ModelId) -> Model:
        model = self._records.model(model_id)
        assert model is not None, model_id  # or its duty would have ended
        return model
