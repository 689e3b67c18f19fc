"""Log1p, Sin, Cos, Atan, Pow: fast = plain = mpmath with enough bits."""

from collections.abc import Callable
from fractions import Fraction
from math import inf, isinf, isnan, log2

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oracle.exact.program import Op
from oracle.tensor import Array, canonical
from tests.oracles import NAN, bits, fast, floats, nasty, plain, rounded, same
from tests.unit.exact.strategies import vectors

ONE, INF, MINUS_INF = 0x3F800000, 0x7F800000, 0xFF800000
MPMATH: dict[Op, Callable[[mpmath.mpf], mpmath.mpf]] = {
    Op.LOG1P: mpmath.log1p,
    Op.SIN: mpmath.sin,
    Op.COS: mpmath.cos,
    Op.ATAN: mpmath.atan,
}
AT_INFINITY = {
    Op.LOG1P: (INF, NAN),
    Op.SIN: (NAN, NAN),
    Op.COS: (NAN, NAN),
    Op.ATAN: (0x3FC90FDB, 0xBFC90FDB),
}


def exact(value: mpmath.mpf) -> Fraction:
    sign, mantissa, exponent, _ = value._mpf_
    size = Fraction(int(mantissa)) * Fraction(2) ** exponent
    return -size if sign else size


def function(op: Op, x: float) -> int:
    if isnan(x) or (op is Op.LOG1P and x < -1):
        return NAN
    if isinf(x):
        return AT_INFINITY[op][x < 0]
    if op is Op.LOG1P and x == -1:
        return MINUS_INF
    with mpmath.workprec(600):
        return rounded(exact(MPMATH[op](mpmath.mpf(x))))


def power(x: float, y: float) -> int:
    """As C's pow, whose special cases Python has too, as exceptions where they are not numbers."""
    if x < 0 and isinf(x) is False and not isinf(y) and not isnan(y) and y != int(y):
        return NAN
    if isnan(x) or isnan(y) or isinf(x) or isinf(y) or x == 0 or y == 0 or abs(x) == 1:
        if x == 0 and y < 0:
            return INF
        return bits(canonical(np.array([x**y], np.float32)))[0]
    odd = x < 0 and int(y) % 2 == 1
    scale = y * log2(abs(x))
    if scale > 140:
        return MINUS_INF if odd else INF
    if scale < -160:
        return 0
    with mpmath.workprec(2500):
        size = rounded(exact(mpmath.power(mpmath.mpf(abs(x)), mpmath.mpf(y))))
    return size | 0x80000000 if odd and size else size


def agree(op: Op, *arrays: Array) -> list[int]:
    slow = plain(op, arrays)
    assert same(slow, fast(op, arrays))
    return bits(slow)


def near_multiples_of_half_pi() -> Array:
    """The float32 nearest to a multiple, for multiples of all sizes, and its neighbours."""
    with mpmath.workprec(300):
        half_pi = mpmath.pi / 2
        middle = [
            float(np.float32(float(half_pi * k)))
            for e in range(120)
            for k in (2**e, 3 * 2**e, 5 * 2**e + 1)
            if e < 124
        ]
    words = np.array(middle, np.float32).view(np.int32)
    return np.concatenate([words - 1, words, words + 1]).view(np.float32)


# The float32 whose sine is the smallest, and others near multiples of π/2 (by continued fractions).
HARD_ANGLES = floats([0x6F5E5A91, 0x7E9D4A24, 0x7908CD73, 0x5B5B38D1, 0x40490FDB, 0x43A58C9B])


@pytest.mark.parametrize("op", MPMATH)
def test_functions_agree_with_mpmath_when_numbers_are_nasty(op):
    edges = np.float32(2.0) ** np.arange(-30, -8, dtype=np.float32)
    x = np.concatenate([nasty(), edges, -edges, [-1, -0.99999994, 0.5, -0.5, 2, 1.0000001]])
    x = canonical(x.astype(np.float32))
    assert agree(op, x) == [function(op, value) for value in x.tolist()]


@pytest.mark.parametrize("op", MPMATH)
@given(x=vectors(6))
def test_functions_agree_with_mpmath(op, x):
    assert agree(op, x) == [function(op, value) for value in x.tolist()]


@pytest.mark.parametrize("op", [Op.SIN, Op.COS])
def test_angles_agree_with_mpmath_when_their_sine_or_cosine_is_tiny(op):
    x = canonical(np.concatenate([near_multiples_of_half_pi(), HARD_ANGLES, -HARD_ANGLES]))
    assert agree(op, x) == [function(op, value) for value in x.tolist()]


