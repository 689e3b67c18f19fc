"""Resize and Upsample: every output reads a few constant places of an axis, with constant weights.

One axis after another the taps are gathered, multiplied and added from the left, each step rounded.
Coordinates and weights depend on the file alone and are computed in rational numbers; a weight is
rounded once. A scale of 0.6 is 3/5 there, and not the float32 next to it: 1.5 / 0.6 is a tie that
decides which element is the nearest, and what the file says of it is a rounded number.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil, floor, isfinite, lcm

import numpy as np

from oracle.exact import float32
from oracle.exact.lowering.builder import Builder
from oracle.exact.lowering.indexing import taken
from oracle.exact.lowering.reduce import integers
from oracle.exact.lowering.shape import bounded
from oracle.exact.lowering.source import Lowering, Source, normalized
from oracle.exact.primitive import Outside
from oracle.exact.program import Op, Operand
from oracle.tensor import Array
from oracle.types import DType

_LARGEST = 1 << 20  # of a scale, size or corner, so that no coordinate overflows
_HALF = Fraction(1, 2)
_NEAREST: dict[str, Callable[[int, int], int]] = {
    "round_prefer_floor": lambda n, d: -((d - 2 * n) // (2 * d)),
    "round_prefer_ceil": lambda n, d: (2 * n + d) // (2 * d),
    "floor": lambda n, d: n // d,
    "ceil": lambda n, d: -(-n // d),
}
"""The place nearest to n / d."""


@dataclass(frozen=True, slots=True)
class _Axis:
    """How one axis is resized. `start` and `end` are those of tf_crop_and_resize."""

    size: int
    length: int
    """The length of the output."""
    scale: Fraction
    start: Fraction = Fraction(0)
    end: Fraction = Fraction(1)

    def coordinates(self, mode: str) -> tuple[list[int], int]:
        """Gives the coordinate in the input of each place in the output, as numerators of one
        denominator."""
        first, step = self._line(mode)
        unit = lcm(first.denominator, step.denominator)
        start, stride = int(first * unit), int(step * unit)
        return [start + at * stride for at in range(self.length)], unit

    def _line(self, mode: str) -> tuple[Fraction, Fraction]:
        """Gives the first coordinate, and the step from each to the next."""
        step, last = 1 / self.scale, self.size - 1
        steps = max(self.length - 1, 1)
        match mode:
            case "half_pixel":
                return _HALF * step - _HALF, step
            case "half_pixel_symmetric":
                offset = _HALF * (self.size - self.length * step)
                return offset + _HALF * step - _HALF, step
            case "pytorch_half_pixel":
                return (_HALF * step - _HALF if self.length > 1 else Fraction(0)), step
            case "align_corners":
                return Fraction(0), Fraction(last, steps)
            case "asymmetric":
                return Fraction(0), step
            case "tf_half_pixel_for_nn":
                return _HALF * step, step
            case "tf_crop_and_resize" if self.length == 1:
                return _HALF * (self.start + self.end) * last, Fraction(0)
            case "tf_crop_and_resize":
                return self.start * last, (self.end - self.start) * last / steps
        raise Outside(f"coordinates {mode!r} are not covered", "use half_pixel")


Taps = tuple[tuple[int, int], ...]
"""(place, weight) of each tap. A place beyond the axis is read as the nearest on it. Weights are
integers, to be divided by their sum."""
TapsOf = Callable[[int, int], Taps]
"""Gives the taps of the coordinate n / d."""


def _filter(reach: int, weight: Callable[[int, int], int], stretch: Fraction) -> TapsOf:
    """Makes the taps of a filter, which weighs what is less than `reach` away. antialias widens it
    to reach / stretch, so that it reads all that one place of a smaller image stands for."""
    first = floor(-reach / stretch) + 1
    up, down = stretch.numerator, stretch.denominator

    def taps(n: int, d: int) -> Taps:
        places = range(n // d + first, n // d + 2 - first)
        distances = (abs(n - place * d) * up for place in places)
        unit = d * down
        return tuple(
            (place, weight(distance, unit) if distance < reach * unit else 0)
            for place, distance in zip(places, distances, strict=True)
        )

    return taps


def _linear(t: int, d: int) -> int:
    """Gives the weight at distance t / d, times d."""
    return d - t


def _cubic(a: Fraction) -> Callable[[int, int], int]:
    """Makes the weight of cubic interpolation by Keys's convolution."""
    p, q = a.numerator, a.denominator

    def weight(t: int, d: int) -> int:
        """Gives the weight at distance t / d, times q·d³."""
        if t <= d:
            return ((p + 2 * q) * t - (p + 3 * q) * d) * t * t + q * d**3
        return p * (((t - 5 * d) * t + 8 * d * d) * t - 4 * d**3)

    return weight


