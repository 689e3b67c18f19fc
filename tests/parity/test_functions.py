"""The functions in Solidity against the plain kernels' intervals, and against mpmath."""

import math
from collections.abc import Callable
from fractions import Fraction
from math import inf

import mpmath
import numpy as np
import pytest

from oracle.exact.ops import functions, transcendental
from oracle.exact.program import Op
from oracle.tensor import Array
from tests.oracles import function, plain, rounded
from tests.parity import words
from tests.parity.conftest import Load

FIRST, SECOND = "TranscendentalParity", "FunctionsParity"
# Where the function is neither constant nor the argument itself, but for a binade on either side.
RANGES = {
    "exp": (FIRST, transcendental.exp, 2.0**-27, 120),
    "sigmoid": (FIRST, transcendental.sigmoid, 2.0**-26, 120),
    "tanh": (FIRST, transcendental.tanh, 2.0**-14, 12),
    "erf": (FIRST, transcendental.erf, 2.0**-40, 5),
    "log": (SECOND, transcendental.log, 2.0**-149, inf),
    "log1p": (SECOND, functions.log1p, 2.0**-26, inf),
    "sin": (SECOND, functions.sin, 2.0**-13, inf),
    "cos": (SECOND, functions.cos, 2.0**-13, inf),
    "atan": (SECOND, functions.atan, 2.0**-13, inf),
}
COUNTS = [2_000, pytest.param(100_000, marks=pytest.mark.long)]
GAS = {
    **{"exp": 30_000, "sigmoid": 30_000, "tanh": 30_000, "erf": 60_000, "log": 60_000},
    **{"log1p": 60_000, "sin": 60_000, "cos": 60_000, "atan": 60_000, "pow": 150_000},
}


def near_one(rng: np.random.Generator, count: int) -> Array:
    steps = rng.integers(-(1 << 12), 1 << 12, count) + 0x3F800000
    return steps.astype(np.uint32)


def around_quarter_turns(rng: np.random.Generator, count: int) -> Array:
    """The float32 next to multiples of pi/4, and the one closest to any of pi/2."""
    turns = (np.pi / 4 * rng.integers(1, 1 << 20, count)).astype(np.float32).view(np.uint32)
    return np.concatenate([turns, [0x6F79BE45, 0x3FC90FDB, 0x40490FDB]]).astype(np.uint32)


def next_to_midpoints(rng: np.random.Generator, name: str, count: int) -> Array:
    """Of a million, those whose values are closest to halfway between two float32."""
    low, high = RANGES[name][2:]
    x = words.between(rng, low, high, 1 << 20)
    with np.errstate(all="ignore"):
        values = FLOAT64[name](x.view(np.float32).astype(np.float64))
    digits = values.view(np.int64) & ((1 << 29) - 1)  # beyond those of a float32
    normal = (np.abs(values) > 2.0**-126) & (np.abs(values) < 2.0**127)
    distance = np.where(normal, np.abs(digits - (1 << 28)), 1 << 29)
    return np.asarray(x[np.argsort(distance, kind="stable")[:count]])


FLOAT64: dict[str, Callable[[Array], Array]] = {
    "exp": np.exp,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "tanh": np.tanh,
    "erf": lambda x: np.vectorize(math.erf)(x[: 1 << 17]),
    "log": np.log,
    "log1p": np.log1p,
    "sin": np.sin,
    "cos": np.cos,
    "atan": np.arctan,
}


