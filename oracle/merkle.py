"""Merkle trees over tensors and programs, mirrored by `contracts/libraries/Merkle.sol`.

The tree of a tensor
    data      its elements, canonical and big-endian, in C order; `length` bytes, fixed by the type
    leaves    data in pieces of 128 bytes (four EVM words), the last padded with zero bytes;
              max(1, ⌈length / 128⌉) of them, so a scalar has one and an empty tensor has one, zero
    depth     the least d with 2^d ≥ leaves; positions beyond the last leaf hold a zero leaf
    leaf      keccak256(128 bytes)
    inner     keccak256(left ‖ right), 64 bytes
    index     leaf i is at position i, from the left; sibling paths go from the leaf upwards
    run       consecutive leaves with the siblings of their common path: level by level upwards, the
              one beside the first node if that is a right child, then the one beside the last if
              that is a left child. For one leaf these are its sibling path.
    nodes     the same with consecutive nodes of one height in place of leaves (height 0: hashes of
              leaves); only nodes that have a leaf below them

The tree of a payload is that of a tensor of bytes: its tensors' elements, big-endian, one tensor
after the other.

The tree of a program has records (`oracle.exact.program`) in place of leaves: a record is a whole
number of 32-byte words and at least 160 bytes, its hash is keccak256(record), and positions beyond
the last record hold 32 zero bytes. Depth as above.

Why no prefix byte: what tells a leaf from an inner node from a record is the *length* of the
preimage (128, 64, ≥ 160), which a verifier fixes itself and never reads from the proof. The sets of
preimages are disjoint, as with a prefix, so one read as another needs a keccak collision; and in
the EVM a leaf is four aligned words straight from calldata and an inner node is the scratch space
0x00–0x40, with no shifting of bytes.

A verifier must take the depth from the static type, demand index < leaves, and demand that the
padding of the last leaf is zero. `verify_run` does the first two; `run_padding_is_zero` the third.
A prover is thus free in nothing: one tensor has one root.
"""

import sys
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from sha3 import keccak_256  # type: ignore[import-not-found, import-untyped, unused-ignore]

from oracle.tensor import Array, elements, to_bytes

LEAF = 128
ZERO_LEAF = bytes(LEAF)
# A tensor is hashed in blocks of so many levels, a megabyte, and a block's bytes are made in pieces
# for which the C library has memory at hand: fresh pages cost more than the hashes.
_BLOCK_HEIGHT = 13
_PIECE = 1 << 17
# From so many messages on, numba's code pays; the first time it costs half a second to load.
_MANY, _MANY_ONCE_LOADED = 64, 8


@dataclass(frozen=True, slots=True)
class Opening:
    """A program's record and the hashes beside its path, lowest first."""

    index: int
    record: bytes
    siblings: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Run:
    """Consecutive leaves and the hashes beside their common path, lowest first, left before
    right."""

    first: int
    leaves: tuple[bytes, ...]
    siblings: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Nodes:
    """Consecutive nodes of one height, and the hashes beside their common path."""

    height: int
    first: int
    hashes: tuple[bytes, ...]
    siblings: tuple[bytes, ...]


class Tree(Protocol):
    """A tree whose nodes are at hand, to open it many times."""

    @property
    @abstractmethod
    def height(self) -> int:
        """The height of the root."""

    @abstractmethod
    def width(self, height: int) -> int:
        """Gives how many nodes of that height have a lowest node below them."""

    @abstractmethod
    def node(self, height: int, index: int) -> bytes:
        """Gives any node of that height, also one of the padding."""

    @property
    def root(self) -> bytes:
        return self.node(self.height, 0)

    def nodes(self, height: int, first: int, count: int) -> Nodes:
        """Gives `count` ≥ 1 nodes of that height, and the siblings beside their common path to the
        root."""
        assert 0 <= first < first + count <= self.width(height), (height, first, count)
        siblings: list[bytes] = []
        left, right = first, first + count - 1
        for at in range(height, self.height):
            if left % 2:
                siblings.append(self.node(at, left - 1))
            if right % 2 == 0:
                siblings.append(self.node(at, right + 1))
            left, right = left // 2, right // 2
        found = (self.node(height, index) for index in range(first, first + count))
        return Nodes(height, first, tuple(found), tuple(siblings))


class Levels(Tree):
    """A whole tree: its lowest nodes, what stands beyond them, and its height, if that is more than
    they need."""

    def __init__(self, hashes: Sequence[bytes], padding: bytes, height: int = 0):
        self._levels = [b"".join(hashes)]
        self._padding = [padding]
        for _ in range(max(height, depth_of(len(hashes)))):
            level = self._levels[-1]
            if len(level) % 64:
                level += self._padding[-1]
            self._levels.append(_digests(level, 64))
            self._padding.append(keccak256(2 * self._padding[-1]))

    @property
    def height(self) -> int:
        return len(self._levels) - 1

    def width(self, height: int) -> int:
        return len(self._levels[height]) // 32

    def node(self, height: int, index: int) -> bytes:
        found = self._levels[height][32 * index : 32 * index + 32]
        return found or self._padding[height]


