"""What ONNX says of an op in the opset that a file imports: whether it has that op, with those
attributes and so many inputs and outputs.

An op that came later, or is gone, has no meaning in that opset; to lend it a later one would be to
guess. What stays open after this, a dtype or a value, the lowerings look at.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from onnx import FunctionProto, NodeProto, TypeProto, defs, helper

from oracle.exact.primitive import Outside
from oracle.exact.program import ValueType

_DOMAINS = {"": "", "ai.onnx": "", "ai.onnx.ml": "ai.onnx.ml"}

_WRITTEN_OUT = (
    "CausalConvWithState",
    "LinearAttention",
    "NegativeLogLikelihoodLoss",
    "SoftmaxCrossEntropyLoss",
    "SwiGLU",
)
"""Ops that ONNX defines by others, and that mean those here. Others with such a definition have a
lowering, or draw random numbers."""

_OF_ONNXRUNTIME = ("LayerNormalization", "SimplifiedLayerNormalization", "ThresholdedRelu")
"""Ops that onnxruntime knows in opsets that lack them, in ONNX's later meaning: its optimizer
writes them into files as they are."""


@dataclass(frozen=True, slots=True)
class Types:
    """The types of an op's inputs and outputs as ONNX writes them: names of types ("tensor(float)")
    or variables, which stand for one type each. The last one may stand for several."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    def of_input(self, place: int) -> str:
        return self.inputs[min(place, len(self.inputs) - 1)]

    def of_output(self, place: int) -> str:
        return self.outputs[min(place, len(self.outputs) - 1)]


@dataclass(frozen=True, slots=True)
class _Schema:
    attributes: frozenset[str]
    inputs: int
    """The most that it may have."""
    outputs: int
    types: Types


def types(op: str, opset: int, domain: str) -> Types | None:
    """Gives the types of the op in that opset, or None of an op that ONNX does not know there."""
    known = _DOMAINS.get(domain)
    if known is None or not defs.has(op, known):
        return None
    schema = _schema(op, opset, known)
    return None if schema is None else schema.types


def check(node: NodeProto, opset: int) -> None:
    """Raises Outside where that opset of the node's domain lacks the op, or what the node has. Says
    nothing of an op that ONNX does not know in any opset."""
    domain = _DOMAINS.get(node.domain)
    if domain is None or not defs.has(node.op_type, domain):
        return
    schema = _schema(node.op_type, opset, domain)
    if schema is None:
        return
    if unknown := sorted({a.name for a in node.attribute} - schema.attributes):
        raise Outside(
            f"its attributes {', '.join(unknown)} are not known in opset {opset}",
            "remove them, or import the opset that has them",
        )
    for what, given, most in (
        ("inputs", len(node.input), schema.inputs),
        ("outputs", len(node.output), schema.outputs),
    ):
        if given > most:
            raise Outside(
                f"it has {given} {what}, in opset {opset} {most} at most",
                "import the opset in which it may have them",
            )


@lru_cache(maxsize=1024)
def _schema(op: str, opset: int, domain: str) -> _Schema | None:
    """Gives the op's schema in that opset, or None for one that only onnxruntime has there."""
    if not defs.has(op, opset, domain):
        if op in _OF_ONNXRUNTIME:
            return None
        first = next(later for later in range(opset, 1000) if defs.has(op, later, domain))
        raise Outside(
            f"opset {opset} has no op {op}, which came with opset {first}",
            f"export with opset {first} or later",
        )
    found = defs.get_schema(op, opset, domain)
    # GroupNormalization's first version was marked so later, and yet says what the op means.
    if found.deprecated and defs.has(op, found.since_version - 1, domain):
        raise Outside(
            f"opset {opset} has no op {op}, which went with opset {found.since_version}",
            f"import an opset before {found.since_version}, or replace it",
        )
    inputs, outputs = (tuple(f.type_str for f in each) for each in (found.inputs, found.outputs))
    most = found.max_input, found.max_output
    return _Schema(frozenset(found.attributes), *most, Types(inputs, outputs))


def is_written_out(node: NodeProto) -> bool:
    """Tells whether an op means what ONNX's own definition of it by others says."""
    return node.domain in ("", "ai.onnx") and node.op_type in _WRITTEN_OUT


def written_out(node: NodeProto, opset: int, types: Sequence[ValueType | None]) -> FunctionProto:
    """Gives ONNX's own definition of an op by others, for inputs of these types; None among them is
    an input that is left out."""
    found: Any = defs.get_schema(node.op_type, opset, "")  # onnx's stubs lack half of it
    if found.has_function:
        own: FunctionProto = found.function_body
        return own
    protos = [
        helper.make_tensor_type_proto(type_.dtype, type_.shape) if type_ else TypeProto()
        for type_ in types
    ]
    body = found.get_context_dependent_function(
        node.SerializeToString(), [proto.SerializeToString() for proto in protos]
    )
    if not body:
        raise Outside("ONNX does not say what it means with these inputs", "fix the file")
    made: FunctionProto = FunctionProto.FromString(body)
    return made
