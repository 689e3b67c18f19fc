"""Reads a proof as the referee does (`contracts/interfaces/IReferee.sol`), with none of the code
that builds one or computes the law: every hash is checked, and the element is computed again from
what is opened."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from oracle import merkle
from oracle.audit.element import compute, op_name
from oracle.audit.numbers import Element, bits, elements
from oracle.audit.rules.node import Primitive, Tensor
from oracle.errors import WrongEvidence
from oracle.merkle import LEAF, Nodes, Opening, Run, keccak256
from oracle.types import DType, TensorType

MAX_RANK = 7
INPUT, CONSTANT = 0, 1  # kinds of operands; that of a value is VALUE
WORD = 32
VALUE, OUTPUT = 2, 3  # kinds of claims; VALUE is a kind of operand too

_HEADER = keccak256(b"exactum.program")
_NODE = keccak256(b"exactum.node")
_TRACE = keccak256(b"exactum.trace")


@dataclass(frozen=True, slots=True)
class Operand:
    """Where an operand comes from. `index` counts inputs, constants or values, as `kind` says.
    `root` is that of a constant's tensor, and empty for others."""

    kind: int
    index: int
    type: Tensor
    root: bytes


@dataclass(frozen=True, slots=True)
class Node:
    """A node's record: what it computes, and from which operands."""

    primitive: Primitive
    operands: tuple[Operand, ...]


@dataclass(frozen=True, slots=True)
class Header:
    """A program's header record: the types of its inputs, and for each output the node that gives
    it and its type."""

    record: bytes
    nodes: int
    inputs: tuple[Tensor, ...]
    outputs: tuple[tuple[int, Tensor], ...]


@dataclass(frozen=True, slots=True)
class Claim:
    """The roots and payloads that bind one run of a model, as in `IReferee.Claim`."""

    program_root: bytes
    trace_root: bytes
    payload: bytes
    output: bytes


@dataclass(frozen=True, slots=True)
class Tree:
    """Where a tensor lies: in a tree over `size` bytes, from `offset` on."""

    root: bytes
    size: int
    offset: int


@dataclass(frozen=True, slots=True)
class Proven:
    """One element: the bits that were claimed, and those that the law gives."""

    node: int
    op: str
    element: int
    claimed: bytes
    expected: bytes


class Words:
    """Reads bytes once, from the front, a few words at a time."""

    def __init__(self, data: bytes):
        self._data = data
        self._at = 0

    def take(self, count: int) -> bytes:
        """Reads the next `count` words. Raises WrongEvidence where fewer are left."""
        end = self._at + count * WORD
        if count < 0 or end > len(self._data):
            raise WrongEvidence(f"it ends in the middle of what byte {self._at} begins")
        found = self._data[self._at : end]
        self._at = end
        return found

    def peek(self, count: int) -> bytes:
        found = self.take(count)
        self._at -= count * WORD
        return found

    def hashes(self, count: int) -> tuple[bytes, ...]:
        data = self.take(count)
        return tuple(data[at : at + WORD] for at in range(0, len(data), WORD))

    def end(self) -> None:
        if self._at != len(self._data):
            raise WrongEvidence(f"{len(self._data) - self._at} bytes follow its end")


def read_header(words: Words, program_root: bytes) -> Header:
    """Reads the header record and its path, which must lead to the program's root."""
    head = words.peek(2)
    counts = [int.from_bytes(head[at : at + 8], "big") for at in range(WORD, 2 * WORD, 8)]
    _, nodes, inputs, outputs = counts
    if head[:WORD] != _HEADER or not 0 < nodes < 1 << 32 or max(inputs, outputs) > 1 << 16:
        raise WrongEvidence("what should be a program's header is none")
    record = words.take(max(5, 2 + inputs + 2 * outputs))
    _check_record(words, record, 0, nodes, program_root)
    types = [_type(_word(record, 2 + at)) for at in range(inputs)]
    pairs = range(2 + inputs, 2 + inputs + 2 * outputs, 2)
    given = [(_number(_word(record, at)), _type(_word(record, at + 1))) for at in pairs]
    if any(node >= nodes for node, _ in given):
        raise WrongEvidence("an output is that of a node that there is not")
    return Header(record, nodes, tuple(types), tuple(given))


