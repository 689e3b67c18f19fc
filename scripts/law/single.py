"""Functions of one number of 32 bits that integers decide: bits in, bits out."""

import numpy as np

from oracle.tensor import Array
from scripts.law.functions import INF, NAN, SIGN
from scripts.law.pairs import compiled


@compiled
def sqrt_bits(words: Array) -> Array:
    """Finds the root r with (2r − 1)² < 4·m·2^k < (2r + 1)². No root is a midpoint."""
    out = np.empty(words.size, np.int64)
    for at in range(words.size):
        word = np.int64(words[at])
        size = word & 0x7FFFFFFF
        if size > INF or (word > SIGN and size != 0):
            out[at] = NAN
            continue
        if size == 0 or word == INF:
            out[at] = size
            continue
        exponent = max(int(size >> 23), 1)
        m = size - ((exponent - 1) << 23)
        while m < 1 << 23:
            m <<= 1
            exponent -= 1
        # size = m·2^(exponent − 150); make that exponent even and m of 47 or 48 bits
        e = exponent - 150
        shift = 23 if (e - 23) % 2 == 0 else 24
        m, e = m << shift, e - shift
        r = np.int64(np.sqrt(np.float64(m)))
        while (2 * r - 1) * (2 * r - 1) > 4 * m:
            r -= 1
        while (2 * r + 1) * (2 * r + 1) < 4 * m:
            r += 1
        e //= 2
        if r == 1 << 24:
            r, e = r >> 1, e + 1
        out[at] = ((e + 150 - 1) << 23) + r
    return out


@compiled
def negated_bits(words: Array) -> Array:
    out = np.empty(words.size, np.int64)
    for at in range(words.size):
        word = np.int64(words[at])
        size = word & 0x7FFFFFFF
        out[at] = NAN if size > INF else 0 if size == 0 else word ^ SIGN
    return out


@compiled
def absolute_bits(words: Array) -> Array:
    out = np.empty(words.size, np.int64)
    for at in range(words.size):
        size = np.int64(words[at]) & 0x7FFFFFFF
        out[at] = NAN if size > INF else size
    return out


@compiled
def integer_bits(words: Array, low: int, high: int) -> Array:
    """Shifts the mantissa to an integer, towards zero and clamped. NaN gives 0."""
    out = np.empty(words.size, np.int64)
    for at in range(words.size):
        word = np.int64(words[at])
        size = word & 0x7FFFFFFF
        exponent = (size >> 23) - 150
        m = (size & 0x7FFFFF) | 0x800000
        if size > INF:
            out[at] = 0
        elif exponent >= 40:  # 2^63 or more
            out[at] = low if word & SIGN else high
        else:
            whole = m << exponent if exponent >= 0 else m >> min(int(-exponent), 63)
            out[at] = max(int(-whole), low) if word & SIGN else min(int(whole), high)
    return out


@compiled
def truth_bits(words: Array) -> Array:
    out = np.empty(words.size, np.int64)
    for at in range(words.size):
        out[at] = np.int64(words[at]) & 0x7FFFFFFF != 0
    return out


@compiled
def float_of_int32_bits(words: Array) -> Array:
    """Rounds the int32 with these bits to float32: keeps 24 bits, and rounds by the others."""
    out = np.empty(words.size, np.int64)
    for at in range(words.size):
        n = np.int64(np.int32(words[at]))
        size, shift = abs(n), 0
        while size >> shift >= 1 << 24:
            shift += 1
        m, rest = size >> shift, size & ((1 << shift) - 1)
        if shift and (2 * rest > 1 << shift or (2 * rest == 1 << shift and m & 1)):
            m += 1
        while 0 < m < 1 << 23:
            m, shift = m << 1, shift - 1
        word = ((shift + 149) << 23) + m if m else 0
        out[at] = word | SIGN if n < 0 else word
    return out
