"""Reads a proof as the referee does (`contracts/interfaces/IReferee.sol`), with none of the code
that builds one: every hash is checked, and the element is computed again from what is opened."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from oracle import merkle
from oracle.errors import PayloadError, WrongEvidence
from oracle.exact.program import (
    MAX_RANK,
    Constant,
    Node,
    Op,
    Operand,
    OperandKind,
    Program,
    ValueType,
)
from oracle.exact.proofs.reads import reads
from oracle.exact.proofs.trace import trace_root
from oracle.exact.run import Runner
from oracle.merkle import LEAF, Nodes, Opening, Run, keccak256
from oracle.tensor import Array, decode, numpy_dtype, to_bytes
from oracle.types import DType, Signature, TensorType

WORD = 32
VALUE, OUTPUT = 2, 3  # kinds of claims

_HEADER = keccak256(b"exactum.program")
_NODE = keccak256(b"exactum.node")
_EMPTY = bytes(32)


@dataclass(frozen=True, slots=True)
class Header:
    """What a program's header record says: the types of its inputs, and of each output the node
    that gives it."""

    record: bytes
    nodes: int
    inputs: tuple[ValueType, ...]
    outputs: tuple[tuple[int, ValueType], ...]


@dataclass(frozen=True, slots=True)
class Claim:
    """What one run of a model is bound by, as in `IReferee.Claim`; payloads in full."""

    program_root: bytes
    trace_root: bytes
    payload: bytes
    output: bytes


@dataclass(frozen=True, slots=True)
class Proven:
    """One element: the bits that were claimed, and those that the law gives."""

    node: int
    op: Op
    element: int
    claimed: bytes
    expected: bytes


class Words:
    """Bytes that are read once, from the front, a few words at a time."""

    def __init__(self, data: bytes):
        self._data = data
        self._at = 0

    def take(self, count: int) -> bytes:
        """The next `count` words."""
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
    """The header record and its path."""
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
    """The hashes beside a value's path in the value tree."""
    return words.hashes(merkle.depth_of(header.nodes))


def check_value(
    header: Header, claim: Claim, value: int, root: bytes, path: Sequence[bytes]
) -> None:
    """Raises where the trace does not have that value root at that node."""
    top = merkle.nodes_root(header.nodes, Nodes(0, value, (root,), tuple(path)))
    if top is None or trace_root(claim.program_root, [top]) != claim.trace_root:
        raise WrongEvidence(f"value {value} does not lead to the trace's root")


def prove(proof: bytes, claim: Claim, inputs: Sequence[TensorType]) -> Proven:
    """What the proof proves. Raises WrongEvidence where it proves nothing.

    The program's root must be known to be that of a program under the law: records are believed."""
    words = Words(proof)
    head = words.take(1)
    kind, index = head[0], _number(head[1:5])
    output, element = _number(head[5:9]), _number(head[9:17])
    if kind not in (VALUE, OUTPUT) or any(head[17:]) or (kind == VALUE and output):
        raise WrongEvidence("what should be the claim is none")
    header = read_header(words, claim.program_root)
    node, constants = _read_node(words, header, index, claim.program_root)
    if element >= node.output.elements:
        raise WrongEvidence(f"its node has {node.output.elements} elements and no {element}")
    if kind == VALUE:
        claimed = _claimed_value(words, header, claim, index, node.output, element)
    else:
        claimed = _claimed_output(header, claim.output, output, index, element)
    roots = dict(constants)
    for operand in node.operands:
        if operand.kind is OperandKind.VALUE:
            root = words.take(1)
            check_value(header, claim, operand.index, root, read_path(words, header))
            roots[OperandKind.VALUE, operand.index] = root
    known = _Known(node, claim.payload, inputs)
    for read in reads(node, element, known.look):
        operand = node.operands[read.operand]
        if operand.kind is not OperandKind.INPUT:
            size = operand.type.dtype.itemsize
            first, last = read.first * size // LEAF, ((read.first + read.count) * size - 1) // LEAF
            root = roots[operand.kind, operand.index]
            known.add(operand, _read_run(words, operand.type, root, first, last - first + 1))
    words.end()
    return Proven(index, node.op, element, claimed, known.computed(element))


def _claimed_value(
    words: Words, header: Header, claim: Claim, value: int, type_: ValueType, element: int
) -> bytes:
    """From the trace."""
    size = type_.dtype.itemsize
    root = words.take(1)
    check_value(header, claim, value, root, read_path(words, header))
    leaf, at = divmod(element * size, LEAF)
    return _read_run(words, type_, root, leaf, 1).leaves[0][at : at + size]


def _claimed_output(header: Header, payload: bytes, output: int, node: int, element: int) -> bytes:
    """From the output's payload."""
    if output >= len(header.outputs) or header.outputs[output][0] != node:
        raise WrongEvidence(f"node {node} is not output {output}")
    size = header.outputs[output][1].dtype.itemsize
    at = sum(type_.nbytes for _, type_ in header.outputs[:output]) + element * size
    if at + size > len(payload):
        raise WrongEvidence("the output has no such element")
    return payload[at : at + size]


