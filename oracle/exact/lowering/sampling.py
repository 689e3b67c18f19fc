"""GridSample and AffineGrid: an image is read at the places that another tensor holds."""

from collections.abc import Sequence
from functools import reduce
from math import prod

import numpy as np

from oracle.exact import float32
from oracle.exact.lowering.activation import floored, rounded
from oracle.exact.lowering.builder import Builder
from oracle.exact.lowering.convolution import channels_first, channels_last
from oracle.exact.lowering.elementwise import cast
from oracle.exact.lowering.indexing import taken
from oracle.exact.lowering.linear import matmul
from oracle.exact.lowering.reduce import integers
from oracle.exact.lowering.shape import bounded
from oracle.exact.lowering.source import Lowering, Source
from oracle.exact.primitive import Outside
from oracle.exact.program import Op, Operand
from oracle.tensor import Array
from oracle.types import DType

_MODES = {
    "bilinear": "linear",
    "linear": "linear",
    "nearest": "nearest",
    "bicubic": "cubic",
    "cubic": "cubic",
}

_A = -0.75
"""The constant of Keys's cubic convolution, as ONNX has it."""


def _grid_sample(b: Builder, node: Source) -> list[Operand]:
    """Lowers GridSample, each step rounded. Along each axis, the last one first, the elements
    around a spot are weighted by how near they are: two of them, or four by cubic convolution."""
    x, grid = node.exactly(2)
    sizes, rank = x.type.shape[2:], len(x.type.shape) - 2
    shape = grid.type.shape
    if rank < 1 or len(shape) != rank + 2 or (shape[0], shape[-1]) != (x.type.shape[0], rank):
        raise Outside(f"it reads {x.type} at {grid.type}", "fix their shapes")
    mode = _MODES.get(given := node.text("mode", "linear"))
    padding = node.text("padding_mode", "zeros")
    if mode is None or padding not in ("zeros", "border", "reflection"):
        raise Outside(f"mode {given}, padding {padding}", "use linear, nearest or cubic")
    corners = bool(node.integer("align_corners", 0))
    batch, channels = x.type.shape[:2]
    count = prod(shape[1:-1])
    rows = b.reshape(channels_last(b, x), (1, batch * prod(sizes), channels))
    starts = np.repeat(np.arange(batch) * prod(sizes), count).reshape(-1, 1)
    places = b.reshape(grid, (batch * count, rank))
    spots = [
        _spot(b, taken(b, places, [rank - 1 - axis], 1), size, corners, padding, mode)
        for axis, size in enumerate(sizes)
    ]
    if mode == "nearest":
        spots = [rounded(b, spot) for spot in spots]
    reader = Reader(b, rows, sizes, mode, padding, corners)
    read = reader.read(spots, b.constant(starts), None)
    return [channels_first(b, b.reshape(read, (batch, *shape[1:-1], channels)))]


def _spot(b: Builder, at: Operand, size: int, corners: bool, padding: str, mode: str) -> Operand:
    """Maps −1 … 1 to a place among elements 0 … size − 1. With `corners` the ends are the middles
    of the outer elements, else their borders. Of a cubic the padding holds for each element that
    is read and not for the spot, so that it stays where it is, if not far beside the image."""
    one, half = b.scalar(1), b.scalar(0.5)
    moved = b.emit(Op.ADD, (at, one))
    if corners:
        spot = b.emit(Op.MUL, (b.emit(Op.MUL, (moved, half)), b.scalar(size - 1)))
    else:
        spot = b.emit(Op.SUB, (b.emit(Op.MUL, (moved, b.scalar(size))), one))
        spot = b.emit(Op.MUL, (spot, half))
    if padding == "reflection":
        spot = _reflected(b, spot, 0.0 if corners else -0.5, size - 1.0 if corners else size)
    if mode == "cubic":
        low, high = -3.0, size + 2.0
    elif padding == "zeros":
        low, high = -2.0, size + 1.0
    else:
        low, high = 0.0, size - 1.0
    return b.emit(Op.MIN, (b.emit(Op.MAX, (spot, b.scalar(low))), b.scalar(high)))


def _reflected(b: Builder, spot: Operand, first: float, length: float) -> Operand:
    """Brings a spot between first and first + length, as if mirrored there again and again."""
    if length == 0:
        return b.emit(Op.MUL, (b.emit(Op.SUB, (spot, spot)), b.scalar(0)))
    away = b.emit(Op.ABS, (b.emit(Op.SUB, (spot, b.scalar(first))),))
    rest = b.emit(Op.MOD, (away, b.scalar(2 * length)))
    back = b.emit(Op.SUB, (b.scalar(2 * length), rest))
    return b.emit(Op.ADD, (b.emit(Op.MIN, (rest, back)), b.scalar(first)))


