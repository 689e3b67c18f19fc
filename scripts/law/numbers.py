"""Makes operands to try: random bits, ordinary numbers, ties, sums that cancel, subnormals, NaN."""

from collections.abc import Iterator, Sequence

import numpy as np

from oracle.tensor import Array, canonical, numpy_dtype
from oracle.types import DType

INTEGERS = (DType.INT64, DType.INT32, DType.INT8, DType.UINT8)

# Of each kind of float32 the edges and their neighbours, and where functions turn.
_ROWS = 1 << 10
_WORDS = [
    *(0, 1, 2, 3, 0x400000, 0x7FFFFE, 0x7FFFFF, 0x800000, 0x800001, 0xFFFFFF, 0x1000000, 0x1800000),
    *(
        0x1F800000,
        0x20000000,
        0x2B800000,
        0x32800000,
        0x33000000,
        0x33000001,
        0x33800000,
        0x34000000,
    ),
    *(
        0x39000000,
        0x39800000,
        0x3DCCCCCD,
        0x3E800000,
        0x3EAAAAAB,
        0x3EFFFFFF,
        0x3F000000,
        0x3F000001,
    ),
    *(
        0x3F7FFFFE,
        0x3F7FFFFF,
        0x3F800000,
        0x3F800001,
        0x3F800002,
        0x3FC00000,
        0x40000000,
        0x40400000,
    ),
    *(
        0x40490FDB,
        0x40800000,
        0x41200000,
        0x42B17218,
        0x42FE0000,
        0x42FF0000,
        0x43000000,
        0x437F0000,
    ),
    *(
        0x43800000,
        0x4B000000,
        0x4B000001,
        0x4B7FFFFF,
        0x4B800000,
        0x4B800001,
        0x4EFFFFFF,
        0x4F000000,
    ),
    *(
        0x5EFFFFFF,
        0x5F000000,
        0x5F7FFFFF,
        0x60000000,
        0x7E800000,
        0x7EFFFFFF,
        0x7F000000,
        0x7F7FFFFE,
    ),
    *(0x7F7FFFFF, 0x7F800000),
]
NASTY: Array = canonical(
    np.array([*_WORDS, *(word | 0x80000000 for word in _WORDS), 0x7FC00000], np.uint32).view(
        np.float32
    )
)


def bits(array: Array) -> Array:
    """Gives float32 as their bits, and other elements as they are, in int64."""
    clean = np.ascontiguousarray(array)
    if clean.dtype == np.float32:
        return clean.view(np.uint32).astype(np.int64).reshape(array.shape)
    return clean.astype(np.int64).reshape(array.shape)


def wrapped(values: Sequence[int], dtype: DType) -> Array:
    """Wraps integers to two's complement. A bool says whether they are not zero."""
    if dtype is DType.BOOL:
        return np.array([value != 0 for value in values], np.bool_)
    size = 8 * dtype.itemsize
    words = [value % (1 << size) for value in values]
    if dtype is not DType.UINT8:
        words = [word - (1 << size) if word >> (size - 1) else word for word in words]
    return np.array(words, numpy_dtype(dtype))


