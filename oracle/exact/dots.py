"""Rows times rows in float64, each exact sum rounded once to float32.

Products of float32 are exact in float64. However a sum of n terms is ordered or fused, its error is
at most γ_{n−1}·Σ|terms| (Higham, *Accuracy and Stability*, 4.2), and Σ|a_k·b_k| ≤ |a|·|b| by Cauchy
and Schwarz. A row longer than two panels is summed panel by panel, so that a term goes through
at most PANEL − 1 additions in its panel and one for each further panel, whatever BLAS does.
"""

import math
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from oracle.exact.sums import FLOOR, UNIT, bracketed, rounded_row, rounded_sums
from oracle.tensor import Array

PANEL = 256
# A block of the result has about so many elements, and at most so many columns.
_BLOCK = 1 << 17
_COLUMNS = 1024
_SMALL = 1 << 12
# Terms that are gathered at once to be summed exactly, and so few that plain Python is faster.
_GATHERED = 1 << 15
_FEW = 1 << 11

Block = tuple[slice, slice, slice]


@dataclass(frozen=True, slots=True)
class _Left:
    """Elements that the bound did not decide: where they are, their float64 sums, and the squares
    of their rows' lengths."""

    places: tuple[Array, ...]
    sums: Array
    squares: Array

    def moved(self, block: Block) -> "_Left":
        """As elements of the whole."""
        places = tuple(i + part.start for i, part in zip(self.places, block, strict=True))
        return _Left(places, self.sums, self.squares)


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
                self._redo(out, a, bias, left)
            return out
        lefts = []
        for block in self._blocks(shape):
            group, rows, columns = block
            left = self._round(
                out[block],
                a[group, rows],
                self._columns[group, :, columns],
                self._norms[group, :, columns],
                bias.part(block),
            )
            if left is not None:
                lefts.append(left.moved(block))
        if lefts:
            self._redo(out, a, bias, _joined(lefts))
        return out

    def _blocks(self, shape: tuple[int, int, int]) -> Iterator[Block]:
        groups, m, n = shape
        columns = min(n, _COLUMNS)
        rows = max(1, _BLOCK // max(1, columns, min(self._b.shape[2], 2 * PANEL)))
        some = max(1, rows // max(1, m))
        for g in range(0, groups, some):
            for i in range(0, m, rows):
                for j in range(0, n, columns):
                    yield slice(g, g + some), slice(i, i + rows), slice(j, j + columns)

    def _round(self, out: Array, a: Array, b: Array, norms: Array, bias: Bias) -> "_Left | None":
        """Sets `out` where the bound decides; gives what it leaves."""
        s, squares = self._sums(a, b)
        # One bound for all rows, by the longest: a bound for each element would cost two passes.
        longest = (
            math.sqrt(squares[0, 0])
            if squares.size == 1
            else np.sqrt(np.maximum.reduce(squares, axis=1, initial=0))[:, None, None]
        )
        error = norms * longest
        error = error + (self._unit * bias.sizes + FLOOR)
        spare = _scratch.take("end", s.shape), _scratch.take("low", s.shape, np.float32)
        flat = bracketed(s, bias.values - error, bias.values + error, out, spare)
        if not flat.size:
            return None
        sums = s.reshape(-1)[flat]
        # A sum is NaN only where a term is, or both infinities are among them.
        nan = np.isnan(sums)
        if np.count_nonzero(nan):
            out[np.unravel_index(flat[nan], s.shape)] = np.nan
            flat, sums = flat[~nan], sums[~nan]
        places = np.unravel_index(flat, s.shape)
        return _Left(places, sums, squares[places[:2]])

    def _sums(self, a: Array, b: Array) -> tuple[Array, Array]:
        """a·b in float64 and a·a."""
        s = _scratch.take("sums", (*a.shape[:2], b.shape[2]))
        if not self._panels:
            a64 = _doubled(a)
            return np.matmul(a64, b, out=s), _squares(a64)
        first, *others = self._panels
        a64 = _doubled(a[:, :, first])
        np.matmul(a64, b[:, first], out=s)
        squares = _squares(a64)
        part = _scratch.take("end", s.shape)
        for panel in others:
            a64 = _doubled(a[:, :, panel])
            s += np.matmul(a64, b[:, panel], out=part)
            squares += _squares(a64)
        return s, squares

    def _redo(self, out: Array, a: Array, bias: Bias, left: "_Left") -> None:
        k = a.shape[2]
        added = np.broadcast_to(bias.values, out.shape)[left.places]
        if left.sums.size * k <= _FEW:
            group, row, column = left.places
            terms = np.empty((left.sums.size, k + 1))
            np.multiply(a[group, row], self._b[group, column], out=terms[:, :k])
            terms[:, k] = added
            out[left.places] = [rounded_row(line) for line in terms.tolist()]
            return
        # In units of 2^−53 and more, as bounds are.
        group, _, column = left.places
        size = self._norms[group, 0, column] * np.sqrt(left.squares)
        size += self._unit * np.abs(added)
        places = left.places
        if size.size * k > _GATHERED:  # the bound of each element's own row decides most
            error = size + FLOOR
            rounded = np.empty(size.size, np.float32)
            open_ = bracketed(left.sums, added - error, added + error, rounded)
            out[places] = rounded
            places = tuple(place[open_] for place in places)
            size, added = size[open_], added[open_]
        # Now Σ|terms|; the factor is for its own rounding.
        size *= (1 + 2.0**-10) / self._unit
        step = max(1, _GATHERED // max(1, k))
        for at in range(0, size.size, step):
            group, row, column = (place[at : at + step] for place in places)
            terms = np.empty((group.size, k + 1))
            np.multiply(a[group, row], self._b[group, column], out=terms[:, :k])
            terms[:, k] = added[at : at + step]
            out[group, row, column] = rounded_sums(terms, size[at : at + step])


def _joined(lefts: Sequence[_Left]) -> _Left:
    places = zip(*(left.places for left in lefts), strict=True)
    return _Left(
        tuple(np.concatenate(place) for place in places),
        np.concatenate([left.sums for left in lefts]),
        np.concatenate([left.squares for left in lefts]),
    )


class _Scratch(threading.local):
    """A thread's working memory. What the system hands out anew at each call comes in fresh pages,
    which cost more than the sums of short rows."""

    def __init__(self) -> None:
        self._buffers: dict[str, Array] = {}

    def take(self, name: str, shape: tuple[int, ...], dtype: type = np.float64) -> Array:
        size = prod(shape)
        if not _SMALL < size <= 2 * _BLOCK:
            return np.empty(shape, dtype)
        buffer = self._buffers.get(name)
        if buffer is None or buffer.size < size:
            buffer = self._buffers[name] = np.empty(2 * _BLOCK, dtype)
        return buffer[:size].reshape(shape)


_scratch = _Scratch()


def _doubled(a: Array) -> Array:
    a64 = _scratch.take("rows", a.shape)
    np.copyto(a64, a)
    return a64


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
