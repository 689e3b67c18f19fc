"""Exact sums of float64 terms, rounded once to float32, for elements that no error bound decides.

Terms are float32 numbers or products of two, so each is a multiple of 2^−298 below 2^256: no sum,
difference or error term in this file overflows or underflows.

Sources: TwoSum is Knuth's, TAOCP 2, 4.2.2; the error of a sum in any order, γ_n·Σ|x|, is Higham,
*Accuracy and Stability*, 4.2; rounding to odd before rounding to nearest is Boldo and Melquiond,
*Emulation of FMA*, 2008.
"""

import math

import numpy as np

from oracle.exact import float32
from oracle.tensor import Array

_SCALE = -298  # exponent of the smallest product of two float32
UNIT = 2.0**-53
# Rows are worked off in blocks of about this many terms, to bound memory.
BLOCK = 1 << 21
# Added to every bound of the compiled kernels: a little more than half of the distance from 0 to
# the first midpoint, 2^−150. The half is needed; no row shows the little, since a bound has another
# part, which is 0 only for a sum of zeros.
FLOOR = 2.0**-151 * (1 + 2.0**-20)
# The bits of an element that a compiled kernel leaves open: no canonical float32 has them.
OPEN = np.uint32(0x7FFFFFFF)


def decided(value: Array, error: Array) -> tuple[Array, Array]:
    """Gives `value` as float32, and the flat indices where an exact number within `error` of it
    could round otherwise. `error` must cover the rounding of `value ± error`. NaN is undecided.
    """
    # Rounding is monotone: if both ends round alike, so does all between. −0 and +0 are alike.
    low: Array = np.asarray((value - error).astype(np.float32))
    high = (value + error).astype(np.float32)
    undecided = np.flatnonzero(low != high)
    low += np.float32(0)
    return low, undecided


def rounded_sums(terms: Array) -> Array:
    """Gives the float32 nearest to the exact sum of each row of `terms` (float64 [n, K]).

    Infinities and NaN follow IEEE: NaN among the terms, or both infinities, give NaN.
    """
    out = np.empty(len(terms), np.float32)
    for block in _blocks(*terms.shape):
        some = terms[block]
        rounded, left = _extracted(some, _size(some))
        if left.size:
            # Finite terms cannot overflow, and IEEE adds infinities and NaN alike in any order.
            total = np.add.reduce(some[left], axis=1)
            rounded[left] = total
            left = left[np.isfinite(total)]
        if left.size:
            rounded[left] = _rounded_block(some[left])
        out[block] = rounded
    return out


def rounded_means(terms: Array, divisors: Array | None = None) -> Array:
    """Gives the float32 nearest to each row's exact sum divided by its K ≥ 1 terms, or by float64
    divisors, which are whole and below 2^26. Dividing by 0 gives NaN."""
    out = np.empty(len(terms), np.float32)
    if divisors is None:
        divisors = np.full(len(terms), float(terms.shape[1]))
    for block in _blocks(*terms.shape):
        out[block] = _mean_block(terms[block], divisors[block])
    return out


def to_odd(value: Array, beyond: Array) -> Array:
    """Gives float64 numbers that round to float32 as the exact number `value + tiny·beyond` does.
    `beyond` has the sign of what `value` misses, and is 0 where it misses nothing.

    Of the two doubles around an inexact number this takes the one with an odd last bit, which is
    never a float32 nor halfway between two, since those end in zeros.
    """
    even = (value.view(np.int64) & 1) == 0
    moved = np.nextafter(value, np.where(beyond > 0, np.inf, -np.inf))
    odd: Array = np.where(even & (beyond != 0), moved, value)
    return odd


