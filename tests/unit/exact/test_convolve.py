"""Convolutions leave nothing open but what is hard: NaN and infinities are not."""

import numpy as np
import pytest

from oracle.exact.convolve import convolution
from oracle.exact.patches import Axis, padded
from oracle.exact.program import Op
from tests.oracles import fast, plain, same

AXES = (Axis(3, 1, 1, 1, 1), Axis(3, 1, 1, 1, 1))
WINDOWS = (3, 1, 1, 1, 1, 1) * 2
RNG = np.random.default_rng(0)


@pytest.mark.parametrize("group", [1, 2, 4])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("share", [0.1, 1])
def test_convolution_decides_nan_and_infinities(group, value, share):
    x = RNG.standard_normal((1, 7, 9, 4)).astype(np.float32)
    x[RNG.random(x.shape) < share] = value
    w = RNG.standard_normal((4, 3, 3, 4 // group)).astype(np.float32)
    bias = RNG.standard_normal(4).astype(np.float32)
    assert same(
        fast(Op.CONV, [x, w, bias], group, *WINDOWS, known=(1, 2)),
        law := plain(Op.CONV, [x, w, bias], group, *WINDOWS),
    )
    out = np.empty(law.shape, np.float32)
    image = padded(x.astype(np.float64), AXES, law.shape[1:-1], 0)
    with np.errstate(all="ignore"):
        left = convolution(group, AXES, law.shape, w)(image, bias.astype(np.float64), out)
    assert np.isfinite(law.reshape(-1)[left]).all()


@pytest.mark.parametrize("group", [1, 4])
def test_convolution_takes_no_weight_on_padding_where_it_is_infinite(group):
    x = RNG.standard_normal((1, 4, 4, 4)).astype(np.float32)
    w = RNG.standard_normal((4, 3, 3, 4 // group)).astype(np.float32)
    w[:, 0, 0] = np.inf
    operands = [x, w]
    out = fast(Op.CONV, operands, group, *WINDOWS, known=(1,))
    assert same(out, plain(Op.CONV, operands, group, *WINDOWS))
    assert np.isfinite(out[0, 0, 0]).all()
