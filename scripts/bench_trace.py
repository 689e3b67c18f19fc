"""The price of a pass over a trace, beside what the pass takes. CPU time, one core.

Real networks with realistic inputs, and programs as somebody would make them whom a wrong price
pays: cheap runs with large traces, thousands of small nodes, ops whose inputs may be so chosen that
float64 does not decide. `estimate` is told what the run took, as a worker knows it when it has
answered; `blind` is the estimate for any input. A good one is 1 to 4 times the pass. With --json
the last line is one JSON object.
"""

import argparse
import json
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import threadpoolctl  # type: ignore[import-untyped, unused-ignore]
from rich.console import Console
from rich.table import Table

from oracle.errors import ModelRefused
from oracle.exact.limits import Limits
from oracle.exact.lowering.builder import Builder
from oracle.exact.lowering.graph import lower
from oracle.exact.pages import keep_pages
from oracle.exact.program import Op, Operand, Program
from oracle.exact.proofs.cost import Calibration, calibrate, trace_work
from oracle.exact.proofs.trace import trace
from oracle.exact.run import Runner
from oracle.tensor import Array, dtype_of
from oracle.types import DType, TensorType
from scripts.models import networks

LARGE = 1 << 21


@dataclass(frozen=True, slots=True)
class Case:
    name: str
    program: Program
    inputs: tuple[Array, ...]


@dataclass(frozen=True, slots=True)
class Result:
    """Seconds."""

    name: str
    run: float
    traced: float
    estimate: float
    blind: float

    @property
    def ratio(self) -> float:
        return self.estimate / self.traced


Emit = Callable[[Builder, list[Operand]], Operand]


def made(name: str, emit: Emit, *inputs: Array) -> Case:
    types = [TensorType(f"x{at}", dtype_of(x), x.shape) for at, x in enumerate(inputs)]
    builder = Builder(types, Limits())
    last = emit(builder, [builder.input(at) for at in range(len(inputs))])
    return Case(name, builder.program(["y"], [last]), inputs)


def repeated(op: Op, many: int, attributes: tuple[int, ...] = ()) -> Emit:
    """Emits nodes that each read the one before, and the last input too if the op has two
    operands."""

    def emit(builder: Builder, x: list[Operand]) -> Operand:
        value = x[0]
        for _ in range(many):
            value = builder.emit(op, [value, *x[1:]], *attributes)
        return value

    return emit


