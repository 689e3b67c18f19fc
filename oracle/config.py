"""Settings from the environment: what options of the command line fall back to."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Each field is read from EXACTUM_<FIELD>."""

    model_config = SettingsConfigDict(env_prefix="EXACTUM_", extra="ignore")

    home: Path = Path.home() / ".exactum"
    rpc: str = "http://127.0.0.1:8545"
    deployments: Path = Path("deployments")
    key: str = "default"
    password: str | None = None
    password_file: Path | None = None
    ipfs_gateway: str | None = None
    cache_bytes: int = Field(default=16 << 30, gt=0)  # of model files

    @property
    def keys(self) -> Path:
        return self.home / "keys"

    @property
    def models(self) -> Path:
        return self.home / "models"
