"""Payloads as a person writes them."""

from pathlib import Path

import numpy as np
import pytest

from oracle.cli import payload
from oracle.cli.payload import parse
from oracle.errors import PayloadError
from oracle.types import DType, Signature, TensorType
from oracle.values import elements

ONE = Signature((TensorType("x", DType.FLOAT, (1, 2)),), (TensorType("y", DType.INT64, (1,)),))
TWO = Signature(
    (TensorType("ids", DType.INT32, (2,)), TensorType("mask", DType.BOOL, (2,))), ONE.outputs
)


def test_parse_reads_nested_lists_when_the_model_takes_one_input() -> None:
    assert parse("[[1, 2.5]]", ONE) == np.array([1, 2.5], ">f4").tobytes()


def test_parse_reads_a_flat_list_when_the_number_of_elements_fits() -> None:
    assert parse("[1, 2.5]", ONE) == parse("[[1, 2.5]]", ONE)


def test_parse_reads_an_object_by_name() -> None:
    text = '{"mask": [true, false], "ids": [1, -2]}'

    assert parse(text, TWO).hex() == "00000001fffffffe0100"


def test_parse_reads_a_file(tmp_path: Path) -> None:
    (tmp_path / "row.json").write_text("[[1, 2.5]]")

    assert parse(f"@{tmp_path}/row.json", ONE) == parse("[[1, 2.5]]", ONE)


def test_parse_takes_the_payload_itself() -> None:
    assert parse("0x3f80000040200000", ONE) == parse("[[1, 2.5]]", ONE)


def test_parse_takes_what_is_beyond_float32_as_infinite() -> None:
    assert parse("[[1e39, -1e39]]", ONE).hex() == "7f800000ff800000"


@pytest.mark.parametrize(
    ("text", "signature", "why"),
    [
        ("[[1, 2", ONE, "no JSON"),
        ("[" * 100_000 + "]" * 100_000, ONE, "no JSON"),
        ("[" * 500 + "1" + "]" * 500, ONE, "does not hold"),
        ("[[1, 2, 3]]", ONE, "3 elements"),
        ('[["a", "b"]]', ONE, "does not hold"),
        ("[[1], [2, 3]]", ONE, "does not hold"),
        ("null", ONE, "holds null"),
        ("[1, 2]", TWO, "give an object"),
        ('{"ids": [1, 2]}', TWO, "lacks 'mask'"),
        ('{"ids": [1.5, 2], "mask": [true, true]}', TWO, "no int32"),
        ('{"ids": [99999999999, 2], "mask": [true, true]}', TWO, "does not hold|no int32"),
        ('{"ids": [1, 2], "mask": [2, 0]}', TWO, "no bool"),
        ("@/nonexistent.json", ONE, "cannot be read"),
        ("0xzz", ONE, "not hexadecimal"),
        ("0x00", ONE, "."),
    ],
)
def test_parse_says_what_is_wrong(text: str, signature: Signature, why: str) -> None:
    with pytest.raises(PayloadError, match=why):
        parse(text, signature)


WORDS = Signature(
    (TensorType("colour", DType.INT64, (2,)), TensorType("x", DType.FLOAT, (1,))), ONE.outputs
)


def test_parse_reads_strings_as_places() -> None:
    asked = []

    def known() -> tuple[str, ...]:
        asked.append(1)
        return "red", "blue"

    places = parse('{"colour": [1, 0], "x": 1}', WORDS, known)
    assert parse('{"colour": ["blue", "red"], "x": 1}', WORDS, known) == places
    assert asked == [1]  # not where there are none
    assert parse('{"colour": ["blue", 2], "x": 1}', WORDS, known)[:16].hex() == (
        "0000000000000001" + "0000000000000002"
    )


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"colour": ["pink", "red"], "x": 1}', r"'pink' of 'colour' .* \('red', 'blue'\)"),
        ('{"colour": ["red", "red"], "x": "red"}', "'x' does not hold"),
        ('{"colour": ["red", 1.5], "x": 1}', "no int64"),
        ('{"colour": [["red"], []], "x": 1}', "does not hold"),
        ('{"colour": "red", "x": 1}', "1 elements"),
        ('{"colour": ["red", null], "x": 1}', "holds null"),
        ('{"colour": [' + "[" * 500 + '"red"' + "]" * 500 + '], "x": 1}', "does not hold"),
    ],
)
def test_parse_says_what_is_wrong_with_strings(text: str, why: str) -> None:
    with pytest.raises(PayloadError, match=why):
        parse(text, WORDS, lambda: ("red", "blue"))


def test_parse_takes_no_strings_where_the_model_knows_none() -> None:
    with pytest.raises(PayloadError, match="'colour' takes numbers, and no strings"):
        parse('{"colour": ["red", "red"], "x": 1}', WORDS)


def test_elements_are_lists_by_name() -> None:
    assert elements(bytes(7) + b"\x05", ONE.outputs) == {"y": [5]}


def test_parse_reads_no_endless_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payload, "MAX_TEXT", 1 << 10)
    with pytest.raises(PayloadError, match="is longer than 1024 bytes, so it is not read"):
        parse("@/dev/zero", ONE)
