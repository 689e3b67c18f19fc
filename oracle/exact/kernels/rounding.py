"""One exact sum of float64 terms, rounded once to float32, for an element that bounds left open.

Terms are float32 numbers or products of two: multiples of 2^−298 below 2^256, so that no sum or
error term overflows or underflows. TwoSum (Knuth, TAOCP 2, 4.2.2) has no product to be fused.
"""

import numpy as np

from oracle.exact.kernels.compiled import compiled
from oracle.exact.sums import OPEN, UNIT
from oracle.tensor import Array

LANES = 8
NAN = np.uint32(0x7FC00000)
MINUS_ZERO = np.uint32(0x80000000)


@compiled
def _to_odd(value: float, beyond: float) -> np.uint32:
    """Rounds to float32 bits a number between `value` and its neighbour in the direction of the
    sign of `beyond`; it is `value` itself where `beyond` is 0. Works as `sums.to_odd`."""
    bits = np.float64(value).view(np.int64)
    if beyond != 0 and bits & 1 == 0:
        up = (beyond > 0) == (value > 0)
        value = np.int64(bits + 1 if up else bits - 1).view(np.float64)
    word = np.float32(value).view(np.uint32)
    return word if word != MINUS_ZERO else np.uint32(0)


@compiled
def rounded_terms(terms: Array, count: int, lanes: Array) -> np.uint32:
    """Gives the bits of the float32 nearest to the sum of the first `count` terms, or OPEN.

    Each lane sums its terms (s), the errors of those sums (e), and the absolute errors of the sums
    of errors; the exact sum is s + e within the last. `lanes` is memory for 3·LANES numbers.
    """
    lanes[:] = 0
    totals, errors, missed = lanes[:LANES], lanes[LANES : 2 * LANES], lanes[2 * LANES :]
    whole = count - count % LANES
    for start in range(0, whole, LANES):
        some = terms[start : start + LANES]
        for i in range(LANES):
            a, b = totals[i], some[i]
            s = a + b
            t = s - a
            error = (a - (s - t)) + (b - t)
            totals[i] = s
            a = errors[i]
            e = a + error
            t = e - a
            errors[i] = e
            missed[i] += abs((a - (e - t)) + (error - t))
    total, small, rest = 0.0, 0.0, 0.0
    for i in range(count - whole + LANES):
        b = lanes[i] if i < LANES else terms[whole + i - LANES]
        s = total + b
        t = s - total
        error = (total - (s - t)) + (b - t)
        total = s
        for part in (error, lanes[LANES + i] if i < LANES else 0.0):
            e = small + part
            t = e - small
            rest += abs((small - (e - t)) + (part - t))
            small = e
        if i < LANES:
            rest += lanes[2 * LANES + i]
    if not np.isfinite(total):
        # Finite terms cannot overflow: IEEE adds infinities and NaN alike in any order. But TwoSum
        # makes NaN of an infinity in `small` alone.
        return NAN if np.isnan(total) else np.float32(total).view(np.uint32)
    return rounded_parts(total, small, rest)


@compiled
def rounded_parts(total: float, small: float, rest: float) -> np.uint32:
    """Gives the bits of the float32 nearest to total + small ± rest, or OPEN. `rest` was computed
    as a sum."""
    value = total + small
    t = value - total
    beyond = (total - (value - t)) + (small - t)
    if rest == 0:
        return _to_odd(value, beyond)
    rest *= 1 + 2.0**-10
    # The exact number is value + beyond ± rest, short of value's neighbours. As `beyond` takes half
    # of the way at most, |value|·UNIT / 2 would do for the rest, and no row needs the 1/8.
    if not rest < abs(value) * (UNIT / 8):
        return OPEN
    low = _to_odd(value, beyond - rest)
    return low if low == _to_odd(value, beyond + rest) else OPEN


@compiled
def special(value: float, is_sure: bool) -> np.uint32:
    """Gives the bits for a float64 sum that is not finite. A NaN is OPEN unless `is_sure`, because
    padding times an infinite weight is NaN but no term by the law. An infinity is always right."""
    if np.isnan(value):
        return NAN if is_sure else OPEN
    return np.float32(value).view(np.uint32)
