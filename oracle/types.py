"""The words that all parts share: ids, tensor types, models, requests, proposals."""

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from math import prod
from typing import NewType

ModelId = NewType("ModelId", bytes)  # 32 bytes
RequestId = NewType("RequestId", bytes)  # 32 bytes
DemandId = NewType("DemandId", bytes)  # 45 bytes: `oracle.chain.disputes`
AccountId = NewType("AccountId", bytes)  # the 20 bytes of an address
Address = NewType("Address", str)  # checksummed, 0x…
Wei = NewType("Wei", int)


class Assurance(IntEnum):
    """How a model's results are checked. Same order as `IModelRegistry.Assurance`."""

    VANILLA = 0  # onnxruntime with pinned options; no referee
    EXACT = 1  # the law: every output bit can be proved


class DType(IntEnum):
    """ONNX's own codes (TensorProto.DataType). Same order as `IModelRegistry.DType`."""

    UNDEFINED = 0
    FLOAT = 1
    UINT8 = 2
    INT8 = 3
    UINT16 = 4
    INT16 = 5
    INT32 = 6
    INT64 = 7
    STRING = 8
    BOOL = 9
    FLOAT16 = 10
    DOUBLE = 11
    UINT32 = 12
    UINT64 = 13
    COMPLEX64 = 14
    COMPLEX128 = 15
    BFLOAT16 = 16

    @property
    def itemsize(self) -> int:
        """Bytes of one element; 0 for a dtype that no payload may hold."""
        return _ITEMSIZE.get(self, 0)


_ITEMSIZE = {
    DType.FLOAT: 4,
    DType.UINT8: 1,
    DType.INT8: 1,
    DType.UINT16: 2,
    DType.INT16: 2,
    DType.INT32: 4,
    DType.INT64: 8,
    DType.BOOL: 1,
    DType.FLOAT16: 2,
    DType.DOUBLE: 8,
    DType.UINT32: 4,
    DType.UINT64: 8,
    DType.BFLOAT16: 2,
}


@dataclass(frozen=True, slots=True)
class TensorType:
    """A tensor's name, element type and static shape; `()` is a scalar."""

    name: str
    dtype: DType
    shape: tuple[int, ...]

    @property
    def elements(self) -> int:
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes in a payload."""
        return self.elements * self.dtype.itemsize

    def __str__(self) -> str:
        return f"{self.name}: {self.dtype.name.lower()}[{','.join(map(str, self.shape))}]"


@dataclass(frozen=True, slots=True)
class Signature:
    """What a model takes and gives. A payload is the tensors' elements, big-endian, in this
    order, with nothing between them."""

    inputs: tuple[TensorType, ...]
    outputs: tuple[TensorType, ...]

    @property
    def input_length(self) -> int:
        return sum(tensor.nbytes for tensor in self.inputs)

    @property
    def output_length(self) -> int:
        return sum(tensor.nbytes for tensor in self.outputs)


class FileKind(StrEnum):
    """What a model's file is: its ending."""

    PROGRAM = "safetensors"
    ONNX = "onnx"


@dataclass(frozen=True, slots=True)
class FileName:
    """Names a file by what certifies it: a program file by its program's root, an ONNX file by its
    SHA-256."""

    kind: FileKind
    digest: bytes

    def __str__(self) -> str:
        return f"{self.digest.hex()}.{self.kind}"


@dataclass(frozen=True, slots=True)
class Model:
    """A published model: everything that its id is the hash of."""

    publisher: Address
    name: str
    version: str
    program_root: bytes  # 32 zero bytes for VANILLA
    source_hash: bytes  # SHA-256 of the ONNX file, and of files beside it (docs/lowering.md)
    signature: Signature
    assurance: Assurance
    royalty: Wei
    generation: bytes = bytes(32)
    """Hash of how outputs are generated. No other than zero is published yet."""

    @property
    def file(self) -> FileName:
        """The file that is run."""
        if self.assurance is Assurance.EXACT:
            return FileName(FileKind.PROGRAM, self.program_root)
        return self.source

    @property
    def source(self) -> FileName:
        """The ONNX file: what a program was lowered from, and what is run of a VANILLA model."""
        return FileName(FileKind.ONNX, self.source_hash)


class Status(IntEnum):
    """Same order as `Status` in contracts/libraries/RequestState.sol."""

    NONE = 0
    REQUESTED = 1
    PROPOSED = 2
    SETTLED = 3
    EXPIRED = 4


@dataclass(frozen=True, slots=True)
class ModelTerms:
    """What the queue needs of a model, as the registry packed it."""

    publisher: Address
    royalty: Wei
    input_length: int
    output_length: int
    is_exact: bool
    has_float32_output: bool
    generates: bool = False
    """Whether the lengths are but the most that payloads may have."""
    is_sampled: bool = False


CALLERS = 1 << 63
"""In a request's nonce: its caller chose it."""


@dataclass(frozen=True, slots=True)
class Request:
    """All that a request is, as in contracts/libraries/Request.sol; times in seconds."""

    model: ModelId
    terms: ModelTerms
    input_root: bytes
    consumer: Address
    fee: Wei
    operator: Address | None  # who alone may answer
    bond: Wei
    refund_to: Address
    input_length: int
    max_output_length: int
    deadline: int
    window: int
    callback_gas: int
    nonce: int
    entropy: int

    @property
    def is_callers(self) -> bool:
        """Whether its caller chose the nonce, as of every request that comes with its answer."""
        return bool(self.nonce & CALLERS)


@dataclass(frozen=True, slots=True)
class Proposal:
    """Who answered a request and when, as in contracts/libraries/Proposal.sol; times in
    seconds."""

    operator: Address
    epoch: int
    proposed_at: int
    settle_at: int
    output_length: int
    by_signer: bool = False  # of the operator; it may show the trace then

    @property
    def is_suspended(self) -> bool:
        """Whether a demand keeps it from being final."""
        return self.settle_at == SUSPENDED


SUSPENDED = 2**63 - 1
"""A proposal's `settle_at` while a demand is open."""

VALUE_TREE = 2**32 - 1
"""A part's `value` where it is of the tree of all values' roots."""

LEAVES = 2**8 - 1
"""A part's `height` where it is the data of leaves."""


@dataclass(frozen=True, slots=True)
class Part:
    """Consecutive nodes of one height in a tree of a trace, or leaves, as in `IDisputes.Part`."""

    value: int
    height: int
    first: int
    count: int

    @property
    def size(self) -> int:
        """Bytes of its data."""
        return self.count * (128 if self.height == LEAVES else 32)


@dataclass(frozen=True, slots=True)
class Demand:
    """A part that was asked for, as in `IDisputes.Demand`; `deadline` in seconds."""

    dispute: bytes
    part: Part
    program_root: bytes
    values: int
    leaves: int
    padding: int
    demander: Address
    prepaid: Wei
    deadline: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """One element: what was claimed and what the law says, as bits; `IReferee.Verdict`."""

    node: int
    element: int
    claimed: int
    expected: int


@dataclass(frozen=True, slots=True)
class Account:
    """An operator's stake, as in `IOperatorStaking.Account`."""

    staked: Wei
    locked: Wei
    epoch: int

    @property
    def free(self) -> Wei:
        return Wei(self.staked - self.locked)
