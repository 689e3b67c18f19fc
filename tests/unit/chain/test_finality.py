"""Which blocks are final: by the node's word, by a depth of ours, or by one for all."""

import pytest

from oracle.chain.finality import DEPTH, Finality
from oracle.errors import ChainError, RpcUnavailable
from tests.chains import World, eth_tester, variant


class TellsNone:
    """A node that knows no such tag."""

    failure: ChainError = ChainError("unknown block tag")

    def block(self, number):
        if number == "finalized":
            raise self.failure
        return super().block(number)  # type: ignore[misc]


class IsDown(TellsNone):
    failure = RpcUnavailable("down")


class IsAhead:
    """Nodes behind one address, of which another says what is final."""

    def block(self, number):
        return super().block("latest" if number == "finalized" else number)  # type: ignore[misc]


def test_last_is_what_the_node_says(embedded: World) -> None:
    head = embedded.chain.block("latest")

    assert Finality(embedded.chain).last(head) == embedded.chain.block("finalized").number


@pytest.mark.parametrize("depth", [0, 1, 10_000])
def test_last_is_so_many_blocks_behind_the_head_where_a_depth_is_given(
    embedded: World, depth: int
) -> None:
    head = embedded.chain.block("latest")

    assert Finality(variant(embedded.chain, IsDown), depth).last(head) == head.number - depth


def test_last_is_far_behind_the_head_where_the_node_knows_no_tag(embedded: World) -> None:
    head = embedded.chain.block("latest")

    assert Finality(variant(embedded.chain, TellsNone)).last(head) == head.number - DEPTH


def test_last_is_not_ahead_of_the_head_that_was_given(embedded: World) -> None:
    before = embedded.chain.block("latest")
    eth_tester(embedded.chain).mine_blocks(1)

    assert Finality(variant(embedded.chain, IsAhead)).last(before) == before.number


def test_last_raises_when_the_node_is_down(embedded: World) -> None:
    with pytest.raises(RpcUnavailable):
        Finality(variant(embedded.chain, IsDown)).last(embedded.chain.block("latest"))
