"""The innermost loop of contractions: some rows times some vectors of columns, in registers.

It is written in LLVM's own instructions, because numba has no vectors; LLVM makes it fast on any
processor. A product and a sum may or may not be fused: the callers' error bounds hold either way.
"""

from collections.abc import Callable, Sequence
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba import types
from numba.core.cgutils import get_or_insert_function
from numba.extending import intrinsic
from numba.np.arrayobj import make_array

_IS_WIDE = bool(llvm.get_host_cpu_features().get("avx512f"))
LANES = 8 if _IS_WIDE else 4
"""The numbers in a vector of float64."""
ROWS = 8 if _IS_WIDE else 4
"""The rows of a tile at most: its sums and the vectors that it reads must fit into registers."""
VECTORS = 3

_COUNT, _SINGLE, _DOUBLE = ir.IntType(64), ir.FloatType(), ir.DoubleType()
_SINGLES, _DOUBLES = ir.VectorType(_SINGLE, LANES), ir.VectorType(_DOUBLE, LANES)
_CONTRACT = ("contract",)


def _tile(rows: int, vectors: int) -> Any:
    """Makes tile(a, base, starts, row, pieces, first, past, b, at, c), which writes the sums of
    float64 a times float32 b to c [rows, VECTORS·LANES].

    Row r begins at a[base + starts[row + r]]. Its terms lie in the pieces first … past − 1 of
    pieces [·, 2], which tell where a piece begins in the row and how many terms it has, at least
    one. b begins at `at` and has [terms, vectors·LANES].
    """

    @intrinsic
    def tile(
        _typing: Any, a: Any, base: Any, starts: Any, row: Any, pieces: Any, first: Any, past: Any,
        b: Any, at: Any, c: Any,
    ) -> Any:  # fmt: skip
        signature = types.void(a, base, starts, row, pieces, first, past, b, at, c)

        def generate(context: Any, builder: Any, signature: Any, operands: Any) -> Any:
            def begin(which: int, place: Any) -> Any:
                array = make_array(signature.args[which])(context, builder, operands[which])
                return builder.gep(array.data, [place])

            rows_at = [
                builder.add(
                    operands[1],
                    builder.load(begin(2, builder.add(operands[3], _COUNT(r)))),
                )
                for r in range(rows)
            ]
            pointers = [begin(0, place) for place in rows_at]
            sums = _sums(
                builder,
                pointers,
                begin(4, _COUNT(0)),
                operands[5],
                operands[6],
                begin(7, operands[8]),
                vectors,
            )
            for r in range(rows):
                for v in range(vectors):
                    place = begin(9, _COUNT((r * VECTORS + v) * LANES))
                    builder.store(
                        sums[r][v], builder.bitcast(place, _DOUBLES.as_pointer()), align=8
                    )
            return context.get_dummy_value()

        return signature, generate

    return tile


def _sums(
    builder: Any, rows: Sequence[Any], pieces: Any, first: Any, past: Any, b: Any, vectors: int
) -> list[list[Any]]:
    """Builds two loops, over pieces and over a piece's terms, and gives the sums they carry."""
    entry = builder.block
    piece, term, last, done = _blocks(builder, "piece", "term", "last", "done")
    builder.branch(piece)

    builder.position_at_end(piece)
    n, b_piece = builder.phi(_COUNT), builder.phi(b.type)
    before = [[builder.phi(_DOUBLES) for _ in range(vectors)] for _ in rows]
    entry_at = builder.mul(n, _COUNT(2))
    start = builder.load(builder.gep(pieces, [entry_at]))
    length = builder.load(builder.gep(pieces, [builder.add(entry_at, _COUNT(1))]))
    here = [builder.gep(pointer, [start]) for pointer in rows]
    builder.branch(term)

    builder.position_at_end(term)
    k, b_term = builder.phi(_COUNT), builder.phi(b.type)
    sums = [[builder.phi(_DOUBLES) for _ in range(vectors)] for _ in rows]
    columns = [_columns(builder, b_term, v) for v in range(vectors)]
    after = []
    for pointer, line in zip(here, sums, strict=True):
        element = _spread(builder, builder.load(builder.gep(pointer, [k])))
        after.append(
            [
                builder.fadd(s, builder.fmul(element, c, flags=_CONTRACT), flags=_CONTRACT)
                for s, c in zip(line, columns, strict=True)
            ]
        )
    k_next = builder.add(k, _COUNT(1))
    b_next = builder.gep(b_term, [_COUNT(vectors * LANES)])
    builder.cbranch(builder.icmp_signed("<", k_next, length), term, last)

    builder.position_at_end(last)
    n_next = builder.add(n, _COUNT(1))
    builder.cbranch(builder.icmp_signed("<", n_next, past), piece, done)

    _joins(k, (_COUNT(0), piece), (k_next, term))
    _joins(b_term, (b_piece, piece), (b_next, term))
    _joins(n, (first, entry), (n_next, last))
    _joins(b_piece, (b, entry), (b_next, last))
    for before_row, row, after_row in zip(before, sums, after, strict=True):
        for outer, inner, value in zip(before_row, row, after_row, strict=True):
            _joins(inner, (outer, piece), (value, term))
            _joins(outer, (ir.Constant(_DOUBLES, None), entry), (value, last))

    builder.position_at_end(done)
    return after


