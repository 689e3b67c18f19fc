"""An ONNX node as a lowering sees it: operands in place of names, attributes by type.

Files are hostile: whatever does not fit raises Outside, and an attribute that no one read is
refused rather than ignored.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar

import numpy as np
from onnx import AttributeProto, TensorProto, helper

from oracle.exact.lowering.builder import FLOATS, WIDENED, Builder, with_dtype
from oracle.exact.lowering.external import is_outside
from oracle.exact.lowering.scaled import Columns
from oracle.exact.primitive import DTYPES, Outside
from oracle.exact.program import Operand
from oracle.tensor import Array, numpy_dtype
from oracle.types import DType

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Source:
    op: str
    opset: int
    """The version of the op's domain that the file imports."""
    inputs: tuple[Operand | None, ...]
    """None for an optional input left out."""
    attributes: Mapping[str, AttributeProto]
    outputs: int
    read: set[str] = field(default_factory=set)
    scaling: Columns = ()
    """Of trees: what each column becomes, in float64, before its thresholds are for it."""

    def input(self, index: int) -> Operand:
        operand = self.optional(index)
        if operand is None:
            raise Outside(f"its input {index} is missing", "give it")
        return operand

    def optional(self, index: int) -> Operand | None:
        return self.inputs[index] if index < len(self.inputs) else None

    def exactly(self, count: int) -> tuple[Operand, ...]:
        """Gives all inputs. Raises Outside where they are not `count`."""
        if len(self.inputs) != count:
            raise Outside(f"it has {len(self.inputs)} inputs in place of {count}", "fix the file")
        return tuple(self.input(index) for index in range(count))

    def has(self, name: str) -> bool:
        return name in self.attributes

    def integer(self, name: str, default: int | None = None) -> int:
        return self._get(name, AttributeProto.INT, lambda a: int(a.i), default)

    def real(self, name: str, default: float | None = None) -> float:
        return self._get(name, AttributeProto.FLOAT, lambda a: float(a.f), default)

    def text(self, name: str, default: str | None = None) -> str:
        return self._get(name, AttributeProto.STRING, lambda a: _text(a.s), default)

    def integers(self, name: str, default: tuple[int, ...] | None = None) -> tuple[int, ...]:
        return self._get(name, AttributeProto.INTS, lambda a: tuple(map(int, a.ints)), default)

    def reals(self, name: str) -> Array:
        """Reads a list of float32, empty where the attribute is absent."""
        nothing = np.zeros(0, np.float32)
        return self._get(
            name, AttributeProto.FLOATS, lambda a: np.array(a.floats, np.float32), nothing
        )

    def texts(self, name: str) -> tuple[str, ...]:
        """Reads a list of strings, empty where the attribute is absent."""
        return self._get(name, AttributeProto.STRINGS, lambda a: tuple(map(_text, a.strings)), ())

    def tensor(self, name: str) -> TensorProto:
        return self._get(name, AttributeProto.TENSOR, lambda a: a.t, None)

    def axis(self, rank: int, default: int | None = None, *, end: bool = False) -> int:
        """Reads the attribute `axis`, counted from the front. `end` allows `rank` itself."""
        return normalized(self.integer("axis", default), rank, end=end)

    def _get(
        self, name: str, kind: int, get: Callable[[AttributeProto], T], default: T | None
    ) -> T:
        self.read.add(name)
        if name not in self.attributes:
            if default is None:
                raise Outside(f"its attribute {name!r} is missing", "fix the file")
            return default
        attribute = self.attributes[name]
        if attribute.type != kind:
            wanted = AttributeProto.AttributeType.Name(kind)
            raise Outside(f"its attribute {name!r} is not of type {wanted}", "fix the file")
        return get(attribute)


Lowering: TypeAlias = Callable[[Builder, Source], Sequence[Operand]]
"""Gives the node's outputs in order. It may give outputs that the file leaves out, too."""


def normalized(axis: int, rank: int, *, end: bool = False) -> int:
    """Counts an axis from the front."""
    if not -rank <= axis < rank + end:
        raise Outside(f"axis {axis} is not one of {rank}", "fix the axis")
    return axis + rank if axis < 0 else axis


_PACKED: dict[int, tuple[int, bool]] = {
    TensorProto.UINT4: (4, False),
    TensorProto.INT4: (4, True),
    TensorProto.UINT2: (2, False),
    TensorProto.INT2: (2, True),
}
"""Integers of fewer than eight bits, several to a byte: how many bits, and whether signed."""

_TINY = (
    TensorProto.FLOAT8E4M3FN,
    TensorProto.FLOAT8E4M3FNUZ,
    TensorProto.FLOAT8E5M2,
    TensorProto.FLOAT8E5M2FNUZ,
    TensorProto.FLOAT8E8M0,
)
"""Floats of a byte, all of which are float32."""


def tensor_constant(b: Builder, tensor: TensorProto) -> Operand:
    """Adds a tensor of the file as a constant."""
    dtype, array = tensor.data_type, tensor_array(tensor, b.limits.elements)
    if dtype in _PACKED:
        return b.mark_bits(b.constant(array, alone=True), _PACKED[dtype][0])
    operand = b.constant(array)
    return with_dtype(operand, DType(dtype)) if dtype in (*FLOATS, *WIDENED) else operand


