"""Reductions over any axes: those axes are brought to the end and read as one."""

from collections.abc import Sequence
from math import prod

from oracle.exact.builder import Builder
from oracle.exact.primitive import Outside
from oracle.exact.program import Op, Operand
from oracle.exact.source import Lowering, Source, normalized
from oracle.types import DType


def _reduction(op: Op, axes_are_input_since: int) -> Lowering:
    def lowering(b: Builder, node: Source) -> list[Operand]:
        x = node.input(0)
        rank = len(x.type.shape)
        axes = _axes(b, node, axes_are_input_since)
        keep = bool(node.integer("keepdims", 1))
        noop = node.opset >= axes_are_input_since and node.integer("noop_with_empty_axes", 0)
        if not axes:
            if noop:
                return [x]
            axes = tuple(range(rank))
        return [reduced(b, op, x, [normalized(axis, rank) for axis in axes], keep)]

    return lowering


def _axes(b: Builder, node: Source, axes_are_input_since: int) -> tuple[int, ...]:
    if node.opset < axes_are_input_since:
        return node.integers("axes", ())
    given = node.optional(1)
    if given is None:
        return ()
    return integers(b, given, "axes")


def integers(b: Builder, operand: Operand, what: str) -> tuple[int, ...]:
    """What a one-dimensional integer operand holds, which must not depend on the inputs."""
    array = b.known(operand)
    if array is None:
        raise Outside(f"its {what} depend on the model's inputs", f"make its {what} constant")
    if operand.type.dtype not in (DType.INT64, DType.INT32) or array.ndim > 1:
        raise Outside(f"its {what} are {operand.type}, not a list of integers", "fix the file")
    return tuple(int(value) for value in array.reshape(-1))


def reduced(
    b: Builder, op: Op, x: Operand, axes: Sequence[int], keep: bool, *attributes: int
) -> Operand:
    shape = x.type.shape
    if len(set(axes)) != len(axes):
        raise Outside(f"it reduces an axis twice: {tuple(axes)}", "fix axes")
    kept = [axis for axis in range(len(shape)) if axis not in axes]
    moved = b.transpose(x, [*kept, *sorted(axes)])
    outer = prod(shape[axis] for axis in kept)
    rows = b.reshape(moved, (outer, prod(shape[axis] for axis in axes)))
    out = b.emit(op, (rows,), *attributes)
    if keep:
        return b.reshape(out, tuple(1 if i in axes else dim for i, dim in enumerate(shape)))
    return b.reshape(out, tuple(shape[axis] for axis in kept))


def _arg_max(b: Builder, node: Source) -> list[Operand]:
    x = node.input(0)
    axis = node.axis(len(x.type.shape), 0)
    last = node.integer("select_last_index", 0) if node.opset >= 12 else 0
    return [reduced(b, Op.ARG_MAX, x, [axis], bool(node.integer("keepdims", 1)), int(last != 0))]


ONNX: dict[str, Lowering] = {
    "ReduceSum": _reduction(Op.REDUCE_SUM, 13),
    "ReduceMean": _reduction(Op.REDUCE_MEAN, 18),
    "ReduceMax": _reduction(Op.REDUCE_MAX, 18),
    "ReduceMin": _reduction(Op.REDUCE_MIN, 18),
    "ArgMax": _arg_max,
}
