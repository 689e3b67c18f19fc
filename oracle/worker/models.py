"""Has models run for the worker, once their files are here."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from typing import TypeVar

from oracle.errors import ModelUnavailable
from oracle.inference.answers import Inference
from oracle.inference.engine import Open, Price, Task
from oracle.inference.executor import Ran
from oracle.inference.waits import Waits
from oracle.state.store import Store
from oracle.types import Model, ModelId, RequestId
from oracle.visible import hex_id
from oracle.worker.records import Records

T = TypeVar("T")


class Models:
    """A model may be unknown although there is a result of it to answer for: the block that
    published it was taken back. Then its file is not here, and whatever is asked of it fails with
    ModelUnavailable."""

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
        model = self._records.model(model_id)
        if model is None:
            return True
        return self._waits.has_file(model, lambda: self._store.uris(model_id), is_urgent)

    def keep(self, models: Iterable[ModelId]) -> None:
        """Keeps the files of these models, and no others, from being evicted."""
        self._waits.keep(map(self._records.model, models))

    def submit(self, model_id: ModelId, request_id: RequestId, most: float) -> "Future[Ran]":
        """Begins a run for an answer, which is stopped after `most` seconds."""
        return self.run(model_id, self._store.payload(request_id), most)

    def submit_all(
        self, model_id: ModelId, request_ids: Sequence[RequestId], most: float
    ) -> "Future[list[Ran | None]]":
        """Begins brief runs for several answers, which are stopped after `most` seconds."""
        payloads, submit = list(map(self._store.payload, request_ids)), self._inference.submit_all
        return self._begin(model_id, lambda model, uris: submit(model, uris, payloads, most))

    def is_here(self, model_id: ModelId) -> bool:
        """Says whether a model's file is here. It fetches none."""
        model = self._records.model(model_id)
        return model is not None and self._inference.is_here(model)

    def run(self, model_id: ModelId, payload: bytes, most: float) -> "Future[Ran]":
        """Begins a run of a payload, be it of a request or of none that the chain has."""
        submit = self._inference.submit
        return self._begin(model_id, lambda model, uris: submit(model, uris, payload, most))

    def open(self, model_id: ModelId, request_id: RequestId, task: Open) -> "Future[bytes] | None":
        """Begins a pass over the trace of a result; gives None while the file is fetched."""
        return self._ask(model_id, self._store.payload(request_id), task)

    def price(self, model_id: ModelId, most: float) -> "Future[bytes] | None":
        """Begins to price a model's trace; gives None while the file is fetched."""
        return self._ask(model_id, b"", Price(most))

    def _ask(self, model_id: ModelId, payload: bytes, task: Task) -> "Future[bytes] | None":
        if not self.has_file(model_id, isinstance(task, Open)):
            return None
        ask = self._inference.ask
        return self._begin(model_id, lambda model, uris: ask(model, uris, payload, task))

    def _begin(
        self, model_id: ModelId, begin: Callable[[Model, Sequence[str]], "Future[T]"]
    ) -> "Future[T]":
        model = self._records.model(model_id)
        if model is not None:
            return begin(model, self._store.uris(model_id))
        failed: Future[T] = Future()
        why = f"Model {hex_id(model_id)} is not known of: what published it was taken back."
        failed.set_exception(ModelUnavailable(why))
        return failed
