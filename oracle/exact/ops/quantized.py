"""QUANTIZE: numbers as small integers."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from oracle.exact import float32
from oracle.exact.ops.elementwise import div, from_words, limits, words
from oracle.exact.primitive import (
    FLOAT,
    Kernel,
    Outside,
    Primitive,
    broadcast,
    exactly,
    flat_index,
    output_size,
    same_dtype,
)
from oracle.exact.program import Node, Op, ValueType
from oracle.tensor import Array, numpy_dtype
from oracle.types import DType

SMALL = (DType.INT8, DType.UINT8)


def _infer(types: Sequence[ValueType], _attributes: Sequence[int]) -> ValueType:
    """Gives the zero point's dtype and the broadcast shape. x and scale are float32."""
    if len(types) != 3:
        raise Outside(f"it quantizes with {len(types)} operands", "give x, scale and zero point")
    same_dtype(types[:2], (FLOAT,))
    return ValueType(same_dtype(types[2:], SMALL), broadcast([type_.shape for type_ in types]))


def quantized(x: int, scale: int, zero: int, dtype: DType) -> int:
    """Divides x by scale as float32, rounds to an integer (ties to even), adds zero, and clamps.
    NaN counts as 0. x and scale are bits."""
    low, high = limits(dtype)
    q = div(x, scale)
    if float32.is_nan(q):
        return zero
    if float32.is_inf(q):
        return low if q & float32.SIGN else high
    n = float32.scaled(q)
    whole, rest = n >> 149, n & ((1 << 149) - 1)
    half = 1 << 148
    whole += rest > half or (rest == half and whole & 1)
    return min(max(whole + zero, low), high)


def _plain(node: Node, arrays: Sequence[Array]) -> Array:
    # INPUTS
    x, scale, zero = map(words, arrays)
    # SHAPE
    places = [flat_index(node.output.shape, operand) for operand in node.operands]
    # COMPUTE
    out = [
        quantized(x[i], scale[j], zero[k], node.output.dtype)
        for i, j, k in zip(*places, strict=True)
    ]
    # OUTPUT
    return from_words(out, node.output)


def _prepare(node: Node, _constants: Sequence[Array | None]) -> Kernel:
    from oracle.exact.kernels.quantized import quantize  # numba takes its time to load

    dtype = numpy_dtype(node.output.dtype)
    low, high = limits(node.output.dtype)
    if any(operand.type.elements != 1 for operand in node.operands[1:]):
        return _broadcasting(dtype, low, high)

    def kernel(x: Array, scale: Array, zero: Array) -> Array:
        out = np.empty(x.size, dtype)
        quantize(x.ravel(), scale.ravel(), zero.ravel(), low, high, out)
        return out.reshape(node.output.shape)

    return kernel


def _broadcasting(dtype: np.dtype[Any], low: int, high: int) -> Kernel:
    def kernel(x: Array, scale: Array, zero: Array) -> Array:
        q = np.asarray(np.divide(x, scale))
        np.rint(q, out=q)
        if np.isnan(q).any():
            q = np.where(np.isnan(q), np.float32(0), q)
        # Beyond ±2^23 float32 are whole, and so far out that a zero point changes nothing.
        q = q + zero.astype(np.float32)
        out: Array = np.asarray(np.clip(q, low, high)).astype(dtype)
        return out

    return kernel


PRIMITIVES = (Primitive(Op.QUANTIZE, exactly(3), _infer, _plain, _prepare, output_size),)
