"""Compares fast kernels of several operands, or of integers, with exact references, on random and
on nasty operands. Each reference is written from docs/law alone."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import TypeAlias

import numpy as np

from oracle.exact.ops import PRIMITIVES
from oracle.exact.program import Node, Op, Operand, OperandKind, ValueType
from oracle.tensor import Array, canonical, dtype_of, numpy_dtype
from oracle.types import DType
from scripts.law import integers, powers
from scripts.law.functions import INF, NAN, SIGN
from scripts.law.numbers import INTEGERS, Numbers, bits, wrapped
from scripts.law.sweeps import Report, Tally, equal_bits

MILLION = 1 << 20


@dataclass(frozen=True, slots=True)
class Case:
    """A node's operands, and the output that it must give to the bit. The operands whose places are
    in `known` are given as constants."""

    op: Op
    arrays: Sequence[Array]
    wanted: Array
    attributes: tuple[int, ...] = ()
    known: tuple[int, ...] = ()

    def run(self) -> Array:
        types = [ValueType(dtype_of(array), array.shape) for array in self.arrays]
        operands = tuple(Operand(OperandKind.INPUT, at, type_) for at, type_ in enumerate(types))
        primitive = PRIMITIVES[self.op]
        node = Node(self.op, operands, primitive.infer(types, self.attributes), self.attributes)
        constants = [array if at in self.known else None for at, array in enumerate(self.arrays)]
        with np.errstate(all="ignore"):
            got = np.asarray(primitive.prepare(node, constants)(*self.arrays))
        assert got.shape == node.output.shape == self.wanted.shape, (self.op, got.shape)
        assert got.dtype == numpy_dtype(node.output.dtype), (self.op, got.dtype)
        return got


Cases: TypeAlias = Callable[[Numbers], Iterator[Case]]
"""Yields cases of different shapes and kinds without end."""


@dataclass(frozen=True, slots=True)
class Check:
    """Draws cases until they have `elements` in sum."""

    name: str
    cases: Cases
    method: str
    elements: int = 2 * MILLION

    def run(self, report: Report, part: int = 1) -> Tally:
        """Compares a `part`-th of the elements."""
        tally, began = Tally(self.name, self.method), time.perf_counter()
        elements = self.elements // part
        for case in self.cases(Numbers(np.random.default_rng(sum(self.name.encode())))):
            right = equal_bits(np.ascontiguousarray(case.run()), case.wanted)
            tally.count(right, partial(_example, case))
            report(min(tally.elements, elements), elements)
            if tally.elements >= elements:
                break
        tally.seconds = time.perf_counter() - began
        return tally


def _example(case: Case, place: int) -> str:
    shapes = ", ".join(f"{a.dtype}{list(a.shape)}" for a in case.arrays)
    if all(array.shape == case.wanted.shape for array in case.arrays):
        values = [array.reshape(-1)[place] for array in case.arrays]
        shapes = ", ".join(
            v.tobytes()[::-1].hex() if v.dtype.kind == "f" else str(v) for v in values
        )
    return f"{case.op.name}({shapes}; {case.attributes}) at {place}"


# ---- elementwise


def _broadcast(numbers: Numbers, dtype: DType) -> Iterator[tuple[Array, Array]]:
    """Yields pairs of one shape, then pairs that broadcast."""
    while True:
        for x, y in numbers.pairs(dtype, 1 << 16):
            yield x, y
        x, y = numbers.of(dtype, 3 * 40), numbers.of(dtype, 5 * 40)
        yield x.reshape(3, 1, 40), y.reshape(5, 40)
        yield y[:1].reshape(()), x.reshape(4, 30)


def _flat(x: Array, y: Array) -> tuple[tuple[int, ...], Array, Array]:
    a, b = np.broadcast_arrays(x, y)
    return a.shape, bits(a.ravel()), bits(b.ravel())


FLOAT_RULES: dict[Op, Callable[[Array, Array], Array]] = {
    Op.ADD: lambda x, y: integers.sums(x, y, 0),
    Op.SUB: lambda x, y: integers.sums(x, y, SIGN),
    Op.MUL: integers.products,
    Op.DIV: integers.quotients,
    Op.MOD: integers.remainders,
    Op.MAX: lambda x, y: _chosen(x, y, integers.keys(x) >= integers.keys(y)),
    Op.MIN: lambda x, y: _chosen(x, y, integers.keys(x) <= integers.keys(y)),
    Op.LESS: lambda x, y: (integers.keys(x) < integers.keys(y)) & ~_nan(x, y),
    Op.EQUAL: lambda x, y: (integers.keys(x) == integers.keys(y)) & ~_nan(x, y),
}


def _nan(x: Array, y: Array) -> Array:
    return np.asarray(np.maximum(x & ~SIGN, y & ~SIGN) > INF)


def _chosen(x: Array, y: Array, first: Array) -> Array:
    return np.where(_nan(x, y), NAN, np.where(first, x, y))


def _quotient(x: int, y: int) -> int:
    if y == 0:
        return 0
    return abs(x) // abs(y) if (x < 0) == (y < 0) else -(abs(x) // abs(y))


INTEGER_RULES: dict[Op, Callable[[int, int], int]] = {
    Op.ADD: lambda x, y: x + y,
    Op.SUB: lambda x, y: x - y,
    Op.MUL: lambda x, y: x * y,
    Op.DIV: _quotient,
    Op.MOD: lambda x, y: x - y * _quotient(x, y),
    Op.MAX: lambda x, y: x if x > y else y,
    Op.MIN: lambda x, y: x if x < y else y,
    Op.LESS: lambda x, y: int(x < y),
    Op.EQUAL: lambda x, y: int(x == y),
    Op.AND: lambda x, y: x & y,
    Op.OR: lambda x, y: x | y,
    Op.XOR: lambda x, y: x ^ y,
}
_TRUTHS = (Op.LESS, Op.EQUAL)


def float_pairs(op: Op, numbers: Numbers) -> Iterator[Case]:
    for x, y in _broadcast(numbers, DType.FLOAT):
        shape, a, b = _flat(x, y)
        yield Case(op, [x, y], FLOAT_RULES[op](a, b).reshape(shape))


def integer_pairs(op: Op, dtypes: Sequence[DType], numbers: Numbers) -> Iterator[Case]:
    """Yields cases whose reference is Python's integers, wrapped."""
    rule = INTEGER_RULES[op]
    streams = [_broadcast(numbers, dtype) for dtype in dtypes]
    while True:
        for stream in streams:
            x, y = next(stream)
            target = DType.BOOL if op in _TRUTHS else dtype_of(x)
            a, b = np.broadcast_arrays(x, y)
            out = [rule(int(m), int(n)) for m, n in zip(a.ravel(), b.ravel(), strict=True)]
            yield Case(op, [x, y], wrapped(out, target).reshape(a.shape))


