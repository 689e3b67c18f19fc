"""ExactSum.sol against the plain kernels of DOT and the sums, and against exact rationals."""

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pytest

from oracle.exact.program import Op
from oracle.tensor import Array
from tests.oracles import exact_dot, exact_sum, plain, rounded
from tests.parity import words
from tests.parity.conftest import Load

LENGTHS = (1, 2, 3, 7, 8, 9, 31, 64, 65, 300)


def normal(rng: np.random.Generator, count: int) -> Array:
    return rng.standard_normal(count).astype(np.float32).view(np.uint32)


def sparse(rng: np.random.Generator, count: int) -> Array:
    """As after a Relu: half of them zero."""
    return np.maximum(normal(rng, count).view(np.float32), 0).view(np.uint32)


def finite(rng: np.random.Generator, count: int) -> Array:
    """Every exponent, so that hardly a product is near another."""
    bits = rng.integers(0, 0x7F800000, count, dtype=np.uint32)
    return words.canonical(bits | rng.integers(0, 2, count, dtype=np.uint32) << np.uint32(31))


def subnormal(rng: np.random.Generator, count: int) -> Array:
    return np.where(rng.random(count) < 0.5, finite(rng, count) & 0x7FFFFF, normal(rng, count))


def edges(rng: np.random.Generator, count: int) -> Array:
    """Exponents around those where what is near begins and ends."""
    field = rng.choice([63, 95, 96, 127, 131, 132, 133, 137], count)
    return (field.astype(np.uint32) << np.uint32(23)) | rng.choice([0, 1, 0x7FFFFF], count).astype(
        np.uint32
    )


def special(rng: np.random.Generator, count: int) -> Array:
    """Mostly numbers, and now and then an infinity, NaN or zero."""
    rare = rng.choice([0x7F800000, 0xFF800000, 0x7FC00000, 0, 0x7F800000], count)
    return np.where(rng.random(count) < 1.5 / count, rare, normal(rng, count)).astype(np.uint32)


KINDS = [normal, sparse, finite, subnormal, edges, special, words.few_bits]


@pytest.mark.parametrize("rows", [12, pytest.param(200, marks=pytest.mark.long)])
@pytest.mark.parametrize("kind", KINDS)
def test_dots_agree_with_the_plain_kernel(
    evm: Load, kind: object, rows: int, rng: np.random.Generator
) -> None:
    """Of rows one after the other, so that they begin at any byte and end before other numbers."""
    for length in LENGTHS:
        a, b = kind(rng, rows * length), kind(rng, rows * length)  # type: ignore[operator]

        got = evm("SumParity").call("dots", words.big_endian(a), words.big_endian(b), length)

        x, y = (v.view(np.float32).reshape(rows, 1, length) for v in (a, b))
        assert plain(Op.DOT, [x, y]).view(np.uint32).ravel().tolist() == list(got)


@pytest.mark.parametrize("kind", KINDS)
def test_dots_agree_with_rationals(evm: Load, kind: object, rng: np.random.Generator) -> None:
    for length in (1, 9, 40):
        a, b = kind(rng, 20 * length), kind(rng, 20 * length)  # type: ignore[operator]

        got = evm("SumParity").call("dots", words.big_endian(a), words.big_endian(b), length)

        x, y = (v.view(np.float32).reshape(20, length).tolist() for v in (a, b))
        assert [exact_dot(p, q) for p, q in zip(x, y, strict=True)] == list(got)


def dot(evm: Load, a: Array, b: Array, bias: int = 0) -> tuple[int, int]:
    result, gas = evm("SumParity").call(
        "dot", words.big_endian(a), words.big_endian(b), 0, 0, len(a), bias
    )
    return result, gas


@pytest.mark.parametrize("kind", [normal, sparse, finite])
@pytest.mark.parametrize("length", [4_096, 14_336])
def test_long_dot_with_bias_is_exact(
    evm: Load, kind: object, length: int, rng: np.random.Generator
) -> None:
    a, b, bias = kind(rng, length), kind(rng, length), normal(rng, 1)  # type: ignore[operator]

    result, gas = dot(evm, a, b, int(bias[0]))

    x, y = a.view(np.float32).tolist(), b.view(np.float32).tolist()
    assert result == exact_dot(x, y, bias.view(np.float32).tolist()[0])
    assert gas / length < (120 if kind is not finite else 500)


@pytest.mark.parametrize("y", [0x42FFFFFF, 0xC2FFFFFF])
def test_dot_of_more_than_fit_what_is_near(evm: Load, y: int) -> None:
    """Of the largest near products, all of one sign."""
    count, x = 2**17 + 9, 0x41FFFFFF

    result = evm("SumParity").call("repeated", x, y, count)

    a, b = np.array([x, y], np.uint32).view(np.float32).tolist()
    assert result == rounded(count * Fraction(a) * Fraction(b))


@pytest.mark.parametrize("exponent", [-149, -126, -60, 0, 40, 100, 127])
def test_dot_cancels_to_the_last_bit(evm: Load, exponent: int, rng: np.random.Generator) -> None:
    """All but one of the products cancel, in an order that mixes them."""
    with np.errstate(over="ignore"):
        scale = np.float32(np.ldexp(1.0, exponent))
    x = finite(rng, 200)
    y = finite(rng, 200)
    order = rng.permutation(401)
    a = np.concatenate([x, x, [scale.view(np.uint32)]]).astype(np.uint32)[order]
    b = np.concatenate([y, y ^ np.uint32(1 << 31), [np.uint32(1)]]).astype(np.uint32)[order]

    result, _ = dot(evm, a, words.canonical(b))

    assert result == exact_dot([float(scale)], [2.0**-149])


