"""Two payloads of one output beside each other, element by element, by their bits."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from oracle.tensor import numpy_dtype
from oracle.types import DType, TensorType


@dataclass(frozen=True, slots=True)
class Element:
    """One output element: its bits as claimed and as recomputed."""

    tensor: str
    index: int
    claimed: str
    recomputed: str
    claimed_bits: str
    recomputed_bits: str

    @property
    def matches(self) -> bool:
        return self.claimed_bits == self.recomputed_bits


def compare(claimed: bytes, recomputed: bytes, tensors: Sequence[TensorType]) -> list[Element]:
    """Compares all elements by the bits as they stand in the payload. The claim is not made
    canonical first, because a negative zero is a wrong result, and so is a bool of 2."""
    return [
        _element(claimed, recomputed, offset, index, tensor)
        for offset, tensor in _placed(tensors)
        for index in range(tensor.elements)
    ]


def first_differences(
    claimed: bytes, recomputed: bytes, tensors: Sequence[TensorType]
) -> list[int]:
    """Finds the first element of each tensor that differs; -1 where none does."""
    found = []
    for offset, tensor in _placed(tensors):
        places = _differing(claimed, recomputed, offset, tensor)
        found.append(int(places[0]) if places.size else -1)
    return found


def first_difference(
    claimed: bytes, recomputed: bytes, tensors: Sequence[TensorType]
) -> tuple[Element, int] | None:
    """Finds the first element that differs, and how many do, or None where none does."""
    first, count = None, 0
    for offset, tensor in _placed(tensors):
        places = _differing(claimed, recomputed, offset, tensor)
        if places.size and first is None:
            first = _element(claimed, recomputed, offset, int(places[0]), tensor)
        count += places.size
    return None if first is None else (first, count)


def _placed(tensors: Sequence[TensorType]) -> Iterator[tuple[int, TensorType]]:
    offset = 0
    for tensor in tensors:
        yield offset, tensor
        offset += tensor.nbytes


def _differing(
    claimed: bytes, recomputed: bytes, offset: int, tensor: TensorType
) -> "np.ndarray[tuple[int, ...], np.dtype[np.intp]]":
    size = tensor.dtype.itemsize
    theirs, ours = (
        np.frombuffer(data, np.uint8, tensor.nbytes, offset).reshape(-1, size)
        for data in (claimed, recomputed)
    )
    return np.flatnonzero((theirs != ours).any(axis=1))


def _element(
    claimed: bytes, recomputed: bytes, offset: int, index: int, tensor: TensorType
) -> Element:
    size = tensor.dtype.itemsize
    at = offset + index * size
    theirs, ours = claimed[at : at + size], recomputed[at : at + size]
    values = _value(theirs, tensor.dtype), _value(ours, tensor.dtype)
    return Element(tensor.name, index, *values, theirs.hex(), ours.hex())


def _value(bits: bytes, dtype: DType) -> str:
    """Shows an element as a person reads it: a bool other than 0 and 1 as its byte, a −0 with its
    sign."""
    if dtype is DType.BOOL:
        return {0: "False", 1: "True"}.get(bits[0], str(bits[0]))
    if dtype is DType.BFLOAT16:
        return str(np.frombuffer(bits + bytes(2), ">f4")[0])
    return str(np.frombuffer(bits, numpy_dtype(dtype).newbyteorder(">"))[0])
