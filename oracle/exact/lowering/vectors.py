"""Support vector machines: kernels of the input and each support vector, weighted and summed."""

from itertools import combinations

import numpy as np

from oracle.exact.lowering.builder import Builder
from oracle.exact.lowering.classes import classes, labelled
from oracle.exact.lowering.elementwise import cast
from oracle.exact.lowering.indexing import joined
from oracle.exact.lowering.linear import matmul, rows
from oracle.exact.lowering.platt import probabilities
from oracle.exact.lowering.shape import bounded
from oracle.exact.lowering.source import Lowering, Source
from oracle.exact.lowering.transcendental import post_transform
from oracle.exact.primitive import Outside
from oracle.exact.program import Op, Operand
from oracle.tensor import Array
from oracle.types import DType

_HIGHEST_DEGREE = 16


def _kernels(b: Builder, node: Source, x: Operand, count: int) -> Operand:
    """Emits kernels [N, vectors]. Each dot or sum of squares is exact, later steps are rounded."""
    n, features = x.type.shape
    vectors = node.reals("support_vectors")
    if count < 1 or vectors.size != count * features:
        raise Outside(
            f"its support vectors have {vectors.size} numbers for {count} of {features}",
            "fix the file, or the input's shape",
        )
    support = b.constant(vectors.reshape(count, features))
    kind = node.text("kernel_type", "LINEAR")
    parameters = node.reals("kernel_params").tolist() or [0.0] * 3
    if len(parameters) != 3:
        raise Outside(f"its kernel_params are {parameters}", "give gamma, coef0 and degree")
    gamma, offset, degree = parameters
    if kind == "RBF":
        apart = b.emit(Op.SUB, (b.reshape(x, (n, 1, features)), support))
        each = b.reshape(apart, (n * count, 1, features))
        square = b.reshape(b.emit(Op.DOT, (each, each)), (n, count))
        return b.emit(Op.EXP, (b.emit(Op.MUL, (square, b.scalar(-gamma))),))
    dots = matmul(b, x, support)
    if kind == "LINEAR":
        return dots
    moved = b.emit(Op.ADD, (b.emit(Op.MUL, (dots, b.scalar(gamma))), b.scalar(offset)))
    match kind:
        case "SIGMOID":
            return b.emit(Op.TANH, (moved,))
        case "POLY":
            return _power(b, moved, degree)
    raise Outside(f"kernel {kind!r} is not covered", "use LINEAR, POLY, RBF or SIGMOID")


def _power(b: Builder, x: Operand, degree: float) -> Operand:
    """Emits x·x·…, multiplied from the left."""
    if not degree.is_integer() or not 1 <= degree <= _HIGHEST_DEGREE:
        raise Outside(f"degree {degree}", f"use a whole degree from 1 to {_HIGHEST_DEGREE}")
    out = x
    for _ in range(int(degree) - 1):
        out = b.emit(Op.MUL, (out, x))
    return out


def _regressor(b: Builder, node: Source) -> list[Operand]:
    """Emits Σ coefficient · kernel + rho as one exact sum; for one class ±1, by its sign."""
    x = rows(b, node.exactly(1)[0])
    count = node.integer("n_supports", 0)
    coefficients, rho = node.reals("coefficients"), node.reals("rho")
    if count:
        terms = _kernels(b, node, x, count)
    else:
        terms = x
        if node.text("kernel_type", "LINEAR") != "LINEAR":
            raise Outside("it has a kernel and no support vectors", "fix the file")
        node.reals("kernel_params")
        node.reals("support_vectors")
    if coefficients.size != terms.type.shape[1] or rho.size < 1:
        raise Outside(f"{coefficients.size} coefficients for {terms.type}", "fix the file")
    weights = b.constant(coefficients.reshape(1, -1))
    score = matmul(b, terms, weights, b.constant(rho[:1]))
    if node.integer("one_class", 0):
        inside = b.emit(Op.LESS, (b.scalar(0), score))
        score = b.emit(Op.WHERE, (inside, b.scalar(1), b.scalar(-1)))
    return [post_transform(b, node.text("post_transform", "NONE"), score)]


def _classifier(b: Builder, node: Source) -> list[Operand]:
    """Emits label and scores. Each pair of classes votes, and the first class with the most votes
    wins. The scores are those of the pairs (−s and s for two classes), or probabilities."""
    x = rows(b, node.exactly(1)[0])
    labels = classes(node, "classlabels_ints")
    if node.text("post_transform", "NONE") != "NONE":
        raise Outside("a post_transform of pairs", "use NONE")
    sizes = node.integers("vectors_per_class", ())
    if len(sizes) != len(labels) or len(labels) < 2 or min(sizes, default=0) < 0:
        raise Outside(
            f"{len(sizes)} numbers of support vectors for {len(labels)} labels",
            "give support vectors for each class",
        )
    kernels = _kernels(b, node, x, sum(sizes))
    weights, rho = _pairs(b, node, sizes)
    scores = matmul(b, kernels, b.constant(weights), b.constant(rho))
    votes = _votes(b, scores, len(sizes))
    winner = b.reshape(b.emit(Op.ARG_MAX, (votes,), 0), (x.type.shape[0],))
    slopes, shifts = node.reals("prob_a"), node.reals("prob_b")
    if slopes.size or shifts.size:
        return [labelled(b, winner, labels), probabilities(b, scores, slopes, shifts)]
    if len(sizes) == 2:
        scores = joined(b, [b.emit(Op.NEG, (scores,)), scores], 1)
    return [labelled(b, winner, labels), scores]


def _pairs(b: Builder, node: Source, sizes: tuple[int, ...]) -> tuple[Array, Array]:
    """Reads weights [pairs, vectors] and rho [pairs]. A pair weighs its two classes' vectors."""
    total, count = sum(sizes), len(sizes) * (len(sizes) - 1) // 2
    given, rho = node.reals("coefficients"), node.reals("rho")
    if given.size != total * (len(sizes) - 1) or rho.size != count:
        raise Outside(f"{given.size} coefficients, {rho.size} rho for {sizes}", "fix the file")
    bounded(b, count, max(total, len(sizes)))
    pairs = list(combinations(range(len(sizes)), 2))
    table = given.reshape(len(sizes) - 1, total)
    starts = np.cumsum((0, *sizes))
    weights = np.zeros((len(pairs), total), np.float32)
    for row, (i, j) in enumerate(pairs):
        first, second = slice(starts[i], starts[i + 1]), slice(starts[j], starts[j + 1])
        weights[row, first] = table[j - 1, first]
        weights[row, second] = table[i, second]
    return weights, rho


def _votes(b: Builder, scores: Operand, count: int) -> Operand:
    """Counts votes, int32 [N, classes]. A pair votes for its first class where its score is above
    0, else for its second."""
    pairs = list(combinations(range(count), 2))
    first = np.array([[i == c for i, _ in pairs] for c in range(count)], np.int32)
    second = np.array([[j == c for _, j in pairs] for c in range(count)], np.int32)
    won = cast(b, b.emit(Op.LESS, (b.scalar(0), scores)), DType.INT32)
    # won·first + (1 − won)·second
    return matmul(b, won, b.constant(first - second), b.constant(second.sum(1, dtype=np.int32)))


ONNX_ML: dict[str, Lowering] = {"SVMRegressor": _regressor, "SVMClassifier": _classifier}