class Numbers:
    """Makes random numbers, the same every time."""

    def __init__(self, rng: np.random.Generator):
        self.rng = rng

    def of(self, dtype: DType, count: int) -> Array:
        """Makes canonical numbers, a tenth of them nasty."""
        if dtype is DType.FLOAT:
            return canonical(self._mixed(count))
        if dtype is DType.BOOL:
            return self.rng.random(count) < 0.5
        info = np.iinfo(numpy_dtype(dtype))
        out = self.rng.integers(info.min, info.max, count, info.dtype, endpoint=True)
        near = self.rng.integers(max(info.min, -9), 10, count).astype(info.dtype)
        edge = self.rng.choice(
            np.array([info.min, info.max, info.max - 1, 0, 1], info.dtype), count
        )
        # Of any length, with a few bits set or many: ties of a CAST.
        short = out >> self.rng.integers(0, 8 * dtype.itemsize, count).astype(info.dtype)
        tie = short & ~((1 << self.rng.integers(0, 8 * dtype.itemsize - 1, count)) - 1).astype(
            info.dtype
        )
        kind = self.rng.integers(0, 10, count)
        return np.select([kind < 1, kind < 3, kind < 5, kind < 7], [edge, near, short, tie], out)

    def _mixed(self, count: int) -> Array:
        rng = self.rng
        random = rng.integers(0, 1 << 32, count, np.uint32).view(np.float32)
        kind = rng.integers(0, 10, count)
        return np.select(
            [kind < 1, kind < 3, kind < 6], [rng.choice(NASTY, count), random, self.short(count)],
            self.ordinary(count, 12),
        )  # fmt: skip

    def ordinary(self, count: int, spread: int) -> Array:
        """Makes float32 of all mantissas within 2^±spread of 1."""
        words = self.rng.integers(0, 1 << 23, count) | (
            self.rng.integers(127 - spread, 127 + spread + 1, count) << 23
        )
        words |= self.rng.integers(0, 2, count) << 31
        return words.astype(np.uint32).view(np.float32)

    def short(self, count: int) -> Array:
        """Makes float32 of few bits, so that results are exact or halfway, or subnormal."""
        m = self.rng.integers(-(1 << 13), 1 << 13, count).astype(np.float64)
        near = self.rng.integers(-20, 10, count)
        far = self.rng.integers(-149, 115, count)
        with np.errstate(over="ignore"):
            return np.ldexp(m, np.where(self.rng.random(count) < 0.5, near, far)).astype(np.float32)

    def pairs(self, dtype: DType, count: int) -> Iterator[tuple[Array, Array]]:
        """Yields pairs: all nasty numbers with each other; independent ones; neighbours; a number
        and about half of its last place; subnormal ones."""
        if dtype is not DType.FLOAT:
            yield self.of(dtype, count // 16), self.of(dtype, count // 16)
            return
        yield NASTY[:, None], NASTY
        yield self.of(dtype, count), self.of(dtype, count)
        x = self.of(dtype, count)
        near = x.view(np.int32) + self.rng.integers(-40, 41, count).astype(np.int32)
        y = canonical(near.view(np.float32))
        yield x, y
        yield x, canonical(-y)
        x = self.ordinary(count, 20)
        m = self.rng.integers(-3, 4, count) * np.where(
            self.rng.random(count) < 0.5, 1, 1 - 2.0**-20
        )
        with np.errstate(all="ignore"):
            half = np.ldexp(m, np.frexp(x)[1] - 25 - self.rng.integers(-1, 2, count))
            yield canonical(x), canonical(half.astype(np.float32))
        yield self.tiny(count), self.of(dtype, count)
        yield self.of(dtype, count), self.tiny(count)

    def tiny(self, count: int) -> Array:
        """Makes float32 that are subnormal or nearly so."""
        words = self.rng.integers(0, 1 << 25, count) >> self.rng.integers(0, 25, count)
        words |= self.rng.integers(0, 2, count) << 31
        return canonical(words.astype(np.uint32).view(np.float32))

    def rows(self, count: int, k: int) -> Array:
        """Makes [count, k] with rows of different kinds: ordinary; of all exponents; x beside −x
        and a little; halfway; subnormal; huge; with infinities and NaN; 1, ±1 and hardly more."""
        rows = [self._row(kind % 9, k) for kind in range(min(count, _ROWS))]
        made = np.array(rows, np.float32).reshape(len(rows), k)
        if count > _ROWS:  # copies with other last bits
            more = made[self.rng.integers(0, _ROWS, count - _ROWS)]
            turned = self.rng.integers(0, 8, more.shape, np.uint32) * np.isfinite(more)
            made = np.concatenate([made, (more.view(np.uint32) ^ turned).view(np.float32)])
        return canonical(made)

    def _row(self, kind: int, k: int) -> Array:
        rng = self.rng
        if kind < 2:
            return self.ordinary(k, 2)
        if kind == 2:
            return self.ordinary(k, 126)
        if kind == 3:
            row = self.ordinary(k, 30)
            row[k // 2 : k // 2 * 2] = -row[: k // 2]
            if k > 2 and rng.random() < 0.7:
                row[int(rng.integers(k))] *= np.float32(1 + 2.0**-22)
            return rng.permutation(row)
        if kind == 4:
            row = np.zeros(k, np.float32)
            row[: min(k, 4)] = [2.0**24 + 2, 1, 2.0**-100, -(2.0**-100)][: min(k, 4)]
            if rng.random() < 0.5:
                row[min(k, 3) :] = np.float32(0)
            return rng.permutation(row) * np.float32(2.0 ** int(rng.integers(-120, 90)))
        if kind == 5:
            return self.tiny(k)
        if kind == 6:
            with np.errstate(over="ignore"):
                return self.ordinary(k, 1) * np.float32(2.0**126)
        if kind == 7:
            row = np.zeros(k, np.float32)
            row[:2] = rng.choice([-1, 1], 2)[:k]
            row[2:3] = rng.choice([-1, 1]) * 2.0 ** -int(rng.integers(60, 149))
            return row
        row = self.ordinary(k, 4)
        if k and rng.random() < 0.7:
            row[rng.integers(0, k, 1 + k // 16)] = rng.choice(NASTY, 1 + k // 16)
        return row

    def weights(self, dtype: DType, count: int, k: int) -> Array:
        return self.rows(count, k) if dtype is DType.FLOAT else self.of(dtype, count * k)

    def quantized(self, count: int) -> Iterator[tuple[Array, Array]]:
        """Yields x and a scale: one for all, one a column, one each. Some quotients end in ½."""
        halves = (self.rng.integers(-600, 601, count) / 2).astype(np.float32)
        scale = self.ordinary(1, 6)
        yield self.of(DType.FLOAT, count), self.of(DType.FLOAT, count)
        with np.errstate(over="ignore"):
            yield canonical(halves * scale), scale.reshape(())
            yield canonical(halves * np.float32(0.25)), np.array(0.25, np.float32)
        columns = np.abs(self.ordinary(16, 3))
        yield canonical((halves.reshape(-1, 16) * columns).astype(np.float32)), columns
        yield NASTY[:, None], NASTY
        yield self.ordinary(count, 9), np.array(0.0625, np.float32)

    def powers(self, count: int) -> Iterator[tuple[Array, Array]]:
        """Yields x and y of x^y: nasty; ordinary; exact, halfway and beside; near 1; constant y."""
        rng = self.rng
        yield NASTY[:, None], NASTY
        yield self.of(DType.FLOAT, count), self.of(DType.FLOAT, count)
        yield single(np.exp(rng.standard_normal(count) * 3)), single(rng.standard_normal(count) * 8)
        x = rng.integers(-5000, 5000, count) / 2.0 ** rng.integers(0, 13, count)
        yield single(x), single(rng.integers(-40, 40, count) / 2.0 ** rng.integers(0, 4, count))
        # Powers of 2, 4 or 16 and their roots, and neighbours of such.
        places = rng.integers(0, 3, count)
        root = rng.integers(1, 300, count).astype(np.float64)
        x = single(np.ldexp(root ** (2.0**places), 2 * rng.integers(-20, 20, count) * 2**places))
        y = single(rng.integers(-9, 10, count) / 2.0**places)
        yield x, y
        steps = rng.integers(-1, 2, count).astype(np.int32)
        yield canonical((x.view(np.int32) + steps).view(np.float32)), y
        near = 1 + rng.standard_normal(count) * 2.0 ** rng.integers(-23, -3, count)
        yield single(near), single(rng.standard_normal(count) * 2.0 ** rng.integers(0, 31, count))
        y = rng.integers(-64, 65, count) / 2.0 ** rng.integers(0, 9, count)
        yield single(np.ldexp(1.0, rng.integers(-149, 128, count))), single(y)
        # Squares of 25 and 26 bits.
        yield single(rng.integers(0, 1 << 13, count) * 2.0 + 1), np.array(2, np.float32)
        for exponent in (3, -1, 0.5, -0.5, 0.75, 2, 1, -2, 1 / 3, 0.45, 2.4):
            yield self.of(DType.FLOAT, count), np.array(exponent, np.float32)


def single(x: Array) -> Array:
    """Rounds to canonical float32."""
    with np.errstate(over="ignore"):
        return canonical(x.astype(np.float32))
