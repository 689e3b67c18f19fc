"""Col2Im: columns of blocks are added up to the image that they were cut from."""

from collections.abc import Sequence
from math import prod

import numpy as np

from oracle.exact.lowering.builder import Builder
from oracle.exact.lowering.convolution import numbers, steps
from oracle.exact.lowering.indexing import joined
from oracle.exact.lowering.movement import gather
from oracle.exact.lowering.reduce import integers
from oracle.exact.lowering.shape import bounded
from oracle.exact.lowering.source import Lowering, Source
from oracle.exact.primitive import Outside
from oracle.exact.program import Op, Operand
from oracle.tensor import Array, numpy_dtype


def _col2im(b: Builder, node: Source) -> list[Operand]:
    """Emits for each place of the image one exact sum of what the blocks have there."""
    x, image = node.input(0), integers(b, node.input(1), "image_shape")
    block, axes = integers(b, node.input(2), "block_shape"), len(image)
    strides, dilations = steps(node, "strides", axes), steps(node, "dilations", axes)
    pads = numbers(node, "pads", (0,) * (2 * axes))
    if len(x.type.shape) != 3 or len(block) != axes or min(*image, *block) < 1 or min(pads) < 0:
        raise Outside(f"blocks {block} of an image {image} from {x.type}", "fix the shapes")
    bounded(b, *image)
    windows = [
        (image[at] + pads[at] + pads[at + axes] - (block[at] - 1) * dilations[at] - 1)
        // strides[at]
        + 1
        for at in range(axes)
    ]
    n, rows, columns = x.type.shape
    if min(windows) < 1 or rows % prod(block) or columns != prod(windows):
        raise Outside(f"{windows} blocks {block} from {x.type}", "fix the shapes")
    spots = [
        np.arange(windows[at]) * strides[at]
        - pads[at]
        + np.arange(block[at])[:, None] * dilations[at]
        for at in range(axes)
    ]
    meeting = _meeting(b, spots, image)
    outer, elements = n * rows // prod(block), prod(block) * columns
    nothing = b.constant(np.zeros((outer, 1), numpy_dtype(x.type.dtype)))
    read = joined(b, [b.reshape(x, (outer, elements)), nothing], 1)
    bounded(b, outer, *meeting.shape)
    met = b.reshape(
        gather(b, read, b.constant(meeting), 1), (outer * prod(image), meeting.shape[1])
    )
    return [b.reshape(b.emit(Op.REDUCE_SUM, (met,)), (n, rows // prod(block), *image))]


def _meeting(b: Builder, spots: Sequence[Array], image: Sequence[int]) -> Array:
    """Gives for each place of the image which elements of blocks [taps, windows] stand there, and
    the one behind them all, a zero, where there are fewer than elsewhere."""
    axes, flat, inside = len(image), np.zeros((), np.int64), np.ones((), np.bool_)
    for at, (size, spot) in enumerate(zip(image, spots, strict=True)):
        shape = [1] * (2 * axes)
        shape[at], shape[axes + at] = spot.shape
        flat = flat * size + spot.reshape(shape)
        inside = inside & ((spot >= 0) & (spot < size)).reshape(shape)
    order = np.argsort(flat[inside], kind="stable")
    places = flat[inside][order]
    counts = np.bincount(places, minlength=prod(image))
    bounded(b, prod(image), int(counts.max()))
    meeting = np.full((prod(image), int(counts.max())), flat.size)
    firsts = np.cumsum(counts) - counts
    meeting[places, np.arange(len(places)) - firsts[places]] = np.flatnonzero(inside)[order]
    return meeting


ONNX: dict[str, Lowering] = {"Col2Im": _col2im}
