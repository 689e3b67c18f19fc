"""Ops that move elements, and merge those that are moved to one place."""

from oracle.audit.numbers import Result, total
from oracle.audit.rules.node import Ops, Primitive, Read, flat, unravelled
from oracle.audit.rules.reduce import extreme
from oracle.errors import WrongEvidence


def _transpose(node: Primitive, element: int, read: Read) -> Result:
    source = node.operands[0].shape
    place = [0] * len(source)
    for axis, index in zip(node.attributes, unravelled(node.output.shape, element), strict=True):
        place[axis] = index
    return read(0, flat(source, place), 1)[0]


def _concat(node: Primitive, element: int, read: Read) -> Result:
    row, column = divmod(element, node.output.shape[1])
    for operand, tensor in enumerate(node.operands):
        width = tensor.shape[1]
        if column < width:
            return read(operand, row * width + column, 1)[0]
        column -= width
    raise WrongEvidence("the widths of CONCAT's operands are not its output's")


def _gather(node: Primitive, element: int, read: Read) -> Result:
    outer, at, inner = unravelled(node.output.shape, element)
    shape = node.operands[0].shape
    index = _clamped(int(read(1, at, 1)[0]), shape[1])
    return read(0, flat(shape, (outer, index, inner)), 1)[0]


def _scatter(node: Primitive, element: int, read: Read) -> Result:
    """Reads all indices, then what is merged in the element's place. Where updates replace, only
    the last one is read, and not the place's own element."""
    rows, width = node.output.shape
    row, column = divmod(element, width)
    count = node.operands[1].shape[0]
    indices = read(1, 0, count)
    updates = [at for at, index in enumerate(indices) if _clamped(int(index), rows) == row]
    mode = node.attributes[0]
    if mode == 0 and updates:
        return read(2, updates[-1] * width + column, 1)[0]
    values = [read(0, element, 1)[0]]
    values += [read(2, at * width + column, 1)[0] for at in updates]
    match mode:
        case 0:
            return values[0]
        case 1:
            return total(values, node.output.dtype)
        case 2 | 3:
            return extreme(values, node.output.dtype, largest=mode == 2)
    raise WrongEvidence(f"SCATTER has no mode {mode}")


def _clamped(index: int, size: int) -> int:
    return min(max(index + size if index < 0 else index, 0), size - 1)


OPS: Ops = {
    0x0500: ("TRANSPOSE", _transpose),
    0x0501: ("CONCAT", _concat),
    0x0502: ("GATHER", _gather),
    0x0540: ("SCATTER", _scatter),
}
