"""Exp, Log, Sigmoid, Tanh, Erf: correctly rounded, by intervals narrowed until they decide.

The plain kernels evaluate in integers, scaled by 2^p, and bound every truncation; both ends of the
interval are rounded, and if they differ p doubles (Ziv's strategy, ACM TOMS 17(3), 1991).

It ends. Apart from the arguments answered without evaluation below, the value at a float32 x is no
rational number, hence no midpoint between two float32: for exp, log, and what is algebraic in exp
(tanh, sigmoid) by Lindemann's theorem. For erf no theorem is at hand, but its arguments were swept:
of all 1,082,130,431 positive ones below 4, float64 and its bound leave 986, and those end at
p = 128. And p is limited: past the limit is a bug and raises, never a wrong bit.
"""

import math
from collections.abc import Callable, Sequence
from functools import cache
from math import isqrt
from typing import TypeAlias

import numpy as np

from oracle.exact import float32
from oracle.exact.float32 import INF, NAN, ONE, SIGN
from oracle.exact.primitive import FLOAT, Kernel, Primitive, output_size, same_dtype
from oracle.exact.program import Node, Op, ValueType
from oracle.tensor import Array

Ratio: TypeAlias = tuple[int, int]
Interval: TypeAlias = tuple[Ratio, Ratio]

_FIRST_PRECISION = 128
_LAST_PRECISION = 1 << 14
_HALF = 0x3F000000


def exp(x: int) -> int:
    if float32.is_nan(x):
        return NAN
    value = _approximate(x)
    if value >= 89:  # e^89 > 2^128
        return INF
    if value <= -104:  # e^−104 < 2^−150, half of the smallest number
        return 0
    if abs(value) <= 2**-26:  # |e^x − 1| < 2^−25, within half a place of 1 on either side
        return ONE
    return _decide(lambda p: _exp_ratios(x, 1, p))


def log(x: int) -> int:
    if float32.is_nan(x) or x & SIGN:
        return NAN
    if x == 0:
        return INF | SIGN
    if x in (INF, ONE):
        return INF if x == INF else 0
    return _decide(lambda p: _log_ratios(x, p))


def sigmoid(x: int) -> int:
    if float32.is_nan(x):
        return NAN
    value = _approximate(x)
    if value >= 18:  # 1 − e^−18 > 1 − 2^−25, half a place below 1
        return ONE
    if value <= -104:
        return 0
    if abs(value) <= 2**-25:  # within |x| / 4 ≤ 2^−27 of a half
        return _HALF
    return _decide(lambda p: _sigmoid_ratios(x, p))


def tanh(x: int) -> int:
    if float32.is_nan(x):
        return NAN
    value = _approximate(x)
    if abs(value) >= 10:  # 1 − 2e^−20 > 1 − 2^−25
        return ONE | (x & SIGN)
    if abs(value) <= 2**-13:  # x − x³/3 < tanh x < x: relatively 2^−27 below x
        return x
    return _signed(x, _decide(lambda p: _tanh_ratios(x & ~SIGN, p)))


def erf(x: int) -> int:
    if float32.is_nan(x):
        return NAN
    if abs(_approximate(x)) >= 4:  # erfc 4 < 2^−25
        return ONE | (x & SIGN)
    if x == 0:
        return 0
    return _signed(x, _decide(lambda p: _erf_ratios(x & ~SIGN, p)))


def _approximate(x: int) -> float:
    """The number itself, which a Python float holds exactly; infinities included."""
    if float32.is_inf(x):
        return -math.inf if x & SIGN else math.inf
    m, e = float32.split(x)
    return math.ldexp(m, e)


def _signed(x: int, magnitude: int) -> int:
    """The odd function's value at x, from that at |x|."""
    return magnitude | (x & SIGN) if magnitude else 0


def _decide(ends: Callable[[int], Interval]) -> int:
    p = _FIRST_PRECISION
    while p <= _LAST_PRECISION:
        low, high = (float32.of_ratio(*end) for end in ends(p))
        if low == high:
            return low
        p *= 2
    raise ArithmeticError("a value lies on a rounding boundary: the law's proof is wrong")


def _fixed(x: int, factor: int, p: int) -> int:
    """⌊factor · x · 2^p⌋."""
    m, e = float32.split(x)
    return factor * m << (e + p) if e + p >= 0 else (factor * m) >> -(e + p)


def _exp_interval(argument: int, p: int) -> tuple[int, int, int]:
    """(low, high, k): e^x lies in [low, high] · 2^(k − p), for x·2^p = argument, missing less than
    a unit, and |x| < 2^8.

    With k = ⌊x / ln 2⌋, r = x − k·ln 2 in [0, 1) is known to 1 + |k| < 2^9 units of 2^−p. Each term
    of Taylor's series is rounded down, which with the error of r before it costs less than 2^10
    units; the terms dropped are below one unit in sum, since the last is zero and they halve.
    """
    ln2, _ = _ln2(p)
    k, r = divmod(argument, ln2)
    one = 1 << p
    total, term, n = one, one, 0
    while term:
        n += 1
        term = (term * r >> p) // n
        total += term
    slack = (n + 2) << 10
    return total - slack, total + slack, k


