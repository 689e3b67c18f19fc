"""Columns that were scaled in float64 before trees: their thresholds are moved to what was scaled.

A column x of float32 becomes g(x) by adding constants, and by multiplying with or dividing by
positive ones, each step rounded to float64. Rounding keeps the order, so g does, from g(−∞) = −∞ to
g(+∞) = +∞, and g(NaN) is NaN. Hence there is a greatest float32 a with g(a) ≤ t, and a least one b
with g(b) ≥ t; and for every float32

    g(x) ≤ t   just where  x ≤ a                g(x) > t   just where not
    g(x) < t   just where  x < b                g(x) ≥ t   just where not

Both are found by halving the float32, each try computed in float64 as the file has it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import isnan

import numpy as np

from oracle.exact.lowering.forest import A_LEAF, Branch
from oracle.exact.primitive import Outside
from oracle.exact.program import Operand
from oracle.tensor import Array

Step = tuple[str, float]
"""An op of STEPS, and the constant beside the column."""
Columns = tuple[tuple[Step, ...], ...]

STEPS: dict[str, Callable[[Array, float], Array]] = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Div": np.divide,
}
_BY_POSITIVE = ("Mul", "Div")
_INFINITE = 0x7F800000


@dataclass(frozen=True, slots=True)
class Scaled:
    """What a float64 [N, F] is computed from: a float32 of that shape, and the steps of each
    column."""

    source: Operand
    columns: Columns


def after(scaled: Scaled, op: str, constant: Array) -> Scaled | None:
    """Adds a step to each column, or gives None where that might not keep the order."""
    shape = scaled.source.type.shape
    row = constant.size == constant.shape[-1] if constant.ndim else True
    if not row or constant.ndim > len(shape) or constant.size not in (1, shape[-1]):
        return None
    if not np.isfinite(constant).all() or (op in _BY_POSITIVE and not (constant > 0).all()):
        return None
    each = np.broadcast_to(constant.reshape(-1), shape[-1:]).tolist()
    steps = ((*column, (op, number)) for column, number in zip(scaled.columns, each, strict=True))
    return replace(scaled, columns=tuple(steps))


def before(branches: Sequence[Branch], columns: Columns) -> list[Branch]:
    """Gives the branches with thresholds for what the columns are computed from."""
    moved = list(branches)
    if not any(columns):
        return moved
    places: dict[tuple[int, bool], list[int]] = {}
    for place, branch in enumerate(branches):
        if branch.mode == A_LEAF or isnan(branch.threshold):
            continue
        if branch.mode not in ("BRANCH_LEQ", "BRANCH_GT", "BRANCH_LT", "BRANCH_GTE"):
            raise Outside(
                f"it compares a float64 that was computed by {branch.mode}",
                "Cast what it reads to float32 before, or export the model with float32",
            )
        strict = branch.mode in ("BRANCH_LT", "BRANCH_GTE")
        places.setdefault((branch.feature, strict), []).append(place)
    for (feature, strict), group in places.items():
        thresholds = np.array([branches[place].threshold for place in group])
        found = _least(columns[feature], thresholds, strict)
        for place, threshold in zip(group, found.tolist(), strict=True):
            moved[place] = replace(branches[place], threshold=threshold)
    return moved


def _least(column: Sequence[Step], thresholds: Array, strict: bool) -> Array:
    """Gives the greatest float32 x with g(x) ≤ t, or where `strict` the least with g(x) ≥ t."""
    true = np.full(thresholds.shape, -_INFINITE - strict, np.int64)
    false = np.full(thresholds.shape, _INFINITE + (not strict), np.int64)
    compare = np.less if strict else np.less_equal
    while (false - true > 1).any():
        half = (true + false) // 2  # what is already true, where the two have met
        tried = _float32(np.maximum(half, -_INFINITE))
        holds = (half == true) | compare(_computed(column, tried), thresholds)
        true, false = np.where(holds, half, true), np.where(holds, false, half)
    return _float32(false if strict else true)


def _computed(column: Sequence[Step], x: Array) -> Array:
    wide = x.astype(np.float64)
    with np.errstate(all="ignore"):
        for op, constant in column:
            wide = STEPS[op](wide, constant)
    return wide


def _float32(places: Array) -> Array:
    """Gives the float32 at these places in their order; 0 has place 0."""
    sizes: Array = np.abs(places).astype(np.uint32).view(np.float32)
    return np.copysign(sizes, places.astype(np.float32))
