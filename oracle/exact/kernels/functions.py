"""exp, sigmoid, tanh and erf of float32 numbers, by float64 values within 2^−45 of the true ones.

A kernel rounds both ends of that interval. Where they differ it writes −0, which is no result of
these functions, and it gives how often it did so. Arguments are first clamped to a range beyond
which the rounded result does not change.

With x = k·ln 2 + r, |r| ≤ 0.3466, e^r − 1 is Taylor's series to r^12: what is dropped is less than
2^−50 of it. The first part of ln 2 has 33 bits, so k times it is exact, and so is x less that; r
misses less than a unit of 2^−53. Horner's scheme, 2^k (exact) and the few operations after it add
less than 16 such units relatively, since nothing cancels: where k = 0, e^2x − 1 is the series
itself, and else it is above 0.4. In sum each value is within 2^−48.
"""

from math import factorial

import numpy as np

from oracle.exact.kernels.compiled import compiled
from oracle.tensor import Array

RELATIVE_ERROR = 2.0**-45
_LOW, _HIGH = 1 - RELATIVE_ERROR, 1 + RELATIVE_ERROR
_LEFT = np.int32(-(1 << 31))  # the bits of −0

_LOG2_E = 1.4426950408889634
_LN2_FIRST = float.fromhex("0x1.62e42fee00000p-1")
_LN2_REST = float.fromhex("0x1.a39ef35793c76p-33")
# Added to a number below 2^51 in size it leaves the nearest integer in the last bits.
_TO_INTEGER = 1.5 * 2.0**52
_ONE_BITS = 1023 << 52
_C2, _C3, _C4, _C5, _C6, _C7, _C8, _C9, _C10, _C11, _C12 = (1 / factorial(n) for n in range(2, 13))

# erf x = x·P(x²)/Q(x²) for |x| ≤ 4: the rational function of degree 11 over 11 that is equal to it
# at the 23 Chebyshev points of x² in [0, 16]. P and Q, highest first.
_P = (
    *(1.4534220927506078e-15, 9.877060368231233e-13, 8.844539828618032e-11, 4.263176947344546e-09),
    *(1.2511944425569666e-07, 3.1566911408444184e-06, 4.942296139212776e-05),
    *(0.0007833622310915956, 0.006493927892424829, 0.06446450550185986, 0.2160862249997587),
    1.1283791670955126,
)
_Q = (
    *(5.655319549272709e-14, 1.0707968068097529e-11, 6.470328235242722e-10, 2.4218501587756033e-08),
    *(6.472235447750369e-07, 1.304167081721136e-05, 0.00020179771328719592),
    *(0.0023885543991252526, 0.021106175109604216, 0.1320751018942965, 0.5248347641475597),
    1.0,
)


@compiled
def _reduced(x: float) -> tuple[float, float]:
    """Gives (e^r − 1, 2^k) with e^x = e^r·2^k for |x| < 700, and (NaN, any number) for NaN."""
    shifted = x * _LOG2_E + _TO_INTEGER
    k = shifted - _TO_INTEGER
    r = (x - k * _LN2_FIRST) - k * _LN2_REST
    p = _C10 + r * (_C11 + r * _C12)
    p = _C7 + r * (_C8 + r * (_C9 + r * p))
    p = _C4 + r * (_C5 + r * (_C6 + r * p))
    p = r + r * r * (_C2 + r * (_C3 + r * p))
    power = np.int64((np.float64(shifted).view(np.int64) << 52) + _ONE_BITS)
    return p, power.view(np.float64)


@compiled
def exp64(x: float) -> float:
    x = 90.0 if x > 90.0 else x
    x = -105.0 if x < -105.0 else x
    p, power = _reduced(x)
    return (1.0 + p) * power


@compiled
def sigmoid64(x: float) -> float:
    x = 90.0 if x > 90.0 else x
    x = -105.0 if x < -105.0 else x
    p, power = _reduced(-x)
    return 1.0 / (1.0 + (1.0 + p) * power)


@compiled
def tanh64(x: float) -> float:
    size = abs(x)
    size = 10.0 if size > 10.0 else size
    p, power = _reduced(size + size)
    e = p * power + (power - 1.0)  # e^2|x| − 1
    t = e / (e + 2.0)
    return t if x >= 0.0 else -t


@compiled
def erf64(x: float) -> float:
    """Computes erf x within 50 units of 2^−53. All coefficients are positive and x² ≥ 0 is exact,
    so a rounding is never magnified: P and Q go through 22 each, the division, the product and the
    rounding of the coefficients are four more, and the function itself is off by less than one
    (2^−53.7, by mpmath at 2,000 points). Swept over all float32 in (0, 4]: within 9 of libm's.
    Beyond 4 it is erf 4."""
    x = 4.0 if x > 4.0 else x
    x = -4.0 if x < -4.0 else x
    z = x * x
    p, q = _P[0] * z + _P[1], _Q[0] * z + _Q[1]
    p, q = p * z + _P[2], q * z + _Q[2]
    p, q = p * z + _P[3], q * z + _Q[3]
    p, q = p * z + _P[4], q * z + _Q[4]
    p, q = p * z + _P[5], q * z + _Q[5]
    p, q = p * z + _P[6], q * z + _Q[6]
    p, q = p * z + _P[7], q * z + _Q[7]
    p, q = p * z + _P[8], q * z + _Q[8]
    p, q = p * z + _P[9], q * z + _Q[9]
    p, q = p * z + _P[10], q * z + _Q[10]
    p, q = p * z + _P[11], q * z + _Q[11]
    return x * p / q


@compiled
def _rounded(y: float) -> np.float32:
    """Gives what both ends of the interval around y round to, −0 where they differ, NaN for NaN."""
    low, high = np.float32(y * _LOW), np.float32(y * _HIGH)
    if low == high:
        return high
    return np.float32(-0.0) if y == y else np.float32(np.nan)


@compiled
def _is_left(y: np.float32) -> bool:
    return bool(np.float32(y).view(np.int32) == _LEFT)


@compiled
def exp(x: Array, out: Array) -> int:
    left = 0
    for at in range(x.size):
        out[at] = y = _rounded(exp64(np.float64(x[at])))
        left += _is_left(y)
    return left


@compiled
def sigmoid(x: Array, out: Array) -> int:
    left = 0
    for at in range(x.size):
        out[at] = y = _rounded(sigmoid64(np.float64(x[at])))
        left += _is_left(y)
    return left


@compiled
def tanh(x: Array, out: Array) -> int:
    left = 0
    for at in range(x.size):
        out[at] = y = _rounded(tanh64(np.float64(x[at])))
        left += _is_left(y)
    return left


@compiled
def erf(x: Array, out: Array) -> int:
    left = 0
    for at in range(x.size):
        out[at] = y = _rounded(erf64(np.float64(x[at])))
        left += _is_left(y)
    return left


@compiled
def rounded(values: Array, out: Array) -> int:
    """Rounds as the others do, from float64 values that somebody else computed within the bound."""
    left = 0
    for at in range(values.size):
        out[at] = y = _rounded(values[at])
        left += _is_left(y)
    return left
