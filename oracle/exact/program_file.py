"""The program file: a program as bytes that its root certifies, whoever gave them.

It is a safetensors file. Its tensors:

    records             bytes: the header's record and the nodes' in order, one behind the other
    constant.<root>     what lies under that root, in hex

Nothing else in it binds anything: neither the shapes of constants nor their dtypes, of which only
the size of an element counts, since a root is over the same elements big-endian. One string of its
metadata, `exactum`, is JSON of what people read: the names of nodes, inputs and outputs, a
classifier's labels, the strings that it knows at its inputs, and the SHA-256 of the file that the
program was lowered from.

Whoever reads one computes the root from the records, and the roots of constants from what lies
there, so the file may come from anybody. It is read as the referee reads proofs: records and
constants are hashed as they stand, and a −0, an odd NaN or an odd bool counts as its canonical
form. A constant that no record names is not read. Constants stay in the file, which is mapped.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from safetensors.numpy import save

from oracle import merkle
from oracle.errors import ModelRefused, Reason
from oracle.exact.limits import Limits, OverLimit
from oracle.exact.mapped import Malformed, Mapped, Stored
from oracle.exact.ops import PRIMITIVES
from oracle.exact.ops.trees import check_walks
from oracle.exact.primitive import DTYPES, Outside
from oracle.exact.program import (
    HEADER_TAG,
    LAW_VERSION,
    MAX_RANK,
    NODE_TAG,
    Constant,
    Node,
    Op,
    Operand,
    OperandKind,
    Program,
    ValueType,
)
from oracle.tensor import CANONICAL_NAN, Array, canonical, numpy_dtype
from oracle.types import DType, Signature, TensorType

WORD = 32
BLOCK = 1 << 20  # bytes of a constant that are turned round at once
MAX_NAMES = 1 << 24  # letters of metadata that are read
MOST_HASHED = 8  # times its own length: constants that differ by zeros at the end share a root
MAX_NAME = 1 << 10  # letters of one
_OPS, _KINDS = frozenset(map(int, Op)), frozenset(map(int, OperandKind))
_RECORDS, _CONSTANT, _NAMES = "records", "constant.", "exactum"


def pack(program: Program, source: bytes = b"") -> bytes:
    """Gives the file of a program. The same program gives the same bytes. `source` is the SHA-256
    of what it was lowered from."""
    names = {
        "nodes": [node.name for node in program.nodes],
        "inputs": [tensor.name for tensor in program.signature.inputs],
        "outputs": [tensor.name for tensor in program.signature.outputs],
        "labels": list(program.labels),
        "categories": list(program.categories),
        "source": source.hex(),
    }
    used = {
        operand.index
        for node in program.nodes
        for operand in node.operands
        if operand.kind is OperandKind.CONSTANT
    }
    tensors = {_RECORDS: np.frombuffer(b"".join(program.records), np.uint8)}
    for index in sorted(used):
        constant = program.constants[index]
        _keep_longest(tensors, _CONSTANT + constant.root.hex(), constant.stored)
    # One key alone, since the library keeps no order of several.
    text = json.dumps(names, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    return bytes(save(tensors, metadata={_NAMES: text}))


START = 16  # bytes of a file that `is_program` wants


def is_program(start: bytes) -> bool:
    """Says whether a file that begins so may be a program file, and no ONNX file: an ONNX file has
    no brace behind eight bytes that stand for a number that small."""
    return len(start) > 8 and start[8:9] == b"{" and int.from_bytes(start[:8], "little") < 1 << 40


def read(path: Path, limits: Limits | None = None) -> Program:
    """Reads a program file. Raises ModelRefused where it holds no program of this law, and
    OSError."""
    with _refusing(path) as file:
        return _Reading(file, limits or Limits()).program()


@dataclass(frozen=True, slots=True)
class Dictionary:
    """What integers of a program stand for, as `Program` has it. Nothing binds it."""

    labels: tuple[str | int, ...] = ()
    categories: tuple[str, ...] = ()


def dictionary(path: Path) -> Dictionary:
    """Reads what integers of a program stand for, and nothing else of the file. Raises ModelRefused
    where it is no program file, and OSError."""
    with _refusing(path) as file:
        names = _names(file)
    return Dictionary(_labels(names), _categories(names))


def source_hash(path: Path) -> bytes | None:
    """Gives the SHA-256 of what the program is said to be lowered from, where that is said."""
    with _refusing(path) as file:
        text = _names(file).get("source")
    try:
        digest = bytes.fromhex(text) if isinstance(text, str) else b""
    except ValueError:
        return None
    return digest if len(digest) == 32 else None


def certify(path: Path) -> bytes:
    """Gives the root of the program that stands in the file, with every constant that its records
    name. It looks no further: nobody but a process that may die of it reads the program. Raises
    ModelRefused where there is none, and OSError."""
    limits, hashed = Limits(), 0
    most = MOST_HASHED * path.stat().st_size
    known: set[tuple[bytes, int]] = set()
    with _refusing(path) as file:
        records = list(_cut(_row_of_records(file, limits)))
        for index, record in enumerate(records[1:]):
            with _about(index):
                for root, type_ in _named(record):
                    if (root, type_.nbytes) in known:
                        continue
                    known.add((root, type_.nbytes))
                    hashed += type_.nbytes
                    limits.check_type(type_)
                    limits.check_constants(hashed)
                    if hashed > most:
                        raise _Wrong(f"its constants take more than {MOST_HASHED} times its length")
                    _check_root(_constant(file, root, type_), root)
        return merkle.records_root(records)


@contextmanager
def _refusing(path: Path) -> Iterator[Mapped]:
    try:
        yield Mapped(path)
    except Malformed as error:
        raise _refused(f"it is no safetensors file that can be read: {error}") from None
    except (_Wrong, OverLimit) as error:
        raise _refused(str(error)) from None


class _Wrong(Exception):
    """It is no program."""


@dataclass(frozen=True, slots=True)
class _Header:
    nodes: int
    inputs: tuple[ValueType, ...]
    outputs: tuple[tuple[int, ValueType], ...]


class _Reading:
    """Reads one file. What it holds of it in memory are the records, and constants that do not
    stand there in their canonical form."""

    def __init__(self, file: Mapped, limits: Limits):
        self._file = file
        self._limits = limits
        self._work = 0
        self._constant_bytes = 0
        self._constants: list[Constant] = []
        self._places: dict[tuple[bytes, ValueType], int] = {}

    def program(self) -> Program:
        records = list(_cut(_row_of_records(self._file, self._limits)))
        header = _header(records[0])
        self._limits.check_nodes(header.nodes)
        for type_ in (*header.inputs, *(type_ for _, type_ in header.outputs)):
            self._limits.check_type(type_)
        if len(records) != header.nodes + 1:
            raise _Wrong(f"its header tells of {header.nodes} nodes; there are {len(records) - 1}")
        names = _names(self._file)
        nodes: list[Node] = []
        for index, record in enumerate(records[1:]):
            with _about(index):
                nodes.append(self._node(record, nodes, header, _name(names, "nodes", index)))
        outputs = tuple(_output(nodes, *output) for output in header.outputs)
        if not outputs:
            raise _Wrong("it has no output")
        signature = _signature(header, names)
        self._limits.check_live_bytes(signature.inputs, nodes, self._constants)
        return Program(
            signature,
            tuple(nodes),
            tuple(self._constants),
            outputs,
            _labels(names),
            categories=_categories(names),
            stored_records=tuple(records),
        )

    def _node(self, record: bytes, before: Sequence[Node], header: _Header, name: str) -> Node:
        head = _number(record, 1)
        if record[:WORD] != NODE_TAG or (head >> 160) & (1 << 64) - 1 != len(before):
            raise _Wrong("its record is not that of a node, or of another one")
        code, operands, attributes = head >> 224, *_counts(record)
        if code not in _OPS:
            raise _Wrong(f"there is no primitive {code:#06x}")
        given = tuple(self._operand(record, 3 + 3 * at, before, header) for at in range(operands))
        first = 3 + 3 * operands
        numbers = tuple(_signed(record, first + at) for at in range(attributes))
        node = Node(Op(code), given, _type(_number(record, 2)), numbers, name)
        takes = PRIMITIVES[node.op].takes([each.type for each in given])
        if (len(given), len(numbers)) not in takes:
            raise _Wrong(
                f"{node.op.name}: it reads {operands} operands, with {attributes} attributes"
            )
        try:
            inferred = PRIMITIVES[node.op].infer([each.type for each in given], numbers)
        except Outside as error:
            raise _Wrong(f"{node.op.name}: {error.why}") from None
        # Rules are written for the attributes that lowering gives: any others may make one stumble.
        except (LookupError, ValueError, TypeError, ArithmeticError) as error:
            why = f"its operands and attributes are none that it takes ({type(error).__name__})"
            raise _Wrong(f"{node.op.name}: {why}") from None
        if node.op is Op.TREE_WALK:
            self._check_walks(node)
        if inferred != node.output:
            raise _Wrong(f"{node.op.name} gives {inferred}, and its record says {node.output}")
        self._limits.check_type(node.output)
        self._work += PRIMITIVES[node.op].cost(node) + 1
        self._limits.check_work(self._work)
        return node

    def _check_walks(self, node: Node) -> None:
        """Its tables are checked once, because no walk can check them by the way."""
        tables = node.operands[1:]
        if any(table.kind is not OperandKind.CONSTANT for table in tables):
            raise _Wrong("TREE_WALK: its tables are no constants")
        nodes, roots = (self._constants[each.index].array for each in tables)
        try:
            check_walks(node, nodes, roots)
        except Outside as error:
            raise _Wrong(f"TREE_WALK: {error.why}") from None

    def _operand(self, record: bytes, at: int, before: Sequence[Node], header: _Header) -> Operand:
        reference, type_ = _number(record, at), _type(_number(record, at + 1))
        kind, index = reference >> 248, (reference >> 216) & 0xFFFFFFFF
        if kind not in _KINDS or reference & (1 << 216) - 1:
            raise _Wrong("an operand's reference is none")
        self._limits.check_type(type_)
        match OperandKind(kind):
            case OperandKind.CONSTANT:
                index = self._constant(record[WORD * (at + 2) : WORD * (at + 3)], type_)
            case OperandKind.INPUT:
                _fits(header.inputs, index, type_)
            case OperandKind.VALUE:
                _fits([node.output for node in before[index : index + 1]], 0, type_)
        return Operand(OperandKind(kind), index, type_)

    def _constant(self, root: bytes, type_: ValueType) -> int:
        key = root, type_
        if key not in self._places:
            self._places[key] = len(self._constants)
            self._constants.append(self._loaded(root, type_))
        return self._places[key]

    def _loaded(self, root: bytes, type_: ValueType) -> Constant:
        """Reads a constant block by block, and checks it against its root. A root binds bytes and
        no type, so one may be read as several."""
        self._limits.check_type(type_)
        self._constant_bytes += type_.nbytes
        self._limits.check_constants(self._constant_bytes)
        stored = _constant(self._file, root, type_)
        array: Array = stored.view(numpy_dtype(type_.dtype))
        is_odd = _is_odd(stored.reshape(-1), type_.dtype)
        if is_odd:
            array = _canonical(stored)
            array.flags.writeable = False
        constant = Constant(array, type_, stored if is_odd else None)
        _check_root(constant.stored, root)
        return constant


# RECORDS


def _row_of_records(file: Mapped, limits: Limits) -> bytes:
    row = file.tensor(_RECORDS).data
    limits.check_records(row.nbytes)
    return row.tobytes()


def _named(record: bytes) -> Iterator[tuple[bytes, ValueType]]:
    """Yields the constants that a node's record names."""
    for at in range(3, 3 + 3 * _counts(record)[0], 3):
        if record[WORD * at] == OperandKind.CONSTANT:
            yield record[WORD * (at + 2) : WORD * (at + 3)], _type(_number(record, at + 1))


