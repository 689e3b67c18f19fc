"""What a node is good for: a finding for each thing that programs ask of it."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from oracle.chain.deployment import Deployment, check_deployment
from oracle.chain.machine import lacking
from oracle.chain.node import Call, Chain
from oracle.chain.probes import bloom, is_in_bloom, is_syncing, placements, takes_batches
from oracle.chain.rollups import RollupFees
from oracle.chain.sizes import answer_sizes
from oracle.cli import show
from oracle.cli.check.findings import Check, Entry, Finding, examined, failure, ok, warning
from oracle.errors import ChainError, NotFound, RpcUnavailable
from oracle.types import Address

BEHIND = 120  # seconds that the last block may be old
AHEAD = 15  # seconds that a block's time may be ahead of an exact clock
UNFINAL = 3600  # seconds that the last final block may lie behind the last one
NOBODY = Address("0x1111111111111111111111111111111111111111")  # whose transactions cost nothing
WORD = 32  # bytes of the answer whose data fee is shown


@dataclass(frozen=True, slots=True)
class Node:
    """A node that answers. `deployment` is None where no record of one is of its chain."""

    name: str
    chain: Chain
    deployment: Deployment | None
    clock: Callable[[], float] = field(default=time.time)


@dataclass(frozen=True, slots=True)
class Deployed:
    """A node, and contracts that are said to be on its chain."""

    chain: Chain
    deployment: Deployment


def entries(node: Node) -> Iterator[Entry]:
    """Yields a finding for each check of one node."""
    yield from examined(node.name, node, NODE_CHECKS)
    if node.deployment is not None:
        deployed = Deployed(node.chain, node.deployment)
        yield from examined(node.name, deployed, DEPLOYMENT_CHECKS)


def head(node: Node) -> Finding:
    last = node.chain.block("latest")
    found = f"chain {node.chain.id}, block {last.number}"
    try:
        is_behind = is_syncing(node.chain)
    except RpcUnavailable:
        raise
    except ChainError:  # not every provider lets that be asked
        return ok(f"It answers: {found}; it does not tell whether it has caught up.")
    if is_behind:
        return failure(
            f"It has not caught up with its chain yet ({found}).",
            "Wait until it has: what it does not know is missed.",
        )
    return ok(f"It answers: {found}.")


def clock(node: Node) -> Finding:
    last = node.chain.block("latest")
    late = round(node.clock()) - last.time
    if late > BEHIND:
        return warning(
            f"The time of its last block, {last.number}, is {late} s ago.",
            "On a chain that makes blocks all the time the node has lost its peers, or this"
            " machine's clock is fast: look at a block explorer, and at `timedatectl`.",
        )
    if late < -AHEAD:
        return warning(
            f"The time of its last block, {last.number}, is {-late} s in the future.",
            "This machine's clock is slow: set it by NTP (`timedatectl set-ntp true`).",
        )
    return ok(f"The time of its last block and this machine's clock are {abs(late)} s apart.")


def finalized(node: Node) -> Finding:
    return _tag(node, "finalized")


def safe(node: Node) -> Finding:
    return _tag(node, "safe")


def _tag(node: Node, tag: str) -> Finding:
    advice = "Choose --confirmations deeper than the chain ever reorganises; do not rely on it."
    # The tag first: blocks that come between the two questions must not count.
    try:
        there = node.chain.block(tag)
    except NotFound:
        return warning(f"It has no {tag} block.", advice)
    except ChainError as error:
        return warning(f"It does not know which block is {tag}: {error}", advice)
    last = node.chain.block("latest")
    if there.number > last.number:
        return failure(
            f"Its {tag} block {there.number} is after its last one, {last.number}.",
            "Several nodes answer behind this URL, and one is behind: use another URL.",
        )
    if last.time - there.time > UNFINAL:
        return warning(
            f"Its {tag} block is {there.number}, {last.number - there.number} blocks and"
            f" {last.time - there.time} s behind the last one.",
            advice,
        )
    return ok(f"Block {there.number} is {tag}, {last.number - there.number} behind the last one.")


def batches(node: Node) -> Finding:
    if takes_batches(node.chain):
        return ok("It answers several calls in one request.")
    return warning(
        "It does not answer several calls in one request.",
        "What is read takes a request for each call: a node near by, or one that does, is faster.",
    )


def estimates(node: Node) -> Finding:
    chain = node.chain
    chain.estimate(Call(NOBODY, b""), NOBODY)
    if chain.estimation_block == "pending":
        return ok("It estimates gas on the block that is to come.")
    place = chain.estimation_block or "no block that could be named"
    return warning(
        f"It estimates gas on {place}, not on the block that is to come.",
        "A window that is over is settled a block later; nothing else depends on it.",
    )


def fees(node: Node) -> Finding:
    found = node.chain.fees()
    if found.priority is None:
        return ok(f"Gas costs {show.ether(found.maximum)}; the chain has no base fee.")
    base, tip = show.ether(found.base), show.ether(found.priority)
    return ok(f"Gas costs a base fee of {base}, and a tip of {tip}.")


def rollup(node: Node) -> Finding:
    charged = RollupFees(node.chain)
    if not charged.charges:
        return ok("The chain charges nothing but gas, as far as it is known here.")
    fee = charged.of(answer_sizes(WORD), 0)
    return ok(f"To answer with {WORD} bytes costs {show.ether(fee)} besides gas, for its data.")


def machine(node: Node) -> Finding:
    missing = lacking(node.chain)
    if missing is None:
        return warning(
            "It takes no call that creates a contract, so it does not tell what the chain knows.",
            "Before you deploy, see that the chain has the rules of Cancun.",
        )
    if missing:
        return failure(
            f"The chain does not know {' and '.join(missing)}, which the contracts need.",
            "Use a chain with the rules of Cancun or later: here money would be kept for ever.",
        )
    return ok("The chain knows the instructions that the contracts use.")


def contracts(deployed: Deployed) -> Finding:
    check_deployment(deployed.chain, deployed.deployment)
    count = len(deployed.deployment.contracts)
    return ok(f"{count} contracts are there, with our code; queue {deployed.deployment.queue}.")


def first_logs(deployed: Deployed) -> Finding:
    found, needed = placements(deployed.chain, deployed.deployment)
    first = deployed.deployment.first_block
    if needed == 0:
        return warning(
            f"Whether it has the logs since block {first} cannot be told: the record of the"
            " deployment names no transaction.",
            "Take the record that whoever deployed has, or a node that keeps all logs.",
        )
    if len(found) < needed:
        return failure(
            f"Of {needed} logs of the deployment, from block {first} on, it gives {len(found)}.",
            "It has pruned what is old, and says nothing of it: use a node that keeps all logs.",
        )
    return ok(f"It has the {needed} logs of the deployment, from block {first} on.")


def blooms(deployed: Deployed) -> Finding:
    advice = (
        "Whether an answer about logs is complete cannot be told by headers then: give a second"
        " node by another --rpc, or --confirmations."
    )
    found, _ = placements(deployed.chain, deployed.deployment)
    if not found:
        return warning("There is no log to hold a block's bloom against.", advice)
    log = found[0]
    of_block = bloom(deployed.chain, log.block)
    if of_block is None or not any(of_block):
        return warning(f"The bloom of block {log.block}, which has logs, is blank.", advice)
    if set(of_block) == {0xFF}:
        return warning(f"The bloom of block {log.block} is full, and excludes nothing.", advice)
    items = (bytes.fromhex(log.address[2:]), *log.topics)
    if not all(is_in_bloom(of_block, item) for item in items):
        return failure(
            f"The bloom of block {log.block} lacks a log that is in that block.",
            "Header and logs are not of one chain: use another node.",
        )
    return ok(f"The bloom of block {log.block} holds the log that is there.")


_WHEN_REFUSED = "Ask whoever runs the node, or use another by --rpc."
NODE_CHECKS: tuple[Check[Node], ...] = (
    Check("head", head, _WHEN_REFUSED),
    Check("clock", clock, _WHEN_REFUSED),
    Check("finalized", finalized, _WHEN_REFUSED),
    Check("safe", safe, _WHEN_REFUSED),
    Check("batches", batches, _WHEN_REFUSED),
    Check("estimates", estimates, _WHEN_REFUSED),
    Check("fees", fees, _WHEN_REFUSED),
    Check("rollup", rollup, _WHEN_REFUSED),
    Check("machine", machine, _WHEN_REFUSED),
)
DEPLOYMENT_CHECKS: tuple[Check[Deployed], ...] = (
    Check(
        "contracts",
        contracts,
        "Compare --rpc and --deployments: this chain has other contracts than the record says.",
    ),
    Check("first logs", first_logs, _WHEN_REFUSED),
    Check("blooms", blooms, _WHEN_REFUSED),
)


def together(nodes: Sequence[Node]) -> Finding:
    """Compares nodes with each other."""
    ids = sorted({node.chain.id for node in nodes})
    if len(ids) > 1:
        return failure(
            f"They are of chains {', '.join(map(str, ids))}.",
            "Give nodes of one chain alone, by --rpc.",
        )
    heads = {node.name: node.chain.block("latest") for node in nodes}
    first = max(heads.values(), key=lambda block: block.number)
    last_name, last = min(heads.items(), key=lambda item: item[1].number)
    if first.time - last.time > BEHIND:
        return warning(
            f"{last_name} is {first.number - last.number} blocks and {first.time - last.time} s"
            " behind another.",
            "Wait until it has caught up, or leave it out.",
        )
    hashes = {node.chain.block(last.number).hash for node in nodes}
    if len(hashes) > 1:
        return warning(
            f"They have different blocks of number {last.number}.",
            "If that stays so for longer than a reorganisation, one of them is on a fork.",
        )
    return ok(f"{len(nodes)} nodes have the same block {last.number}.")
