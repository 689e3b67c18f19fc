"""Rounds exact rationals to float32 by comparing distances."""

from fractions import Fraction

_BEYOND = Fraction(2**128 - 2**103)


def nearest_float(x: Fraction) -> int:
    """Gives the bits of the float32 nearest to x, ties to even."""
    size = abs(x)
    if size >= _BEYOND:
        word = 0x7F800000
    else:
        # Neighbouring float32 are 2^place apart at x: subnormals at 2^−149.
        place = max(size.numerator.bit_length() - size.denominator.bit_length() - 25, -149)
        while place > -149 and size < Fraction(2) ** (place + 23):
            place -= 1
        while size >= Fraction(2) ** (place + 24):
            place += 1
        below, rest = divmod(size / Fraction(2) ** place, 1)
        up = rest > Fraction(1, 2) or (rest == Fraction(1, 2) and below % 2 == 1)
        # Bits count float32 from zero up; m·2^place is this far.
        word = int(below) + up + ((place + 149) << 23)
    return word | 0x80000000 if x < 0 and word else word
