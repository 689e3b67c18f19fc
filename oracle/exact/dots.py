"""Rows times rows in float64, each exact sum rounded once to float32: what DOT and CONV share.

Products of float32 are exact in float64. However a sum of n terms is ordered or fused, its error is
at most γ_{n−1}·Σ|terms| (Higham, *Accuracy and Stability*, 4.2), and Σ|a_k·b_k| ≤ |a|·|b| by Cauchy
and Schwarz. A row longer than two panels is summed panel by panel, so that a term goes through
at most PANEL − 1 additions in its panel and one for each further panel, whatever BLAS does.
"""

import numpy as np

from oracle.exact.sums import FLOOR, UNIT, bracketed, rounded_sums
from oracle.tensor import Array

PANEL = 256
# Elements whose terms are gathered at once to be summed exactly: about so many terms.
_GATHERED = 1 << 15


class Dots:
    """Rows b [*batch, N, K], ready to be multiplied by rows a [*batch, M, K]."""

    def __init__(self, b: Array):
        self.rows: Array = b.astype(np.float64)
        n, k = b.shape[-2:]
        panels = -(-k // PANEL) if k > 2 * PANEL else 1
        panel = -(-k // panels) if k else 0
        self._panels = [slice(at, at + panel) for at in range(0, k, panel)] if panels > 1 else []
        self._columns = np.swapaxes(self.rows, -1, -2)
        # Terms are added `panel + panels` times or less, the bias once more. The rest of the 16
        # covers the rounding of bias ± error and of s + (bias ± error), each below
        # 2·(Σ|terms| + |bias|) units; the factor covers that of the norms (K·2^−53 relatively) and
        # of the products that make the bound.
        self._unit = (panel + panels + 16) * UNIT * (1 + 2.0**-10)
        self._norms = self._unit * np.sqrt(np.einsum("...k,...k->...", self.rows, self.rows))

    def round_into(self, out: Array, a: Array, bias: Array | None = None) -> None:
        """Sets `out` (float32 [*batch, M, N]) to the rounded a·b + bias. `a` and `bias` are float64
        arrays of float32 numbers; `bias` broadcasts to `out`. Work is in place of the size of
        `out`, so give it a block of rows at a time.
        """
        s = self._sums(a)
        squares = np.einsum("...k,...k->...", a, a)
        # One bound for all rows of a matrix, by the longest: rows need no pass of their own.
        longest = np.sqrt(squares.max(axis=-1, keepdims=True, initial=0))
        error = self._norms * longest
        error += FLOOR
        error = error[..., None, :]
        if bias is None:
            undecided = bracketed(s, -error, error, out)
        else:
            error = error + self._unit * np.abs(bias)
            undecided = bracketed(s, bias - error, bias + error, out)
        if undecided.size:
            self._redo(out, undecided, s, a, np.sqrt(squares), bias)

    def _sums(self, a: Array) -> Array:
        if not self._panels:
            s: Array = np.matmul(a, self._columns)
            return s
        first, *others = self._panels
        s = np.matmul(a[..., first], self._columns[..., first, :])
        part = np.empty_like(s)
        for panel in others:
            s += np.matmul(a[..., panel], self._columns[..., panel, :], out=part)
        return s

    def _redo(
        self, out: Array, flat: Array, s: Array, a: Array, norms: Array, bias: Array | None
    ) -> None:
        """With the bound of the element's own row, and then exactly."""
        index = np.unravel_index(flat, s.shape)
        row, column = index[:-1], (*index[:-2], index[-1])
        size = norms[row] * self._norms[column]
        error = size + FLOOR
        added = None if bias is None else np.broadcast_to(bias, s.shape)[index]
        if added is not None:
            size += self._unit * np.abs(added)
            error = size + FLOOR
        rounded = np.empty(len(flat), np.float32)
        middle = 0.0 if added is None else added
        open_ = bracketed(s[index], middle - error, middle + error, rounded)
        # Σ|terms| in full, and more
        size *= 1 / ((1 - 2.0**-11) * self._unit)
        k = a.shape[-1]
        step = max(1, _GATHERED // max(1, k))
        for at in range(0, open_.size, step):
            places = open_[at : at + step]
            terms = np.empty((len(places), k + (added is not None)))
            np.multiply(
                a[tuple(i[places] for i in row)],
                self.rows[tuple(i[places] for i in column)],
                out=terms[:, :k],
            )
            if added is not None:
                terms[:, k] = added[places]
            rounded[places] = rounded_sums(terms, size[places])
        out[index] = rounded
