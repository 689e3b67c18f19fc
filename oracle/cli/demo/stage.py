"""What both acts play on: a chain with the contracts, people with money, and how time goes by."""

import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from typing import TypeVar

from rich.panel import Panel
from rich.text import Text

from oracle.chain import keys as signers
from oracle.chain.codec import dispute_key
from oracle.chain.contracts import Consumer, Disputes
from oracle.chain.decoder import Decoder
from oracle.chain.deployer import deploy
from oracle.chain.devnet import fund, skip_time
from oracle.chain.events import Event, RequestCreated
from oracle.chain.keys import Signer
from oracle.chain.node import Call, Chain
from oracle.chain.presets import preset
from oracle.chain.replies import Receipt
from oracle.chain.watcher import Cursor, Watcher
from oracle.cli import show
from oracle.cli.audit import rerun
from oracle.cli.demo.crew import Program, all_confirmed, environment
from oracle.cli.files import model_files
from oracle.cli.session import Session
from oracle.cli.sweep import Limits
from oracle.config import Settings
from oracle.errors import ChainError
from oracle.inference.comparison import compare
from oracle.samples import Sample
from oracle.types import Address, RequestId, Status, Wei

T = TypeVar("T")

ETHER = 10**18
PURSE = Wei(10 * ETHER)
STAKE = Wei(ETHER)
FEE = Wei(ETHER // 100)
BOND = Wei(ETHER // 50)
# Seconds of a devnet, for objections, for an answer to a demand, and for the next step after it.
# Where the clock can be moved, so long that a busy machine misses none of them.
WINDOW = 3600
SHORT_WINDOW = 120  # where somebody sits through it
PATIENCE = 3600.0  # seconds of ours for what a program does; one that ends is seen at once


@dataclass(frozen=True, slots=True)
class Cast:
    """Who plays: each with a key and a purse of its own."""

    publisher: Signer
    operator: Signer
    liar: Signer
    challenger: Signer
    patient: Signer

    def people(self) -> Iterator[tuple[str, Address]]:
        for field in fields(self):
            yield field.name, getattr(self, field.name).address


@dataclass(frozen=True, slots=True)
class Stage:
    session: Session
    cast: Cast
    window: int

    @staticmethod
    def set_up(chain: Chain, settings: Settings) -> "Stage":
        """Gives everybody a purse, and deploys the contracts."""
        cast = Cast(*(signers.from_key(secrets.token_bytes(32)) for _ in fields(Cast)))
        scene("The stage", f"chain {chain.id}, {chain.name}")
        for name, account in cast.people():
            fund(chain, account, PURSE)
            show.out.print(f"  {name:<10} {account}  {show.ether(PURSE)}")
        path = settings.deployments / f"{chain.id}.json"
        window = WINDOW if _can_skip_time(chain) else SHORT_WINDOW
        parameters = replace(
            preset("devnet"),
            withdrawal_delay=window,
            reveal_period=window,
            reaction_period=window,
            extension_limit=6 * window,
        )
        deployed = deploy(chain, cast.publisher, parameters, path)
        for name, contract in deployed.contracts.items():
            show.out.print(f"  {name:<15} {contract.address}  code {contract.code_hash[:18]}…")
        return Stage(Session(settings, chain, deployed), cast, window)

    @property
    def chain(self) -> Chain:
        return self.session.chain

    @property
    def disputes(self) -> Disputes:
        return Disputes(self.chain, self.session.deployment)

    def name_of(self, account: Address) -> str:
        names = {address: name for name, address in self.cast.people()}
        deployed = self.session.deployment.contracts.items()
        names |= {contract.address: name for name, contract in deployed}
        return names.get(account, show.short(account))

    # What people do.

    def transact(self, signer: Signer, call: Call) -> Receipt:
        return self.session.transact(signer, call)

    def ask(self, consumer: Consumer, sample: Sample, row: int) -> RequestCreated:
        """Lets a patient ask through the contract."""
        receipt = self.transact(self.cast.patient, consumer.ask(sample.payload(row), FEE))
        created = created_by(receipt)
        show.out.print(
            f"  patient row {row} asks through the contract: {show.short(created.request_id)},"
            f" {show.ether(FEE)} in escrow, {receipt.gas_used:,} gas"
        )
        return created

    def stake(self, who: str, signer: Signer) -> None:
        receipt = self.transact(signer, self.session.queue.stake(STAKE))
        show.out.print(f"  {who} staked {show.ether(STAKE)}, {receipt.gas_used:,} gas")

    def propose(self, requests: Sequence[RequestId], crew: Sequence[Program]) -> None:
        """Lets the programs work until all requests are answered, and the challenger has found
        nothing wrong in the answers."""
        self.until(crew, lambda: self._have_reached(requests, Status.PROPOSED), "all is answered")
        keys = [self._dispute_of(each) for each in requests]
        challenger = self.cast.challenger

        def are_confirmed() -> bool:
            return all_confirmed(self.session, challenger, keys)

        self.until(crew, are_confirmed, "the challenger has re-run it")

    def settle(self, requests: Sequence[RequestId], crew: Sequence[Program]) -> None:
        """Lets the programs work until the window is over and all requests are settled."""
        self.pass_time(self.window)
        self.until(crew, lambda: self._have_reached(requests, Status.SETTLED), "all is settled")

    def show_diagnosis(self, probability: float, sample: Sample, row: int) -> None:
        """Shows what a contract keeps of a result."""
        said = sample.classes[int(probability > 0.5)]
        show.out.print(
            show.styled(
                "  on chain, for row {}: P(benign) = {} → [bold]{}[/] (the biopsy said {})",
                row,
                f"{probability:.6f}",
                said,
                sample.classes[sample.targets[row]],
            )
        )

    def audit(self, request_id: RequestId) -> None:
        """Raises where the result is not what the model computes."""
        if not self.chain.is_embedded:
            show.out.print(f"  $ exactum audit {show.hex_(request_id)}")
            command = ("-m", "oracle.cli", "audit", show.hex_(request_id))
            subprocess.run([sys.executable, *command], env=environment(self.session), check=True)
            return
        found = self.session.history.request(request_id)
        model = self.session.history.model(found.created.request.model).model
        assert found.proposed is not None
        file = model_files(self.session.settings).fetch(model.file, ())
        output = rerun(file, model, found.created.payload, Limits(1, 600, 4 << 30))
        elements = compare(found.proposed.output, output, model.signature.outputs)
        if not all(element.matches for element in elements):
            raise ChainError(f"The audit of 0x{request_id.hex()} found a mismatch.")
        show.out.print(
            show.styled(
                "  {} {}: recomputed {}…, [green]all {} elements equal, every bit[/]",
                show.short(request_id),
                model.name,
                f"0x{output.hex()[:24]}",
                len(elements),
            )
        )

    # What happened.

    def now(self) -> Cursor:
        block = self.chain.block("latest")
        return Cursor(block.number, block.hash)

    def events(self, since: Cursor) -> list[Event]:
        watcher = Watcher(self.chain, self.session.deployment, confirmations=0)
        return [event for step in watcher.steps(since) for event in step.events]

    def _dispute_of(self, request_id: RequestId) -> bytes:
        """Gives the key of a dispute about the result that stands."""
        proposed = self.session.history.request(request_id).proposed
        assert proposed is not None
        return dispute_key(request_id, proposed.proposal, proposed.output)

    def _have_reached(self, requests: Sequence[RequestId], status: Status) -> bool:
        return all(self.session.queue.status_of(each)[0] >= status for each in requests)

    # How time goes by.

    def until(self, crew: Sequence[Program], is_done: Callable[[], bool], what: str) -> None:
        """Lets the programs work until then."""
        deadline = time.monotonic() + PATIENCE
        with show.out.status(f"Waiting until {what}…"):
            while not is_done():
                if time.monotonic() > deadline:
                    raise ChainError(f"It takes more than {PATIENCE:.0f} s until {what}.")
                for program in crew:
                    program.go_on()

    def meanwhile(self, crew: Sequence[Program], work: Callable[[], T], what: str) -> T:
        """Lets the programs work until `work` is done, in a thread of its own."""
        with ThreadPoolExecutor(max_workers=1) as pool:
            future = pool.submit(work)
            self.until(crew, future.done, what)
        return future.result()

    def pass_time(self, seconds: int) -> None:
        if _can_skip_time(self.chain):
            skip_time(self.chain, seconds)
            return
        with show.out.status(f"Waiting {seconds} s…"):
            time.sleep(seconds)


def _can_skip_time(chain: Chain) -> bool:
    """Says whether this devnet's clock can be moved, and moves it by a second to find out."""
    try:
        skip_time(chain, 1)
    except ChainError:
        return False
    return True


def act(title: str) -> None:
    show.out.print()
    show.out.rule(Text(title, "bold"))


def scene(title: str, subtitle: str) -> None:
    show.out.print()
    show.out.print(
        Panel(show.styled("[bold]{}[/] · {}", title, subtitle), expand=False, border_style="blue")
    )


def created_by(receipt: Receipt) -> RequestCreated:
    decoder = Decoder()
    decoded = (decoder.decode(log, 0) for log in receipt.logs)
    return next(event for event in decoded if isinstance(event, RequestCreated))
