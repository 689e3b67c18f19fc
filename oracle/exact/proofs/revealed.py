"""Another's trace, as far as it was revealed: which of its nodes are ours, and which are not.

Whoever knows a node of a Merkle tree and finds the same one in a tree of their own knows all that
is below it. So of another's trace one knows what was revealed, what follows from it upwards, and,
below each node that is also ours, everything.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from oracle import merkle
from oracle.exact.program import Operand
from oracle.exact.proofs.evidence import Payloads, WholeTrace
from oracle.exact.proofs.trace import Trace, trace_root
from oracle.merkle import Run, TensorTree, keccak256
from oracle.tensor import Array, elements, to_bytes
from oracle.types import LEAVES, VALUE_TREE, Part

T = TypeVar("T")


class Tree:
    """One tree of another's, of `count` lowest nodes, beside ours, of which `our` gives the nodes.
    `padding` stands beyond the lowest."""

    def __init__(self, count: int, padding: bytes, our: Callable[[int, int], bytes]):
        self.count = count
        self.top = merkle.depth_of(count)
        self._our = our
        self._padding = [padding]
        for _ in range(self.top):
            self._padding.append(keccak256(self._padding[-1] * 2))
        self._theirs: dict[tuple[int, int], bytes] = {}

    def width(self, height: int) -> int:
        """Gives how many nodes of that height have a lowest node below them."""
        return -(-self.count // (1 << height))

    def add(self, height: int, first: int, hashes: Sequence[bytes]) -> None:
        """Takes note of nodes of theirs, and of what follows from them."""
        for index, hash_ in enumerate(hashes, first):
            self._learn(height, index, hash_)

    def our(self, height: int, index: int) -> bytes:
        is_inside = index < self.width(height)
        return self._our(height, index) if is_inside else self._padding[height]

    def revealed(self, height: int, index: int) -> bytes | None:
        """Gives their node if it was added, if it follows from added nodes below it, or if it is
        padding."""
        if index >= self.width(height):
            return self._padding[height]
        return self._theirs.get((height, index))

    def node(self, height: int, index: int) -> bytes | None:
        """Gives their node, if it is known."""
        found = self.revealed(height, index)
        if found is not None:
            return found
        return self.our(height, index) if self._is_below_an_equal(height, index) else None

    def agrees(self, height: int, index: int) -> bool:
        """Says whether their node is known to equal ours."""
        return self.node(height, index) == self.our(height, index)

    def path(self, index: int) -> tuple[bytes, ...] | None:
        """Gives the siblings beside the path of a lowest node, lowest first, or None if one is
        unknown."""
        found = [self.node(height, (index >> height) ^ 1) for height in range(self.top)]
        known = tuple(hash_ for hash_ in found if hash_ is not None)
        return known if len(known) == self.top else None

    def frontier(self) -> Iterator[tuple[int, int]]:
        """Yields height and index of the lowest nodes of theirs that are known, from the left.
        Exactly one of them is above each lowest node."""
        return self._frontier(self.top, 0)

    def differs(self, height: int, index: int) -> bool:
        """Says whether a node of the frontier differs from ours."""
        return self.revealed(height, index) != self.our(height, index)

    def first_divergence(self) -> tuple[int, int] | None:
        """Finds height and index of the deepest known node that holds their first difference from
        us, or None where they agree. Of our tree it needs the nodes up to that place, and no
        more."""
        return next((place for place in self.frontier() if self.differs(*place)), None)

    def _frontier(self, height: int, index: int) -> Iterator[tuple[int, int]]:
        below = [(height - 1, 2 * index + side) for side in (0, 1)]
        if height == 0 or any(self.revealed(*place) is None for place in below):
            yield height, index
            return
        for place in below:
            if place[1] < self.width(place[0]):
                yield from self._frontier(*place)

    # What follows upwards is noted at once, so that whoever looks looks downwards only.
    def _learn(self, height: int, index: int, hash_: bytes) -> None:
        while index < self.width(height) and (height, index) not in self._theirs:
            self._theirs[height, index] = hash_
            if height == self.top:
                return
            beside = self.revealed(height, index ^ 1)
            if beside is None:
                return
            pair = beside + hash_ if index % 2 else hash_ + beside
            height, index, hash_ = height + 1, index // 2, keccak256(pair)

    def _is_below_an_equal(self, height: int, index: int) -> bool:
        """Asks the lowest one above that was revealed: if it is not ours, none above it is."""
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
        self.values = Tree(len(ours.program.nodes), bytes(32), ours.tree.node)
        """The tree of all values' roots."""
        self._trees: dict[int, Tree] = {}
        self._leaves: dict[tuple[int, int], bytes] = {}
        self._our_last: tuple[int, TensorTree] | None = None
        self._divergence: list[tuple[int, int]] | None = None  # one or none, once it is found

    @property
    def divergence(self) -> tuple[int, int] | None:
        """Finds height and index, in the value tree, of the deepest known node that holds their
        first difference from us, or None where everything agrees. It computes our trace up to that
        place. Their root must be known."""
        if self._divergence is None:
            self._divergence = [*self._first_divergence()]
        return self._divergence[0] if self._divergence else None

    def _first_divergence(self) -> Iterator[tuple[int, int]]:
        top = self.values.top, 0
        if self.values.revealed(*top) is None:
            if self.root != self.ours.root:
                yield top
            else:
                self.values.add(*top, [self.values.our(*top)])
            return
        frontier = deque(self.values.frontier())

        def is_found(roots: Sequence[bytes]) -> bool:
            while frontier and self._end(*frontier[0]) <= len(roots):
                if self.values.differs(*frontier[0]):
                    return True
                frontier.popleft()
            return not frontier

        self.ours.hash_until(is_found)
        yield from [*frontier][:1]

    def _end(self, height: int, index: int) -> int:
        """Gives the first value after those below a node."""
        return min((index + 1) << height, self.values.count)

    def tensor(self, value: int) -> Tree:
        """Gives the tree of one value. Our side of it is computed when one of its nodes is asked
        for."""
        if value not in self._trees:
            type_ = self.ours.program.nodes[value].output
            count = merkle.leaf_count(type_.nbytes)
            padding = keccak256(merkle.ZERO_LEAF)
            self._trees[value] = Tree(
                count, padding, lambda *place: self._our_tree(value).node(*place)
            )
        tree, root = self._trees[value], self.values.revealed(0, value)
        if root is not None:
            tree.add(tree.top, 0, [root])
        return tree

    def _our_tree(self, value: int) -> TensorTree:
        if self._our_last is None or self._our_last[0] != value:
            self._our_last = None  # its memory is needed
            self._our_last = value, TensorTree(self.ours.values[value])
        return self._our_last[1]

    def add(self, part: Part, data: bytes, siblings: Sequence[bytes]) -> bool:
        """Takes note of a part that was revealed; False, and nothing noted, where it is none of
        the trace with that root."""
        self._divergence = None
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

    def element(self, value: int, element: int) -> bytes:
        """Gives the bytes of one element of our value."""
        return to_bytes(elements(self.ours.values[value], element, 1))

    def leaf(self, value: int, index: int) -> bytes | None:
        """Gives the data of one leaf of theirs, if it is known."""
        found = self._leaves.get((value, index))
        if found is None and self.tensor(value).agrees(0, index):
            return self.our_leaf(value, index)
        return found

    def our_leaf(self, value: int, index: int) -> bytes:
        return self._our_tree(value).leaves(index, 1)[0]

    def has_value(self, value: int) -> bool:
        """Says whether one of their values is known to equal ours, which holds for those before the
        first difference. It is False while their root is unknown."""
        if self.root is None:
            return False
        if self.divergence is None:
            return True
        height, index = self.divergence
        return value < index << height

    def _trace_root(
        self, part: Part, nodes: Sequence[bytes], siblings: Sequence[bytes]
    ) -> bytes | None:
        top = merkle.nodes_root(self.values.count, _nodes(part, nodes, siblings))
        return None if top is None else trace_root(self.ours.program.root, [top])


