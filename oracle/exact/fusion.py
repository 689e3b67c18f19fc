"""Runs of arithmetic on float32 that one kernel does in one pass.

A fusion is a node with those before it whose values only the fusion reads. It is no part of the
program, and a run that is traced uses none. Each operation in it is rounded on its own, so its
bits are those of the nodes computed one by one.

A trace holds what a run with fusions does without, for it computes the nodes one by one. So that
whoever can run a program can trace it, the values within fusions that are alive at once take no
more than `WITHIN`.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import lcm, prod

import numpy as np

from oracle.exact.primitive import FLOAT, Kernel
from oracle.exact.program import Node, Op, Operand, OperandKind, Program
from oracle.tensor import Array

_OPS = (
    *(Op.ADD, Op.SUB, Op.MUL, Op.DIV, Op.MAX, Op.MIN),
    *(Op.LESS, Op.EQUAL, Op.WHERE, Op.NEG, Op.ABS, Op.SQRT),
)
WITHIN = 32 << 20
"""Bytes that a trace may take beyond what its run takes, for values that fusions do without."""

_OPERANDS = 6
_LONGEST = 32
# A fusion is worth its call from _ENOUGH nodes on, or from two nodes of _LARGE elements on.
_ENOUGH, _LARGE = 3, 1 << 10


@dataclass(frozen=True, slots=True)
class Given:
    """An operand that a fusion reads from outside. For element i of its output it reads the
    operand's element (i // repeat) mod size, whatever shapes the two have."""

    kind: OperandKind
    index: int
    repeat: int
    size: int


@dataclass(frozen=True, slots=True)
class Fusion:
    """The indices of its nodes, in order. The last node's value is the fusion's output."""

    nodes: tuple[int, ...]
    given: tuple[Given, ...]


def fusions(program: Program) -> dict[int, Fusion]:
    """Finds a program's fusions, by the index of the last node of each. No node is in two."""
    return _Finder(program).found()


class _Finder:
    def __init__(self, program: Program):
        self._nodes = program.nodes
        self._readers = Counter(place for node in program.nodes for place in _read(node))
        self._kept = {output.index for output in program.outputs}
        self._taken: set[int] = set()
        self._alive = np.zeros(len(program.nodes), np.int64)  # bytes within fusions, at each node

    def found(self) -> dict[int, Fusion]:
        fusions = {}
        for last in range(len(self._nodes) - 1, -1, -1):
            fusion = self._ending(last)
            if fusion:
                fusions[last] = fusion
                self._taken |= {*fusion.nodes}
        return fusions

    def _ending(self, last: int) -> Fusion | None:
        node = self._nodes[last]
        if last in self._taken or not _is_arithmetic(node) or node.output.dtype is not FLOAT:
            return None
        members = {last}
        while len(members) < _LONGEST:
            more = next((at for at in self._behind(members) if self._fits(at, members)), None)
            if more is None:
                break
            members.add(more)
        enough = _ENOUGH if node.output.elements < _LARGE else 2
        given = _given(self._nodes, members)
        if len(members) < enough or not _may_be_given(given) or not self._is_whole(members):
            return None
        return Fusion(tuple(sorted(members)), given) if self._spares_little(members) else None

    def _spares_little(self, members: set[int]) -> bool:
        """Takes note of the values within, from where each is computed to where it is last read, if
        a trace may hold them."""
        inside = [
            (slice(place, 1 + max(self._readers_among(place, members))), self._nodes[place].output)
            for place in members - {max(members)}
        ]
        for alive, type_ in inside:
            self._alive[alive] += type_.nbytes
        if all(self._alive[alive].max() <= WITHIN for alive, _ in inside):
            return True
        for alive, type_ in inside:
            self._alive[alive] -= type_.nbytes
        return False

    def _readers_among(self, place: int, members: set[int]) -> list[int]:
        return [member for member in members if place in _read(self._nodes[member])]

    def _behind(self, members: set[int]) -> Iterator[int]:
        for member in sorted(members, reverse=True):
            yield from _read(self._nodes[member]) - members

    def _fits(self, place: int, members: set[int]) -> bool:
        """Says whether a node can join: only members read it, and that element by element."""
        node = self._nodes[place]
        readers = len(self._readers_among(place, members))
        return (
            _is_arithmetic(node)
            and node.output.elements == self._nodes[max(members)].output.elements
            and readers == self._readers[place]
            and place not in self._kept
            and _may_be_given(_given(self._nodes, members | {place}))
        )

    def _is_whole(self, members: set[int]) -> bool:
        """Says whether the members compute all their conditions, since one from outside is bool."""
        return all(
            self._nodes[member].operands[0].index in members
            for member in members
            if self._nodes[member].op is Op.WHERE
        )


