"""`exactum keys`: encrypted keystores."""

import re
import sys
from pathlib import Path

import click

from oracle.chain import keys as signers
from oracle.cli import show
from oracle.cli.options import json_option
from oracle.cli.session import read_password
from oracle.config import Settings
from oracle.errors import ConfigError, KeyfileError
from oracle.types import Address

_password = click.option(
    "--password-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File with the password."
    " [default: $EXACTUM_PASSWORD_FILE, $EXACTUM_PASSWORD, or a prompt]",
)


@click.group()
def keys() -> None:
    """Makes and lists keys, each in a file encrypted with a password.

    \b
    Files lie in $EXACTUM_HOME/keys (~/.exactum/keys), in the format that geth,
    Foundry and most wallets read.
    """


@keys.command()
@click.argument("name", default="default")
@_password
@json_option
def new(name: str, password_file: Path | None, as_json: bool) -> None:
    """Makes a new key and keeps it under NAME.

    \b
    Example:
      exactum keys new operator
    """
    _create(name, password_file, None, as_json)


@keys.command(name="import")
@click.argument("name", default="default")
@_password
@json_option
def import_(name: str, password_file: Path | None, as_json: bool) -> None:
    """Keeps a private key that you have under NAME; it is asked for, or read from a pipe.

    \b
    Examples:
      exactum keys import operator
      exactum keys import operator < key.hex
    """
    _create(name, password_file, _given_key(), as_json)


def _given_key() -> str:
    """Reads a private key: the first line of a pipe or a file, or what is asked for at a
    terminal."""
    if not sys.stdin.isatty():  # a prompt would ask the terminal, and leave the pipe unread
        return sys.stdin.readline().strip()
    asked: str = click.prompt("Private key", hide_input=True, err=True, prompt_suffix=": ")
    return asked.strip()


def _create(name: str, password_file: Path | None, key: str | None, as_json: bool) -> None:
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise ConfigError(f"{name!r} is no name for a key: take letters, digits, -, _ and dots.")
    settings = Settings()
    path = settings.keys / f"{name}.json"
    password = read_password(settings, password_file, confirm=True)
    signer = signers.create(path, password, key)
    if as_json:
        show.print_json({"name": name, "address": signer.address, "file": str(path)})
    else:
        show.out.print(f"{signer.address} is kept in {path}; whoever has file and password has it.")


@keys.command(name="list")
@json_option
def list_(as_json: bool) -> None:
    """Lists the keys by name, with their addresses."""
    found = {path.stem: _address(path) for path in sorted(Settings().keys.glob("*.json"))}
    if as_json:
        show.print_json(found)
    elif found:
        unknown = "its file does not say; its password would"
        show.print_fields("Keys", {name: found[name] or unknown for name in found})
    else:
        show.out.print("There are no keys yet: exactum keys new makes one.")


def _address(path: Path) -> Address | None:
    """Reads the address of a keystore, if that can be read: one bad file must not hide the
    others."""
    try:
        return signers.address_in(path)
    except KeyfileError as error:
        show.err.print(str(error), style="yellow")
        return None
