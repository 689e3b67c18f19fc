"""From a wrong result to one wrong element: always, in few steps, and never from a right one."""

import random
from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from oracle.chain.contracts import Periods
from oracle.chain.presets import preset
from oracle.exact.program import Node, Op, OperandKind, ValueType
from oracle.exact.proofs import pursuit
from oracle.exact.proofs.evidence import ClaimKind
from oracle.exact.proofs.pursuit import Accusation, next_move, output_of, rounds
from oracle.exact.proofs.revealed import RevealedTrace
from oracle.exact.proofs.trace import Trace, trace
from oracle.exact.run import Runner
from oracle.tensor import decode, to_bytes
from oracle.types import LEAVES, VALUE_TREE, DType, Part
from tests.liars import Lie, leaves, lying_trace, revealed
from tests.unit.exact.files import file, node, tensor
from tests.unit.exact.programs import Run, runs

MOST = 8  # demands, of any dispute about programs as large as those here

lies = st.builds(
    Lie, st.one_of(st.none(), st.integers(0, 11)), st.integers(0, 5000), st.integers(0, 254)
)


def honest(run: Run) -> Trace:
    runner = Runner(run.program)
    return trace(runner, decode(run.payload, run.program.signature.inputs))


def lied(run: Run, lie: Lie) -> tuple[Trace, bytes]:
    count = len(run.program.nodes)
    node = None if lie.node is None else lie.node % count
    return lying_trace(Runner(run.program), run.payload, Lie(node, lie.element, lie.flip))


def pursued(ours: Trace, theirs: Trace, output: bytes) -> Iterator[Part | Accusation | None]:
    """The moves against an operator that answers every demand from its trace."""
    known = RevealedTrace(ours)
    while True:
        move = next_move(known, output)
        yield move
        if not isinstance(move, Part):
            return
        known = RevealedTrace(ours, theirs.root) if known.root is None else known
        assert known.add(move, *revealed(theirs, move))


def element(data: bytes, width: int, at: int) -> bytes:
    return data[at * width : (at + 1) * width]


def assert_provable(ours: Trace, theirs: Trace, output: bytes, move: Accusation) -> None:
    """What it reads is agreed on, and what the law makes of that is not what was claimed."""
    node = ours.program.nodes[move.node]
    for operand in node.operands:
        if operand.kind is OperandKind.VALUE:
            assert ours.roots[operand.index] == theirs.roots[operand.index]
    width = node.output.dtype.itemsize
    law = element(to_bytes(ours.values[move.node]), width, move.element)
    if move.kind is ClaimKind.VALUE:
        claimed = element(to_bytes(theirs.values[move.node]), width, move.element)
    else:
        assert ours.program.outputs[move.output].index == move.node
        types = ours.program.signature.outputs
        at = sum(type_.nbytes for type_ in types[: move.output])
        claimed = element(output[at : at + types[move.output].nbytes], width, move.element)
    assert len(claimed) == width and claimed != law


@given(runs(), lies)
def test_next_move_ends_in_a_wrong_element_when_the_output_is_wrong(run, lie):
    ours = honest(run)
    theirs, output = lied(run, lie)
    assume(output != output_of(RevealedTrace(ours)))

    moves = list(pursued(ours, theirs, output))

    assert len(moves) <= MOST and isinstance(moves[-1], Accusation)
    assert_provable(ours, theirs, output, moves[-1])
    assert len(set(moves)) == len(moves)


@given(runs())
def test_next_move_leaves_a_right_result_alone(run):
    ours = honest(run)

    assert next_move(RevealedTrace(ours), output_of(RevealedTrace(ours))) is None
    assert next_move(RevealedTrace(ours, ours.root), output_of(RevealedTrace(ours))) is None


@given(runs(), lies, st.randoms(use_true_random=False))
def test_next_move_uses_what_others_found_out(run, lie, chance: random.Random):
    """Any parts, revealed in any order, lead there too, and none of them is asked for again."""
    ours = honest(run)
    theirs, output = lied(run, lie)
    assume(output != output_of(RevealedTrace(ours)))
    known = RevealedTrace(ours, theirs.root)
    asked = [random_part(theirs, chance) for _ in range(chance.randrange(1, 6))]
    for part in asked:
        assert known.add(part, *revealed(theirs, part))

    for _ in range(MOST):
        move = next_move(known, output)
        if not isinstance(move, Part):
            break
        assert move not in asked
        assert known.add(move, *revealed(theirs, move))

    assert isinstance(move, Accusation)
    assert_provable(ours, theirs, output, move)


