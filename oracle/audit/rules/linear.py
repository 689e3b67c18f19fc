"""DOT: sums of products of a row and a column."""

from oracle.audit.numbers import Result, dot
from oracle.audit.rules.node import Ops, Primitive, Read, broadcast


def _dot(node: Primitive, element: int, read: Read) -> Result:
    *batch, rows, columns = node.output.shape
    a, b = node.operands[:2]
    k = a.shape[-1]
    matrix, inside = divmod(element, rows * columns)
    row, column = divmod(inside, columns)
    left = read(0, (broadcast(a.shape[:-2], batch, matrix) * rows + row) * k, k)
    right = read(1, (broadcast(b.shape[:-2], batch, matrix) * columns + column) * k, k)
    pairs = list(zip(left, right, strict=True))
    if len(node.operands) == 3:
        at = broadcast(node.operands[2].shape, node.output.shape, element)
        pairs.append((read(2, at, 1)[0], 1))
    return dot(pairs, node.output.dtype)


OPS: Ops = {
    0x0100: ("DOT", _dot),
}
