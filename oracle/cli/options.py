"""Options that several commands share, and what their values mean."""

import re
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, TypeVar

import click
from eth_utils import is_address, to_checksum_address

from oracle.types import Address, Wei

F = TypeVar("F", bound=Callable[..., Any])

_WEI = {"wei": 1, "gwei": 10**9, "ether": 10**18, "eth": 10**18}
_SHIFTS = {"": 0, "KiB": 10, "MiB": 20, "GiB": 30, "TiB": 40}
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class Money(click.ParamType[Wei]):
    """An amount with its unit: 0.05ether, 20gwei, 1000wei."""

    name = "amount"

    def convert(self, value: Any, param: Any, ctx: Any) -> Wei:
        if isinstance(value, int):
            return Wei(value)
        match = re.fullmatch(r"([0-9.]+)\s*(wei|gwei|ether|eth)", str(value).strip())
        try:
            wei = Decimal(match[1]) * _WEI[match[2]] if match else Decimal("NaN")
        except InvalidOperation:
            wei = Decimal("NaN")
        if not wei.is_finite() or wei != wei.to_integral_value():
            self.fail(f"{value!r} is no amount: write 0.05ether, 20gwei or 1000wei", param, ctx)
        return Wei(int(wei))


class Duration(click.ParamType[int]):
    """Seconds, or with a unit: 90, 90s, 5m, 24h, 7d."""

    name = "duration"

    def convert(self, value: Any, param: Any, ctx: Any) -> int:
        match = re.fullmatch(r"(\d+)\s*([smhd]?)", str(value).strip())
        if not match:
            self.fail(f"{value!r} is no duration: write 90s, 5m, 24h or 7d", param, ctx)
        return int(match[1]) * _SECONDS[match[2] or "s"]


class Size(click.ParamType[int]):
    """Bytes, or with a unit: 1000000, 500MiB, 16GiB."""

    name = "size"

    def convert(self, value: Any, param: Any, ctx: Any) -> int:
        if isinstance(value, int):
            return value
        match = re.fullmatch(r"([1-9]\d{0,18})\s*(|KiB|MiB|GiB|TiB)", str(value).strip())
        if not match:
            self.fail(f"{value!r} is no size: write 500MiB or 16GiB", param, ctx)
        return int(match[1]) << _SHIFTS[match[2]]


class Account(click.ParamType[Address]):
    """An address: 0x and 40 hex digits."""

    name = "address"

    def convert(self, value: Any, param: Any, ctx: Any) -> Address:
        if not is_address(value):
            self.fail(f"{value!r} is no address: write 0x and 40 hex digits", param, ctx)
        return Address(to_checksum_address(value))


class Id(click.ParamType[bytes]):
    """A 32-byte id: 0x and 64 hex digits."""

    def __init__(self, name: str):
        self.name = name

    def convert(self, value: Any, param: Any, ctx: Any) -> bytes:
        if isinstance(value, bytes):
            return value
        if not re.fullmatch(r"0x[0-9a-fA-F]{64}", str(value)):
            self.fail(f"{value!r} is no {self.name} id: write 0x and 64 hex digits", param, ctx)
        return bytes.fromhex(str(value)[2:])


class ModelOrFile(click.ParamType[bytes | Path]):
    """A model, by its id or by its file."""

    name = "id|file"

    def convert(self, value: Any, param: Any, ctx: Any) -> bytes | Path:
        if isinstance(value, (bytes, Path)):
            return value
        if str(value).startswith("0x"):
            return bytes(MODEL.convert(value, param, ctx))
        if not Path(value).is_file():
            self.fail(f"{value!r} is neither the id of a model nor a file", param, ctx)
        return Path(value)


class Dim(click.ParamType[tuple[str, int]]):
    """NAME=VALUE: the size of a dimension that the model leaves open."""

    name = "name=value"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[str, int]:
        if isinstance(value, tuple):
            return value
        name, _, number = str(value).partition("=")
        if not name or not number.isdigit() or int(number) == 0:
            self.fail(f"{value!r} is no dimension: write batch=1", param, ctx)
        return name, int(number)


MONEY, DURATION, SIZE, ACCOUNT, DIM = Money(), Duration(), Size(), Account(), Dim()
MODEL: click.ParamType[Any] = Id("model")
REQUEST: click.ParamType[Any] = Id("request")
MODEL_OR_FILE = ModelOrFile()


def chain_options(command: F) -> F:
    """Adds --rpc and --deployments, which say which chain is meant, and where its contracts are."""
    for option in (
        click.option("--rpc", metavar="URL", help="The node. [default: $EXACTUM_RPC]"),
        click.option(
            "--deployments",
            type=click.Path(path_type=Path),
            help="Folder of <chainId>.json files, as exactum deploy writes them."
            " [default: ./deployments]",
        ),
    ):
        command = option(command)
    return command


def key_options(command: F) -> F:
    """Adds --key and --password-file, which say who signs."""
    for option in (
        click.option(
            "--key",
            metavar="NAME",
            help="Whose key signs: a name of exactum keys list, or a keystore file."
            " [default: $EXACTUM_KEY or 'default']",
        ),
        click.option(
            "--password-file",
            type=click.Path(path_type=Path, dir_okay=False),
            help="File with the keystore's password."
            " [default: $EXACTUM_PASSWORD_FILE, $EXACTUM_PASSWORD, or a prompt]",
        ),
    ):
        command = option(command)
    return command


def json_option(command: F) -> F:
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, for machines.")(
        command
    )
