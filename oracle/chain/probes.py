"""What a node can do, asked of it for a person: no program needs to know before it works."""

from typing import Any

from eth_abi.exceptions import EncodingError
from eth_utils.crypto import keccak
from web3.types import RPCEndpoint

from oracle.chain import replies
from oracle.chain.blueprints import DISPUTES, QUEUE, plan
from oracle.chain.deployment import Deployment
from oracle.chain.node import Chain
from oracle.chain.presets import Parameters
from oracle.chain.replies import Log, Unreadable
from oracle.errors import ChainError
from oracle.types import Address, Wei

BLOOM = 256  # bytes
_PLACED = keccak(text="ContractPlaced(uint256,address)")


def is_syncing(chain: Chain) -> bool:
    """Says whether the node tells that it has not caught up with its chain."""
    return chain.rpc("eth_syncing", []) is not False


def takes_batches(chain: Chain) -> bool:
    """Says whether the node answers several calls in one request."""
    calls = [(RPCEndpoint("eth_chainId"), list[object]())] * 2
    provider: Any = chain.web3.provider
    try:
        with chain.guarded():
            said = provider.make_batch_request(calls)
            if not isinstance(said, list) or len(said) != len(calls):
                return False
            return all(replies.number(each.get("result")) == chain.id for each in said)
    except ChainError:
        return False


def bloom(chain: Chain, number: int) -> bytes | None:
    """Gives the bloom of a block's logs, as its header has it; None where the node gives none."""
    block = chain.rpc("eth_getBlockByNumber", [hex(number), False])
    with chain.guarded():
        if not isinstance(block, dict):
            raise Unreadable(f"block {number} is no object")
        found = block.get("logsBloom")
        return None if found is None else replies.data(found, BLOOM)


def is_in_bloom(bloom: bytes, item: bytes) -> bool:
    """Says whether a bloom may be that of a block with a log that has `item` as its address or as
    one of its topics."""
    bits, hashed = int.from_bytes(bloom, "big"), keccak(item)
    places = (int.from_bytes(hashed[at : at + 2], "big") % (8 * BLOOM) for at in (0, 2, 4))
    return all(bits >> place & 1 for place in places)


def deployer_of(deployment: Deployment) -> Address | None:
    """Finds the deployer that placed a deployment's contracts; None where this version of Exactum
    did not plan them."""
    try:
        planned = plan(_parameters(deployment))
    except (ValueError, TypeError, OverflowError, EncodingError):
        return None
    there = {name: each.address for name, each in deployment.contracts.items()}
    ours = {each.name: each.address for each in planned.contracts}
    return planned.deployer if there == ours else None


def placements(chain: Chain, deployment: Deployment) -> tuple[list[Log], int]:
    """Gives the logs by which the deployer said that it placed the contracts, in the blocks that
    the deployment names, and how many there must be: one for each contract whose transaction is
    on record. Of others nobody knows the block."""
    deployer = deployer_of(deployment)
    if deployer is None:
        return [], 0
    blocks = [each.block for each in deployment.contracts.values() if each.transaction is not None]
    logs = [
        log
        for block in sorted(set(blocks))
        for log in chain.logs([deployer], block, block)
        if log.block == block and log.topics[:1] == (_PLACED,)
    ]
    return logs, len(blocks)


def _parameters(deployment: Deployment) -> Parameters:
    """Reads what a deployment was told from what its constructors were. Raises ValueError where
    they were told something else."""
    _, disputes, least_bond, shortest, longest, delay = deployment.contracts[QUEUE].arguments
    if not deployment.has_disputes:
        return Parameters(least_bond, shortest, longest, delay, 0, 0, 0, Wei(0), disputes)
    _, _, reveal, reaction, extension, tip = deployment.contracts[DISPUTES].arguments
    return Parameters(least_bond, shortest, longest, delay, reveal, reaction, extension, tip)
