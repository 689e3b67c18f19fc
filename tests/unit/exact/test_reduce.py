"""Sums, means, extrema, ArgMax: fast = plain = rationals."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oracle.exact.primitive import Outside
from oracle.exact.program import Op
from oracle.tensor import Array, canonical
from tests.oracles import (
    bits,
    exact_sum,
    fast,
    floats,
    lossy_terms,
    nasty,
    node_of,
    plain,
    random_floats,
    same,
)
from tests.unit.exact.strategies import float_arrays

tables = float_arrays(st.tuples(st.integers(1, 3), st.integers(0, 9)))
filled = float_arrays(st.tuples(st.integers(1, 3), st.integers(1, 9)))


def agree(op: Op, x: Array, *attributes: int) -> Array:
    slow = plain(op, [x], *attributes)
    assert same(slow, fast(op, [x], *attributes))
    return slow


@given(tables)
def test_reduce_sum_agrees_with_rationals(x):
    assert bits(agree(Op.REDUCE_SUM, x)) == [exact_sum(row.tolist()) for row in x]


@given(filled)
def test_reduce_mean_agrees_with_rationals(x):
    assert bits(agree(Op.REDUCE_MEAN, x)) == [exact_sum(row.tolist(), len(row)) for row in x]


@pytest.mark.parametrize("k", [1, 2, 3, 5, 7, 49, 1024, 14336])
@pytest.mark.parametrize("spread", [1, 3, 30, 126])
def test_reduce_sum_and_mean_agree_with_rationals_when_rows_are_long(k, spread):
    x = random_floats(np.random.default_rng(k * spread), (6, k), spread)
    x[0, : k // 2] = -x[0, k - k // 2 :]
    x[1] = floats([0x3F800001])
    x[2, 1:] = 2.0**-149
    assert bits(agree(Op.REDUCE_SUM, x)) == [exact_sum(row.tolist()) for row in x]
    assert bits(agree(Op.REDUCE_MEAN, x)) == [exact_sum(row.tolist(), k) for row in x]


def test_reduce_sum_rounds_ties_to_even_when_two_terms_need_25_bits():
    x = floats([0x3F800001, 0x3F800000, 0x3F800003, 0x3F800000]).reshape(2, 2)
    assert bits(agree(Op.REDUCE_SUM, x)) == [0x40000000, 0x40000002]


def test_reduce_sum_rounds_once_when_a_tiny_term_breaks_a_tie():
    x = np.array([[2**24, 1, 2.0**-149], [2**24, 1, -(2.0**-149)], [2**24, 1, 0]], np.float32)
    assert bits(agree(Op.REDUCE_SUM, x)) == [0x4B800001, 0x4B800000, 0x4B800000]


def test_reduce_mean_does_not_overflow_when_the_sum_would():
    top = np.finfo(np.float32).max
    assert bits(agree(Op.REDUCE_MEAN, np.full((1, 3), top, np.float32))) == [0x7F7FFFFF]


def test_reduce_sum_gives_zero_when_it_sums_nothing():
    assert bits(agree(Op.REDUCE_SUM, np.zeros((2, 0), np.float32))) == [0, 0]


def test_reduce_mean_is_outside_when_it_averages_nothing():
    with pytest.raises(Outside, match="axis of size zero"):
        node_of(Op.REDUCE_MEAN, [np.zeros((2, 0), np.float32)])


@pytest.mark.parametrize("dtype", [np.int64, np.int32])
def test_reduce_sum_wraps_when_integers_overflow(dtype):
    info = np.iinfo(dtype)
    x = np.array([[info.max, 1], [info.min, -1]], dtype)
    assert agree(Op.REDUCE_SUM, x).tolist() == [info.min, info.max]


@given(tables)
def test_reduce_max_and_min_agree(x):
    for op, worst, numpy_op in ((Op.REDUCE_MAX, -np.inf, max), (Op.REDUCE_MIN, np.inf, min)):
        out = agree(op, x)
        for row, value in zip(x.tolist(), out.tolist(), strict=True):
            if np.isnan(row).any():
                assert np.isnan(value)
            else:
                assert value == numpy_op(row, default=worst)


def test_reduce_max_of_no_integers_is_the_lowest():
    assert agree(Op.REDUCE_MAX, np.zeros((1, 0), np.int8)).tolist() == [-128]
    assert agree(Op.REDUCE_MIN, np.zeros((1, 0), np.uint8)).tolist() == [255]


@given(filled, st.integers(0, 1))
def test_arg_max_finds_nan_first_and_else_the_largest(x, last):
    for row, found in zip(x.tolist(), agree(Op.ARG_MAX, x, last).tolist(), strict=True):
        keys = [np.inf if np.isnan(v) else v for v in row]
        places = [i for i, v in enumerate(row) if np.isnan(v)] or [
            i for i, key in enumerate(keys) if key == max(keys)
        ]
        assert found == (places[-1] if last else places[0])


@pytest.mark.parametrize(("last", "wanted"), [(0, [1, 0]), (1, [3, 3])])
def test_arg_max_takes_the_end_it_is_told_when_equal(last, wanted):
    x = np.array([[1, 5, 2, 5], [0, 0, 0, 0]], np.int32)
    assert agree(Op.ARG_MAX, x, last).tolist() == wanted


def test_reductions_agree_when_rows_hold_every_kind_of_number():
    x = canonical(np.array([np.roll(nasty(), shift) for shift in range(5)]))
    for op in (Op.REDUCE_SUM, Op.REDUCE_MEAN, Op.REDUCE_MAX, Op.REDUCE_MIN):
        agree(op, x)
        agree(op, x.reshape(-1, 1))


def test_reduce_mean_is_plus_zero_where_a_negative_mean_rounds_to_zero():
    x = floats([0, 0x80000001, 0x80000001, 0]).reshape(2, 2)
    assert bits(agree(Op.REDUCE_MEAN, x)) == [0, 0]


@pytest.mark.parametrize("lanes", [1, 2, 4, 8, 16, 32])
@pytest.mark.parametrize("count", [8, 23, 100])
@pytest.mark.parametrize("sign", [1, -1])
def test_reduce_sum_and_mean_leave_undecided_what_each_addition_may_lose(lanes, count, sign):
    """Wherever the loop adds one term in so many to the same part. Rows of a power of two, by which
    a mean is divided without an error."""
    terms = lossy_terms(count - 3, count - 6, sign)
    length = 2 ** (lanes * count - 1).bit_length()
    for size in (length, lanes * count):
        x = np.zeros((1, size), np.float32)
        x[0, : lanes * count : lanes] = terms
        assert bits(agree(Op.REDUCE_SUM, x)) == [exact_sum(terms)]
        assert bits(agree(Op.REDUCE_MEAN, x)) == [exact_sum(terms, size)]


@pytest.mark.parametrize(("part", "k"), [(1, 4), (3, 16)])
def test_reduce_mean_is_plus_zero_where_half_of_the_way_to_the_first_midpoint_is_not_left(part, k):
    x = np.zeros((1, k), np.float32)
    x[0, 0] = -part * 2.0**-149
    assert bits(agree(Op.REDUCE_MEAN, x)) == [0]


@pytest.mark.parametrize("count", [8, 32, 300])
@pytest.mark.parametrize("sign", [1, -1])
def test_cum_sum_leaves_undecided_what_each_addition_may_lose(count, sign):
    terms = lossy_terms(count, count - 2, sign)
    wanted = [exact_sum(terms[: at + 1]) for at in range(len(terms))]
    assert bits(agree(Op.CUM_SUM, np.array([terms], np.float32))) == wanted


@pytest.mark.long
@settings(max_examples=2000)
@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.integers(1, 126))
def test_reduce_sum_and_mean_agree_with_the_plain_kernels(seed, k, spread):
    x = random_floats(np.random.default_rng(seed), (40, k), spread)
    x[:20, ::2] = -x[:20, 1::2] if k % 2 == 0 else x[:20, ::2]
    agree(Op.REDUCE_SUM, x)
    agree(Op.REDUCE_MEAN, x)


@given(tables, st.integers(0, 9))
def test_top_k_takes_the_first_of_equals_and_nan_before_all(x, count):
    count = min(count, x.shape[1])
    found = agree(Op.TOP_K, x, count)
    for row, places in zip(x.tolist(), found.tolist(), strict=True):
        keys = [(not np.isnan(v), 0.0 if np.isnan(v) else -v) for v in row]
        assert places == sorted(range(len(row)), key=lambda i: (keys[i], i))[:count]


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.int8, np.uint8])
def test_top_k_orders_integers(dtype):
    info = np.iinfo(dtype)
    x = np.array([[0, info.min, info.max, 5, info.max, info.min]], dtype)
    order = [2, 4, 3, 0, 1, 5] if info.min else [2, 4, 3, 0, 1, 5]
    assert agree(Op.TOP_K, x, 6).tolist() == [order]


def test_top_k_is_outside_when_there_are_not_so_many():
    with pytest.raises(Outside, match="top 4 of 3"):
        node_of(Op.TOP_K, [np.zeros((1, 3), np.float32)], [4])


@given(tables)
def test_cum_sum_agrees_with_rationals(x):
    wanted = [exact_sum(row[: at + 1].tolist()) for row in x for at in range(x.shape[1])]
    assert bits(agree(Op.CUM_SUM, x)) == wanted


@pytest.mark.parametrize("spread", [1, 30, 126])
def test_cum_sum_agrees_when_rows_are_long(spread):
    x = random_floats(np.random.default_rng(spread), (3, 300), spread)
    x[0, 150:] = -x[0, :150]
    x[1] = floats([0x3F800001])
    wanted = [exact_sum(row[: at + 1].tolist()) for row in x for at in range(300)]
    assert bits(agree(Op.CUM_SUM, x)) == wanted


def test_cum_sum_wraps_when_integers_overflow():
    x = np.array([[2**31 - 1, 1, -1]], np.int32)
    assert agree(Op.CUM_SUM, x).tolist() == [[2**31 - 1, -(2**31), 2**31 - 1]]
