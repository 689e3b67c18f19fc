"""What chains of the OP stack charge besides gas, by the contract that says it there."""

from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import pytest
from eth_abi import encode
from eth_utils import keccak

from oracle.chain import devnet
from oracle.chain.connection import connect
from oracle.chain.node import Call
from oracle.chain.rollups import ASKED_AGAIN, KEPT, MOST_SIZE, ORACLE, RollupFees
from oracle.errors import ChainError, Reverted, RpcUnavailable
from tests import chains, nodes
from tests.chains import World
from tests.nodes import Proxy, Refusal
from tests.rollups import ECOTONE, FJORD, ISTHMUS, JOVIAN, PRICE, become_rollup

SIZE = 512


@pytest.fixture
def proxy(anvil: World) -> Iterator[Proxy]:
    with nodes.proxy(anvil.chain.url) as found:
        yield found


def said(world: World, function: str, argument: Any) -> int:
    kind = function[function.index("(") + 1 : -1]
    call = Call(ORACLE, keccak(text=function)[:4] + encode([kind], [argument]))
    return int.from_bytes(world.chain.call(call), "big")


def test_other_chains_charge_gas_alone(proxy: Proxy) -> None:
    fees = RollupFees(connect(proxy.url))

    assert not fees.charges
    assert fees.of((SIZE, SIZE), 200_000) == 0
    assert proxy.asked.count("eth_getCode") == 1 and "eth_call" not in proxy.asked


@pytest.mark.parametrize("size", [1, 86, 255, 257, 5_000, 100_000])
def test_data_costs_its_upper_bound_since_fjord(anvil: World, size: int) -> None:
    become_rollup(anvil, FJORD)
    fee = RollupFees(anvil.chain).data_fee(size)

    exact = said(anvil, "getL1FeeUpperBound(uint256)", size)
    assert 0 < exact <= fee <= said(anvil, "getL1FeeUpperBound(uint256)", size + 256)


def test_data_costs_its_bytes_before_fjord(anvil: World) -> None:
    become_rollup(anvil, ECOTONE)
    fee = RollupFees(anvil.chain).data_fee(SIZE)

    assert fee == said(anvil, "getL1Fee(bytes)", b"\x01" * SIZE) == (SIZE + 68) * PRICE // 10**6
    assert fee > said(anvil, "getL1Fee(bytes)", bytes(SIZE))


@pytest.mark.parametrize("fork", [ECOTONE, FJORD, ISTHMUS, JOVIAN])
def test_an_operator_fee_is_charged_since_isthmus(anvil: World, fork: int) -> None:
    become_rollup(anvil, fork, scalar=2_000, constant=70)
    fee = RollupFees(anvil.chain).operator_fee(1 << 16)

    assert fee == (0, 0, (1 << 16) * 2_000 // 10**6 + 70, (1 << 16) * 200_000 + 70)[fork]


def test_all_transactions_pay_both(anvil: World) -> None:
    become_rollup(anvil, ISTHMUS, scalar=10**6, constant=70)
    fees = RollupFees(anvil.chain)

    each = fees.data_fee(SIZE), fees.data_fee(3 * SIZE)
    assert fees.of((SIZE, 3 * SIZE), 1 << 17) == sum(each) + 2 * ((1 << 16) + 70)
    assert fees.of((), 0) == 0


def test_an_answer_is_used_for_some_seconds(anvil: World, proxy: Proxy) -> None:
    become_rollup(anvil, ISTHMUS)
    now = [0.0]
    fees = RollupFees(connect(proxy.url), lambda: now[0])
    before = fees.data_fee(SIZE)
    become_rollup(anvil, ISTHMUS, 2 * PRICE)

    assert [fees.data_fee(size) for size in (SIZE - 1, SIZE)] == [before, before]
    assert proxy.asked.count("eth_call") == 1
    now[0] += KEPT
    assert fees.data_fee(SIZE) == pytest.approx(2 * before, abs=1)
    assert proxy.asked.count("eth_getCode") == 1


@pytest.mark.parametrize("is_rollup", [False, True])
def test_what_one_node_says_of_the_contract_is_not_for_good(
    anvil: World, proxy: Proxy, is_rollup: bool
) -> None:
    """A wrong answer would have each answer posted at a loss, or none posted at all."""
    if is_rollup:
        become_rollup(anvil, ISTHMUS)
    now = [0.0]
    fees = RollupFees(connect(proxy.url), lambda: now[0])
    wrong = "0x" if is_rollup else "0x6001"
    proxy.change = lambda method, result: wrong if method == "eth_getCode" else result
    with nullcontext() if is_rollup else pytest.raises(ChainError):
        assert fees.data_fee(SIZE) == 0

    proxy.change = nodes.unchanged
    now[0] += ASKED_AGAIN if is_rollup else 0.0

    assert bool(fees.data_fee(SIZE)) == is_rollup


def test_no_size_that_a_stranger_chooses_makes_a_call_of_that_size(
    anvil: World, proxy: Proxy
) -> None:
    become_rollup(anvil, FJORD)
    fees = RollupFees(connect(proxy.url))
    most = fees.data_fee(MOST_SIZE)

    assert fees.data_fee((1 << 32) - 1) == (1 << 15) * most
    assert proxy.asked.count("eth_call") == 1


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (None, "cannot be read"),
        ("0x", "is not 32 bytes"),
        ("0x01", "is not 32 bytes"),
        ("0x" + "ff" * 32, "is no number"),
        ("0x" + "00" * 64, "is not 32 bytes"),
    ],
)
def test_an_odd_answer_is_the_nodes_error(
    anvil: World, proxy: Proxy, value: object, why: str
) -> None:
    become_rollup(anvil, ISTHMUS)
    fees = RollupFees(connect(proxy.url))
    proxy.change = lambda method, result: value if method == "eth_call" else result

    for ask in (fees.data_fee, fees.operator_fee):
        with pytest.raises(ChainError, match=f"the node at {proxy.url} .*{why}"):
            ask(SIZE)


def test_a_node_that_is_gone_is_no_chain_without_charges() -> None:
    chains.require_anvil()
    with devnet.anvil() as url:
        fees = RollupFees(connect(url))

    with pytest.raises(RpcUnavailable):
        fees.of((SIZE,), 100_000)


def test_a_refusal_is_not_taken_for_an_earlier_fork(anvil: World, proxy: Proxy) -> None:
    become_rollup(anvil, ISTHMUS)
    fees = RollupFees(connect(proxy.url))

    def busy(method: str, result: Any) -> Any:
        if method == "eth_call":
            raise Refusal("rate limit exceeded")
        return result

    proxy.change = busy
    for ask in (fees.data_fee, fees.operator_fee):
        with pytest.raises(ChainError, match="rate limit exceeded") as refused:
            ask(SIZE)
        assert not isinstance(refused.value, Reverted)