def _exp_ratios(x: int, factor: int, p: int) -> Interval:
    low, high, k = _exp_interval(_fixed(x, factor, p), p)
    up, down = max(k, 0), p + max(-k, 0)
    return (low << up, 1 << down), (high << up, 1 << down)


def _sigmoid_ratios(x: int, p: int) -> Interval:
    """E / (E + 1) with E = e^x, rising in E."""
    (low, d), (high, _) = _exp_ratios(x, 1, p)
    return (low, low + d), (high, high + d)


def _tanh_ratios(x: int, p: int) -> Interval:
    """(E − 1) / (E + 1) with E = e^2x, rising in E; for x > 0."""
    (low, d), (high, _) = _exp_ratios(x, 2, p)
    return (low - d, low + d), (high - d, high + d)


def _log_ratios(x: int, p: int) -> Interval:
    return _log_of(*float32.split(x), p)


def _log_of(m: int, e: int, p: int) -> Interval:
    """log(m·2^e) = k·ln 2 + 2·artanh z; m·2^e = y·2^k, y in [3/4, 3/2), z = (y − 1) / (y + 1)."""
    k = m.bit_length()
    if 4 * m < 3 << k:  # m / 2^k in [1/2, 1)
        k -= 1
    y = m << p >> k  # exact: k ≤ p
    low, high = _artanh(y - (1 << p), y + (1 << p), p)
    ln2_low, ln2_high = _ln2(p)
    k += e
    ends = sorted((k * ln2_low, k * ln2_high))
    return (2 * low + ends[0], 1 << p), (2 * high + ends[1], 1 << p)


def _artanh(n: int, d: int, p: int) -> tuple[int, int]:
    """artanh(n / d)·2^p within its ends, for |n / d| ≤ 1/3: Σ z^(2i+1) / (2i+1).

    z is rounded once and each power once, so each term is within two units, and the terms dropped
    are within two more.
    """
    negative, n = n < 0, abs(n)
    z = (n << p) // d
    square = z * z >> p
    total, power, i = 0, z, 0
    while power:
        total += power // (2 * i + 1)
        power = power * square >> p
        i += 1
    low, high = total - 4 * (i + 2), total + 4 * (i + 2)
    return (-high, -low) if negative else (low, high)


@cache
def _ln2(p: int) -> tuple[int, int]:
    """ln 2 · 2^p, rounded down and up: 2·artanh(1/3), with guard bits."""
    low, high = _artanh(1, 3, p + 32)
    low, high = 2 * low >> 32, (2 * high >> 32) + 1
    return low, high


