"""onnxruntime: what VANILLA models run on, and the second opinion on every exact result."""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime as ort  # type: ignore[import-untyped, unused-ignore]
from google.protobuf.message import DecodeError  # type: ignore[import-untyped, unused-ignore]
from onnx import (
    GraphProto,
    ModelProto,
    NodeProto,
    TensorProto,
    ValueInfoProto,
    helper,
    numpy_helper,
)
from onnxruntime.capi import (  # type: ignore[import-untyped, unused-ignore]
    onnxruntime_pybind11_state as states,
)

from oracle.errors import (
    InferenceFailed,
    ModelRefused,
    PayloadError,
    Reason,
    SecondOpinionDiffers,
    WrongTensorCount,
)
from oracle.exact.lowering.external import is_outside, tensors
from oracle.exact.lowering.graph import real_inputs, symbols, unlike
from oracle.tensor import Array, decode, encode, numpy_dtype
from oracle.types import DType, Signature, TensorType


@dataclass(frozen=True, slots=True)
class Noise:
    """How far onnxruntime's floats may be from ours: by `relative` of the output's largest element,
    and by `absolute` for outputs that are all near zero, by cancellation or because a detector
    finds nothing."""

    what: str
    relative: float
    absolute: float


# How far float32 arithmetic in another order may stray. A wrong kernel, weight or axis is far
# outside; networks of a hundred layers far inside. onnxruntime's own Sigmoid is up to 1.8e-7 off,
# at -15.93 more than the right value itself.
FLOAT32_NOISE = Noise("float noise", 1e-3, 2.0**-22)
# Where a network rounds its values to 8 bits, float noise may tip a value to the next step, and so
# on from layer to layer: sixteen of the 256 steps. Measured: up to 0.044 (docs/decisions.md).
QUANTIZED_NOISE = Noise("noise of what is quantized", 2.0**-4, 2.0**-22)
# float16 rounds at 2^-11: 64 such steps of the largest element, and four of one. Measured: up to
# 0.0101 (docs/decisions.md). bfloat16 has no noise of its own, see `_session_of`.
FLOAT16_NOISE = Noise("noise of float16", 2.0**-5, 2.0**-9)

MAX_ELEMENTS = 1 << 28  # of one input or output
MAX_FILE = (1 << 31) - 1  # protobuf's own

_TYPES = {
    "tensor(float)": DType.FLOAT,
    "tensor(uint8)": DType.UINT8,
    "tensor(int8)": DType.INT8,
    "tensor(uint16)": DType.UINT16,
    "tensor(int16)": DType.INT16,
    "tensor(int32)": DType.INT32,
    "tensor(int64)": DType.INT64,
    "tensor(bool)": DType.BOOL,
    "tensor(float16)": DType.FLOAT16,
    "tensor(double)": DType.DOUBLE,
    "tensor(uint32)": DType.UINT32,
    "tensor(uint64)": DType.UINT64,
}

_FOREIGN: dict[str, Any] = {
    "tensor(double)": np.float64,
    "tensor(float16)": np.float16,
    "tensor(int16)": np.int16,
    "tensor(uint16)": np.uint16,
    "tensor(uint32)": np.uint32,
}
"""Dtypes of a file's inputs in place of which the law has float32 or a wider integer."""

# onnxruntime's exceptions have no base of their own; its Python layer raises ValueError.
_FAILURES: tuple[type[Exception], ...] = (
    ValueError,
    *(
        value
        for value in vars(states).values()
        if isinstance(value, type) and issubclass(value, Exception)
    ),
)


class Native:
    """A VANILLA model, ready to run any number of times. Raises ModelRefused.

    `dims` gives symbolic dims by name, as for `oracle.exact.lowering.graph`.
    """

    def __init__(self, model: bytes, dims: Mapping[str, int] | None = None):
        proto = _parsed(model)
        _freeze(proto.graph, dict(dims or {}))
        self._session = _session(proto)
        self.signature = _signature(self._session)

    def run(self, arrays: Sequence[Array]) -> tuple[Array, ...]:
        """Computes the outputs, as onnxruntime gives them. Raises InferenceFailed."""
        return _run(self._session, arrays)

    def infer(self, payload: bytes) -> bytes:
        """Computes the outputs' payload, in canonical form. Raises PayloadError where `payload`
        does not fit."""
        outputs = self.run(decode(payload, self.signature.inputs))
        try:
            return encode(outputs, self.signature.outputs)
        except PayloadError as error:
            raise InferenceFailed(f"The model broke its signature: {error}") from error


