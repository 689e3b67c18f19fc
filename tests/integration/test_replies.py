"""A node that drops, empties or garbles any field of any reply costs time, and nothing else."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from eth_abi import encode

from oracle.chain.connection import connect
from oracle.chain.contracts import Queue
from oracle.errors import ChainError, MalformedData, MalformedReply
from oracle.types import Status, Wei
from tests import nodes
from tests.chains import BOND, World, address
from tests.integration.workers import Hire
from tests.nodes import Proxy

MISSING = object()
FULL = object()  # as many ones as what stands there has bits
ODD = [MISSING, None, "", "0x", "0xzz", -1, [], {}]
HUGE = [FULL, hex(2**53 - 1), hex(2**63)]


@pytest.fixture
def proxy(anvil: World) -> Iterator[Proxy]:
    with nodes.proxy(anvil.chain.url) as found:
        yield found


def places(result: Any) -> Iterator[tuple[str | int, ...]]:
    """Where something of a result could be spoilt: the whole, and each field, of the first of
    several."""
    yield ()
    if isinstance(result, Mapping):
        for name, value in result.items():
            yield from ((name, *inner) for inner in places(value))
    elif isinstance(result, list) and result:
        yield from ((0, *inner) for inner in places(result[0]))


def spoilt(result: Any, place: tuple[str | int, ...], value: Any) -> Any:
    if not place and value is FULL:
        return "0x" + "f" * (len(result) - 2) if isinstance(result, str) else result
    if not place:
        return None if value is MISSING else value
    first, *rest = place
    found = dict(result) if isinstance(result, Mapping) else list(result)
    if not rest and value is MISSING:
        del found[first]  # type: ignore[arg-type]
    else:
        found[first] = spoilt(found[first], tuple(rest), value)  # type: ignore[index]
    return found


@pytest.mark.parametrize("values", [ODD, HUGE], ids=["odd", "huge"])
def test_whatever_a_node_leaves_out_or_makes_up_costs_a_round_at_most(
    anvil: World, proxy: Proxy, hire: Hire, values: list[Any]
) -> None:
    """Each step of the life of a request is tried through each fault once; then all goes well."""
    anvil.stake()
    model = anvil.publish()
    worker = hire(anvil, chain=connect(proxy.url))
    worker.work()
    seen: dict[str, Any] = {}

    def learn(method: str, result: Any) -> Any:
        if result not in (None, []):
            seen[method] = result
        return result

    proxy.change = learn
    first = anvil.ask(model)
    worker.work()
    assert {"eth_getLogs", "eth_getTransactionReceipt", "eth_getBlockByNumber"} <= seen.keys()

    faults = [
        (method, place, value)
        for method, result in seen.items()
        for place in places(result)
        for value in values
    ]
    for method, place, value in faults:
        asked = anvil.ask(model) if method == "eth_getLogs" and len(place) < 2 else first

        def change(name: str, result: Any, method: str = method) -> Any:
            try:
                return spoilt(result, place, value) if name == method else result  # noqa: B023
            except (LookupError, TypeError):
                return result  # this one has no such place

        proxy.change = change
        for _ in range(2):
            try:
                worker.tick()
            except ChainError as error:
                assert str(error)
        assert anvil.status(asked) is not Status.EXPIRED
    proxy.change = nodes.unchanged

    worker.work()

    assert not [row for row in worker.rows() if row.state.name == "MISSED"]
    last = anvil.ask(model)
    worker.work()
    assert anvil.status(last) is Status.PROPOSED


@pytest.mark.parametrize("count", [2**48, 2**63 - 1, 2**64 - 1])
def test_a_count_of_transactions_that_no_account_has_is_the_nodes_error(
    proxy: Proxy, count: int
) -> None:
    chain = connect(proxy.url)
    proxy.change = lambda method, it: hex(count) if method == "eth_getTransactionCount" else it

    with pytest.raises(MalformedReply, match="is no number"):
        chain.nonce(address("operator"))


def test_a_status_that_no_request_has_is_a_nodes_error(anvil: World, proxy: Proxy) -> None:
    asked = anvil.ask(anvil.publish())
    queue = Queue(connect(proxy.url), anvil.deployment)
    nine = "0x" + encode(["uint8", "bool"], [9, False]).hex()
    proxy.change = lambda method, it: nine if method == "eth_call" else it

    for ask in (
        lambda: queue.status_of(asked.request_id),
        lambda: queue.are_open([asked.request_id] * 2),
    ):
        with pytest.raises(MalformedData, match="9 is no status"):
            ask()


def test_an_immutable_that_is_no_address_or_no_word_is_a_nodes_error(
    anvil: World, proxy: Proxy
) -> None:
    queue = Queue(connect(proxy.url), anvil.deployment)
    said = ["0x"]
    proxy.change = lambda method, it: said[0] if method == "eth_call" else it
    for said[0] in ("0x", "0x" + "f" * 64):
        with pytest.raises(MalformedData):
            queue.limits()


def test_a_receipt_of_something_else_is_the_nodes_error(anvil: World, proxy: Proxy) -> None:
    """It would say of a transaction that it is mined, or that it failed."""
    call = anvil.queue.stake(Wei(BOND))
    hashes = [anvil.send(who, call).transaction for who in ("operator", "rival")]
    other = anvil.chain.rpc("eth_getTransactionReceipt", ["0x" + hashes[1].hex()])
    chain = connect(proxy.url)
    proxy.change = lambda method, it: other if method == "eth_getTransactionReceipt" else it

    with pytest.raises(MalformedReply, match=f"it is of 0x{hashes[1].hex()}"):
        chain.receipt(hashes[0])
    with pytest.raises(MalformedReply, match=f"it is of 0x{hashes[1].hex()}"):
        chain.receipts(hashes)
    assert chain.receipt(hashes[1]) == anvil.chain.receipt(hashes[1])


def test_a_receipt_of_a_block_above_the_head_is_the_nodes_error(anvil: World, proxy: Proxy) -> None:
    """It would say of a transaction that it is mined, and be asked about it no more. Behind one URL
    there may be several nodes, of which one is some blocks behind."""
    call, far = anvil.queue.stake(Wei(BOND)), [1 << 40]
    hashes = [anvil.send(who, call).transaction for who in ("operator", "rival")]
    chain = connect(proxy.url)

    def lie(method: str, result: Any) -> Any:
        return result | {"blockNumber": hex(far[0])} if method.endswith("Receipt") else result

    proxy.change = lie
    for ask in (lambda: chain.receipt(hashes[0]), lambda: chain.receipts(hashes)):
        with pytest.raises(MalformedReply, match=f"it is of block {1 << 40}, and the last is"):
            ask()
    far[0] = anvil.head() + 2

    assert [each and each.block for each in chain.receipts(hashes)] == far * 2
