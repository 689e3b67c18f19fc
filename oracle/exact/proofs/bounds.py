"""Bounds what it takes to prove one element of a node's value wrong, from above.

The dearest element is known by construction: the one in the interior of a window, the row that most
updates meet in, the longest walk; its runs lie as badly in their leaves and trees as they may, its
bytes are not zero, and where the work depends on the numbers, as that of a sum does on how far they
are apart, they are the worst. `tests/parity/test_bounds.py` runs the referee at those places.

Gas is that of the calldata, byte by byte (EIP-7623), and of the work on it, as `contracts/` were
measured. A proof must fit into one transaction, or a lie about that element is safe.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import gcd, prod

import numpy as np

from oracle import merkle
from oracle.exact.ops import PRIMITIVES
from oracle.exact.ops.movement import REPLACE
from oracle.exact.ops.trees import ABOVE, BELOW, MISSING, WIDTH
from oracle.exact.ops.window import conv_axes, pool_axes
from oracle.exact.patches import Axis
from oracle.exact.program import Family, Node, Op, Operand, OperandKind, Program, ValueType
from oracle.exact.proofs.evidence import ClaimKind, descriptors
from oracle.types import DType

WORD = 32
TRANSACTION_GAS = 21_000
# Work, and the floor under all work, of a zero byte of calldata; other bytes take four times that.
WORK_ZERO_GAS, FLOOR_ZERO_GAS = 4, 10
# What one transaction may take: gas since EIP-7825, and bytes that nodes pass on.
MOST_GAS, MOST_BYTES = 1 << 24, 1 << 17
ENVELOPE_BYTES, ENVELOPE_ZEROS = 484, 140
"""Of such a transaction besides the proof and the model; and how many zeros are among them at
least."""

# Of `proveFraud` without the referee, by one who was never rewarded; and for each word passed on.
_CONVICTION_GAS, _PASSED_GAS = 140_000, 12
# Of the referee and of the op's family, which nothing else in the transaction has called.
_COLD_GAS = 5_200
# Of what every proof has: a sibling, a leaf, a word of a record, a value's root.
_SIBLING_GAS, _LEAF_GAS, _RECORD_GAS, _VALUE_GAS = 500, 345, 25, 1_050
# Of an operand, and more of one that is an input, as of an output; and for each of their axes.
_OPERAND_GAS, _INPUT_GAS, _OUTPUT_GAS, _PLACED_AXIS_GAS = 3_900, 1_900, 1_400, 520
# Of an input that is not the first; and of an input or an output that is passed over to find one
# behind it, and for each of its axes.
_BEHIND_GAS, _EARLIER_GAS, _EARLIER_OUTPUT_GAS, _EARLIER_AXIS_GAS = 500, 1_305, 1_180, 253
# Of a read.
_READ_GAS = 3_400
# Of the primitive, and for each axis of its types.
_OWN_GAS = {
    Op.DOT: (19_200, 940),
    **dict.fromkeys((Op.NEG, Op.ABS, Op.CAST), (21_900, 400)),
    **dict.fromkeys((Op.ADD, Op.SUB, Op.MUL, Op.DIV, Op.MOD), (20_500, 800)),
    **dict.fromkeys((Op.MAX, Op.MIN, Op.LESS, Op.EQUAL), (20_000, 800)),
    **dict.fromkeys((Op.AND, Op.OR, Op.XOR), (19_400, 820)),
    Op.SQRT: (24_000, 400),
    Op.WHERE: (16_000, 820),
    Op.QUANTIZE: (17_800, 980),
    **dict.fromkeys((Op.EXP, Op.LOG, Op.SIGMOID, Op.TANH), (31_500, 400)),
    Op.ERF: (55_000, 400),
    Op.LOG1P: (35_200, 400),
    **dict.fromkeys((Op.SIN, Op.COS), (27_200, 400)),
    Op.ATAN: (40_700, 400),
    Op.POW: (41_500, 850),
    **dict.fromkeys((Op.REDUCE_SUM, Op.REDUCE_MEAN, Op.CUM_SUM), (22_700, 0)),
    **dict.fromkeys((Op.REDUCE_MAX, Op.REDUCE_MIN, Op.ARG_MAX, Op.TOP_K), (22_400, 0)),
    Op.TRANSPOSE: (18_600, 1_680),
    Op.CONCAT: (23_200, 0),
    Op.GATHER: (19_300, 0),
    Op.SCATTER: (24_500, 0),
    Op.CONV: (2_100, 5_180),
    Op.MAX_POOL: (11_800, 4_900),
    Op.AVERAGE_POOL: (19_000, 4_820),
    Op.TREE_WALK: (16_800, 0),
}
# Of rounding the sum of a row of floats, once.
_ROUNDED, _ROUNDED_GAS = (Op.DOT, Op.REDUCE_SUM, Op.REDUCE_MEAN, Op.CUM_SUM), 8_500
# Of an element that is read, where that is many: of floats, and of integers.
_PRODUCT, _TERM, _EXTREMUM, _RANK = (498, 85), (515, 68), (285, 295), (365, 405)
_ELEMENT_GAS = {
    **dict.fromkeys((Op.DOT, Op.CONV), _PRODUCT),
    **dict.fromkeys((Op.REDUCE_SUM, Op.REDUCE_MEAN, Op.CUM_SUM, Op.AVERAGE_POOL), _TERM),
    **dict.fromkeys((Op.REDUCE_MAX, Op.REDUCE_MIN), _EXTREMUM),
    **dict.fromkeys((Op.ARG_MAX, Op.TOP_K), _RANK),
    Op.MAX_POOL: (205, 285),
}
# Of a window: of going through the taps of an axis, of what they read, and of adding that up.
_SCAN_GAS, _TAPS_GAS, _SUMMED_GAS = 2_320, 1_430, 2_070
# Of SCATTER: of an index, of one that is the row's, of merging its update. Of a walk: of a step.
_INDEX_GAS, _HIT_GAS, _UPDATE_GAS, _STEP_GAS = 525, 600, 950, 1_600


@dataclass(frozen=True, slots=True)
class Reads:
    """So many reads, each of so many neighbours of one operand: they begin at any multiple of
    `step`, and lie between two multiples of `within`. `rounds` of loops are gone besides. Where
    none of them reads what another does, they lie on `lines` of so many neighbours each."""

    operand: int
    count: int
    times: int = 1
    step: int = 1
    within: int = 1
    rounds: int = 0
    lines: int = 0
    line: int = 0


@dataclass(frozen=True, slots=True)
class Proof:
    """What it takes, at most, to prove one element of a node's value wrong."""

    node: int
    op: Op
    name: str
    kind: ClaimKind
    steps: int
    leaves: int
    zeros: int
    """Bytes of the calldata, as `others`."""
    others: int
    judging: int
    """The referee's gas."""
    convicting: int
    """Other gas, without the calldata's."""

    @property
    def gas(self) -> int:
        """The gas of the whole transaction."""
        units, work = self.zeros + 4 * self.others, self.judging + self.convicting
        return TRANSACTION_GAS + max(WORK_ZERO_GAS * units + work, FLOOR_ZERO_GAS * units)

    @property
    def size(self) -> int:
        """The bytes of the transaction."""
        return self.zeros + self.others


