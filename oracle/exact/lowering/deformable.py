"""DeformConv: a convolution whose taps stand where another tensor moves them."""

from collections.abc import Sequence
from math import prod

import numpy as np

from oracle.exact.lowering.builder import Builder
from oracle.exact.lowering.convolution import (
    channels_first,
    channels_last,
    image_axes,
    numbers,
    steps,
)
from oracle.exact.lowering.indexing import joined, taken
from oracle.exact.lowering.sampling import Reader
from oracle.exact.lowering.shape import bounded
from oracle.exact.lowering.source import Lowering, Source
from oracle.exact.primitive import Outside
from oracle.exact.program import Op, Operand
from oracle.tensor import Array


def _deform_conv(b: Builder, node: Source) -> list[Operand]:
    """Reads each tap as GridSample does, between elements, and 0 beyond the image; MULs it by the
    mask, and DOTs the taps of a window with the weights."""
    x, w, offset = (node.input(at) for at in range(3))
    sizes, kernel = image_axes(x), w.type.shape[2:]
    if len(kernel) != len(sizes) or node.integers("kernel_shape", kernel) != kernel:
        raise Outside(f"weights {w.type} do not fit its input or kernel_shape", "fix the file")
    group, movers = node.integer("group", 1), node.integer("offset_group", 1)
    (batch, channels), outputs = x.type.shape[:2], w.type.shape[0]
    if min(group, movers) < 1 or channels % group or channels % movers or outputs % group:
        raise Outside(f"{group} groups, {movers} of offsets, of {x.type} and {w.type}", "fix them")
    bases = _bases(b, node, sizes, kernel)
    taps, *shape = bases[0].shape
    mask = node.optional(4)
    if (
        w.type.shape[1] != channels // group
        or offset.type.shape != (batch, movers * taps * len(sizes), *shape)
        or (mask is not None and mask.type.shape != (batch, movers * taps, *shape))
    ):
        raise Outside(f"{x.type} by {w.type} at {offset.type}", "fix the shapes")
    read = _taps(b, x, offset, mask, bases, movers)
    columns = b.reshape(b.transpose(read, (0, 2, 3, 1)), (batch * prod(shape), channels, taps))
    out = _products(b, columns, w, node.optional(3), group)
    return [channels_first(b, b.reshape(out, (batch, *shape, outputs)))]


def _taps(
    b: Builder,
    x: Operand,
    offset: Operand,
    mask: Operand | None,
    bases: Sequence[Array],
    movers: int,
) -> Operand:
    """Emits what every tap reads, [N, taps, windows, C]. Channels go in `movers` groups, each with
    offsets of its own."""
    batch, channels, *sizes = x.type.shape
    (taps, *shape), axes, width = bases[0].shape, len(bases), channels // movers
    count = taps * prod(shape)
    bounded(b, batch, count, channels)
    image, read = channels_last(b, x), []
    moved = b.reshape(offset, (batch, movers, taps, axes, *shape))
    starts = b.constant(np.repeat(np.arange(batch) * prod(sizes), count).reshape(-1, 1))
    for mover in range(movers):
        part = taken(b, image, range(mover * width, (mover + 1) * width), axes + 1)
        own = b.reshape(taken(b, moved, [mover], 1), (batch, taps, axes, *shape))
        along = (b.reshape(taken(b, own, [a], 2), (batch, taps, *shape)) for a in range(axes))
        spots = [_spots(b, *each) for each in zip(along, bases, sizes, strict=True)]
        rows = b.reshape(part, (1, batch * prod(sizes), width))
        found = Reader(b, rows, sizes, "linear", "zeros").read(spots, starts, None)
        if mask is not None:
            factors = taken(b, b.reshape(mask, (batch, movers, count)), [mover], 1)
            found = b.emit(Op.MUL, (found, b.reshape(factors, (batch * count, 1))))
        read.append(b.reshape(found, (batch, taps, prod(shape), width)))
    return joined(b, read, 3)


def _bases(b: Builder, node: Source, sizes: Sequence[int], kernel: Sequence[int]) -> list[Array]:
    """Gives for each axis where the taps stand unmoved, [taps, *windows]."""
    axes, taps = len(sizes), prod(kernel)
    strides, dilations = steps(node, "strides", axes), steps(node, "dilations", axes)
    pads = numbers(node, "pads", (0,) * (2 * axes))
    spans = [
        size + pads[at] + pads[at + axes] - (kernel[at] - 1) * dilations[at] - 1
        for at, size in enumerate(sizes)
    ]
    windows = [max(0, span // stride + 1) for span, stride in zip(spans, strides, strict=True)]
    bounded(b, taps, *windows)
    found = []
    for at in range(axes):
        firsts = np.arange(windows[at]) * strides[at] - pads[at]
        shape = [1] * (2 * axes)
        shape[at], shape[axes + at] = kernel[at], windows[at]
        spots = (firsts + np.arange(kernel[at])[:, None] * dilations[at]).reshape(shape)
        found.append(np.broadcast_to(spots, (*kernel, *windows)).reshape(taps, *windows))
    return found


def _spots(b: Builder, offset: Operand, base: Array, size: int) -> Operand:
    """Emits where the taps stand along one axis, as a column. What lies two elements or more beyond
    the image reads nothing wherever it is."""
    spots = b.emit(Op.ADD, (offset, b.constant(base.astype(np.float32))))
    near = b.emit(Op.MIN, (b.emit(Op.MAX, (spots, b.scalar(-2.0))), b.scalar(size + 1.0)))
    return b.reshape(near, (near.type.elements, 1))


def _products(
    b: Builder, columns: Operand, w: Operand, bias: Operand | None, group: int
) -> Operand:
    """Emits [rows, O] of columns [rows, C, taps]: one DOT for each group of channels."""
    rows, channels, taps = columns.type.shape
    outputs, each = w.type.shape[0] // group, channels // group
    parts = []
    for at in range(group):
        own = [range(at * size, (at + 1) * size) for size in (outputs, each)]
        weights = b.reshape(taken(b, w, own[0], 0), (outputs, each * taps))
        some = b.reshape(taken(b, columns, own[1], 1), (rows, each * taps))
        added = [taken(b, bias, own[0], 0)] if bias is not None else []
        parts.append(b.emit(Op.DOT, (some, weights, *added)))
    return joined(b, parts, 1)


ONNX: dict[str, Lowering] = {"DeformConv": _deform_conv}