def arguments(rng: np.random.Generator, name: str, count: int) -> Array:
    low, high = RANGES[name][2:]
    third = count // 3
    return np.concatenate(
        [
            words.nasty(),
            words.between(rng, low, high, third),
            words.uniform(rng, third),
            near_one(rng, third) if "log" in name else words.few_bits(rng, third),
            next_to_midpoints(rng, name, third // 4),
            around_quarter_turns(rng, third if name in ("sin", "cos") else 10),
        ]
    )


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("name", RANGES)
def test_function_agrees_with_the_plain_rule(
    evm: Load, name: str, count: int, rng: np.random.Generator
) -> None:
    contract, rule, *_ = RANGES[name]
    x = arguments(rng, name, count)

    got, gas = evm(contract).map(name, x.tolist())

    assert words.differing(rule, got, x.tolist()) == []
    assert max(gas) <= GAS[name]


@pytest.mark.parametrize("op", [Op.EXP, Op.LOG, Op.SIGMOID, Op.TANH, Op.ERF])
def test_function_agrees_with_mpmath(evm: Load, op: Op, rng: np.random.Generator) -> None:
    name = op.name.lower()
    x = arguments(rng, name, 300)
    oracle = function(op)

    got, _ = evm(RANGES[name][0]).map(name, x.tolist())

    assert [oracle(value) for value in x.view(np.float32).tolist()] == got


MPMATH: dict[str, Callable[[mpmath.mpf], mpmath.mpf]] = {
    "log1p": mpmath.log1p,
    "sin": mpmath.sin,
    "cos": mpmath.cos,
    "atan": mpmath.atan,
}


@pytest.mark.parametrize("name", MPMATH)
def test_function_of_finite_numbers_agrees_with_mpmath(
    evm: Load, name: str, rng: np.random.Generator
) -> None:
    x = arguments(rng, name, 300)
    values = x.view(np.float32)
    x = x[np.isfinite(values) & ((values > -1) if name == "log1p" else True)]

    got, _ = evm(SECOND).map(name, x.tolist())

    assert [exactly(MPMATH[name], value) for value in x.view(np.float32).tolist()] == got


def exactly(f: Callable[..., mpmath.mpf], *arguments: float) -> int:
    with mpmath.workprec(600):
        sign, mantissa, exponent, _ = f(*map(mpmath.mpf, arguments))._mpf_
    exact = Fraction(int(mantissa)) * Fraction(2) ** exponent
    return rounded(-exact if sign else exact)


def test_no_number_is_closer_to_a_multiple_of_a_right_angle_than_it_says() -> None:
    """Where m < 2^24 is best for m·a, it is a denominator of a's convergents; a = 2^e / (π/2)."""
    with mpmath.workprec(700):
        right_angle = mpmath.pi / 2
        closest = min(
            (abs(m * mpmath.mpf(2) ** e / right_angle - n) * right_angle, m, e)
            for e in range(-23, 105)
            for n, m in convergents(mpmath.mpf(2) ** e / right_angle, 1 << 24)
            if n > 0
        )
    assert closest[1:] == (16367173, 72)
    assert 2**-29.3 < closest[0] < 2**-29.2


def convergents(a: mpmath.mpf, limit: int) -> list[tuple[int, int]]:
    found, before, last = [], (0, 1), (1, 0)
    while last[1] < limit:
        found.append(last)
        whole = int(mpmath.floor(a))
        before, last = last, (whole * last[0] + before[0], whole * last[1] + before[1])
        a = 1 / (a - whole)
    return found[1:]


def test_erf_all_along(evm: Load) -> None:
    """Where no theorem says that it is decided."""
    x = np.arange(0x3F000000, 0x40800000, 0x1234, dtype=np.uint32)

    got, _ = evm(FIRST).map("erf", x.tolist())

    assert words.differing(transcendental.erf, got, x.tolist()) == []


def powers(rng: np.random.Generator, count: int) -> tuple[Array, Array]:
    """Of any two; whose result is finite; close to one; roots and powers of short numbers."""
    nasty = words.nasty()[::3]
    x, y = np.meshgrid(nasty, nasty)
    base = np.abs(words.between(rng, 2.0**-149, inf, count).view(np.float32).astype(np.float64))
    with np.errstate(divide="ignore"):
        fit = (rng.uniform(-150, 129, count) / np.log2(base)).astype(np.float32)
    one = np.abs(near_one(rng, count).view(np.float32).astype(np.float64))
    with np.errstate(divide="ignore", invalid="ignore"):
        steep = (rng.uniform(-150, 129, count) / np.log2(one)).astype(np.float32)
    short = np.ldexp(rng.integers(1, 64, count), rng.integers(-28, 26, count))
    squares = short ** rng.choice([1, 2, 4], count)
    exponents = np.ldexp(rng.integers(-9, 30, count), rng.integers(-4, 3, count)).astype(np.float32)
    pairs = [
        (x.ravel(), y.ravel()),
        (words.uniform(rng, count), words.uniform(rng, count)),
        (base.astype(np.float32).view(np.uint32), fit.view(np.uint32)),
        (one.astype(np.float32).view(np.uint32), steep.view(np.uint32)),
        (squares.astype(np.float32).view(np.uint32), exponents.view(np.uint32)),
        (words.few_bits(rng, count), exponents.view(np.uint32)),
    ]
    first, second = zip(*pairs, strict=True)
    return words.canonical(np.concatenate(first)), words.canonical(np.concatenate(second))


@pytest.mark.parametrize("count", [400, pytest.param(20_000, marks=pytest.mark.long)])
def test_pow_agrees_with_the_plain_rule(evm: Load, count: int, rng: np.random.Generator) -> None:
    x, y = powers(rng, count)

    got, gas = evm(SECOND).map("pow", x.tolist(), y.tolist())

    assert words.differing(functions.power, got, x.tolist(), y.tolist()) == []
    assert max(gas) <= GAS["pow"]


def test_pow_agrees_with_mpmath(evm: Load, rng: np.random.Generator) -> None:
    x, y = powers(rng, 200)
    a, b = x.view(np.float32), y.view(np.float32)
    with np.errstate(all="ignore"):
        size = np.abs(np.log2(np.abs(a.astype(np.float64))) * b)
    some = (a > 0) & np.isfinite(a) & np.isfinite(b) & (size < 200)
    x, y = x[some], y[some]

    got, _ = evm(SECOND).map("pow", x.tolist(), y.tolist())

    pairs = zip(x.view(np.float32).tolist(), y.view(np.float32).tolist(), strict=True)
    assert [exactly(mpmath.power, *pair) for pair in pairs] == got


@pytest.mark.parametrize(
    ("x", "y", "expected"),
    [
        (2.0**-75, 2.0, 0.0),  # 2^−150: a tie, to even
        (2.0**-50, 3.0, 0.0),
        (3 * 2.0**-75, 2.0, 2.0**-149 * 4),  # 9·2^−150 = 4.5 units: to even
        (5.0, 11.0, 48828125.0 + 3 - 4),  # 26 bits
        (4097.0, 2.0, 16785409.0 - 1),  # 25 bits: a midpoint, to even
        (9.0, 0.5, 3.0),
        (2.0**-149, 0.5, 0.0),  # no dyadic number: below
        (6.0, -1.0, 1 / 6),
        (-2.0, 3.0, -8.0),
        (-2.0, -149.0, -(2.0**-149)),
        (2.0, 128.0, inf),
        (2.0, -150.0, 0.0),
    ],
)
def test_pow_of_dyadic_numbers(evm: Load, x: float, y: float, expected: float) -> None:
    a, b = (np.array([v], np.float32).view(np.uint32).tolist() for v in (x, y))

    got, _ = evm(SECOND).map("pow", a, b)

    if (x, y) == (2.0**-149, 0.5):
        expected = float(np.sqrt(2.0**-149))
    assert got == [int(np.float32(expected).view(np.uint32))]


def test_plain_kernels_are_those_rules() -> None:
    """The table of primitives leads to the rules that this file compares with."""
    x = np.array([0.3, 0.7], np.float32)
    for name, (_, rule, *_ends) in RANGES.items():
        expected = [rule(word) for word in x.view(np.uint32).tolist()]
        assert plain(Op[name.upper()], [x]).view(np.uint32).tolist() == expected
