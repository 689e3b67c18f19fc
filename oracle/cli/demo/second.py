"""The second act: an operator lies by the least there is, is convicted, and another answers."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from rich.table import Table

from oracle.chain.events import (
    Event,
    FraudCommitted,
    FraudProven,
    OperatorSlashed,
    PartDemanded,
    PartRevealed,
    PrepaidCollected,
    RequestCreated,
    ResultProposed,
    StakeAdded,
    Withdrawn,
)
from oracle.chain.watcher import Cursor
from oracle.cli import show
from oracle.cli.demo import crew
from oracle.cli.demo.crew import Operator, Program
from oracle.cli.demo.first import Asking
from oracle.cli.demo.money import Ledger
from oracle.cli.demo.stage import ETHER, Stage, act, scene
from oracle.cli.dispute import part_name
from oracle.errors import ChainError
from oracle.exact.lowering.graph import lower
from oracle.types import Request, RequestId, Status, Verdict

PATIENT, ANOTHER = 2, 3  # the rows that are lied about


@dataclass(frozen=True, slots=True)
class SecondAct:
    stage: Stage
    challenger: Program
    asking: Asking

    def run(self) -> RequestId:
        """Performs the act. Returns the request that is lied about."""
        act("Act two: an operator lies")
        ledger = Ledger(self.stage)
        request_id = self.ask()
        self.convict(ledger, request_id)
        self.answer_again(request_id)
        self.lie_by_signature()

        scene("The money", "every wei of this act accounted for")
        queue, patient = self.stage.session.queue, self.stage.cast.patient
        self.stage.transact(patient, queue.withdraw(patient.address))
        ledger.balance()
        return request_id

    def ask(self) -> RequestId:
        scene("A liar", "has a stake too; the honest operator's worker is off for now")
        self.stage.stake("liar", self.stage.cast.liar)
        show.out.print("  its worker answers with a probability one unit in the last place off,")
        show.out.print("  and will defend it with a trace in which that number is as it says")
        scene("The contract asks again", "about another patient")
        return self.stage.ask(self.asking.consumer, self.asking.sample, PATIENT).request_id

    def convict(self, ledger: Ledger, request_id: RequestId) -> None:
        scene("The challenger", "re-runs the result, and goes after what is wrong in it")
        with crew.liar(self.stage.session, self.stage.cast.liar) as liar:
            self.await_slash(liar, number=1)
        events = self.await_payment(ledger.opened)
        self.show_lie(request_id, events)
        self.show_steps(events)

    def lie_by_signature(self) -> None:
        scene("A lie by signature", "the liar has stake left, and a contract acts at once")
        since = self.stage.now()
        with crew.liar(self.stage.session, self.stage.cast.liar) as liar:
            signatures, sample = self.asking.signatures, self.asking.sample
            used = signatures.use(sample, ANOTHER, liar, [self.challenger])
            self.await_slash(liar, number=2)
        events = self.await_payment(since)
        self.show_steps(events)
        [slashed] = (event for event in events if isinstance(event, OperatorSlashed))
        compensation = show.ether(slashed.bond - slashed.reward - slashed.burned)
        show.out.print("  what the contract acted on was attested, and will never be final;")
        show.out.print(f"  its patient has {compensation} of the bond for that")
        self.take_back(used.received.request)

    def await_slash(self, liar: Operator, number: int) -> None:
        queue, account = self.stage.session.queue, self.stage.cast.liar.address

        def is_slashed() -> bool:
            return queue.account_of(account).epoch >= number

        self.stage.until([liar.program, self.challenger], is_slashed, "the liar is slashed")

    def await_payment(self, since: Cursor) -> list[Event]:
        """Lets the challenger collect all that is its. Gives the events since then."""
        stage, disputes = self.stage, self.stage.disputes
        queue, challenger = stage.session.queue, stage.cast.challenger.address

        def is_paid() -> bool:
            is_collected = stage.chain.balance(disputes.address) == 0
            return is_collected and queue.credit_of(challenger) == 0

        stage.until([self.challenger], is_paid, "the challenger has its money")
        return stage.events(since)

    def take_back(self, request: Request) -> None:
        """Lets a request expire that nobody but the liar could answer."""
        stage, queue = self.stage, self.stage.session.queue
        request_id = queue.id_of(request)
        if queue.status_of(request_id)[0] is not Status.EXPIRED:
            stage.pass_time(max(0, request.deadline - stage.chain.block("latest").time) + 1)
            stage.transact(stage.cast.patient, queue.expire(request))
        show.out.print(
            f"  nobody else may answer, so the request expires: {show.ether(request.fee)} credited"
            " to the patient, the whole fee"
        )

    def show_lie(self, request_id: RequestId, events: Iterable[Event]) -> None:
        verdict = next((e.verdict for e in events if isinstance(e, FraudProven)), None)
        if verdict is None:
            raise ChainError("The liar was slashed for its silence: this machine is too slow.")
        node = lower(self.asking.sample.onnx).nodes[verdict.node]
        shape = ",".join(map(str, node.output.shape))
        scene("The lie", "the one element that the referee judged")
        show.print_fields(
            "",
            {
                "request": show.hex_(request_id),
                "operator": f"{self.stage.cast.liar.address} (liar)",
                "node": f"{verdict.node}, {node.op.name} of the ONNX node {node.name!r}",
                "element": f"{verdict.element} of {node.output.dtype.name.lower()}[{shape}]",
                "claimed": number(verdict.claimed),
                "right": number(verdict.expected),
                "apart": f"{distance(verdict)} unit in the last place",
            },
        )

    def show_steps(self, events: Iterable[Event]) -> None:
        scene("The dispute", "each step is a transaction")
        steps: dict[bytes, str] = {}
        for event in events:
            said = sentence(event)
            if said is not None:
                steps.setdefault(event.where.transaction, said)
        table = Table("step", "by", "transaction")
        table.add_column("gas", justify="right")
        for transaction, said in steps.items():
            receipt = self.stage.chain.receipt(transaction)
            assert receipt is not None
            by = self.stage.name_of(self.stage.chain.sender_of(transaction))
            table.add_row(said, by, show.short(transaction), f"{receipt.gas_used:,}")
        show.out.print(table)
        for event in events:
            if isinstance(event, OperatorSlashed):
                show.out.print(
                    f"  slashed: the liar's bond of {show.ether(event.bond)};"
                    f" it is in epoch {event.epoch} now, what else it proposed before is void"
                )

    def answer_again(self, request_id: RequestId) -> None:
        stage = self.stage
        scene("The honest operator", "is back, and the request is open again, with its fee")
        with crew.operator(stage.session, stage.cast.operator) as operator:
            programs = [operator.program, self.challenger]
            stage.propose([request_id], programs)
            show.out.print(f"  {stage.window // 60} minutes pass, and nobody objects")
            stage.settle([request_id], programs)
        probability = self.asking.consumer.benign_probability(request_id) / ETHER
        stage.show_diagnosis(probability, self.asking.sample, PATIENT)
        stage.audit(request_id)


def sentence(event: Event) -> str | None:
    """Says what was done. Gives None for an event that only follows from another."""
    match event:
        case StakeAdded(amount=amount):
            return f"stakes {show.ether(amount)}"
        case RequestCreated(request=request) if request.is_callers:
            return f"posts what was signed, {show.ether(request.fee)}"
        case RequestCreated(request=request):
            return f"asks, {show.ether(request.fee)}"
        case ResultProposed(output=output):
            return f"answers 0x…{output.hex()[-8:]}"
        case PartDemanded(demand=demand):
            return f"demands {part_name(demand.part)}"
        case PartRevealed(part=part):
            return f"reveals {part_name(part)}"
        case FraudCommitted():
            return "commits to a proof"
        case FraudProven(verdict=verdict):
            return f"proves element {verdict.element} of node {verdict.node} wrong"
        case PrepaidCollected():
            return "collects what was prepaid"
        case Withdrawn(amount=amount):
            return f"withdraws {show.ether(amount)}"
        case _:
            return None


def number(bits: int) -> str:
    """Shows a float32: the shortest decimal that stands for no other, and its bits."""
    return f"{np.uint32(bits).view(np.float32)!s}  0x{bits:08x}"


def distance(verdict: Verdict) -> int:
    """Gives the distance of two floats of one sign, in units in the last place."""
    return abs(verdict.claimed - verdict.expected)
