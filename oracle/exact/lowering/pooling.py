"""Pools, over windows and over whole images."""

from collections.abc import Sequence
from math import prod

import numpy as np

from oracle.exact.lowering.builder import Builder
from oracle.exact.lowering.convolution import (
    channels_first,
    channels_last,
    image_axes,
    numbers,
    pads,
    steps,
)
from oracle.exact.lowering.reduce import integers, reduced
from oracle.exact.lowering.shape import bounded
from oracle.exact.lowering.source import Lowering, Source
from oracle.exact.ops.movement import REPLACE
from oracle.exact.primitive import Outside
from oracle.exact.program import Op, Operand
from oracle.tensor import Array, numpy_dtype
from oracle.types import DType


def _windows(node: Source, x: Operand) -> list[int]:
    """Reads kernel, stride, dilation, begin, end and overhang of each axis."""
    sizes = image_axes(x)
    kernel = node.integers("kernel_shape")
    if len(kernel) != len(sizes) or min(kernel) < 1:
        raise Outside(f"its kernel_shape is {kernel}", f"give {len(sizes)} positive numbers")
    strides = steps(node, "strides", len(sizes))
    dilations = steps(node, "dilations", len(sizes))
    reaches = [(k - 1) * dilation + 1 for k, dilation in zip(kernel, dilations, strict=True)]
    ceil = bool(node.integer("ceil_mode", 0))
    attributes: list[int] = []
    padding = pads(node, sizes, reaches, strides)
    for at, (begin, end) in enumerate(padding):
        if begin < 0 or end < 0:
            raise Outside(f"its pads are negative: {(begin, end)}", "fix the file")
        extent = sizes[at] + begin + end
        overhang = _overhang(sizes[at] + begin, extent, reaches[at], strides[at]) if ceil else 0
        attributes += [kernel[at], strides[at], dilations[at], begin, end, overhang]
    return attributes


