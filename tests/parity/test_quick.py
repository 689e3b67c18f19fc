"""Quick.sol and QuickFunctions.sol against the plain rules and libraries, bit by bit."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from oracle.exact import float32
from oracle.exact.ops import elementwise, transcendental
from oracle.tensor import Array
from tests.parity import words
from tests.parity.conftest import Load
from tests.parity.test_functions import next_to_midpoints

CONTRACT = "QuickParity"
BINARY: dict[str, Callable[[int, int], int]] = {
    "add": elementwise.add,
    "sub": elementwise.sub,
    "mul": elementwise.mul,
    "div": elementwise.div,
}
COUNTS = [4_000, pytest.param(100_000, marks=pytest.mark.long)]


def pairs(rng: np.random.Generator, name: str, count: int) -> Iterator[tuple[Array, Array]]:
    """All pairs of nasty numbers, and random ones of each kind that is hard for some operation."""
    x, y = np.meshgrid(words.nasty(), words.nasty())
    yield x.ravel(), y.ravel()
    a, b = words.uniform(rng, count), words.uniform(rng, count)
    yield a, b
    yield words.few_bits(rng, count), words.few_bits(rng, count)
    # As networks have them.
    yield bits(rng.normal(size=count)), bits(rng.normal(size=count) * 3)
    if name in ("add", "sub"):
        yield a, near(rng, a, 30)
        yield from sums(rng, count)
    else:
        yield from edges(rng, name, count)
        yield from midpoints(rng, name, count)


def bits(x: Array) -> Array:
    return words.canonical(x.astype(np.float32).view(np.uint32))


def near(rng: np.random.Generator, x: Array, distance: int) -> Array:
    """Of either sign, with exponents that differ by `distance` at most."""
    field = (x >> 23 & 0xFF).astype(np.int64) + rng.integers(-distance, distance + 1, x.size)
    rest = rng.integers(0, 1 << 32, x.size, dtype=np.uint32) & np.uint32(0x807FFFFF)
    return words.canonical(np.clip(field, 0, 255).astype(np.uint32) << np.uint32(23) | rest)


def sums(rng: np.random.Generator, count: int) -> Iterator[tuple[Array, Array]]:
    """What cancels, all of it or nearly; ties and what is next to them; around what is a power of
    two; at every distance of exponents."""
    x = words.uniform(rng, count)
    minus = x ^ np.uint32(1 << 31)
    yield x, words.canonical(minus + rng.integers(-9, 10, count).astype(np.uint32))
    yield x, words.canonical(minus)
    # Half a place of x, or a quarter, or an eighth: below a power of two that is another half.
    field = rng.integers(20, 255, count)
    fraction = rng.choice([0, 1, 2, 0x7FFFFE, 0x7FFFFF, 0x400000], count)
    x = field << 23 | fraction | rng.integers(0, 2, count) << 31
    y = np.clip(field - rng.integers(21, 30, count), 0, 255) << 23
    y = np.maximum(y + rng.integers(-2, 3, count), 0) | rng.integers(0, 2, count) << 31
    yield words.canonical(x), words.canonical(y)
    # Where the quick way begins and ends.
    field = rng.choice([24, 25, 26, 27, 28, 252, 253, 254], count)
    x = words.canonical(field << 23 | fractions(rng, count) | rng.integers(0, 2, count) << 31)
    yield x, near(rng, x, 3)
    yield x, words.canonical(rng.integers(0, 1 << 24, count) | rng.integers(0, 2, count) << 31)


def edges(rng: np.random.Generator, name: str, count: int) -> Iterator[tuple[Array, Array]]:
    """Results around the smallest numbers, the smallest normal one and the largest; exponents where
    each way begins and ends."""
    for middle in (-23, 1, 254):
        e = rng.integers(1, 255, count)
        f = middle + 127 - e if name == "mul" else e + 127 - middle
        f = np.clip(f + rng.integers(-2, 3, count), 0, 254)
        yield tuple(  # type: ignore[misc]
            words.canonical(field << 23 | fractions(rng, count) | rng.integers(0, 2, count) << 31)
            for field in (e, f)
        )
    ends = [0, 1, 2, 79, 80, 81, 142, 143, 144, 253, 254, 255]
    yield tuple(  # type: ignore[misc]
        words.canonical(rng.choice(ends, count) << 23 | fractions(rng, count)) for _ in range(2)
    )


def fractions(rng: np.random.Generator, count: int) -> Array:
    some = rng.integers(0, 1 << 23, count)
    return np.where(rng.random(count) < 0.3, rng.choice([0, 1, 0x7FFFFF], count), some)


def midpoints(rng: np.random.Generator, name: str, count: int) -> Iterator[tuple[Array, Array]]:
    """Products halfway between two numbers, and next to that: of odd significands whose bits are 25
    together. Quotients are never there, but some come close: (2k + 1) / 2 times a divisor."""
    m = rng.integers(1 << 11, 1 << 13, count) | 1
    n = (rng.integers(1 << 24, 1 << 25, count) // m) | 1
    x, y = bits(m), bits(n)
    if name == "div":
        x = bits((rng.integers(1 << 24, 1 << 25, count) | 1).astype(np.float64) * m)
    yield x, y if name == "mul" else bits(m)
    yield x + rng.integers(-1, 2, count).astype(np.uint32), y if name == "mul" else bits(m)


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("name", BINARY)
def test_quick_arithmetic_agrees_with_the_plain_rule(
    evm: Load, name: str, count: int, rng: np.random.Generator
) -> None:
    kinds = list(pairs(rng, name, count))
    x, y = (np.concatenate(side).tolist() for side in zip(*kinds, strict=True))

    got, _ = evm(CONTRACT).map(name, x, y)

    assert words.differing(BINARY[name], got, x, y) == []


@pytest.mark.parametrize("count", [10_000, pytest.param(100_000, marks=pytest.mark.long)])
def test_quick_sqrt_agrees_with_the_plain_rule(
    evm: Load, count: int, rng: np.random.Generator
) -> None:
    root = rng.integers(1 << 11, 1 << 12, count).astype(np.float32)
    square = (root * root).view(np.uint32)
    near_square = square + rng.integers(-1, 2, count).astype(np.uint32)
    near_power = rng.integers(0, 256, count) << 23
    near_power = np.maximum(near_power + rng.integers(-2, 3, count), 0)
    kinds = [words.nasty(), words.uniform(rng, count) & np.uint32((1 << 31) - 1)]
    kinds += [words.canonical(near_power), near_square, words.few_bits(rng, count)]
    x = np.concatenate(kinds).tolist()

    got, _ = evm(CONTRACT).map("sqrt", x)

    assert words.differing(elementwise.sqrt, got, x) == []


def scaled(rng: np.random.Generator, count: int) -> Iterator[tuple[int, int]]:
    """Numbers of every length: short ones at any place, so often halfway between two floats, and
    what is next to them; results around the ends of the format more often than not."""
    for _ in range(count):
        length, zeros = int(rng.integers(1, 30)), int(rng.integers(0, 226))
        n = ((1 << length - 1) + (int(rng.integers(1 << 29)) >> (30 - length))) << zeros
        n += int(rng.choice([0, 0, 1, -1]))
        n = min(n, (1 << 255) - 1)
        end = int(rng.choice([-150, -149, -126, -100, 0, 127, 128]))
        exponent = end - n.bit_length() + int(rng.integers(-3, 4))
        if rng.random() < 0.3:
            exponent = int(rng.integers(-700, 701))
        yield (n if rng.random() < 0.5 else -n), max(-700, min(exponent, 700))


@pytest.mark.parametrize("count", [20_000, pytest.param(200_000, marks=pytest.mark.long)])
def test_quick_round_agrees_with_the_plain_rule(
    evm: Load, count: int, rng: np.random.Generator
) -> None:
    numbers = list(scaled(rng, count))
    numbers += [(0, e) for e in (-700, -125, 0, 127, 700)]
    numbers += [(n << up, -40) for n in range(256) for up in range(0, 247, 8)]
    numbers += [
        (s * ((1 << p) + d), e)
        for s in (1, -1)
        for p in range(1, 255)
        for d in (-1, 0, 1)
        for e in (-p, -126 - p, 128 - p)
    ]
    got: list[int] = []
    for at in range(0, len(numbers), 4_000):
        part = numbers[at : at + 4_000]
        got += evm(CONTRACT).call("round", *map(list, zip(*part, strict=True)))[0]

    wrong = [
        (n, e, value)
        for (n, e), value in zip(numbers, got, strict=True)
        if float32.of_scaled(n, e) != value
    ]
    assert wrong[:5] == []


# Where the function is computed and not known, but for a binade on either side; where the quick way
# of it begins and ends, as bits.
FUNCTIONS: dict[str, tuple[Callable[[int], int], float, float, tuple[int, ...]]] = {
    "exp": (transcendental.exp, 2.0**-27, 120, (0x32800000, 0x42AE0000)),
    "sigmoid": (transcendental.sigmoid, 2.0**-26, 120, (0x33000000, 0x41900000, 0x42AE0000)),
    "tanh": (transcendental.tanh, 2.0**-14, 12, (0x39000000, 0x3F000000, 0x3F800000, 0x41200000)),
    "erf": (transcendental.erf, 2.0**-127, 5, (0x00800000, 0x3F800000, 0x40000000, 0x40800000)),
    "log": (transcendental.log, 2.0**-127, np.inf, (0x00800000, 0x3FB504F3, 0x3F3504F3)),
}


def arguments(rng: np.random.Generator, name: str, count: int) -> Array:
    _, low, high, ends = FUNCTIONS[name]
    beside = np.array(ends)[:, None] + np.arange(-40, 41)
    either = np.concatenate([beside.ravel(), beside.ravel() | 1 << 31])
    kinds = [
        words.nasty(),
        words.canonical(either),
        words.between(rng, low, high, count),
        words.between(rng, 2.0**-6, 8, count),
        words.few_bits(rng, count),
        bits(rng.normal(size=count) * rng.choice([0.7, 3, 20], count)),
        next_to_midpoints(rng, name, count // 4),
    ]
    if name == "log":
        kinds += [0x3F800000 + rng.integers(-count, count, count)]
    return np.concatenate(kinds).astype(np.uint32)


@pytest.mark.parametrize("count", [4_000, pytest.param(100_000, marks=pytest.mark.long)])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_quick_function_agrees_with_the_plain_rule(
    evm: Load, name: str, count: int, rng: np.random.Generator
) -> None:
    x = arguments(rng, name, count).tolist()

    got, _ = evm(CONTRACT).map(name, x)

    assert words.differing(FUNCTIONS[name][0], got, x) == []


@pytest.mark.parametrize("name", FUNCTIONS)
def test_quick_function_of_usual_arguments_takes_little(
    evm: Load, name: str, rng: np.random.Generator
) -> None:
    """Not what the plain libraries take, which would be right as well."""
    x = words.between(rng, 2.0**-10, 3.9, 400)
    if name == "log":
        x &= np.uint32((1 << 31) - 1)

    _, gas = evm(CONTRACT).map(name, x.tolist())

    assert max(gas) <= (8_000 if name == "erf" else 1_300)
