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
from tests import openings


def leaf(place: int) -> bytes:
    return bytes([place]) * merkle.LEAF


def test_keccak256_is_the_evms_and_not_sha3():
    assert keccak256(b"").hex() == (
        "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"
    )


def test_root_follows_the_specification_when_there_are_three_leaves():
    a, b, c, zero = (keccak256(data) for data in (leaf(1), leaf(2), leaf(3), bytes(128)))
    wanted = keccak256(keccak256(a + b) + keccak256(c + zero))
    assert openings.root([leaf(1), leaf(2), leaf(3)]) == wanted


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
    run = openings.open_run(leaves, draw.draw(st.integers(0, len(leaves) - 1)), 1)
    assert merkle.verify_run(openings.root(leaves), len(data), run)
    assert merkle.run_padding_is_zero(len(data), run)


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
    assert openings.root(leaves) == level[0]
    assert merkle.verify_run(level[0], len(data), openings.open_run(leaves, count // 2, 1))


def test_verify_run_refuses_an_inner_node_as_a_leaf():
    """64 bytes are no leaf, and as 128 they hash otherwise."""
    leaves = [leaf(place) for place in range(4)]
    left = keccak256(leaf(0)) + keccak256(leaf(1))
    top = openings.open_run(leaves, 0, 1).siblings[1:]
    for fake in (left, left.ljust(128, b"\0")):
        assert not merkle.verify_run(openings.root(leaves), 256, merkle.Run(0, (fake,), top))


def test_verify_run_refuses_another_depth():
    leaves = [leaf(place) for place in range(4)]
    run = openings.open_run(leaves, 1, 1)
    assert not merkle.verify_run(openings.root(leaves), 128 * 2, run)
    assert not merkle.verify_run(openings.root(leaves), 128 * 5, run)


@given(st.lists(st.integers(5, 9), min_size=1, max_size=9), st.data())
def test_every_record_opens_and_no_other_verifies(sizes, draw):
    records = [bytes([place + 1]) * 32 * size for place, size in enumerate(sizes)]
    index = draw.draw(st.integers(0, len(records) - 1))
    opening, root = openings.open_record(records, index), merkle.records_root(records)
    assert merkle.verify_record(root, len(records), opening)
    assert not merkle.verify_record(root, len(records), replace(opening, record=bytes(160)))
    assert not merkle.verify_record(root, len(records), replace(opening, record=bytes(64)))


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
    assert merkle.tensor_root(array) == tree.root == openings.root(leaves)
    assert tree.width(0) == len(leaves)
    for height in range(tree.height + 1):
        width = tree.width(height)
        for first, count in {(0, 1), (width - 1, 1), (0, width), (width // 2, width - width // 2)}:
            assert tree.nodes(height, first, count) == openings.open_nodes(
                leaves, height, first, count
            )
            assert tree.node(height, width) == _padding(height)
    for first in range(0, len(leaves), 3):
        assert tree.run(first, 1) == openings.open_run(leaves, first, 1)


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


def whole_tree(leaves: list[bytes]) -> list[list[bytes]]:
    """All levels by the specification, padding and all: the lowest first."""
    depth = merkle.depth_of(len(leaves))
    padded = [*leaves, *[bytes(128)] * (2**depth - len(leaves))]
    levels = [[keccak256(each) for each in padded]]
    for _ in range(depth):
        below = levels[-1]
        levels.append([keccak256(below[at] + below[at + 1]) for at in range(0, len(below), 2)])
    return levels


def beside(levels: list[list[bytes]], height: int, first: int, last: int) -> tuple[bytes, ...]:
    found = []
    for level in levels[height:-1]:
        found += [level[first - 1]] if first % 2 else []
        found += [level[last + 1]] if last % 2 == 0 else []
        first, last = first // 2, last // 2
    return tuple(found)


def ranges(count: int) -> list[tuple[int, int]]:
    """First and how many, of all that lie among so many."""
    return [(first, many) for first in range(count) for many in range(1, count - first + 1)]


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 6, 7, 8, 9, 17, 23])
def test_nodes_of_every_height_open_as_the_specification_says_and_lead_to_the_root(count):
    leaves = [leaf(place) for place in range(count)]
    tree, zero = whole_tree(leaves), keccak256(bytes(128))
    levels = merkle.Levels([keccak256(each) for each in leaves], zero)
    tensor = merkle.TensorTree(np.frombuffer(b"".join(leaves), np.uint8))
    assert levels.height == tensor.height == merkle.depth_of(count)
    assert levels.root == tensor.root == openings.root(leaves) == tree[-1][0]
    for height in range(merkle.depth_of(count) + 1):
        real = -(-count // 2**height)
        assert levels.width(height) == tensor.width(height) == real
        for each in (levels, tensor):
            assert [each.node(height, at) for at in range(len(tree[height]))] == tree[height]
        for first, many in ranges(real):
            hashes = tuple(tree[height][first : first + many])
            siblings = beside(tree, height, first, first + many - 1)
            wanted = merkle.Nodes(height, first, hashes, siblings)
            assert levels.nodes(height, first, many) == tensor.nodes(height, first, many) == wanted
            assert merkle.nodes_root(count, wanted) == levels.root
        assert openings.open_nodes(leaves, height, 0, real) == levels.nodes(height, 0, real)


def test_levels_may_be_higher_than_their_nodes_need():
    leaves = [leaf(place) for place in range(3)]
    levels = merkle.Levels([keccak256(each) for each in leaves], keccak256(bytes(128)), 4)
    assert levels.height == 4
    assert levels.root == merkle.subtree_root(b"".join(leaves), 4)
    assert merkle.Levels([keccak256(each) for each in leaves], bytes(32), 1).height == 2


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8])
def test_runs_open_as_the_specification_says_and_verify(count):
    leaves = [leaf(place) for place in range(count)]
    tree, length = whole_tree(leaves), count * 128 - 5
    for first, many in ranges(count):
        run = openings.open_run(leaves, first, many)
        siblings = beside(tree, 0, first, first + many - 1)
        assert run == merkle.Run(first, tuple(leaves[first : first + many]), siblings)
        assert merkle.run_root(length, run) == tree[-1][0]
        assert merkle.verify_run(tree[-1][0], length, run)
        assert not merkle.verify_run(bytes(32), length, run)


def test_run_root_refuses_what_fits_no_tensor_of_that_length():
    leaves = [leaf(place) for place in range(5)]
    run, length = openings.open_run(leaves, 3, 2), 128 * 5
    bent = [
        replace(run, first=4),
        replace(run, first=-1),
        replace(run, leaves=()),
        replace(run, leaves=(run.leaves[0], run.leaves[1][:-1])),
        replace(run, leaves=(run.leaves[0], run.leaves[1] + b"\0")),
        replace(run, siblings=run.siblings[:-1]),
        replace(run, siblings=(*run.siblings, bytes(32))),
        replace(run, siblings=(*run.siblings[:-1], bytes(31))),
    ]
    assert merkle.run_root(length, run) == openings.root(leaves)
    assert [merkle.run_root(length, each) for each in bent] == [None] * len(bent)
    assert merkle.run_root(128 * 4, run) is None
    assert not merkle.verify_run(openings.root(leaves), length, replace(run, first=2))


def test_nodes_root_refuses_what_fits_no_tree_of_that_count():
    leaves = [leaf(place) for place in range(5)]
    nodes, top = openings.open_nodes(leaves, 1, 1, 2), openings.open_nodes(leaves, 3, 0, 1)
    bent = [
        replace(nodes, first=2),
        replace(nodes, first=-1),
        replace(nodes, hashes=()),
        replace(nodes, hashes=(nodes.hashes[0], nodes.hashes[1][:-1])),
        replace(nodes, hashes=(nodes.hashes[0], nodes.hashes[1] + b"\0")),
        replace(nodes, siblings=nodes.siblings[1:]),
        replace(nodes, siblings=(nodes.siblings[0] + b"\0", *nodes.siblings[1:])),
        replace(top, height=4),
        replace(top, height=-1),
        replace(top, siblings=(bytes(32),)),
    ]
    assert merkle.nodes_root(5, nodes) == merkle.nodes_root(5, top) == openings.root(leaves)
    assert [merkle.nodes_root(5, each) for each in bent] == [None] * len(bent)


def test_nodes_root_takes_no_padding_and_no_place_that_is_counted_from_elsewhere():
    """Of both the siblings would lead to the root."""
    leaves = [leaf(place) for place in range(5)]
    padded = openings.open_nodes([*leaves, bytes(128)], 0, 4, 2)
    assert merkle.nodes_root(6, padded) == openings.root(leaves)
    nodes = openings.open_nodes(leaves, 0, 3, 2)
    for bent in (padded, replace(nodes, first=3 - 8), replace(nodes, first=3 + 8)):
        assert merkle.nodes_root(5, bent) is None
    run = openings.open_run(leaves, 3, 2)
    for first in (3 - 8, 3 + 8):
        assert merkle.run_root(5 * 128, replace(run, first=first)) is None


def test_trees_open_nothing_beyond_their_nodes():
    leaves = [leaf(place) for place in range(5)]
    for first, many in ((0, 0), (-1, 1), (5, 1), (4, 2)):
        with pytest.raises(AssertionError):
            openings.open_run(leaves, first, many)
        with pytest.raises(AssertionError):
            openings.open_nodes(leaves, 0, first, many)
        with pytest.raises(AssertionError):
            merkle.TensorTree(np.zeros(5 * 128, np.uint8)).leaves(first, many)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 64])
