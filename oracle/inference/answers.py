"""From a model and a payload to the output, in the background: fetch the file, then run it."""

from collections.abc import Callable, Sequence, Set
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from oracle.errors import ModelUnavailable
from oracle.inference.engine import Infer, Open, Task
from oracle.inference.executor import Executor, Job, Ran
from oracle.inference.fetches import Fetches
from oracle.inference.files import ModelFiles
from oracle.types import Model

T = TypeVar("T")


class Answers:
    """Runs models in child processes, so a bad one costs the child. A file is fetched before, by
    threads that do nothing else, since that may be as slow as a stranger's server. What a dispute
    waits for has threads of its own, of both kinds."""

    def __init__(self, files: ModelFiles, executor: Executor, parallel: int = 2):
        self._files = files
        self._executor = executor
        self._fetches = Fetches(files)
        self._urgent_fetches = Fetches(files)
        self._threads = ThreadPoolExecutor(parallel, thread_name_prefix="answers")
        self._urgent = ThreadPoolExecutor(parallel, thread_name_prefix="disputes")

    def ready(
        self, model: Model, uris: Callable[[], Sequence[str]], is_urgent: bool = False
    ) -> bool:
        """Whether `ask` has what it needs: the file is here, or could not be had, which `ask` then
        says. Else has it fetched."""
        fetches = self._urgent_fetches if is_urgent else self._fetches
        return fetches.ready(model, uris)

    def submit(self, model: Model, uris: Sequence[str], payload: bytes) -> "Future[Ran]":
        """The output payload, and what the run took. Fails with a ModelError, a PayloadError or
        SecondOpinionDiffers."""
        return self._begin(self._run, model, uris, payload, Infer())

    def ask(self, model: Model, uris: Sequence[str], payload: bytes, task: Task) -> "Future[bytes]":
        """What the task asks for. Fails as `submit` does; also while the file is being fetched, for
        nothing waits here."""
        return self._begin(self._answer, model, uris, payload, task)

    def keep(self, files: Set[bytes]) -> None:
        """Evicts none of these model files until the next call, nor after a restart."""
        self._files.keep(files)

    def _begin(
        self,
        work: Callable[[Fetches, Model, bytes, Task], T],
        model: Model,
        uris: Sequence[str],
        payload: bytes,
        task: Task,
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
        fetches.check(model.file_hash)
        with self._files.held(model.file_hash) as path:
            return self._executor.run(
                Job(
                    path=path,
                    file_hash=model.file_hash,
                    program_root=model.program_root,
                    signature=model.signature,
                    assurance=model.assurance,
                    payload=payload,
                    task=task,
                )
            )

    def close(self) -> None:
        for fetches in (self._fetches, self._urgent_fetches):
            fetches.close()
        for threads in (self._threads, self._urgent):
            threads.shutdown(wait=False, cancel_futures=True)
        self._executor.close()
