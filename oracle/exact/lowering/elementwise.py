"""Arithmetic, comparison, choice and Cast."""

from functools import reduce

import numpy as np

from oracle.exact.lowering.builder import Builder, holds_float32, with_dtype
from oracle.exact.lowering.source import STORED, Lowering, Source
from oracle.exact.primitive import DTYPES, Outside
from oracle.exact.program import Op, Operand, OperandKind
from oracle.tensor import numpy_dtype
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
        return [b.constant(known.view(numpy_dtype(dtype)))]
    if x.type.dtype != dtype and (x.type.dtype.itemsize > 1 or dtype is DType.BOOL):
        raise Outside(f"it reads the bits of {x.type}", "compute with numbers, or as a constant")
    return [cast(b, x, dtype)]


_HELD = (DType.FLOAT, DType.INT8, DType.UINT8, DType.BOOL)
"""Dtypes all of whose elements are float32."""


def cast(b: Builder, x: Operand, target: int) -> Operand:
    """Emits `x` as another dtype, and nothing where it has that dtype. A constant that is stored in
    a dtype outside the law is rounded to float32. A float32 as float64 is what it was, and back."""
    if x.type.dtype == target:
        return x
    if holds_float32(x):
        if b.is_rounded(x) and target != DType.FLOAT:
            raise Outside("it casts a float64 that was computed", "Cast it to float32 before")
        return cast(b, with_dtype(x, DType.FLOAT), target)
    if target == DType.DOUBLE and x.type.dtype in _HELD and x.kind is not OperandKind.CONSTANT:
        return with_dtype(cast(b, x, DType.FLOAT), DType.DOUBLE)
    if x.type.dtype in STORED and target == DType.FLOAT:
        array = b.known(x)
        assert array is not None, "only constants are stored"
        with np.errstate(all="ignore"):
            return b.constant(array.astype(np.float32))
    return b.emit(Op.CAST, (x,), target)


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
