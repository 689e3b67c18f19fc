"""Small integers that stand for numbers: quantizing, and products of what is quantized.

A quantized x means (x − zero point) · scale. Products are exact sums in int32, as ONNX has them.
"""

from onnx import TensorProto

from oracle.exact.lowering.activation import rounded
from oracle.exact.lowering.builder import FLOATS, Builder, with_dtype
from oracle.exact.lowering.convolution import conv
from oracle.exact.lowering.elementwise import cast
from oracle.exact.lowering.indexing import taken
from oracle.exact.lowering.linear import multiplied
from oracle.exact.lowering.reduce import extremum
from oracle.exact.lowering.shape import expand
from oracle.exact.lowering.source import Lowering, Source, dtype_name, normalized
from oracle.exact.primitive import Outside
from oracle.exact.program import Op, Operand
from oracle.types import DType

_SMALL = (DType.INT8, DType.UINT8)
_DTYPES: dict[int, tuple[int, DType]] = {
    DType.INT8: (8, DType.INT8),
    DType.UINT8: (8, DType.UINT8),
    DType.INT16: (16, DType.INT16),
    DType.UINT16: (16, DType.UINT16),
    TensorProto.INT4: (4, DType.INT8),
    TensorProto.UINT4: (4, DType.UINT8),
    TensorProto.INT2: (2, DType.INT8),
    TensorProto.UINT2: (2, DType.UINT8),
}
"""What a number may be quantized to: bits, and the dtype in which they stand."""


