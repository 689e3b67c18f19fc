import numpy as np
import pytest

from oracle.inference.comparison import compare, first_difference, first_differences
from oracle.tensor import to_bytes
from oracle.types import DType, TensorType

SCORES = TensorType("scores", DType.FLOAT, (2, 2))
LABEL = TensorType("label", DType.INT64, (1,))
IS_SPAM = TensorType("is_spam", DType.BOOL, (2,))


def payload(*scores: float, label: int = 7) -> bytes:
    return to_bytes(np.array(scores, np.float32)) + label.to_bytes(8, "big", signed=True)


def test_first_difference_is_none_when_every_bit_is_equal() -> None:
    assert first_difference(payload(1, 2, 3, 4), payload(1, 2, 3, 4), (SCORES, LABEL)) is None


def test_first_difference_names_the_element_and_counts_the_rest() -> None:
    found = first_difference(payload(1, 9, 3, 4, label=-1), payload(1, 2, 3, 5), (SCORES, LABEL))

    assert found is not None
    first, count = found
    assert (first.tensor, first.index, count) == ("scores", 1, 3)
    assert (first.claimed, first.recomputed) == ("9.0", "2.0")
    assert (first.claimed_bits, first.recomputed_bits) == ("41100000", "40000000")


def test_first_difference_sees_the_sign_of_a_zero() -> None:
    found = first_difference(
        bytes.fromhex("80000000"), bytes(4), (TensorType("y", DType.FLOAT, ()),)
    )

    assert found is not None and found[0].claimed == "-0.0"


@pytest.mark.parametrize("byte", [2, 255])
def test_compare_shows_a_bool_that_is_none(byte: int) -> None:
    """Or a liar could make the audit fail, instead of failing it."""
    first, second = compare(bytes([byte, 1]), bytes([1, 1]), (IS_SPAM,))

    assert (first.claimed, first.recomputed, first.matches) == (str(byte), "True", False)
    assert second.matches


def test_compare_has_every_element_of_every_tensor_in_order() -> None:
    elements = compare(payload(1, 2, 3, 4), payload(1, 2, 3, 4), (SCORES, LABEL))

    assert [(each.tensor, each.index) for each in elements] == [
        *(("scores", index) for index in range(4)),
        ("label", 0),
    ]
    assert all(each.matches for each in elements)


def test_differences_has_the_first_of_each_tensor() -> None:
    theirs, ours = payload(1, 2, 8, 9, label=1), payload(1, 2, 3, 4, label=1)

    assert first_differences(theirs, ours, (SCORES, LABEL)) == [2, -1]
