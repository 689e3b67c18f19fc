"""Follows the chain as it is: block by block near its head, where blocks may still be replaced, and
in ranges behind its last final one, where they may not.

What it gives is how the chain differs from what was read before. Whoever keeps the one and takes in
the other holds what the chain holds, however often it changes its mind.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from oracle.chain.decoder import Decoder
from oracle.chain.deployment import Deployment
from oracle.chain.events import Event
from oracle.chain.finality import Finality
from oracle.chain.logs import LogReader
from oracle.chain.node import Chain
from oracle.chain.replies import Block, Log
from oracle.errors import ChainError, LogsUnknown, Reorganised

log = structlog.get_logger()

BLOCKS = 50  # near the head, in one step


@dataclass(frozen=True, slots=True)
class Header:
    """A block that was read, of which nothing but its name is kept."""

    number: int
    hash: bytes
    time: int  # seconds


@dataclass(frozen=True, slots=True)
class Change:
    """All that happened in blocks `first` to `last`, both included. Where it `ends`, it stands in
    the place of all that was known of these and later blocks; in one that only undoes, `last` is
    the block before `first`. Where it does not, blocks were read again: it adds what was not known
    of them, and takes the place of what was known of others with their numbers.

    `headers` has all blocks that may still be replaced, and the last one. All blocks up to `final`
    are final, and those up to `settled` were read since they were."""

    first: int
    last: int
    headers: Sequence[Header]
    events: Sequence[Event]
    final: int
    settled: int
    ends: bool = True


class Known(Protocol):
    """What was read before."""

    def cursor(self) -> Header | None:
        """Gives the last block that was read."""
        ...

    def header(self, number: int) -> Header | None:
        """Gives a block that was read and may still be replaced."""
        ...

    def oldest(self) -> Header | None:
        """Gives the first block of which there is a `header`."""
        ...

    def settled(self) -> int | None:
        """Gives the last block that was read since it was final."""
        ...


class View:
    """Reads what one deployment's contracts have logged, but not of the last `confirmations`
    blocks."""

    def __init__(
        self, chain: Chain, deployment: Deployment, finality: Finality, confirmations: int = 0
    ):
        self.chain = chain
        self.first_block = deployment.first_block
        self.confirmations = confirmations
        self._finality = finality
        self._reader = LogReader(chain, deployment.watched)
        self._decoder = Decoder()
        self._is_behind = False  # as was said

    def changes(self, known: Known) -> Iterator[Change]:
        """Yields what differs, in order; each has to be taken in before the next is asked for.
        Raises Reorganised where blocks were replaced that were final."""
        head = self.chain.block("latest")
        final = self._finality.last(head)
        base = self._base(known, head)
        if base is None:
            return
        last = max(base, head.number - self.confirmations)
        settled = known.settled()
        settled = self.first_block - 1 if settled is None else min(settled, base)
        cursor = known.cursor()
        if cursor is not None and base < cursor.number:
            log.warning("blocks were replaced", first=base + 1, count=cursor.number - base)
            yield Change(base + 1, base, (), (), final, settled)
        # What has become final since it was read is read again; what was never read, once.
        for stretch in self._reader.stretches(settled + 1, min(final, base)):
            first, settled = settled + 1, stretch.last.number
            yield self._change(first, [stretch.last], stretch.logs, final, settled, ends=False)
        for stretch in self._reader.stretches(base + 1, min(final, last)):
            first, base = base + 1, stretch.last.number
            settled = base
            yield self._change(first, [stretch.last], stretch.logs, final, settled)
        yield from self._follow(known.header(base), base + 1, last, final, settled)

    def _base(self, known: Known, head: Block) -> int | None:
        """Gives the last block that was read and is still there; None where this node is behind
        what was read, and says nothing of it."""
        cursor = known.cursor()
        if cursor is None:
            return self.first_block - 1
        number = min(cursor.number, head.number)
        oldest = known.oldest()
        lowest = cursor.number if oldest is None else oldest.number
        self._say_behind(number < lowest, head, cursor)
        if number < lowest:
            return None
        while number >= lowest:
            held = known.header(number)
            if held is not None and held.hash == self._hash(number, head):
                is_behind = number == head.number < cursor.number
                return None if is_behind else number
            number -= 1
        raise Reorganised(
            f"{self.chain.name} replaced block {lowest}, which was final when it was read; or it is"
            " of another chain."
        )

    def _hash(self, number: int, head: Block) -> bytes:
        return head.hash if number == head.number else self.chain.block(number).hash

    def _say_behind(self, is_behind: bool, head: Block, cursor: Header) -> None:
        """Says so once: it may catch up, or its chain was begun anew, which shows only later."""
        if is_behind and not self._is_behind:
            log.error(
                "the node is far behind: is it of the same chain, and up to date?",
                node=self.chain.name,
                block=head.number,
                read_until=cursor.number,
            )
        self._is_behind = is_behind

    def _follow(
        self, held: Header | None, first: int, last: int, final: int, settled: int
    ) -> Iterator[Change]:
        """Reads some blocks after others, each of which must follow from the one before."""
        before = None if held is None else held.hash
        while first <= last:
            blocks = self.chain.blocks(range(first, min(last, first + BLOCKS - 1) + 1))
            for block in blocks:
                if before not in (None, block.parent):
                    # Replaced while we read; or two nodes answer for one, and differ.
                    raise ChainError(
                        f"{self.chain.name} replaced block {block.number - 1} just now."
                    )
                before = block.hash
            yield self._change(first, blocks, self._reader.of_blocks(blocks), final, settled)
            first = blocks[-1].number + 1

    def _change(
        self,
        first: int,
        blocks: Sequence[Block],
        logs: Sequence[Log],
        final: int,
        settled: int,
        ends: bool = True,
    ) -> Change:
        known = {block.number: block for block in blocks}
        others = self.chain.blocks(sorted({each.block for each in logs} - known.keys()))
        known |= {block.number: block for block in others}
        events = []
        for each in logs:
            block = known[each.block]
            if each.block_hash != block.hash:
                why = "gives logs of another block of that number"
                raise LogsUnknown(self.chain.name, each.block, why)
            event = self._decoder.decode(each, block.time)
            if event is None:
                why = "gives a log that our contracts cannot have written"
                raise LogsUnknown(self.chain.name, each.block, why)
            events.append(event)
        headers = [Header(block.number, block.hash, block.time) for block in blocks]
        return Change(first, blocks[-1].number, headers, events, final, settled, ends)
