"""Trees: pinned roots, openings that verify, and every way to bend one."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oracle import merkle
from oracle.merkle import keccak256
from oracle.tensor import to_bytes


def leaf(place: int) -> bytes:
    return bytes([place]) * merkle.LEAF


def test_keccak256_is_the_evms_and_not_sha3():
    assert keccak256(b"").hex() == (
        "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"
    )


def test_root_follows_the_specification_when_there_are_three_leaves():
    a, b, c, zero = (keccak256(data) for data in (leaf(1), leaf(2), leaf(3), bytes(128)))
    wanted = keccak256(keccak256(a + b) + keccak256(c + zero))
    assert merkle.root([leaf(1), leaf(2), leaf(3)]) == wanted


def test_tensor_root_of_nothing_and_of_a_scalar_is_one_leaf():
    assert merkle.tensor_root(np.zeros((0, 3), np.float32)) == keccak256(bytes(128))
    scalar = np.array(1, np.float32)
    assert merkle.tensor_root(scalar) == keccak256(bytes.fromhex("3f800000").ljust(128, b"\0"))


def test_tensor_root_reads_the_canonical_form():
    zeros = np.array([0.0, -0.0], np.float32)
    assert merkle.tensor_root(zeros) == merkle.tensor_root(np.zeros(2, np.float32))


@pytest.mark.parametrize(
    ("length", "count"), [(0, 1), (1, 1), (128, 1), (129, 2), (256, 2), (257, 3)]
)
def test_leaf_count_is_that_of_the_length(length, count):
    assert merkle.leaf_count(length) == count == len(merkle.leaves_of(bytes(length)))


@pytest.mark.parametrize(
    ("count", "depth"), [(1, 0), (2, 1), (3, 2), (4, 2), (5, 3), (1 << 20, 20)]
)
def test_depth_is_fixed_by_the_count(count, depth):
    assert merkle.depth_of(count) == depth


@given(st.binary(max_size=1500), st.data())
def test_every_leaf_opens(data, draw):
    leaves = merkle.leaves_of(data)
    index = draw.draw(st.integers(0, len(leaves) - 1))
    opening = merkle.open(leaves, index)
    assert merkle.verify_opening(merkle.root(leaves), len(data), opening)
    assert merkle.padding_is_zero(len(data), opening)


@pytest.mark.parametrize("count", [1, 2, 63, 64, 65, 127, 128, 129, 1000, 4097])
def test_large_levels_have_the_root_that_hashing_one_by_one_gives(count):
    data = np.random.default_rng(count).bytes(count * merkle.LEAF - count % merkle.LEAF)
    level, padding = [keccak256(leaf) for leaf in merkle.leaves_of(data)], keccak256(bytes(128))
    while len(level) > 1:
        level += [padding] * (len(level) % 2)
        level = [keccak256(level[at] + level[at + 1]) for at in range(0, len(level), 2)]
        padding = keccak256(padding + padding)
    assert merkle.tensor_root(np.frombuffer(data, np.uint8)) == level[0]
    leaves = merkle.leaves_of(data)
    assert merkle.root(leaves) == level[0]
    assert merkle.verify_opening(level[0], len(data), merkle.open(leaves, count // 2))


def test_verify_refuses_every_bent_opening():
    data = bytes(range(256)) * 3
    leaves, root = merkle.leaves_of(data), merkle.root(merkle.leaves_of(data))
    opening = merkle.open(leaves, 2)
    bent = [
        replace(opening, index=3),
        replace(opening, index=-2),
        replace(opening, index=2 + 8),
        replace(opening, leaf=opening.leaf[:-1]),
        replace(opening, leaf=opening.leaf + b"\0"),
        replace(opening, leaf=bytes(128)),
        replace(opening, siblings=opening.siblings[:-1]),
        replace(opening, siblings=(*opening.siblings, bytes(32))),
        replace(opening, siblings=opening.siblings[::-1]),
    ]
    assert merkle.verify_opening(root, len(data), opening)
    assert not any(merkle.verify_opening(root, len(data), one) for one in bent)
    assert not merkle.verify_opening(bytes(32), len(data), opening)


def test_verify_refuses_an_index_beyond_the_shape():
    """The padding is really there, but no element is."""
    leaves = merkle.leaves_of(bytes(128 * 5))
    padding = merkle.Opening(5, bytes(128), merkle.open([*leaves, bytes(128)], 5).siblings)
    assert merkle.verify_opening(merkle.root(leaves), 128 * 6, padding)
    assert not merkle.verify_opening(merkle.root(leaves), 128 * 5, padding)


def test_verify_refuses_an_inner_node_as_a_leaf():
    """64 bytes are no leaf, and as 128 they hash otherwise."""
    leaves = [leaf(place) for place in range(4)]
    left = keccak256(leaf(0)) + keccak256(leaf(1))
    top = merkle.open(leaves, 0).siblings[1:]
    for fake in (left, left.ljust(128, b"\0")):
        assert not merkle.verify_opening(merkle.root(leaves), 256, merkle.Opening(0, fake, top))


def test_verify_refuses_another_depth():
    leaves = [leaf(place) for place in range(4)]
    opening = merkle.open(leaves, 1)
    assert not merkle.verify_opening(merkle.root(leaves), 128 * 2, opening)
    assert not merkle.verify_opening(merkle.root(leaves), 128 * 5, opening)


def test_padding_is_zero_only_when_it_is():
    assert merkle.padding_is_zero(129, merkle.Opening(1, b"\1" + bytes(127), ()))
    assert not merkle.padding_is_zero(129, merkle.Opening(1, b"\1\1" + bytes(126), ()))
    assert not merkle.padding_is_zero(0, merkle.Opening(0, b"\1" + bytes(127), ()))


@given(st.lists(st.integers(5, 9), min_size=1, max_size=9), st.data())
def test_every_record_opens_and_no_other_verifies(sizes, draw):
    records = [bytes([place + 1]) * 32 * size for place, size in enumerate(sizes)]
    index = draw.draw(st.integers(0, len(records) - 1))
    opening, root = merkle.open_record(records, index), merkle.records_root(records)
    assert merkle.verify_record(root, len(records), opening)
    assert not merkle.verify_record(root, len(records), replace(opening, leaf=bytes(160)))
    assert not merkle.verify_record(root, len(records), replace(opening, leaf=bytes(64)))


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of eight leaves, pieces of two: so that small tensors have many."""
    monkeypatch.setattr(merkle, "_BLOCK_HEIGHT", 3)
    monkeypatch.setattr(merkle, "_PIECE", 2 * merkle.LEAF)


