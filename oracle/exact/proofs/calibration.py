"""Seconds that a unit of work takes on this machine, measured by kernels of ours on data of ours.

Nothing of a stranger's is run to find it out. Data are the dearest that a unit may meet: subnormal
numbers for arithmetic, tables beyond the caches for walks, sums whose terms are far apart.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from oracle import merkle
from oracle.exact.ops import PRIMITIVES
from oracle.exact.ops.transcendental import erf
from oracle.exact.program import Node, Op, Operand, OperandKind, ValueType
from oracle.exact.sums import rounded_means, rounded_sums
from oracle.tensor import Array, dtype_of
from oracle.types import DType

_RUNS = 3
MARGIN = 1.25
"""Between one run and another on one machine."""


class Unit(StrEnum):
    """What work is counted in."""

    NODE = "node"
    """Finding operands, calling a kernel, and the root of a value."""
    LEVEL = "level"
    """Of a value's tree, by one call."""
    HASHED = "hashed"
    """A byte of leaves."""
    ELEMENT = "element"
    """One pass over an element that numpy or numba makes, from and to memory."""
    MOVED = "moved"
    """An element, or neighbours of it, copied from anywhere in memory."""
    SCATTERED = "scattered"
    """An element put anywhere in memory, on what is there."""
    DIVISION = "division"
    """Of integers; also an element that becomes an integer."""
    FUNCTION = "function"
    """An element of a function by a compiled kernel, where float64 decides."""
    ANGLE = "angle"
    """The same, of functions that are numpy's."""
    PRODUCT = "product"
    """A multiply-add of a contraction."""
    ORDER = "order"
    """A comparison of a sort."""
    STEP = "step"
    """Of a walk through a tree."""
    RULE = "rule"
    """An element of a function by its rule, in Python's integers."""
    REMAINDER = "remainder"
    """Of two float32 that are far apart."""
    WIDE = "wide"
    """A multiply-add of integers too large for floating point."""
    TERM = "term"
    """Of a sum that is added exactly."""
    QUOTIENT = "quotient"
    """A term of a mean that is worked out in Python's integers."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """Seconds of each unit, on one machine."""

    seconds: Mapping[Unit, float]

    def of(self, counts: Mapping[Unit, int]) -> float:
        return sum(self.seconds[unit] * count for unit, count in counts.items())


def calibrate() -> Calibration:
    """Measures every unit; that takes a few seconds. Times are of the CPU, so that what else runs
    does not matter: whoever shares the machine must allow for that."""
    with np.errstate(all="ignore"):
        return Calibration({unit: MARGIN * measure() for unit, measure in _MEASURES.items()})


def _seconds(call: Callable[[], object]) -> float:
    """Measures the seconds of the fastest of a few calls, after one that may compile."""
    call()
    times = []
    for _ in range(_RUNS):
        started = time.process_time()
        call()
        times.append(time.process_time() - started)
    return min(times)


def _kernel(op: Op, arrays: Sequence[Array], attributes: Sequence[int] = ()) -> float:
    """Measures the seconds of one node. Tables of trees are given as constants, since they can be
    nothing else."""
    types = [ValueType(dtype_of(array), array.shape) for array in arrays]
    operands = [Operand(OperandKind.INPUT, at, type_) for at, type_ in enumerate(types)]
    output = PRIMITIVES[op].infer(types, attributes)
    node = Node(op, tuple(operands), output, tuple(attributes))
    known = [array if op is Op.TREE_WALK and at else None for at, array in enumerate(arrays)]
    kernel = PRIMITIVES[op].prepare(node, known)
    return _seconds(lambda: kernel(*arrays))


def _large(dtype: type[np.generic], low: int, high: int) -> Array:
    """Draws more numbers than any cache holds."""
    return np.random.default_rng(0).integers(low, high, _LARGE).astype(dtype)


_LARGE = 1 << 22


def _node() -> float:
    one, count = np.ones(1, np.float32), 200
    kernel = PRIMITIVES[Op.ADD].prepare(_adding, [None, None])

    def some() -> None:
        for _ in range(count):
            with np.errstate(all="ignore"):
                merkle.tensor_root(kernel(one, one))

    return 2 * _seconds(some) / count


_ONE = ValueType(DType.FLOAT, (1,))
_adding = Node(Op.ADD, (Operand(OperandKind.INPUT, 0, _ONE),) * 2, _ONE)


def _level() -> float:
    value, levels = np.ones(1 << 10, np.float32), 6
    return _seconds(lambda: [merkle.tensor_root(value) for _ in range(50)]) / 50 / levels


def _hashed() -> float:
    value = np.random.default_rng(0).standard_normal(_LARGE, np.float32)
    value[:: 1 << 10] = np.nan
    return _seconds(lambda: merkle.tensor_root(value)) / value.nbytes


def _element() -> float:
    subnormal = _large(np.uint32, 1, 1 << 23).view(np.float32)
    half = np.full(1, 0.5, np.float32)
    integers = _large(np.int64, -(1 << 62), 1 << 62)
    of_floats = _kernel(Op.MUL, [subnormal, half])
    return max(of_floats, _kernel(Op.ADD, [integers, integers])) / _LARGE


def _moved() -> float:
    data = _large(np.int64, 0, 1 << 40).reshape(1, -1, 1)
    places = np.random.default_rng(1).permutation(_LARGE)
    gathered = _kernel(Op.GATHER, [data, places])
    return max(gathered, _kernel(Op.TRANSPOSE, [data.reshape(-1, 4, 2, 8)], (2, 1, 3, 0))) / _LARGE


def _scattered() -> float:
    data, count = np.zeros((1 << 14, 2), np.float32), 1 << 16
    places = np.random.default_rng(1).integers(0, len(data), count)
    return _kernel(Op.SCATTER, [data, places, np.ones((count, 2), np.float32)], (1,)) / (4 * count)


def _division() -> float:
    integers = _large(np.int64, -(1 << 62), 1 << 62)
    floats = integers.astype(np.float32)
    divided = _kernel(Op.DIV, [integers, integers[::-1].copy()])
    return max(divided, _kernel(Op.CAST, [floats], (DType.INT64,))) / _LARGE


def _function(op: Op) -> float:
    x = np.random.default_rng(0).standard_normal(1 << 18, np.float32)
    return _kernel(op, [np.abs(x)]) / x.size


def _product() -> float:
    x = np.random.default_rng(0).standard_normal((64, 1 << 12), np.float32)
    return _kernel(Op.DOT, [x, x]) / (64 * 64 << 12)


def _order() -> float:
    x = np.random.default_rng(0).standard_normal((16, 1 << 14), np.float32)
    return _kernel(Op.TOP_K, [x], (1,)) / (x.size * 14)


def _step() -> float:
    """Measures the seconds of one step of a walk through a tree. Each step waits for the one
    before, since there is one row. The table has 32 MiB, and each node's successor is anywhere
    behind it."""
    count, steps = 1 << 20, 64
    nodes = np.zeros((count, 8), np.int32)
    own = np.arange(count)
    onward = own + np.random.default_rng(0).integers(1, count // steps, count)
    nodes[:, 2:5] = np.minimum(onward, count - 1)[:, None]
    roots = np.random.default_rng(1).integers(0, count // steps, 256).astype(np.int32)
    x = np.zeros((1, 1), np.float32)
    return _kernel(Op.TREE_WALK, [x, nodes, roots], (steps,)) / (256 * steps)


def _rule() -> float:
    """Measures the seconds of the rule with the longest series, which is erf just below 4."""
    word = int(np.float32(3.99).view(np.uint32))
    return _seconds(lambda: [erf(word + at) for at in range(50)]) / 50


def _remainder() -> float:
    x = np.full(1 << 12, 3e38, np.float32)
    subnormal = np.arange(1 << 19, (1 << 19) + x.size, dtype=np.uint32).view(np.float32)
    return _kernel(Op.MOD, [x, subnormal]) / x.size


def _wide() -> float:
    x = np.random.default_rng(0).integers(-(1 << 62), 1 << 62, (64, 1 << 12))
    return _kernel(Op.DOT, [x, x]) / (64 * 64 << 12)


def _far_apart() -> Array:
    """Makes rows of numbers that cancel out but for a small rest."""
    rng = np.random.default_rng(0)
    terms = np.ldexp(rng.random((64, 512)) + 1, rng.integers(-290, 250, (64, 512)))
    terms[:, 256:] = -terms[:, :256]
    terms[:, 0] *= 1 + 2.0**-20
    return rng.permuted(terms, axis=1)


def _term() -> float:
    terms = _far_apart()
    return _seconds(lambda: rounded_sums(terms)) / terms.size


def _quotient() -> float:
    terms = _far_apart()
    return _seconds(lambda: rounded_means(terms)) / terms.size


_MEASURES: Mapping[Unit, Callable[[], float]] = {
    Unit.NODE: _node,
    Unit.LEVEL: _level,
    Unit.HASHED: _hashed,
    Unit.ELEMENT: _element,
    Unit.MOVED: _moved,
    Unit.SCATTERED: _scattered,
    Unit.DIVISION: _division,
    Unit.FUNCTION: lambda: max(map(_function, (Op.ERF, Op.LOG))),
    Unit.ANGLE: lambda: max(map(_function, (Op.SIN, Op.LOG1P))),
    Unit.PRODUCT: _product,
    Unit.ORDER: _order,
    Unit.STEP: _step,
    Unit.RULE: _rule,
    Unit.REMAINDER: _remainder,
    Unit.WIDE: _wide,
    Unit.TERM: _term,
    Unit.QUOTIENT: _quotient,
}
