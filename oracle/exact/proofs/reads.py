"""What one element of a node's value depends on: elements of its operands, in the order in which
`contracts/ops` read them. One function a family, as there is one contract.

What is read next may depend on what was read before: `look` tells. A read of no elements is none.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import TypeAlias

from oracle.exact.ops.movement import REPLACE, clamped
from oracle.exact.ops.trees import BELOW, FEATURE, THRESHOLD, WIDTH, branch
from oracle.exact.ops.window import conv_axes, pool_axes
from oracle.exact.patches import Axis
from oracle.exact.program import Family, Node, Op, Operand, ValueType

Look: TypeAlias = Callable[[int, int], int]
"""(operand, place) → the element there, as `elementwise.words` gives it."""


@dataclass(frozen=True, slots=True)
class Read:
    """Neighbouring elements of one operand, in C order."""

    operand: int
    first: int
    count: int


def reads(node: Node, element: int, look: Look) -> Iterator[Read]:
    """Gives all reads of one element that are not empty, in order."""
    return (read for read in RULES[node.op.family](node, element, look) if read.count)


def place(shape: Sequence[int], operand: Operand, element: int) -> int:
    """Gives the place in a broadcast operand that belongs to place `element` of `shape`."""
    at, stride = 0, 1
    dims = operand.type.shape
    for size, own in zip(shape[::-1], dims[::-1], strict=False):
        element, step = divmod(element, size)
        if own != 1:
            at += step * stride
            stride *= own
    return at


def _linear(node: Node, element: int, _look: Look) -> Iterator[Read]:
    *batch, rows, columns = node.output.shape
    k = node.operands[0].type.shape[-1]
    matrix, inside = divmod(element, rows * columns)
    row, column = divmod(inside, columns)
    left, right = (place(batch, _matrices(operand), matrix) for operand in node.operands[:2])
    yield Read(0, (left * rows + row) * k, k)
    yield Read(1, (right * columns + column) * k, k)
    if len(node.operands) == 3:
        yield Read(2, place(node.output.shape, node.operands[2], element), 1)


def _matrices(operand: Operand) -> Operand:
    """Gives the operand with each matrix as one element."""
    type_ = ValueType(operand.type.dtype, operand.type.shape[:-2])
    return Operand(operand.kind, operand.index, type_)


def _elementwise(node: Node, element: int, look: Look) -> Iterator[Read]:
    places = [place(node.output.shape, operand, element) for operand in node.operands]
    if node.op is Op.WHERE:
        yield Read(0, places[0], 1)
        chosen = 1 if look(0, places[0]) else 2
        yield Read(chosen, places[chosen], 1)
    else:
        yield from (Read(operand, at, 1) for operand, at in enumerate(places))


def _reduce(node: Node, element: int, _look: Look) -> Iterator[Read]:
    k = node.operands[0].type.shape[1]
    if node.op is Op.CUM_SUM:
        row, column = divmod(element, k)
        yield Read(0, row * k, column + 1)
    else:
        row = element // node.attributes[0] if node.op is Op.TOP_K else element
        yield Read(0, row * k, k)


def _movement(node: Node, element: int, look: Look) -> Iterator[Read]:
    match node.op:
        case Op.TRANSPOSE:
            yield Read(0, _transposed(node, element), 1)
        case Op.CONCAT:
            yield _joined(node, element)
        case Op.GATHER:
            yield from _gathered(node, element, look)
        case _:
            yield from _scattered(node, element, look)


def _transposed(node: Node, element: int) -> int:
    shape = node.operands[0].type.shape
    at = 0
    for axis in node.attributes[::-1]:
        element, step = divmod(element, shape[axis])
        at += step * prod(shape[axis + 1 :])
    return at


def _joined(node: Node, element: int) -> Read:
    row, column = divmod(element, node.output.shape[1])
    for operand, source in enumerate(node.operands):
        width = source.type.shape[1]
        if column < width:
            return Read(operand, row * width + column, 1)
        column -= width
    raise AssertionError("an element is in one of them")


def _gathered(node: Node, element: int, look: Look) -> Iterator[Read]:
    _, m, inner = node.output.shape
    n = node.operands[0].type.shape[1]
    row, column = divmod(element, inner)
    outer, index = divmod(row, m)
    yield Read(1, index, 1)
    yield Read(0, (outer * n + clamped(look(1, index), n)) * inner + column, 1)


def _scattered(node: Node, element: int, look: Look) -> Iterator[Read]:
    """Yields the read of all indices. Then it yields the element's own place and the updates put
    there, or, where the last update replaces the others, that one alone."""
    n, inner = node.output.shape
    (m,) = node.operands[1].type.shape
    row, column = divmod(element, inner)
    yield Read(1, 0, m)
    hits = [at for at in range(m) if clamped(look(1, at), n) == row]
    replaced = node.attributes[0] == REPLACE and hits
    if not replaced:
        yield Read(0, element, 1)
    for at in hits[-1:] if replaced else hits:
        yield Read(2, at * inner + column, 1)


def _window(node: Node, element: int, _look: Look) -> Iterator[Read]:
    """Yields for CONV the weights of the output channel and its bias, and for every op the elements
    that the window's taps stand on."""
    if node.op is not Op.CONV:
        channels = node.output.shape[-1]
        window, channel = divmod(element, channels)
        for pixel, count in _spans(node, pool_axes(node.attributes), window, channels == 1):
            yield Read(0, pixel * channels + channel, count)
        return

    group, (outputs, *taps, channels) = node.attributes[0], node.operands[1].type.shape
    window, output = divmod(element, outputs)
    row = prod(taps) * channels
    yield Read(1, output * row, row)
    if len(node.operands) == 3:
        yield Read(2, output, 1)
    first = output // (outputs // group) * channels
    for pixel, count in _spans(node, conv_axes(node.attributes), window, group == 1):
        yield Read(0, pixel * channels * group + first, count * channels)


