"""Reads the chain's events in order from a cursor on, a range of blocks at a time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from oracle.chain.decoder import Decoder
from oracle.chain.deployment import Deployment
from oracle.chain.events import Event
from oracle.chain.node import Chain
from oracle.errors import ChainError, Reorganised
from oracle.types import Address


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
    """Reads events, but not of the last `confirmations` blocks, which may still be replaced."""

    def __init__(self, chain: Chain, deployment: Deployment, confirmations: int, span: int = 0):
        self.chain = chain
        self.addresses: Sequence[Address] = deployment.watched
        self.first_block = deployment.first_block
        self.confirmations = confirmations
        self.span = span or chain.log_span
        self._decoder = Decoder()

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
        span = self.span
        while first <= last:
            end = min(last, first + span - 1)
            block = self.chain.block(end)
            try:
                found = self.events(first, end, subject)
            except ChainError:
                # Nodes limit how many blocks or logs a query may span, each in its own way, and
                # some close the connection or let it time out. One that is down fails above.
                if span == 1:
                    raise
                span = max(1, span // 4)
                continue
            yield Step(Cursor(end, block.hash), found)
            first = end + 1

    def events(self, first: int, last: int, subject: bytes | None = None) -> list[Event]:
        """Reads all events in blocks `first` to `last`, both included, in order."""
        times: dict[int, int] = {}
        found = []
        for log in self.chain.logs(self.addresses, first, last, subject):
            number = log["blockNumber"]
            if number not in times:
                times[number] = self.chain.block(number).time
            event = self._decoder.decode(log, times[number])
            if event is not None:
                found.append(event)
        return found

    def _check(self, cursor: Cursor) -> None:
        if self.chain.block(cursor.number).hash != cursor.hash:
            raise Reorganised(
                f"{self.chain.name} replaced block {cursor.number} that we had acted on;"
                " start again with a new state file and more --confirmations."
            )