def _cut(data: bytes) -> Iterator[bytes]:
    """Cuts the row of records, each of which says how long it is."""
    if len(data) < 2 * WORD or data[:WORD] != HEADER_TAG:
        raise _Wrong("its records do not begin with a program's header")
    inputs, outputs = (_number(data, 1) >> shift & (1 << 64) - 1 for shift in (64, 0))
    at, words = 0, 2 + max(3, inputs + 2 * outputs)
    while True:
        end = at + WORD * words
        if end > len(data):
            raise _Wrong("its last record ends before its end")
        yield data[at:end]
        if end == len(data):
            return
        at = end
        operands, attributes = _counts(data[at : at + 2 * WORD].ljust(2 * WORD, b"\0"))
        if operands == 0:
            raise _Wrong("a node reads nothing")
        words = 3 + 3 * operands + attributes


def _header(record: bytes) -> _Header:
    counts = _number(record, 1)
    version, nodes, inputs, outputs = (counts >> at & (1 << 64) - 1 for at in (192, 128, 64, 0))
    if version != LAW_VERSION:
        raise _Wrong(f"it is of version {version} of the law; this is {LAW_VERSION}")
    types = tuple(_type(_number(record, 2 + at)) for at in range(inputs))
    pairs = range(2 + inputs, 2 + inputs + 2 * outputs, 2)
    given = tuple((_number(record, at), _type(_number(record, at + 1))) for at in pairs)
    return _Header(nodes, types, given)


