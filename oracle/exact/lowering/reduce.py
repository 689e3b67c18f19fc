"""Reductions over any axes: those axes are brought to the end and read as one."""

from collections.abc import Callable, Sequence
from itertools import accumulate
from math import isqrt, prod
from typing import TypeAlias

import numpy as np

from oracle.exact.lowering.builder import Builder
from oracle.exact.lowering.elementwise import cast
from oracle.exact.lowering.source import Lowering, Source, normalized
from oracle.exact.primitive import INTEGERS, Outside
from oracle.exact.program import Op, Operand
from oracle.tensor import numpy_dtype
from oracle.types import DType

LONG = 4096
"""The most numbers of which an extremum is taken in one step."""

Fold: TypeAlias = Callable[[Builder, Operand], Operand]
"""Folds each row of [outer, K] to one number, [outer]."""


def _alone(fold: Fold) -> Fold:
    """Leaves a row of one number as it is, which takes no node."""

    def folded_or_not(b: Builder, rows: Operand) -> Operand:
        outer, k = rows.type.shape
        return b.reshape(rows, (outer,)) if k == 1 else fold(b, rows)

    return folded_or_not


def _sum(b: Builder, rows: Operand) -> Operand:
    return b.emit(Op.REDUCE_SUM, (rows,))


def _reduction(fold: Fold, axes_are_input_since: int) -> Lowering:
    def lowering(b: Builder, node: Source) -> list[Operand]:
        x = node.input(0)
        rank = len(x.type.shape)
        axes = _axes(b, node, axes_are_input_since)
        keep = bool(node.integer("keepdims", 1))
        noop = node.opset >= axes_are_input_since and node.integer("noop_with_empty_axes", 0)
        if not axes:
            if noop:
                # Each element is reduced alone.
                rows = b.reshape(x, (x.type.elements, 1))
                return [b.reshape(fold(b, rows), x.type.shape)]
            axes = tuple(range(rank))
        return [folded(b, fold, x, [normalized(axis, rank) for axis in axes], keep)]

    return lowering


def _axes(b: Builder, node: Source, axes_are_input_since: int) -> tuple[int, ...]:
    if node.opset < axes_are_input_since:
        return node.integers("axes", ())
    given = node.optional(1)
    if given is None:
        return ()
    return integers(b, given, "axes")


def integers(b: Builder, operand: Operand, what: str) -> tuple[int, ...]:
    """Reads a list of integers. Raises Outside where it depends on the model's inputs."""
    array = b.known(operand)
    if array is None:
        raise Outside(f"its {what} depend on the model's inputs", f"make its {what} constant")
    if operand.type.dtype not in (DType.INT64, DType.INT32) or array.ndim > 1:
        raise Outside(f"its {what} are {operand.type}, not a list of integers", "fix the file")
    return tuple(int(value) for value in array.reshape(-1))


def reduced(
    b: Builder, op: Op, x: Operand, axes: Sequence[int], keep: bool, *attributes: int
) -> Operand:
    return folded(b, lambda b, rows: b.emit(op, (rows,), *attributes), x, axes, keep)


def folded(b: Builder, fold: Fold, x: Operand, axes: Sequence[int], keep: bool) -> Operand:
    shape = x.type.shape
    if len(set(axes)) != len(axes):
        raise Outside(f"it reduces an axis twice: {tuple(axes)}", "fix axes")
    kept = [axis for axis in range(len(shape)) if axis not in axes]
    moved = b.transpose(x, [*kept, *sorted(axes)])
    outer = prod(shape[axis] for axis in kept)
    rows = b.reshape(moved, (outer, prod(shape[axis] for axis in axes)))
    out = fold(b, rows)
    if keep:
        return b.reshape(out, tuple(1 if i in axes else dim for i, dim in enumerate(shape)))
    return b.reshape(out, tuple(shape[axis] for axis in kept))


