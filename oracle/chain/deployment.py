"""Where the contracts are: written by `exactum deploy`, read by all, checked against the chain."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from eth_abi import encode
from eth_utils import is_checksum_address, keccak

from oracle.chain.artifacts import Artifact, artifact
from oracle.chain.codec import ZERO_ADDRESS
from oracle.chain.provider import Call, Chain
from oracle.chain.sender import transact
from oracle.chain.signer import Signer
from oracle.errors import ConfigError, WrongChain
from oracle.types import Address, Wei

REGISTRY = "ModelRegistry"
QUEUE = "InferenceQueue"


@dataclass(frozen=True, slots=True)
class Parameters:
    """The queue's immutables; times in seconds. The defaults suit an L2 (DESIGN §3)."""

    min_bond: Wei = Wei(10**15)
    min_window: int = 24 * 3600
    max_window: int = 30 * 24 * 3600
    withdrawal_delay: int = 7 * 24 * 3600
    disputes: Address = ZERO_ADDRESS


@dataclass(frozen=True, slots=True)
class Deployed:
    """One contract on chain. `code_hash` is the keccak256 of its code, immutables included."""

    address: Address
    block: int
    transaction: str
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
    def first_block(self) -> int:
        return min(contract.block for contract in self.contracts.values())


def load(path: Path) -> Deployment:
    deployment = _read(path)
    missing = {REGISTRY, QUEUE} - deployment.contracts.keys()
    if missing:
        raise ConfigError(f"{path} lacks {', '.join(sorted(missing))}; run exactum deploy again.")
    return deployment


def _read(path: Path) -> Deployment:
    """Perhaps half of one: what a deployment that was interrupted has left."""
    try:
        content = json.loads(path.read_text())
        contracts = {name: _deployed(fields) for name, fields in content["contracts"].items()}
        return Deployment(content["chain_id"], contracts)
    except FileNotFoundError:
        raise ConfigError(f"There is no deployment at {path}; run exactum deploy first.") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{path} is no deployment file: {error!r}.") from error


def _deployed(fields: dict[str, Any]) -> Deployed:
    contract = Deployed(**(fields | {"arguments": tuple(fields["arguments"])}))
    if not is_checksum_address(contract.address):
        raise ValueError(f"{contract.address!r} is no address with a checksum")
    if type(contract.block) is not int or contract.block < 0:
        raise ValueError(f"{contract.block!r} is no block")
    return contract


def save(deployment: Deployment, path: Path) -> None:
    content = {
        "chain_id": deployment.chain_id,
        "contracts": {name: asdict(each) for name, each in deployment.contracts.items()},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".tmp")
    fresh.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")
    fresh.replace(path)


def verify(chain: Chain, deployment: Deployment) -> None:
    """Raises WrongChain unless every contract is on this chain, with our artifact's code."""
    if chain.id != deployment.chain_id:
        raise WrongChain(
            f"{chain.name} is chain {chain.id}, the deployment of chain {deployment.chain_id}."
        )
    for name, contract in deployment.contracts.items():
        problem = _difference(chain, artifact(name), contract)
        if problem:
            raise WrongChain(f"{name} at {contract.address}: {problem}.")


def _difference(chain: Chain, built: Artifact, contract: Deployed) -> str | None:
    code = chain.code(contract.address)
    if not code:
        return "there is no code; is this the chain that it was deployed on"
    if "0x" + keccak(code).hex() != contract.code_hash:
        return "the code's hash is not the deployment's"
    if built.without_immutables(code) != built.deployed:
        return "its code is another version's; use the version of Exactum that deployed it"
    return None


def deploy(
    chain: Chain,
    signer: Signer,
    parameters: Parameters,
    path: Path,
    report: Callable[[str, Deployed, bool], None] = lambda name, deployed, is_new: None,
) -> Deployment:
    """Deploys what is not on the chain yet, and writes `path` after each contract, so that a second
    run after a crash goes on where the first stopped."""
    begun = _read(path) if path.exists() else Deployment(chain.id, {})
    if begun.chain_id != chain.id:
        raise WrongChain(f"{path} is of chain {begun.chain_id}, {chain.name} of {chain.id}.")
    known = dict(begun.contracts)

    def ensure(name: str, arguments: tuple[Any, ...]) -> Address:
        built = artifact(name)
        contract = known.get(name)
        is_new = (
            contract is None
            or contract.arguments != arguments
            or _difference(chain, built, contract) is not None
        )
        if contract is None or is_new:
            contract = known[name] = _create(chain, signer, built, arguments)
            save(Deployment(chain.id, known), path)
        report(name, contract, is_new)
        return contract.address

    registry = ensure(REGISTRY, ())
    ensure(
        QUEUE,
        (
            registry,
            parameters.disputes,
            parameters.min_bond,
            parameters.min_window,
            parameters.max_window,
            parameters.withdrawal_delay,
        ),
    )
    deployment = Deployment(chain.id, known)
    verify(chain, deployment)
    return deployment


def create(chain: Chain, signer: Signer, name: str, arguments: tuple[Any, ...]) -> Deployed:
    """Deploys one contract of the artifacts, a consumer for example."""
    return _create(chain, signer, artifact(name), arguments)


def _create(chain: Chain, signer: Signer, built: Artifact, arguments: tuple[Any, ...]) -> Deployed:
    types = [
        parameter["type"]
        for entry in built.abi
        if entry["type"] == "constructor"
        for parameter in entry["inputs"]
    ]
    receipt = transact(chain, signer, Call(None, built.bytecode + encode(types, arguments)))
    if receipt.contract is None:
        raise WrongChain(f"{chain.name} gave no address for {built.name}.")
    return Deployed(
        address=receipt.contract,
        block=receipt.block,
        transaction="0x" + receipt.transaction.hex(),
        code_hash="0x" + keccak(chain.code(receipt.contract)).hex(),
        arguments=arguments,
        compiler=built.compiler,
    )
