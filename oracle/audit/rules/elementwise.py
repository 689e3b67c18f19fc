"""Ops that work element by element: arithmetic, comparisons, casts, functions of real numbers."""

from collections.abc import Callable
from fractions import Fraction
from math import isinf, isnan

from oracle.audit import functions
from oracle.audit.numbers import INF, NAN, SIGNED, Element, Result, dot, nearest, total, wrapped
from oracle.audit.rules.node import Ops, Primitive, Read, Rule, broadcast
from oracle.audit.rules.reduce import extreme
from oracle.types import DType


def _elementwise(rule: Callable[..., Result]) -> Rule:
    """Makes a node's rule from one of its operands' elements and the first operand's dtype."""

    def computed(node: Primitive, element: int, read: Read) -> Result:
        return rule(*_operands(node, element, read), node.operands[0].dtype)

    return computed


def _operands(node: Primitive, element: int, read: Read) -> list[Element]:
    return [
        read(at, broadcast(operand.shape, node.output.shape, element), 1)[0]
        for at, operand in enumerate(node.operands)
    ]


def _function(rule: Callable[..., Result]) -> Rule:
    """Makes a node's rule from a function of real numbers."""
    return lambda node, element, read: rule(*map(float, _operands(node, element, read)))


def _add(x: Element, y: Element, dtype: DType) -> Result:
    return total((x, y), dtype)


def _subtract(x: Element, y: Element, dtype: DType) -> Result:
    return total((x, -y), dtype)


def _multiply(x: Element, y: Element, dtype: DType) -> Result:
    return dot([(x, y)], dtype)


def _divide(x: Element, y: Element, dtype: DType) -> Result:
    if dtype is not DType.FLOAT:
        return _quotient(int(x), int(y), dtype)
    if isnan(x) or isnan(y) or (isinf(x) and isinf(y)) or (x == 0 and y == 0):
        return NAN
    if isinf(y):
        return 0
    if y == 0:
        return INF if x > 0 else -INF  # there is no −0
    if isinf(x):
        return x if y > 0 else -x
    return Fraction(x) / Fraction(y)


def _quotient(x: int, y: int, dtype: DType) -> int:
    """Divides, truncating towards zero. A divisor of 0 gives 0."""
    if y == 0:
        return 0
    size = abs(x) // abs(y)
    return wrapped(size if (x < 0) == (y < 0) else -size, dtype)


def _modulo(x: Element, y: Element, dtype: DType) -> Result:
    if dtype is not DType.FLOAT:
        return int(x) if y == 0 else int(x) - int(y) * _quotient(int(x), int(y), dtype)
    if isnan(x) or isnan(y) or isinf(x) or y == 0:
        return NAN
    if isinf(y):
        return x
    rest = abs(Fraction(x)) % abs(Fraction(y))
    return rest if x >= 0 else -rest


def _absolute(x: Element, dtype: DType) -> Result:
    return x if dtype is DType.FLOAT and isnan(x) else abs(x)


def _maximum(x: Element, y: Element, dtype: DType) -> Result:
    return extreme((x, y), dtype, largest=True)


def _minimum(x: Element, y: Element, dtype: DType) -> Result:
    return extreme((x, y), dtype, largest=False)


def _where(node: Primitive, element: int, read: Read) -> Result:
    """Reads the condition, and of the two others only the one that is chosen."""
    places = [broadcast(each.shape, node.output.shape, element) for each in node.operands]
    chosen = 1 if read(0, places[0], 1)[0] else 2
    return read(chosen, places[chosen], 1)[0]


def _cast(node: Primitive, element: int, read: Read) -> Result:
    [x] = _operands(node, element, read)
    source, target = node.operands[0].dtype, node.output.dtype
    if target is DType.BOOL:
        return int(x != 0)  # a NaN is not 0
    if source is not DType.FLOAT or target is DType.FLOAT:
        return x
    if isnan(x):
        return 0
    width = 8 * target.itemsize
    low, high = (-(1 << width - 1), (1 << width - 1) - 1) if target in SIGNED else (0, 2**width - 1)
    if isinf(x):
        return high if x > 0 else low
    return min(max(int(x), low), high)


def _quantize(node: Primitive, element: int, read: Read) -> Result:
    x, scale, zero = _operands(node, element, read)
    quotient = nearest(_divide(x, scale, DType.FLOAT))
    target = node.output.dtype
    low, high = (-128, 127) if target is DType.INT8 else (0, 255)
    if isnan(quotient):
        quotient = 0.0
    if isinf(quotient):
        return high if quotient > 0 else low
    return min(max(round(quotient) + int(zero), low), high)


OPS: Ops = {
    0x0200: ("ADD", _elementwise(_add)),
    0x0201: ("SUB", _elementwise(_subtract)),
    0x0202: ("MUL", _elementwise(_multiply)),
    0x0203: ("DIV", _elementwise(_divide)),
    0x0204: ("NEG", _elementwise(lambda x, _: -x)),
    0x0205: ("ABS", _elementwise(_absolute)),
    0x0206: ("SQRT", _function(functions.square_root)),
    0x0207: ("MAX", _elementwise(_maximum)),
    0x0208: ("MIN", _elementwise(_minimum)),
    0x0209: ("LESS", _elementwise(lambda x, y, _: int(x < y))),
    0x020A: ("WHERE", _where),
    0x020B: ("CAST", _cast),
    0x0240: ("EQUAL", _elementwise(lambda x, y, _: int(x == y))),
    0x0241: ("AND", _elementwise(lambda x, y, _: x & y)),
    0x0242: ("OR", _elementwise(lambda x, y, _: x | y)),
    0x0243: ("XOR", _elementwise(lambda x, y, _: x ^ y)),
    0x0244: ("MOD", _elementwise(_modulo)),
    0x0300: ("EXP", _function(functions.exp)),
    0x0301: ("LOG", _function(functions.log)),
    0x0302: ("SIGMOID", _function(functions.sigmoid)),
    0x0303: ("TANH", _function(functions.tanh)),
    0x0304: ("ERF", _function(functions.erf)),
    0x0800: ("QUANTIZE", _quantize),
    0x0900: ("LOG1P", _function(functions.log1p)),
    0x0901: ("SIN", _function(functions.sin)),
    0x0902: ("COS", _function(functions.cos)),
    0x0903: ("ATAN", _function(functions.atan)),
    0x0904: ("POW", _function(functions.power)),
}
