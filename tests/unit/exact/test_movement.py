"""Transpose, Concat, Gather: fast = plain = numpy's own indexing."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oracle.exact.ops.movement import LARGEST, REPLACE, SMALLEST, SUM
from oracle.exact.primitive import Outside
from oracle.exact.program import Op
from tests.oracles import (
    bits,
    exact_sum,
    fast,
    floats,
    lossy_terms,
    node_of,
    plain,
    random_floats,
    same,
)
from tests.unit.exact.strategies import float_arrays

DTYPES = [np.float32, np.int64, np.int32, np.int8, np.uint8, np.bool_]
shapes = st.lists(st.integers(0, 4), min_size=0, max_size=5).map(tuple)


def filled(shape: tuple[int, ...], dtype: type = np.float32) -> np.ndarray:
    return np.arange(int(np.prod(shape))).reshape(shape).astype(dtype)


@given(shapes.flatmap(lambda s: st.tuples(st.just(s), st.permutations(range(len(s))))))
def test_transpose_moves_axes(case):
    shape, perm = case
    x = filled(shape)
    wanted = np.ascontiguousarray(x.transpose(perm)).reshape(tuple(shape[i] for i in perm))
    for kernel in (plain, fast):
        assert same(kernel(Op.TRANSPOSE, [x], *perm), wanted)


@pytest.mark.parametrize("dtype", DTYPES)
def test_concat_joins_columns(dtype):
    parts = [filled((3, width), dtype) for width in (2, 0, 5)]
    for kernel in (plain, fast):
        assert same(kernel(Op.CONCAT, parts), np.concatenate(parts, 1))


@pytest.mark.parametrize("index_dtype", [np.int64, np.int32])
@pytest.mark.parametrize("dtype", DTYPES)
def test_gather_takes_the_nearest_when_an_index_is_beyond(dtype, index_dtype):
    info = np.iinfo(index_dtype)
    data = filled((2, 3, 4), dtype)
    indices = np.array([0, 2, -1, -3, -4, 3, info.max, info.min, 1], index_dtype)
    wanted = data[:, [0, 2, 2, 0, 0, 2, 2, 0, 1], :]
    for kernel in (plain, fast):
        assert same(kernel(Op.GATHER, [data, indices]), np.ascontiguousarray(wanted))


@pytest.mark.parametrize("shape", [(2, 3, 0), (0, 3, 2), (0, 0, 1)])
def test_gather_gives_nothing_when_there_is_nothing(shape):
    for kernel in (plain, fast):
        out = kernel(Op.GATHER, [np.zeros(shape, np.float32), np.array([1, 0])])
        assert out.shape == (shape[0], 2, shape[2])


def test_gather_is_outside_when_the_axis_is_empty():
    with pytest.raises(Outside, match="axis of size zero"):
        node_of(Op.GATHER, [np.zeros((1, 0, 1), np.float32), np.array([0])])


def test_transpose_is_outside_when_perm_is_no_permutation():
    with pytest.raises(Outside, match="does not permute"):
        node_of(Op.TRANSPOSE, [np.zeros((1, 2), np.float32)], [0, 0])


@pytest.mark.parametrize(
    "indices", [[0], [1, 2], [2, 1, 0], [0, 2, 4], [-1, -3], [1, 1], [9, 9], []]
)
def test_gather_takes_runs_of_constant_indices(indices):
    data = filled((2, 5, 3))
    places = np.array(indices, np.int64)
    wanted = plain(Op.GATHER, [data, places])
    assert same(np.ascontiguousarray(fast(Op.GATHER, [data, places], known=[1])), wanted)


MODES = st.sampled_from([REPLACE, SUM, LARGEST, SMALLEST])


@given(MODES, st.integers(1, 4), st.integers(0, 3), st.data())
def test_scatter_agrees_with_a_loop(mode, n, inner, data):
    m = data.draw(st.integers(0, 6))
    x = data.draw(float_arrays(st.just((n, inner))))
    updates = data.draw(float_arrays(st.just((m, inner))))
    places = np.array(data.draw(st.lists(st.integers(-6, 6), min_size=m, max_size=m)), np.int64)
    slow = plain(Op.SCATTER, [x, places, updates], mode)
    assert same(slow, fast(Op.SCATTER, [x, places, updates], mode))
    for at in range(n):
        hits = [r for r, p in enumerate(places) if min(max(p + n * (p < 0), 0), n - 1) == at]
        for column in range(inner):
            met = [float(x[at, column]), *(float(updates[r, column]) for r in hits)]
            got = bits(slow[at, column : column + 1])[0]
            if mode == REPLACE:
                assert got == bits(np.float32([met[-1]]))[0]
            elif mode == SUM:
                assert got == exact_sum(met)
            elif not np.isnan(met).any():
                assert floats([got])[0] == (max(met) if mode == LARGEST else min(met))
            else:
                assert np.isnan(floats([got])[0])


def test_scatter_sums_as_the_law_says_when_sums_cancel():
    rng = np.random.default_rng(0)
    x = np.zeros((4, 50), np.float32)
    updates = random_floats(rng, (60, 50), 60)
    updates[30:] = -updates[:30]
    places = np.tile(np.arange(30) % 4, 2)
    slow = plain(Op.SCATTER, [x, places, updates], SUM)
    assert same(slow, fast(Op.SCATTER, [x, places, updates], SUM))
    assert not slow.any()


@pytest.mark.parametrize("count", [10, 50, 300])
@pytest.mark.parametrize("sign", [1, -1])
def test_scatter_leaves_undecided_what_each_addition_may_lose(count, sign):
    terms = np.array(lossy_terms(count, count - 2, sign), np.float32).reshape(-1, 1)
    arrays = [terms[:1], np.zeros(len(terms) - 1, np.int64), terms[1:]]
    wanted = [exact_sum(terms[:, 0].tolist())]
    assert bits(plain(Op.SCATTER, arrays, SUM)) == bits(fast(Op.SCATTER, arrays, SUM)) == wanted


@pytest.mark.parametrize("mode", [REPLACE, SUM, LARGEST, SMALLEST])
@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.int8, np.uint8])
def test_scatter_agrees_on_integers(dtype, mode):
    info = np.iinfo(dtype)
    x = np.array([[info.min], [info.max], [7]], dtype)
    updates = np.array([[info.max], [1], [3], [5]], dtype)
    places = np.array([0, 1, 1, -1], np.int32)
    assert same(
        plain(Op.SCATTER, [x, places, updates], mode), fast(Op.SCATTER, [x, places, updates], mode)
    )


def test_scatter_is_outside_when_shapes_do_not_fit():
    with pytest.raises(Outside, match="indices into"):
        node_of(
            Op.SCATTER,
            [np.zeros((2, 1)).astype(np.float32), np.array([0]), np.zeros((2, 1), np.float32)],
            [0],
        )
    with pytest.raises(Outside, match="axis of size zero"):
        node_of(
            Op.SCATTER,
            [np.zeros((0, 1), np.float32), np.array([0]), np.zeros((1, 1), np.float32)],
            [0],
        )


@pytest.mark.parametrize("dtype", [np.float32, np.uint8, np.int32, np.int64, np.bool_])
@pytest.mark.parametrize(
    ("shape", "perm"),
    [
        ((130, 129), (1, 0)),
        ((1, 33, 1, 2, 260), (0, 4, 2, 1, 3)),
        ((3, 128, 50), (0, 2, 1)),
        ((17, 16, 61), (1, 2, 0)),
        ((17, 16, 61), (2, 0, 1)),
        ((17, 16, 61), (2, 1, 0)),
        ((2, 3, 64, 50), (1, 0, 3, 2)),
    ],
)
def test_transpose_agrees_when_it_is_large(shape, perm, dtype):
    x = np.random.default_rng(0).integers(0, 100, shape).astype(dtype)
    assert same(fast(Op.TRANSPOSE, [x], *perm), np.ascontiguousarray(x.transpose(perm)))
    apart = np.repeat(x, 2, axis=-1)[..., ::2]
    assert same(fast(Op.TRANSPOSE, [apart], *perm), np.ascontiguousarray(x.transpose(perm)))
