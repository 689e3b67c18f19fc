"""Rows times rows in float64, each exact sum rounded once to float32.

Products of float32 are exact in float64. However a sum of n terms is ordered or fused, its error is
at most γ_{n−1}·Σ|terms| (Higham, *Accuracy and Stability*, 4.2), and Σ|a_k·b_k| ≤ |a|·|b| by Cauchy
and Schwarz. A row longer than two panels is summed panel by panel, so that a term goes through
at most PANEL − 1 additions in its panel and one for each further panel, whatever BLAS does.
"""

import math
from collections.abc import Iterator

import numpy as np

from oracle.exact.sums import FLOOR, UNIT, bracketed, rounded_row, rounded_sums
from oracle.tensor import Array

PANEL = 256
# A block of the result has about so many elements, and at most so many columns.
_BLOCK = 1 << 17
_COLUMNS = 1024
# Terms that are gathered at once to be summed exactly, and so few that plain Python is faster.
_GATHERED = 1 << 15
_FEW = 1 << 11

Block = tuple[slice, slice, slice]
_WHOLE: Block = (slice(None), slice(None), slice(None))
# The flat places in a block where the bound did not decide, the float64 sums there, and the squares
# of all its rows' lengths.
Left = tuple[Array, Array, Array]


class Bias:
    """float64 [G or 1, M or 1, N or 1], made of float32 numbers."""

    def __init__(self, values: Array):
        self.values = values
        self.sizes: Array = np.abs(values)

    def part(self, block: Block) -> "Bias":
        """The block's part of what broadcasts."""
        if self.values.size == 1:
            return self
        shape = self.values.shape
        return Bias(
            self.values[
                tuple(
                    slice(None) if size == 1 else part
                    for size, part in zip(shape, block, strict=True)
                )
            ]
        )


