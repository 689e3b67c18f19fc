"""Another's trace, as far as it was revealed: which of its nodes are ours, and which are not.

Whoever knows a node of a Merkle tree and finds the same one in a tree of their own knows all that
is below it. So of another's trace one knows what was revealed, what follows from it upwards, and,
below each node that is also ours, everything.
"""

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import TypeVar

from oracle import merkle
from oracle.exact.program import Operand
from oracle.exact.proofs.evidence import WholeTrace
from oracle.exact.proofs.trace import Trace, trace_root
from oracle.merkle import Levels, Run, keccak256
from oracle.tensor import Array, to_bytes
from oracle.types import LEAVES, VALUE_TREE, Part

T = TypeVar("T")


class Tree:
    """One tree of another's, beside ours. `padding` stands beyond the last of its lowest nodes."""

    def __init__(self, ours: Levels, padding: bytes):
        self.count = len(ours.level(0))
        self.top = merkle.depth_of(self.count)
        self._ours = [ours.level(height) for height in range(self.top + 1)]
        self._padding = [padding]
        for _ in range(self.top):
            self._padding.append(keccak256(self._padding[-1] * 2))
        self._theirs: dict[tuple[int, int], bytes] = {}

    def width(self, height: int) -> int:
        """How many nodes of that height have something below them."""
        return len(self._ours[height])

    def our(self, height: int, index: int) -> bytes:
        level = self._ours[height]
        return level[index] if index < len(level) else self._padding[height]

    def add(self, height: int, first: int, hashes: Sequence[bytes]) -> None:
        """Takes note of nodes of theirs, and of what follows from them."""
        for index, hash_ in enumerate(hashes, first):
            self._learn(height, index, hash_)

    def node(self, height: int, index: int) -> bytes | None:
        """Theirs, if it is known."""
        if index >= self.width(height):
            return self._padding[height]
        found = self._theirs.get((height, index))
        if found is not None:
            return found
        return self.our(height, index) if self._is_below_an_equal(height, index) else None

    def agrees(self, height: int, index: int) -> bool:
        """Whether theirs is known to be ours."""
        return self.node(height, index) == self.our(height, index)

    def path(self, index: int) -> tuple[bytes, ...] | None:
        """The hashes beside the path of a lowest node, lowest first; None if one is unknown."""
        found = [self.node(height, (index >> height) ^ 1) for height in range(self.top)]
        known = tuple(hash_ for hash_ in found if hash_ is not None)
        return known if len(known) == self.top else None

    def first_divergence(self) -> tuple[int, int] | None:
        """Height and index of the deepest known node that holds their first difference from us.
        None where they agree. The root must be known."""
        height, index = self.top, 0
        if self.agrees(height, index):
            return None
        while height:
            left, right = (self.node(height - 1, 2 * index + side) for side in (0, 1))
            if left is None:
                break
            side = int(left == self.our(height - 1, 2 * index))
            if side and right is None:
                break
            height, index = height - 1, 2 * index + side
        return height, index

    # What follows upwards is noted at once, so that whoever looks looks downwards only.
    def _learn(self, height: int, index: int, hash_: bytes) -> None:
        while index < self.width(height) and (height, index) not in self._theirs:
            self._theirs[height, index] = hash_
            beside = self.node(height, index ^ 1)
            if height == self.top or beside is None:
                return
            pair = beside + hash_ if index % 2 else hash_ + beside
            height, index, hash_ = height + 1, index // 2, keccak256(pair)

    def _is_below_an_equal(self, height: int, index: int) -> bool:
        for above in range(height + 1, self.top + 1):
            place = above, index >> (above - height)
            if place in self._theirs:
                return self._theirs[place] == self.our(*place)
        return False


