"""float32 to compare by: of every kind, and random ones that fall where it is hard."""

from collections.abc import Callable, Iterable

import numpy as np

from oracle import tensor
from oracle.tensor import Array
from tests.oracles import NASTY


def canonical(bits: Array) -> Array:
    return np.asarray(tensor.canonical(bits.astype(np.uint32).view(np.float32)).view(np.uint32))


def nasty() -> Array:
    """One of each kind and its neighbours."""
    return np.unique(canonical(np.concatenate([NASTY - 1, NASTY, NASTY + 1])))


def uniform(rng: np.random.Generator, count: int) -> Array:
    """Any bits: every exponent as often as any other; canonical, some infinite."""
    return canonical(rng.integers(0, 1 << 32, count, dtype=np.uint32))


def few_bits(rng: np.random.Generator, count: int) -> Array:
    """Significands with few ones or few zeros: sums and products of these are often midpoints."""
    fraction = sum(1 << rng.integers(0, 23, count) for _ in range(2)) & 0x7FFFFF
    fraction = np.where(rng.random(count) < 0.3, fraction ^ 0x7FFFFF, fraction)
    fraction = np.where(rng.random(count) < 0.2, 0, fraction)
    field = np.clip(rng.normal(127, 14, count).round().astype(np.int64), 0, 254)
    sign = rng.integers(0, 2, count) << 31
    return canonical(sign | field << 23 | fraction)


def between(rng: np.random.Generator, low: float, high: float, count: int) -> Array:
    """Every exponent of low <= |x| < high as often as any other, of either sign."""
    ends = np.array([low, high], np.float32).view(np.uint32)
    words = rng.integers(ends[0], ends[1], count, dtype=np.uint32)
    return words | (rng.integers(0, 2, count, dtype=np.uint32) << np.uint32(31))


def big_endian(words: Iterable[int]) -> bytes:
    return np.array(list(words), dtype=">u4").tobytes()


def differing(
    rule: Callable[..., int], got: Iterable[int], *operands: Iterable[int]
) -> list[tuple[str, ...]]:
    """The first operands for which the rule and what was got differ."""
    wrong = []
    for value, *words in zip(got, *operands, strict=True):
        expected = rule(*map(int, words))
        if expected != value:
            wrong.append(tuple(f"{word:08x}" for word in (*words, expected, value)))
            if len(wrong) == 5:
                break
    return wrong
