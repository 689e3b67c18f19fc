"""The law once more, from scratch: exact rationals, mpmath, a rounding that compares distances.

Shares no code with `oracle.exact` but the types of a node: one misreading is not made twice.
"""

from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from math import inf, isinf, isnan

import mpmath
import numpy as np

from oracle.exact.ops import PRIMITIVES
from oracle.exact.program import Node, Op, Operand, OperandKind, ValueType
from oracle.tensor import Array, canonical, dtype_of

NAN = 0x7FC00000
MAX = Fraction(float(np.finfo(np.float32).max))
HALF_ULP_OF_MAX = Fraction(2**103)

# Every kind of float32, and the neighbours of each kind's edges.
NASTY = np.array(
    [
        *(0, 1, 2, 3, 0x7FFFFF, 0x800000, 0x800001, 0x1000000, 0x33000000, 0x33000001),
        *(0x33800000, 0x34000000, 0x3EFFFFFF, 0x3F000000, 0x3F7FFFFF, 0x3F800000, 0x3F800001),
        *(0x3F800002, 0x3FC00000, 0x40000000, 0x40490FDB, 0x42B17217, 0x42B17218, 0x42CFF1B4),
        *(0x42D00000, 0x41100000, 0x41200000, 0x40800000, 0x4B000000, 0x4B000001, 0x4B7FFFFF),
        *(0x4B800000, 0x5F000000, 0x5EFFFFFF, 0x7E7FFFFF, 0x7EFFFFFF, 0x7F000000, 0x7F7FFFFE),
        *(0x7F7FFFFF, 0x7F800000, 0x39000000, 0x39000001, 0x32800000, 0x3D800000),
    ],
    np.uint32,
)
NASTY = np.concatenate([NASTY, NASTY | 0x80000000, [NAN, 0xFFC00001, 0x7F800001]]).astype(np.uint32)


def floats(words: Iterable[int]) -> Array:
    return np.array(list(words), np.uint32).view(np.float32)


def nasty() -> Array:
    """One of each, canonical."""
    return canonical(NASTY.view(np.float32))


def random_floats(rng: np.random.Generator, shape: tuple[int, ...], spread: int = 20) -> Array:
    """Finite numbers of either sign whose exponents lie within `spread` of 1."""
    mantissa = rng.integers(1 << 23, 1 << 24, shape) * rng.choice([-1, 1], shape)
    return np.ldexp(mantissa.astype(np.float64), rng.integers(-spread, spread, shape) - 23).astype(
        np.float32
    )


def rounded(x: Fraction) -> int:
    """The bits of the float32 nearest to x: of the candidates, the closest, then the even one."""
    if abs(x) >= MAX + HALF_ULP_OF_MAX:
        return 0xFF800000 if x < 0 else 0x7F800000
    guess = np.float32(max(min(float(x), float(MAX)), -float(MAX)))
    candidates = {float(guess)}
    for direction in (-np.inf, np.inf):
        with np.errstate(over="ignore"):
            neighbour = float(np.nextafter(guess, np.float32(direction)))
        if not isinf(neighbour):
            candidates.add(neighbour)

    def rank(candidate: float) -> tuple[Fraction, int]:
        return abs(Fraction(candidate) - x), int(np.float32(candidate).view(np.uint32)) & 1

    best = np.float32(min(candidates, key=rank))
    return int((best + np.float32(0)).view(np.uint32))


def ieee(terms: Sequence[float]) -> int | None:
    """The bits of a sum that is not finite, else None."""
    if any(isnan(term) for term in terms) or (inf in terms and -inf in terms):
        return NAN
    return 0x7F800000 if inf in terms else 0xFF800000 if -inf in terms else None


def exact_sum(terms: Sequence[float], divisor: int = 1) -> int:
    special = ieee(terms)
    return rounded(sum(map(Fraction, terms), Fraction(0)) / divisor) if special is None else special


def exact_dot(a: Sequence[float], b: Sequence[float], bias: float = 0.0) -> int:
    pairs = list(zip(a, b, strict=True))
    # In float64 a product of two float32 is exact, so it is special only where it must be.
    special = ieee([*(float(x) * float(y) for x, y in pairs), bias])
    if special is not None:
        return special
    return rounded(sum((Fraction(x) * Fraction(y) for x, y in pairs), Fraction(bias)))


