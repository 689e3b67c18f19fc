"""The Evaluator against the Runner, bit by bit: random programs of every op that it knows, with the
nastiest numbers, forests and matrices in pieces of every shape, and networks."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest

from oracle.exact.binding import HEIGHT, MOST_COLUMNS, MOST_NODES, MOST_WORDS, outliers
from oracle.exact.program import Constant, Node, Op, Operand, OperandKind, Program, ValueType
from oracle.exact.run import Runner
from oracle.tensor import Array, canonical, dtype_of, numpy_dtype
from oracle.types import DType, Signature, TensorType
from tests.parity import programs, words
from tests.parity.evaluator import Evaluator, Refused
from tests.parity.programs import FLOAT, INT32, INT64, MAKERS, Made, Rng, Shape, made, values
from tests.parity.referee import raw_bytes

COUNTS = [60, pytest.param(2_000, marks=pytest.mark.long)]
FEW = [6, pytest.param(200, marks=pytest.mark.long)]
INPUTS = 8
UNKNOWN = (
    *(Op.TOP_K, Op.CUM_SUM, Op.SCATTER, Op.CONV, Op.MAX_POOL, Op.AVERAGE_POOL, Op.QUANTIZE),
    *(Op.LOG1P, Op.SIN, Op.COS, Op.ATAN, Op.POW),
)
KNOWN = tuple(op for op in Op if op not in UNKNOWN)
# Of contracts/evaluation/RowPacker.sol.
MOST_OUTLIERS = 271
INPUT, CONSTANT, VALUE = OperandKind.INPUT, OperandKind.CONSTANT, OperandKind.VALUE
Error = tuple[object, ...]


def check(evaluator: Evaluator, rng: Rng, program: Program, inputs: Sequence[Array]) -> bool:
    """Asserts that a program runs as the law says, on these inputs and on others, or is refused
    for the right reason. Says whether it ran."""
    others = [[_other(rng, array) for array in inputs] for _ in range(INPUTS - 1)]
    payloads = [b"".join(map(raw_bytes, arrays)) for arrays in (inputs, *others)]
    expected = refusal(program)
    try:
        answers = evaluator.run(program, payloads)
    except Refused as refused:
        assert refused.error == expected, described(program)
        return False
    assert expected is None, described(program)
    runner = Runner(program)
    for payload, answer in zip(payloads, answers, strict=True):
        assert answer.error == (), (described(program), payload.hex())
        wanted = runner.infer(payload)
        assert answer.data == wanted, (described(program), payload.hex())
    return True


def _other(rng: Rng, array: Array) -> Array:
    """What a payload may have in its place: bools that are neither 0 nor 1, too."""
    dtype = dtype_of(array)
    if dtype is DType.BOOL:
        return rng.choice(np.array([0, 1, 2, 128, 255], np.uint8), array.shape)
    return values(rng, dtype, array.shape)


def described(program: Program) -> list[object]:
    return [(node.op.name, node.operands, node.output, node.attributes) for node in program.nodes]


def refusal(program: Program) -> Error | None:
    """Gives the error with which a program of the law must be refused: what the Evaluator knows no
    way for, and then what its packed rows cannot hold."""
    for at, node in enumerate(program.nodes):
        if node.op in UNKNOWN:
            return "NotEvaluable", at, node.op, "op"
        if is_rows(node):
            rows, columns = node.operands[1].type.shape[-2:]
            if rows * columns != node.operands[1].type.elements:
                return "NotEvaluable", at, node.op, "batch of constants"
            if rows * columns == 0 or columns > MOST_COLUMNS:
                return "NotEvaluable", at, node.op, "columns"
    for node in program.nodes:
        if is_rows(node):
            error = _refusal_of_rows(program.constants[node.operands[1].index], node.operands[1])
            if error is not None:
                return error
    return None


def is_rows(node: Node) -> bool:
    if node.op is not Op.DOT:
        return False
    b = node.operands[1]
    return b.kind is CONSTANT and b.type.dtype is FLOAT


def _refusal_of_rows(constant: Constant, operand: Operand) -> Error | None:
    matrix = constant.array.reshape(operand.type.shape[-2:])
    step = HEIGHT * max(1, MOST_WORDS // (matrix.shape[1] + 1))
    for first in range(0, len(matrix), step):
        lot = matrix[first : first + step]
        for row in range(len(lot)):
            if not np.isfinite(lot[row]).all():
                return "NotFinite", row
            if outliers(lot[: row + 1]) > MOST_OUTLIERS:
                return "TooManyOutliers", row, MOST_OUTLIERS
    return None


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("op", KNOWN, ids=lambda op: op.name)
def test_infer_agrees_with_the_runner(
    evaluator: Evaluator, op: Op, count: int, rng: np.random.Generator
) -> None:
    ran = [check(evaluator, rng, *MAKERS[op.family](rng, op)) for _ in range(count)]
    assert sum(ran) > count / 2


@pytest.mark.parametrize("op", UNKNOWN, ids=lambda op: op.name)
def test_bind_refuses_an_op_that_the_evaluator_does_not_know(
    evaluator: Evaluator, op: Op, rng: np.random.Generator
) -> None:
    assert not check(evaluator, rng, *MAKERS[op.family](rng, op))


@pytest.mark.parametrize("op", KNOWN, ids=lambda op: op.name)
def test_infer_agrees_with_the_runner_on_empty_tensors(
    evaluator: Evaluator, op: Op, rng: np.random.Generator
) -> None:
    for arrays, attributes in _empties(rng, op):
        for kind in OperandKind:
            kinds = [kind] * len(arrays)
            if op is Op.TREE_WALK:
                kinds = [kind, CONSTANT, CONSTANT]
            check(evaluator, rng, *made(op, arrays, kinds, attributes))


def _empties(rng: Rng, op: Op) -> Iterator[tuple[list[Array], tuple[int, ...]]]:
    for shapes, attributes in _empty_shapes(op):
        dtypes = [FLOAT] * len(shapes)
        if op in (Op.AND, Op.OR, Op.XOR):
            dtypes = [DType.BOOL] * 2
        elif op is Op.WHERE:
            dtypes[0] = DType.BOOL
        elif op is Op.GATHER:
            dtypes[1] = INT64
        elif op is Op.TREE_WALK:
            dtypes = [FLOAT, INT32, INT32]
        arrays = [values(rng, dtype, shape) for dtype, shape in zip(dtypes, shapes, strict=True)]
        if op is Op.TREE_WALK:
            nodes = len(arrays[1])
            arrays[1] = _leaves(nodes)
            arrays[2] = np.minimum(np.arange(len(arrays[2]), dtype=np.int32), nodes - 1)
        yield arrays, attributes


def _empty_shapes(op: Op) -> list[tuple[list[Shape], tuple[int, ...]]]:
    match op:
        case Op.DOT:
            sizes = [(0, 3, 2), (2, 0, 3), (2, 3, 0), (0, 0, 0)]
            pairs: list[list[Shape]] = [[(m, k), (n, k)] for m, k, n in sizes]
            pairs += [[(0, 2, 3), (4, 3)], [(2, 0), (4, 0), (4,)]]
            return [(each, ()) for each in pairs]
        case Op.TREE_WALK:
            return [([(0, 3), (2, 8), (2,)], (1,)), ([(3, 0), (1, 8), (2,)], (0,))]
        case Op.TRANSPOSE:
            return [([(0, 3, 2)], (2, 0, 1)), ([(4, 0)], (0, 1))]
        case Op.CONCAT:
            return [([(0, 3), (0, 2)], ()), ([(3, 0), (3, 0)], ()), ([(2, 0), (2, 1)], ())]
        case Op.GATHER:
            four = [(0, 3, 2, 4), (2, 0, 2, 0), (2, 3, 0, 4), (2, 3, 2, 0), (0, 0, 1, 1)]
            return [([(outer, n, inner), (m,)], ()) for outer, n, inner, m in four]
        case Op.REDUCE_MEAN | Op.ARG_MAX:
            return [([(0, 3)], (0,) * (op is Op.ARG_MAX))]
        case Op.REDUCE_SUM | Op.REDUCE_MAX | Op.REDUCE_MIN:
            return [([(0, 3)], ()), ([(3, 0)], ())]
        case Op.CAST:
            return [([(0, 3)], (INT64,))]
        case Op.WHERE:
            return [([(0, 3), (1,), (3,)], ()), ([(1, 3), (0, 1), (1,)], ())]
    is_one = op in (Op.NEG, Op.ABS, Op.SQRT) or op.family in programs.OF_REALS
    operands = 1 if is_one else 2
    both: list[list[Shape]] = [[(0, 3), (1, 1)], [(2, 0), (2, 0)]]
    return [(shapes[:operands], ()) for shapes in both]


# Rows of so many columns: several groups in a piece, one, or one in several.
COLUMNS = (1, 2, 99, 349, 699, 700, 701, 1_400, 4_096)


@pytest.mark.parametrize("count", FEW)
@pytest.mark.parametrize("columns", COLUMNS)
def test_infer_agrees_with_the_runner_on_packed_rows(
    evaluator: Evaluator, columns: int, count: int, rng: np.random.Generator
) -> None:
    most = max(14, min(1_300, 20_000 // columns))
    ran = 0
    for at in range(count):
        rows = (1, 5, 6, 7)[at] if at < 4 else int(rng.integers(1, most))
        ran += check(evaluator, rng, *_product(rng, rows, columns))
    assert ran > 0


def test_infer_agrees_with_the_runner_on_numbers_at_every_distance(
    evaluator: Evaluator, rng: np.random.Generator
) -> None:
    """Two numbers of a vector that far apart, alone, together and against each other; and a bias
    that far from a sum that lies between two floats, so that it decides."""
    weights = np.array([[0, 1], [1, 0], [1, 1], [1, -1], [2**-24, 1], [1, 2**-24]], np.float32)
    arrays = [np.ones((1, 2), np.float32), weights, np.ones((1, 6), np.float32)]
    program, _ = made(Op.DOT, arrays, [INPUT, CONSTANT, INPUT], ())
    payloads = []
    for distance in range(277):
        top = int(rng.integers(max(-149, distance - 149), 128))
        for small in (1, -1, 1 + rng.random()):
            x = np.ldexp(np.array([1, small], np.float32), [top, top - distance])
            payloads.append(raw_bytes(np.append(x, np.zeros(6)).astype(np.float32)))
            b = np.full(6, np.ldexp(small, 127 - distance))
            # 1 + 2^-24 and 2^-24 are a tie and its half.
            for scale in (0, 60, -60):
                x = np.ldexp(np.array([1, 2.0**-24]), scale)
                payloads.append(raw_bytes(np.append(x, b).astype(np.float32)))
    runner = Runner(program)
    answers = evaluator.run(program, payloads)
    wrong = [p.hex() for p, a in zip(payloads, answers, strict=True) if a.data != runner.infer(p)]
    assert wrong == []


def _product(rng: Rng, rows: int, columns: int) -> Made:
    """A DOT with weights that are nearly all finite, and a bias of every shape."""
    batch = [(), (1,), (2,), (2, 1)][int(rng.integers(4))]
    m = int(rng.integers(1, 4))
    x = _numbers(rng, (*batch, m, columns))
    w = _weights(rng, (*[(), (1,), (1, 1)][int(rng.integers(3))], rows, columns))
    arrays = [x, w]
    if rng.random() < 0.8:
        leading = np.broadcast_shapes(batch, w.shape[:-2])
        arrays.append(_numbers(rng, programs.stretched(rng, (*leading, m, rows))))
    kinds = [OperandKind(int(rng.integers(3))) for _ in arrays]
    kinds[1] = CONSTANT
    return made(Op.DOT, arrays, kinds, ())


def _weights(rng: Rng, shape: Shape) -> Array:
    kind = int(rng.integers(5))
    normal = rng.normal(size=shape).astype(np.float32)
    if kind == 1:  # outliers: a few weights far below the greatest of their rows
        scale = np.where(rng.random(shape) < 20 / np.prod(shape), rng.integers(-80, -17, shape), 0)
        return np.ldexp(normal, scale).astype(np.float32)
    if kind == 2:  # subnormal rows among others
        scale = rng.integers(-149, 127, shape[:-1])[..., None]
        return np.ldexp(normal, scale).clip(-3e38, 3e38).astype(np.float32)
    if kind == 3:
        few = np.asarray(words.few_bits(rng, int(np.prod(shape))), np.uint32).view(np.float32)
        return np.where(np.isfinite(few), few, 0).astype(np.float32).reshape(shape)
    if kind == 4:
        return np.where(rng.random(shape) < 0.5, 0, normal).astype(np.float32)
    return normal


def _numbers(rng: Rng, shape: Shape) -> Array:
    """As a vector has them: of all kinds, near each other, or in several windows."""
    kind = int(rng.integers(4))
    normal = rng.normal(size=shape).astype(np.float32)
    if kind == 0:
        return values(rng, FLOAT, shape)
    if kind == 1:
        return np.ldexp(normal, rng.integers(-160, 100, shape)).astype(np.float32)
    if kind == 2:
        odd = rng.choice(np.array([np.inf, -np.inf, 1e-45, 3e38, 0], np.float32), shape)
        return np.where(rng.random(shape) < 2 / max(1, shape[-1] if shape else 1), odd, normal)
    return normal


@pytest.mark.parametrize("count", FEW)
def test_infer_agrees_with_the_runner_on_forests_in_pieces(
    evaluator: Evaluator, count: int, rng: np.random.Generator
) -> None:
    for _ in range(count):
        program, inputs = programs.trees(rng, Op.TREE_WALK, 80, 9)
        assert check(evaluator, rng, program, inputs)


@pytest.mark.parametrize("nodes", [1, MOST_NODES, MOST_NODES + 1, 3 * MOST_NODES])
def test_infer_agrees_with_the_runner_on_forests_that_fill_pieces(
    evaluator: Evaluator, nodes: int, rng: np.random.Generator
) -> None:
    """Trees of one leaf, each of which begins once, twice or three times."""
    table = _leaves(nodes)
    roots = np.sort(np.concatenate([np.arange(nodes), rng.integers(0, nodes, 9)]))
    if nodes > 1_000:  # a chain ends each piece but the last
        roots = roots[(roots % MOST_NODES < 3) | (roots % MOST_NODES > MOST_NODES - 3)]
        for node in set(range(nodes)) - set(roots) - set(roots - 1):
            half = int(np.float32(0.5).view(np.int32))
            table[node] = [node % 2, half, node + 1, node + 1, node + 1, 7, 0, 0]
    arrays = [values(rng, FLOAT, (2, 2)), table, roots.astype(np.int32)]
    kinds = [INPUT, CONSTANT, CONSTANT]
    assert check(evaluator, rng, *made(Op.TREE_WALK, arrays, kinds, (MOST_NODES,)))


def _leaves(nodes: int) -> Array:
    """A table of trees that are a leaf each."""
    table = np.tile(np.arange(nodes, dtype=np.int32)[:, None], (1, 8))
    table[:, 0] = 0
    return table


@pytest.mark.parametrize("dtype", [FLOAT, INT64, DType.INT8, DType.BOOL])
def test_infer_agrees_with_the_runner_on_constants_in_pieces(
    evaluator: Evaluator, dtype: DType, rng: np.random.Generator
) -> None:
    """Of up to three pieces, whole and not, read by element, and by what is chosen."""
    for length in (8_192, 8_200, 24_448, 24_456, 60_000):
        count = length // np.dtype(numpy_dtype(dtype)).itemsize
        table = values(rng, dtype, (1, count, 1))
        chosen = rng.integers(-count, count, 30)
        assert check(evaluator, rng, *made(Op.GATHER, [table, chosen], [CONSTANT, INPUT], ()))
        pair = [table, values(rng, dtype, (1, 1, 1))]
        assert check(evaluator, rng, *made(Op.EQUAL, pair, [CONSTANT, INPUT], ()))


@pytest.mark.parametrize("op", [Op.ADD, Op.GATHER, Op.DOT, Op.WHERE], ids=lambda op: op.name)
@pytest.mark.parametrize("count", [3, 5_000])
def test_infer_reads_constants_in_their_canonical_form(
    evaluator: Evaluator, op: Op, count: int, rng: np.random.Generator
) -> None:
    """As a program file may have them: −0, odd NaNs and bools; in the plan and in pieces."""
    floats = np.array([0x80000000, 0x3F800000, 0xFFC00001, 0x7F800001, 0], np.uint32)
    if op is Op.DOT:
        floats = floats[[0, 1, 4]]
    stored = rng.choice(floats, (1, count, 1))
    table = canonical(stored.view(np.float32))
    if op is Op.WHERE:
        stored = rng.choice(np.array([0, 1, 2, 255], np.uint8), (1, 5 * count, 1))
        table = stored.astype(np.bool_)
    one = values(rng, FLOAT, (1, 1, 1))
    arrays = {
        Op.ADD: [table, one],
        Op.GATHER: [table, rng.integers(-count, count, 50)],
        Op.DOT: [values(rng, FLOAT, (2, 1)), table.reshape(-1, 1)],
        Op.WHERE: [table, one, one],
    }[op]
    kinds = [INPUT] * len(arrays)
    kinds[1 if op is Op.DOT else 0] = CONSTANT
    program, inputs = made(op, arrays, kinds, ())
    [constant] = program.constants
    kept = replace(constant, as_stored=stored.reshape(constant.array.shape))
    assert check(evaluator, rng, replace(program, constants=(kept,)), inputs)


@pytest.mark.parametrize("count", COUNTS)
def test_infer_agrees_with_the_runner_on_networks(
    evaluator: Evaluator, count: int, rng: np.random.Generator
) -> None:
    ran = [check(evaluator, rng, *_network(rng)) for _ in range(count)]
    assert sum(ran) > count / 2


def _network(rng: Rng) -> Made:
    """Nodes that read what was there before, in any shape that has as many elements."""
    network = Network(rng)
    while len(network.nodes) < int(rng.integers(2, 14)):
        network.grow(KNOWN[int(rng.integers(len(KNOWN)))])
    return network.program(), network.inputs


class Network:
    """A program that grows by the makers of its ops: each gives a node that reads inputs, constants
    and values of its own, and now and then one of them is what stands there already."""

    def __init__(self, rng: Rng):
        self._rng = rng
        self.nodes: list[Node] = []
        self.inputs: list[Array] = []
        self._constants: list[Constant] = []

    def grow(self, op: Op) -> None:
        if op is Op.DOT:
            rows, columns = (int(d) for d in self._rng.integers(1, 40, 2))
            part, inputs = _product(self._rng, rows, columns)
        else:
            part, inputs = MAKERS[op.family](self._rng, op)
        if len(self.inputs) > 40:
            return
        base = len(self.nodes)
        for node in part.nodes:
            operands = [self._moved(part, inputs, base, each) for each in node.operands]
            self.nodes.append(Node(node.op, tuple(operands), node.output, node.attributes))

    def program(self) -> Program:
        last = len(self.nodes) - 1
        chosen = [last, *self._rng.integers(0, last + 1, int(self._rng.integers(3))).tolist()]
        outputs = [Operand(VALUE, at, self._reshaped(self.nodes[at].output)) for at in chosen]
        types = [TensorType(f"x{i}", dtype_of(x), x.shape) for i, x in enumerate(self.inputs)]
        given = [TensorType(f"y{i}", o.type.dtype, o.type.shape) for i, o in enumerate(outputs)]
        signature = Signature(tuple(types), tuple(given))
        return Program(signature, tuple(self.nodes), tuple(self._constants), tuple(outputs))

    def _moved(
        self, part: Program, inputs: Sequence[Array], base: int, operand: Operand
    ) -> Operand:
        is_table = operand.kind is CONSTANT and operand.type.dtype in (INT32, FLOAT)
        if not is_table and self._rng.random() < 0.7:
            found = list(self._standing(operand.type, base))
            if found:
                return found[int(self._rng.integers(len(found)))]
        match operand.kind:
            case OperandKind.VALUE:
                return Operand(VALUE, base + operand.index, operand.type)
            case OperandKind.CONSTANT:
                self._constants.append(part.constants[operand.index])
                return Operand(CONSTANT, len(self._constants) - 1, operand.type)
            case OperandKind.INPUT:
                array = inputs[operand.index]
                self.inputs.append(array.reshape(self._reshaped(operand.type).shape))
                return Operand(INPUT, len(self.inputs) - 1, operand.type)

    def _standing(self, type_: ValueType, base: int) -> Iterator[Operand]:
        """Yields operands of that type that could take the place of another."""
        wanted = type_.dtype, type_.elements
        for at, node in enumerate(self.nodes[:base]):
            if (node.output.dtype, node.output.elements) == wanted:
                yield Operand(VALUE, at, type_)
        for at, array in enumerate(self.inputs):
            if (dtype_of(array), array.size) == wanted:
                yield Operand(INPUT, at, type_)

    def _reshaped(self, type_: ValueType) -> ValueType:
        kind = int(self._rng.integers(4))
        if kind == 0 and len(type_.shape) < 7:
            return ValueType(type_.dtype, (1, *type_.shape))
        if kind == 1:
            return ValueType(type_.dtype, (type_.elements,))
        return type_


def test_bind_refuses_trees_that_are_computed(
    evaluator: Evaluator, rng: np.random.Generator
) -> None:
    program, inputs = programs.trees(rng, Op.TREE_WALK)
    tables = [np.asarray(constant.array) for constant in program.constants]
    arrays = [values(rng, FLOAT, program.nodes[-1].operands[0].type.shape), *tables]
    for kinds in ([INPUT, VALUE, CONSTANT], [INPUT, CONSTANT, INPUT], [INPUT, INPUT, VALUE]):
        program, inputs = made(Op.TREE_WALK, arrays, kinds, (5,))
        with pytest.raises(Refused) as caught:
            evaluator.run(program, [])
        node = len(program.nodes) - 1
        wanted = "NotEvaluable", node, Op.TREE_WALK, "tables that are computed"
        assert caught.value.error == wanted


def test_infer_refuses_inputs_of_another_length(
    evaluator: Evaluator, rng: np.random.Generator
) -> None:
    program, _ = made(Op.ADD, [values(rng, FLOAT, (3,))] * 2, [INPUT, INPUT], ())
    answers = evaluator.run(program, [bytes(24), bytes(23), bytes(25), b""])
    assert [answer.error for answer in answers] == [
        (),
        ("WrongInputLength", 23, 24),
        ("WrongInputLength", 25, 24),
        ("WrongInputLength", 0, 12),
    ]
