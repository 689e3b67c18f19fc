"""Log1p, Sin, Cos, Atan, Pow: correctly rounded by `intervals`.

The search for bits ends for these, too. Apart from the arguments answered without evaluation,
log1p, sin, cos and arctan of a float32 are transcendental by Lindemann's theorem. A power is
algebraic: where it is dyadic that is found in integers, and where it is not it is no midpoint.
"""

import math
from collections.abc import Callable, Sequence
from math import isqrt

import numpy as np

from oracle.exact import float32
from oracle.exact.float32 import INF, NAN, ONE, SIGN
from oracle.exact.intervals import (
    Interval,
    approximate,
    artanh,
    decide,
    exp_interval,
    log_of,
    pi,
    remembered,
    signed,
)
from oracle.exact.primitive import (
    FLOAT,
    Kernel,
    Primitive,
    broadcast,
    exactly,
    flat_index,
    function_cost,
    same_dtype,
    unary,
)
from oracle.exact.program import Node, Op, ValueType
from oracle.tensor import Array


def log1p(x: int) -> int:
    if float32.is_nan(x):
        return NAN
    value = approximate(x)
    if value <= -1:
        return INF | SIGN if value == -1 else NAN
    if abs(value) <= 2**-25 or x == INF:  # relatively |x| / 2 < 2^−25 from x
        return x
    return decide(lambda p: _log1p_ratios(x, p))


def sin(x: int) -> int:
    if not float32.is_finite(x):
        return NAN
    if abs(approximate(x)) <= 2**-12:  # x − x³/6: relatively 2^−26 below x
        return x
    positive = decide(lambda p: _sin_ratios(x & ~SIGN, 0, p))
    return float32.negated(positive) if x & SIGN else positive


def cos(x: int) -> int:
    if not float32.is_finite(x):
        return NAN
    if abs(approximate(x)) <= 2**-12:  # above 1 − x²/2 ≥ 1 − 2^−25, half a place below 1
        return ONE
    return decide(lambda p: _sin_ratios(x & ~SIGN, 1, p))


def atan(x: int) -> int:
    if float32.is_nan(x):
        return NAN
    if abs(approximate(x)) <= 2**-12:  # x − x³/3: relatively 2^−25.5 below x
        return x
    return signed(x, decide(lambda p: _atan_ratios(x & ~SIGN, p)))


def power(x: int, y: int) -> int:
    """Computes x^y. Infinities, NaN and zero give what C's pow gives, except that 0 has no sign."""
    if y == 0 or x == ONE:
        return ONE
    if float32.is_nan(x) or float32.is_nan(y):
        return NAN
    size = x & ~SIGN
    if float32.is_inf(y):
        if size == ONE:
            return ONE
        return INF if (size > ONE) == (y == INF) else 0
    n, f = _odd(y)
    if x & SIGN and size != INF and f < 0:
        return NAN
    at_end = INF if (size == INF) == (n > 0) else 0
    magnitude = at_end if size in (0, INF) else _power(size, n, f)
    return magnitude | SIGN if x & SIGN and f == 0 and magnitude else magnitude


def _power(x: int, n: int, f: int) -> int:
    """Computes x^(n·2^f) for x > 0 and odd n."""
    m, e = _odd(x)
    if m != 1 or e != 0:
        scale = math.ldexp(n, f) * (math.log2(m) + e)  # of the result, in powers of two
    else:
        return ONE
    if scale > 129 or scale < -151:
        return INF if scale > 0 else 0
    exact = _dyadic_power(m, e, n, f)
    if exact:
        return float32.of_scaled(*exact)
    if abs(scale) < 2**-26:  # |x^y − 1| < 2^−25·ln 2 and a little, within half a place of 1
        return ONE
    return decide(lambda p: _power_ratios(m, e, n, f, p))


def _dyadic_power(m: int, e: int, n: int, f: int) -> tuple[int, int] | None:
    """Gives (m·2^e)^(n·2^f) as an integer and a power of two, or None where it is not dyadic or has
    too many bits to be a float32 or a midpoint of two. m and n are odd.

    The square root of a dyadic number is dyadic where m and 2^e are squares, its inverse where
    m = 1.
    """
    for _ in range(-f):
        root = isqrt(m)
        if root * root != m or e & 1:
            return None
        m, e = root, e // 2
    n <<= max(f, 0)
    if m == 1:
        return 1, e * n
    if n < 0 or n * (m.bit_length() - 1) > 25:  # odd, of 26 bits or more
        return None
    return m**n, e * n


