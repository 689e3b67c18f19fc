"""One element in, one element out, operands broadcast: arithmetic, choice, Cast.

float32 results are correctly rounded; integers are two's complement and wrap.
"""

from collections.abc import Callable, Sequence
from math import isqrt

import numpy as np

from oracle.exact import float32
from oracle.exact.primitive import (
    DTYPES,
    FLOAT,
    INTEGERS,
    NUMBERS,
    Kernel,
    Outside,
    Primitive,
    broadcast,
    exactly,
    flat_index,
    output_size,
    same_dtype,
)
from oracle.exact.program import Node, Op, ValueType
from oracle.tensor import Array, numpy_dtype
from oracle.types import DType

Rule = Callable[..., int]

# ---- the plain rules: float32 on bits, integers on Python's own, before wrapping


def add(x: int, y: int) -> int:
    if float32.is_nan(x) or float32.is_nan(y):
        return float32.NAN
    if float32.is_inf(x):
        return float32.NAN if float32.is_inf(y) and x != y else x
    if float32.is_inf(y):
        return y
    return float32.of_scaled(float32.scaled(x) + float32.scaled(y), -149)


def sub(x: int, y: int) -> int:
    return add(x, float32.negated(y))


def mul(x: int, y: int) -> int:
    if float32.is_nan(x) or float32.is_nan(y):
        return float32.NAN
    if float32.is_inf(x) or float32.is_inf(y):
        return float32.NAN if x == 0 or y == 0 else float32.INF | ((x ^ y) & float32.SIGN)
    (m, e), (n, f) = float32.split(x), float32.split(y)
    return float32.of_scaled(m * n, e + f)


def div(x: int, y: int) -> int:
    """Divides. x / 0 is ±∞ by the sign of x, because there is only one zero; 0 / 0 is NaN."""
    if float32.is_nan(x) or float32.is_nan(y):
        return float32.NAN
    sign = (x ^ y) & float32.SIGN
    if float32.is_inf(x):
        return float32.NAN if float32.is_inf(y) else float32.INF | sign
    if float32.is_inf(y):
        return 0
    if y == 0:
        return float32.NAN if x == 0 else float32.INF | sign
    n, d = float32.scaled(x), float32.scaled(y)
    return float32.of_ratio(-n if d < 0 else n, abs(d))


def absolute(x: int) -> int:
    return x & ~float32.SIGN