def lossy_terms(lost: int, missing: int, sign: int = 1) -> list[float]:
    """Terms that a loop which adds one after another in float64 does not sum: it loses `lost` times
    2^−53, of which `missing`, an even number, are missing between the sum in float64 and a midpoint
    of float32 numbers. So a bound of less than `missing` units, of which the sum is about one,
    decides wrongly. They are float32 numbers, and all but the first two are tiny."""
    middle = [1, 2.0**-24] if sign > 0 else [1, 3 * 2.0**-24]
    return [*middle, -sign * missing * 2.0**-53, *[sign * 2.0**-53] * lost]


def binary(op: Op) -> Callable[[float, float], int]:
    """The bits of an arithmetic op on two float32, infinities and NaN by IEEE's table."""

    def evaluate(x: float, y: float) -> int:
        with np.errstate(all="ignore"):
            hardware = float(_HARDWARE[op](np.float64(x), np.float64(y)))
        if isnan(x) or isnan(y) or isinf(x) or isinf(y) or (op is Op.DIV and y == 0):
            return int(canonical(np.array(hardware, np.float32)).view(np.uint32))
        return rounded(_EXACT[op](Fraction(x), Fraction(y)))

    return evaluate


_HARDWARE = {Op.ADD: np.add, Op.SUB: np.subtract, Op.MUL: np.multiply, Op.DIV: np.divide}
_EXACT: dict[Op, Callable[[Fraction, Fraction], Fraction]] = {
    Op.ADD: lambda x, y: x + y,
    Op.SUB: lambda x, y: x - y,
    Op.MUL: lambda x, y: x * y,
    Op.DIV: lambda x, y: x / y,
}


def function(op: Op) -> Callable[[float], int]:
    """The bits of a function of one number, by mpmath with 400 bits: nobody's loop to trust."""

    def evaluate(x: float) -> int:
        if isnan(x) or (op in (Op.LOG, Op.SQRT) and x < 0):
            return NAN
        if isinf(x):
            return _AT_INFINITY[op][x < 0]
        if op is Op.LOG and x == 0:
            return 0xFF800000
        if op in (Op.EXP, Op.SIGMOID) and abs(x) > 200:
            return _AT_INFINITY[op][x < 0]
        with mpmath.workprec(400):
            value = _MPMATH[op](mpmath.mpf(x))
            sign, mantissa, exponent, _ = value._mpf_
            exact = Fraction(int(mantissa)) * Fraction(2) ** exponent
        return rounded(-exact if sign else exact)

    return evaluate


_MPMATH: dict[Op, Callable[[mpmath.mpf], mpmath.mpf]] = {
    Op.EXP: mpmath.exp,
    Op.LOG: mpmath.log,
    Op.SIGMOID: lambda x: 1 / (1 + mpmath.exp(-x)),
    Op.TANH: mpmath.tanh,
    Op.ERF: mpmath.erf,
    Op.SQRT: mpmath.sqrt,
}
_AT_INFINITY = {
    Op.EXP: (0x7F800000, 0),
    Op.LOG: (0x7F800000, NAN),
    Op.SIGMOID: (0x3F800000, 0),
    Op.TANH: (0x3F800000, 0xBF800000),
    Op.ERF: (0x3F800000, 0xBF800000),
    Op.SQRT: (0x7F800000, NAN),
}


def node_of(op: Op, arrays: Sequence[Array], attributes: Sequence[int] = ()) -> Node:
    """A node whose operands have the arrays' types."""
    types = [ValueType(dtype_of(array), array.shape) for array in arrays]
    operands = tuple(Operand(OperandKind.INPUT, place, type_) for place, type_ in enumerate(types))
    return Node(op, operands, PRIMITIVES[op].infer(types, attributes), tuple(attributes))


def plain(op: Op, arrays: Sequence[Array], *attributes: int) -> Array:
    """The primitive's plain kernel."""
    return PRIMITIVES[op].plain(node_of(op, arrays, attributes), arrays)


def fast(op: Op, arrays: Sequence[Array], *attributes: int, known: Sequence[int] = ()) -> Array:
    """The primitive's fast kernel, with the operands numbered in `known` as constants."""
    node = node_of(op, arrays, attributes)
    constants = [array if place in known else None for place, array in enumerate(arrays)]
    with np.errstate(all="ignore"):
        out = np.asarray(PRIMITIVES[op].prepare(node, constants)(*arrays))
    assert out.dtype != np.float32 or not (np.signbit(out) & (out == 0)).any(), "a kernel gave −0"
    return canonical(out)


def bits(array: Array) -> list[int]:
    """The elements as a comparison of bits needs them."""
    if array.dtype == np.float32:
        return array.ravel().view(np.uint32).tolist()
    return array.ravel().tolist()


def same(a: Array, b: Array) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and bits(a) == bits(b)
