"""Nodes that are too long to prove, in panels, mostly for transactions that are small, so that
tensors may be small too."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest
from onnx import TensorProto

from oracle.exact.limits import Limits
from oracle.exact.lowering.graph import lower
from oracle.exact.lowering.panels import Room, panelled
from oracle.exact.ops.reduce import sum_of
from oracle.exact.program import Op, OperandKind, Program
from oracle.exact.proofs.bounds import fits
from oracle.exact.proofs.inspect import unprovable
from oracle.exact.run import run
from oracle.tensor import Array
from tests import long_models
from tests.oracles import same
from tests.parity.programs import made
from tests.unit.exact.agreement import agree
from tests.unit.exact.files import file, ml_node, node, tensor

SMALL = Room(gas=1_000_000, size=10_000, opened=4_000, elements=500)
Case = tuple[Op, Sequence[Array], tuple[int, ...]]


def cut(op: Op, arrays: Sequence[Array], attributes: Sequence[int] = ()) -> Program:
    return panelled(whole(op, arrays, attributes), Limits(), SMALL)


def whole(op: Op, arrays: Sequence[Array], attributes: Sequence[int] = ()) -> Program:
    """Makes a program of the op on values."""
    kinds = [OperandKind.VALUE] * len(arrays)
    return made(op, arrays, kinds, attributes)[0]


def value_of(program: Program, arrays: Sequence[Array], plain: bool = False) -> Array:
    """Runs the program, and gives all elements of its output."""
    return run(program, arrays, plain=plain)[0].reshape(-1)


def floats(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def numbers(*shape: int, dtype: str = "i8", most: int = 50, seed: int = 0) -> Array:
    return np.random.default_rng(seed).integers(0, most, shape).astype(dtype)


def with_specials(x: Array) -> Array:
    x = x.copy()
    x.flat[::97], x.flat[50::131], x.flat[7::171] = np.nan, np.inf, -np.inf
    return x


def pool(*axes: Sequence[int], counted: int = 0) -> tuple[int, ...]:
    return (counted, *(number for axis in axes for number in axis))


def exact_cases() -> Iterator[Case]:
    """Panels give the same bits. Most lengths are divided by no small number."""
    rows = floats(2, 2_503), with_specials(floats(2, 2_999)), numbers(2, 2_503, dtype="i4", most=9)
    few = np.round(rows[0])  # with many that are equal
    lowest = np.full((2, 2_003), np.iinfo(np.int64).min)
    tenths = numbers(1, 4_000, dtype="u1", most=10)
    for x in (*rows, few, tenths, lowest, np.full((1, 2_999), -np.inf, np.float32)):
        yield Op.REDUCE_MAX, [x], ()
        yield Op.REDUCE_MIN, [x], ()
        yield Op.ARG_MAX, [x], (0,)
        yield Op.ARG_MAX, [x], (1,)
        for most in (1, 20, 700, x.shape[1]):
            yield Op.TOP_K, [x], (most,)
    yield Op.REDUCE_SUM, [numbers(3, 2_003)], ()
    yield Op.CUM_SUM, [numbers(3, 2_003, most=1 << 62)], ()
    yield Op.CUM_SUM, [numbers(1, 3_000, dtype="i4", most=1 << 30)], ()
    yield Op.DOT, [numbers(3, 2_003), numbers(4, 2_003), numbers(4)], ()
    yield Op.DOT, [numbers(2, 3, 1_999, dtype="i4"), numbers(1, 4, 1_999, dtype="i4")], ()
    yield Op.CONCAT, [floats(2, 1 + at % 3, seed=at) for at in range(150)], ()
    yield from _exact_windows()
    yield from _exact_scatters()


def _exact_windows() -> Iterator[Case]:
    x = with_specials(floats(1, 18, 17, 2))
    yield Op.MAX_POOL, [x], pool((9, 2, 1, 4, 3, 2), (8, 1, 2, 5, 1, 0))
    yield Op.MAX_POOL, [numbers(1, 4_000, 1, dtype="i1")], pool((3_900, 150, 1, 3_800, 3_700, 0))
    yield Op.MAX_POOL, [numbers(1, 700, 2, dtype="i8")], pool((501, 3, 1, -7, -6, 0))
    image, weights = numbers(1, 6, 5, 150, dtype="i4"), numbers(3, 3, 3, 150, dtype="i4")
    yield Op.CONV, [image, weights, numbers(3, dtype="i4")], (1, 3, 2, 2, 1, 2, 1, 3, 1, 1, 2, 1, 1)
    yield Op.CONV, [image, weights], (1, 3, 1, 1, 1, 2, 2, 3, 1, 2, -1, 1, 3)
    wide = numbers(1, 3, 2_006, dtype="i4"), numbers(4, 1, 1_003, dtype="i4")
    yield Op.CONV, [*wide, numbers(4, dtype="i4")], (2, 1, 1, 1, 0, 0, 1)


def _exact_scatters() -> Iterator[Case]:
    data, places, updates = floats(9, 4), numbers(600, most=18) - 9, floats(600, 4, seed=1)
    for mode in (0, 2, 3):
        yield Op.SCATTER, [data, places, with_specials(updates)], (mode,)
    data, updates = numbers(9, 4, dtype="i4"), numbers(600, 4, dtype="i4")
    yield Op.SCATTER, [data, places, updates], (1,)


def rounded_cases() -> Iterator[Case]:
    """Panels round once each."""
    for x in (floats(2, 2_503), floats(1, 2_500), with_specials(floats(3, 2_999))):
        yield Op.REDUCE_SUM, [x], ()
        yield Op.REDUCE_MEAN, [x], ()
        yield Op.CUM_SUM, [x], ()
        yield Op.DOT, [x, floats(4, x.shape[1], seed=1), floats(4)], ()
        yield Op.DOT, [x, x], ()
    image, weights = floats(1, 6, 5, 150), floats(3, 3, 3, 150, seed=1)
    yield Op.CONV, [image, weights, floats(3)], (1, 3, 2, 2, 1, 2, 1, 3, 1, 1, 2, 1, 1)
    channelwise = floats(1, 12, 12, 3), floats(3, 15, 9, 1, seed=1)
    yield Op.CONV, [*channelwise, floats(3)], (3, 15, 1, 1, 7, 7, 1, 9, 1, 1, 4, 4, 1)
    x = with_specials(floats(1, 15, 16, 3))
    for counted in (0, 1):
        for end, overhang in ((3, 1), (-9, 12)):  # there the last windows count nothing
            axes = (9, 2, 1, 4, end, overhang), (8, 1, 1, 5, 1, 0)
            yield Op.AVERAGE_POOL, [x], pool(*axes, counted=counted)
    yield Op.SCATTER, [floats(9, 4), numbers(600, most=9), floats(600, 4, seed=1)], (1,)


EXACT, ROUNDED = list(exact_cases()), list(rounded_cases())


def _named(case: Case) -> str:
    op, arrays, attributes = case
    shapes = "-".join("x".join(map(str, x.shape)) for x in arrays[:3])
    return f"{op.name}-{arrays[0].dtype.str[1:]}-{shapes}-{','.join(map(str, attributes[:4]))}"


def both(case: Case) -> tuple[Array, Array]:
    """Runs the op in panels, by the fast kernels and the plain ones, and whole."""
    op, arrays, attributes = case
    program = cut(op, arrays, attributes)
    found, plain = value_of(program, arrays), value_of(program, arrays, plain=True)
    assert same(found, plain)
    return found, value_of(whole(op, arrays, attributes), arrays)


def is_provable(program: Program) -> bool:
    """Tells whether all nodes fit but those that copy an input."""
    nodes = enumerate(program.nodes)
    return all(
        fits(program, index, SMALL.gas, SMALL.size)
        for index, each in nodes
        if each.operands[0].kind is not OperandKind.INPUT
    )


@pytest.mark.parametrize("case", EXACT, ids=_named)
def test_panelled_gives_the_same_bits_where_nothing_is_rounded(case):
    found, wanted = both(case)
    assert same(found, wanted)


@pytest.mark.parametrize("case", ROUNDED, ids=_named)
def test_panelled_rounds_little_more_often(case):
    found, wanted = both(case)
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("case", [*EXACT, *ROUNDED], ids=_named)
def test_panelled_leaves_nothing_too_long(case):
    assert not is_provable(whole(*case))
    assert is_provable(cut(*case))


def words_of(x: Array) -> list[int]:
    return x.view(np.uint32).reshape(-1).tolist()


def test_a_sum_is_rounded_once_a_panel_and_once_more():
    x = floats(1, 2_400)
    program = cut(Op.REDUCE_SUM, [x])
    panel = program.nodes[1].operands[0].type.shape[1]
    rows = [sum_of(words_of(x)[at : at + panel]) for at in range(0, 2_400, panel)]
    assert words_of(value_of(program, [x])) == [sum_of(rows)]


def test_a_mean_divides_once_after_the_sum():
    x = floats(1, 2_400)
    program = cut(Op.REDUCE_MEAN, [x])
    total = value_of(cut(Op.REDUCE_SUM, [x]), [x])
    assert value_of(program, [x]).tolist() == [total[0] / np.float32(2_400)]
    ops = [each.op for each in program.nodes]
    assert ops.count(Op.DIV) == 1 and Op.REDUCE_MEAN not in ops


@pytest.mark.parametrize("op", [Op.DOT, Op.CONV])
def test_a_bias_is_part_of_the_last_panels_sum_alone(op):
    bias = floats(2)
    if op is Op.DOT:
        program = cut(op, [floats(1, 2_400), floats(2, 2_400), bias])
    else:
        program = cut(op, [floats(1, 4, 400), floats(2, 4, 400), bias], (1, 4, 1, 1, 0, 0, 1))
    operands = [len(each.operands) for each in program.nodes if each.op is op]
    assert operands == [2] * (len(operands) - 1) + [3]


def test_equal_operands_are_cut_once():
    nodes = [node("Mul", ["x", "w"], ["g"]), node("ReduceSumSquare", ["g"], ["y"])]
    data = file(nodes, [tensor("x", [1])], ["y"], w=floats(2_400))
    program = panelled(lower(data), Limits(), SMALL)
    ops = [each.op for each in program.nodes]
    assert ops.count(Op.GATHER) == ops.count(Op.DOT) > 1


def test_panels_are_as_few_as_may_be():
    """A row of 2,400 floats in five, where 4,000 bytes and 500 elements are allowed."""
    program = cut(Op.REDUCE_SUM, [floats(1, 2_400)])
    assert [each.operands[0].type.shape for each in program.nodes[1:]] == [(5, 480), (1, 5)]


def test_blocks_that_divide_a_row_are_taken_in_place_of_a_copy():
    """Five would do for 2,401 floats, and seven divide them."""
    program = cut(Op.REDUCE_SUM, [floats(1, 2_401)])
    assert [each.operands[0].type.shape for each in program.nodes[1:]] == [(7, 343), (1, 7)]
    ops = [each.op for each in cut(Op.REDUCE_SUM, [floats(1, 2_503)]).nodes]
    assert Op.CONCAT in ops  # of a prime number


def test_a_long_run_is_seen_whatever_the_kernel():
    """In a transaction as it is."""
    arrays = floats(1, 1, 20_000), floats(1, 1, 20_000)
    program = panelled(whole(Op.CONV, arrays, (1, 1, 1, 1, 0, 0, 1)), Limits())
    assert [each.op for each in program.nodes].count(Op.CONV) == 2


def test_what_fits_stays_the_very_program():
    program = whole(Op.REDUCE_SUM, [floats(1, 400)])
    assert panelled(program, Limits(), SMALL) is program


def test_what_panels_do_not_help_stays_the_very_program():
    """The types of all inputs go with every proof."""
    program, _ = made(Op.REDUCE_SUM, [floats(1, 4_000)], [OperandKind.INPUT], ())
    assert panelled(program, Limits(), SMALL) is not program
    signature = program.signature
    program = replace(program, signature=replace(signature, inputs=signature.inputs * 300))
    assert not fits(program, 0, SMALL.gas, SMALL.size)
    assert panelled(program, Limits(), SMALL) is program


def test_a_program_that_panels_would_make_too_large_stays_as_it_is():
    program = whole(Op.REDUCE_SUM, [floats(1, 2_400)])
    assert panelled(program, Limits(nodes=2), SMALL) is program


def test_labels_names_and_other_nodes_stay():
    x = tensor("x", [1, 2])
    nodes = [
        node("MatMul", ["x", "w"], ["s"]),
        node("ArgMax", ["s"], ["i"], axis=1),
        node("Exp", ["x"], ["y"]),
    ]
    data = file(nodes, [x], ["i", "y"], w=floats(2, 1_500))
    program = lower(data)
    cut_up = panelled(program, Limits(), SMALL)
    assert cut_up.signature == program.signature
    assert cut_up.nodes[0] == program.nodes[0]
    names = {each.name for each in cut_up.nodes}
    assert names == {"myMatMul", "myArgMax", "myExp"}
    given = [floats(1, 2)]
    for ours, theirs in zip(run(cut_up, given), run(program, given), strict=True):
        assert same(ours, theirs)


@pytest.mark.parametrize("name", long_models.MODELS)
def test_models_with_long_nodes_are_provable_and_agree_with_onnxruntime(name):
    data, inputs = long_models.MODELS[name]()
    agree(data, inputs, slow=False)
    assert unprovable(lower(data), bytes(range(1, 129)) * 64) == []


def test_panels_lose_no_strings():
    """Classes and categories are the program's, and not its nodes'."""
    nodes = [
        ml_node("LabelEncoder", ["x"], ["k"], keys_strings=["a", "b"], values_floats=[1.0, 2.0]),
        node("ReduceMax", ["k"], ["y"], keepdims=0),
    ]
    program = lower(file(nodes, [tensor("x", [1, 1000], TensorProto.STRING)], ["y"]))
    small = panelled(program, Limits(), Room(gas=300_000, size=10_000, opened=1_000, elements=100))
    assert len(small.nodes) > len(program.nodes)
    assert small.categories == program.categories == ("a", "b")