def _odd(x: int) -> tuple[int, int]:
    """Splits a finite number that is not zero into (m, e) with x = m·2^e and odd m."""
    m, e = float32.split(x)
    twos = (m & -m).bit_length() - 1
    return m >> twos, e + twos


def _log1p_ratios(x: int, p: int) -> Interval:
    """Bounds log1p x: by 2·artanh(x / (2 + x)) for |x| ≤ 1/2, else by log(1 + x), where 1 + x has
    at most 129 bits."""
    m, e = float32.split(x)
    if abs(approximate(x)) > 0.5:
        whole = (m << e) + 1 if e >= 0 else m + (1 << -e)
        return log_of(whole, min(e, 0), p + 64)
    low, high = artanh(m, m + (2 << -e), p)
    return (2 * low, 1 << p), (2 * high, 1 << p)


def _sin_ratios(x: int, quarters: int, p: int) -> Interval:
    """Bounds sin(x + quarters·π/2) for x > 0: it is ±sin r or ±cos r with x = q·π/2 + r.

    q < 2^129 and π/2 is known to a unit of 2^−(p + 160), so r is to 2^−(p + 31), and to 2 units of
    2^−(p + 16) in the end. As r < 1.6, each term has at most 8 more units, and those dropped are
    less than one in sum.
    """
    half_pi, _ = pi(p + 159)
    m, e = float32.split(x)
    q, r = divmod(m << (p + 160 + e), half_pi)
    r >>= 144
    p += 16
    q += quarters
    square = r * r >> p
    n, term = (2, 1 << p) if q & 1 else (3, r)
    total, sign = 0, -1 if q & 2 else 1
    while term:
        total += sign * term
        term = (term * square >> p) // (n * (n - 1))
        sign, n = -sign, n + 2
    slack = (n + 2) << 4
    return (total - slack, 1 << p), (total + slack, 1 << p)


def _atan_ratios(x: int, p: int) -> Interval:
    """Bounds arctan x for x > 0. It is arctan x, π/4 + arctan((x − 1) / (x + 1)), or π/2 − arctan
    1/x, whichever takes the arctan of a number of at most 1/2 in size."""
    pi_low, pi_high = pi(p)
    if x == INF:
        return (pi_low, 2 << p), (pi_high, 2 << p)
    n, e = float32.split(x)
    n, d = n << max(e, 0), 1 << max(-e, 0)
    quarters = 0 if 2 * n <= d else 1 if n < 2 * d else 2
    if quarters:
        n, d = (n - d, n + d) if quarters == 1 else (-d, n)
    low, high = _arctan(n, d, p)
    low, high = 4 * low + quarters * pi_low, 4 * high + quarters * pi_high
    return (low, 4 << p), (high, 4 << p)


