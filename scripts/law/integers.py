"""Exact arithmetic on float32 in integers, as docs/exact.md defines it: sums in an accumulator that
holds every bit of every product (Kulisch), quotients and remainders of mantissas.

Numbers are their bits, as int64. The kernels share none of it: they round float64 within a bound.
"""

import numpy as np

from oracle.tensor import Array
from scripts.law.functions import INF, NAN, SIGN
from scripts.law.pairs import compiled, inlined

# Word i of an accumulator counts 2^(32·i − 298): products of two float32 are multiples of 2^−298
# below 2^256, and a word takes 2^31 of them before it must hand on its carry.
WORDS = 20
_LOWEST = -298
_MASK = 0xFFFFFFFF
# Behind the words stand flags for NaN, +∞ and −∞.
SIZE = WORDS + 3


@inlined
def mantissa(word: int) -> int:
    size = word & 0x7FFFFFFF
    return (size & 0x7FFFFF) | (0x800000 if size >= 0x800000 else 0)


@inlined
def place(word: int) -> int:
    """Gives the e with |x| = mantissa · 2^e."""
    return max((word & 0x7FFFFFFF) >> 23, 1) - 150


@compiled
def put(total: Array, m: int, e: int, negative: bool) -> None:
    """Adds ±m·2^e to a sum, for m below 2^24."""
    at = e - _LOWEST
    v = m << (at & 31)
    if negative:
        total[at >> 5] -= v & _MASK
        total[(at >> 5) + 1] -= v >> 32
    else:
        total[at >> 5] += v & _MASK
        total[(at >> 5) + 1] += v >> 32


@compiled
def put_float(total: Array, x: int) -> None:
    size = x & 0x7FFFFFFF
    if size > INF:
        total[WORDS] = 1
    elif size == INF:
        total[WORDS + 2 if x & SIGN else WORDS + 1] = 1
    else:
        put(total, mantissa(x), place(x), x & SIGN != 0)


@compiled
def put_product(total: Array, x: int, y: int) -> None:
    a, b = x & 0x7FFFFFFF, y & 0x7FFFFFFF
    negative = (x ^ y) & SIGN != 0
    if a > INF or b > INF or (a == INF and b == 0) or (a == 0 and b == INF):
        total[WORDS] = 1
    elif a == INF or b == INF:
        total[WORDS + 2 if negative else WORDS + 1] = 1
    else:
        m, e = mantissa(x) * mantissa(y), place(x) + place(y)
        put(total, m & 0xFFFFFF, e, negative)
        put(total, m >> 24, e + 24, negative)


@compiled
def total_bits(total: Array, divisor: int) -> int:
    """Divides the sum by 1 to 2^31 and rounds once; by 0 it gives NaN. Destroys the sum."""
    if total[WORDS] or (total[WORDS + 1] and total[WORDS + 2]) or divisor == 0:
        return NAN
    if total[WORDS + 1] or total[WORDS + 2]:
        return INF if total[WORDS + 1] else INF | SIGN
    for at in range(WORDS - 1):
        total[at + 1] += total[at] >> 32
        total[at] &= _MASK
    negative = total[WORDS - 1] < 0
    if negative:
        carry = 1
        for at in range(WORDS):
            inverted = (total[at] ^ -1) if at == WORDS - 1 else (total[at] ^ _MASK)
            inverted += carry
            carry = 0 if at == WORDS - 1 else inverted >> 32
            total[at] = inverted if at == WORDS - 1 else inverted & _MASK
    rest = 0
    top = -1
    for at in range(WORDS - 1, -1, -1):
        n = (rest << 32) | total[at]
        total[at], rest = n // divisor, n % divisor
        if top < 0 and total[at]:
            top = at
    if top < 0 and rest == 0:
        return 0
    leading = 0 if top < 0 else 32 * top
    while top >= 0 and total[top] >> (leading - 32 * top + 1):
        leading += 1
    # The last place of the result as a bit of the sum, no lower than that of a subnormal.
    last = max(leading - 23, -149 - _LOWEST)
    kept = 0
    for bit in range(last, leading + 1):
        kept |= ((total[bit >> 5] >> (bit & 31)) & 1) << (bit - last)
    half = last - 1
    up = (total[half >> 5] >> (half & 31)) & 1
    if up and not kept & 1:
        beyond = rest != 0 or total[half >> 5] & ((1 << (half & 31)) - 1) != 0
        for at in range(half >> 5):
            beyond |= total[at] != 0
        up = 1 if beyond else 0
    word = min(((last + _LOWEST + 149) << 23) + int(kept + up), INF)
    return word | SIGN if negative and word else word


