"""Activations and functions of one number that are made of primitives, and Pow."""

import math
from collections.abc import Callable
from functools import reduce

import numpy as np

from oracle.exact.lowering.builder import Builder
from oracle.exact.lowering.elementwise import cast
from oracle.exact.lowering.source import Lowering, Source
from oracle.exact.lowering.transcendental import rowwise
from oracle.exact.primitive import FLOAT, INTEGERS, Outside
from oracle.exact.program import Op, Operand
from oracle.types import DType


def _function(op: Op) -> Lowering:
    return _composed(lambda b, x: b.emit(op, (x,)))


def _composed(function: Callable[[Builder, Operand], Operand]) -> Lowering:
    def lowering(b: Builder, node: Source) -> list[Operand]:
        (x,) = node.exactly(1)
        return [function(b, x)]

    return lowering


def _scalar(b: Builder, node: Source, name: str, default: float) -> Operand:
    return b.scalar(node.real(name, default))


def _negative(b: Builder, x: Operand) -> Operand:
    return b.emit(Op.LESS, (x, b.scalar(0, x.type.dtype)))


def _below_zero(b: Builder, x: Operand, then: Operand, otherwise: Operand) -> Operand:
    return b.emit(Op.WHERE, (_negative(b, x), then, otherwise))


# Activations


def leaky(b: Builder, x: Operand, slope: Operand) -> Operand:
    """Emits x where x ≥ 0, else x·slope, as a maximum where 0 < slope ≤ 1 is known."""
    known = b.known(slope)
    product = b.emit(Op.MUL, (x, slope))
    if known is not None and (known > 0).all() and (known <= 1).all():
        return b.emit(Op.MAX, (x, product))
    return _below_zero(b, x, product, x)


def _leaky_relu(b: Builder, node: Source) -> list[Operand]:
    (x,) = node.exactly(1)
    return [leaky(b, x, _scalar(b, node, "alpha", 0.01))]


def _p_relu(b: Builder, node: Source) -> list[Operand]:
    x, slope = node.exactly(2)
    out = leaky(b, x, slope)
    if out.type != x.type:
        raise Outside(f"slopes {slope.type} do not broadcast to {x.type}", "fix their shape")
    return [out]


def _thresholded_relu(b: Builder, node: Source) -> list[Operand]:
    (x,) = node.exactly(1)
    above = b.emit(Op.LESS, (_scalar(b, node, "alpha", 1.0), x))
    return [b.emit(Op.WHERE, (above, x, b.scalar(0)))]


def _shrink(b: Builder, node: Source) -> list[Operand]:
    """Emits x + bias below −λ, x − bias above λ, else 0."""
    (x,) = node.exactly(1)
    bias, edge = _scalar(b, node, "bias", 0.0), _scalar(b, node, "lambd", 0.5)
    below = b.emit(Op.LESS, (x, b.emit(Op.NEG, (edge,))))
    above = b.emit(Op.LESS, (edge, x))
    inner = b.emit(Op.WHERE, (above, b.emit(Op.SUB, (x, bias)), b.scalar(0)))
    return [b.emit(Op.WHERE, (below, b.emit(Op.ADD, (x, bias)), inner))]


def _exp_minus_one(b: Builder, x: Operand) -> Operand:
    return b.emit(Op.SUB, (b.emit(Op.EXP, (x,)), b.scalar(1)))


def _elu(b: Builder, node: Source) -> list[Operand]:
    (x,) = node.exactly(1)
    below = b.emit(Op.MUL, (_scalar(b, node, "alpha", 1.0), _exp_minus_one(b, x)))
    return [_below_zero(b, x, below, x)]


def _selu(b: Builder, node: Source) -> list[Operand]:
    (x,) = node.exactly(1)
    alpha = _scalar(b, node, "alpha", 1.67326319217681884765625)
    gamma = _scalar(b, node, "gamma", 1.05070102214813232421875)
    below = b.emit(Op.MUL, (alpha, _exp_minus_one(b, x)))
    return [b.emit(Op.MUL, (gamma, _below_zero(b, x, below, x)))]


def _celu(b: Builder, node: Source) -> list[Operand]:
    (x,) = node.exactly(1)
    alpha = _scalar(b, node, "alpha", 1.0)
    below = b.emit(Op.MUL, (alpha, _exp_minus_one(b, b.emit(Op.DIV, (x, alpha)))))
    return [_below_zero(b, x, below, x)]


