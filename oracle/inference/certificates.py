"""What certifies a model's file: a program's root, or the digest of an ONNX file and what it keeps
beside it."""

import hashlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Lock, Timer

from oracle.errors import ModelRefused, NotCertified
from oracle.exact.program_file import START, is_program
from oracle.inference.certifier import ERROR, ROOT
from oracle.inference.failures import MAX_ERROR, decoded
from oracle.inference.packed import digest_of
from oracle.inference.process import ending, start
from oracle.types import FileKind, FileName

CHILD = "oracle.inference.certifier"
SECONDS = 300.0  # to look at a file, as for a child to load a model
MEMORY = 4 << 30  # bytes, besides the file's own, which is mapped

_ONE_AT_A_TIME = Lock()
"""A head may take a gigabyte while it is parsed; strangers choose how many files are fetched."""


@dataclass(slots=True)
class Allowance:
    """The seconds that files may take which are looked at in one another's place, and how many of
    them are still to come: each has an equal share of what those before it left."""

    files: int = 1
    seconds: float = field(default_factory=lambda: SECONDS)

    @contextmanager
    def share(self) -> Iterator[float]:
        """Gives the seconds of the next file, and takes away what the block took."""
        began = time.monotonic()
        try:
            yield max(self.seconds, 0.0) / self.files
        finally:
            self.seconds -= time.monotonic() - began


def name_of(path: Path, allowance: Allowance | None = None) -> FileName:
    """Finds the name of a file. Raises ModelRefused where it looks like a program file and is not a
    whole one, NotCertified where that could not be found out, and OSError."""
    with path.open("rb") as file:
        if is_program(file.read(START)):
            with _ONE_AT_A_TIME, (allowance or Allowance()).share() as seconds:
                return FileName(FileKind.PROGRAM, _root(path, seconds))
        file.seek(0)
        if (digest := digest_of(file)) is not None:
            return FileName(FileKind.ONNX, digest)
        file.seek(0)
        return FileName(FileKind.ONNX, hashlib.file_digest(file, "sha256").digest())


def is_certified(path: Path, name: FileName) -> bool:
    """Says whether the file is what its name says. Raises NotCertified and OSError."""
    try:
        return name_of(path) == name
    except ModelRefused:
        return False


def _root(path: Path, seconds: float) -> bytes:
    """Has a child read the file, whose life, time and memory are all that the file can take."""
    said, how = _told(path, seconds)
    kind, data = said[:1], said[1:]
    if kind == ROOT and len(data) == 32:
        return data
    if kind != ERROR:
        raise NotCertified(f"the process that read it {how}")
    error = decoded(data)
    if isinstance(error, ModelRefused | NotCertified):
        raise error
    raise NotCertified("the process that read it gave an answer that cannot be read")


def _told(path: Path, seconds: float) -> tuple[bytes, str]:
    """Gives what the child told of the file, and how it ended."""
    pipe, is_late = subprocess.PIPE, Event()
    with start(CHILD, (path.absolute(), MEMORY), stdin=pipe, stdout=pipe) as process:

        def end() -> None:
            is_late.set()
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

        timer = Timer(seconds, end)
        timer.start()
        try:
            assert process.stdout is not None
            said = process.stdout.read(MAX_ERROR + 2)
            code = process.wait()
        finally:
            timer.cancel()
            process.kill()
    return said, f"took more than {seconds:.3g} s" if is_late.is_set() else ending(code)
