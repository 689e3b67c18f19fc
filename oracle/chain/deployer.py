"""Puts a deployment on a chain: what is missing of it, whoever began it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from eth_abi.abi import encode
from eth_utils.crypto import keccak
from web3 import Web3

from oracle.chain.artifacts import abi_type, artifact
from oracle.chain.blueprints import (
    DEPLOYER,
    DISPUTES,
    FACTORY,
    QUEUE,
    SALT,
    Plan,
    Planned,
    constructor_inputs,
    plan,
)
from oracle.chain.deployment import (
    Deployed,
    Deployment,
    check_deployment,
    make_room,
    read_deployment,
    save,
)
from oracle.chain.keys import Signer
from oracle.chain.machine import require_machine
from oracle.chain.node import Call, Chain
from oracle.chain.presets import Parameters, presets
from oracle.chain.replies import Receipt
from oracle.chain.transactions import transact, wait
from oracle.errors import ChainError, ConfigError, Reverted, WrongChain
from oracle.types import Address, Wei

# The factory's account has no key: its one transaction is this, with a signature that nobody made.
FACTORY_TRANSACTION = bytes.fromhex(
    "f8a58085174876e800830186a08080b853604580600e600039806000f350fe7fffffffffffffffffffffffffffffff"
    "ffffffffffffffffffffffffffffffffe03601600081602082378035828234f58015156039578182fd5b8082525050"
    "506014600cf31ba02222222222222222222222222222222222222222222222222222222222222222a0222222222222"
    "2222222222222222222222222222222222222222222222222222"
)
FACTORY_SIGNER = Address("0x3fAB184622Dc19b6109349B94811493BF2a45362")
FACTORY_FEE = Wei(10**16)  # what that transaction may cost, its gas at its price
FACTORY_CODE = bytes.fromhex(
    "7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffe03601600081602082378035828234"
    "f58015156039578182fd5b8082525050506014600cf3"
)

Report = Callable[[str, Deployed, bool], None]
Place = tuple[int, str | None]  # block and transaction


def deploy(
    chain: Chain,
    signer: Signer,
    parameters: Parameters,
    path: Path,
    report: Report = lambda _name, _deployed, _is_new: None,
) -> Deployment:
    """Creates what is not on the chain yet, and writes `path`.

    All progress is on the chain, where others may have made it: this goes on where any run stopped.
    Raises ConfigError where `path` speaks of another deployment, which programs may rely on."""
    if parameters.disputes is None and parameters.reveal_tip == 0:
        raise ConfigError(
            "A reveal tip of zero makes demands free where the base fee is zero, and their answers"
            " are not: give a tip above zero."
        )
    planned = plan(parameters)
    make_room(path)
    recorded = _recorded(chain, planned, path)
    require_machine(chain)
    _rehearse(chain, planned)
    _ensure_factory(chain, signer)
    _ensure_deployer(chain, signer, planned)
    receipts = _place(chain, signer, planned)
    earlier = _Earlier(chain, planned.deployer, recorded)
    contracts = {}
    for contract in planned.contracts:
        receipt = receipts.get(contract.name)
        where = earlier.place_of(contract.name) if receipt is None else _place_of(receipt)
        deployed = _deployed(chain, contract.name, contract.address, contract.arguments, where)
        contracts[contract.name] = deployed
        report(contract.name, deployed, receipt is not None)
    deployment = Deployment(chain.id, contracts)
    check_deployment(chain, deployment)
    save(deployment, path)
    return deployment


def create(chain: Chain, signer: Signer, name: str, arguments: tuple[Any, ...]) -> Deployed:
    """Creates one contract of the artifacts by itself, a consumer for example."""
    receipt = transact(chain, signer, _creation(name, arguments))
    if receipt.contract is None:
        raise WrongChain(f"{chain.name} gave no address for {name}.")
    return _deployed(chain, name, receipt.contract, arguments, _place_of(receipt))


def _creation(name: str, arguments: tuple[Any, ...]) -> Call:
    types = [abi_type(parameter) for parameter in constructor_inputs(name)]
    return Call(None, artifact(name).bytecode + encode(types, arguments))


# STEPS


def _rehearse(chain: Chain, planned: Plan) -> None:
    """Asks the constructors that judge parameters whether they take ours, before anything is
    sent. Raises Reverted where one does not."""
    for contract in planned.contracts:
        if contract.name in (QUEUE, DISPUTES) and not chain.code(contract.address):
            try:
                chain.call(_creation(contract.name, contract.arguments))
            except Reverted as error:
                if error.name not in ("Unknown", "Malformed"):
                    raise
            except ChainError:  # not every node takes a call that creates
                return


def _ensure_factory(chain: Chain, signer: Signer) -> None:
    code = chain.code(FACTORY)
    if not code:
        try:
            missing = FACTORY_FEE - chain.balance(FACTORY_SIGNER)
            if missing > 0:
                transact(chain, signer, Call(FACTORY_SIGNER, b"", Wei(missing)))
            chain.broadcast(FACTORY_TRANSACTION)
            wait(chain, keccak(FACTORY_TRANSACTION))
        except ChainError as error:
            raise ConfigError(
                f"There is no CREATE2 factory at {FACTORY}, and its presigned transaction did not"
                f" go through ({error}); place it by a node that takes those without a chain id:"
                " github.com/Arachnid/deterministic-deployment-proxy."
            ) from error
        code = chain.code(FACTORY)
    if code != FACTORY_CODE:
        raise WrongChain(f"What lies at {FACTORY} is not the CREATE2 factory of other chains.")


def _ensure_deployer(chain: Chain, signer: Signer, planned: Plan) -> None:
    if chain.code(planned.deployer):
        return
    try:
        transact(chain, signer, Call(FACTORY, SALT + planned.init_code))
    except Reverted:
        # It reverts where another was faster, which is as well.
        if not chain.code(planned.deployer):
            raise
    if not chain.code(planned.deployer):
        raise WrongChain(
            f"{chain.name} derives addresses of CREATE2 otherwise than Ethereum: no deployer came"
            f" to lie at {planned.deployer}."
        )


def _place(chain: Chain, signer: Signer, planned: Plan) -> dict[str, Receipt]:
    """Creates what is missing, and returns the receipts of what it created."""
    receipts: dict[str, Receipt] = {}
    while (count := _number(chain, planned.deployer, "placedCount")) < len(planned.contracts):
        contract = planned.contracts[count]
        call = _call(planned.deployer, "place", contract.blueprint.words)
        try:
            receipts[contract.name] = transact(chain, signer, call)
        except Reverted:
            # Whoever else placed it took nothing from us: the next one is due.
            if _number(chain, planned.deployer, "placedCount") == count:
                raise
    return receipts


def _deployed(
    chain: Chain, name: str, address: Address, arguments: tuple[Any, ...], where: Place
) -> Deployed:
    """Describes what lies at that address now."""
    block, transaction = where
    return Deployed(
        address=address,
        block=block,
        transaction=transaction,
        code_hash="0x" + keccak(chain.code(address)).hex(),
        arguments=arguments,
        compiler=artifact(name).compiler,
    )


def _place_of(receipt: Receipt) -> Place:
    return receipt.block, "0x" + receipt.transaction.hex()


class _Earlier:
    """Where in the chain to look for contracts that were there before this run."""

    def __init__(self, chain: Chain, deployer: Address, recorded: Deployment | None):
        self._chain = chain
        self._deployer = deployer
        self._recorded = recorded
        self._first: int | None = None

    def place_of(self, name: str) -> Place:
        """Gives block and transaction; of somebody else's a block before which it was not there."""
        if self._recorded is not None:
            known = self._recorded.contracts[name]
            if known.transaction is not None and self._is_mined(known):
                return known.block, known.transaction
        if self._first is None:
            self._first = _block_at(self._chain, _number(self._chain, self._deployer, "CREATED_AT"))
        return self._first, None

    def _is_mined(self, known: Deployed) -> bool:
        """Says whether the file speaks of this chain, and not of an earlier devnet."""
        receipt = self._chain.receipt(bytes.fromhex((known.transaction or "")[2:]))
        return receipt is not None and receipt.block == known.block


