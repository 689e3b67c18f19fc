"""Normalizations: means and variances are exact sums, each rounded once, and so is every step."""

from collections.abc import Sequence
from math import prod

import numpy as np

from oracle.exact.lowering.builder import Builder
from oracle.exact.lowering.elementwise import is_zero
from oracle.exact.lowering.reduce import reduced
from oracle.exact.lowering.source import Lowering, Source, normalized
from oracle.exact.primitive import Outside
from oracle.exact.program import Op, Operand


def _batch_normalization(b: Builder, node: Source) -> list[Operand]:
    """Emits x·a + (bias − mean·a), where a = scale / √(var + ε) and the bracket are constants."""
    x, scale, bias, mean, variance = node.exactly(5)
    node.real("momentum", 0.9)  # matters in training only
    if node.opset >= 14 and node.integer("training_mode", 0):
        raise Outside("it is in training mode", "export the model for inference")
    if node.opset < 9 and not node.integer("spatial", 1):
        raise Outside("spatial = 0 is not covered", "export the model with a newer opset")
    if node.outputs > 1:
        raise Outside("it gives running means", "export the model for inference")
    if len(x.type.shape) < 2:
        raise Outside(f"its input is {x.type}", "give it [N, C, …]")
    epsilon = b.scalar(node.real("epsilon", 1e-5))
    a = b.emit(Op.DIV, (scale, b.emit(Op.SQRT, (b.emit(Op.ADD, (variance, epsilon)),))))
    shift = b.emit(Op.SUB, (bias, b.emit(Op.MUL, (mean, a))))
    scaled = b.emit(Op.MUL, (x, _per_channel(b, a, x)))
    return [b.emit(Op.ADD, (scaled, _per_channel(b, shift, x)))]


def _per_channel(b: Builder, operand: Operand, x: Operand) -> Operand:
    """Reshapes [C] so that it broadcasts to x [N, C, …]."""
    if operand.type.shape != x.type.shape[1:2]:
        raise Outside(f"{operand.type} is not one number a channel of {x.type}", "fix the file")
    return b.reshape(operand, (x.type.shape[1], *[1] * (len(x.type.shape) - 2)))


def _centred(b: Builder, x: Operand, axes: Sequence[int]) -> tuple[Operand, Operand]:
    """Emits the mean, and x − mean."""
    mean = reduced(b, Op.REDUCE_MEAN, x, axes, True)
    return mean, b.emit(Op.SUB, (x, mean))


def _deviation(b: Builder, centred: Operand, axes: Sequence[int], epsilon: float) -> Operand:
    """Emits √(mean of squares + ε)."""
    squares = b.emit(Op.MUL, (centred, centred))
    variance = reduced(b, Op.REDUCE_MEAN, squares, axes, True)
    return b.emit(Op.SQRT, (b.emit(Op.ADD, (variance, b.scalar(epsilon))),))


def _scaled(b: Builder, x: Operand, scale: Operand, bias: Operand | None) -> Operand:
    x = b.emit(Op.MUL, (x, scale))
    return x if bias is None else b.emit(Op.ADD, (x, bias))


def _stash(node: Source) -> None:
    """Refuses a precision other than float32, because the law has no other."""
    if node.integer("stash_type", 1) != 1:
        raise Outside("its stash_type is not float32", "set stash_type to 1")


def _layer_normalization(b: Builder, node: Source) -> list[Operand]:
    """Lowers LayerNormalization, with its outputs Mean and InvStdDev."""
    x, scale, bias = node.input(0), node.input(1), node.optional(2)
    _stash(node)
    rank = len(x.type.shape)
    axes = range(node.axis(rank, -1), rank)
    return layer_normalized(b, x, scale, bias, axes, node.real("epsilon", 1e-5))


def layer_normalized(
    b: Builder,
    x: Operand,
    scale: Operand,
    bias: Operand | None,
    axes: Sequence[int],
    epsilon: float,
) -> list[Operand]:
    """Emits x normalized, its mean, and 1 over its deviation."""
    mean, centred = _centred(b, x, axes)
    deviation = _deviation(b, centred, axes, epsilon)
    y = _scaled(b, b.emit(Op.DIV, (centred, deviation)), scale, bias)
    return [y, mean, b.emit(Op.DIV, (b.scalar(1), deviation))]


def _rms_normalization(b: Builder, node: Source) -> list[Operand]:
    """Lowers RMSNormalization. The second output, 1 over the root, is of onnxruntime's own
    SimplifiedLayerNormalization."""
    x, scale = node.exactly(2)
    _stash(node)
    rank = len(x.type.shape)
    axes = range(node.axis(rank, -1), rank)
    return rms_normalized(b, x, scale, axes, node.real("epsilon", 1e-5))


def rms_normalized(
    b: Builder, x: Operand, scale: Operand, axes: Sequence[int], epsilon: float
) -> list[Operand]:
    """Emits x divided by the root of its mean square, and 1 over that root."""
    root = _deviation(b, x, axes, epsilon)
    y = _scaled(b, b.emit(Op.DIV, (x, root)), scale, None)
    return [y, b.emit(Op.DIV, (b.scalar(1), root))]


