"""Fetches in the background, so that no inference waits in line behind a stranger's server."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Lock

from oracle.inference.files import ModelFiles
from oracle.types import Address, FileName, Model

RETRY = 10.0  # seconds for which a failure answers for its file


Wanted = tuple[FileName, Address]
"""A file, and the publisher whose URIs are asked for it: anybody may publish the file of another's
model under a server that never answers, and keeps nobody waiting but those who want his."""


class Fetches:
    """Fetches `parallel` files at once, and no more than `share` for one publisher: who publishes
    models that nobody serves keeps the models of others waiting no longer than that takes."""

    def __init__(self, files: ModelFiles, parallel: int = 16, share: int = 2):
        self._files = files
        self._parallel = parallel
        self._share = share
        self._lock = Lock()
        self._running: set[Wanted] = set()
        self._failed: dict[Wanted, tuple[BaseException, float]] = {}  # and when
        self._threads = ThreadPoolExecutor(parallel, thread_name_prefix="fetches")

    def ready(self, model: Model, uris: Callable[[], Sequence[str]]) -> bool:
        """Says whether there is nothing to wait for, because the file is here or cannot be had.
        Otherwise it begins to fetch the file, if it is its turn."""
        wanted = model.file, model.publisher
        with self._lock:
            if self._files.has(model.file):
                return True
            if wanted in self._running:
                return False
            if self._failure(wanted) is not None:
                return True
            if not self._has_place(model.publisher):
                return False
            self._running.add(wanted)
        future = self._threads.submit(self._files.fetch, model.file, uris())
        future.add_done_callback(lambda done: self._end(wanted, done))
        return False

    def check(self, model: Model) -> None:
        """Raises what the last fetch of the file failed with, where there is no file for that."""
        wanted = model.file, model.publisher
        with self._lock:
            failure = None if self._files.has(model.file) else self._failure(wanted)
        if failure is not None:
            raise failure

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _has_place(self, publisher: Address) -> bool:
        places = Counter(by for _, by in self._running)
        return places.total() < self._parallel and places[publisher] < self._share

    def _failure(self, wanted: Wanted) -> BaseException | None:
        failed = self._failed.get(wanted)
        if failed is None or time.monotonic() - failed[1] >= RETRY:
            return None
        return failed[0]

    def _end(self, wanted: Wanted, done: "Future[Path]") -> None:
        now = time.monotonic()
        with self._lock:
            self._running.remove(wanted)
            recent = {key: each for key, each in self._failed.items() if now - each[1] < RETRY}
            self._failed = recent
            if not done.cancelled() and (error := done.exception()) is not None:
                self._failed[wanted] = error, now
