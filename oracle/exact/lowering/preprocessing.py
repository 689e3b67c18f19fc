"""Scaler and Normalizer of ai.onnx.ml."""

from oracle.exact.lowering.builder import Builder
from oracle.exact.lowering.elementwise import is_zero
from oracle.exact.lowering.linear import rows
from oracle.exact.lowering.source import Lowering, Source
from oracle.exact.primitive import Outside
from oracle.exact.program import Op, Operand


def _scaler(b: Builder, node: Source) -> list[Operand]:
    """Emits (x − offset) · scale, each step rounded."""
    (given,) = node.exactly(1)
    x = rows(b, given)
    for op, name in ((Op.SUB, "offset"), (Op.MUL, "scale")):
        values = node.reals(name)
        if values.size not in (1, x.type.shape[1]):
            raise Outside(
                f"its {name} has {values.size} elements for {x.type.shape[1]} features",
                "give one, or one a feature",
            )
        x = b.emit(op, (x, b.constant(values)))
    return [b.reshape(x, given.type.shape)]


def _normalizer(b: Builder, node: Source) -> list[Operand]:
    """Emits each row divided by its norm, where a norm of zero counts as one. MAX is the largest
    element, not the largest in size, as in onnxruntime."""
    (given,) = node.exactly(1)
    x = rows(b, given)
    n, features = x.type.shape
    match node.text("norm", "MAX"):
        case "MAX":
            norm = b.emit(Op.REDUCE_MAX, (x,))
        case "L1":
            norm = b.emit(Op.REDUCE_SUM, (b.emit(Op.ABS, (x,)),))
        case "L2":
            row = b.reshape(x, (n, 1, features))
            norm = b.emit(Op.SQRT, (b.emit(Op.DOT, (row, row)),))
        case other:
            raise Outside(f"norm {other} is not covered", "use MAX, L1 or L2")
    norm = b.emit(Op.WHERE, (is_zero(b, norm), b.scalar(1), norm))
    return [b.reshape(b.emit(Op.DIV, (x, b.reshape(norm, (n, 1)))), given.type.shape)]


ONNX_ML: dict[str, Lowering] = {"Scaler": _scaler, "Normalizer": _normalizer}
