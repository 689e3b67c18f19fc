"""Attention as ONNX and onnxruntime's optimizer write it, and rotation of queries and keys."""

from dataclasses import dataclass
from math import sqrt

import numpy as np

from oracle.exact.lowering.builder import FLOATS, Builder
from oracle.exact.lowering.elementwise import cast
from oracle.exact.lowering.indexing import joined, pad, taken
from oracle.exact.lowering.linear import multiplied
from oracle.exact.lowering.logic import inverted
from oracle.exact.lowering.movement import gather
from oracle.exact.lowering.qlinear import scaled
from oracle.exact.lowering.quantized import product
from oracle.exact.lowering.reduce import reduced
from oracle.exact.lowering.source import Lowering, Source
from oracle.exact.lowering.transcendental import softmax
from oracle.exact.primitive import Outside
from oracle.exact.program import Op, Operand
from oracle.types import DType

_NONE = float("-inf")


@dataclass(frozen=True, slots=True)
class _Stages:
    """The result Y [N, H, S, Dv], and what it was computed from, [N, H, S, T] each."""

    y: Operand
    products: Operand
    capped: Operand
    biased: Operand
    weights: Operand


def _attended(
    b: Builder,
    q: Operand,
    k: Operand,
    v: Operand,
    scale: float,
    bias: Operand | None,
    softcap: float = 0.0,
) -> _Stages:
    """Emits softmax(scale · q·kᵀ + bias) · v for [N, H, length, size]. A row whose biases are all
    −∞ gives zeros. Where queries have more heads, neighbouring ones share a head of keys and
    values."""
    k, v = (_shared(b, each, q.type.shape[1]) for each in (k, v))
    if q.type.shape[:2] != k.type.shape[:2] or k.type.shape[2] != v.type.shape[2]:
        raise Outside(f"it attends with {q.type} to {k.type} and {v.type}", "fix their shapes")
    products = b.emit(Op.MUL, (b.emit(Op.DOT, (q, k)), b.scalar(scale)))
    capped = products
    if softcap > 0:
        bent = b.emit(Op.TANH, (b.emit(Op.DIV, (products, b.scalar(softcap))),))
        capped = b.emit(Op.MUL, (bent, b.scalar(softcap)))
    biased = capped if bias is None else b.emit(Op.ADD, (capped, bias))
    shape = biased.type.shape
    if shape != products.type.shape:
        raise Outside(f"a mask {bias} for {products.type}", "fix its shape")
    rows = b.reshape(biased, (biased.type.elements // shape[-1], shape[-1]))
    weights = b.reshape(softmax(b, rows), shape)
    if bias is not None:
        weights = _where_any(b, bias, weights)
    y = b.emit(Op.DOT, (weights, b.transpose(v, (0, 1, 3, 2))))
    return _Stages(y, products, capped, biased, weights)


def _where_any(b: Builder, bias: Operand, weights: Operand) -> Operand:
    """Emits the weights, but 0 in a row whose biases are all −∞. Emits nothing where it is known
    that there is no such row."""
    axis = len(bias.type.shape) - 1
    none = b.emit(Op.EQUAL, (reduced(b, Op.REDUCE_MAX, bias, [axis], True), b.scalar(_NONE)))
    known = b.known(none)
    if known is not None and not known.any():
        return weights
    return b.emit(Op.WHERE, (none, b.scalar(0), weights))


def _shared(b: Builder, x: Operand, heads: int) -> Operand:
    have = x.type.shape[1]
    if have < 1 or heads % have:
        raise Outside(f"{heads} heads of queries for {have} of keys", "fix the numbers of heads")
    return taken(b, x, [head // (heads // have) for head in range(heads)], 1)


def _heads(b: Builder, x: Operand, count: int) -> Operand:
    """Reads [N, length, count · size] as [N, count, length, size]. What has four axes stays."""
    if len(x.type.shape) == 4:
        return x
    if len(x.type.shape) != 3 or count < 1 or x.type.shape[2] % count:
        raise Outside(f"{x.type} does not make {count} heads", "fix the number of heads")
    n, length, width = x.type.shape
    return b.transpose(b.reshape(x, (n, length, count, width // count)), (0, 2, 1, 3))


def _together(b: Builder, x: Operand) -> Operand:
    """Reads [N, H, length, size] as [N, length, H · size]."""
    n, heads, length, size = x.type.shape
    return b.reshape(b.transpose(x, (0, 2, 1, 3)), (n, length, heads * size))


def _allowed(b: Builder, mask: Operand, otherwise: float = _NONE) -> Operand:
    """Emits a mask of bools as a bias: 0 where it is true, `otherwise` where it is false."""
    return b.emit(Op.WHERE, (mask, b.scalar(0), b.scalar(otherwise)))


def _both(b: Builder, one: Operand | None, other: Operand | None) -> Operand | None:
    if one is None or other is None:
        return other if one is None else one
    return b.emit(Op.ADD, (one, other))


def _window(
    b: Builder, queries: int, keys: int, offset: Operand, left: int, right: int
) -> Operand | None:
    """Emits the bias by which query i, standing at i + offset, attends to keys at most `left`
    places before it and `right` behind it. −1 is no bound; two give None."""
    at = b.emit(Op.ADD, (b.constant(np.arange(queries).reshape(queries, 1)), offset))
    key = b.constant(np.arange(keys))
    bias = None
    if right >= 0:
        end = b.emit(Op.ADD, (at, b.scalar(right + 1, DType.INT64)))
        bias = _allowed(b, b.emit(Op.LESS, (key, end)))
    if left >= 0:
        start = b.emit(Op.SUB, (at, b.scalar(left, DType.INT64)))
        bias = _both(b, bias, _allowed(b, inverted(b, b.emit(Op.LESS, (key, start)))))
    return bias


def _attention(b: Builder, node: Source) -> list[Operand]:
    q, k, v = (node.input(at) for at in range(3))
    flat = len(q.type.shape) == 3
    many, few = node.integer("q_num_heads", 0), node.integer("kv_num_heads", 0)
    q, k, v = _heads(b, q, many), _heads(b, k, few), _heads(b, v, few)
    if node.integer("softmax_precision", 1) not in (DType.FLOAT, *FLOATS):
        raise Outside("its softmax is in another precision", "use float32")
    past = node.optional(4)
    before = 0 if past is None else past.type.shape[2]
    if past is not None:
        k, v = joined(b, [past, k], 2), joined(b, [node.input(5), v], 2)
    valid = node.optional(6)
    offset = b.scalar(before, DType.INT64)
    queries, keys = q.type.shape[2], k.type.shape[2]
    if valid is not None:
        count = b.reshape(cast(b, valid, DType.INT64), (q.type.shape[0], 1, 1, 1))
        offset = b.emit(Op.SUB, (count, b.scalar(queries, DType.INT64)))
    left, right = node.integer("left_window_size", -1), node.integer("right_window_size", -1)
    if node.integer("is_causal", 0):
        right = min(right, 0) if right >= 0 else 0
    bias = _both(
        b, _mask(b, node.optional(3), keys), _window(b, queries, keys, offset, left, right)
    )
    if valid is not None:
        here = b.emit(Op.LESS, (b.constant(np.arange(keys)), count))
        bias = _both(b, bias, _allowed(b, here))
    scale = node.real("scale", 1 / sqrt(q.type.shape[3]))
    stages = _attended(b, q, k, v, scale, bias, node.real("softcap", 0.0))
    y = _together(b, stages.y) if flat else stages.y
    mode = node.integer("qk_matmul_output_mode", 0)
    if not 0 <= mode < 4:
        raise Outside(f"qk_matmul_output_mode {mode}", "use 0 to 3")
    steps = (stages.products, stages.capped, stages.biased, stages.weights)
    return [y, k, v, steps[mode]]


def _mask(b: Builder, mask: Operand | None, keys: int) -> Operand | None:
    """Emits a mask as a bias. Keys beyond the mask's end are not attended to."""
    if mask is None:
        return None
    bias = _allowed(b, mask) if mask.type.dtype is DType.BOOL else mask
    axis = len(bias.type.shape) - 1
    missing = keys - bias.type.shape[axis] if axis >= 0 else 0
    if missing <= 0:
        return bias
    return pad(b, bias, axis, 0, missing, "constant", b.scalar(_NONE))


# com.microsoft


def _multi_head(b: Builder, node: Source) -> list[Operand]:
    q, k, v = node.input(0), node.optional(1), node.optional(2)
    if k is None or v is None:
        raise Outside("its queries, keys and values are packed", "give them apart")
    heads = node.integer("num_heads")
    if (bias := node.optional(3)) is not None:
        widths = [each.type.shape[-1] for each in (q, k, v)]
        parts = _columns(b, bias, widths)
        q, k, v = (
            b.emit(Op.ADD, (each, part)) if len(each.type.shape) == 3 else each
            for each, part in zip((q, k, v), parts, strict=True)
        )
    q, k, v = (_heads(b, each, heads) for each in (q, k, v))
    if (past := node.optional(6)) is not None:
        k, v = joined(b, [past, k], 2), joined(b, [node.input(7), v], 2)
    if any(node.optional(at) is not None for at in (8, 9)):
        raise Outside("it shares a buffer of past keys", "export without")
    stages = _of_microsoft(b, node, q, k, v, node.optional(4), node.optional(5))
    return [_together(b, stages.y), k, v, stages.products]


def _of_microsoft(
    b: Builder,
    node: Source,
    q: Operand,
    k: Operand,
    v: Operand,
    mask: Operand | None,
    bias: Operand | None,
) -> _Stages:
    """Emits attention with the biases that com.microsoft's kinds of attention have in common."""
    queries, keys = q.type.shape[2], k.type.shape[2]
    filled = node.real("mask_filter_value", -10000.0)
    if mask is not None:
        bias = _both(b, bias, _padding(b, mask, q.type.shape[0], keys, filled))
    if node.integer("unidirectional", 0):
        offset = b.scalar(keys - queries, DType.INT64)
        bias = _both(b, bias, _window(b, queries, keys, offset, -1, 0))
    scale = node.real("scale", 0.0) or 1 / sqrt(q.type.shape[3])
    return _attended(b, q, k, v, scale, bias)


def _padding(b: Builder, mask: Operand, batch: int, keys: int, filled: float) -> Operand:
    """Emits a bias from lengths [N], or from a mask [N, T] or [N, S, T], not zero where a key
    counts."""
    if mask.type.shape == (batch,):
        length = b.reshape(cast(b, mask, DType.INT64), (batch, 1, 1, 1))
        here = b.emit(Op.LESS, (b.constant(np.arange(keys)), length))
        return _allowed(b, here, filled)
    shape = mask.type.shape
    if len(shape) not in (2, 3) or (shape[0], shape[-1]) != (batch, keys):
        raise Outside(f"a mask {mask.type}", f"give [{batch}, {keys}]")
    here = cast(
        b, b.reshape(mask, (batch, 1, *(shape[1:] if len(shape) == 3 else (1, keys)))), DType.BOOL
    )
    return _allowed(b, here, filled)


def _packed(b: Builder, node: Source) -> list[Operand]:
    """Emits attention whose queries, keys and values are one product of the input."""
    packed, bias = multiplied(b, node.input(0), node.input(1)), node.optional(2)
    if bias is not None:
        packed = b.emit(Op.ADD, (packed, bias))
    if node.optional(4) is not None or node.optional(6) is not None:
        raise Outside("it has a past", "export without")
    return _of_packed(b, node, packed, node.optional(3), node.optional(5))


def _quantized(b: Builder, node: Source) -> list[Operand]:
    """Emits attention whose queries, keys and values are one product of a quantized input."""
    if node.optional(8) is not None:
        raise Outside("it has a past", "export without")
    total = product(b, node.input(0), node.input(1), node.optional(6), node.optional(7))
    packed = scaled(b, total, node.input(3), node.input(4), node.input(2))
    return _of_packed(b, node, packed, node.optional(5), None)


def _of_packed(
    b: Builder, node: Source, packed: Operand, mask: Operand | None, bias: Operand | None
) -> list[Operand]:
    if node.integer("do_rotary", 0):
        raise Outside("it rotates", "export without")
    node.integer("past_present_share_buffer", 0)
    node.integer("rotary_embedding_dim", 0)
    heads, width = node.integer("num_heads"), packed.type.shape[-1]
    widths = node.integers("qkv_hidden_sizes", (width // 3,) * 3)
    q, k, v = (_heads(b, part, heads) for part in _columns(b, packed, widths))
    stages = _of_microsoft(b, node, q, k, v, mask, bias)
    pair = [b.reshape(each, (1, *each.type.shape)) for each in (k, v)]
    present = [joined(b, pair, 0)] if k.type == v.type and node.outputs > 1 else []
    return [_together(b, stages.y), *present]


def _columns(b: Builder, x: Operand, widths: "list[int] | tuple[int, ...]") -> list[Operand]:
    axis = len(x.type.shape) - 1
    if axis < 0 or sum(widths) != x.type.shape[axis]:
        raise Outside(f"{x.type} is not {tuple(widths)} columns", "fix the file")
    ends = np.cumsum(widths).tolist()
    return [taken(b, x, range(e - w, e), axis) for w, e in zip(widths, ends, strict=True)]


# Rotation


def _rotated(
    b: Builder, x: Operand, cos: Operand, sin: Operand, size: int, interleaved: bool
) -> Operand:
    """Turns x [N, length, heads, ·], whose first `size` places are pairs, by angles whose cosines
    and sines are [N, length, size / 2]."""
    half = size // 2
    angles = (*cos.type.shape[:2], 1, half)
    if cos.type.shape[-1] != half or sin.type != cos.type:
        raise Outside(f"cosines {cos.type} for {size} places", "fix the caches")
    cos, sin = b.reshape(cos, angles), b.reshape(sin, angles)
    first = range(0, size, 2) if interleaved else range(half)
    second = range(1, size, 2) if interleaved else range(half, size)
    one, two = taken(b, x, first, 3), taken(b, x, second, 3)
    real = b.emit(Op.SUB, (b.emit(Op.MUL, (cos, one)), b.emit(Op.MUL, (sin, two))))
    other = b.emit(Op.ADD, (b.emit(Op.MUL, (sin, one)), b.emit(Op.MUL, (cos, two))))
    turned = joined(b, [real, other], 3)
    if interleaved:
        turned = taken(b, turned, [at // 2 + half * (at % 2) for at in range(size)], 3)
    rest = taken(b, x, range(size, x.type.shape[3]), 3)
    return joined(b, [turned, rest], 3) if rest.type.elements else turned


def _turned(
    b: Builder, node: Source, x: Operand, cos: Operand, sin: Operand, ids: Operand | None
) -> list[Operand]:
    """Emits the rotation of x. `ids` says which rows of cosines and sines each place takes; without
    it there is a row for each place."""
    rank, heads = len(x.type.shape), node.integer("num_heads", 0)
    size = node.integer("rotary_embedding_dim", 0)
    interleaved = bool(node.integer("interleaved", 0))
    if rank == 4:
        wide = b.transpose(x, (0, 2, 1, 3))
    elif rank == 3:
        width = x.type.shape[2]
        heads = heads or width // max(1, 2 * cos.type.shape[-1])
        if heads < 1 or width % heads:
            raise Outside(f"{x.type} does not make {heads} heads", "fix num_heads")
        wide = b.reshape(x, (*x.type.shape[:2], heads, width // heads))
    else:
        raise Outside(f"it turns {x.type}", "give it three axes or four")
    if ids is not None:
        cos, sin = gather(b, cos, ids, 0), gather(b, sin, ids, 0)
    out = _rotated(b, wide, cos, sin, size or wide.type.shape[3], interleaved)
    return [b.transpose(out, (0, 2, 1, 3)) if rank == 4 else b.reshape(out, x.type.shape)]


def _rotary(b: Builder, node: Source) -> list[Operand]:
    return _turned(b, node, node.input(0), node.input(1), node.input(2), node.optional(3))


def _rotary_of_microsoft(b: Builder, node: Source) -> list[Operand]:
    """Emits com.microsoft's rotation. Its ids come second, and a single number there is the row of
    the first place, after which rows follow each other."""
    x, ids, cos, sin = node.exactly(4)
    if node.integer("is_packed_batching", 0) or node.real("scale", 1.0) != 1:
        raise Outside("its batches are packed, or its places scaled", "export without")
    if len(ids.type.shape) < 2:
        length = x.type.shape[2 if len(x.type.shape) == 4 else 1]
        places = b.constant(np.arange(length).reshape(1, length))
        ids = b.emit(Op.ADD, (places, b.reshape(ids, (1, 1))))
    return _turned(b, node, x, cos, sin, ids)


ONNX: dict[str, Lowering] = {"Attention": _attention, "RotaryEmbedding": _rotary}
MICROSOFT: dict[str, Lowering] = {
    "Attention": _packed,
    "QAttention": _quantized,
    "MultiHeadAttention": _multi_head,
    "RotaryEmbedding": _rotary_of_microsoft,
}
