"""What a deployment consists of, and where each contract comes to lie; asks no chain.

A `Deployer` lies at an address that its own init code gives (CREATE2), and creates the contracts
with its own nonce. Its init code holds the hashes of the contracts' blueprints, and these hold the
parameters: so code and parameters say where everything lies, on every chain, before it is there.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from eth_abi.abi import decode, encode
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from oracle.chain.artifacts import abi_type, artifact
from oracle.chain.presets import Parameters
from oracle.types import Address

REGISTRY = "ModelRegistry"
QUEUE = "InferenceQueue"
DISPUTES = "Disputes"
REFEREE = "Referee"
DEPLOYER = "Deployer"

# Of github.com/Arachnid/deterministic-deployment-proxy, at the same place on every chain.
FACTORY = Address("0x4e59b44847b379578588920cA78FbF26c0B4956C")
SALT = bytes(32)


@dataclass(frozen=True, slots=True)
class Blueprint:
    """What `IDeployer` takes: `siblings` are indices of contracts, `parameters` words."""

    code: bytes
    siblings: tuple[int, ...]
    parameters: tuple[int, ...]

    @property
    def words(self) -> tuple[bytes, tuple[int, ...], tuple[int, ...]]:
        return self.code, self.siblings, self.parameters

    @property
    def hash(self) -> bytes:
        return keccak(encode(["(bytes,uint256[],uint256[])"], [self.words]))


@dataclass(frozen=True, slots=True)
class Planned:
    """A contract that is to be: where it comes to lie, and what its constructor is called with."""

    name: str
    blueprint: Blueprint
    address: Address
    arguments: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """One deployment: the deployer with its creation code, and the contracts in their order."""

    deployer: Address
    init_code: bytes
    contracts: tuple[Planned, ...]


def plan(parameters: Parameters) -> Plan:
    """Lists the contracts of a deployment with those parameters: the whole system, or only registry
    and queue where another contract than ours is to slash."""
    told = list(_contracts(parameters))
    names = [name for name, _, _ in told]
    blueprints = [
        Blueprint(artifact(name).bytecode, tuple(map(names.index, siblings)), words)
        for name, siblings, words in told
    ]
    hashes = [each.hash for each in blueprints]
    init_code = artifact(DEPLOYER).bytecode + encode(["bytes32[]"], [hashes])
    deployer = _address(keccak(b"\xff" + _bytes(FACTORY) + SALT + keccak(init_code))[12:])
    addresses = [created_by(deployer, index) for index in range(len(names))]

    contracts = []
    for name, blueprint, address in zip(names, blueprints, addresses, strict=True):
        siblings = [int(addresses[index], 16) for index in blueprint.siblings]
        arguments = _arguments(name, siblings, blueprint.parameters)
        contracts.append(Planned(name, blueprint, address, arguments))
    return Plan(deployer, init_code, tuple(contracts))


def _arguments(name: str, siblings: Sequence[int], parameters: Sequence[int]) -> tuple[Any, ...]:
    """Reads the words that a constructor is given as its arguments."""
    data = b"".join(word.to_bytes(32, "big") for word in (*siblings, *parameters))
    types = [abi_type(each) for each in constructor_inputs(name)]
    return tuple(map(_checksummed, decode(types, data)))


def _contracts(by: Parameters) -> Iterator[tuple[str, Sequence[str], tuple[int, ...]]]:
    """Names each contract, those whose addresses it is told first, and what else it is told."""
    of_queue = (by.min_bond, by.min_window, by.max_window, by.withdrawal_delay)
    yield REGISTRY, (), ()
    if by.disputes is not None:
        yield QUEUE, (REGISTRY,), (int(by.disputes, 16), *of_queue)
        return
    for name in families():
        yield name, (), ()
    yield REFEREE, families(), ()
    of_disputes = (by.reveal_period, by.reaction_period, by.extension_limit, by.reveal_tip)
    yield DISPUTES, (QUEUE, REFEREE), of_disputes
    yield QUEUE, (REGISTRY, DISPUTES), of_queue


def families() -> tuple[str, ...]:
    """Names the contracts that judge a family of ops for Referee, in the order of its arguments."""
    [parameter] = constructor_inputs(REFEREE)
    return tuple(each["name"].capitalize() for each in parameter["components"])


def constructor_inputs(name: str) -> list[dict[str, Any]]:
    return [
        parameter
        for entry in artifact(name).abi
        if entry["type"] == "constructor"
        for parameter in entry["inputs"]
    ]


def created_by(deployer: Address, index: int) -> Address:
    """Says where the deployer's contract with that index lies; the nonce of the first is 1."""
    # RLP of a list of 20 bytes and a nonce below 128.
    return _address(keccak(b"\xd6\x94" + _bytes(deployer) + bytes([index + 1]))[12:])


def _address(data: bytes) -> Address:
    return Address(to_checksum_address(data))


def _bytes(address: Address) -> bytes:
    return bytes.fromhex(address[2:])


def _checksummed(value: Any) -> Any:
    """Writes addresses as we do; eth-abi gives them in lower case."""
    if isinstance(value, tuple):
        return tuple(map(_checksummed, value))
    return to_checksum_address(value) if isinstance(value, str) else value
