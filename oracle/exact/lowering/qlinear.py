"""Ops between quantized tensors, as onnxruntime's quantizer writes them: they compute with the
numbers that their operands stand for, and quantize the result."""

from dataclasses import replace

from oracle.exact.lowering.activation import leaky
from oracle.exact.lowering.builder import Builder
from oracle.exact.lowering.elementwise import cast
from oracle.exact.lowering.indexing import joined
from oracle.exact.lowering.linear import matmul, swapped
from oracle.exact.lowering.pooling import ONNX as POOLING
from oracle.exact.lowering.quantized import (
    centred,
    dequantize,
    dynamically,
    product,
    quantize,
)
from oracle.exact.lowering.reduce import reduced
from oracle.exact.lowering.source import Lowering, Source, normalized
from oracle.exact.lowering.transcendental import ONNX as FUNCTIONS
from oracle.exact.primitive import Outside
from oracle.exact.program import Op, Operand
from oracle.types import DType


def _real(b: Builder, node: Source, at: int) -> Operand:
    """Emits the numbers for which the three inputs from `at` on stand."""
    return meant(b, node.input(at), node.input(at + 1), node.optional(at + 2))


def meant(b: Builder, x: Operand, scale: Operand, zero: Operand | None) -> Operand:
    """Emits (x − zero) · scale, for one scale and one zero point."""
    small = centred(b, x, None if zero is None else b.reshape(zero, ()))
    return b.emit(Op.MUL, (cast(b, small, DType.FLOAT), b.reshape(scale, ())))


def _small(b: Builder, x: Operand, scale: Operand, zero: Operand | None, dtype: DType) -> Operand:
    point = b.scalar(0, dtype) if zero is None else b.reshape(zero, ())
    return b.emit(Op.QUANTIZE, (x, b.reshape(scale, ()), point))


def _of_two(op: Op) -> Lowering:
    def lowering(b: Builder, node: Source) -> list[Operand]:
        out = b.emit(op, (_real(b, node, 0), _real(b, node, 3)))
        return [_small(b, out, node.input(6), node.optional(7), node.input(0).type.dtype)]

    return lowering


def _of_one(function: Lowering) -> Lowering:
    """Lowers `function` of what the first three inputs stand for; the next two quantize it."""

    def lowering(b: Builder, node: Source) -> list[Operand]:
        if node.integer("channels_last", 0):
            raise Outside("its channels are last", "save the model without optimizing it")
        (out,) = function(b, replace(node, inputs=(_real(b, node, 0),)))
        return [_small(b, out, node.input(3), node.optional(4), node.input(0).type.dtype)]

    return lowering


def _leaky(b: Builder, node: Source) -> list[Operand]:
    return [leaky(b, node.input(0), b.scalar(node.real("alpha", 0.01)))]


def _softmax(b: Builder, node: Source) -> list[Operand]:
    return list(FUNCTIONS["Softmax"](b, replace(node, opset=node.integer("opset"))))


def _mean(b: Builder, node: Source) -> list[Operand]:
    x, rank = node.input(0), len(node.input(0).type.shape)
    axes = sorted({normalized(axis, rank) for axis in node.integers("axes", tuple(range(rank)))})
    return [reduced(b, Op.REDUCE_MEAN, x, axes, bool(node.integer("keepdims", 1)))]


def _concat(b: Builder, node: Source) -> list[Operand]:
    """Lowers a Concat. After the result's scale and zero point come three inputs for each part."""
    if len(node.inputs) < 5 or len(node.inputs) % 3 != 2:
        raise Outside(f"it has {len(node.inputs)} inputs", "fix the file")
    scale, zero = node.input(0), node.input(1)
    parts = [
        _small(b, _real(b, node, at), scale, zero, zero.type.dtype)
        for at in range(2, len(node.inputs), 3)
    ]
    return [joined(b, parts, node.axis(len(parts[0].type.shape)))]


def _where(b: Builder, node: Source) -> list[Operand]:
    parts = (node.input(0), _real(b, node, 1), _real(b, node, 4))
    out = b.emit(Op.WHERE, parts)
    return [_small(b, out, node.input(7), node.optional(8), node.input(1).type.dtype)]


