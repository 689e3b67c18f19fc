"""Programs of one primitive on which its proofs take most: the worst numbers, with all kinds of
operands, behind few nodes and many."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from oracle import merkle
from oracle.exact.program import MAX_RANK, Family, Op, Operand, OperandKind, Program, ValueType
from oracle.exact.proofs.bounds import place_of
from oracle.exact.proofs.evidence import WholeTrace, leaves_of
from oracle.exact.proofs.reads import reads
from oracle.tensor import Array, dtype_of
from oracle.types import DType, Signature, TensorType
from tests.parity.programs import copy_of, made

Attributes = tuple[int, ...]
Shape = tuple[int, ...]
UNARY = (Op.NEG, Op.ABS, Op.SQRT, Op.CAST)
KINDS = (OperandKind.INPUT, OperandKind.CONSTANT, OperandKind.VALUE)
# What a search by the gas of `FunctionsParity` and its like found to take most.
DEAREST = {
    Op.EXP: [0xC2C4EF79],
    Op.SIGMOID: [0xC2C7B09F],
    Op.TANH: [0x40A708FA],
    Op.ERF: [0x407FFFFE],
    Op.LOG: [0x5F3F319B],
    Op.LOG1P: [0xBEFFFFFF],
    Op.SIN: [0xDB8F4C2D],
    Op.COS: [0xFF2A97C0],
    Op.ATAN: [0x4000DD1C],
    Op.POW: [0x6B3D9999, 0xB7B8B918],
    Op.SQRT: [0x6A7FFFFE],
    Op.ADD: [0x89400000, 0x7D8AB44B],
    Op.SUB: [0x91C720B9, 0xFD19A003],
    Op.MUL: [0x0AC4BC7B, 0x30DC9B48],
    Op.DIV: [0x0BFFFFFE, 0x56C051A5],
    Op.MOD: [0x51026286, 0x80EF3100],
    Op.MAX: [0xBE15E7C1, 0xC16F5BFD],
    Op.MIN: [0xC16F5BFD, 0xBE15E7C1],
    Op.LESS: [0xBEF864F3, 0xC0F2F46D],
    Op.EQUAL: [0xBEF864F3, 0xC0F2F46D],
}


@dataclass(frozen=True)
class Made:
    """A program, and the output that the primitive's value is."""

    program: Program
    inputs: Sequence[Array]
    output: int = 0

    @property
    def node(self) -> int:
        """The primitive's."""
        return self.program.outputs[self.output].index


def programs(op: Op, large: bool) -> Iterator[Made]:
    """With operands that are inputs, constants and values."""
    for arrays, attributes in _cases(op, large):
        for kind, behind in product(KINDS, (0,) if large else (0, 300)):
            kinds = [kind] * len(arrays)
            if op is Op.TREE_WALK:
                kinds = [kind, OperandKind.CONSTANT, OperandKind.CONSTANT]
            yield Made(*made(op, arrays, kinds, attributes, behind))


def reads_inputs(made: Made) -> bool:
    operands = made.program.nodes[made.node].operands
    return any(operand.kind is OperandKind.INPUT for operand in operands)


def amid_others(made: Made) -> Made:
    """Its inputs and its output lie among others: behind some, so that none begins at a leaf or at
    an element of its own size, and before one so large that their trees are deep. They stand there
    in another shape, if there are axes left."""
    few = [np.ones((1,) * at + (1 + at % 3,), np.uint8) for at in range(7)]
    large = np.ones(1 << 18, np.uint8)
    own = [x.reshape(_longer(x.shape)) for x in made.inputs]
    inputs = [*few, *own, large]
    types = [TensorType(f"i{at}", dtype_of(x), x.shape) for at, x in enumerate(inputs)]
    program = made.program

    def moved(operand: Operand) -> Operand:
        is_input = operand.kind is OperandKind.INPUT
        return replace(operand, index=operand.index + len(few)) if is_input else operand

    nodes = [replace(node, operands=tuple(map(moved, node.operands))) for node in program.nodes]
    others = []
    for at in (*range(len(few)), len(inputs) - 1):
        type_ = ValueType(types[at].dtype, types[at].shape)
        nodes.append(copy_of(Operand(OperandKind.INPUT, at, type_)))
        others.append(Operand(OperandKind.VALUE, len(nodes) - 1, type_))
    [output] = program.outputs
    output = replace(output, type=replace(output.type, shape=_longer(output.type.shape)))
    outputs = (*others[:-1], output, others[-1])
    given = [TensorType(f"o{at}", o.type.dtype, o.type.shape) for at, o in enumerate(outputs)]
    signature = Signature(tuple(types), tuple(given))
    program = replace(program, signature=signature, nodes=tuple(nodes), outputs=outputs)
    return Made(program, inputs, len(few))