def sqrt(x: int) -> int:
    if float32.is_nan(x) or x & float32.SIGN:
        return float32.NAN
    if float32.is_inf(x):
        return x
    m, e = float32.split(x)
    # 2^70·m has at least 70 bits, so the root has 35 or more and its last, if made odd when the
    # root is inexact, stands for all that follow it.
    shift = 70 + (e & 1)
    root = isqrt(m << shift)
    root = 2 * root + (root * root != m << shift)
    return float32.of_scaled(root, (e - shift) // 2 - 1)


def maximum(x: int, y: int) -> int:
    if float32.is_nan(x) or float32.is_nan(y):
        return float32.NAN
    return max(x, y, key=float32.ordered)


def minimum(x: int, y: int) -> int:
    if float32.is_nan(x) or float32.is_nan(y):
        return float32.NAN
    return min(x, y, key=float32.ordered)


def less(x: int, y: int) -> int:
    if float32.is_nan(x) or float32.is_nan(y):
        return 0
    return int(float32.ordered(x) < float32.ordered(y))


def equal(x: int, y: int) -> int:
    return int(x == y and not float32.is_nan(x))


def mod(x: int, y: int) -> int:
    """Gives the exact remainder of x divided by y, with the sign of x."""
    if float32.is_nan(x) or float32.is_nan(y) or float32.is_inf(x) or y == 0:
        return float32.NAN
    if float32.is_inf(y):
        return x
    n, d = float32.scaled(x), float32.scaled(y)
    rest = abs(n) % abs(d)
    return float32.of_scaled(-rest if n < 0 else rest, -149)


def int_mod(x: int, y: int) -> int:
    """Gives x − y·(x / y), and x where y is 0."""
    return x - y * int_div(x, y)


def int_div(x: int, y: int) -> int:
    """Divides towards zero; x / 0 is 0. The lowest integer / −1 is beyond the dtype, and wraps to
    the lowest later."""
    if y == 0:
        return 0
    q = abs(x) // abs(y)
    return -q if (x < 0) != (y < 0) else q


_FLOAT_RULES: dict[Op, Rule] = {
    Op.ADD: add,
    Op.SUB: sub,
    Op.MUL: mul,
    Op.DIV: div,
    Op.NEG: float32.negated,
    Op.ABS: absolute,
    Op.SQRT: sqrt,
    Op.MAX: maximum,
    Op.MIN: minimum,
    Op.LESS: less,
    Op.EQUAL: equal,
    Op.MOD: mod,
    Op.WHERE: lambda condition, x, y: x if condition else y,
}
_INT_RULES: dict[Op, Rule] = {
    Op.ADD: lambda x, y: x + y,
    Op.SUB: lambda x, y: x - y,
    Op.MUL: lambda x, y: x * y,
    Op.DIV: int_div,
    Op.NEG: lambda x: -x,
    Op.ABS: abs,
    Op.MAX: max,
    Op.MIN: min,
    Op.LESS: lambda x, y: int(x < y),
    Op.EQUAL: lambda x, y: int(x == y),
    Op.AND: lambda x, y: x & y,
    Op.OR: lambda x, y: x | y,
    Op.XOR: lambda x, y: x ^ y,
    Op.MOD: int_mod,
    Op.WHERE: lambda condition, x, y: x if condition else y,
}


def wrap(value: int, dtype: DType) -> int:
    """Wraps an integer to the dtype's two's complement. A bool says whether it is not zero."""
    if dtype is DType.BOOL:
        return int(value != 0)
    size = 1 << 8 * dtype.itemsize
    value %= size
    signed = dtype is not DType.UINT8
    return value - size if signed and value >= size // 2 else value


def words(array: Array) -> list[int]:
    """Gives the elements as the plain rules take them: the bits of float32, or the integers."""
    if array.dtype == np.float32:
        return float32.bits(array)
    integers: list[int] = array.ravel().astype(object).tolist()
    return [int(x) for x in integers]


def from_words(values: Sequence[int], type_: ValueType) -> Array:
    if type_.dtype is FLOAT:
        return float32.array(values, type_.shape)
    wrapped = [wrap(value, type_.dtype) for value in values]
    return np.array(wrapped, dtype=numpy_dtype(type_.dtype)).reshape(type_.shape)


def _plain(node: Node, arrays: Sequence[Array]) -> Array:
    # INPUTS
    operands = [words(array) for array in arrays]
    floats = node.operands[-1].type.dtype is FLOAT
    rule = (_FLOAT_RULES if floats else _INT_RULES)[node.op]
    # SHAPE
    places = [flat_index(node.output.shape, operand) for operand in node.operands]
    # COMPUTE
    out = [
        rule(*(operand[place] for operand, place in zip(operands, at, strict=True)))
        for at in zip(*places, strict=True)
    ]
    # OUTPUT
    return from_words(out, node.output)


def cast(x: int, source: DType, target: DType) -> int:
    """Converts an element. A float becomes an integer towards zero, clamped to the target's range,
    NaN becomes 0; as a bool it says whether it is not zero, so NaN is true. Integers wrap to other
    integers, and to float32 they are rounded once."""
    if target is source:
        return x
    if source is not FLOAT:
        return float32.of_scaled(x, 0) if target is FLOAT else wrap(x, target)
    if target is DType.BOOL:
        return int(x != 0)
    if float32.is_nan(x):
        return 0
    low, high = limits(target)
    if float32.is_inf(x):
        return low if x & float32.SIGN else high
    n = float32.scaled(x)
    return min(max(-(-n >> 149) if n < 0 else n >> 149, low), high)


def limits(dtype: DType) -> tuple[int, int]:
    info = np.iinfo(numpy_dtype(dtype))
    return int(info.min), int(info.max)


def _plain_cast(node: Node, arrays: Sequence[Array]) -> Array:
    # INPUTS
    values = words(arrays[0])
    source, target = node.operands[0].type.dtype, node.output.dtype
    # SHAPE: as the input's
    # COMPUTE
    out = [cast(value, source, target) for value in values]
    # OUTPUT
    return from_words(out, node.output)


# ---- types


def _infer_numbers(types: Sequence[ValueType], _attributes: Sequence[int]) -> ValueType:
    return ValueType(same_dtype(types, NUMBERS), broadcast([type_.shape for type_ in types]))


def _infer_float(types: Sequence[ValueType], _attributes: Sequence[int]) -> ValueType:
    return ValueType(same_dtype(types, (FLOAT,)), types[0].shape)


def _infer_less(types: Sequence[ValueType], attributes: Sequence[int]) -> ValueType:
    return ValueType(DType.BOOL, _infer_numbers(types, attributes).shape)


def _infer_equal(types: Sequence[ValueType], _attributes: Sequence[int]) -> ValueType:
    same_dtype(types, DTYPES)
    return ValueType(DType.BOOL, broadcast([type_.shape for type_ in types]))


def _infer_bits(types: Sequence[ValueType], _attributes: Sequence[int]) -> ValueType:
    dtype = same_dtype(types, (*INTEGERS, DType.BOOL))
    return ValueType(dtype, broadcast([type_.shape for type_ in types]))


def _infer_where(types: Sequence[ValueType], _attributes: Sequence[int]) -> ValueType:
    same_dtype(types[:1], (DType.BOOL,))
    return ValueType(same_dtype(types[1:], DTYPES), broadcast([type_.shape for type_ in types]))


def _infer_cast(types: Sequence[ValueType], attributes: Sequence[int]) -> ValueType:
    target = attributes[0]
    if target not in DTYPES:
        name = DType(target).name.lower() if target in list(DType) else str(target)
        raise Outside(f"a Cast to {name} is not covered", "Cast to float32 or an integer dtype")
    same_dtype(types, DTYPES)
    return ValueType(DType(target), types[0].shape)


# ---- the fast kernels: IEEE hardware rounds these correctly; what is left is the sign of zero


def _without_sign_of_zero(ufunc: np.ufunc, node: Node) -> Kernel:
    zero = np.zeros((), numpy_dtype(node.output.dtype))

    def kernel(*arrays: Array) -> Array:
        out: Array = np.asarray(ufunc(*arrays))
        return np.add(out, zero, out)

    return kernel


def _from_ufunc(ufunc: np.ufunc) -> Kernel:
    def kernel(*arrays: Array) -> Array:
        return np.asarray(ufunc(*arrays))

    return kernel


def _negative(x: Array) -> Array:
    return np.asarray(np.subtract(x.dtype.type(0), x))  # 0 − 0 is +0, which −x would not give


def _int_division(x: Array, y: Array) -> Array:
    zero = y == 0
    divisor = np.where(zero | (y == -1), y.dtype.type(1), y) if _signed(y) else np.where(zero, 1, y)
    divisor = divisor.astype(y.dtype)
    q = x // divisor  # towards minus infinity
    q = q + ((x % divisor != 0) & ((x < 0) != (divisor < 0))).astype(x.dtype)
    if _signed(y):
        q = np.where(y == -1, np.subtract(x.dtype.type(0), x), q)
    out: Array = np.where(zero, x.dtype.type(0), q).astype(x.dtype)
    return out


def _int_rest(x: Array, y: Array) -> Array:
    by_one = (y == 0) | (y == -1) if _signed(y) else y == 0
    rest = np.fmod(x, np.where(by_one, y.dtype.type(1), y))
    out: Array = np.where(y == 0, x, rest).astype(x.dtype)
    return out


def _signed(x: Array) -> bool:
    return x.dtype.kind == "i"


_UFUNCS: dict[Op, np.ufunc] = {
    Op.ADD: np.add,
    Op.SUB: np.subtract,
    Op.ABS: np.absolute,
    Op.SQRT: np.sqrt,
    Op.MAX: np.maximum,
    Op.MIN: np.minimum,
    Op.LESS: np.less,
    Op.EQUAL: np.equal,
    Op.AND: np.bitwise_and,
    Op.OR: np.bitwise_or,
    Op.XOR: np.bitwise_xor,
}


def _prepare(node: Node, _constants: Sequence[Array | None]) -> Kernel:
    if node.op is Op.NEG:
        return _negative
    if node.op is Op.WHERE:
        return np.where
    if node.op is Op.DIV and node.output.dtype is not FLOAT:
        return _int_division
    if node.op is Op.MOD:
        return _without_sign_of_zero(np.fmod, node) if node.output.dtype is FLOAT else _int_rest
    if node.op is Op.MUL:
        times = np.multiply
        return (
            _without_sign_of_zero(times, node) if node.output.dtype is FLOAT else _from_ufunc(times)
        )
    if node.op is Op.DIV:
        return _without_sign_of_zero(np.divide, node)
    return _from_ufunc(_UFUNCS[node.op])


def _prepare_cast(node: Node, _constants: Sequence[Array | None]) -> Kernel:
    source, target = node.operands[0].type.dtype, node.output.dtype
    numpy_target = numpy_dtype(target)
    if source is not FLOAT or target in (FLOAT, DType.BOOL):
        return lambda x: x.astype(numpy_target, copy=False)
    low, high = limits(target)
    # float(high) of int64 is 2^63, one too many: so clamp by choosing, not by converting.
    below, above = float(low), float(high)

    def kernel(x: Array) -> Array:
        x64 = x.astype(np.float64)
        inside = (x64 > below) & (x64 < above)  # false for NaN
        out = np.where(inside, x64, 0).astype(numpy_target)
        out = np.where(x64 >= above, high, out)
        return np.where(x64 <= below, low, out).astype(numpy_target)

    return kernel


PRIMITIVES = (
    Primitive(Op.ADD, exactly(2), _infer_numbers, _plain, _prepare, output_size),
    Primitive(Op.SUB, exactly(2), _infer_numbers, _plain, _prepare, output_size),
    Primitive(Op.MUL, exactly(2), _infer_numbers, _plain, _prepare, output_size),
    Primitive(Op.DIV, exactly(2), _infer_numbers, _plain, _prepare, output_size),
    Primitive(Op.NEG, exactly(1), _infer_numbers, _plain, _prepare, output_size),
    Primitive(Op.ABS, exactly(1), _infer_numbers, _plain, _prepare, output_size),
    Primitive(Op.SQRT, exactly(1), _infer_float, _plain, _prepare, output_size),
    Primitive(Op.MAX, exactly(2), _infer_numbers, _plain, _prepare, output_size),
    Primitive(Op.MIN, exactly(2), _infer_numbers, _plain, _prepare, output_size),
    Primitive(Op.LESS, exactly(2), _infer_less, _plain, _prepare, output_size),
    Primitive(Op.WHERE, exactly(3), _infer_where, _plain, _prepare, output_size),
    Primitive(Op.CAST, exactly(1, 1), _infer_cast, _plain_cast, _prepare_cast, output_size),
    Primitive(Op.EQUAL, exactly(2), _infer_equal, _plain, _prepare, output_size),
    Primitive(Op.AND, exactly(2), _infer_bits, _plain, _prepare, output_size),
    Primitive(Op.OR, exactly(2), _infer_bits, _plain, _prepare, output_size),
    Primitive(Op.XOR, exactly(2), _infer_bits, _plain, _prepare, output_size),
    Primitive(Op.MOD, exactly(2), _infer_numbers, _plain, _prepare, output_size),
)
__all__ = ["INTEGERS", "PRIMITIVES", "from_words", "words", "wrap"]