def tensor_array(tensor: TensorProto, limit: int) -> Array:
    """Reads a tensor of the file, what the law lacks as what holds it: floats but float64 as
    float32, integers as wider ones. Raises Outside where its data is not as long as its dims say.
    """
    dtype = tensor.data_type
    if dtype not in (*DTYPES, *FLOATS, *WIDENED, *_PACKED, *_TINY):
        raise Outside(
            f"tensor {tensor.name!r} is of {dtype_name(dtype)}",
            "convert it to float32 or an integer",
        )
    if is_outside(tensor):
        raise Outside(
            f"the data of tensor {tensor.name!r} is outside the file",
            "save the model with its weights inside (onnx.save_model, save_as_external_data=False)",
        )
    if tensor.HasField("segment"):
        raise Outside(f"tensor {tensor.name!r} is a segment", "save it whole")
    dims = tuple(tensor.dims)
    if any(dim < 0 for dim in dims) or math.prod(dims) > limit:
        raise Outside(f"tensor {tensor.name!r} has dims {dims}", f"use {limit} elements or fewer")
    return _elements(tensor, dtype, math.prod(dims)).reshape(dims)


def dtype_name(code: int) -> str:
    known = code in TensorProto.DataType.values()
    return TensorProto.DataType.Name(code).lower() if known else f"dtype {code}"


def _elements(tensor: TensorProto, dtype: int, count: int) -> Array:
    if dtype in _PACKED:
        return _unpacked(tensor, *_PACKED[dtype], count)
    if dtype in _TINY:
        table = np.arange(256, dtype=np.uint8).view(helper.tensor_dtype_to_np_dtype(dtype))
        with np.errstate(invalid="ignore"):  # NaNs that signal
            numbers: Array = table.astype(np.float32)
        return np.asarray(numbers[_elements_of(tensor, DType.UINT8, count)])
    if dtype == DType.BFLOAT16:
        high = _elements_of(tensor, DType.UINT16, count).astype(np.uint32) << 16
        return np.asarray(high.view(np.float32))
    if dtype == DType.FLOAT16:
        with np.errstate(invalid="ignore"):  # NaNs that signal
            half = _elements_of(tensor, DType.UINT16, count).view(np.float16)
            return half.astype(np.float32)
    elements = _elements_of(tensor, DType(dtype), count)
    if dtype not in WIDENED:
        return elements
    if dtype == DType.UINT64 and (elements >> np.uint64(63)).any():
        raise Outside(f"tensor {tensor.name!r} has numbers from 2^63 on", "use int64")
    return elements.astype(numpy_dtype(WIDENED[DType(dtype)]))


def _unpacked(tensor: TensorProto, bits: int, signed: bool, count: int) -> Array:
    """Unpacks small integers; the lowest bits of a byte come first, and the last may be unused."""
    data = _elements_of(tensor, DType.UINT8, -(-count * bits // 8))
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    parts: Array = ((data[:, None] >> shifts) & np.uint8(2**bits - 1)).reshape(-1)[:count]
    sign = 1 << (bits - 1)
    return ((parts ^ sign).astype(np.int16) - sign).astype(np.int8) if signed else parts


def _elements_of(tensor: TensorProto, dtype: DType, count: int) -> Array:
    if tensor.HasField("raw_data"):
        if len(tensor.raw_data) != count * dtype.itemsize:
            raise Outside(
                f"tensor {tensor.name!r} has {len(tensor.raw_data)} bytes of data in place of "
                f"{count * dtype.itemsize}",
                "fix the file",
            )
        raw = np.frombuffer(tensor.raw_data, numpy_dtype(dtype).newbyteorder("<"))
        if dtype is DType.BOOL:
            return _in_range(tensor, np.frombuffer(tensor.raw_data, np.uint8), dtype)
        return raw.astype(numpy_dtype(dtype))
    values = {
        DType.FLOAT: tensor.float_data,
        DType.DOUBLE: tensor.double_data,
        DType.INT64: tensor.int64_data,
        DType.UINT32: tensor.uint64_data,
        DType.UINT64: tensor.uint64_data,
    }.get(dtype, tensor.int32_data)
    if len(values) != count:
        raise Outside(
            f"tensor {tensor.name!r} has {len(values)} elements in place of {count}", "fix the file"
        )
    if dtype in (DType.FLOAT, DType.DOUBLE, DType.INT64, DType.UINT64):
        return np.array(values, numpy_dtype(dtype))
    return _in_range(tensor, np.array(values, np.int64), dtype)


def _in_range(tensor: TensorProto, values: Array, dtype: DType) -> Array:
    converted = values.astype(numpy_dtype(dtype))
    if (converted != values).any():
        raise Outside(f"tensor {tensor.name!r} has elements beyond its dtype", "fix the file")
    return converted


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise Outside("a string in it is not UTF-8", "fix the file") from None
