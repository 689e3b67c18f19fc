"""Inference in child processes, with limits of time and memory.

`Executor` is the local one. One for a cluster (Ray) has the same three methods, `Infers`.
"""

import subprocess
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing import Pipe
from threading import Condition, Timer
from types import TracebackType
from typing import Protocol

from oracle.errors import InferenceFailed, InferenceTooSlow
from oracle.inference.child import Outcome
from oracle.inference.engine import Job, Open
from oracle.inference.failures import MAX_ERROR, decoded
from oracle.inference.process import ending, start
from oracle.types import FileName

__all__ = ["Executor", "Infers", "Job"]

CHILD = "oracle.inference.child"
START_LIMIT = 600.0  # seconds for a child to import what it needs, some kernels compiled on the way
PREPARE_LIMIT = 300.0  # seconds for a child to load a model, and to compile what it lacks for it
MOST_LIMIT = 86_400.0  # seconds, whatever a job says; the system waits for no more than 24 days
END_LIMIT = 60.0  # seconds for a child that hung up to be gone, or for what it began to say to end


@dataclass(frozen=True, slots=True)
class Ran:
    """What a job gave, the seconds that it ran, without what had to be prepared, the process that
    it ran in, and the seconds that all took which went with it: a second opinion, a sample."""

    data: bytes
    seconds: float
    pid: int = 0
    held: float = 0.0


class Infers(Protocol):
    """What runs jobs, here or on a cluster."""

    def infer(self, job: Job) -> bytes:
        """Gives what the job asks for. Raises ModelError, PayloadError or SecondOpinionDiffers."""
        ...

    def submit(self, job: Job) -> "Future[bytes]": ...

    def close(self) -> None: ...


