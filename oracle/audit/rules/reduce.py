"""Ops on the rows of a matrix: sums, means, extremes, orders."""

from collections.abc import Sequence
from fractions import Fraction
from math import isnan

from oracle.audit.numbers import INF, NAN, SIGNED, Element, Result, total
from oracle.audit.rules.node import Ops, Primitive, Read
from oracle.types import DType


def _row(node: Primitive, row: int, read: Read) -> Sequence[Element]:
    k = node.operands[0].shape[1]
    return read(0, row * k, k)


def _reduce_sum(node: Primitive, element: int, read: Read) -> Result:
    return total(_row(node, element, read), node.output.dtype)


def _reduce_mean(node: Primitive, element: int, read: Read) -> Result:
    return mean(_row(node, element, read), node.operands[0].shape[1])


def _reduce_max(node: Primitive, element: int, read: Read) -> Result:
    return extreme(_row(node, element, read), node.output.dtype, largest=True)


def _reduce_min(node: Primitive, element: int, read: Read) -> Result:
    return extreme(_row(node, element, read), node.output.dtype, largest=False)


def _arg_max(node: Primitive, element: int, read: Read) -> Result:
    row = _row(node, element, read)
    best = max(map(_rank, row))
    places = [at for at, x in enumerate(row) if _rank(x) == best]
    return places[-1 if node.attributes[0] else 0]


def _top_k(node: Primitive, element: int, read: Read) -> Result:
    outer, place = divmod(element, node.attributes[0])
    row = _row(node, outer, read)
    # sorted() keeps the order of equals, so of equals the first comes first.
    return sorted(range(len(row)), key=lambda at: _rank(row[at]), reverse=True)[place]


def _cumulative_sum(node: Primitive, element: int, read: Read) -> Result:
    row, column = divmod(element, node.output.shape[1])
    return total(read(0, row * node.output.shape[1], column + 1), node.output.dtype)


def mean(terms: Sequence[Element], count: int) -> Result:
    if count == 0:
        return NAN
    summed = total(terms, DType.FLOAT)
    return summed if isinstance(summed, float) else Fraction(summed) / count


def extreme(values: Sequence[Element], dtype: DType, largest: bool) -> Result:
    """Gives the largest or smallest: NaN if any is NaN, and of no values the one that all beat."""
    if any(isnan(value) for value in values):
        return NAN
    if values:
        return max(values) if largest else min(values)
    if dtype is DType.FLOAT:
        return -INF if largest else INF
    width = 8 * dtype.itemsize
    low, high = (-(1 << width - 1), (1 << width - 1) - 1) if dtype in SIGNED else (0, 2**width - 1)
    return low if largest else high


def _rank(x: Element) -> tuple[bool, Element]:
    """Gives a key to sort by. NaN is above +∞, and all NaN are equal."""
    return (True, 0) if isnan(x) else (False, x)


OPS: Ops = {
    0x0400: ("REDUCE_SUM", _reduce_sum),
    0x0401: ("REDUCE_MEAN", _reduce_mean),
    0x0402: ("REDUCE_MAX", _reduce_max),
    0x0403: ("REDUCE_MIN", _reduce_min),
    0x0404: ("ARG_MAX", _arg_max),
    0x0440: ("TOP_K", _top_k),
    0x0441: ("CUM_SUM", _cumulative_sum),
}
