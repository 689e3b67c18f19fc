"""Cuts nodes that are too long to prove into panels that are not.

A proof of one element opens all that the element depends on, and must fit into one transaction.
Where `proofs.bounds` says that a node's does not, the node is computed in panels: parts of its row,
window, updates or operands, about equally long, as few as `Room` allows. Extrema, places and what
only moves come out the same. A sum is rounded once a panel, and once where the panels' sums are
added. A node whose proofs fit stays as it is.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import TypeAlias

import numpy as np

from oracle.exact.limits import Limits, OverLimit
from oracle.exact.lowering.builder import Builder
from oracle.exact.lowering.reduce import columns
from oracle.exact.ops.elementwise import from_words
from oracle.exact.ops.reduce import extremum
from oracle.exact.ops.window import pool_counts
from oracle.exact.program import Family, Node, Op, Operand, OperandKind, Program, ValueType
from oracle.exact.proofs.bounds import MOST_BYTES, MOST_GAS, WORD, fits, opened
from oracle.tensor import numpy_dtype
from oracle.types import DType


@dataclass(frozen=True, slots=True)
class Room:
    """What a transaction holds, and what a panel may take of that: the bytes that a proof opens for
    it, and the elements that it reads. The rest is for the model's names, for paths and gas."""

    gas: int = MOST_GAS
    size: int = MOST_BYTES
    opened: int = 96 << 10
    elements: int = 24_576

    @property
    def header(self) -> int:
        """The most bytes of a program's header beside which a panel of any length would fit."""
        return self.size * 7 // 8


ROOM = Room()

Cut: TypeAlias = Callable[[Builder, Node, int], Operand]
"""Emits a node in so many panels, or a few more, and gives its output."""


def panelled(program: Program, limits: Limits, room: Room = ROOM) -> Program:
    """Gives the program with every node that is too long in panels; the program itself where none
    is, or where panels would exceed the limits. What panels do not help stays too long."""
    while long := _too_long(program, room):
        try:
            program = _Rebuilding(program, limits).program(long)
        except OverLimit:
            break
    return program


