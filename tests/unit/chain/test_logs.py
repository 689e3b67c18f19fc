"""Logs are read for certain of a node that has neither receipts of blocks nor logs by hash."""

from dataclasses import replace

import pytest

from oracle.chain.events import StakeAdded
from oracle.chain.logs import LogReader
from oracle.chain.node import Chain
from oracle.errors import LogsUnknown
from tests.chains import World, variant


def reader(world: World, chain: Chain | None = None, proves: bool = False) -> LogReader:
    return LogReader(chain or world.chain, world.deployment.watched, proves=proves)


@pytest.mark.parametrize("proves", [False, True])
def test_of_block_gives_the_logs_of_each_block(embedded: World, proves: bool) -> None:
    embedded.stake()
    embedded.ask(embedded.publish())
    blocks = [embedded.chain.block(number) for number in range(embedded.head() + 1)]
    found = [reader(embedded, proves=proves).of_block(block) for block in blocks]

    assert [len(logs) for logs in found if logs] == [1, 1, 1]
    assert sum(found, []) == reader(embedded).of_range(0, embedded.head())
    assert sum(found, []) == reader(embedded, proves=proves).of_blocks(blocks)


class Forgets:
    """A node that has lost its index of logs."""

    def logs(self, *_, **__):
        return []


def test_of_block_proves_by_the_receipt_of_each_transaction(embedded: World) -> None:
    embedded.stake()
    block = embedded.chain.block("latest")

    found = reader(embedded, variant(embedded.chain, Forgets)).of_block(block)

    assert found == embedded.chain.logs(embedded.deployment.watched, block.number, block.number)
    assert len(embedded.all(StakeAdded)) == len(found) == 1


@pytest.mark.parametrize("root", [None, b"\0" * 32])
def test_of_block_is_unknown_where_the_header_has_no_such_root(
    embedded: World, root: bytes | None
) -> None:
    embedded.stake()
    block = replace(embedded.chain.block("latest"), receipts_root=root)

    with pytest.raises(LogsUnknown, match="do not make the header's root") as raised:
        reader(embedded, variant(embedded.chain, Forgets)).of_block(block)

    assert (raised.value.block, raised.value.node) == (block.number, embedded.chain.name)


def test_of_block_asks_for_few_receipts_one_by_one(embedded: World) -> None:
    embedded.stake()
    block = embedded.chain.block("latest")
    crowded = replace(block, transactions=block.transactions * 33)

    with pytest.raises(LogsUnknown, match="no receipts that can be read"):
        reader(embedded, variant(embedded.chain, Forgets)).of_block(crowded)


class Replaces:
    """A node whose last block is another one by the time that its logs were given."""

    asked = 0

    def block(self, number):
        found = super().block(number)  # type: ignore[misc]
        type(self).asked += 1
        return replace(found, hash=bytes([self.asked]) * 32)


def test_of_range_is_unknown_while_the_last_block_is_being_replaced(embedded: World) -> None:
    with pytest.raises(LogsUnknown, match="has not got so far"):
        reader(embedded, variant(embedded.chain, Replaces)).of_range(0, embedded.head())
