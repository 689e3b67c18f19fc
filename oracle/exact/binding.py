"""Cuts a program into what `contracts/ModelCode.sol` takes, so that the EVM can run it: pieces of
its constants, each with a proof that it is one, and what `bind` is given.

The rules by which it is cut are the contract's, which takes no other pieces; see
`contracts/evaluation/Binding.sol`. They are held to each other by `tests/parity/test_evaluator.py`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from oracle import merkle
from oracle.exact.program import Constant, Node, Op, Operand, OperandKind, Program
from oracle.merkle import Run, TensorTree
from oracle.tensor import Array, to_bytes
from oracle.types import DType

# Of contracts/evaluation: Binding, RowPacker, ForestPacker.
PIECE = 24_448
MOST_OF_ONE = 8_192
MOST_IN_PLAN = 18_000
HEIGHT = 6
MOST_WORDS = 700
MOST_COLUMNS = 4_096
MOST_NODES = 2_457

# Gas of one transaction that writes rows, which may be 2^24: a weight that is packed, with its
# calldata, and a word that is written. The rest is room for outliers, siblings and the like.
_GAS = 15_000_000
_GAS_A_WEIGHT = 430
_GAS_A_WORD = 6_400


@dataclass(frozen=True, slots=True)
class Rows:
    """Pieces of a matrix [rows, columns] that a DOT reads: `count` from number `first` on. The run
    is of the rows of all groups of which something is written."""

    root: bytes
    rows: int
    columns: int
    first: int
    count: int
    run: Run


@dataclass(frozen=True, slots=True)
class Trees:
    """Whole trees of a table of `nodes` that a TREE_WALK reads: `count` nodes from `first` on."""

    root: bytes
    nodes: int
    first: int
    count: int
    run: Run


@dataclass(frozen=True, slots=True)
class Bytes:
    """A piece of another constant of so many bytes."""

    root: bytes
    length: int
    index: int
    run: Run


Piece = Rows | Trees | Bytes


@dataclass(frozen=True, slots=True)
class Binding:
    """What has to be written before, and what `bind` is given then."""

    pieces: tuple[Piece, ...]
    records: bytes
    constants: tuple[bytes, ...]
    pasts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Read:
    """A constant as a node reads it."""

    constant: Constant
    operand: Operand
    op: Op
    place: int  # among the node's operands

    @property
    def is_rows(self) -> bool:
        """Of a batch of matrices, or an empty one, the contract knows no rows: it refuses them."""
        if (self.op, self.place, self.operand.type.dtype) != (Op.DOT, 1, DType.FLOAT):
            return False
        rows, columns = _shape(self)
        return 0 != self.operand.type.elements == rows * columns

    @property
    def is_forest(self) -> bool:
        return (self.op, self.place) == (Op.TREE_WALK, 1)

    @property
    def key(self) -> object:
        """Equal for what is one constant to the contract."""
        form = "rows" if self.is_rows else "forest" if self.is_forest else "raw"
        return self.constant.root, self.operand.type, form


def binding(program: Program) -> Binding:
    """Cuts a program. That the EVM knows all of it is for `bind` to say."""
    reads = list(_reads(program))
    roots = _roots_of_forests(program)
    at = 32 * (1 + len(program.signature.inputs) + 2 * len(program.outputs))
    at += sum(_node_bytes(node) for node in program.nodes) + 32 * len(reads)
    pieces: list[Piece] = []
    constants: list[bytes] = []
    pasts: list[int] = []
    for read in reads:
        if read.is_forest:
            cut = _cut_trees(read, roots.get(id(read.operand), ()))
            constants.append(b"")
            pasts += [each.first + each.count for each in cut]
            pieces += cut
            at += 32 * len(cut)
            continue
        length = _plan_bytes(read)
        if length <= MOST_OF_ONE and at + length <= MOST_IN_PLAN:
            constants.append(to_bytes(read.constant.stored))
            at += _bytes_in_plan(read)
            continue
        constants.append(b"")
        pieces += _cut_rows(read) if read.is_rows else _cut_bytes(read)
        at += 32 * _piece_count(read)
    return Binding(tuple(pieces), b"".join(program.records), tuple(constants), tuple(pasts))


def _reads(program: Program) -> Iterator[_Read]:
    """Yields the constants in the order in which nodes first read them."""
    seen = set()
    for node in program.nodes:
        for place, operand in enumerate(node.operands):
            if operand.kind is not OperandKind.CONSTANT:
                continue
            read = _Read(program.constants[operand.index], operand, node.op, place)
            # Tables of trees are bound to the node that walks them.
            if read.is_forest or read.key not in seen:
                seen.add(read.key)
                yield read


def _roots_of_forests(program: Program) -> dict[int, tuple[int, ...]]:
    """Gives the roots of each table of trees, by the operand that reads it. Of a forest that is
    computed there are none, and the contract refuses it."""
    forests = [node.operands[1:] for node in program.nodes if node.op is Op.TREE_WALK]
    return {
        id(table): tuple(program.constants[roots.index].array.ravel().tolist())
        for table, roots in forests
        if table.kind is roots.kind is OperandKind.CONSTANT
    }


def _node_bytes(node: Node) -> int:
    return 32 * (2 + 2 * len(node.operands) + len(node.attributes))


def _shape(read: _Read) -> tuple[int, int]:
    rows, columns = read.operand.type.shape[-2:]
    return rows, columns


def _rows_of_lot(columns: int) -> int:
    return HEIGHT * max(1, MOST_WORDS // (columns + 1))


def _parts(columns: int) -> int:
    return -(-(columns + 1) // MOST_WORDS)


def _plan_bytes(read: _Read) -> int:
    """Counts the bytes that a constant would take in the plan, but for outliers and what says where
    it lies."""
    if not read.is_rows:
        return read.operand.type.nbytes
    rows, columns = _shape(read)
    return 32 * -(-rows // HEIGHT) * (columns + 1)


def _bytes_in_plan(read: _Read) -> int:
    if not read.is_rows:
        return -(-read.operand.type.nbytes // 32) * 32
    rows, columns = _shape(read)
    step = _rows_of_lot(columns)
    total = 32 * -(-rows // step)
    for first in range(0, rows, step):
        here = read.constant.array.reshape(rows, columns)[first : first + step]
        groups = -(-len(here) // HEIGHT)
        total += 32 * groups * (columns + 1) + -(-8 * outliers(here) // 32) * 32
    return total


def outliers(rows: Array) -> int:
    """Counts the weights that have bits 2^41 below the greatest exponent of their row."""
    bits = np.ascontiguousarray(rows, np.float32).view(np.uint32).astype(np.int64)
    field = (bits >> 23) & 0xFF
    size = (bits & 0x7FFFFF) | ((field > 0) << 23)
    exponent = np.maximum(field, 1)
    least = np.maximum(field.max(axis=1, keepdims=True), 18) - 17
    down = np.clip(least - exponent, 0, 62)
    return int(np.count_nonzero((size >> down) << down != size))


def _piece_count(read: _Read) -> int:
    if not read.is_rows:
        return -(-read.operand.type.nbytes // PIECE)
    rows, columns = _shape(read)
    return -(-rows // _rows_of_lot(columns)) * _parts(columns)


def _cut_rows(read: _Read) -> Iterator[Rows]:
    rows, columns = _shape(read)
    step, parts, size = _rows_of_lot(columns), _parts(columns), 4 * columns
    tree = TensorTree(read.constant.stored)
    count = _piece_count(read)
    # Parts of two groups are not written together, because each group would have to be packed.
    together = parts if parts > 1 else count
    at_once = _row_pieces_at_once(columns)
    starts = [
        first for lot in range(0, count, together) for first in range(lot, lot + together, at_once)
    ]
    for first, past in pairwise([*starts, count]):
        begin, end = first // parts * step * size, min(-(-past // parts) * step, rows) * size
        run = tree.run(*merkle.span(begin, end - begin))
        yield Rows(read.constant.root, rows, columns, first, past - first, run)


def _row_pieces_at_once(columns: int) -> int:
    """Counts the pieces that fit one transaction."""
    rows, parts = _rows_of_lot(columns), _parts(columns)
    packing = _GAS_A_WEIGHT * rows * columns
    piece = _GAS_A_WORD * (rows // HEIGHT * (columns + 1)) // parts
    found = _GAS // (packing + piece) if parts == 1 else (_GAS - packing) // piece
    return max(1, found)


def _cut_bytes(read: _Read) -> Iterator[Bytes]:
    length = read.operand.type.nbytes
    tree = TensorTree(read.constant.stored)
    for index, first in enumerate(range(0, length, PIECE)):
        run = tree.run(*merkle.span(first, min(PIECE, length - first)))
        yield Bytes(read.constant.root, length, index, run)


def _cut_trees(read: _Read, roots: Sequence[int]) -> list[Trees]:
    """Cuts as many whole trees at a time as fit."""
    nodes = read.operand.type.shape[0]
    tree = TensorTree(read.constant.stored)
    if not roots or not nodes:
        return []
    begins = [*sorted(set(roots)), nodes]
    firsts = [begins[0]]
    for begin, past in pairwise(begins):
        if past - firsts[-1] > MOST_NODES and begin > firsts[-1]:
            firsts.append(begin)
    return [
        Trees(
            read.constant.root,
            nodes,
            first,
            past - first,
            tree.run(*merkle.span(32 * first, 32 * (past - first))),
        )
        for first, past in pairwise([*firsts, nodes])
    ]
