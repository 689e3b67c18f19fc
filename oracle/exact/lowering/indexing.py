"""Ops that choose elements by index: slices, splits, padding, gathers, TopK.

Constant indices are resolved while lowering; others become places by integer arithmetic in the
program. A negative index counts from the end, and one beyond either end is read as the nearest.
"""

from collections.abc import Sequence
from math import prod

import numpy as np

from oracle.exact.lowering.builder import Builder
from oracle.exact.lowering.elementwise import cast
from oracle.exact.lowering.movement import gather
from oracle.exact.lowering.reduce import backwards, integers
from oracle.exact.lowering.shape import bounded, expand
from oracle.exact.lowering.source import Lowering, Source, normalized
from oracle.exact.primitive import Outside
from oracle.exact.program import Op, Operand
from oracle.types import DType


def taken(b: Builder, x: Operand, places: Sequence[int] | range, axis: int) -> Operand:
    """Takes constant places of an axis. Gives x itself where these are all places in order."""
    if len(places) == x.type.shape[axis] and all(i == place for i, place in enumerate(places)):
        return x
    bounded(b, *x.type.shape[:axis], len(places), *x.type.shape[axis + 1 :])
    return gather(b, x, b.constant(np.array(places, np.int64)), axis)


def _slice(b: Builder, node: Source) -> list[Operand]:
    x = node.input(0)
    rank = len(x.type.shape)
    if node.opset < 10:
        starts, ends = node.integers("starts"), node.integers("ends")
        axes = node.integers("axes", tuple(range(len(starts))))
        steps: tuple[int, ...] = (1,) * len(starts)
    else:
        starts, ends = (integers(b, node.input(i), n) for i, n in ((1, "starts"), (2, "ends")))
        given, jumps = node.optional(3), node.optional(4)
        axes = tuple(range(len(starts))) if given is None else integers(b, given, "axes")
        steps = (1,) * len(starts) if jumps is None else integers(b, jumps, "steps")
    if not len(starts) == len(ends) == len(axes) == len(steps) or 0 in steps:
        raise Outside(f"it slices {starts} to {ends} of axes {axes} by {steps}", "fix the file")
    places = [normalized(axis, rank) for axis in axes]
    if len(set(places)) != len(places):
        raise Outside(f"it slices an axis twice: {axes}", "fix axes")
    for start, end, axis, step in zip(starts, ends, places, steps, strict=True):
        # Python's slices are ONNX's, the end −1 with a negative step included.
        x = taken(b, x, range(x.type.shape[axis])[start:end:step], axis)
    return [x]