@compiled
def whole_bits(m: int, e: int, more: bool, negative: bool) -> int:
    """Rounds ±m·2^e once, or a number a little beyond it where there is `more`. 0 ≤ m < 2^62, and m
    has 26 bits at least where there is `more`."""
    if m == 0:
        return 0
    length = 0
    while m >> length:
        length += 1
    last = max(e + length - 24, -149)
    shift = last - e
    if shift <= 0:
        kept, up = m << -shift, 0
    elif shift > 62:
        kept, up = 0, 0
    else:
        kept, rest, half = m >> shift, m & ((1 << shift) - 1), 1 << (shift - 1)
        up = rest > half or (rest == half and (more or kept & 1 == 1))
    word = min(((last + 149) << 23) + kept + (1 if up else 0), INF)
    return word | SIGN if negative and word else word


@compiled
def div_bits(x: int, y: int) -> int:
    a, b = x & 0x7FFFFFFF, y & 0x7FFFFFFF
    sign = (x ^ y) & SIGN
    if a > INF or b > INF or (a == INF and b == INF) or (a == 0 and b == 0):
        return NAN
    if a == INF:
        return INF | sign
    if b == 0:
        return INF | (x & SIGN)
    if b == INF or a == 0:
        return 0
    m, e = mantissa(x), place(x)
    n, f = mantissa(y), place(y)
    while m < 1 << 23:
        m, e = m << 1, e - 1
    while n < 1 << 23:
        n, f = n << 1, f - 1
    q = (m << 38) // n
    return whole_bits(q, e - f - 38, q * n != m << 38, sign != 0)


@compiled
def mod_bits(x: int, y: int) -> int:
    a, b = x & 0x7FFFFFFF, y & 0x7FFFFFFF
    if a >= INF or b > INF or b == 0:
        return NAN
    if b == INF:
        return x if a else 0
    m, e, n, f = mantissa(x), place(x), mantissa(y), place(y)
    if a < b:
        return x if a else 0
    if e < f:  # but x ≥ y: it has more bits than y's last place is higher
        return whole_bits(m % (n << (f - e)), e, False, x & SIGN != 0)
    rest, left = m % n, e - f
    while left > 0:
        step = min(left, 38)
        rest, left = (rest << step) % n, left - step
    return whole_bits(rest, f, False, x & SIGN != 0)


@compiled
def quantized(x: int, scale: int, zero: int, low: int, high: int) -> int:
    q = div_bits(x, scale)
    size = q & 0x7FFFFFFF
    if size > INF:
        return zero
    m, e = mantissa(q), place(q)
    if e >= 8:  # 2^31 and more
        return low if q & SIGN else high
    if e >= 0:
        whole = m << e
    elif e < -40:
        whole = 0
    else:
        whole, rest, half = m >> -e, m & ((1 << -e) - 1), 1 << (-e - 1)
        whole += rest > half or (rest == half and whole & 1 == 1)
    return min(max((-whole if q & SIGN else whole) + zero, low), high)


# ---- loops, over arrays of bits


@compiled
def sums(x: Array, y: Array, sign: int) -> Array:
    """Computes x + y where `sign` is 0, and x − y where it is SIGN."""
    out, total = np.empty(x.size, np.int64), np.zeros(SIZE, np.int64)
    for at in range(x.size):
        total[:] = 0
        put_float(total, x[at])
        put_float(total, y[at] ^ sign if y[at] else 0)
        out[at] = total_bits(total, 1)
    return out


@compiled
def products(x: Array, y: Array) -> Array:
    out, total = np.empty(x.size, np.int64), np.zeros(SIZE, np.int64)
    for at in range(x.size):
        total[:] = 0
        put_product(total, x[at], y[at])
        out[at] = total_bits(total, 1)
    return out


@compiled
def quotients(x: Array, y: Array) -> Array:
    out = np.empty(x.size, np.int64)
    for at in range(x.size):
        out[at] = div_bits(x[at], y[at])
    return out


@compiled
def remainders(x: Array, y: Array) -> Array:
    out = np.empty(x.size, np.int64)
    for at in range(x.size):
        out[at] = mod_bits(x[at], y[at])
    return out


@compiled
def quantizations(x: Array, scale: Array, zero: Array, low: int, high: int) -> Array:
    out = np.empty(x.size, np.int64)
    for at in range(x.size):
        out[at] = quantized(x[at], scale[at], zero[at], low, high)
    return out


@compiled
def whole_numbers(x: Array) -> Array:
    """Rounds int64 to float32."""
    out = np.empty(x.size, np.int64)
    for at in range(x.size):
        n = x[at]
        if n == -(1 << 63):
            out[at] = 0xDF000000
            continue
        size, more, e = abs(n), False, 0
        while size >= 1 << 61:
            size, more, e = size >> 1, more or size & 1 == 1, e + 1
        out[at] = whole_bits(size, e, more, n < 0)
    return out