def test_subtree_root_is_the_first_node_of_that_height_and_has_room(count):
    data, height = bytes([7]) * (128 * count - 1), merkle.depth_of(count)
    root, padding = openings.root(merkle.leaves_of(data)), keccak256(bytes(128))
    for level in range(height + 3):
        if level < height:
            with pytest.raises(AssertionError):
                merkle.subtree_root(data, level)
        else:
            assert merkle.subtree_root(data, level) == root
            root = keccak256(root + padding)
        padding = keccak256(padding + padding)


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_record_levels_are_the_records_tree(count):
    records = [bytes([place + 1]) * 160 for place in range(count)]
    hashes = [keccak256(record) for record in records]
    levels, root = merkle.record_levels(records), merkle.records_root(records)
    assert [levels.node(0, at) for at in range(count)] == hashes
    assert levels.root == merkle.combined_root(hashes, bytes(32)) == root
    for first, many in ranges(count):
        nodes = levels.nodes(0, first, many)
        assert merkle.nodes_root(count, nodes) == root


@pytest.mark.parametrize("size", [0, 32, 128, 159, 161, 176])
def test_records_are_whole_words_and_longer_than_leaves(size):
    with pytest.raises(AssertionError):
        merkle.records_root([bytes(size)])
    bent = merkle.Opening(0, bytes(size), ())
    assert not merkle.verify_record(keccak256(bytes(size)), 1, bent)


def test_run_padding_is_zero_only_when_it_is():
    ones = (bytes([1]) * 128, b"\1" + bytes(127))
    assert merkle.run_padding_is_zero(128 * 3 + 1, merkle.Run(2, ones, ()))
    assert not merkle.run_padding_is_zero(128 * 3, merkle.Run(2, ones, ()))
    assert not merkle.run_padding_is_zero(128 * 3 + 1, merkle.Run(2, (ones[0], ones[0]), ()))
    assert not merkle.run_padding_is_zero(0, merkle.Run(0, (b"\1" + bytes(127),), ()))
