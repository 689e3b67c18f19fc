"""DOT: rows of A times rows of B, with a bias in the same exact sum; of integers, wrapped."""

from collections.abc import Collection, Sequence
from math import prod

import numpy as np

from oracle.exact import float32
from oracle.exact.contraction import NO_BIAS, Bias, Contraction, Weights
from oracle.exact.integers import integer_product
from oracle.exact.ops.elementwise import from_words, words
from oracle.exact.patches import Axis
from oracle.exact.primitive import (
    FLOAT,
    Kernel,
    Outside,
    Primitive,
    broadcast,
    flat_index,
    same_dtype,
)
from oracle.exact.program import Node, Op, Operand, ValueType
from oracle.exact.sums import BLOCK, OPEN, rounded_sums
from oracle.tensor import Array
from oracle.types import DType

_ROWS = Axis(1, 1, 1, 0, 0)


def _infer(types: Sequence[ValueType], _attributes: Sequence[int]) -> ValueType:
    """Infers the type of A·Bᵀ + bias for A [*batch, M, K], B [*batch, N, K] and a bias that
    broadcasts to [*batch, M, N]."""
    dtype = same_dtype(types, (FLOAT, DType.INT64, DType.INT32))
    a, b = types[0].shape, types[1].shape
    if a[-1] != b[-1]:
        raise Outside(f"the inner dims {a[-1]} and {b[-1]} differ", "fix the shapes of its inputs")
    shape = (*broadcast([a[:-2], b[:-2]]), a[-2], b[-2])
    if len(types) == 3 and broadcast([shape, types[2].shape]) != shape:
        raise Outside(f"a bias {types[2].shape} does not fit {shape}", "fix the shape of the bias")
    return ValueType(dtype, shape)


def _plain(node: Node, arrays: Sequence[Array]) -> Array:
    # INPUTS
    a, b = words(arrays[0]), words(arrays[1])
    bias = words(arrays[2]) if len(arrays) == 3 else []
    rule = dot if node.output.dtype is FLOAT else int_dot
    # SHAPE
    shape = node.output.shape
    k = node.operands[0].type.shape[-1]
    a_rows = flat_index((*shape[:-1], 1), _rows(node.operands[0], shape[-2], 1))
    b_rows = flat_index((*shape[:-2], 1, shape[-1]), _rows(node.operands[1], 1, shape[-1]))
    bias_at = flat_index(shape, node.operands[2]) if bias else []
    # COMPUTE
    out = []
    for at in range(node.output.elements):
        row, column = divmod(at, shape[-1])
        left = a_rows[row] * k
        right = b_rows[row // shape[-2] * shape[-1] + column] * k
        terms = zip(a[left : left + k], b[right : right + k], strict=True)
        out.append(rule(terms, bias[bias_at[at]] if bias else 0))
    # OUTPUT
    return from_words(out, node.output)


def dot(pairs: "zip[tuple[int, int]]", bias: int) -> int:
    """Computes Σ x·y + bias on float32 bits, rounded once."""
    total = 0  # in units of 2^−298
    specials = set()
    for x, y in pairs:
        if float32.is_finite(x) and float32.is_finite(y):
            total += float32.scaled(x) * float32.scaled(y)
        elif float32.is_nan(x) or float32.is_nan(y) or x == 0 or y == 0:
            specials.add(float32.NAN)  # ∞ · 0 is NaN
        else:
            specials.add(float32.INF | ((x ^ y) & float32.SIGN))
    if float32.is_finite(bias):
        total += float32.scaled(bias) << 149
    else:
        specials.add(bias)
    return special_sum(specials) if specials else float32.of_scaled(total, -298)


def int_dot(pairs: "zip[tuple[int, int]]", bias: int) -> int:
    """Computes Σ x·y + bias of integers, not yet wrapped."""
    return sum(x * y for x, y in pairs) + bias


def special_sum(specials: set[int]) -> int:
    """Adds infinities and NaNs: both infinities together make NaN."""
    return specials.pop() if len(specials) == 1 else float32.NAN


def _rows(operand: Operand, m: int, n: int) -> Operand:
    """Gives the operand with each row of K as one element, laid out as [*batch, m, n]."""
    type_ = ValueType(operand.type.dtype, (*operand.type.shape[:-2], m, n))
    return Operand(operand.kind, operand.index, type_)


def _takes(_types: Sequence[ValueType]) -> Collection[tuple[int, int]]:
    return (2, 0), (3, 0)


def _prepare(node: Node, constants: Sequence[Array | None]) -> Kernel:
    """Batches are read as [G, M, K], times [G or 1, N, K]."""
    if node.output.dtype is not FLOAT:
        return _prepare_integer(constants)
    shape = node.output.shape
    batch, (m, n), k = shape[:-2], shape[-2:], node.operands[0].type.shape[-1]
    groups, columns = prod(batch), node.operands[1].type.shape
    is_shared = prod(columns[:-2]) == 1
    contraction = Contraction((groups, m, k), [_ROWS], [m], 1, n, not is_shared)

    def matrices(b: Array) -> Array:
        if is_shared:
            return b.reshape(1, n, k)
        return np.broadcast_to(b, (*batch, n, k)).reshape(groups, n, k)

    w_known = None if constants[1] is None else Weights(matrices(constants[1]))
    known = [*constants, None][2]
    bias_known = NO_BIAS if len(constants) == 2 else None if known is None else _bias(known, shape)

    def kernel(a: Array, b: Array, bias: Array | None = None) -> Array:
        if a.shape[:-2] != batch:
            a = np.broadcast_to(a, (*batch, m, k))
        added = bias_known or _bias(bias, shape)
        out, left = contraction.rounded(a, w_known or Weights(matrices(b)), added)
        if left:
            _redo(out, a.reshape(groups, m, k), matrices(b), added)
        return out.reshape(shape)

    return kernel


def _bias(bias: Array | None, shape: tuple[int, ...]) -> Bias:
    assert bias is not None, "two operands have a bias that is known"
    dims = (1,) * (len(shape) - bias.ndim) + bias.shape
    if prod(dims[:-2]) > 1:
        dims = (*shape[:-2], *dims[-2:])
        bias = np.broadcast_to(bias, dims)
    m, n = dims[-2:]
    steps = (m * n if prod(dims[:-2]) > 1 else 0, n if m > 1 else 0, 1 if n > 1 else 0)
    return Bias(bias.astype(np.float64).reshape(-1), *steps)


def _redo(out: Array, a: Array, b: Array, bias: Bias) -> None:
    """Computes exactly the sums that are still open in `out` [G, M, N]."""
    groups, rows, columns = np.nonzero(out.view(np.uint32) == OPEN)
    step = max(1, BLOCK // (a.shape[2] + 1))
    for at in range(0, groups.size, step):
        g, i, j = (place[at : at + step] for place in (groups, rows, columns))
        products = a[g, i].astype(np.float64) * b[g % len(b), j]
        added = bias.values[g * bias.image + i * bias.window + j * bias.column]
        out[g, i, j] = rounded_sums(np.c_[products, added])


def _prepare_integer(constants: Sequence[Array | None]) -> Kernel:
    product = integer_product(constants[1])

    def kernel(a: Array, b: Array, bias: Array | None = None) -> Array:
        out = product(a, b)
        return out if bias is None else out + bias

    return kernel


def _cost(node: Node) -> int:
    return node.output.elements * (node.operands[0].type.shape[-1] + 1)


PRIMITIVES = (Primitive(Op.DOT, _takes, _infer, _plain, _prepare, _cost),)
