"""Fetches in the background, so that no inference waits in line behind a stranger's server."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Lock

from oracle.inference.files import ModelFiles
from oracle.types import Address, Model

RETRY = 10.0  # seconds for which a failure answers for its file


class Fetches:
    """Fetches `parallel` files at once, and no more than `share` for one publisher: who publishes
    models that nobody serves keeps the models of others waiting no longer than that takes."""

    def __init__(self, files: ModelFiles, parallel: int = 16, share: int = 2):
        self._files = files
        self._parallel = parallel
        self._share = share
        self._lock = Lock()
        self._running: dict[bytes, Address] = {}  # by file: its publisher
        self._failed: dict[bytes, tuple[BaseException, float]] = {}  # by file, and when
        self._threads = ThreadPoolExecutor(parallel, thread_name_prefix="fetches")

    def ready(self, model: Model, uris: Callable[[], Sequence[str]]) -> bool:
        """Says whether there is nothing to wait for, because the file is here or cannot be had.
        Otherwise it begins to fetch the file, if it is its turn."""
        file_hash = model.file_hash
        with self._lock:
            if file_hash in self._running:
                return False
            if self._failure(file_hash) is not None or self._files.has(file_hash):
                return True
            if not self._has_place(model.publisher):
                return False
            self._running[file_hash] = model.publisher
        future = self._threads.submit(self._files.fetch, file_hash, uris())
        future.add_done_callback(lambda done: self._end(file_hash, done))
        return False

    def check(self, file_hash: bytes) -> None:
        """Raises what the last fetch of the file failed with, where there is no file for that."""
        with self._lock:
            failure = None if self._files.has(file_hash) else self._failure(file_hash)
        if failure is not None:
            raise failure

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _has_place(self, publisher: Address) -> bool:
        places = Counter(self._running.values())
        return places.total() < self._parallel and places[publisher] < self._share

    def _failure(self, file_hash: bytes) -> BaseException | None:
        failed = self._failed.get(file_hash)
        if failed is None or time.monotonic() - failed[1] >= RETRY:
            return None
        return failed[0]

    def _end(self, file_hash: bytes, done: "Future[Path]") -> None:
        now = time.monotonic()
        with self._lock:
            del self._running[file_hash]
            recent = {key: each for key, each in self._failed.items() if now - each[1] < RETRY}
            self._failed = recent
            if not done.cancelled() and (error := done.exception()) is not None:
                self._failed[file_hash] = error, now
