"""float32 as integers: the plain kernels are written in it, and `Float32.sol` mirrors it.

A number is its 32 bits. Rounding is to nearest, ties to even, in one step from an exact ratio.
"""

from collections.abc import Iterable

import numpy as np

from oracle.tensor import Array, canonical

NAN = 0x7FC00000
INF = 0x7F800000
SIGN = 0x80000000
ONE = 0x3F800000
LOWEST_EXPONENT = -149  # of the last place of a subnormal


def bits(array: Array) -> list[int]:
    """Gives the canonical bits of each element, in C order."""
    words: list[int] = canonical(array).ravel().view(np.uint32).tolist()
    return words


def array(words: Iterable[int], shape: tuple[int, ...]) -> Array:
    """Makes the float32 tensor with these bits."""
    return np.array(list(words), dtype=np.uint32).view(np.float32).reshape(shape)


def is_nan(x: int) -> bool:
    return x & ~SIGN > INF


def is_inf(x: int) -> bool:
    return x & ~SIGN == INF


def is_finite(x: int) -> bool:
    return x & ~SIGN < INF


def negated(x: int) -> int:
    """Gives −x. Zero and NaN stay as they are, since they have no sign to change."""
    return x if x == 0 or is_nan(x) else x ^ SIGN


def split(x: int) -> tuple[int, int]:
    """Splits a finite number into (m, e) with x = m · 2^e, |m| < 2^24 and e ≥ −149."""
    magnitude = x & ~SIGN
    exponent = max(magnitude >> 23, 1)
    mantissa = magnitude - ((exponent - 1) << 23)
    return (-mantissa if x & SIGN else mantissa), exponent + LOWEST_EXPONENT - 1


def scaled(x: int) -> int:
    """Gives x · 2^149 of a finite number, which is an integer."""
    m, e = split(x)
    return m << (e - LOWEST_EXPONENT)


def ordered(x: int) -> int:
    """Gives an integer that sorts as the number does, infinities included; not for NaN."""
    return -(x & ~SIGN) if x & SIGN else x


def of_ratio(n: int, d: int) -> int:
    """Rounds n / d once, for d > 0. From the midpoint 2^128 − 2^103 on the result is ∞."""
    if n == 0:
        return 0
    magnitude = abs(n)
    e = magnitude.bit_length() - d.bit_length()
    if (magnitude << max(-e, 0)) < (d << max(e, 0)):
        e -= 1  # now 2^e ≤ |n| / d < 2^(e+1)
    last = max(e - 23, LOWEST_EXPONENT)
    d <<= max(last, 0)
    q, r = divmod(magnitude << max(-last, 0), d)
    q += 2 * r > d or (2 * r == d and q & 1)
    # q's leading bit adds one to the exponent field, and so does a carry out of the rounding
    rounded = min(((last - LOWEST_EXPONENT) << 23) + q, INF)
    return rounded | SIGN if n < 0 and rounded else rounded


def of_scaled(n: int, exponent: int) -> int:
    """Rounds n · 2^exponent once."""
    return of_ratio(n << max(exponent, 0), 1 << max(-exponent, 0))