def _overhang(end: int, extent: int, reach: int, stride: int) -> int:
    """Gives what ceil_mode adds for one more window, which must begin before the image's `end`."""
    windows = -(-(extent - reach) // stride) + 1
    if (windows - 1) * stride >= end:
        windows -= 1
    return max(0, (windows - 1) * stride + reach - extent)


def _max_pool(b: Builder, node: Source) -> list[Operand]:
    (x,) = node.exactly(1)
    columns = bool(node.integer("storage_order", 0))
    windows = _windows(node, x)
    pooled = channels_first(b, b.emit(Op.MAX_POOL, (channels_last(b, x),), 0, *windows))
    if node.outputs == 1:
        return [pooled]
    return [pooled, _places(b, x, pooled.type.shape, windows, columns)]


def _places(
    b: Builder, x: Operand, shape: tuple[int, ...], windows: Sequence[int], columns: bool
) -> Operand:
    """Emits the flat place in x of the largest element of each window, the first of equals. With
    `columns` the last axis of an image is counted slowest, though images follow each other."""
    sizes, images, spots = x.type.shape[2:], prod(x.type.shape[:2]), prod(shape[2:])
    bounded(b, images, spots, prod(windows[0::6]))
    taps = _taps(sizes, shape[2:], windows)
    flat = b.reshape(x, (images, prod(sizes), 1))
    read = b.emit(Op.GATHER, (flat, b.constant(taps.reshape(-1))))
    rows = b.reshape(read, (images * spots, taps.shape[1]))
    first = b.constant(np.arange(spots) * taps.shape[1])
    chosen = b.reshape(b.emit(Op.ARG_MAX, (rows,), 0), (images, spots))
    chosen = b.reshape(b.emit(Op.ADD, (chosen, first)), (images * spots,))
    order = np.arange(prod(sizes)).reshape(sizes, order="F" if columns else "C").reshape(-1)
    table = b.constant(order[taps].reshape(1, -1, 1))
    place = b.reshape(b.emit(Op.GATHER, (table, chosen)), (images, spots))
    image = b.constant(np.arange(images)[:, None] * prod(sizes))
    return b.reshape(b.emit(Op.ADD, (place, image)), shape)


def _taps(sizes: Sequence[int], spots: Sequence[int], windows: Sequence[int]) -> Array:
    """Gives the places that each window reads, [windows, taps]. In place of a tap beside the image
    stands the window's first one, so that nothing comes before what the window really reads."""
    places: Array = np.zeros((1, 1), np.int64)
    stands: Array = np.ones((1, 1), np.bool_)
    for axis, (size, count) in enumerate(zip(sizes, spots, strict=True)):
        kernel, stride, dilation, begin, *_ = windows[6 * axis : 6 * axis + 6]
        at = np.arange(count)[:, None] * stride - begin + np.arange(kernel) * dilation
        inside = (at >= 0) & (at < size)
        grid = places[:, None, :, None] * size + at[None, :, None, :]
        both = stands[:, None, :, None] & inside[None, :, None, :]
        places = grid.reshape(len(places) * count, -1)
        stands = both.reshape(places.shape)
    if not stands.any(axis=1).all():
        raise Outside("a window of it stands on padding alone", "pad less, or use no Indices")
    first = places[np.arange(len(places)), stands.argmax(axis=1)]
    return np.where(stands, places, first[:, None])


def _max_unpool(b: Builder, node: Source) -> list[Operand]:
    """Puts elements at the flat places that MaxPool gave; everything else is 0."""
    x, places = node.input(0), node.input(1)
    sizes = image_axes(x)
    kernel = numbers(node, "kernel_shape", (1,) * len(sizes))
    strides = steps(node, "strides", len(sizes))
    given = numbers(node, "pads", (0,) * (2 * len(sizes)))
    padding = zip(given[: len(sizes)], given[len(sizes) :], strict=True)
    shape = x.type.shape[:2] + tuple(
        (size - 1) * stride + reach - begin - end
        for size, stride, reach, (begin, end) in zip(sizes, strides, kernel, padding, strict=True)
    )
    asked = node.optional(2)
    if asked is not None and integers(b, asked, "output_shape") != shape:
        raise Outside(f"its output_shape is not {shape}", "leave it out, and Pad the result")
    if places.type.shape != x.type.shape or places.type.dtype is not DType.INT64:
        raise Outside(f"its places are {places.type} for {x.type}", "give MaxPool's Indices")
    bounded(b, *shape)
    nothing = b.constant(np.zeros((prod(shape), 1), numpy_dtype(x.type.dtype)))
    count = x.type.elements
    put = (nothing, b.reshape(places, (count,)), b.reshape(x, (count, 1)))
    return [b.reshape(b.emit(Op.SCATTER, put, REPLACE), shape)]


def _average_pool(b: Builder, node: Source) -> list[Operand]:
    (x,) = node.exactly(1)
    counted = int(node.integer("count_include_pad", 0) != 0)
    pooled = b.emit(Op.AVERAGE_POOL, (channels_last(b, x),), counted, *_windows(node, x))
    return [channels_first(b, pooled)]


def _lp_pool(b: Builder, node: Source) -> list[Operand]:
    """Lowers LpPool for p of 1 and 2. Σ|x|^p is a CONV with ones."""
    (x,) = node.exactly(1)
    p = _power(node)
    windows = _windows(node, x)
    channels, kernel = x.type.shape[1], windows[0::6]
    for axis in range(len(kernel)):  # overhang can be padding here: neither is a term
        windows[6 * axis + 4] += windows[6 * axis + 5]
        windows[6 * axis + 5] = 1
    ones = b.constant(np.ones((channels, *kernel, 1), np.float32))
    powers = b.emit(Op.ABS, (x,)) if p == 1 else b.emit(Op.MUL, (x, x))
    sums = b.emit(Op.CONV, (channels_last(b, powers), ones), channels, *windows)
    return [channels_first(b, sums if p == 1 else b.emit(Op.SQRT, (sums,)))]


def _power(node: Source) -> int:
    p = node.integer("p", 2)
    if p not in (1, 2):
        raise Outside(f"p = {p} is not covered", "use 1 or 2")
    return p


def _global(op: Op) -> Lowering:
    def lowering(b: Builder, node: Source) -> list[Operand]:
        (x,) = node.exactly(1)
        image_axes(x)
        return [reduced(b, op, x, range(2, len(x.type.shape)), True)]

    return lowering


def _global_lp_pool(b: Builder, node: Source) -> list[Operand]:
    (x,) = node.exactly(1)
    p = _power(node)
    axes = range(2, 2 + len(image_axes(x)))
    if p == 1:
        return [reduced(b, Op.REDUCE_SUM, b.emit(Op.ABS, (x,)), axes, True)]
    squares = reduced(b, Op.REDUCE_SUM, b.emit(Op.MUL, (x, x)), axes, True)
    return [b.emit(Op.SQRT, (squares,))]


ONNX: dict[str, Lowering] = {
    "MaxPool": _max_pool,
    "MaxUnpool": _max_unpool,
    "AveragePool": _average_pool,
    "LpPool": _lp_pool,
    "GlobalAveragePool": _global(Op.REDUCE_MEAN),
    "GlobalMaxPool": _global(Op.REDUCE_MAX),
    "GlobalLpPool": _global_lp_pool,
}
