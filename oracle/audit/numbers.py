"""Turns elements into exact numbers and back, to check the law with none of its code.

An element is an int, or for float32 a Python float, which holds every float32 exactly. A result is
an int, a Fraction that has yet to be rounded, or one of the floats NAN and ±INF.
"""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from math import inf, isinf, isnan, nan
from struct import pack, unpack

from oracle.types import DType

Element = int | float
Result = int | float | Fraction

NAN, INF = nan, inf
OVERFLOW = Fraction(2**128 - 2**103)  # from here on a number rounds to infinity

SIGNED = (DType.INT8, DType.INT16, DType.INT32, DType.INT64)


def elements(data: bytes, dtype: DType) -> list[Element]:
    """Reads big-endian elements in canonical form: −0 as +0, any byte but 0 of a bool as 1."""
    size = dtype.itemsize
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    if dtype is DType.FLOAT:
        return [unpack(">f", piece)[0] + 0.0 for piece in pieces]
    if dtype is DType.BOOL:
        return [int(any(piece)) for piece in pieces]
    return [int.from_bytes(piece, "big", signed=dtype in SIGNED) for piece in pieces]


def bits(result: Result, dtype: DType) -> bytes:
    """Gives a result's bytes: rounded to float32, or wrapped to an integer's width."""
    if dtype is DType.FLOAT:
        return pack(">f", nearest(result)) if not _is_nan(result) else b"\x7f\xc0\0\0"
    assert isinstance(result, int)
    return wrapped(result, dtype).to_bytes(dtype.itemsize, "big", signed=dtype in SIGNED)


def nearest(result: Result) -> float:
    """Rounds a result to the nearest float32, ties to even, as a Python float."""
    if isinstance(result, float) and (isnan(result) or isinf(result)):
        return result
    x = Fraction(result)
    if abs(x) >= OVERFLOW:
        return INF if x > 0 else -INF
    # Numbers of size 2^e and more are multiples of 2^(e−23), and no number is finer than 2^−149.
    exponent = _exponent(abs(x)) if x else 0
    step = Fraction(2) ** max(exponent - 23, -149)
    return float(round(x / step) * step) + 0.0  # round() of a Fraction takes ties to even


def _exponent(x: Fraction) -> int:
    """Gives the e with 2^e ≤ x < 2^(e+1)."""
    guess = x.numerator.bit_length() - x.denominator.bit_length()
    return guess if Fraction(2) ** guess <= x else guess - 1


def wrapped(value: int, dtype: DType) -> int:
    """Gives the integer of a dtype that has the same low bits. A bool stays as it is."""
    if dtype is DType.BOOL:
        return value
    width = 8 * dtype.itemsize
    value %= 1 << width
    is_negative = dtype in SIGNED and value >> (width - 1)
    return value - (1 << width) if is_negative else value


def total(terms: Iterable[Element], dtype: DType) -> Result:
    """Computes the exact sum of terms; of integers, wrapped."""
    return dot(((term, 1) for term in terms), dtype)


def dot(pairs: Iterable[tuple[Element, Element]], dtype: DType) -> Result:
    """Computes the exact sum of products, by IEEE's rules for infinities and NaN among them."""
    pairs = list(pairs)
    if dtype is not DType.FLOAT:
        return wrapped(sum(int(a) * int(b) for a, b in pairs), dtype)
    special = _special([float(a) * float(b) for a, b in pairs if not _is_finite(a, b)])
    if special is not None:
        return special
    # A float32 is an integer times 2^−149, so a product is one times 2^−298.
    return Fraction(sum(_scaled(a) * _scaled(b) for a, b in pairs), 1 << 298)


def _is_finite(*values: Element) -> bool:
    return not any(isinf(value) or isnan(value) for value in values)


def _special(terms: Sequence[float]) -> float | None:
    if not terms:
        return None
    if any(map(isnan, terms)) or (INF in terms and -INF in terms):
        return NAN
    return terms[0]


def _scaled(value: Element) -> int:
    numerator, denominator = value.as_integer_ratio()
    return (numerator << 149) // denominator


def _is_nan(result: Result) -> bool:
    return isinstance(result, float) and isnan(result)
