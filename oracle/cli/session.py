"""What a command works with: a chain, its deployment, a key; made from options and settings."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

import click

from oracle.chain import deployment as deployments
from oracle.chain import keys as signers
from oracle.chain.connection import connect
from oracle.chain.contracts import Disputes, Queue, Registry
from oracle.chain.deployment import Deployment
from oracle.chain.finality import Finality
from oracle.chain.history import History
from oracle.chain.keys import Signer
from oracle.chain.node import Call, Chain
from oracle.chain.replies import Receipt
from oracle.chain.transactions import transact
from oracle.chain.view import View
from oracle.cli.options import chain_options, key_options
from oracle.config import Settings
from oracle.errors import ConfigError, KeyfileError
from oracle.types import Address


@dataclass(frozen=True, slots=True)
class Session:
    """A chain that runs the contracts that we know."""

    settings: Settings
    chain: Chain
    deployment: Deployment

    @property
    def registry(self) -> Registry:
        return Registry(self.chain, self.deployment)

    @property
    def queue(self) -> Queue:
        return Queue(self.chain, self.deployment)

    @property
    def disputes(self) -> Disputes | None:
        """The Disputes contract, or None where a contract that is not ours may slash."""
        if not self.deployment.has_disputes:
            return None
        return Disputes(self.chain, self.deployment)

    @property
    def history(self) -> History:
        folder = None if self.chain.is_embedded else self.settings.home / "cache"
        return History(self.chain, self.deployment, folder)

    def view(self, confirmations: int = 0, finality: int | None = None) -> View:
        """Gives what follows the chain; blocks are final by its own word, or `finality` blocks
        behind the head."""
        return View(self.chain, self.deployment, Finality(self.chain, finality), confirmations)

    def transact(self, signer: Signer, call: Call) -> Receipt:
        return transact(self.chain, signer, call)


def open_session(rpc: Sequence[str], folder: Path | None) -> Session:
    """Connects, and checks that the contracts are there and are ours."""
    settings = Settings()
    chain = connect(*(rpc or settings.rpc))
    deployment = deployments.read_deployment(deployment_path(settings, chain, folder))
    deployments.check_deployment(chain, deployment)
    return Session(settings, chain, deployment)


def deployment_path(settings: Settings, chain: Chain, folder: Path | None) -> Path:
    return (folder or settings.deployments) / f"{chain.id}.json"


def keystore_path(settings: Settings, name: str) -> Path:
    """Gives the path of a keystore. `name` is one of our keys' names, or the path itself."""
    if "/" in name or name.endswith(".json"):
        return Path(name)
    return settings.keys / f"{name}.json"


def open_key(key: str | None, password_file: Path | None) -> Signer:
    settings = Settings()
    path = keystore_path(settings, key or settings.key)
    if not path.exists():
        raise KeyfileError(f"There is no keystore at {path}: exactum keys new makes one.")
    return signers.open_keystore(path, read_password(settings, password_file, confirm=False))


def address_of(key: str | None) -> Address:
    """Gives the address of a key. The password is asked for only where its file does not say it."""
    settings = Settings()
    path = keystore_path(settings, key or settings.key)
    return signers.address_in(path) or open_key(key, None).address


def read_password(settings: Settings, password_file: Path | None, confirm: bool) -> str:
    path = password_file or settings.password_file
    if path is not None:
        try:
            return path.read_text().rstrip("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"The password file cannot be read: {error}.") from error
    if settings.password is not None:
        return settings.password
    prompted: str = click.prompt("Password", hide_input=True, confirmation_prompt=confirm, err=True)
    return prompted


def on_chain(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command --rpc and --deployments, and the `session` that they open."""

    @chain_options
    @wraps(command)
    def opened(rpc: Sequence[str], deployments: Path | None, **rest: Any) -> None:
        command(session=open_session(rpc, deployments), **rest)

    return opened


def signing(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command --key and --password-file, and the `signer` that they open."""

    @key_options
    @wraps(command)
    def opened(key: str | None, password_file: Path | None, **rest: Any) -> None:
        command(signer=open_key(key, password_file), **rest)

    return opened