def _counts(record: bytes) -> tuple[int, int]:
    head = _number(record, 1)
    return head >> 128 & 0xFFFFFFFF, head >> 96 & 0xFFFFFFFF


def _number(record: bytes, word: int) -> int:
    return int.from_bytes(record[WORD * word : WORD * (word + 1)], "big")


def _signed(record: bytes, word: int) -> int:
    return int.from_bytes(record[WORD * word : WORD * (word + 1)], "big", signed=True)


def _type(word: int) -> ValueType:
    dtype, rank = word >> 248, word >> 240 & 0xFF
    if dtype not in DTYPES or rank > MAX_RANK:
        raise _Wrong("a type of its is none that the law has")
    shape = tuple(word >> (208 - 32 * axis) & 0xFFFFFFFF for axis in range(rank))
    rest = word & (1 << (240 - 32 * rank)) - 1
    if rest or any(dim >> 31 for dim in shape):
        raise _Wrong("a type of its is none that the law has")
    return ValueType(DType(dtype), shape)


def _fits(types: Sequence[ValueType], index: int, type_: ValueType) -> None:
    if index >= len(types):
        raise _Wrong("an operand is of what does not come before")
    source = types[index]
    if (source.dtype, source.elements) != (type_.dtype, type_.elements):
        raise _Wrong(f"an operand reads {source} as {type_}")


