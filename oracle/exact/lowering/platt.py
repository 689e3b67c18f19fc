"""Platt's probabilities of pairs of classes by their scores, and of the classes by the pairs."""

from itertools import combinations
from math import isqrt

import numpy as np

from oracle.exact.lowering.builder import Builder
from oracle.exact.lowering.indexing import joined
from oracle.exact.lowering.movement import gather
from oracle.exact.lowering.shape import bounded
from oracle.exact.primitive import Outside
from oracle.exact.program import Op, Operand
from oracle.tensor import Array

ROUNDS = 8
_SURE = 1e-7
"""The least distance of a pair's probability from 0 and 1."""


def probabilities(b: Builder, scores: Operand, slopes: Array, shifts: Array) -> Operand:
    """Emits the classes' probabilities [N, K] for scores [N, pairs]."""
    pairs = scores.type.shape[1]
    if slopes.size != pairs or shifts.size != pairs:
        raise Outside(
            f"{slopes.size} prob_a, {shifts.size} prob_b for {pairs} pairs", "give one each a pair"
        )
    line = b.emit(Op.ADD, (b.emit(Op.MUL, (scores, b.constant(slopes))), b.constant(shifts)))
    first = b.emit(Op.SIGMOID, (b.emit(Op.NEG, (line,)),))
    first = b.emit(Op.MIN, (b.emit(Op.MAX, (first, b.scalar(_SURE))), b.scalar(1 - _SURE)))
    return _coupled(b, first)


def _coupled(b: Builder, first: Operand) -> Operand:
    """Emits the p of sum 1 that is nearest to pᵢ·rⱼᵢ = pⱼ·rᵢⱼ for all pairs (Wu, Lin and Weng's
    second method). There Qp = pᵀQp, where Qᵢᵢ = Σⱼ rⱼᵢ² and Qᵢⱼ = −rᵢⱼ·rⱼᵢ.

    All begin at 1/K. A round sets one place after another to the value that the equation gives from
    the others, and divides by the sum. As in libsvm p no longer changes once Qp = pᵀQp within
    0.005/K. For 30,000 hostile r that took four rounds at most.
    """
    rows, pairs = first.type.shape
    count = (1 + isqrt(1 + 8 * pairs)) // 2
    q, diagonal = _form(b, first, count)
    p = b.constant(np.full((rows, count), 1 / count, np.float32))
    for _ in range(ROUNDS):
        moved, (slope, value) = p, _at(b, q, p)
        error = b.emit(Op.ABS, (b.emit(Op.SUB, (slope, value)),))
        worst = b.reshape(b.emit(Op.REDUCE_MAX, (error,)), (rows, 1))
        rests = b.emit(Op.LESS, (worst, b.scalar(0.005 / count)))
        for place in range(count):
            if place:
                slope, value = _at(b, q, moved)
            gap = b.emit(Op.SUB, (value, _column(b, slope, place)))
            step = b.emit(Op.DIV, (gap, _column(b, diagonal, place)))
            axis = b.constant(np.eye(count, dtype=np.float32)[place])
            moved = b.emit(Op.ADD, (moved, b.emit(Op.MUL, (step, axis))))
            moved = b.emit(Op.DIV, (moved, b.emit(Op.ADD, (step, b.scalar(1)))))
        p = b.emit(Op.WHERE, (rests, p, moved))
    return p


def _form(b: Builder, first: Operand, count: int) -> tuple[Operand, Operand]:
    """Emits Q [N, K, K] and its diagonal [N, K]."""
    rows, pairs = first.type.shape
    bounded(b, rows, count, count)
    second = b.emit(Op.SUB, (b.scalar(1), first))
    each = joined(b, [first, second, b.constant(np.zeros((rows, 1), np.float32))], 1)
    places = np.full((count, count), 2 * pairs)
    for at, (i, j) in enumerate(combinations(range(count), 2)):
        places[i, j], places[j, i] = at, pairs + at
    r, other = (gather(b, each, b.constant(table), 1) for table in (places, places.T.copy()))
    columns = b.reshape(other, (rows * count, 1, count))
    diagonal = b.reshape(b.emit(Op.DOT, (columns, columns)), (rows, count, 1))
    beside = b.emit(Op.MUL, (r, b.emit(Op.NEG, (other,))))
    q = b.emit(Op.WHERE, (b.constant(np.eye(count, dtype=np.bool_)), diagonal, beside))
    return q, b.reshape(diagonal, (rows, count))


def _at(b: Builder, q: Operand, p: Operand) -> tuple[Operand, Operand]:
    """Emits Qp [N, K] and pᵀQp [N, 1]."""
    rows, count = p.type.shape
    line = b.reshape(p, (rows, 1, count))
    slope = b.reshape(b.emit(Op.DOT, (line, q)), (rows, 1, count))
    value = b.emit(Op.DOT, (slope, line))
    return b.reshape(slope, (rows, count)), b.reshape(value, (rows, 1))


def _column(b: Builder, x: Operand, place: int) -> Operand:
    return gather(b, x, b.constant(np.array([place])), 1)