def _resize(b: Builder, node: Source) -> list[Operand]:
    x = node.input(0)
    rank = len(x.type.shape)
    mode = node.text("mode", "nearest")
    if node.opset < 11:
        axes = _scaled(b, node, x.type.shape, 1)
        return [_resized(b, node, x, axes, mode, "asymmetric", "floor")]
    coordinates = node.text("coordinate_transformation_mode", "half_pixel")
    nearest = node.text("nearest_mode", "round_prefer_floor")
    over = node.integers("axes", ()) if node.opset >= 18 else ()
    at = [normalized(axis, rank) for axis in over] or list(range(rank))
    axes = _axes(b, node, x.type.shape, at, coordinates)
    return [_resized(b, node, x, axes, mode, coordinates, nearest)]


def _upsample(b: Builder, node: Source) -> list[Operand]:
    x = node.input(0)
    if node.opset < 9:
        scales = _finite(node.reals("scales"))
        axes = _by_scales(x.type.shape, list(range(len(x.type.shape))), scales)
    else:
        axes = _scaled(b, node, x.type.shape, 1)
    mode = node.text("mode", "nearest")
    return [_resized(b, node, x, axes, mode, "asymmetric", "floor")]


def _scaled(b: Builder, node: Source, shape: tuple[int, ...], place: int) -> dict[int, _Axis]:
    return _by_scales(shape, list(range(len(shape))), _reals(b, node.input(place), "scales"))


def _reals(b: Builder, operand: Operand, what: str) -> list[float]:
    known = b.known(operand)
    if known is None:
        raise Outside(f"its {what} depend on the model's inputs", f"make its {what} constant")
    if operand.type.dtype is not DType.FLOAT:
        raise Outside(f"its {what} are {known.dtype}", "give float32")
    return _finite(known)


def _finite(numbers: Array) -> list[float]:
    if not np.isfinite(numbers).all():
        raise Outside(f"it is resized by {numbers.tolist()}", "fix the file")
    values: list[float] = numbers.reshape(-1).tolist()
    return values


def meant(value: float) -> Fraction:
    """Gives the simplest fraction that is rounded to this float32: what a file means by a number
    that it cannot hold. It is the number itself where that has few digits."""
    if value < 0:
        return -meant(-value)
    if value.is_integer():
        return Fraction(value)
    below, above = (
        (Fraction(value) + Fraction(float(np.nextafter(np.float32(value), np.float32(end))))) / 2
        for end in (0, np.inf)
    )
    return _simplest(below, above)


def _simplest(low: Fraction, high: Fraction) -> Fraction:
    """Gives the fraction of the least denominator between two, by continued fractions."""
    whole = ceil(low)
    if whole <= high:
        return Fraction(whole)
    return whole - 1 + 1 / _simplest(1 / (high - whole + 1), 1 / (low - whole + 1))


def _axes(
    b: Builder, node: Source, shape: tuple[int, ...], at: list[int], coordinates: str
) -> dict[int, _Axis]:
    policy = node.text("keep_aspect_ratio_policy", "stretch") if node.opset >= 18 else "stretch"
    scales, sizes = node.optional(2), node.optional(3)
    if sizes is not None:
        axes = _by_sizes(shape, at, integers(b, sizes, "sizes"), policy)
    elif scales is not None:
        axes = _by_scales(shape, at, _reals(b, scales, "scales"))
    else:
        raise Outside("it has neither scales nor sizes", "fix the file")
    if coordinates != "tf_crop_and_resize":
        return axes
    roi = _reals(b, node.input(1), "roi")
    if len(roi) != 2 * len(at) or not all(abs(corner) <= _LARGEST for corner in roi):
        raise Outside(f"its roi is {roi} for {len(at)} axes", "fix the file")
    return {
        axis: replace(axes[axis], start=meant(roi[i]), end=meant(roi[i + len(at)]))
        for i, axis in enumerate(at)
    }


def _by_scales(
    shape: tuple[int, ...], at: Sequence[int], scales: Sequence[float]
) -> dict[int, _Axis]:
    if len(scales) != len(at) or not all(0 < scale <= _LARGEST for scale in scales):
        raise Outside(f"its scales are {list(scales)}", "give a positive one an axis")
    return {
        axis: _Axis(shape[axis], _length(shape[axis], scale), meant(scale))
        for axis, scale in zip(at, scales, strict=True)
    }


def _length(size: int, scale: float) -> int:
    """Gives the length that onnxruntime gives: the product in float32, cut off. What comes behind
    in the file counts on it."""
    return int(np.float32(size) * np.float32(scale))


