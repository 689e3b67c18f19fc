"""Lists of tensors, ONNX's sequences: which tensors are in one is known while lowering, so that a
list is no value of the program and its ops leave no node but for what they cut or join."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from oracle.exact.lowering import movement
from oracle.exact.lowering.builder import Builder
from oracle.exact.lowering.indexing import taken
from oracle.exact.lowering.reduce import integers
from oracle.exact.lowering.source import Source, normalized
from oracle.exact.primitive import Outside
from oracle.exact.program import Operand

Tensors = tuple[Operand, ...]


@dataclass(frozen=True, slots=True)
class Listed:
    """A node of which the first input may be a list. `rest` has its other inputs in `source`."""

    source: Source
    tensors: Tensors | None

    def list_(self) -> Tensors:
        if self.tensors is None:
            raise Outside("its first input is no list of tensors", "fix the file")
        return self.tensors


def _construct(_: Builder, node: Listed) -> Tensors:
    return tuple(node.source.input(at) for at in range(len(node.source.inputs)))


def _empty(_: Builder, node: Listed) -> Tensors:
    node.source.integer("dtype", 1)
    return ()


def _insert(b: Builder, node: Listed) -> Tensors:
    tensors = node.list_()
    at = _place(b, node.source.optional(2), tensors, end=True)
    return (*tensors[:at], node.source.input(1), *tensors[at:])


def _erase(b: Builder, node: Listed) -> Tensors:
    tensors = node.list_()
    at = _place(b, node.source.optional(1), tensors)
    return (*tensors[:at], *tensors[at + 1 :])


def _at(b: Builder, node: Listed) -> Operand:
    tensors = node.list_()
    return tensors[_place(b, node.source.input(1), tensors)]


def _place(b: Builder, place: Operand | None, tensors: Tensors, *, end: bool = False) -> int:
    """Reads a place in the list, the last where none is given. With `end` it may be behind it."""
    places = len(tensors) + end
    known = (places - 1,) if place is None else integers(b, place, "place in the list")
    at = known[0] + len(tensors) * (known[0] < 0) if len(known) == 1 else -1
    if not 0 <= at < places:
        raise Outside(f"its place in a list of {len(tensors)} is {known}", "fix the file")
    return at


def _length(b: Builder, node: Listed) -> Operand:
    return b.constant(np.array(len(node.list_()), np.int64))


def _concat(b: Builder, node: Listed) -> Operand:
    tensors = node.list_()
    if node.source.integer("new_axis", 0):
        rank = len(tensors[0].type.shape) + 1 if tensors else 1
        axis = normalized(node.source.integer("axis"), rank)
        tensors = tuple(
            b.reshape(each, (*each.type.shape[:axis], 1, *each.type.shape[axis:]))
            for each in tensors
        )
    node.source.integer("axis")
    axes = {"axis": node.source.attributes["axis"]}
    (joined,) = movement.ONNX["Concat"](b, Source("Concat", node.source.opset, tensors, axes, 1))
    return joined


def _split(b: Builder, node: Listed) -> Tensors:
    x, sizes = node.source.input(0), node.source.optional(1)
    shape = x.type.shape
    axis = node.source.axis(len(shape), 0)
    keep = bool(node.source.integer("keepdims", 1))
    if sizes is None:
        each = tuple(taken(b, x, [at], axis) for at in range(shape[axis]))
        if keep:
            return each
        return tuple(b.reshape(part, shape[:axis] + shape[axis + 1 :]) for part in each)
    given = integers(b, sizes, "split")
    if not sizes.type.shape:  # of one size, and of what is left
        most = max(1, given[0])
        given = tuple(min(most, shape[axis] - at) for at in range(0, shape[axis], most))
    if sum(given) != shape[axis] or min(given, default=0) < 0:
        raise Outside(f"it splits {shape[axis]} into {given}", "fix the sizes")
    ends = np.cumsum(given).tolist()
    return tuple(
        taken(b, x, range(end - size, end), axis) for size, end in zip(given, ends, strict=True)
    )


OPS: dict[str, Callable[[Builder, Listed], Operand | Sequence[Operand]]] = {
    "SequenceConstruct": _construct,
    "SequenceEmpty": _empty,
    "SequenceInsert": _insert,
    "SequenceErase": _erase,
    "SequenceAt": _at,
    "SequenceLength": _length,
    "ConcatFromSequence": _concat,
    "SplitToSequence": _split,
}
