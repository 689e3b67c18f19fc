"""Ops that onnxruntime's optimizer writes in place of several nodes, lowered to what those mean."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from oracle.exact.lowering.activation import clipped_line, fast_gelu, gelu, leaky
from oracle.exact.lowering.builder import Builder
from oracle.exact.lowering.convolution import ONNX as CONVOLUTION
from oracle.exact.lowering.elementwise import cast
from oracle.exact.lowering.indexing import ONNX as INDEXING
from oracle.exact.lowering.linear import gemm, matmul, multiplied, swapped
from oracle.exact.lowering.movement import gather
from oracle.exact.lowering.normalization import layer_normalized, rms_normalized
from oracle.exact.lowering.qlinear import meant
from oracle.exact.lowering.reduce import reduced
from oracle.exact.lowering.source import Lowering, Source
from oracle.exact.primitive import Outside
from oracle.exact.program import Op, Operand
from oracle.tensor import Array
from oracle.types import DType


def _activated(b: Builder, x: Operand, name: str, parameters: tuple[float, ...]) -> Operand:
    match name, parameters:
        case "Relu", _:
            return b.emit(Op.MAX, (x, b.scalar(0)))
        case "Sigmoid", _:
            return b.emit(Op.SIGMOID, (x,))
        case "Tanh", _:
            return b.emit(Op.TANH, (x,))
        case "LeakyRelu", (alpha, *_):
            return leaky(b, x, b.scalar(alpha))
        case "Clip", (low, high):
            return b.emit(Op.MIN, (b.emit(Op.MAX, (x, b.scalar(low))), b.scalar(high)))
        case "HardSigmoid", (alpha, beta, *_):
            return clipped_line(b, x, b.scalar(alpha), b.scalar(beta))
    raise Outside(f"activation {name} with {parameters}", "save the model without optimizing it")


def _fused_conv(b: Builder, node: Source) -> list[Operand]:
    """Lowers a Conv with an addend and an activation."""
    (out,) = CONVOLUTION["Conv"](b, replace(node, inputs=node.inputs[:3]))
    if (addend := node.optional(3)) is not None:
        out = b.emit(Op.ADD, (out, addend))
    parameters = tuple(node.reals("activation_params").tolist())
    name = node.text("activation", "")
    return [_activated(b, out, name, parameters) if name else out]


def _fused_gemm(b: Builder, node: Source) -> list[Operand]:
    (out,) = gemm(b, node)
    letters = ("alpha", "beta", "gamma")
    given = tuple(node.real(f"activation_{letter}", 0.0) for letter in letters)
    name = node.text("activation", "")
    return [_activated(b, out, name, given[: 2 if name == "Clip" else 3]) if name else out]


def _fused_matmul(b: Builder, node: Source) -> list[Operand]:
    x, y = (
        _turned(b, node, operand, at) for operand, at in zip(node.exactly(2), "AB", strict=True)
    )
    alpha = node.real("alpha", 1.0)
    out = multiplied(b, x, y)
    return [out if alpha == 1 else b.emit(Op.MUL, (out, b.scalar(alpha)))]


def _turned(b: Builder, node: Source, x: Operand, name: str) -> Operand:
    """Moves the first axis behind those of the batch, and exchanges the last two, where the node's
    attributes say so."""
    rank = len(x.type.shape)
    if node.integer(f"transBatch{name}", 0) and rank > 2:
        x = b.transpose(x, (*range(1, rank - 1), 0, rank - 1))
    return swapped(b, x) if node.integer(f"trans{name}", 0) and rank > 1 else x


def _biased(function: Callable[[Builder, Operand], Operand]) -> Lowering:
    """Lowers a function of x, or of x plus a bias."""

    def lowering(b: Builder, node: Source) -> list[Operand]:
        x, bias = node.input(0), node.optional(1)
        return [function(b, x if bias is None else b.emit(Op.ADD, (x, bias)))]

    return lowering


def _quick_gelu(b: Builder, node: Source) -> list[Operand]:
    (x,) = node.exactly(1)
    alpha = node.real("alpha", 1.702)
    inner = x if alpha == 1 else b.emit(Op.MUL, (x, b.scalar(alpha)))
    return [b.emit(Op.MUL, (x, b.emit(Op.SIGMOID, (inner,))))]


def _skip(b: Builder, node: Source, bias: Operand | None) -> Operand:
    """Emits input + skip + bias."""
    total = b.emit(Op.ADD, (node.input(0), node.input(1)))
    return total if bias is None else b.emit(Op.ADD, (total, bias))


def _skip_layer_normalization(b: Builder, node: Source) -> list[Operand]:
    total = _skip(b, node, node.optional(4))
    axes = [len(total.type.shape) - 1]
    epsilon = node.real("epsilon", 1e-12)
    out = layer_normalized(b, total, node.input(2), node.optional(3), axes, epsilon)
    return [*out, total]


def _skip_rms_normalization(b: Builder, node: Source) -> list[Operand]:
    total = _skip(b, node, node.optional(3))
    axes = [len(total.type.shape) - 1]
    y, scale = rms_normalized(b, total, node.input(2), axes, node.real("epsilon", 1e-12))
    if node.outputs > 3:
        return [y, _no_mean(b, scale), scale, total]
    return [y, _no_mean(b, scale), scale]


def _no_mean(b: Builder, like: Operand) -> Operand:
    """Emits zeros in the place of a mean, because no model reads it."""
    return b.constant(np.zeros(like.type.shape, np.float32))


def _embed_layer_normalization(b: Builder, node: Source) -> list[Operand]:
    def row(table: int, ids: Operand) -> Operand:
        return gather(b, node.input(table), ids, 0)

    y, total = _embedded(b, node, row, node.input(5), node.input(6), node.optional(8))
    return [y, _counts(b, node), total]


def _quantized_embed_layer_normalization(b: Builder, node: Source) -> list[Operand]:
    """Lowers the embedding of five quantized tables, whose scales and zero points come last."""

    def real(x: Operand, at: int) -> Operand:
        return meant(b, x, node.input(at + 6), node.input(at + 11))

    def row(table: int, ids: Operand) -> Operand:
        return real(gather(b, node.input(table), ids, 0), table)

    gamma, beta = (real(node.input(at), at) for at in (5, 6))
    y, _ = _embedded(b, node, row, gamma, beta, None)
    return [y, _counts(b, node)]


def _embedded(
    b: Builder,
    node: Source,
    row: Callable[[int, Operand], Operand],
    gamma: Operand,
    beta: Operand,
    places: Operand | None,
) -> tuple[Operand, Operand]:
    """Adds the rows of words, places and segments. Gives the sum normalized, and the sum itself."""
    ids, segments = node.input(0), node.optional(1)
    if len(ids.type.shape) != 2 or (segments is None) != (node.optional(4) is None):
        raise Outside(f"its ids are {ids.type}", "give [batch, length], and segments with a table")
    if places is None:
        places = b.constant(np.arange(ids.type.shape[1])[None])
    total = b.emit(Op.ADD, (row(2, ids), row(3, places)))
    if segments is not None:
        total = b.emit(Op.ADD, (total, row(4, segments)))
    epsilon = node.real("epsilon", 1e-12)
    return layer_normalized(b, total, gamma, beta, [2], epsilon)[0], total


def _counts(b: Builder, node: Source) -> Operand:
    """Emits how many places of each row the mask lets count, or zeros without a mask."""
    node.integer("mask_index_type", 0)
    mask = node.optional(7)
    if mask is None:
        return b.constant(np.zeros(node.input(0).type.shape[0], np.int32))
    return reduced(b, Op.REDUCE_SUM, cast(b, mask, DType.INT32), [1], False)


def _distances(b: Builder, node: Source) -> list[Operand]:
    """Emits the distance of each row of one matrix to each row of the other, squared or not."""
    x, y = node.exactly(2)
    if len(x.type.shape) != 2 or len(y.type.shape) != 2:
        raise Outside(f"distances of {x.type} and {y.type}", "give it two matrices")
    rows, others, features = x.type.shape[0], *y.type.shape
    apart = b.emit(Op.SUB, (b.reshape(x, (rows, 1, x.type.shape[1])), y))
    each = b.reshape(apart, (rows * others, 1, features))
    squares = b.reshape(b.emit(Op.DOT, (each, each)), (rows, others))
    match node.text("metric", "sqeuclidean"):
        case "sqeuclidean":
            return [squares]
        case "euclidean":
            return [b.emit(Op.SQRT, (squares,))]
        case other:
            raise Outside(
                f"metric {other}, which onnxruntime lacks too",
                "use euclidean or sqeuclidean, or convert without optim='cdist'",
            )


def _matmul_n_bits(b: Builder, node: Source) -> list[Operand]:
    """Lowers A · B, where B's columns are blocks of small integers with a scale and a zero point
    per block. They become float32 here: (q − zero) · scale, rounded."""
    x, packed, scales = node.input(0), node.input(1), node.input(2)
    depth, columns = node.integer("K"), node.integer("N")
    bits, block = node.integer("bits", 4), node.integer("block_size")
    node.integer("accuracy_level", 0)  # lets onnxruntime round, which the law does not
    node.integer("weight_prepacked", 0)
    data, step = b.known(packed), b.known(scales)
    if data is None or step is None or bits not in (2, 4, 8) or node.optional(4) is not None:
        raise Outside(f"{bits} bits, or weights that are no constants", "use 2, 4 or 8, no g_idx")
    blocks = -(-depth // block) if block > 0 else 0
    if data.size * 8 != columns * blocks * block * bits or step.size != columns * blocks:
        raise Outside(f"{packed.type} for {columns} columns of {depth}", "fix the file")
    small = _unpacked(data.reshape(columns * blocks, -1), bits).astype(np.float32)
    zero = _zero_points(b, node.optional(3), columns, blocks, bits)
    centred = b.emit(Op.SUB, (b.constant(small.reshape(columns, blocks, block)), zero))
    weights = b.emit(Op.MUL, (centred, b.reshape(scales, (columns, blocks, 1))))
    flat = b.reshape(weights, (columns, blocks * block))
    flat = gather(b, flat, b.constant(np.arange(depth)), 1) if blocks * block > depth else flat
    out = matmul(b, x, flat)
    bias = node.optional(5)
    return [out if bias is None else b.emit(Op.ADD, (out, bias))]


def _unpacked(data: Array, bits: int) -> Array:
    """Unpacks rows of bytes into small integers; the lowest bits of a byte come first."""
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    parts: Array = (data[..., None] >> shifts) & (2**bits - 1)
    return parts.reshape(len(data), -1)


def _zero_points(
    b: Builder, given: Operand | None, columns: int, blocks: int, bits: int
) -> Operand:
    if given is None:
        return b.scalar(2 ** (bits - 1))
    if given.type.dtype is DType.FLOAT:
        return b.reshape(given, (columns, blocks, 1))
    known = b.known(given)
    if known is None or known.dtype != np.uint8 or known.size % columns:
        raise Outside(f"zero points {given.type}", "fix the file")
    points = _unpacked(known.reshape(columns, -1), bits)[:, :blocks].astype(np.float32)
    return b.reshape(b.constant(points), (columns, blocks, 1))


MICROSOFT: dict[str, Lowering] = {
    "FusedConv": _fused_conv,
    "FusedGemm": _fused_gemm,
    "FusedMatMul": _fused_matmul,
    "TransposeMatMul": _fused_matmul,
    "Gelu": _biased(gelu),
    "BiasGelu": _biased(gelu),
    "FastGelu": _biased(fast_gelu),
    "QuickGelu": _quick_gelu,
    "SkipLayerNormalization": _skip_layer_normalization,
    "SkipSimplifiedLayerNormalization": _skip_rms_normalization,
    "EmbedLayerNormalization": _embed_layer_normalization,
    "QEmbedLayerNormalization": _quantized_embed_layer_normalization,
    "CDist": _distances,
    "MatMulNBits": _matmul_n_bits,
    "Trilu": INDEXING["Trilu"],
}
"""com.microsoft."""
