"""Words are read as eth_abi reads them, whatever stands in them."""

from collections.abc import Sequence
from typing import Any

import pytest
from eth_abi import decode, encode
from eth_abi.exceptions import DecodingError
from eth_abi.tools import get_abi_strategy
from eth_utils import to_checksum_address
from hypothesis import given
from hypothesis import strategies as st

from oracle.chain import abi
from oracle.chain.artifacts import abi_type, artifact
from oracle.chain.blueprints import DISPUTES, QUEUE, REGISTRY
from oracle.chain.words import Layout
from oracle.errors import MalformedData

EVENTS = [
    entry
    for contract in (REGISTRY, QUEUE, DISPUTES)
    for entry in artifact(contract).abi
    if entry["type"] == "event"
]
OTHERS = {"ModelPublished", "ModelUriAdded", "PartRevealed"}
"""Events that hold text or arrays."""


def types_of(event: dict[str, Any], is_indexed: bool) -> tuple[str, ...]:
    return tuple(abi_type(each) for each in event["inputs"] if each["indexed"] is is_indexed)


LAYOUTS = sorted(
    {types_of(event, True) for event in EVENTS}
    | {types_of(event, False) for event in EVENTS if event["name"] not in OTHERS}
)
ODD = [("bytes",), ("bytes", "uint8"), ("uint8", "bytes", "(address,uint96)"), ("((uint8),uint8)",)]

WORDS = st.one_of(
    st.integers(0, 20).map(lambda words: 32 * words),  # as offsets and lengths are
    st.sampled_from([1 << bits for bits in (8, 32, 64, 96, 159, 160, 255)]),
    st.integers(0, 300),
    st.integers(0, 2**256 - 1),
)


def expected(types: Sequence[str], data: bytes) -> Any:
    """What eth_abi gives of data in which no word counts twice; None where there is nothing."""
    try:
        abi.check(types, data)
        return plain(decode(types, data))
    except (MalformedData, DecodingError):
        return None


def plain(value: Any) -> Any:
    """Writes addresses as we do."""
    if isinstance(value, (tuple, list)):
        return [plain(each) for each in value]
    return to_checksum_address(value) if isinstance(value, str) else value


def found(types: Sequence[str], data: bytes) -> Any:
    try:
        return plain(Layout(types).values(data))
    except MalformedData:
        return None


def values_of(types: Sequence[str]) -> st.SearchStrategy[Any]:
    return st.tuples(*map(get_abi_strategy, types))


@pytest.mark.parametrize("types", [*LAYOUTS, *ODD], ids=",".join)
@given(st.data())
def test_values_are_what_was_encoded(types: Sequence[str], data: st.DataObject) -> None:
    values = data.draw(values_of(types))

    assert found(types, encode(types, values)) == plain(values)


@pytest.mark.parametrize("types", [*LAYOUTS, *ODD], ids=",".join)
@given(st.data())
def test_values_are_read_and_refused_as_eth_abi_does(
    types: Sequence[str], data: st.DataObject
) -> None:
    written = bytearray(encode(types, data.draw(values_of(types))))
    for _ in range(data.draw(st.integers(0, 3))):  # words that say something else
        at = 32 * data.draw(st.integers(0, len(written) // 32))
        written[at : at + 32] = data.draw(WORDS).to_bytes(32, "big")
    if written and data.draw(st.booleans()):
        written[data.draw(st.integers(0, len(written) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    end = data.draw(st.integers(0, len(written)) | st.just(len(written)))
    spoilt = bytes(written[:end]) + data.draw(st.sampled_from([b"", b"", b"\0" * 31, b"\1" * 64]))

    assert found(types, spoilt) == expected(types, spoilt)


@pytest.mark.parametrize("start", [0, 31, 32, 33, 64, 224, 255, 256, 257, 288])
@pytest.mark.parametrize("length", [0, 1, 31, 32, 33, 64, 65, 96, 288, 2**255, 2**256 - 32])
def test_bytes_begin_and_end_where_eth_abi_has_them(start: int, length: int) -> None:
    types = "(bytes32,uint256,bytes32,uint256,uint256,uint256,uint256)", "bytes"
    head = [length] * 7 + [start]
    tail = [length, 1 << 248, 0, 0]
    written = b"".join(word.to_bytes(32, "big") for word in head + tail)

    assert found(types, written) == expected(types, written)


@pytest.mark.parametrize("type_", ["string", "uint8[]", "bytes32[2]", "(bytes)", "bool", "int8"])
def test_a_layout_has_no_types_of_other_places(type_: str) -> None:
    with pytest.raises(ValueError, match="has no fixed place"):
        Layout([type_])


def test_a_layout_has_bytes_once() -> None:
    with pytest.raises(ValueError, match="only one may be bytes"):
        Layout(["bytes", "bytes"])
