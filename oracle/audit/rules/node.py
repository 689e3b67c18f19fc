"""A node as a rule sees it, and the places of elements in tensors."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import TypeAlias

from oracle.audit.numbers import Element, Result
from oracle.types import DType

Read = Callable[[int, int, int], Sequence[Element]]
"""Reads `count` neighbouring elements of an operand, in C order: (operand, first, count)."""

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Tensor:
    """Element type and shape."""

    dtype: DType
    shape: Shape

    @property
    def elements(self) -> int:
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        return self.elements * self.dtype.itemsize


@dataclass(frozen=True, slots=True)
class Primitive:
    """A node's op, the types that it reads its operands with, its output's type, its attributes."""

    op: int
    operands: tuple[Tensor, ...]
    output: Tensor
    attributes: tuple[int, ...]


Rule: TypeAlias = Callable[[Primitive, int, Read], Result]
"""Computes an element of a node from those that it reads."""

Ops: TypeAlias = dict[int, tuple[str, Rule]]
"""The ops of a family by number, each with its name in docs/law."""


def unravelled(shape: Shape, element: int) -> list[int]:
    """Gives an element's index along each axis."""
    found = []
    for size in reversed(shape):
        element, place = divmod(element, size)
        found.append(place)
    return found[::-1]


def flat(shape: Sequence[int], places: Sequence[int]) -> int:
    element = 0
    for size, place in zip(shape, places, strict=True):
        element = element * size + place
    return element


def broadcast(own: Sequence[int], shape: Sequence[int], element: int) -> int:
    """Gives the operand's element that stands at an element of the shape it is stretched to."""
    places = unravelled(tuple(shape), element)[len(shape) - len(own) :]
    return flat(own, [0 if size == 1 else at for size, at in zip(own, places, strict=True)])
