"""Whatever a contract reverts with has a name and values; nothing that it returns is a crash."""

from typing import Any

import pytest
from eth_abi import encode
from eth_utils import keccak
from hypothesis import given
from hypothesis import strategies as st

from oracle.chain.artifacts import abi_type, artifact
from oracle.chain.errors import CONTRACTS, reverted
from oracle.chain.node import Call
from oracle.errors import Reverted
from oracle.types import Wei
from tests.chains import BOND, World, address, options
from tests.reverts import ERROR, PANIC

ERRORS = {
    entry["name"]: entry["inputs"]
    for name in CONTRACTS
    for entry in artifact(name).abi
    if entry["type"] == "error"
}
VALUES: dict[str, Any] = {
    "uint8": 3,
    "uint16": 5,
    "uint32": 7,
    "uint256": 2**255,
    "int256": -(2**255),
    "bytes32": b"\x05" * 32,
    "address": "0x" + "0a" * 20,
    "string": "naïve",
    "bytes": b"\x06\x07",
    "(uint32,uint8,uint32,uint32)": (1, 2, 3, 4),
    "(uint256,uint256,uint256,uint256)": (1, 2, 3, 4),
}
READABLE = VALUES | {"bytes32": "0x" + "05" * 32, "bytes": "0x0607"}


@pytest.mark.parametrize("name", sorted(ERRORS))
def test_reverted_names_every_error_of_the_contracts(name: str) -> None:
    types = [abi_type(each) for each in ERRORS[name]]
    selector = keccak(text=f"{name}({','.join(types)})")[:4]

    error = reverted(selector + encode(types, [VALUES[type_] for type_ in types]))

    assert error.name == name
    assert error.values == {each["name"]: READABLE[abi_type(each)] for each in ERRORS[name]}


def test_reverted_says_name_and_values_in_one_sentence() -> None:
    data = keccak(text="BondTooSmall(uint256,uint256)")[:4] + encode(["uint256"] * 2, [1, 2])

    assert str(reverted(data)) == "The contract refused: BondTooSmall(bond=1, minimum=2)."


def test_reverted_reads_what_another_contract_reverted_with() -> None:
    inner = keccak(text="ZeroRevealTip()")[:4]
    outer = keccak(text="CreationFailed(uint256,bytes)")[:4]

    def failed(reason: bytes) -> bytes:
        return outer + encode(["uint256", "bytes"], [12, reason])

    assert reverted(failed(inner)).error == "CreationFailed(index=12, reason=ZeroRevealTip())"
    assert "reason=0x01020304" in str(reverted(failed(b"\x01\x02\x03\x04")))
    assert "reason=CreationFailed(index=12, reason=0x" in str(reverted(failed(failed(inner))))


def test_reverted_reads_a_panic() -> None:
    error = reverted(PANIC + encode(["uint256"], [0x11]))

    assert (error.name, error.values) == ("Panic", {"code": 0x11})


def test_reverted_reads_a_reason() -> None:
    error = reverted(ERROR + encode(["string"], ["because"]))

    assert (error.name, error.values) == ("Error", {"reason": "because"})


@pytest.mark.parametrize(
    "data", [b"", b"\x01", b"\x01\x02\x03\x04", b"\x01\x02\x03\x04" + b"x" * 40]
)
def test_reverted_keeps_what_it_does_not_know(data: bytes) -> None:
    error = reverted(data)

    assert (error.name, error.values) == ("Unknown", {"data": "0x" + data.hex()})


@pytest.mark.parametrize(
    "data",
    [
        PANIC,
        ERROR + b"\xff" * 32,
        ERROR + encode(["bytes"], [b"\xff\xfe"]),
        keccak(text="BondTooSmall(uint256,uint256)")[:4] + b"\x01",
        keccak(text="EmptyField(string)")[:4] + encode(["bytes"], [b"\x80"]),
    ],
    ids=["no code", "reason beyond the end", "reason no text", "short", "field no text"],
)
def test_reverted_says_malformed_when_the_values_are_none(data: bytes) -> None:
    error = reverted(data)

    assert (error.name, error.values) == ("Malformed", {"data": "0x" + data.hex()})


selectors = st.sampled_from(
    [PANIC, ERROR]
    + [
        keccak(text=f"{name}({','.join(each['type'] for each in inputs)})")[:4]
        for name, inputs in ERRORS.items()
    ]
)


@given(st.builds(bytes.__add__, selectors, st.binary(max_size=200)))
def test_reverted_is_an_error_whatever_the_data(data: bytes) -> None:
    assert isinstance(reverted(data), Reverted)


def test_call_raises_when_a_contract_burns_all_gas(embedded: World) -> None:
    contract = embedded.send("stranger", Call(None, bytes.fromhex("60fe5f5360015ff3"))).contract

    with pytest.raises(Reverted):
        embedded.chain.call(Call(contract, b""), address("stranger"))


def test_stake_beyond_the_balance_is_an_expected_error(embedded: World) -> None:
    from oracle.errors import OracleError

    with pytest.raises(OracleError):
        embedded.send("operator", embedded.queue.stake(Wei(10**30)))


def test_bond_is_what_the_tests_say() -> None:
    assert options().bond == BOND
