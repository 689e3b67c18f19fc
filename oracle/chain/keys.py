"""Keys: encrypted keystore files, and what signs with them."""

import hmac
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eth_account import Account
from eth_account.signers.local import LocalAccount
from eth_utils import is_hex_address, to_checksum_address

from oracle.errors import KeyfileError
from oracle.types import Address


@dataclass(frozen=True, slots=True, repr=False)
class Signer:
    """An account that signs. Never printed: it holds the key."""

    account: LocalAccount

    def __repr__(self) -> str:
        return f"Signer({self.address})"

    @property
    def address(self) -> Address:
        return Address(self.account.address)

    def sign(self, transaction: Mapping[str, Any]) -> tuple[bytes, bytes]:
        """Signs a transaction. Gives the raw transaction and its hash."""
        signed = self.account.sign_transaction(dict(transaction))
        return bytes(signed.raw_transaction), bytes(signed.hash)

    def secret(self, about: bytes) -> bytes:
        """Derives 32 bytes that only the holder of this key can compute, the same each time."""
        return hmac.digest(bytes(self.account.key), b"exactum.secret" + about, "sha256")


def from_key(key: bytes | str) -> Signer:
    try:
        # eth-account would pad a key that misses a digit.
        data = bytes.fromhex(key.removeprefix("0x")) if isinstance(key, str) else key
        return Signer(Account.from_key(data))
    except Exception:  # eth-keys has no one error for a bad key; the key must not reach a message
        raise KeyfileError("That is no private key: give 32 bytes as 64 hex digits.") from None


def create(path: Path, password: str, key: bytes | str | None = None) -> Signer:
    """Writes a new encrypted keystore file, readable by its owner alone; never over another."""
    if not password:
        raise KeyfileError("An empty password would leave the key open: choose another.")
    signer = Signer(Account.create()) if key is None else from_key(key)
    content = json.dumps(Account.encrypt(signer.account.key, password))
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise KeyfileError(f"{path} exists already; choose another name.") from None
    with os.fdopen(descriptor, "w") as file:
        file.write(content)
    return signer


def address_in(path: Path) -> Address | None:
    """Reads the address that a keystore file says is its own, which takes no password. Gives None
    where it says none. Raises KeyfileError."""
    content = _content(path)
    found = str(content.get("address", "") if isinstance(content, dict) else "")
    return Address(to_checksum_address(found)) if is_hex_address(found) else None


def open_keystore(path: Path, password: str) -> Signer:
    content = _content(path)
    try:
        return Signer(Account.from_key(Account.decrypt(content, password)))
    except (ValueError, KeyError, TypeError, AttributeError, NotImplementedError) as error:
        wrong = "MAC mismatch" in str(error)
        why = "the password is wrong" if wrong else "it is no keystore file"
        raise KeyfileError(f"{path} cannot be opened: {why}.") from None


def _content(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        raise KeyfileError(f"There is no keystore at {path}; exactum keys new makes one.") from None
    except OSError as error:
        raise KeyfileError(f"{path} cannot be opened: {error.strerror}.") from None
    except ValueError:
        raise KeyfileError(f"{path} cannot be opened: it is no keystore file.") from None
