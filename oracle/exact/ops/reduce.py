"""Reductions along K neighbours: exact sums and means, extrema, ArgMax, TopK, running sums.

The input is read as [outer, K] and reduced over K; a lowering transposes what is not so laid out.
"""

from collections.abc import Callable, Sequence

import numpy as np

from oracle.exact import float32
from oracle.exact.contraction import flat
from oracle.exact.ops.elementwise import from_words, limits, maximum, minimum, words
from oracle.exact.ops.linear import special_sum
from oracle.exact.primitive import (
    FLOAT,
    NUMBERS,
    Kernel,
    Outside,
    Primitive,
    exactly,
    input_size,
    same_dtype,
)
from oracle.exact.program import Node, Op, ValueType
from oracle.exact.sums import BLOCK, OPEN, UNIT, decided, rounded_means, rounded_sums
from oracle.tensor import Array
from oracle.types import DType

SUMMED = (FLOAT, DType.INT64, DType.INT32)


def _infer_sum(types: Sequence[ValueType], _attributes: Sequence[int]) -> ValueType:
    outer, _ = types[0].shape
    return ValueType(same_dtype(types, SUMMED), (outer,))


def _infer_mean(types: Sequence[ValueType], _attributes: Sequence[int]) -> ValueType:
    return ValueType(same_dtype(types, (FLOAT,)), _outer(types[0]))


def _infer_extremum(types: Sequence[ValueType], _attributes: Sequence[int]) -> ValueType:
    outer, _ = types[0].shape
    return ValueType(same_dtype(types, NUMBERS), (outer,))


def _infer_arg(types: Sequence[ValueType], _attributes: Sequence[int]) -> ValueType:
    same_dtype(types, NUMBERS)
    return ValueType(DType.INT64, _outer(types[0]))


def _infer_top(types: Sequence[ValueType], attributes: Sequence[int]) -> ValueType:
    same_dtype(types, NUMBERS)
    outer, k = types[0].shape
    if not 0 <= attributes[0] <= k:
        raise Outside(f"it takes the top {attributes[0]} of {k}", f"take {k} or fewer")
    return ValueType(DType.INT64, (outer, attributes[0]))


def _infer_running(types: Sequence[ValueType], _attributes: Sequence[int]) -> ValueType:
    _, _ = types[0].shape
    return ValueType(same_dtype(types, SUMMED), types[0].shape)


def _outer(type_: ValueType) -> tuple[int]:
    outer, k = type_.shape
    if k == 0 and outer:
        raise Outside("it reduces an axis of size zero", "such an axis has no mean and no maximum")
    return (outer,)


def sum_of(row: Sequence[int], divisor: int = 1) -> int:
    """Divides the sum of float32 bits by the divisor, and rounds once."""
    specials = {word for word in row if not float32.is_finite(word)}
    if specials:
        return special_sum(specials)
    total = sum(float32.scaled(word) for word in row)
    return float32.of_ratio(total, divisor << 149)


def extremum(row: Sequence[int], dtype: DType, largest: bool) -> int:
    """Gives the largest or smallest element; of no elements, the value that all others beat."""
    if dtype is FLOAT:
        best = float32.INF | float32.SIGN if largest else float32.INF
        for word in row:
            best = maximum(best, word) if largest else minimum(best, word)
        return best
    low, high = limits(dtype)
    return max(row, default=low) if largest else min(row, default=high)


def arg_max(row: Sequence[int], dtype: DType, last: bool) -> int:
    """Gives the first (or last) place of the maximum; NaN is above +∞."""
    keys = [_rank(word) if dtype is FLOAT else word for word in row]
    best = max(keys)
    return len(keys) - 1 - keys[::-1].index(best) if last else keys.index(best)


def top(row: Sequence[int], dtype: DType, count: int) -> list[int]:
    """Gives the places of the `count` largest, the largest first. Of equal elements the first comes
    first; NaN is above +∞."""
    keys = [_rank(word) if dtype is FLOAT else word for word in row]
    return sorted(range(len(keys)), key=lambda place: (-keys[place], place))[:count]


def _rank(word: int) -> int:
    return word if float32.is_nan(word) else float32.ordered(word)


def _plain(node: Node, arrays: Sequence[Array]) -> Array:
    # INPUTS
    values = words(arrays[0])
    dtype = node.operands[0].type.dtype
    # SHAPE
    outer, k = node.operands[0].type.shape
    rows = [values[at * k : at * k + k] for at in range(outer)]
    # COMPUTE
    match node.op:
        case Op.REDUCE_SUM if dtype is FLOAT:
            out = [sum_of(row) for row in rows]
        case Op.REDUCE_SUM:
            out = [sum(row) for row in rows]
        case Op.REDUCE_MEAN:
            out = [sum_of(row, k) for row in rows]
        case Op.REDUCE_MAX | Op.REDUCE_MIN:
            out = [extremum(row, dtype, node.op is Op.REDUCE_MAX) for row in rows]
        case Op.TOP_K:
            out = [at for row in rows for at in top(row, dtype, node.attributes[0])]
        case Op.CUM_SUM:
            add = sum_of if dtype is FLOAT else sum
            out = [add(row[: at + 1]) for row in rows for at in range(k)]
        case _:
            out = [arg_max(row, dtype, bool(node.attributes[0])) for row in rows]
    # OUTPUT
    return from_words(out, node.output)


