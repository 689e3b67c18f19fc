"""What `exactum check` finds out about nodes, each finding brought about by a node that is so."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from oracle.chain import devnet
from oracle.chain.connection import connect
from oracle.chain.probes import deployer_of
from oracle.cli.check import node
from oracle.cli.check.findings import Finding, Level
from oracle.cli.check.node import DEPLOYMENT_CHECKS, NODE_CHECKS, Deployed, Node
from oracle.types import Address
from tests import chains, nodes
from tests.chains import World
from tests.nodes import Proxy, Refusal
from tests.rollups import ISTHMUS, become_rollup

BLOCK = "eth_getBlockByNumber"


@pytest.fixture
def proxy(anvil: World) -> Iterator[Proxy]:
    with nodes.proxy(anvil.chain.url) as found:
        yield found


def seen(world: World, proxy: Proxy, late: float = 0.0) -> Node:
    """The node behind the proxy, by a clock that is so many seconds late."""
    now = world.time() + late
    return Node("node", connect(proxy.url), world.deployment, lambda: now)


def looked(world: World, proxy: Proxy, change: nodes.Change, check: str) -> Finding:
    """What a check finds once the node begins to misbehave."""
    there = seen(world, proxy)
    proxy.change = change
    [found] = [entry.finding for entry in node.entries(there) if entry.check == check]
    return found


def saying(method: str, **fields: Any) -> nodes.Change:
    """A node that puts these into each object that it answers a method with."""
    return lambda asked, result: {**result, **fields} if asked == method else result


def answering(method: str, answer: Any) -> nodes.Change:
    return lambda asked, result: answer if asked == method else result


def refusing(*methods: str) -> nodes.Change:
    def change(method: str, result: Any) -> Any:
        if method in methods:
            raise Refusal("the method does not exist")
        return result

    return change


def test_a_good_node_has_nothing_amiss(anvil: World, proxy: Proxy) -> None:
    found = list(node.entries(seen(anvil, proxy)))

    assert {entry.finding.level for entry in found} == {Level.OK}, found
    names = [each.name for each in NODE_CHECKS], [each.name for each in DEPLOYMENT_CHECKS]
    assert [entry.check for entry in found] == [*names[0], *names[1]]


@pytest.mark.parametrize(
    ("check", "change", "level", "said"),
    [
        ("head", answering("eth_syncing", {"currentBlock": "0x1"}), "failure", "not caught up"),
        ("head", refusing("eth_syncing"), "ok", "does not tell whether it has caught up"),
        ("head", answering(BLOCK, {}), "failure", "cannot be read: transactions"),
        ("finalized", refusing(BLOCK), "warning", "does not know which block is finalized"),
        ("safe", answering(BLOCK, None), "warning", "It has no safe block"),
        ("batches", refusing("eth_chainId"), "warning", "does not answer several calls"),
        ("batches", answering("eth_chainId", None), "warning", "does not answer several calls"),
        ("estimates", refusing("eth_estimateGas"), "failure", "the method does not exist"),
        ("fees", answering("eth_gasPrice", "0x3b9aca00"), "ok", "a base fee of"),
        ("fees", saying(BLOCK, baseFeePerGas=None), "ok", "the chain has no base fee"),
        ("rollup", refusing("eth_getCode"), "failure", "the method does not exist"),
        ("machine", refusing("eth_call"), "warning", "does not tell what the chain knows"),
        ("contracts", answering("eth_getCode", "0x"), "failure", "there is no code"),
        ("contracts", answering("eth_getCode", "0x00"), "failure", "hash is not the deployment's"),
        ("first logs", answering("eth_getLogs", []), "failure", "it gives 0"),
        ("blooms", answering("eth_getLogs", []), "warning", "no log to hold a block's bloom"),
        ("blooms", saying(BLOCK, logsBloom=None), "warning", "is blank"),
        ("blooms", saying(BLOCK, logsBloom="0x" + "00" * 256), "warning", "is blank"),
        ("blooms", saying(BLOCK, logsBloom="0x" + "ff" * 256), "warning", "is full"),
        ("blooms", saying(BLOCK, logsBloom="0x01" + "00" * 255), "failure", "lacks a log"),
        ("blooms", saying(BLOCK, logsBloom="0x01"), "failure", "is not 256 bytes"),
        ("blooms", answering(BLOCK, []), "failure", "is no object"),
    ],
)
def test_what_is_amiss_is_found(
    anvil: World, proxy: Proxy, check: str, change: nodes.Change, level: str, said: str
) -> None:
    found = looked(anvil, proxy, change, check)

    assert found.level == level and said in found.found
    assert (found.level is Level.OK) == (not found.advice)


@pytest.mark.parametrize(
    ("late", "said"), [(-16, "16 s in the future"), (121, "is 121 s ago"), (60, None)]
)
def test_a_clock_is_held_against_the_chains(
    anvil: World, proxy: Proxy, late: int, said: str | None
) -> None:
    found = node.clock(seen(anvil, proxy, late))

    assert found.level == ("ok" if said is None else "warning")
    assert said is None or said in found.found


def test_a_tag_may_not_be_after_the_last_block(anvil: World, proxy: Proxy) -> None:
    there, asked = seen(anvil, proxy), list[str]()

    def change(method: str, result: Any) -> Any:
        if method == BLOCK:
            asked.append(method)
            number = 1 << 20 if len(asked) == 1 else 1
            return {**result, "number": hex(number)}
        return result

    proxy.change = change
    found = node.finalized(there)

    assert found.level == "failure" and "after its last one, 1" in found.found


def test_a_tag_that_stands_at_genesis_is_told(anvil: World, proxy: Proxy) -> None:
    anvil.skip(7200)
    there, genesis = seen(anvil, proxy), anvil.chain.rpc(BLOCK, ["0x0", False])
    asked = list[str]()

    def change(method: str, result: Any) -> Any:
        if method == BLOCK:
            asked.append(method)
            return genesis if len(asked) == 1 else result
        return result

    proxy.change = change
    found = node.finalized(there)

    assert found.level == "warning" and "block is 0" in found.found


def test_a_node_without_batches_is_told(anvil: World, proxy: Proxy) -> None:
    proxy.takes_batches = False

    assert node.batches(seen(anvil, proxy)).level == "warning"


def test_where_gas_is_estimated_is_told(anvil: World, proxy: Proxy) -> None:
    there, asked = seen(anvil, proxy), list[str]()

    def change(method: str, result: Any) -> Any:
        if method == "eth_estimateGas" and not asked:
            asked.append(method)
            raise Refusal("pending is not available")
        return result

    proxy.change = change
    found = node.estimates(there)

    assert found.level == "warning" and "on latest" in found.found


def test_what_a_rollup_charges_is_told(anvil: World, proxy: Proxy) -> None:
    become_rollup(anvil, ISTHMUS, constant=10**18)
    found = node.rollup(seen(anvil, proxy))

    assert found.level == "ok" and "costs 2.0000" in found.found


def test_a_chain_with_older_rules_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    chains.require_anvil()
    monkeypatch.setattr(devnet, "_ARGUMENTS", ("--hardfork", "shanghai", "--silent"))
    with devnet.anvil() as url:
        found = node.machine(Node("node", connect(url), None))

    assert found.level == "failure" and "MCOPY (Cancun)" in found.found


def test_logs_of_a_deployment_of_others_cannot_be_told(anvil: World) -> None:
    contracts = {
        name: replace(each, transaction=None) for name, each in anvil.deployment.contracts.items()
    }
    theirs = replace(anvil.deployment, contracts=contracts)
    found = node.first_logs(Deployed(anvil.chain, theirs))

    assert found.level == "warning" and "cannot be told" in found.found


@pytest.mark.parametrize("arguments", [(), (1,) * 6, ("0x", None, -1, 0, 0, 0)])
def test_an_odd_record_has_no_deployer(anvil: World, arguments: tuple[object, ...]) -> None:
    contracts = dict(anvil.deployment.contracts)
    contracts["InferenceQueue"] = replace(contracts["InferenceQueue"], arguments=arguments)

    assert deployer_of(anvil.deployment) is not None
    assert deployer_of(replace(anvil.deployment, contracts=contracts)) is None


def test_the_deployer_of_the_whole_system_is_found(court: World) -> None:
    """Where disputes are ours, their times are in the deployer's address too."""
    deployer = deployer_of(court.deployment)

    assert deployer is not None and court.chain.code(Address(deployer))


def test_nodes_are_compared(anvil: World, proxy: Proxy) -> None:
    good, other = Node("good", anvil.chain, None), Node("other", connect(proxy.url), None)
    assert node.together([good, other]).level == "ok"

    proxy.change = saying(BLOCK, hash="0x" + "99" * 32)
    assert "different blocks" in node.together([good, other]).found

    proxy.change = saying(BLOCK, number="0x1", timestamp="0x1")
    behind = node.together([good, other])
    assert behind.level == "warning" and "other is" in behind.found


def test_nodes_of_other_chains_are_told(anvil: World, proxy: Proxy) -> None:
    proxy.change = answering("eth_chainId", "0x1")
    other = Node("other", connect(proxy.url), None)
    found = node.together([Node("good", anvil.chain, None), other])

    assert found.level == "failure" and "chains 1, 31337" in found.found