def _joins(phi: Any, *incoming: tuple[Any, Any]) -> None:
    for value, block in incoming:
        phi.add_incoming(value, block)


def _columns(builder: Any, b: Any, v: int) -> Any:
    pointer = builder.bitcast(builder.gep(b, [_COUNT(v * LANES)]), _SINGLES.as_pointer())
    return builder.fpext(builder.load(pointer, align=4), _DOUBLES)


def _spread(builder: Any, element: Any, kind: Any = _DOUBLES) -> Any:
    nothing = ir.Constant(kind, ir.Undefined)
    one = builder.insert_element(nothing, element, ir.IntType(32)(0))
    return builder.shuffle_vector(
        one, nothing, ir.Constant(ir.VectorType(ir.IntType(32), LANES), None)
    )


TILES: dict[tuple[int, int], Callable[..., None]] = {
    (rows, vectors): _tile(rows, vectors)
    for rows in (1, ROWS // 2, ROWS)
    for vectors in range(1, VECTORS + 1)
}


def _filter(rows: int, vectors: int) -> Any:
    """Makes filter(sums, row, added, sizes, norms, norm, norm_step, lengths, length, length_step,
    out, at, step, width), which rounds both ends of the interval around each sum.

    For `rows` rows of a tile from `row` on it writes the upper ends of the first `width` columns as
    float32 to out[at + step·r …], and gives which lower ends round to another number: for one row
    as bits, one a column, for more rows as a number that is 0 where all are alike.

    The ends are sum + added ± (norm·length + size), of norms[norm + norm_step·r …] and
    lengths[length + length_step·r]. Where size ≥ FLOOR + 16·UNIT·|added|, nothing decided is −0:
    the ends are then more than 2^−150 apart, so that if the upper one is below zero, the lower one
    does not round to zero.
    """

    @intrinsic
    def filter_(
        _typing: Any, sums: Any, row: Any, added: Any, sizes: Any, norms: Any, norm: Any,
        norm_step: Any, lengths: Any, length: Any, length_step: Any, out: Any, at: Any, step: Any,
        width: Any,
    ) -> Any:  # fmt: skip
        signature = types.int64(
            sums, row, added, sizes, norms, norm, norm_step, lengths, length, length_step, out, at,
            step, width,
        )  # fmt: skip

        def generate(context: Any, builder: Any, signature: Any, operands: Any) -> Any:
            def begin(which: int, place: Any) -> Any:
                array = make_array(signature.args[which])(context, builder, operands[which])
                return builder.gep(array.data, [place])

            def doubles(which: int, place: Any) -> Any:
                pointer = builder.bitcast(begin(which, place), _DOUBLES.as_pointer())
                return builder.load(pointer, align=8)

            def moved(start: int, step: int, r: int) -> Any:
                return builder.add(operands[start], builder.mul(operands[step], _COUNT(r)))

            masks = [_mask(builder, operands[13], v) for v in range(vectors)]
            bits = ir.IntType(LANES)
            found: Any = _COUNT(0)
            for r in range(rows):
                line = builder.mul(builder.add(operands[1], _COUNT(r)), _COUNT(VECTORS * LANES))
                length = _spread(builder, builder.load(begin(7, moved(8, 9, r))))
                for v, mask in enumerate(masks):
                    here = _COUNT(v * LANES)
                    s = builder.fadd(doubles(0, builder.add(line, here)), doubles(2, here))
                    norm = doubles(4, builder.add(moved(5, 6, r), here))
                    error = builder.fadd(builder.fmul(norm, length), doubles(3, here))
                    high = builder.fptrunc(builder.fadd(s, error), _SINGLES)
                    low = builder.fptrunc(builder.fsub(s, error), _SINGLES)
                    _store_some(builder, high, begin(10, builder.add(moved(11, 12, r), here)), mask)
                    differ = builder.and_(builder.fcmp_unordered("!=", low, high), mask)
                    number = builder.zext(builder.bitcast(differ, bits), _COUNT)
                    found = builder.or_(found, builder.shl(number, here) if rows == 1 else number)
            return found

        return signature, generate

    return filter_


def _mask(builder: Any, width: Any, v: int) -> Any:
    """Gives the lanes of vector v whose columns are below `width`."""
    counts = ir.VectorType(_COUNT, LANES)
    lanes = ir.Constant(counts, [v * LANES + lane for lane in range(LANES)])
    return builder.icmp_signed("<", lanes, _spread(builder, width, counts))


def _store_some(builder: Any, value: Any, pointer: Any, mask: Any) -> None:
    pointer = builder.bitcast(pointer, _SINGLES.as_pointer())
    name = f"llvm.masked.store.v{LANES}f32.p0"
    kinds = [value.type, pointer.type, ir.IntType(32), mask.type]
    kind = ir.FunctionType(ir.VoidType(), kinds)
    store = get_or_insert_function(builder.module, kind, name)
    builder.call(store, [value, pointer, ir.IntType(32)(4), mask])


FILTERS: dict[tuple[int, int], Callable[..., int]] = {
    (rows, vectors): _filter(rows, vectors)
    for rows in (1, ROWS // 2, ROWS)
    for vectors in range(1, VECTORS + 1)
}


@intrinsic
def _square(_typing: Any, a: Any, at: Any, pieces: Any) -> Any:
    """Gives square(a, at, pieces), the sum of the squares of a window's elements, in any order."""
    signature = types.float64(a, at, pieces)

    def generate(context: Any, builder: Any, signature: Any, operands: Any) -> Any:
        array, pieces = (
            make_array(signature.args[which])(context, builder, operands[which]) for which in (0, 2)
        )
        window = builder.gep(array.data, [operands[1]])
        count = builder.extract_value(pieces.shape, 0)
        entry = builder.block
        piece, term, last, done = _blocks(builder, "piece", "term", "last", "done")
        builder.cbranch(builder.icmp_signed("<", _COUNT(0), count), piece, done)

        builder.position_at_end(piece)
        n, before = builder.phi(_COUNT), builder.phi(_DOUBLES)
        entry_at = builder.mul(n, _COUNT(2))
        start = builder.load(builder.gep(pieces.data, [entry_at]))
        length = builder.load(builder.gep(pieces.data, [builder.add(entry_at, _COUNT(1))]))
        here = builder.gep(window, [start])
        builder.branch(term)

        builder.position_at_end(term)
        k, total = builder.phi(_COUNT), builder.phi(_DOUBLES)
        some = _load_some(builder, builder.gep(here, [k]), builder.sub(length, k))
        squares = builder.fmul(some, some, flags=_CONTRACT)
        after = builder.fadd(total, squares, flags=_CONTRACT)
        k_next = builder.add(k, _COUNT(LANES))
        builder.cbranch(builder.icmp_signed("<", k_next, length), term, last)

        builder.position_at_end(last)
        n_next = builder.add(n, _COUNT(1))
        builder.cbranch(builder.icmp_signed("<", n_next, count), piece, done)

        zero = ir.Constant(_DOUBLES, None)
        _joins(k, (_COUNT(0), piece), (k_next, term))
        _joins(n, (_COUNT(0), entry), (n_next, last))
        _joins(total, (before, piece), (after, term))
        _joins(before, (zero, entry), (after, last))
        builder.position_at_end(done)
        all_ = builder.phi(_DOUBLES)
        _joins(all_, (zero, entry), (after, last))
        name = f"llvm.vector.reduce.fadd.v{LANES}f64"
        kind = ir.FunctionType(_DOUBLE, [_DOUBLE, _DOUBLES])
        reduce = get_or_insert_function(builder.module, kind, name)
        return builder.call(reduce, [_DOUBLE(0.0), all_], fastmath=("reassoc",))

    return signature, generate


SQUARE: Callable[..., float] = _square


@intrinsic
def _compensated(
    _typing: Any, a: Any, at: Any, pieces: Any, b: Any, b_at: Any, width: Any, found: Any
) -> Any:
    """Makes compensated(a, at, pieces, b, b_at, width, found), which multiplies one window by one
    vector of columns. To `found` [3, LANES] it adds the sums, the sums of their errors, and the
    sums of the absolute errors of these: the first two together are exact within the third. Each
    step is a TwoSum (as in `rounding`), of products that are exact."""
    signature = types.void(a, at, pieces, b, b_at, width, found)

    def generate(context: Any, builder: Any, signature: Any, operands: Any) -> Any:
        a, pieces, b, found = (
            make_array(signature.args[which])(context, builder, operands[which])
            for which in (0, 2, 3, 6)
        )
        window = builder.gep(a.data, [operands[1]])
        columns = builder.gep(b.data, [operands[4]])
        count = builder.extract_value(pieces.shape, 0)
        places = [
            builder.bitcast(builder.gep(found.data, [_COUNT(n * LANES)]), _DOUBLES.as_pointer())
            for n in range(3)
        ]
        given = [builder.load(place, align=8) for place in places]
        entry = builder.block
        piece, term, last, done = _blocks(builder, "piece", "term", "last", "done")
        builder.cbranch(builder.icmp_signed("<", _COUNT(0), count), piece, done)

        builder.position_at_end(piece)
        n, first = builder.phi(_COUNT), builder.phi(_COUNT)
        before = [builder.phi(_DOUBLES) for _ in range(3)]
        entry_at = builder.mul(n, _COUNT(2))
        start = builder.load(builder.gep(pieces.data, [entry_at]))
        length = builder.load(builder.gep(pieces.data, [builder.add(entry_at, _COUNT(1))]))
        here = builder.gep(window, [start])
        builder.branch(term)

        builder.position_at_end(term)
        k = builder.phi(_COUNT)
        parts = [builder.phi(_DOUBLES) for _ in range(3)]
        element = _spread(builder, builder.load(builder.gep(here, [k])))
        place = builder.mul(builder.add(first, k), operands[5])
        product = builder.fmul(element, _columns(builder, builder.gep(columns, [place]), 0))
        total, error = _two_sum(builder, parts[0], product)
        errors, missed = _two_sum(builder, parts[1], error)
        after = [total, errors, builder.fadd(parts[2], _size(builder, missed))]
        k_next = builder.add(k, _COUNT(1))
        builder.cbranch(builder.icmp_signed("<", k_next, length), term, last)

        builder.position_at_end(last)
        n_next = builder.add(n, _COUNT(1))
        first_next = builder.add(first, length)
        builder.cbranch(builder.icmp_signed("<", n_next, count), piece, done)

        _joins(k, (_COUNT(0), piece), (k_next, term))
        _joins(n, (_COUNT(0), entry), (n_next, last))
        _joins(first, (_COUNT(0), entry), (first_next, last))
        builder.position_at_end(done)
        ends = [builder.phi(_DOUBLES) for _ in range(3)]
        for zeroth, outer, inner, value, end in zip(given, before, parts, after, ends, strict=True):
            _joins(inner, (outer, piece), (value, term))
            _joins(outer, (zeroth, entry), (value, last))
            _joins(end, (zeroth, entry), (value, last))
        for end, place in zip(ends, places, strict=True):
            builder.store(end, place, align=8)
        return context.get_dummy_value()

    return signature, generate


COMPENSATED: Callable[..., None] = _compensated


def _two_sum(builder: Any, a: Any, b: Any) -> tuple[Any, Any]:
    s = builder.fadd(a, b)
    t = builder.fsub(s, a)
    return s, builder.fadd(builder.fsub(a, builder.fsub(s, t)), builder.fsub(b, t))


def _size(builder: Any, vector: Any) -> Any:
    kind = ir.FunctionType(_DOUBLES, [_DOUBLES])
    size = get_or_insert_function(builder.module, kind, f"llvm.fabs.v{LANES}f64")
    return builder.call(size, [vector])


def _load_some(builder: Any, pointer: Any, count: Any) -> Any:
    """Loads the first `count` lanes, and zeros into the others."""
    pointer = builder.bitcast(pointer, _DOUBLES.as_pointer())
    mask = _mask(builder, count, 0)
    name = f"llvm.masked.load.v{LANES}f64.p0"
    kind = ir.FunctionType(_DOUBLES, [pointer.type, ir.IntType(32), mask.type, _DOUBLES])
    load = get_or_insert_function(builder.module, kind, name)
    return builder.call(load, [pointer, ir.IntType(32)(8), mask, ir.Constant(_DOUBLES, None)])


def _blocks(builder: Any, *names: str) -> list[Any]:
    return [builder.function.append_basic_block(f"tile.{name}") for name in names]


def _channelwise(rows: int) -> Any:
    """Makes channelwise(a, base, starts, row, taps, w, at, sums, sizes), which multiplies a vector
    of channels of each row by weights of their own. It writes Σ a·w to sums [rows, VECTORS·LANES],
    and Σ |a·w| to sizes [rows, LANES]. Row r begins at a[base + starts[row + r]], its tap n at
    taps[n, 0] from there, and the tap's weights at w[at + n·LANES]; there is at least one tap."""

    @intrinsic
    def channelwise(
        _typing: Any, a: Any, base: Any, starts: Any, row: Any, taps: Any, w: Any, at: Any,
        sums: Any, sizes: Any,
    ) -> Any:  # fmt: skip
        signature = types.void(a, base, starts, row, taps, w, at, sums, sizes)

        def generate(context: Any, builder: Any, signature: Any, operands: Any) -> Any:
            def array(which: int) -> Any:
                return make_array(signature.args[which])(context, builder, operands[which])

            def begin(which: int, place: Any) -> Any:
                return builder.gep(array(which).data, [place])

            def fused(x: Any, y: Any, s: Any) -> Any:
                return builder.fadd(s, builder.fmul(x, y, flags=_CONTRACT), flags=_CONTRACT)

            pointers = []
            for r in range(rows):
                start = builder.load(begin(2, builder.add(operands[3], _COUNT(r))))
                pointers.append(begin(0, builder.add(operands[1], start)))
            taps, w = begin(4, _COUNT(0)), begin(5, operands[6])
            count = builder.extract_value(array(4).shape, 0)
            entry = builder.block
            tap, done = _blocks(builder, "tap", "done")
            builder.branch(tap)
            builder.position_at_end(tap)
            n = builder.phi(_COUNT)
            before = [(builder.phi(_DOUBLES), builder.phi(_DOUBLES)) for _ in range(rows)]
            offset = builder.load(builder.gep(taps, [builder.mul(n, _COUNT(2))]))
            weight = _columns(builder, builder.gep(w, [builder.mul(n, _COUNT(LANES))]), 0)
            after = []
            for pointer, (s, z) in zip(pointers, before, strict=True):
                place = builder.bitcast(builder.gep(pointer, [offset]), _DOUBLES.as_pointer())
                x = builder.load(place, align=8)
                after.append(
                    (fused(x, weight, s), fused(_size(builder, x), _size(builder, weight), z))
                )
            n_next = builder.add(n, _COUNT(1))
            builder.cbranch(builder.icmp_signed("<", n_next, count), tap, done)
            _joins(n, (_COUNT(0), entry), (n_next, tap))
            for pair, values in zip(before, after, strict=True):
                for phi, value in zip(pair, values, strict=True):
                    _joins(phi, (ir.Constant(_DOUBLES, None), entry), (value, tap))
            builder.position_at_end(done)
            for r, (s, z) in enumerate(after):
                for which, value, width in ((7, s, VECTORS * LANES), (8, z, LANES)):
                    place = builder.bitcast(begin(which, _COUNT(r * width)), _DOUBLES.as_pointer())
                    builder.store(value, place, align=8)
            return context.get_dummy_value()

        return signature, generate

    return channelwise


CHANNELWISE_ROWS = ROWS // 2
CHANNELWISE: Callable[..., None] = _channelwise(CHANNELWISE_ROWS)