def _block_at(chain: Chain, time: int) -> int:
    """Finds the first block that is not earlier than `time`."""
    low, high = 0, chain.block("latest").number
    while low < high:
        middle = (low + high) // 2
        if chain.block(middle).time < time:
            low = middle + 1
        else:
            high = middle
    return low


def _number(chain: Chain, deployer: Address, function: str) -> int:
    return int.from_bytes(chain.call(_call(deployer, function)), "big")


def _call(deployer: Address, function: str, *arguments: Any) -> Call:
    contract = Web3().eth.contract(abi=artifact(DEPLOYER).abi)
    return Call(deployer, bytes.fromhex(contract.encode_abi(function, list(arguments))[2:]))


# ANOTHER DEPLOYMENT


def _recorded(chain: Chain, planned: Plan, path: Path) -> Deployment | None:
    """Reads the file, and refuses to go on where it speaks of another deployment than the plan."""
    if not path.exists():
        return None
    recorded = read_deployment(path)
    if recorded.chain_id != chain.id:
        raise WrongChain(f"{path} is of chain {recorded.chain_id}, {chain.name} of {chain.id}.")
    there = {name: each.address for name, each in recorded.contracts.items()}
    if there == {each.name: each.address for each in planned.contracts}:
        return recorded
    stands = "stands" if chain.code(recorded.queue) else "stood on a chain that is gone"
    raise ConfigError(
        f"{path} holds another deployment: {_description(recorded)}, whose queue {stands} at"
        f" {recorded.queue}; {_difference(recorded, planned)}. Choose another folder, or move that"
        " file away."
    )


def _description(recorded: Deployment) -> str:
    for name, each in presets().items():
        if not list(_changes(recorded, plan(each.parameters))):
            return f"preset {name}"
    return "of no preset"


def _difference(recorded: Deployment, planned: Plan) -> str:
    changes = _changes(recorded, planned)
    said = [f"{name} is {there} there and {here} here" for name, there, here in changes]
    return ", ".join(said) or "its contracts are another version's"


def _changes(recorded: Deployment, planned: Plan) -> Iterator[tuple[str, Any, Any]]:
    """Compares what the constructors of queue and disputes were told, but for siblings."""
    here = {each.name: each for each in planned.contracts}
    if (DISPUTES in recorded.contracts) != (DISPUTES in here):
        yield "disputes", recorded.contracts[QUEUE].arguments[1], here[QUEUE].arguments[1]
    for name in (QUEUE, DISPUTES):
        if name in recorded.contracts and name in here:
            yield from _changed_arguments(here[name], recorded.contracts[name].arguments)


def _changed_arguments(here: Planned, there: tuple[Any, ...]) -> Iterator[tuple[str, Any, Any]]:
    siblings = len(here.blueprint.siblings)
    inputs = [parameter["name"] for parameter in constructor_inputs(here.name)]
    rows = list(zip(inputs, there, here.arguments, strict=False))[siblings:]
    yield from (row for row in rows if row[1] != row[2])