def _too_long(program: Program, room: Room) -> dict[int, int]:
    """Gives the nodes that are to be cut, each with the number of its panels."""
    if _header(program) > room.header:
        return {}
    found = {}
    for index, node in enumerate(program.nodes):
        if _least(node) * 16 <= room.opened:
            continue
        if not fits(program, index, room.gas, room.size):
            size, elements = opened(program, index)
            found[index] = max(2, -(-size // room.opened), -(-elements // room.elements))
    return found


def _header(program: Program) -> int:
    """Counts the bytes of what inputs and outputs are, which go with every proof."""
    return WORD * (len(program.signature.inputs) + 2 * len(program.outputs))


def _least(node: Node) -> int:
    """Estimates, at once, the bytes that a proof opens: 1 KiB for each run that lies apart. It is 0
    for an op that has no panels."""
    types = [operand.type for operand in node.operands]
    match node.op:
        case Op.DOT:
            return 2 * types[0].shape[-1] * types[0].dtype.itemsize
        case Op.CONV:
            channels = types[1].shape[-1]
            return prod(types[1].shape[1:-1]) * (1024 + 2 * channels * types[0].dtype.itemsize)
        case Op.MAX_POOL | Op.AVERAGE_POOL:
            return prod(node.attributes[1::6]) * 1024
        case Op.CONCAT:
            return len(types) * 1024
        case Op.SCATTER:
            return types[1].elements * 1024
        case _ if node.op.family is Family.REDUCE:
            return types[0].shape[1] * max(4, types[0].dtype.itemsize)
    return 0


class _Rebuilding:
    """Builds a program anew, with some of its nodes in panels."""

    def __init__(self, program: Program, limits: Limits):
        self.old = program
        self.builder = Builder(program.signature.inputs, limits)
        self.values: list[Operand] = []
        self.constants: dict[int, Operand] = {}

    def program(self, long: dict[int, int]) -> Program:
        for index, old in enumerate(self.old.nodes):
            node = replace(old, operands=tuple(map(self._operand, old.operands)))
            self.builder.node_name = node.name
            if index in long:
                self.values.append(_CUTS[node.op](self.builder, node, long[index]))
            else:
                self.values.append(self.builder.add(node))
        names = [output.name for output in self.old.signature.outputs]
        outputs = [self._operand(output) for output in self.old.outputs]
        built = self.builder.program(names, outputs)
        return replace(built, labels=self.old.labels, categories=self.old.categories)

    def _operand(self, old: Operand) -> Operand:
        match old.kind:
            case OperandKind.INPUT:
                return old
            case OperandKind.CONSTANT:
                if old.index not in self.constants:
                    constant = self.old.constants[old.index]
                    self.constants[old.index] = self.builder.adopt(constant)
                new = self.constants[old.index]
            case OperandKind.VALUE:
                new = self.values[old.index]
        return Operand(new.kind, new.index, old.type)


# ---- rows


def _in_blocks(b: Builder, rows: Operand, parts: int, fill: int = 0) -> Operand:
    """Reads rows [outer, K] as [outer, n, K/n], n being the first number from `parts` to twice that
    which divides K. Where none does, n is `parts`, and the last block is filled up."""
    outer, k = rows.type.shape
    count = next((n for n in range(parts, 2 * parts + 1) if k % n == 0), min(parts, k))
    width = -(-k // count)
    return b.reshape(_filled(b, rows, count * width, fill), (outer, count, width))


def _filled(b: Builder, rows: Operand, length: int, fill: int) -> Operand:
    """Makes rows so long."""
    outer, k = rows.type.shape
    if length == k:
        return rows
    more = ValueType(rows.type.dtype, (outer, length - k))
    return b.emit(Op.CONCAT, (rows, b.constant(from_words([fill] * more.elements, more))))


def _apart(b: Builder, blocks: Operand) -> Operand:
    """Reads each block as a row."""
    outer, count, width = blocks.type.shape
    return b.reshape(blocks, (outer * count, width))


def _twice(b: Builder, op: Op, rows: Operand, parts: int, fill: int) -> Operand:
    """Reduces each block, and what the blocks gave."""
    blocks = _in_blocks(b, rows, parts, fill)
    found = b.emit(op, (_apart(b, blocks),))
    return b.emit(op, (b.reshape(found, blocks.type.shape[:2]),))


def _sum(b: Builder, node: Node, parts: int) -> Operand:
    return _twice(b, Op.REDUCE_SUM, node.operands[0], parts, 0)


def _mean(b: Builder, node: Node, parts: int) -> Operand:
    """Divides once, after the sum."""
    count = b.scalar(node.operands[0].type.shape[1])
    return b.emit(Op.DIV, (_sum(b, node, parts), count))


def _extremum(b: Builder, node: Node, parts: int) -> Operand:
    fill = extremum((), node.output.dtype, node.op is Op.REDUCE_MAX)
    return _twice(b, node.op, node.operands[0], parts, fill)


def _arg_max(b: Builder, node: Node, parts: int) -> Operand:
    """Finds the block with the largest element by the largest of each, and takes its place. What
    fills up the last block is behind all that equals it, and cut off where the last counts."""
    (rows,), (last,) = node.operands, node.attributes
    outer, k = rows.type.shape
    blocks = _in_blocks(b, rows, parts, extremum((), rows.type.dtype, True))
    _, count, width = blocks.type.shape
    within = b.emit(Op.ARG_MAX, (_apart(b, blocks),), last)
    largest = b.emit(Op.REDUCE_MAX, (_apart(b, blocks),))
    block = b.emit(Op.ARG_MAX, (b.reshape(largest, (outer, count)),), last)
    place = _taken(b, b.reshape(within, (outer, count)), b.reshape(block, (outer, 1)))
    before = b.emit(Op.MUL, (block, b.scalar(width, DType.INT64)))
    place = b.emit(Op.ADD, (before, b.reshape(place, (outer,))))
    return b.emit(Op.MIN, (place, b.scalar(k - 1, DType.INT64))) if last else place


def _taken(b: Builder, rows: Operand, places: Operand) -> Operand:
    """Takes from each row [outer, n] the elements at its places [outer, m]."""
    outer, n = rows.type.shape
    if outer > 1:
        begins = b.constant(np.arange(outer, dtype=np.int64)[:, None] * n)
        places = b.emit(Op.ADD, (places, begins))
    line = b.reshape(rows, (1, outer * n, 1))
    taken = b.emit(Op.GATHER, (line, b.reshape(places, (places.type.elements,))))
    return b.reshape(taken, places.type.shape)


def _top(b: Builder, node: Node, parts: int) -> Operand:
    """Takes the largest of each block, and of those the largest. Of equals the first are in earlier
    blocks, or earlier in theirs, and so come first; what fills up the last block is behind all."""
    (rows,), (most,) = node.operands, node.attributes
    outer, k = rows.type.shape
    blocks = _in_blocks(b, rows, parts, extremum((), rows.type.dtype, True))
    _, count, width = blocks.type.shape
    if 2 * most > width:
        return _sorted(b, rows, 2 * parts, most)
    within = b.emit(Op.TOP_K, (_apart(b, blocks),), most)
    begins = b.constant(np.arange(count, dtype=np.int64)[:, None] * width)
    places = b.emit(Op.ADD, (b.reshape(within, (outer, count, most)), begins))
    places = b.reshape(places, (outer, count * most))
    values = _taken(b, b.reshape(blocks, (outer, count * width)), places)
    return _taken(b, places, b.emit(Op.TOP_K, (values,), most))


def _sorted(b: Builder, rows: Operand, parts: int, most: int) -> Operand:
    """Sorts neighbouring blocks, two by two, as often as there are blocks: those at even places
    with the next, and then those at odd places. Equals never pass each other. `parts` is even."""
    outer, k = rows.type.shape
    width = -(-k // parts)
    rows = _filled(b, rows, parts * width, extremum((), rows.type.dtype, True))
    places = b.constant(np.tile(np.arange(parts * width, dtype=np.int64), (outer, 1)))
    for turn in range(parts):
        first = turn % 2 * width
        pairs = _pairs(b, rows, first, width)
        order = b.emit(Op.TOP_K, (pairs,), 2 * width)
        rows = _reordered(b, rows, first, order)
        places = _reordered(b, places, first, order)
    return columns(b, places, 0, most)


def _pairs(b: Builder, rows: Operand, first: int, width: int) -> Operand:
    """Reads rows, without `first` columns at both ends, as rows of two blocks."""
    outer, length = rows.type.shape
    middle = columns(b, rows, first, length - 2 * first) if first else rows
    return b.reshape(middle, (middle.type.elements // (2 * width), 2 * width))


def _reordered(b: Builder, rows: Operand, first: int, order: Operand) -> Operand:
    """Puts the elements of each pair of blocks in order, and leaves both ends as they are."""
    outer, length = rows.type.shape
    pairs = _pairs(b, rows, first, order.type.shape[1] // 2)
    middle = b.reshape(_taken(b, pairs, order), (outer, length - 2 * first))
    if not first:
        return middle
    ends = columns(b, rows, 0, first), columns(b, rows, length - first, first)
    return b.emit(Op.CONCAT, (ends[0], middle, ends[1]))


def _running(b: Builder, node: Node, parts: int) -> Operand:
    """Adds to the running sums of each block the sum of all blocks before it."""
    (rows,) = node.operands
    outer, k = rows.type.shape
    blocks = _in_blocks(b, rows, parts)
    _, count, width = blocks.type.shape
    sums = b.emit(Op.CUM_SUM, (_apart(b, blocks),))
    ends = b.reshape(columns(b, sums, width - 1, 1), (outer, count))
    nothing = b.constant(np.zeros((outer, 1), numpy_dtype(rows.type.dtype)))
    shifted = b.emit(Op.CONCAT, (nothing, columns(b, ends, 0, count - 1)))
    before = b.reshape(b.emit(Op.CUM_SUM, (shifted,)), (outer, count, 1))
    out = b.emit(Op.ADD, (b.reshape(sums, (outer, count, width)), before))
    return _first(b, b.reshape(out, (outer, count * width)), k)


def _first(b: Builder, rows: Operand, count: int) -> Operand:
    return rows if rows.type.shape[1] == count else columns(b, rows, 0, count)


# ---- contractions, windows


def _spans(length: int, parts: int) -> Iterator[tuple[int, int]]:
    """Yields (first, count) of parts that are as long as each other but for the last."""
    width = -(-length // parts)
    for first in range(0, length, width):
        yield first, min(width, length - first)


def _slice(b: Builder, x: Operand, axis: int, first: int, count: int) -> Operand:
    shape = x.type.shape
    axis %= len(shape)
    view = b.reshape(x, (prod(shape[:axis]), shape[axis], prod(shape[axis + 1 :])))
    taken = b.emit(Op.GATHER, (view, b.constant(np.arange(first, first + count))))
    return b.reshape(taken, (*shape[:axis], count, *shape[axis + 1 :]))


def _added(b: Builder, op: Op, panels: Sequence[Operand]) -> Operand:
    """Adds panels from the left, or takes the largest."""
    total, *others = panels
    for panel in others:
        total = b.emit(op, (total, panel))
    return total


def _dot(b: Builder, node: Node, parts: int) -> Operand:
    """Cuts both rows. The bias is in the last panel's exact sum."""
    x, y, *bias = node.operands
    spans = list(_spans(x.type.shape[-1], parts))
    slices = {each: [_slice(b, each, -1, *span) for span in spans] for each in (x, y)}
    pairs = list(zip(slices[x], slices[y], strict=True))
    panels = [b.emit(Op.DOT, pair) for pair in pairs[:-1]]
    return _added(b, Op.ADD, [*panels, b.emit(Op.DOT, (*pairs[-1], *bias))])


def _conv(b: Builder, node: Node, parts: int) -> Operand:
    """Cuts the kernel along its first axis that is longer than 1, else the channels of each group.
    The bias is in the last panel's exact sum."""
    x, w, *bias = node.operands
    kernel = w.type.shape[1:-1]
    axis = next((at for at, length in enumerate(kernel) if length > 1), None)
    if axis is None:
        group, channels = node.attributes[0], w.type.shape[-1]
        image = b.reshape(x, (*x.type.shape[:-1], group, channels))
        spans = list(_spans(channels, parts))
        images = [_slice(b, image, -1, *span) for span in spans]
        xs = [b.reshape(i, (*x.type.shape[:-1], group * i.type.shape[-1])) for i in images]
        ws = [_slice(b, w, -1, *span) for span in spans]
        attributes = [node.attributes] * len(spans)
    else:
        spans = list(_spans(kernel[axis], min(parts, kernel[axis])))
        xs = [x] * len(spans)
        ws = [_slice(b, w, axis + 1, *span) for span in spans]
        attributes = [_window(node.attributes, axis, *span) for span in spans]
    biases = [()] * (len(spans) - 1) + [tuple(bias)]
    panels = zip(xs, ws, biases, attributes, strict=True)
    return _added(b, Op.ADD, [b.emit(Op.CONV, (x, w, *more), *own) for x, w, more, own in panels])


def _window(attributes: Sequence[int], axis: int, first: int, count: int) -> tuple[int, ...]:
    """Gives the attributes of windows with but some of the kernel's taps along one axis."""
    kernel, stride, dilation, begin, end, last = attributes[1 + 6 * axis : 7 + 6 * axis]
    before, behind = first * dilation, (kernel - first - count) * dilation
    cut = (count, stride, dilation, begin - before, end - behind, last)
    return (*attributes[: 1 + 6 * axis], *cut, *attributes[7 + 6 * axis :])


def _max_pool(b: Builder, node: Node, parts: int) -> Operand:
    kernel = node.attributes[1::6]
    axis = next(at for at, length in enumerate(kernel) if length > 1)
    spans = _spans(kernel[axis], min(parts, kernel[axis]))
    windows = [_window(node.attributes, axis, *span) for span in spans]
    return _added(b, Op.MAX, [b.emit(Op.MAX_POOL, node.operands, *each) for each in windows])


def _average_pool(b: Builder, node: Node, parts: int) -> Operand:
    """Adds by a CONV with ones, in panels, and divides once, by NaN where nothing is counted."""
    (x,), channels = node.operands, node.output.shape[-1]
    ones = b.constant(np.ones((channels, *node.attributes[1::6], 1), np.float32))
    attributes = [channels]
    for at in range(1, len(node.attributes), 6):
        kernel, stride, dilation, begin, end, overhang = node.attributes[at : at + 6]
        attributes += [kernel, stride, dilation, begin, end + overhang, 1]
    total = ValueType(x.type.dtype, node.output.shape)
    summed = Node(Op.CONV, (x, ones), total, tuple(attributes), node.name)
    counts = np.array(pool_counts(node), np.float32).reshape(*node.output.shape[1:-1], 1)
    counts[counts == 0] = np.nan
    return b.emit(Op.DIV, (_conv(b, summed, parts), b.constant(counts)))


# ---- what moves


def _concat(b: Builder, node: Node, parts: int) -> Operand:
    """Joins neighbours, and then what they gave."""
    groups = (node.operands[at : at + n] for at, n in _spans(len(node.operands), parts))
    return b.emit(Op.CONCAT, [b.emit(Op.CONCAT, group) for group in groups])


def _scatter(b: Builder, node: Node, parts: int) -> Operand:
    """Puts updates panel by panel onto what the panels before gave."""
    out, indices, updates = node.operands
    for span in _spans(indices.type.elements, parts):
        some = _slice(b, indices, 0, *span), _slice(b, updates, 0, *span)
        out = b.emit(Op.SCATTER, (out, *some), *node.attributes)
    return out


_CUTS: dict[Op, Cut] = {
    Op.REDUCE_SUM: _sum,
    Op.REDUCE_MEAN: _mean,
    Op.REDUCE_MAX: _extremum,
    Op.REDUCE_MIN: _extremum,
    Op.ARG_MAX: _arg_max,
    Op.TOP_K: _top,
    Op.CUM_SUM: _running,
    Op.DOT: _dot,
    Op.CONV: _conv,
    Op.MAX_POOL: _max_pool,
    Op.AVERAGE_POOL: _average_pool,
    Op.CONCAT: _concat,
    Op.SCATTER: _scatter,
}
