"""Arithmetic, comparison, choice and Cast."""

from functools import reduce
from math import isnan

import numpy as np

from oracle.exact.lowering.builder import FLOATS, WIDENED, Builder, with_dtype
from oracle.exact.lowering.source import Lowering, Source, dtype_name
from oracle.exact.primitive import DTYPES, INTEGERS, Outside
from oracle.exact.program import Op, Operand
from oracle.tensor import Array, numpy_dtype
from oracle.types import DType


def _primitive(op: Op, arity: int) -> Lowering:
    def lowering(b: Builder, node: Source) -> list[Operand]:
        return [b.emit(op, node.exactly(arity))]

    return lowering


def _variadic(op: Op) -> Lowering:
    """Lowers an op of any number of inputs, which are folded from the left, each step rounded."""

    def lowering(b: Builder, node: Source) -> list[Operand]:
        operands = [node.input(index) for index in range(len(node.inputs))]
        if not operands:
            raise Outside("it has no inputs", "fix the file")
        return [reduce(lambda x, y: b.emit(op, (x, y)), operands)]

    return lowering


def _mean(b: Builder, node: Source) -> list[Operand]:
    (total,) = _variadic(Op.ADD)(b, node)
    return [b.emit(Op.DIV, (total, b.scalar(len(node.inputs))))]


def _greater(b: Builder, node: Source) -> list[Operand]:
    x, y = node.exactly(2)
    return [b.emit(Op.LESS, (y, x))]


def _relu(b: Builder, node: Source) -> list[Operand]:
    (x,) = node.exactly(1)
    return [b.emit(Op.MAX, (x, b.scalar(0, x.type.dtype)))]


def _clip(b: Builder, node: Source) -> list[Operand]:
    """Emits min(max(x, low), high). A bound that is left out clamps nothing, not even ∞."""
    x = node.input(0)
    if node.opset < 11:
        low = b.scalar(node.real("min")) if node.has("min") else None
        high = b.scalar(node.real("max")) if node.has("max") else None
    else:
        low, high = node.optional(1), node.optional(2)
    if low is not None:
        x = b.emit(Op.MAX, (x, b.reshape(low, ())))
    if high is not None:
        x = b.emit(Op.MIN, (x, b.reshape(high, ())))
    return [x]


def _reciprocal(b: Builder, node: Source) -> list[Operand]:
    (x,) = node.exactly(1)
    return [b.emit(Op.DIV, (b.scalar(1, x.type.dtype), x))]


def _cast(b: Builder, node: Source) -> list[Operand]:
    (x,) = node.exactly(1)
    if node.opset >= 19:
        node.integer("saturate", 1)  # for float8 only
    target = node.integer("to")
    if target == DType.STRING:
        raise Outside("a Cast to string is not covered", "end the graph before it")
    return [cast(b, x, target)]


def _bit_cast(b: Builder, node: Source) -> list[Operand]:
    """Reads the same bits as another dtype. Of what only a run knows, bytes and bools can be read
    as bytes: CAST keeps their bits. No primitive gives the bits of a float."""
    (x,) = node.exactly(1)
    target = node.integer("to")
    if target not in DTYPES or DType(target).itemsize != x.type.dtype.itemsize:
        raise Outside(f"it reads {x.type} as dtype {target}", "use dtypes of one size")
    dtype = DType(target)
    if (known := b.known(x)) is not None and dtype is not DType.BOOL:
        bits = known.astype(numpy_dtype(x.type.dtype))  # the law has wider integers for some
        return [b.constant(bits.view(numpy_dtype(dtype)))]
    if x.type.dtype != dtype and (x.type.dtype.itemsize > 1 or dtype is DType.BOOL):
        raise Outside(f"it reads the bits of {x.type}", "compute with numbers, or as a constant")
    return [cast(b, x, dtype)]


_HELD = (
    DType.FLOAT,
    DType.FLOAT16,
    DType.BFLOAT16,
    DType.BOOL,
    DType.INT8,
    DType.UINT8,
    DType.INT16,
    DType.UINT16,
)
"""Dtypes all of whose elements are float32."""


