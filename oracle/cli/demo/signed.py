"""Answers by signature: asked of an operator's server, checked, and acted on by a contract."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import repeat

import httpx2
import numpy as np
from rich.table import Table

from oracle.chain.contracts import Consumer
from oracle.chain.decoder import Decoder
from oracle.chain.deployer import create
from oracle.chain.events import RequestCreated, RequestSettled, ResultProposed
from oracle.chain.histories import RequestHistory
from oracle.chain.node import Chain
from oracle.chain.replies import Receipt
from oracle.cli import show
from oracle.cli.demo.crew import Operator, Program
from oracle.cli.demo.stage import BOND, FEE, Stage
from oracle.errors import ChainError
from oracle.samples import Sample
from oracle.serve.client import AskedOptions, Client, Received, checked
from oracle.serve.schemas import InferReply
from oracle.types import ModelId, RequestId

TIMEOUT = 120  # seconds: for so long a signed answer can be posted


@dataclass(frozen=True, slots=True)
class Used:
    """A signed answer on which a contract has acted."""

    received: Received
    receipt: Receipt
    seconds: float  # from when it was asked for until then

    @property
    def request_id(self) -> RequestId:
        return self.received.request_id


@dataclass(frozen=True, slots=True)
class Signatures:
    """A contract that acts on signed answers about one model, and a patient who has them."""

    stage: Stage
    model_id: ModelId
    consumer: Consumer

    @staticmethod
    def deploy(stage: Stage, model_id: ModelId) -> "Signatures":
        arguments = (stage.session.deployment.queue, model_id)
        deployed = create(stage.chain, stage.cast.publisher, "SignedConsumer", arguments)
        show.out.print(f"  SignedConsumer {deployed.address}")
        consumer = Consumer(stage.chain, "SignedConsumer", deployed.address)
        return Signatures(stage, model_id, consumer)

    def use(
        self, sample: Sample, row: int, operator: Operator, others: Sequence[Program] = ()
    ) -> Used:
        """Has the operator sign an answer about a patient, and the contract act on it."""
        stage, patient = self.stage, self.stage.cast.patient
        programs = [operator.program, *others]
        stage.until(programs, lambda: self._is_served(operator), "the operator signs answers")
        payload = sample.payload(row)
        asked = AskedOptions(BOND, stage.window, self._deadline(), refund_to=patient.address)
        client, consumer = Client(operator.url), self.consumer.address

        def ask() -> tuple[InferReply, float]:
            began = time.monotonic()
            reply = client.infer(self.model_id, payload, consumer, FEE, asked)
            return reply, time.monotonic() - began

        reply, waited = stage.meanwhile(programs, ask, "the answer is signed")
        began = time.monotonic()
        received = checked(
            reply,
            queue=stage.session.queue,
            model=self.model_id,
            terms=stage.session.registry.terms_of(self.model_id),
            payload=payload,
            consumer=consumer,
            fee=FEE,
            asked=asked,
        )
        call = self.consumer.act(
            payload, FEE, received.options, received.output, received.signature
        )
        receipt = stage.transact(patient, call)
        used = Used(received, receipt, waited + time.monotonic() - began)
        self._show(used, operator, waited)
        stage.show_diagnosis(self._probability(received), sample, row)
        return used

    def _deadline(self) -> int:
        """As the server counts, which goes by its own clock where the chain's last block is old."""
        return int(max(time.time(), self.stage.chain.block("latest").time)) + TIMEOUT

    def _is_served(self, operator: Operator) -> bool:
        try:
            found = httpx2.get(f"{operator.url}/v1/models/0x{self.model_id.hex()}")
        except httpx2.HTTPError:
            return False
        return found.status_code == 200

    def _probability(self, received: Received) -> float:
        """Reads what the contract keeps of the output, where the probability of benign is last."""
        word, output = self.consumer.last_word(), received.output
        if word != output.ljust(32, b"\0"):
            raise ChainError("The contract keeps something else than what was signed.")
        return float(np.frombuffer(output[-4:], ">f4")[0])

    def _show(self, used: Used, operator: Operator, waited: float) -> None:
        received = used.received
        show.out.print(
            f"  {operator.url} signs {show.short(used.request_id)} in {waited:.2f} s:"
            f" output 0x{received.output.hex()[:24]}…"
        )
        show.out.print(
            f"  the patient posts it, and in the same transaction the contract acts on it:"
            f" {show.ether(received.request.fee)} in escrow,"
            f" {show.ether(received.request.bond)} of the operator's stake locked,"
            f" {used.receipt.gas_used:,} gas"
        )


def compare(stage: Stage, windowed: RequestId, used: Used) -> None:
    """Shows what two settled answers took, one after its window and one by signature."""
    histories = [stage.session.history.request(each) for each in (windowed, used.request_id)]
    after, signed = (_gas(stage.chain, each) for each in histories)
    bond = show.ether(used.received.request.bond)
    table = Table("before a contract may act", "after the window", "by signature")
    table.add_row("transactions", str(len(after)), "1")
    table.add_row("gas", f"{sum(after):,}", f"{used.receipt.gas_used:,}")
    table.add_row("gas, with settling", f"{sum(after):,}", f"{sum(signed):,}")
    table.add_row("seconds", f"{_seconds(histories[0]):,}, by the chain", f"{used.seconds:.2f}")
    table.add_row("what it acts on", "final", f"attested; bond {bond}")
    show.out.print(table)


def _gas(chain: Chain, history: RequestHistory) -> list[int]:
    """Gives the gas of each transaction for a request: its share, where others are in it too."""
    events = [history.created, *history.events]
    transactions = dict.fromkeys(event.where.transaction for event in events)
    return [_share(chain.receipt(each)) for each in transactions]


def _share(receipt: Receipt | None) -> int:
    assert receipt is not None
    steps = RequestCreated | ResultProposed | RequestSettled
    events = map(Decoder().decode, receipt.logs, repeat(0))
    requests = {event.request_id for event in events if isinstance(event, steps)}
    return round(receipt.gas_used / len(requests))


def _seconds(history: RequestHistory) -> int:
    """Counts the seconds from asking to settling."""
    return history.events[-1].where.time - history.created.where.time
