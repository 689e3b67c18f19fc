"""Recomputes what a header says of its block's receipts: their root, and a filter of the logs."""

from collections.abc import Iterable, Sequence
from functools import lru_cache, reduce
from operator import or_

import rlp  # type: ignore[import-untyped]
from eth_bloom.bloom import BloomFilter
from trie.hexary import HexaryTrie

from oracle.chain.replies import BLOOM, Log, Outcome
from oracle.types import Address

KEPT = 1 << 12  # addresses and topics


def root(outcomes: Sequence[Outcome]) -> bytes:
    """Computes the root of a block's receipts, in the order of its transactions.

    A kind of transaction that Ethereum does not have is taken to be written like its own. Where
    that is wrong, the root is another one than the header's, and proves nothing."""
    trie = HexaryTrie({})
    with trie.squash_changes() as changes:
        for place, outcome in enumerate(outcomes):
            changes[rlp.encode(place)] = _encoded(outcome)
    return trie.root_hash


def _encoded(outcome: Outcome) -> bytes:
    logs = [[raw(log.address), log.topics, log.data] for log in outcome.logs]
    bloom = filter_of(outcome.logs).to_bytes(BLOOM, "big")
    fields = [outcome.succeeded, outcome.gas_so_far, bloom, logs, *outcome.more]
    body: bytes = rlp.encode(fields)
    return bytes([outcome.kind]) + body if outcome.kind else body


def filter_of(logs: Iterable[Log]) -> int:
    """Computes the filter that a header has of such logs."""
    parts = {part for log in logs for part in (raw(log.address), *log.topics)}
    return reduce(or_, map(_bits, parts), 0)


def has(bloom: int, part: bytes) -> bool:
    """Says whether a filter may be of logs that have this address or topic."""
    return not _bits(part) & ~bloom


@lru_cache(KEPT)
def _bits(part: bytes) -> int:
    """Gives the bits that an address or a topic sets in a filter. They are a hash's, so those of
    the last ones are kept."""
    return int(BloomFilter.from_iterable([part]))


def raw(address: Address) -> bytes:
    return bytes.fromhex(address[2:])
