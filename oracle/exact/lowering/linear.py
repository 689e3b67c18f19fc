"""Matrix products, determinants, and the linear models of ai.onnx.ml."""

from itertools import combinations
from math import prod

import numpy as np

from oracle.exact.lowering.builder import Builder
from oracle.exact.lowering.classes import classes, labelled
from oracle.exact.lowering.elementwise import cast
from oracle.exact.lowering.movement import gather
from oracle.exact.lowering.shape import bounded
from oracle.exact.lowering.source import Lowering, Source
from oracle.exact.lowering.transcendental import post_transform, two_scores
from oracle.exact.primitive import Outside
from oracle.exact.program import Op, Operand
from oracle.tensor import Array
from oracle.types import DType

_WIDEST = 8
"""The largest matrix whose determinant is taken: a row of it has up to 70 minors, and each column
more doubles them."""


def _matmul(b: Builder, node: Source) -> list[Operand]:
    x, y = node.exactly(2)
    return [multiplied(b, x, y)]


def multiplied(b: Builder, x: Operand, y: Operand) -> Operand:
    """Multiplies as numpy's matmul does."""
    if not x.type.shape or not y.type.shape:
        raise Outside("it multiplies a scalar", "use Mul")
    left, right = x.type.shape, y.type.shape
    if len(left) == 1:
        x = b.reshape(x, (1, *left))
    if len(right) == 1:
        y = b.reshape(y, (*right, 1))
    out = matmul(b, x, swapped(b, y))
    shape = out.type.shape
    if len(right) == 1:
        shape = shape[:-1]
    if len(left) == 1:
        shape = (
            *shape[: len(shape) - 1 - (len(right) > 1)],
            *shape[len(shape) - (len(right) > 1) :],
        )
    return b.reshape(out, shape)


def matmul(b: Builder, x: Operand, y: Operand, bias: Operand | None = None) -> Operand:
    """Emits x [*, M, K] · y [*, N, K]ᵀ + bias, one exact sum an element. A single matrix y
    multiplies all rows of x in one DOT."""
    shape = x.type.shape
    rest = () if bias is None else (bias,)
    if len(y.type.shape) == 2 and len(shape) > 2 and bias is None:
        rows = b.reshape(x, (prod(shape[:-1]), shape[-1]))
        out = b.emit(Op.DOT, (rows, y))
        return b.reshape(out, (*shape[:-1], y.type.shape[0]))
    return b.emit(Op.DOT, (x, y, *rest))


def swapped(b: Builder, x: Operand) -> Operand:
    """Exchanges the last two axes."""
    rank = len(x.type.shape)
    return b.transpose(x, (*range(rank - 2), rank - 1, rank - 2))


def gemm(b: Builder, node: Source) -> list[Operand]:
    """Lowers Gemm. Where alpha is 1 it is one exact sum that includes beta·C, which is rounded
    before; else it is alpha·(A·B) + beta·C with each step rounded."""
    x, y, c = node.input(0), node.input(1), node.optional(2)
    if len(x.type.shape) != 2 or len(y.type.shape) != 2:
        raise Outside(f"it multiplies {x.type} by {y.type}", "give it two matrices")
    alpha, beta = node.real("alpha", 1.0), node.real("beta", 1.0)
    x = swapped(b, x) if node.integer("transA", 0) else x
    y = y if node.integer("transB", 0) else swapped(b, y)
    if beta == 0:
        c = None
    if c is not None and beta != 1:
        c = b.emit(Op.MUL, (c, b.scalar(beta)))
    if alpha == 1:
        return [matmul(b, x, y, c)]
    out = b.emit(Op.MUL, (matmul(b, x, y), b.scalar(alpha)))
    return [out if c is None else b.emit(Op.ADD, (out, c))]


def _det(b: Builder, node: Source) -> list[Operand]:
    """Expands along rows, from the last upwards: each minor is one exact sum of the elements of its
    first row times the minors below. No quotient is taken, so no pivot is looked for."""
    (x,) = node.exactly(1)
    *batch, size = x.type.shape or (0,)
    if len(batch) < 1 or batch.pop() != size or size < 1:
        raise Outside(f"it takes the determinant of {x.type}", "give it square matrices")
    if size > _WIDEST:
        raise Outside(f"it takes the determinant of {x.type}", f"give it {_WIDEST} rows or fewer")
    count = prod(batch)
    matrices = b.reshape(x, (count, size, size))
    minors = _row(b, matrices, size - 1)
    for width in range(2, size + 1):
        minors = _minors(b, _row(b, matrices, size - width), minors, width)
    return [b.reshape(minors, tuple(batch))]


