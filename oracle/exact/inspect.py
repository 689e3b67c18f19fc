"""What a program is made of, and what its elements would cost to prove wrong on chain.

The estimate of a proof: 35,000 gas, 160 a multiply-add (or a step like it) of the element, and 16 a
byte of the leaves that are opened for it. A row of K elements is taken to lie in one piece, which
may begin in the middle of a leaf.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from onnx import ModelProto

from oracle import merkle
from oracle.exact.ops import PRIMITIVES
from oracle.exact.program import Kind, Node, Op, Operand, Program

PROOF_GAS = 35_000
STEP_GAS = 160
BYTE_GAS = 16

# Families (the high byte of an op) of whose operands a row goes into one element: linear, reduce,
# windows. Of a tree's, as many leaves as the walk has steps. Of others', one element.
_BY_ROW = (0x01, 0x04, 0x06)


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
class Proof:
    """What it takes to prove one element of a node's value wrong."""

    node: int
    op: Op
    name: str
    steps: int
    leaves: int

    @property
    def gas(self) -> int:
        return PROOF_GAS + STEP_GAS * self.steps + BYTE_GAS * merkle.LEAF * self.leaves


@dataclass(frozen=True, slots=True)
class Inspection:
    """Bytes, and steps of one run."""

    primitives: tuple[Share, ...]
    lowered: tuple[Lowered, ...]
    steps: int
    weight_bytes: int
    live_bytes: int
    dearest: Proof


def inspect(file: bytes, program: Program) -> Inspection:
    """What the program is made of; `file` is what it was lowered from."""
    shares = _shares(program)
    return Inspection(
        shares,
        _lowered(file, program),
        sum(share.steps for share in shares),
        weight_bytes(program),
        live_bytes(program),
        max(
            (proof(index, node) for index, node in enumerate(program.nodes)),
            key=lambda found: found.gas,
        ),
    )


def proof(index: int, node: Node) -> Proof:
    """Of one element of the node's value."""
    cost = PRIMITIVES[node.op].cost(node)
    steps = max(1, -(-cost // max(1, node.output.elements)))
    leaves = 1 + sum(_leaves(node, operand, steps) for operand in node.operands)
    return Proof(index, node.op, node.name, steps, leaves)


def weight_bytes(program: Program) -> int:
    """Of all constants."""
    return sum(constant.type.nbytes for constant in program.constants)


def live_bytes(program: Program) -> int:
    """The most bytes of inputs and values that a run in order holds at once."""
    last = {
        operand.index: at
        for at, node in enumerate(program.nodes)
        for operand in node.operands
        if operand.kind is Kind.VALUE
    }
    last |= {output.index: len(program.nodes) for output in program.outputs}
    live = most = sum(type_.nbytes for type_ in program.signature.inputs)
    for at, node in enumerate(program.nodes):
        live += node.output.nbytes
        most = max(most, live)
        read = {operand.index for operand in node.operands if operand.kind is Kind.VALUE}
        live -= sum(program.nodes[index].output.nbytes for index in read if last[index] == at)
    return most


def _leaves(node: Node, operand: Operand, steps: int) -> int:
    """Of an operand, opened for one element."""
    own = merkle.leaf_count(operand.type.nbytes)
    if node.op is Op.TREE_WALK:
        return min(own, steps)
    # A bias is one element, whatever the row is.
    if node.op >> 8 not in _BY_ROW or operand.type.elements < steps - 1:
        return 1
    size = steps * operand.type.dtype.itemsize
    return min(own, merkle.leaf_count(size) + (size % merkle.LEAF != 0))


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
