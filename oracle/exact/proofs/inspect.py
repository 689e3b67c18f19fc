"""What a program is made of, and what its elements would cost to prove wrong on chain.

The price of a proof is that of its calldata, byte by byte (EIP-7623), and of the work on it, as
`contracts/ops` were measured (tests/parity): so much for the proof, an operand, a leaf, a sibling,
and an element that is read. It holds for what random numbers make of it; a sum of numbers far apart
takes up to four times the work. Where what is read depends on what an input says, the dearest that
it may say is taken, and of a tensor the dearest of a few elements.

A proof must fit into one transaction, or a lie about that element is safe. That is a limit of
chains and not of the law: `lower` knows none, and who publishes asks `unprovable`.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from onnx import ModelProto

from oracle import merkle
from oracle.errors import Reason
from oracle.exact.ops import PRIMITIVES
from oracle.exact.ops.trees import WIDTH
from oracle.exact.program import Node, Op, OperandKind, Program, ValueType
from oracle.exact.proofs.evidence import descriptors, leaves_of
from oracle.exact.proofs.reads import Read, reads

TRANSACTION_GAS = 21_000
CONVICTION_GAS = 100_000
"""Of `proveFraud`, without the referee."""
PROOF_GAS = 32_000
OPERAND_GAS = 4_000
LEAF_GAS = 150
SIBLING_GAS = 250
# Work, and the floor under all work, of a zero byte of calldata; other bytes take four times that.
WORK_ZERO_GAS, FLOOR_ZERO_GAS = 4, 10
_SUM_GAS, _ORDER_GAS = 115, 280
# What one transaction may take: gas since EIP-7825, and bytes that nodes pass on.
MOST_GAS, MOST_BYTES = 1 << 24, 1 << 17
_ENVELOPE = 1_500
"""Bytes of such a transaction besides the proof, the payloads and the model."""
_FAR_APART = 4
# An element that is read, of primitives that read many.
_ELEMENT_GAS = {
    Op.DOT: 65,
    Op.CONV: 65,
    Op.REDUCE_SUM: _SUM_GAS,
    Op.REDUCE_MEAN: _SUM_GAS,
    Op.CUM_SUM: _SUM_GAS,
    Op.AVERAGE_POOL: _SUM_GAS,
    Op.MAX_POOL: 600,
    Op.REDUCE_MAX: _ORDER_GAS,
    Op.REDUCE_MIN: _ORDER_GAS,
    Op.ARG_MAX: 310,
    Op.TOP_K: 340,
    Op.SCATTER: 400,
}
# Of a read, with what it takes to find its place; windows make much of their attributes.
_READ_GAS = 3_000
_WINDOW_GAS, _WINDOW_READ_GAS = 25_000, 5_500


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
    zeros: int
    """Bytes of the calldata."""
    others: int
    work: int
    """Gas, without the calldata's."""

    @property
    def gas(self) -> int:
        """Of the whole transaction."""
        return self._gas(self.work)

    @property
    def most_gas(self) -> int:
        """The same, whatever the numbers are."""
        return self._gas(_FAR_APART * self.work)

    @property
    def size(self) -> int:
        """Bytes of the transaction, but for the model."""
        return self.zeros + self.others + _ENVELOPE

    def _gas(self, work: int) -> int:
        units = self.zeros + 4 * self.others
        return TRANSACTION_GAS + max(WORK_ZERO_GAS * units + work, FLOOR_ZERO_GAS * units)


@dataclass(frozen=True, slots=True)
class Inspection:
    """Bytes, and steps of one run."""

    primitives: tuple[Share, ...]
    lowered: tuple[Lowered, ...]
    steps: int
    weight_bytes: int
    live_bytes: int
    dearest: Proof
    unprovable: tuple[Reason, ...]


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
            (proof(program, index) for index in range(len(program.nodes))),
            key=lambda found: found.gas,
        ),
        tuple(unprovable(program)),
    )


