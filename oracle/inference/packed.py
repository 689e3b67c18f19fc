"""An ONNX file and the files beside it that hold its tensors, as one file that a cache can keep.

MAGIC, then the ONNX file and each of the others in the order of their names: its length in eight
bytes, and its bytes. The digest of it all is `source_digest`, by which an id knows such a source.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

MAGIC = b"exactum source 1\n"
CHUNK = 1 << 20
MOST_FILES = 1 << 16


def packed(model: bytes, folder: Path) -> Iterator[bytes]:
    """Yields the packed file. Raises ModelRefused where a file of the folder cannot be read."""
    # They take long to load.
    from oracle.exact.lowering.external import opened, outside_files, refusing

    yield MAGIC + len(model).to_bytes(8, "big")
    yield model
    for name in outside_files(model):
        with refusing(), opened(folder, name) as file:
            left = file.seek(0, os.SEEK_END)
            file.seek(0)
            yield left.to_bytes(8, "big")
            while left and (chunk := file.read(min(CHUNK, left))):
                left -= len(chunk)
                yield chunk


def digest_of(file: BinaryIO) -> bytes | None:
    """Gives the digest of a packed file, or None of any other."""
    digests = [_digest(file, length) for length in _lengths(file)]
    return joined(digests) if digests else None


def joined(digests: Iterable[bytes]) -> bytes:
    """Gives the digest of a source from those of its files, as `source_digest` does."""
    return hashlib.sha256(b"".join(digests)).digest()


def unpack(file: BinaryIO) -> list[bytes]:
    """Gives the ONNX file and the others in a packed file; nothing where it is another file."""
    return [file.read(length) for length in _lengths(file)]


def _digest(file: BinaryIO, length: int) -> bytes:
    found = hashlib.sha256()
    while length and (chunk := file.read(min(CHUNK, length))):
        length -= len(chunk)
        found.update(chunk)
    return found.digest()


def _lengths(file: BinaryIO) -> Iterator[int]:
    """Yields the length of each file in a packed one, with `file` at its beginning; the caller
    reads on to its end. Yields nothing where the lengths are not those of a packed file."""
    size, at = file.seek(0, os.SEEK_END), len(MAGIC)
    file.seek(0)
    if file.read(at) != MAGIC:
        return
    starts = list[tuple[int, int]]()
    while at < size and len(starts) < MOST_FILES:
        file.seek(at)
        length = int.from_bytes(file.read(8), "big")
        starts.append((at + 8, length))
        at += 8 + length
    if at != size or len(starts) < 2:
        return
    for start, length in starts:
        file.seek(start)
        yield length