def read_path(words: Words, header: Header) -> tuple[bytes, ...]:
    """Reads the hashes beside a value's path in the value tree."""
    return words.hashes(merkle.depth_of(header.nodes))


def check_value(
    header: Header, claim: Claim, value: int, root: bytes, path: Sequence[bytes]
) -> None:
    """Raises WrongEvidence where the trace does not have that value root at that node."""
    top = merkle.nodes_root(header.nodes, Nodes(0, value, (root,), tuple(path)))
    if top is None or keccak256(_TRACE + claim.program_root + top) != claim.trace_root:
        raise WrongEvidence(f"value {value} does not lead to the trace's root")


def prove(proof: bytes, claim: Claim, inputs: Sequence[TensorType]) -> Proven:
    """Reads a proof and computes its element. Raises WrongEvidence where it proves nothing.

    The program's root must be known to be that of a program under the law, because the types and
    attributes in its records are not checked here.
    """
    words = Words(proof)
    head = words.take(1)
    kind, index = head[0], _number(head[1:5])
    output, element = _number(head[5:9]), _number(head[9:17])
    if kind not in (VALUE, OUTPUT) or any(head[17:]) or (kind == VALUE and output):
        raise WrongEvidence("what should be the claim is none")
    header = read_header(words, claim.program_root)
    node = _read_node(words, header, index, claim.program_root)
    output_type = node.primitive.output
    if element >= output_type.elements:
        raise WrongEvidence(f"its node has {output_type.elements} elements and no {element}")
    if kind == VALUE:
        tree = _value_tree(words, header, claim, index, output_type)
    else:
        tree = _output_tree(header, claim.output, output, index)
    size = output_type.dtype.itemsize
    claimed = _read_bytes(words, tree, element * size, size)
    reader = _Reader(words, node, _read_trees(words, header, claim, node, inputs))
    expected = bits(compute(node.primitive, element, reader.read), output_type.dtype)
    words.end()
    return Proven(index, op_name(node.primitive.op), element, claimed, expected)


def _read_trees(
    words: Words, header: Header, claim: Claim, node: Node, inputs: Sequence[TensorType]
) -> list[Tree]:
    """Reads for each operand the tree that it lies in."""
    *places, needed = accumulate((type_.nbytes for type_ in inputs), initial=0)
    if len(claim.payload) != needed:
        raise WrongEvidence(f"the input has {len(claim.payload)} bytes, not the model's {needed}")
    asked = merkle.payload_root(claim.payload)
    trees = []
    for operand in node.operands:
        if operand.kind == VALUE:
            trees.append(_value_tree(words, header, claim, operand.index, operand.type))
        elif operand.kind == CONSTANT:
            trees.append(Tree(operand.root, operand.type.nbytes, 0))
        elif operand.index < len(inputs):
            trees.append(Tree(asked, needed, places[operand.index]))
        else:
            raise WrongEvidence("a node reads an input that there is not")
    return trees


def _value_tree(words: Words, header: Header, claim: Claim, value: int, type_: Tensor) -> Tree:
    """Reads the root of a value's tree, and its path in the trace."""
    root = words.take(1)
    check_value(header, claim, value, root, read_path(words, header))
    return Tree(root, type_.nbytes, 0)


def _output_tree(header: Header, payload: bytes, output: int, node: int) -> Tree:
    if output >= len(header.outputs) or header.outputs[output][0] != node:
        raise WrongEvidence(f"node {node} is not output {output}")
    offset = sum(type_.nbytes for _, type_ in header.outputs[:output])
    if offset + header.outputs[output][1].nbytes > len(payload):
        raise WrongEvidence("the output has no such element")
    return Tree(merkle.payload_root(payload), len(payload), offset)