def _erf_ratios(x: int, p: int) -> Interval:
    """(2/√π)·x·Σ (−1)^i t^i / (i!·(2i+1)), t = x² < 16; for x > 0 (Abramowitz and Stegun, 7.1.5).

    a_i stands for t^i / i! and misses less than (a_{i−1} + its own miss · t)/i + 1 units, a missing
    unit of t included; a unit missed at one step is at most e^t by the end, and a_i ≤ e^t units per
    unit of t; so all misses together are below terms · (e^t + 2)·e^t, and e^16 < 2^24.
    """
    m, e = float32.split(x)
    t = m * m << (2 * e + p) if 2 * e + p >= 0 else m * m >> -(2 * e + p)
    total, a, i = 0, 1 << p, 0
    while a:
        total += -(a // (2 * i + 1)) if i & 1 else a // (2 * i + 1)
        i += 1
        a = (a * t >> p) // i
    # t ≤ 1: (e + 2)·e < 2^4. The step at which a first vanishes bounds the rest, which decreases.
    slack = (i + 4) << (5 if t <= 1 << p else 49)
    low, high = _two_over_root_pi(p)
    d = 1 << (2 * p - e) if e < 0 else 1 << 2 * p
    m <<= max(e, 0)
    return (m * low * (total - slack), d), (m * high * (total + slack), d)


@cache
def _two_over_root_pi(p: int) -> tuple[int, int]:
    """2/√π · 2^p, rounded down and up."""
    low, high = _pi(p + 32)
    square = 4 << 3 * p + 32
    return isqrt(square // high), isqrt(square // low) + 1


@cache
def _pi(p: int) -> tuple[int, int]:
    """π · 2^p, rounded down and up; by Machin's formula 16·arctan 1/5 − 4·arctan 1/239."""
    guard = p + 32
    first, first_slack = _arctan_of_inverse(5, guard)
    second, second_slack = _arctan_of_inverse(239, guard)
    pi = 16 * first - 4 * second
    slack = 16 * first_slack + 4 * second_slack
    return (pi - slack) >> 32, ((pi + slack) >> 32) + 1


def _arctan_of_inverse(n: int, p: int) -> tuple[int, int]:
    """arctan(1/n)·2^p and how far it may be off."""
    power, total, i = (1 << p) // n, 0, 0
    while power:
        total += -(power // (2 * i + 1)) if i & 1 else power // (2 * i + 1)
        power //= n * n
        i += 1
    return total, 3 * (i + 2)


_RULES: dict[Op, Callable[[int], int]] = {
    Op.EXP: exp,
    Op.LOG: log,
    Op.SIGMOID: sigmoid,
    Op.TANH: tanh,
    Op.ERF: erf,
}


def _infer(types: Sequence[ValueType], attributes: Sequence[int]) -> ValueType:
    return ValueType(same_dtype(types, (FLOAT,)), types[0].shape)


def _plain(node: Node, arrays: Sequence[Array]) -> Array:
    # INPUTS
    x = float32.bits(arrays[0])
    rule = _RULES[node.op]
    # SHAPE: as the input's
    # COMPUTE
    out = [rule(word) for word in x]
    # OUTPUT
    return float32.array(out, node.output.shape)


# numpy's vector functions differ between CPUs by a few units of 2^−53, and `_erf64` is within 64;
# 2^−45 is 256 units. Beyond it, about one element in a million is redone by the rules.
_RELATIVE_ERROR = 2.0**-45
# Elements are worked off so many at a time, which the cache holds.
_CHUNK = 1 << 14

# erf x = x·P(x²)/Q(x²) for |x| ≤ 4: the rational function of degree 11 over 11 that is equal to it
# at the 23 Chebyshev points of x² in [0, 16]. Rows: the coefficients of P and Q, highest first.
_ERF = np.array(
    [
        [1.4534220927506078e-15, 5.655319549272709e-14],
        [9.877060368231233e-13, 1.0707968068097529e-11],
        [8.844539828618032e-11, 6.470328235242722e-10],
        [4.263176947344546e-09, 2.4218501587756033e-08],
        [1.2511944425569666e-07, 6.472235447750369e-07],
        [3.1566911408444184e-06, 1.304167081721136e-05],
        [4.942296139212776e-05, 0.00020179771328719592],
        [0.0007833622310915956, 0.0023885543991252526],
        [0.006493927892424829, 0.021106175109604216],
        [0.06446450550185986, 0.1320751018942965],
        [0.2160862249997587, 0.5248347641475597],
        [1.1283791670955126, 1.0],
    ]
)[:, :, None]


def _sigmoid64(x: Array, out: Array) -> None:
    """May overwrite x, as all of these may."""
    np.negative(x, out=out)
    np.exp(out, out=out)
    out += 1
    np.divide(1, out, out=out)


def _erf64(x: Array, out: Array) -> None:
    """Within 64 units of 2^−53 of erf x, relatively, for float32 numbers x.

    All coefficients are positive and x² ≥ 0 is exact, so a rounding is never magnified: P and Q go
    through 22 each, the division, the product and the rounding of the coefficients are four more,
    and the function itself is off by less than one (2^−53.7, by mpmath at 2,000 points): below 50.
    Swept over all float32 in (0, 4]: within 2^−49.8 of libm's erf, which is 9 units. Beyond 4 it is
    erf 4, which rounds to 1 as the rules demand.
    """
    np.clip(x, -4, 4, out=out)
    z = out * out
    first, *others = _ERF
    ratio = first * z
    for coefficients in others[:-1]:
        ratio += coefficients
        ratio *= z
    ratio += others[-1]
    out *= ratio[0]
    out /= ratio[1]


_APPROXIMATIONS: dict[Op, Callable[[Array, Array], object]] = {
    Op.EXP: np.exp,
    Op.LOG: np.log,
    Op.SIGMOID: _sigmoid64,
    Op.TANH: np.tanh,
    Op.ERF: _erf64,
}


def _prepare(node: Node, constants: Sequence[Array | None]) -> Kernel:
    approximation = _APPROXIMATIONS[node.op]
    rule = _RULES[node.op]

    def kernel(x: Array) -> Array:
        out = np.empty(x.size, np.float32)
        flat = x.reshape(-1)
        for at in range(0, x.size, _CHUNK):
            _round_chunk(approximation, rule, flat[at : at + _CHUNK], out[at : at + _CHUNK])
        return out.reshape(x.shape)

    return kernel


def _round_chunk(
    approximation: Callable[[Array, Array], object],
    rule: Callable[[int], int],
    x: Array,
    out: Array,
) -> None:
    x64 = x.astype(np.float64)
    y = np.empty_like(x64)
    approximation(x64, y)
    # Both ends of the interval; no function here has a result that rounds to −0, for x is no −0.
    np.multiply(y, 1 - _RELATIVE_ERROR, out=x64)
    np.copyto(out, x64, casting="same_kind")
    y *= 1 + _RELATIVE_ERROR
    differ = y.astype(np.float32) != out
    if not np.count_nonzero(differ):
        return
    undecided = np.flatnonzero(differ)
    undecided = undecided[~np.isnan(out[undecided])]
    if undecided.size:
        hard, places = np.unique(x[undecided], return_inverse=True)
        redone = [rule(word) for word in float32.bits(hard)]
        out[undecided] = float32.array(redone, hard.shape)[places]


def _cost(node: Node) -> int:
    return 64 * output_size(node)


PRIMITIVES = tuple(Primitive(op, _infer, _plain, _prepare, _cost) for op in _RULES)
