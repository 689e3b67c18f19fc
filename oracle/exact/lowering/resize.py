"""Resize and Upsample: every output reads a few constant places of an axis, with constant weights.

Axis by axis, from the first: the taps are gathered, multiplied and added from the left, each step
rounded. Coordinates and weights are rational numbers until they are rounded to float32.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import floor

import numpy as np

from oracle.exact.builder import Builder
from oracle.exact.lowering.indexing import taken
from oracle.exact.lowering.reduce import integers
from oracle.exact.lowering.shape import bounded
from oracle.exact.primitive import Outside
from oracle.exact.program import Op, Operand
from oracle.exact.source import Lowering, Source, normalized
from oracle.types import DType

_HALF = Fraction(1, 2)
_NEAREST: dict[str, Callable[[Fraction], int]] = {
    "round_prefer_floor": lambda x: -floor(_HALF - x),
    "round_prefer_ceil": lambda x: floor(x + _HALF),
    "floor": floor,
    "ceil": lambda x: -floor(-x),
}


@dataclass(frozen=True, slots=True)
class _Axis:
    """`start` and `end` are those of tf_crop_and_resize."""

    size: int
    length: int
    """Of the output."""
    scale: Fraction
    start: Fraction = Fraction(0)
    end: Fraction = Fraction(1)

    def coordinate(self, at: int, mode: str) -> Fraction:
        """Where output `at` lies in the input."""
        match mode:
            case "half_pixel":
                return (at + _HALF) / self.scale - _HALF
            case "half_pixel_symmetric":
                adjustment = self.length / (self.scale * self.size)
                offset = Fraction(self.size, 2) * (1 - adjustment)
                return offset + (at + _HALF) / self.scale - _HALF
            case "pytorch_half_pixel":
                return (at + _HALF) / self.scale - _HALF if self.length > 1 else Fraction(0)
            case "align_corners":
                return Fraction(at * (self.size - 1), max(self.length - 1, 1))
            case "asymmetric":
                return at / self.scale
            case "tf_half_pixel_for_nn":
                return (at + _HALF) / self.scale
            case "tf_crop_and_resize":
                if self.length == 1:
                    return _HALF * (self.start + self.end) * (self.size - 1)
                span = (self.end - self.start) * (self.size - 1)
                return self.start * (self.size - 1) + at * span / (self.length - 1)
        raise Outside(f"coordinates {mode!r} are not covered", "use half_pixel")


Taps = tuple[tuple[int, Fraction], ...]
"""(place, weight) of each tap; a place may lie beyond the axis, and is then read as the nearest."""


def _linear(x: Fraction) -> Taps:
    low = floor(x)
    return (low, 1 - (x - low)), (low + 1, x - low)


def _cubic(a: Fraction) -> Callable[[Fraction], Taps]:
    """Keys's convolution."""

    def weight(d: Fraction) -> Fraction:
        if d <= 1:
            return (a + 2) * d**3 - (a + 3) * d**2 + 1
        return a * (d**3 - 5 * d**2 + 8 * d - 4)

    def taps(x: Fraction) -> Taps:
        low = floor(x)
        return tuple((low + k, weight(abs(x - low - k))) for k in range(-1, 3))

    return taps


def _resize(b: Builder, node: Source) -> list[Operand]:
    x = node.input(0)
    rank = len(x.type.shape)
    mode = node.text("mode", "nearest")
    if node.opset < 11:
        axes = _scaled(b, node, x.type.shape, 1)
        return [_resized(b, node, x, axes, mode, "asymmetric", "floor")]
    coordinates = node.text("coordinate_transformation_mode", "half_pixel")
    nearest = node.text("nearest_mode", "round_prefer_floor")
    if node.integer("antialias", 0):
        raise Outside("antialias is not covered", "export without it")
    over = node.integers("axes", ()) if node.opset >= 18 else ()
    at = [normalized(axis, rank) for axis in over] or list(range(rank))
    axes = _axes(b, node, x.type.shape, at, coordinates)
    return [_resized(b, node, x, axes, mode, coordinates, nearest)]


def _upsample(b: Builder, node: Source) -> list[Operand]:
    x = node.input(0)
    if node.opset < 9:
        scales = [Fraction(float(scale)) for scale in node.reals("scales")]
        axes = _by_scales(x.type.shape, list(range(len(x.type.shape))), scales)
    else:
        axes = _scaled(b, node, x.type.shape, 1)
    mode = node.text("mode", "nearest")
    return [_resized(b, node, x, axes, mode, "asymmetric", "floor")]


