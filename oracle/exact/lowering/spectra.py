"""Fourier transforms, which are one DOT with a constant table, and what goes with them: windows and
mel weights. Tables depend on the file alone: their numbers are rounded once.
"""

from collections.abc import Iterator
from fractions import Fraction
from math import isfinite, prod

import numpy as np

from oracle.exact import float32
from oracle.exact.lowering.builder import Builder
from oracle.exact.lowering.circle import cosines, rounded
from oracle.exact.lowering.indexing import taken
from oracle.exact.lowering.movement import gather
from oracle.exact.lowering.reduce import integers
from oracle.exact.lowering.shape import bounded
from oracle.exact.lowering.source import Lowering, Source, normalized
from oracle.exact.primitive import Outside
from oracle.exact.program import Op, Operand
from oracle.tensor import Array
from oracle.types import DType

_LONGEST = 1 << 16
"""The most points of a transform or a window, and the most bins of mel weights."""

_QUARTER = Fraction(1, 4)


def _dft(b: Builder, node: Source) -> list[Operand]:
    x, given = node.input(0), node.optional(1)
    rank = len(x.type.shape)
    if node.opset < 20:
        axis = node.axis(rank, 1)
    else:
        over = node.optional(2)
        axis = normalized(-2 if over is None else _one(b, over, "axis"), rank)
    if axis == rank - 1:
        raise Outside(f"its axis {axis} is that of the parts of numbers", "give another axis")
    inverse, onesided = bool(node.integer("inverse", 0)), bool(node.integer("onesided", 0))
    size = x.type.shape[axis]
    length = 2 * (size - 1) if inverse and onesided else size
    if given is not None:
        length = _one(b, given, "length")
    last = [*(at for at in range(rank - 1) if at != axis), axis, rank - 1]
    out = _transformed(b, b.transpose(x, last), length, inverse, onesided)
    return [b.transpose(out, [last.index(at) for at in range(rank)])]


def _stft(b: Builder, node: Source) -> list[Operand]:
    """Cuts the signal into frames, multiplies each by the window, and transforms them."""
    x, window, given = node.input(0), node.optional(2), node.optional(3)
    if len(x.type.shape) == 2:
        x = b.reshape(x, (*x.type.shape, 1))
    batch, size, parts = _three(x)
    step = _one(b, node.input(1), "frame_step")
    length = size if window is None else window.type.elements
    if given is not None:
        length = _one(b, given, "frame_length")
    if not 0 < length <= size or step < 1:
        raise Outside(f"frames of {length}, each {step} on, of a signal of {size}", "fix the file")
    starts = np.arange(0, size - length + 1, step)
    bounded(b, batch, len(starts), length, parts)
    places = starts[:, None] + np.arange(length)
    frames = gather(b, x, b.constant(places), 1)
    if window is not None:
        if window.type.shape != (length,):
            raise Outside(f"a window {window.type} for frames of {length}", "fix the window")
        frames = b.emit(Op.MUL, (frames, b.reshape(window, (length, 1))))
    return [_transformed(b, frames, length, False, bool(node.integer("onesided", 1)))]


def _three(x: Operand) -> tuple[int, int, int]:
    if len(x.type.shape) != 3:
        raise Outside(f"its signal is {x.type}", "give it [batch, length, 1]")
    batch, size, parts = x.type.shape
    return batch, size, parts


def _transformed(b: Builder, x: Operand, length: int, inverse: bool, onesided: bool) -> Operand:
    """Transforms along the last axis but one; the last has the real part, and the imaginary one. Of
    a longer axis the first places count, and what a shorter one lacks is zero."""
    *outer, size, parts = x.type.shape
    if x.type.dtype is not DType.FLOAT or parts not in (1, 2) or not 0 < length <= _LONGEST:
        raise Outside(f"a transform of {length} points of {x.type}", "give [*, length, 1 or 2]")
    bins = length // 2 + 1
    if onesided and not inverse and parts == 2:
        raise Outside("a onesided transform of complex numbers", "give it real ones")
    if onesided and inverse:
        if parts == 1:
            raise Outside("a onesided inverse transform of real numbers", "give it complex ones")
        count = min(size, bins)
        table = _onesided_inverse(b, length, count)
    else:
        count, wanted = min(size, length), bins if onesided else length
        table = _table(b, length, inverse, wanted, count, parts)
    rows = b.reshape(taken(b, x, range(count), len(outer)), (prod(outer), count * parts))
    points, made, *_ = table.shape
    columns = b.constant(table.reshape(points * made, count * parts))
    return b.reshape(b.emit(Op.DOT, (rows, columns)), (*outer, points, made))


def _table(b: Builder, length: int, inverse: bool, wanted: int, count: int, parts: int) -> Array:
    """Gives [wanted, 2, count, parts]: of e^∓2πi·kn/length, inverse over length, what the real and
    the imaginary part of a number become."""
    bounded(b, wanted, 2, count, parts)
    factor = Fraction(1, length) if inverse else Fraction(1)
    cosine, sine = cosines(length, factor), cosines(length, factor, -_QUARTER)
    places = np.outer(np.arange(wanted), np.arange(count)) % length
    real, imaginary = cosine[places], sine[places] if inverse else -sine[places]
    ones = np.stack([real, imaginary], 1)[..., None]
    if parts == 1:
        return ones
    return np.concatenate([ones, np.stack([-imaginary, real], 1)[..., None]], 3)


