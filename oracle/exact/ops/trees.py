"""TREE_WALK: from the root of each tree to a leaf, by one comparison a step.

Leaf weights are then fetched by GATHER and added by REDUCE_SUM; so one element of this op is one
path through one tree, which is what a referee can walk.

A node is eight int32, one EVM word:

    0 feature   1 threshold (float32 bits)   2 next where x ≤ threshold   3 next where x > threshold
    4 next where x is NaN   5 what a leaf gives   6, 7 zero

A leaf is its own successor where x ≤ threshold, whatever its others are; lowering makes it that in
all three. Else successors stand behind the node, so a walk ends; two nodes may have one successor.
A threshold −0 is 0, and nothing is greater than a threshold NaN, so that every number goes on at 2;
lowering writes neither.
The other comparisons of ONNX are turned into this one when lowering.
"""

from collections.abc import Sequence

import numpy as np

from oracle.exact import float32
from oracle.exact.primitive import FLOAT, Kernel, Outside, Primitive, exactly, same_dtype
from oracle.exact.program import Node, Op, ValueType
from oracle.tensor import Array
from oracle.types import DType

FEATURE, THRESHOLD, BELOW, ABOVE, MISSING, LEAF, WIDTH = 0, 1, 2, 3, 4, 5, 8


def _infer(types: Sequence[ValueType], _attributes: Sequence[int]) -> ValueType:
    """Gives int32 [N, T] for x [N, F], nodes int32 [M, 8] and roots int32 [T]. The one attribute is
    the most steps that a walk takes."""
    same_dtype(types[:1], (FLOAT,))
    same_dtype(types[1:], (DType.INT32,))
    x, nodes, roots = (type_.shape for type_ in types)
    if len(x) != 2 or len(nodes) != 2 or nodes[1] != WIDTH or len(roots) != 1:
        raise Outside(f"its operands have shapes {x}, {nodes} and {roots}", "fix its tables")
    return ValueType(DType.INT32, (x[0], roots[0]))


def _plain(node: Node, arrays: Sequence[Array]) -> Array:
    # INPUTS
    x = float32.bits(arrays[0])
    nodes: list[list[int]] = arrays[1].tolist()
    roots: list[int] = arrays[2].tolist()
    # SHAPE
    rows, features = node.operands[0].type.shape
    # COMPUTE
    out = [
        walk(x[row * features : (row + 1) * features], nodes, root)
        for row in range(rows)
        for root in roots
    ]
    # OUTPUT
    return np.array(out, np.int32).reshape(node.output.shape)


def walk(x: Sequence[int], nodes: Sequence[Sequence[int]], at: int) -> int:
    """Walks the row `x` (bits) from node `at` to a leaf, and gives what that leaf holds."""
    while nodes[at][BELOW] != at:
        at = nodes[at][branch(x[nodes[at][FEATURE]], nodes[at][THRESHOLD])]
    return nodes[at][LEAF]


def branch(value: int, threshold: int) -> int:
    """Gives which of a node's numbers says where to go on, from the bits of both."""
    threshold &= 0xFFFFFFFF
    if float32.is_nan(value):
        return MISSING
    if float32.is_nan(threshold):
        return BELOW
    return ABOVE if float32.ordered(threshold) < float32.ordered(value) else BELOW


def _prepare(node: Node, constants: Sequence[Array | None]) -> Kernel:
    from oracle.exact.kernels import trees  # numba takes its time to load

    assert constants[1] is not None and constants[2] is not None
    _check(constants[1], constants[2], node.operands[0].type.shape[1])
    table, roots = _closed(constants[1]), constants[2].view(np.uint32)
    thresholds, nodes = table.view(np.float32), table.view(np.uint32)
    most = min(max(node.attributes[0], 0), trees.ENDLESS)  # a word holds more than a register
    depths = np.minimum(trees.depths(nodes, roots), most)

    def kernel(x: Array, _nodes: Array, _roots: Array) -> Array:
        out = np.empty(node.output.shape, np.int32)
        x = np.ascontiguousarray(x)
        trees.walk(x, nodes, thresholds, roots, depths, out.view(np.uint32))
        return out

    return kernel


def _closed(nodes: Array) -> Array:
    """Gives the same table with leaves that are their own successors in all three: a walk ends at
    the first that is it in one, and compiled code goes on from there."""
    place = np.arange(len(nodes), dtype=nodes.dtype)[:, None]
    is_open = (nodes[:, [BELOW]] == place) & (nodes[:, [ABOVE, MISSING]] != place)
    if not is_open.any():
        return nodes
    closed = nodes.copy()
    closed[:, [ABOVE, MISSING]] = np.where(is_open, place, nodes[:, [ABOVE, MISSING]])
    return closed


def _check(nodes: Array, roots: Array, features: int) -> None:
    """Raises IndexError where a walk could leave the tables: compiled code does not check."""
    places, feature = nodes[:, [BELOW, ABOVE, MISSING]], nodes[:, FEATURE]
    if (
        not _within(places, len(nodes))
        or not _within(roots, len(nodes))
        or not _within(feature, max(features, 1))
    ):
        raise IndexError("a tree leads beyond its nodes or the features")


def check_walks(node: Node, nodes: Array, roots: Array) -> None:
    """Raises Outside where the tables are those of no trees, because a walk from a root could leave
    them, or take more steps than the attribute says: the referee gives no verdict on such a one."""
    from oracle.exact.kernels import trees  # numba takes its time to load

    try:
        _check(nodes, roots, node.operands[0].type.shape[1])
    except IndexError as error:
        raise Outside(str(error), "fix its tables") from None
    steps, depths = node.attributes[0], trees.depths(nodes.view(np.uint32), roots.view(np.uint32))
    # A root that is a leaf takes no step, whatever the attribute says.
    if depths.max(initial=0) > max(steps, 0):
        raise Outside(f"a walk may take more than its {steps} steps", "fix its tables")


def _within(places: Array, end: int) -> bool:
    return bool(((places >= 0) & (places < end)).all())


def _cost(node: Node) -> int:
    return node.output.elements * node.attributes[0] * 8


PRIMITIVES = (Primitive(Op.TREE_WALK, exactly(3, 1), _infer, _plain, _prepare, _cost),)
