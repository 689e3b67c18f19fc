"""What nobody may write to ModelCode: each is refused by name, and leaves nothing that binds."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from oracle import merkle
from oracle.exact.binding import (
    HEIGHT,
    MOST_NODES,
    MOST_WORDS,
    Binding,
    Bytes,
    Piece,
    Rows,
    Trees,
    binding,
)
from oracle.exact.program import Node, Op, Operand, OperandKind, Program
from oracle.exact.run import Runner
from oracle.merkle import Run, TensorTree
from oracle.tensor import Array
from tests.parity.evaluator import (
    Call,
    Evaluator,
    bind_call,
    infer_call,
    piece_call,
)
from tests.parity.programs import made
from tests.parity.referee import raw_bytes

INPUT, CONSTANT, VALUE = OperandKind.INPUT, OperandKind.CONSTANT, OperandKind.VALUE
Error = tuple[object, ...]
FOREST = 5_010  # nodes, in three pieces
MOST = 24_575
OVERFLOW = "Panic", 0x11
TRANSACTION_GAS = 1 << 24  # EIP-7825


@cache
def program(kind: str) -> Program:
    """One whose first constant comes in several pieces, behind each of which others follow."""
    rng = np.random.default_rng(1)
    if kind == "rows":
        arrays = [rng.normal(size=shape).astype(np.float32) for shape in [(1, 700), (13, 700)]]
        return made(Op.DOT, arrays, [INPUT, CONSTANT], ())[0]
    if kind == "bytes":
        table = rng.normal(size=15_001).astype(np.float32)
        return made(Op.ADD, [table, table[:1]], [CONSTANT, INPUT], ())[0]
    return forest(trees(FOREST), range(0, FOREST, 10))


def trees(nodes: int) -> Array:
    """Trees of ten nodes: chains of five comparisons, and leaves."""
    half = int(np.float32(0.5).view(np.int32))
    table = []
    for at in range(nodes):
        below, above = (at + 5, at + 1) if at % 10 < 4 else (at + 1, at + 5)
        leaf = [0, 0, at, at, at, at, 0, 0]
        table.append([at % 2, half, below, above, below, 0, 0, 0] if at % 10 < 5 else leaf)
    return np.array(table, np.int32)


def forest(table: Array, roots: Iterable[int], steps: int = 5, features: int = 2) -> Program:
    x = np.zeros((1, features), np.float32)
    arrays = [x, table, np.array(list(roots), np.int32)]
    return made(Op.TREE_WALK, arrays, [INPUT, CONSTANT, CONSTANT], (steps,))[0]


def trees_piece(table: Array, first: int, past: int) -> Trees:
    tree = TensorTree(table)
    run = tree.run(*merkle.span(32 * first, 32 * (past - first)))
    return Trees(tree.root, len(table), first, past - first, run)


def errors(evaluator: Evaluator, calls: Sequence[Call]) -> list[Error]:
    return [answer.error for answer in evaluator.calls(calls)]


def bind_error(
    evaluator: Evaluator, program: Program, cut: Binding, root: bytes | None = None
) -> Error:
    """Gives the error with which a program is not bound, all of whose pieces are written; and
    asserts that nobody can run it after."""
    root = root or program.root
    last = [bind_call(root, cut), infer_call(root, b"")]
    *written, bind, infer = errors(evaluator, [*map(piece_call, cut.pieces), *last])
    assert written == [()] * len(cut.pieces)
    assert bind == () or infer == ("NotBound", root)
    return bind


def parted(kind: str) -> tuple[Binding, Piece]:
    cut = binding(program(kind))
    return cut, cut.pieces[0]


KINDS = pytest.mark.parametrize("kind", ["rows", "trees", "bytes"])


def flipped(data: bytes, at: int = 0) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def with_run(piece: Piece, leaves: Sequence[bytes], siblings: Sequence[bytes]) -> Piece:
    return replace(piece, run=Run(piece.run.first, tuple(leaves), tuple(siblings)))


Forged = Callable[[Piece], Piece]
FORGED: dict[str, tuple[Forged, str]] = {
    "a wrong first leaf": (
        lambda p: with_run(p, [flipped(p.run.leaves[0]), *p.run.leaves[1:]], p.run.siblings),
        "WrongRoot",
    ),
    "a wrong last leaf": (
        lambda p: with_run(p, [*p.run.leaves[:-1], flipped(p.run.leaves[-1], 127)], p.run.siblings),
        "WrongRoot",
    ),
    "leaves that change places": (
        lambda p: with_run(p, [*p.run.leaves[1::-1], *p.run.leaves[2:]], p.run.siblings),
        "WrongRoot",
    ),
    "a foreign root": (lambda p: replace(p, root=flipped(p.root)), "WrongRoot"),
    "a wrong sibling": (
        lambda p: with_run(p, p.run.leaves, [flipped(p.run.siblings[0]), *p.run.siblings[1:]]),
        "WrongRoot",
    ),
    "a leaf too few": (
        lambda p: with_run(p, p.run.leaves[:-1], p.run.siblings),
        "WrongLength",
    ),
    "a leaf too many": (
        lambda p: with_run(p, [*p.run.leaves, bytes(128)], p.run.siblings),
        "WrongLength",
    ),
    "a byte too few": (
        lambda p: with_run(p, [*p.run.leaves[:-1], p.run.leaves[-1][:-1]], p.run.siblings),
        "WrongLength",
    ),
    "a sibling too many": (
        lambda p: with_run(p, p.run.leaves, [*p.run.siblings, bytes(32)]),
        "WrongLength",
    ),
    "no siblings": (lambda p: with_run(p, p.run.leaves, []), "WrongRoot"),
}


@KINDS
@pytest.mark.parametrize("what", FORGED)
def test_write_refuses_what_is_not_the_constants(
    evaluator: Evaluator, kind: str, what: str
) -> None:
    cut, piece = parted(kind)
    forge, error = FORGED[what]
    calls = [piece_call(forge(piece)), *map(piece_call, cut.pieces[1:])]
    [refused, *others, bind] = errors(evaluator, [*calls, bind_call(program(kind).root, cut)])
    assert refused[0] == error
    assert others == [()] * len(others)
    assert bind == ("MissingPiece", 0, 0)


@KINDS
def test_bind_refuses_a_program_that_lacks_a_piece(evaluator: Evaluator, kind: str) -> None:
    cut = binding(program(kind))
    assert len(cut.pieces) >= 2
    for at, missing in enumerate(cut.pieces):
        kept = tuple(piece for piece in cut.pieces if piece is not missing)
        [name, constant, index] = bind_error(evaluator, program(kind), replace(cut, pieces=kept))
        # Of these rows a transaction writes two pieces.
        assert (name, constant, index) == ("MissingPiece", 0, 2 * at if kind == "rows" else at)


@KINDS
def test_write_changes_nothing_when_repeated(evaluator: Evaluator, kind: str) -> None:
    cut, piece = parted(kind)
    size = sum(each.nbytes for each in program(kind).signature.inputs)
    payload = bytes(size)
    doubled = [call for piece in cut.pieces for call in [piece_call(piece)] * 2]
    bind = bind_call(program(kind).root, cut)
    answers = evaluator.calls([*doubled, bind, infer_call(program(kind).root, payload)])
    assert [answer.error for answer in answers] == [()] * len(answers)
    # The second writes nothing: creating code takes most of the gas of the first.
    assert all(b.gas < a.gas / 2 for a, b in zip(answers[:-2:2], answers[1:-2:2], strict=True))
    assert answers[-1].data[64:].startswith(Runner(program(kind)).infer(payload))


def padded(kind: str, piece: Piece) -> Piece:
    """The last piece of a constant whose last leaf has a one behind its last element."""
    constant = next(c for c in program(kind).constants if c.root == piece.root)
    data = constant.stored.astype(constant.stored.dtype.newbyteorder(">")).tobytes()
    assert len(data) % merkle.LEAF
    leaves = data.ljust(-(-len(data) // 128) * 128 - 1, b"\0") + b"\x01"
    tree = TensorTree(np.frombuffer(leaves, np.uint8))
    run = tree.run(piece.run.first, len(piece.run.leaves))
    return replace(piece, root=tree.root, run=run)


@KINDS
def test_write_refuses_padding_that_is_not_zero(evaluator: Evaluator, kind: str) -> None:
    last = padded(kind, binding(program(kind)).pieces[-1])
    assert errors(evaluator, [piece_call(last)]) == [("PaddingNotZero",)]


def test_write_refuses_pieces_beyond_the_last(evaluator: Evaluator) -> None:
    rows, trees, bytes_ = (parted(kind)[1] for kind in ("rows", "trees", "bytes"))
    assert isinstance(rows, Rows) and isinstance(trees, Trees) and isinstance(bytes_, Bytes)
    cases: list[tuple[Piece, Error]] = [
        (replace(rows, first=6, count=1), ("NoSuchPiece", 7, 6)),
        (replace(rows, first=5, count=2), ("NoSuchPiece", 7, 6)),
        (replace(rows, count=0), ("NoSuchPiece", 0, 6)),
        (replace(rows, first=2**256 - 1, count=1), OVERFLOW),
        (replace(rows, first=1, count=2**256 - 1), OVERFLOW),
        (replace(rows, columns=0), ("WrongLength", 0, 4_096)),
        (replace(rows, rows=0), ("WrongLength", 0, 4_096)),
        (replace(rows, columns=4_097), ("WrongLength", 13 * 4_097, 4_096)),
        (replace(rows, rows=1 << 31), ("WrongLength", 700 << 31, 4_096)),
        (replace(rows, rows=1 << 255), OVERFLOW),
        (replace(trees, first=FOREST, count=1), ("NoSuchPiece", FOREST, FOREST)),
        (replace(trees, first=FOREST - 9, count=10), ("NoSuchPiece", FOREST + 1, FOREST)),
        (replace(trees, count=0), ("NoSuchPiece", 0, FOREST)),
        (replace(trees, count=MOST_NODES + 1), ("NoSuchPiece", MOST_NODES + 1, FOREST)),
        (replace(trees, nodes=1 << 31), ("NoSuchPiece", 0, 1 << 31)),
        (replace(trees, first=1, count=2**256 - 1), OVERFLOW),
        (replace(bytes_, index=3), ("NoSuchPiece", 3, 60_004)),
        (replace(bytes_, index=2**256 - 1), OVERFLOW),
        (replace(bytes_, length=0), ("NoSuchPiece", 0, 0)),
        (replace(bytes_, length=1 << 31), ("NoSuchPiece", 0, 1 << 31)),
    ]
    found = errors(evaluator, [piece_call(piece) for piece, _ in cases])
    assert found == [error for _, error in cases]


def test_write_rows_writes_pieces_in_any_order_and_number(evaluator: Evaluator) -> None:
    cut, piece = parted("rows")
    assert isinstance(piece, Rows)
    [constant] = program("rows").constants
    tree = TensorTree(constant.stored)
    payload = np.linspace(-1, 1, 700, dtype=np.float32).astype(">f4").tobytes()
    bind, infer = bind_call(program("rows").root, cut), infer_call(program("rows").root, payload)
    for bounds in [[(5, 6), (3, 5), (0, 3)], [(1, 6), (0, 1)], [(0, 6)], [(2, 4), (0, 5), (4, 6)]]:
        calls = []
        for first, past in bounds:
            begin, end = first // 2 * 6 * 2_800, min(-(-past // 2) * 6, 13) * 2_800
            run = tree.run(*merkle.span(begin, end - begin))
            calls.append(piece_call(replace(piece, first=first, count=past - first, run=run)))
        *written, last = evaluator.calls([*calls, bind, infer])
        assert [answer.error for answer in written] == [()] * len(written)
        assert last.data[64:].startswith(Runner(program("rows")).infer(payload))


@pytest.mark.parametrize("columns", [1, 349, 699, 1_400, 4_096])
def test_write_rows_fits_a_transaction(evaluator: Evaluator, columns: int) -> None:
    """With as many outliers as there may be, and bytes none of which is zero."""
    rng = np.random.default_rng(3)
    step = HEIGHT * max(1, MOST_WORDS // (columns + 1))
    weights = (rng.random((2 * step, columns)) + 1).astype(np.float32)
    if columns > 1:
        for lot in weights.reshape(2, -1):
            lot[rng.permutation(lot.size)[:271]] *= np.float32(2.0**-60)
    x = np.ones((1, columns), np.float32)
    large, _ = made(Op.DOT, [x, weights], [INPUT, CONSTANT], ())
    cut = binding(large)
    gas = [evaluator.send(piece_call(piece)) for piece in cut.pieces]
    assert max(gas) < TRANSACTION_GAS
    assert evaluator.send(bind_call(large.root, cut)) < TRANSACTION_GAS


def test_write_trees_and_bytes_fit_a_transaction(evaluator: Evaluator) -> None:
    rng = np.random.default_rng(3)
    table = rng.integers(2**30, 2**31, 60_000, dtype=np.int32)
    tables, _ = made(Op.ADD, [table, table[:1]], [CONSTANT, INPUT], ())
    trees_ = forest(trees(FOREST), range(0, FOREST, 10))
    pieces = [*binding(tables).pieces, *binding(trees_).pieces]
    assert max(evaluator.send(piece_call(piece)) for piece in pieces) < TRANSACTION_GAS


def test_bind_finds_no_rows_of_another_shape(evaluator: Evaluator) -> None:
    """They are the same bytes, and of fewer rows or columns the roots can be the same."""
    cut, piece = parted("rows")
    assert isinstance(piece, Rows)
    [constant] = program("rows").constants
    tree = TensorTree(constant.stored)
    wide = replace(piece, rows=26, columns=350, first=0, count=5, run=tree.run(0, tree.width(0)))
    calls = [piece_call(wide), bind_call(program("rows").root, cut)]
    assert errors(evaluator, calls) == [(), ("MissingPiece", 0, 0)]


def test_bind_finds_no_bytes_of_another_length(evaluator: Evaluator) -> None:
    cut = binding(program("bytes"))
    longer = [replace(piece, length=60_008) for piece in cut.pieces if isinstance(piece, Bytes)]
    calls = [*map(piece_call, longer), bind_call(program("bytes").root, cut)]
    assert errors(evaluator, calls) == [(), (), (), ("MissingPiece", 0, 0)]


# In the plan, and in pieces: the first has one lot, and the other one that ends with its last row.
WIDTHS = pytest.mark.parametrize("rows,columns", [(2, 250), (12, 700)])


@WIDTHS
@pytest.mark.parametrize("bits", [0x7FC00000, 0xFFC00001, 0x7F800001, 0x7F800000, 0xFF800000])
def test_rows_refuse_weights_that_are_not_finite(
    evaluator: Evaluator, rows: int, columns: int, bits: int
) -> None:
    weights = np.ones((rows, columns), np.float32)
    weights.view(np.uint32)[-1, -1] = bits
    assert rows_error(evaluator, weights) == ("NotFinite", min(rows, HEIGHT) - 1)


@WIDTHS
def test_rows_refuse_more_outliers_than_fit(evaluator: Evaluator, rows: int, columns: int) -> None:
    weights = np.ones((rows, columns), np.float32)
    weights[:2, :136] = 1e-45
    assert rows_error(evaluator, weights) == ("TooManyOutliers", 1, 271)


def rows_error(evaluator: Evaluator, weights: Array) -> Error:
    """Gives the error with which a matrix is refused, in pieces or in the plan; and asserts that
    the program is not bound."""
    x = np.ones((1, weights.shape[1]), np.float32)
    refused, _ = made(Op.DOT, [x, weights], [INPUT, CONSTANT], ())
    cut = binding(refused)
    assert bool(cut.pieces) == (weights.shape[1] == 700)
    last = [bind_call(refused.root, cut), infer_call(refused.root, raw_bytes(x))]
    *pieces, bind, infer = errors(evaluator, [*map(piece_call, cut.pieces), *last])
    assert infer == ("NotBound", refused.root)
    if not cut.pieces:
        return bind
    assert bind[0] == "MissingPiece"
    return next(error for error in pieces if error)


@WIDTHS
def test_rows_take_as_many_outliers_as_fit(evaluator: Evaluator, rows: int, columns: int) -> None:
    rng = np.random.default_rng(2)
    weights = np.ones((rows, columns), np.float32)
    weights[0, -135:] = rng.normal(size=135) * 2.0**-40
    weights[1, -136:] = rng.normal(size=136) * 2.0**-40
    x = rng.normal(size=(3, columns)).astype(np.float32)
    fitting, _ = made(Op.DOT, [x, weights], [INPUT, CONSTANT], ())
    payload = raw_bytes(x)
    assert [a.data for a in evaluator.run(fitting, [payload])] == [Runner(fitting).infer(payload)]


def test_bind_refuses_constants_that_are_given_wrongly(evaluator: Evaluator) -> None:
    small, _ = made(Op.ADD, [np.ones(3, np.float32)] * 2, [INPUT, CONSTANT], ())
    cut = binding(small)
    [given] = cut.constants
    cases = {
        (b"",): ("WrongConstant", 0, "length"),
        (given[:-4],): ("WrongConstant", 0, "length"),
        (given + bytes(4),): ("WrongConstant", 0, "length"),
        (flipped(given),): ("WrongConstant", 0, "root"),
        (): ("WrongConstant", 0, "count"),
        (given, b""): ("WrongConstant", 2, "count"),
        (given,): (),
    }
    for constants, error in cases.items():
        assert bind_error(evaluator, small, replace(cut, constants=constants)) == error
    stray = replace(cut, pasts=(1,))
    assert bind_error(evaluator, small, stray) == ("WrongConstant", 1, "pasts")


@KINDS
def test_bind_refuses_constants_that_stand_in_pieces(evaluator: Evaluator, kind: str) -> None:
    cut = binding(program(kind))
    [constant, *_] = program(kind).constants
    constants = (raw_bytes(constant.stored), *cut.constants[1:])
    if kind == "trees":  # there is nothing to give, and nobody looks at it
        constants = (*cut.constants[:1], b"")
    error = bind_error(evaluator, program(kind), replace(cut, constants=constants))
    assert error == ("WrongConstant", 0, "roots" if kind == "trees" else "given")


# Of a forest of `FOREST` nodes whose trees have ten: where its pieces end.
GREEDY = (2_450, 4_900, FOREST)


def test_bind_refuses_trees_that_are_cut_otherwise(evaluator: Evaluator) -> None:
    cut = binding(program("trees"))
    assert cut.pasts == GREEDY
    table = trees(FOREST)
    cases: list[tuple[tuple[int, ...], str]] = [
        ((2_440, 4_890, FOREST), "roots"),  # one tree more would fit
        ((2_450, 4_890, FOREST), "roots"),
        ((2_450, 4_900, 4_990, FOREST), "roots"),
        ((2_450, 4_900), "pasts"),
        ((), "pasts"),
        ((*GREEDY, FOREST), "pasts"),
        ((2_450, 2_450, 4_900, FOREST), "pasts"),
        ((2_450, 2_440, 4_890, FOREST), "pasts"),
        ((2_450, 4_900, FOREST + 1), "pasts"),
        ((2_450, 2**256 - 1), "pasts"),
    ]
    for pasts, part in cases:
        firsts = (0, *pasts)
        pieces = [
            trees_piece(table, first, past)
            for first, past in zip(firsts, pasts, strict=False)
            if first < past <= FOREST
        ]
        found = bind_error(
            evaluator, program("trees"), replace(cut, pieces=tuple(pieces), pasts=pasts)
        )
        stray = pasts[:3] == GREEDY
        assert found == ("WrongConstant", 2 if stray else 0, part), pasts


def test_bind_refuses_pieces_that_do_not_begin_at_roots(evaluator: Evaluator) -> None:
    """Leaves that no tree has lie before the first root, or between two."""
    leaves = np.tile(np.arange(3_000, dtype=np.int32)[:, None], (1, 8))
    for roots, pasts in [
        ((1, 10), (2_457, 3_000)),
        ((0, 10, 2_400, 2_460), (2_457, 3_000)),
        ((0, 10, 5, 2_457), (2_457, 3_000)),  # not in order
        ((0, 10, 3_000), (2_457, 3_000)),  # beyond the table
        ((0, 10, 2_457, -1), (2_457, 3_000)),
        ((), (2_457, 3_000)),
    ]:
        wrong = forest(leaves, roots)
        ends = [(0, pasts[0]), (pasts[0], 3_000)]
        pieces = tuple(trees_piece(leaves, *each) for each in ends)
        constants = b"", raw_bytes(wrong.constants[1].stored)
        cut = Binding(pieces, b"".join(wrong.records), constants, pasts)
        assert bind_error(evaluator, wrong, cut) == ("WrongConstant", 0, "roots"), roots


def test_bind_refuses_a_forest_without_nodes(evaluator: Evaluator) -> None:
    """Nobody looks into a piece of roots: there are too many of them to stand in the plan."""
    for trees in (1, 2_048, 2_049):
        empty = forest(np.zeros((0, 8), np.int32), [0] * trees, 0)
        assert bind_error(evaluator, empty, binding(empty)) == ("WrongConstant", 0, "roots")


def test_bind_refuses_walks_that_are_longer_than_their_steps(evaluator: Evaluator) -> None:
    table = trees(FOREST)
    for steps, features, error in [
        (5, 2, ()),
        (4, 2, ("WrongConstant", 0, "walks")),
        (-1, 2, ("WrongConstant", 0, "walks")),
        (-(2**255), 2, ("WrongConstant", 0, "walks")),
        (5, 1, ("WrongConstant", 0, "walks")),
        (2**255 - 1, 3, ()),
    ]:
        bound = forest(table, range(0, FOREST, 10), steps, features)
        assert bind_error(evaluator, bound, binding(bound)) == error


def test_write_trees_refuses_nodes_that_lead_astray(evaluator: Evaluator) -> None:
    leaf = [0, 0, 2, 2, 2, 7, 0, 0]
    for node in [
        [0, 0, 0, 2, 2, 0, 0, 0],  # would be a leaf, were it not for where NaN leads
        [0, 0, 1, 0, 1, 0, 0, 0],
        [0, 0, 1, 3, 1, 0, 0, 0],
        [0, 0, -1, 2, 2, 0, 0, 0],
        [0, 0, 1, 2, 0, 0, 0, 0],
        [0, 0, 1, 1, 2, 0, 0, 0],
        [2_046, 0, 1, 2, 2, 0, 0, 0],
        [-1, 0, 1, 2, 2, 0, 0, 0],
    ]:
        table = np.array([node, [0, 0, 1, 1, 1, 5, 0, 0], leaf], np.int32)
        expected: Error = ("NotPacked", 0)
        if node[2] == 0:  # a leaf it is: nothing else of it is looked at
            expected = ()
        assert errors(evaluator, [piece_call(trees_piece(table, 0, 3))]) == [expected], node
    # A piece may not end inside a tree.
    assert errors(evaluator, [piece_call(trees_piece(trees(20), 0, 15))]) == [("NotPacked", 14)]
    assert errors(evaluator, [piece_call(trees_piece(trees(20), 5, 20))]) == [()]


# Records: what a program says.


def two_nodes() -> Program:
    """y = −(x + c)."""
    first, _ = made(Op.ADD, [np.ones(3, np.float32)] * 2, [INPUT, CONSTANT], ())
    [add] = first.nodes
    negate = Node(Op.NEG, (Operand(VALUE, 0, add.output),), add.output)
    output = Operand(VALUE, 1, add.output)
    return replace(first, nodes=(add, negate), outputs=(output,))


Words = dict[tuple[int, int], int]


def forged(words: Words, program: Program | None = None) -> Program:
    """A program some words of whose records (record, word) are others."""
    program = program or two_nodes()
    records = [bytearray(record) for record in program.records]
    for (record, word), value in words.items():
        records[record][32 * word : 32 * word + 32] = value.to_bytes(32, "big")
    return replace(program, stored_records=tuple(map(bytes, records)))


def word(record: int, at: int) -> int:
    return int.from_bytes(two_nodes().records[record][32 * at : 32 * at + 32], "big")


FLOAT3 = (1 << 248) | (1 << 240) | (3 << 208)
FLOAT4 = (1 << 248) | (1 << 240) | (4 << 208)
INT3 = (6 << 248) | (1 << 240) | (3 << 208)
FORGERIES: list[tuple[Words, Error]] = [
    ({}, ()),
    ({(0, 0): 1}, ("WrongRecord", 0, "header")),
    ({(0, 1): word(0, 1) + (1 << 192)}, ("WrongRecord", 0, "header")),
    ({(0, 1): word(0, 1) + (1 << 128)}, ("WrongProof", "node", 640)),
    ({(0, 1): word(0, 1) - (1 << 128)}, ("WrongProof", "end", 448)),
    ({(0, 1): word(0, 1) | (2**64 - 1) << 128}, ("WrongRecord", 0, "nodes")),
    ({(0, 1): word(0, 1) | (2**64 - 1) << 64}, ("WrongProof", "header", 64)),
    ({(0, 2): FLOAT3 | 1}, ("WrongRecord", 0, "input")),
    ({(0, 2): FLOAT4}, ("WrongRecord", 1, "input")),
    ({(0, 2): INT3}, ("WrongRecord", 1, "input")),
    ({(0, 3): 2}, ("WrongRecord", 0, "output")),
    ({(0, 3): 2**256 - 1}, ("WrongRecord", 0, "output")),
    ({(0, 4): FLOAT4}, ("WrongRecord", 0, "output")),
    ({(0, 4): INT3}, ("WrongRecord", 0, "output")),
    ({(1, 0): 1}, ("WrongRecord", 1, "node")),
    ({(2, 1): word(1, 1)}, ("WrongProof", "node", 544)),
    ({(1, 1): word(1, 1) + (1 << 160)}, ("WrongRecord", 1, "node")),
    ({(1, 2): FLOAT4}, ("WrongRecord", 1, "type")),
    ({(1, 2): INT3}, ("WrongRecord", 1, "type")),
    ({(2, 2): (1 << 248) | (2 << 240) | (1 << 208) | (3 << 176)}, ("WrongRecord", 2, "type")),
    ({(1, 4): FLOAT4}, ("WrongNode", 0, "shape")),
    ({(2, 4): (1 << 248) | (2 << 240) | (3 << 208) | (1 << 176)}, ("WrongRecord", 2, "type")),
    # A value of its own, or of a later node, or an input that there is not.
    ({(2, 3): 2 << 248 | 1 << 216}, ("WrongRecord", 2, "value")),
    ({(1, 3): 2 << 248}, ("WrongRecord", 1, "value")),
    ({(1, 3): 2 << 248 | 1 << 216}, ("WrongRecord", 1, "value")),
    ({(1, 3): 1 << 216}, ("WrongRecord", 1, "input")),
    ({(1, 3): 3 << 248}, ("WrongNode", 0, "operands")),
    ({(1, 3): 1}, ("WrongNode", 0, "operands")),
    # Ops that no law has, and one that the Evaluator does not know.
    ({(1, 1): word(1, 1) ^ (0x0200 ^ 0x0210) << 224}, ("UnknownOp", 0x0210)),
    ({(1, 1): word(1, 1) ^ (0x0200 ^ 0x0A00) << 224}, ("UnknownOp", 0x0A00)),
    ({(2, 1): word(2, 1) ^ (0x0204 ^ 0x0901) << 224}, ("NotEvaluable", 1, 0x0901, "op")),
]


@pytest.mark.parametrize("at", range(len(FORGERIES)))
def test_bind_refuses_records_that_no_program_has(evaluator: Evaluator, at: int) -> None:
    words, error = FORGERIES[at]
    program = forged(words)
    cut = replace(binding(two_nodes()), records=b"".join(program.records))
    assert bind_error(evaluator, program, cut) == error


def test_bind_refuses_records_of_another_program(evaluator: Evaluator) -> None:
    program, other = two_nodes(), forged({(2, 1): word(2, 1) ^ (0x0204 ^ 0x0205) << 224})
    assert program.root != other.root
    found = bind_error(evaluator, program, binding(other), program.root)
    assert found == ("WrongRoot", other.root, program.root)
    records = b"".join(program.records)
    for wrong in (records[:-32], records[:-1], records[:64], b""):
        cut = replace(binding(program), records=wrong)
        assert bind_error(evaluator, program, cut)[0] == "WrongProof"
    longer = replace(binding(program), records=records + bytes(32))
    assert bind_error(evaluator, program, longer) == ("WrongProof", "end", len(records))


def test_bind_refuses_a_program_that_is_bound(evaluator: Evaluator) -> None:
    bound = two_nodes()
    bind = bind_call(bound.root, binding(bound))
    first, second = evaluator.calls([bind, bind])
    plan = "0x" + first.data[-20:].hex()
    assert second.error == ("AlreadyBound", bound.root, plan)


def test_bind_refuses_a_plan_that_does_not_fit(evaluator: Evaluator) -> None:
    [add] = two_nodes().nodes[:1]
    value = Operand(VALUE, 0, add.output)
    for nodes in (129, 130):
        negations = [Node(Op.NEG, (replace(value, index=i),), add.output) for i in range(nodes)]
        chain = replace(two_nodes(), nodes=(add, *negations))
        wide = replace(chain, outputs=(replace(value, index=nodes),) * 120)
        found = bind_error(evaluator, wide, binding(wide))
        assert found == () or (found[0], found[2]) == ("PlanTooLong", MOST)
        assert (found == ()) == (nodes == 129)


def test_bind_refuses_values_of_too_many_elements(evaluator: Evaluator) -> None:
    for rows, error in [(1 << 10, ("NotEvaluable", 0, Op.ADD, "size")), ((1 << 10) - 1, ())]:
        pair = [np.ones((rows, 1), np.float32), np.ones((1, 1 << 10), np.float32)]
        large, _ = made(Op.ADD, pair, [INPUT, INPUT], ())
        assert bind_error(evaluator, large, binding(large)) == error


def test_infer_refuses_what_is_not_bound(evaluator: Evaluator) -> None:
    root = two_nodes().root
    assert errors(evaluator, [infer_call(root, bytes(12))]) == [("NotBound", root)]