def clipped_line(b: Builder, x: Operand, alpha: Operand, beta: Operand) -> Operand:
    line = b.emit(Op.ADD, (b.emit(Op.MUL, (x, alpha)), beta))
    return b.emit(Op.MIN, (b.emit(Op.MAX, (line, b.scalar(0))), b.scalar(1)))


def _hard_sigmoid(b: Builder, node: Source) -> list[Operand]:
    (x,) = node.exactly(1)
    alpha, beta = _scalar(b, node, "alpha", 0.2), _scalar(b, node, "beta", 0.5)
    return [clipped_line(b, x, alpha, beta)]


def _hard_swish(b: Builder, x: Operand) -> Operand:
    gate = clipped_line(b, x, b.scalar(float(np.float32(1 / 6))), b.scalar(0.5))
    return b.emit(Op.MUL, (x, gate))


def _softplus(b: Builder, x: Operand) -> Operand:
    tail = b.emit(Op.LOG1P, (b.emit(Op.EXP, (b.emit(Op.NEG, (b.emit(Op.ABS, (x,)),)),)),))
    return b.emit(Op.ADD, (b.emit(Op.MAX, (x, b.scalar(0))), tail))


def _softsign(b: Builder, x: Operand) -> Operand:
    return b.emit(Op.DIV, (x, b.emit(Op.ADD, (b.scalar(1), b.emit(Op.ABS, (x,))))))


def _mish(b: Builder, x: Operand) -> Operand:
    return b.emit(Op.MUL, (x, b.emit(Op.TANH, (_softplus(b, x),))))


def _swish(b: Builder, node: Source) -> list[Operand]:
    (x,) = node.exactly(1)
    alpha = node.real("alpha", 1.0)
    inner = x if alpha == 1 else b.emit(Op.MUL, (x, b.scalar(alpha)))
    return [b.emit(Op.MUL, (x, b.emit(Op.SIGMOID, (inner,))))]


def _gelu(b: Builder, node: Source) -> list[Operand]:
    (x,) = node.exactly(1)
    match node.text("approximate", "none"):
        case "none":
            return [gelu(b, x)]
        case "tanh":
            return [fast_gelu(b, x)]
        case other:
            raise Outside(f"approximate {other} is not known", "use none or tanh")


def gelu(b: Builder, x: Operand) -> Operand:
    half = b.emit(Op.MUL, (x, b.scalar(0.5)))
    bend = b.emit(Op.ERF, (b.emit(Op.MUL, (x, b.scalar(math.sqrt(0.5)))),))
    return b.emit(Op.MUL, (half, b.emit(Op.ADD, (bend, b.scalar(1)))))


def fast_gelu(b: Builder, x: Operand) -> Operand:
    """Emits Gelu with tanh in place of erf."""
    half = b.emit(Op.MUL, (x, b.scalar(0.5)))
    cube = b.emit(Op.MUL, (b.emit(Op.MUL, (x, x)), x))
    curve = b.emit(Op.ADD, (x, b.emit(Op.MUL, (cube, b.scalar(0.044715)))))
    bend = b.emit(Op.TANH, (b.emit(Op.MUL, (curve, b.scalar(math.sqrt(2 / math.pi)))),))
    return b.emit(Op.MUL, (half, b.emit(Op.ADD, (bend, b.scalar(1)))))


def _log_softmax(b: Builder, x: Operand) -> Operand:
    """Emits d − log Σe^d with d = x − max, over each row of [outer, K]."""
    column = (x.type.shape[0], 1)
    largest = b.reshape(b.emit(Op.REDUCE_MAX, (x,)), column)
    d = b.emit(Op.SUB, (x, largest))
    total = b.reshape(b.emit(Op.REDUCE_SUM, (b.emit(Op.EXP, (d,)),)), column)
    return b.emit(Op.SUB, (d, b.emit(Op.LOG, (total,))))


def _hardmax(b: Builder, x: Operand) -> Operand:
    """Emits 1 at the first of the largest elements of each row, else 0."""
    rows, k = x.type.shape
    place = b.reshape(b.emit(Op.ARG_MAX, (x,), 0), (rows, 1))
    places = b.constant(np.arange(k, dtype=np.int64))
    zero, one = b.scalar(0), b.scalar(1)
    until = b.emit(Op.WHERE, (b.emit(Op.LESS, (places, place)), zero, one))
    return b.emit(Op.WHERE, (b.emit(Op.LESS, (place, places)), zero, until))


