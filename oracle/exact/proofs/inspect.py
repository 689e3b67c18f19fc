"""What a program is made of, and what its elements would cost at most to prove wrong on chain.

A proof must fit into one transaction, or a lie about that element is safe. That is a limit of
chains and not of the law. `lower` cuts what is too long into panels (`lowering/panels.py`) and
refuses nothing for it; who publishes asks `unprovable` what is still beyond it.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from onnx import ModelProto

from oracle.errors import Reason
from oracle.exact.ops import PRIMITIVES
from oracle.exact.program import Node, Op, OperandKind, Program
from oracle.exact.proofs.bounds import MOST_BYTES, MOST_GAS, Proof, bounds, dearest
from oracle.exact.proofs.pursuit import rounds


@dataclass(frozen=True, slots=True)
class Share:
    """Of one primitive in a program. `steps` are multiply-adds, or work like it."""

    op: Op
    nodes: int
    elements: int
    steps: int


@dataclass(frozen=True, slots=True)
class Lowered:
    """What became of all nodes of one ONNX op: primitives by name, or none where they were folded
    or are but a way of reading."""

    op: str
    nodes: int
    into: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Inspection:
    """Bytes, and steps of one run. `rounds` are the demands, one after another, that it may take to
    prove a lie."""

    primitives: tuple[Share, ...]
    lowered: tuple[Lowered, ...]
    steps: int
    weight_bytes: int
    live_bytes: int
    dearest: Proof
    rounds: int
    unprovable: tuple[Reason, ...]


def inspect(file: bytes, program: Program, model: bytes = b"") -> Inspection:
    """Describes what the program is made of and costs. `file` is what it was lowered from, or
    nothing where only the program is at hand; `model` is the preimage of the model's id."""
    shares = _shares(program)
    return Inspection(
        shares,
        _lowered(file, program) if file else (),
        sum(share.steps for share in shares),
        weight_bytes(program),
        live_bytes(program),
        max(
            (dearest(program, index, model) for index in range(len(program.nodes))),
            key=lambda found: found.gas,
        ),
        rounds(program),
        tuple(unprovable(program, model)),
    )


def unprovable(program: Program, model: bytes = b"") -> list[Reason]:
    """Names every node of which an element could perhaps not be proven wrong in one transaction.
    `model` is what the model's id is the hash of, which goes with a proof."""
    reasons = []
    for index, node in enumerate(program.nodes):
        found = bounds(program, index, model)
        gas, size = max(each.gas for each in found), max(each.size for each in found)
        limits = (gas, "gas", MOST_GAS), (size, "bytes", MOST_BYTES)
        over = [f"{needed:,} {unit} of {most:,}" for needed, unit, most in limits if needed > most]
        if over:
            why = f"to prove an element of node {index} wrong may take {' and '.join(over)}"
            advice = "use smaller tensors, or publish as VANILLA or --even-if-unprovable"
            reasons.append(Reason(node.name, node.op.name, why, advice))
    return reasons


def weight_bytes(program: Program) -> int:
    """Counts the bytes of all constants."""
    return sum(constant.type.nbytes for constant in program.constants)


def live_bytes(program: Program) -> int:
    """Gives the most bytes of inputs and values that a run in order holds at once."""
    last = {
        operand.index: at
        for at, node in enumerate(program.nodes)
        for operand in node.operands
        if operand.kind is OperandKind.VALUE
    }
    last |= {output.index: len(program.nodes) for output in program.outputs}
    live = most = sum(type_.nbytes for type_ in program.signature.inputs)
    for at, node in enumerate(program.nodes):
        live += node.output.nbytes
        most = max(most, live)
        read = {operand.index for operand in node.operands if operand.kind is OperandKind.VALUE}
        live -= sum(program.nodes[index].output.nbytes for index in read if last[index] == at)
    return most


def _shares(program: Program) -> tuple[Share, ...]:
    by_op: dict[Op, list[Node]] = {}
    for node in program.nodes:
        by_op.setdefault(node.op, []).append(node)
    shares = (
        Share(
            op,
            len(nodes),
            sum(node.output.elements for node in nodes),
            sum(PRIMITIVES[op].cost(node) for node in nodes),
        )
        for op, nodes in by_op.items()
    )
    return tuple(sorted(shares, key=lambda share: (-share.steps, share.op)))


def _lowered(file: bytes, program: Program) -> tuple[Lowered, ...]:
    nodes = ModelProto.FromString(file).graph.node
    ops = {node.name or (node.output[0] if node.output else ""): node.op_type for node in nodes}
    into: dict[str, Counter[str]] = {}
    for primitive in program.nodes:
        op = ops.get(primitive.name, "")
        into.setdefault(op, Counter())[primitive.op.name] += 1
    counts = Counter(node.op_type for node in nodes)
    return tuple(
        Lowered(op, count, dict(into.get(op, Counter()).most_common()))
        for op, count in counts.most_common()
    )
