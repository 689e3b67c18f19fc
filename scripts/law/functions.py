"""The law's functions computed in another way: by pairs of float64 and tables from mpmath.

Each `…_value` gives the function at a float64 that is a float32 of the stated domain, within
ERROR relatively. `EXACT` has mpmath's functions, for what that leaves undecided and to check the
bound. The kernels share none of it: they take float64 functions, then intervals in integers.
"""

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import mpmath  # type: ignore[import-untyped, unused-ignore]
import numpy as np

from oracle.exact.program import Op
from scripts.law.pairs import (
    Pair,
    add,
    add_float,
    divide,
    inlined,
    multiply,
    multiply_float,
    negative,
    parts,
    split,
    table,
    two_product,
    two_sum,
)

# Rounding errors are some tens of 2^−106, on the worst path (tanh near 2^−13: magnified 2^13-fold)
# 2^−86; truncated series and tables lie below. Checked against mpmath by `bench_law`.
ERROR = 2.0**-80
# The power e^(y·log x) magnifies the error of its logarithm by an exponent of at most 2^7.
PRECISION = 400

NAN, INF, ONE, HALF, SIGN = 0x7FC00000, 0x7F800000, 0x3F800000, 0x3F000000, 0x80000000
MINUS_INF = INF | SIGN

with mpmath.workprec(PRECISION):
    _LN2 = split(mpmath.log(2))
    _step = mpmath.log(2) / 64
    _PER_STEP = float(1 / _step)
    # Three parts of ln 2 / 64: k·first is exact for |k| < 2^14.
    _FIRST = float(mpmath.floor(_step * 2**44)) / 2**44
    _SECOND, _THIRD = split(_step - _FIRST)
    _ROOTS = table(mpmath.power(2, mpmath.mpf(i) / 64) for i in range(64))
    _FACTORIALS = table(1 / mpmath.factorial(n) for n in range(32))
    _INVERSES = table(mpmath.mpf(1) / max(n, 1) for n in range(40))
    # For y in [3/4, 3/2]: i = ⌊128·y + ½⌋, c near 128/i with few bits, −log c.
    _NEAR = np.array([round(2**10 * 128 / max(i, 1)) / 2**10 for i in range(193)])
    _NEAR_LOG = table(-mpmath.log(mpmath.mpf(c)) for c in _NEAR)
    _ERF_TERMS = 14
    _ERF = np.array(
        [table(mpmath.taylor(mpmath.erf, mpmath.mpf(i) / 64, _ERF_TERMS)) for i in range(257)]
    )
    _ATAN = table(mpmath.atan(mpmath.mpf(i) / 64) for i in range(65))
    _HALF_PI = split(mpmath.pi / 2)
_ERF[0, ::2] = 0  # odd
_POWERS = 2.0 ** np.arange(-160, 161)
_UP = 160
# 2/π·2^s mod 4 for s ≥ −30, as two integer bits and 158 others, in words of 32 bits, lowest first.
_LOWEST = -30
with mpmath.workprec(700):
    _TURNS = np.array(
        [
            [
                (int(mpmath.floor(2 / mpmath.pi * mpmath.mpf(2) ** (s + 158))) >> 32 * word)
                & 0xFFFFFFFF
                for word in range(5)
            ]
            for s in range(_LOWEST, 106)
        ],
        np.int64,
    )


@inlined
def _exp(x: Pair) -> Pair:
    """Computes e^x for −104 ≤ x ≤ 90."""
    k = np.floor(x[0] * _PER_STEP + 0.5)
    p, e = two_product(k, _SECOND)
    r = two_sum(x[0] - k * _FIRST, x[1])  # the difference is exact: 44 bits after the point
    r = add(add(r, (-p, -e)), (-k * _THIRD, 0.0))
    # |r| ≤ ln 2 / 128 and a little: r^11 / 11! < 2^−107
    z = r[0]
    tail = _FACTORIALS[10, 0]
    for n in range(9, 5, -1):
        tail = tail * z + _FACTORIALS[n, 0]
    y = (tail, 0.0)
    for n in range(5, -1, -1):
        y = add(multiply(y, r), (_FACTORIALS[n, 0], _FACTORIALS[n, 1]))
    place = np.int64(k) & 63
    y = multiply(y, (_ROOTS[place, 0], _ROOTS[place, 1]))
    scale = _POWERS[(np.int64(k) >> 6) + _UP]
    return y[0] * scale, y[1] * scale


