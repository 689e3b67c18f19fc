"""Elements move and none changes: TRANSPOSE, CONCAT, GATHER. (A Reshape is an operand's type.)
SCATTER may also add up what meets in one place, or take the largest or smallest of it.
"""

from collections.abc import Collection, Sequence
from math import prod

import numpy as np

from oracle.exact.contraction import flat
from oracle.exact.ops.elementwise import from_words, words
from oracle.exact.ops.reduce import extremum, sum_of
from oracle.exact.primitive import (
    DTYPES,
    FLOAT,
    NUMBERS,
    Kernel,
    Outside,
    Primitive,
    exactly,
    input_size,
    output_size,
    same_dtype,
)
from oracle.exact.program import Node, Op, ValueType
from oracle.exact.sums import OPEN, UNIT, rounded_sums
from oracle.tensor import Array
from oracle.types import DType


def _infer_transpose(types: Sequence[ValueType], attributes: Sequence[int]) -> ValueType:
    """Gives the transposed type: output axis i is input axis attributes[i]."""
    shape = types[0].shape
    if sorted(attributes) != list(range(len(shape))):
        raise Outside(f"perm {tuple(attributes)} does not permute {len(shape)} axes", "fix perm")
    return ValueType(same_dtype(types, DTYPES), tuple(shape[axis] for axis in attributes))


def _infer_concat(types: Sequence[ValueType], _attributes: Sequence[int]) -> ValueType:
    """Gives the type of operands [outer, n_i] side by side."""
    if len({type_.shape[:1] for type_ in types}) > 1 or any(len(each.shape) != 2 for each in types):
        raise Outside("its operands are not matrices of as many rows", "fix their shapes")
    width = sum(type_.shape[1] for type_ in types)
    return ValueType(same_dtype(types, DTYPES), (types[0].shape[0], width))


def _infer_gather(types: Sequence[ValueType], _attributes: Sequence[int]) -> ValueType:
    """Gives [outer, m, inner] for data [outer, n, inner] and indices [m]."""
    same_dtype(types[1:], (DType.INT64, DType.INT32))
    outer, n, inner = types[0].shape
    (m,) = types[1].shape
    if n == 0 and outer * m * inner:
        raise Outside("it gathers from an axis of size zero", "fix the shape of its data")
    return ValueType(same_dtype(types[:1], DTYPES), (outer, m, inner))


def _plain_transpose(node: Node, arrays: Sequence[Array]) -> Array:
    # INPUTS
    values = words(arrays[0])
    # SHAPE
    shape = node.operands[0].type.shape
    places = [0]
    for axis in node.attributes:
        stride = prod(shape[axis + 1 :])
        places = [place + stride * step for place in places for step in range(shape[axis])]
    # COMPUTE
    out = [values[place] for place in places]
    # OUTPUT
    return from_words(out, node.output)


def _plain_concat(node: Node, arrays: Sequence[Array]) -> Array:
    # INPUTS
    operands = [words(array) for array in arrays]
    # SHAPE
    outer = node.output.shape[0]
    widths = [operand.type.shape[1] for operand in node.operands]
    # COMPUTE
    out = [
        value
        for row in range(outer)
        for operand, width in zip(operands, widths, strict=True)
        for value in operand[row * width : (row + 1) * width]
    ]
    # OUTPUT
    return from_words(out, node.output)


def clamped(index: int, n: int) -> int:
    """Gives the place that an index means: it counts from the end where it is negative, and is the
    nearest place where it lies beyond either end."""
    return min(max(index + n if index < 0 else index, 0), n - 1)


def _plain_gather(node: Node, arrays: Sequence[Array]) -> Array:
    # INPUTS
    data, indices = words(arrays[0]), words(arrays[1])
    # SHAPE
    outer, n, inner = node.operands[0].type.shape
    # COMPUTE
    out = []
    for row in range(outer):
        for index in indices:
            at = (row * n + clamped(index, n)) * inner if inner else 0
            out += data[at : at + inner]
    # OUTPUT
    return from_words(out, node.output)


