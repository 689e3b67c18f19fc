"""The root of a block's receipts is the one that an implementation of Ethereum computes."""

from dataclasses import replace
from typing import Any

import pytest
import rlp  # type: ignore[import-untyped]
from eth.db.trie import make_trie_root_and_nodes
from eth.rlp.logs import Log as TheirLog
from eth.rlp.receipts import Receipt as TheirReceipt
from eth_utils import keccak

from oracle.chain import receipts
from oracle.chain.replies import Log, Outcome
from tests.chains import address

LOG = Log(
    address=address("operator"),
    topics=(b"\x01" * 32, b"\x02" * 32),
    data=b"\x03" * 40,
    block=1,
    block_hash=b"\x04" * 32,
    index=0,
    transaction=b"\x05" * 32,
)


class Theirs:
    """A receipt as py-evm has it, behind the byte of its kind."""

    def __init__(self, outcome: Outcome):
        root = b"\x01" if outcome.succeeded else b""
        self.receipt = TheirReceipt(root, outcome.gas_so_far, list(map(their_log, outcome.logs)))
        self.kind = outcome.kind

    def encode(self) -> bytes:
        return (bytes([self.kind]) if self.kind else b"") + rlp.encode(self.receipt)


def their_log(log: Log) -> TheirLog:
    topics = tuple(int.from_bytes(topic, "big") for topic in log.topics)
    return TheirLog(receipts.raw(log.address), topics, log.data)


def outcomes(count: int) -> list[Outcome]:
    """Of each kind, with and without success and logs."""
    return [
        Outcome(
            kind=at % 5,
            succeeded=at % 3 > 0,
            gas_so_far=21_000 * (at + 1),
            logs=[replace(LOG, data=bytes([at % 256]))] * (at % 4),
        )
        for at in range(count)
    ]


@pytest.mark.parametrize("count", [0, 1, 2, 5, 17, 127, 128, 129, 300])
def test_root_is_that_of_an_ethereum_client(count: int) -> None:
    items: Any = tuple(map(Theirs, outcomes(count)))
    theirs, _ = make_trie_root_and_nodes(items)

    assert receipts.root(outcomes(count)) == theirs


def test_root_covers_all_that_an_outcome_has() -> None:
    good = Outcome(2, True, 21_000, [LOG])
    others = [
        replace(good, kind=0),
        replace(good, succeeded=False),
        replace(good, gas_so_far=21_001),
        replace(good, logs=[]),
        replace(good, logs=[LOG, LOG]),
        replace(good, logs=[replace(LOG, data=b"")]),
        replace(good, logs=[replace(LOG, topics=LOG.topics[:1])]),
        replace(good, logs=[replace(LOG, address=address("rival"))]),
        replace(good, more=(1, 1)),
    ]

    roots = {receipts.root([each]) for each in (good, *others)}

    assert len(roots) == 1 + len(others)


def test_root_has_at_the_end_of_a_deposit_what_the_op_stack_adds() -> None:
    deposit = Outcome(0x7E, True, 50_000, [], more=(7, 1))
    fields = [b"\x01", (50_000).to_bytes(2, "big"), bytes(256), [], b"\x07", b"\x01"]
    leaf = rlp.encode([b"\x20\x80", b"\x7e" + rlp.encode(fields)])  # its only path: the key 0x80

    assert receipts.root([deposit]) == keccak(leaf)


def test_filter_holds_each_part_of_a_log_and_little_else() -> None:
    found = receipts.filter_of([LOG])

    assert all(receipts.has(found, part) for part in (receipts.raw(LOG.address), *LOG.topics))
    assert not receipts.has(found, receipts.raw(address("rival")))
    assert found.bit_count() <= 9