def _longer(shape: Shape) -> Shape:
    return shape if len(shape) == MAX_RANK else (1, *shape)


def dearest(program: Program, at: int, sources: WholeTrace, most: int = 3) -> list[int]:
    """The elements that read and open most; of large tensors those at their ends, around their
    middles and some between are looked at."""
    node = program.nodes[at]
    count = node.output.elements
    around = {
        min(max(at + step, 0), count - 1) for at in (0, count // 2) for step in range(-40, 40)
    }
    looked_at = around | set(np.linspace(0, count - 1, min(count, 400)).astype(int).tolist())

    def weight(element: int) -> int:
        found = 0
        for read in reads(node, element, lambda *at: sources.element(node.operands[at[0]], at[1])):
            operand = node.operands[read.operand]
            found += 2_000 + 200 * read.count
            first, leaves = leaves_of(program, operand, read)
            size = place_of(program, operand).size
            found += 5_000 * leaves + 1_300 * siblings(size, first, leaves)
        return found

    return sorted(looked_at, key=weight, reverse=True)[:most]


def siblings(size: int, first: int, count: int) -> int:
    """Beside the common path of so many leaves of a tree."""
    found, last = 0, first + count - 1
    for _ in range(merkle.depth_of(merkle.leaf_count(size))):
        found += first % 2 + (last + 1) % 2
        first, last = first // 2, last // 2
    return found


def far_apart(shape: Shape) -> Array:
    """Negative, eight by eight of another size, and in each eight the first the largest."""
    count = int(np.prod(shape))
    lane, odd = np.arange(count) % 8, np.arange(count) // 8 % 2
    exponents = np.where(odd, 254 - lane, 8 - lane).astype(np.uint32)
    return (exponents << 23 | 0x807FFFFF).view(np.float32).reshape(shape)


def _cases(op: Op, large: bool) -> Iterator[tuple[list[Array], Attributes]]:
    match op.family:
        case Family.LINEAR:
            yield from _dots(large)
        case Family.REDUCE:
            yield from _rows(op, large)
        case Family.MOVEMENT:
            yield from _moves(op, large)
        case Family.WINDOW:
            yield from _windows(op, large)
        case Family.TREES:
            for steps in (150,) if large else (1, 15):
                yield [np.ones((3, 4), np.float32), chain(steps), np.zeros(5, np.int32)], (steps,)
        case _:
            yield from _elements(op, large)


def _elements(op: Op, large: bool) -> Iterator[tuple[list[Array], Attributes]]:
    shapes: list[Shape] = [(5000,)] if large else [(16,), (2, 1, 2, 2, 1, 2, 2)]
    for shape in shapes:
        ones = np.ones(shape, np.float32)
        few = (*(1,) * (len(shape) - 1), shape[-1])
        if op is Op.CAST:
            yield [ones], (int(DType.INT64),)
            yield [np.full(shape, -(2**62) - 1)], (int(DType.FLOAT),)
        elif op is Op.WHERE:
            yield [ones.astype(bool), far_apart(few), far_apart(shape)], ()
        elif op is Op.QUANTIZE:
            yield [ones / 2, ones.reshape(-1)[: shape[-1]].reshape(few), ones.astype(np.int8)], ()
        elif op in (Op.AND, Op.OR, Op.XOR):
            yield [np.ones(shape, np.int64), np.ones(few, np.int64)], ()
        else:
            words = np.array(DEAREST.get(op, [0x80000001]), np.uint32).view(np.float32)
            both = [np.full(at, word) for at, word in zip((shape, few), words, strict=False)]
            yield both[:1] if op in UNARY else both, ()


def _dots(large: bool) -> Iterator[tuple[list[Array], Attributes]]:
    for k in (14_000,) if large else (1, 33, 700):
        yield [far_apart((1, k)), -np.ones((3, k), np.float32)], ()
        yield [np.ones((2, k // 2), np.int64)] * 2, ()
    if large:
        return
    ones = np.ones((1, 2, 3, 33), np.float32)
    yield [far_apart((2, 2, 3, 33)), -ones, np.ones((2, 1, 1, 3), np.float32)], ()
    yield [np.ones((5, 33), np.int32)] * 2 + [np.ones(5, np.int32)], ()


def _rows(op: Op, large: bool) -> Iterator[tuple[list[Array], Attributes]]:
    sums = op in (Op.REDUCE_SUM, Op.REDUCE_MEAN, Op.CUM_SUM)
    dtypes = ["f4"] if op is Op.REDUCE_MEAN else ["f4", "i4", "i8"] if sums else ["f4", "i1", "i8"]
    for k, dtype in product((7_000,) if large else (1, 33, 700), dtypes):
        if sums:
            row = far_apart((k,)) if dtype == "f4" else np.ones(k, dtype)
        elif op in (Op.ARG_MAX, Op.TOP_K):
            row = np.ones(k, dtype)
        else:
            row = np.arange(k)[:: 1 if op is Op.REDUCE_MAX else -1].astype(dtype)
        attributes = (1,) if op in (Op.ARG_MAX, Op.TOP_K) else ()
        yield [np.tile(row, (2 if large else 7, 1))], attributes


def _moves(op: Op, large: bool) -> Iterator[tuple[list[Array], Attributes]]:
    if op is Op.TRANSPOSE:
        yield [np.ones((64, 64), np.float32)], (1, 0)
        yield [np.ones((2,) * 7, np.float32)], (6, 5, 4, 3, 2, 1, 0)
    elif op is Op.CONCAT:
        for operands in (300,) if large else (1, 9):
            yield [np.ones((3, 5), np.float32)] * operands, ()
    elif op is Op.GATHER:
        yield [np.ones((3, 40, 50), np.float32), -np.ones(700, np.int64)], ()
        yield [np.ones((3, 4, 5), np.float32), -np.ones(7, np.int32)], ()
    else:
        for m, mode, dtype in product((200,) if large else (1, 60), range(4), ("f4", "i8")):
            updates = far_apart((m, 5)) if dtype == "f4" else np.ones((m, 5), dtype)
            yield [np.ones((9, 5), dtype), np.full(m, -9), updates], (mode,)


def _windows(op: Op, large: bool) -> Iterator[tuple[list[Array], Attributes]]:
    sizes: list[Shape] = [(9,), (6, 6), (3, 3, 3), (2, 1, 2, 1, 2)]
    dtypes = {Op.CONV: ["f4", "i4"], Op.MAX_POOL: ["f4", "i1", "i8"], Op.AVERAGE_POOL: ["f4"]}
    for size, channels in product([(100,), (16, 16)] if large else sizes, (1, 4)):
        kernel = tuple(min(length, 3) if length < 9 else length // 2 for length in size)
        axes = [number for k in kernel for number in (k, 1, 1, k // 2, k // 2)]
        for dtype in dtypes[op]:
            shape = (2, *size, channels)
            x = far_apart(shape) if dtype == "f4" else np.ones(shape, dtype)
            if op is not Op.CONV:
                yield [x], (0, *_sixes(axes, 0))
                continue
            for group in {1, channels}:
                w = -np.ones((2 * group, *kernel, channels // group), dtype)
                yield [x, w], (group, *_sixes(axes, 1))
                yield [x, w, np.ones(2 * group, dtype)], (group, *_sixes(axes, 1))


def _sixes(fives: Sequence[int], last: int) -> list[int]:
    return [n for at in range(0, len(fives), 5) for n in (*fives[at : at + 5], last)]


def chain(steps: int) -> Array:
    """A tree that is one walk of so many steps."""
    half = int(np.float32(0.5).view(np.int32))
    nodes = [[0, half, at + 1, at + 1, at + 1, 0, 0, 0] for at in range(steps)]
    return np.array([*nodes, [0, 0, steps, steps, steps, 7, 0, 0]], np.int32)