def _scaled(b: Builder, node: Source, shape: tuple[int, ...], place: int) -> dict[int, _Axis]:
    return _by_scales(shape, list(range(len(shape))), _reals(b, node.input(place), "scales"))


def _reals(b: Builder, operand: Operand, what: str) -> list[Fraction]:
    known = b.known(operand)
    if known is None:
        raise Outside(f"its {what} depend on the model's inputs", f"make its {what} constant")
    if operand.type.dtype is not DType.FLOAT or not np.isfinite(known).all():
        raise Outside(f"its {what} are {known.tolist()}", "fix the file")
    return [Fraction(float(value)) for value in known.reshape(-1)]


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
    if len(roi) != 2 * len(at):
        raise Outside(f"its roi has {len(roi)} numbers for {len(at)} axes", "fix the file")
    return {
        axis: _Axis(one.size, one.length, one.scale, roi[i], roi[i + len(at)])
        for i, (axis, one) in enumerate((axis, axes[axis]) for axis in at)
    }


def _by_scales(
    shape: tuple[int, ...], at: Sequence[int], scales: Sequence[Fraction]
) -> dict[int, _Axis]:
    if len(scales) != len(at) or min(scales, default=Fraction(1)) <= 0:
        raise Outside(f"its scales are {[float(s) for s in scales]}", "give a positive one an axis")
    return {
        axis: _Axis(shape[axis], floor(shape[axis] * scale), scale)
        for axis, scale in zip(at, scales, strict=True)
    }


def _by_sizes(
    shape: tuple[int, ...], at: Sequence[int], sizes: Sequence[int], policy: str
) -> dict[int, _Axis]:
    if len(sizes) != len(at) or min(sizes, default=1) < 1 or any(shape[axis] < 1 for axis in at):
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
    a = Fraction(node.real("cubic_coeff_a", -0.75)) if node.opset >= 11 else Fraction(-3, 4)
    outside = bool(node.integer("exclude_outside", 0)) if node.opset >= 11 else False
    fill = node.real("extrapolation_value", 0.0) if node.opset >= 11 else 0.0
    if mode not in ("nearest", "linear", "cubic") or nearest not in _NEAREST:
        raise Outside(f"mode {mode!r}, {nearest!r} is not covered", "use nearest or linear")
    for number, axis in axes.items():
        if axis.length == axis.size and axis.scale == 1 and coordinates != "tf_crop_and_resize":
            continue
        shape = x.type.shape
        bounded(b, *shape[:number], axis.length, *shape[number + 1 :])
        points = [axis.coordinate(i, coordinates) for i in range(axis.length)]
        beyond = [
            coordinates == "tf_crop_and_resize" and not 0 <= point <= axis.size - 1
            for point in points
        ]
        if mode == "nearest":
            places = [min(max(_NEAREST[nearest](p), 0), axis.size - 1) for p in points]
            x = taken(b, x, places, number)
        else:
            taps = map(_linear if mode == "linear" else _cubic(a), points)
            x = _weighted(b, x, number, [_inside(t, axis.size, outside) for t in taps])
        if any(beyond):
            mask = np.array(beyond).reshape(-1, *[1] * (len(shape) - number - 1))
            x = b.emit(Op.WHERE, (b.constant(mask), b.scalar(fill), x))
    return x


def _inside(taps: Taps, size: int, exclude: bool) -> Taps:
    """Taps on places of the axis; those beyond weigh nothing if `exclude`, and the others more."""
    if exclude:
        total = sum(weight for place, weight in taps if 0 <= place < size)
        taps = tuple((p, w / total if 0 <= p < size else Fraction(0)) for p, w in taps)
    return tuple((min(max(place, 0), size - 1), weight) for place, weight in taps)


def _weighted(b: Builder, x: Operand, axis: int, taps: Sequence[Taps]) -> Operand:
    total: Operand | None = None
    for column in zip(*taps, strict=True):
        weights = np.array([float(weight) for _, weight in column], np.float32)
        if not weights.any():
            continue
        part = taken(b, x, [place for place, _ in column], axis)
        if (weights != 1).any():
            wide = weights.reshape(-1, *[1] * (len(x.type.shape) - axis - 1))
            part = b.emit(Op.MUL, (part, b.constant(wide)))
        total = part if total is None else b.emit(Op.ADD, (total, part))
    if total is None:
        raise Outside("all its weights are zero", "fix the file")
    return total


ONNX: dict[str, Lowering] = {"Resize": _resize, "Upsample": _upsample}
