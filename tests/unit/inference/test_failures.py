import numpy as np
import orjson
import pytest

from oracle.errors import (
    InferenceFailed,
    ModelMismatch,
    ModelRefused,
    OracleError,
    PayloadError,
    Reason,
    Reverted,
    SecondOpinionDiffers,
    WrongPayloadLength,
    WrongTensorShape,
)
from oracle.inference.failures import MAX_ERROR, MOST_LETTERS, decoded, encoded, text


@pytest.mark.parametrize(
    "error",
    [
        ModelRefused([Reason("n", "Loop", "why", "advice"), Reason("", "", "that", "this")]),
        WrongTensorShape("x", (1, 2), (2, 1)),
        WrongPayloadLength(3, 7),
        SecondOpinionDiffers("Output 'y' differs."),
        InferenceFailed("It failed."),
    ],
)
def test_decoded_gives_the_error_that_was_encoded(error):
    found = decoded(encoded(error))
    assert type(found) is type(error)
    assert str(found) == str(error)
    assert vars(found) == vars(error)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[]",
        b"[" * 100_000,
        b"\xff",
        b'{"type": "dataclass", "message": "", "values": {}}',
        b'{"type": "Sequence", "message": "", "values": {}}',
        b'{"type": 3, "message": "", "values": {}}',
        b'{"type": "Exception", "message": "", "values": {}}',
        b'{"type": "InferenceFailed", "message": "", "values": 3}',
        b'{"type": "InferenceFailed", "message": "", "values": {"__class__": 3}}',
        b'{"type": "InferenceFailed", "message": "", "values": {"__cause__": 3}}',
        b'{"type": "ModelRefused", "message": "", "values": {}}',
        b'{"type": "ModelRefused", "message": "", "values": {"reasons": []}}',
        b'{"type": "ModelRefused", "message": "", "values": {"reasons": [3]}}',
        b'{"type": "ModelRefused", "message": "", "values": {"reasons": [{"evil": 1}]}}',
    ],
)
def test_decoded_trusts_nothing(data):
    found = decoded(data)
    assert isinstance(found, InferenceFailed)
    assert "cannot be read" in str(found)


def test_decoded_makes_text_of_what_a_reason_says():
    """Whoever shows it counts its letters."""
    reason = {"node": 3, "op": [], "why": {"x": None}, "advice": 1.5}
    said = {"type": "ModelRefused", "message": "", "values": {"reasons": [reason]}}
    found = decoded(orjson.dumps(said))
    assert isinstance(found, ModelRefused)
    assert found.reasons == (Reason("3", "[]", "{'x': None}", "1.5"),)


class Mute:
    def __str__(self):
        raise ValueError("no")

    __repr__ = __str__


class Own(PayloadError):
    """Of another module, so that nobody finds it by its name."""


class Hidden(InferenceFailed):
    def __str__(self):
        raise RuntimeError("no")


def deep(depth):
    value: list[object] = []
    for _ in range(depth):
        value = [value]
    return value


def noted(error, **values):
    vars(error).update(values)
    return error


ODD = {
    "half a surrogate": ModelMismatch("\udc80 \ud800"),
    "a surrogate in a reason": ModelRefused([Reason("\udcff", "Add", "why", "\ud834")]),
    "long": InferenceFailed("x" * (4 * MAX_ERROR)),
    "long in the most bytes": InferenceFailed("\U0001f600\0" * MAX_ERROR),
    "many reasons": ModelRefused([Reason("\0" * 5000, "\0" * 5000, "why", "a")] * 5000),
    "no text": Hidden("x"),
    "a value without a text": noted(InferenceFailed("x"), odd=Mute()),
    "a value of many": noted(InferenceFailed("x"), odd={n: ["\0" * 5000] * 99 for n in range(99)}),
    "keys of any kind": noted(InferenceFailed("x"), odd={Mute(): 1, (1, 2): 2, "\udc80": 3}),
    "a deep value": noted(InferenceFailed("x"), odd=deep(5000)),
    "numbers": noted(
        InferenceFailed("x"),
        odd=[2**64, -(2**63) - 1, 10**4000, np.float64("nan"), np.float32(1), np.int64(3)],
    ),
    "more digits than Python writes": noted(InferenceFailed("x"), odd=[10**5000]),
    "bytes": noted(InferenceFailed("x"), odd=b"\xff" * 5000),
    "no arguments": noted(WrongPayloadLength.__new__(WrongPayloadLength)),
    "values as arguments": PayloadError({"x": Mute()}, 3),
    "of another module": Own("What it says."),
    "a set and a class": Reverted("Name", {"odd": {1, 2}, "kind": Reason}),
}


@pytest.mark.parametrize("name", ODD)
def test_encoded_writes_whatever_error_there_is(name):
    """An error that cannot be written ends the child, and nobody learns of what."""
    error = ODD[name]
    data = encoded(error)
    found = decoded(data)
    assert len(data) <= MAX_ERROR
    assert isinstance(error, type(found)) and "cannot be read" not in str(found)
    assert type(found) is not OracleError
    assert isinstance(str(found).encode(), bytes)


def test_encoded_keeps_what_an_error_says():
    assert str(decoded(encoded(Own("What it says.")))) == "What it says."
    found = decoded(encoded(ODD["many reasons"]))
    assert isinstance(found, ModelRefused) and found.reasons[0].why == "why"


def test_text_says_what_has_no_text():
    assert text(Mute()) == "Mute, which has no text (ValueError)"
    assert text("\udc80") == "\\udc80"
    assert len(text("x" * 10_000)) == MOST_LETTERS + 1  # and an ellipsis
