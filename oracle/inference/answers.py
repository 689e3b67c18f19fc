"""From a model and a payload to the output, in the background: fetch the file, run it."""

from collections.abc import Callable, Iterator, Sequence, Set
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from math import inf
from pathlib import Path
from typing import Protocol, TypeVar

from oracle.errors import ModelUnavailable
from oracle.inference.engine import Infer, Open, Task
from oracle.inference.executor import Ran
from oracle.inference.fetches import Fetches
from oracle.inference.files import ModelFiles
from oracle.types import Assurance, FileName, Model

T = TypeVar("T")
P = TypeVar("P")
Q = TypeVar("Q")


class Inference(Protocol):
    """What has models run, in the background."""

    def is_here(self, model: Model, /) -> bool: ...

    def ready(
        self, model: Model, uris: Callable[[], Sequence[str]], is_urgent: bool = False, /
    ) -> bool: ...

    def keep(self, files: Set[FileName], /) -> None: ...

    def submit(
        self, model: Model, uris: Sequence[str], payload: bytes, most: float, /
    ) -> "Future[Ran]": ...

    def submit_all(
        self, model: Model, uris: Sequence[str], payloads: Sequence[bytes], most: float, /
    ) -> "Future[list[Ran | None]]": ...

    def ask(
        self, model: Model, uris: Sequence[str], payload: bytes, task: Task, /
    ) -> "Future[bytes]": ...


class Runs(Protocol):
    """What runs a model whose file is here, while its caller waits; `Opinions`. The last argument
    is what the program was lowered from, where somebody put that here."""

    def run(
        self, path: Path, model: Model, payload: bytes, task: Task, source: Path | None, /
    ) -> Ran: ...

    def run_all(
        self,
        path: Path,
        model: Model,
        payloads: Sequence[bytes],
        most: float,
        source: Path | None,
        /,
    ) -> list[Ran | None]: ...

    def close(self) -> None: ...


class Answers:
    """Has models run by threads. A file is fetched before, by threads that do nothing else, since
    that may be as slow as a stranger's server. What a dispute waits for has threads of its own, of
    both kinds."""

    def __init__(self, files: ModelFiles, runs: Runs, parallel: int = 2):
        self._files = files
        self._runs = runs
        self._fetches = Fetches(files)
        self._urgent_fetches = Fetches(files)
        self._threads = ThreadPoolExecutor(parallel, thread_name_prefix="answers")
        self._urgent = ThreadPoolExecutor(parallel, thread_name_prefix="disputes")

    def is_here(self, model: Model) -> bool:
        """Says whether the model's file is in the cache."""
        return self._files.has(model.file)

    def ready(
        self, model: Model, uris: Callable[[], Sequence[str]], is_urgent: bool = False
    ) -> bool:
        """Says whether `ask` need not wait for the file. That is so if the file is here, or if it
        could not be had, which `ask` then reports. Otherwise it starts to fetch the file."""
        fetches = self._urgent_fetches if is_urgent else self._fetches
        return fetches.ready(model, uris)

    def submit(
        self, model: Model, uris: Sequence[str], payload: bytes, most: float = inf
    ) -> "Future[Ran]":
        """Gives the output payload, and what the run took, which is stopped after `most` seconds.
        Fails with a ModelError, a PayloadError, SecondOpinionDiffers or RunsDiffer."""
        return self._begin(self._run, model, uris, payload, Infer(most=most))

    def submit_all(
        self, model: Model, uris: Sequence[str], payloads: Sequence[bytes], most: float
    ) -> "Future[list[Ran | None]]":
        """Gives the outputs of several brief runs of a model, which are stopped after `most`
        seconds; None for each that is to be submitted alone, since it failed or something speaks
        against it. It fails as `submit` does."""
        return self._begin(self._run_all, model, uris, tuple(payloads), most)

    def ask(self, model: Model, uris: Sequence[str], payload: bytes, task: Task) -> "Future[bytes]":
        """Computes what the task asks for. It fails as `submit` does. It also fails while the file
        is being fetched, because nothing waits here."""
        return self._begin(self._answer, model, uris, payload, task)

    def keep(self, files: Set[FileName]) -> None:
        """Evicts none of these model files until the next call, nor after a restart."""
        self._files.keep(files)

    def _begin(
        self,
        work: Callable[[Fetches, Model, P, Q], T],
        model: Model,
        uris: Sequence[str],
        payload: P,
        task: Q,
    ) -> "Future[T]":
        is_urgent = isinstance(task, Open)
        if not self.ready(model, lambda: uris, is_urgent):
            failed: Future[T] = Future()
            failed.set_exception(ModelUnavailable("The model's file is being fetched."))
            return failed
        fetches = self._urgent_fetches if is_urgent else self._fetches
        threads = self._urgent if is_urgent else self._threads
        return threads.submit(work, fetches, model, payload, task)

    def _answer(self, fetches: Fetches, model: Model, payload: bytes, task: Task) -> bytes:
        return self._run(fetches, model, payload, task).data

    def _run(self, fetches: Fetches, model: Model, payload: bytes, task: Task) -> Ran:
        with self._held(fetches, model) as (path, source):
            return self._runs.run(path, model, payload, task, source)

    def _run_all(
        self, fetches: Fetches, model: Model, payloads: Sequence[bytes], most: float
    ) -> list[Ran | None]:
        with self._held(fetches, model) as (path, source):
            return self._runs.run_all(path, model, payloads, most, source)

    @contextmanager
    def _held(self, fetches: Fetches, model: Model) -> Iterator[tuple[Path, Path | None]]:
        """Gives the model's file, and its source where that is here."""
        fetches.check(model)
        with self._files.held(model.file) as path:
            is_exact = model.assurance is Assurance.EXACT
            # Nobody fetches it, so it is the operator's own, and is not evicted meanwhile.
            yield path, self._files.path(model.source) if is_exact else None

    def close(self) -> None:
        for fetches in (self._fetches, self._urgent_fetches):
            fetches.close()
        for threads in (self._threads, self._urgent):
            threads.shutdown(wait=False, cancel_futures=True)
        self._runs.close()
