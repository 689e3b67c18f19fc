"""Cosines of rational parts of a turn, rounded once: what spectra and windows are made of."""

from collections.abc import Sequence
from fractions import Fraction

from oracle.exact import float32
from oracle.exact.intervals import Interval, decide, pi
from oracle.tensor import Array

_HALF, _QUARTER = Fraction(1, 2), Fraction(1, 4)
_RATIONAL = {Fraction(0): 2, Fraction(1, 6): 1, _QUARTER: 0}
"""Twice the cosine, where it is rational for a turn of a quarter or less (Niven's theorem)."""

Terms = Sequence[tuple[Fraction, Fraction]]
"""Factors, each with the part of a turn by whose cosine it is multiplied."""


def cosines(count: int, factor: Fraction = Fraction(1), begin: Fraction = Fraction(0)) -> Array:
    """Gives factor · cos(2π·(begin + k / count)) for all k below count, each rounded once."""
    turns = (begin + Fraction(at, count) for at in range(count))
    return float32.array([rounded([(factor, turn)]) for turn in turns], (count,))


def rounded(terms: Terms, constant: Fraction = Fraction(0)) -> int:
    """Rounds constant + Σ factor · cos(2π·turn) to float32, once.

    What is rational is exact at any precision. The rest is no midpoint, so that `decide` ends, for
    one term, and for two of which the second turns twice as far as the first with a factor of at
    most a quarter of the first's: 2·cos²φ + r·cos φ is rational for an irrational cos φ only if
    this is of degree 2 and −r/2 the sum of it and its conjugate, which is less than 2 in size.
    """
    return decide(lambda p: _bounds(terms, constant, p))


def _bounds(terms: Terms, constant: Fraction, p: int) -> Interval:
    low = high = constant * (1 << p)
    for factor, turn in terms:
        ends = sorted(factor * end for end in cosine(turn, p))
        low, high = low + ends[0], high + ends[1]
    (down, up) = ((end / (1 << p)).as_integer_ratio() for end in (low, high))
    return down, up


def cosine(turn: Fraction, p: int) -> tuple[int, int]:
    """Bounds cos(2π·turn)·2^p from below and above.

    The angle of at most a quarter turn, below 1.6, is known to 2 units of 2^−(p + 16). Each term of
    its series has at most 8 more, and those dropped are less than one in sum.
    """
    turn = abs((turn + _HALF) % 1 - _HALF)
    if turn > _QUARTER:
        low, high = cosine(_HALF - turn, p)
        return -high, -low
    if turn in _RATIONAL:
        exact = _RATIONAL[turn] << p - 1
        return exact, exact
    p += 16
    angle = 2 * pi(p)[0] * turn.numerator // turn.denominator
    square = angle * angle >> p
    total, term, n = 0, 1 << p, 0
    while term:
        total += -term if n & 2 else term
        n += 2
        term = (term * square >> p) // (n * (n - 1))
    slack = (n + 2) << 4
    return (total - slack) >> 16, -(-(total + slack) >> 16)
