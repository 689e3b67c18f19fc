"""QUANTIZE and exact products of integers: fast = plain = rationals."""

from fractions import Fraction
from math import isinf, isnan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oracle.exact.integers import integer_product
from oracle.exact.primitive import Outside
from oracle.exact.program import Op
from oracle.tensor import Array
from tests.oracles import binary, fast, floats, nasty, node_of, plain, same
from tests.unit.exact.strategies import vectors

ZEROS = [np.int8(0), np.int8(-128), np.int8(127), np.uint8(0), np.uint8(255), np.uint8(128)]


def wanted(x: float, scale: float, zero: Array) -> int:
    info = np.iinfo(zero.dtype)
    q = float(floats([binary(Op.DIV)(x, scale)])[0])
    if isnan(q):
        return int(zero)
    if isinf(q):
        return info.min if q < 0 else info.max
    return min(max(round(Fraction(q)) + int(zero), info.min), info.max)


@pytest.mark.parametrize("zero", ZEROS)
@given(vectors(), vectors(1))
def test_quantize_agrees_with_rationals(zero, x, scale):
    x = np.concatenate([x, np.arange(-6, 7, dtype=np.float32) / 2])
    scale = scale if scale.size else np.float32([1])
    expected = np.array([wanted(v, float(scale[0]), zero) for v in x.tolist()], zero.dtype)
    for kernel in (plain, fast):
        assert same(kernel(Op.QUANTIZE, [x, scale, np.array(zero)]), expected)


def test_quantize_agrees_on_every_pair_of_nasty_numbers():
    x, zero = nasty(), np.array(7, np.int8)
    out = plain(Op.QUANTIZE, [x[:, None], x, zero])
    assert same(out, fast(Op.QUANTIZE, [x[:, None], x, zero]))
    assert out.tolist() == [[wanted(a, b, zero) for b in x.tolist()] for a in x.tolist()]


def test_quantize_is_outside_when_its_zero_point_is_wide():
    with pytest.raises(Outside, match="dtype int32"):
        node_of(Op.QUANTIZE, [np.zeros(1, np.float32)] * 2 + [np.zeros(1, np.int32)])


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
@given(st.integers(0, 2**32 - 1), st.sampled_from([7, 12, 20, 31]), st.integers(0, 40))
def test_integer_product_wraps(dtype, seed, bits, k):
    rng = np.random.default_rng(seed)
    a = rng.integers(-(2**bits), 2**bits, (3, k)).astype(dtype)
    b = rng.integers(-(2**bits), 2**bits, (2, k)).astype(dtype)
    exact = a.astype(object) @ b.astype(object).T if k else np.zeros((3, 2), object)
    width = 8 * a.dtype.itemsize
    wrapped = [
        [(int(v) + 2 ** (width - 1)) % 2**width - 2 ** (width - 1) for v in r] for r in exact
    ]
    wanted = np.array(wrapped, dtype).reshape(3, 2)
    assert same(integer_product(None)(a, b), wanted)
    assert same(integer_product(b)(a, b), wanted)


@pytest.mark.parametrize("bits", [7, 12, 31])
@pytest.mark.parametrize(("group", "channels", "outputs"), [(1, 3, 4), (2, 4, 6), (4, 4, 4)])
def test_convolution_of_integers_wraps(bits, group, channels, outputs):
    rng = np.random.default_rng(bits)
    x, w, bias = (
        rng.integers(-(2**bits), 2**bits, shape).astype(np.int32)
        for shape in ((2, 5, 6, channels), (outputs, 3, 2, channels // group), (outputs,))
    )
    attributes = [group, 3, 2, 1, 1, 0, 1, 2, 1, 2, 0, 1, 1]
    for arrays in ([x, w], [x, w, bias]):
        wanted = plain(Op.CONV, arrays, *attributes)
        assert same(wanted, fast(Op.CONV, arrays, *attributes))
        assert same(wanted, fast(Op.CONV, arrays, *attributes, known=(1,)))