class SecondOpinion:
    """An EXACT model on onnxruntime. `labels` are what the law reads strings as places in, and
    `categories` those at inputs."""

    def __init__(
        self,
        model: bytes,
        signature: Signature,
        dims: Mapping[str, int] | None = None,
        labels: Sequence[str | int] = (),
        categories: Sequence[str] = (),
    ):
        proto = _parsed(model)
        _without_zip_maps(proto)
        _freeze(proto.graph, dict(dims or {}))
        dtypes = _dtypes(proto)
        self._session = _session_of(proto, dtypes)
        self._has_float16 = DType.FLOAT16 in dtypes
        noise = FLOAT16_NOISE if self._has_float16 else FLOAT32_NOISE
        self._noise = QUANTIZED_NOISE if any(map(_quantizes, _nodes(proto))) else noise
        self._signature = signature
        self._categories = np.array([*categories, unlike(categories)], object)
        self._places = {label: place for place, label in enumerate(labels)}

    def advise(self, payload: bytes, output: bytes) -> None:
        """Raises SecondOpinionDiffers, or InferenceFailed where onnxruntime has no opinion."""
        signature = self._signature
        self.check(decode(payload, signature.inputs), decode(output, signature.outputs))

    def check(self, inputs: Sequence[Array], outputs: Sequence[Array]) -> None:
        """Raises SecondOpinionDiffers, or InferenceFailed where onnxruntime has no opinion."""
        given = _run(self._session, self._stated(inputs))
        dtypes = (type_.dtype for type_ in self._signature.outputs)
        opinions = list(map(self._in_law, given, dtypes))
        difference = differs(outputs, opinions, self._signature, self._noise)
        if difference is None:
            return
        if self._has_float16 and _is_of_float16(outputs, opinions, self._signature):
            raise InferenceFailed(f"It computes in float16, which does not decide. {difference}")
        raise SecondOpinionDiffers(difference)

    def _stated(self, inputs: Sequence[Array]) -> list[Array]:
        """Gives inputs as the file has them: the law's float32 may be float64, or rounded float16,
        its integers narrower ones, and its places in a list strings. Raises InferenceFailed for an
        integer that the file's dtype lacks."""
        stated = [arg.type for arg in self._session.get_inputs()]
        stated += [""] * (len(inputs) - len(stated))
        return [self._in_file(x, type_) for x, type_ in zip(inputs, stated, strict=False)]

    def _in_file(self, x: Array, stated: str) -> Array:
        if stated == "tensor(string)":
            return self._categories.take(np.where(x < 0, x + self._categories.size, x), mode="clip")
        if stated not in _FOREIGN:
            return x
        with np.errstate(over="ignore"):
            given = x.astype(_FOREIGN[stated])
        if x.dtype.kind == "i" and (x != given).any():
            raise InferenceFailed(f"An input has numbers that the file's {given.dtype} lacks.")
        return given

    def _in_law(self, array: Array, dtype: DType) -> Array:
        """Gives an output as the law has it: floats as float32, integers as wider ones, strings as
        places in a list."""
        if array.dtype in _FOREIGN.values():
            with np.errstate(all="ignore"):
                return array.astype(numpy_dtype(dtype))
        if array.dtype != object:
            return array
        places = [self._places.get(label, -1) for label in array.ravel()]
        return np.array(places, np.int64).reshape(array.shape)


def differs(
    exact: Sequence[Array],
    native: Sequence[Array],
    signature: Signature,
    noise: Noise = FLOAT32_NOISE,
    by: str = "onnxruntime",
) -> str | None:
    """Says where and by how much the two differ beyond noise, or gives None where they agree. `by`
    is whose the others are.

    Floats may differ by `noise` of the largest finite element of their output, and must agree on
    which are NaN or infinite. Anything else must be equal, but for two cases. A row's label may
    differ if the signature also gives scores [rows, classes] whose two best in that row are within
    noise of each other, or one score [rows, 1] within noise of zero, because then either label is
    as good. And 8-bit integers are compared like floats where the network quantizes.
    """
    if len(native) != len(exact):
        return f"The exact run gave {len(exact)} outputs, {by} {len(native)}."
    for type_, ours, theirs in zip(signature.outputs, exact, native, strict=True):
        if (ours.shape, ours.dtype) != (theirs.shape, theirs.dtype):
            return (
                f"Output {type_.name!r} is {ours.dtype}{list(ours.shape)} by the law"
                f" and {theirs.dtype}{list(theirs.shape)} by {by}."
            )
        if _is_noisy(ours, noise):
            wrong = _beyond_noise(ours, theirs, noise)
        else:
            wrong = _unexcused(ours != theirs, exact, noise)
        if wrong.any():
            return _sentence(type_, ours, theirs, wrong, noise, by)
    return None