def _spans(node: Node, axes: Sequence[Axis], window: int, joins: bool) -> Iterator[tuple[int, int]]:
    """Yields (pixel, how many): the pixels that a window's taps stand on, in C order. With `joins`,
    which is for pixels that are read whole, neighbours along the last axis are one run."""
    windows = node.output.shape[1:-1]
    sizes = node.operands[0].type.shape[1:-1]
    along = []
    for axis, size, count in zip(axes[::-1], sizes[::-1], windows[::-1], strict=True):
        window, at = divmod(window, count)
        along.append([element for _, element in axis.taps(at, size)])
    last, outer = along[0], along[:0:-1]
    for places in product(*outer):
        pixel = window
        for place, size in zip((*places, 0), sizes, strict=True):
            pixel = pixel * size + place
        if joins and last and axes[-1].dilation == axes[-1].spacing:
            yield pixel + last[0], len(last)
        else:
            yield from ((pixel + place, 1) for place in last)


def _trees(node: Node, element: int, look: Look) -> Iterator[Read]:
    """Yields a root, and then for each node on the way the node and the feature that it asks
    for."""
    row, tree = divmod(element, node.output.shape[1])
    features = node.operands[0].type.shape[1]
    yield Read(2, tree, 1)
    at = look(2, tree)
    while True:
        yield Read(1, at * WIDTH, WIDTH)
        if look(1, at * WIDTH + BELOW) == at:
            return
        x = row * features + look(1, at * WIDTH + FEATURE)
        yield Read(0, x, 1)
        at = look(1, at * WIDTH + branch(look(0, x), look(1, at * WIDTH + THRESHOLD)))


RULES: dict[Family, Callable[[Node, int, Look], Iterator[Read]]] = {
    Family.LINEAR: _linear,
    Family.ELEMENTWISE: _elementwise,
    Family.TRANSCENDENTAL: _elementwise,
    Family.REDUCE: _reduce,
    Family.MOVEMENT: _movement,
    Family.WINDOW: _window,
    Family.TREES: _trees,
    Family.QUANTIZED: _elementwise,
    Family.FUNCTIONS: _elementwise,
}