@inlined
def _log(x: Pair) -> Pair:
    """Computes log x for 2^−150 < x < 2^130. The error is relative where x is a float64, or exactly
    1 + a float64."""
    m, e = parts(x[0])
    if m < 0.75:
        m, e = 2 * m, e - 1
    scale = _POWERS[_UP - e]
    i = np.int64(128 * m + 0.5)
    c = _NEAR[i]
    p, low = two_product(m, c)
    r = add(two_sum(p - 1, low), two_product(x[1] * scale, c))
    # |r| < 2^−7: r^17 / 17 < 2^−107·|r|
    z = r[0]
    tail = _INVERSES[16, 0]
    for n in range(15, 8, -1):
        tail = _INVERSES[n, 0] - tail * z
    y = (tail, 0.0)
    for n in range(8, 0, -1):
        y = add((_INVERSES[n, 0], _INVERSES[n, 1]), negative(multiply(y, r)))
    y = add((_NEAR_LOG[i, 0], _NEAR_LOG[i, 1]), multiply(y, r))
    return add(multiply_float(_LN2, np.float64(e)), y)


@inlined
def exp_value(x: float) -> Pair:
    return _exp((x, 0.0))


@inlined
def log_value(x: float) -> Pair:
    return _log((x, 0.0))


@inlined
def log1p_value(x: float) -> Pair:
    return _log(two_sum(1.0, x))


@inlined
def sigmoid_value(x: float) -> Pair:
    return divide((1.0, 0.0), add_float(_exp((-x, 0.0)), 1.0))


@inlined
def tanh_value(x: float) -> Pair:
    e = _exp((2 * x, 0.0))
    return divide(add_float(e, -1.0), add_float(e, 1.0))


@inlined
def erf_value(x: float) -> Pair:
    """Computes erf x for |x| < 4 by Taylor's series at the nearest multiple c of 1/64. The terms
    with |x − c|^15 are below 2^−105."""
    size = abs(x)
    i = np.int64(64 * size + 0.5)
    z = size - i / 64
    tail = _ERF[i, _ERF_TERMS, 0]
    for n in range(_ERF_TERMS - 1, 7, -1):
        tail = tail * z + _ERF[i, n, 0]
    y = (tail, 0.0)
    for n in range(7, -1, -1):
        y = add(multiply_float(y, z), (_ERF[i, n, 0], _ERF[i, n, 1]))
    return y if x > 0 else negative(y)


@inlined
def atan_value(x: float) -> Pair:
    """Computes arctan c + arctan((x − c) / (1 + x·c)), where c is a multiple of 1/64, with 1/x in
    place of x where x > 1."""
    size = abs(x)
    if size <= 1:
        i = np.int64(64 * size + 0.5)
        c = i / 64
        top, below = two_sum(size, -c), two_product(size, c)
        h = divide(top, add_float(below, 1.0))
    else:
        i = np.int64(64 / size + 0.5)
        c = i / 64
        p, e = two_product(size, c)
        h = divide(add_float((-p, -e), 1.0), two_sum(size, c))
    # |h| ≤ 2^−7 and a little: h^17 / 17 < 2^−115·|h|
    square = multiply(h, h)
    z = square[0]
    tail = 0.0
    for n in range(7, 3, -1):
        tail = _INVERSES[2 * n + 1, 0] - tail * z
    y = (tail, 0.0)
    for n in range(3, -1, -1):
        y = add((_INVERSES[2 * n + 1, 0], _INVERSES[2 * n + 1, 1]), negative(multiply(y, square)))
    y = add((_ATAN[i, 0], _ATAN[i, 1]), multiply(y, h))
    if size > 1:
        y = add(_HALF_PI, negative(y))
    return y if x > 0 else negative(y)