class TensorTree(Tree):
    """The tree of a tensor. It holds the roots of blocks, and the levels of the block that was last
    looked into: of half a gigabyte half a megabyte."""

    def __init__(self, array: Array):
        self._array = array
        self._leaves = leaf_count(array.nbytes)
        self._height = depth_of(self._leaves)
        self._block_height = min(self._height, _BLOCK_HEIGHT)
        padding = _zeros(self._block_height)
        self._blocks = Levels([*_block_roots(array, self._block_height)], padding)
        self._open: tuple[int, Levels] | None = None

    @property
    def height(self) -> int:
        return self._height

    def width(self, height: int) -> int:
        return -(-self._leaves // (1 << height))

    def node(self, height: int, index: int) -> bytes:
        above = height - self._block_height
        if above >= 0:
            return self._blocks.node(above, index)
        if index >= self.width(height):
            return _zeros(height)
        block, inside = divmod(index, 1 << -above)
        return self._block(block).node(height, inside)

    def leaves(self, first: int, count: int) -> tuple[bytes, ...]:
        """Gives the data of `count` leaves from `first` on."""
        assert 0 <= first < first + count <= self._leaves, (first, count, self._leaves)
        size = self._array.itemsize
        some = elements(self._array, first * LEAF // size, count * LEAF // size)
        return leaves_of(to_bytes(some).ljust(count * LEAF, b"\0"))

    def run(self, first: int, count: int) -> Run:
        """Proves `count` ≥ 1 leaves from `first` on."""
        return Run(first, self.leaves(first, count), self.nodes(0, first, count).siblings)

    def _block(self, index: int) -> Levels:
        if self._open is None or self._open[0] != index:
            first = index << self._block_height
            some = self.leaves(first, min(1 << self._block_height, self._leaves - first))
            levels = Levels(_leaf_hashes(some), keccak256(ZERO_LEAF), self._block_height)
            self._open = index, levels
        return self._open[1]


def load() -> None:
    """Loads the compiled code now, which takes time and some memory, and not with the first large
    tensor."""
    _digests(bytes(_MANY * LEAF), LEAF)


def keccak256(data: bytes) -> bytes:
    digest: bytes = keccak_256(data).digest()
    return digest


def leaf_count(length: int) -> int:
    """Counts the leaves of a tensor of `length` bytes."""
    return max(1, -(-length // LEAF))


def depth_of(count: int) -> int:
    """Counts the levels above `count` ≥ 1 leaves or records."""
    return (count - 1).bit_length()


def leaves_of(data: bytes) -> tuple[bytes, ...]:
    """Cuts `data` into pieces of 128 bytes, the last padded with zeros. There is always at least
    one."""
    padded = data.ljust(leaf_count(len(data)) * LEAF, b"\0")
    return tuple(padded[at : at + LEAF] for at in range(0, len(padded), LEAF))


def tensor_root(array: Array) -> bytes:
    """Computes the root that commits to every bit of a tensor whose type the verifier knows."""
    height = depth_of(leaf_count(array.nbytes))
    of_block = min(height, _BLOCK_HEIGHT)
    blocks = b"".join(_block_roots(array, of_block))
    return _top(blocks, _zeros(of_block), height - of_block)


def payload_root(payload: bytes) -> bytes:
    """Computes the root of the tree over a payload, whose tensors need not begin at leaves. It
    binds no length: zeros behind the payload do not change it while the tree is as deep."""
    return subtree_root(payload, depth_of(leaf_count(len(payload))))


def payload_tree(payload: bytes) -> TensorTree:
    return TensorTree(np.frombuffer(payload, np.uint8))


def span(offset: int, length: int) -> tuple[int, int]:
    """Gives (first leaf, leaves): those that `length` ≥ 1 bytes from `offset` on lie in."""
    first = offset // LEAF
    return first, (offset + length - 1) // LEAF - first + 1


def subtree_root(data: bytes, height: int) -> bytes:
    """Computes the node at `height` above the leaves of `data`, which must be no more than
    2^height."""
    count = leaf_count(len(data))
    assert count <= 1 << height, (count, height)
    return _top(_hashed_leaves(data), keccak256(ZERO_LEAF), height)


def combined_root(nodes: Sequence[bytes], padding: bytes, height: int | None = None) -> bytes:
    """Computes the root above `nodes`, which are all of one height, or the node `height` levels
    above them where that is given. The places beyond them hold `padding`."""
    level = b"".join(nodes) or padding
    return _top(level, padding, depth_of(len(nodes)) if height is None else height)


def records_root(records: Sequence[bytes]) -> bytes:
    """Computes the root over a program's records."""
    return combined_root([_record_hash(record) for record in records], bytes(32))


def record_levels(records: Sequence[bytes]) -> Levels:
    """Builds the tree of a program's records."""
    return Levels([_record_hash(record) for record in records], bytes(32))


def run_root(length: int, run: Run) -> bytes | None:
    """Computes the root of the tensor of `length` bytes that has the run. Gives None where the run
    fits no such tensor: leaves beyond its end, none at all, or siblings too few or too many."""
    count = leaf_count(length)
    if not run.leaves or not 0 <= run.first <= run.first + len(run.leaves) <= count:
        return None
    if any(len(leaf) != LEAF for leaf in run.leaves):
        return None
    hashes = tuple(keccak256(leaf) for leaf in run.leaves)
    return nodes_root(count, Nodes(0, run.first, hashes, run.siblings))


def nodes_root(count: int, nodes: Nodes) -> bytes | None:
    """Computes the root of the tree of `count` lowest nodes that has these nodes, or None where
    they fit no such tree."""
    top = depth_of(count)
    if not 0 <= nodes.height <= top or not nodes.hashes:
        return None
    if not 0 <= nodes.first <= nodes.first + len(nodes.hashes) <= -(-count // (1 << nodes.height)):
        return None
    if any(len(hash_) != 32 for hash_ in (*nodes.hashes, *nodes.siblings)):
        return None
    level, first = list(nodes.hashes), nodes.first
    siblings = list(nodes.siblings[::-1])
    for _ in range(nodes.height, top):
        left, right = first % 2, (first + len(level)) % 2
        if len(siblings) < left + right:
            return None
        level = [*(siblings.pop() for _ in range(left)), *level]
        level += [siblings.pop() for _ in range(right)]
        level = [keccak256(level[at] + level[at + 1]) for at in range(0, len(level), 2)]
        first //= 2
    return None if siblings else level[0]


def verify_run(root: bytes, length: int, run: Run) -> bool:
    """Says whether `run` is of the tensor of `length` bytes whose root is `root`."""
    return run_root(length, run) == root


def run_padding_is_zero(length: int, run: Run) -> bool:
    """Says whether all bytes of the run beyond the tensor's `length` are zero."""
    return not any(b"".join(run.leaves)[max(0, length - run.first * LEAF) :])


def verify_record(root: bytes, count: int, opening: Opening) -> bool:
    """Says whether `opening` is one of the `count` records under `root`."""
    if not _is_record(opening.record):
        return False
    nodes = Nodes(0, opening.index, (keccak256(opening.record),), opening.siblings)
    return nodes_root(count, nodes) == root


def _is_record(record: bytes) -> bool:
    return len(record) >= 160 and len(record) % 32 == 0


def _record_hash(record: bytes) -> bytes:
    assert _is_record(record), len(record)
    return keccak256(record)


def _block_roots(array: Array, height: int) -> Iterator[bytes]:
    """Yields the nodes at that height of the tensor's tree, reading one block of its data after
    another."""
    block, piece = (LEAF << height) // array.itemsize, _PIECE // array.itemsize
    for first in range(0, max(1, array.size), block):
        past = min(first + block, array.size)
        hashes = [
            _hashed_leaves(to_bytes(elements(array, at, min(piece, past - at))))
            for at in range(first, max(past, first + 1), piece)
        ]
        yield _top(b"".join(hashes), keccak256(ZERO_LEAF), height)


def _hashed_leaves(data: bytes) -> bytes:
    return _digests(data.ljust(leaf_count(len(data)) * LEAF, b"\0"), LEAF)


def _zeros(height: int) -> bytes:
    """Computes the node at that height above leaves of zeros."""
    node = keccak256(ZERO_LEAF)
    for _ in range(height):
        node = keccak256(node + node)
    return node


def _top(level: bytes, padding: bytes, height: int) -> bytes:
    """Computes the node at `height` above the nodes of `level`, which take the first of its
    2^height places; `padding` takes the rest."""
    for _ in range(height):
        if len(level) % 64:
            level += padding
        level = _digests(level, 64)
        padding = keccak256(padding + padding)
    return level


def _leaf_hashes(leaves: Sequence[bytes]) -> list[bytes]:
    return _split(_digests(b"".join(leaves), LEAF))


def _digests(data: bytes, length: int) -> bytes:
    """Hashes each `length` bytes of `data`, one after another."""
    many = _MANY_ONCE_LOADED if "oracle.keccak" in sys.modules else _MANY
    if len(data) < many * length:
        pieces = range(0, len(data), length)
        return b"".join([keccak_256(data[at : at + length]).digest() for at in pieces])
    from oracle import keccak

    return keccak.digests(data, length)


def _split(hashes: bytes) -> list[bytes]:
    return [hashes[at : at + 32] for at in range(0, len(hashes), 32)]