def bounds(program: Program, index: int, model: bytes = b"") -> list[Proof]:
    """Gives a bound for every kind of proof about an element of node `index`: of its value in the
    trace and, where the program outputs it, of that output. `model` is the preimage of the model's
    id, which goes with the proof too."""
    return list(_bounds(program, index, descriptors(program, index), model))


def dearest(program: Program, index: int, model: bytes = b"") -> Proof:
    """Gives the bound that takes most gas, of all bounds of a node."""
    return max(bounds(program, index, model), key=lambda found: (found.gas, found.judging))


def fits(program: Program, index: int, gas: int = MOST_GAS, size: int = MOST_BYTES) -> bool:
    """Tells whether every proof about node `index` fits into so much gas and so many bytes, beside
    the preimage of a model's id. It hashes nothing: no byte of a root is taken for zero."""
    path = b"\xff" * (WORD * _path(program))
    found = _bounds(program, index, program.unhashed_records(index) + path, b"")
    return all(proof.gas <= gas and proof.size <= size for proof in found)


def opened(program: Program, index: int) -> tuple[int, int]:
    """Gives the most bytes that a proof about node `index` opens besides what every proof has, and
    the most elements and indices that it reads of one operand. An input counts as a value, so that
    what else a model takes changes no panels."""
    node, depth = program.nodes[index], merkle.depth_of(len(program.nodes))
    described = sum(
        WORD * (4 + depth if operand.kind is OperandKind.VALUE else 3) for operand in node.operands
    )
    most_bytes = most_elements = 0
    for reads in _worst(program, node):
        types = [node.operands[each.operand].type for each in reads]
        runs = [
            (run_bound(type_, each.count, each.step, each.within), each.times)
            for type_, each in zip(types, reads, strict=True)
        ]
        size = sum((merkle.LEAF * leaves + WORD * beside) * n for (leaves, beside), n in runs)
        most_bytes = max(most_bytes, size + described)
        elements = (each.count * each.times + each.rounds for each in reads)
        most_elements = max(most_elements, *elements, 0)
    return most_bytes, most_elements


