"""Chooses between values by a condition that only a run computes.

Both sides are computed, which harms nobody: no primitive of the law can fail, and WHERE reads its
element from one side alone, so that not even a NaN comes over from the other.
"""

from collections.abc import Sequence

from oracle.exact.lowering.builder import FLOATS, WIDENED, Builder, with_dtype
from oracle.exact.primitive import Outside
from oracle.exact.program import Op, Operand
from oracle.types import DType


def flag(b: Builder, condition: Operand) -> Operand:
    """Gives a condition as one bool."""
    if condition.type.dtype is not DType.BOOL or condition.type.elements != 1:
        raise Outside(f"its condition is {condition.type}", "make it one bool")
    return b.reshape(condition, ())


def chosen(
    b: Builder, condition: Operand, those: Sequence[Operand], others: Sequence[Operand]
) -> list[Operand]:
    """Emits those where the condition holds, else the others. Raises Outside where two that face
    each other are of different types."""
    pairs = zip(those, others, strict=True)
    return [x if x == y else _chosen(b, condition, x, y) for x, y in pairs]


def _chosen(b: Builder, condition: Operand, x: Operand, y: Operand) -> Operand:
    if x.type != y.type:
        raise Outside(
            f"its condition depends on the model's inputs, and chooses between {x.type} and "
            f"{y.type}",
            "make both sides of one dtype and shape, fix the condition, or publish as VANILLA",
        )
    texts = b.texts(x)
    if texts != b.texts(y):
        raise Outside("it chooses between strings of different lists", "use one list")
    if (dtype := x.type.dtype) in (*FLOATS, *WIDENED):
        held = map(b.in_law, (x, y))
        out = with_dtype(b.emit(Op.WHERE, (condition, *held)), dtype)
        return b.mark_rounded(out) if b.is_rounded(x) or b.is_rounded(y) else out
    out = b.emit(Op.WHERE, (condition, x, y))
    return out if texts is None else b.mark_text(out, texts)
