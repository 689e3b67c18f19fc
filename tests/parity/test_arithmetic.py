"""Arithmetic.sol and Rounding.sol against the plain rules, and against exact rationals."""

from fractions import Fraction

import numpy as np
import pytest

from oracle.exact import float32
from oracle.exact.ops import elementwise
from oracle.exact.program import Op
from oracle.tensor import Array
from oracle.types import DType
from tests.oracles import binary, function, rounded
from tests.parity import words
from tests.parity.conftest import Load

BINARY = {
    "add": elementwise.add,
    "sub": elementwise.sub,
    "mul": elementwise.mul,
    "div": elementwise.div,
    "mod": elementwise.mod,
    "maximum": elementwise.maximum,
    "minimum": elementwise.minimum,
    "less": elementwise.less,
    "equal": elementwise.equal,
}
UNARY = {
    "sqrt": elementwise.sqrt,
    "neg": float32.negated,
    "abs": elementwise.absolute,
}
COUNTS = [2_000, pytest.param(100_000, marks=pytest.mark.long)]


def pairs(rng: np.random.Generator, count: int) -> tuple[Array, Array]:
    """All pairs of nasty numbers; random ones, some with exponents close together; midpoints."""
    nasty = words.nasty()[::3]
    x, y = np.meshgrid(nasty, nasty)
    a, b = words.uniform(rng, count), words.uniform(rng, count)
    close = (a & 0x7F800000) | (b & 0x807FFFFF)
    few = words.few_bits(rng, count), words.few_bits(rng, count)
    return (
        np.concatenate([x.ravel(), a, a, few[0]]),
        np.concatenate([y.ravel(), b, words.canonical(close), few[1]]),
    )


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("name", BINARY)
def test_binary_agrees_with_the_plain_rule(
    evm: Load, name: str, count: int, rng: np.random.Generator
) -> None:
    x, y = pairs(rng, count)

    got, _ = evm("ArithmeticParity").map(name, x.tolist(), y.tolist())

    assert words.differing(BINARY[name], got, x.tolist(), y.tolist()) == []


@pytest.mark.parametrize("op", [Op.ADD, Op.SUB, Op.MUL, Op.DIV])
def test_binary_agrees_with_rationals(evm: Load, op: Op, rng: np.random.Generator) -> None:
    x, y = pairs(rng, 500)
    oracle = binary(op)

    got, _ = evm("ArithmeticParity").map(op.name.lower(), x.tolist(), y.tolist())

    floats = zip(x.view(np.float32).tolist(), y.view(np.float32).tolist(), strict=True)
    assert [oracle(a, b) for a, b in floats] == got


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("name", UNARY)
def test_unary_agrees_with_the_plain_rule(
    evm: Load, name: str, count: int, rng: np.random.Generator
) -> None:
    x = np.concatenate([words.nasty(), words.uniform(rng, count), words.few_bits(rng, count)])

    got, _ = evm("ArithmeticParity").map(name, x.tolist())

    assert words.differing(UNARY[name], got, x.tolist()) == []


def test_sqrt_of_squares_and_their_neighbours(evm: Load, rng: np.random.Generator) -> None:
    root = rng.integers(1 << 11, 1 << 12, 2_000).astype(np.float32)
    square = (root * root).view(np.uint32)
    x = np.concatenate([square - 1, square, square + 1])
    oracle = function(Op.SQRT)

    got, _ = evm("ArithmeticParity").map("sqrt", x.tolist())

    assert [oracle(value) for value in x.view(np.float32).tolist()] == list(got)


def test_canonical_reads_any_bits(evm: Load, rng: np.random.Generator) -> None:
    x = np.concatenate(
        [[0x80000000, 0xFFC00000, 0x7F800001, 0xFFFFFFFF], rng.integers(0, 1 << 32, 2_000)]
    ).astype(np.uint32)

    got, _ = evm("ArithmeticParity").map("canonical", x.tolist())

    assert words.canonical(x).tolist() == list(got)


RANGES = {
    DType.INT64: (-(1 << 63), (1 << 63) - 1),
    DType.INT32: (-(1 << 31), (1 << 31) - 1),
    DType.INT8: (-128, 127),
    DType.UINT8: (0, 255),
}


