"""Compares fast kernels with references on all 2^32 inputs of functions of one number."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias

import mpmath  # type: ignore[import-untyped, unused-ignore]
import numpy as np
from numba import njit

from oracle.exact.kernels import functions as kernels
from oracle.exact.ops import PRIMITIVES
from oracle.exact.primitive import Kernel
from oracle.exact.program import Node, Op, Operand, OperandKind, ValueType
from oracle.tensor import Array, numpy_dtype
from oracle.types import DType
from scripts.law import functions
from scripts.law.functions import ERROR, EXACT, INF, NAN, SIGN, SPECIALS, VALUES
from scripts.law.nearest import nearest_float
from scripts.law.numbers import INTEGERS
from scripts.law.pairs import rounded
from scripts.law.single import (
    absolute_bits,
    float_of_int32_bits,
    integer_bits,
    negated_bits,
    sqrt_bits,
    truth_bits,
)

BLOCK = 1 << 17
ALL = 1 << 32
# From here on the kernel computes each sine and cosine by the slow rule, which takes 20 µs, so that
# only a sample is compared.
LARGEST_ANGLE = 0x4E800000  # 2^30
_SAMPLE = 1 << 9

Reference: TypeAlias = Callable[[Array], Array]
"""Gives the bits that the law demands for inputs with these bits, as int64."""
Report: TypeAlias = Callable[[int, int], None]
"""Is called now and then with how many elements are done, and of how many."""


@dataclass(slots=True)
class Tally:
    """Counts what was compared, and keeps examples of what was wrong."""

    op: str
    method: str
    elements: int = 0
    wrong: int = 0
    seconds: float = 0.0
    notes: dict[str, Any] = field(default_factory=dict)

    def count(self, right: Array, inputs: Callable[[int], object]) -> None:
        """Counts elements. `right` says of each whether it was."""
        self.elements += right.size
        found = np.flatnonzero(~right.reshape(-1))
        self.wrong += found.size
        examples = self.notes.setdefault("examples", [])
        examples += [inputs(int(at)) for at in found[: 8 - len(examples)]]

    def json(self) -> dict[str, Any]:
        notes = {name: note for name, note in self.notes.items() if note not in ([], None)}
        return {
            "elements": self.elements,
            "wrong": self.wrong,
            "method": self.method,
            "seconds": round(self.seconds, 1),
            **notes,
        }


def kernel_of(op: Op, types: Sequence[ValueType], attributes: Sequence[int] = ()) -> Kernel:
    """Makes the fast kernel for operands none of which is constant."""
    operands = tuple(Operand(OperandKind.INPUT, at, type_) for at, type_ in enumerate(types))
    primitive = PRIMITIVES[op]
    node = Node(op, operands, primitive.infer(types, attributes), tuple(attributes))
    return primitive.prepare(node, [None] * len(types))


def equal_bits(got: Array, wanted: Array) -> Array:
    """Says of each element whether it is right: floats to the bit, but NaN with any payload, which
    is made canonical later."""
    if got.dtype != np.float32:
        return np.asarray(got == wanted)
    same = got.view(np.uint32) == wanted
    return np.asarray(same | (np.isnan(got) & (wanted == NAN)))


# ---- the functions


class Function:
    """Computes a transcendental function's reference, and measures the kernel's float64 values."""

    def __init__(self, op: Op):
        self.op = op
        self.undecided = 0
        self.worst = 0.0
        self.worst_at = 0
        self._special, self._evaluate, self._judge = _loops(op)
        self._hi, self._lo = np.empty(BLOCK), np.empty(BLOCK)

    def __call__(self, words: Array) -> Array:
        x, out = np.empty(words.size), np.empty(words.size, np.int64)
        if self._special(words, words.view(np.float32), x, out) == words.size:
            return out
        hi, lo = self._hi[: words.size], self._lo[: words.size]
        self._evaluate(x, hi, lo)
        with np.errstate(all="ignore"):
            near = _FLOAT64[self.op](x)
        error, at = self._judge(hi, lo, near, out)
        if error > self.worst:
            self.worst, self.worst_at = float(error), int(words[at])
        for place in np.flatnonzero(out < 0):
            out[place] = exact_bits(self.op, int(words[place]))
            self.undecided += 1
        return out

    def hard(self) -> Array:
        """Says which values of the last block lie near a midpoint between normal float32."""
        beyond = self._hi.view(np.int64) & ((1 << 29) - 1)
        return np.asarray(np.abs(beyond - (1 << 28)) < 1 << 9)

    def pairs(self, words: Array) -> tuple[Array, Array, Array]:
        """Gives (words, hi, lo) of the inputs at which the function must be evaluated."""
        x, out = np.empty(words.size), np.empty(words.size, np.int64)
        self._special(words, words.view(np.float32), x, out)
        hi, lo = np.empty(words.size), np.empty(words.size)
        self._evaluate(x, hi, lo)
        kept = out < 0
        return words[kept], hi[kept], lo[kept]


def _each(function: Callable[[float], float]) -> Callable[[Array], Array]:
    @njit(error_model="numpy")  # type: ignore[untyped-decorator, unused-ignore]
    def values(x: Array) -> Array:
        out = np.empty_like(x)
        for at in range(x.size):
            out[at] = function(x[at])
        return out

    return values


# The float64 functions that the kernels take, their own or numpy's.
_FLOAT64: dict[Op, Callable[[Array], Array]] = {
    Op.EXP: _each(kernels.exp64),
    Op.LOG: np.log,
    Op.SIGMOID: _each(kernels.sigmoid64),
    Op.TANH: _each(kernels.tanh64),
    Op.ERF: _each(kernels.erf64),
    Op.LOG1P: np.log1p,
    Op.SIN: np.sin,
    Op.COS: np.cos,
    Op.ATAN: np.arctan,
}


def _loops(op: Op) -> tuple[Callable[..., int], Callable[..., None], Callable[..., Any]]:
    """Compiles one loop for each step, so that LLVM vectorizes the second, which takes the time."""
    special_of, value = SPECIALS[op], VALUES[op]

    @njit(error_model="numpy")  # type: ignore[untyped-decorator, unused-ignore]
    def special(words: Array, numbers: Array, x: Array, out: Array) -> int:
        count = 0
        for at in range(words.size):
            out[at] = special_of(np.int64(words[at]))  # type: ignore[arg-type]
            count += out[at] >= 0
            x[at] = 0.75 if out[at] >= 0 else np.float64(numbers[at])
        return count

    @njit(error_model="numpy")  # type: ignore[untyped-decorator, unused-ignore]
    def evaluate(x: Array, hi: Array, lo: Array) -> None:
        for at in range(x.size):
            y = value(x[at])
            hi[at] = y[0]
            lo[at] = y[1]

    @njit(error_model="numpy")  # type: ignore[untyped-decorator, unused-ignore]
    def judge(hi: Array, lo: Array, near: Array, out: Array) -> tuple[float, int]:
        worst, worst_at = 0.0, 0
        for at in range(hi.size):
            if out[at] < 0:
                out[at] = rounded((hi[at], lo[at]), ERROR)
                error = abs((near[at] - hi[at]) - lo[at]) / abs(hi[at])
                if error > worst:
                    worst, worst_at = error, at
        return worst, worst_at

    return special, evaluate, judge


def exact_bits(op: Op, word: int) -> int:
    """Computes the bits by mpmath, at a precision that decides."""
    x = float(np.uint32(word).view(np.float32))
    precision = functions.PRECISION
    while precision < 1 << 14:
        with mpmath.workprec(precision):
            value = EXACT[op](mpmath.mpf(x))
            slack = mpmath.ldexp(1, 20 - precision)
            ends = [functions.fraction(value * (1 + e)) for e in (-slack, slack)]
        low, high = map(nearest_float, ends)
        if low == high:
            return low
        precision *= 2
    raise ArithmeticError(f"{op.name} of {x!r} lies on a rounding boundary")


def bound_observed(op: Op, count: int) -> tuple[int, float]:
    """Compares pairs with mpmath's numbers, at random inputs of every exponent and around the ends
    and the tables' borders. Gives how many, and log2 of their largest relative error."""
    function, rng = Function(op), np.random.default_rng(op)
    borders = (np.arange(0, 1025)[:, None] / 128 + [0, 2.0**-20, -(2.0**-20)]).astype(np.float32)
    words = np.concatenate(
        [
            rng.integers(0, ALL, 1 << 20, np.uint32),
            borders.reshape(-1).view(np.uint32),
            (borders + 0.5 / 128).reshape(-1).view(np.uint32),
        ]
    )
    words = np.concatenate([words, words ^ np.uint32(SIGN)])
    words, hi, lo = function.pairs(words)
    kept = rng.permutation(words.size)[:count]
    worst = mpmath.mpf(0)
    with mpmath.workprec(220):
        for at in kept:
            exact = EXACT[op](mpmath.mpf(float(words[at : at + 1].view(np.float32)[0])))
            value = mpmath.mpf(float(hi[at])) + mpmath.mpf(float(lo[at]))
            worst = max(worst, abs((value - exact) / exact))
    return kept.size, float(mpmath.log(worst, 2))


