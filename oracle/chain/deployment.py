"""Where the contracts are: written by `exactum deploy`, read by all, checked against the chain."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from eth_abi import encode
from eth_utils import is_checksum_address, keccak, to_checksum_address

from oracle.chain.artifacts import Artifact, abi_type, artifact
from oracle.chain.keys import Signer
from oracle.chain.node import Call, Chain
from oracle.chain.transactions import transact
from oracle.errors import ConfigError, WrongChain
from oracle.types import Address, Wei

REGISTRY = "ModelRegistry"
QUEUE = "InferenceQueue"
DISPUTES = "Disputes"
REFEREE = "Referee"

_HOUR = 3600
_DAY = 24 * _HOUR
_GWEI = 10**9


@dataclass(frozen=True, slots=True)
class Parameters:
    """The immutables of queue and disputes; times in seconds. The defaults suit an L2 (DESIGN §3).

    `disputes` is who may slash where that is not to be our contract."""

    min_bond: Wei = Wei(10**15)
    min_window: int = _DAY
    max_window: int = 30 * _DAY
    withdrawal_delay: int = 7 * _DAY
    reveal_period: int = 12 * _HOUR
    reaction_period: int = 14 * _HOUR
    extension_limit: int = 96 * _HOUR
    reveal_tip: Wei = Wei(_GWEI // 10)  # a gas
    disputes: Address | None = None


# Sized from how long each kind of chain can be censored.
PRESETS = {
    "l2": Parameters(),
    "l1": Parameters(
        min_window=7 * _DAY,
        max_window=60 * _DAY,
        withdrawal_delay=14 * _DAY,
        reveal_period=_DAY,
        reaction_period=2 * _DAY,
        extension_limit=21 * _DAY,
        reveal_tip=Wei(2 * _GWEI),
    ),
    "devnet": Parameters(
        min_window=1,
        withdrawal_delay=60,
        reveal_period=30,
        reaction_period=20,
        extension_limit=600,
        reveal_tip=Wei(_GWEI),
    ),
}


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
    contract = Deployed(**(fields | {"arguments": _tuples(fields["arguments"])}))
    if not is_checksum_address(contract.address):
        raise ValueError(f"{contract.address!r} is no address with a checksum")
    if type(contract.block) is not int or contract.block < 0:
        raise ValueError(f"{contract.block!r} is no block")
    return contract


def _tuples(value: Any) -> Any:
    """JSON has lists where we have tuples."""
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def save(deployment: Deployment, path: Path) -> None:
    content = {
        "chain_id": deployment.chain_id,
        "contracts": {name: asdict(each) for name, each in deployment.contracts.items()},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".tmp")
    fresh.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")
    fresh.replace(path)


def check_deployment(chain: Chain, deployment: Deployment) -> None:
    """Raises WrongChain unless every contract is on this chain, with our artifact's code."""
    if chain.id != deployment.chain_id:
        raise WrongChain(
            f"{chain.name} is chain {chain.id}, the deployment of chain {deployment.chain_id}."
        )
    for name, contract in deployment.contracts.items():
        problem = _difference(chain, artifact(name), contract)
        if problem:
            raise WrongChain(f"{name} at {contract.address}: {problem}.")
    if DISPUTES in deployment.contracts and not _are_a_pair(deployment.contracts):
        raise WrongChain("The queue and Disputes were not made for each other; deploy again.")


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


