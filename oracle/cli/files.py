"""Model files for a command: from the cache, or from where the chain says they are."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from oracle.chain.histories import ModelHistory
from oracle.config import Settings
from oracle.errors import ConfigError, ModelRefused
from oracle.exact.program_file import START, Dictionary, dictionary, is_program
from oracle.inference.cache import Limits
from oracle.inference.certificates import name_of
from oracle.inference.files import ModelFiles
from oracle.inference.packed import packed
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


def model_path(
    found: ModelHistory, file: Path | None, settings: Settings, allow_local: bool = False
) -> Path:
    """Gives the path of the model's file, checked against its name: `file`, or one from the cache
    or from the model's URIs."""
    if file is None:
        return model_files(settings, allow_local).fetch(found.model.file, found.uris)
    check_file(file, found.model)
    return file


def local_dictionary(model: Model, files: ModelFiles) -> Dictionary | None:
    """Reads what a model's integers stand for, where its program file is in our cache. That is what
    its publisher, or whoever served the file, says: the model's id binds none of it."""
    path = files.place(model.file)
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
        if source_name(file, read_onnx(file)) == model.source:
            raise _no_program(f"{file} is the ONNX file that the model was lowered from")
        raise _no_program(f"{file} is an ONNX file, and not the one that the model is of")
    raise ConfigError(f"{file} is not the model's file: it is {actual}, the model's {needed}.")


def program_name(file: Path) -> FileName:
    """Finds the name of a program file that somebody gave. Raises ConfigError where it is none."""
    name = file_name(file)
    if name.kind is not FileKind.PROGRAM:
        source_name(file, read_onnx(file))
        raise _no_program(f"{file} is an ONNX file")
    return name


def source_name(file: Path, data: bytes) -> FileName:
    """Finds the name by which ids know an ONNX file, of which this is the data, and what it keeps
    in other files. Raises ConfigError where those are not there."""
    from oracle.exact.lowering.external import source_digest

    try:
        return FileName(FileKind.ONNX, source_digest(data, file.parent))
    except ModelRefused as refused:
        raise ConfigError(f"{file}: {refused.reasons[0]}.") from None


def read_onnx(file: Path) -> bytes:
    """Reads an ONNX file. Raises ConfigError where it is none."""
    from oracle.exact.lowering.external import is_onnx

    data = read_file(file)
    if not is_onnx(data):
        raise ConfigError(
            f"{file} is neither a program file nor an ONNX file: give what exactum model lower"
            " wrote, or the .onnx file that it read."
        )
    return data


def keep(files: ModelFiles, file: Path) -> FileName:
    """Puts a program file into the cache, or an ONNX file and what it keeps in other files; gives
    its name. Raises ConfigError where it is neither."""
    with _readable(file):
        with file.open("rb") as opened:
            is_own = is_program(opened.read(START))
        if is_own:
            return files.add(file)
    from oracle.exact.lowering.external import outside_files

    data = read_onnx(file)
    try:
        return files.add(packed(data, file.parent) if outside_files(data) else file)
    except ModelRefused as refused:
        raise ConfigError(f"{file}: {refused.reasons[0]}.") from None


def _no_program(what: str) -> ConfigError:
    return ConfigError(f"{what}: exactum model lower writes its program file, which is run here.")


def file_name(file: Path) -> FileName:
    """Finds the name of a file that somebody gave. Raises ConfigError where it cannot be read, and
    NotCertified."""
    with _readable(file):
        return name_of(file)


@contextmanager
def _readable(file: Path) -> Iterator[None]:
    """Raises ConfigError where a file cannot be read, or is a program file that lacks a part."""
    try:
        yield
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