def _by_sizes(
    shape: tuple[int, ...], at: Sequence[int], sizes: Sequence[int], policy: str
) -> dict[int, _Axis]:
    if (
        len(sizes) != len(at)
        or not all(0 < size <= _LARGEST for size in sizes)
        or any(shape[axis] < 1 for axis in at)
    ):
        raise Outside(f"its sizes are {tuple(sizes)}", "give a positive one an axis")
    scales = [Fraction(size, shape[axis]) for size, axis in zip(sizes, at, strict=True)]
    if policy == "stretch":
        return {
            axis: _Axis(shape[axis], size, scale)
            for axis, size, scale in zip(at, sizes, scales, strict=True)
        }
    if policy not in ("not_larger", "not_smaller"):
        raise Outside(f"policy {policy!r} is unknown", "use stretch")
    scale = min(scales) if policy == "not_larger" else max(scales)
    return {axis: _Axis(shape[axis], floor(shape[axis] * scale + _HALF), scale) for axis in at}


def _resized(
    b: Builder,
    node: Source,
    x: Operand,
    axes: dict[int, _Axis],
    mode: str,
    coordinates: str,
    nearest: str,
) -> Operand:
    a = node.real("cubic_coeff_a", -0.75) if node.opset >= 11 else -0.75
    outside = bool(node.integer("exclude_outside", 0)) if node.opset >= 11 else False
    fill = node.real("extrapolation_value", 0.0) if node.opset >= 11 else 0.0
    if mode not in ("nearest", "linear", "cubic") or nearest not in _NEAREST:
        raise Outside(f"mode {mode!r}, {nearest!r} is not covered", "use nearest or linear")
    antialias = bool(node.integer("antialias", 0)) if node.opset >= 18 else False
    if antialias and (mode == "nearest" or coordinates == "tf_crop_and_resize"):
        raise Outside(f"antialias of {mode}, {coordinates} is not covered", "export without it")
    if not isfinite(a):
        raise Outside(f"its cubic_coeff_a is {a}", "fix the file")
    for number, axis in axes.items():
        if axis.length == axis.size and axis.scale == 1 and coordinates != "tf_crop_and_resize":
            continue
        shape = x.type.shape
        bounded(b, *shape[:number], axis.length, *shape[number + 1 :])
        points, unit = axis.coordinates(coordinates)
        beyond = [
            coordinates == "tf_crop_and_resize" and not 0 <= point <= (axis.size - 1) * unit
            for point in points
        ]
        if mode == "nearest":
            nearest_to = _NEAREST[nearest]
            places = [min(max(nearest_to(p, unit), 0), axis.size - 1) for p in points]
            x = taken(b, x, places, number)
        else:
            stretch = min(axis.scale, Fraction(1)) if antialias else Fraction(1)
            bounded(b, axis.length, ceil(4 / stretch) + 2)
            taps_of = (
                _filter(1, _linear, stretch)
                if mode == "linear"
                else _filter(2, _cubic(meant(a)), stretch)
            )
            x = _weighted(b, x, number, [taps_of(p, unit) for p in points], outside)
        if any(beyond):
            mask = np.array(beyond).reshape(-1, *[1] * (len(shape) - number - 1))
            x = b.emit(Op.WHERE, (b.constant(mask), b.scalar(fill), x))
    return x


def _weighted(b: Builder, x: Operand, axis: int, taps: Sequence[Taps], exclude: bool) -> Operand:
    """Emits the sum of the taps. With `exclude`, those beyond the axis weigh nothing."""
    size = x.type.shape[axis]
    weights = np.array([_weights(each, size, exclude) for each in taps])
    total: Operand | None = None
    for place, column in enumerate(weights.T):
        if not column.any():
            continue
        part = taken(b, x, [min(max(each[place][0], 0), size - 1) for each in taps], axis)
        if (column != 1).any():
            wide = column.reshape(-1, *[1] * (len(x.type.shape) - axis - 1))
            part = b.emit(Op.MUL, (part, b.constant(wide)))
        total = part if total is None else b.emit(Op.ADD, (total, part))
    if total is None:
        raise Outside("all its weights are zero", "fix the file")
    return total


def _weights(taps: Taps, size: int, exclude: bool) -> Array:
    """Gives the taps' weights, rounded once."""
    kept = [0 if exclude and not 0 <= place < size else weight for place, weight in taps]
    total = sum(kept)
    sign = -1 if total < 0 else 1
    ratios = (float32.of_ratio(sign * each, sign * total) if total else 0 for each in kept)
    return float32.array(ratios, (len(taps),))


ONNX: dict[str, Lowering] = {"Resize": _resize, "Upsample": _upsample}