def deploy(
    chain: Chain,
    signer: Signer,
    parameters: Parameters,
    path: Path,
    report: Callable[[str, Deployed, bool], None] = lambda _name, _deployed, _is_new: None,
) -> Deployment:
    """Deploys what is not on the chain yet, and writes `path` after each contract, so that a second
    run after a crash goes on where the first stopped."""
    begun = _read(path) if path.exists() else Deployment(chain.id, {})
    if begun.chain_id != chain.id:
        raise WrongChain(f"{path} is of chain {begun.chain_id}, {chain.name} of {chain.id}.")
    known = dict(begun.contracts)

    def is_there(name: str, arguments: tuple[Any, ...]) -> bool:
        contract = known.get(name)
        return (
            contract is not None
            and contract.arguments == arguments
            and _difference(chain, artifact(name), contract) is None
        )

    def ensure(name: str, arguments: tuple[Any, ...], is_new: bool | None = None) -> Address:
        if is_new is None:
            is_new = not is_there(name, arguments)
        if is_new:
            known[name] = _create(chain, signer, artifact(name), arguments)
            save(Deployment(chain.id, known), path)
        report(name, known[name], is_new)
        return known[name].address

    registry = ensure(REGISTRY, ())
    of_queue = (
        parameters.min_bond,
        parameters.min_window,
        parameters.max_window,
        parameters.withdrawal_delay,
    )
    if parameters.disputes is not None:
        known.pop(DISPUTES, None)
        ensure(QUEUE, (registry, parameters.disputes, *of_queue))
    else:
        judges = tuple(ensure(name, ()) for name in families())
        referee = ensure(REFEREE, (judges,))
        of_disputes = (
            referee,
            parameters.reveal_period,
            parameters.reaction_period,
            parameters.extension_limit,
            parameters.reveal_tip,
        )
        _ensure_pair(chain, signer, known, (registry, of_queue, of_disputes), is_there, ensure)
    deployment = Deployment(chain.id, known)
    check_deployment(chain, deployment)
    return deployment


def _ensure_pair(
    chain: Chain,
    signer: Signer,
    known: Mapping[str, Deployed],
    arguments: tuple[Address, tuple[Any, ...], tuple[Any, ...]],
    is_there: Callable[[str, tuple[Any, ...]], bool],
    ensure: Callable[[str, tuple[Any, ...], bool | None], Address],
) -> None:
    """Each knows the other's address: Disputes is told where the queue is going to be, which is
    where this account's next contract but one comes to lie."""
    registry, of_queue, of_disputes = arguments

    def queue_is(address: Address) -> bool:
        return is_there(DISPUTES, (address, *of_disputes))

    if _are_a_pair(known) and queue_is(known[QUEUE].address):
        queue_arguments = (registry, known[DISPUTES].address, *of_queue)
        if is_there(QUEUE, queue_arguments):
            ensure(DISPUTES, known[DISPUTES].arguments, False)
            ensure(QUEUE, queue_arguments, False)
            return
    nonce = chain.nonce(signer.address)
    # Where we stopped between the two, and nothing was sent since, the promise can still be kept.
    if not queue_is(contract_address(signer.address, nonce)):
        promised = contract_address(signer.address, nonce + 1)
        ensure(DISPUTES, (promised, *of_disputes), True)
    else:
        promised = contract_address(signer.address, nonce)
        ensure(DISPUTES, (promised, *of_disputes), False)
    queue = ensure(QUEUE, (registry, known[DISPUTES].address, *of_queue), True)
    if queue != promised:
        raise WrongChain(
            f"The queue came to lie at {queue}, not at {promised}: another program sent from"
            f" {signer.address} meanwhile. Run it again."
        )


def families() -> tuple[str, ...]:
    """The contracts that judge one family of ops each, in the order in which Referee takes them."""
    constructor = next(e for e in artifact(REFEREE).abi if e["type"] == "constructor")
    [parameter] = constructor["inputs"]
    return tuple(each["name"].capitalize() for each in parameter["components"])


def contract_address(account: Address, nonce: int) -> Address:
    """Where the contract comes to lie that `account` makes with that nonce."""
    # RLP of a list of 20 bytes and a number; a nonce takes one byte below 128, as itself.
    number = nonce.to_bytes((nonce.bit_length() + 7) // 8, "big")
    item = number if 0 < nonce < 128 else bytes([128 + len(number)]) + number
    payload = bytes([128 + 20]) + bytes.fromhex(account[2:]) + item
    digest = keccak(bytes([192 + len(payload)]) + payload)
    return Address(to_checksum_address(digest[12:]))


def create(chain: Chain, signer: Signer, name: str, arguments: tuple[Any, ...]) -> Deployed:
    """Deploys one contract of the artifacts, a consumer for example."""
    return _create(chain, signer, artifact(name), arguments)


def _create(chain: Chain, signer: Signer, built: Artifact, arguments: tuple[Any, ...]) -> Deployed:
    types = [
        abi_type(parameter)
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
