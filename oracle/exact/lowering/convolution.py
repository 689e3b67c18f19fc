"""Conv and ConvTranspose: channels are brought to the end for CONV, and back."""

from collections.abc import Sequence
from math import prod

import numpy as np

from oracle.exact.lowering.builder import Builder
from oracle.exact.lowering.movement import gather
from oracle.exact.lowering.source import Lowering, Source
from oracle.exact.primitive import Outside
from oracle.exact.program import Op, Operand


def channels_last(b: Builder, x: Operand) -> Operand:
    """Transposes [N, C, *size] to [N, *size, C], and likewise weights [O, C, *kernel]."""
    rank = len(x.type.shape)
    return b.transpose(x, (0, *range(2, rank), 1))


def channels_first(b: Builder, x: Operand) -> Operand:
    rank = len(x.type.shape)
    return b.transpose(x, (0, rank - 1, *range(1, rank - 1)))


def image_axes(x: Operand) -> tuple[int, ...]:
    """Gives the sizes of an image's axes without batch and channels."""
    if len(x.type.shape) < 3:
        raise Outside(f"its input is {x.type}", "give it an image [N, C, size …]")
    return x.type.shape[2:]


def numbers(node: Source, name: str, default: Sequence[int]) -> tuple[int, ...]:
    """Reads an attribute that has as many numbers as its default."""
    given = node.integers(name, tuple(default))
    if len(given) != len(default):
        raise Outside(
            f"its attribute {name!r} has {len(given)} numbers for {len(default)}", "fix the file"
        )
    return given


def steps(node: Source, name: str, axes: int) -> tuple[int, ...]:
    given = numbers(node, name, (1,) * axes)
    if min(given) < 1:
        raise Outside(f"its attribute {name!r} is {given}", "give positive numbers")
    return given


def pads(
    node: Source, sizes: Sequence[int], reaches: Sequence[int], strides: Sequence[int]
) -> list[tuple[int, int]]:
    """Reads the padding (begin, end) of each axis. Where a SAME padding is odd, the side that the
    mode names gets one more."""
    given = numbers(node, "pads", (0,) * (2 * len(sizes)))
    match node.text("auto_pad", "NOTSET"):
        case "NOTSET":
            return list(zip(given[: len(sizes)], given[len(sizes) :], strict=True))
        case "VALID":
            return [(0, 0)] * len(sizes)
        case "SAME_UPPER" | "SAME_LOWER" as mode:
            return [
                _halves(max(0, (-(-size // stride) - 1) * stride + reach - size), mode)
                for size, reach, stride in zip(sizes, reaches, strides, strict=True)
            ]
        case other:
            raise Outside(f"auto_pad {other} is not known", "give pads")


def _halves(total: int, mode: str) -> tuple[int, int]:
    less, more = total // 2, total - total // 2
    return (less, more) if mode == "SAME_UPPER" else (more, less)


def _conv(b: Builder, node: Source) -> list[Operand]:
    return [conv(b, node, node.input(0), node.input(1), node.optional(2))]


def conv(b: Builder, node: Source, x: Operand, w: Operand, bias: Operand | None) -> Operand:
    """Emits a CONV of float32 or int32, as the node's attributes say."""
    sizes = image_axes(x)
    kernel = _kernel(node, w, len(sizes))
    strides = steps(node, "strides", len(sizes))
    dilations = steps(node, "dilations", len(sizes))
    reaches = [(k - 1) * dilation + 1 for k, dilation in zip(kernel, dilations, strict=True)]
    padding = pads(node, sizes, reaches, strides)
    attributes = [node.integer("group", 1)]
    for k, stride, dilation, pad in zip(kernel, strides, dilations, padding, strict=True):
        attributes += [k, stride, dilation, *pad, 1]
    operands = [channels_last(b, x), channels_last(b, w), *([bias] if bias else [])]
    return channels_first(b, b.emit(Op.CONV, operands, *attributes))


def _kernel(node: Source, w: Operand, axes: int) -> tuple[int, ...]:
    kernel = w.type.shape[2:]
    if len(kernel) != axes or node.integers("kernel_shape", kernel) != kernel:
        raise Outside(f"weights {w.type} do not fit its input or kernel_shape", "fix the file")
    return kernel


def _conv_transpose(b: Builder, node: Source) -> list[Operand]:
    """Emits a CONV whose input is spread by the strides, with every kernel axis reversed."""
    x, w, bias = node.input(0), node.input(1), node.optional(2)
    sizes = image_axes(x)
    kernel = _kernel(node, w, len(sizes))
    strides = steps(node, "strides", len(sizes))
    dilations = steps(node, "dilations", len(sizes))
    reaches = [(k - 1) * dilation + 1 for k, dilation in zip(kernel, dilations, strict=True)]
    group = node.integer("group", 1)
    attributes = [group]
    begins_and_windows = _transposed(node, sizes, reaches, strides)
    for at, (begin, windows) in enumerate(begins_and_windows):
        first = reaches[at] - 1 - begin
        end = windows + reaches[at] - 2 - (sizes[at] - 1) * strides[at] - first
        attributes += [kernel[at], 1, dilations[at], first, end, strides[at]]
    weights = _reversed_kernel(b, w, group)
    operands = [channels_last(b, x), weights, *([bias] if bias else [])]
    return [channels_first(b, b.emit(Op.CONV, operands, *attributes))]


def _transposed(
    node: Source, sizes: Sequence[int], reaches: Sequence[int], strides: Sequence[int]
) -> list[tuple[int, int]]:
    """Gives for each axis how much is cut off its beginning, and the length of the output."""
    axes = len(sizes)
    given = numbers(node, "pads", (0,) * (2 * axes))
    extra = numbers(node, "output_padding", (0,) * axes)
    mode = node.text("auto_pad", "NOTSET")
    whole = [
        (size - 1) * stride + reach + more
        for size, reach, stride, more in zip(sizes, reaches, strides, extra, strict=True)
    ]
    if node.has("output_shape"):
        shape = node.integers("output_shape")
        if len(shape) not in (axes, axes + 2):
            raise Outside(f"its output_shape is {shape}", f"give {axes} numbers")
        wanted = list(shape[-axes:])
    elif mode in ("SAME_UPPER", "SAME_LOWER"):
        wanted = [size * stride for size, stride in zip(sizes, strides, strict=True)]
    elif mode in ("NOTSET", "VALID"):
        cut = given if mode == "NOTSET" else (0,) * (2 * axes)
        return [(cut[at], whole[at] - cut[at] - cut[at + axes]) for at in range(axes)]
    else:
        raise Outside(f"auto_pad {mode} is not known", "give pads")
    return [
        (_halves(max(0, have - want), mode)[0], want)
        for have, want in zip(whole, wanted, strict=True)
    ]


def _reversed_kernel(b: Builder, w: Operand, group: int) -> Operand:
    """Turns weights [C, O/group, *kernel] into [O, *reversed kernel, C/group]."""
    channels, outputs, *kernel = w.type.shape
    if group < 1 or channels % group:
        raise Outside(f"{channels} channels do not make {group} groups", "fix group")
    for axis, k in enumerate(kernel, start=2):
        if k > 1:
            w = gather(b, w, b.constant(np.arange(k - 1, -1, -1)), axis)
    split = b.reshape(w, (group, channels // group, outputs, prod(kernel)))
    moved = b.transpose(split, (0, 2, 3, 1))
    return b.reshape(moved, (group * outputs, *kernel, channels // group))


ONNX: dict[str, Lowering] = {"Conv": _conv, "ConvTranspose": _conv_transpose}