class RevealedTrace:
    """What is known of another's trace of the run that `ours` is of."""

    def __init__(self, ours: Trace, root: bytes | None = None):
        self.ours = ours
        self.root = root  # of their trace
        self._trees: dict[int, Tree] = {}
        self._leaves: dict[tuple[int, int], bytes] = {}
        if root == ours.root:
            self.values.add(self.values.top, 0, [self.values.our(self.values.top, 0)])

    @cached_property
    def values(self) -> Tree:
        """The tree of all values' roots."""
        return Tree(Levels(self.ours.roots, bytes(32)), bytes(32))

    def tensor(self, value: int) -> Tree:
        """The tree of one value."""
        if value not in self._trees:
            tree = Tree(merkle.levels_of(self.data(value)), keccak256(merkle.ZERO_LEAF))
            self._trees[value] = tree
            root = self.values.node(0, value)
            if root is not None:
                tree.add(tree.top, 0, [root])
        return self._trees[value]

    def add(self, part: Part, data: bytes, siblings: Sequence[bytes]) -> bool:
        """Takes note of a part that was revealed; False, and nothing noted, where it is none of
        the trace with that root."""
        nodes = _pieces(part, data)
        if part.value == VALUE_TREE:
            if self._trace_root(part, nodes, siblings) != self.root:
                return False
            _place(self.values, part.height, part.first, nodes, siblings)
            return True
        tree = self.tensor(part.value)
        inside, beside = _split(tree, part, siblings)
        found = merkle.nodes_root(tree.count, _nodes(part, nodes, inside))
        if found is None:
            return False
        value = Part(VALUE_TREE, 0, part.value, 1)
        if self._trace_root(value, [found], beside) != self.root:
            return False
        _place(self.values, 0, part.value, [found], beside)
        height = 0 if part.height == LEAVES else part.height
        _place(tree, height, part.first, nodes, inside)
        if part.height == LEAVES:
            for at in range(part.count):
                leaf = data[at * merkle.LEAF : (at + 1) * merkle.LEAF]
                self._leaves[part.value, part.first + at] = leaf
        return True

    def data(self, value: int) -> bytes:
        """All of a value of ours."""
        return to_bytes(self.ours.values[value])

    def leaf(self, value: int, index: int) -> bytes | None:
        """The data of one leaf of theirs, if it is known."""
        found = self._leaves.get((value, index))
        if found is None and self.tensor(value).agrees(0, index):
            return merkle.leaves_of(self.data(value))[index]
        return found

    def has_value(self, value: int) -> bool:
        """Whether a value of theirs is known to be ours, and can be opened."""
        return self.values.agrees(0, value) and self.values.path(value) is not None

    def _trace_root(
        self, part: Part, nodes: Sequence[bytes], siblings: Sequence[bytes]
    ) -> bytes | None:
        top = merkle.nodes_root(self.values.count, _nodes(part, nodes, siblings))
        return None if top is None else trace_root(self.ours.program.root, [top])


class Sources:
    """What a proof needs of a trace that is known in part. Operands are agreed on, so ours."""

    def __init__(self, known: RevealedTrace, inputs: Sequence[Array]):
        self._known = known
        self._ours = WholeTrace(known.ours, inputs)

    def value_root(self, value: int) -> bytes:
        return _found(self._known.values.node(0, value))

    def value_path(self, value: int) -> Sequence[bytes]:
        return _found(self._known.values.path(value))

    def claimed_run(self, value: int, leaf: int) -> Run:
        path = self._known.tensor(value).path(leaf)
        return Run(leaf, (_found(self._known.leaf(value, leaf)),), _found(path))

    def operand_run(self, operand: Operand, first: int, count: int) -> Run:
        return self._ours.operand_run(operand, first, count)

    def element(self, operand: Operand, place: int) -> int:
        return self._ours.element(operand, place)


def _found(what: T | None) -> T:
    assert what is not None, "a proof was tried before what it needs was known"
    return what


def _pieces(part: Part, data: bytes) -> list[bytes]:
    """The nodes of a part, hashed where they are leaves."""
    size = part.size // part.count
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    return [keccak256(piece) for piece in pieces] if part.height == LEAVES else pieces


def _nodes(part: Part, nodes: Sequence[bytes], siblings: Sequence[bytes]) -> merkle.Nodes:
    height = 0 if part.height == LEAVES else part.height
    return merkle.Nodes(height, part.first, tuple(nodes), tuple(siblings))


def _split(
    tree: Tree, part: Part, siblings: Sequence[bytes]
) -> tuple[Sequence[bytes], Sequence[bytes]]:
    """The siblings inside the tensor's tree, and those of its root in the value tree."""
    inside = len(list(_sides(tree, 0 if part.height == LEAVES else part.height, part)))
    return siblings[:inside], siblings[inside:]


def _sides(tree: Tree, height: int, part: Part) -> Iterable[tuple[int, int]]:
    """The places of a part's siblings, in order."""
    left, right = part.first, part.first + part.count - 1
    for at in range(height, tree.top):
        if left % 2:
            yield at, left - 1
        if right % 2 == 0:
            yield at, right + 1
        left, right = left // 2, right // 2


def _place(
    tree: Tree, height: int, first: int, nodes: Sequence[bytes], siblings: Sequence[bytes]
) -> None:
    part = Part(0, height, first, len(nodes))
    for (at, index), sibling in zip(_sides(tree, height, part), siblings, strict=True):
        tree.add(at, index, [sibling])
    tree.add(height, first, nodes)