def _read_node(
    words: Words, header: Header, index: int, program_root: bytes
) -> tuple[Node, dict[tuple[OperandKind, int], bytes]]:
    """A node, and the roots of the constants that it reads."""
    head = words.peek(3)
    operands, attributes = _number(head[44:48]), _number(head[48:52])
    if head[:WORD] != _NODE or index >= header.nodes or max(operands, attributes) > 1 << 16:
        raise WrongEvidence("what should be a node is none")
    record = words.take(3 + 3 * operands + attributes)
    _check_record(words, record, index + 1, header.nodes, program_root)
    read: list[Operand] = []
    roots: dict[tuple[OperandKind, int], bytes] = {}
    for at in range(3, 3 + 3 * operands, 3):
        reference = _word(record, at)
        try:
            kind = OperandKind(reference[0])
        except ValueError:
            raise WrongEvidence(f"an operand has kind {reference[0]}") from None
        operand = Operand(kind, _number(reference[1:5]), _type(_word(record, at + 1)))
        read.append(operand)
        if kind is OperandKind.CONSTANT:
            roots[kind, operand.index] = _word(record, at + 2)
    numbers = range(3 + 3 * operands, 3 + 3 * operands + attributes)
    signed = [int.from_bytes(_word(record, at), "big", signed=True) for at in numbers]
    try:
        op = Op(_number(head[32:36]))
    except ValueError:
        raise WrongEvidence(f"there is no op {head[32:36].hex()}") from None
    return Node(op, tuple(read), _type(_word(record, 2)), tuple(signed)), roots


def _check_record(words: Words, record: bytes, at: int, nodes: int, program_root: bytes) -> None:
    """Reads the record's path, which must lead to the program's root."""
    path = words.hashes(merkle.depth_of(nodes + 1))
    if not merkle.verify_record(program_root, nodes + 1, Opening(at, record, path)):
        raise WrongEvidence(f"record {at} does not lead to the program's root")


def _read_run(words: Words, type_: ValueType, root: bytes, first: int, count: int) -> Run:
    leaves = words.take(count * (LEAF // WORD))
    pieces = tuple(leaves[at : at + LEAF] for at in range(0, len(leaves), LEAF))
    beside = _siblings(merkle.leaf_count(type_.nbytes), first, count)
    run = Run(first, pieces, words.hashes(beside))
    if not merkle.verify_run(root, type_.nbytes, run):
        raise WrongEvidence(f"leaves from {first} on do not lead to their tensor's root")
    if not merkle.run_padding_is_zero(type_.nbytes, run):
        raise WrongEvidence("a tensor's padding is not zero")
    return run


def _siblings(leaves: int, first: int, count: int) -> int:
    """How many hashes are beside the common path of some leaves."""
    left, right, found = first, first + count - 1, 0
    for _ in range(merkle.depth_of(leaves)):
        found += left % 2 + (right + 1) % 2
        left, right = left // 2, right // 2
    return found


class _Known:
    """What is opened of a node's operands; all else is zero."""

    def __init__(self, node: Node, payload: bytes, inputs: Sequence[TensorType]):
        self._node = node
        try:
            self._inputs = [array.reshape(-1) for array in decode(payload, inputs)]
        except PayloadError as error:
            raise WrongEvidence(f"the input is none of the model's ({error})") from None
        self._arrays: dict[tuple[OperandKind, int], Array] = {}
        for operand in node.operands:
            if operand.kind is OperandKind.INPUT and operand.index >= len(self._inputs):
                raise WrongEvidence("a node reads an input that there is not")

    def look(self, operand: int, place: int) -> int:
        """An element's bits where it is a float, else its value."""
        found = self._array(self._node.operands[operand])[place : place + 1]
        return int(found.view("u4")[0] if found.dtype.kind == "f" else found[0])

    def add(self, operand: Operand, run: Run) -> None:
        array = self._array(operand)
        dtype = numpy_dtype(operand.type.dtype)
        first = run.first * LEAF // dtype.itemsize
        opened = np.frombuffer(b"".join(run.leaves), dtype.newbyteorder(">"))
        array[first : first + opened.size] = opened[: array.size - first]

    def computed(self, element: int) -> bytes:
        """The element's bits, by a program of this node alone."""
        node = self._node
        operands: list[Operand] = []
        constants: list[Constant] = []
        types: list[TensorType] = []
        arrays: list[Array] = []
        for operand in node.operands:
            array = self._array(operand).reshape(operand.type.shape)
            if operand.kind is OperandKind.CONSTANT:
                array.flags.writeable = False
                operands.append(Operand(OperandKind.CONSTANT, len(constants), operand.type))
                constants.append(Constant(array, operand.type))
            else:
                operands.append(Operand(OperandKind.INPUT, len(types), operand.type))
                types.append(TensorType(f"x{len(types)}", operand.type.dtype, operand.type.shape))
                arrays.append(array)
        program = Program(
            signature=Signature(
                tuple(types), (TensorType("y", node.output.dtype, node.output.shape),)
            ),
            nodes=(Node(node.op, tuple(operands), node.output, node.attributes),),
            constants=tuple(constants),
            outputs=(Operand(OperandKind.VALUE, 0, node.output),),
        )
        [output] = Runner(program).run(arrays)
        return to_bytes(output.reshape(-1)[element : element + 1])

    def _array(self, operand: Operand) -> Array:
        if operand.kind is OperandKind.INPUT:
            return self._inputs[operand.index]
        key = operand.kind, operand.index
        if key not in self._arrays:
            self._arrays[key] = np.zeros(operand.type.elements, numpy_dtype(operand.type.dtype))
        return self._arrays[key]


def _word(record: bytes, at: int) -> bytes:
    return record[at * WORD : (at + 1) * WORD]


def _number(data: bytes) -> int:
    return int.from_bytes(data, "big")


def _type(word: bytes) -> ValueType:
    rank = word[1]
    if rank > MAX_RANK or word[0] not in DType._value2member_map_ or any(word[2 + 4 * rank :]):
        raise WrongEvidence("what should be a type is none")
    dims = tuple(_number(word[at : at + 4]) for at in range(2, 2 + 4 * rank, 4))
    return ValueType(DType(word[0]), dims)
