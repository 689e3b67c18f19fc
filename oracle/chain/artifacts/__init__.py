"""The compiled contracts, as `./dev artifacts` wrote them and `./dev check` compares them."""

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from oracle.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Artifact:
    name: str
    abi: list[dict[str, Any]]
    bytecode: bytes  # creation code, without constructor arguments
    deployed: bytes  # runtime code, with zeros where immutables go
    immutables: tuple[tuple[int, int], ...]  # start and length of each, in `deployed`
    compiler: str

    def without_immutables(self, code: bytes) -> bytes:
        """`code` with zeros where its immutables are, to be compared with `deployed`."""
        blank = bytearray(code)
        for start, length in self.immutables:
            blank[start : start + length] = bytes(length)
        return bytes(blank)


def abi_type(parameter: dict[str, Any]) -> str:
    """The type as signatures have it: a struct is the tuple of its fields."""
    kind: str = parameter["type"]
    if not kind.startswith("tuple"):
        return kind
    fields = ",".join(map(abi_type, parameter["components"]))
    return f"({fields}){kind.removeprefix('tuple')}"


@cache
def artifact(name: str) -> Artifact:
    try:
        content = json.loads((files(__package__) / f"{name}.json").read_text())
    except FileNotFoundError:
        raise ConfigError(f"This version of Exactum knows no contract {name}.") from None
    return Artifact(
        name=name,
        abi=content["abi"],
        bytecode=bytes.fromhex(content["bytecode"].removeprefix("0x")),
        deployed=bytes.fromhex(content["deployedBytecode"].removeprefix("0x")),
        immutables=tuple(
            (place["start"], place["length"])
            for places in content["immutableReferences"].values()
            for place in places
        ),
        compiler=content["compiler"],
    )