@compiled
def dots(a: Array, b: Array, bias: Array) -> Array:
    """Computes a [G, M, K] · b [G, N, K]ᵀ + bias [G, M, N]."""
    out, total = np.empty(bias.shape, np.int64), np.zeros(SIZE, np.int64)
    for g in range(bias.shape[0]):
        for i in range(bias.shape[1]):
            for j in range(bias.shape[2]):
                total[:] = 0
                put_float(total, bias[g, i, j])
                for k in range(a.shape[2]):
                    put_product(total, a[g, i, k], b[g, j, k])
                out[g, i, j] = total_bits(total, 1)
    return out


@compiled
def row_sums(x: Array, divisor: int) -> Array:
    out, total = np.empty(len(x), np.int64), np.zeros(SIZE, np.int64)
    for row in range(len(x)):
        total[:] = 0
        for k in range(x.shape[1]):
            put_float(total, x[row, k])
        out[row] = total_bits(total, divisor)
    return out


@compiled
def running_sums(x: Array) -> Array:
    out, total = np.empty(x.shape, np.int64), np.zeros(SIZE, np.int64)
    for row in range(len(x)):
        total[:] = 0
        for k in range(x.shape[1]):
            put_float(total, x[row, k])
            out[row, k] = total_bits(total.copy(), 1)
    return out


@compiled
def convolved(x: Array, w: Array, bias: Array, places: Array, group: int) -> Array:
    """Convolves x [N, P, C] with w [O, T, C/group] and a bias [O]. `places` [windows, T] has the
    element under each tap, or −1."""
    outputs, channels = w.shape[0], w.shape[2]
    out = np.empty((len(x), len(places), outputs), np.int64)
    total = np.zeros(SIZE, np.int64)
    for n in range(len(x)):
        for window in range(len(places)):
            for o in range(outputs):
                total[:] = 0
                put_float(total, bias[o])
                first = o // (outputs // group) * channels
                for tap in range(places.shape[1]):
                    at = places[window, tap]
                    if at >= 0:
                        for c in range(channels):
                            put_product(total, x[n, at, first + c], w[o, tap, c])
                out[n, window, o] = total_bits(total, 1)
    return out


@compiled
def averaged(x: Array, places: Array, counts: Array) -> Array:
    out = np.empty((len(x), len(places), x.shape[2]), np.int64)
    total = np.zeros(SIZE, np.int64)
    for n in range(len(x)):
        for window in range(len(places)):
            for c in range(x.shape[2]):
                total[:] = 0
                for tap in range(places.shape[1]):
                    if places[window, tap] >= 0:
                        put_float(total, x[n, places[window, tap], c])
                out[n, window, c] = total_bits(total, counts[window])
    return out


@compiled
def scattered(data: Array, places: Array, updates: Array) -> Array:
    """Sums each element of data [n, inner] and the updates [m, inner] that are put there."""
    out = np.empty(data.shape, np.int64)
    totals = np.zeros((data.shape[0], data.shape[1], SIZE), np.int64)
    for row in range(data.shape[0]):
        for column in range(data.shape[1]):
            put_float(totals[row, column], data[row, column])
    for row in range(len(places)):
        for column in range(data.shape[1]):
            put_float(totals[places[row], column], updates[row, column])
    for row in range(data.shape[0]):
        for column in range(data.shape[1]):
            out[row, column] = total_bits(totals[row, column], 1)
    return out


@compiled
def keys(x: Array) -> Array:
    """Turns bits into integers that sort as the numbers do, NaN on top."""
    out = np.empty(x.size, np.int64)
    flat = x.reshape(-1)
    for at in range(x.size):
        size = flat[at] & 0x7FFFFFFF
        out[at] = 1 << 40 if size > INF else -size if flat[at] & SIGN else size
    return out.reshape(x.shape)


@compiled
def walked(x: Array, nodes: Array, roots: Array) -> Array:
    """Walks all rows of x [N, F] through all trees, and gives the leaves' results [N, T]. x and
    thresholds are bits."""
    out = np.empty((len(x), len(roots)), np.int64)
    for row in range(len(x)):
        for tree in range(len(roots)):
            at = roots[tree]
            while nodes[at, 2] != at:
                value, threshold = x[row, nodes[at, 0]], nodes[at, 1] & _MASK
                a, b = value & 0x7FFFFFFF, threshold & 0x7FFFFFFF
                if a > INF:
                    at = nodes[at, 4]
                else:
                    left = -a if value & SIGN else a
                    right = -b if threshold & SIGN else b
                    at = nodes[at, 3] if left > right and b <= INF else nodes[at, 2]
            out[row, tree] = nodes[at, 5]
    return out
