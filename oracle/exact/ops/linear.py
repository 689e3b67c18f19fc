"""DOT: rows of A times rows of B, with a bias in the same exact sum."""

from collections.abc import Sequence

import numpy as np

from oracle.exact import float32
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
from oracle.exact.sums import BLOCK, UNIT, decided, rounded_sums
from oracle.tensor import Array


def _infer(types: Sequence[ValueType], attributes: Sequence[int]) -> ValueType:
    """A [*batch, M, K], B [*batch, N, K], bias that broadcasts to [*batch, M, N]."""
    same_dtype(types, (FLOAT,))
    a, b = types[0].shape, types[1].shape
    if a[-1] != b[-1]:
        raise Outside(f"the inner dims {a[-1]} and {b[-1]} differ", "fix the shapes of its inputs")
    shape = (*broadcast([a[:-2], b[:-2]]), a[-2], b[-2])
    if len(types) == 3 and broadcast([shape, types[2].shape]) != shape:
        raise Outside(f"a bias {types[2].shape} does not fit {shape}", "fix the shape of the bias")
    return ValueType(FLOAT, shape)


def _plain(node: Node, arrays: Sequence[Array]) -> Array:
    # INPUTS
    a, b = float32.bits(arrays[0]), float32.bits(arrays[1])
    bias = float32.bits(arrays[2]) if len(arrays) == 3 else []
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
        out.append(dot(terms, bias[bias_at[at]] if bias else 0))
    # OUTPUT
    return float32.array(out, shape)


def dot(pairs: "zip[tuple[int, int]]", bias: int) -> int:
    """Σ x·y + bias, rounded once; on bits."""
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


def special_sum(specials: set[int]) -> int:
    """The sum of infinities and NaNs: both infinities make NaN."""
    return specials.pop() if len(specials) == 1 else float32.NAN


def _rows(operand: Operand, m: int, n: int) -> Operand:
    """The operand with each row of K as one element, laid out as [*batch, m, n]."""
    type_ = ValueType(operand.type.dtype, (*operand.type.shape[:-2], m, n))
    return Operand(operand.kind, operand.index, type_)


def _prepare(node: Node, constants: Sequence[Array | None]) -> Kernel:
    """float64 BLAS, and an error bound that decides the rounding of nearly every element.

    Products of float32 are exact in float64. However the sum of K + 1 terms is ordered or fused,
    its error is at most γ_{K+1}·Σ|terms| (Higham 4.2); by Cauchy and Schwarz Σ|a_k·b_k| ≤ |a|·|b|.
    The constant has room for the rounding of the norms, of the bound, and of s ± error.
    """
    k = node.operands[0].type.shape[-1]
    unit = (k + 16) * UNIT * (1 + 2.0**-10)
    shape = node.output.shape
    b_known = None if constants[1] is None else _with_norms(constants[1], unit)
    bias_known = (
        None if len(constants) < 3 or constants[2] is None else _with_size(constants[2], unit)
    )

    def kernel(a: Array, b: Array, bias: Array | None = None) -> Array:
        a64 = a.astype(np.float64)
        b64, b_norms = b_known or _with_norms(b, unit)
        s = np.matmul(a64, np.swapaxes(b64, -1, -2))
        error = np.sqrt(np.einsum("...k,...k->...", a64, a64))[..., None] * b_norms
        if bias is not None:
            bias64, size = bias_known or _with_size(bias, unit)
            s += bias64
            error = error + size
        out, undecided = decided(s, error)
        if undecided.size:
            _redo(out, undecided, a64, b64, None if bias is None else bias64)
        return out

    def _redo(out: Array, undecided: Array, a64: Array, b64: Array, bias64: Array | None) -> None:
        a_rows = np.broadcast_to(a64, (*shape[:-2], *a64.shape[-2:]))
        b_rows = np.broadcast_to(b64, (*shape[:-2], *b64.shape[-2:]))
        step = max(1, BLOCK // max(1, k))
        for at in range(0, undecided.size, step):
            index = np.unravel_index(undecided[at : at + step], shape)
            terms = a_rows[index[:-1]] * b_rows[(*index[:-2], index[-1])]
            if bias64 is not None:
                column = np.broadcast_to(bias64, shape)[index]
                terms = np.concatenate([terms, column[:, None]], axis=1)
            out[index] = rounded_sums(terms)

    return kernel


def _with_norms(b: Array, unit: float) -> tuple[Array, Array]:
    """float64 [*batch, N, K] and unit·|row| as [*batch, 1, N]."""
    b64 = b.astype(np.float64)
    return b64, (unit * np.sqrt(np.einsum("...k,...k->...", b64, b64)))[..., None, :]


def _with_size(bias: Array, unit: float) -> tuple[Array, Array]:
    bias64 = bias.astype(np.float64)
    return bias64, unit * np.abs(bias64)


def _cost(node: Node) -> int:
    return node.output.elements * (node.operands[0].type.shape[-1] + 1)


PRIMITIVES = (Primitive(Op.DOT, _infer, _plain, _prepare, _cost),)
