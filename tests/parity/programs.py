"""Random programs of one primitive, with all kinds of operands and the nastiest values."""

from collections.abc import Callable, Sequence

import numpy as np

from oracle.exact.ops import PRIMITIVES
from oracle.exact.primitive import DTYPES, INTEGERS, NUMBERS, Outside
from oracle.exact.program import (
    Constant,
    Family,
    Node,
    Op,
    Operand,
    OperandKind,
    Program,
    ValueType,
)
from oracle.tensor import Array, canonical, dtype_of, numpy_dtype
from oracle.types import DType, Signature, TensorType
from tests.parity import words

FLOAT, BOOL, INT32, INT64 = DType.FLOAT, DType.BOOL, DType.INT32, DType.INT64
SUMMED = (FLOAT, INT64, INT32)
OF_REALS = (Family.TRANSCENDENTAL, Family.FUNCTIONS)
Rng = np.random.Generator
Shape = tuple[int, ...]


def program_of(
    rng: Rng,
    op: Op,
    arrays: Sequence[Array],
    *attributes: int,
    constants: Sequence[int] = (),
) -> tuple[Program, list[Array]]:
    """The primitive on these arrays, each an input, a constant or a value; and the inputs.

    Those named in `constants` are that. Raises Outside as the primitive does.
    """
    kinds = [
        OperandKind.CONSTANT if at in constants else OperandKind(int(rng.integers(3)))
        for at in range(len(arrays))
    ]
    return made(op, arrays, kinds, attributes)


def made(
    op: Op,
    arrays: Sequence[Array],
    kinds: Sequence[OperandKind],
    attributes: Sequence[int],
    behind: int = 0,
) -> tuple[Program, list[Array]]:
    """Makes the program whose last node is the primitive on these arrays. Values are tensors that a
    TRANSPOSE copied; `behind` more nodes make the program's trees deeper."""
    nodes: list[Node] = []
    known: list[Constant] = []
    inputs: list[Array] = []
    operands = []
    for array, kind in zip(arrays, kinds, strict=True):
        type_ = ValueType(dtype_of(array), array.shape)
        if kind is OperandKind.CONSTANT:
            operands.append(Operand(kind, len(known), type_))
            known.append(Constant(np.ascontiguousarray(canonical(array)), type_))
            continue
        operands.append(Operand(OperandKind.INPUT, len(inputs), type_))
        inputs.append(array)
        if kind is OperandKind.VALUE:
            nodes.append(copy_of(operands[-1]))
            operands[-1] = Operand(kind, len(nodes) - 1, type_)
    nodes += [copy_of(operands[-1])] * behind
    output = PRIMITIVES[op].infer([operand.type for operand in operands], attributes)
    nodes.append(Node(op, tuple(operands), output, tuple(attributes)))
    types = [TensorType(str(at), dtype_of(x), x.shape) for at, x in enumerate(inputs)]
    program = Program(
        Signature(tuple(types), (TensorType("y", output.dtype, output.shape),)),
        tuple(nodes),
        tuple(known),
        (Operand(OperandKind.VALUE, len(nodes) - 1, output),),
    )
    return program, inputs


def copy_of(operand: Operand) -> Node:
    """Makes the TRANSPOSE that leaves everything in its place."""
    axes = tuple(range(len(operand.type.shape)))
    return Node(Op.TRANSPOSE, (operand,), operand.type, axes)


def values(rng: Rng, dtype: DType, shape: Shape) -> Array:
    """Of every kind, what is special more often than chance would have it; −0 and odd NaNs too."""
    count = int(np.prod(shape))
    if dtype is FLOAT:
        return _floats(rng, count).view(np.float32).reshape(shape)
    if dtype is BOOL:
        return rng.integers(0, 2, shape).astype(np.bool_)
    info = np.iinfo(numpy_dtype(dtype))
    anything = rng.integers(info.min, info.max, count, numpy_dtype(dtype), endpoint=True)
    small = rng.integers(max(info.min, -3), 4, count).astype(numpy_dtype(dtype))
    ends = rng.choice(np.array([info.min, info.min + 1, info.max], numpy_dtype(dtype)), count)
    return np.choose(rng.integers(3, size=count), [anything, small, ends]).reshape(shape)


def _floats(rng: Rng, count: int) -> Array:
    normal = rng.normal(size=count).astype(np.float32).view(np.uint32)
    odd = np.array([0x80000000, 0xFFC00001, 0x7F800001, 0x7FFFFFFF], np.uint32)
    kinds = [
        normal,
        words.few_bits(rng, count).astype(np.uint32),
        words.uniform(rng, count),
        rng.choice(words.nasty(), count),
        rng.choice(odd, count),
    ]
    weights = _MIXES[int(rng.integers(len(_MIXES)))]
    chosen = rng.choice(len(kinds), count, p=weights)
    return np.choose(chosen, kinds).astype(np.uint32)


