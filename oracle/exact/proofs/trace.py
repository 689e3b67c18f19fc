"""The trace of a run: one root for the values of all nodes, and openings of any part of them.

    value root   the root of the value's tensor (`oracle.merkle`), in the node's output type
    value tree   value roots by node index; positions beyond the last hold 32 zero bytes; depth the
                 least d with 2^d ≥ nodes; inner nodes as in a tensor's tree. Value roots are its
                 lowest nodes themselves, not hashed once more: the path of a leaf goes on from the
                 top of its tensor
    trace root   keccak256(keccak256("exactum.trace") ‖ program root ‖ root of the value tree)

Nothing in it is free to choose: depths come from the program, padding is zero, floats are
canonical, so one run has one trace root. Its preimage is 96 bytes long, as that of no leaf, inner
node or record is.

A trace is computed only when asked for. It may take far more memory than the run, which frees what
is read no more: beyond `KEPT` bytes it holds roots alone, and runs again up to a value that is
looked at.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Protocol

import numpy as np

from oracle import merkle
from oracle.exact.program import Program, ValueType
from oracle.exact.run import Runner
from oracle.merkle import LEAF, Nodes, Run, keccak256
from oracle.tensor import Array, to_bytes
from oracle.types import LEAVES, VALUE_TREE, Part

KEPT = 1 << 29  # bytes of values that a trace may hold

_TAG = keccak256(b"exactum.trace")
_EMPTY = bytes(32)
_AT_HAND = 4  # of the values that are not held: an accused one and its operands


@dataclass(frozen=True, slots=True)
class ValueOpening:
    """The root of one node's value, and the hashes beside its path in the value tree."""

    value: int
    root: bytes
    siblings: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class RunOpening:
    """Consecutive leaves of one node's value, and both paths up to the trace root."""

    value: int
    run: Run
    siblings: tuple[bytes, ...]
    """In the value tree."""


@dataclass(frozen=True, slots=True)
class NodesOpening:
    """Consecutive nodes of one height in the tree of one node's value, for narrowing down."""

    value: int
    nodes: Nodes
    siblings: tuple[bytes, ...]
    """In the value tree."""


@dataclass(frozen=True, slots=True)
class Divergence:
    """The first element, in node and then in C order, in which two traces differ."""

    value: int
    element: int
    ours: object
    theirs: object


class Values(Protocol):
    """Every node's, in order."""

    def __getitem__(self, node: int, /) -> Array: ...

    def __iter__(self) -> Iterator[Array]: ...


class Rerun:
    """The values of a run, each computed when it is looked at; a few are held."""

    def __init__(self, runner: Runner, inputs: Sequence[Array]):
        self._runner = runner
        self._inputs = inputs
        self._at_hand: dict[int, Array] = {}

    def __getitem__(self, node: int, /) -> Array:
        found = self._at_hand.pop(node, None)
        if found is None:
            found = np.array(next(islice(iter(self), node, None)))
        self._at_hand[node] = found
        if len(self._at_hand) > _AT_HAND:
            del self._at_hand[next(iter(self._at_hand))]
        return found

    def __iter__(self) -> Iterator[Array]:
        return self._runner.values(self._inputs)


