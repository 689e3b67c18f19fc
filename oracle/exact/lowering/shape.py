"""Tensors made from a shape, and tensors stretched to one."""

from fractions import Fraction
from math import ceil, isfinite, prod

import numpy as np

from oracle.exact.lowering.builder import FLOATS, Builder, with_dtype
from oracle.exact.lowering.elementwise import cast
from oracle.exact.lowering.reduce import integers
from oracle.exact.lowering.source import Lowering, Source, tensor_constant
from oracle.exact.primitive import DTYPES, Outside, broadcast
from oracle.exact.program import Op, Operand
from oracle.tensor import numpy_dtype
from oracle.types import DType


def bounded(b: Builder, *dims: int) -> int:
    """Gives the number of elements of a shape. Raises Outside where it exceeds the limit, before
    anything of that size is made."""
    if not all(0 <= dim <= b.limits.elements for dim in dims) or prod(dims) > b.limits.elements:
        raise Outside(f"a tensor of shape {dims}", f"use {b.limits.elements} elements or fewer")
    return prod(dims)


def expand(b: Builder, x: Operand, shape: tuple[int, ...]) -> Operand:
    """Stretches x to a shape that it broadcasts to, by a GATHER for each run of axes of size 1."""
    if broadcast([x.type.shape, shape]) != shape:
        raise Outside(f"{x.type.shape} does not stretch to {shape}", "fix the shape")
    bounded(b, *shape)
    dims = (1,) * (len(shape) - len(x.type.shape)) + x.type.shape
    out, axis = b.reshape(x, dims), 0
    while axis < len(shape):
        end = axis
        while end < len(shape) and dims[end] == 1:
            end += 1
        if (times := prod(shape[axis:end])) != 1:
            place = b.constant(np.zeros(times, np.int32))
            data = b.reshape(out, (prod(shape[:axis]), 1, prod(dims[end:])))
            out = b.emit(Op.GATHER, (data, place))
        axis = end + 1
    return b.reshape(out, shape)


def _expand(b: Builder, node: Source) -> list[Operand]:
    x, wanted = node.exactly(2)
    shape = integers(b, wanted, "shape")
    return [expand(b, x, broadcast([x.type.shape, shape]))]


def _tile(b: Builder, node: Source) -> list[Operand]:
    """Repeats x along each axis."""
    x, times = node.exactly(2)
    repeats = integers(b, times, "repeats")
    shape = x.type.shape
    if len(repeats) != len(shape) or min(repeats, default=0) < 0:
        raise Outside(f"repeats {repeats} for {x.type}", "give one an axis")
    bounded(b, *(dim * count for dim, count in zip(shape, repeats, strict=True)))
    for axis, count in enumerate(repeats):
        if count != 1:
            dims = x.type.shape
            outer, inner = prod(dims[:axis]), prod(dims[axis:])
            place = b.constant(np.zeros(count, np.int32))
            tiled = b.emit(Op.GATHER, (b.reshape(x, (outer, 1, inner)), place))
            x = b.reshape(tiled, (*dims[:axis], dims[axis] * count, *dims[axis + 1 :]))
    return [x]


def _size(b: Builder, node: Source) -> list[Operand]:
    return [b.scalar(node.exactly(1)[0].type.elements, DType.INT64)]


def _constant_of_shape(b: Builder, node: Source) -> list[Operand]:
    shape = integers(b, node.exactly(1)[0], "shape")
    bounded(b, *shape)
    value = tensor_constant(b, node.tensor("value")) if node.has("value") else b.scalar(0.0)
    if value.type.elements != 1:
        raise Outside("its value is no single number", "fix the file")
    number = b.known(value)
    assert number is not None
    return [with_dtype(b.constant(np.full(shape, number.reshape(()))), value.type.dtype)]


def _range(b: Builder, node: Source) -> list[Operand]:
    """Emits start + i·delta, which of floats is a MUL and an ADD."""
    operands = node.exactly(3)
    known = [b.known(operand) for operand in operands]
    if any(array is None or array.size != 1 for array in known):
        raise Outside(
            "its bounds depend on the model's inputs",
            "make a Range of the greatest length, and a mask by Less than the bound",
        )
    dtype = operands[0].type.dtype
    start, limit, delta = (array.reshape(()).item() for array in known if array is not None)
    if not all(map(isfinite, (start, limit, delta))) or delta == 0:
        raise Outside(f"a range from {start} to {limit} by {delta}", "fix its bounds")
    count = max(0, ceil((Fraction(limit) - Fraction(start)) / Fraction(delta)))
    bounded(b, count)
    if dtype is DType.DOUBLE:
        return [b.constant(start + np.arange(count) * delta)]
    steps = b.in_law(cast(b, b.constant(np.arange(count)), dtype))
    given = (b.in_law(operands[0]), b.in_law(operands[2]))
    first, step = (b.reshape(operand, ()) for operand in given)
    return [with_dtype(b.emit(Op.ADD, (first, b.emit(Op.MUL, (steps, step)))), dtype)]


def _eye_like(b: Builder, node: Source) -> list[Operand]:
    (x,) = node.exactly(1)
    if len(x.type.shape) != 2:
        raise Outside(f"its input is {x.type}", "give it a matrix")
    dtype = node.integer("dtype", x.type.dtype)
    if dtype not in (*DTYPES, *FLOATS):
        raise Outside(f"dtype {dtype} is not covered", "use float32 or an integer dtype")
    rows, columns = x.type.shape
    kind = np.float32 if dtype in FLOATS else numpy_dtype(DType(dtype))
    eye = b.constant(np.eye(rows, columns, node.integer("k", 0), kind))
    return [with_dtype(eye, DType(dtype))]


def _dropout(b: Builder, node: Source) -> list[Operand]:
    """Gives x and a mask of ones, as a Dropout in inference does."""
    x = node.input(0)
    node.integer("seed", 0)
    if node.opset < 12:
        node.real("ratio", 0.5)
    training = node.optional(2)
    if training is not None and (on := b.known(training)) is not None and not on.any():
        training = None
    if training is not None:
        raise Outside("it may be in training mode", "export for inference")
    if node.outputs < 2:
        return [x]
    bounded(b, *x.type.shape)
    return [x, b.constant(np.ones(x.type.shape, np.bool_))]


def _cast_like(b: Builder, node: Source) -> list[Operand]:
    x, like = node.exactly(2)
    node.integer("saturate", 1)  # for float8 only
    return [cast(b, x, like.type.dtype)]


ONNX: dict[str, Lowering] = {
    "Expand": _expand,
    "Tile": _tile,
    "Size": _size,
    "ConstantOfShape": _constant_of_shape,
    "Range": _range,
    "EyeLike": _eye_like,
    "Dropout": _dropout,
    "CastLike": _cast_like,
}
