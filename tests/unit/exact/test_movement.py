"""Transpose, Concat, Gather: fast = plain = numpy's own indexing."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oracle.exact.primitive import Outside
from oracle.exact.program import Op
from tests.oracles import fast, node_of, plain, same

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
