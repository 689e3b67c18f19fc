"""What `proofs/bounds.py` says a proof takes at most, and what the referee takes for it: at the
dearest elements with the worst numbers, at random ones, and where a publisher would want it to take
more than a transaction may."""

from collections.abc import Sequence

import numpy as np
import pytest

from oracle.exact.program import Node, Op, Operand, OperandKind, Program, ValueType
from oracle.exact.proofs.bounds import ENVELOPE_BYTES, MOST_GAS, Proof, bounds
from oracle.exact.proofs.evidence import ClaimKind
from oracle.types import DType, Signature, TensorType
from tests.parity import programs, worst
from tests.parity.referee import Answer, Case, Judged, Referee, off_by_one

LONG = [False, pytest.param(True, marks=pytest.mark.long)]
COUNTS = [300, pytest.param(10_000, marks=pytest.mark.long)]
LOOSE = 1.5
FLOAT = DType.FLOAT


def lies(judged: Judged, node: int, elements: Sequence[int]) -> list[Case]:
    dtype = judged.program.nodes[node].output.dtype
    wrong = [off_by_one(judged.bits(node, element), dtype) for element in elements]
    return [judged.lie(node, *each) for each in zip(elements, wrong, strict=True)]


def most(found: Sequence[Proof]) -> tuple[int, int]:
    """The referee's gas, and the bytes of the proof."""
    return max(each.judging for each in found), max(each.size for each in found) - ENVELOPE_BYTES


@pytest.mark.parametrize("large", LONG)
@pytest.mark.parametrize("op", Op, ids=lambda op: op.name)
def test_bounds_hold_and_are_near_at_the_dearest_elements(
    referee: Referee, op: Op, large: bool
) -> None:
    for made in worst.programs(op, large):
        check_dearest(referee, made)


@pytest.mark.parametrize("large", LONG)
@pytest.mark.parametrize("op", Op, ids=lambda op: op.name)
def test_bounds_hold_and_are_near_amid_other_inputs_and_outputs(
    referee: Referee, op: Op, large: bool
) -> None:
    for made in worst.programs(op, large):
        if worst.reads_inputs(made) or not large:
            check_dearest(referee, worst.amid_others(made))


def check_dearest(referee: Referee, made: worst.Made) -> None:
    judged = Judged(made.program, made.inputs)
    elements = worst.dearest(made.program, made.node, judged.sources)
    for kind in ClaimKind:
        cases = (
            lies(judged, made.node, elements)
            if kind is ClaimKind.VALUE
            else [judged.shown(made.output, element) for element in elements]
        )
        found = [each for each in bounds(made.program, made.node) if each.kind is kind]
        gas, size = most(found)
        answers = referee.judge(cases)
        assert not any(answer.error for answer in answers)
        real, real_size = (
            max(each.gas for each in answers),
            max(len(case.proof) for case in cases),
        )
        where = made.program.nodes[made.node], kind
        assert real <= gas <= LOOSE * real, (where, real, gas / real)
        assert real_size <= size <= LOOSE * real_size, (where, real_size, size)


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("op", Op, ids=lambda op: op.name)
def test_bounds_hold_at_random_elements(
    referee: Referee, op: Op, count: int, rng: np.random.Generator
) -> None:
    left = count
    while left > 0:
        program, inputs = programs.MAKERS[op.family](rng, op)
        node = len(program.nodes) - 1
        if program.nodes[node].output.elements == 0:
            continue
        judged = Judged(program, inputs)
        elements = rng.permutation(program.nodes[node].output.elements)[:50].tolist()
        cases = lies(judged, node, elements)
        gas, size = most([e for e in bounds(program, node) if e.kind is ClaimKind.VALUE])
        assert max(each.gas for each in referee.judge(cases)) <= gas, program.nodes[node]
        assert max(len(case.proof) for case in cases) <= size, program.nodes[node]
        left -= len(elements)


@pytest.mark.parametrize(
    ("op", "shapes", "attributes"),
    [
        (
            Op.MAX_POOL,
            [(3, 1, 2, 3, 2)],
            (0, 1, 2, 2, 1, -1, 0, 1, 2, 2, 3, 3, 1, 1, 3, 1, 3, 2, 2),
        ),
        (
            Op.AVERAGE_POOL,
            [(1, 1, 3, 5, 3)],
            (1, 2, 2, 3, 1, 2, 1, 3, 1, 2, -2, 3, 1, 2, 3, 3, 1, 1, 2),
        ),
        (
            Op.CONV,
            [(3, 3, 4, 4, 2), (1, 1, 3, 3, 2)],
            (1, 1, 2, 3, -1, 1, 2, 3, 3, 2, 3, 0, 3, 3, 1, 2, 3, -1, 3),
        ),
    ],
    ids=lambda value: value.name if isinstance(value, Op) else "",
)
def test_bounds_hold_for_windows_of_three_axes(
    referee: Referee,
    op: Op,
    shapes: list[tuple[int, ...]],
    attributes: tuple[int, ...],
    rng: np.random.Generator,
) -> None:
    """The dearest that were met among random ones."""
    arrays = [rng.standard_normal(shape).astype(np.float32) for shape in shapes]
    kinds = [OperandKind.VALUE] * len(arrays)
    program, inputs = programs.made(op, arrays, kinds, attributes)
    node, judged = len(program.nodes) - 1, Judged(program, inputs)
    elements = range(program.nodes[node].output.elements)
    gas, _ = most([e for e in bounds(program, node) if e.kind is ClaimKind.VALUE])
    real = max(each.gas for each in referee.judge(lies(judged, node, elements)))
    assert 0.95 * gas <= real <= gas


