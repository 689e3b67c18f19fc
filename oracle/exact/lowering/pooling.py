"""Pools, over windows and over whole images."""

import numpy as np

from oracle.exact.lowering.builder import Builder
from oracle.exact.lowering.convolution import (
    channels_first,
    channels_last,
    image_axes,
    pads,
    steps,
)
from oracle.exact.lowering.reduce import reduced
from oracle.exact.lowering.source import Lowering, Source
from oracle.exact.primitive import Outside
from oracle.exact.program import Op, Operand


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
    node.integer("storage_order", 0)  # concerns the output Indices only
    if node.outputs > 1:
        raise Outside("its output Indices is not covered", "use its first output only")
    pooled = b.emit(Op.MAX_POOL, (channels_last(b, x),), 0, *_windows(node, x))
    return [channels_first(b, pooled)]


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
    "AveragePool": _average_pool,
    "LpPool": _lp_pool,
    "GlobalAveragePool": _global(Op.REDUCE_MEAN),
    "GlobalMaxPool": _global(Op.REDUCE_MAX),
    "GlobalLpPool": _global_lp_pool,
}