@pytest.mark.parametrize("op", MPMATH)
def test_functions_agree_when_values_are_ordinary(op):
    rng = np.random.default_rng(op)
    x = (rng.standard_normal(3000) * rng.choice([0.01, 1, 30], 3000)).astype(np.float32)
    agree(op, canonical(x))


def test_pow_agrees_with_mpmath_when_numbers_are_nasty():
    values = nasty()
    agree(Op.POW, values[:, None], values)
    x, y = np.repeat(values, 5), np.resize(values, 5 * len(values))
    assert agree(Op.POW, x, y) == [
        power(*pair) for pair in zip(x.tolist(), y.tolist(), strict=True)
    ]


@given(x=vectors(4), y=vectors(4))
def test_pow_agrees_with_mpmath(x, y):
    x, y = x[: len(y)], y[: len(x)]
    assert agree(Op.POW, x, y) == [
        power(*pair) for pair in zip(x.tolist(), y.tolist(), strict=True)
    ]


@given(
    st.lists(
        st.tuples(
            st.builds(lambda n, s: n / 2**s, st.integers(-5000, 5000), st.integers(0, 12)),
            st.builds(lambda n, s: n / 2**s, st.integers(-20, 20), st.integers(0, 3)),
        ),
        min_size=1,
        max_size=6,
    )
)
def test_pow_agrees_with_mpmath_when_results_may_be_exact_or_midpoints(pairs):
    x, y = canonical(np.array(pairs, np.float32).T)
    assert agree(Op.POW, x, y) == [
        power(*pair) for pair in zip(x.tolist(), y.tolist(), strict=True)
    ]


@pytest.mark.parametrize(
    ("x", "y", "value"),
    [
        (4097.0, 2.0, 4097.0**2),  # 25 bits: a midpoint
        (16777216.0 + 2, 1.0, 16777218.0),
        (2.25, 1.5, 3.375),
        (2.0**-100, 1.25, 2.0**-125),
        (2.0**-149, 1.0, 2.0**-149),
        (0.25, -0.5, 2.0),
        (-8.0, 3.0, -512.0),
        (-8.0, -1.0, -0.125),
        (-inf, 3.0, -inf),
        (-inf, -3.0, 0.0),
        (0.0, -3.0, inf),
        (-1.0, inf, 1.0),
        (1.0, np.nan, 1.0),
        (np.nan, 0.0, 1.0),
        (-8.0, 0.5, np.nan),
        (1.0000001, 2.0**-60, 1.0),
        (1.0000001, 2.0**31, inf),
        (0.99999994, 2.0**31, 0.0),
    ],
)
def test_pow_has_its_exact_values(x, y, value):
    pair = [canonical(np.array([number], np.float32)) for number in (x, y)]
    assert agree(Op.POW, *pair) == bits(canonical(np.array([value], np.float32)))


@pytest.mark.parametrize("exponent", [0.5, -0.5, 2, -1, 1, 0, 3, 1 / 3])
def test_pow_agrees_when_one_exponent_is_for_all(exponent):
    x, y = nasty(), np.array(exponent, np.float32)
    for shape in ((), (1,), (1, 1)):
        agree(Op.POW, x, y.reshape(shape))
    agree(Op.POW, x[:, None], y.reshape(1, 1))


def test_pow_cubes_as_it_should_when_the_exponent_is_constant():
    x = canonical((np.random.default_rng(0).standard_normal(500) * 50).astype(np.float32))
    x = np.concatenate([x, np.round(x), nasty()])
    three = np.array(3, np.float32)
    assert same(plain(Op.POW, [x, three]), fast(Op.POW, [x, three], known=(1,)))


@pytest.mark.long
@pytest.mark.parametrize("op", MPMATH)
def test_functions_agree_with_the_plain_kernels_on_a_million_numbers(op):
    rng = np.random.default_rng(op)
    for _ in range(8):
        words = rng.integers(0, 2**32, 2**17, np.uint32)
        words[::2] = (words[::2] & 0x807FFFFF) | (rng.integers(100, 150, 2**16) << 23).astype(
            np.uint32
        )
        agree(op, canonical(words.view(np.float32)))


@pytest.mark.long
def test_pow_agrees_with_the_plain_kernel_on_a_million_pairs():
    rng = np.random.default_rng(0)
    for _ in range(8):
        x = np.exp(rng.standard_normal(2**17) * 3).astype(np.float32)
        agree(Op.POW, x, (rng.standard_normal(2**17) * 8).astype(np.float32))
