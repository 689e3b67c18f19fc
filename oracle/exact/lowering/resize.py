"""Resize and Upsample: every output reads a few constant places of an axis, with constant weights.

One axis after another the taps are gathered, multiplied and added from the left, each step rounded.
Coordinates, weights and lengths are computed in float32 too, step by step, as onnxruntime does,
because in rational numbers 10 · 0.7 would be a little less than 7.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil, floor
from typing import TypeAlias

import numpy as np

from oracle.exact.lowering.builder import Builder
from oracle.exact.lowering.indexing import taken
from oracle.exact.lowering.reduce import integers
from oracle.exact.lowering.shape import bounded
from oracle.exact.lowering.source import Lowering, Source, normalized
from oracle.exact.primitive import Outside
from oracle.exact.program import Op, Operand
from oracle.types import DType

Number: TypeAlias = np.float32

_LARGEST = 1 << 20  # of a scale, size or corner, so that no coordinate overflows
_ZERO, _HALF, _ONE = np.float32(0), np.float32(0.5), np.float32(1)
_NEAREST: dict[str, Callable[[Number], int]] = {
    "round_prefer_floor": lambda x: ceil(x - _HALF),
    "round_prefer_ceil": lambda x: floor(x + _HALF),
    "floor": floor,
    "ceil": ceil,
}


@dataclass(frozen=True, slots=True)
class _Axis:
    """How one axis is resized. `start` and `end` are those of tf_crop_and_resize."""

    size: int
    length: int
    """The length of the output."""
    scale: Number
    start: Number = _ZERO
    end: Number = _ONE

    def coordinate(self, at: int, mode: str) -> Number:
        """Gives the coordinate in the input of the output's place `at`."""
        x, last = Number(at), Number(self.size - 1)
        steps = Number(max(self.length - 1, 1))
        match mode:
            case "half_pixel":
                return (x + _HALF) / self.scale - _HALF
            case "half_pixel_symmetric":
                size = Number(self.size)
                offset = size * _HALF * (_ONE - Number(self.length) / (self.scale * size))
                return offset + (x + _HALF) / self.scale - _HALF
            case "pytorch_half_pixel":
                return (x + _HALF) / self.scale - _HALF if self.length > 1 else _ZERO
            case "align_corners":
                return x * last / steps
            case "asymmetric":
                return x / self.scale
            case "tf_half_pixel_for_nn":
                return (x + _HALF) / self.scale
            case "tf_crop_and_resize" if self.length == 1:
                return _HALF * (self.start + self.end) * last
            case "tf_crop_and_resize":
                return self.start * last + x * (self.end - self.start) * last / steps
        raise Outside(f"coordinates {mode!r} are not covered", "use half_pixel")


Taps = tuple[tuple[int, Number], ...]
"""(place, weight) of each tap. A place beyond the axis is read as the nearest on it."""


def _linear(x: Number) -> Taps:
    low = floor(x)
    above = x - Number(low)
    return (low, _ONE - above), (low + 1, above)


def _cubic(a: Number) -> Callable[[Number], Taps]:
    """Makes the taps of cubic interpolation by Keys's convolution."""
    two, three, four, five, eight = map(Number, (2, 3, 4, 5, 8))

    def weight(d: Number) -> Number:
        if d <= _ONE:
            return ((a + two) * d - (a + three)) * d * d + _ONE
        return ((a * d - five * a) * d + eight * a) * d - four * a

    def taps(x: Number) -> Taps:
        low = floor(x)
        return tuple((low + k, weight(np.abs(x - Number(low + k)))) for k in range(-1, 3))

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
        scales = [Number(scale) for scale in node.reals("scales")]
        axes = _by_scales(x.type.shape, list(range(len(x.type.shape))), scales)
    else:
        axes = _scaled(b, node, x.type.shape, 1)
    mode = node.text("mode", "nearest")
    return [_resized(b, node, x, axes, mode, "asymmetric", "floor")]


def _scaled(b: Builder, node: Source, shape: tuple[int, ...], place: int) -> dict[int, _Axis]:
    return _by_scales(shape, list(range(len(shape))), _reals(b, node.input(place), "scales"))


def _reals(b: Builder, operand: Operand, what: str) -> list[Number]:
    known = b.known(operand)
    if known is None:
        raise Outside(f"its {what} depend on the model's inputs", f"make its {what} constant")
    if operand.type.dtype is not DType.FLOAT or not np.isfinite(known).all():
        raise Outside(f"its {what} are {known.tolist()}", "fix the file")
    return [Number(value) for value in known.reshape(-1)]


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
        raise Outside(f"its roi is {[float(c) for c in roi]} for {len(at)} axes", "fix the file")
    return {
        axis: _Axis(one.size, one.length, one.scale, roi[i], roi[i + len(at)])
        for i, (axis, one) in enumerate((axis, axes[axis]) for axis in at)
    }


def _by_scales(
    shape: tuple[int, ...], at: Sequence[int], scales: Sequence[Number]
) -> dict[int, _Axis]:
    if len(scales) != len(at) or not all(0 < scale <= _LARGEST for scale in scales):
        raise Outside(f"its scales are {[float(s) for s in scales]}", "give a positive one an axis")
    return {
        axis: _Axis(shape[axis], floor(Number(shape[axis]) * scale), scale)
        for axis, scale in zip(at, scales, strict=True)
    }


def _by_sizes(
    shape: tuple[int, ...], at: Sequence[int], sizes: Sequence[int], policy: str
) -> dict[int, _Axis]:
    if (
        len(sizes) != len(at)
        or not all(0 < size <= _LARGEST for size in sizes)
        or any(shape[axis] < 1 for axis in at)
    ):
        raise Outside(f"its sizes are {tuple(sizes)}", "give a positive one an axis")
    scales = [Number(size) / Number(shape[axis]) for size, axis in zip(sizes, at, strict=True)]
    if policy == "stretch":
        return {
            axis: _Axis(shape[axis], size, scale)
            for axis, size, scale in zip(at, sizes, scales, strict=True)
        }
    if policy not in ("not_larger", "not_smaller"):
        raise Outside(f"policy {policy!r} is unknown", "use stretch")
    scale = min(scales) if policy == "not_larger" else max(scales)
    return {
        axis: _Axis(shape[axis], floor(Number(shape[axis]) * scale + _HALF), scale) for axis in at
    }


def _resized(
    b: Builder,
    node: Source,
    x: Operand,
    axes: dict[int, _Axis],
    mode: str,
    coordinates: str,
    nearest: str,
) -> Operand:
    a = Number(node.real("cubic_coeff_a", -0.75) if node.opset >= 11 else -0.75)
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
    """Moves taps beyond the axis to the nearest place. With `exclude` they weigh nothing, and
    the other weights are divided by their sum."""
    if exclude:
        total = _ZERO
        for place, weight in taps:
            total = total + weight if 0 <= place < size else total
        taps = tuple((p, w / total if 0 <= p < size else _ZERO) for p, w in taps)
    return tuple((min(max(place, 0), size - 1), weight) for place, weight in taps)


def _weighted(b: Builder, x: Operand, axis: int, taps: Sequence[Taps]) -> Operand:
    total: Operand | None = None
    for column in zip(*taps, strict=True):
        weights = np.array([weight for _, weight in column], np.float32)
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
