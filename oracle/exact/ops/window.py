"""Windows over images: CONV, MAX_POOL, AVERAGE_POOL.

Channels come last: images are [N, *size, C], weights [O, *kernel, C/group]. So a window is a few
runs of neighbours, which is what a fraud proof opens, and a contraction runs along memory.

Attributes are one number of the primitive's own, then six an axis: kernel, stride, dilation, begin,
end, and CONV's spacing or a pool's overhang. Along an axis of size S, tap k of window i stands at
p = i·stride − begin + k·dilation. A pool reads element p; a CONV reads element p / spacing, where
spacing divides p (a stride of ConvTranspose). Taps that stand on no element are no terms at all:
not zeros, which would make NaN of an infinite weight. Windows begin within −begin … and end before
the last element + end (+ overhang).
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import astuple, replace
from itertools import product
from math import prod

import numpy as np

from oracle.exact import float32
from oracle.exact.channelwise import Channelwise, Multipliers
from oracle.exact.contraction import NO_BIAS, Bias, Contraction, Weights, flat
from oracle.exact.integers import integer_convolution
from oracle.exact.ops.elementwise import from_words, words
from oracle.exact.ops.linear import dot, int_dot
from oracle.exact.ops.reduce import extremum, sum_of
from oracle.exact.patches import Axis, WindowTerms, padded, spots
from oracle.exact.primitive import (
    FLOAT,
    NUMBERS,
    Kernel,
    Outside,
    Primitive,
    same_dtype,
)
from oracle.exact.program import Node, Op, ValueType
from oracle.exact.sums import OPEN, UNIT, decided, rounded_means, rounded_sums
from oracle.tensor import Array
from oracle.types import DType

_MOST_SPOTS = 1 << 27


def conv_axes(attributes: Sequence[int]) -> tuple[Axis, ...]:
    return tuple(Axis(*numbers) for numbers in _sixes(attributes))


def pool_axes(attributes: Sequence[int]) -> tuple[Axis, ...]:
    return tuple(Axis(k, s, d, b, e, overhang=o) for k, s, d, b, e, o in _sixes(attributes))


def _sixes(attributes: Sequence[int]) -> list[Sequence[int]]:
    return [attributes[at : at + 6] for at in range(1, len(attributes), 6)]


# ---- types


def _infer_conv(types: Sequence[ValueType], attributes: Sequence[int]) -> ValueType:
    """Gives [N, *windows, O] for x [N, *size, C], weights [O, *kernel, C/group] and a bias [O]."""
    dtype = same_dtype(types, (FLOAT, DType.INT32))
    x, w, group, axes = types[0].shape, types[1].shape, attributes[0], conv_axes(attributes)
    _check(x, axes)
    if len(w) != len(x) or w[1:-1] != tuple(axis.kernel for axis in axes):
        raise Outside(f"weights {w} do not fit an image {x}", "fix the shape of the weights")
    if group < 1 or w[-1] * group != x[-1] or w[0] % group:
        raise Outside(
            f"{x[-1]} channels in, {w[0]} out and weights of {w[-1]} do not make {group} groups",
            "fix group, or the shape of the weights",
        )
    if len(types) == 3 and types[2].shape != w[:1]:
        raise Outside(f"a bias {types[2].shape} for {w[0]} channels", "fix its shape")
    return ValueType(dtype, (*_image(x, axes), w[0]))


def _infer_max(types: Sequence[ValueType], attributes: Sequence[int]) -> ValueType:
    dtype = same_dtype(types, NUMBERS)
    x, axes = types[0].shape, pool_axes(attributes)
    _check(x, axes)
    return ValueType(dtype, (*_image(x, axes), x[-1]))


def _infer_average(types: Sequence[ValueType], attributes: Sequence[int]) -> ValueType:
    same_dtype(types, (FLOAT,))
    return _infer_max(types, attributes)


def _check(x: tuple[int, ...], axes: Sequence[Axis]) -> None:
    if len(x) != len(axes) + 2 or not axes:
        raise Outside(f"an image {x} with {len(axes)} axes of windows", "fix its shape")
    if 0 in x:
        raise Outside(f"an image {x} without elements", "give it some")
    for axis in axes:
        if min(axis.kernel, axis.stride, axis.dilation, axis.spacing) < 1 or axis.overhang < 0:
            raise Outside("a kernel, stride or dilation below 1", "fix its attributes")
        # The referee reads no larger numbers. A publisher could put one where it does not matter,
        # as in the dilation of a single tap, and nobody could be convicted of lying about the node.
        if not all(-(1 << 31) <= number < 1 << 31 for number in astuple(axis)):
            raise Outside("a number of its windows is beyond 32 bits", "fix its attributes")


def _image(x: tuple[int, ...], axes: Sequence[Axis]) -> tuple[int, ...]:
    """Gives [N, *windows]. Raises Outside where the padded image would take too much memory."""
    windows = [axis.windows(size) for axis, size in zip(axes, x[1:-1], strict=True)]
    spots = prod(axis.extent(count) for axis, count in zip(axes, windows, strict=True))
    if spots * x[0] * x[-1] > _MOST_SPOTS:
        raise Outside(
            f"its image takes more than {_MOST_SPOTS} elements with its padding",
            "use a smaller image or less padding",
        )
    return (x[0], *windows)


# ---- the plain kernels


def _plain_conv(node: Node, arrays: Sequence[Array]) -> Array:
    # INPUTS
    x, w = words(arrays[0]), words(arrays[1])
    rule = dot if node.output.dtype is FLOAT else int_dot
    outputs, channels = node.output.shape[-1], node.operands[1].type.shape[-1]
    bias = words(arrays[2]) if len(arrays) == 3 else [0] * outputs
    # SHAPE
    axes, group = conv_axes(node.attributes), node.attributes[0]
    taps = prod(axis.kernel for axis in axes)
    # COMPUTE
    out = []
    for window in _windows(node, axes):
        for o in range(outputs):
            first = o // (outputs // group) * channels  # of the group's channels
            left, right = [], []
            for tap, place in window:
                at = place * channels * group + first
                left += x[at : at + channels]
                at = (o * taps + tap) * channels
                right += w[at : at + channels]
            out.append(rule(zip(left, right, strict=True), bias[o]))
    # OUTPUT
    return from_words(out, node.output)


def _windows(node: Node, axes: Sequence[Axis]) -> Iterator[list[tuple[int, int]]]:
    """Yields for each window of each image its (tap, pixel) pairs in C order. Pixels count over all
    images."""
    n, *size = node.operands[0].type.shape[:-1]
    for image, *window in product(range(n), *map(range, node.output.shape[1:-1])):
        pairs = [(0, image)]
        for axis, length, at in zip(axes, size, window, strict=True):
            spots = axis.taps(at, length)
            pairs = [
                (tap * axis.kernel + k, place * length + p)
                for tap, place in pairs
                for k, p in spots
            ]
        yield pairs


def _plain_pool(node: Node, arrays: Sequence[Array]) -> Array:
    # INPUTS
    x = words(arrays[0])
    dtype, channels = node.output.dtype, node.output.shape[-1]
    # SHAPE
    axes = pool_axes(node.attributes)
    counts = pool_counts(node)
    # COMPUTE
    out = []
    for window, count in zip(_windows(node, axes), counts * node.output.shape[0], strict=True):
        for c in range(channels):
            values = [x[place * channels + c] for _, place in window]
            if node.op is Op.MAX_POOL:
                out.append(extremum(values, dtype, True))
            else:
                out.append(sum_of(values, count) if count else float32.NAN)
    # OUTPUT
    return from_words(out, node.output)


def pool_counts(node: Node) -> list[int]:
    """Gives for each window of an image the number by which a pool divides its sum."""
    axes = pool_axes(node.attributes)
    sizes = node.operands[0].type.shape[1:-1]
    counts = [1]
    for axis, size, windows in zip(axes, sizes, node.output.shape[1:-1], strict=True):
        along = [
            axis.padded_taps(at, size) if node.attributes[0] else len(axis.taps(at, size))
            for at in range(windows)
        ]
        counts = [count * number for count in counts for number in along]
    return counts


# ---- the fast kernels


def _terms(node: Node, axes: tuple[Axis, ...], group: int) -> WindowTerms:
    return WindowTerms(axes, node.operands[0].type.shape[1:-1], node.output.shape, group)


def _prepare_conv(node: Node, constants: Sequence[Array | None]) -> Kernel:
    axes, group, shape = conv_axes(node.attributes), node.attributes[0], node.output.shape
    if node.output.dtype is not FLOAT:
        return integer_convolution(group, axes, shape, constants[1])
    x, w = (operand.type.shape for operand in node.operands[:2])
    convolve = _convolution(x, w, axes, group, shape, constants[1])
    terms = _terms(node, axes, group)

    def kernel(x: Array, w: Array, bias: Array | None = None) -> Array:
        added = NO_BIAS if bias is None else Bias(bias.astype(np.float64), column=1)
        out, left = convolve(x, w, added)
        if left:
            line = out.reshape(-1)
            undecided = np.flatnonzero(line.view(np.uint32) == OPEN)
            for places in terms.blocks(undecided, w[0].size + 1):
                products = terms.of(x, places, w)
                biases = added.values[places % shape[-1] * added.column]
                line[places] = rounded_sums(np.c_[products, biases])
        return out

    return kernel


def _convolution(
    x: tuple[int, ...],
    w: tuple[int, ...],
    axes: tuple[Axis, ...],
    group: int,
    output: tuple[int, ...],
    known: Array | None,
) -> Callable[[Array, Array, Bias], tuple[Array, int]]:
    windows = output[1:-1]
    if w[-1] == 1 and group > 1:
        channelwise = Channelwise(x, axes, windows, w[0])
        multipliers = None if known is None else Multipliers(group, known)
        return lambda x, w, bias: channelwise.rounded(x, multipliers or Multipliers(group, w), bias)
    outputs = w[0] // group
    contraction = Contraction(x, axes, windows, group, outputs)
    matrices = group, outputs, prod(w[1:])
    weights = None if known is None else Weights(known.reshape(matrices))
    return lambda x, w, bias: contraction.rounded(x, weights or Weights(w.reshape(matrices)), bias)


def _along(image: Array, axes: Sequence[Axis], windows: Sequence[int], fold: np.ufunc) -> Array:
    """Folds each window to one element, one axis after another."""
    for at, (axis, count) in enumerate(zip(axes, windows, strict=True), start=1):
        before = (slice(None),) * at
        folded = image[(*before, spots(0, axis, count))]
        for tap in range(1, axis.kernel):
            folded = fold(folded, image[(*before, spots(tap, axis, count))])
        image = folded
    return image


def _prepare_max(node: Node, _constants: Sequence[Array | None]) -> Kernel:
    axes, windows = pool_axes(node.attributes), node.output.shape[1:-1]
    if node.output.dtype is FLOAT:
        return _float_maxima(axes, node)
    worst = from_words([extremum((), node.output.dtype, True)], ValueType(node.output.dtype, (1,)))

    def kernel(x: Array) -> Array:
        return _along(padded(x, axes, windows, worst[0]), axes, windows, np.maximum)

    return kernel


def _float_maxima(axes: tuple[Axis, ...], node: Node) -> Kernel:
    """Makes the kernel of maxima, which folds one axis after another."""
    from oracle.exact.kernels.reduce import maxima  # numba takes its time to load

    shape, passes = list(node.operands[0].type.shape), []
    for at, (axis, count) in enumerate(zip(axes, node.output.shape[1:-1], strict=True), start=1):
        numbers = axis.kernel, axis.stride, axis.dilation, axis.begin, count
        size, shape[at] = shape[at], count
        passes.append((prod(shape), (size, prod(shape[at + 1 :]), *numbers)))

    def kernel(x: Array) -> Array:
        image = flat(x)
        for total, numbers in passes:
            folded = np.empty(total, np.float32)
            maxima(image, *numbers, folded)
            image = folded
        return image.reshape(shape)

    return kernel


def _prepare_average(node: Node, _constants: Sequence[Array | None]) -> Kernel:
    """Makes the kernel of averages from float64 sums, whose error is at most γ_K·Σ|x|, which is
    below γ_K·count·max|x|."""
    axes, windows = pool_axes(node.attributes), node.output.shape[1:-1]
    counts = np.array(pool_counts(node), np.float64).reshape(*windows, 1)
    k = prod(axis.kernel for axis in axes)
    # With padding cut off, a window may count fewer taps than stand on elements, or none: the NaN
    # leaves it to `rounded_means`.
    standing = pool_counts(replace(node, attributes=(0, *node.attributes[1:])))
    excess = np.reshape(standing, counts.shape) / np.where(counts == 0, np.nan, counts)
    unit = (k + 16) * UNIT * (1 + 2.0**-10) * np.maximum(excess, 1)
    terms = _terms(node, axes, node.output.shape[-1])

    def kernel(x: Array) -> Array:
        image = padded(x.astype(np.float64), axes, windows, 0)
        sums = _along(image, axes, windows, np.add)
        out, undecided = decided(
            sums / counts, unit * np.abs(image).max(axis=tuple(range(x.ndim - 1)))
        )
        if len(undecided) > out.size // 32:
            sizes = _along(np.abs(image), axes, windows, np.add)
            out, undecided = decided(sums / counts, unit * (sizes / counts))
        line = out.reshape(-1)
        for places in terms.blocks(undecided, k):
            divisors = np.broadcast_to(counts, out.shape).reshape(-1)[places]
            line[places] = rounded_means(terms.of(x, places), divisors)
        return out

    return kernel


def _cost(node: Node) -> int:
    taps = prod(axis.kernel for axis in pool_axes(node.attributes))
    channels = node.operands[1].type.shape[-1] if node.op is Op.CONV else 1
    return node.output.elements * (taps * channels + 1)


def _takes_conv(types: Sequence[ValueType]) -> Collection[tuple[int, int]]:
    numbers = 1 + 6 * (len(types[0].shape) - 2)
    return (2, numbers), (3, numbers)


def _takes_pool(types: Sequence[ValueType]) -> Collection[tuple[int, int]]:
    return ((1, 1 + 6 * (len(types[0].shape) - 2)),)


PRIMITIVES = (
    Primitive(Op.CONV, _takes_conv, _infer_conv, _plain_conv, _prepare_conv, _cost),
    Primitive(Op.MAX_POOL, _takes_pool, _infer_max, _plain_pool, _prepare_max, _cost),
    Primitive(Op.AVERAGE_POOL, _takes_pool, _infer_average, _plain_pool, _prepare_average, _cost),
)
