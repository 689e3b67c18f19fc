"""Tensors that an ONNX file keeps in other files of its folder.

A file names them, and files are hostile: a name leads into the folder and through no link, and what
is read of it is no longer than a tensor may be.
"""

import hashlib
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from io import BufferedReader, BytesIO
from pathlib import Path, PurePosixPath

from google.protobuf.message import DecodeError  # type: ignore[import-untyped, unused-ignore]
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto

from oracle.errors import ModelRefused, Reason
from oracle.exact.primitive import Outside

MAX_WHOLE = (1 << 31) - (1 << 20)
"""Bytes that a protobuf may have, and some for the heads of tensors."""

Folder = Path | Mapping[str, bytes]
"""Where the other files are: a folder, or what they hold by their names."""

_KEYS = {"location", "offset", "length", "checksum", "basepath"}


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a tensor's data lies; `length` is None for all that is behind `offset`."""

    name: str
    offset: int
    length: int | None


def is_onnx(model: bytes) -> bool:
    """Says whether a file is an ONNX file: a protobuf with a graph."""
    proto = ModelProto()
    try:
        proto.ParseFromString(model)
    except DecodeError:
        return False
    return bool(proto.HasField("graph"))


def is_outside(tensor: TensorProto) -> bool:
    return tensor.data_location == TensorProto.EXTERNAL or bool(tensor.external_data)


def with_data(tensor: TensorProto, folder: Folder, limit: int) -> TensorProto:
    """Gives the tensor with its data, of at most `limit` bytes. Raises Outside."""
    place = _place(tensor)
    with opened(folder, place.name) as file:
        size = file.seek(0, os.SEEK_END)
        length = size - place.offset if place.length is None else place.length
        if length < 0 or place.offset + length > size:
            raise Outside(
                f"tensor {tensor.name!r} ends behind the {size} bytes of {place.name!r}",
                "fix the file, or copy all of its folder",
            )
        if length > limit:
            raise Outside(
                f"tensor {tensor.name!r} has {length} bytes", f"use {limit} bytes or fewer"
            )
        file.seek(place.offset)
        data = file.read(length)
    inside = TensorProto(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims)
    inside.raw_data = data
    return inside


def source_digest(model: bytes, folder: Path) -> bytes:
    """Gives the hash by which an id names its source: the file's SHA-256; where tensors are in
    other files, the SHA-256 of that and those files' SHA-256, one behind the other, in the order of
    their names. Raises ModelRefused."""
    own = hashlib.sha256(model).digest()
    digests = [own]
    for name in outside_files(model):
        with refusing(), opened(folder, name) as file:
            digests.append(hashlib.file_digest(file, "sha256").digest())
    return own if len(digests) == 1 else hashlib.sha256(b"".join(digests)).digest()


def outside_files(model: bytes) -> list[str]:
    """Lists the other files that an ONNX file keeps tensors in, in their order. Raises
    ModelRefused."""
    with refusing():
        return sorted({_place(t).name for t in tensors(_parsed(model)) if is_outside(t)})


def whole(model: bytes, folder: Folder) -> bytes:
    """Gives the file with all of its tensors inside. Raises ModelRefused."""
    proto = _parsed(model)
    outside = [tensor for tensor in tensors(proto) if is_outside(tensor)]
    if not outside:
        return model
    left = MAX_WHOLE - len(model)
    with refusing():
        for tensor in outside:
            tensor.CopyFrom(with_data(tensor, folder, left))
            left -= len(tensor.raw_data)
    return bytes(proto.SerializeToString())


def tensors(proto: ModelProto) -> Iterator[TensorProto]:
    """Yields all tensors of a file, also those in attributes, branches and functions."""
    yield from _graph_tensors(proto.graph)
    for function in proto.functions:
        for node in function.node:
            yield from _node_tensors(node)


def _graph_tensors(graph: GraphProto) -> Iterator[TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        yield from _node_tensors(node)


def _node_tensors(node: NodeProto) -> Iterator[TensorProto]:
    for attribute in node.attribute:
        yield from _attribute_tensors(attribute)


def _attribute_tensors(attribute: AttributeProto) -> Iterator[TensorProto]:
    yield attribute.t
    yield from attribute.tensors
    for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
        yield from (sparse.values, sparse.indices)
    for graph in (attribute.g, *attribute.graphs):
        yield from _graph_tensors(graph)


def _parsed(model: bytes) -> ModelProto:
    proto = ModelProto()
    try:
        proto.ParseFromString(model)
        return proto
    except DecodeError:
        reason = Reason("", "", "it is not an ONNX file", "give a .onnx file")
        raise ModelRefused([reason]) from None


@contextmanager
def refusing() -> Iterator[None]:
    """Raises ModelRefused for what is Outside."""
    try:
        yield
    except Outside as outside:
        raise ModelRefused([Reason("", "", outside.why, outside.advice)]) from None


def _place(tensor: TensorProto) -> _Place:
    said = {entry.key: entry.value for entry in tensor.external_data}
    is_plain = len(said) == len(tensor.external_data) and said.keys() <= _KEYS
    is_plain &= all(isinstance(text, str) for text in said.values())  # bytes are no UTF-8
    numbers = [said[key] for key in ("offset", "length") if key in said]
    if not is_plain or not all(text.isascii() and text.isdigit() for text in numbers):
        raise Outside(f"it is not said where the data of tensor {tensor.name!r} is", "fix the file")
    if any(len(text) > 18 for text in numbers):
        raise Outside(f"the data of tensor {tensor.name!r} is beyond any file", "fix the file")
    length = int(said["length"]) if "length" in said else None
    return _Place(_name(tensor, said.get("location", "")), int(said.get("offset", "0")), length)


def _name(tensor: TensorProto, location: str) -> str:
    """Gives the name in its one form. Raises Outside where it leads out of the folder."""
    path = PurePosixPath(location)
    if not path.parts or path.is_absolute() or ".." in path.parts or not location.isprintable():
        raise Outside(
            f"the data of tensor {tensor.name!r} is said to be at {location!r}",
            "keep it beside the file",
        )
    return str(path)


@contextmanager
def opened(folder: Folder, name: str) -> Iterator[BufferedReader | BytesIO]:
    """Opens a file of the folder, through no link, whatever is moved there meanwhile. Raises
    Outside."""
    if isinstance(folder, Mapping):
        if name not in folder:
            raise Outside(f"{name!r}, which holds tensors, is not there", "copy it beside the file")
        yield BytesIO(folder[name])
        return
    *folders, last = PurePosixPath(name).parts
    try:
        with ExitStack() as stack:
            at = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            stack.callback(os.close, at)
            for part in folders:
                at = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=at)
                stack.callback(os.close, at)
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK  # a pipe must not hold us
            found = os.open(last, flags, dir_fd=at)
            stack.callback(os.close, found)
            if not stat.S_ISREG(os.fstat(found).st_mode):
                raise Outside(f"{name!r} is no plain file", "copy the data beside the file")
            yield stack.enter_context(os.fdopen(found, "rb", closefd=False))
    except OSError as error:
        raise Outside(
            f"{name!r}, which holds tensors, cannot be read ({error.strerror})",
            "copy it beside the file; a link is not followed",
        ) from None
