"""Ops that move elements, and those that only rename or reshape them."""

from math import prod

import numpy as np

from oracle.exact.lowering.builder import Builder
from oracle.exact.lowering.reduce import integers
from oracle.exact.lowering.source import Lowering, Source, normalized, tensor_constant
from oracle.exact.primitive import Outside
from oracle.exact.program import Op, Operand


def _identity(_b: Builder, node: Source) -> list[Operand]:
    return list(node.exactly(1))


def _constant(b: Builder, node: Source) -> list[Operand]:
    node.exactly(0)
    if node.has("value"):
        return [tensor_constant(b, node.tensor("value"))]
    if node.has("value_float"):
        return [b.constant(np.array(node.real("value_float"), np.float32))]
    if node.has("value_floats"):
        return [b.constant(node.reals("value_floats"))]
    if node.has("value_int"):
        return [b.constant(np.array(node.integer("value_int"), np.int64))]
    if node.has("value_ints"):
        return [b.constant(np.array(node.integers("value_ints"), np.int64))]
    raise Outside("it holds no number or tensor of numbers", "use a dense numeric constant")


def _reshape(b: Builder, node: Source) -> list[Operand]:
    x, wanted = node.exactly(2)
    shape = list(integers(b, wanted, "shape"))
    keep_zero = node.opset >= 14 and node.integer("allowzero", 0)
    if not keep_zero:
        if any(dim == 0 and axis >= len(x.type.shape) for axis, dim in enumerate(shape)):
            raise Outside(f"shape {tuple(shape)} copies a dim that is not there", "fix the shape")
        shape = [x.type.shape[axis] if dim == 0 else dim for axis, dim in enumerate(shape)]
    if shape.count(-1) > 1 or any(dim < -1 for dim in shape):
        raise Outside(f"shape {tuple(shape)} has no meaning", "fix the shape")
    if -1 in shape:
        rest = prod(dim for dim in shape if dim != -1)
        if rest == 0 or x.type.elements % rest:
            raise Outside(f"{x.type.shape} cannot be read as {tuple(shape)}", "fix the shape")
        shape[shape.index(-1)] = x.type.elements // rest
    return [b.reshape(x, tuple(shape))]


def _flatten(b: Builder, node: Source) -> list[Operand]:
    (x,) = node.exactly(1)
    axis = node.axis(len(x.type.shape), 1, end=True)
    return [b.reshape(x, (prod(x.type.shape[:axis]), prod(x.type.shape[axis:])))]


def _squeeze(b: Builder, node: Source) -> list[Operand]:
    x = node.input(0)
    shape = x.type.shape
    axes = [normalized(axis, len(shape)) for axis in _shape_axes(b, node)]
    if not axes:
        axes = [axis for axis, dim in enumerate(shape) if dim == 1]
    if any(shape[axis] != 1 for axis in axes):
        raise Outside(f"it squeezes axes {tuple(axes)} of {shape}", "squeeze dims of size 1")
    return [b.reshape(x, tuple(dim for axis, dim in enumerate(shape) if axis not in axes))]


def _unsqueeze(b: Builder, node: Source) -> list[Operand]:
    x = node.input(0)
    given = _shape_axes(b, node)
    rank = len(x.type.shape) + len(given)
    axes = {normalized(axis, rank) for axis in given}
    if len(axes) != len(given) or not given:
        raise Outside(f"its axes are {given}", "give each axis once")
    dims = iter(x.type.shape)
    return [b.reshape(x, tuple(1 if axis in axes else next(dims) for axis in range(rank)))]


def _shape_axes(b: Builder, node: Source) -> tuple[int, ...]:
    if node.opset < 13:
        return node.integers("axes", ())
    given = node.optional(1)
    return () if given is None else integers(b, given, "axes")


def _shape(b: Builder, node: Source) -> list[Operand]:
    (x,) = node.exactly(1)
    start = node.integer("start", 0) if node.opset >= 15 else 0
    end = node.integer("end", len(x.type.shape)) if node.opset >= 15 else len(x.type.shape)
    return [b.constant(np.array(x.type.shape[start:end], np.int64))]


def _transpose(b: Builder, node: Source) -> list[Operand]:
    (x,) = node.exactly(1)
    return [b.transpose(x, node.integers("perm", tuple(range(len(x.type.shape)))[::-1]))]


def _concat(b: Builder, node: Source) -> list[Operand]:
    operands = [node.input(index) for index in range(len(node.inputs))]
    if not operands:
        raise Outside("it has no inputs", "fix the file")
    shape = operands[0].type.shape
    axis = node.axis(len(shape))
    for operand in operands:
        other = operand.type.shape
        if len(other) != len(shape) or other[:axis] + other[axis + 1 :] != (
            shape[:axis] + shape[axis + 1 :]
        ):
            raise Outside(f"{shape} and {other} do not join on axis {axis}", "fix the shapes")
    outer = prod(shape[:axis])
    rows = [b.reshape(o, (outer, prod(o.type.shape[axis:]))) for o in operands]
    width = sum(operand.type.shape[axis] for operand in operands)
    joined = rows[0] if len(rows) == 1 else b.emit(Op.CONCAT, rows)
    return [b.reshape(joined, (*shape[:axis], width, *shape[axis + 1 :]))]


def _gather(b: Builder, node: Source) -> list[Operand]:
    data, indices = node.exactly(2)
    return [gather(b, data, indices, node.axis(len(data.type.shape), 0))]


def gather(b: Builder, data: Operand, indices: Operand, axis: int) -> Operand:
    """Gathers along an axis. A negative index counts from the end, one beyond is the nearest."""
    shape = data.type.shape
    lined_up = b.reshape(data, (prod(shape[:axis]), shape[axis], prod(shape[axis + 1 :])))
    flat = b.reshape(indices, (indices.type.elements,))
    out = b.emit(Op.GATHER, (lined_up, flat))
    return b.reshape(out, (*shape[:axis], *indices.type.shape, *shape[axis + 1 :]))


def _array_feature_extractor(b: Builder, node: Source) -> list[Operand]:
    """Takes columns of the last axis. A one-dimensional input is one row, as in onnxruntime."""
    x, indices = node.exactly(2)
    shape = x.type.shape or (1,)
    rows = b.reshape(x, (prod(shape[:-1]), shape[-1]))
    flat = b.reshape(indices, (indices.type.elements,))
    out = gather(b, rows, flat, 1)
    leading = shape[:-1] if len(shape) > 1 else (1,)
    return [b.reshape(out, (*leading, indices.type.elements))]


ONNX: dict[str, Lowering] = {
    "Identity": _identity,
    "Constant": _constant,
    "Reshape": _reshape,
    "Flatten": _flatten,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Shape": _shape,
    "Transpose": _transpose,
    "Concat": _concat,
    "Gather": _gather,
}
ONNX_ML: dict[str, Lowering] = {"ArrayFeatureExtractor": _array_feature_extractor}
