"""Computes x^y by pairs of float64. What those leave undecided is computed by rationals where it is
exact, else by mpmath."""

from fractions import Fraction

import mpmath  # type: ignore[import-untyped, unused-ignore]
import numpy as np

from oracle.tensor import Array
from scripts.law import functions
from scripts.law.functions import INF, NAN, ONE, SIGN, pow_value
from scripts.law.nearest import nearest_float
from scripts.law.pairs import compiled, rounded

# The logarithm's error is about 2^−97, which an exponent of at most 2^7 magnifies.
ERROR = 2.0**-80


def power_bits(x: Array, y: Array) -> Array:
    """Computes x^y of bits."""
    out = np.empty(x.size, np.int64)
    _powers(x, y, _floats(x & ~SIGN), _floats(y), out)
    for at in np.flatnonzero(out < 0):
        magnitude = _exact(
            float(_floats(x[at : at + 1] & ~SIGN)[0]), float(_floats(y[at : at + 1])[0])
        )
        negative = out[at] == -2 and magnitude
        out[at] = magnitude | SIGN if negative else magnitude
    return out


def _floats(words: Array) -> Array:
    return words.astype(np.uint32).view(np.float32).astype(np.float64)


@compiled
def _powers(x: Array, y: Array, size: Array, power: Array, out: Array) -> None:
    """Writes results, or −1 where one is undecided, −2 where one is undecided and negative."""
    for at in range(x.size):
        a, b = x[at] & ~SIGN, y[at] & ~SIGN
        whole = b == INF or b >= 0x4B800000 or power[at] == np.floor(power[at])
        odd = b < 0x4B800000 and whole and np.int64(power[at]) % 2 != 0
        sign = SIGN if x[at] & SIGN and odd else 0
        if b == 0 or x[at] == ONE:
            out[at] = ONE
        elif a > INF or b > INF:
            out[at] = NAN
        elif b == INF:
            grows = (a > ONE) == (y[at] == INF)
            out[at] = ONE if a == ONE else INF if grows else 0
        elif a == INF:
            out[at] = INF | sign if y[at] & SIGN == 0 else 0
        elif a == 0:
            out[at] = INF if y[at] & SIGN else 0
        elif x[at] & SIGN and not whole:
            out[at] = NAN
        elif a == ONE:
            out[at] = ONE | sign
        else:
            value = pow_value(size[at], power[at])
            if value[0] == 0:
                out[at] = 0
            elif value[0] == np.inf:
                out[at] = INF | sign
            else:
                word = rounded(value, ERROR)
                out[at] = (-2 if sign else -1) if word < 0 else word | sign if word else 0


def _exact(x: float, y: float) -> int:
    """Rounds x^y exactly, by a rational of few bits where that is x^y, else by mpmath."""
    n, d = y.as_integer_ratio()
    near = Fraction(x**y) if 1e-300 < x**y < 1e300 else Fraction(0)
    # A root of 2^8 or higher of a float32 that is not 1 is not rational.
    if near and d <= 256 and abs(n) < 4096 and near**d == Fraction(x) ** n:
        return nearest_float(near)
    precision = functions.PRECISION
    while precision < 1 << 14:
        with mpmath.workprec(precision):
            value = mpmath.power(mpmath.mpf(x), mpmath.mpf(y))
            slack = mpmath.ldexp(1, 40 - precision)
            low, high = (
                nearest_float(functions.fraction(value * (1 + e))) for e in (-slack, slack)
            )
        if low == high:
            return low
        precision *= 2
    raise ArithmeticError(f"{x!r}^{y!r} lies on a rounding boundary")
