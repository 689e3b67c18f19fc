"""A market to measure in: an anvil with the contracts, a user who publishes and asks, an operator
with a stake, and the operator's worker, which is a process of its own."""

import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

from oracle.chain import keys as signers
from oracle.chain.connection import connect
from oracle.chain.contracts import Options
from oracle.chain.decoder import Decoder
from oracle.chain.deployer import deploy
from oracle.chain.devnet import anvil, fund
from oracle.chain.events import Event, RequestCreated
from oracle.chain.keys import Signer
from oracle.chain.node import Call
from oracle.chain.presets import Parameters
from oracle.cli.demo import crew
from oracle.cli.session import Session
from oracle.config import Settings
from oracle.errors import ChainError
from oracle.exact.lowering.graph import lower
from oracle.exact.program import Program
from oracle.exact.program_file import pack
from oracle.samples import Sample
from oracle.types import Assurance, Model, ModelId, RequestId, Status, Wei

ROOT = Path(__file__).resolve().parent.parent
ETHER = 10**18
LOOK = 0.02  # seconds between two looks at what a worker does
PATIENCE = 900.0  # seconds for something to happen: then something is wrong
TAIL = 20  # lines of a worker's log that are shown where something is wrong
BATCH = 50  # transactions that a node is given in one request

E = TypeVar("E", bound=Event)


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """A model with a file, and what it is asked."""

    name: str
    onnx: bytes
    program: Program
    payload: bytes


def asked(name: str, onnx: bytes, payload: bytes) -> Asked:
    return Asked(name, onnx, lower(onnx), payload)


def light(sample: Sample) -> Asked:
    return asked(sample.name, sample.onnx, sample.payload(0))


