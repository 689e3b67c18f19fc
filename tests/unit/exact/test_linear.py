"""DOT: fast = plain = rationals, bit for bit."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oracle.exact.primitive import Outside
from oracle.exact.program import Op
from oracle.tensor import Array, canonical
from tests.oracles import bits, exact_dot, fast, floats, nasty, node_of, plain, random_floats, same
from tests.unit.exact.strategies import float_arrays

dims = st.tuples(st.integers(1, 3), st.integers(0, 6), st.integers(1, 3))


def oracle(a: Array, b: Array, bias: Array | None = None) -> list[int]:
    """A [M, K], B [N, K], bias that broadcasts."""
    shape = (len(a), len(b))
    added = np.zeros(shape, np.float32) if bias is None else np.broadcast_to(bias, shape)
    return [
        exact_dot(a[i].tolist(), b[j].tolist(), float(added[i, j]))
        for i in range(shape[0])
        for j in range(shape[1])
    ]


def agree(a: Array, b: Array, bias: Array | None = None) -> bool:
    arrays = [canonical(x) for x in (a, b, bias) if x is not None]
    slow = plain(Op.DOT, arrays)
    quick = [fast(Op.DOT, arrays), fast(Op.DOT, arrays, known=(1, 2))]
    return bits(slow) == oracle(a, b, bias) and all(same(slow, one) for one in quick)


@given(
    dims.flatmap(
        lambda d: st.tuples(
            *(float_arrays(st.just(s)) for s in [(d[0], d[1]), (d[2], d[1]), (d[2],)])
        )
    )
)
def test_dot_agrees_with_rationals_when_anything_may_stand_in_it(arrays):
    assert agree(*arrays)


@pytest.mark.parametrize("k", [1, 2, 3, 17, 400])
def test_dot_agrees_with_rationals_when_numbers_are_ordinary(k):
    rng = np.random.default_rng(k)
    a, b = rng.standard_normal((4, k)), rng.standard_normal((5, k))
    assert agree(a.astype(np.float32), b.astype(np.float32), random_floats(rng, (5,), 3))


def test_dot_agrees_with_rationals_when_the_row_is_as_long_as_a_large_language_models():
    rng = np.random.default_rng(0)
    a, b = random_floats(rng, (1, 14336), 8), random_floats(rng, (3, 14336), 8)
    b[1, 1:] = 0
    b[2, : 14336 // 2] = -b[2, 14336 // 2 :]
    a[0, : 14336 // 2] = a[0, 14336 // 2 :]
    assert agree(a, b, np.array([0, 0, 2**-149], np.float32))


def test_dot_rounds_to_even_when_the_sum_is_a_tie():
    a = floats([0x3F800001, 0x3F800000, 0x3F800000]).reshape(1, 3)  # 1 + 2^-23, 1, 1
    b = np.array([[1, 2**-24, 0], [1, -(2**-24), 0], [1, 2**-24, 2**-60], [1, 2**-24, -(2**-60)]])
    assert agree(a, b.astype(np.float32))
    assert bits(fast(Op.DOT, [a, b.astype(np.float32)])) == [
        0x3F800002,
        0x3F800000,
        0x3F800002,
        0x3F800001,
    ]


@pytest.mark.parametrize("tiny", [2.0**-100, -(2.0**-100), 2.0**-149, -(2.0**-149)])
def test_dot_rounds_once_when_the_sum_is_next_to_a_tie(tiny):
    """The sum in float64 is the tie itself: rounding it again would ignore the tiny term."""
    a = np.array([[1, 1, 1, 1]], np.float32)
    b = np.array([[1 + 2**-23, 2**-24, tiny, 0], [2**24, 1, tiny, 0], [2**25, 2, 2, tiny]])
    assert agree(a, b.astype(np.float32))


def test_dot_gives_plus_zero_when_the_sum_cancels():
    a = np.array([[1e30, 1e-30, -1e30, -1e-30]], np.float32)
    assert agree(a, np.ones((1, 4), np.float32))
    assert bits(fast(Op.DOT, [a, np.ones((1, 4), np.float32)])) == [0]


def test_dot_gives_plus_zero_when_a_negative_sum_underflows():
    a, b = np.array([[-(2.0**-100)]], np.float32), np.array([[2.0**-100]], np.float32)
    assert agree(a, b)
    assert bits(fast(Op.DOT, [a, b])) == [0]


def test_dot_keeps_subnormals():
    rng = np.random.default_rng(4)
    a, b = random_floats(rng, (6, 5), 4), random_floats(rng, (6, 5), 4)
    assert agree(a * np.float32(2.0**-70), b * np.float32(2.0**-70))


def test_dot_overflows_from_the_midpoint_on():
    top, one = np.finfo(np.float32).max, np.ones((1, 1), np.float32)
    half_place = np.float32(2.0**103)
    for term, wanted in ((half_place, 0x7F800000), (half_place * (1 - 2.0**-24), 0x7F7FFFFF)):
        b, bias = np.array([[term], [-term]], np.float32), np.array([top, -top], np.float32)
        assert agree(one, b, bias)
        assert bits(fast(Op.DOT, [one, b, bias])) == [wanted, wanted | 0x80000000]


def test_dot_follows_ieee_when_operands_are_not_finite():
    values = nasty()
    pairs = np.stack(np.meshgrid(values[::3], values[::2]), -1).reshape(-1, 2)
    assert agree(pairs[::7], np.array([[1, 1], [0, 1], [np.inf, 1], [np.nan, 0]], np.float32))


def test_dot_of_no_terms_is_the_bias():
    a, b = np.zeros((2, 0), np.float32), np.zeros((3, 0), np.float32)
    assert agree(a, b)
    assert agree(a, b, np.array([1, -2, np.nan], np.float32))


def test_dot_broadcasts_batches_and_bias():
    rng = np.random.default_rng(5)
    a, b = random_floats(rng, (2, 1, 3, 4), 2), random_floats(rng, (5, 2, 4), 2)
    a[0, 0, 0] = np.inf
    bias = random_floats(rng, (5, 1, 2), 2)
    slow = plain(Op.DOT, [a, b, bias])
    assert slow.shape == (2, 5, 3, 2)
    assert same(slow, fast(Op.DOT, [a, b, bias]))
    for i, j in np.ndindex(2, 5):
        assert bits(slow[i, j]) == oracle(a[i, 0], b[j], bias[j])


@pytest.mark.parametrize("k", [0, 1, 5, 300])
@pytest.mark.parametrize("batch", [(2,), (40,), (2, 3)])
def test_dot_agrees_with_the_plain_kernel_whatever_b_and_bias_share(batch, k):
    """Where B is one matrix, a band has several matrices of A, each of which may have its bias."""
    rng = np.random.default_rng(k)
    rows, columns = 3, 4
    a = random_floats(rng, (*batch, rows, k), 2)
    for b_batch in ((), (1,), batch):
        b = random_floats(rng, (*b_batch, columns, k), 2)
        for kept in product((False, True), repeat=len(batch) + 2):
            dims = zip(kept, (*batch, rows, columns), strict=True)
            bias = random_floats(rng, tuple(size if keeps else 1 for keeps, size in dims), 2)
            slow = plain(Op.DOT, [a, b, bias])
            assert same(slow, fast(Op.DOT, [a, b, bias])), (b.shape, bias.shape)


def test_dot_is_outside_when_inner_dims_differ():
    with pytest.raises(Outside, match="inner dims 2 and 3"):
        node_of(Op.DOT, [np.zeros((1, 2), np.float32), np.zeros((1, 3), np.float32)])


@pytest.mark.long
@settings(max_examples=3000)
@given(st.integers(0, 2**32 - 1), st.integers(1, 300), st.integers(1, 120))
def test_dot_agrees_with_the_plain_kernel_when_sums_cancel(seed, k, spread):
    rng = np.random.default_rng(seed)
    a, b = random_floats(rng, (6, k), spread // 2 + 1), random_floats(rng, (6, k), spread // 2 + 1)
    a[:, ::2] = a[:, :k:2]
    b[:3, 1::2] = -b[:3, : k - k % 2 : 2]
    assert same(plain(Op.DOT, [a, b]), fast(Op.DOT, [a, b]))


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
@pytest.mark.parametrize("bits", [7, 20, 31])
def test_dot_of_integers_wraps(dtype, bits):
    rng = np.random.default_rng(bits)
    a, b, bias = (
        rng.integers(-(2**bits), 2**bits, shape).astype(dtype)
        for shape in ((2, 3, 9), (4, 9), (3, 4))
    )
    width = 8 * a.dtype.itemsize
    exact = a.astype(object) @ b.astype(object).T + bias.astype(object)
    wanted = (exact + 2 ** (width - 1)) % 2**width - 2 ** (width - 1)
    for kernel in (plain, fast):
        assert same(kernel(Op.DOT, [a, b, bias]), wanted.astype(dtype))