class Executor:
    """Runs each job in one of `processes` children, which keep the last `models` models loaded.

    A job that crashes its child, or runs out of time or memory, raises InferenceFailed and costs
    that child alone. `time_limit` is for the run: while a model is loaded, or a kernel compiled,
    `prepare_limit` counts instead; a job's patience lengthens both, and its `most` bounds both.
    Thread-safe; `memory_limit` is of each child, in bytes.
    """

    def __init__(
        self,
        processes: int = 2,
        time_limit: float = 60.0,
        memory_limit: int = 4 << 30,
        models: int = 8,
        prepare_limit: float = PREPARE_LIMIT,
    ):
        self._time_limit = time_limit
        self._prepare_limit = prepare_limit
        self._memory_limit = memory_limit
        self._models = models
        self._changed = Condition()
        self._children = [self._child() for _ in range(processes)]
        self._idle = list(self._children)
        self._urgent = 0  # jobs that wait for a child, and whoever lets them wait is slashed
        self._is_closed = False
        self._threads = ThreadPoolExecutor(processes, thread_name_prefix="executor")

    def submit(self, job: Job) -> "Future[bytes]":
        """Runs `infer` in the background."""
        return self._threads.submit(self.infer, job)

    def infer(self, job: Job) -> bytes:
        """Gives what the job asks for; waits for a free child. Raises ModelError, PayloadError,
        SecondOpinionDiffers or RunsDiffer."""
        return self.run(job).data

    def run(self, job: Job, apart_from: int | None = None) -> Ran:
        """Runs a job as `infer` does, but not in the process `apart_from`. If no other process is
        free, it starts a new one."""
        child = self._take(job, apart_from)
        limits = {
            Outcome.PREPARING: min(max(self._prepare_limit, job.patience), job.most, MOST_LIMIT),
            Outcome.RUNNING: min(max(self._time_limit, job.patience), job.most, MOST_LIMIT),
        }
        try:
            try:
                return child.infer(job, limits)
            except _Lost as lost:
                # An earlier job may be to blame, by what it left in memory: a fresh child knows.
                if lost.has_begun and not child.has_answered:
                    raise
            child = self._replaced(child)
            return child.infer(job, limits)
        except _Lost as lost:
            self._fail_if_closed()
            raise InferenceFailed(str(lost)) from None
        finally:
            self._give_back(child)

    @property
    def pids(self) -> tuple[int, ...]:
        """The process ids of the children."""
        with self._changed:
            return tuple(child.pid for child in self._children)

    def close(self) -> None:
        """Ends all children; what still runs fails."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
            for child in self._children:
                if child in self._idle:
                    child.kill()
                else:
                    child.interrupt()  # whoever waits for it sees it end, and clears up
        self._threads.shutdown(cancel_futures=True)

    def __enter__(self) -> "Executor":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _child(self) -> "_Child":
        return _Child(self._memory_limit, self._models)

    def _take(self, job: Job, apart_from: int | None = None) -> "_Child":
        """Takes an idle child, one that has the model loaded if there is one. What is urgent goes
        first, or a thread with one job after another would take each child again before it."""
        is_urgent = isinstance(job.task, Open)
        with self._changed:
            self._urgent += is_urgent
            try:
                self._changed.wait_for(
                    lambda: (self._idle and (is_urgent or not self._urgent)) or self._is_closed
                )
            finally:
                self._urgent -= is_urgent
                self._changed.notify_all()  # who waited for this one may be next
            self._fail_if_closed()
            idle = [child for child in self._idle if child.pid != apart_from] or self._idle
            child = next((each for each in idle if job.file in each.models), idle[-1])
            self._idle.remove(child)
        return self._replaced(child) if child.pid == apart_from else child

    def _give_back(self, child: "_Child") -> None:
        with self._changed:
            # The next job would have the answer that this one has not taken.
            if (child.is_lost or child.is_busy) and not self._is_closed:
                child = self._replaced(child)
            self._idle.append(child)
            self._changed.notify_all()

    def _replaced(self, child: "_Child") -> "_Child":
        child.kill()
        with self._changed:
            self._fail_if_closed()
            fresh = self._child()
            self._children[self._children.index(child)] = fresh
            return fresh

    def _fail_if_closed(self) -> None:
        if self._is_closed:
            raise InferenceFailed("The executor was closed before the inference was done.")


class _Lost(Exception):
    """The child is gone. `has_begun`: it had the job by then."""

    def __init__(self, message: str, has_begun: bool = True):
        super().__init__(message)
        self.has_begun = has_begun


class _Child:
    """A child process, seen from the parent. `models` are the files that it has met; while it
    `is_busy`, it has a job whose answer nobody took."""

    def __init__(self, memory_limit: int, keep: int):
        self.models: set[FileName] = set()
        self.has_answered = False
        self.is_lost = False
        self.is_busy = False
        self._is_ready = False
        self._memory_limit = memory_limit
        its_jobs, self._jobs = Pipe(duplex=False)
        self._answers, its_answers = Pipe(duplex=False)
        ends = its_jobs.fileno(), its_answers.fileno()
        self._process = start(CHILD, (*ends, memory_limit, keep), pass_fds=ends)
        its_jobs.close()
        its_answers.close()

    @property
    def pid(self) -> int:
        return self._process.pid

    def infer(self, job: Job, limits: Mapping[Outcome, float]) -> Ran:
        """Raises _Lost where the child is gone for it."""
        self._wait_until_ready()
        self.is_busy = True
        try:
            self._jobs.send(job)
        except OSError:
            raise self._lost(self._ending(), has_begun=False) from None
        self.models.add(job.file)
        outcome, data, seconds = self._answer(max(job.longest, MAX_ERROR), limits)
        self.is_busy = False
        match outcome:
            case Outcome.OUTPUT if job.fits(len(data)):
                self.has_answered = True
                return Ran(data, seconds, self.pid)
            case Outcome.ERROR:
                self.has_answered = True
                raise decoded(data)
            case Outcome.OUT_OF_MEMORY:
                mebibytes = self._memory_limit / 2**20
                raise self._lost(f"needed more memory than its {mebibytes:g} MiB")
        raise self._lost("gave an answer that cannot be read")

    def interrupt(self) -> None:
        """Ends it under the eyes of a thread that waits for its answer."""
        self._process.kill()

    def kill(self) -> None:
        """Ends it, and waits until it is gone."""
        self.is_lost = True
        self._process.kill()
        self._process.wait()
        self._jobs.close()
        self._answers.close()

    def _wait_until_ready(self) -> None:
        if self._is_ready:
            return
        if not self._answers.poll(START_LIMIT):
            raise self._lost(f"did not start in {START_LIMIT:g} s")
        self._receive(0)
        self._is_ready = True

    def _answer(self, most: int, limits: Mapping[Outcome, float]) -> tuple[int, bytes, float]:
        """Waits for what the child says in the end, and counts the seconds until then that it did
        not prepare; on the way it says what its time goes into."""
        left, phase = dict(limits), Outcome.PREPARING
        while True:
            began = time.monotonic()
            # A child that only ever says what it does is out of time all the same.
            if left[phase] <= 0 or not self._answers.poll(left[phase]):
                self.kill()
                what = "Loading the model" if phase is Outcome.PREPARING else "The inference"
                limit = f"{limits[phase]:g} s"
                raise InferenceTooSlow(f"{what} took more than {limit}, and was stopped.")
            left[phase] -= time.monotonic() - began
            outcome, data = self._receive(most)
            if outcome not in limits:
                return outcome, data, limits[Outcome.RUNNING] - left[Outcome.RUNNING]
            phase = Outcome(outcome)

    def _receive(self, most: int) -> tuple[int, bytes]:
        # Whoever took it over may say half a message, and nothing more.
        timer = Timer(END_LIMIT, self.interrupt)
        timer.start()
        try:
            message = self._answers.recv_bytes(most + 1)
        except (EOFError, OSError):
            raise self._lost(self._ending()) from None
        finally:
            timer.cancel()
        if not message:
            raise self._lost("gave an answer that cannot be read")
        return message[0], message[1:]

    def _ending(self) -> str:
        """Says how the process ended."""
        try:
            return ending(self._process.wait(END_LIMIT))
        except subprocess.TimeoutExpired:
            return "hung up"

    def _lost(self, what: str, has_begun: bool = True) -> _Lost:
        self.kill()
        return _Lost(f"The inference's process {what}.", has_begun)
