"""Functions of one number, and Softmax."""

from collections.abc import Callable
from math import prod

from oracle.exact.lowering.builder import Builder
from oracle.exact.lowering.source import Lowering, Source
from oracle.exact.primitive import Outside
from oracle.exact.program import Op, Operand


def _unary(op: Op) -> Lowering:
    def lowering(b: Builder, node: Source) -> list[Operand]:
        return [b.emit(op, node.exactly(1))]

    return lowering


def rowwise(function: Callable[[Builder, Operand], Operand]) -> Lowering:
    """Lowers a function of rows [outer, K]. A row is all axes from `axis` on before opset 13, and
    `axis` alone since then."""

    def lowering(b: Builder, node: Source) -> list[Operand]:
        (x,) = node.exactly(1)
        shape = x.type.shape
        if node.opset < 13:
            axis = node.axis(len(shape), 1, end=True)
            return [b.reshape(function(b, b.reshape(x, _split(shape, axis))), shape)]
        axis = node.axis(len(shape), -1)
        last = [*(i for i in range(len(shape)) if i != axis), axis]
        moved = b.transpose(x, last)
        rows = b.reshape(moved, _split(moved.type.shape, len(shape) - 1))
        out = b.reshape(function(b, rows), moved.type.shape)
        return [b.transpose(out, [last.index(i) for i in range(len(shape))])]

    return lowering


def _split(shape: tuple[int, ...], axis: int) -> tuple[int, int]:
    return prod(shape[:axis]), prod(shape[axis:])


def softmax(b: Builder, x: Operand) -> Operand:
    """Emits e / Σe with e = exp(x − max), over each row of [outer, K], each step rounded."""
    column = (x.type.shape[0], 1)
    largest = b.reshape(b.emit(Op.REDUCE_MAX, (x,)), column)
    e = b.emit(Op.EXP, (b.emit(Op.SUB, (x, largest)),))
    total = b.reshape(b.emit(Op.REDUCE_SUM, (e,)), column)
    return b.emit(Op.DIV, (e, total))


def softmax_zero(b: Builder, x: Operand) -> Operand:
    """Emits SOFTMAX_ZERO as onnxruntime reads it: a softmax, but what is within 1e-7 of zero is
    left out of the sum, and multiplied by exp(−max) in place of its exponential."""
    column = (x.type.shape[0], 1)
    largest = b.reshape(b.emit(Op.REDUCE_MAX, (x,)), column)
    counts = b.emit(Op.LESS, (b.scalar(1e-7), b.emit(Op.ABS, (x,))))
    e = b.emit(Op.EXP, (b.emit(Op.SUB, (x, largest)),))
    small = b.emit(Op.MUL, (x, b.emit(Op.EXP, (b.emit(Op.NEG, (largest,)),))))
    summed = b.emit(Op.REDUCE_SUM, (b.emit(Op.WHERE, (counts, e, b.scalar(0))),))
    return b.emit(Op.DIV, (b.emit(Op.WHERE, (counts, e, small)), b.reshape(summed, column)))


def post_transform(b: Builder, name: str, scores: Operand) -> Operand:
    """Emits ai.onnx.ml's post_transform of scores [N, C]."""
    match name:
        case "NONE":
            return scores
        case "LOGISTIC":
            return b.emit(Op.SIGMOID, (scores,))
        case "SOFTMAX":
            return softmax(b, scores)
        case "SOFTMAX_ZERO":
            return softmax_zero(b, scores)
    raise Outside(f"post_transform {name} is not covered", "use NONE, LOGISTIC or SOFTMAX")


def two_scores(b: Builder, s: Operand, transform: str, margin: bool) -> Operand:
    """Emits both classes' scores [N, 2] from the second's, s [N, 1], as onnxruntime does. LOGISTIC
    gives σ(−s) and σ(s). Else the first is −s where s is a margin, 1 − s where it is a probability.
    """
    if transform not in ("NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO"):
        return post_transform(b, transform, s)
    if margin or transform == "LOGISTIC":
        both = b.emit(Op.CONCAT, (b.emit(Op.NEG, (s,)), s))
        return post_transform(b, "LOGISTIC", both) if transform == "LOGISTIC" else both
    return b.emit(Op.CONCAT, (b.emit(Op.SUB, (b.scalar(1), s)), s))


ONNX: dict[str, Lowering] = {
    "Exp": _unary(Op.EXP),
    "Log": _unary(Op.LOG),
    "Sigmoid": _unary(Op.SIGMOID),
    "Tanh": _unary(Op.TANH),
    "Erf": _unary(Op.ERF),
    "Softmax": rowwise(softmax),
}