def _is_of_float16(ours: Sequence[Array], theirs: Sequence[Array], signature: Signature) -> bool:
    """Says whether outputs differ in no more than what float16 explains: it ends at 65,504, and
    tips a choice, as of a label, whose scores nobody sees."""
    seen = []
    for type_, mine, other in zip(signature.outputs, ours, theirs, strict=True):
        if mine.shape != other.shape or mine.dtype != other.dtype:
            return False
        if type_.dtype is DType.FLOAT:
            if (np.isfinite(mine) & ~np.isfinite(other)).any():
                return True
            seen.append((type_, mine, other))
    types, mine_, others = zip(*seen, strict=True) if seen else ((), (), ())
    return differs(mine_, others, Signature((), tuple(types)), FLOAT16_NOISE) is None


def _is_noisy(array: Array, noise: Noise) -> bool:
    """Says whether the elements are numbers that noise may change, and not places or choices."""
    small = array.dtype in (np.int8, np.uint8) and noise is QUANTIZED_NOISE
    return small or np.issubdtype(array.dtype, np.floating)


def _most(array: Array, noise: Noise) -> float:
    finite = array[np.isfinite(array)].astype(np.float64)
    scale = float(np.max(np.abs(finite))) if finite.size else 0.0
    return noise.relative * scale + noise.absolute


def _beyond_noise(ours: Array, theirs: Array, noise: Noise) -> Array:
    with np.errstate(all="ignore"):
        distance = np.abs(ours.astype(np.float64) - theirs.astype(np.float64))
        near = distance <= _most(ours, noise)  # false for NaN, and for one infinity
    same = (ours == theirs) | (np.isnan(ours) & np.isnan(theirs))
    return np.asarray(~(near | same))


def _unexcused(wrong: Array, exact: Sequence[Array], noise: Noise) -> Array:
    """Gives `wrong` without the rows whose two best scores are within noise, or whose one score is
    within noise of zero."""
    if wrong.ndim not in (1, 2) or not wrong.any() or wrong.size != wrong.shape[0]:
        return np.asarray(wrong)
    excused = np.zeros(wrong.shape[0], np.bool_)
    for scores in exact:
        is_table = scores.ndim == 2 and scores.shape[0] == wrong.shape[0] and scores.shape[1] > 0
        if is_table and np.issubdtype(scores.dtype, np.floating):
            best = np.sort(scores.astype(np.float64), axis=1)[:, -2:]
            margin = best[:, 1] - best[:, 0] if scores.shape[1] > 1 else np.abs(best[:, 0]) * 2
            excused |= margin <= 2 * _most(scores, noise)
    return np.asarray(wrong & ~excused.reshape(wrong.shape))


def _largest(ours: Array, theirs: Array) -> float:
    """Gives the largest distance of two finite elements, or infinity."""
    with np.errstate(all="ignore"):
        distance = np.abs(ours.astype(np.float64) - theirs.astype(np.float64))
    same = (ours == theirs) | (np.isnan(ours) & np.isnan(theirs))
    return float(np.max(np.where(np.isnan(distance), np.inf, distance)[~same], initial=0.0))


def _sentence(
    type_: TensorType, ours: Array, theirs: Array, wrong: Array, noise: Noise, by: str
) -> str:
    index = tuple(int(place[0]) for place in np.nonzero(np.atleast_1d(wrong)))
    mine, other = np.atleast_1d(ours)[index], np.atleast_1d(theirs)[index]
    noisy = _is_noisy(ours, noise)
    allowed = f"; at most {_most(ours, noise):.3g} is {noise.what}" if noisy else ""
    by_up_to = f", by up to {_largest(ours, theirs):.3g}" if noisy else ""
    return (
        f"Output {type_.name!r} differs in {int(wrong.sum())} of {wrong.size} elements{by_up_to},"
        f" first at {list(index)}: {mine} by the law, {other} by {by}{allowed}."
    )


