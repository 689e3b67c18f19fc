"""Computes one element of a node's value by the plain rules, from the few elements that it reads.

Nothing of the fast kernels has a part in it, and it costs what the element reads, not what the
tensor holds: so it can be asked before anybody is accused, and of a sample of any run.
"""

from collections.abc import Callable, Sequence
from math import prod

import numpy as np

from oracle.exact.ops import PRIMITIVES
from oracle.exact.ops.elementwise import from_words, words
from oracle.exact.ops.linear import dot, int_dot
from oracle.exact.ops.movement import merged
from oracle.exact.ops.reduce import extremum, sum_of
from oracle.exact.ops.trees import walk
from oracle.exact.ops.window import conv_axes, pool_axes
from oracle.exact.patches import Axis
from oracle.exact.primitive import FLOAT
from oracle.exact.program import Family, Node, Op, Operand, ValueType
from oracle.exact.proofs.reads import place, reads
from oracle.tensor import Array, canonical

Rule = Callable[[Node, int, Sequence[Array]], Array]


def plain_element(node: Node, element: int, operands: Sequence[Array]) -> Array:
    """Computes the element, canonical and alone in its array, from the node's whole operands."""
    flat = [array.reshape(-1) for array in operands]
    with np.errstate(all="ignore"):
        return canonical(RULES[node.op.family](node, element, flat).reshape(-1)[:1])


def reads_of(node: Node) -> int:
    """Counts the elements that one of its elements reads, at most, but for a tree's walk."""
    match node.op.family:
        case Family.LINEAR:
            return 2 * node.operands[0].type.shape[-1] + 1
        case Family.REDUCE:
            return node.operands[0].type.shape[1]
        case Family.WINDOW:
            taps = prod(axis.kernel for axis in pool_axes(node.attributes))
            width = node.operands[1].type.shape[-1] if node.op is Op.CONV else 1
            return 2 * taps * width + 1
        case _ if node.op is Op.SCATTER:
            return 2 * node.operands[1].type.elements + 1
        case _:
            return len(node.operands)


def _alone(node: Node, values: Sequence[int]) -> Array:
    return from_words(values, ValueType(node.output.dtype, (len(values),)))


def _elementwise(node: Node, element: int, flat: Sequence[Array]) -> Array:
    """Runs the plain kernel on a node of scalars."""
    places = [place(node.output.shape, operand, element) for operand in node.operands]
    scalars = [array[at : at + 1].reshape(()) for array, at in zip(flat, places, strict=True)]
    operands = tuple(Operand(o.kind, o.index, ValueType(o.type.dtype, ())) for o in node.operands)
    alone = Node(node.op, operands, ValueType(node.output.dtype, ()), node.attributes)
    return PRIMITIVES[node.op].plain(alone, scalars)


def _linear(node: Node, element: int, flat: Sequence[Array]) -> Array:
    taken = [array[:0] for array in flat]
    for read in reads(node, element, lambda *_: 0):
        taken[read.operand] = flat[read.operand][read.first : read.first + read.count]
    return _product(node, taken[0], taken[1], words(taken[2])[0] if len(taken) == 3 else 0)


def _product(node: Node, left: Array, right: Array, bias: int) -> Array:
    rule = dot if node.output.dtype is FLOAT else int_dot
    return _alone(node, [rule(zip(words(left), words(right), strict=True), bias)])


def _reduce(node: Node, element: int, flat: Sequence[Array]) -> Array:
    """Runs the plain kernel on one row. The last running sum of a row is its sum."""
    k = node.operands[0].type.shape[1]
    op, at = node.op, 0
    if op is Op.CUM_SUM:
        row, column = divmod(element, k)
        op, k, first = Op.REDUCE_SUM, column + 1, row * k
    elif op is Op.TOP_K:
        row, at = divmod(element, node.attributes[0])
        first = row * k
    else:
        first = element * k
    (operand,) = node.operands
    alone = Operand(operand.kind, operand.index, ValueType(operand.type.dtype, (1, k)))
    shape = (1, node.attributes[0]) if op is Op.TOP_K else (1,)
    small = Node(op, (alone,), ValueType(node.output.dtype, shape), node.attributes)
    found = PRIMITIVES[op].plain(small, [flat[0][first : first + k].reshape(1, k)])
    return found.reshape(-1)[at:]