def _signs(op: Op, numbers: Numbers) -> Iterator[Case]:
    while True:
        for dtype in INTEGERS:
            x = numbers.of(dtype, 1 << 16)
            out = [-int(n) if op is Op.NEG else abs(int(n)) for n in x]
            yield Case(op, [x], wrapped(out, dtype))


def _where(numbers: Numbers) -> Iterator[Case]:
    while True:
        for dtype in (DType.FLOAT, *INTEGERS, DType.BOOL):
            c = numbers.of(DType.BOOL, 1 << 15)
            x, y = numbers.of(dtype, c.size), numbers.of(dtype, c.size)
            rows = zip(c.tolist(), bits(x).tolist(), bits(y).tolist(), strict=True)
            yield Case(Op.WHERE, [c, x, y], np.array([a if t else b for t, a, b in rows]))
            c, y = c[:60].reshape(3, 20, 1), y[:20]
            out = [
                bits(x[:1])[0] if c[i, j, 0] else bits(y)[k]
                for i, j, k in product(range(3), range(20), range(20))
            ]
            yield Case(Op.WHERE, [c, x[:1].reshape(()), y], np.array(out).reshape(3, 20, 20))


def _cast(numbers: Numbers) -> Iterator[Case]:
    """Yields casts between integers, bool and float, except those that are swept."""
    while True:
        for source, target in product(
            (*INTEGERS, DType.BOOL), (*INTEGERS, DType.BOOL, DType.FLOAT)
        ):
            x = numbers.of(source, 1 << 14)
            if target is DType.FLOAT:
                wanted = integers.whole_numbers(x.astype(np.int64))
            else:
                wanted = wrapped([int(n) for n in x], target)
            yield Case(Op.CAST, [x], wanted, (int(target),))


