"""A program: what an ONNX file means under the law, and the root that commits to it.

The root is `merkle.records_root` over the header and then the nodes in order. A record is a row of
32-byte big-endian words, so that a referee reads it with shifts and fixed offsets:

    type        dtype (8 bits) ‖ rank (8) ‖ 7 dims (32 each, unused ones zero) ‖ 16 zero bits
    reference   kind (8 bits) ‖ index (32) ‖ 216 zero bits

    header      0  keccak256("exactum.program")
                1  law version (64 bits) ‖ nodes (64) ‖ inputs (64) ‖ outputs (64)
                2… one type an input; then, for each output, the index of its node and its type
                   (two words); then zero words up to five
    node        0  keccak256("exactum.node")
                1  op (32 bits) ‖ own index (64) ‖ operands (32) ‖ attributes (32) ‖ 96 zero bits
                2  the output's type
                3… three words an operand: reference, type, root; the root is that of the
                   constant's tensor, and zero for other kinds
                …  one word an attribute, as a two's complement number

Node `i` gives value `i` and reads values below `i` only. An operand carries its own shape: it may
differ from the producer's in all but the number of elements, which is what a Reshape is; so that
op costs nothing and leaves no trace. Names bind nothing here: a model's id holds them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cached_property
from itertools import accumulate
from math import prod

from oracle import merkle
from oracle.tensor import Array
from oracle.types import DType, Signature

LAW_VERSION = 1
"""Of the primitives and the encoding alone; docs/exact.md says when it rises."""
MAX_RANK = 7

HEADER_TAG = merkle.keccak256(b"exactum.program")
NODE_TAG = merkle.keccak256(b"exactum.node")


class Family(IntEnum):
    """Primitives that read their operands alike. Each is a file: `ops/<family>.py`."""

    LINEAR = 0x01
    ELEMENTWISE = 0x02
    TRANSCENDENTAL = 0x03
    REDUCE = 0x04
    MOVEMENT = 0x05
    WINDOW = 0x06
    TREES = 0x07
    QUANTIZED = 0x08
    FUNCTIONS = 0x09


class Op(IntEnum):
    """The primitives. The high byte is the family."""

    # linear
    DOT = 0x0100
    # elementwise
    ADD = 0x0200
    SUB = 0x0201
    MUL = 0x0202
    DIV = 0x0203
    NEG = 0x0204
    ABS = 0x0205
    SQRT = 0x0206
    MAX = 0x0207
    MIN = 0x0208
    LESS = 0x0209
    WHERE = 0x020A
    CAST = 0x020B
    EQUAL = 0x0240
    AND = 0x0241
    OR = 0x0242
    XOR = 0x0243
    MOD = 0x0244
    # transcendental
    EXP = 0x0300
    LOG = 0x0301
    SIGMOID = 0x0302
    TANH = 0x0303
    ERF = 0x0304
    # reduce
    REDUCE_SUM = 0x0400
    REDUCE_MEAN = 0x0401
    REDUCE_MAX = 0x0402
    REDUCE_MIN = 0x0403
    ARG_MAX = 0x0404
    TOP_K = 0x0440
    CUM_SUM = 0x0441
    # movement
    TRANSPOSE = 0x0500
    CONCAT = 0x0501
    GATHER = 0x0502
    SCATTER = 0x0540
    # window
    CONV = 0x0600
    MAX_POOL = 0x0601
    AVERAGE_POOL = 0x0602
    # trees
    TREE_WALK = 0x0700
    # quantized
    QUANTIZE = 0x0800
    # functions
    LOG1P = 0x0900
    SIN = 0x0901
    COS = 0x0902
    ATAN = 0x0903
    POW = 0x0904

    @property
    def family(self) -> Family:
        return Family(self >> 8)


class OperandKind(IntEnum):
    """Where an operand comes from."""

    INPUT = 0
    CONSTANT = 1
    VALUE = 2


@dataclass(frozen=True, slots=True)
class ValueType:
    """Element type and static shape."""

    dtype: DType
    shape: tuple[int, ...]

    @property
    def elements(self) -> int:
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        return self.elements * self.dtype.itemsize

    def __str__(self) -> str:
        return f"{self.dtype.name.lower()}[{','.join(map(str, self.shape))}]"


@dataclass(frozen=True, slots=True)
class Operand:
    """What a node reads. `index` counts inputs, constants or nodes, as `kind` says; `type` is the
    dtype and shape with which the node reads it."""

    kind: OperandKind
    index: int
    type: ValueType


@dataclass(frozen=True, slots=True)
class Node:
    """One primitive applied once. `name` is that of the ONNX node it comes from. It is there for
    people to read, and no root binds it."""

    op: Op
    operands: tuple[Operand, ...]
    output: ValueType
    attributes: tuple[int, ...] = ()
    name: str = ""


@dataclass(frozen=True, eq=False)
class Constant:
    """A read-only canonical array, and the same `as_stored`, whose bits the root commits to. What a
    program file stores may hold a −0, an odd NaN or an odd bool: as uint32, or as uint8."""

    array: Array
    type: ValueType
    as_stored: Array | None = None

    @property
    def stored(self) -> Array:
        return self.array if self.as_stored is None else self.as_stored

    @cached_property
    def root(self) -> bytes:
        return merkle.tensor_root(self.stored)


@dataclass(frozen=True, eq=False)
class Program:
    """Nodes in order, with the constants that they read. `outputs` are operands of kind VALUE.
    `labels` are a classifier's classes in order, and empty for other models. Where they are
    strings, an output that names a class holds its place in them. `categories` are the strings
    that the model knows at its inputs: an input of strings holds places in them, and the place
    behind the last, or any beyond, is a string that the model does not know."""

    signature: Signature
    nodes: tuple[Node, ...]
    constants: tuple[Constant, ...]
    outputs: tuple[Operand, ...]
    labels: tuple[str | int, ...] = ()
    categories: tuple[str, ...] = field(default=(), kw_only=True)
    law_version: int = field(default=LAW_VERSION)
    stored_records: tuple[bytes, ...] | None = field(default=None, repr=False)
    """The records as a program file has them: bits that nobody reads may be any."""

    @cached_property
    def records(self) -> tuple[bytes, ...]:
        """The bytes of the header and of each node, as the root commits to them."""
        if self.stored_records is not None:
            return self.stored_records
        nodes = (self._node_record(index, self._root) for index in range(len(self.nodes)))
        return (self._header_record(), *nodes)

    @cached_property
    def input_places(self) -> tuple[int, ...]:
        """The byte at which each input begins in the payload, and that behind the last."""
        return tuple(accumulate((type_.nbytes for type_ in self.signature.inputs), initial=0))

    @cached_property
    def output_places(self) -> tuple[int, ...]:
        """The byte at which each output begins in the payload, and that behind the last."""
        return tuple(accumulate((type_.nbytes for type_ in self.signature.outputs), initial=0))

    def unhashed_records(self, index: int) -> bytes:
        """Gives the bytes of the header and of one node with 0xff… for the roots of constants, so
        that none is hashed."""
        return self._header_record() + self._node_record(index, lambda _constant: b"\xff" * 32)

    @cached_property
    def record_levels(self) -> merkle.Levels:
        """The tree of the records."""
        return merkle.record_levels(self.records)

    @cached_property
    def root(self) -> bytes:
        """The 32 bytes that bind the law's version, inputs, nodes, constants and outputs."""
        return merkle.records_root(self.records)

    def _header_record(self) -> bytes:
        counts = (self.law_version, len(self.nodes), len(self.signature.inputs), len(self.outputs))
        words = [
            HEADER_TAG,
            b"".join(count.to_bytes(8, "big") for count in counts),
            *(_type_word(ValueType(t.dtype, t.shape)) for t in self.signature.inputs),
        ]
        for output in self.outputs:
            words += [output.index.to_bytes(32, "big"), _type_word(output.type)]
        return b"".join(words).ljust(160, b"\0")

    def _root(self, constant: int) -> bytes:
        return self.constants[constant].root

    def _node_record(self, index: int, root: Callable[[int], bytes]) -> bytes:
        node = self.nodes[index]
        head = (
            node.op.to_bytes(4, "big")
            + index.to_bytes(8, "big")
            + len(node.operands).to_bytes(4, "big")
            + len(node.attributes).to_bytes(4, "big")
            + bytes(12)
        )
        words = [NODE_TAG, head, _type_word(node.output)]
        for operand in node.operands:
            is_constant = operand.kind is OperandKind.CONSTANT
            words += _operand_words(operand, root(operand.index) if is_constant else bytes(32))
        words += [value.to_bytes(32, "big", signed=True) for value in node.attributes]
        return b"".join(words)


def _operand_words(operand: Operand, root: bytes) -> Sequence[bytes]:
    reference = bytes([operand.kind]) + operand.index.to_bytes(4, "big") + bytes(27)
    return reference, _type_word(operand.type), root


def _type_word(type_: ValueType) -> bytes:
    dims = b"".join(dim.to_bytes(4, "big") for dim in type_.shape)
    return bytes([type_.dtype, len(type_.shape)]) + dims.ljust(30, b"\0")