def _read_node(words: Words, header: Header, index: int, program_root: bytes) -> Node:
    head = words.peek(3)
    count, attributes = _number(head[44:48]), _number(head[48:52])
    if head[:WORD] != _NODE or index >= header.nodes or max(count, attributes) > 1 << 16:
        raise WrongEvidence("what should be a node is none")
    record = words.take(3 + 3 * count + attributes)
    _check_record(words, record, index + 1, header.nodes, program_root)
    operands = tuple(_operand(record, at) for at in range(3, 3 + 3 * count, 3))
    numbers = range(3 + 3 * count, 3 + 3 * count + attributes)
    primitive = Primitive(
        _number(head[32:36]),
        tuple(operand.type for operand in operands),
        _type(_word(record, 2)),
        tuple(int.from_bytes(_word(record, at), "big", signed=True) for at in numbers),
    )
    return Node(primitive, operands)


def _operand(record: bytes, at: int) -> Operand:
    reference = _word(record, at)
    kind = reference[0]
    if kind not in (INPUT, CONSTANT, VALUE):
        raise WrongEvidence(f"an operand has kind {kind}")
    root = _word(record, at + 2) if kind == CONSTANT else b""
    return Operand(kind, _number(reference[1:5]), _type(_word(record, at + 1)), root)


def _check_record(words: Words, record: bytes, at: int, nodes: int, program_root: bytes) -> None:
    """Reads the record's path, which must lead to the program's root."""
    path = words.hashes(merkle.depth_of(nodes + 1))
    if not merkle.verify_record(program_root, nodes + 1, Opening(at, record, path)):
        raise WrongEvidence(f"record {at} does not lead to the program's root")


def _read_bytes(words: Words, tree: Tree, first: int, length: int) -> bytes:
    """Reads the next run: `length` ≥ 1 bytes of a tensor."""
    start = tree.offset + first
    leaf, count = merkle.span(start, length)
    leaves = words.take(count * (LEAF // WORD))
    pieces = tuple(leaves[at : at + LEAF] for at in range(0, len(leaves), LEAF))
    beside = _siblings(merkle.leaf_count(tree.size), leaf, count)
    run = Run(leaf, pieces, words.hashes(beside))
    if not merkle.verify_run(tree.root, tree.size, run):
        raise WrongEvidence(f"leaves from {leaf} on do not lead to their tree's root")
    if not merkle.run_padding_is_zero(tree.size, run):
        raise WrongEvidence("a tree's padding is not zero")
    return leaves[start - leaf * LEAF :][:length]


def _siblings(leaves: int, first: int, count: int) -> int:
    """Counts the hashes beside the common path of neighbouring leaves."""
    left, right, found = first, first + count - 1, 0
    for _ in range(merkle.depth_of(leaves)):
        found += left % 2 + (right + 1) % 2
        left, right = left // 2, right // 2
    return found


class _Reader:
    """Gives a rule the elements that it reads, from the proof's next run."""

    def __init__(self, words: Words, node: Node, trees: Sequence[Tree]):
        self._words = words
        self._node = node
        self._trees = trees

    def read(self, operand: int, first: int, count: int) -> Sequence[Element]:
        """Reads neighbouring elements of an operand."""
        type_ = self._node.operands[operand].type
        size = type_.dtype.itemsize
        if not 0 <= first * size <= (first + count) * size <= type_.nbytes:
            raise WrongEvidence(f"operand {operand} has no element {first + count - 1}")
        data = _read_bytes(self._words, self._trees[operand], first * size, count * size)
        return elements(data, type_.dtype)


def _word(record: bytes, at: int) -> bytes:
    return record[at * WORD : (at + 1) * WORD]


def _number(data: bytes) -> int:
    return int.from_bytes(data, "big")


def _type(word: bytes) -> Tensor:
    rank = word[1]
    if rank > MAX_RANK or word[0] not in DType._value2member_map_ or any(word[2 + 4 * rank :]):
        raise WrongEvidence("what should be a type is none")
    dims = tuple(_number(word[at : at + 4]) for at in range(2, 2 + 4 * rank, 4))
    return Tensor(DType(word[0]), dims)