class Trace:
    """All values of one run."""

    def __init__(self, program: Program, values: Values):
        self.program = program
        self.values = values

    @cached_property
    def roots(self) -> tuple[bytes, ...]:
        """The root of each node's value."""
        return value_roots(self.values)

    @cached_property
    def root(self) -> bytes:
        return trace_root(self.program.root, self.roots)

    def open_value(self, value: int) -> ValueOpening:
        """The proof of one node's value root."""
        return ValueOpening(value, self.roots[value], self.open_values(0, value, 1).siblings)

    def open_part(self, part: Part) -> tuple[bytes, tuple[bytes, ...]]:
        """What answers a demand: the part's data, and the siblings up to the trace root."""
        if part.value == VALUE_TREE:
            found = self.open_values(part.height, part.first, part.count)
            return b"".join(found.hashes), found.siblings
        if part.height == LEAVES:
            run = self.open_run(part.value, part.first, part.count)
            return b"".join(run.run.leaves), run.run.siblings + run.siblings
        nodes = self.open_nodes(part.value, part.height, part.first, part.count)
        return b"".join(nodes.nodes.hashes), nodes.nodes.siblings + nodes.siblings

    def open_values(self, height: int, first: int, count: int) -> Nodes:
        """The proof of consecutive nodes of the value tree; at height 0 they are value roots."""
        return merkle.nodes_of(list(self.roots), _EMPTY, height, first, count)

    def open_run(self, value: int, first_leaf: int, count: int) -> RunOpening:
        """The proof of `count` leaves of one node's value."""
        run = merkle.open_run(self._leaves(value), first_leaf, count)
        return RunOpening(value, run, self.open_value(value).siblings)

    def open_nodes(self, value: int, height: int, first: int, count: int) -> NodesOpening:
        """The proof of `count` nodes of one height in the tree of one node's value."""
        nodes = merkle.open_nodes(self._leaves(value), height, first, count)
        return NodesOpening(value, nodes, self.open_value(value).siblings)

    def _leaves(self, value: int) -> tuple[bytes, ...]:
        return merkle.leaves_of(to_bytes(self.values[value]))

    def first_divergence(self, other: "Trace") -> Divergence | None:
        """From another trace of the same program; None where all bits are equal."""
        value = first_difference(self.roots, other.roots)
        if value is None:
            return None
        ours, theirs = self.values[value].ravel(), other.values[value].ravel()
        width = ours.dtype.itemsize
        raw = zip(*(to_bytes(array) for array in (ours, theirs)), strict=True)
        element = next(at for at, (a, b) in enumerate(raw) if a != b) // width
        return Divergence(value, element, ours[element].item(), theirs[element].item())


def trace(runner: Runner, inputs: Sequence[Array], kept: int = KEPT) -> Trace:
    """Of a run, which holds values of `kept` bytes and no more."""
    if sum(node.output.nbytes for node in runner.program.nodes) > kept:
        return Trace(runner.program, Rerun(runner, inputs))
    return Trace(runner.program, [np.array(value) for value in runner.values(inputs)])


def trace_root(program_root: bytes, roots: Sequence[bytes]) -> bytes:
    """The root of the trace whose values have these roots."""
    return _bound(program_root, merkle.combined_root(roots, _EMPTY))


def value_roots(values: Iterable[Array]) -> tuple[bytes, ...]:
    """The root of each value, in order; holds one value at a time."""
    return tuple(map(merkle.tensor_root, values))


def first_difference(ours: Sequence[bytes], theirs: Sequence[bytes]) -> int | None:
    """The first node whose value roots differ: its operands are agreed on, its result is not."""
    pairs = enumerate(zip(ours, theirs, strict=True))
    return next((index for index, (a, b) in pairs if a != b), None)


def verify_value(program: Program, root: bytes, opening: ValueOpening) -> bool:
    """Whether the trace with that root has that value root at that node."""
    return verify_values(program, root, Nodes(0, opening.value, (opening.root,), opening.siblings))


def verify_values(program: Program, root: bytes, nodes: Nodes) -> bool:
    """Whether the trace with that root has those nodes in its value tree."""
    top = merkle.nodes_root(len(program.nodes), nodes)
    return top is not None and _bound(program.root, top) == root


def verify_run(program: Program, root: bytes, opening: RunOpening) -> bool:
    """Whether the trace with that root has those leaves at their place, padded with zeros."""
    if not 0 <= opening.value < len(program.nodes):
        return False
    length = program.nodes[opening.value].output.nbytes
    value_root = merkle.run_root(length, opening.run)
    if value_root is None or not merkle.run_padding_is_zero(length, opening.run):
        return False
    return verify_value(program, root, ValueOpening(opening.value, value_root, opening.siblings))


def verify_nodes(program: Program, root: bytes, opening: NodesOpening) -> bool:
    """Whether the trace with that root has those nodes in the tree of that value."""
    if not 0 <= opening.value < len(program.nodes):
        return False
    count = merkle.leaf_count(program.nodes[opening.value].output.nbytes)
    value_root = merkle.nodes_root(count, opening.nodes)
    if value_root is None:
        return False
    return verify_value(program, root, ValueOpening(opening.value, value_root, opening.siblings))


def leaf_of(type_: ValueType, element: int) -> int:
    """The leaf that has the element."""
    return element * type_.dtype.itemsize // LEAF


def _bound(program_root: bytes, top: bytes) -> bytes:
    return keccak256(_TAG + program_root + top)