class Reader:
    """Reads rows of channels [1, elements, C] by their places along each axis."""

    def __init__(
        self,
        b: Builder,
        rows: Operand,
        sizes: Sequence[int],
        mode: str,
        padding: str,
        corners: bool = False,
    ):
        self.b, self.rows, self.sizes = b, rows, sizes
        self.mode, self.zeros = mode, padding == "zeros"
        self.mirrors, self.corners = mode == "cubic" and padding == "reflection", corners

    def read(self, spots: Sequence[Operand], place: Operand, inside: Operand | None) -> Operand:
        """Reads [M, C] at `spots` along the remaining axes, from where `place` leads to."""
        b = self.b
        if not spots:
            count = place.type.shape[0]
            read = b.emit(Op.GATHER, (self.rows, b.reshape(place, (count,))))
            read = b.reshape(read, (count, self.rows.type.shape[2]))
            return read if inside is None else b.emit(Op.WHERE, (inside, read, b.scalar(0)))
        size = self.sizes[len(self.sizes) - len(spots)]
        if self.mode == "nearest":
            return self._along(spots, place, inside, spots[0], size)
        floor = floored(b, spots[0])
        if self.mode == "cubic":
            return self._cubic(spots, place, inside, floor, size)
        after = b.emit(Op.ADD, (floor, b.scalar(1)))
        near = self._along(spots, place, inside, floor, size)
        far = self._along(spots, place, inside, after, size)
        one = b.emit(Op.MUL, (b.emit(Op.SUB, (after, spots[0])), near))
        return b.emit(Op.ADD, (one, b.emit(Op.MUL, (b.emit(Op.SUB, (spots[0], floor)), far))))

    def _cubic(
        self,
        spots: Sequence[Operand],
        place: Operand,
        inside: Operand | None,
        floor: Operand,
        size: int,
    ) -> Operand:
        b = self.b
        parts = []
        for step, weight in zip((-1, 0, 1, 2), _weights(b, spots[0], floor), strict=True):
            at = b.emit(Op.ADD, (floor, b.scalar(step))) if step else floor
            parts.append(b.emit(Op.MUL, (weight, self._along(spots, place, inside, at, size))))
        return reduce(lambda left, right: b.emit(Op.ADD, (left, right)), parts)

    def _along(
        self,
        spots: Sequence[Operand],
        place: Operand,
        inside: Operand | None,
        at: Operand,
        size: int,
    ) -> Operand:
        b = self.b
        index = cast(b, at, DType.INT64)
        last = b.scalar(size - 1, DType.INT64)
        if self.mirrors:
            index = self._mirrored(index, size)
        nearest = b.emit(Op.MIN, (b.emit(Op.MAX, (index, b.scalar(0, DType.INT64))), last))
        if self.zeros:
            here = b.emit(Op.EQUAL, (index, nearest))
            inside = here if inside is None else b.emit(Op.AND, (inside, here))
        stride = prod(self.sizes[len(self.sizes) - len(spots) + 1 :])
        step = b.emit(Op.MUL, (nearest, b.scalar(stride, DType.INT64)))
        return self.read(spots[1:], b.emit(Op.ADD, (place, step)), inside)

    def _mirrored(self, index: Operand, size: int) -> Operand:
        """Gives the elements to which those two before and behind the image are mirrored."""
        b, (length, first) = self.b, (size - 1, 0) if self.corners else (size, -0.5)
        away = (abs(at - first) % (2 * length or 1) for at in range(-2, size + 2))
        table = [int(min(rest, 2 * length - rest) + first) for rest in away]
        places = b.emit(Op.ADD, (b.reshape(index, index.type.shape[:1]), b.scalar(2, DType.INT64)))
        found = b.emit(Op.GATHER, (b.constant(np.array(table, np.int64).reshape(1, -1, 1)), places))
        return b.reshape(found, index.type.shape)


def _weights(b: Builder, spot: Operand, floor: Operand) -> list[Operand]:
    """Gives the weights of the elements at floor − 1, floor, floor + 1 and floor + 2."""
    far = b.emit(Op.SUB, (spot, floor))
    near = b.emit(Op.SUB, (b.scalar(1), far))

    def inner(t: Operand) -> Operand:
        """Gives ((a + 2)·t − (a + 3))·t·t + 1."""
        slope = b.emit(Op.SUB, (b.emit(Op.MUL, (t, b.scalar(_A + 2))), b.scalar(_A + 3)))
        return b.emit(Op.ADD, (b.emit(Op.MUL, (b.emit(Op.MUL, (slope, t)), t)), b.scalar(1)))

    def outer(t: Operand, rest: Operand) -> Operand:
        """Gives a·t·rest·rest."""
        first = b.emit(Op.MUL, (b.emit(Op.MUL, (t, b.scalar(_A))), rest))
        return b.emit(Op.MUL, (first, rest))

    return [outer(far, near), inner(far), inner(near), outer(near, far)]


def _affine_grid(b: Builder, node: Source) -> list[Operand]:
    """Lowers AffineGrid: DOT of theta with places −1 … 1 along each axis, the last first, and 1."""
    theta, wanted = node.exactly(2)
    shape = integers(b, wanted, "size")
    rank = len(shape) - 2
    if rank not in (2, 3) or theta.type.shape != (shape[0], rank, rank + 1) or min(shape) < 1:
        raise Outside(f"a grid of {shape} by {theta.type}", "fix their shapes")
    bounded(b, *shape[2:], rank + 1)
    bounded(b, shape[0], *shape[2:], rank)
    corners = bool(node.integer("align_corners", 0))
    axes = [_places(size, corners) for size in shape[2:]]
    mesh = np.meshgrid(*axes, indexing="ij")
    base = np.stack([*mesh[::-1], np.ones(shape[2:], np.float32)], -1).reshape(-1, rank + 1)
    grids = [
        matmul(b, b.constant(base), b.reshape(taken(b, theta, [n], 0), (rank, rank + 1)))
        for n in range(shape[0])
    ]
    out = (
        grids[0]
        if len(grids) == 1
        else b.emit(Op.CONCAT, [b.reshape(grid, (1, grid.type.elements)) for grid in grids])
    )
    return [b.reshape(out, (shape[0], *shape[2:], rank))]


def _places(size: int, corners: bool) -> Array:
    """Gives places (2i − (size − 1)) / size, or / (size − 1) where the ends are −1 and 1, rounded
    to float32. A single place is 0."""
    width = max(size - 1, 1) if corners else size
    places = (float32.of_ratio(2 * at - (size - 1), width) for at in range(size))
    return float32.array(places, (size,))


ONNX: dict[str, Lowering] = {"GridSample": _grid_sample, "AffineGrid": _affine_grid}
