"""Nodes that lack a method, or understand it in their own way."""

from collections.abc import Iterator
from typing import Any

import pytest

from oracle.chain.connection import connect
from oracle.chain.node import MOST_TIP, MOST_TIPS
from oracle.errors import ChainError, Reverted
from oracle.types import Wei
from tests import nodes
from tests.chains import BOND, World, address, options
from tests.nodes import Proxy, Refusal

TIP, HISTORY, PRICE = "eth_maxPriorityFeePerGas", "eth_feeHistory", "eth_gasPrice"


@pytest.fixture
def proxy(anvil: World) -> Iterator[Proxy]:
    with nodes.proxy(anvil.chain.url) as found:
        yield found


def lacking(*methods: str) -> nodes.Change:
    def change(method: str, result: Any) -> Any:
        if method in methods:
            raise Refusal(f"the method {method} does not exist/is not available")
        return result

    return change


def saying(method: str, value: Any) -> nodes.Change:
    return lambda asked, result: value if asked == method else result


def both(first: nodes.Change, second: nodes.Change) -> nodes.Change:
    return lambda method, result: second(method, first(method, result))


@pytest.mark.parametrize(
    ("change", "priority"),
    [
        (saying(TIP, hex(7)), 7),
        (both(lacking(TIP), saying(HISTORY, {"reward": [["0x1"], ["0x9"], ["0x5"]]})), 5),
        (both(saying(TIP, None), saying(HISTORY, {"reward": [["0x5"]]})), 5),
        (both(lacking(TIP), saying(HISTORY, {"reward": None})), None),
        (both(lacking(TIP), saying(HISTORY, {"reward": []})), None),
        (lacking(TIP, HISTORY), None),
    ],
    ids=["proposed", "paid", "null", "no rewards", "no blocks", "neither"],
)
def test_a_tip_is_had_from_whatever_the_node_knows(
    anvil: World, proxy: Proxy, change: nodes.Change, priority: int | None
) -> None:
    proxy.change = change
    fees, base = connect(proxy.url).fees(), anvil.chain.block("latest").base_fee
    assert base is not None
    if priority is None:
        priority = anvil.chain.gas_price() - base

    assert fees.priority == priority and fees.maximum == 2 * base + priority


@pytest.mark.parametrize("method", [TIP, HISTORY, PRICE])
def test_no_node_makes_a_tip_up_that_would_cost_us_all(
    anvil: World, proxy: Proxy, method: str
) -> None:
    tip = 1 << 90
    others = lacking(*{TIP, HISTORY} - {method}) if method != HISTORY else lacking(TIP)
    said = {"reward": [[hex(tip)]]} if method == HISTORY else hex(tip)
    proxy.change = both(others, saying(method, said))
    base = anvil.chain.block("latest").base_fee
    assert base is not None

    priority = connect(proxy.url).fees().priority

    assert priority == max(MOST_TIP, MOST_TIPS * base)


def test_a_chain_without_a_base_fee_has_one_price(anvil: World, proxy: Proxy) -> None:
    def legacy(method: str, result: Any) -> Any:
        if method == "eth_getBlockByNumber":
            del result["baseFeePerGas"]
        return result

    proxy.change = legacy
    fees = connect(proxy.url).fees()

    assert fees.priority is None and fees.maximum == anvil.chain.gas_price()


def test_an_estimate_is_had_on_the_block_that_the_node_takes(anvil: World, proxy: Proxy) -> None:
    chain, call = connect(proxy.url), anvil.queue.stake(Wei(BOND))
    expected = anvil.chain.estimate(call, address("operator"))
    refused: list[str] = []

    def picky(method: str, result: Any) -> Any:
        if method == "eth_estimateGas" and len(refused) < 2:
            refused.append(method)
            raise Refusal("too many arguments, want at most 1")
        return result

    proxy.change = picky

    assert chain.estimate(call, address("operator")) == expected
    assert chain.estimation_block is None and len(refused) == 2
    assert chain.estimate(call, address("operator")) == expected


def test_what_no_node_estimates_is_the_first_refusal(anvil: World, proxy: Proxy) -> None:
    proxy.change = lacking("eth_estimateGas")
    chain = connect(proxy.url)

    with pytest.raises(ChainError, match="eth_estimateGas does not exist"):
        chain.estimate(anvil.queue.stake(Wei(BOND)), address("operator"))


def test_a_revert_is_no_dialect(anvil: World, proxy: Proxy) -> None:
    call = anvil.queue.request(anvil.publish(), b"", Wei(0), options())
    before = len(proxy.asked)

    with pytest.raises(Reverted):
        connect(proxy.url).estimate(call, address("requester"))
    assert proxy.asked[before:].count("eth_estimateGas") == 1
