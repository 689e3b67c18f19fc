"""Reads values of the ABI that stand at fixed places, and bytes, straight from their words.

It takes what both `eth_abi` and `oracle.chain.abi` take, and refuses what one of them refuses, but
it does not walk through a grammar for every value. It knows no arrays and no text.
"""

from collections.abc import Callable, Sequence
from typing import Any

from eth_abi.grammar import ABIType, TupleType, parse

from oracle.chain.abi import WORD
from oracle.chain.addresses import checksummed
from oracle.errors import MalformedData

Read = Callable[[bytes, int], Any]
"""Reads the value whose first word is at that byte of some data."""


class Layout:
    """Where values of some types stand in data. Raises ValueError for types that it cannot read."""

    def __init__(self, types: Sequence[str]):
        parsed = [parse(each) for each in types]
        if len([each for each in parsed if each.is_dynamic]) > 1:
            raise ValueError(f"of {', '.join(types)}, only one may be bytes")
        self._lowest = WORD * len(parsed)  # where eth_abi lets bytes begin
        self._head, self._places = _places(parsed, self._bytes)

    def values(self, data: bytes) -> list[Any]:
        """Reads the values. Raises MalformedData where `data` is too short, or not as Solidity
        writes such values."""
        if len(data) < self._head:
            raise MalformedData(f"It has {len(data)} bytes and takes {self._head} or more.")
        return [read(data, at) for read, at in self._places]

    def _bytes(self, data: bytes, at: int) -> bytes:
        start = _number(data, at)
        first, length = start + WORD, _number(data, start)
        words = -(-length // WORD)
        end = first + words * WORD
        # No word of the data may count twice.
        has_room = self._head // WORD + 1 + words <= -(-len(data) // WORD)
        padding = data[first + length : end]
        if start < self._lowest or end > len(data) or not has_room or any(padding):
            raise MalformedData(f"Of {len(data)} bytes, byte {start:#x} begins no others.")
        return data[first : first + length]


def _places(types: Sequence[ABIType], bytes_: Read | None) -> tuple[int, list[tuple[Read, int]]]:
    """Gives how many bytes the values' heads take, and what reads each of them where."""
    at, found = 0, []
    for each in types:
        size, read = _reader(each, bytes_)
        found.append((read, at))
        at += size
    return at, found


def _reader(type_: ABIType, bytes_: Read | None) -> tuple[int, Read]:
    """Gives how many bytes the head of such a value takes, and what reads it."""
    if isinstance(type_, TupleType) and not type_.is_array:
        size, places = _places(type_.components, None)
        return size, lambda data, at: tuple([read(data, at + place) for read, place in places])
    name: str = type_.to_type_str()  # type: ignore[no-untyped-call]
    if name == "bytes" and bytes_ is not None:
        return WORD, bytes_
    if name == "bytes32":
        return WORD, lambda data, at: data[at : at + WORD]
    if name == "address":
        return WORD, _address
    if name.startswith("uint") and not type_.is_array:
        return WORD, _below(1 << int(name.removeprefix("uint")))
    raise ValueError(f"{name} has no fixed place")


def _below(most: int) -> Read:
    def read(data: bytes, at: int) -> int:
        found = _number(data, at)
        if found >= most:
            raise MalformedData(f"{found:#x} is not below {most:#x}.")
        return found

    return read


def _address(data: bytes, at: int) -> str:
    if any(data[at : at + 12]):
        raise MalformedData(f"{data[at : at + WORD].hex()} is no address.")
    return checksummed(data[at + 12 : at + WORD])


def _number(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + WORD], "big")
