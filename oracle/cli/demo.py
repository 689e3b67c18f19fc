"""`exactum demo`: the whole loop, with an account of what happens on chain and who pays."""

import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import click
import structlog
from eth_utils import keccak
from rich.panel import Panel
from rich.table import Table

from oracle.answers import Answers
from oracle.chain import deployment as deployments
from oracle.chain import signer as signers
from oracle.chain.contracts import Consumer, Options
from oracle.chain.deployment import PRESETS, create
from oracle.chain.devnet import fund, skip_time
from oracle.chain.events import Decoder
from oracle.chain.provider import EMBEDDED, Call, Chain, Receipt, connect
from oracle.chain.signer import Signer
from oracle.cli import payload as payloads
from oracle.cli import show
from oracle.cli.audit import rerun
from oracle.cli.files import model_files
from oracle.cli.session import Session
from oracle.cli.worker import build
from oracle.comparison import compare
from oracle.config import Settings
from oracle.errors import ChainError
from oracle.events import RequestCreated
from oracle.exact.lower import lower
from oracle.executor import Executor
from oracle.samples import Sample, breast_cancer, gradient_boosting
from oracle.store import Store
from oracle.types import Assurance, Model, ModelId, RequestId, Status, Wei
from oracle.worker import Policy

ETHER = 10**18
FEE = Wei(ETHER // 100)
WINDOW = 3  # seconds: a devnet's
TIMEOUT = 8  # seconds, of the request that nobody answers
PATIENCE = 60.0  # seconds that the demo waits for its worker
PASSWORD = "demo"  # of keys that live as long as the demo


@click.command()
@click.option(
    "--rpc",
    metavar="URL",
    help="A devnet that holds funded accounts, anvil for example;"
    " worker and auditor are then processes of their own.",
)
def demo(rpc: str | None) -> None:
    """Shows the whole loop in one command: a contract asks, a model answers, anyone checks.

    Without --rpc it needs no node: the chain runs inside the command. Models are trained on real
    data on the spot, contracts are deployed, a consumer contract asks about real patients, the
    worker answers, the window passes, the callback writes the diagnosis on chain, and an audit
    re-runs it bit for bit. A request that nobody answers is refunded.

    \b
    Examples:
      exactum demo
      anvil & exactum demo --rpc http://127.0.0.1:8545
    """
    started = time.monotonic()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="exactum-demo-")))
        settings = Settings(home=folder, deployments=folder / "deployments")
        structlog.configure(processors=[_narrate], logger_factory=Stage)
        Play(connect(rpc or EMBEDDED), settings, stack).run()
    show.out.print(f"\nDone in {time.monotonic() - started:.0f} s.")


@dataclass(frozen=True, slots=True)
class Cast:
    """Who plays: each with a key and a purse of its own."""

    publisher: Signer
    operator: Signer
    patient: Signer

    def names(self) -> Iterator[tuple[str, Signer]]:
        yield "publisher", self.publisher
        yield "operator", self.operator
        yield "patient", self.patient


class Work(Protocol):
    """The operator's worker, in this process or in another."""

    def go_on(self) -> None:
        """Gives it time to work."""
        ...


