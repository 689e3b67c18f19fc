"""What the values of a refused file would be, so that what reads them is looked at as well.

ONNX says it, or guesses it. Of this nothing gets into a program: it only finds more reasons.
"""

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from math import prod

from onnx import ModelProto, TensorProto, ValueInfoProto, shape_inference

Guess = tuple[int, tuple[int, ...]]
"""A dtype of the file, and a shape."""

_KEPT = 256
"""The most elements of a tensor that may be a shape, and is looked into for that."""


def guesses(model: ModelProto, sized: Callable[[ValueInfoProto], None]) -> Mapping[str, Guess]:
    """Gives type and shape of the graph's values, by name, as far as they can be known. `sized`
    gives the dims of an input the sizes that they have."""
    infos = [*model.graph.input, *model.graph.output, *model.graph.value_info]
    # A file may be malformed in ways that the reasons tell of.
    with suppress(shape_inference.InferenceError, RuntimeError, ValueError):
        infos += _inferred(model, sized)
    found = {info.name: _guess(info) for info in infos}
    return {name: guess for name, guess in found.items() if guess is not None}


def _inferred(
    model: ModelProto, sized: Callable[[ValueInfoProto], None]
) -> Iterable[ValueInfoProto]:
    """Infers types and shapes, on a copy without weights, and without functions, which may call
    each other so often that nobody could wait for it. Nor with ops of other domains: of trees that
    skl2onnx writes, ONNX's own code ends the process."""
    copy = ModelProto(ir_version=model.ir_version, opset_import=model.opset_import)
    copy.graph.name = model.graph.name
    copy.graph.node.extend(node for node in model.graph.node if node.domain in ("", "ai.onnx"))
    copy.graph.output.extend(model.graph.output)
    copy.graph.value_info.extend(model.graph.value_info)
    names = {tensor.name for tensor in model.graph.initializer}
    copy.graph.input.extend(info for info in model.graph.input if info.name not in names)
    for info in copy.graph.input:
        sized(info)
    for tensor in model.graph.initializer:
        if prod(tensor.dims) <= _KEPT and not tensor.external_data:
            copy.graph.initializer.append(tensor)
        else:
            copy.graph.input.append(_info(tensor))
    graph = shape_inference.infer_shapes(copy, data_prop=True).graph
    return [*graph.value_info, *graph.output]


def _info(tensor: TensorProto) -> ValueInfoProto:
    info = ValueInfoProto(name=tensor.name)
    info.type.tensor_type.elem_type = tensor.data_type
    for size in tensor.dims:
        info.type.tensor_type.shape.dim.add().dim_value = size
    return info


def _guess(info: ValueInfoProto) -> Guess | None:
    tensor = info.type.tensor_type
    if info.type.WhichOneof("value") != "tensor_type" or not tensor.HasField("shape"):
        return None
    dims = tensor.shape.dim
    if any(dim.WhichOneof("value") != "dim_value" or dim.dim_value < 0 for dim in dims):
        return None
    return tensor.elem_type, tuple(dim.dim_value for dim in dims)
