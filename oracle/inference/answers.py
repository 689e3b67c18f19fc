"""From a model and a payload to the output, in the background: fetch the file, run it."""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from oracle.inference.engine import Infer, Open, Task
from oracle.inference.executor import Executor, Job, Ran
from oracle.inference.files import ModelFiles
from oracle.types import Model


class Answers:
    """Fetching may be as slow as a stranger's server, so it has threads of its own, and what a
    dispute waits for has others; what runs a model is a child process, so a bad one costs the
    child."""

    def __init__(self, files: ModelFiles, executor: Executor, parallel: int = 2):
        self._files = files
        self._executor = executor
        self._threads = ThreadPoolExecutor(parallel, thread_name_prefix="answers")
        self._urgent = ThreadPoolExecutor(parallel, thread_name_prefix="disputes")

    def submit(self, model: Model, uris: Sequence[str], payload: bytes) -> "Future[Ran]":
        """The output payload, and what the run took. Fails with a ModelError, a PayloadError or
        SecondOpinionDiffers."""
        return self._threads.submit(self._run, model, uris, payload, Infer())

    def ask(self, model: Model, uris: Sequence[str], payload: bytes, task: Task) -> "Future[bytes]":
        """What the task asks for. Fails as `submit` does."""
        threads = self._urgent if isinstance(task, Open) else self._threads
        return threads.submit(self._answer, model, uris, payload, task)

    def _answer(self, model: Model, uris: Sequence[str], payload: bytes, task: Task) -> bytes:
        return self._run(model, uris, payload, task).data

    def _run(self, model: Model, uris: Sequence[str], payload: bytes, task: Task) -> Ran:
        path = self._files.fetch(model.file_hash, uris)
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
        for threads in (self._threads, self._urgent):
            threads.shutdown(wait=False, cancel_futures=True)
        self._executor.close()
