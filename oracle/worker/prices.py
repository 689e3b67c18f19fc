"""What the trace of each model takes: asked of a child process once, and remembered."""

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from math import inf

from oracle import serialization
from oracle.errors import InferenceFailed, InferenceTooSlow
from oracle.exact.proofs.cost import MARGIN, Calibration, TraceWork
from oracle.serialization import Unreadable
from oracle.types import ModelId

Ask = Callable[[ModelId, float], "Future[bytes] | None"]
"""Has a child count the work of a model's trace, in so many seconds at most; None while its file is
being fetched."""


@dataclass(frozen=True, slots=True)
class PassTime:
    """Seconds that a pass over the trace of any result of a model takes: `usual` for every input,
    and as many as `hard` more for the worst."""

    usual: float
    hard: float

    def after(self, run: float) -> float:
        """Gives the seconds of a pass over a result whose run took `run` seconds: what is hard in a
        pass was hard in the run too, but for what two runs differ by."""
        return self.usual + min(self.hard, MARGIN * run)


@dataclass(frozen=True, slots=True)
class _Failure:
    error: BaseException
    until: float  # then it is asked again


class Prices:
    """A stranger's file is read in a child alone, so to know what a model's trace takes is to wait.
    `retry` is how many seconds a failure is remembered.

    Most models are loaded in no time, and must not wait for those that are not: each is tried for
    `glance` seconds first. If that was too short, it is asked again, and takes what it takes."""

    def __init__(self, ask: Ask, calibration: Calibration, retry: float, glance: float):
        self._ask = ask
        self._calibration = calibration
        self._retry = retry
        self._glance = glance
        self._slow: set[ModelId] = set()  # to load
        self._known: dict[ModelId, PassTime] = {}
        self._asked: dict[ModelId, Future[bytes]] = {}
        self._failed: dict[ModelId, _Failure] = {}

    @property
    def waiting(self) -> tuple[ModelId, ...]:
        """The models whose price was asked for and is not known yet."""
        return tuple(self._asked)

    def is_slow(self, model: ModelId) -> bool:
        """Says whether to find out a model's price takes longer than a glance."""
        return model in self._slow

    def of(self, model: ModelId, now: float) -> PassTime | BaseException | None:
        """Gives what a pass takes here, or what kept us from finding out, or None while that is
        being done."""
        if model in self._known:
            return self._known[model]
        if model not in self._asked:
            failed = self._failed.get(model)
            if failed is not None and now < failed.until:
                return failed.error
            future = self._ask(model, inf if model in self._slow else self._glance)
            if future is None:
                return None
            self._asked[model] = future
        return self._take(model, now)

    def collect(self, now: float) -> None:
        """Takes in what was found out meanwhile, and forgets failures that no longer count."""
        self._failed = {each: its for each, its in self._failed.items() if now < its.until}
        for model in list(self._asked):
            self._take(model, now)

    def known(self, model: ModelId) -> PassTime | None:
        """Gives what a pass takes, where that is known already."""
        return self._known.get(model)

    def _take(self, model: ModelId, now: float) -> PassTime | BaseException | None:
        future = self._asked[model]
        if not future.done():
            return None
        del self._asked[model]
        found = future.exception() or self._read(future.result())
        if isinstance(found, InferenceTooSlow) and model not in self._slow:
            self._slow.add(model)
            return None
        if isinstance(found, PassTime):
            self._failed.pop(model, None)
            self._known[model] = found
        else:
            self._failed[model] = _Failure(found, now + self._retry)
        return found

    def _read(self, answer: bytes) -> PassTime | InferenceFailed:
        try:
            work = serialization.load(answer, TraceWork)
        except Unreadable as error:
            return InferenceFailed(f"The child's count of the work cannot be read: {error}.")
        usual, worst = work.seconds(self._calibration, 0.0), work.seconds(self._calibration)
        return PassTime(usual, worst - usual)
