"""Chains to test on, with the contracts deployed and people who hold keys; and values to act with.

`World` is a devnet seen by a test: who is on it, what they publish, ask and answer.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import pytest
from eth_abi import encode
from eth_account import Account as EthAccount
from eth_utils import keccak

from oracle.chain import devnet, preimage
from oracle.chain.codec import model_words
from oracle.chain.connection import connect
from oracle.chain.contracts import Disputes, Options, Queue, Registry
from oracle.chain.deployer import deploy
from oracle.chain.deployment import Deployment
from oracle.chain.events import (
    Event,
    ModelPublished,
    RequestCreated,
    ResultProposed,
    StakeAdded,
    Where,
)
from oracle.chain.history import History
from oracle.chain.keys import Signer, from_key
from oracle.chain.node import Call, Chain
from oracle.chain.presets import Parameters, preset
from oracle.chain.replies import Receipt
from oracle.chain.transactions import transact
from oracle.chain.watcher import Step, Watcher
from oracle.merkle import payload_root
from oracle.types import (
    Address,
    Assurance,
    DType,
    Model,
    ModelId,
    ModelTerms,
    Proposal,
    Request,
    RequestId,
    Signature,
    Status,
    TensorType,
    Wei,
)

ETHER = 10**18
GWEI = 10**9
BOND = Wei(ETHER // 100)
FEE = Wei(ETHER // 100)
ROYALTY = Wei(1000 * GWEI)
STAKE = Wei(ETHER)
# Seconds of the chain, whose clock is moved: so long that a busy machine misses none of them.
WINDOW = 1200
TIMEOUT = 7200
DELAY = 1200
PAYLOAD = bytes(range(1, 9))  # int64[1]
OUTPUT = bytes.fromhex("3f8000003f000000")  # float32[2]
URI = "file:///model.safetensors"

NAMES = (
    *("deployer", "publisher", "requester", "operator", "rival"),
    *("disputes", "challenger", "stranger", "dead"),
    *("griefer1", "griefer2", "griefer3", "second"),
)
# One key for each name, the same on every chain.
PEOPLE = {name: from_key(keccak(text=f"exactum test {name}")) for name in NAMES}

E = TypeVar("E", bound=Event)


@dataclass(frozen=True)
class World:
    """A devnet with the contracts on it."""

    chain: Chain
    deployment: Deployment

    @property
    def queue(self) -> Queue:
        return Queue(self.chain, self.deployment)

    @property
    def registry(self) -> Registry:
        return Registry(self.chain, self.deployment)

    @property
    def disputes(self) -> Disputes:
        return Disputes(self.chain, self.deployment)

    @property
    def history(self) -> History:
        return History(self.chain, self.deployment)

    @cached_property
    def watcher(self) -> Watcher:
        return Watcher(self.chain, self.deployment, confirmations=0)

    def terms_of(self, model_id: ModelId) -> ModelTerms:
        """As the registry packed them."""
        return self.registry.terms_of(model_id)

    def send(self, who: str, call: Call) -> Receipt:
        return transact(self.chain, PEOPLE[who], call)

    def skip(self, seconds: int) -> None:
        devnet.skip_time(self.chain, seconds)

    def head(self) -> int:
        return self.chain.block("latest").number

    def time(self) -> int:
        return self.chain.block("latest").time

    # What people do.

    def publish(self, uri: str = URI, **changes: Any) -> ModelId:
        what = model(address("publisher"), **changes)
        receipt = self.send("publisher", self.registry.publish(what, uri))
        return self.of(receipt, ModelPublished).model_id

    def publish_as(self, name: bytes, **changes: Any) -> ModelPublished:
        """Under a name that may be no text: the registry takes any bytes."""
        what = model(address("publisher"), **changes)
        words = list(model_words(what))
        tensors = [[(each.encode(), *rest) for each, *rest in words[at]] for at in (5, 6)]
        encoded = (name, words[1].encode(), *words[2:5], *tensors, *words[7:])
        call = self.registry.publish(what, "")
        data = call.data[:4] + encode((preimage.MODEL, "bytes"), (encoded, b""))
        return self.of(self.send("publisher", replace(call, data=data)), ModelPublished)

    def stake(self, who: str = "operator", amount: int = STAKE) -> None:
        self.send(who, self.queue.stake(Wei(amount)))

    def ask(
        self,
        model_id: ModelId,
        who: str = "requester",
        payload: bytes = PAYLOAD,
        fee: int = FEE,
        **changes: Any,
    ) -> RequestCreated:
        call = self.queue.request(model_id, payload, Wei(fee), options(**changes))
        return self.of(self.send(who, call), RequestCreated)

    def propose(
        self, asked: RequestCreated, who: str = "operator", output: bytes = OUTPUT
    ) -> ResultProposed:
        return self.of(
            self.send(who, self.queue.propose([(asked.request, output)])), ResultProposed
        )

    def settle(
        self, asked: RequestCreated, proposed: ResultProposed, who: str = "stranger"
    ) -> Receipt:
        result = (asked.request, proposed.proposal, proposed.output)
        return self.send(who, self.queue.settle([result]))

    def consumer(self, callback: str = "reverts") -> Address:
        """A contract whose callback does that; whoever calls it, calls the queue through it."""
        code = consumer(self.deployment.queue, callback)
        contract = self.send("requester", Call(None, code)).contract
        assert contract is not None
        return contract

    def ask_by(
        self, contract: Address, model_id: ModelId, fee: int = FEE, **changes: Any
    ) -> RequestCreated:
        call = self.queue.request(model_id, PAYLOAD, Wei(fee), options(**changes))
        receipt = self.send("requester", replace(call, to=contract))
        return self.of(receipt, RequestCreated)

    def slash(self, asked: RequestCreated, proposed: ResultProposed) -> Receipt:
        """As the Disputes contract would."""
        call = raw_call(
            self.queue,
            "slash",
            asked.request,
            proposed.proposal,
            payload_root(proposed.output),
            address("challenger"),
        )
        return self.send("disputes", call)

    # What the chain says.

    def events(self, first: int | None = None, last: int | None = None) -> list[Event]:
        first = self.deployment.first_block if first is None else first
        return self.watcher.events(first, self.head() if last is None else last)

    def all(self, kind: type[E]) -> list[E]:
        return [event for event in self.events() if isinstance(event, kind)]

    def of(self, receipt: Receipt, kind: type[E]) -> E:
        """The one event of its kind in a transaction."""
        found = [
            event
            for event in self.events(receipt.block, receipt.block)
            if isinstance(event, kind) and event.where.transaction == receipt.transaction
        ]
        [event] = found
        return event

    def status(self, asked: RequestCreated) -> Status:
        return self.queue.status_of(asked.request_id)[0]


def address(name: str) -> Address:
    return PEOPLE[name].address


def raw_call(queue: Queue, function: str, *arguments: object) -> Call:
    """A call of the queue that `Queue` has no method for."""
    from oracle.chain.codec import proposal_words, request_words

    def words(value: object) -> object:
        if isinstance(value, Request):
            return request_words(value)
        return proposal_words(value) if isinstance(value, Proposal) else value

    return queue._call(function, *map(words, arguments))


def eth_tester(chain: Chain) -> Any:
    """eth-tester, behind an embedded chain."""
    provider: Any = chain.web3.provider
    return provider.ethereum_tester


def amounts(steps: Iterable[Step]) -> list[Wei]:
    """What was staked in these steps, in which nothing else happened."""
    found = []
    for event in (event for step in steps for event in step.events):
        assert isinstance(event, StakeAdded)
        found.append(event.amount)
    return found


@contextmanager
def embedded(by: Parameters | None = None) -> Iterator[World]:
    chain = connect("embedded")
    rich = eth_tester(chain).backend.account_keys[0]
    with temporary() as folder:
        yield populate(chain, folder, from_key(rich.to_bytes()), by)


@contextmanager
def anvil(*arguments: str, by: Parameters | None = None) -> Iterator[World]:
    require_anvil()
    with devnet.anvil(*arguments) as url, temporary() as folder:
        chain = connect(url)
        rich = EthAccount.create()
        chain.rpc("anvil_setBalance", [rich.address, hex(10**6 * ETHER)])
        yield populate(chain, folder, Signer(rich), by)


def require_anvil() -> None:
    if devnet.find_anvil() is not None:
        return
    if os.environ.get("REQUIRE_ANVIL") == "1":
        pytest.fail("there is no anvil, and REQUIRE_ANVIL is set")
    pytest.skip("there is no anvil: run npm ci, or set ANVIL_BIN")


@contextmanager
def temporary() -> Iterator[Path]:
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        yield Path(folder)


def populate(chain: Chain, folder: Path, rich: Signer, by: Parameters | None = None) -> World:
    for name, signer in PEOPLE.items():
        if name != "dead":  # who never had anything
            transact(chain, rich, Call(signer.address, b"", Wei(1000 * ETHER)))
    path = folder / "deployment.json"
    return World(chain, deploy(chain, PEOPLE["deployer"], by or parameters(), path))


@contextmanager
def undone(chain: Chain) -> Iterator[None]:
    """What happens on the chain inside is as if it had not been."""
    if chain.is_embedded:
        tester = eth_tester(chain)
        snapshot = tester.take_snapshot()
        yield
        tester.revert_to_snapshot(snapshot)
        return
    snapshot = chain.rpc("evm_snapshot", [])
    yield
    chain.rpc("anvil_dropAllTransactions", [])  # or the next test finds them mined
    chain.rpc("evm_setAutomine", [True])
    assert chain.rpc("evm_revert", [snapshot])


@contextmanager
def taken_back(world: World) -> Iterator[None]:
    """What happens inside is on no chain afterwards, and another block is in its place."""
    with undone(world.chain):
        yield
    mine(world, 2)


def mine(world: World, blocks: int = 1) -> None:
    world.chain.rpc("anvil_mine", [hex(blocks)])


def parameters(**changes: Any) -> Parameters:
    values = replace(
        preset("l2"),
        min_bond=Wei(10**15),
        min_window=1,
        max_window=7200,
        withdrawal_delay=DELAY,
        disputes=address("disputes"),
    )
    return replace(values, **changes)


def options(**changes: Any) -> Options:
    return replace(Options(bond=BOND, window=WINDOW, timeout=TIMEOUT), **changes)


def model(publisher: Address, **changes: Any) -> Model:
    values = Model(
        publisher=publisher,
        name="doubler",
        version="1",
        program_root=b"\x11" * 32,
        source_hash=b"\x22" * 32,
        signature=Signature(
            (TensorType("x", DType.INT64, (1,)),), (TensorType("y", DType.FLOAT, (2,)),)
        ),
        assurance=Assurance.EXACT,
        royalty=ROYALTY,
    )
    return replace(values, **changes)


def request(**changes: Any) -> Request:
    """One that was on no chain."""
    values = Request(
        model=ModelId(b"\x33" * 32),
        terms=ModelTerms(address("publisher"), ROYALTY, 8, 8, True, True),
        input_root=payload_root(PAYLOAD),
        consumer=address("requester"),
        fee=FEE,
        operator=None,
        bond=BOND,
        refund_to=address("requester"),
        input_length=len(PAYLOAD),
        max_output_length=len(OUTPUT),
        deadline=2_000_000_000,
        window=WINDOW,
        callback_gas=0,
        nonce=0,
        entropy=0,
    )
    return replace(values, **changes)


def hash_of(block: int) -> bytes:
    """The hash of a block that is on no chain."""
    return block.to_bytes(32, "big")


def where(block: int = 1, index: int = 0, time: int = 1_900_000_000) -> Where:
    return Where(block, index, b"\x44" * 32, time, hash_of(block))


def created(number: int = 1, at: Where | None = None, **changes: Any) -> RequestCreated:
    id_ = RequestId(number.to_bytes(32, "big"))
    return RequestCreated(at or where(number), id_, request(**changes), PAYLOAD)


def proposed(
    asked: RequestCreated, who: str = "operator", at: Where | None = None
) -> ResultProposed:
    time = 1_900_000_100
    proposal = Proposal(address(who), 0, time, time + asked.request.window, len(OUTPUT))
    return ResultProposed(at or where(100), asked.request_id, proposal, OUTPUT)


def consumer(queue: Address, callback: str = "reverts") -> bytes:
    """Creation code of a consumer that hands every call on to the queue, with the value sent.

    Its callback reverts with "no" until somebody sends it an empty call; or, if it `burns`, it
    returns where gas costs nothing, as in a simulation, and burns all it has in a transaction."""
    code, labels, jumps = bytearray(), {}, {}

    def put(opcodes: str) -> None:
        code.extend(bytes.fromhex(opcodes))

    def jump_if(label: str) -> None:
        jumps[len(code) + 1] = label
        put("60ff57")  # PUSH1 label, JUMPI

    def label(name: str) -> None:
        labels[name] = len(code)
        put("5b")

    put("36")  # calldatasize
    jump_if("called")
    put("60015f5500")  # sstore(0, 1), stop
    label("called")
    put("5f3560e01c63" + keccak(text="onInference(bytes32,bytes)")[:4].hex() + "14")
    jump_if("callback")
    put("365f5f375f5f365f3473" + queue[2:] + "5af1")  # call(gas, queue, value, 0, size, 0, 0)
    put("3d5f5f3e")  # returndatacopy(0, 0, returndatasize)
    jump_if("forwarded")
    put("3d5ffd")
    label("forwarded")
    put("3d5ff3")
    label("callback")
    put("5f54" if callback == "reverts" else "3a15")  # sload(0), or whether gas is free
    jump_if("cured")
    put("616e6f60f01b5f5260025ffd" if callback == "reverts" else "fe")
    label("cured")
    put("00")
    for place, name in jumps.items():
        code[place] = labels[name]
    return bytes.fromhex(f"60{len(code):02x}8060095f395ff3") + bytes(code)


def ids(events: Sequence[RequestCreated]) -> list[RequestId]:
    return [event.request_id for event in events]


def variant(chain: Chain, fault: type) -> Chain:
    """The same chain, with methods of `fault` instead of its own."""
    twin: Chain = object.__new__(type(fault.__name__, (fault, type(chain)), {}))
    vars(twin).update(vars(chain))
    return twin