# From _LARGE elements on, in rows and columns of _LONG or more, the compiled transpose of squares
# is faster than numpy.
_LARGE, _LONG = 1 << 14, 16
_WORDS = {1: np.uint8, 4: np.uint32, 8: np.uint64}


def _prepare_transpose(node: Node, _constants: Sequence[Array | None]) -> Kernel:
    perm = node.attributes
    matrices = _matrices(node.operands[0].type.shape, perm)
    if matrices and node.output.elements >= _LARGE and min(matrices[1:]) >= _LONG:
        return _in_squares(matrices, node.output.shape)
    return lambda x: np.ascontiguousarray(x.transpose(perm)).reshape(node.output.shape)


def _matrices(shape: Sequence[int], perm: Sequence[int]) -> tuple[int, int, int] | None:
    """Gives [n, rows, columns] where the permutation only transposes n matrices, else None."""
    axes = [axis for axis in perm if shape[axis] != 1]
    rising = sorted(axes)
    first = next((at for at, axis in enumerate(axes) if axis != rising[at]), len(axes))
    split = rising.index(axes[first]) if first < len(axes) else 0
    if axes != rising[:first] + rising[split:] + rising[first:split]:
        return None
    runs = rising[:first], rising[first:split], rising[split:]
    n, rows, columns = (prod(shape[axis] for axis in run) for run in runs)
    return n, rows, columns


def _in_squares(matrices: tuple[int, int, int], shape: tuple[int, ...]) -> Kernel:
    from oracle.exact.kernels.transpose import transpose  # numba takes its time to load

    n, rows, columns = matrices

    def kernel(x: Array) -> Array:
        word = _WORDS[x.itemsize]
        out = np.empty((n, columns, rows), x.dtype)
        transpose(x.ravel().view(word).reshape(matrices), out.view(word))
        return out.reshape(shape)

    return kernel


def _prepare_concat(_node: Node, _constants: Sequence[Array | None]) -> Kernel:
    return lambda *arrays: np.concatenate(arrays, axis=1)


def _prepare_gather(node: Node, constants: Sequence[Array | None]) -> Kernel:
    n = node.operands[0].type.shape[1]
    if n and constants[1] is not None and (run := _run(constants[1], n)):
        return lambda data, _indices: data[:, run]
    if n == 0:
        empty = from_words((), node.output)
        return lambda _data, _indices: empty

    def kernel(data: Array, indices: Array) -> Array:
        return data.take(np.where(indices < 0, indices + n, indices), axis=1, mode="clip")

    return kernel


def _run(indices: Array, n: int) -> slice | None:
    """Gives the places as a slice where they follow each other at one distance, else None."""
    places = np.clip(np.where(indices < 0, indices + n, indices), 0, n - 1)
    if places.size < 2:
        return slice(int(places[0]), int(places[0]) + 1) if places.size else None
    step = int(places[1] - places[0])
    if step == 0 or (np.diff(places) != step).any():
        return None
    end = int(places[-1]) + step
    return slice(int(places[0]), end if end >= 0 else None, step)


# ---- SCATTER

MODES = REPLACE, SUM, LARGEST, SMALLEST = tuple(range(4))


def _infer_scatter(types: Sequence[ValueType], attributes: Sequence[int]) -> ValueType:
    """Gives [n, inner] for data [n, inner], indices [m] and updates [m, inner]."""
    same_dtype(types[1:2], (DType.INT64, DType.INT32))
    [mode] = attributes
    if mode not in MODES:
        raise Outside(f"there is no mode {mode}", "take one of " + ", ".join(map(str, MODES)))
    dtype = same_dtype([types[0], types[2]], NUMBERS if mode else DTYPES)
    n, inner = types[0].shape
    (m,) = types[1].shape
    if types[2].shape != (m, inner):
        raise Outside(f"updates {types[2].shape} for {m} indices into {types[0]}", "fix the shapes")
    if n == 0 and m:
        raise Outside("it scatters into an axis of size zero", "fix the shape of its data")
    return ValueType(dtype, (n, inner))