# The session


def _session_of(proto: ModelProto, dtypes: Collection[int]) -> Any:
    """Opens a session in the file's own dtypes. onnxruntime has hardly an op for bfloat16, and none
    of many for float64; the same graph in float32 is an opinion, too."""
    if DType.BFLOAT16 in dtypes:
        _to_float32(proto, DType.BFLOAT16)
    try:
        return _session(proto)
    except ModelRefused:
        if DType.DOUBLE not in dtypes:
            raise
    _to_float32(proto, DType.DOUBLE)
    return _session(proto)


def _session(proto: ModelProto) -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.use_deterministic_compute = True
    options.enable_cpu_mem_arena = False  # it takes memory in powers of two
    options.log_severity_level = 4
    try:
        return ort.InferenceSession(
            proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
    except _FAILURES as error:
        _end_if_out_of_memory(error)
        why = f"onnxruntime {ort.__version__} refuses it: {_line(error)}"
        raise _refused(why, "make it load there") from error


def _run(session: Any, arrays: Sequence[Array]) -> tuple[Array, ...]:
    names = [input_.name for input_ in session.get_inputs()]
    if len(arrays) != len(names):
        raise WrongTensorCount(len(arrays), len(names))
    try:
        outputs = session.run(None, dict(zip(names, arrays, strict=True)))
    except _FAILURES as error:
        _end_if_out_of_memory(error)
        raise InferenceFailed(f"onnxruntime failed: {_line(error)}") from error
    return tuple(np.asarray(output) for output in outputs)


def _end_if_out_of_memory(error: Exception) -> None:
    """Raises MemoryError where memory ran out, since onnxruntime has no error of its own for it."""
    text = str(error)
    if "bad_alloc" in text or "bad allocation" in text or "Failed to allocate memory" in text:
        raise MemoryError(_line(error)) from error


def _line(error: Exception) -> str:
    """Gives onnxruntime's message on one line, cut to a length that a log can bear."""
    return " ".join(str(error).split())[:400]


def _signature(session: Any) -> Signature:
    reasons: list[Reason] = []
    inputs = [_tensor_type(arg, "input", reasons) for arg in session.get_inputs()]
    outputs = [_tensor_type(arg, "output", reasons) for arg in session.get_outputs()]
    if reasons:
        raise ModelRefused(reasons)
    return Signature(
        tuple(type_ for type_ in inputs if type_), tuple(type_ for type_ in outputs if type_)
    )


def _tensor_type(arg: Any, role: str, reasons: list[Reason]) -> TensorType | None:
    def refuse(why: str, advice: str) -> None:
        reasons.append(Reason("", "", f"{role} {arg.name!r} {why}", advice))

    if arg.type not in _TYPES:
        refuse(f"is of {arg.type}", "give tensors of numbers (skl2onnx: zipmap=False)")
        return None
    shape = tuple(arg.shape)
    if not all(isinstance(dim, int) and dim >= 0 for dim in shape):
        refuse(f"has shape {list(shape)}, which is not static", "export it with static shapes")
        return None
    if math.prod(shape) > MAX_ELEMENTS:
        refuse(f"has shape {list(shape)}", f"use {MAX_ELEMENTS} elements or fewer")
        return None
    return TensorType(arg.name, _TYPES[arg.type], shape)


# The file


def _refused(why: str, advice: str) -> ModelRefused:
    return ModelRefused([Reason("", "", why, advice)])


def _parsed(model: bytes) -> ModelProto:
    """Reads the file, and refuses or removes what would make onnxruntime read another one."""
    proto = ModelProto()
    try:
        if len(model) > MAX_FILE:
            raise _refused(f"the file has {len(model)} bytes", f"use {MAX_FILE} or fewer")
        proto.ParseFromString(model)
    except DecodeError:
        raise _refused("it is not an ONNX file", "give a .onnx file") from None
    if not proto.HasField("graph"):
        raise _refused("it is not an ONNX file", "give a .onnx file")
    proto.ClearField("training_info")
    outside = [
        Reason("", "", f"the data of tensor {tensor.name!r} is outside the file", "save it inside")
        for tensor in tensors(proto)
        if is_outside(tensor)
    ]
    if outside:
        raise ModelRefused(outside)
    return proto


def _nodes(proto: ModelProto) -> Iterator[NodeProto]:
    """Yields all nodes, also those of branches and functions."""
    yield from _graph_nodes(proto.graph)
    for function in proto.functions:
        yield from function.node


def _graph_nodes(graph: GraphProto) -> Iterator[NodeProto]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from _graph_nodes(inner)


def _quantizes(node: NodeProto) -> bool:
    """Says whether a node rounds what it computes to a few steps: QuantizeLinear, QLinearConv,
    QGemm, DynamicQuantizeLSTM …"""
    return "Quantize" in node.op_type or node.op_type.startswith(("QLinear", "QGemm"))


_NAMES_DTYPE = ("to", "dtype", "output_dtype")
"""Attributes whose number is a dtype."""


def _dtypes(proto: ModelProto) -> set[int]:
    """Gathers the dtypes of inputs, outputs, tensors, and of what nodes are told to give."""
    found = {tensor.data_type for tensor in tensors(proto)}
    found |= {i.type.tensor_type.elem_type for i in (*proto.graph.input, *proto.graph.output)}
    attributes = (a for node in _nodes(proto) for a in node.attribute)
    return found | {a.i for a in attributes if a.name in _NAMES_DTYPE}


def _to_float32(proto: ModelProto, dtype: DType) -> None:
    """Makes all that is of another float dtype float32."""
    for tensor in tensors(proto):
        if tensor.data_type == dtype:
            with np.errstate(all="ignore"):
                array = numpy_helper.to_array(tensor).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    for info in _infos(proto.graph):
        if info.type.tensor_type.elem_type == dtype:
            info.type.tensor_type.elem_type = TensorProto.FLOAT
    for function in proto.functions:
        del function.value_info[:]
    for node in _nodes(proto):
        for attribute in node.attribute:
            if attribute.name in _NAMES_DTYPE and attribute.i == dtype:
                attribute.i = TensorProto.FLOAT


def _infos(graph: GraphProto) -> Iterator[ValueInfoProto]:
    """Yields what a graph and those in it say of their values."""
    yield from (*graph.input, *graph.output, *graph.value_info)
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from _infos(inner)


def _freeze(graph: GraphProto, dims: Mapping[str, int]) -> None:
    """Gives each symbolic dim its value, by the rule of `oracle.exact.lowering.graph`: a leading
    one that `dims` does not give is 1."""
    inputs = real_inputs(graph)
    names = {name for info in inputs for _, name in symbols(info)}
    leading = {name for info in inputs for axis, name in symbols(info) if axis == 0}
    known = dict.fromkeys(leading, 1) | dict(dims)
    reasons = [
        Reason("", "", f"no symbolic dim is named {name!r}", f"they are: {', '.join(names)}")
        for name in sorted(set(dims) - names)
    ]
    reasons += [
        Reason("", "", f"dim {name!r} is not frozen", f"give --dim {name}=VALUE")
        for name in sorted(names - set(known))
    ]
    reasons += [
        Reason("", "", f"dim {name!r} is given as {value}", "give a positive number")
        for name, value in dims.items()
        if not 0 < value < 1 << 31
    ]
    if reasons:
        raise ModelRefused(reasons)
    for info in (*inputs, *graph.output):
        for axis, name in symbols(info):
            if name in known:
                info.type.tensor_type.shape.dim[axis].dim_value = known[name]
    # They speak of the dims as they were.
    del graph.value_info[:]


def _without_zip_maps(proto: ModelProto) -> None:
    """Lets each ZipMap pass its tensor through, as the lowering reads it."""
    dropped: set[str] = set()
    for node in proto.graph.node:
        if node.domain == "ai.onnx.ml" and node.op_type == "ZipMap":
            node.domain, node.op_type = "", "Identity"
            del node.attribute[:]
            dropped |= set(node.output)
    for info in proto.graph.output:
        if info.name in dropped:
            info.type.CopyFrom(helper.make_tensor_type_proto(TensorProto.FLOAT, None))
    if dropped and not any(entry.domain in ("", "ai.onnx") for entry in proto.opset_import):
        proto.opset_import.append(helper.make_opsetid("", 13))