def _quantize(numbers: Numbers) -> Iterator[Case]:
    while True:
        for dtype in (DType.INT8, DType.UINT8):
            low, high = int(np.iinfo(numpy_dtype(dtype)).min), int(np.iinfo(numpy_dtype(dtype)).max)
            for x, scale in numbers.quantized(1 << 16):
                zero = numbers.of(dtype, scale.size).reshape(scale.shape)
                parts = np.broadcast_arrays(x, scale, zero)
                a, b, c = (bits(part.ravel()) for part in parts)
                wanted = integers.quantizations(a, b, c, low, high).reshape(parts[0].shape)
                yield Case(Op.QUANTIZE, [x, scale, zero], wanted)


def _pow(numbers: Numbers) -> Iterator[Case]:
    while True:
        for x, y in numbers.powers(1 << 15):
            shape, a, b = _flat(x, y)
            known = (1,) if y.size == 1 else ()
            yield Case(Op.POW, [x, y], powers.power_bits(a, b).reshape(shape), known=known)


# ---- sums


def _dot(numbers: Numbers) -> Iterator[Case]:
    rng = numbers.rng
    while True:
        for k in (1, 2, 3, 16, 64, 257, 1000, 4096):
            m = int(rng.integers(1, 40)) if k < 1000 else 3
            n = min(1 << 14, max(3, (1 << 20) // (k * m)))
            a, b = numbers.rows(m, k), numbers.rows(n, k)
            bias = numbers.of(DType.FLOAT, n)
            whole = np.broadcast_to(bits(bias), (1, m, n))
            wanted = integers.dots(bits(a)[None], bits(b)[None], whole)[0]
            yield Case(Op.DOT, [a, b, bias], wanted, known=(1, 2) if k % 2 else ())
            wanted = integers.dots(bits(a)[None], bits(b)[None], np.zeros((1, m, n), np.int64))[0]
            yield Case(Op.DOT, [a, b], wanted, known=(1,) if k % 2 == 0 else ())
        a = numbers.rows(6 * 50, 33).reshape(2, 3, 50, 33)
        b = numbers.rows(3 * 40, 33).reshape(1, 3, 40, 33)
        bias = numbers.of(DType.FLOAT, 50).reshape(50, 1)
        groups = np.broadcast_to(bits(b), (2, 3, 40, 33)).reshape(6, 40, 33)
        whole = np.broadcast_to(bits(bias), (6, 50, 40))
        wanted = integers.dots(bits(a).reshape(6, 50, 33), groups, whole).reshape(2, 3, 50, 40)
        yield Case(Op.DOT, [a, b, bias], wanted)
        for dtype in (DType.INT32, DType.INT64):
            a, b = (
                numbers.of(dtype, 60 * 20).reshape(60, 20),
                numbers.of(dtype, 800).reshape(40, 20),
            )
            added = numbers.of(dtype, 40)
            exact = a.astype(object) @ b.astype(object).T + added.astype(object)
            wanted = wrapped([int(n) for n in exact.ravel()], dtype).reshape(60, 40)
            yield Case(Op.DOT, [a, b, added], wanted)


def _reduce_sum(numbers: Numbers) -> Iterator[Case]:
    while True:
        for k in (0, 1, 2, 3, 8, 33, 200, 4096):
            x = numbers.rows(min(1 << 15, (1 << 20) // (k + 1)), k)
            yield Case(Op.REDUCE_SUM, [x], integers.row_sums(bits(x), 1))
        for dtype in (DType.INT32, DType.INT64):
            x = numbers.of(dtype, 30 * 1000).reshape(1000, 30)
            out = [sum(map(int, row)) for row in x]
            yield Case(Op.REDUCE_SUM, [x], wrapped(out, dtype))


def _reduce_mean(numbers: Numbers) -> Iterator[Case]:
    while True:
        for k in (1, 2, 3, 7, 49, 200, 1023, 4096):
            x = numbers.rows(min(1 << 15, (1 << 20) // k), k)
            yield Case(Op.REDUCE_MEAN, [x], integers.row_sums(bits(x), k))


def _cum_sum(numbers: Numbers) -> Iterator[Case]:
    while True:
        for k in (1, 2, 10, 77, 500):
            x = numbers.rows((1 << 15) // k, k)
            yield Case(Op.CUM_SUM, [x], integers.running_sums(bits(x)))
        for dtype in (DType.INT32, DType.INT64):
            x = numbers.of(dtype, 100 * 20).reshape(100, 20)
            out = [sum(map(int, row[: at + 1])) for row in x for at in range(20)]
            yield Case(Op.CUM_SUM, [x], wrapped(out, dtype).reshape(100, 20))


# ---- places


def _rows(numbers: Numbers, dtype: DType, k: int) -> tuple[Array, Array]:
    """Gives [n, k] with equal numbers among them, and integers that sort as they do."""
    x = numbers.of(dtype, (1 << 16) // max(k, 1) * k).reshape(-1, k)
    if k > 2:
        x[:, 1] = x[:, -1]
        x[::3] = np.where(numbers.rng.random((len(x[::3]), k)) < 0.5, x[::3, :1], x[::3])
    keys = integers.keys(bits(x)) if dtype is DType.FLOAT else x.astype(np.int64)
    return x, keys


def _extremum(op: Op, numbers: Numbers) -> Iterator[Case]:
    largest = op is Op.REDUCE_MAX
    while True:
        for dtype, k in product((DType.FLOAT, *INTEGERS), (1, 2, 5, 40)):
            x, keys = _rows(numbers, dtype, k)
            at = [max(range(k), key=row.__getitem__) for row in keys.tolist()]
            if not largest:
                at = [min(range(k), key=row.__getitem__) for row in keys.tolist()]
                if dtype is DType.FLOAT:  # NaN, whose key is the largest, wins nevertheless
                    nan = np.isnan(x)
                    at = np.where(nan.any(axis=1), nan.argmax(axis=1), at).tolist()
            yield Case(op, [x], bits(x)[np.arange(len(x)), at])
        for dtype in (DType.FLOAT, *INTEGERS):
            worst = (INF | SIGN if largest else INF) if dtype is DType.FLOAT else None
            if worst is None:
                info = np.iinfo(numpy_dtype(dtype))
                worst = int(info.min if largest else info.max)
            yield Case(op, [np.zeros((3, 0), numpy_dtype(dtype))], np.full(3, worst))


def _arg_max(numbers: Numbers) -> Iterator[Case]:
    while True:
        for dtype, k, last in product((DType.FLOAT, *INTEGERS), (1, 2, 5, 40), (0, 1)):
            x, keys = _rows(numbers, dtype, k)
            places = range(k)[::-1] if last else range(k)  # max takes the first of equals
            out = [max(places, key=row.__getitem__) for row in keys.tolist()]
            yield Case(Op.ARG_MAX, [x], np.array(out), (last,))


def _top_k(numbers: Numbers) -> Iterator[Case]:
    while True:
        for dtype, k in product((DType.FLOAT, *INTEGERS), (1, 3, 17, 60)):
            x, keys = _rows(numbers, dtype, k)
            for count in sorted({0, 1, k // 2, k}):
                rows = [[-key for key in row] for row in keys.tolist()]
                # A sort keeps equals in order.
                out = [sorted(range(k), key=row.__getitem__)[:count] for row in rows]
                yield Case(Op.TOP_K, [x], np.array(out, np.int64).reshape(len(x), count), (count,))


# ---- movement


def _transpose(numbers: Numbers) -> Iterator[Case]:
    rng = numbers.rng
    while True:
        for dtype in (DType.FLOAT, *INTEGERS, DType.BOOL):
            rank = int(rng.integers(1, 7))
            shape = tuple(int(n) for n in rng.integers(1, 13 - rank, rank))
            perm = tuple(int(axis) for axis in rng.permutation(rank))
            if rng.random() < 0.1:  # matrices, of sizes around those of squares
                shape = (2, *(int(n) for n in rng.integers(30, 300, 2)))
                perm = ((0, 2, 1), (2, 1, 0), (1, 0, 2), (2, 0, 1), (1, 2, 0))[int(rng.integers(5))]
                rank = 3
            x = numbers.of(dtype, int(np.prod(shape))).reshape(shape)
            flat, wanted = bits(x), np.empty([shape[axis] for axis in perm], np.int64)
            for place in product(*map(range, wanted.shape)):
                source = [0] * rank
                for axis, at in zip(perm, place, strict=True):
                    source[axis] = at
                wanted[place] = flat[tuple(source)]
            yield Case(Op.TRANSPOSE, [x], wanted, perm)


def _concat(numbers: Numbers) -> Iterator[Case]:
    rng = numbers.rng
    while True:
        for dtype in (DType.FLOAT, *INTEGERS, DType.BOOL):
            outer = int(rng.integers(1, 200))
            widths = rng.integers(0, 40, int(rng.integers(1, 6)))
            arrays = [numbers.of(dtype, outer * int(w)).reshape(outer, -1) for w in widths if w]
            if not arrays:
                continue
            lists = [bits(array).tolist() for array in arrays]
            out = [[n for rows in lists for n in rows[at]] for at in range(outer)]
            yield Case(Op.CONCAT, arrays, np.array(out))


def _index(numbers: Numbers, n: int, count: int) -> tuple[Array, list[int]]:
    """Gives indices, some of them beyond the ends, and the places that they mean."""
    rng = numbers.rng
    dtype = (np.int32, np.int64)[int(rng.integers(2))]
    indices = rng.integers(-n - 2, n + 3, count).astype(dtype)
    if count > 4:
        indices[:4] = [np.iinfo(dtype).min, np.iinfo(dtype).max, -n - 1, n]
    places = []
    for index in indices.tolist():
        place = index + n if index < 0 else index
        places.append(0 if place < 0 else n - 1 if place > n - 1 else place)
    return indices, places


def _gather(numbers: Numbers) -> Iterator[Case]:
    rng = numbers.rng
    while True:
        for dtype in (DType.FLOAT, *INTEGERS, DType.BOOL):
            outer, n, inner = (int(size) for size in rng.integers(1, 12, 3))
            data = numbers.of(dtype, outer * n * inner).reshape(outer, n, inner)
            for known in ((), (1,)):
                indices, places = _index(numbers, n, int(rng.integers(0, 60)))
                if rng.random() < 0.3:
                    step = int(rng.integers(1, 3)) * int(rng.choice([-1, 1]))
                    places = list(range(n))[::step]
                    indices = np.array(places, np.int64)
                rows = bits(data).tolist()
                out = [[row[place] for place in places] for row in rows]
                wanted = np.array(out, np.int64).reshape(outer, len(places), inner)
                yield Case(Op.GATHER, [data, indices], wanted, known=known)


def _scatter(numbers: Numbers) -> Iterator[Case]:
    rng = numbers.rng
    while True:
        for mode, dtype in product(range(4), (DType.FLOAT, *INTEGERS, DType.BOOL)):
            if mode and dtype is DType.BOOL:
                continue
            n, m, inner = (
                int(rng.integers(1, 60)),
                int(rng.integers(0, 200)),
                int(rng.integers(1, 40)),
            )
            kind = numbers.rows if dtype is DType.FLOAT else None
            data, updates = (
                kind(size, inner) if kind else numbers.of(dtype, size * inner).reshape(size, inner)
                for size in (n, m)
            )
            indices, places = _index(numbers, n, m)
            if mode == 1 and dtype is DType.FLOAT:
                wanted = integers.scattered(
                    bits(data), np.array(places, np.int64), bits(updates).reshape(m, inner)
                )
            else:
                wanted = _merged(data, places, updates, mode)
            yield Case(Op.SCATTER, [data, indices, updates], wanted, (mode,))


def _merged(data: Array, places: Sequence[int], updates: Array, mode: int) -> Array:
    met = [[[word] for word in row] for row in bits(data).tolist()]
    for place, row in zip(places, bits(updates).tolist(), strict=True):
        for column, word in enumerate(row):
            met[place][column].append(word)

    def key(word: int) -> int:
        if data.dtype != np.float32:
            return word
        size = word & ~SIGN
        return 1 << 40 if size > INF else -size if word & SIGN else size

    def merged(words: list[int]) -> int:
        if mode == 0:
            return words[-1]
        if mode == 1:
            return sum(words)
        if data.dtype == np.float32 and NAN in words:
            return NAN
        return max(words, key=key) if mode == 2 else min(words, key=key)

    out = [merged(words) for row in met for words in row]
    if data.dtype == np.float32:
        return np.array(out, np.int64).reshape(data.shape)
    return wrapped(out, dtype_of(data)).reshape(data.shape)


# ---- windows


@dataclass(frozen=True, slots=True)
class Axis:
    """The six numbers of docs/law/window.md. `last` is a CONV's spacing or a pool's overhang."""

    size: int
    kernel: int
    stride: int
    dilation: int
    begin: int
    end: int
    last: int

    def spots(self, pool: bool) -> tuple[list[list[int]], list[int]]:
        """Gives for each window the element under each tap (−1 for none), and how many taps lie
        below size + end."""
        spacing, overhang = (1, self.last) if pool else (self.last, 0)
        extent = (self.size - 1) * spacing + 1 + self.begin + self.end + overhang
        count = (extent - (self.kernel - 1) * self.dilation - 1) // self.stride + 1
        windows, counted = [], []
        for i in range(count):
            spots = [i * self.stride - self.begin + k * self.dilation for k in range(self.kernel)]
            elements = {p * spacing: p for p in range(self.size)}
            windows.append([elements.get(spot, -1) for spot in spots])
            counted.append(sum(spot < self.size + self.end for spot in spots))
        return windows, counted


def _axes(numbers: Numbers, pool: bool) -> list[Axis]:
    rng = numbers.rng
    while True:
        rank = int(rng.integers(1, 4))
        axes = []
        for _ in range(rank):
            size, kernel, stride, dilation = (int(n) for n in rng.integers(1, [14, 4, 4, 3]))
            begin, end = (int(n) for n in rng.integers(-1, 3, 2))
            last = int(rng.integers(0, 2)) if pool else int(rng.choice([1, 1, 2, 3]))
            axes.append(Axis(size, kernel, stride, dilation, begin, end, last))
        if all(axis.spots(pool)[0] for axis in axes):
            return axes


def _places(axes: Sequence[Axis], pool: bool) -> tuple[tuple[int, ...], Array, Array]:
    """Gives windows, places [windows, taps] in the image, and counted taps, in C order."""
    along = [axis.spots(pool) for axis in axes]
    rows, counts = [], []
    for windows in product(*(range(len(spots)) for spots, _ in along)):
        row = []
        for taps in product(*(range(axis.kernel) for axis in axes)):
            place = 0
            for axis, (spots, _), window, tap in zip(axes, along, windows, taps, strict=True):
                element = spots[window][tap]
                place = -1 if element < 0 or place < 0 else place * axis.size + element
            row.append(place)
        rows.append(row)
        count = 1
        for (_, counted), window in zip(along, windows, strict=True):
            count *= counted[window]
        counts.append(count)
    return tuple(len(spots) for spots, _ in along), np.array(rows), np.array(counts)


def _attributes(own: int, axes: Sequence[Axis]) -> tuple[int, ...]:
    six = [(a.kernel, a.stride, a.dilation, a.begin, a.end, a.last) for a in axes]
    return (own, *(number for axis in six for number in axis))


def _image(numbers: Numbers, dtype: DType, axes: Sequence[Axis], channels: int) -> Array:
    shape = (int(numbers.rng.integers(1, 4)), *(axis.size for axis in axes), channels)
    size = int(np.prod(shape))
    flat = (
        numbers.rows(size // channels, channels)
        if dtype is DType.FLOAT
        else numbers.of(dtype, size)
    )
    return flat.reshape(shape)


def _conv(numbers: Numbers) -> Iterator[Case]:
    rng = numbers.rng
    while True:
        axes = _axes(numbers, False)
        # Small convolutions, those with groups, those with one channel a group, and wide ones.
        group, channels, each = (
            int(rng.integers(*low_high))
            for low_high in (
                ((1, 2), (1, 6), (1, 20)),
                ((2, 4), (1, 6), (1, 12)),
                ((2, 41), (1, 2), (1, 3)),
                ((1, 2), (16, 80), (16, 65)),
            )[int(rng.integers(4))]
        )
        outputs = group * each
        windows, places, _ = _places(axes, False)
        kernel = tuple(axis.kernel for axis in axes)
        for dtype in (DType.FLOAT, DType.FLOAT, DType.INT32):
            if dtype is DType.INT32 and channels > 5:
                continue  # Python's integers would take long
            x = _image(numbers, dtype, axes, channels * group)
            w = numbers.weights(dtype, outputs, int(np.prod(kernel)) * channels)
            bias = numbers.of(dtype, outputs)
            image = bits(x).reshape(len(x), -1, x.shape[-1])
            flat = bits(w).reshape(outputs, -1, channels)
            if dtype is DType.FLOAT:
                wanted = integers.convolved(image, flat, bits(bias), places, group)
            else:
                wanted = _integer_convolved(image, flat, bits(bias), places, group)
            w = w.reshape(outputs, *kernel, channels)
            wanted = wanted.reshape(len(x), *windows, outputs)
            known = (1,) if rng.random() < 0.5 else ()
            yield Case(Op.CONV, [x, w, bias], wanted, _attributes(group, axes), known)


def _integer_convolved(x: Array, w: Array, bias: Array, places: Array, group: int) -> Array:
    out = np.empty((len(x), len(places), len(w)), object)
    channels = w.shape[2]
    for n, window, o in product(*map(range, out.shape)):
        first = o // (len(w) // group) * channels
        taps = [tap for tap, at in enumerate(places[window]) if at >= 0]
        out[n, window, o] = int(bias[o]) + sum(
            int(a) * int(b)
            for tap in taps
            for a, b in zip(
                x[n, places[window, tap], first : first + channels], w[o, tap], strict=True
            )
        )
    return wrapped(list(out.ravel()), DType.INT32).reshape(out.shape)


def _max_pool(numbers: Numbers) -> Iterator[Case]:
    while True:
        axes, channels = _axes(numbers, True), int(numbers.rng.integers(1, 9))
        windows, places, _ = _places(axes, True)
        for dtype in (DType.FLOAT, *INTEGERS):
            x = _image(numbers, dtype, axes, channels)
            image = bits(x).reshape(len(x), -1, channels)
            worst = INF | SIGN if dtype is DType.FLOAT else int(np.iinfo(x.dtype).min)
            out = np.full((len(x), len(places), channels), worst, np.int64)
            for tap in range(places.shape[1]):
                at = places[:, tap]
                there = image[:, np.maximum(at, 0)]
                better = _keys(there, dtype) > _keys(out, dtype)
                out = np.where((at >= 0)[None, :, None] & better, there, out)
            wanted = out.reshape(len(x), *windows, channels)
            yield Case(Op.MAX_POOL, [x], wanted, _attributes(0, axes))


def _keys(words: Array, dtype: DType) -> Array:
    return integers.keys(np.ascontiguousarray(words)) if dtype is DType.FLOAT else words


def _average_pool(numbers: Numbers) -> Iterator[Case]:
    while True:
        axes, channels = _axes(numbers, True), int(numbers.rng.integers(1, 40))
        windows, places, padded = _places(axes, True)
        for counted in (0, 1):
            x = _image(numbers, DType.FLOAT, axes, channels)
            counts = padded if counted else (places >= 0).sum(axis=1)
            image = bits(x).reshape(len(x), -1, channels)
            wanted = integers.averaged(image, places, np.maximum(counts, 0))
            wanted = wanted.reshape(len(x), *windows, channels)
            yield Case(Op.AVERAGE_POOL, [x], wanted, _attributes(counted, axes))


# ---- trees


def _tree_walk(numbers: Numbers) -> Iterator[Case]:
    rng = numbers.rng
    while True:
        trees, depth, features = int(rng.integers(1, 20)), int(rng.integers(0, 8)), 6
        thresholds = bits(numbers.of(DType.FLOAT, 4096))
        thresholds = np.append(thresholds, [0x80000000, 0xFFC00001]).astype(np.uint32)
        thresholds = thresholds.view(np.int32)
        nodes: list[list[int]] = []
        roots = [_grown(nodes, depth, features, thresholds, rng) for _ in range(trees)]
        table, starts = np.array(nodes, np.int32), np.array(roots, np.int32)
        x = numbers.of(DType.FLOAT, 500 * features).reshape(500, features)
        x[::2, 0] = canonical(rng.choice(thresholds, 250).view(np.float32))
        wanted = integers.walked(bits(x), table.astype(np.int64), starts.astype(np.int64))
        yield Case(Op.TREE_WALK, [x, table, starts], wanted, (depth,), known=(1, 2))


def _grown(
    nodes: list[list[int]], left: int, features: int, thresholds: Array, rng: np.random.Generator
) -> int:
    """Grows a subtree of at most `left` comparisons a walk, and gives its place."""
    at = len(nodes)
    nodes.append([0, 0, at, at, at, int(rng.integers(-100, 100)), 0, 0])
    if left and rng.random() < 0.9:
        below = _grown(nodes, left - 1, features, thresholds, rng)
        above = _grown(nodes, left - 1, features, thresholds, rng)
        missing = int(rng.choice([below, above]))
        feature = int(rng.integers(features))
        nodes[at][:5] = [feature, int(rng.choice(thresholds)), below, above, missing]
    return at


_SUMS = "sums that hold every bit"
_PYTHON = "Python's integers"
_MOVED = "index by index"
_FAST = 16 * MILLION

CHECKS: tuple[Check, ...] = (
    *(Check(op.name, partial(float_pairs, op), _SUMS, _FAST) for op in (Op.ADD, Op.SUB, Op.MUL)),
    *(Check(op.name, partial(float_pairs, op), "integers", _FAST) for op in (Op.DIV, Op.MOD)),
    *(
        Check(op.name, partial(float_pairs, op), "bits in order", _FAST)
        for op in (Op.MAX, Op.MIN, Op.LESS, Op.EQUAL)
    ),
    *(
        Check(f"{op.name} of integers", partial(integer_pairs, op, INTEGERS), _PYTHON)
        for op in (Op.ADD, Op.SUB, Op.MUL, Op.DIV, Op.MOD, Op.MAX, Op.MIN, Op.LESS, Op.EQUAL)
    ),
    *(
        Check(op.name, partial(integer_pairs, op, (*INTEGERS, DType.BOOL)), _PYTHON)
        for op in (Op.AND, Op.OR, Op.XOR)
    ),
    *(Check(f"{op.name} of integers", partial(_signs, op), _PYTHON) for op in (Op.NEG, Op.ABS)),
    Check("CAST of integers", _cast, _PYTHON),
    Check("WHERE", _where, _MOVED),
    Check("QUANTIZE", _quantize, "integers", _FAST),
    Check("POW", _pow, "pairs of float64, exact cases by rationals", 4 * MILLION),
    Check("DOT", _dot, _SUMS, 4 * MILLION),
    Check("REDUCE_SUM", _reduce_sum, _SUMS),
    Check("REDUCE_MEAN", _reduce_mean, _SUMS),
    Check("CUM_SUM", _cum_sum, _SUMS),
    Check("REDUCE_MAX", partial(_extremum, Op.REDUCE_MAX), "bits in order"),
    Check("REDUCE_MIN", partial(_extremum, Op.REDUCE_MIN), "bits in order"),
    Check("ARG_MAX", _arg_max, "Python's max"),
    Check("TOP_K", _top_k, "Python's sort"),
    Check("TRANSPOSE", _transpose, _MOVED, 4 * MILLION),
    Check("CONCAT", _concat, _MOVED),
    Check("GATHER", _gather, _MOVED),
    Check("SCATTER", _scatter, f"{_MOVED}; {_SUMS}"),
    Check("CONV", _conv, f"tap by tap; {_SUMS}", 4 * MILLION),
    Check("MAX_POOL", _max_pool, "tap by tap"),
    Check("AVERAGE_POOL", _average_pool, f"tap by tap; {_SUMS}"),
    Check("TREE_WALK", _tree_walk, "step by step"),
)