@inlined
def _turned(x: float) -> tuple[int, Pair]:
    """Gives (q mod 4, r) with x = q·π/2 + r, |r| ≤ π/4 and a little, for x > 0 (Payne and Hanek,
    1983).

    x = m·2^s with 24 bits of m, times 2/π·2^s mod 4, of which 158 bits after the point are held:
    what is dropped is below 2^−134, and no float32 is nearer to a multiple of π/2 than 2^−32."""
    if x <= 0.5:
        return 0, (x, 0.0)
    f, e = parts(x)
    m = np.int64(f * 16777216.0)
    row = e - 24 - _LOWEST
    t0 = m * _TURNS[row, 0]
    t1 = m * _TURNS[row, 1] + (t0 >> 32)
    t2 = m * _TURNS[row, 2] + (t1 >> 32)
    t3 = m * _TURNS[row, 3] + (t2 >> 32)
    t4 = (m * _TURNS[row, 4] + (t3 >> 32)) & 0xFFFFFFFF
    t0, t1, t2, t3 = t0 & 0xFFFFFFFF, t1 & 0xFFFFFFFF, t2 & 0xFFFFFFFF, t3 & 0xFFFFFFFF
    q = (t4 + (1 << 29)) >> 30
    behind = t4 < q << 30
    t4 -= q << 30
    if behind:  # the fraction is negative: its size, but for a unit of the last place
        t4 = -t4 - 1
        t0, t1, t2, t3 = 0xFFFFFFFF - t0, 0xFFFFFFFF - t1, 0xFFFFFFFF - t2, 0xFFFFFFFF - t3
    y = two_sum(t4 * 2.0**-30, t3 * 2.0**-62)
    y = add_float(add_float(add_float(y, t2 * 2.0**-94), t1 * 2.0**-126), t0 * 2.0**-158)
    r = multiply(y, _HALF_PI)
    return q & 3, negative(r) if behind else r


@inlined
def _wave(x: float, quarters: int) -> Pair:
    q, r = _turned(abs(x))
    q += quarters
    square = multiply(r, r)
    z = square[0]
    odd = 1 - (q & 1)  # sin r has r^(2n+1), cos r has r^(2n); r² < 0.62: z^14 / 28! < 2^−107
    tail = 0.0
    for n in range(13, 7, -1):
        tail = _FACTORIALS[2 * n + odd, 0] - tail * z
    y = (tail, 0.0)
    for n in range(7, -1, -1):
        place = 2 * n + odd
        y = add((_FACTORIALS[place, 0], _FACTORIALS[place, 1]), negative(multiply(y, square)))
    if odd:
        y = multiply(y, r)
    return negative(y) if (q & 2 != 0) != (quarters == 0 and x < 0) else y


@inlined
def sin_value(x: float) -> Pair:
    return _wave(x, 0)


@inlined
def cos_value(x: float) -> Pair:
    return _wave(x, 1)


@inlined
def pow_value(x: float, y: float) -> Pair:
    """Computes x^y for x > 0. Beyond about 2^±150 it gives infinity or 0."""
    t = multiply_float(_log((x, 0.0)), y)
    if t[0] > 89:
        return np.inf, 0.0
    if t[0] < -104:
        return 0.0, 0.0
    return _exp(t)


# Bits of results that need no evaluation, because the argument lies beyond an end, or the function
# is its argument or a constant to within half a place. −1 where it must be evaluated.


@inlined
def exp_special(word: int) -> int:
    size = word & 0x7FFFFFFF
    if size > INF:
        return NAN
    if size <= 0x32800000:  # |x| ≤ 2^−26
        return ONE
    if word & SIGN:
        return 0 if size >= 0x42D00000 else -1  # 104
    return INF if size >= 0x42B20000 else -1  # 89


