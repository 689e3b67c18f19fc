"""Gas of convicting a liar: whole transactions on anvil, by Prague's rules with EIP-7623's floor.

Real contracts and real models: each is published, asked and answered wrongly by an operator with a
stake, who goes on from its lie honestly. `proof` is `proveFraud` alone, of a lie of one unit in the
last place in an element of that kind. `conviction` is all that it takes: the demands of the
challenger's own pursuit, the operator's answers, the announcement and the proof, of a lie in the
middle of the network, in the element that costs most. `silent` is a demand that nobody answers, and
the timeout. With --json the last line is one JSON object.
"""

import argparse
import hashlib
import json
import secrets
import sys
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import product
from pathlib import Path
from typing import TypeVar

import numpy as np
from rich.console import Console
from rich.table import Table

from oracle import samples
from oracle.chain import keys as signers
from oracle.chain.codec import commitment, dispute_key, model_preimage
from oracle.chain.connection import connect
from oracle.chain.contracts import Disputes, Options, Queue, Registry, Subject
from oracle.chain.decoder import Decoder
from oracle.chain.deployer import deploy
from oracle.chain.deployment import Deployment
from oracle.chain.devnet import anvil, fund, skip_time
from oracle.chain.events import (
    FraudProven,
    OperatorSlashed,
    PartDemanded,
    RequestCreated,
    ResultProposed,
    WindowMoved,
)
from oracle.chain.keys import Signer
from oracle.chain.node import Call, Chain
from oracle.chain.presets import preset
from oracle.chain.replies import Receipt
from oracle.chain.transactions import transact
from oracle.cli.demo.liar import output_of, traced
from oracle.exact.lowering.graph import lower
from oracle.exact.program import Node, Op, OperandKind, Program
from oracle.exact.proofs.evidence import Payloads, WholeTrace, build, descriptors, runs
from oracle.exact.proofs.reads import reads
from oracle.exact.proofs.revealed import RevealedTrace
from oracle.exact.proofs.trace import Trace, trace
from oracle.exact.run import Runner
from oracle.inference import findings
from oracle.inference.findings import Fraud, Question
from oracle.merkle import depth_of
from oracle.tensor import Array, to_bytes
from oracle.types import VALUE_TREE, Assurance, Model, ModelId, Part, Wei
from scripts.models import RealModel, networks, tabular
from scripts.prose import wrapped
from tests.unit.exact.files import file, node, tensor

T = TypeVar("T")

PAGE = Path(__file__).resolve().parent.parent / "docs/benchmarks.md"
HEADING = "## Disputes"
ETHER = 10**18
GWEI = 10**9
WINDOW = 3600
# Units in the last place that a lie is off by: one, a factor of 256, the sign, both.
LIES = (1, 1 << 26, 1 << 31, (1 << 31) + (1 << 26))
LENGTHS = (64, 128, 256, 384, 512, 1024, 2048, 4096, 8192, 14336)

# Gas, of a proof by how many products its element is the sum of.
PROOF_BARS = ((384, 500_000), (4_096, 1_600_000), (14_336, 1 << 24))
CONVICTION_BARS = {"minilm-l3": 3_000_000}
SILENT_BAR = 300_000


@dataclass(frozen=True, slots=True)
class Step:
    """One transaction."""

    what: str
    gas: int
    size: int  # bytes of calldata

    @staticmethod
    def of(what: str, receipt: Receipt, call: Call) -> "Step":
        return Step(what, receipt.gas_used, len(call.data))


@dataclass(frozen=True, slots=True)
class Proof:
    """`length`: how many products or terms the element is the sum of."""

    case: str
    length: int
    step: Step
    proof: int  # bytes

    @property
    def bar(self) -> int:
        return next(bar for most, bar in PROOF_BARS if self.length <= most)


@dataclass(frozen=True, slots=True)
class Conviction:
    """`what`: the op that the lie is in, or nothing where nobody answered."""

    model: str
    what: str
    steps: tuple[Step, ...]

    @property
    def gas(self) -> int:
        return sum(step.gas for step in self.steps)

    def gas_of(self, what: str) -> int:
        return sum(step.gas for step in self.steps if step.what == what)

    @property
    def bar(self) -> int | None:
        return CONVICTION_BARS.get(self.model)


