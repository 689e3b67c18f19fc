"""Decodes the bytes with which a contract reverted to the error's name and values. Nothing else
does."""

from functools import cache
from typing import Any

from eth_utils import keccak

from oracle.chain.abi import decoded
from oracle.chain.artifacts import abi_type, artifact
from oracle.errors import MalformedData, Reverted

CONTRACTS = (
    *("ModelRegistry", "InferenceQueue", "Disputes", "Referee", "Deployer"),
    *("Linear", "Elementwise", "Transcendental", "Reduce", "Movement", "Window", "Trees"),
    *("Quantized", "Functions"),
    *("DiagnosisConsumer", "LiquidationConsumer", "MinimalConsumer", "SignedConsumer"),
)
_PANIC = keccak(text="Panic(uint256)")[:4]
_ERROR = keccak(text="Error(string)")[:4]


def reverted(data: bytes, is_inner: bool = False) -> Reverted:
    """Decodes the bytes that a call returned when it failed. Where they hold those of another
    call, these are decoded too."""
    selector, arguments = data[:4], data[4:]
    try:
        if selector == _PANIC:
            return Reverted("Panic", {"code": decoded(["uint256"], arguments)[0]})
        if selector == _ERROR:
            return Reverted("Error", {"reason": decoded(["string"], arguments)[0]})
        error = _errors().get(selector)
        if error is None:
            return Reverted("Unknown", {"data": "0x" + data.hex()})
        inputs = error["inputs"]
        values = decoded([abi_type(each) for each in inputs], arguments)
    except MalformedData:
        return Reverted("Malformed", {"data": "0x" + data.hex()})
    names = [each["name"] for each in inputs]
    shown = dict(zip(names, map(_readable, values), strict=True))
    if error["name"] == "CreationFailed" and not is_inner:
        inner = reverted(values[-1], is_inner=True)
        if inner.name not in ("Unknown", "Malformed"):
            shown["reason"] = inner.error
    return Reverted(error["name"], shown)


@cache
def _errors() -> dict[bytes, dict[str, Any]]:
    return {
        keccak(text=f"{entry['name']}({','.join(map(abi_type, entry['inputs']))})")[:4]: entry
        for name in CONTRACTS
        for entry in artifact(name).abi
        if entry["type"] == "error"
    }


def _readable(value: object) -> object:
    return "0x" + value.hex() if isinstance(value, bytes) else value