def _onesided_inverse(b: Builder, length: int, count: int) -> Array:
    """Gives [length, 1, count, 2] for the first half of a spectrum, of which each number stands for
    its conjugate too, but for the first and, of an even length, the last."""
    bounded(b, length, count, 2)
    places = np.outer(np.arange(length), np.arange(count)) % length
    alone = [at == 0 or 2 * at == length for at in range(count)]
    tables = []
    for begin, sign in ((Fraction(0), 1), (-_QUARTER, -1)):
        once, twice = (cosines(length, Fraction(sign * n, length), begin) for n in (1, 2))
        tables.append(np.where(alone, once[places], twice[places]))
    return np.stack(tables, 2)[:, None]


def _window(constant: Fraction, *factors: Fraction) -> Lowering:
    """Lowers a window to a constant: constant + Σ factor · cos(2π·k·at / turns), k = 1, 2, …."""

    def lowering(b: Builder, node: Source) -> list[Operand]:
        (given,) = node.exactly(1)
        size = _one(b, given, "size")
        turns = size if node.integer("periodic", 1) else size - 1
        if not 0 < size <= _LONGEST or turns == 0:
            raise Outside(f"a window of {size}", f"use 2 to {_LONGEST}")
        _only_float(node)
        words = [
            rounded(
                [(factor, Fraction(k * at, turns)) for k, factor in enumerate(factors, 1)], constant
            )
            for at in range(size)
        ]
        return [b.constant(float32.array(words, (size,)))]

    return lowering


def _mel_weights(b: Builder, node: Source) -> list[Operand]:
    """Gives triangles over the bins of a spectrum, whose corners lie evenly on the mel scale."""
    bins, length, rate = (
        _one(b, node.input(at), what)
        for at, what in enumerate(("num_mel_bins", "dft_length", "sample_rate"))
    )
    low, high = (_edge(b, node.input(at)) for at in (3, 4))
    _only_float(node)
    if not (0 < bins <= _LONGEST and 0 < length <= _LONGEST and rate > 0 and 0 <= low < high):
        raise Outside(f"{bins} bins of {length} points, {low} to {high} Hz", "fix the numbers")
    rows = length // 2 + 1
    bounded(b, rows, bins)
    scale = Fraction(length + 1, rate)
    corners = [_corner(low, high, Fraction(at, bins + 2), scale) for at in range(bins + 2)]
    if corners[-1] > rows:
        raise Outside(f"its bands end at bin {corners[-1]} of {rows}", "lower upper_edge_hertz")
    weights = np.zeros((rows, bins), np.float32)
    for band, corner in enumerate(zip(corners, corners[1:], corners[2:], strict=False)):
        for at, weight in _triangle(*corner):
            weights[at, band] = float32.array([float32.of_ratio(*weight.as_integer_ratio())], ())
    return [b.constant(weights)]


def _corner(low: Fraction, high: Fraction, part: Fraction, scale: Fraction) -> int:
    """Gives ⌊scale · f⌋, where f lies at this part of the way from low to high on the mel scale:
    1 + f/700 = (1 + low/700)^(1 − part) · (1 + high/700)^part. Powers of rationals decide."""
    whole, steps = part.denominator, part.numerator
    power = (1 + low / 700) ** (whole - steps) * (1 + high / 700) ** steps
    near = (1 + low / 700) * ((700 + high) / (700 + low)) ** float(part)
    bin_ = int(float(scale) * 700 * (float(near) - 1)) - 1
    while (1 + Fraction(bin_ + 1) / (700 * scale)) ** whole <= power:
        bin_ += 1
    return bin_


def _triangle(lower: int, center: int, higher: int) -> Iterator[tuple[int, Fraction]]:
    """Yields bins and weights that rise to 1 at the center and fall again."""
    yield from ((at, Fraction(at - lower, center - lower)) for at in range(lower, center))
    yield center, Fraction(1)
    yield from ((at, Fraction(higher - at, higher - center)) for at in range(center + 1, higher))


def _one(b: Builder, operand: Operand, what: str) -> int:
    found = integers(b, operand, what)
    if len(found) != 1:
        raise Outside(f"its {what} is {found}", "give one number")
    return found[0]


def _edge(b: Builder, operand: Operand) -> Fraction:
    known = b.known(operand)
    if known is None or known.size != 1 or not isfinite(known.item()):
        raise Outside("its edges are no constant numbers", "make them constant")
    return Fraction(known.item())


def _only_float(node: Source) -> None:
    if (code := node.integer("output_datatype", DType.FLOAT)) != DType.FLOAT:
        raise Outside(f"its output is of dtype {code}", "make it float32")


ONNX: dict[str, Lowering] = {
    "DFT": _dft,
    "STFT": _stft,
    "HannWindow": _window(Fraction(1, 2), Fraction(-1, 2)),
    "HammingWindow": _window(Fraction(25, 46), Fraction(-21, 46)),
    "BlackmanWindow": _window(Fraction(42, 100), Fraction(-1, 2), Fraction(8, 100)),
    "MelWeightMatrix": _mel_weights,
}
