"""Reads the chain's events in order from a cursor on, a range of blocks at a time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from oracle.chain.decoder import Decoder
from oracle.chain.deployment import Deployment
from oracle.chain.events import Event
from oracle.chain.logs import LogReader
from oracle.chain.node import Chain
from oracle.chain.replies import Block, Log
from oracle.errors import Reorganised
from oracle.types import Address

NEAR = 64  # blocks before the head whose logs a node may not have indexed yet


@dataclass(frozen=True, slots=True)
class Cursor:
    """The last block that was read."""

    number: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class Step:
    """The events of a range of blocks, and the cursor that stands behind them."""

    cursor: Cursor
    events: Sequence[Event]


class Watcher:
    """Reads events, but not of the last `confirmations` blocks, which may still be replaced.

    The logs of the last `near` blocks are read block by block, for certain, or not at all: a node
    gives ranges that it has not indexed yet as if they were empty."""

    def __init__(
        self,
        chain: Chain,
        deployment: Deployment,
        confirmations: int,
        span: int = 0,
        near: int = NEAR,
    ):
        self.chain = chain
        self.first_block = deployment.first_block
        self.confirmations = confirmations
        self.span = span or chain.log_span
        self._near = near
        self._decoder = Decoder()
        self.watch(deployment.watched)

    def watch(self, addresses: Sequence[Address]) -> None:
        """Reads the logs of these contracts from now on."""
        self._reader = LogReader(self.chain, addresses, span=self.span)

    def steps(
        self, cursor: Cursor | None, subject: bytes | None = None, until: int | None = None
    ) -> Iterator[Step]:
        """Yields what happened since `cursor`, in order, and nothing if the chain has not moved.

        With `subject` it yields only events about that id or account; with `until` it reads no
        block after that.
        """
        head = self.chain.block("latest").number
        last = head - self.confirmations
        if until is not None:
            last = min(last, until)
        if cursor is not None:
            if head < cursor.number:
                return  # this node is behind the one that we read from
            self._check(cursor)
        first = self.first_block if cursor is None else cursor.number + 1
        near = max(first, head - self._near + 1)
        for stretch in self._reader.stretches(first, min(last, near - 1), subject):
            yield Step(Cursor(stretch.last.number, stretch.last.hash), self._decoded(stretch.logs))
        for number in range(near, last + 1):
            block = self.chain.block(number)
            logs = self._reader.of_block(block, subject)
            yield Step(Cursor(number, block.hash), self._decoded(logs, block))

    def events(self, first: int, last: int, subject: bytes | None = None) -> list[Event]:
        """Reads all events in blocks `first` to `last`, both included, in order."""
        return self._decoded(self._reader.of_range(first, last, subject))

    def _decoded(self, logs: Sequence[Log], *blocks: Block) -> list[Event]:
        times = {block.number: block.time for block in blocks}
        times |= self.chain.times({log.block for log in logs} - times.keys())
        found = []
        for log in logs:
            event = self._decoder.decode(log, times[log.block])
            if event is not None:
                found.append(event)
        return found

    def _check(self, cursor: Cursor) -> None:
        if self.chain.block(cursor.number).hash != cursor.hash:
            raise Reorganised(
                f"{self.chain.name} replaced block {cursor.number} that we had acted on;"
                " start again with a new state file and more --confirmations."
            )