@dataclass(frozen=True, slots=True)
class Lie:
    """One element of a node's value, so many units in the last place further from zero."""

    node: int
    element: int
    by: int = 1


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """A model that operators lie about, and the honest run. `ops`: whose proofs are measured."""

    name: str
    onnx: bytes
    program: Program
    inputs: tuple[Array, ...]
    honest: Trace
    sources: WholeTrace
    ops: tuple[Op, ...]

    @property
    def payload(self) -> bytes:
        return b"".join(map(to_bytes, self.inputs))

    def lying_trace(self, lie: Lie) -> Trace:
        """Makes the trace of an operator that tells the lie."""

        def tamper(node: int, value: Array) -> Array:
            return off(value, lie) if node == lie.node else value

        return traced(Runner(self.program), self.inputs, tamper)


def case(model: RealModel, ops: tuple[Op, ...], name: str = "") -> Case:
    onnx, inputs = model.onnx(), model.inputs()
    program = lower(onnx, model.dims)
    honest = trace(Runner(program), inputs)
    sources = WholeTrace(honest, inputs)
    return Case(name or model.name, onnx, program, inputs, honest, sources, ops)


class Court:
    """One who asks, one who lies, one who finds out; the deployment is a devnet's."""

    def __init__(
        self, chain: Chain, deployment: Deployment, user: Signer, liar: Signer, challenger: Signer
    ):
        self.chain = chain
        self.queue = Queue(chain, deployment)
        self.registry = Registry(chain, deployment)
        self.disputes = Disputes(chain, deployment)
        self.user = user
        self.liar = liar
        self.challenger = challenger
        self.decoder = Decoder()
        self._models: dict[bytes, Model] = {}

    def model(self, case: Case) -> Model:
        if case.onnx not in self._models:
            model = self._models[case.onnx] = Model(
                publisher=self.user.address,
                name=case.name,
                version="1",
                program_root=case.program.root,
                source_hash=hashlib.sha256(case.onnx).digest(),
                signature=case.program.signature,
                assurance=Assurance.EXACT,
                royalty=Wei(0),
            )
            transact(self.chain, self.user, self.registry.publish(model, ""))
        return self._models[case.onnx]

    def propose(self, case: Case, output: bytes) -> Subject:
        """Requests an inference and proposes `output` as the liar's answer."""
        model_id: ModelId = self.registry.id_of(self.model(case))
        options = Options(bond=Wei(ETHER), window=WINDOW, timeout=WINDOW)
        call = self.queue.request(model_id, case.payload, Wei(ETHER // 100), options)
        [asked] = self.events(transact(self.chain, self.user, call), RequestCreated)
        receipt = transact(self.chain, self.liar, self.queue.propose([(asked.request, output)]))
        [proposed] = self.events(receipt, ResultProposed)
        return Subject(asked.request, proposed.proposal, output)

    def demand(
        self, case: Case, subject: Subject, asked: Question
    ) -> tuple[Step, PartDemanded, Subject]:
        prepaid = self.disputes.price_of(asked.part, asked.values, asked.leaves)
        call = self.disputes.demand(
            subject, asked.part, model_preimage(self.model(case)), asked.descriptors, prepaid
        )
        receipt = transact(self.chain, self.challenger, call)
        [demanded] = self.events(receipt, PartDemanded)
        return Step.of("demand", receipt, call), demanded, self.moved(subject, receipt)

    def reveal(
        self, subject: Subject, demanded: PartDemanded, trace: Trace
    ) -> tuple[Step, Subject]:
        data, siblings = trace.open_part(demanded.demand.part)
        call = self.disputes.reveal(subject, demanded.demand, data, siblings)
        receipt = transact(self.chain, self.liar, call)
        return Step.of("reveal", receipt, call), self.moved(subject, receipt)

    def convict(self, case: Case, subject: Subject, proof: bytes) -> tuple[Step, Step]:
        """Announces a proof and proves fraud with it."""
        salt = secrets.token_bytes(32)
        key = self.key_of(subject)
        commit = self.disputes.commit(commitment(self.challenger.address, key, proof, salt))
        committed = transact(self.chain, self.challenger, commit)
        model = model_preimage(self.model(case))
        prove = self.disputes.prove(subject, model, proof, salt)
        proven = transact(self.chain, self.challenger, prove)
        assert len(self.events(proven, FraudProven)) == 1
        assert len(self.events(proven, OperatorSlashed)) == 1
        return Step.of("commit", committed, commit), Step.of("prove", proven, prove)

    def silence(self, case: Case) -> Conviction:
        """Makes the first demand of a pursuit, which nobody answers, and the timeout."""
        output = output_of(worst(case)[1])
        subject = self.propose(case, output)
        asked = next_step(case, RevealedTrace(case.honest), output)
        assert isinstance(asked, Question), "a lie that nothing need be asked about"
        first, demanded, subject = self.demand(case, subject, asked)
        skip_time(self.chain, preset("devnet").reveal_period + 1)
        call = self.disputes.timeout(subject, demanded.demand)
        receipt = transact(self.chain, self.challenger, call)
        assert len(self.events(receipt, OperatorSlashed)) == 1
        return Conviction(case.name, "", (first, Step.of("timeout", receipt, call)))

    def pursue(self, case: Case) -> Conviction:
        """Does all that the challenger does about a lie in the middle, and gives it the liar's
        answers."""
        lie, lying = worst(case)
        output = output_of(lying)
        subject = self.propose(case, output)
        known = RevealedTrace(case.honest)
        steps: list[Step] = []
        while isinstance(found := next_step(case, known, output), Question):
            first, demanded, subject = self.demand(case, subject, found)
            second, subject = self.reveal(subject, demanded, lying)
            steps += [first, second]
            if known.root is None:
                known = RevealedTrace(case.honest, lying.root)
            assert known.add(found.part, *lying.open_part(found.part))
        assert found.node == lie.node
        steps += self.convict(case, subject, found.proof)
        return Conviction(case.name, label(case, found.node), tuple(steps))

    def prove(self, case: Case, name: str, at: int) -> Proof:
        """Proves a lie of one unit in the last place."""
        lie = Lie(at, elements(case, at)[0])
        lying = case.lying_trace(lie)
        subject = self.propose(case, output_of(lying))
        count = len(case.program.nodes)
        top = Part(VALUE_TREE, depth_of(count), 0, 1)
        asked = Question(top, count, 0, descriptors(case.program))
        _, demanded, subject = self.demand(case, subject, asked)
        _, subject = self.reveal(subject, demanded, lying)
        proof = build(case.program, at, lie.element, WholeTrace(lying, case.inputs))
        _, proven = self.convict(case, subject, proof)
        return Proof(name, length_of(case, lie), proven, len(proof))

    def moved(self, subject: Subject, receipt: Receipt) -> Subject:
        """Gives the subject as it stands after the transaction."""
        for event in self.events(receipt, WindowMoved):
            subject = replace(subject, proposal=event.proposal)
        return subject

    def key_of(self, subject: Subject) -> bytes:
        id_ = self.queue.id_of(subject.request)
        return dispute_key(id_, subject.proposal, subject.output)

    def events(self, receipt: Receipt, kind: type[T]) -> list[T]:
        found = (self.decoder.decode(log, 0) for log in receipt.logs)
        return [event for event in found if isinstance(event, kind)]


def next_step(case: Case, known: RevealedTrace, output: bytes) -> Question | Fraud:
    """Gives what the challenger does next about a wrong output."""
    finding = findings.find(known, case.inputs, Payloads(case.payload, output))
    found = finding.question or finding.fraud
    assert found is not None, "the output is right"
    return found


# LIES


@cache
def worst(case: Case) -> tuple[Lie, Trace]:
    """Finds the node whose proof opens most leaves, of several the one nearest to the middle, and a
    lie there that changes the output."""
    middle = len(case.program.nodes) / 2
    right = output_of(case.honest)

    def rank(at: int) -> tuple[int, float]:
        return -leaves_of(case, Lie(at, elements(case, at)[0])), abs(at - middle)

    for at in sorted(range(len(case.program.nodes)), key=rank):
        for element, by in product(elements(case, at)[:8], LIES):
            lie = Lie(at, element, by)
            lying = case.lying_trace(lie)
            if output_of(lying) != right:
                return lie, lying
    raise AssertionError(f"{case.name}: no lie is seen in the output")


@cache
def elements(case: Case, at: int) -> list[int]:
    """Picks up to 64 elements of a node, evenly spread, those first whose proofs open most
    leaves."""
    count = case.program.nodes[at].output.elements
    spread = sorted({count * (2 * n + 1) // 128 for n in range(64)})
    return sorted(spread, key=lambda element: -leaves_of(case, Lie(at, element)))


def leaves_of(case: Case, lie: Lie) -> int:
    opened = runs(case.program, lie.node, lie.element, case.sources)
    return sum(count for *_, count in opened)


def off(value: Array, lie: Lie) -> Array:
    """Gives the value with the lie in it."""
    data = bytearray(to_bytes(value))
    size = value.dtype.itemsize
    place = slice(lie.element * size, (lie.element + 1) * size)
    bits = int.from_bytes(data[place], "big") + lie.by
    data[place] = (bits % (1 << 8 * size)).to_bytes(size, "big")
    read = np.frombuffer(bytes(data), value.dtype.newbyteorder(">"))
    return np.asarray(read.astype(value.dtype).reshape(value.shape))


def length_of(case: Case, lie: Lie) -> int:
    """Counts the products or terms that the element is the sum of; 1 if it is no sum."""
    node = case.program.nodes[lie.node]

    def look(operand: int, place: int) -> int:
        return case.sources.element(node.operands[operand], place)

    return sum(read.count for read in reads(node, lie.element, look) if read.operand == 0)


# MODELS


def models(quick: bool) -> Iterator[Case]:
    """Yields what is disputed, each with the ops whose proofs are measured."""
    sample = samples.breast_cancer()
    first = (sample.rows[:1],)
    logistic = RealModel("logistic", "", lambda: sample.onnx, lambda: first)
    yield case(logistic, (Op.DOT, Op.SIGMOID))
    if quick:
        return
    rows = {model.name: model for model in tabular()}
    nets = {model.name: model for model in networks()}
    yield case(rows["iris-forest"], (Op.TREE_WALK, Op.REDUCE_SUM), "trees")
    yield case(RealModel("mlp-784-128-10", "", perceptron, image), (Op.DOT, Op.EXP, Op.DIV))
    for name, ops in (
        ("magika", (Op.CONV, Op.DOT, Op.TANH)),
        ("mtcnn-onet", (Op.CONV, Op.DOT, Op.MAX_POOL)),
        ("minilm-l3", (Op.DOT, Op.EXP, Op.DIV, Op.ERF, Op.REDUCE_MEAN, Op.SQRT, Op.GATHER)),
    ):
        if nets[name].is_here:
            yield case(nets[name], ops)


def perceptron() -> bytes:
    """Builds a network 784 → 128 → 10 with random weights. A proof costs the same for trained
    ones."""
    nodes = [
        node("Gemm", ["x", "w", "b"], ["h"]),
        node("Relu", ["h"], ["r"]),
        node("Gemm", ["r", "v", "c"], ["z"]),
        node("Softmax", ["z"], ["y"]),
    ]
    weights = {"w": numbers(1, 784, 128), "b": numbers(2, 128)}
    weights |= {"v": numbers(3, 128, 10), "c": numbers(4, 10)}
    return file(nodes, [tensor("x", (1, 784))], [tensor("y", (1, 10))], **weights)


def image() -> tuple[Array, ...]:
    return (np.abs(numbers(5, 1, 784)) * 8,)


def rows_of(length: int) -> Case:
    """Makes a case with one product of two rows, one a value and one weights."""
    nodes = [node("Mul", ["x", "s"], ["v"]), node("MatMul", ["v", "w"], ["y"])]
    weights = {"s": numbers(1, length), "w": numbers(2, length, 4)}
    made: bytes = file(nodes, [tensor("x", (1, length))], [tensor("y", (1, 4))], **weights)
    inputs = (numbers(3, 1, length),)
    return case(RealModel(f"dot-{length}", "", lambda: made, lambda: inputs), (Op.DOT,))


def numbers(seed: int, *shape: int) -> Array:
    """Draws numbers about as large as weights are, with all their bits in use."""
    found = np.random.default_rng(seed).standard_normal(shape, np.float32)
    return np.asarray(found / np.float32(8), np.float32)


def chosen(case: Case) -> Iterator[tuple[str, int]]:
    """Yields for each op the node whose elements are the longest sums. Where there are also
    products of values by values, as in attention, it yields the longest of those as well. Of
    quotients it takes a Softmax's."""
    nodes = case.program.nodes

    def length(at: int) -> int:
        return length_of(case, Lie(at, elements(case, at)[0]))

    for op in case.ops:
        found = [at for at, each in enumerate(nodes) if each.op is op]
        softmax = [at for at in found if op is Op.DIV and is_of(nodes, at, Op.EXP)]
        found = softmax or found
        best = max(found, key=length)
        name = case.name if case.name.startswith("dot-") else f"{case.name} {label(case, best)}"
        yield name, best
        values = [at for at in found if is_of_values(nodes[at])]
        if op is Op.DOT and values and best not in values:
            longest = max(values, key=length)
            yield f"{case.name} attention {label(case, longest)}", longest


def is_of(nodes: Sequence[Node], at: int, op: Op) -> bool:
    first = nodes[at].operands[0]
    return first.kind is OperandKind.VALUE and nodes[first.index].op is op


def is_of_values(record: Node) -> bool:
    return all(operand.kind is OperandKind.VALUE for operand in record.operands)


def label(case: Case, at: int) -> str:
    length = length_of(case, Lie(at, elements(case, at)[0]))
    name = case.program.nodes[at].op.name
    return f"{name} of {length:,}" if length > 1 else name


# MEASURING


def court_on(url: str) -> Court:
    """Deploys the contracts, and gives the liar a stake."""
    chain = connect(url)
    people = [signers.from_key(secrets.token_bytes(32)) for _ in range(3)]
    for each in people:
        fund(chain, each.address, Wei(1000 * ETHER))
    with tempfile.TemporaryDirectory() as folder:
        deployment = deploy(chain, people[0], preset("devnet"), Path(folder) / "deployment.json")
    court = Court(chain, deployment, *people)
    transact(chain, court.liar, court.queue.stake(Wei(500 * ETHER)))
    return court


def measure(url: str, quick: bool) -> tuple[list[Proof], list[Conviction], list[Conviction]]:
    """Measures proofs, convictions, and operators that were silent."""
    court = court_on(url)
    proofs: list[Proof] = []
    convictions, silent = [], []
    for number, made in enumerate(models(quick)):
        if not number:  # so that nobody's first reward is measured
            court.pursue(made)
        proofs += [court.prove(made, *found) for found in chosen(made)]
        convictions.append(court.pursue(made))
        silent.append(court.silence(made))
    for length in LENGTHS[: 2 if quick else None]:
        row = rows_of(length)
        proofs += [court.prove(row, *found) for found in chosen(row)]
    return proofs, convictions, silent


# TABLES

PROOF_HEAD = ("proof of", "sum of", "proof", "calldata", "gas", "bar")
CONVICTION_HEAD = (
    *("model", "lie in", "demands", "demand", "reveal", "commit", "prove"),
    *("calldata", "gas", "bar"),
)
SILENT_HEAD = ("model", "demand", "timeout", "calldata", "gas", "bar")


def proof_row(each: Proof) -> tuple[str, ...]:
    sizes = f"{each.length:,}", f"{each.proof:,}", f"{each.step.size:,}"
    return each.case, *sizes, f"{each.step.gas:,}", bar_of(each.step.gas, each.bar)


def conviction_row(each: Conviction) -> tuple[str, ...]:
    parts = (f"{each.gas_of(what):,}" for what in ("demand", "reveal", "commit", "prove"))
    demands = str(sum(step.what == "demand" for step in each.steps))
    size = f"{sum(step.size for step in each.steps):,}"
    total = f"{each.gas:,}", bar_of(each.gas, each.bar)
    return each.model, each.what, demands, *parts, size, *total


def silent_row(each: Conviction) -> tuple[str, ...]:
    parts = (f"{each.gas_of(what):,}" for what in ("demand", "timeout"))
    size = f"{sum(step.size for step in each.steps):,}"
    return each.model, *parts, size, f"{each.gas:,}", bar_of(each.gas, SILENT_BAR)


def bar_of(gas: int, bar: int | None) -> str:
    if bar is None:
        return ""
    return f"≤ {bar:,}" + ("" if gas <= bar else ": missed")


def table(title: str, head: Sequence[str], rows: Sequence[tuple[str, ...]]) -> Table:
    made = Table(title=title)
    for at, name in enumerate(head):
        made.add_column(name, no_wrap=at == 0, justify="left" if at == 0 else "right")
    for row in rows:
        made.add_row(*row, style="red" if row[-1].endswith("missed") else None)
    return made


def markdown(head: Sequence[str], rows: Sequence[tuple[str, ...]]) -> list[str]:
    lines = ["| " + " | ".join(head) + " |", "|---|" + "--:|" * (len(head) - 1)]
    return lines + ["| " + " | ".join(row) + " |" for row in rows] + [""]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, prog="./dev bench dispute")
    parser.add_argument("--json", action="store_true", help="print one JSON object, last")
    either = parser.add_mutually_exclusive_group()
    either.add_argument("--write", action="store_true", help=f"renew {PAGE.name}: {HEADING[3:]}")
    either.add_argument("--quick", action="store_true", help="one model, short rows")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")

    with anvil() as url:
        proofs, convictions, silent = measure(url, arguments.quick)

    tables = [
        ("Proofs of one wrong element", PROOF_HEAD, list(map(proof_row, proofs))),
        ("Convictions", CONVICTION_HEAD, list(map(conviction_row, convictions))),
        ("Silence", SILENT_HEAD, list(map(silent_row, silent))),
    ]
    console = Console(stderr=arguments.json, width=None if sys.stderr.isatty() else 120)
    for each in tables:
        console.print(table(*each))
    missed = [
        f"{title}: {row[0]}" for title, _, rows in tables for row in rows if "missed" in row[-1]
    ]
    console.print(f"bars missed: {'; '.join(missed) or 'none'}", style="red" if missed else "green")
    if arguments.write:
        write(tables)
    if arguments.json:
        found = {
            "proof": {each.case: each.step.gas for each in proofs},
            "conviction": {each.model: each.gas for each in convictions},
            "silent": max(each.gas for each in silent),
        }
        print(json.dumps(found))
    return int(bool(missed))


def write(tables: Sequence[tuple[str, Sequence[str], Sequence[tuple[str, ...]]]]) -> None:
    """Writes our section, which is the last one of the page."""
    before = PAGE.read_text().partition(HEADING)[0].rstrip()
    intro = (
        "Written by `./dev bench dispute --write`: gas of whole transactions on anvil by Prague's"
        " rules, EIP-7623's floor included, by actors who did the same before: a first reward, a"
        " first compensation and the first burn cost 59,000 more. A proof is `proveFraud` against"
        " a lie of one unit in the last place, the slash included. A conviction is all demands,"
        " answers, announcement and proof against a lie in the middle of the network, in the"
        " element that opens most leaves; collecting and withdrawing money is not in it. Calldata"
        " in bytes."
    )
    lines = [before, "", HEADING, "", wrapped(intro), ""]
    for title, head, rows in tables:
        lines += [f"### {title}", "", *markdown(head, rows)]
    PAGE.write_text("\n".join(lines))


if __name__ == "__main__":
    sys.exit(main())