@dataclass(frozen=True, slots=True)
class Place:
    """Where a tensor lies: from `offset` on among the `size` bytes of a tree."""

    size: int
    offset: int = 0


def place_of(program: Program, operand: Operand) -> Place:
    """Says where an operand lies: in a tree of its own, or in the input payload's."""
    if operand.kind is not OperandKind.INPUT:
        return Place(operand.type.nbytes)
    return Place(program.input_places[-1], program.input_places[operand.index])


def run_bound(
    type_: ValueType, count: int, step: int, within: int, place: Place | None = None
) -> tuple[int, int]:
    """Gives the most leaves and the most siblings that a run of `count` elements opens, if it
    begins at a multiple of `step` elements and lies between two multiples of `within`."""
    if count == 0:
        return 0, 0
    place = place or Place(type_.nbytes)
    size = type_.dtype.itemsize
    length, step, within = count * size, step * size, within * size
    depth = merkle.depth_of(merkle.leaf_count(place.size))
    if length == type_.nbytes:
        first, leaves = merkle.span(place.offset, length)
        return leaves, _beside(merkle.leaf_count(place.size), first, leaves)
    _, most = merkle.span(place.offset, type_.nbytes)
    leaves = min(_leaves(length, step, place.offset), _leaves(within, within, place.offset), most)
    if leaves == 1:
        return 1, depth
    # A run of whole subtrees has nothing beside it below their tops.
    apart = gcd(step, place.offset)
    whole = 1 if apart % merkle.LEAF else gcd(apart, length) // merkle.LEAF or 1
    free = (whole & -whole).bit_length() - 1
    if leaves >> free == 1:
        return leaves, depth - free
    # The paths of its first and last leaf meet below the root, and beside what is below that they
    # each have a sibling a level at most.
    return leaves, max(1, 2 * (depth - free - 1))


def _leaves(length: int, step: int, offset: int) -> int:
    """Gives the most leaves that `length` bytes lie in, if they begin a multiple of `step` bytes
    behind `offset`."""
    apart = gcd(step, merkle.LEAF)
    into = merkle.LEAF - apart + offset % apart
    return (into + length - 1) // merkle.LEAF + 1


def _beside(lowest: int, first: int, count: int) -> int:
    """Counts the siblings beside the common path of `count` leaves of a tree."""
    left, right, found = first, first + count - 1, 0
    for _ in range(merkle.depth_of(lowest)):
        found += left % 2 + (right + 1) % 2
        left, right = left // 2, right // 2
    return found


def _bounds(program: Program, index: int, described: bytes, model: bytes) -> Iterator[Proof]:
    """Yields the bounds with `described` for what `descriptors` gives."""
    written = [at for at, output in enumerate(program.outputs) if output.index == index]
    for output in (None, *written[-1:]):
        for reads in _worst(program, program.nodes[index]):
            yield _proof(program, index, reads, output, described, model)


def _path(program: Program) -> int:
    """Counts the siblings beside the header's record and a node's."""
    return 2 * merkle.depth_of(len(program.nodes) + 1)


