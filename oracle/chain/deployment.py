"""Where the contracts are: written by `exactum deploy`, read by all, checked against the chain."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from eth_utils import is_checksum_address, keccak

from oracle.chain.artifacts import Artifact, artifact
from oracle.chain.blueprints import DISPUTES, QUEUE, REFEREE, REGISTRY
from oracle.chain.node import Chain
from oracle.errors import ConfigError, WrongChain
from oracle.types import Address


@dataclass(frozen=True, slots=True)
class Deployed:
    """One contract on chain. `code_hash` is the keccak256 of its code, immutables included.

    Where another run created it, `transaction` may be None, and `block` is one before which it was
    not there."""

    address: Address
    block: int
    transaction: str | None
    code_hash: str
    arguments: tuple[Any, ...]
    compiler: str


@dataclass(frozen=True, slots=True)
class Deployment:
    chain_id: int
    contracts: Mapping[str, Deployed]

    @property
    def registry(self) -> Address:
        return self.contracts[REGISTRY].address

    @property
    def queue(self) -> Address:
        return self.contracts[QUEUE].address

    @property
    def has_disputes(self) -> bool:
        return DISPUTES in self.contracts

    @property
    def disputes(self) -> Address:
        if not self.has_disputes:
            raise ConfigError(
                "This deployment has no Disputes contract of ours: nothing to dispute."
            )
        return self.contracts[DISPUTES].address

    @property
    def referee(self) -> Address:
        if REFEREE not in self.contracts:
            raise ConfigError("This deployment has no Referee: nothing can be disputed.")
        return self.contracts[REFEREE].address

    @property
    def watched(self) -> tuple[Address, ...]:
        """The contracts whose events say all that happens."""
        names = REGISTRY, QUEUE, DISPUTES
        return tuple(self.contracts[name].address for name in names if name in self.contracts)

    @property
    def first_block(self) -> int:
        return min(contract.block for contract in self.contracts.values())


def read_deployment(path: Path) -> Deployment:
    try:
        content = json.loads(path.read_text())
        contracts = {name: _deployed(fields) for name, fields in content["contracts"].items()}
        deployment = Deployment(content["chain_id"], contracts)
    except FileNotFoundError:
        raise ConfigError(f"There is no deployment at {path}; run exactum deploy first.") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.") from error
    except KeyError as error:
        raise ConfigError(f"{path} is no deployment file: it lacks {error}.") from error
    except (ValueError, TypeError, AttributeError) as error:
        raise ConfigError(f"{path} is no deployment file: {error}.") from error
    missing = {REGISTRY, QUEUE} - contracts.keys()
    if missing:
        raise ConfigError(
            f"{path} lacks {', '.join(sorted(missing))}: move it away and run exactum deploy."
        )
    return deployment


def _deployed(fields: dict[str, Any]) -> Deployed:
    contract = Deployed(**(fields | {"arguments": _tuples(fields["arguments"])}))
    if not is_checksum_address(contract.address):
        raise ValueError(f"{contract.address!r} is no address with a checksum")
    if type(contract.block) is not int or contract.block < 0:
        raise ValueError(f"{contract.block!r} is no block")
    return contract


def _tuples(value: Any) -> Any:
    """Turns lists, which JSON has, into tuples, which we have."""
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def make_room(path: Path) -> None:
    """Makes the folder of a deployment file. Raises ConfigError where the file could not be
    written, before anything was paid for what is to stand in it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(".tmp")
        fresh.touch()
        fresh.unlink()
    except OSError as error:
        raise ConfigError(f"{path} could not be written: {error.strerror}.") from error


def save(deployment: Deployment, path: Path) -> None:
    content = {
        "chain_id": deployment.chain_id,
        "contracts": {name: asdict(each) for name, each in deployment.contracts.items()},
    }
    fresh = path.with_suffix(".tmp")
    fresh.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")
    fresh.replace(path)


def check_deployment(chain: Chain, deployment: Deployment) -> None:
    """Raises WrongChain unless every contract is on this chain, with our artifact's code. The chain
    may have another id than at the deployment, by which its ids and signatures go on."""
    if chain.id != deployment.chain_id and not _was_chain(chain, deployment):
        raise WrongChain(
            f"{chain.name} is chain {chain.id}, the deployment of chain {deployment.chain_id}."
        )
    for name, contract in deployment.contracts.items():
        problem = _difference(chain, artifact(name), contract)
        if problem:
            raise WrongChain(f"{name} at {contract.address}: {problem}.")
    if DISPUTES in deployment.contracts and not _are_a_pair(deployment.contracts):
        raise WrongChain("The queue and Disputes were not made for each other; deploy again.")


def _was_chain(chain: Chain, deployment: Deployment) -> bool:
    """Says whether the chain had the deployment's id then, which the queue's code holds."""
    scope = deployment.chain_id << 160 | int(deployment.queue, 16)
    return scope.to_bytes(32, "big") in chain.code(deployment.queue)


def _are_a_pair(contracts: Mapping[str, Deployed]) -> bool:
    queue, disputes = contracts.get(QUEUE), contracts.get(DISPUTES)
    if queue is None or disputes is None:
        return False
    return (disputes.arguments[0], queue.arguments[1]) == (queue.address, disputes.address)


def _difference(chain: Chain, built: Artifact, contract: Deployed) -> str | None:
    code = chain.code(contract.address)
    if not code:
        return "there is no code; is this the chain that it was deployed on"
    if "0x" + keccak(code).hex() != contract.code_hash:
        return "the code's hash is not the deployment's"
    if built.without_immutables(code) != built.deployed:
        return "its code is another version's; use the version of Exactum that deployed it"
    return None
