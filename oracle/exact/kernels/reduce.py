"""Sums and means of rows, and maxima of windows along one axis."""

import numpy as np

from oracle.exact.kernels.compiled import compiled, reordered
from oracle.exact.kernels.rounding import LANES, rounded_terms, special
from oracle.exact.sums import FLOOR, OPEN
from oracle.tensor import Array


@reordered
def _sum(row: Array) -> tuple[float, float]:
    """Gives the sum of a row, and the sum of its absolute values."""
    total, size = 0.0, 0.0
    for i in range(len(row)):
        total += np.float64(row[i])
        size += abs(np.float64(row[i]))
    return total, size


@compiled
def sums(x: Array, k: int, divisor: float, unit: float, out: Array) -> int:
    """Writes the rounded sum / divisor of each row of `k` elements, and gives how many are OPEN.
    `unit` bounds the error of a sum, relative to Σ|x|."""
    terms, lanes = np.empty(k), np.empty(3 * LANES)
    words = out.view(np.uint32)
    left = 0
    for n in range(len(out)):
        row = x[n * k : (n + 1) * k]
        total, size = _sum(row)
        value, error = total / divisor, size * (unit / divisor) + FLOOR
        # FLOOR makes sure that nothing decided here is −0 (see `tile._filter`).
        high = np.float32(value + error)
        out[n] = high
        if np.float32(value - error) == high:
            continue
        if not np.isfinite(value):
            words[n] = special(value, True)
        elif divisor == 1:
            terms[:] = row
            words[n] = rounded_terms(terms, k, lanes)
        else:
            words[n] = OPEN
        left += words[n] == OPEN
    return left


@compiled
def maxima(
    x: Array, size: int, width: int, kernel: int, stride: int, dilation: int, begin: int,
    windows: int, out: Array,
) -> None:  # fmt: skip
    """Writes for windows over x [·, size, width] to out [·, windows, width] the largest of the
    elements on which a window's taps stand: −∞ where they stand on none, NaN where one is NaN."""
    for line in range(out.size // max(1, windows * width)):
        for w in range(windows):
            at = (line * windows + w) * width
            largest = out[at : at + width]
            largest[:] = -np.inf
            for tap in range(kernel):
                spot = w * stride - begin + tap * dilation
                if spot < 0 or spot >= size:
                    continue
                at = (line * size + spot) * width
                some = x[at : at + width]
                for i in range(width):
                    value, best = some[i], largest[i]
                    largest[i] = value if value > best or value != value else best