# Whole numbers


def _sign(b: Builder, x: Operand) -> Operand:
    """Emits −1, 0 or 1 by the sign of x, and NaN for NaN."""
    zero, one = b.scalar(0, x.type.dtype), b.scalar(1, x.type.dtype)
    if x.type.dtype is DType.UINT8:
        return b.emit(Op.MIN, (x, one))
    positive = b.emit(Op.WHERE, (b.emit(Op.LESS, (zero, x)), one, x))
    return _below_zero(b, x, b.scalar(-1, x.type.dtype), positive)


def rounded(b: Builder, x: Operand) -> Operand:
    """Emits x rounded to an integer, ties to even. Adding 2^23 to |x| rounds off its fraction, and
    what is 2^23 or larger has none."""
    size, large = b.emit(Op.ABS, (x,)), b.scalar(2.0**23)
    whole = b.emit(Op.SUB, (b.emit(Op.ADD, (size, large)), large))
    signed = _below_zero(b, x, b.emit(Op.NEG, (whole,)), whole)
    return b.emit(Op.WHERE, (b.emit(Op.LESS, (size, large)), signed, x))


def floored(b: Builder, x: Operand) -> Operand:
    nearest = rounded(b, x)
    above = b.emit(Op.LESS, (x, nearest))
    return b.emit(Op.WHERE, (above, b.emit(Op.SUB, (nearest, b.scalar(1))), nearest))


def _ceil(b: Builder, x: Operand) -> Operand:
    nearest = rounded(b, x)
    below = b.emit(Op.LESS, (nearest, x))
    return b.emit(Op.WHERE, (below, b.emit(Op.ADD, (nearest, b.scalar(1))), nearest))


# Functions


def _tan(b: Builder, x: Operand) -> Operand:
    return b.emit(Op.DIV, (b.emit(Op.SIN, (x,)), b.emit(Op.COS, (x,))))


def _half_angle(b: Builder, n: Operand, d: Operand) -> Operand:
    """Emits arctan √(n / d)."""
    return b.emit(Op.ATAN, (b.emit(Op.SQRT, (b.emit(Op.DIV, (n, d)),)),))


def _asin(b: Builder, x: Operand) -> Operand:
    """Emits arctan(x / √((1 − x)(1 + x))), which at ±1 is arctan ±∞."""
    one = b.scalar(1)
    product = b.emit(Op.MUL, (b.emit(Op.SUB, (one, x)), b.emit(Op.ADD, (one, x))))
    return b.emit(Op.ATAN, (b.emit(Op.DIV, (x, b.emit(Op.SQRT, (product,)))),))


def _acos(b: Builder, x: Operand) -> Operand:
    """Emits 2·arctan √((1 − x) / (1 + x))."""
    one = b.scalar(1)
    half = _half_angle(b, b.emit(Op.SUB, (one, x)), b.emit(Op.ADD, (one, x)))
    return b.emit(Op.MUL, (half, b.scalar(2)))


def _cosh(b: Builder, x: Operand) -> Operand:
    """Emits (e^h/2)·e^h + e^(−2h)/2 with h = |x| / 2, which overflows only where cosh x does."""
    size, half = b.emit(Op.ABS, (x,)), b.scalar(0.5)
    root = b.emit(Op.EXP, (b.emit(Op.MUL, (size, half)),))
    rising = b.emit(Op.MUL, (b.emit(Op.MUL, (root, half)), root))
    falling = b.emit(Op.MUL, (b.emit(Op.EXP, (b.emit(Op.NEG, (size,)),)), half))
    return b.emit(Op.ADD, (rising, falling))


def _sinh(b: Builder, x: Operand) -> Operand:
    """Emits tanh x · cosh x, which loses no digits near zero."""
    return b.emit(Op.MUL, (b.emit(Op.TANH, (x,)), _cosh(b, x)))


def _odd(b: Builder, x: Operand, magnitude: Operand) -> Operand:
    return _below_zero(b, x, b.emit(Op.NEG, (magnitude,)), magnitude)


