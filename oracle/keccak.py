"""Keccak-256 of many messages of equal length in one call, for the levels of a tree.

The messages' words with the same index lie side by side, so that LLVM makes vector instructions of
a round: eight permutations at once with AVX-512, four with AVX2. The permutation is that of FIPS
202, the padding Ethereum's: 0x01 … 0x80. Importing this takes as long as numba does.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
from numba import njit

from oracle.tensor import Array

LONGEST = 128
"""The longest message: with its padding it must fit into one block of 136 bytes."""
W = 64
"""The messages side by side: their states take 12.5 KiB, which the first cache holds."""

_CONSTANTS = np.array(
    [
        *(0x0000000000000001, 0x0000000000008082, 0x800000000000808A, 0x8000000080008000),
        *(0x000000000000808B, 0x0000000080000001, 0x8000000080008081, 0x8000000000008009),
        *(0x000000000000008A, 0x0000000000000088, 0x0000000080008009, 0x000000008000000A),
        *(0x000000008000808B, 0x800000000000008B, 0x8000000000008089, 0x8000000000008003),
        *(0x8000000000008002, 0x8000000000000080, 0x000000000000800A, 0x800000008000000A),
        *(0x8000000080008081, 0x8000000000008080, 0x0000000080000001, 0x8000000080008008),
    ],
    np.uint64,
)
F = TypeVar("F", bound=Callable[..., Any])


def _compiled(function: F) -> F:
    return cast(F, njit(cache=True)(function))


def _inlined(function: F) -> F:
    return cast(F, njit(inline="always")(function))


def digests(data: bytes, length: int) -> bytes:
    """Hashes each `length` bytes of `data`, and gives the digests one after another. `length` is a
    positive multiple of 8 up to LONGEST, and divides the length of `data`."""
    assert 0 < length <= LONGEST and length % 8 == 0 and len(data) % length == 0, length
    words = np.frombuffer(data, "<u8").astype(np.uint64, copy=False).reshape(-1, length // 8)
    found = np.empty((len(words), 4), np.uint64)
    _hash(words, found, np.empty(25 * W, np.uint64))
    return found.astype("<u8", copy=False).tobytes()


@_compiled
def _hash(words: Array, found: Array, s: Array) -> None:
    width = words.shape[1]
    for first in range(0, len(words), W):
        count = min(W, len(words) - first)
        for word in range(25):
            for m in range(W):
                given = word < width and m < count
                s[word * W + m] = words[first + m, word] if given else np.uint64(0)
        for m in range(W):
            s[width * W + m] = np.uint64(1)
            s[16 * W + m] ^= np.uint64(1 << 63)
        for constant in _CONSTANTS:
            _round(s, constant)
        for m in range(count):
            for word in range(4):
                found[first + m, word] = s[word * W + m]


@_inlined
def _turned(x: np.uint64, places: int) -> np.uint64:
    """Rotates x to the left."""
    return (x << np.uint64(places)) | (x >> np.uint64(64 - places))


@_compiled
def _round(s: Array, constant: np.uint64) -> None:
    """Applies θ, ρ, π, χ and ι to each column of s. Lane (x, y) is row x + 5y, written out so that
    LLVM knows its offset."""
    for m in range(W):
        c0 = s[0 * W + m] ^ s[5 * W + m] ^ s[10 * W + m] ^ s[15 * W + m] ^ s[20 * W + m]
        c1 = s[1 * W + m] ^ s[6 * W + m] ^ s[11 * W + m] ^ s[16 * W + m] ^ s[21 * W + m]
        c2 = s[2 * W + m] ^ s[7 * W + m] ^ s[12 * W + m] ^ s[17 * W + m] ^ s[22 * W + m]
        c3 = s[3 * W + m] ^ s[8 * W + m] ^ s[13 * W + m] ^ s[18 * W + m] ^ s[23 * W + m]
        c4 = s[4 * W + m] ^ s[9 * W + m] ^ s[14 * W + m] ^ s[19 * W + m] ^ s[24 * W + m]
        d0 = c4 ^ _turned(c1, 1)
        d1 = c0 ^ _turned(c2, 1)
        d2 = c1 ^ _turned(c3, 1)
        d3 = c2 ^ _turned(c4, 1)
        d4 = c3 ^ _turned(c0, 1)
        b0 = s[0 * W + m] ^ d0
        b1 = _turned(s[6 * W + m] ^ d1, 44)
        b2 = _turned(s[12 * W + m] ^ d2, 43)
        b3 = _turned(s[18 * W + m] ^ d3, 21)
        b4 = _turned(s[24 * W + m] ^ d4, 14)
        b5 = _turned(s[3 * W + m] ^ d3, 28)
        b6 = _turned(s[9 * W + m] ^ d4, 20)
        b7 = _turned(s[10 * W + m] ^ d0, 3)
        b8 = _turned(s[16 * W + m] ^ d1, 45)
        b9 = _turned(s[22 * W + m] ^ d2, 61)
        b10 = _turned(s[1 * W + m] ^ d1, 1)
        b11 = _turned(s[7 * W + m] ^ d2, 6)
        b12 = _turned(s[13 * W + m] ^ d3, 25)
        b13 = _turned(s[19 * W + m] ^ d4, 8)
        b14 = _turned(s[20 * W + m] ^ d0, 18)
        b15 = _turned(s[4 * W + m] ^ d4, 27)
        b16 = _turned(s[5 * W + m] ^ d0, 36)
        b17 = _turned(s[11 * W + m] ^ d1, 10)
        b18 = _turned(s[17 * W + m] ^ d2, 15)
        b19 = _turned(s[23 * W + m] ^ d3, 56)
        b20 = _turned(s[2 * W + m] ^ d2, 62)
        b21 = _turned(s[8 * W + m] ^ d3, 55)
        b22 = _turned(s[14 * W + m] ^ d4, 39)
        b23 = _turned(s[15 * W + m] ^ d0, 41)
        b24 = _turned(s[21 * W + m] ^ d1, 2)
        s[0 * W + m] = b0 ^ (~b1 & b2) ^ constant
        s[1 * W + m] = b1 ^ (~b2 & b3)
        s[2 * W + m] = b2 ^ (~b3 & b4)
        s[3 * W + m] = b3 ^ (~b4 & b0)
        s[4 * W + m] = b4 ^ (~b0 & b1)
        s[5 * W + m] = b5 ^ (~b6 & b7)
        s[6 * W + m] = b6 ^ (~b7 & b8)
        s[7 * W + m] = b7 ^ (~b8 & b9)
        s[8 * W + m] = b8 ^ (~b9 & b5)
        s[9 * W + m] = b9 ^ (~b5 & b6)
        s[10 * W + m] = b10 ^ (~b11 & b12)
        s[11 * W + m] = b11 ^ (~b12 & b13)
        s[12 * W + m] = b12 ^ (~b13 & b14)
        s[13 * W + m] = b13 ^ (~b14 & b10)
        s[14 * W + m] = b14 ^ (~b10 & b11)
        s[15 * W + m] = b15 ^ (~b16 & b17)
        s[16 * W + m] = b16 ^ (~b17 & b18)
        s[17 * W + m] = b17 ^ (~b18 & b19)
        s[18 * W + m] = b18 ^ (~b19 & b15)
        s[19 * W + m] = b19 ^ (~b15 & b16)
        s[20 * W + m] = b20 ^ (~b21 & b22)
        s[21 * W + m] = b21 ^ (~b22 & b23)
        s[22 * W + m] = b22 ^ (~b23 & b24)
        s[23 * W + m] = b23 ^ (~b24 & b20)
        s[24 * W + m] = b24 ^ (~b20 & b21)
