"""Values of functions between two ratios of integers, narrowed until both round alike.

Everything is scaled by 2^p, and every truncation bounded. If the ends round differently p doubles
(Ziv's strategy, ACM TOMS 17(3), 1991). p is limited: past the limit is a bug and raises, never a
wrong bit.
"""

import math
from collections.abc import Callable
from functools import cache, lru_cache
from math import isqrt
from typing import TypeAlias

from oracle.exact import float32
from oracle.exact.float32 import SIGN

Ratio: TypeAlias = tuple[int, int]
Interval: TypeAlias = tuple[Ratio, Ratio]

HARD_ARGUMENTS = 1 << 12
"""No function has more float32 arguments for which float64 does not decide: it leaves open what
lies within 2^−45 of a midpoint, 2^−20 of the arguments, at most 2^31, that need evaluation."""

_FIRST_PRECISION = 128
_LAST_PRECISION = 1 << 14


def approximate(x: int) -> float:
    """Gives the number as a Python float, which holds it exactly; infinities included."""
    if float32.is_inf(x):
        return -math.inf if x & SIGN else math.inf
    m, e = float32.split(x)
    return math.ldexp(m, e)


def signed(x: int, magnitude: int) -> int:
    """Gives an odd function's value at x from its value at |x|."""
    return magnitude | (x & SIGN) if magnitude else 0


def remembered(rule: Callable[[int], int]) -> Callable[[int], int]:
    """Makes a rule that keeps its answers. A stranger may give arguments that are all hard; but
    there are few of these, so each costs its evaluation once a process, not once an element."""
    return lru_cache(2 * HARD_ARGUMENTS)(rule)


def decide(ends: Callable[[int], Interval]) -> int:
    """Rounds the value that lies between `ends(p)`, doubling p until both ends round alike.

    Raises ArithmeticError where no p up to the limit decides.
    """
    p = _FIRST_PRECISION
    while p <= _LAST_PRECISION:
        low, high = (float32.of_ratio(*end) for end in ends(p))
        if low == high:
            return low
        p *= 2
    raise ArithmeticError("a value lies on a rounding boundary: the law's proof is wrong")


def fixed(x: int, factor: int, p: int) -> int:
    """Computes ⌊factor · x · 2^p⌋."""
    m, e = float32.split(x)
    return factor * m << (e + p) if e + p >= 0 else (factor * m) >> -(e + p)


def exp_interval(argument: int, p: int) -> tuple[int, int, int]:
    """Gives (low, high, k) such that e^x lies in [low, high] · 2^(k − p). `argument` is x·2^p, less
    than one unit off, and |x| < 2^8.

    With k = ⌊x / ln 2⌋, r = x − k·ln 2 in [0, 1) is known to 1 + |k| < 2^9 units of 2^−p. Each term
    of Taylor's series is rounded down, which with the error of r before it costs less than 2^10
    units; the terms dropped are below one unit in sum, since the last is zero and they halve.
    """
    low, _ = ln2(p)
    k, r = divmod(argument, low)
    one = 1 << p
    total, term, n = one, one, 0
    while term:
        n += 1
        term = (term * r >> p) // n
        total += term
    slack = (n + 2) << 10
    return total - slack, total + slack, k


def log_of(m: int, e: int, p: int) -> Interval:
    """Bounds log(m·2^e) = k·ln 2 + 2·artanh z, where m·2^e = y·2^k with y in [3/4, 3/2), and
    z = (y − 1) / (y + 1)."""
    k = m.bit_length()
    if 4 * m < 3 << k:  # m / 2^k in [1/2, 1)
        k -= 1
    y = m << p >> k  # exact: k ≤ p
    low, high = artanh(y - (1 << p), y + (1 << p), p)
    ln2_low, ln2_high = ln2(p)
    k += e
    ends = sorted((k * ln2_low, k * ln2_high))
    return (2 * low + ends[0], 1 << p), (2 * high + ends[1], 1 << p)


def artanh(n: int, d: int, p: int) -> tuple[int, int]:
    """Bounds artanh(n / d)·2^p from below and above, for |n / d| ≤ 1/3, by Σ z^(2i+1) / (2i+1).

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
def ln2(p: int) -> tuple[int, int]:
    """Gives ln 2 · 2^p rounded down and up, as 2·artanh(1/3) with guard bits."""
    low, high = artanh(1, 3, p + 32)
    low, high = 2 * low >> 32, (2 * high >> 32) + 1
    return low, high


@cache
def two_over_root_pi(p: int) -> tuple[int, int]:
    """Gives 2/√π · 2^p rounded down and up."""
    low, high = pi(p + 32)
    square = 4 << 3 * p + 32
    return isqrt(square // high), isqrt(square // low) + 1


@cache
def pi(p: int) -> tuple[int, int]:
    """Gives π · 2^p rounded down and up, by Machin's 16·arctan 1/5 − 4·arctan 1/239."""
    guard = p + 32
    first, first_slack = arctan_of_inverse(5, guard)
    second, second_slack = arctan_of_inverse(239, guard)
    value = 16 * first - 4 * second
    slack = 16 * first_slack + 4 * second_slack
    return (value - slack) >> 32, ((value + slack) >> 32) + 1


def arctan_of_inverse(n: int, p: int) -> tuple[int, int]:
    """Gives arctan(1/n)·2^p and how far it may be off."""
    power, total, i = (1 << p) // n, 0, 0
    while power:
        total += -(power // (2 * i + 1)) if i & 1 else power // (2 * i + 1)
        power //= n * n
        i += 1
    return total, 3 * (i + 2)
