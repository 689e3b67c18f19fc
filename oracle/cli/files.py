"""Model files for a command: from the cache, or from where the chain says they are."""

from pathlib import Path

from oracle.chain.history import ModelHistory
from oracle.config import Settings
from oracle.errors import ConfigError, ModelRefused
from oracle.exact.program_file import Dictionary, dictionary
from oracle.inference.cache import Limits
from oracle.inference.certificates import name_of
from oracle.inference.files import ModelFiles
from oracle.types import FileKind, FileName, Model

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
    """Gives the path of the model's file, checked against its name: `file`, or one from the cache
    or from the model's URIs."""
    if file is None:
        return model_files(settings).fetch(found.model.file, found.uris)
    check_file(file, found.model)
    return file


def local_file(model: Model, settings: Settings) -> Path | None:
    """Says where the model's file lies in our cache, if it is there. It is not checked."""
    return model_files(settings).place(model.file)


def local_dictionary(model: Model, settings: Settings) -> Dictionary | None:
    """Reads what a model's integers stand for, where its program file is in our cache. That is what
    its publisher, or whoever served the file, says: the model's id binds none of it."""
    path = local_file(model, settings)
    if path is None or model.file.kind is not FileKind.PROGRAM:
        return None
    try:
        return dictionary(path)
    except (OSError, ModelRefused):
        return None


def check_file(file: Path, model: Model) -> None:
    """Raises ConfigError where a file that somebody gave is not the one that is run."""
    actual, needed = file_name(file), model.file
    if actual == needed:
        return
    if needed.kind is FileKind.PROGRAM and actual.kind is FileKind.ONNX:
        of_it = "it was lowered from it" if actual == model.source else "nor of its source"
        raise ConfigError(
            f"{file} is an ONNX file, and not the model's program ({of_it}): exactum model lower"
            " gives the program of an ONNX file."
        )
    raise ConfigError(f"{file} is not the model's file: it is {actual}, the model's {needed}.")


def file_name(file: Path) -> FileName:
    """Finds the name of a file that somebody gave. Raises ConfigError where it cannot be read."""
    try:
        return name_of(file)
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}.") from error
    except ModelRefused as refused:
        raise ConfigError(f"{file} is no whole program file: {refused.reasons[0].why}.") from None


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
