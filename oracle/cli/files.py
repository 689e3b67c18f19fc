"""Model files for a command: from the cache, or from where the chain says they are."""

import hashlib
from pathlib import Path

from oracle.chain.history import ModelHistory
from oracle.config import Settings
from oracle.errors import ConfigError
from oracle.inference.cache import Limits
from oracle.inference.files import ModelFiles


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
    """Where the model's file is, checked against its hash: `file`, the cache, or its URIs."""
    if file is None:
        return model_files(settings).fetch(found.model.file_hash, found.uris)
    actual = sha256(file)
    if actual != found.model.file_hash:
        raise ConfigError(
            f"{file} is not the model's file: its SHA-256 is {actual.hex()},"
            f" the model's {found.model.file_hash.hex()}."
        )
    return file


def sha256(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").digest()
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}.") from error