@inlined
def log_special(word: int) -> int:
    if word & 0x7FFFFFFF > INF or word > SIGN:
        return NAN
    if word & 0x7FFFFFFF == 0:
        return MINUS_INF
    return 0 if word == ONE else INF if word == INF else -1


@inlined
def sigmoid_special(word: int) -> int:
    size = word & 0x7FFFFFFF
    if size > INF:
        return NAN
    if size <= 0x33000000:  # 2^−25: within 2^−27 of a half
        return HALF
    if word & SIGN:
        return 0 if size >= 0x42D00000 else -1  # 104
    return ONE if size >= 0x41900000 else -1  # 18: 1 − e^−18 > 1 − 2^−25


@inlined
def _ends(word: int, smallest: int, largest: int) -> int:
    """Gives ±1 from `largest` on, the argument up to `smallest`, NaN for NaN, and −1 between."""
    size = word & 0x7FFFFFFF
    if size > INF:
        return NAN
    if size >= largest:
        return ONE | (word & SIGN)
    return (word if size else 0) if size <= smallest else -1


@inlined
def tanh_special(word: int) -> int:
    return _ends(word, 0x39000000, 0x41200000)  # 2^−13, 10


@inlined
def erf_special(word: int) -> int:
    return _ends(word, 0, 0x40800000)  # 4


@inlined
def log1p_special(word: int) -> int:
    size = word & 0x7FFFFFFF
    if size > INF or word > ONE | SIGN:
        return NAN
    if word == ONE | SIGN:
        return MINUS_INF
    if size <= 0x33000000 or word == INF:  # 2^−25
        return word if size else 0
    return -1


@inlined
def sin_special(word: int) -> int:
    size = word & 0x7FFFFFFF
    if size >= INF:
        return NAN
    return (word if size else 0) if size <= 0x39800000 else -1  # 2^−12


@inlined
def cos_special(word: int) -> int:
    size = word & 0x7FFFFFFF
    return NAN if size >= INF else ONE if size <= 0x39800000 else -1  # 2^−12


@inlined
def atan_special(word: int) -> int:
    size = word & 0x7FFFFFFF
    if size > INF:
        return NAN
    if size == INF:
        return 0x3FC90FDB | (word & SIGN)
    return (word if size else 0) if size <= 0x39800000 else -1  # 2^−12


SPECIALS: dict[Op, Callable[[int], int]] = {
    Op.EXP: exp_special,
    Op.LOG: log_special,
    Op.SIGMOID: sigmoid_special,
    Op.TANH: tanh_special,
    Op.ERF: erf_special,
    Op.LOG1P: log1p_special,
    Op.SIN: sin_special,
    Op.COS: cos_special,
    Op.ATAN: atan_special,
}
VALUES: dict[Op, Callable[[float], Pair]] = {
    Op.EXP: exp_value,
    Op.LOG: log_value,
    Op.SIGMOID: sigmoid_value,
    Op.TANH: tanh_value,
    Op.ERF: erf_value,
    Op.LOG1P: log1p_value,
    Op.SIN: sin_value,
    Op.COS: cos_value,
    Op.ATAN: atan_value,
}
EXACT: dict[Op, Callable[[Any], Any]] = {
    Op.EXP: mpmath.exp,
    Op.LOG: mpmath.log,
    Op.SIGMOID: lambda x: 1 / (1 + mpmath.exp(-x)),
    Op.TANH: mpmath.tanh,
    Op.ERF: mpmath.erf,
    Op.LOG1P: mpmath.log1p,
    Op.SIN: mpmath.sin,
    Op.COS: mpmath.cos,
    Op.ATAN: mpmath.atan,
}


def fraction(value: Any) -> Fraction:
    """Turns an mpmath number into a fraction, exactly."""
    sign, mantissa, exponent, _ = value._mpf_
    size = Fraction(int(mantissa)) * Fraction(2) ** int(exponent)
    return -size if sign else size
