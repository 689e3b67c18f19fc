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
from tests.chains import BOND, GWEI, PAYLOAD, World, address, options

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
    "bytes32": b"\x05" * 32,
    "address": "0x" + "0a" * 20,
    "string": "naïve",
    "bytes": b"\x06\x07",
    "(uint32,uint8,uint32,uint32)": (1, 2, 3, 4),
    "(uint256,uint256,uint256,uint256)": (1, 2, 3, 4),
}
READABLE = VALUES | {"bytes32": "0x" + "05" * 32, "bytes": "0x0607"}
PANIC = keccak(text="Panic(uint256)")[:4]
ERROR = keccak(text="Error(string)")[:4]
NO_TEXT = ERROR + encode(["bytes"], [b"\xff"])


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


# By way of eth-tester; tests/integration does the same by way of anvil.


def refusal(world: World, call: Call, who: str = "stranger") -> Reverted:
    with pytest.raises(Reverted) as by_call:
        world.chain.call(call, address(who))
    with pytest.raises(Reverted) as by_estimate:
        world.chain.estimate(call, address(who))
    assert str(by_call.value) == str(by_estimate.value)
    return by_call.value


def test_call_raises_a_custom_error_with_its_values(embedded: World) -> None:
    model_id = embedded.publish()
    call = embedded.queue.request(model_id, PAYLOAD, Wei(GWEI), options(bond=Wei(7)))

    error = refusal(embedded, call)

    assert (error.name, error.values) == ("BondTooSmall", {"bond": 7, "minimum": 10**15})


def test_call_raises_an_error_that_holds_text(embedded: World) -> None:
    from tests.chains import model

    call = embedded.registry.publish(model(address("stranger"), name=""), "")

    error = refusal(embedded, call)

    assert (error.name, error.values) == ("EmptyField", {"field": "name"})


@pytest.mark.parametrize(
    ("data", "name", "values"),
    [
        (b"", "Unknown", {"data": "0x"}),
        (PANIC + encode(["uint256"], [0x12]), "Panic", {"code": 0x12}),
        (ERROR + encode(["string"], ['it\'s "so"']), "Error", {"reason": 'it\'s "so"'}),
        (ERROR + encode(["string"], [""]), "Error", {"reason": ""}),
        (b"\x01\x02\x03\x04'\"", "Unknown", {"data": "0x010203042722"}),
        (NO_TEXT, "Malformed", {"data": "0xff"}),
    ],
    ids=["nothing", "panic", "reason", "no reason", "unknown", "reason no text"],
)
def test_call_raises_what_any_contract_reverts_with(
    embedded: World, data: bytes, name: str, values: dict[str, object]
) -> None:
    contract = embedded.send("stranger", Call(None, reverts_with(data))).contract

    error = refusal(embedded, Call(contract, b"", Wei(0)))

    assert (error.name, error.values) == (name, values)


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


def reverts_with(data: bytes) -> bytes:
    """Creation code of a contract that reverts with `data`, whatever it is called with."""
    size = len(data)
    code = bytes.fromhex(f"61{size:04x}600c5f3961{size:04x}5ffd") + data
    return bytes.fromhex(f"61{len(code):04x}80600a5f395ff3") + code
