"""Reads the past of a chain patiently: in small queries, asking again where a node does not
answer."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from oracle.chain.deployment import Deployment
from oracle.chain.events import RequestCreated
from oracle.chain.node import Chain
from oracle.chain.replies import Block
from oracle.chain.watcher import Cursor, Step, Watcher
from oracle.errors import ChainError, NotFound, Reorganised
from oracle.types import RequestId

SPAN = 500  # blocks in one query for logs, whose payloads are all in memory
TRIES = 7  # with 1, 2, 4, … seconds between them, which makes a minute

_FOR_GOOD = (NotFound, Reorganised)


@dataclass(frozen=True, slots=True)
class Archive:
    """Reads blocks and events. Raises the node's error when that has not answered for a minute."""

    chain: Chain
    deployment: Deployment
    sleep: Callable[[float], None] = time.sleep

    @property
    def first_block(self) -> int:
        return self.deployment.first_block

    def block(self, number: int) -> Block:
        for failures in range(TRIES - 1):
            try:
                return self.chain.block(number)
            except _FOR_GOOD:
                raise
            except ChainError:
                self.sleep(2.0**failures)
        return self.chain.block(number)

    def steps(self, first: int, last: int) -> Iterator[Step]:
        """Yields all events in blocks `first` to `last`, in order, some blocks at a time."""
        return self._steps(self._watcher(), self._before(first), last)

    def models_before(self, block: int) -> Iterator[Step]:
        """Yields the registry's events before a block, which are few."""
        watcher = Watcher(self.chain, self.deployment, confirmations=0, near=0)
        watcher.watch((self.deployment.registry,))
        return self._steps(watcher, None, block - 1)

    def created(self, request_id: RequestId, last: int) -> RequestCreated:
        """Finds how a request began. It looks backwards from `last`, since that is rarely far."""
        watcher = self._watcher()
        while last >= self.first_block:
            first = max(self.first_block, last - watcher.span + 1)
            for step in self._steps(watcher, self._before(first), last, request_id):
                for event in step.events:
                    if isinstance(event, RequestCreated):
                        return event
            last = first - 1
        raise NotFound(f"{self.chain.name} has no log of how 0x{request_id.hex()} was asked for.")

    def _watcher(self) -> Watcher:
        span = min(SPAN, self.chain.log_span)
        return Watcher(self.chain, self.deployment, confirmations=0, span=span, near=0)

    def _before(self, first: int) -> Cursor | None:
        if first <= self.first_block:
            return None
        before = self.block(first - 1)
        return Cursor(before.number, before.hash)

    def _steps(
        self, watcher: Watcher, cursor: Cursor | None, last: int, subject: bytes | None = None
    ) -> Iterator[Step]:
        failures = 0
        while True:
            try:
                for step in watcher.steps(cursor, subject, last):
                    failures = 0
                    yield step
                    cursor = step.cursor
                return
            except _FOR_GOOD:
                raise
            except ChainError:
                failures += 1
                if failures == TRIES:
                    raise
                self.sleep(2.0 ** (failures - 1))
