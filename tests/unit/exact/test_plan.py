"""Plans: what is shared, when a slot is free, and where operands are found."""

import numpy as np

from oracle.exact.limits import Limits
from oracle.exact.lowering.builder import Builder
from oracle.exact.plan import Plan, planned, planned_for
from oracle.exact.program import Op, Operand, Program
from oracle.exact.run import Runner
from oracle.types import DType, TensorType
from tests.oracles import same

X = np.arange(8, dtype=np.float32)


def built(shape: tuple[int, ...] = (1, 8)) -> tuple[Builder, Operand]:
    b = Builder([TensorType("x", DType.FLOAT, shape)], Limits())
    return b, b.input(0)


def steps_of(b: Builder, *outputs: Operand) -> Plan:
    return planned(ended(b, *outputs), {}, fusing=False)


def ended(b: Builder, *outputs: Operand) -> Program:
    return b.program([f"y{at}" for at in range(len(outputs))], outputs)


def weights(b: Builder, seed: int) -> Operand:
    return b.constant(np.random.default_rng(seed).standard_normal((8, 8)).astype(np.float32))


def test_nodes_that_are_alike_share_a_kernel():
    b, x = built()
    w = weights(b, 0)
    h = b.emit(Op.DOT, [b.emit(Op.DOT, [b.emit(Op.TANH, [x]), w]), w])
    tanh, first, second = steps_of(b, h).steps
    assert first.kernel is second.kernel is not tanh.kernel


def test_nodes_with_other_constants_or_shapes_share_none():
    b, x = built()
    one, other = weights(b, 0), weights(b, 1)
    h = b.emit(Op.DOT, [b.emit(Op.DOT, [x, one]), other])
    h = b.emit(Op.TANH, [b.reshape(b.emit(Op.TANH, [h]), (8,))])
    kernels = [step.kernel for step in steps_of(b, h).steps]
    assert len({*map(id, kernels)}) == len(kernels) == 5  # one of them reshapes


def test_a_value_is_freed_after_its_last_reader_and_outputs_are_kept():
    b, x = built()
    first = b.emit(Op.TANH, [x])
    second = b.emit(Op.EXP, [first])
    third = b.emit(Op.ADD, [first, second])
    plan = steps_of(b, third, second)
    assert [set(step.frees) for step in plan.steps] == [{0}, set(), {1}]


def test_a_value_is_reshaped_once_for_all_who_read_it_so():
    b, x = built((2, 4))
    flat = b.reshape(b.emit(Op.TANH, [x]), (8,))
    out = b.emit(Op.ADD, [b.emit(Op.EXP, [flat]), b.emit(Op.ABS, [flat])])
    program = ended(b, out, b.reshape(out, (4, 2)))
    assert len(planned(program, {}, fusing=False).steps) == 4 + 2
    flat_out, wide_out = Runner(program).run([X.reshape(2, 4)])
    assert same(flat_out.reshape(4, 2), wide_out)


def test_a_scalar_stays_one():
    b, x = built(())
    program = ended(b, b.emit(Op.NEG, [x]))
    (out,) = Runner(program).run([np.array(2, np.float32)])
    (value,) = Runner(program).values([np.array(2, np.float32)])
    assert out.shape == value.shape == ()


def test_a_plan_for_some_values_has_what_they_need_and_keeps_none():
    b, x = built((2, 4))
    first = b.emit(Op.TANH, [x])
    b.emit(Op.EXP, [first])
    third = b.emit(Op.NEG, [b.reshape(first, (8,))])
    fourth = b.emit(Op.EXP, [third])
    program = ended(b, b.emit(Op.ABS, [fourth]), b.emit(Op.NEG, [x]))
    assert [node.op for node in program.nodes] == [Op.TANH, Op.NEG, Op.EXP, Op.ABS, Op.NEG]

    plan = planned_for(program, {}, [2])
    assert [step.slot for step in plan.steps] == [1, 2, 3]
    assert [set(step.frees) for step in plan.steps] == [{0}, {1}, {2, 3}]


def test_each_gives_the_values_that_are_wanted():
    b, x = built()
    values = [x]
    for op in (Op.NEG, Op.EXP, Op.NEG, Op.TANH):
        values.append(b.emit(op, [values[-1]]))
    runner = Runner(ended(b, values[-1]))
    whole = dict(runner.each([X.reshape(1, 8)]))
    assert [*whole] == [0, 1, 2, 3]

    some = dict(runner.each([X.reshape(1, 8)], {2, 0}))

    assert [*some] == [0, 2]
    assert all(same(some[node], whole[node]) for node in some)
