"""What certifies a model's file: a program's root, or the digest of an ONNX file and what it keeps
beside it."""

import hashlib
from pathlib import Path
from threading import Lock

from oracle.errors import ModelRefused
from oracle.exact.program_file import certify, is_program
from oracle.inference.packed import digest_of
from oracle.types import FileKind, FileName

_ONE_AT_A_TIME = Lock()
"""A head may take a gigabyte while it is parsed; strangers choose how many files are fetched."""


def name_of(path: Path) -> FileName:
    """Finds the name of a file. Raises ModelRefused where it looks like a program file and is not a
    whole one, and OSError."""
    with path.open("rb") as file:
        if is_program(file.read(16)):
            with _ONE_AT_A_TIME:
                return FileName(FileKind.PROGRAM, certify(path))
        file.seek(0)
        if (digest := digest_of(file)) is not None:
            return FileName(FileKind.ONNX, digest)
        file.seek(0)
        return FileName(FileKind.ONNX, hashlib.file_digest(file, "sha256").digest())


def is_certified(path: Path, name: FileName) -> bool:
    """Says whether the file is what its name says. Raises OSError."""
    try:
        return name_of(path) == name
    except ModelRefused:
        return False
