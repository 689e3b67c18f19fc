"""What a deployment fixes for ever, and values that suit a kind of chain: deployments/presets."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from oracle.types import Address, Wei

_UNITS = {"s": 1, "h": 3600, "d": 86_400, "wei": 1, "gwei": 10**9, "ether": 10**18}


@dataclass(frozen=True, slots=True)
class Parameters:
    """The immutables of queue and disputes; times in seconds.

    `disputes` is who may slash where that is not to be our contract."""

    min_bond: Wei
    min_window: int
    max_window: int
    withdrawal_delay: int
    reveal_period: int
    reaction_period: int
    extension_limit: int
    reveal_tip: Wei  # a gas
    disputes: Address | None = None


@dataclass(frozen=True, slots=True)
class Preset:
    """Parameters for one kind of chain, and the gas price that they were chosen for."""

    parameters: Parameters
    gas_price: Wei


@cache
def presets() -> Mapping[str, Preset]:
    """Reads the files of all presets, by name."""
    found = (each for each in _folder().iterdir() if each.name.endswith(".toml"))
    return {
        each.name.removesuffix(".toml"): _preset(tomllib.loads(each.read_text()))
        for each in sorted(found, key=lambda each: each.name)
    }


def preset(name: str) -> Parameters:
    """Gives the parameters of the preset with that name."""
    return presets()[name].parameters


def _folder() -> Traversable:
    """Finds the files in the installed package, else in the repository that it is run from."""
    packaged = files(__package__) / "presets"
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "deployments/presets"


def _preset(content: dict[str, object]) -> Preset:
    fields = content["parameters"]
    assert isinstance(fields, dict)
    amounts: dict[str, Any] = {name: _amount(text) for name, text in fields.items()}
    return Preset(Parameters(**amounts), _amount(content["gas_price"]))


def _amount(text: object) -> Wei:
    """Reads seconds or wei, from a number and its unit."""
    number, unit = str(text).split()
    return Wei(int(Decimal(number) * _UNITS[unit]))