def random_part(of: Trace, chance: random.Random) -> Part:
    value = chance.choice([VALUE_TREE, *range(len(of.roots))])
    count = len(of.roots) if value == VALUE_TREE else leaves(of, value)
    heights = [*range((count - 1).bit_length() + 1), *([LEAVES] if value != VALUE_TREE else [])]
    height = chance.choice(heights)
    width = -(-count // (1 << (0 if height == LEAVES else height)))
    first = chance.randrange(width)
    return Part(value, height, first, chance.randrange(1, width - first + 1))


@given(runs(), lies, st.integers(0, 2**30))
def test_add_refuses_what_is_not_of_the_trace(run, lie, bit):
    ours = honest(run)
    theirs, output = lied(run, lie)
    assume(output != output_of(RevealedTrace(ours)))
    known = RevealedTrace(ours, theirs.root)
    part = next_move(RevealedTrace(ours), output)
    assume(isinstance(part, Part))
    data, siblings = revealed(theirs, part)
    broken = bytearray(data)
    broken[bit // 8 % len(data)] ^= 1 << bit % 8

    assert not known.add(part, bytes(broken), siblings)
    assert not known.add(part, data, (*siblings, bytes(32)))
    assert known.add(part, data, siblings)


def test_next_move_needs_no_trace_when_the_operands_are_inputs_and_constants():
    run = single()
    theirs, output = lying_trace(Runner(run.program), run.payload, Lie(None, 5))

    [move] = pursued(honest(run), theirs, output)

    assert move == Accusation(ClaimKind.OUTPUT, 0, 0, 5)


def test_next_move_asks_twice_where_a_tensor_is_small():
    run = chain(100, 30)
    theirs, output = lying_trace(Runner(run.program), run.payload, Lie(40, 3))

    moves = list(pursued(honest(run), theirs, output))

    assert moves[:2] == [Part(VALUE_TREE, 0, 0, 100), Part(40, LEAVES, 0, 1)]
    assert isinstance(moves[2], Accusation)


@pytest.mark.parametrize("lie", [0, 77, 128, 299])
def test_next_move_narrows_a_long_program_and_a_large_tensor(lie):
    run = chain(300, 20_000)
    theirs, output = lying_trace(Runner(run.program), run.payload, Lie(lie, 19_999))

    moves = list(pursued(honest(run), theirs, output))

    assert moves[0] == Part(VALUE_TREE, 7, 0, 3)
    assert len(moves) <= 5
    sizes = [move.size for move in moves if isinstance(move, Part)]
    assert max(sizes) <= 4096


def test_next_move_shows_the_output_itself_when_the_whole_trace_is_ours():
    run = chain(20, 30)
    theirs, output = lying_trace(Runner(run.program), run.payload, Lie(None, 7))

    first, last = pursued(honest(run), theirs, output)

    assert first == Part(VALUE_TREE, 0, 0, 20)
    assert last == Accusation(ClaimKind.OUTPUT, 19, 0, 7)


def single() -> Run:
    return chain(1, 30)


def chain(count: int, width: int) -> Run:
    from oracle.exact.lowering.graph import lower

    names = ["x", *(f"v{at}" for at in range(count))]
    ops = [node("Neg", [names[at]], [names[at + 1]]) for at in range(count)]
    program = lower(file(ops, [tensor("x", [width])], [names[-1]]))
    return Run(program, np.linspace(-2, 2, width, dtype=">f4").tobytes())


@pytest.mark.parametrize("nodes", [1, 2, 128, 129, 16_384, 16_385, 1 << 17])
@pytest.mark.parametrize("leaves", [1, 32, 33, 4096, 4097, 1 << 22])
def test_rounds_counts_the_demands_that_narrow_down_to_a_leaf(nodes: int, leaves: int) -> None:
    """As they are asked: of the tree of values, and then of the longest value's."""
    type_ = ValueType(DType.FLOAT, (leaves * 32,))
    program = SimpleNamespace(nodes=[Node(Op.NEG, (), type_)] * nodes)

    assert rounds(program) == demands(VALUE_TREE, nodes) + demands(0, leaves)  # type: ignore[arg-type]


def demands(value: int, count: int) -> int:
    def width(height: int) -> int:
        return (count + (1 << height) - 1) >> height

    tree = SimpleNamespace(count=count, top=(count - 1).bit_length(), width=width)
    height, asked = tree.top, 0
    while True:
        part, asked = pursuit._below(value, tree, height, 0), asked + 1  # type: ignore[arg-type]
        if part.height == LEAVES or (value == VALUE_TREE and part.height == 0):
            return asked
        height = part.height


def test_the_largest_programs_leave_no_time_on_an_l2() -> None:
    """2^17 nodes and a value of half a gigabyte take seven demands, and six have time."""
    assert demands(VALUE_TREE, 1 << 17) + demands(0, 1 << 22) == 7
    allowed = {}
    for name in ("l1", "l2"):
        by = preset(name)
        periods = Periods(by.reveal_period, by.reaction_period, by.extension_limit, by.reveal_tip)
        allowed[name] = periods.rounds
    assert allowed["l2"] == 6 and allowed["l1"] >= 7


@pytest.mark.parametrize("lie", [0, 5, 130])
def test_next_move_computes_nothing_behind_the_first_value_that_differs(lie):
    run = chain(300, 30)
    theirs, output = lying_trace(Runner(run.program), run.payload, Lie(lie, 3))
    ours = honest(run)
    known = RevealedTrace(ours, theirs.root)
    groups, roots = Part(VALUE_TREE, 7, 0, 3), Part(VALUE_TREE, 0, lie // 128 * 128, 128)
    assert known.add(groups, *revealed(theirs, groups))
    assert known.add(roots, *revealed(theirs, roots))

    assert next_move(known, output) == Part(lie, LEAVES, 0, 1)
    assert len(ours.known_roots()) == lie + 1


def test_next_move_needs_no_root_of_ours_to_ask_for_theirs():
    run = chain(300, 30)
    theirs, output = lying_trace(Runner(run.program), run.payload, Lie(7, 3))
    ours = honest(run)

    assert next_move(RevealedTrace(ours), output) == Part(VALUE_TREE, 7, 0, 3)
    assert not ours.known_roots()