def unprovable(program: Program, model: int = 0) -> list[Reason]:
    """Every node an element of which could not be proven wrong in one transaction; `model` is how
    many bytes of the model go with it."""
    reasons = []
    for index, node in enumerate(program.nodes):
        found = _proofs(program, index)
        gas = max(each.most_gas for each in found) + 4 * FLOOR_ZERO_GAS * model
        size = max(each.size for each in found) + model
        limits = (gas, "gas", MOST_GAS), (size, "bytes", MOST_BYTES)
        over = [f"{needed:,} {unit} of {most:,}" for needed, unit, most in limits if needed > most]
        if over:
            why = f"to prove an element of node {index} wrong takes {' and '.join(over)}"
            advice = "use smaller tensors, or publish as VANILLA or --even-if-unprovable"
            reasons.append(Reason(node.name, node.op.name, why, advice))
    return reasons


def proof(program: Program, index: int) -> Proof:
    """The dearest for a node."""
    return max(_proofs(program, index), key=lambda found: (found.gas, found.work))


def _proofs(program: Program, index: int) -> list[Proof]:
    """Of a few elements of the node's value, and of the output that it is."""
    last = program.nodes[index].output.elements - 1
    elements = sorted({0, last // 2, last} if last >= 0 else {0})
    claims = {False, any(output.index == index for output in program.outputs)}
    return [_proof(program, index, at, claim) for at in elements for claim in claims]


def _proof(program: Program, index: int, element: int, is_output: bool) -> Proof:
    node = program.nodes[index]
    values = merkle.depth_of(len(program.nodes))
    kinds = Counter(operand.kind for operand in node.operands)
    steps = max(1, -(-PRIMITIVES[node.op].cost(node) // max(1, node.output.elements)))

    own = element * node.output.dtype.itemsize // merkle.LEAF
    openings = [] if is_output else [(node.output, own, 1)]
    roots = kinds[OperandKind.VALUE] + (not is_output)
    found = _reads(program, node, element) if node.output.elements else []
    for read in found:
        operand = node.operands[read.operand]
        if operand.kind is not OperandKind.INPUT:
            openings.append((operand.type, *leaves_of(operand.type, read)))
    leaves = sum(count for *_, count in openings)
    siblings = roots * values + sum(siblings(*each) for each in openings)
    described = descriptors(program, index)

    opened = 32 * siblings + merkle.LEAF * leaves + 32 * roots
    payload = program.signature.input_length if kinds[OperandKind.INPUT] else 0
    payload += program.signature.output_length if is_output else 0
    zeros = described.count(0) + 20
    work = (
        CONVICTION_GAS
        + PROOF_GAS
        + OPERAND_GAS * len(node.operands)
        + SIBLING_GAS * (siblings + 2 * merkle.depth_of(len(program.nodes) + 1))
        + LEAF_GAS * leaves
        + _ELEMENT_GAS.get(node.op, 0) * sum(read.count for read in found)
        + _reading_gas(node.op, len(found))
        + payload // 4
    )
    others = len(described) - described.count(0) + opened + payload + 12
    return Proof(index, node.op, node.name, steps, leaves, zeros, others, work)


def _reads(program: Program, node: Node, element: int) -> list[Read]:
    """Where they depend on an input it is taken to be 0; a walk is as long as any may be."""

    def look(operand: int, place: int) -> int:
        source = node.operands[operand]
        if source.kind is not OperandKind.CONSTANT:
            return 0
        return int(program.constants[source.index].array.reshape(-1)[place])

    if node.op is Op.TREE_WALK:
        (steps,) = node.attributes
        return [Read(2, 0, 1), *[Read(1, 0, WIDTH), Read(0, 0, 1)] * steps, Read(1, 0, WIDTH)]
    if node.op is Op.WHERE:
        return [Read(at, 0, 1) for at in range(2)]
    return list(reads(node, element, look))


def _reading_gas(op: Op, count: int) -> int:
    if op in (Op.CONV, Op.MAX_POOL, Op.AVERAGE_POOL):
        return _WINDOW_GAS + _WINDOW_READ_GAS * count
    return _READ_GAS * count


def siblings(type_: ValueType, first: int, count: int) -> int:
    """Beside the common path of so many leaves of a tensor."""
    found, last = 0, first + count - 1
    for _ in range(merkle.depth_of(merkle.leaf_count(type_.nbytes))):
        found += first % 2 + (last + 1) % 2
        first, last = first // 2, last // 2
    return found


def weight_bytes(program: Program) -> int:
    """Of all constants."""
    return sum(constant.type.nbytes for constant in program.constants)


def live_bytes(program: Program) -> int:
    """The most bytes of inputs and values that a run in order holds at once."""
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