def _atanh(b: Builder, x: Operand) -> Operand:
    """Emits log1p(2a / (1 − a)) / 2 with a = |x|, and the sign of x."""
    a = b.emit(Op.ABS, (x,))
    ratio = b.emit(Op.DIV, (b.emit(Op.MUL, (a, b.scalar(2))), b.emit(Op.SUB, (b.scalar(1), a))))
    half = b.emit(Op.MUL, (b.emit(Op.LOG1P, (ratio,)), b.scalar(0.5)))
    return _odd(b, x, half)


def _asinh(b: Builder, x: Operand) -> Operand:
    """Emits log1p(a + a·(a / (1 + √(a·a + 1)))) with a = |x|, log a + log 2 from 2^32 on, and the
    sign of x."""
    a, one = b.emit(Op.ABS, (x,)), b.scalar(1)
    root = b.emit(Op.SQRT, (b.emit(Op.ADD, (b.emit(Op.MUL, (a, a)), one)),))
    part = b.emit(Op.MUL, (a, b.emit(Op.DIV, (a, b.emit(Op.ADD, (one, root))))))
    near = b.emit(Op.LOG1P, (b.emit(Op.ADD, (a, part)),))
    far = b.emit(Op.ADD, (b.emit(Op.LOG, (a,)), b.scalar(math.log(2))))
    small = b.emit(Op.LESS, (a, b.scalar(2.0**32)))
    return _odd(b, x, b.emit(Op.WHERE, (small, near, far)))


def _acosh(b: Builder, x: Operand) -> Operand:
    """Emits log1p(t + √t·√(t + 2)) with t = x − 1, and log x + log 2 above 2^32."""
    t = b.emit(Op.SUB, (x, b.scalar(1)))
    root = b.emit(
        Op.MUL,
        (b.emit(Op.SQRT, (t,)), b.emit(Op.SQRT, (b.emit(Op.ADD, (t, b.scalar(2))),))),
    )
    near = b.emit(Op.LOG1P, (b.emit(Op.ADD, (t, root)),))
    far = b.emit(Op.ADD, (b.emit(Op.LOG, (x,)), b.scalar(math.log(2))))
    large = b.emit(Op.LESS, (b.scalar(2.0**32), x))
    return b.emit(Op.WHERE, (large, far, near))


def _pow(b: Builder, node: Source) -> list[Operand]:
    """Emits POW, or the products or SQRT that are exact powers where the exponent is known."""
    x, y = node.exactly(2)
    known = b.known(y)
    exponent = float(known.reshape(-1)[0]) if known is not None and known.size == 1 else None
    whole = exponent in (1, 2) or (x.type.dtype is not FLOAT and exponent in range(1, 64))
    if exponent is not None and whole and len(y.type.shape) <= len(x.type.shape):
        return [reduce(lambda product, _: b.emit(Op.MUL, (product, x)), range(1, int(exponent)), x)]
    if x.type.dtype is not FLOAT or y.type.dtype not in (FLOAT, *INTEGERS):
        raise Outside(f"a power of {x.type} by {y.type} is not covered", "Cast both to float32")
    if exponent == 0.5 and len(y.type.shape) <= len(x.type.shape):
        return [b.emit(Op.SQRT, (x,))]
    return [b.emit(Op.POW, (x, cast(b, y, FLOAT)))]


ONNX: dict[str, Lowering] = {
    "LeakyRelu": _leaky_relu,
    "PRelu": _p_relu,
    "ThresholdedRelu": _thresholded_relu,
    "Shrink": _shrink,
    "Elu": _elu,
    "Selu": _selu,
    "Celu": _celu,
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _composed(_hard_swish),
    "Softplus": _composed(_softplus),
    "Softsign": _composed(_softsign),
    "Mish": _composed(_mish),
    "Swish": _swish,
    "Gelu": _gelu,
    "LogSoftmax": rowwise(_log_softmax),
    "Hardmax": rowwise(_hardmax),
    "Sign": _composed(_sign),
    "Round": _composed(rounded),
    "Floor": _composed(floored),
    "Ceil": _composed(_ceil),
    "Sin": _function(Op.SIN),
    "Cos": _function(Op.COS),
    "Tan": _composed(_tan),
    "Asin": _composed(_asin),
    "Acos": _composed(_acos),
    "Atan": _function(Op.ATAN),
    "Sinh": _composed(_sinh),
    "Cosh": _composed(_cosh),
    "Asinh": _composed(_asinh),
    "Acosh": _composed(_acosh),
    "Atanh": _composed(_atanh),
    "Pow": _pow,
}