def _movement(node: Node, element: int, flat: Sequence[Array]) -> Array:
    if node.op is Op.SCATTER:
        return _scattered(node, element, flat)
    *_, last = reads(node, element, lambda operand, at: int(flat[operand][at]))
    return flat[last.operand][last.first : last.first + 1]


def _scattered(node: Node, element: int, flat: Sequence[Array]) -> Array:
    data, indices, updates = flat
    n, inner = node.output.shape
    row, column = divmod(element, inner)
    wide = indices.astype(np.int64)
    places = np.clip(np.where(wide < 0, wide + n, wide), 0, n - 1)
    hits = np.flatnonzero(places == row)
    met = words(data[element : element + 1]) + words(updates[hits * inner + column])
    return _alone(node, [merged(met, node.output.dtype, node.attributes[0])])


def _window(node: Node, element: int, flat: Sequence[Array]) -> Array:
    x, channels = flat[0], node.output.shape[-1]
    window, channel = divmod(element, channels)
    if node.op is Op.CONV:
        return _convolved(node, window, channel, flat)
    axes = pool_axes(node.attributes)
    places = [pixel * channels + channel for _, pixel in _taps(node, axes, window)]
    values = words(x[places])
    if node.op is Op.MAX_POOL:
        return _alone(node, [extremum(values, node.output.dtype, True)])
    # The mean of no taps is not a number, as the whole kernel has it.
    count = _divisor(node, axes, window)
    nothing = np.full(1, np.nan, np.float32)
    return _alone(node, [sum_of(values, count)]) if count else nothing


def _convolved(node: Node, window: int, channel: int, flat: Sequence[Array]) -> Array:
    group, (outputs, *kernel, width) = node.attributes[0], node.operands[1].type.shape
    taps = _taps(node, conv_axes(node.attributes), window)
    run = np.arange(width)
    first = channel // (outputs // group) * width
    left = [pixel * width * group + first for _, pixel in taps]
    right = [(channel * prod(kernel) + tap) * width for tap, _ in taps]
    bias = words(flat[2][channel : channel + 1])[0] if len(flat) == 3 else 0
    return _product(node, flat[0][_runs(left, run)], flat[1][_runs(right, run)], bias)


def _runs(starts: Sequence[int], run: Array) -> Array:
    return (np.array(starts, np.int64)[:, None] + run).reshape(-1)


def _taps(node: Node, axes: Sequence[Axis], window: int) -> list[tuple[int, int]]:
    """Lists (tap, pixel) of what one window stands on, in C order; pixels count over all images."""
    sizes = node.operands[0].type.shape[1:-1]
    image, *at = np.unravel_index(window, node.output.shape[:-1])
    pairs = [(0, int(image))]
    for axis, size, index in zip(axes, sizes, at, strict=True):
        spots = axis.taps(int(index), size)
        pairs = [
            (tap * axis.kernel + k, pixel * size + p) for tap, pixel in pairs for k, p in spots
        ]
    return pairs


def _divisor(node: Node, axes: Sequence[Axis], window: int) -> int:
    sizes = node.operands[0].type.shape[1:-1]
    _, *at = np.unravel_index(window, node.output.shape[:-1])
    counts = [
        axis.padded_taps(int(i), size) if node.attributes[0] else len(axis.taps(int(i), size))
        for axis, size, i in zip(axes, sizes, at, strict=True)
    ]
    return prod(counts)


class _Rows(Sequence[Sequence[int]]):
    """A table's rows, each made a list of numbers when a walk comes to it."""

    def __init__(self, table: Array):
        self._table = table

    def __len__(self) -> int:
        return len(self._table)

    def __getitem__(self, at: int) -> list[int]:  # type: ignore[override]
        found: list[int] = self._table[at].tolist()
        return found


def _trees(node: Node, element: int, flat: Sequence[Array]) -> Array:
    row, tree = divmod(element, node.output.shape[1])
    features, width = node.operands[0].type.shape[1], node.operands[1].type.shape[1]
    x = words(flat[0][row * features : (row + 1) * features])
    return _alone(node, [walk(x, _Rows(flat[1].reshape(-1, width)), int(flat[2][tree]))])


RULES: dict[Family, Rule] = {
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