def _instance_normalization(b: Builder, node: Source) -> list[Operand]:
    x, scale, bias = node.exactly(3)
    axes = range(2, len(x.type.shape))
    if not axes:
        raise Outside(f"its input is {x.type}", "give it [N, C, …]")
    _, centred = _centred(b, x, axes)
    deviation = _deviation(b, centred, axes, node.real("epsilon", 1e-5))
    y = b.emit(Op.DIV, (centred, deviation))
    return [_scaled(b, y, _per_channel(b, scale, x), _per_channel(b, bias, x))]


def _group_normalization(b: Builder, node: Source) -> list[Operand]:
    """Lowers GroupNormalization: scale and bias are per group before opset 21, then per channel."""
    x, scale, bias = node.exactly(3)
    shape = x.type.shape
    groups = node.integer("num_groups")
    if node.opset >= 21:
        _stash(node)
    if len(shape) < 3 or groups < 1 or shape[1] % groups:
        raise Outside(f"{x.type} does not make {groups} groups", "fix num_groups")
    grouped = b.reshape(x, (shape[0], groups, prod(shape[1:]) // groups))
    _, centred = _centred(b, grouped, [2])
    deviation = _deviation(b, centred, [2], node.real("epsilon", 1e-5))
    y = b.emit(Op.DIV, (centred, deviation))
    if node.opset < 21:
        y = _scaled(b, y, _per_channel(b, scale, grouped), _per_channel(b, bias, grouped))
        return [b.reshape(y, shape)]
    y = b.reshape(y, shape)
    return [_scaled(b, y, _per_channel(b, scale, y), _per_channel(b, bias, y))]


def _mean_variance_normalization(b: Builder, node: Source) -> list[Operand]:
    """Emits (x − mean) / (√variance + 1e-9), as ONNX defines the op."""
    (x,) = node.exactly(1)
    axes = [normalized(axis, len(x.type.shape)) for axis in node.integers("axes", (0, 2, 3))]
    _, centred = _centred(b, x, axes)
    variance = reduced(b, Op.REDUCE_MEAN, b.emit(Op.MUL, (centred, centred)), axes, True)
    deviation = b.emit(Op.SQRT, (variance,))
    return [b.emit(Op.DIV, (centred, b.emit(Op.ADD, (deviation, b.scalar(1e-9)))))]


def _lp_normalization(b: Builder, node: Source) -> list[Operand]:
    """Emits x divided by its norm. What has norm zero stays as it is."""
    (x,) = node.exactly(1)
    axis = node.axis(len(x.type.shape), -1)
    p = node.integer("p", 2)
    if p not in (1, 2):
        raise Outside(f"p = {p} is not covered", "use 1 or 2")
    powers = b.emit(Op.ABS, (x,)) if p == 1 else b.emit(Op.MUL, (x, x))
    norm = reduced(b, Op.REDUCE_SUM, powers, [axis], True)
    if p == 2:
        norm = b.emit(Op.SQRT, (norm,))
    return [b.emit(Op.DIV, (x, b.emit(Op.WHERE, (is_zero(b, norm), b.scalar(1), norm))))]


def _lrn(b: Builder, node: Source) -> list[Operand]:
    """Emits x / (bias + alpha/size · Σ of squares over `size` channels)^beta. The sum is a CONV of
    the channels with ones."""
    (x,) = node.exactly(1)
    shape, size = x.type.shape, node.integer("size")
    if len(shape) < 3 or size < 1:
        raise Outside(f"its input is {x.type}, its size {size}", "give it an image and a window")
    alpha, beta, bias = node.real("alpha", 1e-4), node.real("beta", 0.75), node.real("bias", 1.0)
    squares = b.emit(Op.MUL, (x, x))
    last = b.transpose(squares, (0, *range(2, len(shape)), 1))
    lines = b.reshape(last, (prod(shape) // shape[1], shape[1], 1))
    before = (size - 1) // 2
    window = (size, 1, 1, before, size - 1 - before, 1)
    ones = b.constant(np.ones((1, size, 1), np.float32))
    sums = b.reshape(b.emit(Op.CONV, (lines, ones), 1, *window), last.type.shape)
    sums = b.transpose(sums, (0, len(shape) - 1, *range(1, len(shape) - 1)))
    weighted = b.emit(Op.MUL, (sums, b.scalar(float(np.float32(alpha) / np.float32(size)))))
    base = b.emit(Op.ADD, (weighted, b.scalar(bias)))
    return [b.emit(Op.DIV, (x, b.emit(Op.POW, (base, b.scalar(beta)))))]


ONNX: dict[str, Lowering] = {
    "BatchNormalization": _batch_normalization,
    "LayerNormalization": _layer_normalization,
    "RMSNormalization": _rms_normalization,
    "SimplifiedLayerNormalization": _rms_normalization,
    "InstanceNormalization": _instance_normalization,
    "GroupNormalization": _group_normalization,
    "MeanVarianceNormalization": _mean_variance_normalization,
    "LpNormalization": _lp_normalization,
    "LRN": _lrn,
}
