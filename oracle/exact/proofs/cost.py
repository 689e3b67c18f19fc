"""What a pass over a trace takes, from the program alone: work counted in units, and their seconds.

A pass runs every node by itself, unfused, and hashes its value. Who answers must know the price of
that before anybody asks, and a stranger chose both the program and its inputs. So two sums are kept
apart:

    usual   what every input takes: nodes, bytes hashed, elements, products
    hard    what the worst inputs add, where float64 does not decide and numbers are worked out
            exactly: each element by a rule in Python's integers, each term of a sum by `math.fsum`

`hard` may be a thousand times `usual`: seldom does an honest input come near it. But the elements
that are hard in a pass were so in the run, by the same kernels. So who has answered, or kills a run
after a time, knows a better bound: what the run took. `seconds` takes it.

What a unit takes is measured by `calibrate`.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import prod

from oracle import merkle
from oracle.exact.intervals import HARD_ARGUMENTS
from oracle.exact.ops.trees import WIDTH
from oracle.exact.ops.window import conv_axes, pool_axes
from oracle.exact.program import Node, Op, Program
from oracle.exact.proofs.calibration import MARGIN, Calibration, Unit, calibrate
from oracle.types import DType

__all__ = ["MARGIN", "Calibration", "TraceWork", "Unit", "calibrate", "trace_work"]

Counts = Mapping[Unit, int]
Work = Iterable[tuple[Unit, int]]

# A row that is summed exactly takes as long as so many terms, besides its own.
_ROW = 8
# Columns of weights are padded to so many.
_LANES = 8
# Rows that walk through a tree beside each other, while one row would wait for memory.
_ROWS = 8
# Rows of numpy's reductions take as long as so many elements, besides their own.
_REDUCED_ROW = 32


@dataclass(frozen=True, slots=True)
class TraceWork:
    """One pass over a program's trace."""

    usual: Counts
    hard: Counts
    loading: float = 0.0
    """Seconds that it took here to load the program: who loads many has forgotten this one by the
    time that a pass is due."""

    def seconds(self, calibration: Calibration, run: float = math.inf) -> float:
        """Gives an upper estimate. `run`: what the run of these inputs took, or may take before it
        is killed; what is hard about them takes no longer than that, but for what two runs differ
        by."""
        usual = MARGIN * self.loading + calibration.of(self.usual)
        return usual + min(calibration.of(self.hard), MARGIN * run)


def trace_work(program: Program) -> TraceWork:
    """Counts the work of one pass."""
    usual: Counter[Unit] = Counter()
    hard: Counter[Unit] = Counter()
    arguments: Counter[Op] = Counter()
    for node in program.nodes:
        for unit, count in _hashing(node):
            usual[unit] += count
        for unit, count in _usual(node):
            usual[unit] += count
        for unit, count in _hard(node):
            hard[unit] += count
        if node.op in _REMEMBERED:
            arguments[node.op] += node.output.elements
    hard[Unit.RULE] += sum(min(count, HARD_ARGUMENTS) for count in arguments.values())
    return TraceWork(usual, hard)


def _hashing(node: Node) -> Work:
    leaves = merkle.leaf_count(node.output.nbytes)
    yield Unit.NODE, 1
    yield Unit.LEVEL, 1 + merkle.depth_of(leaves)
    yield Unit.HASHED, leaves * merkle.LEAF


_COMPILED = (Op.EXP, Op.LOG, Op.SIGMOID, Op.TANH, Op.ERF)
# Of these each element is one step, whatever stands in it.
_SIMPLE = (
    *(Op.ADD, Op.SUB, Op.MUL, Op.DIV, Op.NEG, Op.ABS, Op.SQRT, Op.MAX, Op.MIN),
    *(Op.LESS, Op.EQUAL, Op.WHERE, Op.AND, Op.OR, Op.XOR),
)
_REMEMBERED = (*_COMPILED, Op.LOG1P, Op.ATAN)


