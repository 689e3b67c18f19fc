"""Scatters: updates put into data at indices, element by element or row by row."""

from math import prod

import numpy as np

from oracle.exact.lowering.builder import Builder
from oracle.exact.lowering.elementwise import cast
from oracle.exact.lowering.indexing import along, fitting, joined, points
from oracle.exact.lowering.movement import gather
from oracle.exact.lowering.shape import expand
from oracle.exact.lowering.source import Lowering, Source
from oracle.exact.lowering.stretched import narrowed
from oracle.exact.ops.movement import LARGEST, REPLACE, SMALLEST, SUM
from oracle.exact.primitive import Outside
from oracle.exact.program import Op, Operand, OperandKind
from oracle.types import DType


def _reduction(node: Source, since: int) -> int:
    name = node.text("reduction", "none") if node.opset >= since else "none"
    modes = {"none": REPLACE, "add": SUM, "max": LARGEST, "min": SMALLEST}
    if name not in modes:
        raise Outside(f"reduction {name!r} is not covered", "use none, add, max or min")
    return modes[name]


def _scatter(
    b: Builder, data: Operand, places: Operand, updates: Operand, inner: int, mode: int
) -> Operand:
    """Puts rows of `inner` elements at flat places. At constant places REPLACE is a GATHER."""
    n = data.type.elements // inner if inner else 0
    rows = b.reshape(data, (n, inner))
    flat = b.reshape(places, (places.type.elements,))
    put = b.reshape(updates, (flat.type.elements, inner))
    known = b.known(flat)
    if known is not None and mode == REPLACE:
        source = np.arange(n)
        for row, at in enumerate(known.tolist()):
            source[at] = n + row
        both = joined(b, [rows, put], 0)
        return b.reshape(gather(b, both, b.constant(source), 0), data.type.shape)
    return b.reshape(b.emit(Op.SCATTER, (rows, flat, put), mode), data.type.shape)


def _scatter_elements(b: Builder, node: Source) -> list[Operand]:
    data, indices, updates = node.exactly(3)
    axis = node.axis(len(data.type.shape), 0)
    mode = _reduction(node, 16)
    fitting(data, indices, axis)
    if updates.type.shape != indices.type.shape:
        raise Outside(f"updates {updates.type} for indices {indices.type}", "fix the shapes")
    if not indices.type.elements:
        return [data]
    if (by_rows := _by_rows(b, data, indices, updates, axis, mode)) is not None:
        return [by_rows]
    return [_scatter(b, data, along(b, data.type.shape, indices, axis), updates, 1, mode)]


def _by_rows(
    b: Builder, data: Operand, indices: Operand, updates: Operand, axis: int, mode: int
) -> Operand | None:
    """Scatters whole rows where the indices were stretched along other axes, as those of a graph's
    edges are along features. An element's proof then reads an index a row and not one an element.
    Gives None where they were not."""
    dims = data.type.shape
    if b.known(indices) is not None and mode == REPLACE:
        return None  # this is a GATHER anyway
    wide = []
    for at, dim in enumerate(dims):
        fits = at != axis and dim == indices.type.shape[at] > 1
        if fits and (narrow := narrowed(b, indices, at)) is not None:
            indices = narrow
            wide.append(at)
    if not wide:
        return None
    order = [*(at for at in range(len(dims)) if at not in wide), *wide]
    rows, put, places = (b.transpose(each, order) for each in (data, updates, indices))
    kept, width = len(dims) - len(wide), prod(dims[at] for at in wide)
    flat, shape = places.type.shape[:kept], rows.type.shape
    places = b.reshape(places, flat)
    if prod(shape[:kept]) != dims[axis]:
        places = along(b, shape[:kept], places, order.index(axis))
    elif places.kind is OperandKind.INPUT:
        places = b.copy(places)  # so that no proof of the sums takes the inputs along
    put = b.reshape(put, (prod(flat), width))
    out = _scatter(b, rows, places, put, width, mode)
    return b.transpose(b.reshape(out, shape), [order.index(at) for at in range(len(dims))])


def _scatter_nd(b: Builder, node: Source) -> list[Operand]:
    data, indices, updates = node.exactly(3)
    mode = _reduction(node, 16)
    dims, shape = data.type.shape, indices.type.shape
    if not shape:
        raise Outside("its indices are a scalar", "fix the shapes")
    inner = dims[shape[-1] :]
    if updates.type.shape != (*shape[:-1], *inner):
        raise Outside(f"updates {updates.type} for indices {indices.type}", "fix the shapes")
    if not updates.type.elements:
        return [data]
    return [_scatter(b, data, points(b, dims, indices, 0), updates, prod(inner), mode)]


def _tensor_scatter(b: Builder, node: Source) -> list[Operand]:
    """Puts the rows of `update` into a cache, one behind the other from each sample's place on."""
    cache, update, begin = node.input(0), node.input(1), node.optional(2)
    dims, shape = cache.type.shape, update.type.shape
    axis, mode = node.axis(len(dims), -2), node.text("mode", "linear")
    fits = len(shape) == len(dims) and all(
        shape[i] == dims[i] for i in range(len(dims)) if i != axis
    )
    if axis == 0 or not fits or shape[axis] > dims[axis]:
        raise Outside(f"an update {update.type} of a cache {cache.type}", "fix the shapes")
    if mode not in ("linear", "circular"):
        raise Outside(f"mode {mode!r} is not known", "use linear or circular")
    steps: Operand = b.constant(np.arange(shape[axis]).reshape(1, -1))
    if begin is not None:
        column = b.reshape(cast(b, begin, DType.INT64), (dims[0], 1))
        steps = b.emit(Op.ADD, (column, steps))
    if mode == "circular":
        steps = b.emit(Op.MOD, (steps, b.scalar(dims[axis], DType.INT64)))
    batch = steps.type.shape[0]
    places = b.reshape(steps, (batch, *[1] * (axis - 1), shape[axis]))
    places = expand(b, places, shape[: axis + 1])
    flat = along(b, dims[: axis + 1], places, axis)
    return [_scatter(b, cache, flat, update, prod(dims[axis + 1 :]), REPLACE)]


ONNX: dict[str, Lowering] = {
    "Scatter": _scatter_elements,
    "ScatterElements": _scatter_elements,
    "ScatterND": _scatter_nd,
    "TensorScatter": _tensor_scatter,
}