def merged(values: Sequence[int], dtype: DType, mode: int) -> int:
    """Merges a place's own element and those that are put there, in order, into one."""
    match mode:
        case _ if mode == REPLACE:
            return values[-1]
        case _ if mode == SUM:
            return sum_of(values) if dtype is FLOAT else sum(values)
    return extremum(values, dtype, mode == LARGEST)


def _plain_scatter(node: Node, arrays: Sequence[Array]) -> Array:
    # INPUTS
    data, indices, updates = map(words, arrays)
    # SHAPE
    n, inner = node.output.shape
    met = [[data[at]] for at in range(n * inner)]
    # COMPUTE
    for row, index in enumerate(indices):
        for column in range(inner):
            met[clamped(index, n) * inner + column].append(updates[row * inner + column])
    out = [merged(values, node.output.dtype, node.attributes[0]) for values in met]
    # OUTPUT
    return from_words(out, node.output)


def _prepare_scatter(node: Node, _constants: Sequence[Array | None]) -> Kernel:
    (mode,) = node.attributes
    n = node.output.shape[0]

    def kernel(data: Array, indices: Array, updates: Array) -> Array:
        places = np.clip(np.where(indices < 0, indices + n, indices), 0, n - 1)
        if mode == SUM and data.dtype == np.float32:
            return _added(data, places, updates)
        out = data.copy()
        if mode == REPLACE:
            last = np.full(n, -1)
            np.maximum.at(last, places, np.arange(len(places)))
            hit = np.flatnonzero(last >= 0)
            out[hit] = updates[last[hit]]
        elif len(places):
            order = np.argsort(places, kind="stable")
            hit, first = np.unique(places[order], return_index=True)
            fold = {SUM: np.add, LARGEST: np.maximum, SMALLEST: np.minimum}[mode]
            met = fold.reduceat(updates[order], first, axis=0, dtype=data.dtype)
            out[hit] = fold(data[hit], met)
        return out

    return kernel


def _added(data: Array, places: Array, updates: Array) -> Array:
    """Adds updates in float64 with an error bound, and exactly where the bound does not decide.

    γ_k·Σ|x| bounds the error of a sum of k + 1 terms. The rest of the unit covers the error of
    Σ|x|, which is k units relatively, and the rounding of value ± error.
    """
    from oracle.exact.kernels.scatter import added  # numba takes its time to load

    order = np.argsort(places, kind="stable")
    starts = np.searchsorted(places[order], np.arange(len(data) + 1))
    out = np.empty(data.shape, np.float32)
    unit = UNIT * (1 + 2.0**-10)
    rows, put = (flat(x).reshape(x.shape) for x in (data, updates))
    if added(rows, put, starts, order, unit, out):
        for row, column in np.argwhere(out.view(np.uint32) == OPEN):
            met = updates[order[starts[row] : starts[row + 1]], column]
            terms = np.append(data[row, column], met).astype(np.float64)
            out[row, column] = rounded_sums(terms[None])[0]
    return out


def _takes_transpose(types: Sequence[ValueType]) -> Collection[tuple[int, int]]:
    return ((1, len(types[0].shape)),)


def _takes_concat(types: Sequence[ValueType]) -> Collection[tuple[int, int]]:
    return ((len(types), 0),)


PRIMITIVES = (
    Primitive(
        Op.TRANSPOSE,
        _takes_transpose,
        _infer_transpose,
        _plain_transpose,
        _prepare_transpose,
        output_size,
    ),
    Primitive(Op.CONCAT, _takes_concat, _infer_concat, _plain_concat, _prepare_concat, output_size),
    Primitive(Op.GATHER, exactly(2), _infer_gather, _plain_gather, _prepare_gather, output_size),
    Primitive(
        Op.SCATTER, exactly(3, 1), _infer_scatter, _plain_scatter, _prepare_scatter, input_size
    ),
)
