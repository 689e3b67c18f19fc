"""Tensors as bytes: the one canonical form of a float, and the payloads of requests and results."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oracle.errors import (
    WrongPayloadLength,
    WrongTensorCount,
    WrongTensorShape,
    WrongTensorType,
)
from oracle.types import DType, TensorType

Array = NDArray[Any]

_IN_PIECES: Any = ("external_loop", "buffered", "ranged")

CANONICAL_NAN = np.uint32(0x7FC00000)

_NUMPY: dict[DType, np.dtype[Any]] = {
    DType.FLOAT: np.dtype(np.float32),
    DType.UINT8: np.dtype(np.uint8),
    DType.INT8: np.dtype(np.int8),
    DType.UINT16: np.dtype(np.uint16),
    DType.INT16: np.dtype(np.int16),
    DType.INT32: np.dtype(np.int32),
    DType.INT64: np.dtype(np.int64),
    DType.BOOL: np.dtype(np.bool_),
    DType.FLOAT16: np.dtype(np.float16),
    DType.DOUBLE: np.dtype(np.float64),
    DType.UINT32: np.dtype(np.uint32),
    DType.UINT64: np.dtype(np.uint64),
}
_DTYPE = {dtype: code for code, dtype in _NUMPY.items()}


def numpy_dtype(dtype: DType) -> np.dtype[Any]:
    """Gives the native numpy dtype. Raises KeyError where numpy has none (bfloat16, string)."""
    return _NUMPY[dtype]


def dtype_of(array: Array) -> DType:
    """Gives the ONNX dtype of a native array. Raises KeyError where there is none."""
    return _DTYPE[array.dtype]


def canonical(array: Array) -> Array:
    """Gives `array` with −0 as +0 and every NaN as 0x7fc00000. Other dtypes than float32 are
    returned as they are.
    """
    if array.dtype != np.float32:
        return array
    with np.errstate(invalid="ignore"):  # a signalling NaN is no error
        # −0 + +0 is +0 under round-to-nearest, and adding +0 changes no other number.
        clean: Array = np.asarray(np.add(array, np.float32(0)))
    nan = np.isnan(clean)
    if nan.any():
        np.copyto(clean.view(np.uint32), CANONICAL_NAN, where=nan)
    return clean


def to_bytes(array: Array) -> bytes:
    """Gives the canonical elements as big-endian bytes, in C order."""
    return canonical(array).astype(array.dtype.newbyteorder(">"), copy=False).tobytes()


def elements(array: Array, first: int, count: int) -> Array:
    """Gives elements from place `first` on, in C order, in one row. Where memory lies otherwise it
    copies them, and no more."""
    if array.flags.c_contiguous:
        return array.reshape(-1)[first : first + count]
    row = np.empty(max(0, min(count, array.size - first)), array.dtype)
    if row.size:
        pieces: Any = np.nditer(array, _IN_PIECES, order="C", buffersize=row.size)
        pieces.iterrange = first, first + row.size
        at = 0
        for piece in pieces:
            row[at : at + piece.size] = piece
            at += piece.size
    return row


def encode(arrays: Sequence[Array], types: Sequence[TensorType]) -> bytes:
    """Encodes arrays as a payload: canonical big-endian elements in signature order, without gaps.

    Raises WrongTensorCount, WrongTensorShape or WrongTensorType; converts no dtype silently.
    """
    if len(arrays) != len(types):
        raise WrongTensorCount(len(arrays), len(types))
    return b"".join(
        to_bytes(_fitting(array, type_)) for array, type_ in zip(arrays, types, strict=True)
    )


def decode(data: bytes, types: Sequence[TensorType]) -> tuple[Array, ...]:
    """Decodes a payload to canonical arrays, writable and in native byte order.

    Raises WrongPayloadLength, or WrongTensorType where a payload may not hold the dtype. A −0, an
    odd NaN, or a bool that is neither 0 nor 1 is read in its canonical form, as the referee reads
    it, because nobody could convict a wrong answer to a payload that this function refused.
    """
    for type_ in types:
        if type_.dtype not in _NUMPY:
            raise WrongTensorType(type_.name, type_.dtype.name, "a dtype of fixed size")
    needed = sum(type_.nbytes for type_ in types)
    if len(data) != needed:
        raise WrongPayloadLength(len(data), needed)
    arrays = []
    offset = 0
    for type_ in types:
        arrays.append(_decoded(data, offset, type_))
        offset += type_.nbytes
    return tuple(arrays)


def _fitting(array: Array, type_: TensorType) -> Array:
    if type_.dtype not in _NUMPY:
        raise WrongTensorType(type_.name, type_.dtype.name, "a dtype of fixed size")
    if array.dtype != _NUMPY[type_.dtype]:
        raise WrongTensorType(type_.name, str(array.dtype), str(_NUMPY[type_.dtype]))
    if array.shape != type_.shape:
        raise WrongTensorShape(type_.name, array.shape, type_.shape)
    return array


def _decoded(data: bytes, offset: int, type_: TensorType) -> Array:
    if type_.dtype is DType.BOOL:
        raw = np.frombuffer(data, np.uint8, type_.elements, offset)
        return raw.astype(np.bool_).reshape(type_.shape)
    native = _NUMPY[type_.dtype]
    wire = np.frombuffer(data, native.newbyteorder(">"), type_.elements, offset)
    return canonical(wire.astype(native).reshape(type_.shape))