def _split(b: Builder, node: Source) -> list[Operand]:
    x = node.input(0)
    axis = node.axis(len(x.type.shape), 0)
    size, parts = x.type.shape[axis], node.outputs
    given = node.optional(1) if node.opset >= 13 else None
    if node.opset >= 18:
        parts = node.integer("num_outputs", parts)
        if parts != node.outputs:
            raise Outside(f"it has {node.outputs} outputs, not {parts}", "fix num_outputs")
    if given is not None:
        sizes: Sequence[int] = integers(b, given, "split")
    elif node.opset < 13 and node.has("split"):
        sizes = node.integers("split")
    else:
        most = -(-size // max(1, parts))
        sizes = [min(most, size - most * part) for part in range(parts)]
    if sum(sizes) != size or len(sizes) != node.outputs or min(sizes, default=0) < 0:
        raise Outside(f"it splits {size} into {tuple(sizes)}", "fix the sizes")
    ends = np.cumsum(sizes).tolist()
    return [taken(b, x, range(e - s, e), axis) for s, e in zip(sizes, ends, strict=True)]


def _pad(b: Builder, node: Source) -> list[Operand]:
    x = node.input(0)
    rank = len(x.type.shape)
    mode = node.text("mode", "constant")
    fill = b.scalar(0, x.type.dtype)
    axes = tuple(range(rank))
    if node.opset < 11:
        pads = node.integers("pads")
        value = node.real("value", 0.0)
        fill = b.scalar(value) if value else fill
    else:
        pads = integers(b, node.input(1), "pads")
        given = node.optional(2)
        fill = fill if given is None else b.reshape(given, ())
        if (over := node.optional(3)) is not None:
            axes = tuple(normalized(axis, rank) for axis in integers(b, over, "axes"))
    if len(pads) != 2 * len(axes) or len(set(axes)) != len(axes):
        raise Outside(f"pads {pads} for axes {axes}", "give two an axis")
    for at, axis in enumerate(axes):
        x = pad(b, x, axis, pads[at], pads[at + len(axes)], mode, fill)
    return [x]


def pad(
    b: Builder, x: Operand, axis: int, begin: int, end: int, mode: str, fill: Operand
) -> Operand:
    """Makes an axis longer at either side, or shorter where a number is negative."""
    size = x.type.shape[axis]
    if -begin > size or -end > size or size + begin + end < 0:
        raise Outside(f"it cuts {(-begin, -end)} off an axis of {size}", "fix its pads")
    bounded(b, *x.type.shape[:axis], size + max(begin, 0) + max(end, 0), *x.type.shape[axis + 1 :])
    kept = range(max(0, -begin), size - max(0, -end))
    if mode == "constant":
        x = taken(b, x, kept, axis)
        shape = x.type.shape
        first, last = (
            [expand(b, fill, (*shape[:axis], width, *shape[axis + 1 :]))] if width > 0 else []
            for width in (begin, end)
        )
        return joined(b, [*first, x, *last], axis)
    return taken(b, x, [_outside(i, size, mode) for i in range(-begin, size + end)], axis)


def _center_crop_pad(b: Builder, node: Source) -> list[Operand]:
    """Cuts axes or fills them with zeros at both sides, the smaller half at the beginning."""
    x, wanted = node.exactly(2)
    rank = len(x.type.shape)
    axes = [normalized(axis, rank) for axis in node.integers("axes", tuple(range(rank)))]
    sizes = integers(b, wanted, "shape")
    if len(sizes) != len(axes) or len(set(axes)) != len(axes) or min(sizes, default=0) < 0:
        raise Outside(f"sizes {sizes} for axes {tuple(axes)}", "give one an axis")
    fill = b.scalar(0, x.type.dtype)
    for axis, size in zip(axes, sizes, strict=True):
        more = size - x.type.shape[axis]
        begin = more // 2 if more > 0 else -(-more // 2)
        x = pad(b, x, axis, begin, more - begin, "constant", fill)
    return [x]


def _outside(place: int, size: int, mode: str) -> int:
    """Gives the element that stands at a place before, in or behind an axis."""
    if size == 0:
        raise Outside("it pads an axis of size zero", "fix the shape")
    match mode:
        case "edge":
            return min(max(place, 0), size - 1)
        case "wrap":
            return place % size
        case "reflect":
            period = max(1, 2 * size - 2)
            return min(place % period, -place % period)
    raise Outside(f"mode {mode!r} is not known", "use constant, edge, reflect or wrap")


def joined(b: Builder, parts: Sequence[Operand], axis: int) -> Operand:
    """Joins parts side by side along an axis."""
    if len(parts) == 1:
        return parts[0]
    shape = parts[0].type.shape
    rows = [b.reshape(p, (prod(shape[:axis]), prod(p.type.shape[axis:]))) for p in parts]
    width = sum(part.type.shape[axis] for part in parts)
    return b.reshape(b.emit(Op.CONCAT, rows), (*shape[:axis], width, *shape[axis + 1 :]))


def place(b: Builder, indices: Operand, size: int) -> Operand:
    """Turns indices into int64 places 0 … size − 1."""
    indices = cast(b, indices, DType.INT64)
    zero = b.scalar(0, DType.INT64)
    behind = b.emit(Op.ADD, (indices, b.scalar(size, DType.INT64)))
    counted = b.emit(Op.WHERE, (b.emit(Op.LESS, (indices, zero)), behind, indices))
    last = b.scalar(max(size - 1, 0), DType.INT64)
    return b.emit(Op.MIN, (b.emit(Op.MAX, (counted, zero)), last))


def along(b: Builder, data: tuple[int, ...], indices: Operand, axis: int) -> Operand:
    """Gives flat places in `data`: the indices on one axis, their own coordinates on the others."""
    shape = indices.type.shape
    strides = [prod(data[i + 1 :]) for i in range(len(data))]
    base = np.zeros(shape, np.int64)
    for i, dim in enumerate(shape):
        if i != axis:
            base += (np.arange(dim) * strides[i]).reshape(-1, *[1] * (len(shape) - i - 1))
    steps = b.emit(Op.MUL, (place(b, indices, data[axis]), b.scalar(strides[axis], DType.INT64)))
    return b.emit(Op.ADD, (steps, b.constant(base)))


def fitting(data: Operand, indices: Operand, axis: int) -> None:
    dims, shape = data.type.shape, indices.type.shape
    if len(dims) != len(shape) or any(shape[i] > dims[i] for i in range(len(dims)) if i != axis):
        raise Outside(f"indices {shape} do not fit into {dims}", "fix the shapes")


def select(b: Builder, x: Operand, places: Operand) -> Operand:
    """Gathers the elements at flat places."""
    flat = b.reshape(places, (places.type.elements,))
    out = b.emit(Op.GATHER, (b.reshape(x, (1, x.type.elements, 1)), flat))
    return b.reshape(out, places.type.shape)


def _gather_elements(b: Builder, node: Source) -> list[Operand]:
    data, indices = node.exactly(2)
    axis = node.axis(len(data.type.shape), 0)
    fitting(data, indices, axis)
    return [select(b, data, along(b, data.type.shape, indices, axis))]


def points(b: Builder, dims: tuple[int, ...], indices: Operand, batch: int) -> Operand:
    """Gives the flat places of points [*, depth] in dims[batch : batch + depth] of their batch."""
    *leading, depth = indices.type.shape
    if not 0 < depth <= len(dims) - batch or tuple(leading[:batch]) != dims[:batch]:
        raise Outside(f"indices {indices.type.shape} do not point into {dims}", "fix the shapes")
    inside = dims[batch : batch + depth]
    flat = None
    for at, size in enumerate(inside):
        one = gather(b, indices, b.constant(np.array([at])), len(leading))
        steps = b.emit(Op.MUL, (place(b, one, size), b.scalar(prod(inside[at + 1 :]), DType.INT64)))
        flat = steps if flat is None else b.emit(Op.ADD, (flat, steps))
    assert flat is not None
    flat = b.reshape(flat, tuple(leading))
    if prod(dims[:batch]) > 1:
        rows = np.arange(prod(dims[:batch])) * prod(inside)
        base = rows.reshape(*dims[:batch], *[1] * (len(leading) - batch))
        flat = b.emit(Op.ADD, (flat, b.constant(base)))
    return flat


def _gather_nd(b: Builder, node: Source) -> list[Operand]:
    data, indices = node.exactly(2)
    batch = node.integer("batch_dims", 0) if node.opset >= 12 else 0
    dims, shape = data.type.shape, indices.type.shape
    if not 0 <= batch < min(len(dims), len(shape)):
        raise Outside(f"batch_dims {batch} for {data.type}", "fix batch_dims")
    places = points(b, dims, indices, batch)
    end = batch + shape[-1]
    rows = b.reshape(data, (1, prod(dims[:end]), prod(dims[end:])))
    out = b.emit(Op.GATHER, (rows, b.reshape(places, (places.type.elements,))))
    return [b.reshape(out, (*shape[:-1], *dims[end:]))]


def _block(x: Operand, node: Source) -> tuple[int, int, int, int, int]:
    shape, block = x.type.shape, node.integer("blocksize")
    if len(shape) != 4 or block < 1:
        raise Outside(f"blocks of {block} in {x.type}", "give it [N, C, H, W]")
    return (*shape, block)


def _depth_to_space(b: Builder, node: Source) -> list[Operand]:
    (x,) = node.exactly(1)
    n, c, h, w, s = _block(x, node)
    mode = node.text("mode", "DCR") if node.opset >= 11 else "DCR"
    if mode not in ("DCR", "CRD"):
        raise Outside(f"mode {mode!r} is unknown", "use DCR or CRD")
    deep = c // (s * s)
    if mode == "DCR":
        blocks = b.transpose(b.reshape(x, (n, s, s, deep, h, w)), (0, 3, 4, 1, 5, 2))
    else:
        blocks = b.transpose(b.reshape(x, (n, deep, s, s, h, w)), (0, 1, 4, 2, 5, 3))
    return [b.reshape(blocks, (n, deep, h * s, w * s))]


def _space_to_depth(b: Builder, node: Source) -> list[Operand]:
    (x,) = node.exactly(1)
    n, c, h, w, s = _block(x, node)
    mode = node.text("mode", "DCR")
    if mode not in ("DCR", "CRD"):
        raise Outside(f"mode {mode!r} is unknown", "use DCR or CRD")
    blocks = b.reshape(x, (n, c, h // s, s, w // s, s))
    perm = (0, 3, 5, 1, 2, 4) if mode == "DCR" else (0, 1, 3, 5, 2, 4)
    return [b.reshape(b.transpose(blocks, perm), (n, c * s * s, h // s, w // s))]


def _trilu(b: Builder, node: Source) -> list[Operand]:
    x, given = node.input(0), node.optional(1)
    diagonal = (0,) if given is None else integers(b, given, "k")
    if len(x.type.shape) < 2 or len(diagonal) != 1:
        raise Outside(f"its input is {x.type}, its k {diagonal}", "give matrices and one number")
    rows, columns = x.type.shape[-2:]
    upper = node.integer("upper", 1)
    bounded(b, rows, columns)
    k = min(max(diagonal[0], -rows - 1), columns + 1)
    kept = (
        np.triu(np.ones((rows, columns), np.bool_), k)
        if upper
        else np.tri(rows, columns, k, dtype=np.bool_)
    )
    return [b.emit(Op.WHERE, (b.constant(kept), x, b.scalar(0, x.type.dtype)))]


def _one_hot(b: Builder, node: Source) -> list[Operand]:
    """Emits `on` at each index, cast to int64 and counted from the end if negative, else `off`."""
    indices, depth, values = node.exactly(3)
    known = b.known(depth)
    if values.type.shape != (2,):
        raise Outside(f"its values are {values.type}", "give off and on")
    if known is None or known.size != 1:
        raise Outside("its depth depends on the model's inputs", "make its depth constant")
    size = int(known.reshape(()))
    bounded(b, indices.type.elements, size)
    rank = len(indices.type.shape)
    axis = normalized(node.integer("axis", -1), rank + 1)
    shape = indices.type.shape
    count = cast(b, indices, DType.INT64)
    behind = b.emit(Op.ADD, (count, b.scalar(size, DType.INT64)))
    negative = b.emit(Op.LESS, (count, b.scalar(0, DType.INT64)))
    count = b.reshape(
        b.emit(Op.WHERE, (negative, behind, count)), (*shape[:axis], 1, *shape[axis:])
    )
    classes = b.constant(np.arange(size).reshape(size, *[1] * (rank - axis)))
    off, on = (b.reshape(taken(b, values, [at], 0), ()) for at in (0, 1))
    return [b.emit(Op.WHERE, (b.emit(Op.EQUAL, (count, classes)), on, off))]


def _top_k(b: Builder, node: Source) -> list[Operand]:
    """Lowers TopK, always sorted. Of equal elements the first comes first, and NaN before all."""
    x = node.input(0)
    shape = x.type.shape
    axis = node.axis(len(shape), -1)
    count = integers(b, node.input(1), "k") if node.opset >= 10 else (node.integer("k"),)
    largest = node.integer("largest", 1) if node.opset >= 11 else 1
    if node.opset >= 11:
        node.integer("sorted", 1)
    if len(count) != 1:
        raise Outside(f"its k is {count}", "give one number")
    last = [*(i for i in range(len(shape)) if i != axis), axis]
    moved = b.transpose(x, last)
    n = shape[axis]
    outer = prod(moved.type.shape[:-1])
    rows = b.reshape(moved, (outer, n))
    found = b.emit(Op.TOP_K, (rows if largest else backwards(b, rows),), *count)
    starts = b.constant((np.arange(outer) * n).reshape(outer, 1))
    values = select(b, rows, b.emit(Op.ADD, (found, starts)))
    back = [last.index(i) for i in range(len(shape))]
    wide = (*moved.type.shape[:-1], *count)
    return [b.transpose(b.reshape(out, wide), back) for out in (values, found)]


_COUNTED = Outside(
    "how many places it finds depends on the model's inputs",
    "keep all places, and Mul by the condition or choose by Where; or take a TopK of them",
)


def _compress(b: Builder, node: Source) -> list[Operand]:
    x, condition = node.exactly(2)
    known = b.known(condition)
    if known is None:
        raise _COUNTED
    if not node.has("axis"):
        x = b.reshape(x, (x.type.elements,))
    axis = node.axis(len(x.type.shape), 0)
    places = np.flatnonzero(known.reshape(-1)[: x.type.shape[axis]])
    return [taken(b, x, places.tolist(), axis)]


def _non_zero(b: Builder, node: Source) -> list[Operand]:
    known = b.known(node.exactly(1)[0])
    if known is None:
        raise _COUNTED
    return [b.constant(np.array(np.nonzero(known), np.int64))]


def _unique(b: Builder, node: Source) -> list[Operand]:
    """Gives the elements of a constant, each once, where each is first, which each is, and counts;
    in rising order, or in that of the constant."""
    known = b.known(node.exactly(1)[0])
    if known is None:
        raise Outside(
            "how many distinct elements it finds depends on the model's inputs",
            "end the graph before it, or use TopK, a mask and Where, which give a fixed number",
        )
    if (known != known).any():
        raise Outside("nobody says whether a NaN equals a NaN", "compute it before the export")
    axis = node.axis(known.ndim) if node.has("axis") else None
    each, firsts, places, counts = np.unique(
        known, return_index=True, return_inverse=True, return_counts=True, axis=axis
    )
    if not node.integer("sorted", 1):
        order = np.argsort(firsts)
        each, firsts, counts = each.take(order, axis or 0), firsts[order], counts[order]
        places = np.argsort(order)[places]
    found = (np.asarray(n, np.int64).reshape(-1) for n in (firsts, places, counts))
    return [b.constant(each), *map(b.constant, found)]


def _reverse_sequence(b: Builder, node: Source) -> list[Operand]:
    x, lengths = node.exactly(2)
    time, batch = node.integer("time_axis", 0), node.integer("batch_axis", 1)
    shape = x.type.shape
    sizes = integers(b, lengths, "sequence_lens")
    if len(shape) < 2 or {time, batch} != {0, 1} or len(sizes) != shape[batch]:
        raise Outside(f"axes {time} and {batch}, lengths {sizes} of {x.type}", "fix the file")
    if any(not 0 <= size <= shape[time] for size in sizes):
        raise Outside(f"lengths {sizes} of {shape[time]}", "fix sequence_lens")
    places = np.arange(shape[0] * shape[1]).reshape(shape[:2])
    rows = places if time else places.T
    for row, size in zip(rows, sizes, strict=True):
        row[:size] = row[:size][::-1].copy()
    flat = b.reshape(x, (shape[0] * shape[1], prod(shape[2:])))
    return [b.reshape(taken(b, flat, places.reshape(-1).tolist(), 0), shape)]


ONNX: dict[str, Lowering] = {
    "Slice": _slice,
    "Split": _split,
    "Pad": _pad,
    "CenterCropPad": _center_crop_pad,
    "GatherElements": _gather_elements,
    "GatherND": _gather_nd,
    "DepthToSpace": _depth_to_space,
    "SpaceToDepth": _space_to_depth,
    "Trilu": _trilu,
    "OneHot": _one_hot,
    "TopK": _top_k,
    "Compress": _compress,
    "NonZero": _non_zero,
    "Unique": _unique,
    "ReverseSequence": _reverse_sequence,
}
