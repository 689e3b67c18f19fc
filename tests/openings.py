"""Openings as the specification has them, from all leaves at once, and who verifies them."""

from collections.abc import Sequence

from oracle import merkle
from oracle.exact.program import Program
from oracle.exact.proofs.trace import RunOpening, ValueOpening
from oracle.merkle import ZERO_LEAF, Levels, Nodes, Opening, Run, keccak256


def root(leaves: Sequence[bytes]) -> bytes:
    """Computes the root over 128-byte leaves."""
    return levels(leaves).root


def levels(leaves: Sequence[bytes]) -> Levels:
    return Levels([keccak256(leaf) for leaf in leaves], keccak256(ZERO_LEAF))


def open_nodes(leaves: Sequence[bytes], height: int, first: int, count: int) -> Nodes:
    """Proves nodes of that height, each the root of 2^height leaves."""
    return levels(leaves).nodes(height, first, count)


def open_run(leaves: Sequence[bytes], first: int, count: int) -> Run:
    """Proves `count` leaves from `first` on."""
    found = open_nodes(leaves, 0, first, count)
    return Run(first, tuple(leaves[first : first + count]), found.siblings)


def open_record(records: Sequence[bytes], index: int) -> Opening:
    """Proves a program's record."""
    return Opening(index, records[index], merkle.record_levels(records).nodes(0, index, 1).siblings)


def verify_value(program: Program, root: bytes, opening: ValueOpening) -> bool:
    """Says whether the trace with that root has that value root at that node."""
    return verify_values(program, root, Nodes(0, opening.value, (opening.root,), opening.siblings))


def verify_values(program: Program, root: bytes, nodes: Nodes) -> bool:
    """Says whether the trace with that root has those nodes in its value tree."""
    top = merkle.nodes_root(len(program.nodes), nodes)
    return top is not None and root == keccak256(keccak256(b"exactum.trace") + program.root + top)


def verify_run(program: Program, root: bytes, opening: RunOpening) -> bool:
    """Says whether the trace with that root has those leaves at their place, padded with zeros."""
    if not 0 <= opening.value < len(program.nodes):
        return False
    length = program.nodes[opening.value].output.nbytes
    value_root = merkle.run_root(length, opening.run)
    if value_root is None or not merkle.run_padding_is_zero(length, opening.run):
        return False
    return verify_value(program, root, ValueOpening(opening.value, value_root, opening.siblings))