@dataclass(frozen=True, slots=True)
class Sweep:
    """A kernel of one operand of 32 bits, and the reference that it must equal."""

    name: str
    op: Op
    source: DType
    reference: Callable[[], Reference]
    method: str
    attributes: tuple[int, ...] = ()
    sampled_from: int = ALL
    """The magnitude from which on only a sample is compared."""

    def run(self, report: Report, start: int = 0, stop: int = ALL, stride: int = 1) -> Tally:
        """Compares every `stride`-th block of the inputs from `start` to `stop`."""
        tally, began = Tally(self.name, self.method), time.perf_counter()
        kernel, size, reference = self._kernel(BLOCK), BLOCK, self.reference()
        for at in range(start, stop, BLOCK * stride):
            words = np.arange(at, at + BLOCK, dtype=np.int64).astype(np.uint32)
            if self.source is DType.FLOAT:
                words[words == SIGN] = 0
            wanted = reference(words)
            sampled = self.sampled_from <= at & 0x7FFFFFFF < INF
            if sampled:
                some = _sample(reference, at)
                words, wanted = words[some], wanted[some]
                kernel = self._kernel(words.size)
            elif words.size != size:
                kernel = self._kernel(words.size)
            size = words.size
            with np.errstate(all="ignore"):
                got = kernel(words.view(numpy_dtype(self.source)))
            tally.count(equal_bits(got, wanted), partial(_word, words))
            report(at + BLOCK - start, stop - start)
        if isinstance(reference, Function):
            tally.notes |= {
                "undecided": reference.undecided,
                "float64_error": round(reference.worst * 2**53, 3),
                "float64_error_at": hex(reference.worst_at),
            }
        tally.seconds = time.perf_counter() - began
        return tally

    def _kernel(self, size: int) -> Kernel:
        return kernel_of(self.op, [ValueType(self.source, (size,))], self.attributes)


