"""Arithmetic, choice, Cast: fast = plain = rationals."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oracle.exact.primitive import Outside
from oracle.exact.program import Op
from oracle.tensor import Array, canonical
from oracle.types import DType
from tests.oracles import binary, bits, fast, floats, function, nasty, node_of, plain, same
from tests.unit.exact.strategies import vectors, words

ARITHMETIC = [Op.ADD, Op.SUB, Op.MUL, Op.DIV]
INTEGERS = [np.int64, np.int32, np.int8, np.uint8]


def agree(op: Op, *arrays: Array) -> Array:
    slow = plain(op, arrays)
    assert same(slow, fast(op, arrays))
    return slow


def all_pairs(values: Array) -> tuple[Array, Array]:
    x, y = np.meshgrid(values, values)
    return x.ravel(), y.ravel()


@pytest.mark.parametrize("op", ARITHMETIC)
def test_arithmetic_agrees_with_rationals_when_numbers_are_nasty(op):
    x, y = all_pairs(nasty())
    wanted = [binary(op)(*pair) for pair in zip(x.tolist(), y.tolist(), strict=True)]
    assert bits(agree(op, x, y)) == wanted


@pytest.mark.parametrize("op", ARITHMETIC)
@given(pairs=st.lists(st.tuples(words, words), min_size=1, max_size=8))
def test_arithmetic_agrees_with_rationals(op, pairs):
    x, y = (canonical(floats(side)) for side in zip(*pairs, strict=True))
    wanted = [binary(op)(*pair) for pair in zip(x.tolist(), y.tolist(), strict=True)]
    assert bits(agree(op, x, y)) == wanted


def test_division_by_zero_takes_the_sign_of_the_dividend():
    x = np.array([1, -1, 0, np.inf, -np.inf, np.nan], np.float32)
    out = agree(Op.DIV, x, np.zeros(6, np.float32))
    assert bits(out) == [0x7F800000, 0xFF800000, 0x7FC00000, 0x7F800000, 0xFF800000, 0x7FC00000]


def test_multiplication_gives_plus_zero_when_a_negative_product_vanishes():
    x, y = np.array([-1, -(2.0**-100)], np.float32), np.array([0, 2.0**-100], np.float32)
    assert bits(agree(Op.MUL, x, y)) == [0, 0]


@given(vectors())
def test_sqrt_agrees_with_mpmath(x):
    assert bits(agree(Op.SQRT, x)) == [function(Op.SQRT)(value) for value in x.tolist()]


@given(vectors())
def test_neg_and_abs_keep_one_zero_and_one_nan(x):
    assert same(agree(Op.NEG, x), canonical(-x))
    assert same(agree(Op.ABS, x), canonical(np.abs(x)))


def test_max_min_and_less_follow_the_order_when_neither_is_nan():
    x, y = all_pairs(nasty())
    nan = np.isnan(x) | np.isnan(y)
    largest, smallest, less = (agree(op, x, y) for op in (Op.MAX, Op.MIN, Op.LESS))
    assert np.isnan(largest[nan]).all() and np.isnan(smallest[nan]).all() and not less[nan].any()
    assert (largest[~nan] == np.where(x > y, x, y)[~nan]).all()
    assert (smallest[~nan] == np.where(x < y, x, y)[~nan]).all()
    assert (less[~nan] == (x < y)[~nan]).all()


@pytest.mark.parametrize("dtype", INTEGERS)
@given(data=st.data())
def test_integer_arithmetic_wraps(dtype, data):
    info = np.iinfo(dtype)
    number = st.one_of(
        st.integers(int(info.min), int(info.max)),
        st.sampled_from([int(info.min), int(info.max), 0, 1]),
    )
    pairs = data.draw(st.lists(st.tuples(number, number), min_size=1, max_size=6))
    x, y = (np.array(side, dtype) for side in zip(*pairs, strict=True))
    for op, rule in (
        (Op.ADD, lambda a, b: a + b),
        (Op.SUB, lambda a, b: a - b),
        (Op.MUL, lambda a, b: a * b),
        (Op.DIV, lambda a, b: int(Fraction(a, b)) if b else 0),
        (Op.MAX, max),
        (Op.MIN, min),
    ):
        size = int(info.max) - int(info.min) + 1
        wanted = [(rule(a, b) - int(info.min)) % size + int(info.min) for a, b in pairs]
        assert agree(op, x, y).tolist() == wanted


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.int8])
def test_integer_division_is_total(dtype):
    low = np.iinfo(dtype).min
    x, y = np.array([low, 7, low, -7, 7], dtype), np.array([-1, 0, 0, 2, -2], dtype)
    assert agree(Op.DIV, x, y).tolist() == [low, 0, 0, -3, -3]


def test_division_agrees_when_the_operands_are_scalars():
    x, y = np.array(-(2**63), np.int64), np.array(-1, np.int64)
    for op in (*ARITHMETIC, Op.MAX, Op.MIN, Op.LESS):
        agree(op, x, y)
        agree(op, np.array(-3, np.float32), np.array(0, np.float32))
    agree(Op.NEG, x)
    agree(Op.ABS, x)


@pytest.mark.parametrize("op", [*ARITHMETIC, Op.MAX, Op.LESS])
def test_operands_broadcast(op):
    x, y = np.arange(6, dtype=np.float32).reshape(2, 1, 3), np.arange(4, dtype=np.float32)[:, None]
    assert agree(op, x, y).shape == (2, 4, 3)
    assert agree(op, x, np.zeros((0, 1), np.float32)).shape == (2, 0, 3)


def test_operands_are_outside_when_they_do_not_broadcast():
    with pytest.raises(Outside, match="do not broadcast"):
        node_of(Op.ADD, [np.zeros(2, np.float32), np.zeros(3, np.float32)])


def test_operands_are_outside_when_dtypes_differ():
    with pytest.raises(Outside, match="different dtypes: float, int32"):
        node_of(Op.ADD, [np.zeros(2, np.float32), np.zeros(2, np.int32)])


def test_where_chooses_by_element():
    chosen = agree(Op.WHERE, np.array([[True], [False]]), nasty(), np.array(7, np.float32))
    assert same(chosen[0], nasty()) and (chosen[1] == 7).all()


@pytest.mark.parametrize("target", INTEGERS)
def test_cast_truncates_and_clamps_when_a_float_becomes_an_integer(target):
    info = np.iinfo(target)
    values = canonical(
        np.concatenate([nasty(), np.array([1.9, -1.9, 127.5, 255.9, 3e9], np.float32)])
    )
    out = plain(Op.CAST, [values], int(_dtype(target)))
    assert same(out, fast(Op.CAST, [values], int(_dtype(target))))
    for value, found in zip(values.tolist(), out.tolist(), strict=True):
        if np.isnan(value):
            assert found == 0
        else:
            whole = int(value) if np.isfinite(value) else (1 << 70) * (1 if value > 0 else -1)
            assert found == min(max(whole, int(info.min)), int(info.max))


@pytest.mark.parametrize("source", [*INTEGERS, np.bool_])
@pytest.mark.parametrize("target", [*INTEGERS, np.bool_, np.float32])
def test_cast_of_integers_wraps_or_rounds(source, target):
    edges = [0, 1] if source is np.bool_ else [int(np.iinfo(source).min), -1, 0, 1, 127, 128, 255]
    if source in (np.int64, np.int32):
        edges += [2**24 + 1, 2**24 + 3, 2**31 - 1, -(2**31)]
    if source is np.int64:
        edges += [2**63 - 1, 2**40 + 2**16, 2**40 + 2**16 + 1, 2**40 + 3 * 2**16, 2**32 + 5]
    info = None if source is np.bool_ else np.iinfo(source)
    x = np.array([e for e in edges if info is None or info.min <= e <= info.max], source)
    code = int(_dtype(target))
    assert same(plain(Op.CAST, [x], code), fast(Op.CAST, [x], code))


def test_cast_to_bool_is_true_for_nan():
    x = np.array([np.nan, 0, 2.0**-149], np.float32)
    for kernel in (plain, fast):
        assert kernel(Op.CAST, [x], int(DType.BOOL)).tolist() == [True, False, True]


def _dtype(target: type) -> DType:
    return {
        np.int64: DType.INT64,
        np.int32: DType.INT32,
        np.int8: DType.INT8,
        np.uint8: DType.UINT8,
        np.bool_: DType.BOOL,
        np.float32: DType.FLOAT,
    }[target]


@pytest.mark.long
@settings(max_examples=200)
@given(st.integers(0, 2**32 - 1))
def test_arithmetic_agrees_with_the_plain_kernels(seed):
    rng = np.random.default_rng(seed)
    x, y = (canonical(rng.integers(0, 2**32, 1300, np.uint32).view(np.float32)) for _ in range(2))
    with np.errstate(all="ignore"):
        y[:600] = np.ldexp(x[:600], rng.integers(-3, 3, 600)).astype(np.float32)
    for op in ARITHMETIC:
        agree(op, x, canonical(y))
    agree(Op.SQRT, x)


# EQUAL, AND, OR, XOR, MOD


@given(vectors(), vectors(1))
def test_mod_and_equal_agree_with_rationals(x, y):
    x = np.concatenate([x, nasty()])
    y = y if y.size else np.float32([3])
    for kernel in (plain, fast):
        rest = kernel(Op.MOD, [x, y]).tolist()
        for a, out in zip(x.tolist(), rest, strict=True):
            if np.isnan(a) or np.isnan(y[0]) or np.isinf(a) or y[0] == 0:
                assert np.isnan(out)
            elif np.isinf(y[0]):
                assert out == a
            else:
                exact = abs(Fraction(a)) % abs(Fraction(float(y[0])))
                assert Fraction(out) == (-exact if a < 0 else exact)
                assert not (out == 0 and np.signbit(np.float32(out)))
        equal = kernel(Op.EQUAL, [x, y])
        assert equal.tolist() == [a == float(y[0]) for a in x.tolist()]


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.int8, np.uint8])
def test_integer_ops_agree_at_the_ends_of_the_range(dtype):
    info = np.iinfo(dtype)
    values = [info.min, info.min + 1, 0, 1, 2, 3, 5, info.max - 1, info.max]
    values += [-1, -2, -3] if info.min else []
    x = np.array(values, dtype)
    for op, python in {
        Op.EQUAL: lambda a, b: a == b,
        Op.AND: lambda a, b: a & b,
        Op.OR: lambda a, b: a | b,
        Op.XOR: lambda a, b: a ^ b,
        Op.MOD: lambda a, b: a if b == 0 else int(Fraction(abs(a) % abs(b))) * (-1 if a < 0 else 1),
    }.items():
        expected = [[python(a, b) for b in values] for a in values]
        for kernel in (plain, fast):
            assert kernel(op, [x[:, None], x]).tolist() == expected


def test_logic_agrees_on_bools():
    x = np.array([False, True])
    for op, ufunc in {Op.AND: "and", Op.OR: "or", Op.XOR: "xor", Op.EQUAL: "equal"}.items():
        numpy_op = np.equal if ufunc == "equal" else getattr(np, f"logical_{ufunc}")
        for kernel in (plain, fast):
            assert same(kernel(op, [x[:, None], x]), numpy_op(x[:, None], x))