class Sources:
    """What a proof needs of a trace that is known in part. Operands are agreed on, so ours."""

    def __init__(self, known: RevealedTrace, inputs: Sequence[Array], payloads: Payloads):
        self._known = known
        self._ours = WholeTrace(known.ours, inputs, payloads)

    def value_root(self, value: int) -> bytes:
        return _found(self._known.values.node(0, value))

    def value_path(self, value: int) -> Sequence[bytes]:
        return _found(self._known.values.path(value))

    def claimed_run(self, value: int, leaf: int) -> Run:
        path = self._known.tensor(value).path(leaf)
        return Run(leaf, (_found(self._known.leaf(value, leaf)),), _found(path))

    def operand_run(self, operand: Operand, first: int, count: int) -> Run:
        return self._ours.operand_run(operand, first, count)

    def input_run(self, first: int, count: int) -> Run:
        return self._ours.input_run(first, count)

    def output_run(self, first: int, count: int) -> Run:
        return self._ours.output_run(first, count)

    def element(self, operand: Operand, place: int) -> int:
        return self._ours.element(operand, place)


def _found(what: T | None) -> T:
    assert what is not None, "a proof was tried before what it needs was known"
    return what


def _pieces(part: Part, data: bytes) -> list[bytes]:
    """Gives the nodes of a part from its data, hashed where they are leaves."""
    size = part.size // part.count
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    return [keccak256(piece) for piece in pieces] if part.height == LEAVES else pieces


def _nodes(part: Part, nodes: Sequence[bytes], siblings: Sequence[bytes]) -> merkle.Nodes:
    height = 0 if part.height == LEAVES else part.height
    return merkle.Nodes(height, part.first, tuple(nodes), tuple(siblings))


def _split(
    tree: Tree, part: Part, siblings: Sequence[bytes]
) -> tuple[Sequence[bytes], Sequence[bytes]]:
    """Splits siblings into those inside the tensor's tree and those of its root in the value
    tree."""
    inside = len(list(_sides(tree, 0 if part.height == LEAVES else part.height, part)))
    return siblings[:inside], siblings[inside:]


def _sides(tree: Tree, height: int, part: Part) -> Iterable[tuple[int, int]]:
    """Yields height and index of a part's siblings, in order."""
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