@pytest.mark.parametrize("dtype", RANGES)
def test_to_integer_agrees_with_cast(evm: Load, dtype: DType, rng: np.random.Generator) -> None:
    x = np.concatenate(
        [words.nasty(), words.uniform(rng, 1_000), words.between(rng, 0.1, 2.0**66, 2_000)]
    )

    got = evm("ArithmeticParity").call("toInteger", x.tolist(), *RANGES[dtype])

    expected = [elementwise.cast(word, DType.FLOAT, dtype) for word in x.tolist()]
    assert expected == list(got)


def test_from_integer_agrees_with_rationals(evm: Load, rng: np.random.Generator) -> None:
    bits = rng.integers(1, 64, 4_000).tolist()
    x = [
        int(n) >> (63 - b)
        for n, b in zip(rng.integers(-(1 << 62), 1 << 62, 4_000), bits, strict=True)
    ]
    x += [sign * ((1 << p) + d) for p in range(70) for d in (-1, 0, 1) for sign in (-1, 1)]
    x += [(2 * k + 1) << p for p in range(40) for k in ((1 << 24) - 1, 1 << 23, (1 << 23) + 1)]

    got = evm("ArithmeticParity").call("fromInteger", x)

    assert [rounded(Fraction(n)) for n in x] == list(got)


def test_round_to_integer_takes_ties_to_even(evm: Load, rng: np.random.Generator) -> None:
    halves = (np.arange(-2_000, 2_000) / np.float32(2)).astype(np.float32).view(np.uint32)
    x = np.concatenate([words.nasty(), words.between(rng, 0.01, 2.0**30, 2_000), halves])

    got = evm("ArithmeticParity").call("roundToInteger", x.tolist())

    assert [_nearest(word) for word in x.tolist()] == list(got)


def _nearest(x: int) -> int:
    if float32.is_nan(x):
        return 0
    if float32.is_inf(x):
        return -(1 << 128) if x & float32.SIGN else 1 << 128
    m, e = float32.split(x)
    return round(Fraction(m) * Fraction(2) ** e)


@pytest.mark.parametrize("bits", [11, pytest.param(16, marks=pytest.mark.long)])
def test_round_of_every_short_significand(evm: Load, bits: int) -> None:
    """At every exponent where these meet an edge of the format."""
    low = list(range(1 << bits))
    for exponent in (*range(-151 - bits, -136), *range(124 - bits, 130)):
        _rounds_alike(evm, [0] * len(low), low, [exponent] * len(low))


@pytest.mark.parametrize("count", COUNTS)
def test_round_agrees_with_the_plain_rule(evm: Load, count: int, rng: np.random.Generator) -> None:
    """Significands of any length, of midpoints and their neighbours, at any exponent."""
    wide, exponents = [], []
    for _ in range(count):
        length, shift = int(rng.integers(1, 30)), int(rng.integers(0, 482))
        n = (int(rng.integers(1 << 30)) >> (30 - length)) << shift
        n += int(rng.choice([0, 0, 1, -1])) if n > 1 else 0
        wide.append(n % (1 << 512))
        exponents.append(int(rng.integers(-180, 140)) - int(rng.choice([0, n.bit_length()])))
    _rounds_alike(evm, [n >> 256 for n in wide], [n % (1 << 256) for n in wide], exponents)


def _rounds_alike(evm: Load, high: list[int], low: list[int], exponents: list[int]) -> None:
    contract, at_once = evm("ArithmeticParity"), 4_000
    for at in range(0, len(low), at_once):
        part = slice(at, at + at_once)
        numbers = list(zip(high[part], low[part], exponents[part], strict=True))
        negative = [i % 3 == 0 for i in range(len(numbers))]
        got = contract.call("round", negative, high[part], low[part], exponents[part])
        expected = [
            float32.of_scaled(-((h << 256) + w) if minus else (h << 256) + w, e)
            for minus, (h, w, e) in zip(negative, numbers, strict=True)
        ]
        assert expected == list(got)


def test_bit_length_around_every_power_of_two(evm: Load) -> None:
    x = [max(0, (1 << p) + d) % (1 << 256) for p in range(257) for d in (-1, 0, 1)]

    got = evm("ArithmeticParity").call("bitLength", x)

    assert [n.bit_length() for n in x] == list(got)