# Rows of sums want few numbers that are none, or every sum is NaN.
_MIXES = (
    [0.5, 0.5, 0, 0, 0],
    [0.2, 0.78, 0, 0, 0.02],
    [0.2, 0.2, 0.25, 0.25, 0.1],
    [1, 0, 0, 0, 0],
)


def shape_of(rng: Rng, low: int = 1, high: int = 4, most: int = 7) -> Shape:
    return tuple(int(d) for d in rng.integers(1, most + 1, int(rng.integers(low, high + 1))))


def stretched(rng: Rng, shape: Shape) -> Shape:
    """One that broadcasts to it."""
    dims = [1 if rng.random() < 0.2 else d for d in shape]
    return tuple(dims[int(rng.integers(len(dims) + 1)) :] if rng.random() < 0.3 else dims)


def _chosen(rng: Rng, dtypes: Sequence[DType]) -> DType:
    return dtypes[int(rng.integers(len(dtypes)))]


Made = tuple[Program, list[Array]]


def elementwise(rng: Rng, op: Op) -> Made:
    dtypes: Sequence[DType] = NUMBERS
    if op in (Op.AND, Op.OR, Op.XOR):
        dtypes = (*INTEGERS, BOOL)
    elif op in (Op.EQUAL, Op.WHERE, Op.CAST):
        dtypes = DTYPES
    elif op is Op.SQRT or op.family in OF_REALS or rng.random() < 0.5:
        dtypes = (FLOAT,)
    dtype = _chosen(rng, dtypes)
    shape = shape_of(rng, 1, 4, 9)
    if op is Op.CAST:
        return program_of(rng, op, [values(rng, dtype, shape)], _chosen(rng, DTYPES))
    if op in (Op.NEG, Op.ABS, Op.SQRT) or (op.family in OF_REALS and op is not Op.POW):
        return program_of(rng, op, [values(rng, dtype, shape)])
    arrays = [values(rng, dtype, stretched(rng, shape)) for _ in range(2)]
    if op is Op.WHERE:
        arrays.insert(0, values(rng, BOOL, stretched(rng, shape)))
    return program_of(rng, op, arrays)


def quantize(rng: Rng, op: Op) -> Made:
    shape = shape_of(rng, 1, 4, 9)
    zero = values(rng, _chosen(rng, (DType.INT8, DType.UINT8)), stretched(rng, shape))
    scale = values(rng, FLOAT, stretched(rng, shape))
    # Quotients near halves, as well as any.
    near = rng.integers(-600, 600, shape).astype(np.float32) / np.float32(2)
    x = near if rng.random() < 0.6 else values(rng, FLOAT, shape)
    if rng.random() < 0.5:
        scale = rng.choice(np.array([1, 2, 0.5, 3], np.float32), scale.shape)
    return program_of(rng, op, [x, scale, zero])


def dot(rng: Rng, op: Op, k: int | None = None) -> Made:
    dtype = _chosen(rng, (FLOAT, FLOAT, INT64, INT32))
    batch = shape_of(rng, 0, 3, 3)
    m, n = (int(d) for d in rng.integers(1, 8, 2))
    if k is None:
        k = int(rng.choice([0, 1, 2, 7, 8, 9, 31, 33, 64, 100]))
    a = values(rng, dtype, (*stretched(rng, batch), m, k))
    b = values(rng, dtype, (*stretched(rng, batch), n, k))
    arrays = [a, b]
    if rng.random() < 0.7:
        shape = (*np.broadcast_shapes(a.shape[:-2], b.shape[:-2]), m, n)
        arrays.append(values(rng, dtype, stretched(rng, shape)))
    return program_of(rng, op, arrays)


def reduce(rng: Rng, op: Op, k: int | None = None) -> Made:
    dtypes: Sequence[DType] = SUMMED if op in (Op.REDUCE_SUM, Op.CUM_SUM) else NUMBERS
    if op is Op.REDUCE_MEAN or rng.random() < 0.5:
        dtypes = (FLOAT,)
    outer = int(rng.integers(1, 60))
    if k is None:
        k = int(rng.choice([0, 1, 2, 5, 8, 31, 32, 33, 70]))
    if op in (Op.REDUCE_MEAN, Op.ARG_MAX):
        k = max(k, 1)
    x = values(rng, _chosen(rng, dtypes), (outer, k))
    if rng.random() < 0.3:
        x = rng.integers(0, 3, x.shape).astype(x.dtype)
    if op is Op.ARG_MAX:
        return program_of(rng, op, [x], int(rng.integers(2)))
    if op is Op.TOP_K:
        return program_of(rng, op, [x], int(rng.integers(k + 1)))
    return program_of(rng, op, [x])


