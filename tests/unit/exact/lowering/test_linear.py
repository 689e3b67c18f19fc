"""Det: against rational numbers and onnxruntime."""

from fractions import Fraction
from itertools import permutations
from math import prod

import numpy as np
import pytest

from oracle.exact.lowering.graph import lower
from oracle.exact.run import run
from oracle.tensor import Array
from tests.unit.exact.agreement import check, model, numbers, refusal


def signed(order: tuple[int, ...]) -> int:
    pairs = [(i, j) for i in range(len(order)) for j in range(i)]
    return (-1) ** sum(order[i] < order[j] for i, j in pairs)


def determinant(matrix: Array) -> Fraction:
    rows = [[Fraction(float(each)) for each in row] for row in matrix]
    orders = permutations(range(len(rows)))
    return sum(
        (
            Fraction(signed(order)) * prod(rows[i][at] for i, at in enumerate(order))
            for order in orders
        ),
        Fraction(),
    )


def det(x: Array) -> Array:
    (out,) = run(lower(model("Det", {"x": x})), [x])
    return out


@pytest.mark.parametrize("shape", [(1, 1), (2, 2), (3, 3), (2, 4, 4), (2, 1, 5, 5), (8, 8)])
def test_det_agrees(shape):
    check("Det", {"x": numbers(*shape)})


def test_det_of_small_integers_is_exact():
    x = np.random.default_rng(1).integers(-9, 9, (4, 5, 5)).astype(np.float32)
    assert det(x).tolist() == [determinant(each) for each in x]


def test_det_of_two_rows_is_rounded_once():
    x = numbers(50, 2, 2) * np.float32(1 + 2**-20)
    x[:, 1, 1] = x[:, 0, 1] * x[:, 1, 0] / x[:, 0, 0]
    assert det(x).tolist() == [np.float32(float(determinant(each))) for each in x]


def test_det_of_a_matrix_whose_first_element_is_zero_needs_no_pivot():
    assert det(np.array([[0, 1], [1, 0]], np.float32)) == -1


def test_det_of_what_is_no_square_or_too_large_is_refused():
    assert "square" in refusal("Det", {"x": numbers(2, 3)})
    assert "8 rows or fewer" in refusal("Det", {"x": numbers(9, 9)})
    assert "square" in refusal("Det", {"x": numbers(4)})
