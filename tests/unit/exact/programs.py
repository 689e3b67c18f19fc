"""Random programs for hypothesis: any wiring of a few ops, some of their tensors large."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from oracle.exact.limits import Limits
from oracle.exact.lowering.builder import Builder
from oracle.exact.program import Op, Operand, OperandKind, Program
from oracle.tensor import encode
from oracle.types import DType, TensorType

ROWS, COLUMNS = 3, 50
SHAPES = [(), (1,), (7,), (ROWS, COLUMNS), (40, 40), (1, 0)]


@dataclass(frozen=True)
class Run:
    program: Program
    payload: bytes


@st.composite
def runs(draw: st.DrawFn, longest: int = 12) -> Run:
    """A program and an input; nodes that nobody reads are left out of it."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    shape = draw(st.sampled_from(SHAPES))
    inputs = [TensorType(name, DType.FLOAT, shape) for name in "ab"[: draw(st.integers(1, 2))]]
    builder = Builder(inputs, Limits())
    found = [builder.input(index) for index in range(len(inputs))]
    found.append(builder.constant(rng.standard_normal(shape).astype(np.float32)))
    for _ in range(draw(st.integers(1, longest))):
        op = draw(st.sampled_from(_OPS))
        found.append(op(builder, draw, found))
    values = [each for each in found if each.kind is OperandKind.VALUE]
    values = values or [builder.copy(found[0])]
    chosen = draw(st.lists(st.sampled_from(values), min_size=1, max_size=3, unique_by=id))
    program = builder.program([f"y{place}" for place in range(len(chosen))], chosen)
    arrays = [rng.standard_normal(type_.shape).astype(np.float32) for type_ in inputs]
    return Run(program, encode(arrays, inputs))


Emit = Callable[[Builder, st.DrawFn, list[Operand]], Operand]


def _binary(op: Op) -> Emit:
    def emit(builder: Builder, draw: st.DrawFn, found: list[Operand]) -> Operand:
        first = draw(st.sampled_from(_floats(found)))
        fitting = [each for each in found if each.type == first.type]
        return builder.emit(op, [first, draw(st.sampled_from(fitting))])

    return emit


def _unary(op: Op) -> Emit:
    return lambda builder, draw, found: builder.emit(op, [draw(st.sampled_from(_floats(found)))])


def _floats(found: list[Operand]) -> list[Operand]:
    return [each for each in found if each.type.dtype is DType.FLOAT]


_OPS = [*map(_binary, (Op.ADD, Op.MUL, Op.MAX, Op.LESS)), *map(_unary, (Op.NEG, Op.EXP, Op.TANH))]
