"""Elements move and none changes: TRANSPOSE, CONCAT, GATHER. (A Reshape is an operand's type.)"""

from collections.abc import Sequence
from math import prod

import numpy as np

from oracle.exact.ops.elementwise import from_words, words
from oracle.exact.primitive import DTYPES, Kernel, Outside, Primitive, output_size, same_dtype
from oracle.exact.program import Node, Op, ValueType
from oracle.tensor import Array
from oracle.types import DType


def _infer_transpose(types: Sequence[ValueType], attributes: Sequence[int]) -> ValueType:
    """Output axis i is input axis attributes[i]."""
    shape = types[0].shape
    if sorted(attributes) != list(range(len(shape))):
        raise Outside(f"perm {tuple(attributes)} does not permute {len(shape)} axes", "fix perm")
    return ValueType(same_dtype(types, DTYPES), tuple(shape[axis] for axis in attributes))


def _infer_concat(types: Sequence[ValueType], attributes: Sequence[int]) -> ValueType:
    """Operands [outer, n_i] side by side."""
    width = sum(type_.shape[1] for type_ in types)
    return ValueType(same_dtype(types, DTYPES), (types[0].shape[0], width))


def _infer_gather(types: Sequence[ValueType], attributes: Sequence[int]) -> ValueType:
    """Data [outer, n, inner] and indices [m] give [outer, m, inner]."""
    same_dtype(types[1:], (DType.INT64, DType.INT32))
    outer, n, inner = types[0].shape
    (m,) = types[1].shape
    if n == 0 and outer * m * inner:
        raise Outside("it gathers from an axis of size zero", "fix the shape of its data")
    return ValueType(same_dtype(types[:1], DTYPES), (outer, m, inner))


def _plain_transpose(node: Node, arrays: Sequence[Array]) -> Array:
    # INPUTS
    values = words(arrays[0])
    # SHAPE
    shape = node.operands[0].type.shape
    places = [0]
    for axis in node.attributes:
        stride = prod(shape[axis + 1 :])
        places = [place + stride * step for place in places for step in range(shape[axis])]
    # COMPUTE
    out = [values[place] for place in places]
    # OUTPUT
    return from_words(out, node.output)


def _plain_concat(node: Node, arrays: Sequence[Array]) -> Array:
    # INPUTS
    operands = [words(array) for array in arrays]
    # SHAPE
    outer = node.output.shape[0]
    widths = [operand.type.shape[1] for operand in node.operands]
    # COMPUTE
    out = [
        value
        for row in range(outer)
        for operand, width in zip(operands, widths, strict=True)
        for value in operand[row * width : (row + 1) * width]
    ]
    # OUTPUT
    return from_words(out, node.output)


def clamped(index: int, n: int) -> int:
    """The place that an index means: from the end where negative, and the nearest where beyond."""
    return min(max(index + n if index < 0 else index, 0), n - 1)


def _plain_gather(node: Node, arrays: Sequence[Array]) -> Array:
    # INPUTS
    data, indices = words(arrays[0]), words(arrays[1])
    # SHAPE
    outer, n, inner = node.operands[0].type.shape
    # COMPUTE
    out = []
    for row in range(outer):
        for index in indices:
            at = (row * n + clamped(index, n)) * inner if inner else 0
            out += data[at : at + inner]
    # OUTPUT
    return from_words(out, node.output)


def _prepare_transpose(node: Node, constants: Sequence[Array | None]) -> Kernel:
    perm = node.attributes
    return lambda x: np.ascontiguousarray(x.transpose(perm)).reshape(node.output.shape)


def _prepare_concat(node: Node, constants: Sequence[Array | None]) -> Kernel:
    return lambda *arrays: np.concatenate(arrays, axis=1)


def _prepare_gather(node: Node, constants: Sequence[Array | None]) -> Kernel:
    n = node.operands[0].type.shape[1]
    if n == 0:
        empty = from_words((), node.output)
        return lambda data, indices: empty

    def kernel(data: Array, indices: Array) -> Array:
        return data.take(np.where(indices < 0, indices + n, indices), axis=1, mode="clip")

    return kernel


PRIMITIVES = (
    Primitive(Op.TRANSPOSE, _infer_transpose, _plain_transpose, _prepare_transpose, output_size),
    Primitive(Op.CONCAT, _infer_concat, _plain_concat, _prepare_concat, output_size),
    Primitive(Op.GATHER, _infer_gather, _plain_gather, _prepare_gather, output_size),
)
