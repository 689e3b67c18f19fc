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

A trace is computed only when asked for, and takes no more memory than the run and 64 MiB: it holds
roots alone. A value is hashed when its node has run, and forgotten when no node reads it any more;
one that is looked at later is computed again.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from oracle import merkle
from oracle.exact.program import OperandKind, Program
from oracle.exact.run import Runner
from oracle.merkle import Nodes, Run, TensorTree, Tree, keccak256
from oracle.tensor import Array, to_bytes
from oracle.types import LEAVES, VALUE_TREE, Part

_TAG = keccak256(b"exactum.trace")
_EMPTY = bytes(32)


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
class Divergence:
    """The first element, in node and then in C order, in which two traces differ."""

    value: int
    element: int
    ours: object
    theirs: object


class Rerun:
    """The values of a run, computed when they are looked at."""

    def __init__(self, runner: Runner, inputs: Sequence[Array]):
        self._runner = runner
        self._inputs = inputs
        self._held: dict[int, Array] = {}

    def __getitem__(self, node: int, /) -> Array:
        """Computes one value; NaNs in it may have any payload. Its operands are held with it until
        another value is looked at, because a proof reads them, and a run has them at once too."""
        if node not in self._held:
            self._held.clear()
            operands = self._runner.program.nodes[node].operands
            values = {each.index for each in operands if each.kind is OperandKind.VALUE}
            self._held.update(self.each({node, *values}))
        return self._held[node]

    def __iter__(self) -> Iterator[Array]:
        return self._runner.values(self._inputs)

    def each(self, wanted: Collection[int] | None) -> Iterator[tuple[int, Array]]:
        return self._runner.each(self._inputs, wanted)


