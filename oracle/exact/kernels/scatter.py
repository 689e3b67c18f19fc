"""Sums of the rows that meet in one place."""

import numpy as np

from oracle.exact.kernels.compiled import compiled
from oracle.exact.kernels.rounding import LANES, rounded_terms, special
from oracle.exact.sums import FLOOR, OPEN
from oracle.tensor import Array


@compiled
def added(data: Array, updates: Array, starts: Array, order: Array, unit: float, out: Array) -> int:
    """Writes to out each row of `data` plus those rows of `updates` that `order` names between two
    of `starts`, and gives how many elements are OPEN. `unit` bounds the error of one addition,
    relative to Σ|terms|."""
    n, width = data.shape
    total, size = np.empty(width), np.empty(width)
    terms, lanes = np.empty(len(order) + 1), np.empty(3 * LANES)
    words = out.view(np.uint32)
    left = 0
    for row in range(n):
        met = order[starts[row] : starts[row + 1]]
        if len(met) == 0:
            out[row] = data[row]
            continue
        for i in range(width):
            total[i] = data[row, i]
            size[i] = abs(total[i])
        for update in met:
            for i in range(width):
                term = np.float64(updates[update, i])
                total[i] += term
                size[i] += abs(term)
        for i in range(width):
            error = size[i] * ((len(met) + 16) * unit) + FLOOR
            # FLOOR makes sure that nothing decided here is −0 (see `tile._filter`).
            high = np.float32(total[i] + error)
            out[row, i] = high
            if np.float32(total[i] - error) == high:
                continue
            if np.isfinite(total[i]):
                terms[0] = data[row, i]
                for at in range(len(met)):
                    terms[at + 1] = updates[met[at], i]
                words[row, i] = rounded_terms(terms, len(met) + 1, lanes)
            else:
                words[row, i] = special(total[i], True)
            left += words[row, i] == OPEN
    return left