def _blocks(rows: int, columns: int) -> list[slice]:
    step = max(1, BLOCK // max(1, columns))
    return [slice(at, at + step) for at in range(0, rows, step)]


def _two_sum(a: Array, b: Array) -> tuple[Array, Array]:
    """Gives s = fl(a + b) and e such that a + b = s + e exactly."""
    s = a + b
    t = s - a
    return s, (a - (s - t)) + (b - t)


def _summed(terms: Array) -> tuple[Array, Array, Array]:
    """Gives (s, e, bound): each row's exact sum, of one term or more, is s + e within bound, or s
    where bound is 0."""
    n, k = terms.shape
    s, error, size = terms, np.zeros(n), np.zeros(n)
    while s.shape[1] > 1:
        half = s.shape[1] // 2
        pairs, errors = _two_sum(s[:, :half], s[:, half : 2 * half])
        error += errors.sum(axis=1)
        size += np.abs(errors).sum(axis=1)
        s = np.concatenate([pairs, s[:, 2 * half :]], axis=1)
    # Fewer than K error terms, added in some order: γ_K·Σ|e|, doubled to cover `size`'s own error.
    # numpy adds them pairwise and loses a few units of them at most; it does not promise to.
    return s[:, 0], error, size * (2 * (k + 64) * UNIT)


def _size(terms: Array) -> Array:
    """Gives an upper bound of Σ|terms| for each row. The 2^−50 covers the product's rounding, by
    which it could not fall short of a power of two; `_extracted` needs no more."""
    largest: Array = np.maximum(terms.max(axis=1, initial=0), -terms.min(axis=1, initial=0))
    largest *= terms.shape[1] * (1 + 2.0**-50)
    return largest


def _extracted(terms: Array, size: Array) -> tuple[Array, Array]:
    """Gives the rounded sums, and the rows that this method does not decide.

    Let σ be a power of two with σ ≥ 2·Σ|terms|. Then fl(t + σ) lies in [σ/2, 3σ/2], where doubles
    are multiples of UNIT·σ; high = fl(t + σ) − σ is exact, a multiple of UNIT·σ within UNIT·σ of t,
    and low = t − high is exact (Rump, Ogita and Oishi, *Accurate floating-point summation I*, 2008,
    3.2). All partial sums of the highs are multiples of UNIT·σ and, as K·UNIT ≤ 1/4, below σ; so
    their sum is exact in any order. That of the lows is within γ_K·K·UNIT·σ; as numpy adds them,
    pairwise, within a fifth of that: no row shows a bound that is only a little too small.
    """
    k = terms.shape[1]
    # frexp: size < 2^e
    sigma = np.ldexp(1.0, np.frexp(size)[1] + 1)[:, None]
    high = terms + sigma
    high -= sigma
    total = np.add.reduce(high, axis=1)
    low = np.subtract(terms, high, out=high)
    bound = sigma[:, 0] * ((k + 16) * k * (1 + 2.0**-10) * UNIT * UNIT)
    s, error = _two_sum(total, np.add.reduce(low, axis=1))
    # The exact number is s + error ± bound, and the bound is short of s's neighbours: these are at
    # least |s|·UNIT away, and the error takes half of that at most.
    rounded: Array = to_odd(s, error - bound).astype(np.float32)
    sure = (to_odd(s, error + bound).astype(np.float32) == rounded) & (
        bound < np.abs(s) * (UNIT / 8)
    )
    left = np.flatnonzero(~sure)
    if left.size:
        # Where no term has a low part (sums of integers), the total is exact, even at a tie or 0.
        exact = ~low[left].any(axis=1)
        whole = left[exact]
        rounded[whole] = total[whole]
        left = left[~exact]
    rounded += np.float32(0)
    return rounded, left


def _rounded_block(terms: Array) -> Array:
    total, error, bound = _summed(terms)
    s, error = _two_sum(total, error)
    # The exact number is s + error ± bound. Where nothing is missing, or the side on which it lies
    # is known, rounding to odd decides, provided that it lies short of s's neighbour. It does where
    # the side is known, since twice the error does; that the bound is small is asked all the same.
    sure = (bound == 0) | ((np.abs(error) > bound) & (bound < np.abs(s) * (UNIT / 8)))
    # Finite terms cannot overflow: a sum that is not finite has an infinity or NaN among its terms,
    # and IEEE addition of those does not depend on the order.
    finite = np.isfinite(total)
    out: Array = np.where(finite, to_odd(s, error), total).astype(np.float32)
    for row in np.flatnonzero(finite & ~sure):
        out[row] = rounded_row(terms[row].tolist())
    out += np.float32(0)  # a sum of products may round to −0
    return out


def rounded_row(terms: list[float]) -> np.float32:
    """Gives the float32 nearest to the exact sum of float64 terms."""
    try:
        total = math.fsum(terms)
    except ValueError:  # both infinities
        return np.float32(np.nan)
    # What fsum drops can change the result only where its sum is a midpoint between two float32.
    # What may round to −0 takes the long way too, and with it all subnormal numbers.
    if not (abs(total) < 2.0**-125 or _ends_like_a_midpoint(total)) or not math.isfinite(total):
        return np.float32(total)
    missing = math.fsum([*terms, -total])  # correctly rounded, so its sign is right
    if missing and int(math.ldexp(math.frexp(total)[0], 53)) % 2 == 0:
        total = math.nextafter(total, math.copysign(math.inf, missing))  # as `to_odd`
    return np.float32(total) + np.float32(0)


def _ends_like_a_midpoint(x: float) -> bool:
    """Says whether x fits into 25 significant bits, as all midpoints between float32 do."""
    scaled = math.frexp(x)[0] * 2.0**25
    return scaled.is_integer()


def _mean_block(terms: Array, k: Array) -> Array:
    total, _, bound = _summed(terms)
    # Rounding twice does no harm. Say that q, the first quotient, is a float32 or halfway between
    # two: it has 25 bits or fewer, and k 26, so that q·k is a double. Any other total is away from
    # that by more than k halves of a unit in q's last place, and would have given another q.
    out: Array = (total / k).astype(np.float32)
    finite = np.isfinite(total)
    for row in np.flatnonzero(finite & (bound != 0) & (k != 0)):
        out[row] = _mean_row(terms[row], int(k[row]))
    out[k == 0] = np.nan
    out += np.float32(0)  # −2^−149 / 2 rounds to −0
    return out


def _mean_row(terms: Array, k: int) -> np.float32:
    numerator = sum(_scaled(term) for term in terms.tolist())
    word = float32.of_ratio(numerator, k << -_SCALE)
    return np.uint32(word).view(np.float32)


def _scaled(term: float) -> int:
    """Gives term / 2^−298, which is an integer."""
    n, d = term.as_integer_ratio()
    return (n << -_SCALE) // d
