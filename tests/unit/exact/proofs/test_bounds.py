"""The worst place of a run, and of a window; the referee is asked in `tests/parity`."""

from itertools import product

import pytest

from oracle import merkle
from oracle.exact.patches import Axis
from oracle.exact.primitive import Outside
from oracle.exact.program import ValueType
from oracle.exact.proofs.bounds import most_taps, run_bound
from oracle.exact.proofs.evidence import leaves_of
from oracle.exact.proofs.reads import Read
from oracle.types import DType
from tests.parity.worst import siblings


@pytest.mark.parametrize("kernel", [1, 2, 3, 7])
def test_most_taps_are_those_of_the_window_that_has_most(kernel):
    numbers = product((1, 2, 3, 5), (1, 2, 4), (-2, 0, 3), (-1, 0, 5), (1, 2, 4, 6), (1, 4, 9))
    for stride, dilation, begin, end, spacing, size in numbers:
        axis = Axis(kernel, stride, dilation, begin, end, spacing)
        try:
            windows = axis.windows(size)
        except Outside:
            continue
        most = max(len(axis.taps(window, size)) for window in range(windows))
        assert most_taps(axis, size, windows) == most, (axis, size)


def test_most_taps_takes_no_longer_for_a_kernel_that_is_larger():
    """It is asked about models that nobody has run yet."""
    assert most_taps(Axis(1 << 30, 1, 1, 1 << 30, 1 << 30), 1000, 1 << 26) == 1000


@pytest.mark.parametrize("dtype", [DType.FLOAT, DType.INT8, DType.INT64])
@pytest.mark.parametrize("k", [1, 2, 3, 16, 31, 32, 33, 64, 96, 128, 500])
def test_run_bound_holds_for_every_row_and_is_near_for_one(dtype, k):
    for rows in (1, 2, 3, 5, 16, 17, 64, 100):
        type_ = ValueType(dtype, (rows, k))
        words = []
        for row in range(rows):
            first, leaves = leaves_of(type_, Read(0, row * k, k))
            words.append(4 * leaves + siblings(type_, first, leaves))
        leaves, beside = run_bound(type_, k, k, k)
        assert leaves <= merkle.leaf_count(type_.nbytes)
        assert max(words) <= 4 * leaves + beside <= 1.15 * max(words) + 4, rows