class Play:
    def __init__(self, chain: Chain, settings: Settings, stack: ExitStack):
        self.chain = chain
        self.settings = settings
        self.stack = stack
        self.cast = Cast(*(signers.from_key(secrets.token_bytes(32)) for _ in range(3)))
        self.files = model_files(settings)
        self.decoder = Decoder()
        self.gas: dict[str, int] = {}

    def run(self) -> None:
        self.scene("The stage", f"chain {self.chain.id}, {self.chain.name}")
        for name, signer in self.cast.names():
            fund(self.chain, signer.address, Wei(10 * ETHER))
            show.out.print(f"  {name:<10} {signer.address}  10 ether")
        session = self.deploy()

        self.scene("Two models", "trained here on real data, published for ever")
        cancer, trees = self.train()
        cancer_id = self.publish(session, cancer, Wei(FEE // 10))
        trees_id = self.publish(session, trees, Wei(0))

        self.scene("An operator", "whose stake stands behind every result")
        self.transact(session, "stake", self.cast.operator, session.queue.stake(Wei(ETHER)))
        show.out.print("  operator staked 1 ether, and starts its worker")
        work = self.worker(session)

        self.scene("A contract asks", "DiagnosisConsumer, 20 lines of Solidity, and a person")
        consumer = self.consumer(session, cancer_id)
        asked = [self.ask(session, consumer, cancer, row) for row in rows_of_both_classes(cancer)]
        direct = self.request(session, trees_id, trees)

        self.scene("The worker answers", "each result locks a bond")
        everything = [*asked, direct]
        self.until(work, lambda: self.all_in(session, everything, Status.PROPOSED))
        for request_id in everything:
            self.show_proposal(session, request_id)

        self.scene("The window passes", f"{WINDOW} s here, a day on an L2; nobody objects")
        self.pass_time(WINDOW)
        self.until(work, lambda: self.all_in(session, everything, Status.SETTLED))
        for request_id, row in zip(asked, rows_of_both_classes(cancer), strict=True):
            self.show_diagnosis(consumer, request_id, cancer, row)
        self.show_result(session, direct, trees)

        self.scene("An auditor", "re-runs the result from chain data and the model file alone")
        for request_id in everything:
            self.audit(session, request_id)

        self.scene("Nobody answers", "a request for an operator who is not there")
        self.expire(session, cancer_id, cancer)

        self.scene("The money", "every wei accounted for")
        self.balance(session)

    # The scenes' parts, in order.

    def scene(self, title: str, subtitle: str) -> None:
        show.out.print()
        show.out.print(Panel(f"[bold]{title}[/] · {subtitle}", expand=False, border_style="blue"))

    def transact(self, session: Session, what: str, signer: Signer, call: Call) -> Receipt:
        receipt = session.transact(signer, call)
        self.gas[what] = receipt.gas_used
        return receipt

    def deploy(self) -> Session:
        path = self.settings.deployments / f"{self.chain.id}.json"
        parameters = replace(PRESETS["devnet"], withdrawal_delay=WINDOW)
        deployed = deployments.deploy(self.chain, self.cast.publisher, parameters, path)
        for name, contract in deployed.contracts.items():
            show.out.print(f"  {name:<15} {contract.address}  code {contract.code_hash[:18]}…")
        return Session(self.settings, self.chain, deployed)

    def train(self) -> tuple[Sample, Sample]:
        with show.out.status("Training…"):
            return breast_cancer(), gradient_boosting()

    def publish(self, session: Session, sample: Sample, royalty: Wei) -> ModelId:
        program = lower(sample.onnx)
        digest = self.files.add(sample.onnx)
        model = Model(
            publisher=self.cast.publisher.address,
            name=sample.name,
            version=sample.version,
            program_root=program.root,
            file_hash=digest,
            signature=program.signature,
            assurance=Assurance.EXACT,
            royalty=royalty,
        )
        call = session.registry.publish(model, "")
        receipt = self.transact(session, "publish", self.cast.publisher, call)
        model_id = session.registry.id_of(model)
        show.out.print(f"  [bold]{sample.name}[/] {show.hex_(model_id)}")
        show.out.print(
            f"    {len(sample.onnx):,} bytes, {len(program.nodes)} exact ops,"
            f" royalty {show.ether(royalty)}, {receipt.gas_used:,} gas"
        )
        show.out.print(f"    {show.signature(program.signature.inputs)} →", end=" ")
        show.out.print(show.signature(program.signature.outputs))
        return model_id

    def worker(self, session: Session) -> Work:
        if self.chain.is_embedded:
            return self.stack.enter_context(working_here(session, self.cast.operator))
        return self.stack.enter_context(working_elsewhere(session, self.cast.operator))

    def consumer(self, session: Session, model_id: ModelId) -> Consumer:
        arguments = (session.deployment.queue, model_id, WINDOW)
        deployed = create(self.chain, self.cast.publisher, "DiagnosisConsumer", arguments)
        show.out.print(f"  DiagnosisConsumer {deployed.address}")
        return Consumer(self.chain, "DiagnosisConsumer", deployed.address)

    def ask(self, session: Session, consumer: Consumer, sample: Sample, row: int) -> RequestId:
        payload = sample.payload(row)
        call = consumer.ask(payload, FEE)
        receipt = self.transact(session, "request by a contract", self.cast.patient, call)
        created = self.created(receipt)
        show.out.print(
            f"  patient row {row} asks through the contract: {show.short(created.request_id)},"
            f" {show.ether(FEE)} in escrow, {receipt.gas_used:,} gas"
        )
        return created.request_id

    def request(self, session: Session, model_id: ModelId, sample: Sample) -> RequestId:
        options = Options(bond=Wei(ETHER // 100), window=WINDOW, timeout=3600)
        call = session.queue.request(model_id, sample.payload(0), FEE, options)
        receipt = self.transact(session, "request by a person", self.cast.patient, call)
        created = self.created(receipt)
        show.out.print(
            f"  patient asks {sample.name} directly: {show.short(created.request_id)},"
            f" {show.ether(FEE)} in escrow, {receipt.gas_used:,} gas"
        )
        return created.request_id

    def show_proposal(self, session: Session, request_id: RequestId) -> None:
        found = session.history.request(request_id)
        assert found.proposed is not None
        receipt = self.chain.receipt(found.proposed.where.transaction)
        output = found.proposed.output
        show.out.print(
            f"  {show.short(request_id)} ← output 0x{output.hex()[:24]}… hash"
            f" {show.short(keccak(output))}, bond {show.ether(found.created.request.bond)} locked,"
            f" {receipt.gas_used if receipt else 0:,} gas in its transaction"
        )

    def show_diagnosis(
        self, consumer: Consumer, request_id: RequestId, sample: Sample, row: int
    ) -> None:
        probability = consumer.benign_probability(request_id)
        said = sample.classes[int(probability > ETHER // 2)]
        show.out.print(
            f"  on chain, for row {row}: P(benign) = {probability / ETHER:.6f} → [bold]{said}[/]"
            f" (the biopsy said {sample.classes[sample.targets[row]]})"
        )

    def show_result(self, session: Session, request_id: RequestId, sample: Sample) -> None:
        found = session.history.request(request_id)
        assert found.proposed is not None
        tensors = session.history.model(found.created.request.model).model.signature.outputs
        title = f"{sample.name}, row 0 (the data say {sample.classes[sample.targets[0]]})"
        payloads.print_elements(f"  {title}", found.proposed.output, tensors)

    def audit(self, session: Session, request_id: RequestId) -> None:
        if not self.chain.is_embedded:
            show.out.print(f"  $ exactum audit {show.hex_(request_id)}")
            subprocess.run(
                [sys.executable, "-m", "oracle.cli", "audit", show.hex_(request_id)],
                env=environment(session),
                check=True,
            )
            return
        found = session.history.request(request_id)
        model = session.history.model(found.created.request.model).model
        assert found.proposed is not None
        output = rerun(self.files.fetch(model.file_hash, ()), model, found.created.payload)
        elements = compare(found.proposed.output, output, model.signature.outputs)
        if not all(element.matches for element in elements):
            raise ChainError(f"The audit of 0x{request_id.hex()} found a mismatch.")
        show.out.print(
            f"  {show.short(request_id)} {model.name}: recomputed 0x{output.hex()[:24]}…,"
            f" [green]all {len(elements)} elements equal, every bit[/]"
        )

    def expire(self, session: Session, model_id: ModelId, sample: Sample) -> None:
        nobody = signers.from_key(secrets.token_bytes(32)).address
        options = Options(Wei(ETHER // 100), WINDOW, TIMEOUT, operator=nobody)
        call = session.queue.request(model_id, sample.payload(1), FEE, options)
        created = self.created(session.transact(self.cast.patient, call))
        show.out.print(f"  {show.short(created.request_id)} waits {TIMEOUT} s for {nobody}")
        self.pass_time(TIMEOUT)
        wait_for(self.chain, created.request.deadline)
        queue, patient = session.queue, self.cast.patient
        self.transact(session, "expire", patient, queue.expire(created.request))
        credit = queue.credit_of(patient.address)
        self.transact(session, "withdraw", patient, queue.withdraw(patient.address))
        show.out.print(f"  expired, {show.ether(credit)} credited to the patient, and withdrawn")

    def balance(self, session: Session) -> None:
        queue = session.queue
        account = queue.account_of(self.cast.operator.address)
        royalties = queue.credit_of(self.cast.publisher.address)
        held = self.chain.balance(session.deployment.queue)
        table = Table("who", "what", "amount")
        table.add_row("operator", "stake, fees included", show.ether(account.staked))
        table.add_row("operator", "of it locked in bonds", show.ether(account.locked))
        table.add_row("publisher", "royalties, to withdraw", show.ether(royalties))
        table.add_row("queue", "holds in all", show.ether(held))
        show.out.print(table)
        if held != account.staked + royalties:
            raise ChainError("The queue holds more or less than it owes.")
        show.out.print("  gas: " + ", ".join(f"{name} {gas:,}" for name, gas in self.gas.items()))

    # How time goes by.

    def created(self, receipt: Receipt) -> RequestCreated:
        decoded = (self.decoder.decode(log, 0) for log in receipt.logs)
        return next(event for event in decoded if isinstance(event, RequestCreated))

    def all_in(self, session: Session, requests: list[RequestId], status: Status) -> bool:
        return all(session.queue.status_of(each)[0] is status for each in requests)

    def until(self, work: Work, is_done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        with show.out.status("The worker works…"):
            while not is_done():
                if time.monotonic() > deadline:
                    raise ChainError(f"The worker has not answered in {PATIENCE:.0f} s.")
                work.go_on()

    def pass_time(self, seconds: int) -> None:
        if self.chain.is_embedded:
            skip_time(self.chain, seconds)
            return
        with show.out.status(f"Waiting {seconds} s…"):
            time.sleep(seconds)


def _narrate(_: Any, level: str, fields: Any) -> str:
    """A line of the worker's log as a line of the play."""
    sentence = fields.pop("event")
    values = (f"{name} {_brief(value)}" for name, value in fields.items() if value is not None)
    return f"worker {sentence}: {', '.join(values)}"


def _brief(value: Any) -> str:
    text = str(value)
    if len(text) < 60:
        return text
    return show.short(text if text.startswith("0x") else "0x" + text)


class Stage:
    """Prints beside the status line, without breaking it."""

    def __init__(self, *_: Any):
        pass

    def msg(self, line: str) -> None:
        show.out.print(f"  [dim]{line}[/]", soft_wrap=True)

    debug = info = warning = error = critical = msg


def rows_of_both_classes(sample: Sample) -> list[int]:
    """The first row of each class."""
    return [list(sample.targets).index(target) for target in range(len(sample.classes))]


def wait_for(chain: Chain, moment: int) -> None:
    """Until the next block is after `moment`."""
    while max(time.time(), chain.block("latest").time) <= moment:
        time.sleep(0.1)


@dataclass(frozen=True, slots=True)
class Here:
    """The worker in this process: works when told to."""

    tick: Callable[[], None]

    def go_on(self) -> None:
        self.tick()
        time.sleep(0.02)


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """The worker in a process of its own: works by itself."""

    process: "subprocess.Popen[bytes]"

    def go_on(self) -> None:
        if self.process.poll() is not None:
            raise ChainError(f"The worker stopped with exit code {self.process.returncode}.")
        time.sleep(0.2)


@contextmanager
def working_here(session: Session, operator: Signer) -> Iterator[Work]:
    settings = session.settings
    store = Store(
        f"sqlite:///{settings.home}/worker.db",
        session.chain.id,
        session.deployment.queue,
        operator.address,
    )
    answers = Answers(model_files(settings), Executor(processes=1))
    try:
        service = build(session, store, answers, Policy(operator.address), operator)
        yield Here(service.tick)
    finally:
        answers.close()
        store.close_engine()


@contextmanager
def working_elsewhere(session: Session, operator: Signer) -> Iterator[Work]:
    home = session.settings.home
    signers.create(session.settings.keys / "operator.json", PASSWORD, operator.account.key)
    with open(home / "worker.log", "wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "oracle.cli", "worker", "--key", "operator", "--poll", "0.2"],
            env=environment(session),
            stderr=log,
        )
    try:
        yield Elsewhere(process)
    finally:
        process.terminate()
        process.wait()


def environment(session: Session) -> dict[str, str]:
    settings = session.settings
    return os.environ | {
        "EXACTUM_HOME": str(settings.home),
        "EXACTUM_DEPLOYMENTS": str(settings.deployments),
        "EXACTUM_RPC": session.chain.url,
        "EXACTUM_PASSWORD": PASSWORD,
    }