def _output(nodes: Sequence[Node], index: int, type_: ValueType) -> Operand:
    _fits([node.output for node in nodes[index : index + 1]], 0, type_)
    return Operand(OperandKind.VALUE, index, type_)


@contextmanager
def _about(node: int) -> Iterator[None]:
    try:
        yield
    except _Wrong as error:
        raise _Wrong(f"node {node}: {error}") from None


# CONSTANTS


def _stored(dtype: DType) -> np.dtype[Any]:
    """Gives the dtype under which its bits are kept as they stand."""
    match dtype:
        case DType.FLOAT:
            return np.dtype(np.uint32)
        case DType.BOOL:
            return np.dtype(np.uint8)
        case _:
            return numpy_dtype(dtype)


def _is_odd(row: Array, dtype: DType) -> bool:
    """Says whether an element does not stand in its canonical form."""
    blocks = (row[first : first + BLOCK] for first in range(0, row.size, BLOCK))
    match dtype:
        case DType.FLOAT:
            return any(_has_odd_float(block) for block in blocks)
        case DType.BOOL:
            return any(bool((block > 1).any()) for block in blocks)
        case _:
            return False


def _has_odd_float(bits: Array) -> bool:
    odd_nans = ((bits & 0x7FFFFFFF) > 0x7F800000) & (bits != CANONICAL_NAN)
    return bool((odd_nans | (bits == 0x80000000)).any())


