"""Defines a primitive: a type rule, the plain kernel that is the law, and the fast kernel."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from math import prod
from typing import TypeAlias

from oracle.exact import float32
from oracle.exact.program import Node, Op, Operand, ValueType
from oracle.tensor import Array
from oracle.types import DType

Kernel: TypeAlias = Callable[..., Array]
"""Takes a node's operands in order, each in the shape in which the node reads it, and gives the
node's output. Arrays passed in have no −0, but their NaNs may have any payload, and the same holds
for the output. The output may share memory with an argument; no argument is written to."""

Takes: TypeAlias = Callable[[Sequence[ValueType]], Collection[tuple[int, int]]]
"""Gives from the operands' types how many operands and attributes a node may have."""

Prepare: TypeAlias = Callable[[Node, Sequence[Array | None]], Kernel]

FLOAT = DType.FLOAT
INTEGERS = (DType.INT64, DType.INT32, DType.INT8, DType.UINT8)
NUMBERS = (FLOAT, *INTEGERS)
DTYPES = (*NUMBERS, DType.BOOL)


class Outside(Exception):
    """The law does not cover a node. Raised while lowering, where it becomes a `Reason`."""

    def __init__(self, why: str, advice: str):
        super().__init__(why)
        self.why = why
        self.advice = advice


@dataclass(frozen=True, slots=True)
class Primitive:
    """`takes` says how many operands and attributes a node may have. `infer` gives the output's
    type from the operands' and the attributes, or raises Outside. `prepare` is called once a
    program, with the constants among the operands (None for others). `cost` counts multiply-adds or
    work like it, for limits."""

    op: Op
    takes: Takes
    infer: Callable[[Sequence[ValueType], Sequence[int]], ValueType]
    plain: Callable[[Node, Sequence[Array]], Array]
    prepare: Prepare
    cost: Callable[[Node], int]


def exactly(operands: int, attributes: int = 0) -> Takes:
    """Makes the rule of a primitive that has always as many."""
    return lambda _types: ((operands, attributes),)


def output_size(node: Node) -> int:
    return node.output.elements


def input_size(node: Node) -> int:
    return sum(operand.type.elements for operand in node.operands)


def broadcast(shapes: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """Broadcasts shapes by numpy's rule: they are aligned at the right, and ones are stretched."""
    rank = max(map(len, shapes))
    out = []
    for axis in range(-rank, 0):
        dims = {shape[axis] for shape in shapes if len(shape) >= -axis}
        dims.discard(1)
        if len(dims) > 1:
            raise Outside(
                f"the shapes {', '.join(map(str, shapes))} do not broadcast",
                "fix the shapes of its inputs, or the dims given",
            )
        out.append(dims.pop() if dims else 1)
    return tuple(out)


def flat_index(shape: tuple[int, ...], operand: Operand) -> list[int]:
    """Gives for each element of `shape`, in C order, the place of the operand's element that
    broadcasting puts there."""
    dims = (1,) * (len(shape) - len(operand.type.shape)) + operand.type.shape
    places = [0]
    for axis, size in enumerate(shape):
        stride = prod(dims[axis + 1 :]) if dims[axis] != 1 else 0
        places = [place + stride * step for place in places for step in range(size)]
    return places


def unary(op: Op, rule: Callable[[int], int], prepare: Prepare) -> Primitive:
    """Makes the primitive of a function of one float32, from the rule for its bits."""

    def infer(types: Sequence[ValueType], _attributes: Sequence[int]) -> ValueType:
        return ValueType(same_dtype(types, (FLOAT,)), types[0].shape)

    def plain(node: Node, arrays: Sequence[Array]) -> Array:
        # INPUTS
        x = float32.bits(arrays[0])
        # SHAPE: as the input's
        # COMPUTE
        out = [rule(word) for word in x]
        # OUTPUT
        return float32.array(out, node.output.shape)

    return Primitive(op, exactly(1), infer, plain, prepare, function_cost)


def function_cost(node: Node) -> int:
    """Counts the work of a function that is correctly rounded."""
    return 64 * output_size(node)


def same_dtype(types: Sequence[ValueType], allowed: Sequence[DType]) -> DType:
    """Gives the dtype of all operands. Raises Outside where they differ or it is not allowed."""
    dtypes = {type_.dtype for type_ in types}
    if len(dtypes) > 1:
        names = ", ".join(sorted(dtype.name.lower() for dtype in dtypes))
        raise Outside(f"its inputs have different dtypes: {names}", "insert a Cast")
    dtype = dtypes.pop()
    if dtype not in allowed:
        raise Outside(
            f"dtype {dtype.name.lower()} is not covered",
            "Cast to one of " + ", ".join(d.name.lower() for d in allowed),
        )
    return dtype