def movement(rng: Rng, op: Op) -> Made:
    dtype = _chosen(rng, DTYPES)
    if op is Op.TRANSPOSE:
        shape = shape_of(rng, 0, 6, 5)
        perm = (int(axis) for axis in rng.permutation(len(shape)))
        return program_of(rng, op, [values(rng, dtype, shape)], *perm)
    if op is Op.CONCAT:
        outer = int(rng.integers(1, 30))
        widths = rng.integers(0, 30, int(rng.integers(1, 6)))
        return program_of(rng, op, [values(rng, dtype, (outer, int(w))) for w in widths])
    outer, n, m, inner = (int(d) for d in rng.integers(1, 12, 4))
    kind = _chosen(rng, (INT64, INT32))
    indices = rng.integers(-2 * n, 2 * n, m).astype(numpy_dtype(kind))
    if rng.random() < 0.1:
        indices = values(rng, kind, (m,))
    if op is Op.GATHER:
        return program_of(rng, op, [values(rng, dtype, (outer, n, inner)), indices])
    mode = int(rng.integers(4))
    if mode:
        dtype = _chosen(rng, NUMBERS)
    arrays = [values(rng, dtype, (n, inner)), indices, values(rng, dtype, (m, inner))]
    return program_of(rng, op, arrays, mode)


def window(rng: Rng, op: Op) -> Made:
    while True:
        try:
            return _window(rng, op)
        except Outside:
            continue


def _window(rng: Rng, op: Op) -> Made:
    axes = int(rng.integers(1, 4))
    batch, group, channels = (int(d) for d in rng.integers(1, 4, 3))
    if rng.random() < 0.4:
        group = 1
    size = tuple(int(d) for d in rng.integers(1, 9, axes))
    kernel = tuple(int(d) for d in rng.integers(1, 4, axes))
    attributes = [group if op is Op.CONV else int(rng.integers(2))]
    for k in kernel:
        stride, dilation, last = (int(d) for d in rng.integers(1, 4, 3))
        begin, end = (int(d) for d in rng.integers(-2, 4, 2))
        attributes += [k, stride, dilation, begin, end, last if op is Op.CONV else last - 1]
    if op is not Op.CONV:
        dtype = FLOAT if op is Op.AVERAGE_POOL else _chosen(rng, (FLOAT, *NUMBERS))
        return program_of(rng, op, [values(rng, dtype, (batch, *size, channels))], *attributes)
    dtype = _chosen(rng, (FLOAT, FLOAT, INT32))
    outputs = group * int(rng.integers(1, 4))
    arrays = [
        values(rng, dtype, (batch, *size, group * channels)),
        values(rng, dtype, (outputs, *kernel, channels)),
    ]
    if rng.random() < 0.7:
        arrays.append(values(rng, dtype, (outputs,)))
    return program_of(rng, op, arrays, *attributes)


# Bits of thresholds that lowering never writes, or at the edge: NaN of either sign and any payload,
# zeros and infinities.
_THRESHOLDS = (
    *(0x7FC00000, 0xFFC00001, 0x7F800001, 0x80000000, 0, 0x7F800000, 0xFF800000, 1),
    0x80000001,
)


def trees(rng: Rng, op: Op, most: int = 11, steps: int = 5) -> Made:
    """Forests of at most so many trees, whose walks share nodes here and there."""
    rows, features = (int(d) for d in rng.integers(1, 12, 2))
    count = int(rng.integers(1, most + 1))
    nodes: list[list[int]] = []
    roots = []
    x = values(rng, FLOAT, (rows, features))

    def grow(depth: int) -> int:
        at = len(nodes)
        nodes.append([0, 0, at, at, at, int(rng.integers(-(2**31), 2**31)), 0, 0])
        if depth and rng.random() < 0.8:
            asked = rng.choice(x.reshape(-1), 1).view(np.uint32)
            bits = rng.choice([*asked, *_THRESHOLDS[: int(rng.integers(10))]])
            below = grow(depth - 1)
            shared = below + 1 < len(nodes) and rng.random() < 0.2
            above = below + 1 if shared else grow(depth - 1)
            missing = (below, above)[int(rng.integers(2))]
            feature = int(rng.integers(features))
            bits = int(np.uint32(bits).view(np.int32))
            nodes[at] = [feature, bits, below, above, missing, 0, 0, 0]
        return at

    for _ in range(count):
        roots.append(grow(steps))
    arrays = [x, np.array(nodes, np.int32), np.array(roots, np.int32)]
    return program_of(rng, op, arrays, steps, constants=(1, 2))


MAKERS: dict[Family, Callable[[Rng, Op], Made]] = {
    Family.LINEAR: dot,
    Family.ELEMENTWISE: elementwise,
    Family.TRANSCENDENTAL: elementwise,
    Family.REDUCE: reduce,
    Family.MOVEMENT: movement,
    Family.WINDOW: window,
    Family.TREES: trees,
    Family.QUANTIZED: quantize,
    Family.FUNCTIONS: elementwise,
}
