"""Settings from the environment: what options of the command line fall back to."""

import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from oracle.errors import ConfigError

# Where a model's file may lie; the last is for devnets.
URI_SCHEMES = ("http", "https", "ipfs", "data", "file")

_SHIFTS = {"": 0, "KiB": 10, "MiB": 20, "GiB": 30, "TiB": 40}


def size(value: object) -> int:
    """Reads bytes, or a number with a unit: 1000000, 500MiB, 16GiB. Raises ValueError."""
    match = re.fullmatch(r"([1-9]\d{0,18})\s*(|KiB|MiB|GiB|TiB)", str(value).strip())
    if not match:
        raise ValueError(f"{value!r} is no size: write 500MiB or 16GiB")
    return int(match[1]) << _SHIFTS[match[2]]


def urls(value: object) -> object:
    """Reads one or more URLs, separated by spaces, or by commas before the next scheme."""
    if not isinstance(value, str):
        return value
    return tuple(re.split(r"\s*,\s*(?=[A-Za-z]+://)|\s+", value.strip(" ,")))


class Settings(BaseSettings):
    """Each field is read from EXACTUM_<FIELD>. Raises ConfigError where that means nothing."""

    model_config = SettingsConfigDict(env_prefix="EXACTUM_", extra="ignore")

    home: Path = Path.home() / ".exactum"
    rpc: Annotated[tuple[str, ...], NoDecode, BeforeValidator(urls)] = ("http://127.0.0.1:8545",)
    deployments: Path = Path("deployments")
    key: str = "default"
    password: str | None = None
    password_file: Path | None = None
    ipfs_gateway: str | None = None
    cache_bytes: Annotated[int, BeforeValidator(size)] = 16 << 30  # of model files

    def __init__(self, **given: Any):
        try:
            super().__init__(**given)
        except ValidationError as error:
            [first, *_] = error.errors()
            name = f"EXACTUM_{first['loc'][0]}".upper()
            reason = first["msg"].removeprefix("Value error, ")
            raise ConfigError(f"{name}: {reason}.") from None

    @property
    def keys(self) -> Path:
        return self.home / "keys"

    @property
    def models(self) -> Path:
        return self.home / "models"