def _row(b: Builder, matrices: Operand, at: int) -> Operand:
    count, size, _ = matrices.type.shape
    return b.reshape(gather(b, matrices, b.constant(np.array([at])), 1), (count, size))


def _minors(b: Builder, row: Operand, below: Operand, width: int) -> Operand:
    """Emits the minors of `width` columns, in the order of their sets of columns, from a row
    [N, columns] and the minors below it."""
    count, size = row.type.shape
    place = {each: at for at, each in enumerate(combinations(range(size), width - 1))}
    chosen = list(combinations(range(size), width))
    others = [[place[(*each[:i], *each[i + 1 :])] for i in range(width)] for each in chosen]
    bounded(b, count, len(chosen), width)
    signs = b.constant(np.array([(-1) ** i for i in range(width)], np.float32))
    elements = b.emit(Op.MUL, (gather(b, row, b.constant(np.array(chosen)), 1), signs))
    cofactors = gather(b, below, b.constant(np.array(others)), 1)
    shape = (count, len(chosen), 1, width)
    sums = b.emit(Op.DOT, (b.reshape(elements, shape), b.reshape(cofactors, shape)))
    return b.reshape(sums, shape[:2])


def _linear_regressor(b: Builder, node: Source) -> list[Operand]:
    targets = node.integer("targets", 1)
    x = rows(b, node.exactly(1)[0])
    scores = _scores(b, x, node.reals("coefficients"), node.reals("intercepts"), targets)
    return [post_transform(b, node.text("post_transform", "NONE"), scores)]


def _linear_classifier(b: Builder, node: Source) -> list[Operand]:
    """Emits label and scores. With one score s for two classes, the second wins where s > 0."""
    node.integer("multi_class", 0)  # has no effect, as in onnxruntime
    transform = node.text("post_transform", "NONE")
    x = rows(b, node.exactly(1)[0])
    labels = classes(node, "classlabels_ints")
    coefficients = node.reals("coefficients")
    count = coefficients.size // max(1, x.type.shape[1])
    if count != len(labels) and not (count == 1 and len(labels) == 2):
        raise Outside(
            f"it has {count} rows of coefficients for {len(labels)} labels", "fix the file"
        )
    scores = _scores(b, x, coefficients, node.reals("intercepts"), count)
    if count > 1:
        winner = b.reshape(b.emit(Op.ARG_MAX, (scores,), 0), (x.type.shape[0],))
        return [labelled(b, winner, labels), post_transform(b, transform, scores)]
    positive = b.reshape(b.emit(Op.LESS, (b.scalar(0), scores)), (x.type.shape[0],))
    both = two_scores(b, scores, transform, margin=False)
    return [labelled(b, cast(b, positive, DType.INT64), labels), both]


def _scores(b: Builder, x: Operand, weights: Array, intercepts: Array, count: int) -> Operand:
    features = x.type.shape[1]
    if count < 1 or weights.size != count * features:
        raise Outside(
            f"it has {weights.size} coefficients for {count} rows of {features}", "fix the file"
        )
    if intercepts.size not in (0, count):
        raise Outside(f"it has {intercepts.size} intercepts for {count} rows", "fix the file")
    matrix = b.constant(weights.reshape(count, features))
    bias = b.constant(intercepts) if intercepts.size else None
    return matmul(b, x, matrix, bias)


def rows(b: Builder, x: Operand) -> Operand:
    """Reads the input of an ai.onnx.ml op as float32 [N, F]. One dimension is one row."""
    if x.type.dtype not in (DType.FLOAT, DType.INT64, DType.INT32):
        raise Outside(f"its input is {x.type}", "give it float32, int64 or int32")
    shape = x.type.shape
    if len(shape) not in (1, 2):
        raise Outside(f"its input is {x.type}", "give it rows of features")
    return cast(b, b.reshape(x, shape if len(shape) == 2 else (1, *shape)), DType.FLOAT)


ONNX: dict[str, Lowering] = {"MatMul": _matmul, "Gemm": gemm, "Det": _det}
ONNX_ML: dict[str, Lowering] = {
    "LinearRegressor": _linear_regressor,
    "LinearClassifier": _linear_classifier,
}
