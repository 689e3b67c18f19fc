"""The worst place of a run, and of a window; the referee is asked in `tests/parity`."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from oracle import merkle
from oracle.exact.patches import Axis
from oracle.exact.primitive import Outside
from oracle.exact.program import Op, Operand, OperandKind, Program, ValueType
from oracle.exact.proofs.bounds import Place, bounds, fits, most_taps, opened, run_bound
from oracle.exact.proofs.evidence import ClaimKind
from oracle.types import DType, TensorType
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
            first, leaves = merkle.span(row * k * dtype.itemsize, k * dtype.itemsize)
            words.append(4 * leaves + siblings(type_.nbytes, first, leaves))
        leaves, beside = run_bound(type_, k, k, k)
        assert leaves <= merkle.leaf_count(type_.nbytes)
        assert max(words) <= 4 * leaves + beside <= 1.15 * max(words) + 4, rows


@pytest.mark.parametrize("dtype", [DType.FLOAT, DType.INT8, DType.INT64])
@pytest.mark.parametrize("offset", [1, 4, 12, 128, 132, 250, 5_000])
def test_run_bound_holds_for_every_row_amid_others_and_is_near_for_one(dtype, offset):
    for k, rows, behind in product((1, 3, 16, 33, 500), (1, 2, 17), (0, 1, 90_000)):
        type_ = ValueType(dtype, (rows, k))
        place = Place(offset + type_.nbytes + behind, offset)
        words = []
        for row in range(rows):
            begin = offset + row * k * dtype.itemsize
            first, leaves = merkle.span(begin, k * dtype.itemsize)
            words.append(4 * leaves + siblings(place.size, first, leaves))
        leaves, beside = run_bound(type_, k, k, k, place)
        assert max(words) <= 4 * leaves + beside <= 1.5 * max(words) + 16, (k, rows, behind)


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


def test_opened_is_the_same_whatever_else_a_model_takes():
    """So that its panels are."""
    program, _ = made(Op.DOT, [np.ones((3, 500), np.float32)] * 2, [OperandKind.INPUT] * 2, ())
    other = TensorType("o", DType.UINT8, (90_001,))
    inputs = (other, *program.signature.inputs)
    node = program.nodes[0]
    operands = tuple(replace(each, index=each.index + 1) for each in node.operands)
    signature = replace(program.signature, inputs=inputs)
    moved = replace(program, signature=signature, nodes=(replace(node, operands=operands),))
    assert opened(program, 0) == opened(moved, 0)
    assert bounds(program, 0)[0].size < bounds(moved, 0)[0].size


def test_the_bound_of_an_output_is_that_of_the_dearest_place_where_it_stands():
    """A node's value may be several outputs. Numbers of the first copy lie across leaves."""
    program = dot(500)
    byte = TensorType("b", DType.UINT8, (1,))
    written, value = program.outputs[0], program.signature.outputs[0]
    small = replace(program.nodes[0], output=ValueType(DType.UINT8, (1,)))
    padded = replace(value, name="p", dtype=DType.UINT8, shape=(127,))
    other = replace(small, output=ValueType(DType.UINT8, (127,)))
    nodes = (*program.nodes, small, other)
    outputs = (
        Operand(OperandKind.VALUE, 2, small.output),
        written,
        Operand(OperandKind.VALUE, 3, other.output),
        written,
    )
    types = (byte, value, padded, replace(value, name="again"))
    both = replace(program, nodes=nodes, outputs=outputs)
    both = replace(both, signature=replace(program.signature, outputs=types))
    [_, found] = bounds(both, 1)
    _, aligned = bounds(program, 1)
    assert (found.kind, found.leaves) == (ClaimKind.OUTPUT, aligned.leaves + 1)


@pytest.mark.parametrize("k", [500, 3_000])
def test_opened_is_what_a_proof_opens_beside_headers_and_payloads(k):
    program = dot(k)
    size, elements = opened(program, 1)
    assert elements == k
    found = max(each.size for each in bounds(program, 1) if each.kind is ClaimKind.VALUE)
    assert 0 < found - size < 2_500