def _lined_up(b: Builder, node: Source, x: Operand, given: Operand) -> Operand:
    """Reshapes a scale or zero point to broadcast to x. It has one number, one for each place of
    `axis`, or one for each block of places."""
    shape, rank = x.type.shape, len(x.type.shape)
    block = node.integer("block_size", 0) if node.opset >= 21 else 0
    place = node.integer("axis", 1) if node.opset >= 13 else 0
    if given.type.elements == 1 and not block:
        return b.reshape(given, ())
    if node.opset < 13:
        raise Outside(f"its scale is {given.type}", "give one number")
    axis = normalized(place, rank)
    if not block:
        if given.type.elements != shape[axis]:
            raise Outside(f"scales {given.type} for axis {axis} of {x.type}", "fix the file")
        return b.reshape(given, (shape[axis], *[1] * (rank - axis - 1)))
    count = -(-shape[axis] // block) if block > 0 else 0
    if given.type.shape != (*shape[:axis], count, *shape[axis + 1 :]):
        raise Outside(f"blocks of {block}, scales {given.type} for {x.type}", "fix the file")
    if count * block != shape[axis]:  # the last block is shorter
        return taken(b, given, [at // block for at in range(shape[axis])], axis)
    split = b.reshape(given, (*shape[:axis], count, 1, *shape[axis + 1 :]))
    return b.reshape(expand(b, split, (*shape[:axis], count, block, *shape[axis + 1 :])), shape)


def quantize(b: Builder, node: Source) -> list[Operand]:
    x, scale, zero = node.input(0), node.input(1), node.optional(2)
    if node.opset >= 19:
        node.integer("saturate", 1)  # for float8 only
    wanted = node.integer("output_dtype", 0) if node.opset >= 21 else 0
    bits, target = _DTYPES.get(wanted or DType.UINT8, (0, DType.UNDEFINED))
    if zero is not None:
        bits, target = b.bits(zero), zero.type.dtype
    if node.opset >= 23 and node.integer("precision", 0) not in (0, DType.FLOAT):
        raise Outside("it divides in another precision", "use float32")
    if (bits, target) not in _DTYPES.values():
        name = dtype_name(wanted) if zero is None else target.name.lower()
        raise Outside(f"quantizing to {name}", "use integers of 16 bits or fewer")
    x, step = cast(b, x, DType.FLOAT), _lined_up(b, node, x, scale)
    point = None if zero is None else _lined_up(b, node, x, b.in_law(zero))
    if bits == 16:
        return [with_dtype(_to_16_bits(b, x, step, point, target), target)]
    out = b.emit(Op.QUANTIZE, (x, step, b.scalar(0, target) if point is None else point))
    return [out if bits == 8 else b.mark_bits(_clamped(b, out, bits, target), bits)]


def _to_16_bits(
    b: Builder, x: Operand, scale: Operand, zero: Operand | None, target: DType
) -> Operand:
    """Emits as int32 what QUANTIZE would give: q = x / scale rounded, q + zero clamped. q beyond
    2^17 is clamped before, so that the sum does not wrap."""
    q = rounded(b, b.emit(Op.DIV, (x, scale)))
    q = b.emit(Op.MIN, (b.emit(Op.MAX, (q, b.scalar(-(2.0**17)))), b.scalar(2.0**17)))
    whole = cast(b, q, DType.INT32)
    if zero is not None:
        whole = b.emit(Op.ADD, (whole, zero))
    return _clamped(b, whole, 16, target)


def _clamped(b: Builder, x: Operand, bits: int, target: DType) -> Operand:
    signed = target in (DType.INT8, DType.INT16)
    low = -(1 << bits - 1) if signed else 0
    ends = (b.scalar(end, x.type.dtype) for end in (low, low + (1 << bits) - 1))
    return b.emit(Op.MIN, (b.emit(Op.MAX, (x, next(ends))), next(ends)))


def dequantize(b: Builder, node: Source) -> list[Operand]:
    """Emits (x − zero) as float32, times the scale. The file says another float where the scale is
    of that, or an attribute says so."""
    x, given, zero = node.input(0), node.input(1), node.optional(2)
    wanted = node.integer("output_dtype", 0) if node.opset >= 23 else 0
    if wanted not in (0, DType.FLOAT, *FLOATS):
        raise Outside(f"it gives dtype {wanted}", "give floats")
    if x.type.dtype not in (*_SMALL, DType.INT16, DType.UINT16, DType.INT32, DType.FLOAT):
        raise Outside(f"its input is {x.type}", "give it int8, uint8 or int32")
    scale = b.in_law(given)
    if x.type.dtype is DType.FLOAT:
        _check_float8(b, x, zero)
    elif zero is not None:
        x = centred(b, x, _lined_up(b, node, x, zero))
    out = b.emit(Op.MUL, (cast(b, x, DType.FLOAT), _lined_up(b, node, x, scale)))
    return [with_dtype(out, DType(wanted) if wanted else given.type.dtype)]


def _check_float8(b: Builder, x: Operand, zero: Operand | None) -> None:
    """Checks that x are numbers of the file, as of float8, whose zero point is zero."""
    point = None if zero is None else b.known(zero)
    if b.known(x) is None or (zero is not None and (point is None or point.any())):
        raise Outside("its floats are no constants about zero", "quantize to integers")


def centred(b: Builder, x: Operand, zero: Operand | None) -> Operand:
    """Emits x − zero in int32."""
    wide = cast(b, x, DType.INT32)
    if zero is None:
        return wide
    if zero.type.dtype != x.type.dtype:
        raise Outside(f"a zero point {zero.type} for {x.type}", "fix the file")
    known = b.known(zero)
    if known is not None and not known.any():
        return wide
    return b.emit(Op.SUB, (wide, cast(b, zero, DType.INT32)))


def _dynamic(b: Builder, node: Source) -> list[Operand]:
    return list(dynamically(b, *node.exactly(1)))


def dynamically(b: Builder, x: Operand) -> tuple[Operand, Operand, Operand]:
    """Quantizes x by its own range. Gives y, scale and zero point.

    The scale is (max(0, max x) − min(0, min x)) / 255, or 1 where that is 0; the zero point is
    −min(0, min x) / scale, quantized.
    """
    row = b.reshape(x, (1, x.type.elements))
    zero = b.scalar(0)
    high = b.emit(Op.MAX, (extremum(b, Op.REDUCE_MAX, row), zero))
    low = b.emit(Op.MIN, (extremum(b, Op.REDUCE_MIN, row), zero))
    step = b.emit(Op.DIV, (b.emit(Op.SUB, (high, low)), b.scalar(255)))
    flat = b.emit(Op.EQUAL, (step, zero))
    step = b.reshape(b.emit(Op.WHERE, (flat, b.scalar(1), step)), ())
    least = b.reshape(b.emit(Op.NEG, (low,)), ())
    point = b.emit(Op.QUANTIZE, (least, step, b.scalar(0, DType.UINT8)))
    return b.emit(Op.QUANTIZE, (x, step, point)), step, point


def _column(b: Builder, zero: Operand | None) -> Operand | None:
    """Reshapes A's zero point: one number, or one for each row, [M] as [M, 1]."""
    if zero is None or len(zero.type.shape) != 1:
        return zero
    return b.reshape(zero, () if zero.type.elements == 1 else (*zero.type.shape, 1))


def product(b: Builder, x: Operand, y: Operand, zx: Operand | None, zy: Operand | None) -> Operand:
    """Multiplies two small tensors in int32, as MatMul does. zy is one number, or one a column."""
    if not x.type.shape or not y.type.shape:
        raise Outside(f"it multiplies {x.type} by {y.type}", "give it matrices")
    return multiplied(b, centred(b, x, _column(b, zx)), centred(b, y, zy))


def _matmul_integer(b: Builder, node: Source) -> list[Operand]:
    return [product(b, node.input(0), node.input(1), node.optional(2), node.optional(3))]


def _requantized(
    b: Builder, total: Operand, scales: tuple[Operand, Operand], out: Operand, zero: Operand
) -> Operand:
    """Quantizes int32 · (scale of x · scale of y / scale of the result), each step rounded."""
    factor = b.emit(Op.DIV, (b.emit(Op.MUL, scales), out))
    scaled = b.emit(Op.MUL, (cast(b, total, DType.FLOAT), factor))
    return b.emit(Op.QUANTIZE, (scaled, b.scalar(1), b.reshape(zero, ())))


def _qlinear_matmul(b: Builder, node: Source) -> list[Operand]:
    x, sx, zx, y, sy, zy, out, zero = node.exactly(8)
    column = _column(b, sx)
    assert column is not None
    return [_requantized(b, product(b, x, y, zx, zy), (column, sy), b.reshape(out, ()), zero)]


def _per_channel(b: Builder, given: Operand, rank: int, channels: int) -> Operand:
    """Reshapes one number, or one for each output channel, [O] as [O, 1, …]."""
    if given.type.elements == 1:
        return b.reshape(given, ())
    if given.type.elements != channels:
        raise Outside(f"{given.type} for {channels} channels", "give one, or one a channel")
    return b.reshape(given, (channels, *[1] * (rank - 1)))


def quantized_conv(
    b: Builder,
    node: Source,
    x: Operand,
    w: Operand,
    zx: Operand | None,
    zw: Operand | None,
    bias: Operand | None = None,
) -> Operand:
    """Emits an int32 CONV. Padding counts as the zero point, which stands for zero."""
    if len(w.type.shape) < 3:
        raise Outside(f"its weights are {w.type}", "give them as [O, C, kernel …]")
    rank, channels = len(w.type.shape), w.type.shape[0]
    left = centred(b, x, None if zx is None else b.reshape(zx, ()))
    right = centred(b, w, None if zw is None else _per_channel(b, zw, rank, channels))
    return conv(b, node, left, right, bias)


def _conv_integer(b: Builder, node: Source) -> list[Operand]:
    return [
        quantized_conv(b, node, node.input(0), node.input(1), node.optional(2), node.optional(3))
    ]


def _qlinear_conv(b: Builder, node: Source) -> list[Operand]:
    x, sx, zx, w, sw, zw, out, zero = (node.input(at) for at in range(8))
    total = quantized_conv(b, node, x, w, zx, zw, node.optional(8))
    channel = _per_channel(b, sw, len(w.type.shape) - 1, w.type.shape[0])
    return [_requantized(b, total, (b.reshape(sx, ()), channel), b.reshape(out, ()), zero)]


ONNX: dict[str, Lowering] = {
    "QuantizeLinear": quantize,
    "DequantizeLinear": dequantize,
    "DynamicQuantizeLinear": _dynamic,
    "MatMulInteger": _matmul_integer,
    "QLinearMatMul": _qlinear_matmul,
    "ConvInteger": _conv_integer,
    "QLinearConv": _qlinear_conv,
}
