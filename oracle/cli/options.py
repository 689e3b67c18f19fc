"""Options that several commands share, and what their values mean."""

import re
from collections.abc import Callable, Sequence
from fractions import Fraction
from math import isnan
from pathlib import Path
from typing import Any, TypeVar, cast

import click
from eth_utils import is_address, to_checksum_address

from oracle.config import URI_SCHEMES, size, urls
from oracle.types import Address, Wei

F = TypeVar("F", bound=Callable[..., Any])

_WEI = {"wei": 1, "gwei": 10**9, "ether": 10**18, "eth": 10**18}
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
# What the contracts have room for.
MOST_WEI, MOST_SECONDS = (1 << 96) - 1, (1 << 32) - 1


class Money(click.ParamType[Wei]):
    """An amount with its unit: 0.05ether, 20gwei, 1000wei."""

    name = "amount"

    def convert(self, value: Any, param: Any, ctx: Any) -> Wei:
        if isinstance(value, int):
            return Wei(value)
        match = re.fullmatch(r"([0-9.]{1,100})\s*(wei|gwei|ether|eth)", str(value).strip())
        try:
            wei = Fraction(match[1]) * _WEI[match[2]] if match else None
        except ValueError:
            wei = None
        if wei is None or wei.denominator != 1:
            self.fail(f"{value!r} is no amount: write 0.05ether, 20gwei or 1000wei", param, ctx)
        if wei > MOST_WEI:
            self.fail(f"{value!r} is more than the contracts take ({MOST_WEI} wei)", param, ctx)
        return Wei(int(wei))


class Duration(click.ParamType[int]):
    """Seconds, or with a unit: 90, 90s, 5m, 24h, 7d."""

    name = "duration"

    def convert(self, value: Any, param: Any, ctx: Any) -> int:
        match = re.fullmatch(r"([0-9]{1,18})\s*([smhd]?)", str(value).strip())
        if not match:
            self.fail(f"{value!r} is no duration: write 90s, 5m, 24h or 7d", param, ctx)
        seconds = int(match[1]) * _SECONDS[match[2] or "s"]
        if seconds > MOST_SECONDS:
            self.fail(f"{value!r} is longer than the contracts take (136 years)", param, ctx)
        return seconds


class Period(Duration):
    """A duration above zero."""

    def convert(self, value: Any, param: Any, ctx: Any) -> int:
        seconds = super().convert(value, param, ctx)
        if seconds == 0:
            self.fail("it must be longer than nothing", param, ctx)
        return seconds


class Seconds(click.FloatRange):
    """A number of seconds, and not NaN, which is in every range."""

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        seconds = float(super().convert(value, param, ctx))
        if isnan(seconds):
            self.fail(f"{value!r} is no number", param, ctx)
        return seconds


class Size(click.ParamType[int]):
    """Bytes, or with a unit: 1000000, 500MiB, 16GiB."""

    name = "size"

    def convert(self, value: Any, param: Any, ctx: Any) -> int:
        try:
            return size(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Place(click.ParamType[tuple[str, int]]):
    """Where to listen: a port of 127.0.0.1, or HOST:PORT."""

    name = "place"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[str, int]:
        host, _, port = str(value).rpartition(":")
        if not (port.isascii() and port.isdigit() and int(port) < 1 << 16):
            self.fail(f"{value!r} is no place: write HOST:PORT, or a port", param, ctx)
        return host.strip("[]") or "127.0.0.1", int(port)


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


class Uri(click.ParamType[str]):
    """Where a file can be had: a protocol that workers know, a colon, and the rest."""

    name = "uri"

    def convert(self, value: Any, param: Any, ctx: Any) -> str:
        scheme, colon, rest = str(value).partition(":")
        if value and not (colon and rest and scheme.lower() in URI_SCHEMES):
            self.fail(f"{value!r} is no URI: write https://… or ipfs://…", param, ctx)
        return str(value)


class Dim(click.ParamType[tuple[str, int]]):
    """NAME=VALUE: the size of a dimension that the model leaves open."""

    name = "name=value"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[str, int]:
        if isinstance(value, tuple):
            return value
        name, _, number = str(value).partition("=")
        if not name or not re.fullmatch(r"[0-9]{1,18}", number) or int(number) == 0:
            self.fail(f"{value!r} is no dimension: write batch=1", param, ctx)
        return name, int(number)


MONEY, DURATION, PERIOD, SIZE = Money(), Duration(), Period(), Size()
ACCOUNT, DIM, URI = Account(), Dim(), Uri()
MODEL: click.ParamType[Any] = Id("model")
REQUEST: click.ParamType[Any] = Id("request")
MODEL_OR_FILE = ModelOrFile()


def chain_options(command: F) -> F:
    """Adds --rpc and --deployments, which say which chain is meant, and where its contracts are."""
    rpc = rpc_option(
        "The node, by http(s) or ws(s). May be repeated: the first that is well is asked, and"
        " transactions go to all. [default: $EXACTUM_RPC, one or more URLs]"
    )
    return deployments_option(rpc(command))


def rpc_option(what: str) -> Callable[[F], F]:
    """Makes --rpc, which may be repeated, and may hold several URLs as $EXACTUM_RPC may."""

    def split(_: click.Context, __: click.Parameter, given: Sequence[str]) -> tuple[str, ...]:
        return tuple(url for each in given for url in cast(tuple[str, ...], urls(each)))

    return click.option("--rpc", metavar="URL", multiple=True, callback=split, help=what)


def deployments_option(command: F) -> F:
    return click.option(
        "--deployments",
        type=click.Path(path_type=Path),
        help="Folder of <chainId>.json files, as exactum deploy writes them."
        " [default: ./deployments]",
    )(command)


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


def local_files_option(command: F) -> F:
    """Adds --allow-local-files, for what fetches from URIs that publishers chose."""
    return click.option(
        "--allow-local-files",
        is_flag=True,
        help="Fetch models from file:// and local addresses too. For devnets: a publisher chooses"
        " these URIs.",
    )(command)


def json_option(command: F) -> F:
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, for machines.")(
        command
    )
