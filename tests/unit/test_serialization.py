"""What a child answers is read strictly, and nothing in it can be more than a value."""

from dataclasses import dataclass

import pytest

from oracle.serialization import Unreadable, dump, load
from oracle.types import Part


@dataclass(frozen=True, slots=True)
class Pair:
    part: Part
    data: tuple[bytes, ...]
    amount: int
    note: str | None = None


PAIR = Pair(Part(1, 2, 3, 4), (b"\0\xff", b""), 2**200, "ünï\x1b")


def test_load_gives_back_what_was_dumped() -> None:
    assert load(dump(PAIR), Pair) == PAIR


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        '{"part": {"value": "1", "height": 2, "first": 3, "count": 4}, "data": [], "amount": 1}',
        '{"part": {"value": 1, "height": 2, "first": 3}, "data": [], "amount": 1}',
        '{"part": {"value": 1, "height": 2, "first": 3, "count": 4}, "data": ["*"], "amount": 1}',
        '{"part": null, "data": [], "amount": 1.5}',
        "[" * 100_000,
    ],
)
def test_load_refuses_what_is_not_of_the_type(text: str) -> None:
    with pytest.raises(Unreadable):
        load(text, Pair)