class Dots:
    """Rows b, float32 [G, N, K], ready to be multiplied by rows a [G, M, K]."""

    def __init__(self, b: Array):
        self._b: Array = b.astype(np.float64)
        n, k = b.shape[-2:]
        panels = -(-k // PANEL) if k > 2 * PANEL else 1
        panel = max(1, -(-k // panels))
        self._panels = [slice(at, at + panel) for at in range(0, k, panel)] if panels > 1 else []
        self._columns = np.swapaxes(self._b, -1, -2)
        # A term goes through `panel + panels` additions or fewer, with the bias's. The rest of the
        # 16 covers the rounding of bias ± error and of s + (bias ± error), each at most
        # 2·(Σ|terms| + |bias|) units; the factor covers that of the norms, K + 3 units relatively,
        # and of the products that make the bound.
        self._unit = (panel + panels + 16) * UNIT * (1 + 2.0**-10)
        squares = np.einsum("gnk,gnk->gn", self._b, self._b)
        self._norms = (self._unit * np.sqrt(squares))[:, None, :]

    def rounded(self, a: Array, bias: Bias) -> Array:
        """float32 [G, M, N]: a·b + bias. `a` is float32."""
        shape = (*a.shape[:2], self._b.shape[1])
        out = np.empty(shape, np.float32)
        if out.size <= _BLOCK and shape[2] <= _COLUMNS:
            left = self._round(out, a, self._columns, self._norms, bias)
            if left is not None:
                self._redo(out, a, bias, _WHOLE, left)
            return out
        open_ = []
        for block in _blocks(shape):
            group, rows, columns = block
            left = self._round(
                out[block],
                a[group, rows],
                self._columns[group, :, columns],
                self._norms[group, :, columns],
                bias.part(block),
            )
            if left is not None:
                open_.append((block, left))
        for block, left in open_:
            self._redo(out, a, bias, block, left)
        return out

    def _round(self, out: Array, a: Array, b: Array, norms: Array, bias: Bias) -> Left | None:
        """Sets `out` where the bound decides; gives what it leaves."""
        s, squares = self._sums(a, b)
        # One bound for all rows, by the longest: a bound for each element would cost two passes.
        longest = (
            math.sqrt(squares[0, 0])
            if squares.size == 1
            else np.sqrt(np.maximum.reduce(squares, axis=1, initial=0))[:, None, None]
        )
        error = norms * longest
        error += FLOOR
        error = error + self._unit * bias.sizes
        flat = bracketed(s, bias.values - error, bias.values + error, out)
        return (flat, s.reshape(-1)[flat], squares) if flat.size else None

    def _sums(self, a: Array, b: Array) -> tuple[Array, Array]:
        """a·b in float64 and a·a."""
        if not self._panels:
            a64 = a.astype(np.float64)
            return np.matmul(a64, b), _squares(a64)
        first, *others = self._panels
        a64 = a[:, :, first].astype(np.float64)
        s: Array = np.matmul(a64, b[:, first])
        squares = _squares(a64)
        part = np.empty_like(s)
        for panel in others:
            a64 = a[:, :, panel].astype(np.float64)
            s += np.matmul(a64, b[:, panel], out=part)
            squares += _squares(a64)
        return s, squares

    def _redo(self, out: Array, a: Array, bias: Bias, block: Block, left: Left) -> None:
        """With the bound of the element's own row, and what is still open exactly."""
        flat, s, squares = left
        # A sum is NaN only where a term is, or both infinities are among them.
        nan = np.isnan(s)
        out[_places(flat[nan], out, block)] = np.nan
        flat, s = flat[~nan], s[~nan]
        k = a.shape[2]
        places = _places(flat, out, block)
        added = np.broadcast_to(bias.values, out.shape)[places]
        size = self._sizes(flat, places, squares, out[block].shape, added)
        if len(flat) * k > _FEW:
            error = size + FLOOR
            rounded = np.empty(len(flat), np.float32)
            open_ = bracketed(s, added - error, added + error, rounded)
            out[places] = rounded
            places = tuple(place[open_] for place in places)
            size, added = size[open_], added[open_]
        # `size` is in the bound's units; the factor is for its own rounding.
        size *= (1 + 2.0**-10) / self._unit
        group, row, column = places
        step = max(1, _GATHERED // max(1, k))
        for at in range(0, len(size), step):
            some = slice(at, at + step)
            terms = np.empty((len(size[some]), k + 1))
            np.multiply(
                a[group[some], row[some]], self._b[group[some], column[some]], out=terms[:, :k]
            )
            terms[:, k] = added[some]
            out[group[some], row[some], column[some]] = (
                [rounded_row(line) for line in terms.tolist()]
                if terms.size <= _FEW
                else rounded_sums(terms, size[some])
            )

    def _sizes(
        self,
        flat: Array,
        places: tuple[Array, ...],
        squares: Array,
        shape: tuple[int, ...],
        added: Array,
    ) -> Array:
        """A bound on the error of each sum, by its own row."""
        group, _, column = places
        rows = np.sqrt(squares.reshape(-1)[flat // shape[2]])
        size: Array = self._norms[group, 0, column] * rows + self._unit * np.abs(added)
        return size


def _squares(a64: Array) -> Array:
    """The squares of the rows' lengths, [G, M]."""
    if a64.shape[0] * a64.shape[1] == 1:
        row = a64.reshape(-1)
        return np.array([[row.dot(row)]])
    squares: Array = np.einsum("gmk,gmk->gm", a64, a64)
    return squares


def _places(flat: Array, out: Array, block: Block) -> tuple[Array, ...]:
    """Where the block's elements are in `out`."""
    index = np.unravel_index(flat, out[block].shape)
    return tuple(i + (part.start or 0) for i, part in zip(index, block, strict=True))


def _blocks(shape: tuple[int, int, int]) -> Iterator[Block]:
    groups, m, n = shape
    columns = min(n, _COLUMNS)
    rows = max(1, _BLOCK // max(1, columns))
    some = max(1, rows // max(1, m))
    for g in range(0, groups, some):
        for i in range(0, m, rows):
            for j in range(0, n, columns):
                yield slice(g, g + some), slice(i, i + rows), slice(j, j + columns)