def _usual(node: Node) -> Work:
    out = node.output.elements
    read = sum(operand.type.elements for operand in node.operands)
    is_float = node.output.dtype is DType.FLOAT
    match node.op:
        case Op.DIV | Op.MOD if not is_float:
            yield Unit.DIVISION, out
        case Op.MOD | Op.CAST:
            yield Unit.DIVISION, out
        case op if op in _COMPILED:
            yield Unit.FUNCTION, out
        case Op.LOG1P | Op.SIN | Op.COS | Op.ATAN | Op.POW:
            yield Unit.ANGLE, out
        case Op.DOT:
            k = node.operands[0].type.shape[-1]
            columns = node.output.shape[-1]
            rows = out // max(1, columns)
            yield Unit.PRODUCT, rows * (_padded(columns) + _LANES) * (k + 1)
            yield Unit.ELEMENT, 4 * (read + out)
        case Op.CONV:
            yield from _convolution(node)
        case Op.MAX_POOL | Op.AVERAGE_POOL:
            taps = sum(axis.kernel for axis in pool_axes(node.attributes))
            passes = taps + 2 if node.op is Op.MAX_POOL else 4 * taps
            yield Unit.ELEMENT, _spots(node) * passes
        case Op.TOP_K:
            k = node.operands[0].type.shape[1]
            yield Unit.ORDER, read * max(1, k.bit_length())
            yield Unit.ELEMENT, _REDUCED_ROW * (read // max(1, k)) + 4 * read
        case Op.REDUCE_SUM | Op.REDUCE_MEAN | Op.REDUCE_MAX | Op.REDUCE_MIN | Op.ARG_MAX:
            yield Unit.ELEMENT, 2 * read + _REDUCED_ROW * out
        case Op.CUM_SUM | Op.QUANTIZE:
            yield Unit.ELEMENT, 8 * out
        case Op.TRANSPOSE:
            yield Unit.MOVED, out
        case Op.CONCAT:
            yield Unit.MOVED, node.output.shape[0] * len(node.operands)
            yield Unit.ELEMENT, out
        case Op.GATHER:
            yield Unit.MOVED, out // max(1, node.output.shape[2])
            yield Unit.ELEMENT, out + 4 * node.output.shape[1]
        case Op.SCATTER:
            yield Unit.SCATTERED, read
            yield Unit.ELEMENT, 8 * out
        case Op.TREE_WALK:
            rows, trees = node.output.shape
            yield Unit.STEP, -(-rows // _ROWS) * trees * (node.attributes[0] + 1)
            yield Unit.ELEMENT, 4 * (node.operands[1].type.elements // WIDTH)
        case op if op in _SIMPLE:
            yield Unit.ELEMENT, out


def _hard(node: Node) -> Work:
    out = node.output.elements
    read = node.operands[0].type.elements
    is_float = node.output.dtype is DType.FLOAT
    match node.op:
        case Op.SIN | Op.COS | Op.POW:
            yield Unit.RULE, out
        case Op.MOD if is_float:
            yield Unit.REMAINDER, out
        case Op.DOT:
            k = node.operands[0].type.shape[-1]
            yield (Unit.TERM, out * (k + _ROW)) if is_float else (Unit.WIDE, out * (k + 1))
        case Op.CONV:
            terms = prod(node.operands[1].type.shape[1:])
            yield (Unit.TERM, out * (terms + _ROW)) if is_float else (Unit.WIDE, out * (terms + 1))
        case Op.REDUCE_SUM if is_float:
            yield Unit.TERM, read + _ROW * out
        case Op.REDUCE_MEAN:
            yield Unit.QUOTIENT, read + _ROW * out
        case Op.AVERAGE_POOL:
            taps = prod(axis.kernel for axis in pool_axes(node.attributes))
            yield Unit.QUOTIENT, out * (taps + _ROW)
        case Op.CUM_SUM if is_float:
            # Each element is a sum of its own, laid out as long as the row.
            yield Unit.TERM, out * (node.output.shape[1] + _ROW)
        case Op.SCATTER if is_float:
            yield Unit.TERM, read + node.operands[2].type.elements + _ROW * out


def _convolution(node: Node) -> Iterator[tuple[Unit, int]]:
    group, (outputs, *taps, channels) = node.attributes[0], node.operands[1].type.shape
    windows = node.output.elements // max(1, outputs)
    columns = group * (_padded(outputs // group) + _LANES)
    if channels == 1 and group > 1:
        columns = _padded(group) * (outputs // group)
    yield Unit.PRODUCT, windows * columns * (prod(taps) * channels + 1)
    yield Unit.ELEMENT, 4 * (_spots(node) + node.output.elements)
    yield Unit.ELEMENT, 4 * node.operands[1].type.elements


def _spots(node: Node) -> int:
    """Counts the places that its windows cover, padding included."""
    axes = (conv_axes if node.op is Op.CONV else pool_axes)(node.attributes)
    images, *_, channels = node.operands[0].type.shape
    windows = node.output.shape[1:-1]
    covered = prod(axis.extent(count) for axis, count in zip(axes, windows, strict=True))
    return images * channels * covered


def _padded(columns: int) -> int:
    return -(-columns // _LANES) * _LANES
