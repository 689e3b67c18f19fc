"""CONV, MAX_POOL, AVERAGE_POOL: fast = plain = rationals, bit for bit."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oracle.exact import bands
from oracle.exact.primitive import Outside
from oracle.exact.program import Op
from oracle.tensor import Array, canonical
from tests.oracles import (
    bits,
    exact_dot,
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

CONV_AXES = [
    # kernel, stride, dilation, begin, end, spacing
    (1, 1, 1, 0, 0, 1),
    (3, 1, 1, 1, 1, 1),
    (3, 2, 1, 0, 2, 1),
    (2, 3, 2, 1, 0, 1),
    (3, 1, 1, 2, 2, 2),
    (2, 2, 1, -1, 2, 3),
    (2, 1, 3, 4, -1, 2),
    (1, 2, 1, 3, 3, 1),
]
POOL_AXES = [
    # kernel, stride, dilation, begin, end, overhang
    (1, 1, 1, 0, 0, 0),
    (2, 2, 1, 0, 0, 1),
    (3, 1, 1, 1, 1, 0),
    (2, 1, 2, 1, 0, 0),
    (3, 2, 1, 2, 2, 1),
    (1, 1, 1, 1, 0, 0),
]


def windows(x: Array, axes, spacing: bool):
    """For each window of each image, in order, its (tap, element) pairs and how many taps stand on
    elements or padding. From the definition: every tap is looked for among all elements."""
    n, *sizes, _ = x.shape
    every = []
    for (kernel, stride, dilation, begin, end, last), size in zip(axes, sizes, strict=True):
        apart, over = (last, 0) if spacing else (1, last)
        places = {element * apart: element for element in range(size)}
        stop = (size - 1) * apart + 1 + end
        along = []
        first = -begin
        while first + (kernel - 1) * dilation < stop + over:
            spots = [first + tap * dilation for tap in range(kernel)]
            taps = [(tap, places[spot]) for tap, spot in enumerate(spots) if spot in places]
            along.append((taps, sum(spot < stop for spot in spots)))
            first += stride
        every.append(along)
    for image in range(n):
        for window in product(*every):
            pairs = [
                (tuple(tap for tap, _ in pick), (image, *(element for _, element in pick)))
                for pick in product(*(taps for taps, _ in window))
            ]
            yield pairs, int(np.prod([count for _, count in window]))


def conv_oracle(x: Array, w: Array, bias: Array, group: int, axes) -> list[int]:
    outputs, channels = w.shape[0], w.shape[-1]
    out = []
    for pairs, _ in windows(x, axes, True):
        for o in range(outputs):
            mine = o // (outputs // group) * channels
            left = [x[at][mine : mine + channels] for _, at in pairs]
            right = [w[(o, *tap)] for tap, _ in pairs]
            out.append(
                exact_dot(
                    np.concatenate([[], *left]).tolist(),
                    np.concatenate([[], *right]).tolist(),
                    float(bias[o]),
                )
            )
    return out


def agree_on_conv(x: Array, w: Array, bias: Array, group: int, axes) -> Array:
    arrays, attributes = [x, w, bias], [group, *sum(axes, ())]
    slow = plain(Op.CONV, arrays, *attributes)
    assert bits(slow) == conv_oracle(x, w, bias, group, axes)
    assert same(slow, fast(Op.CONV, arrays, *attributes))
    assert same(slow, fast(Op.CONV, arrays, *attributes, known=(1, 2)))
    no_bias = plain(Op.CONV, arrays[:2], *attributes)
    assert same(no_bias, fast(Op.CONV, arrays[:2], *attributes))
    return slow


def agree_on_pool(op: Op, x: Array, counted: int, axes) -> Array:
    slow = plain(op, [x], counted, *sum(axes, ()))
    assert same(slow, fast(op, [x], counted, *sum(axes, ())))
    wanted = []
    for pairs, count in windows(x, axes, False):
        for c in range(x.shape[-1]):
            values = [float(x[at][c]) for _, at in pairs]
            if op is Op.AVERAGE_POOL:
                divisor = count if counted else len(values)
                wanted.append(exact_sum(values, divisor) if divisor else 0x7FC00000)
            else:
                worst = np.array([*values, -np.inf]).max()
                wanted.append(bits(canonical(np.array([worst], np.float32)))[0])
    assert bits(slow) == wanted
    return slow


@pytest.fixture(params=[1, 1 << 16])
def _step(request, monkeypatch):
    monkeypatch.setattr(bands, "_BAND", request.param)


@pytest.mark.parametrize("axis", CONV_AXES)
@pytest.mark.parametrize(
    ("group", "channels", "outputs"), [(1, 3, 2), (2, 2, 4), (3, 1, 6), (3, 1, 3)]
)
@pytest.mark.usefixtures("_step")
def test_conv_agrees_with_rationals_in_one_dimension(axis, group, channels, outputs):
    rng = np.random.default_rng(1)
    x = random_floats(rng, (2, 9, group * channels), 3)
    w = random_floats(rng, (outputs, axis[0], channels), 3)
    agree_on_conv(x, w, random_floats(rng, (outputs,), 3), group, [axis])


@pytest.mark.parametrize("across", CONV_AXES)
@pytest.mark.parametrize("down", CONV_AXES[1::2])
@pytest.mark.parametrize(("group", "channels", "outputs"), [(1, 2, 2), (2, 1, 2)])
@pytest.mark.usefixtures("_step")
def test_conv_agrees_with_rationals_in_two_dimensions(down, across, group, channels, outputs):
    rng = np.random.default_rng(2)
    x = random_floats(rng, (1, 6, 7, group * channels), 3)
    w = random_floats(rng, (outputs, down[0], across[0], channels), 3)
    agree_on_conv(x, w, random_floats(rng, (outputs,), 3), group, [down, across])


@pytest.mark.parametrize(("group", "channels"), [(1, 2), (2, 1)])
def test_conv_agrees_with_rationals_in_three_dimensions(group, channels):
    rng = np.random.default_rng(3)
    x, w = random_floats(rng, (1, 3, 4, 3, 2), 3), random_floats(rng, (2, 2, 2, 2, channels), 3)
    axes = [(2, 1, 1, 1, 0, 1), (2, 2, 1, 0, 0, 1), (2, 1, 1, 0, 1, 1)]
    agree_on_conv(x, w, random_floats(rng, (2,), 3), group, axes)


@pytest.mark.parametrize(("group", "channels"), [(1, 2), (2, 1)])
@given(
    st.tuples(
        float_arrays(st.just((1, 4, 2))),
        float_arrays(st.just((2, 3, 2))),
        float_arrays(st.just((2,))),
    )
)
def test_conv_agrees_with_rationals_when_anything_may_stand_in_it(group, channels, arrays):
    x, w, bias = arrays
    w = np.ascontiguousarray(w[..., :channels])
    agree_on_conv(x, w, bias, group, [(3, 1, 1, 1, 1, 1)])


@pytest.mark.parametrize(("group", "channels"), [(1, 3), (3, 1)])
def test_conv_gives_padding_no_terms(group, channels):
    """An infinite weight on padding is not ∞·0."""
    x = np.ones((1, 2, 3), np.float32)
    w = np.full((3, 3, channels), np.inf, np.float32)
    out = agree_on_conv(x, w, np.zeros(3, np.float32), group, [(3, 1, 1, 1, 1, 1)])
    assert (out == np.inf).all()


@pytest.mark.parametrize(("group", "channels"), [(1, 4), (4, 1)])
def test_conv_decides_the_rest_when_one_element_is_huge(group, channels):
    rng = np.random.default_rng(4)
    x, w = random_floats(rng, (1, 12, 4), 2), random_floats(rng, (4, 3, channels), 2)
    x[0, 3], x[0, 9, 1], x[0, 6, 2] = 1e38, np.nan, np.inf
    agree_on_conv(x, w, random_floats(rng, (4,), 2), group, [(3, 1, 1, 1, 1, 1)])


@pytest.mark.parametrize(("group", "channels"), [(1, 4), (4, 1)])
def test_conv_rounds_to_even_when_sums_are_ties_or_next_to_one(group, channels):
    x = np.tile(np.array([1 + 2**-23, 2**-24, 2**-100, -(2**-100), 1], np.float32), 3)
    x = np.ascontiguousarray(np.broadcast_to(x[None, :, None], (1, 15, 4)))
    w = np.ones((4, 3, channels), np.float32)
    w[..., 1:] = 0
    out = agree_on_conv(x, w, np.zeros(4, np.float32), group, [(3, 1, 1, 1, 1, 1)])
    assert 0x3F800002 in bits(out)


@pytest.mark.parametrize("taps", [10, 50, 300])
@pytest.mark.parametrize("sign", [1, -1])
def test_conv_leaves_undecided_what_each_addition_of_a_channel_may_lose(taps, sign):
    terms = lossy_terms(taps, taps - 2, sign)
    x = np.array([terms, terms, terms], np.float32).T[None]
    w = np.ones((3, len(terms), 1), np.float32)
    agree_on_conv(x, w, np.zeros(3, np.float32), 3, [(len(terms), 1, 1, 0, 0, 1)])


def test_conv_leaves_undecided_what_the_addition_of_a_channels_bias_loses():
    x = np.array([[[2.0**-24] * 2, [2.0**-60] * 2]], np.float32)
    w = np.array([[[1], [1]], [[1], [-1]]], np.float32)
    agree_on_conv(x, w, np.ones(2, np.float32), 2, [(2, 1, 1, 0, 0, 1)])


@pytest.mark.parametrize("value", [2.0**-151, 3 * 2.0**-153])
def test_conv_is_plus_zero_where_half_of_the_way_to_the_first_midpoint_is_not_left(value):
    x, w = np.full((1, 1, 2), -value * 2.0**20, np.float32), np.full((2, 1, 1), 2.0**-20)
    agree_on_conv(x, w.astype(np.float32), np.zeros(2, np.float32), 2, [(1, 1, 1, 0, 0, 1)])


@pytest.mark.parametrize("taps", [10, 64, 400])
@pytest.mark.parametrize("sign", [1, -1])
def test_average_pool_leaves_undecided_what_each_addition_may_lose(taps, sign):
    """Padded to a power of two, by which a mean is divided without an error."""
    terms = lossy_terms(taps, taps - 2, sign)
    terms += [0.0] * (2 ** (len(terms) - 1).bit_length() - len(terms))
    x = np.array(terms, np.float32).reshape(1, -1, 1)
    agree_on_pool(Op.AVERAGE_POOL, x, 0, [(len(terms), 1, 1, 0, 0, 0)])


@pytest.mark.parametrize("shape", [(1, 40, 40, 3), (3, 9, 17, 16)])
@pytest.mark.parametrize("group", [1, "depthwise"])
@pytest.mark.parametrize("stride", [1, 2])
def test_conv_agrees_with_the_plain_kernel_when_images_are_real(shape, group, stride):
    rng = np.random.default_rng(5)
    x = rng.standard_normal(shape).astype(np.float32)
    groups, channels = (1, shape[-1]) if group == 1 else (shape[-1], 1)
    w = rng.standard_normal((shape[-1], 3, 3, channels)).astype(np.float32)
    attributes = [groups, *(3, stride, 1, 1, 1, 1) * 2]
    small = (slice(None), slice(0, 6), slice(0, 6))
    quick = fast(Op.CONV, [x, w], *attributes)
    slow = plain(Op.CONV, [np.ascontiguousarray(x[small]), w], *attributes)
    inner = (slice(None), *[slice(0, 2)] * 2)  # which do not see the cut
    assert same(canonical(quick[inner].copy()), slow[inner].copy())


SAME = (3, 1, 1, 1, 1, 1) * 2


@pytest.mark.parametrize("group", [1, 2, 4])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("share", [0.1, 1])
def test_convolution_decides_nan_and_infinities(group, value, share):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1, 7, 9, 4)).astype(np.float32)
    x[rng.random(x.shape) < share] = value
    w = rng.standard_normal((4, 3, 3, 4 // group)).astype(np.float32)
    bias = rng.standard_normal(4).astype(np.float32)
    assert same(
        fast(Op.CONV, [x, w, bias], group, *SAME, known=(1, 2)),
        plain(Op.CONV, [x, w, bias], group, *SAME),
    )


@pytest.mark.parametrize("group", [1, 4])
def test_convolution_takes_no_weight_on_padding_where_it_is_infinite(group):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1, 4, 4, 4)).astype(np.float32)
    w = rng.standard_normal((4, 3, 3, 4 // group)).astype(np.float32)
    w[:, 0, 0] = np.inf
    operands = [x, w]
    out = fast(Op.CONV, operands, group, *SAME, known=(1,))
    assert same(out, plain(Op.CONV, operands, group, *SAME))
    assert np.isfinite(out[0, 0, 0]).all()


def test_conv_is_as_plain_in_a_long_contraction():
    rng = np.random.default_rng(6)
    x, w = rng.standard_normal((1, 3, 3, 512)), rng.standard_normal((2, 3, 3, 512))
    x[0, :2], w[1, 1:] = x[0, 1:], -w[1, :2]
    arrays = [x.astype(np.float32), w.astype(np.float32)]
    attributes = [1, *(3, 1, 1, 1, 1, 1) * 2]
    assert same(plain(Op.CONV, arrays, *attributes), fast(Op.CONV, arrays, *attributes))


@pytest.mark.parametrize(
    ("shapes", "attributes", "why"),
    [
        ([(1, 4, 3), (2, 3, 2)], [1, 3, 1, 1, 0, 0, 1], "do not make 1 groups"),
        ([(1, 4, 3), (2, 3, 3)], [1, 2, 1, 1, 0, 0, 1], "do not fit an image"),
        ([(1, 2, 3), (2, 3, 3)], [1, 3, 1, 1, 0, 0, 1], "does not fit into 2"),
        ([(1, 4, 3), (2, 3, 3)], [1, 3, 0, 1, 0, 0, 1], "below 1"),
        ([(1, 4, 3), (2, 3, 3), (3,)], [1, 3, 1, 1, 0, 0, 1], "a bias"),
        ([(1, 4, 3), (2, 1, 3)], [1, 1, 1, 1, 1 << 30, 0, 1], "with its padding"),
        # Numbers that mean nothing, and that the referee does not read.
        ([(1, 4, 3), (2, 1, 3)], [1, 1, 1, 1 << 31, 0, 0, 1], "beyond 32 bits"),
        ([(1, 1, 3), (2, 1, 3)], [1, 1, 1 << 31, 1, 0, 0, 1], "beyond 32 bits"),
        ([(1, 1, 3), (2, 1, 3)], [1, 1, 1, 1, -(1 << 31) - 1, 1 << 32, 1], "beyond 32 bits"),
    ],
)
def test_conv_is_outside_when_shapes_do_not_fit(shapes, attributes, why):
    with pytest.raises(Outside, match=why):
        node_of(Op.CONV, [np.zeros(shape, np.float32) for shape in shapes], attributes)


@pytest.mark.parametrize("op", [Op.MAX_POOL, Op.AVERAGE_POOL])
@pytest.mark.parametrize("axis", POOL_AXES)
@pytest.mark.parametrize("counted", [0, 1])
def test_pools_agree_with_rationals(op, axis, counted):
    rng = np.random.default_rng(7)
    agree_on_pool(op, random_floats(rng, (2, 7, 3), 2), counted, [axis])
    agree_on_pool(op, random_floats(rng, (1, 5, 6, 2), 2), counted, [axis, POOL_AXES[4]])


@pytest.mark.parametrize("op", [Op.MAX_POOL, Op.AVERAGE_POOL])
@given(float_arrays(st.just((1, 6, 2))))
def test_pools_agree_with_rationals_when_anything_may_stand_in_them(op, x):
    agree_on_pool(op, x, 0, [(3, 2, 1, 1, 1, 0)])


@pytest.mark.parametrize("op", [Op.MAX_POOL, Op.AVERAGE_POOL])
def test_pools_agree_with_rationals_when_numbers_are_nasty(op):
    agree_on_pool(op, nasty().reshape(1, -1, 1), 0, [(3, 1, 1, 1, 1, 0)])


def test_average_pool_is_plus_zero_where_a_negative_mean_rounds_to_zero():
    x = floats([0, 0x80000001, 0, 0x80000001]).reshape(1, 4, 1)
    found = fast(Op.AVERAGE_POOL, [x], 0, 2, 2, 1, 0, 0, 0)
    assert bits(found) == bits(plain(Op.AVERAGE_POOL, [x], 0, 2, 2, 1, 0, 0, 0)) == [0, 0]


@pytest.mark.parametrize("end", [-1, -2, -3])
def test_average_pool_agrees_when_windows_count_fewer_taps_than_stand_or_none(end):
    x = random_floats(np.random.default_rng(8), (2, 6, 5), 3)
    for overhang in (0, 1, 3):
        attributes = [1, 3, 1, 1, 0, end, overhang]
        slow = plain(Op.AVERAGE_POOL, [x], *attributes)
        assert same(slow, fast(Op.AVERAGE_POOL, [x], *attributes))


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int64])
def test_max_pool_takes_integers(dtype):
    x = np.arange(-8, 8).astype(dtype).reshape(1, 8, 2)
    slow = plain(Op.MAX_POOL, [x], 0, 3, 2, 1, 1, 1, 0)
    assert same(slow, fast(Op.MAX_POOL, [x], 0, 3, 2, 1, 1, 1, 0))
    assert slow[0, 1].tolist() == np.maximum.reduce(x[0, 1:4]).tolist()