def cast(b: Builder, x: Operand, target: int) -> Operand:
    """Emits `x` as another dtype, and nothing where it has that dtype. All floats of a file are
    float32: a Cast between them moves nothing, but that a constant float64 is rounded once."""
    if x.type.dtype == target:
        return x
    if target in FLOATS:
        return _as_float(b, x, DType(target))
    if x.type.dtype in FLOATS and target != DType.FLOAT:
        if (wide := b.float64(x)) is not None:
            return b.constant(_whole(wide, target))
        if (whole := b.whole(x)) is not None and target in (DType.INT64, DType.INT32):
            return cast(b, whole, target)
        if b.is_rounded(x):
            raise Outside("it casts a float64 that was computed", "Cast it to float32 before")
    if target in WIDENED and not _holds(DType(target), x.type.dtype):
        raise Outside(
            f"a Cast of {x.type.dtype.name.lower()} to {DType(target).name.lower()} is not covered",
            "Cast it to a wider integer",
        )
    x = b.in_law(x)
    if target in WIDENED:
        return with_dtype(cast(b, x, WIDENED[DType(target)]), DType(target))
    return x if x.type.dtype == target else b.emit(Op.CAST, (x,), target)


def _holds(target: DType, source: DType) -> bool:
    """Tells whether an integer dtype has all numbers of another, so that nothing wraps."""
    if source is DType.BOOL:
        return True
    if source is DType.FLOAT or source in FLOATS:
        return False
    wide, small = np.iinfo(numpy_dtype(target)), np.iinfo(numpy_dtype(source))
    return bool(wide.min <= small.min and small.max <= wide.max)


def _as_float(b: Builder, x: Operand, target: DType) -> Operand:
    known = b.known(x)
    if target is DType.DOUBLE and known is not None:
        return b.constant(known.astype(np.float64))
    out = cast(b, x, DType.FLOAT)
    if target is DType.DOUBLE and x.type.dtype not in _HELD:
        b.mark_whole(out, x)
    return with_dtype(out, target)


def _whole(wide: Array, target: int) -> Array:
    """Casts float64 as the law casts float32: towards zero, to the nearest that there is; NaN to 0.
    To a bool it says what is not zero."""
    if target == DType.BOOL:
        return np.asarray(wide != 0)
    if target not in INTEGERS:
        raise Outside(f"a Cast to {dtype_name(target)} is not covered", "Cast to float32")
    ends = np.iinfo(numpy_dtype(DType(target)))
    wholes = [0 if isnan(x) else min(max(x, ends.min), ends.max) for x in wide.flat]
    return np.array(list(map(int, wholes)), numpy_dtype(DType(target))).reshape(wide.shape)


def is_zero(b: Builder, x: Operand) -> Operand:
    """Emits whether x is zero, as a bool; NaN is not. The test is |x| < 2^−149."""
    smallest = b.scalar(float(np.float32(2.0**-149)))
    return b.emit(Op.LESS, (b.emit(Op.ABS, (x,)), smallest))


ONNX: dict[str, Lowering] = {
    "Add": _primitive(Op.ADD, 2),
    "Sub": _primitive(Op.SUB, 2),
    "Mul": _primitive(Op.MUL, 2),
    "Div": _primitive(Op.DIV, 2),
    "Neg": _primitive(Op.NEG, 1),
    "Abs": _primitive(Op.ABS, 1),
    "Sqrt": _primitive(Op.SQRT, 1),
    "Reciprocal": _reciprocal,
    "Sum": _variadic(Op.ADD),
    "Mean": _mean,
    "Max": _variadic(Op.MAX),
    "Min": _variadic(Op.MIN),
    "Relu": _relu,
    "Clip": _clip,
    "Less": _primitive(Op.LESS, 2),
    "Greater": _greater,
    "Where": _primitive(Op.WHERE, 3),
    "Cast": _cast,
    "BitCast": _bit_cast,
}
