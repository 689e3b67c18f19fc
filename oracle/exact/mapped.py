"""A safetensors file whose tensors are read where they lie.

The library copies each tensor into memory of its own. Mapped pages are shared by all processes that
run the model, and the kernel drops them when it needs room.
"""

import mmap
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from oracle.tensor import Array

MAX_HEADER = 1 << 25  # bytes: names and constants of 2^17 nodes, and no more than can be parsed
_SIZES = {"BOOL": 1, "U8": 1, "I8": 1, "I32": 4, "U32": 4, "F32": 4, "I64": 8}


class Malformed(Exception):
    """The file is no safetensors file that can be read."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A tensor's bytes as they stand, little-endian, and the bytes of an element."""

    data: Array  # uint8, one row
    itemsize: int


class Mapped:
    """An open file. `metadata` is what its header says under that name."""

    def __init__(self, path: Path):
        """Raises Malformed, and OSError where the file cannot be opened."""
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            length = int.from_bytes(file.read(8), "little")
            if size <= 8 or length > min(MAX_HEADER, size - 8):
                raise Malformed("its header is longer than the file, or than a header may be")
            try:
                header = orjson.loads(file.read(length))
            except orjson.JSONDecodeError as error:
                raise Malformed(f"its header is no JSON ({error})") from None
            if not isinstance(header, dict):
                raise Malformed("its header names no tensors")
            self._data = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ)
        self.metadata: Any = header.pop("__metadata__", None)
        self._header: Mapping[str, Any] = header
        self._first, self._size = 8 + length, size

    def __contains__(self, name: str) -> bool:
        return name in self._header

    def tensor(self, name: str) -> Stored:
        """Gives a tensor without reading it. Raises Malformed where there is none."""
        try:
            found = self._header[name]
            begin, end = found["data_offsets"]
            itemsize = _SIZES[found["dtype"]]
            if type(begin) is not int or type(end) is not int:
                raise TypeError
            is_inside = 0 <= begin <= end <= self._size - self._first
        except (TypeError, KeyError, ValueError):
            raise Malformed(f"it has no tensor {name!r} of a dtype of ours") from None
        if not is_inside or (end - begin) % itemsize:
            raise Malformed(f"its tensor {name!r} does not lie within it")
        if begin == end:  # of which numpy makes no view
            return Stored(np.empty(0, np.uint8), itemsize)
        at = self._first + begin
        return Stored(np.frombuffer(self._data, np.uint8, end - begin, at), itemsize)
