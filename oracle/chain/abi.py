"""Decodes what strangers encoded, in time and memory that their bytes are worth.

ABI offsets may all point at one place: 1 MiB can mean 2^28 numbers. What Solidity encodes has every
word once, so data that needs more words than it has is refused before any of it is decoded.
"""

from collections.abc import Sequence
from typing import Any

from eth_abi import decode
from eth_abi.exceptions import DecodingError, ParseError
from eth_abi.grammar import ABIType, BasicType, TupleType, parse

from oracle.errors import MalformedData

WORD = 32


def decoded(types: Sequence[str], data: bytes) -> tuple[Any, ...]:
    """Reads the values of `types` in `data`. Raises MalformedData."""
    check(types, data)
    try:
        return tuple(decode(types, data))
    except (DecodingError, ParseError, UnicodeDecodeError, OverflowError, ValueError) as error:
        raise MalformedData(f"It is no {', '.join(types)}: {error}") from None


def check(types: Sequence[str], data: bytes) -> None:
    """Raises MalformedData where `data` is too short, or names one of its words twice."""
    try:
        parsed = [parse(each) for each in types]
    except ParseError as error:
        raise MalformedData(str(error)) from None
    _Walk(data).tuple(parsed, 0)


class _Walk:
    """Visits all words that a decoder would read, until there are more than the data has."""

    def __init__(self, data: bytes):
        self._data = data
        self._left = -(-len(data) // WORD)

    def tuple(self, types: Sequence[ABIType], base: int) -> None:
        at = base
        for each in types:
            if each.is_dynamic:
                self._dynamic(each, base + self._number(at))
                at += WORD
            else:
                words = _words(each)
                self._take(words)
                at += words * WORD
                self._reach(at)

    def _dynamic(self, type_: ABIType, at: int) -> None:
        if type_.is_array:
            self._array(type_, at)
        elif isinstance(type_, TupleType):
            self.tuple(type_.components, at)
        else:  # bytes or string
            length = self._number(at)
            self._take(-(-length // WORD))
            self._reach(at + WORD + length)

    def _array(self, type_: ABIType, at: int) -> None:
        count = type_.arrlist[-1][0] if type_.arrlist[-1] else None
        if count is None:
            count = self._number(at)
            at += WORD
        item = type_.item_type
        if item.is_dynamic:
            self._check_count(count)
            self.tuple([item] * count, at)
        else:
            words = count * _words(item)
            self._take(words)
            self._reach(at + words * WORD)

    def _number(self, at: int) -> int:
        self._take(1)
        self._reach(at + WORD)
        return int.from_bytes(self._data[at : at + WORD], "big")

    def _check_count(self, count: int) -> None:
        if count > self._left:
            raise MalformedData(f"It has {len(self._data)} bytes and claims to hold more.")

    def _take(self, words: int) -> None:
        self._check_count(words)
        self._left -= words

    def _reach(self, end: int) -> None:
        if end > len(self._data):
            raise MalformedData(f"It has {len(self._data)} bytes and names byte {end:#x}.")


def _words(type_: ABIType) -> int:
    """Counts the words of a type whose length is fixed."""
    if type_.is_array:
        return int(type_.arrlist[-1][0]) * _words(type_.item_type)
    if isinstance(type_, TupleType):
        return sum(map(_words, type_.components))
    assert isinstance(type_, BasicType)
    return 1
