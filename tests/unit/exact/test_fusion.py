"""Chains: what joins one, and that a run with them has the bits of a run without."""

import numpy as np
import pytest

from oracle.exact.fusion import WITHIN, Fusion, fusions
from oracle.exact.kernels.fused import BLOCK
from oracle.exact.limits import Limits
from oracle.exact.lowering.builder import Builder
from oracle.exact.program import Op, Operand, OperandKind, Program
from oracle.exact.run import Runner
from oracle.types import DType, TensorType
from tests.oracles import nasty, same

UNARY = [Op.NEG, Op.ABS, Op.SQRT]
BINARY = [Op.ADD, Op.SUB, Op.MUL, Op.DIV, Op.MAX, Op.MIN]


def inputs(*shapes: tuple[int, ...]) -> list[TensorType]:
    return [TensorType(f"x{at}", DType.FLOAT, shape) for at, shape in enumerate(shapes)]


def built(*shapes: tuple[int, ...]) -> tuple[Builder, list[Operand]]:
    b = Builder(inputs(*shapes), Limits())
    return b, [b.input(at) for at in range(len(shapes))]


def random_program(seed: int, full: tuple[int, ...], some: list[tuple[int, ...]]) -> Program:
    rng = np.random.default_rng(seed)
    b, values = built(full, *some)
    values.append(b.constant(nasty()[rng.integers(0, len(nasty()), full[-1])]))
    for _ in range(12):
        x, y, z = (values[at] for at in rng.integers(0, len(values), 3))
        match rng.integers(0, 6):
            case 0:
                values.append(b.emit(UNARY[rng.integers(0, 3)], [x]))
            case 1:
                less = b.emit([Op.LESS, Op.EQUAL][rng.integers(0, 2)], [x, y])
                values.append(b.emit(Op.WHERE, [less, y, z]))
            case 2 if x.type.shape == full:
                values.append(b.reshape(x, (1, *full)))
                values.append(b.emit(Op.ADD, [values.pop(), y]))
                values[-1] = b.reshape(values[-1], full)
            case _:
                values.append(b.emit(BINARY[rng.integers(0, 6)], [x, y]))
    outputs = [o for o in values[-2:] if o.kind is OperandKind.VALUE] or [
        b.emit(Op.NEG, [values[0]])
    ]
    return b.program([f"y{at}" for at in range(len(outputs))], outputs)


def numbers(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    strange = nasty()[rng.integers(0, len(nasty()), shape)]
    return np.where(rng.random(shape) < 0.3, strange, rng.normal(size=shape)).astype(np.float32)


def agree(program: Program, seed: int) -> None:
    rng = np.random.default_rng(seed)
    arrays = [numbers(rng, type_.shape) for type_ in program.signature.inputs]
    runner = Runner(program)
    values = list(runner.values(arrays))
    for output, ours in zip(program.outputs, runner.run(arrays), strict=True):
        assert same(ours, values[output.index].reshape(output.type.shape))


@pytest.mark.parametrize("seed", range(120))
def test_a_run_with_chains_has_the_bits_of_one_without(seed):
    some = [(), (5,), (3, 1), (2, 1, 1), (2, 1, 5), (2, 3, 5)]
    agree(random_program(seed, (2, 3, 5), some), seed)


@pytest.mark.parametrize("rows", [7, 10, BLOCK - 1, BLOCK + 1])
@pytest.mark.parametrize("seed", range(6))
def test_a_run_with_chains_has_the_bits_of_one_without_beyond_a_block(seed, rows):
    full = (3, 2 * BLOCK // rows + 1, rows)
    agree(random_program(seed, full, [(rows,), (full[1], 1), (3, 1, 1), full]), seed)


def found(b: Builder, *outputs: Operand) -> list[tuple[int, ...]]:
    program = b.program([f"y{at}" for at in range(len(outputs))], outputs)
    return [fusion.nodes for fusion in fusions(program).values()]


def test_a_chain_ends_where_others_read_its_value():
    b, (x, y) = built((4,), (4,))
    c = b.emit(Op.ADD, [b.emit(Op.MUL, [x, y]), b.emit(Op.MUL, [y, y])])
    h = b.emit(Op.MUL, [b.emit(Op.TANH, [c]), b.emit(Op.SUB, [c, x])])
    assert found(b, h, c) == [(0, 1, 2)]


def test_a_chain_takes_a_choice_with_its_condition():
    b, (x,) = built((4,))
    zero = b.scalar(0)
    p = b.emit(Op.MUL, [x, b.scalar(0.1)])
    assert found(b, b.emit(Op.WHERE, [b.emit(Op.LESS, [x, zero]), p, x])) == [(0, 1, 2)]


def test_a_choice_by_a_condition_from_outside_is_in_no_chain():
    b = Builder([*inputs((4,)), TensorType("c", DType.BOOL, (4,))], Limits())
    x, condition = b.input(0), b.input(1)
    chosen = b.emit(Op.WHERE, [condition, b.emit(Op.NEG, [b.emit(Op.ABS, [x])]), x])
    assert found(b, chosen) == []


def test_two_nodes_are_a_chain_only_where_they_are_large():
    for size, wanted in ((16, []), (1 << 12, [(0, 1)])):
        b, (x,) = built((size,))
        assert found(b, b.emit(Op.NEG, [b.emit(Op.ABS, [x])])) == wanted


def test_a_value_that_is_stretched_later_is_not_in_the_chain():
    b, (x, y) = built((3, 4), (4,))
    row = b.emit(Op.ABS, [b.emit(Op.NEG, [b.emit(Op.MUL, [y, y])])])
    whole = b.emit(Op.ABS, [b.emit(Op.NEG, [b.emit(Op.MUL, [x, row])])])
    assert sorted(found(b, whole)) == [(0, 1, 2), (3, 4, 5)]


def test_a_chain_reads_what_lies_apart_in_memory():
    b, (x,) = built((1, 8, 1))
    apart = b.emit(Op.GATHER, [x, b.constant(np.array([6, 4, 2, 0]))])
    b.emit(Op.NEG, [apart])
    program = b.program(["y"], [b.emit(Op.ABS, [b.emit(Op.NEG, [b.emit(Op.MUL, [apart, apart])])])])
    assert fusions(program)
    agree(program, 0)


def wide(elements: int, many: int) -> Program:
    """Sums, each of which is needed in the end."""
    b, (x, *some) = built((elements,), *[(1,)] * 4)
    values = [b.emit(Op.ADD, [x, some[at % 4]]) for at in range(many)]
    total = values[0]
    for value in values[1:]:
        total = b.emit(Op.MUL, [total, value])
    return b.program(["y"], [total])


def test_values_within_fusions_are_few_enough_for_a_trace():
    """What a fusion does without, a trace holds: whoever can run a program must be able to trace
    it."""
    small, large = wide(1000, 12), wide(WITHIN >> 5, 12)
    assert alive_within(large, fusions(small)) > WITHIN
    assert 0 < alive_within(large, fusions(large)) <= WITHIN


def alive_within(program: Program, found: dict[int, Fusion]) -> int:
    """Bytes of values that these fusions do without, where most are alive at once."""
    nodes = program.nodes
    alive = np.zeros(len(nodes), int)
    for fusion in found.values():
        for place in fusion.nodes[:-1]:
            last = max(at for at in fusion.nodes if place in {o.index for o in nodes[at].operands})
            alive[place : last + 1] += nodes[place].output.nbytes
    return int(alive.max())