def slices(many: int) -> Emit:
    """Emits nodes that are views in a run and whole tensors in a trace."""

    def emit(builder: Builder, x: list[Operand]) -> Operand:
        value = builder.reshape(x[0], (1, 256, x[0].type.elements // 256))
        back = builder.constant(np.arange(255, -1, -1))
        for _ in range(many):
            value = builder.emit(Op.GATHER, [value, back])
        return value

    return emit


def walk(builder: Builder, x: list[Operand]) -> Operand:
    """Emits a walk through 256 trees of depth 16 in 4 MiB."""
    count, trees, depth = 1 << 17, 256, 16
    nodes = np.zeros((count, 8), np.int32)
    onward = np.arange(count) + np.random.default_rng(0).integers(1, count // depth, count)
    nodes[:, 2:5] = np.minimum(onward, count - 1)[:, None]
    roots = np.arange(trees, dtype=np.int32)
    return builder.emit(
        Op.TREE_WALK, [x[0], builder.constant(nodes), builder.constant(roots)], depth
    )


def window(op: Op) -> Emit:
    axis = (3, 1, 1, 1, 1, 0)

    def emit(builder: Builder, x: list[Operand]) -> Operand:
        if op is Op.CONV:
            return builder.emit(op, x, 1, *(3, 1, 1, 1, 1, 1) * 2)
        return builder.emit(op, x, 0, *axis * 2)

    return emit


def far_apart(rows: int, columns: int) -> Array:
    """Makes rows of numbers that mostly cancel out, with the rest far below."""
    rng = np.random.default_rng(0)
    half = columns // 2
    x = np.ldexp(rng.random((rows, columns)) + 1, rng.integers(-120, 120, (rows, columns)))
    x[:, half : 2 * half] = -x[:, :half]
    return rng.permuted(x, axis=1).astype(np.float32)


def adversarial() -> Iterator[Case]:
    rng = np.random.default_rng(0)
    floats = rng.standard_normal(LARGE, np.float32)
    integers = rng.integers(-(1 << 62), 1 << 62, LARGE)
    one = floats[:1]
    ties = (2 * rng.integers(1 << 11, 1 << 12, 1 << 12) + 1).astype(np.float32)
    nothing = np.full(LARGE, np.nan, np.float32)
    subnormal = rng.integers(1, 1 << 20, LARGE, np.uint32).view(np.float32)
    large = (rng.random(1 << 12) * 3e38).astype(np.float32)

    yield made("4,000 nodes of one element", repeated(Op.NEG, 4000), one)
    yield made("1,000 nodes of 2 KiB", repeated(Op.NEG, 1000), floats[:512])
    yield made("a chain of additions", repeated(Op.ADD, 16), floats, one)
    yield made("the same of NaN", repeated(Op.ADD, 16), nothing, one)
    yield made("of subnormal numbers", repeated(Op.MUL, 16), subnormal, one)
    yield made("slices of slices", slices(16), integers)
    yield made("integers divided", repeated(Op.DIV, 4), integers, integers[::-1].copy())
    yield made("floats to integers", repeated(Op.CAST, 1, (DType.INT64,)), floats)
    for op in (Op.EXP, Op.ERF, Op.LOG1P, Op.ATAN, Op.SIN):
        yield made(f"{op.name} of usual numbers", repeated(op, 1), np.abs(floats))
    yield made("SIN of large numbers", repeated(Op.SIN, 1), large)
    yield made("POW, all ties", repeated(Op.POW, 1), ties, np.full(1, 2, np.float32))
    yield made("MOD of numbers far apart", repeated(Op.MOD, 1), large, subnormal[: large.size])
    matrix = floats[: 1 << 18].reshape(512, 512)
    yield made("DOT of usual numbers", repeated(Op.DOT, 4), matrix, matrix)
    far = far_apart(128, 512)
    yield made("DOT of numbers far apart", repeated(Op.DOT, 1), far, np.ones((64, 512), np.float32))
    yield made("DOT of NaN", repeated(Op.DOT, 1), np.full_like(far, np.nan), far)
    wide = integers[: 1 << 16].reshape(128, 512)
    yield made("DOT of large integers", repeated(Op.DOT, 1), wide, wide)
    yield made("REDUCE_MEAN of numbers far apart", repeated(Op.REDUCE_MEAN, 1), far)
    yield made("CUM_SUM of numbers far apart", repeated(Op.CUM_SUM, 1), far[:16])
    yield made("TOP_K", repeated(Op.TOP_K, 1, (8,)), floats[: 1 << 18].reshape(16, -1))
    yield made("TRANSPOSE", repeated(Op.TRANSPOSE, 4, (1, 0)), matrix)
    places = rng.integers(0, 1 << 10, 1 << 11)
    updates = far_apart(1 << 11, 2)
    yield made(
        "SCATTER of numbers far apart", lambda b, x: b.emit(Op.SCATTER, x, 1),
        far_apart(1 << 10, 2), places, updates,
    )  # fmt: skip
    yield made("TREE_WALK", walk, floats[:64].reshape(64, 1))
    image = floats.reshape(1, 256, 256, 32)
    filters = floats[: 32 * 9 * 32].reshape(32, 3, 3, 32)
    yield made("CONV of usual numbers", window(Op.CONV), image, filters)
    yield made("MAX_POOL", window(Op.MAX_POOL), image)
    yield made("AVERAGE_POOL", window(Op.AVERAGE_POOL), image)
    yield made("AVERAGE_POOL of NaN", window(Op.AVERAGE_POOL), np.full_like(image[:, :32], np.nan))


def real() -> Iterator[Case]:
    for model in networks():
        if model.is_here:
            try:
                program = lower(model.onnx(), model.dims)
            except ModelRefused:
                continue
            yield Case(model.name, program, model.inputs())


def measured(case: Case, calibration: Calibration) -> Result:
    runner, work = Runner(case.program), trace_work(case.program)
    run = _seconds(lambda: runner.run(case.inputs))
    traced = _seconds(lambda: trace(runner, case.inputs).root)
    estimate, blind = work.seconds(calibration, run), work.seconds(calibration)
    return Result(case.name, run, traced, estimate, blind)


def _seconds(call: Callable[[], object], times: int = 3) -> float:
    call()
    found = []
    for _ in range(times):
        started = time.process_time()
        call()
        found.append(time.process_time() - started)
    return min(found)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, prog="./dev bench trace")
    parser.add_argument("--json", action="store_true", help="print one JSON object, last")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    keep_pages()
    console = Console(stderr=arguments.json)
    with threadpoolctl.threadpool_limits(1):
        calibration = calibrate()
        cases = [*real(), *adversarial()]
        results = [measured(case, calibration) for case in cases]
    units = Table("unit", "ns", title="What a unit takes here")
    for unit, seconds in calibration.seconds.items():
        units.add_row(unit, f"{seconds * 1e9:,.2f}")
    table = Table("program", "run ms", "pass ms", "pass/run", "estimate/pass", "blind/pass")
    for each in results:
        numbers = (each.run * 1e3, each.traced * 1e3)
        ratios = (each.traced / each.run, each.ratio, each.blind / each.traced)
        style = None if 1 <= each.ratio <= 4 else "red" if each.ratio < 1 else "yellow"
        table.add_row(
            each.name, *(f"{n:,.2f}" for n in numbers), *(f"{n:,.2f}" for n in ratios), style=style
        )
    console.print(units, table)
    if arguments.json:
        print(json.dumps({each.name: round(each.ratio, 2) for each in results}))
    return int(any(each.ratio < 1 for each in results))


if __name__ == "__main__":
    sys.exit(main())