def _word(words: Array, place: int) -> str:
    return hex(words[place])


def _sample(reference: Reference, at: int) -> Array:
    """Chooses some places of a block, and all whose value is within 2^−20 places of a midpoint."""
    chosen = np.zeros(BLOCK, np.bool_)
    chosen[at // BLOCK % _SAMPLE :: _SAMPLE] = True
    if isinstance(reference, Function):
        chosen |= reference.hard()
    return np.flatnonzero(chosen)


_FLOAT = DType.FLOAT


def _cast(target: DType) -> Sweep:
    info = np.iinfo(numpy_dtype(target))
    return Sweep(
        f"CAST float → {target.name.lower()}",
        Op.CAST,
        _FLOAT,
        partial(partial, integer_bits, low=int(info.min), high=int(info.max)),
        "all 2^32; mantissas shifted",
        (int(target),),
    )


def _function(op: Op) -> Sweep:
    method = "all 2^32; pairs of float64"
    if op not in (Op.SIN, Op.COS):
        return Sweep(op.name, op, _FLOAT, partial(Function, op), method)
    method += ", from 2^30 on one in 512 and the hardest"
    return Sweep(op.name, op, _FLOAT, partial(Function, op), method, sampled_from=LARGEST_ANGLE)


SWEEPS: tuple[Sweep, ...] = (
    *map(_function, VALUES),
    Sweep("SQRT", Op.SQRT, _FLOAT, lambda: sqrt_bits, "all 2^32; squares of integers"),
    Sweep("NEG", Op.NEG, _FLOAT, lambda: negated_bits, "all 2^32; bits"),
    Sweep("ABS", Op.ABS, _FLOAT, lambda: absolute_bits, "all 2^32; bits"),
    *map(_cast, INTEGERS),
    Sweep(
        *("CAST float → bool", Op.CAST, _FLOAT, lambda: truth_bits),
        *("all 2^32; bits", (int(DType.BOOL),)),
    ),
    Sweep(
        *("CAST int32 → float", Op.CAST, DType.INT32, lambda: float_of_int32_bits),
        *("all 2^32; leading bits", (int(_FLOAT),)),
    ),
)