def _proof(
    program: Program,
    index: int,
    reads: Sequence[Reads],
    output: int | None,
    described: bytes,
    model: bytes,
) -> Proof:
    node, nodes = program.nodes[index], len(program.nodes)
    runs = [_opened_by(program, node, each) for each in reads]
    runs.append(_claimed_run(program, index, output))
    leaves = sum(count for count, _ in runs)
    values = sum(operand.kind is OperandKind.VALUE for operand in node.operands) + (output is None)
    within = sum(beside for _, beside in runs)
    within += values * merkle.depth_of(nodes)
    siblings = within + _path(program)

    known = described + model
    zeros = known.count(0) + ENVELOPE_ZEROS
    others = len(known) - known.count(0) + ENVELOPE_BYTES - ENVELOPE_ZEROS
    others += WORD * (1 + within + values) + merkle.LEAF * leaves
    passed = (len(described) + WORD * (within + values) + merkle.LEAF * leaves) // WORD
    own, axis = _OWN_GAS[node.op]
    judging = (
        _COLD_GAS
        + _memory_gas(passed, 5 * leaves + _held(node))
        + _SIBLING_GAS * siblings
        + _LEAF_GAS * leaves
        + _RECORD_GAS * (len(described) // WORD - _path(program))
        + _VALUE_GAS * values
        + _passing_gas(program, node, output)
        + own
        + axis * _axes(node)
        + sum(map(_operand_gas, node.operands))
        + sum(_reads_gas(node, each) for each in reads)
    )
    convicting = (
        _CONVICTION_GAS + _PASSED_GAS * (passed + len(model) // WORD) + passed * passed // 512
    )
    steps = max(1, -(-PRIMITIVES[node.op].cost(node) // max(1, node.output.elements)))
    kind = ClaimKind.VALUE if output is None else ClaimKind.OUTPUT
    return Proof(index, node.op, node.name, kind, steps, leaves, zeros, others, judging, convicting)


def _opened_by(program: Program, node: Node, reads: Reads) -> tuple[int, int]:
    """Bounds the leaves and the siblings that all of these reads open together."""
    operand = node.operands[reads.operand]
    place = place_of(program, operand)
    leaves, beside = run_bound(operand.type, reads.count, reads.step, reads.within, place)
    across = reads.times
    if leaves == 2 and operand.kind is OperandKind.INPUT and reads.lines:
        # Two of them do not lie across the same end of a leaf.
        size = operand.type.dtype.itemsize
        _, spanned = merkle.span(place.offset, operand.type.nbytes)
        of_lines = reads.lines * (_leaves(reads.line * size, size, place.offset) - 1)
        across = min(across, spanned - 1, of_lines)
    within = reads.times - across
    depth = merkle.depth_of(merkle.leaf_count(place.size))
    return leaves * across + within, beside * across + depth * within


def _claimed_run(program: Program, index: int, output: int | None) -> tuple[int, int]:
    """Bounds the run with the element itself: in its value's tree, or in the output's payload, in
    which the value may stand several times."""
    type_ = program.nodes[index].output
    if output is None:
        return run_bound(type_, 1, 1, 1)
    *places, size = program.output_places
    written = zip(program.outputs, places, strict=True)
    found = (Place(size, place) for each, place in written if each.index == index)
    return max(run_bound(type_, 1, 1, 1, place) for place in found)


def _memory_gas(passed: int, held: int) -> int:
    """Gives the gas for memory above its linear price. The referee holds all words that are passed
    on; and the family of the op holds leaves with their hashes, and its own results."""
    return (passed * passed + held * held) // 512


def _held(node: Node) -> int:
    """Counts the updates that SCATTER may find."""
    return node.operands[1].type.elements if node.op is Op.SCATTER else 0


def _passing_gas(program: Program, node: Node, output: int | None) -> int:
    """Gives the gas for finding inputs and an output in payloads, since each one before them is
    passed over once."""
    inputs, outputs = program.signature.inputs, program.signature.outputs
    last = max((o.index for o in node.operands if o.kind is OperandKind.INPUT), default=0)
    found = sum(_EARLIER_GAS + _EARLIER_AXIS_GAS * len(each.shape) for each in inputs[:last])
    if output is not None:
        before = outputs[:output]
        found += sum(_EARLIER_OUTPUT_GAS + _EARLIER_AXIS_GAS * len(o.shape) for o in before)
        found += _OUTPUT_GAS + _PLACED_AXIS_GAS * len(outputs[output].shape)
    return found


def _operand_gas(operand: Operand) -> int:
    """Gives the gas for reading what the record says of an operand."""
    if operand.kind is not OperandKind.INPUT:
        return _OPERAND_GAS
    behind = _BEHIND_GAS if operand.index else 0
    return _OPERAND_GAS + _INPUT_GAS + behind + _PLACED_AXIS_GAS * len(operand.type.shape)


def _axes(node: Node) -> int:
    """Counts the axes of all types of a node."""
    return sum(len(operand.type.shape) for operand in node.operands) + len(node.output.shape)


def _reads_gas(node: Node, reads: Reads) -> int:
    """Gives the gas for the reads, and for computing with the elements that they bring."""
    operand = node.operands[reads.operand]
    each = _READ_GAS
    of_floats, of_integers = _ELEMENT_GAS.get(node.op, (0, 0))
    is_float = operand.type.dtype is DType.FLOAT
    element = of_floats if is_float else of_integers
    if node.op is Op.SCATTER and reads.operand == 1:
        each += _INDEX_GAS * reads.count
    if node.op is Op.SCATTER and reads.operand == 2:
        each += _UPDATE_GAS
    if node.op is Op.TREE_WALK and reads.operand == 1:
        each += _STEP_GAS
    if reads.operand == 0:
        each += element * reads.count
        if node.op in _ROUNDED and is_float:
            each += _ROUNDED_GAS
        if node.op.family is Family.WINDOW:
            each += _TAPS_GAS
            each += _SUMMED_GAS if is_float and node.op is not Op.MAX_POOL else 0
    round_ = _HIT_GAS if node.op is Op.SCATTER else _SCAN_GAS
    return each * reads.times + round_ * reads.rounds


# ---- the worst element


def _worst(program: Program, node: Node) -> list[tuple[Reads, ...]]:
    """Gives all combinations of reads that may be the worst ones of one element."""
    if not node.output.elements:
        return [()]
    match node.op:
        case Op.DOT:
            k = node.operands[0].type.shape[-1]
            return [(Reads(0, k, step=k, within=k), Reads(1, k, step=k, within=k), *_each(node, 2))]
        case Op.WHERE:
            return [(Reads(0, 1), Reads(chosen, 1)) for chosen in (1, 2)]
        case Op.CONCAT:
            return [(Reads(_deepest(program, node), 1),)]
        case Op.SCATTER:
            return _scattered(program, node)
        case Op.CONV:
            return [_convolved(node)]
        case Op.MAX_POOL | Op.AVERAGE_POOL:
            return [_pooled(node)]
        case Op.TREE_WALK:
            steps = _longest_walk(program, node)
            return [(Reads(2, 1), Reads(1, WIDTH, steps + 1, WIDTH, WIDTH), Reads(0, 1, steps))]
        case _ if node.op.family is Family.REDUCE:
            k = node.operands[0].type.shape[1]
            return [(Reads(0, k, step=k, within=k),)]
        case _:
            return [_each(node)]


def _each(node: Node, first: int = 0) -> tuple[Reads, ...]:
    """Reads one element of every operand from `first` on."""
    return tuple(Reads(at, 1) for at in range(first, len(node.operands)))


def _deepest(program: Program, node: Node) -> int:
    """Finds the operand of which an element opens most."""

    def weight(at: int) -> int:
        if not node.operands[at].type.elements:
            return 0
        leaves, beside = _opened_by(program, node, Reads(at, 1))
        return merkle.LEAF * leaves + WORD * beside

    return max(range(len(node.operands)), key=weight)


def _scattered(program: Program, node: Node) -> list[tuple[Reads, ...]]:
    (m,) = node.operands[1].type.shape
    hits = _most_updates(program, node)
    indices = Reads(1, m, within=m, rounds=hits)
    if node.attributes[0] == REPLACE:
        return [(indices, Reads(last, 1)) for last in ((0, 2) if m else (0,))]
    updates = Reads(2, 1, hits, lines=1, line=node.operands[2].type.elements)
    return [(indices, Reads(0, 1), updates)]


def _most_updates(program: Program, node: Node) -> int:
    """Gives the most updates that one row takes. Unless the indices are constants, that is all of
    them."""
    indices = node.operands[1]
    if indices.kind is not OperandKind.CONSTANT or not indices.type.elements:
        return indices.type.elements
    n = node.output.shape[0]
    places = program.constants[indices.index].array.reshape(-1).astype(np.int64)
    rows = np.clip(np.where(places < 0, places + n, places), 0, n - 1)
    return int(np.unique(rows, return_counts=True)[1].max())


def _convolved(node: Node) -> tuple[Reads, ...]:
    group, (_, *_, channels) = node.attributes[0], node.operands[1].type.shape
    row = prod(node.operands[1].type.shape[1:])
    weights = Reads(1, row, step=row, within=row), *_each(node, 2)
    return (*weights, *_taps(node, conv_axes(node.attributes), channels, group == 1))


def _pooled(node: Node) -> tuple[Reads, ...]:
    return _taps(node, pool_axes(node.attributes), 1, node.output.shape[-1] == 1)


def _taps(node: Node, axes: Sequence[Axis], channels: int, joins: bool) -> tuple[Reads, ...]:
    """Gives the reads of the window with the most taps that stand on elements. With `joins`,
    neighbours along the last axis are one read."""
    sizes, windows = node.operands[0].type.shape[1:-1], node.output.shape[1:-1]
    counts = [most_taps(*each) for each in zip(axes, sizes, windows, strict=True)]
    rounds = sum(prod(counts[:axis]) for axis in range(1, len(counts)))
    pixel = node.operands[0].type.shape[-1]
    if joins and axes[-1].dilation == axes[-1].spacing:
        count, row = counts[-1] * channels, sizes[-1] * pixel
        lines = prod(counts[:-1])
        return (Reads(0, count, lines, channels, row, rounds, lines, count),)
    apart = axes[-1].dilation // gcd(axes[-1].dilation, axes[-1].spacing)
    lines, line = prod(counts[:-1]), (counts[-1] - 1) * apart * pixel + channels
    return (Reads(0, channels, prod(counts), channels, pixel, rounds, lines, line),)


_MANY = 1 << 16


def most_taps(axis: Axis, size: int, windows: int) -> int:
    """Gives the most taps of one window that stand on elements, along one axis."""
    shared = gcd(axis.spacing, axis.dilation)
    # Of so many neighbouring taps one stands on an element, or none of the window's does.
    step = axis.spacing // shared
    inverse = pow(axis.dilation // shared, -1, step) if step > 1 else 0
    possible = -(-axis.kernel // step)
    most = 0
    for start in range(0, windows, _MANY):
        spots = np.arange(start, min(start + _MANY, windows), dtype=np.int64)
        first = spots * axis.stride - axis.begin
        past = (size - 1) * axis.spacing - first
        begin = np.maximum(0, -(first // axis.dilation))
        end = np.minimum(axis.kernel, past // axis.dilation + 1)
        tap = (-(first // shared) % step) * inverse % step
        tap += -(-(begin - tap) // step) * step
        counts = np.where(first % shared == 0, -(-(end - tap) // step), 0)
        most = max(most, int(counts.max()))
        if most >= possible:
            break
    return most


def _longest_walk(program: Program, node: Node) -> int:
    """Gives the most comparisons from a root to a leaf. Where the tables are not known, or a walk
    is too long for one transaction, it gives the op's own limit."""
    (steps,) = node.attributes
    nodes, roots = node.operands[1], node.operands[2]
    if nodes.kind is not OperandKind.CONSTANT or roots.kind is not OperandKind.CONSTANT:
        return steps
    table = program.constants[nodes.index].array.reshape(-1, WIDTH)
    at = np.unique(program.constants[roots.index].array)
    for step in range(min(steps, MOST_GAS // _STEP_GAS)):
        at = at[(at >= 0) & (at < len(table))]
        at = at[table[at, BELOW] != at]
        if not at.size:
            return step
        at = np.unique(table[at][:, [BELOW, ABOVE, MISSING]])
    return steps