class ValueTree(Tree):
    """The tree of all values' roots. A node needs the roots below it and no others."""

    def __init__(self, trace: "Trace"):
        self._trace = trace
        self._count = len(trace.program.nodes)

    @property
    def height(self) -> int:
        return merkle.depth_of(self._count)

    def width(self, height: int) -> int:
        return -(-self._count // (1 << height))

    def node(self, height: int, index: int) -> bytes:
        first, past = index << height, min((index + 1) << height, self._count)
        below = self._trace.known_roots(past)[first:past] if first < past else []
        return merkle.combined_root(below, _EMPTY, height)


class Trace:
    """All values of one run: `values` holds them, or computes them when they are looked at. Those
    whose roots are in `roots` are not hashed again; the trace adds what it finds out."""

    def __init__(
        self, program: Program, values: Sequence[Array] | Rerun, roots: list[bytes] | None = None
    ):
        self.program = program
        self.values = values
        self._roots = [] if roots is None else roots

    @cached_property
    def output(self) -> bytes:
        """The payload of the outputs."""
        places = [output.index for output in self.program.outputs]
        data = {node: to_bytes(value) for node, value in self._each({*places})}
        return b"".join(data[place] for place in places)

    @property
    def roots(self) -> tuple[bytes, ...]:
        """The root of each node's value."""
        return tuple(self.known_roots(len(self.program.nodes)))

    @cached_property
    def tree(self) -> ValueTree:
        return ValueTree(self)

    @cached_property
    def root(self) -> bytes:
        return trace_root(self.program.root, self.roots)

    def known_roots(self, least: int = 0) -> Sequence[bytes]:
        """Gives the roots of the first values, at least `least` of them."""
        self.hash_until(lambda roots: len(roots) >= least)
        return self._roots

    def hash_until(self, enough: Callable[[Sequence[bytes]], bool]) -> None:
        """Hashes values in order, and runs no further, until `enough` says so of the roots of all
        before."""
        if enough(self._roots) or len(self._roots) == len(self.program.nodes):
            return
        for node, value in self._each():
            if node >= len(self._roots):
                self._roots.append(merkle.tensor_root(value))
            del value
            if node + 1 == len(self._roots) and enough(self._roots):
                return

    def open_parts(self, parts: Sequence[Part]) -> list[tuple[bytes, tuple[bytes, ...]]]:
        """Answers demands in one pass, each with its part's data and the siblings up to the trace
        root."""
        wanted = {part.value for part in parts} - {VALUE_TREE}
        of_tensors: dict[Part, tuple[bytes, tuple[bytes, ...]]] = {}
        is_hashed = len(self._roots) == len(self.program.nodes)
        for node, value in self._each(wanted if is_hashed else None):
            tree = TensorTree(value) if node in wanted else None
            if tree is not None:
                mine = (part for part in parts if part.value == node)
                of_tensors |= {part: _opened(tree, part) for part in mine}
            if node == len(self._roots):
                self._roots.append(merkle.tensor_root(value) if tree is None else tree.root)
            del value, tree
        return [self._up_to_root(part, of_tensors.get(part)) for part in parts]

    def _up_to_root(
        self, part: Part, found: tuple[bytes, tuple[bytes, ...]] | None
    ) -> tuple[bytes, tuple[bytes, ...]]:
        if found is None:
            nodes = self.open_values(part.height, part.first, part.count)
            return b"".join(nodes.hashes), nodes.siblings
        data, siblings = found
        return data, siblings + self.open_value(part.value).siblings

    def open_part(self, part: Part) -> tuple[bytes, tuple[bytes, ...]]:
        """Answers one demand."""
        return self.open_parts([part])[0]

    def _each(self, wanted: Collection[int] | None = None) -> Iterator[tuple[int, Array]]:
        if isinstance(self.values, Rerun):
            return self.values.each(wanted)
        return (
            (node, self.values[node])
            for node in range(len(self.program.nodes))
            if wanted is None or node in wanted
        )

    def open_value(self, value: int) -> ValueOpening:
        """Proves one node's value root."""
        return ValueOpening(value, self.roots[value], self.open_values(0, value, 1).siblings)

    def open_values(self, height: int, first: int, count: int) -> Nodes:
        """Proves consecutive nodes of the value tree; at height 0 they are value roots."""
        return self.tree.nodes(height, first, count)

    def open_run(self, value: int, first_leaf: int, count: int) -> RunOpening:
        """Proves `count` leaves of one node's value."""
        run = TensorTree(self.values[value]).run(first_leaf, count)
        return RunOpening(value, run, self.open_value(value).siblings)

    def first_divergence(self, other: "Trace") -> Divergence | None:
        """Finds the first element that differs from another trace of the same program, or None
        where all bits are equal."""
        value = first_difference(self.roots, other.roots)
        if value is None:
            return None
        ours, theirs = self.values[value].ravel(), other.values[value].ravel()
        width = ours.dtype.itemsize
        raw = zip(*(to_bytes(array) for array in (ours, theirs)), strict=True)
        element = next(at for at, (a, b) in enumerate(raw) if a != b) // width
        return Divergence(value, element, ours[element].item(), theirs[element].item())


def trace(runner: Runner, inputs: Sequence[Array], roots: list[bytes] | None = None) -> Trace:
    """Makes the trace of a run. Nothing of it is computed yet."""
    return Trace(runner.program, Rerun(runner, inputs), roots)


def trace_root(program_root: bytes, roots: Sequence[bytes]) -> bytes:
    """Computes the root of the trace whose values have these roots."""
    return _bound(program_root, merkle.combined_root(roots, _EMPTY))


def first_difference(ours: Sequence[bytes], theirs: Sequence[bytes]) -> int | None:
    """Finds the first node whose value roots differ, if any: both sides agree on its operands and
    not on its result."""
    pairs = enumerate(zip(ours, theirs, strict=True))
    return next((index for index, (a, b) in pairs if a != b), None)


def _opened(tree: TensorTree, part: Part) -> tuple[bytes, tuple[bytes, ...]]:
    """Gives the data of a part, and the siblings up to its tensor's root."""
    if part.height == LEAVES:
        run = tree.run(part.first, part.count)
        return b"".join(run.leaves), run.siblings
    nodes = tree.nodes(part.height, part.first, part.count)
    return b"".join(nodes.hashes), nodes.siblings


def _bound(program_root: bytes, top: bytes) -> bytes:
    return keccak256(_TAG + program_root + top)
