"""Comparison, logic, bits and remainders. NaN equals nothing, and no comparison with it holds."""

from oracle.exact.lowering.builder import Builder
from oracle.exact.lowering.elementwise import cast
from oracle.exact.lowering.source import Lowering, Source
from oracle.exact.primitive import Outside
from oracle.exact.program import Op, Operand
from oracle.types import DType


def _of_two(op: Op) -> Lowering:
    def lowering(b: Builder, node: Source) -> list[Operand]:
        return [b.emit(op, node.exactly(2))]

    return lowering


def _or_equal(swapped: bool) -> Lowering:
    """Lowers x ≤ y: of integers not (y < x); of floats x < y or x = y, because of NaN."""

    def lowering(b: Builder, node: Source) -> list[Operand]:
        x, y = reversed(node.exactly(2)) if swapped else node.exactly(2)
        if x.type.dtype is not DType.FLOAT:
            return [inverted(b, b.emit(Op.LESS, (y, x)))]
        return [b.emit(Op.OR, (b.emit(Op.LESS, (x, y)), b.emit(Op.EQUAL, (x, y))))]

    return lowering


def inverted(b: Builder, x: Operand) -> Operand:
    """Emits not x of bools, and all bits inverted of integers."""
    dtype = x.type.dtype
    return b.emit(Op.XOR, (x, b.scalar(255 if dtype is DType.UINT8 else -1, dtype)))


def _not(b: Builder, node: Source) -> list[Operand]:
    return [inverted(b, *node.exactly(1))]


def is_nan(b: Builder, x: Operand) -> Operand:
    return inverted(b, b.emit(Op.EQUAL, (x, x)))


def _is_nan(b: Builder, node: Source) -> list[Operand]:
    return [is_nan(b, *node.exactly(1))]


def _is_inf(b: Builder, node: Source) -> list[Operand]:
    (x,) = node.exactly(1)
    infinity = b.scalar(float("inf"))
    positive, negative = (node.integer(f"detect_{sign}", 1) for sign in ("positive", "negative"))
    if positive and negative:
        return [b.emit(Op.EQUAL, (b.emit(Op.ABS, (x,)), infinity))]
    if not positive and not negative:
        return [b.emit(Op.LESS, (x, x))]
    return [b.emit(Op.EQUAL, (x, infinity if positive else b.scalar(float("-inf"))))]


def _mod(b: Builder, node: Source) -> list[Operand]:
    """Lowers Mod. With fmod = 1 the result has the sign of x, with fmod = 0 that of y, which comes
    by adding y where the signs differ."""
    x, y = node.exactly(2)
    rest = b.emit(Op.MOD, (x, y))
    if node.integer("fmod", 0) or x.type.dtype is DType.UINT8:
        return [rest]
    zero = b.scalar(0, x.type.dtype)
    signs = b.emit(Op.XOR, (b.emit(Op.LESS, (rest, zero)), b.emit(Op.LESS, (y, zero))))
    other = b.emit(Op.WHERE, (b.emit(Op.EQUAL, (rest, zero)), b.scalar(0, DType.BOOL), signs))
    return [b.emit(Op.WHERE, (other, b.emit(Op.ADD, (rest, y)), rest))]


def _bit_shift(b: Builder, node: Source) -> list[Operand]:
    """Emits MUL or DIV by 2^y from a table. It has 0 from y = 8 on, by which both give 0."""
    x, y = node.exactly(2)
    direction = node.text("direction")
    if x.type.dtype is not DType.UINT8 or y.type.dtype is not DType.UINT8:
        raise Outside(f"a shift of {x.type} by {y.type}", "use uint8")
    if direction not in ("LEFT", "RIGHT"):
        raise Outside(f"direction {direction!r} is unknown", "use LEFT or RIGHT")
    powers = [b.scalar(1 << bit, DType.UINT8) for bit in range(8)] + [b.scalar(0, DType.UINT8)]
    table = b.emit(Op.CONCAT, [b.reshape(power, (1, 1)) for power in powers])
    places = b.reshape(cast(b, y, DType.INT32), (y.type.elements,))
    factors = b.emit(Op.GATHER, (b.reshape(table, (1, 9, 1)), places))
    op = Op.MUL if direction == "LEFT" else Op.DIV
    return [b.emit(op, (x, b.reshape(factors, y.type.shape)))]


ONNX: dict[str, Lowering] = {
    "Equal": _of_two(Op.EQUAL),
    "LessOrEqual": _or_equal(swapped=False),
    "GreaterOrEqual": _or_equal(swapped=True),
    "And": _of_two(Op.AND),
    "Or": _of_two(Op.OR),
    "Xor": _of_two(Op.XOR),
    "Not": _not,
    "BitwiseAnd": _of_two(Op.AND),
    "BitwiseOr": _of_two(Op.OR),
    "BitwiseXor": _of_two(Op.XOR),
    "BitwiseNot": _not,
    "BitShift": _bit_shift,
    "IsNaN": _is_nan,
    "IsInf": _is_inf,
    "Mod": _mod,
}