def _arctan(n: int, d: int, p: int) -> tuple[int, int]:
    """Bounds arctan(n / d)·2^p for |n / d| ≤ 1/2, by the series of `artanh` with alternating signs.

    With z ≤ 1/2 a power misses less than 3 units, which are divided by 3 or more from the second
    on; so each term is within two units here too, and the terms dropped are within two more.
    """
    negative, n = n < 0, abs(n)
    z = (n << p) // d
    square = z * z >> p
    total, power, i = 0, z, 0
    while power:
        total += -(power // (2 * i + 1)) if i & 1 else power // (2 * i + 1)
        power = power * square >> p
        i += 1
    low, high = total - 4 * (i + 2), total + 4 * (i + 2)
    return (-high, -low) if negative else (low, high)


def _power_ratios(m: int, e: int, n: int, f: int, p: int) -> Interval:
    """Bounds e^(n·2^f · log(m·2^e)), whose exponent is at most 2^7 in size. So |n·2^f| is below
    2^32, and the logarithm's 64 more bits leave less than one unit of the exponent unknown."""
    ends = sorted(low * n << f if f >= 0 else low * n >> -f for low, _ in log_of(m, e, p + 64))
    low, _, k = exp_interval(ends[0] >> 64, p)
    _, high, j = exp_interval((ends[1] >> 64) + 1, p)
    return (
        (low << max(k, 0), 1 << p + max(-k, 0)),
        (high << max(j, 0), 1 << p + max(-j, 0)),
    )


# As in `transcendental`: 256 units of 2^−53.
_RELATIVE_ERROR = 2.0**-45
# A sine near a multiple of π is as good as the reduction of its argument.
_ABSOLUTE_ERROR = 2.0**-50
_LARGEST_ANGLE = 2.0**30


_RULES: dict[Op, Callable[[int], int]] = {
    Op.LOG1P: log1p,
    Op.SIN: sin,
    Op.COS: cos,
    Op.ATAN: atan,
}
_REMEMBERED = {op: remembered(rule) for op, rule in _RULES.items()}
_APPROXIMATIONS: dict[Op, np.ufunc] = {
    Op.LOG1P: np.log1p,
    Op.SIN: np.sin,
    Op.COS: np.cos,
    Op.ATAN: np.arctan,
}


def _prepare(node: Node, _constants: Sequence[Array | None]) -> Kernel:
    approximation, rule = _APPROXIMATIONS[node.op], _REMEMBERED[node.op]

    def kernel(x: Array) -> Array:
        y = np.asarray(approximation(x.astype(np.float64)))
        return _rounded(y * (1 - _RELATIVE_ERROR), y * (1 + _RELATIVE_ERROR), rule, x)

    return kernel


def _prepare_angle(node: Node, _constants: Sequence[Array | None]) -> Kernel:
    approximation, rule = _APPROXIMATIONS[node.op], _REMEMBERED[node.op]

    def kernel(x: Array) -> Array:
        y, size = np.asarray(approximation(x.astype(np.float64))), np.abs(x)
        error = np.abs(y) * _RELATIVE_ERROR + (size > 1) * _ABSOLUTE_ERROR
        error = np.where(size > _LARGEST_ANGLE, np.inf, error)
        return _rounded(y - error, y + error, rule, x)

    return kernel


def _rounded(low: Array, high: Array, rule: Callable[..., int], *operands: Array) -> Array:
    """Gives what both ends round to. Where they differ the rule decides; where both are NaN it is
    NaN."""
    out = np.asarray(low).astype(np.float32)
    undecided = np.flatnonzero((out != high.astype(np.float32)) & ~(np.isnan(low) & np.isnan(high)))
    out += np.float32(0)
    if undecided.size:
        flat = out.reshape(-1)
        hard = [
            float32.bits(np.broadcast_to(x, out.shape).reshape(-1)[undecided]) for x in operands
        ]
        answers = {words: rule(*words) for words in set(zip(*hard, strict=True))}
        redone = [answers[words] for words in zip(*hard, strict=True)]
        flat[undecided] = float32.array(redone, undecided.shape)
        out = flat.reshape(out.shape)
    return out


def _infer_power(types: Sequence[ValueType], _attributes: Sequence[int]) -> ValueType:
    return ValueType(same_dtype(types, (FLOAT,)), broadcast([type_.shape for type_ in types]))


def _plain_power(node: Node, arrays: Sequence[Array]) -> Array:
    # INPUTS
    x, y = float32.bits(arrays[0]), float32.bits(arrays[1])
    # SHAPE
    places = zip(
        *(flat_index(node.output.shape, operand) for operand in node.operands), strict=True
    )
    # COMPUTE
    out = [power(x[i], y[j]) for i, j in places]
    # OUTPUT
    return float32.array(out, node.output.shape)


def _prepare_power(node: Node, constants: Sequence[Array | None]) -> Kernel:
    y_known = constants[1]
    cubed = y_known is not None and y_known.size == 1 and bool((y_known == 3).all())

    def kernel(x: Array, y: Array) -> Array:
        x64 = x.astype(np.float64)
        if cubed:
            z = x64 * x64 * x64
        else:
            # For one exponent numpy takes square roots, and that of −∞ is not (−∞)^½.
            y64 = np.ascontiguousarray(np.broadcast_to(y, node.output.shape), np.float64)
            z = np.asarray(np.power(x64, y64))
        z = z.reshape(node.output.shape)
        return _rounded(z * (1 - _RELATIVE_ERROR), z * (1 + _RELATIVE_ERROR), power, x, y)

    return kernel


_PREPARE = {
    Op.LOG1P: _prepare,
    Op.SIN: _prepare_angle,
    Op.COS: _prepare_angle,
    Op.ATAN: _prepare,
}
PRIMITIVES = (
    *(unary(op, rule, _PREPARE[op]) for op, rule in _RULES.items()),
    Primitive(Op.POW, exactly(2), _infer_power, _plain_power, _prepare_power, function_cost),
)