def _canonical(stored: Array) -> Array:
    if stored.dtype == np.uint8:
        return stored.astype(np.bool_)
    return canonical(stored.view(np.float32))


def _constant(file: Mapped, root: bytes, type_: ValueType) -> Array:
    """Gives a constant's elements as they stand, where they stand if they can be read there."""
    name = _CONSTANT + root.hex()
    if name not in file:
        raise _Wrong(f"the constant of root 0x{root.hex()} is missing")
    raw = file.tensor(name)
    if raw.data.size < type_.nbytes:
        raise _Wrong(f"the constant of root 0x{root.hex()} has not all of {type_}")
    stored = _as(raw, _stored(type_.dtype), type_.nbytes).reshape(type_.shape)
    stored.flags.writeable = False
    return stored


def _as(raw: Stored, dtype: np.dtype[Any], nbytes: int) -> Array:
    """Reads bytes as elements of a dtype. Where those are of another size than the file's, it is
    the bytes under the root that are read so, which are big-endian."""
    data = raw.data[:nbytes]
    if raw.itemsize != dtype.itemsize:
        whole = raw.data[: -(-nbytes // raw.itemsize) * raw.itemsize]
        turned = whole.reshape(-1, raw.itemsize)[:, ::-1].reshape(-1)[:nbytes]
        # Of one element numpy makes a row that runs backwards.
        return np.ascontiguousarray(turned).view(dtype.newbyteorder(">")).astype(dtype)
    found = data.view(dtype.newbyteorder("<")).astype(dtype, copy=False)
    return found if found.flags.aligned else found.copy()


def _check_root(stored: Array, root: bytes) -> None:
    if merkle.tensor_root(stored) != root:
        raise _Wrong(f"what stands for the constant of root 0x{root.hex()} has another root")


def _keep_longest(tensors: dict[str, Array], name: str, stored: Array) -> None:
    """Zeros at the end change no root: of constants under one root, the longest has all."""
    if name not in tensors or tensors[name].nbytes < stored.nbytes:
        tensors[name] = np.ascontiguousarray(stored)


# WHAT PEOPLE READ


def _names(file: Mapped) -> Mapping[str, Any]:
    """Reads what people read, where it can be read."""
    metadata = file.metadata
    text = metadata.get(_NAMES) if isinstance(metadata, dict) else None
    if not isinstance(text, str) or len(text) > MAX_NAMES:
        return {}
    try:
        found = orjson.loads(text)  # not json: that takes half a surrogate, which no answer holds
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _signature(header: _Header, names: Mapping[str, Any]) -> Signature:
    def tensors(kind: str, types: Sequence[ValueType]) -> tuple[TensorType, ...]:
        return tuple(
            TensorType(_name(names, f"{kind}s", at) or f"{kind}{at}", each.dtype, each.shape)
            for at, each in enumerate(types)
        )

    return Signature(
        tensors("input", header.inputs), tensors("output", [type_ for _, type_ in header.outputs])
    )


def _name(names: Mapping[str, Any], kind: str, index: int) -> str:
    found = names.get(kind)
    name = found[index] if isinstance(found, list) and index < len(found) else ""
    return name if isinstance(name, str) and len(name) <= MAX_NAME else ""


def _categories(names: Mapping[str, Any]) -> tuple[str, ...]:
    found = names.get("categories")
    is_list = isinstance(found, list) and all(isinstance(each, str) for each in found)
    return tuple(found) if is_list and found else ()


def _labels(names: Mapping[str, Any]) -> tuple[str | int, ...]:
    found = names.get("labels")
    if not isinstance(found, list):
        return ()
    for kind in (str, int):
        if all(type(label) is kind for label in found):
            return tuple(found)
    return ()


def _refused(why: str) -> ModelRefused:
    return ModelRefused([Reason("", "", why, "ask its publisher for the program file")])
