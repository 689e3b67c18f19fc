"""Model files for a command: from the cache, or from where the chain says they are."""

import hashlib
from pathlib import Path

from oracle.chain.history import ModelHistory
from oracle.config import Settings
from oracle.errors import ConfigError
from oracle.inference.cache import Limits
from oracle.inference.files import ModelFiles

MAX_MODEL = (2 << 30) - 1  # bytes that a protobuf may have


def model_files(
    settings: Settings,
    allow_local: bool = False,
    cache_bytes: int | None = None,
    keeper: str = "nobody",
) -> ModelFiles:
    return ModelFiles(
        settings.models,
        allow_local=allow_local,
        ipfs_gateway=settings.ipfs_gateway,
        limits=Limits(total=cache_bytes or settings.cache_bytes),
        keeper=keeper,
    )


def model_path(found: ModelHistory, file: Path | None, settings: Settings) -> Path:
    """Gives the path of the model's file, checked against its hash: `file`, or one from the cache
    or from the model's URIs."""
    if file is None:
        return model_files(settings).fetch(found.model.file_hash, found.uris)
    actual = sha256(file)
    if actual != found.model.file_hash:
        raise ConfigError(
            f"{file} is not the model's file: its SHA-256 is {actual.hex()},"
            f" the model's {found.model.file_hash.hex()}."
        )
    return file


def read_file(path: Path, most: int = MAX_MODEL) -> bytes:
    """Reads a file that a stranger may have sent. It reads no more than `most` bytes, and raises
    ConfigError where the file is longer."""
    try:
        with path.open("rb") as file:
            data = file.read(most + 1)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.") from error
    if len(data) > most:
        raise ConfigError(f"{path} is longer than {most} bytes, so it is not read.")
    return data


def write_file(path: Path, data: bytes) -> None:
    """Writes a file, whole or not at all. Raises ConfigError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f".{path.name}.tmp")
        fresh.write_bytes(data)
        fresh.replace(path)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}.") from error


def sha256(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").digest()
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}.") from error