def _read(node: Node) -> set[int]:
    return {operand.index for operand in node.operands if operand.kind is OperandKind.VALUE}


def _is_arithmetic(node: Node) -> bool:
    """Says whether a node may be in a fusion. `_is_whole` checks a WHERE's condition later."""
    if node.op not in _OPS or node.output.elements == 0:
        return False
    if node.op is Op.WHERE and node.operands[0].kind is not OperandKind.VALUE:
        return False
    return node.operands[-1].type.dtype is FLOAT


def _given(nodes: Sequence[Node], members: set[int]) -> tuple[Given, ...]:
    """Gives what the members read from outside, without repetitions."""
    return tuple(
        dict.fromkeys(
            _reading(operand, nodes[member])
            for member in sorted(members)
            for operand in nodes[member].operands
            if operand.kind is not OperandKind.VALUE or operand.index not in members
        )
    )


def _may_be_given(given: Sequence[Given]) -> bool:
    return len(given) <= _OPERANDS and all(one.size for one in given)


def _reading(operand: Operand, node: Node) -> Given:
    """Says how a node reads an operand. The operand's axes that broadcasting does not stretch must
    be neighbours. If they are not, no fusion can read it, and `size` is 0."""
    shape = node.output.shape
    dims = (1,) * (len(shape) - len(operand.type.shape)) + operand.type.shape
    axes = [axis for axis, size in enumerate(dims) if size != 1]
    if not axes:
        return Given(operand.kind, operand.index, 1, 1)
    run = slice(axes[0], axes[-1] + 1)
    size = prod(dims) if dims[run] == shape[run] else 0
    return Given(operand.kind, operand.index, prod(shape[axes[-1] + 1 :]), size)


def fused(program: Program, fusion: Fusion) -> Kernel:
    """Makes the kernel from what a fusion is given, in order, to its last node's output."""
    from oracle.exact.kernels import fused as kernels  # numba takes its time to load

    run: Callable[..., None] = kernels.run
    code = np.array(list(_code(program, fusion)), np.int64)
    modes = np.array([(given.repeat, given.size) for given in fusion.given], np.int64)
    shape = program.nodes[fusion.nodes[-1]].output.shape
    size = prod(shape)
    rows = lcm(*(given.size for given in fusion.given if given.repeat == 1 and given.size < size))
    block = max(1, kernels.BLOCK // rows) * rows if rows <= kernels.BLOCK else kernels.BLOCK
    nothing = [np.zeros(0, np.float32)] * (_OPERANDS - len(fusion.given))

    def kernel(*arrays: Array) -> Array:
        out = np.empty(size, np.float32)
        flat = [array.ravel() for array in arrays]
        run(code, modes, block, *flat, *nothing, out)
        return out.reshape(shape)

    return kernel


def _code(program: Program, fusion: Fusion) -> Iterator[list[int]]:
    """Yields for each node the number of its op in `_OPS`, which is also the kernel's number, and
    three places. A place counts what the fusion is given, and after that its own results."""
    given = {one: place for place, one in enumerate(fusion.given)}
    results = {node: len(given) + at for at, node in enumerate(fusion.nodes)}
    for place in fusion.nodes:
        node = program.nodes[place]
        places = [
            results[operand.index]
            if operand.kind is OperandKind.VALUE and operand.index in results
            else given[_reading(operand, node)]
            for operand in node.operands
        ]
        yield [_OPS.index(node.op), *places, *[places[0]] * (3 - len(places))]
