"""Einsum, two operands at a time from the left: each pair is one DOT over the indices that neither
the result nor a later operand has."""

from collections.abc import Sequence
from math import prod

import numpy as np

from oracle.exact.lowering.builder import Builder
from oracle.exact.lowering.indexing import select
from oracle.exact.lowering.linear import matmul
from oracle.exact.lowering.reduce import reduced
from oracle.exact.lowering.shape import expand
from oracle.exact.lowering.source import Lowering, Source
from oracle.exact.primitive import Outside, broadcast
from oracle.exact.program import Op, Operand

Term = tuple[Operand, str]
"""A tensor and the letter of each of its axes, no letter twice."""


def _einsum(b: Builder, node: Source) -> list[Operand]:
    operands = node.exactly(len(node.inputs))
    terms, result = _parsed(node.text("equation"), [len(o.type.shape) for o in operands])
    named = [_diagonal(b, operand, term) for operand, term in zip(operands, terms, strict=True)]
    _check(named)
    if unknown := set(result) - set("".join(terms)):
        raise Outside(f"its result has indices {sorted(unknown)} of no operand", "fix the equation")
    total = named[0]
    for at, term in enumerate(named[1:], start=1):
        later = result + "".join(indices for _, indices in named[at + 1 :])
        total = _product(b, total, term, later)
    out, indices = _summed(b, total, result)
    return [b.transpose(out, [indices.index(index) for index in result])]


def _parsed(equation: str, ranks: Sequence[int]) -> tuple[list[str], str]:
    """Parses an equation into each operand's indices and the result's. Digits stand for the axes of
    an ellipsis."""
    equation = equation.replace(" ", "")
    left, arrow, right = equation.partition("->")
    terms = left.split(",")
    if len(terms) != len(ranks) or not ranks:
        raise Outside(
            f"equation {equation!r} has {len(terms)} operands, not {len(ranks)}", "fix it"
        )
    wide = max(
        (rank - len(t) + 3 for t, rank in zip(terms, ranks, strict=True) if "..." in t), default=0
    )
    if not 0 <= wide <= 7:
        raise Outside(f"equation {equation!r} does not fit its operands", "fix it")
    dots = "0123456"[:wide]
    if not arrow:
        letters = left.replace("...", "").replace(",", "")
        once = sorted(letter for letter in set(letters) if letters.count(letter) == 1)
        right = ("..." if "..." in left else "") + "".join(once)
    full = [
        t.replace("...", dots[len(dots) - (rank - len(t) + 3) :] if rank - len(t) + 3 else "")
        for t, rank in zip(terms, ranks, strict=True)
    ]
    result = right.replace("...", dots)
    for term, rank in zip(full, ranks, strict=True):
        if len(term) != rank or not all(c.isascii() and (c.isalpha() or c in dots) for c in term):
            raise Outside(f"equation {equation!r} does not fit its operands", "fix it")
    if len(set(result)) != len(result):
        raise Outside(f"equation {equation!r} has an index twice in its result", "fix it")
    return full, result


def _diagonal(b: Builder, x: Operand, indices: str) -> Term:
    """Takes the diagonal of axes that share an index."""
    for index in dict.fromkeys(indices):
        while indices.count(index) > 1:
            one = indices.index(index)
            two = indices.index(index, one + 1)
            shape = x.type.shape
            if shape[one] != shape[two]:
                raise Outside(f"index {index!r} is {shape[one]} and {shape[two]}", "fix the shapes")
            places = np.arange(x.type.elements).reshape(shape)
            diagonal = np.moveaxis(places.diagonal(axis1=one, axis2=two), -1, one)
            x = select(b, x, b.constant(np.ascontiguousarray(diagonal)))
            indices = indices[:two] + indices[two + 1 :]
    return x, indices


def _check(terms: Sequence[Term]) -> None:
    sizes: dict[str, int] = {}
    for operand, indices in terms:
        for index, size in zip(indices, operand.type.shape, strict=True):
            if sizes.setdefault(index, size) != size and 1 not in (size, sizes[index]):
                raise Outside(f"index {index!r} is {sizes[index]} and {size}", "fix the shapes")
            sizes[index] = max(sizes[index], size)


def _summed(b: Builder, term: Term, kept: str) -> Term:
    """Sums over the indices that are not among `kept`."""
    x, indices = term
    gone = [axis for axis, index in enumerate(indices) if index not in kept]
    if gone:
        x = reduced(b, Op.REDUCE_SUM, x, gone, keep=False)
    return x, "".join(index for index in indices if index in kept)


def _product(b: Builder, left: Term, right: Term, later: str) -> Term:
    """Multiplies two terms as [shared, M, K] · [shared, N, K]ᵀ, where K are their common indices
    that are not needed later."""
    both = left[1], right[1]
    x, ours = _summed(b, left, later + both[1])
    y, theirs = _summed(b, right, later + both[0])
    shared = "".join(index for index in ours if index in theirs and index in later)
    inner = "".join(index for index in ours if index in theirs and index not in later)
    rows = "".join(index for index in ours if index not in theirs)
    columns = "".join(index for index in theirs if index not in ours)
    common = broadcast([_sizes(x, ours, shared + inner), _sizes(y, theirs, shared + inner)])
    a = _matrix(b, x, ours, shared, rows, inner, common)
    c = _matrix(b, y, theirs, shared, columns, inner, common)
    shape = (*common[: len(shared)], *_sizes(x, ours, rows), *_sizes(y, theirs, columns))
    return b.reshape(matmul(b, a, c), shape), shared + rows + columns


def _sizes(x: Operand, indices: str, which: str) -> tuple[int, ...]:
    return tuple(x.type.shape[indices.index(index)] for index in which)


def _matrix(
    b: Builder,
    x: Operand,
    indices: str,
    shared: str,
    free: str,
    inner: str,
    common: tuple[int, ...],
) -> Operand:
    """Reads a term as [shared, free, inner], with axes of size 1 stretched to `common`."""
    order = shared + free + inner
    moved = b.transpose(x, [indices.index(index) for index in order])
    batch, k, m = common[: len(shared)], common[len(shared) :], _sizes(x, indices, free)
    return b.reshape(expand(b, moved, (*batch, *m, *k)), (prod(batch), prod(m), prod(k)))


ONNX: dict[str, Lowering] = {"Einsum": _einsum}