# ---- attacks


def judged_at(referee: Referee, made: worst.Made, element: int) -> tuple[Answer, Judged]:
    judged = Judged(made.program, made.inputs)
    [answer] = referee.judge(lies(judged, made.node, [element]))
    assert not answer.error and answer.claimed != answer.expected
    return answer, judged


@pytest.mark.parametrize("kernel", [3, 2_000, 60_000])
def test_attack_a_kernel_beside_the_image_costs_nothing(referee: Referee, kernel: int) -> None:
    """A pool that stands beside its image along one axis reads nothing along the other."""
    x = np.ones((1, kernel, 1, 1), np.float32)
    attributes = (0, kernel, 1, 1, 0, 0, 0, 1, 2, 1, 1, 1, 0)
    made = worst.Made(*programs.made(Op.MAX_POOL, [x], [OperandKind.CONSTANT], attributes))
    answer, judged = judged_at(referee, made, 0)
    assert judged.bits(made.node, 0) == 0xFF800000  # of nothing
    assert answer.gas < 100_000


def test_attack_taps_between_elements_cost_nothing(referee: Referee) -> None:
    """Every other tap of a transposed convolution stands between elements; here all do along the
    second axis."""
    x, w = np.ones((1, 400, 1, 1), np.float32), np.ones((1, 300, 1, 1), np.float32)
    attributes = (1, 300, 1, 1, 0, 0, 2, 1, 2, 1, 1, 1, 2)
    made = worst.Made(*programs.made(Op.CONV, [x, w], [OperandKind.INPUT] * 2, attributes))
    answer, judged = judged_at(referee, made, 0)
    assert judged.bits(made.node, 0) == 0
    assert answer.gas < 150_000


def joined(inputs: int) -> worst.Made:
    """A CONCAT of many inputs, the last of them first."""
    type_ = ValueType(FLOAT, (1, 1))
    operands = tuple(Operand(OperandKind.INPUT, at, type_) for at in range(inputs))[::-1]
    output = ValueType(FLOAT, (1, inputs))
    types = tuple(TensorType(str(at), FLOAT, (1, 1)) for at in range(inputs))
    program = Program(
        Signature(types, (TensorType("y", FLOAT, output.shape),)),
        (Node(Op.CONCAT, operands, output),),
        (),
        (Operand(OperandKind.VALUE, 0, output),),
    )
    return worst.Made(program, [np.ones((1, 1), np.float32)] * inputs)


def test_attack_many_inputs_are_passed_over_once(referee: Referee) -> None:
    gas = {count: judged_at(referee, joined(count), 0)[0].gas for count in (50, 100, 400)}
    assert (gas[400] - gas[100]) / 300 < 1.2 * (gas[100] - gas[50]) / 50
    assert gas[400] <= most(bounds(joined(400).program, 0))[0] <= LOOSE * gas[400]


@pytest.mark.parametrize("bits", [0x7F800000, 0xFF800000, 0x7FC00000])
def test_attack_terms_that_are_no_numbers_cost_no_more_than_numbers(
    referee: Referee, bits: int
) -> None:
    """One in each eight, so that no eight is added at once."""
    x = worst.far_apart((1, 4_000))
    x[0, ::8] = np.uint32(bits).view(np.float32)
    made = worst.Made(*programs.made(Op.REDUCE_SUM, [x], [OperandKind.INPUT], ()))
    answer, _ = judged_at(referee, made, 0)
    assert answer.gas <= most(bounds(made.program, 0))[0]


def test_the_place_of_the_largest_of_14336_is_provable(referee: Referee) -> None:
    x = np.ones((1, 14_336), np.float32)
    made = worst.Made(*programs.made(Op.ARG_MAX, [x], [OperandKind.VALUE], (1,)))
    answer, _ = judged_at(referee, made, 0)
    found = bounds(made.program, made.node, model=bytes(range(1, 129)) * 128)
    assert answer.gas <= most(found)[0] and max(each.gas for each in found) < MOST_GAS // 2