def _prepare_sum(node: Node, _constants: Sequence[Array | None]) -> Kernel:
    if node.output.dtype is FLOAT:
        return _float_sums(node, rounded_sums, 1)
    return lambda x: np.add.reduce(x, axis=1, dtype=x.dtype)


def _prepare_mean(node: Node, _constants: Sequence[Array | None]) -> Kernel:
    return _float_sums(node, rounded_means, max(node.operands[0].type.shape[1], 1))


def _float_sums(node: Node, rounded: Callable[[Array], Array], divisor: int) -> Kernel:
    """Makes the kernel of float32 sums, each divided by `divisor`.

    γ_{K−1}·Σ|x| bounds the error of a sum. The rest of the unit covers the error of Σ|x|, which is
    K units relatively, and the rounding of the quotient and of value ± error. LLVM sums in lanes,
    so that no row has shown more than an eighth of that; it does not promise to.
    """
    from oracle.exact.kernels.reduce import sums  # numba takes its time to load

    outer, k = node.operands[0].type.shape
    unit = (k + 16) * UNIT * (1 + 2.0**-10)

    def kernel(x: Array) -> Array:
        out = np.empty(outer, np.float32)
        if sums(flat(x), k, float(divisor), unit, out):
            undecided = np.flatnonzero(out.view(np.uint32) == OPEN)
            step = max(1, BLOCK // max(k, 1))
            for at in range(0, undecided.size, step):
                some = undecided[at : at + step]
                out[some] = rounded(x[some].astype(np.float64))
        return out

    return kernel


_FEW = 32


def _prepare_extremum(node: Node, _constants: Sequence[Array | None]) -> Kernel:
    ufunc = np.maximum if node.op is Op.REDUCE_MAX else np.minimum
    outer, k = node.operands[0].type.shape
    if k == 0:
        worst = extremum((), node.output.dtype, node.op is Op.REDUCE_MAX)
        nothing = from_words([worst] * outer, node.output)
        return lambda _x: nothing
    if k > _FEW or outer < _FEW:
        return lambda x: ufunc.reduce(x, axis=1)

    def columns(x: Array) -> Array:
        """Folds column by column, because numpy takes its time for each row."""
        out = x[:, 0].copy()
        for column in x.T[1:]:
            ufunc(out, column, out=out)
        return out

    return columns


def _prepare_arg(node: Node, _constants: Sequence[Array | None]) -> Kernel:
    outer, k = node.operands[0].type.shape
    if k == 0:
        return lambda _x: np.zeros(outer, np.int64)
    if node.attributes[0]:
        return lambda x: k - 1 - np.argmax(x[:, ::-1], axis=1)
    return lambda x: np.argmax(x, axis=1)


def _sorting(node: Node) -> int:
    return input_size(node) * 16


def _prepare_top(node: Node, _constants: Sequence[Array | None]) -> Kernel:
    count = node.attributes[0]

    def kernel(x: Array) -> Array:
        # ~key puts the largest first, and a stable sort the first of equals.
        return np.argsort(~_keys(x), axis=1, kind="stable")[:, :count]

    return kernel


def _keys(x: Array) -> Array:
    """Gives integers that sort as the numbers do, NaN on top."""
    if x.dtype != np.float32:
        return x
    words = np.ascontiguousarray(x).view(np.int32)
    keys = np.where(words < 0, words ^ np.int32(0x7FFFFFFF), words)
    keys[np.isnan(x)] = np.iinfo(np.int32).max
    return keys


def _prepare_running(node: Node, _constants: Sequence[Array | None]) -> Kernel:
    if node.output.dtype is FLOAT:
        return _float_running
    return lambda x: np.add.accumulate(x, axis=1, dtype=x.dtype)


def _float_running(x: Array) -> Array:
    k = x.shape[1]
    x64 = x.astype(np.float64)
    error = np.add.accumulate(np.abs(x64), axis=1) * ((k + 16) * UNIT * (1 + 2.0**-10))
    out, undecided = decided(np.add.accumulate(x64, axis=1), error)
    step = max(1, BLOCK // max(k, 1))
    for start in range(0, undecided.size, step):
        row, place = np.divmod(undecided[start : start + step], k)
        terms = np.where(np.arange(k) <= place[:, None], x64[row], 0)
        out[row, place] = rounded_sums(terms)
    return out


PRIMITIVES = (
    Primitive(Op.REDUCE_SUM, exactly(1), _infer_sum, _plain, _prepare_sum, input_size),
    Primitive(Op.REDUCE_MEAN, exactly(1), _infer_mean, _plain, _prepare_mean, input_size),
    Primitive(Op.REDUCE_MAX, exactly(1), _infer_extremum, _plain, _prepare_extremum, input_size),
    Primitive(Op.REDUCE_MIN, exactly(1), _infer_extremum, _plain, _prepare_extremum, input_size),
    Primitive(Op.ARG_MAX, exactly(1, 1), _infer_arg, _plain, _prepare_arg, input_size),
    Primitive(Op.TOP_K, exactly(1, 1), _infer_top, _plain, _prepare_top, _sorting),
    Primitive(Op.CUM_SUM, exactly(1), _infer_running, _plain, _prepare_running, input_size),
)
