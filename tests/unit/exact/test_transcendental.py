"""Exp, Log, Sigmoid, Tanh, Erf: fast = plain = mpmath with 400 bits."""

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oracle.exact.intervals import decide
from oracle.exact.kernels import functions
from oracle.exact.program import Op
from oracle.tensor import Array, canonical
from tests.oracles import bits, fast, floats, function, nasty, plain, same
from tests.unit.exact.strategies import vectors

FUNCTIONS = [Op.EXP, Op.LOG, Op.SIGMOID, Op.TANH, Op.ERF]


def agree(op: Op, x: Array) -> Array:
    slow = plain(op, [x])
    assert same(slow, fast(op, [x]))
    return slow


def around(*values: float) -> Array:
    """Each value, its negative, and some neighbours on both sides."""
    middle = np.array([*values, *(-value for value in values)], np.float32).view(np.int32)
    steps = np.array([-1000, -3, -2, -1, 0, 1, 2, 3, 1000], np.int32)
    return canonical((middle[:, None] + steps).ravel().view(np.float32))


@pytest.mark.parametrize("op", FUNCTIONS)
def test_functions_agree_with_mpmath_when_numbers_are_nasty(op):
    assert bits(agree(op, nasty())) == [function(op)(value) for value in nasty().tolist()]


@pytest.mark.parametrize("op", FUNCTIONS)
@given(x=vectors(6))
def test_functions_agree_with_mpmath(op, x):
    assert bits(agree(op, x)) == [function(op)(value) for value in x.tolist()]


@pytest.mark.parametrize("op", FUNCTIONS)
def test_functions_agree_with_mpmath_when_results_hug_a_rounding_boundary(op):
    """Where the rules answer without evaluating, where results saturate, overflow or vanish, and
    where they are within a hair of 1, 1/2 or the argument, or of the midpoints beside those."""
    x = around(
        *(2.0**-26, 2.0**-25, 2.0**-24, 2.0**-23, 2.0**-22, 2.0**-13, 2.0**-12, 3 * 2.0**-24),
        *(88.72284, 89, 103.97208, 103.27893, 104, 87.33655, 17.32868, 18, 16.6355, 9.010913, 10),
        *(8.664339, 3.8325067, 3.9192059, 4, 1, 2, 0.5, 0.6931472, 2.7182817, 2.0**-126, 2.0**-149),
    )
    assert bits(agree(op, x)) == [function(op)(value) for value in x.tolist()]


@pytest.mark.parametrize("op", FUNCTIONS)
def test_functions_agree_when_values_are_ordinary(op):
    rng = np.random.default_rng(op)
    x = canonical((rng.standard_normal(4000) * rng.choice([0.01, 1, 8], 4000)).astype(np.float32))
    agree(op, x)


@pytest.mark.parametrize(
    ("op", "argument", "value"),
    [
        (Op.EXP, 0x00000000, 0x3F800000),
        (Op.EXP, 0xFF800000, 0x00000000),
        (Op.EXP, 0x7F800000, 0x7F800000),
        (Op.LOG, 0x3F800000, 0x00000000),
        (Op.LOG, 0x00000000, 0xFF800000),
        (Op.LOG, 0xBF800000, 0x7FC00000),
        (Op.SIGMOID, 0x00000000, 0x3F000000),
        (Op.TANH, 0x00000000, 0x00000000),
        (Op.TANH, 0xFF800000, 0xBF800000),
        (Op.ERF, 0x00000000, 0x00000000),
        (Op.ERF, 0x7F800000, 0x3F800000),
        (Op.ERF, 0x80000001, 0x80000001),
    ],
)
def test_functions_have_their_exact_values(op, argument, value):
    assert bits(agree(op, floats([argument]))) == [value]


def test_a_value_that_never_leaves_a_midpoint_is_a_bug_and_not_a_hang():
    midpoint = (1 << 24) + 1
    with pytest.raises(ArithmeticError):
        decide(lambda p: (((midpoint << p) - 1, 1 << p), ((midpoint << p) + 1, 1 << p)))


@pytest.mark.parametrize("op", FUNCTIONS)
def test_functions_keep_the_shape(op):
    x = np.ones((2, 0, 3), np.float32)
    assert agree(op, x).shape == (2, 0, 3)
    assert agree(op, np.array(0.25, np.float32)).shape == ()


@pytest.mark.long
@pytest.mark.parametrize("op", FUNCTIONS)
def test_functions_agree_with_the_plain_kernels_on_a_million_numbers(op):
    rng = np.random.default_rng(op + 1)
    for _ in range(8):
        words = rng.integers(0, 2**32, 2**17, np.uint32)
        words[::2] = (words[::2] & 0x807FFFFF) | (rng.integers(100, 135, 2**16) << 23).astype(
            np.uint32
        )
        agree(op, canonical(words.view(np.float32)))


@pytest.mark.long
@pytest.mark.parametrize("op", FUNCTIONS)
@given(st.lists(st.integers(0, 2**32 - 1), min_size=500, max_size=500))
def test_functions_agree_with_mpmath_on_many_numbers(op, words):
    x = canonical(floats(words))
    assert bits(agree(op, x)) == [function(op)(value) for value in x.tolist()]


@pytest.mark.parametrize(
    ("name", "true", "ends"),
    [
        ("exp64", mpmath.exp, (-103, 88)),
        ("sigmoid64", lambda x: 1 / (1 + mpmath.exp(-x)), (-103, 17)),
        ("tanh64", mpmath.tanh, (-9, 9)),
        ("erf64", mpmath.erf, (-4, 4)),
    ],
)
def test_values_in_float64_are_as_near_as_their_bounds_say(name, true, ends):
    low, high = ends
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.uniform(low, high, 600), 2.0 ** -rng.integers(0, 149, 50), ends])
    x = np.concatenate([x, np.arange(-3, 4) * 0.34657359, np.arange(-3, 4) * 0.17328679])
    x = x[(x >= low) & (x <= high) & (x != 0)].astype(np.float32).astype(np.float64)
    value = getattr(functions, name)
    with mpmath.workprec(100):
        off = [abs(mpmath.mpf(value(v)) / true(mpmath.mpf(v)) - 1) for v in x.tolist()]
    assert max(off) < (50 * 2.0**-53 if name == "erf64" else 2.0**-50)


@pytest.mark.parametrize("op", FUNCTIONS)
def test_functions_redo_what_is_left_open(op, monkeypatch):
    """With an interval that decides nothing, the rules answer for all."""
    x = np.array([0.3, -0.3, 2, np.nan, np.inf, -np.inf, 0], np.float32)
    for name in ("exp", "sigmoid", "tanh", "erf", "rounded"):
        monkeypatch.setattr(functions, name, everything_left)
    assert same(fast(op, [x]), plain(op, [x]))


def everything_left(x, out):
    out[:] = -0.0
    return x.size
