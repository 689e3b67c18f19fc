"""Finds what a tensor was before a graph stretched it along an axis, as by Expand or Tile."""

from math import prod

from oracle.exact.lowering.builder import Builder
from oracle.exact.program import Node, Op, Operand

_DEEP = 8
"""So many nodes are looked through: a cast, a permutation, and a GATHER for each run of axes."""


def narrowed(b: Builder, x: Operand, axis: int, deep: int = _DEEP) -> Operand | None:
    """Gives x with one place on an axis along which all its elements are equal. Gives None where
    the nodes that make x do not show that they are."""
    if x.type.shape[axis] == 1:
        return x
    known = b.known(x)
    if known is not None:
        first = known.take([0], axis)
        return b.constant(first) if (known == first).all() else None
    node = b.node_of(x)
    if node is None or not deep:
        return None
    match node.op:
        case Op.CAST:
            source = narrowed(b, b.reshape(node.operands[0], x.type.shape), axis, deep - 1)
            return source and b.emit(Op.CAST, (source,), *node.attributes)
        case Op.TRANSPOSE if node.output.shape == x.type.shape:
            source = narrowed(b, node.operands[0], node.attributes[axis], deep - 1)
            return source and b.transpose(source, node.attributes)
        case Op.GATHER:
            return _before_gather(b, node, x.type.shape, axis, deep)
    return None


def _before_gather(
    b: Builder, node: Node, shape: tuple[int, ...], axis: int, deep: int
) -> Operand | None:
    """Narrows a GATHER, read in a shape, that takes one constant place over and over."""
    data, indices = node.operands
    places = b.known(indices)
    if places is None or (places != places[:1]).any():
        return None
    one = _with(shape, axis, 1)
    outer, _, inner = data.type.shape
    before, behind = prod(shape[:axis]), prod(shape[axis + 1 :])
    if before % outer == 0 and behind % inner == 0:  # it is among the axes that were made
        times = before // outer * (behind // inner)
        if times == data.type.shape[1] == 1:
            return b.reshape(data, one)
        return b.reshape(b.emit(Op.GATHER, (data, b.constant(places[:times]))), one)
    bounds = [prod(shape[:at]) for at in range(len(shape) + 1)]
    if outer not in bounds or outer * len(places) not in bounds:
        return None
    begin, end = bounds.index(outer), bounds.index(outer * len(places))
    moved = axis if axis < begin else axis - end + begin + 1
    whole = b.reshape(data, (*shape[:begin], data.type.shape[1], *shape[end:]))
    source = narrowed(b, whole, moved, deep - 1)
    if source is None:
        return None
    dims = source.type.shape
    lined_up = b.reshape(source, (prod(dims[:begin]), dims[begin], prod(dims[begin + 1 :])))
    return b.reshape(b.emit(Op.GATHER, (lined_up, indices)), one)


def _with(shape: tuple[int, ...], axis: int, size: int) -> tuple[int, ...]:
    return (*shape[:axis], size, *shape[axis + 1 :])