def askew(kind: str, seed: int, rows: int, columns: int) -> np.ndarray:
    """A matrix that lies in memory in one of many ways."""
    numbers = np.random.default_rng(seed).integers(-100, 100, (2 * rows, columns))
    array = numbers.astype(kind)
    return [array, array[::-2], array.T, array[:, :1], array[rows:, ::-1]][seed % 5]


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("kind", ["f4", "i8", "i4", "i1", "?"])
@pytest.mark.parametrize("seed", range(10))
def test_a_tensors_tree_is_that_of_its_leaves_block_by_block(kind: str, seed: int):
    array = askew(kind, seed, 1 + 5 * seed, 1 + 13 * (seed % 4))
    leaves = merkle.leaves_of(to_bytes(array))
    tree = merkle.TensorTree(array)
    assert merkle.tensor_root(array) == tree.root == merkle.root(leaves)
    assert tree.width(0) == len(leaves)
    for height in range(tree.height + 1):
        width = tree.width(height)
        for first, count in {(0, 1), (width - 1, 1), (0, width), (width // 2, width - width // 2)}:
            assert tree.nodes(height, first, count) == merkle.open_nodes(
                leaves, height, first, count
            )
            assert tree.node(height, width) == _padding(height)
    for first in range(0, len(leaves), 3):
        assert tree.run(first, 1) == merkle.open_run(leaves, first, 1)


def _padding(height: int) -> bytes:
    return keccak256(bytes(128)) if height == 0 else keccak256(2 * _padding(height - 1))


def test_a_root_takes_no_copy_of_its_tensor():
    """Nor does a tree, nor an opening from its middle: pieces, and a block."""
    array = np.ones(4 << 20, np.float32).reshape(16, -1)[::-1]
    merkle.tensor_root(array)  # loads what it needs
    tracemalloc.start()
    try:
        merkle.TensorTree(array).run(77_777, 32)
        assert merkle.tensor_root(array)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < array.nbytes // 4
