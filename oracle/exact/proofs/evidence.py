"""Proofs that one element of a run is wrong, as `contracts/interfaces/IReferee.sol` has them.

A challenger may know but parts of what the operator committed to: `Sources` is what a proof needs
of it. `WholeTrace` has all of it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from typing import Protocol

from oracle import merkle
from oracle.exact.program import Operand, OperandKind, Program
from oracle.exact.proofs.reads import Read, reads
from oracle.exact.proofs.trace import Trace
from oracle.merkle import Run, TensorTree
from oracle.tensor import Array, canonical, elements, to_bytes


class ClaimKind(IntEnum):
    """Where the claimed element is: in the operator's trace, or in its output's payload."""

    VALUE = 2
    OUTPUT = 3


@dataclass(frozen=True, slots=True)
class Payloads:
    """What was asked, and what the operator answered, byte by byte."""

    input: bytes
    output: bytes


class Sources(Protocol):
    """What lies under the operator's trace root, as far as it is known, and both payloads."""

    def value_root(self, value: int) -> bytes:
        """Gives the root of a value, as it stands in the operator's value tree."""

    def value_path(self, value: int) -> Sequence[bytes]:
        """Gives the siblings beside the path from a value's root to the top of the value tree."""

    def claimed_run(self, value: int, leaf: int) -> Run:
        """Gives one leaf of the operator's value, as it claims it."""

    def operand_run(self, operand: Operand, first: int, count: int) -> Run:
        """Gives leaves of a constant, or of a value of the operator's on which both sides agree."""

    def input_run(self, first: int, count: int) -> Run:
        """Gives leaves of the input payload."""

    def output_run(self, first: int, count: int) -> Run:
        """Gives leaves of the operator's output payload."""

    def element(self, operand: Operand, place: int) -> int:
        """Gives one element of any operand in canonical form: the bits of a float, else a
        number."""


class WholeTrace:
    """Every value of the operator's run. Without `payloads`, what was asked is canonical, and the
    operator answered what it computed."""

    def __init__(self, trace: Trace, inputs: Sequence[Array], payloads: Payloads | None = None):
        self._trace = trace
        self._inputs = inputs
        self._given = payloads
        self._trees: dict[tuple[OperandKind, int], TensorTree] = {}

    def value_root(self, value: int) -> bytes:
        return self._trace.roots[value]

    def value_path(self, value: int) -> Sequence[bytes]:
        return self._trace.open_value(value).siblings

    def claimed_run(self, value: int, leaf: int) -> Run:
        return self._run(OperandKind.VALUE, value, leaf, 1)

    def operand_run(self, operand: Operand, first: int, count: int) -> Run:
        return self._run(operand.kind, operand.index, first, count)

    def input_run(self, first: int, count: int) -> Run:
        return self._input_tree.run(first, count)

    def output_run(self, first: int, count: int) -> Run:
        return merkle.payload_tree(self._payloads.output).run(first, count)

    @cached_property
    def _payloads(self) -> Payloads:
        asked = b"".join(map(to_bytes, self._inputs))
        return self._given or Payloads(asked, self._trace.output)

    @cached_property
    def _input_tree(self) -> TensorTree:
        return merkle.payload_tree(self._payloads.input)

    def element(self, operand: Operand, place: int) -> int:
        found = canonical(elements(self.array(operand.kind, operand.index), place, 1))
        return int(found.view("u4")[0] if found.dtype.kind == "f" else found[0])

    def _run(self, kind: OperandKind, index: int, first: int, count: int) -> Run:
        if (kind, index) not in self._trees:
            self._trees[kind, index] = TensorTree(self._stored(kind, index))
        return self._trees[kind, index].run(first, count)

    def _stored(self, kind: OperandKind, index: int) -> Array:
        """Gives a whole operand as it was hashed."""
        if kind is OperandKind.CONSTANT:
            return self._trace.program.constants[index].stored
        return self.array(kind, index)

    def array(self, kind: OperandKind, index: int) -> Array:
        """Gives a whole operand."""
        match kind:
            case OperandKind.INPUT:
                return self._inputs[index]
            case OperandKind.CONSTANT:
                return self._trace.program.constants[index].array
            case OperandKind.VALUE:
                return self._trace.values[index]


def build(
    program: Program,
    node: int,
    element: int,
    sources: Sources,
    kind: ClaimKind = ClaimKind.VALUE,
    output: int = 0,
) -> bytes:
    """Builds the proof for one element of a node's value. Where `kind` is OUTPUT, that node's value
    must be the program's output number `output`."""
    claim = (kind, 8), (node, 32), (output, 32), (element, 64), (0, 120)
    parts = [b"".join(number.to_bytes(bits // 8, "big") for number, bits in claim)]
    parts.append(descriptors(program, node))
    record = program.nodes[node]
    if kind is ClaimKind.VALUE:
        parts += _value(node, sources)
        leaf = element * record.output.dtype.itemsize // merkle.LEAF
        parts += _words(sources.claimed_run(node, leaf))
    else:
        size = record.output.dtype.itemsize
        place = program.output_places[output] + element * size
        parts += _words(sources.output_run(*merkle.span(place, size)))
    for operand in record.operands:
        if operand.kind is OperandKind.VALUE:
            parts += _value(operand.index, sources)
    for operand, first, count in runs(program, node, element, sources):
        if operand.kind is OperandKind.INPUT:
            parts += _words(sources.input_run(first, count))
        else:
            parts += _words(sources.operand_run(operand, first, count))
    return b"".join(parts)


def descriptors(program: Program, node: int | None = None) -> bytes:
    """Gives the program's header and its path, and those of a node: what `IDisputes.demand`
    takes."""
    records = [0] if node is None else [0, node + 1]
    return b"".join(
        program.records[at] + b"".join(program.record_levels.nodes(0, at, 1).siblings)
        for at in records
    )


def runs(
    program: Program, index: int, element: int, sources: Sources
) -> Iterator[tuple[Operand, int, int]]:
    """Yields (operand, first leaf, leaves) for each run that a proof of an element of node `index`
    opens, in order: of the operand's own tree, or of an input the payload's."""
    node = program.nodes[index]

    def look(operand: int, place: int) -> int:
        return sources.element(node.operands[operand], place)

    for read in reads(node, element, look):
        operand = node.operands[read.operand]
        yield operand, *leaves_of(program, operand, read)


def leaves_of(program: Program, operand: Operand, read: Read) -> tuple[int, int]:
    """Gives (first leaf, leaves): those of the tree that the operand lies in that have the elements
    of `read`."""
    size = operand.type.dtype.itemsize
    offset = program.input_places[operand.index] if operand.kind is OperandKind.INPUT else 0
    return merkle.span(offset + read.first * size, read.count * size)


def _value(value: int, sources: Sources) -> list[bytes]:
    return [sources.value_root(value), *sources.value_path(value)]


def _words(run: Run) -> list[bytes]:
    return [*run.leaves, *run.siblings]
