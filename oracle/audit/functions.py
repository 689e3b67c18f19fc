"""The law's functions of real numbers by mpmath, to check the law with none of its code.

Where a value is irrational it is computed with more and more bits until everything within mpmath's
error rounds to one float32. docs/law says which values are rational; they are answered here
before mpmath is asked.
"""

from collections.abc import Callable
from fractions import Fraction
from math import isinf, isnan, isqrt

import mpmath

from oracle.audit.numbers import INF, NAN, Result, nearest

FIRST_BITS = 64
SLACK = 16  # last bits of a result by mpmath that may be wrong


def square_root(x: float) -> Result:
    if isnan(x) or x < 0:
        return NAN
    if isinf(x):
        return INF
    scaled = Fraction(x) * 2**400
    root = isqrt(int(scaled))  # x is a multiple of 2^−149, so nothing is lost
    # No square root of a float32 lies half-way between two, so one more bit decides.
    return Fraction(2 * root + (root * root != scaled), 2**201)


def exp(x: float) -> Result:
    if isnan(x) or isinf(x) or x == 0:
        return _at(x, NAN, 0, INF, 1)
    return _limited(x, -104, 89, lambda: _decided(mpmath.exp, x), 0, INF)


def log(x: float) -> Result:
    if isnan(x) or x < 0:
        return NAN
    if x == 0 or isinf(x):
        return INF if x else -INF
    return _decided(mpmath.log, x) if x != 1 else 0


def sigmoid(x: float) -> Result:
    if isnan(x) or isinf(x) or x == 0:
        return _at(x, NAN, 0, 1, Fraction(1, 2))
    return _limited(x, -104, 18, lambda: _decided(lambda y: 1 / (1 + mpmath.exp(-y)), x), 0, 1)


def tanh(x: float) -> Result:
    if isnan(x) or isinf(x) or x == 0:
        return _at(x, NAN, -1, 1, 0)
    return _limited(x, -10, 10, lambda: _decided(mpmath.tanh, x), -1, 1)


def erf(x: float) -> Result:
    if isnan(x) or isinf(x) or x == 0:
        return _at(x, NAN, -1, 1, 0)
    return _limited(x, -4, 4, lambda: _decided(mpmath.erf, x), -1, 1)


def log1p(x: float) -> Result:
    if isnan(x) or x < -1:
        return NAN
    if x == -1 or isinf(x):
        return INF if x > 0 else -INF
    return _decided(mpmath.log1p, x) if x else 0


def sin(x: float) -> Result:
    if isnan(x) or isinf(x):
        return NAN
    return _decided(mpmath.sin, x) if x else 0


def cos(x: float) -> Result:
    if isnan(x) or isinf(x):
        return NAN
    return _decided(mpmath.cos, x) if x else 1


def atan(x: float) -> Result:
    if isnan(x) or x == 0:
        return _at(x, NAN, 0, 0, 0)
    return _decided(mpmath.atan, x)


def power(x: float, y: float) -> Result:
    """Computes x to the power of y, with the special values of C's `pow`, but one zero only."""
    if y == 0 or x == 1:
        return 1
    if isnan(x) or isnan(y):
        return NAN
    if isinf(y):
        return _at_infinite_exponent(abs(x), y)
    is_odd = y == int(y) and int(y) % 2 == 1
    if x == 0:
        return 0 if y > 0 else INF  # there is no −0 whose sign an odd y would keep
    if isinf(x):
        size: Result = INF if y > 0 else 0
    elif x < 0 and y != int(y):
        return NAN
    else:
        size = _power_of(abs(x), y)
    return -size if x < 0 and is_odd else size


def _at_infinite_exponent(size: float, y: float) -> Result:
    if size == 1:
        return 1
    return INF if (size > 1) == (y > 0) else 0


def _power_of(x: float, y: float) -> Result:
    """Computes x^y for a finite x > 0 and a finite y ≠ 0."""
    if x == 1:
        return 1
    with mpmath.workprec(FIRST_BITS):
        size = mpmath.mpf(y) * mpmath.log(x, 2)
        if abs(size) > 160:
            return INF if size > 0 else 0
    exact = _rational_power(Fraction(x), Fraction(y))
    if exact is not None:
        return exact
    return _decided(lambda base: mpmath.power(base, mpmath.mpf(y)), x)


def _rational_power(x: Fraction, y: Fraction) -> Fraction | None:
    """Gives x^y where it is rational with few bits, else None. Any other power is neither a float32
    nor half-way between two: it is an odd m ≥ 3 to a power of more than 25 bits, has an odd
    denominator, or is irrational."""
    root: Fraction | None = x
    for _ in range(y.denominator.bit_length() - 1):
        root = None if root is None else _exact_root(root)
    if root is None:
        return None
    odd = root.numerator >> ((root.numerator & -root.numerator).bit_length() - 1)
    bits = max(odd, 1).bit_length() - 1
    return root**y.numerator if bits * abs(y.numerator) <= 256 else None


def _exact_root(x: Fraction) -> Fraction | None:
    top, bottom = isqrt(x.numerator), isqrt(x.denominator)
    is_exact = top * top == x.numerator and bottom * bottom == x.denominator
    return Fraction(top, bottom) if is_exact else None


def _at(x: float, at_nan: Result, below: Result, above: Result, zero: Result) -> Result:
    """Picks the value for an x that is NaN, −∞, +∞ or 0."""
    if isnan(x):
        return at_nan
    return zero if x == 0 else above if x > 0 else below


def _limited(
    x: float, low: float, high: float, inside: Callable[[], Result], below: Result, above: Result
) -> Result:
    """Computes `inside` between the ends. Beyond them the function rounds to `below` or `above`."""
    return below if x <= low else above if x >= high else inside()


def _decided(function: Callable[[mpmath.mpf], mpmath.mpf], x: float) -> Result:
    """Rounds the function's value, computed with as many bits as that takes."""
    precision = FIRST_BITS
    while True:
        with mpmath.workprec(precision):
            value = _fraction(function(mpmath.mpf(x)))
        error = abs(value) / 2 ** (precision - SLACK)
        low, high = nearest(value - error), nearest(value + error)
        if low == high:
            return low
        precision *= 2


def _fraction(value: mpmath.mpf) -> Fraction:
    if mpmath.isinf(value):  # no function here has such a value
        raise ArithmeticError("mpmath gave no finite value")
    sign, mantissa, exponent, _ = value._mpf_
    exact = Fraction(int(mantissa)) * Fraction(2) ** int(exponent)
    return -exact if sign else exact
