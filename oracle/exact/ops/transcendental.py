"""Exp, Log, Sigmoid, Tanh, Erf: correctly rounded, by `intervals` narrowed until they decide.

The narrowing ends. Apart from the arguments answered without evaluation below, the value at a
float32 x is no rational number, hence no midpoint between two float32: for exp, log, and what is
algebraic in exp (tanh, sigmoid) by Lindemann's theorem. For erf no theorem is at hand, but its
arguments were swept: of all 1,082,130,431 positive ones below 4, float64 and its bound leave 986,
and those end at p = 128.
"""

from collections.abc import Callable, Sequence

import numpy as np

from oracle.exact import float32
from oracle.exact.float32 import INF, NAN, ONE, SIGN
from oracle.exact.intervals import (
    Interval,
    approximate,
    decide,
    exp_interval,
    fixed,
    log_of,
    remembered,
    signed,
    two_over_root_pi,
)
from oracle.exact.primitive import Kernel, unary
from oracle.exact.program import Node, Op
from oracle.tensor import Array

_HALF = 0x3F000000


def exp(x: int) -> int:
    if float32.is_nan(x):
        return NAN
    value = approximate(x)
    if value >= 89:  # e^89 > 2^128
        return INF
    if value <= -104:  # e^−104 < 2^−150, half of the smallest number
        return 0
    if abs(value) <= 2**-26:  # |e^x − 1| < 2^−25, within half a place of 1 on either side
        return ONE
    return decide(lambda p: _exp_ratios(x, 1, p))


def log(x: int) -> int:
    if float32.is_nan(x) or x & SIGN:
        return NAN
    if x == 0:
        return INF | SIGN
    if x in (INF, ONE):
        return INF if x == INF else 0
    return decide(lambda p: _log_ratios(x, p))


def sigmoid(x: int) -> int:
    if float32.is_nan(x):
        return NAN
    value = approximate(x)
    if value >= 18:  # 1 − e^−18 > 1 − 2^−25, half a place below 1
        return ONE
    if value <= -104:
        return 0
    if abs(value) <= 2**-25:  # within |x| / 4 ≤ 2^−27 of a half
        return _HALF
    return decide(lambda p: _sigmoid_ratios(x, p))


def tanh(x: int) -> int:
    if float32.is_nan(x):
        return NAN
    value = approximate(x)
    if abs(value) >= 10:  # 1 − 2e^−20 > 1 − 2^−25
        return ONE | (x & SIGN)
    if abs(value) <= 2**-13:  # x − x³/3 < tanh x < x: relatively 2^−27 below x
        return x
    return signed(x, decide(lambda p: _tanh_ratios(x & ~SIGN, p)))


def erf(x: int) -> int:
    if float32.is_nan(x):
        return NAN
    if abs(approximate(x)) >= 4:  # erfc 4 < 2^−25
        return ONE | (x & SIGN)
    if x == 0:
        return 0
    return signed(x, decide(lambda p: _erf_ratios(x & ~SIGN, p)))


def _exp_ratios(x: int, factor: int, p: int) -> Interval:
    low, high, k = exp_interval(fixed(x, factor, p), p)
    up, down = max(k, 0), p + max(-k, 0)
    return (low << up, 1 << down), (high << up, 1 << down)


def _sigmoid_ratios(x: int, p: int) -> Interval:
    """Bounds E / (E + 1) with E = e^x, which rises with E."""
    (low, d), (high, _) = _exp_ratios(x, 1, p)
    return (low, low + d), (high, high + d)


def _tanh_ratios(x: int, p: int) -> Interval:
    """Bounds (E − 1) / (E + 1) with E = e^2x, which rises with E, for x > 0."""
    (low, d), (high, _) = _exp_ratios(x, 2, p)
    return (low - d, low + d), (high - d, high + d)


def _log_ratios(x: int, p: int) -> Interval:
    return log_of(*float32.split(x), p)


def _erf_ratios(x: int, p: int) -> Interval:
    """Bounds erf x = (2/√π)·x·Σ (−1)^i t^i / (i!·(2i+1)) with t = x² < 16, for x > 0 (Abramowitz
    and Stegun, 7.1.5).

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
    low, high = two_over_root_pi(p)
    d = 1 << (2 * p - e) if e < 0 else 1 << 2 * p
    m <<= max(e, 0)
    return (m * low * (total - slack), d), (m * high * (total + slack), d)


_RULES: dict[Op, Callable[[int], int]] = {
    Op.EXP: exp,
    Op.LOG: log,
    Op.SIGMOID: sigmoid,
    Op.TANH: tanh,
    Op.ERF: erf,
}
_REMEMBERED = {op: remembered(rule) for op, rule in _RULES.items()}


# The kernels leave about one element in a million to the rules.
def _prepare(node: Node, _constants: Sequence[Array | None]) -> Kernel:
    from oracle.exact.kernels import functions  # numba takes its time to load

    rule = _REMEMBERED[node.op]
    evaluate: Callable[[Array, Array], int] = {
        Op.EXP: functions.exp,
        Op.LOG: _log,
        Op.SIGMOID: functions.sigmoid,
        Op.TANH: functions.tanh,
        Op.ERF: functions.erf,
    }[node.op]

    def kernel(x: Array) -> Array:
        out = np.empty(x.size, np.float32)
        if evaluate(x.ravel(), out):
            _redo(rule, x.ravel(), out)
        return out.reshape(x.shape)

    return kernel


def _log(x: Array, out: Array) -> int:
    """Takes numpy's logarithm, which differs between CPUs by a few units of 2^−53. The bound,
    2^−45, is 256 of them."""
    from oracle.exact.kernels.functions import rounded

    return rounded(np.log(x.astype(np.float64)), out)


def _redo(rule: Callable[[int], int], x: Array, out: Array) -> None:
    """Computes by the rule what the kernel left open, which is where `out` is −0."""
    left = np.flatnonzero(out.view(np.uint32) == SIGN)
    hard, places = np.unique(x[left], return_inverse=True)
    redone = [rule(word) for word in float32.bits(hard)]
    out[left] = float32.array(redone, hard.shape)[places]


PRIMITIVES = tuple(unary(op, rule, _prepare) for op, rule in _RULES.items())
