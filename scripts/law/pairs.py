"""Numbers as unevaluated sums of two float64, hi + lo with |lo| ≤ half a place of hi: "dd".

The algorithms and their relative errors, in u = 2^−53, are those of Joldes, Muller and Popescu,
*Tight and rigorous error bounds for basic building blocks of double-word arithmetic*, ACM TOMS
44(2), 2017: sums of two dd 3u² (AccurateDWPlusDW), products 5u² (DWTimesDW2), quotients 15u²
(DWDivDW2), with a float64 2u², 2u², 3u². All hold without overflow and underflow, and numbers here
lie within 2^±400.

Compiled without fast-math, so that LLVM neither contracts nor reorders; `TwoProduct` takes the
fused multiply-add that it asks for itself. `bench_law` verifies both on random numbers.
"""

from collections.abc import Callable
from fractions import Fraction
from typing import Any, TypeAlias, TypeVar, cast

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

F = TypeVar("F", bound=Callable[..., Any])
Pair: TypeAlias = tuple[float, float]
Values: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]


def compiled(function: F) -> F:
    """Compiles by numba with IEEE's meaning of every operation. Nothing is cached, because a cache
    may hold older code."""
    return cast(F, njit(fastmath=False, error_model="numpy")(function))


def inlined(function: F) -> F:
    """Compiles as `compiled` does, but into each caller."""
    return cast(F, njit(fastmath=False, error_model="numpy", inline="always")(function))


def _instruction(function: Callable[..., Any]) -> Any:
    return intrinsic(function)


@_instruction
def fma(_typing_context: Any, _a: Any, _b: Any, _c: Any) -> Any:
    """Computes a·b + c, rounded once, by LLVM's intrinsic: an instruction or libm's function."""

    def generated(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.fma(*arguments)

    return types.float64(types.float64, types.float64, types.float64), generated


@_instruction
def double_of(_typing_context: Any, _word: Any) -> Any:
    """Gives the float64 with these bits."""

    def generated(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.DoubleType())

    return types.float64(types.int64), generated


@_instruction
def bits_of(_typing_context: Any, _number: Any) -> Any:
    """Gives the bits of a float64."""

    def generated(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.IntType(64))

    return types.int64(types.float64), generated


@_instruction
def single_bits(_typing_context: Any, _number: Any) -> Any:
    """Gives the bits of the float32 nearest to a float64."""

    def generated(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        single = builder.fptrunc(arguments[0], ir.FloatType())
        return builder.zext(builder.bitcast(single, ir.IntType(32)), ir.IntType(64))

    return types.int64(types.float64), generated


@inlined
def parts(x: float) -> tuple[float, int]:
    """Splits a normal x > 0 into (m, e) with x = m·2^e and m in [1/2, 1)."""
    word: int = bits_of(x)
    return double_of((word & 0xFFFFFFFFFFFFF) | (1022 << 52)), (word >> 52) - 1022


@inlined
def two_sum(a: float, b: float) -> Pair:
    s = a + b
    t = s - a
    return s, (a - (s - t)) + (b - t)


@inlined
def fast_two_sum(a: float, b: float) -> Pair:
    """Adds a and b into a pair, for |a| ≥ |b| or a = 0."""
    s = a + b
    return s, b - (s - a)


@inlined
def two_product(a: float, b: float) -> Pair:
    p = a * b
    return p, fma(a, b, -p)


@inlined
def add(a: Pair, b: Pair) -> Pair:
    s, e = two_sum(a[0], b[0])
    t, f = two_sum(a[1], b[1])
    s, e = fast_two_sum(s, e + t)
    return fast_two_sum(s, f + e)


@inlined
def add_float(a: Pair, b: float) -> Pair:
    s, e = two_sum(a[0], b)
    return fast_two_sum(s, a[1] + e)


@inlined
def multiply(a: Pair, b: Pair) -> Pair:
    p, e = two_product(a[0], b[0])
    return fast_two_sum(p, e + fma(a[0], b[1], a[1] * b[0]))


@inlined
def multiply_float(a: Pair, b: float) -> Pair:
    p, e = two_product(a[0], b)
    return fast_two_sum(p, fma(a[1], b, e))


@inlined
def divide(a: Pair, b: Pair) -> Pair:
    q = a[0] / b[0]
    product = multiply_float(b, q)
    rest = (a[0] - product[0]) + (a[1] - product[1])
    return fast_two_sum(q, rest / b[0])


@inlined
def negative(a: Pair) -> Pair:
    return -a[0], -a[1]


@inlined
def rounded(a: Pair, error: float) -> int:
    """Gives the bits of the float32 nearest to every number within `error`, relatively, of a, or −1
    where that does not decide.

    The number lies strictly between hi and its neighbour on the side of lo. Of these two the one
    with an odd last bit rounds as the number does (Boldo and Melquiond, 2008)."""
    word: int = bits_of(a[0])
    away = (a[1] > 0) == (a[0] > 0)
    if word & 1 == 0:
        word += 1 if away else -1
    nearest: int = single_bits(double_of(word))
    return -1 if abs(a[1]) <= abs(a[0]) * error else nearest


def split(value: Any) -> Pair:
    """Splits an mpmath number into a pair."""
    hi = float(value)
    return hi, float(value - hi)


def table(values: Any) -> Values:
    """Gives mpmath numbers as rows hi, lo."""
    return np.array([split(value) for value in values], np.float64)


@compiled
def _products(x: Values, y: Values, p: Values, e: Values, s: Values, f: Values) -> None:
    for at in range(x.size):
        p[at], e[at] = two_product(x[at], y[at])
        s[at], f[at] = two_sum(x[at], y[at])


def confirm_exactness(count: int = 20_000) -> None:
    """Raises ArithmeticError where compiled products or sums, with their errors, are not exact, on
    which all pairs rely."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, count)) * 2.0 ** rng.integers(-60, 60, (2, count))
    p, e, s, f = np.empty((4, count))
    _products(x, y, p, e, s, f)
    for at in range(count):
        a, b = Fraction(x[at]), Fraction(y[at])
        if Fraction(p[at]) + Fraction(e[at]) != a * b or Fraction(s[at]) + Fraction(f[at]) != a + b:
            raise ArithmeticError(f"{x[at]!r} and {y[at]!r}: not exact")
        if p[at] != x[at] * y[at] or s[at] != x[at] + y[at]:
            raise ArithmeticError(f"{x[at]!r} and {y[at]!r}: not the nearest")