def _gemm(b: Builder, node: Source) -> list[Operand]:
    """Emits alpha · (A·B + C) with C in int32. The result is float32 where it has no scale."""
    x, sx, y, sy = (node.input(at) for at in (0, 1, 3, 4))
    zx, zy = node.optional(2), node.optional(5)
    left = centred(b, x, None if zx is None else b.reshape(zx, ()))
    right = y if node.integer("transB", 0) else swapped(b, y)
    column = zy if zy is None or zy.type.elements == 1 else b.reshape(zy, (zy.type.elements, 1))
    right = centred(b, right, column if column is None or column.type.shape else column)
    total = matmul(b, swapped(b, left) if node.integer("transA", 0) else left, right)
    if (c := node.optional(6)) is not None:
        total = b.emit(Op.ADD, (total, c))
    scales = b.emit(Op.MUL, (b.reshape(sx, ()), sy))
    if (alpha := node.real("alpha", 1.0)) != 1:
        scales = b.emit(Op.MUL, (scales, b.scalar(alpha)))
    if scales.type.elements == 1:
        scales = b.reshape(scales, ())
    out = b.emit(Op.MUL, (cast(b, total, DType.FLOAT), scales))
    scale = node.optional(7)
    return [out if scale is None else _small(b, out, scale, node.optional(8), x.type.dtype)]


def _matmul_to_float(b: Builder, node: Source) -> list[Operand]:
    x, y, sx, sy = (node.input(at) for at in range(4))
    total = product(b, x, y, node.optional(4), node.optional(5))
    return [scaled(b, total, sx, sy, node.optional(6))]


def _matmul_16(b: Builder, node: Source) -> list[Operand]:
    left, right = node.exactly(2)
    return [product(b, left, right, None, None)]


def _dynamic_matmul(b: Builder, node: Source) -> list[Operand]:
    """Lowers A · B, where A is quantized as a whole, as by DynamicQuantizeLinear."""
    small, scale, zero = dynamically(b, node.input(0))
    total = product(b, small, node.input(1), zero, node.optional(3))
    return [scaled(b, total, scale, node.input(2), node.optional(4))]


def scaled(b: Builder, total: Operand, sx: Operand, sy: Operand, bias: Operand | None) -> Operand:
    """Emits int32 · (sx · sy) + bias, where sy is one number, or one a column."""
    scales = b.emit(Op.MUL, (b.reshape(sx, ()) if sx.type.elements == 1 else sx, sy))
    if scales.type.elements == 1:
        scales = b.reshape(scales, ())
    out = b.emit(Op.MUL, (cast(b, total, DType.FLOAT), scales))
    return out if bias is None else b.emit(Op.ADD, (out, bias))


def _as_onnx(function: Lowering) -> Lowering:
    """Lowers as ONNX's own op of opset 13, because com.microsoft's version says nothing of it; with
    blocks, as that of opset 21."""
    return lambda b, node: function(b, replace(node, opset=21 if node.has("block_size") else 13))


MICROSOFT: dict[str, Lowering] = {
    "QuantizeLinear": _as_onnx(quantize),
    "DequantizeLinear": _as_onnx(dequantize),
    "QLinearAdd": _of_two(Op.ADD),
    "QLinearMul": _of_two(Op.MUL),
    "QLinearSigmoid": _of_one(FUNCTIONS["Sigmoid"]),
    "QLinearLeakyRelu": _of_one(_leaky),
    "QLinearSoftmax": _of_one(_softmax),
    "QLinearAveragePool": _of_one(POOLING["AveragePool"]),
    "QLinearGlobalAveragePool": _of_one(POOLING["GlobalAveragePool"]),
    "QLinearReduceMean": _of_one(_mean),
    "QLinearConcat": _concat,
    "QLinearWhere": _where,
    "QGemm": _gemm,
    "MatMulIntegerToFloat": _matmul_to_float,
    "DynamicQuantizeMatMul": _dynamic_matmul,
    "MatMulInteger16": _matmul_16,
}
