"""Reads logs so that an answer means something: what a node does not say is unknown, not none.

A node that is behind, starts, or has lost an index answers a question for logs with none, or with
some of them. So what it says of one block is held against the block's header: the filter of its
logs, and the root of its receipts. A range is read of final blocks alone.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from oracle.chain import receipts
from oracle.chain.decoder import Decoder
from oracle.chain.node import Chain, word
from oracle.chain.replies import Block, Log, Outcome
from oracle.chain.span import Span
from oracle.errors import ChainError, LogsUnknown, NotFound, RpcUnavailable
from oracle.types import Address

MOST_ALONE = 32  # receipts that are asked for one by one

Question = Callable[[Sequence[Address], bytes | None], Sequence[Log]]
"""Asks for the logs of some contracts, of one event or of all."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """All our logs in some blocks, in order, and the last of these blocks."""

    last: Block
    logs: list[Log]


class LogReader:
    """Reads the logs of `addresses` from one node.

    If it `proves`, an answer for one block that leaves some logs out is found out, at the price of
    the receipts of each block that may have some."""

    def __init__(
        self,
        chain: Chain,
        addresses: Sequence[Address],
        proves: bool = False,
        span: int = 0,
    ):
        self.proves = proves
        self._chain = chain
        self._addresses = addresses
        self._span = Span(span or chain.log_span)
        self._topics = Decoder().topics
        self._firsts = {(topic,) for topic in self._topics}
        self._takes_hashes = True
        self._gives_receipts = True  # of a whole block
        self._has_proven = False  # that it knows how this chain writes receipts
        self._trusts_blanks: bool | None = None  # None until a filter of this chain was seen

    # ONE BLOCK

    def of_block(self, block: Block, subject: bytes | None = None) -> list[Log]:
        """Gives our logs in `block`, in order. Raises LogsUnknown where the node does not say for
        certain which these are: ask again, or read the block once it is final. With `subject` it
        gives only those that have it as their first indexed argument."""
        logs = self._of_block(block, None)
        if subject is None:
            return logs
        return [log for log in logs if word(subject) in log.topics[1:2]]

    def of_blocks(self, blocks: Sequence[Block]) -> list[Log]:
        """Gives what `of_block` gives of each, but asks about all of them at once."""
        for block in blocks:
            self._see(block)
        found = self._together(blocks)
        return [log for each in blocks for log in self._of_block(each, found.get(each.hash))]

    def _together(self, blocks: Sequence[Block]) -> Mapping[bytes, Sequence[Log]]:
        """Gives what the node says of each block's logs, by its hash: nothing, where it says
        nothing of some."""
        hashes = [block.hash for block in blocks if not self._is_excluded(block)]
        if self.proves or not self._takes_hashes or len(hashes) < 2:
            return {}
        try:
            found = self._chain.logs_of_each(hashes, self._addresses)
        except ChainError as error:
            self._raise_if_down(error)
            return {}
        return dict(zip(hashes, found, strict=True))

    def _of_block(self, block: Block, found: Sequence[Log] | None) -> list[Log]:
        """Takes what was `found` unless the header speaks against it, and asks again then."""
        self._see(block)
        if self._is_excluded(block):
            return []
        if found is not None:
            with suppress(LogsUnknown):
                return self._plausible(block, found)
        return self._certain(block)

    def _certain(self, block: Block) -> list[Log]:
        if self.proves:
            try:
                return self._proven(block)
            except LogsUnknown:
                if self._has_proven:
                    raise
        try:
            return self._plausible(block, self._asked(block))
        except LogsUnknown as unknown:
            if self.proves:
                raise
            try:
                return self._proven(block)
            except LogsUnknown as unproven:
                why = f"{unknown.why}, and {unproven.why}"
                raise self._unknown(block.number, why) from unproven

    def _see(self, block: Block) -> None:
        """Takes note of a filter that is filled: this chain leaves no others blank."""
        if self._trusts_blanks is None and block.bloom and any(block.bloom):
            self._trusts_blanks = True

    def _is_excluded(self, block: Block) -> bool:
        """Says whether the header rules out that any of our contracts wrote a log."""
        if block.bloom is None:
            return False
        if not any(block.bloom):
            return not block.transactions
        bloom = _filter(block.bloom)
        by_us = any(receipts.has(bloom, receipts.raw(each)) for each in self._addresses)
        return not (by_us and any(receipts.has(bloom, topic) for topic in self._topics))

    def _plausible(self, block: Block, found: Sequence[Log]) -> list[Log]:
        """Gives what was answered, in order, unless the header speaks against it."""
        logs = self._tidy(found, block.number, block.number)
        if any(log.block_hash != block.hash for log in logs):
            raise self._unknown(block.number, "gives logs of another block of that number")
        if block.bloom is None or not any(block.bloom):
            return self._beside_blank(block, logs)
        if not logs:
            raise self._unknown(block.number, "gives none, which its header does not confirm")
        if receipts.filter_of(logs) & ~_filter(block.bloom):
            raise self._unknown(block.number, "gives logs that its header rules out")
        return logs

    def _beside_blank(self, block: Block, logs: list[Log]) -> list[Log]:
        """Takes an answer beside a filter that is missing or blank, as all are on some chains."""
        if logs:
            self._trusts_blanks = False
        elif not (self._trusts_blanks and block.bloom):
            raise self._unknown(block.number, "gives none, of which its header says nothing")
        return logs

    def _asked(self, block: Block) -> Sequence[Log]:
        def ask(addresses: Sequence[Address], topic: bytes | None) -> Sequence[Log]:
            return self._ask_of(block, addresses, topic)

        try:
            return ask(self._addresses, None)
        except ChainError as error:
            self._raise_if_down(error)
        return self._in_pieces(ask)

    def _ask_of(
        self, block: Block, addresses: Sequence[Address], topic: bytes | None
    ) -> Sequence[Log]:
        """Asks by the block's hash, or by its number where the node does not take that."""
        if self._takes_hashes:
            try:
                return self._chain.logs_of(block.hash, addresses, topic)
            except RpcUnavailable:
                raise
            except ChainError:  # or it does not know the block, or there are too many
                pass
        found = self._chain.logs(addresses, block.number, block.number, topic=topic)
        self._takes_hashes &= not any(log.block_hash == block.hash for log in found)
        return found

    def _in_pieces(self, ask: Question) -> list[Log]:
        """Reads a block that has more logs than the node gives at once: by contract, and where that
        is too much, by event. Raises what the node says to the smallest question."""
        found: list[Log] = []
        for address in self._addresses:
            try:
                found += ask([address], None)
            except ChainError as error:
                self._raise_if_down(error)
                found += [log for topic in self._topics for log in ask([address], topic)]
        return found

    def _proven(self, block: Block) -> list[Log]:
        """Reads the logs from the block's receipts, whose root its header has."""
        outcomes = self._outcomes(block)
        if block.receipts_root is None or receipts.root(outcomes) != block.receipts_root:
            raise self._unknown(block.number, "gives receipts that do not make the header's root")
        logs = [log for outcome in outcomes for log in outcome.logs]
        # The root does not cover where a log says it is.
        if _places(logs) != _true_places(block, outcomes):
            raise self._unknown(block.number, "gives receipts whose logs are elsewhere")
        self._has_proven |= bool(outcomes)
        return [log for log in logs if log.address in self._addresses]

    def _outcomes(self, block: Block) -> Sequence[Outcome]:
        try:
            if len(block.transactions) > MOST_ALONE:
                return self._chain.outcomes(block.number)
            return self._few_outcomes(block)
        except ChainError as error:
            raise self._unknown(block.number, "gives no receipts that can be read") from error

    def _few_outcomes(self, block: Block) -> Sequence[Outcome]:
        """Asks for each receipt alone where the node does not give a block's."""
        if self._gives_receipts:
            try:
                return self._chain.outcomes(block.number)
            except RpcUnavailable:
                raise
            except ChainError:
                pass
        found = [self._chain.outcome(each) for each in block.transactions]
        self._gives_receipts = False
        return found

    # FINAL BLOCKS

    def of_range(self, first: int, last: int, subject: bytes | None = None) -> list[Log]:
        """Gives our logs in final blocks `first` to `last`, both included, in order. With `subject`
        it gives only those that have it as their first indexed argument."""
        return [log for stretch in self.stretches(first, last, subject) for log in stretch.logs]

    def stretches(self, first: int, last: int, subject: bytes | None = None) -> Iterator[Stretch]:
        """Reads final blocks `first` to `last`, as many at a time as the node gives. Raises
        LogsUnknown where it has not got so far."""
        while first <= last:
            end = min(last, first + self._span.size - 1)
            try:
                found = self._chain.logs_until(self._addresses, first, end, subject)
            except NotFound as error:
                raise self._unknown(end, "has not got so far") from error
            except ChainError as error:
                # Nodes limit how many blocks or logs a query may span, each in its own way, and
                # some close the connection or let it time out.
                self._raise_if_down(error)
                if end > first:
                    self._span.refused(end - first + 1)
                    continue
                found = self._chain.block(first), self._in_pieces(self._asking_at(first, subject))
            else:
                self._span.given(end - first + 1)
            block, logs = found
            yield Stretch(block, self._consistent(first, block, logs))
            first = end + 1

    def _asking_at(self, number: int, subject: bytes | None) -> Question:
        def ask(addresses: Sequence[Address], topic: bytes | None) -> Sequence[Log]:
            return self._chain.logs(addresses, number, number, subject, topic)

        return ask

    def _consistent(self, first: int, last: Block, found: Sequence[Log]) -> list[Log]:
        logs = self._tidy(found, first, last.number)
        hashes = {last.number: last.hash}
        for log in logs:
            if hashes.setdefault(log.block, log.block_hash) != log.block_hash:
                raise self._unknown(log.block, "gives logs of two blocks of that number")
        return logs

    # BOTH

    def _tidy(self, found: Iterable[Log], first: int, last: int) -> list[Log]:
        """Puts logs in order, each once."""
        logs: dict[tuple[int, int], Log] = {}
        for log in found:
            if log.address not in self._addresses:
                raise self._unknown(log.block, "gives logs of contracts that were not asked about")
            if log.topics[:1] not in self._firsts:
                raise self._unknown(log.block, "gives logs that our contracts cannot have written")
            if not first <= log.block <= last:
                raise self._unknown(log.block, "gives logs of it, and was asked for other blocks")
            if logs.setdefault((log.block, log.index), log) != log:
                raise self._unknown(log.block, f"gives two logs that are number {log.index} of it")
        return [logs[place] for place in sorted(logs)]

    def _raise_if_down(self, error: ChainError) -> None:
        """Tells a node that does not answer from one that was asked for too much."""
        try:
            self._chain.height()
        except ChainError as down:
            raise RpcUnavailable(str(down)) from error

    def _unknown(self, block: int, why: str) -> LogsUnknown:
        return LogsUnknown(self._chain.name, block, why)


def _filter(bloom: bytes) -> int:
    return int.from_bytes(bloom, "big")


def _places(logs: Sequence[Log]) -> list[tuple[int, bytes, int, bytes]]:
    return [(log.block, log.block_hash, log.index, log.transaction) for log in logs]


def _true_places(block: Block, outcomes: Sequence[Outcome]) -> list[tuple[int, bytes, int, bytes]]:
    """Counts where each log of the block must be."""
    transactions = [
        transaction
        for transaction, outcome in zip(block.transactions, outcomes, strict=False)
        for _ in outcome.logs
    ]
    return [(block.number, block.hash, at, each) for at, each in enumerate(transactions)]