class Worker:
    """A worker's process, and its log."""

    def __init__(self, process: "subprocess.Popen[bytes]", log: Path):
        self.pid = process.pid
        self._process = process
        self._log = log

    def until_up(self) -> float:
        """Waits until the program begins its first round, and gives the last time, by the monotonic
        clock, at which it had not."""
        before = time.monotonic()
        for is_up in self.looks(self._is_up, 1, "the worker was up"):
            if not is_up:
                before = time.monotonic()
        return before

    def _is_up(self) -> bool:
        return b"worker is up" in self._log.read_bytes()

    def until(self, is_so: Callable[[], bool], what: str) -> None:
        """Waits, while the worker lives."""
        for _ in self.looks(is_so, 1, what):
            pass

    def looks(
        self, count: Callable[[], int], wanted: int, what: str, pause: float = LOOK
    ) -> Iterator[int]:
        """Yields what is counted, again and again, until it is as much as is wanted. Raises
        ChainError where the worker ends, or the count stays the same for too long."""
        before, deadline = -1, 0.0
        while True:
            found = count()
            yield found
            if found >= wanted:
                return
            now = time.monotonic()
            if found != before:
                before, deadline = found, now + PATIENCE
            if self._process.poll() is not None:
                raise self._failure(f"The worker ended with code {self._process.returncode}")
            if now > deadline:
                raise self._failure(f"In {PATIENCE:.0f} s it did not happen that {what}")
            time.sleep(pause)

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Has the worker and its children stand still meanwhile."""
        os.killpg(self.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.killpg(self.pid, signal.SIGCONT)

    def _failure(self, why: str) -> ChainError:
        tail = self._log.read_text(errors="replace").splitlines()[-TAIL:]
        return ChainError("\n".join([f"{why}; the end of its log:", *tail]))


class Market:
    """A chain with the contracts, one who publishes and asks, and an operator."""

    def __init__(self, session: Session, user: Signer, operator: Signer):
        self.session = session
        self.chain = session.chain
        self.queue = session.queue
        self.user = user
        self.operator = operator
        self._decoder = Decoder()

    def publish(self, served: Asked) -> ModelId:
        path = self.session.settings.home / f"{served.name}.safetensors"
        path.write_bytes(pack(served.program))
        model = Model(
            publisher=self.user.address,
            name=served.name,
            version="1",
            program_root=served.program.root,
            source_hash=sha256(served.onnx).digest(),
            signature=served.program.signature,
            assurance=Assurance.EXACT,
            royalty=Wei(0),
        )
        return self.publish_as(self.user, model, path.as_uri())

    def publish_as(self, publisher: Signer, model: Model, uri: str) -> ModelId:
        registry = self.session.registry
        self.session.transact(publisher, registry.publish(model, uri))
        return registry.id_of(model)

    def ask(self, model: ModelId, payload: bytes, fee: Wei, options: Options) -> RequestId:
        call = self.queue.request(model, payload, fee, options)
        receipt = self.session.transact(self.user, call)
        found = (self._decoder.decode(log, 0) for log in receipt.logs)
        [created] = [event for event in found if isinstance(event, RequestCreated)]
        return created.request_id

    def is_answered(self, request: RequestId) -> bool:
        return self.queue.status_of(request)[0] >= Status.PROPOSED

    def events(self, kind: type[E], first: int) -> list[E]:
        """Lists the queue's events of a kind in block `first` and later, in their order."""
        logs = self.chain.logs([self.queue.address], first, self.chain.height())
        found = (self._decoder.decode(log, 0) for log in logs)
        return [event for event in found if isinstance(event, kind)]

    def crowd(self, purse: Wei) -> list[Signer]:
        """Makes as many accounts as one request has transactions, with `purse` to spend."""
        made = [signers.from_key(secrets.token_bytes(32)) for _ in range(BATCH)]
        self.chain.ask_many([("anvil_setBalance", [one.address, hex(purse)]) for one in made])
        return made

    def signed(self, crowd: Sequence[Signer], calls: Sequence[Call]) -> Iterator[bytes]:
        """Yields transactions, of one account after another, all of which have sent as many before;
        and all with the gas that the first needs and some more."""
        gas = self.chain.estimate(calls[0], crowd[0].address) * 3 // 2
        nonce, fees = self.chain.nonce(crowd[0].address), self.chain.fees()
        for at, call in enumerate(calls):
            transaction = {
                "chainId": self.chain.id,
                "nonce": nonce + at // len(crowd),
                "gas": gas,
                "to": call.to,
                "value": call.value,
                "data": call.data,
                "maxFeePerGas": 10 * fees.maximum,
                "maxPriorityFeePerGas": fees.priority,
            }
            yield crowd[at % len(crowd)].sign(transaction)[0]

    def mine(self, transactions: Sequence[bytes]) -> Iterator[int]:
        """Hands over what `signed` yields, many at once, and yields how many are mined.

        The next ones go when these are mined: anvil makes empty blocks of what it had begun to mine
        when more came. And each has another account: what it takes in while it mines the one before
        of the same account, anvil never mines."""
        for at in range(0, len(transactions), BATCH):
            some = transactions[at : at + BATCH]
            self.chain.ask_many([("eth_sendRawTransaction", ["0x" + raw.hex()]) for raw in some])
            deadline = time.monotonic() + PATIENCE
            while any(int(left, 16) for left in self.chain.rpc("txpool_status", []).values()):
                if time.monotonic() > deadline:
                    raise ChainError(f"In {PATIENCE:.0f} s not all transactions were mined.")
                time.sleep(0.001)
            yield at + len(some)

    @contextmanager
    def working(self, key: Signer, *options: str) -> Iterator[Worker]:
        """Has the program worker run, with that key, for as long as the context lives. Of its
        children none is left."""
        home, name = self.session.settings.home, f"key-{key.address}"
        signers.create(self.session.settings.keys / f"{name}.json", crew.PASSWORD, key.account.key)
        log = home / "worker.log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "oracle.cli", "worker", "--allow-local-files", *options],
                cwd=ROOT,
                env=crew.environment(self.session, name),
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
        try:
            yield Worker(process, log)
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(20)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@contextmanager
def market(parameters: Parameters, stake: Wei, purse: Wei) -> Iterator[Market]:
    """Opens a market on a chain of its own: the operator has the stake, and user and operator have
    `purse` to spend."""
    with anvil() as url, tempfile.TemporaryDirectory(prefix="exactum-market-") as name:
        home = Path(name)
        chain = connect(url)
        user, operator = (signers.from_key(secrets.token_bytes(32)) for _ in range(2))
        fund(chain, user.address, purse)
        fund(chain, operator.address, Wei(stake + purse))
        settings = Settings(home=home, deployments=home / "deployments")
        deployed = deploy(chain, user, parameters, settings.deployments / f"{chain.id}.json")
        session = Session(settings, chain, deployed)
        session.transact(operator, session.queue.stake(stake))
        yield Market(session, user, operator)