def test_dot_ignores_what_lies_around(evm: Load, rng: np.random.Generator) -> None:
    for offset in range(0, 33):
        around = np.full(40, 0x7FC00000, np.uint32).tobytes()[:offset]
        x, y = normal(rng, 11), normal(rng, 11)
        a = around + words.big_endian(x) + bytes([0xFF] * 40)
        b = words.big_endian(y) + bytes([0x7F] * 40)

        result, _ = evm("SumParity").call("dot", a, b, offset, 0, 11, 0)

        assert result == exact_dot(x.view(np.float32).tolist(), y.view(np.float32).tolist())


@pytest.mark.parametrize(
    ("terms", "expected"),
    [
        ([0x7F800000, 0x3F800000], 0x7F800000),
        ([0xFF800000, 0x7F7FFFFF], 0xFF800000),
        ([0x7F800000, 0xFF800000], 0x7FC00000),
        ([0x7FC00000, 0x7F800000], 0x7FC00000),
        ([0xFFC00001], 0x7FC00000),
        ([0x80000000], 0),
        ([0x80000000, 0x80000000], 0),
        ([0x3F800000, 0xBF800000], 0),
        ([0x00000001, 0x80000001], 0),
        ([0x7F7FFFFF, 0x73000000], 0x7F800000),  # 2^128 − 2^103 and all above
        ([0x7F7FFFFF, 0x72FFFFFF], 0x7F7FFFFF),
        ([0x7F7FFFFF, 0x7F7FFFFF, 0xFF7FFFFF], 0x7F7FFFFF),
        ([], 0),
    ],
)
def test_sum_of_special_terms(evm: Load, terms: Sequence[int], expected: int) -> None:
    row = words.big_endian(terms)
    ones = words.big_endian([0x3F800000] * len(terms))

    result, _ = evm("SumParity").call("dot", row, ones, 0, 0, len(terms), 0)

    assert result == expected
    if terms:
        assert evm("SumParity").call("quotients", row, len(terms), 1)[0] == (expected,)


@pytest.mark.parametrize(
    ("x", "y", "expected"),
    [
        (0x7F800000, 0, 0x7FC00000),
        (0x80000000, 0xFF800000, 0x7FC00000),
        (0x7F800000, 0xC0000000, 0xFF800000),
        (0xFF800000, 0xFF800000, 0x7F800000),
        (0x7FC00000, 0, 0x7FC00000),
        (0x7F800000, 1, 0x7F800000),
        (0x7F7FFFFF, 0x7F7FFFFF, 0x7F800000),
        (1, 1, 0),
        (1, 0x3F000000, 0),
        (1, 0x3F000001, 1),
        (3, 0x3F000000, 2),
    ],
)
def test_dot_of_special_products(evm: Load, x: int, y: int, expected: int) -> None:
    for at in (0, 5, 8):
        a = np.full(13, 0, np.uint32)
        a[at] = x
        b = np.full(13, 0x3F800000, np.uint32)
        b[at] = y

        assert dot(evm, a, b)[0] == expected


@pytest.mark.parametrize("rows", [30, pytest.param(3_000, marks=pytest.mark.long)])
@pytest.mark.parametrize("kind", KINDS)
def test_means_agree_with_the_plain_kernel(
    evm: Load, kind: object, rows: int, rng: np.random.Generator
) -> None:
    for length in (1, 3, 10, 49, 77):
        a = kind(rng, rows * length)  # type: ignore[operator]

        got, _ = evm("SumParity").call("quotients", words.big_endian(a), length, length)

        x = a.view(np.float32).reshape(rows, length)
        assert plain(Op.REDUCE_MEAN, [x]).view(np.uint32).tolist() == list(got)


def test_quotients_agree_with_rationals(evm: Load, rng: np.random.Generator) -> None:
    """Divisors that leave midpoints, and none."""
    for divisor in (1, 2, 3, 4, 6, 7, 1 << 20, (1 << 24) - 1, 1 << 32):
        a = np.concatenate([words.few_bits(rng, 400), finite(rng, 100)])

        got, _ = evm("SumParity").call("quotients", words.big_endian(a), 5, divisor)

        rows = a.view(np.float32).reshape(100, 5).tolist()
        assert [exact_sum(row, divisor) for row in rows] == list(got)


def test_every_upper_half_sums_to_itself(evm: Load, rng: np.random.Generator) -> None:
    """All signs, exponents and upper bits of the significand: decoded, placed, rounded."""
    upper = np.arange(1 << 16, dtype=np.uint32) << np.uint32(16)
    x = words.canonical(upper | rng.integers(0, 1 << 16, 1 << 16, dtype=np.uint32))

    for part in np.split(x, 4):
        got, _ = evm("SumParity").call("quotients", words.big_endian(part), 1, 1)

        assert part.tolist() == list(got)


def test_quotient_by_zero_is_nan(evm: Load) -> None:
    assert evm("SumParity").call("quotients", words.big_endian([0]), 1, 0)[0] == (0x7FC00000,)


@pytest.mark.parametrize("kind", KINDS)
def test_running_sums_agree_with_cum_sum(evm: Load, kind: object, rng: np.random.Generator) -> None:
    a = kind(rng, 60)  # type: ignore[operator]

    got = evm("SumParity").call("running", words.big_endian(a))

    x = a.view(np.float32).reshape(1, 60)
    assert plain(Op.CUM_SUM, [x]).view(np.uint32).ravel().tolist() == list(got)