def extremum(b: Builder, op: Op, rows: Operand) -> Operand:
    """Emits the greatest or least of each row of [outer, K]. Long rows take two steps with the same
    result, so that a fraud proof opens about √K numbers and not the whole row."""
    outer, k = rows.type.shape
    if k > LONG:
        parts = next(n for n in range(isqrt(k), 0, -1) if k % n == 0)
        if parts > 1:
            pieces = b.reshape(rows, (outer * parts, k // parts))
            rows = b.reshape(b.emit(op, (pieces,)), (outer, parts))
    return b.emit(op, (rows,))


def _extremum(op: Op) -> Fold:
    """Makes the fold to the greatest or least, which reads bools as 0 and 1."""

    def fold(b: Builder, rows: Operand) -> Operand:
        if rows.type.dtype is not DType.BOOL:
            return extremum(b, op, rows)
        return cast(b, extremum(b, op, cast(b, rows, DType.UINT8)), DType.BOOL)

    return fold


def _mean(b: Builder, rows: Operand) -> Operand:
    """Emits the means of rows; of integers, rounded towards zero."""
    if rows.type.dtype is DType.FLOAT:
        return b.emit(Op.REDUCE_MEAN, (rows,))
    count = b.scalar(rows.type.shape[1], rows.type.dtype)
    return b.emit(Op.DIV, (b.emit(Op.REDUCE_SUM, (rows,)), count))


def _product(b: Builder, rows: Operand) -> Operand:
    """Multiplies the first half of each row by the second, rounds, and so on with the products."""
    outer, k = rows.type.shape
    if k == 0:
        return b.constant(np.ones(outer, numpy_dtype(rows.type.dtype)))
    while k > 1:
        half = k // 2
        both = b.emit(Op.MUL, (columns(b, rows, 0, half), columns(b, rows, half, half)))
        rest = [columns(b, rows, k - 1, 1)] if k % 2 else []
        rows = b.emit(Op.CONCAT, [both, *rest]) if rest else both
        k -= half
    return b.reshape(rows, (outer,))


def columns(b: Builder, rows: Operand, first: int, count: int) -> Operand:
    """Emits `count` columns of [outer, K], from `first` on."""
    outer, k = rows.type.shape
    places = b.constant(np.arange(first, first + count))
    return b.reshape(b.emit(Op.GATHER, (b.reshape(rows, (outer, k, 1)), places)), (outer, count))


def _l1(b: Builder, rows: Operand) -> Operand:
    return b.emit(Op.REDUCE_SUM, (b.emit(Op.ABS, (rows,)),))


def _sum_square(b: Builder, rows: Operand) -> Operand:
    """Emits one exact sum of squares for each row."""
    outer, k = rows.type.shape
    row = b.reshape(rows, (outer, 1, k))
    return b.reshape(b.emit(Op.DOT, (row, row)), (outer,))


def _l2(b: Builder, rows: Operand) -> Operand:
    return b.emit(Op.SQRT, (_sum_square(b, rows),))


def _log_sum(b: Builder, rows: Operand) -> Operand:
    return b.emit(Op.LOG, (b.emit(Op.REDUCE_SUM, (rows,)),))


def _log_sum_exp(b: Builder, rows: Operand) -> Operand:
    """Emits m + log Σ exp(x − m), where m is the largest if that is finite, else 0."""
    m = b.emit(Op.REDUCE_MAX, (rows,))
    finite = b.emit(Op.LESS, (b.emit(Op.ABS, (m,)), b.scalar(float("inf"))))
    m = b.emit(Op.WHERE, (finite, m, b.scalar(0)))
    shifted = b.emit(Op.SUB, (rows, b.reshape(m, (rows.type.shape[0], 1))))
    return b.emit(Op.ADD, (_log_sum(b, b.emit(Op.EXP, (shifted,))), m))


def backwards(b: Builder, x: Operand) -> Operand:
    """Emits numbers in the reverse order of x: −x, or −1 − x of integers, because −x may wrap."""
    dtype = x.type.dtype
    if dtype not in INTEGERS:
        return b.emit(Op.NEG, (x,))
    return b.emit(Op.SUB, (b.scalar(255 if dtype is DType.UINT8 else -1, dtype), x))


def _arg(largest: bool) -> Lowering:
    """Lowers ArgMax, or ArgMin as the ArgMax of the reverse order. NaN is above all in both."""

    def lowering(b: Builder, node: Source) -> list[Operand]:
        x = node.input(0)
        axis = node.axis(len(x.type.shape), 0)
        keep = bool(node.integer("keepdims", 1))
        last = node.integer("select_last_index", 0) if node.opset >= 12 else 0
        ordered = x if largest else backwards(b, x)
        return [reduced(b, Op.ARG_MAX, ordered, [axis], keep, int(last != 0))]

    return lowering


def _running(op: Callable[[Builder, Operand], Operand], start: int) -> Lowering:
    """Lowers CumSum or CumProd. `exclusive` shifts the results by one, so that they begin with
    `start`; `reverse` goes from the end."""

    def lowering(b: Builder, node: Source) -> list[Operand]:
        x = node.input(0)
        shape = x.type.shape
        given = integers(b, node.input(1), "axis")
        if len(given) != 1:
            raise Outside(f"its axis is {given}", "give one")
        axis = normalized(given[0], len(shape))
        last = [*(i for i in range(len(shape)) if i != axis), axis]
        moved = b.transpose(x, last)
        k = shape[axis]
        rows = b.reshape(moved, (x.type.elements // max(k, 1), k))
        reverse = bool(node.integer("reverse", 0))
        rows = _flipped(b, rows) if reverse else rows
        if node.integer("exclusive", 0) and k:
            dtype = numpy_dtype(x.type.dtype)
            first = b.constant(np.full((rows.type.shape[0], 1), start, dtype))
            rows = b.emit(Op.CONCAT, (first, columns(b, rows, 0, k - 1))) if k > 1 else first
        out = op(b, rows)
        out = b.reshape(_flipped(b, out) if reverse else out, moved.type.shape)
        return [b.transpose(out, [last.index(i) for i in range(len(shape))])]

    return lowering


def _running_products(b: Builder, rows: Operand) -> Operand:
    """Multiplies from the left, each step rounded."""
    k = rows.type.shape[1]
    factors = [columns(b, rows, at, 1) for at in range(k)]
    products = list(accumulate(factors, lambda x, y: b.emit(Op.MUL, (x, y))))
    return b.emit(Op.CONCAT, products) if k > 1 else rows


def _flipped(b: Builder, rows: Operand) -> Operand:
    outer, k = rows.type.shape
    places = b.constant(np.arange(k)[::-1].copy())
    return b.reshape(b.emit(Op.GATHER, (b.reshape(rows, (outer, k, 1)), places)), (outer, k))


ONNX: dict[str, Lowering] = {
    "ReduceSum": _reduction(_alone(_sum), 13),
    "ReduceMean": _reduction(_alone(_mean), 18),
    "ReduceMax": _reduction(_alone(_extremum(Op.REDUCE_MAX)), 18),
    "ReduceMin": _reduction(_alone(_extremum(Op.REDUCE_MIN)), 18),
    "ReduceProd": _reduction(_product, 18),
    "ReduceL1": _reduction(_l1, 18),
    "ReduceL2": _reduction(_l2, 18),
    "ReduceSumSquare": _reduction(_sum_square, 18),
    "ReduceLogSum": _reduction(_log_sum, 18),
    "ReduceLogSumExp": _reduction(_log_sum_exp, 18),
    "ArgMax": _arg(largest=True),
    "ArgMin": _arg(largest=False),
    "CumSum": _running(lambda b, rows: b.emit(Op.CUM_SUM, (rows,)), 0),
    "CumProd": _running(_running_products, 1),
}
