"""The contracts of tests/contracts/parity, run by anvil: compiled as what is deployed, called with
whole arrays, never sent in a transaction.
"""

import hashlib
import json
import os
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from eth_abi.abi import decode, encode
from eth_utils.crypto import keccak

from scripts.artifacts import (
    ROOT,
    CompilationFailed,
    compiled,
    compiler,
    settings,
    standard_json,
)

CACHE = ROOT / ".build/parity"
FOLDER = "tests/contracts/parity"
GAS_LIMIT = 1 << 45
_ADDRESS = "0x00000000000000000000000000000000000e7ac7"
_TIMEOUT = 3600
_AT_ONCE = 8_000
# No proxy stands between us and this machine.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class Contract:
    url: str
    code: str
    functions: dict[str, tuple[str, tuple[str, ...]]]

    def call(self, name: str, *arguments: object) -> Any:
        """What the function returns: a value, or a tuple of several. A revert is an error."""
        signature, outputs = self.functions[name]
        types = signature[signature.index("(") + 1 : -1].split(",")
        data = keccak(text=signature)[:4] + encode(types, arguments)
        call = {"to": _ADDRESS, "data": "0x" + data.hex(), "gas": hex(GAS_LIMIT)}
        answer = self._rpc("eth_call", [call, "latest", {_ADDRESS: {"code": self.code}}])
        values = decode(outputs, bytes.fromhex(answer[2:]))
        return values[0] if len(values) == 1 else values

    def map(self, name: str, *operands: Sequence[int]) -> tuple[list[int], list[int]]:
        """The results of the function, element by element, and the gas that each took."""
        values: list[int] = []
        gas: list[int] = []
        # anvil takes requests of 2 MB.
        for at in range(0, len(operands[0]), _AT_ONCE):
            part = self.call(name, *(operand[at : at + _AT_ONCE] for operand in operands))
            values += part[0]
            gas += part[1]
        return values, gas

    def _rpc(self, method: str, parameters: Sequence[object]) -> str:
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters}
        request = urllib.request.Request(
            self.url, json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with _OPENER.open(request, timeout=_TIMEOUT) as response:
            answer = json.load(response)
        assert "error" not in answer, answer["error"]
        result: str = answer["result"]
        return result


def load(url: str, name: str) -> Contract:
    artifact = compiled_once(f"{FOLDER}/{name}.sol")
    functions = {
        entry["name"]: (
            f"{entry['name']}({','.join(argument['type'] for argument in entry['inputs'])})",
            tuple(output["type"] for output in entry["outputs"]),
        )
        for entry in artifact["abi"]
        if entry["type"] == "function"
    }
    return Contract(url, artifact["deployedBytecode"], functions)


def compiled_once(source: str) -> dict[str, Any]:
    """The artifact of one contract, compiled once for the same sources and settings: that takes up
    to half a minute."""
    request = json.dumps([standard_json(source), settings()], sort_keys=True)
    path = CACHE / f"{hashlib.sha256(request.encode()).hexdigest()}.json"
    if not path.exists():
        if not (ROOT / "node_modules/solc").exists() and not os.environ.get("REQUIRE_ANVIL"):
            pytest.skip("the compiler is not installed: run npm ci")
        try:
            text = compiled(source, compiler())
        except (CompilationFailed, OSError) as error:
            pytest.fail(str(error))
        CACHE.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    artifact: dict[str, Any] = json.loads(path.read_text())
    return artifact
