"""The worst place of a run, and of a window; the referee is asked in `tests/parity`."""

from itertools import product

import numpy as np
import pytest

from oracle import merkle
from oracle.exact.patches import Axis
from oracle.exact.primitive import Outside
from oracle.exact.program import Op, OperandKind, Program, ValueType
from oracle.exact.proofs.bounds import bounds, fits, most_taps, opened, run_bound
from oracle.exact.proofs.evidence import ClaimKind, leaves_of
from oracle.exact.proofs.reads import Read
from oracle.types import DType
from tests.parity.programs import made
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


def dot(k: int) -> Program:
    """A product of a value and a constant."""
    arrays = np.ones((3, k), np.float32), np.ones((40, k), np.float32)
    return made(Op.DOT, arrays, [OperandKind.VALUE, OperandKind.CONSTANT], ())[0]


def test_fits_is_what_the_bounds_say_but_for_zeros_in_roots():
    """To a thousandth, since roots have few zeros."""
    program = dot(500)
    found = bounds(program, 1)
    gas, size = max(each.gas for each in found), max(each.size for each in found)
    assert fits(program, 1, gas * 1001 // 1000, size)
    assert not fits(program, 1, gas - 1, size)
    assert not fits(program, 1, gas * 2, size - 1)


def test_fits_hashes_no_constant():
    program = dot(500)
    assert fits(program, 1)
    assert "root" not in vars(program.constants[0]) and "records" not in vars(program)


@pytest.mark.parametrize("k", [500, 3_000])
def test_opened_is_what_a_proof_opens_beside_headers_and_payloads(k):
    program = dot(k)
    size, elements = opened(program, 1)
    assert elements == k
    found = max(each.size for each in bounds(program, 1) if each.kind is ClaimKind.VALUE)
    assert 0 < found - size < 2_500
