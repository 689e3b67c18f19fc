"""How values look."""

import json

import pytest

from oracle.cli import show
from oracle.types import Assurance, DType, TensorType


@pytest.mark.parametrize(
    ("wei", "text"),
    [
        (0, "0 wei"),
        (1, "1 wei"),
        (20 * 10**9, "20 gwei"),
        (10**15, "0.001 ether"),
        (10**18, "1 ether"),
        (1234 * 10**18, "1234 ether"),
        (10**18 + 1, "1.000000000000000001 ether"),
    ],
)
def test_ether_shows_every_wei_in_the_unit_that_reads_best(wei: int, text: str) -> None:
    assert show.ether(wei) == text


def test_plain_makes_json_of_our_values() -> None:
    value = {"id": b"\x01\x02", "tensor": TensorType("x", DType.FLOAT, (1, 2))}

    assert json.loads(json.dumps(show.plain(value))) == {
        "id": "0x0102",
        "tensor": {"name": "x", "dtype": "float", "shape": [1, 2]},
    }


def test_plain_keeps_numbers_exact_when_a_double_would_not() -> None:
    assert show.plain([2**53 - 1, 2**53]) == [2**53 - 1, str(2**53)]


def test_plain_names_an_enum() -> None:
    assert show.plain(Assurance.EXACT) == "exact"
