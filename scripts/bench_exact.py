"""Exact inference against onnxruntime's default session, each on one thread, side by side.

Medians of runs that take turns; each network in a process of its own. Memory is numpy's at its
peak, kernels prepared from the weights included, over weights plus the most that is alive at once
in any order-keeping run. Tabular models are those of oracle/samples, and others trained here on
scikit-learn's own data. With --json the last line is one JSON object.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import time
import tracemalloc
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import onnxruntime as ort  # type: ignore[import-untyped, unused-ignore]
import threadpoolctl  # type: ignore[import-untyped, unused-ignore]
from rich.console import Console
from rich.table import Table

from oracle import merkle
from oracle.errors import ModelRefused, OracleError
from oracle.exact.lowering.graph import lower
from oracle.exact.pages import keep_pages
from oracle.exact.program import Program
from oracle.exact.proofs.inspect import live_bytes, weight_bytes
from oracle.exact.run import Runner
from oracle.inference.onnxruntime import SecondOpinion
from oracle.tensor import Array
from scripts.models import RealModel, more_networks, networks, tabular
from scripts.prose import wrapped

PAGE = Path(__file__).resolve().parent.parent / "docs/benchmarks.md"
MEGABYTE = 1e6

# Issue 3's bars.
GEOMEAN_BAR, RATIO_BAR, ROW_BAR, BATCH_BAR, MEMORY_BAR = 3.0, 6.0, 100.0, 6.0, 4.0


Models: TypeAlias = Callable[[], Sequence[RealModel]]


@dataclass(frozen=True, slots=True)
class Result:
    """Seconds, or why there are none."""

    name: str
    what: str
    exact: float = 0.0
    native: float = 0.0
    memory: float = 0.0
    nodes: int = 0
    weights: int = 0
    refused: tuple[str, ...] = ()
    doubt: str = ""
    """What the second opinion says where it differs."""

    @property
    def ratio(self) -> float:
        return self.exact / self.native

    def json(self) -> dict[str, object]:
        if self.refused:
            return {"refused": list(self.refused)}
        figures = {
            "exact_ms": round(self.exact * 1e3, 4),
            "onnxruntime_ms": round(self.native * 1e3, 4),
            "ratio": round(self.ratio, 3),
            "memory_ratio": round(self.memory, 2),
        }
        return figures | ({"second_opinion": self.doubt} if self.doubt else {})


def measured(model: RealModel, seconds: float) -> Result:
    if not model.is_here:
        return Result(model.name, model.what, refused=("not fetched: ./dev models",))
    file, inputs = model.onnx(), model.inputs()
    try:
        program = lower(file, model.dims)
    except ModelRefused as refused:
        return Result(model.name, model.what, refused=_grouped(refused))
    runner = Runner(program)
    session = _session(file)
    feed = dict(zip((input_.name for input_ in session.get_inputs()), inputs, strict=True))
    doubt = ""
    try:
        opinion = SecondOpinion(file, program.signature, model.dims, program.labels)
        opinion.check(inputs, runner.run(inputs))
    except OracleError as error:
        doubt = str(error)
    exact, native = _medians([lambda: runner.run(inputs), lambda: session.run(None, feed)], seconds)
    return Result(
        model.name,
        model.what,
        exact,
        native,
        _memory_ratio(program, inputs),
        len(program.nodes),
        weight_bytes(program),
        doubt=doubt,
    )


def _each_alone(models: Models, seconds: float) -> list[Result]:
    """Measures each in a process of its own, because what one has left in memory and caches slows
    down another."""
    count = len(models())
    with ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1) as process:
        return list(process.map(_alone, [models] * count, range(count), [seconds] * count))


def _alone(models: Models, place: int, seconds: float) -> Result:
    keep_pages()
    warnings.simplefilter("ignore")
    with threadpoolctl.threadpool_limits(1):
        return measured(models()[place], seconds)


def _grouped(refused: ModelRefused) -> tuple[str, ...]:
    """Groups the reasons: each op and reason once, with how many nodes it is about."""
    counts = Counter((reason.op, reason.why) for reason in refused.reasons)
    return tuple(f"{op}{' × ' if op else ''}{count}: {why}" for (op, why), count in counts.items())


def _session(file: bytes) -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    return ort.InferenceSession(file, options, providers=["CPUExecutionProvider"])


def _medians(calls: Sequence[Callable[[], object]], seconds: float) -> list[float]:
    """Measures the median seconds of each call. The calls take turns, in blocks long enough for the
    clock."""
    blocks = []
    for call in calls:
        call()
        started = time.perf_counter()
        call()
        blocks.append(max(1, int(1e-3 / max(time.perf_counter() - started, 1e-7))))
    times: list[list[float]] = [[] for _ in calls]
    end = time.perf_counter() + seconds
    while len(times[0]) < 5 or (time.perf_counter() < end and len(times[0]) < 1000):
        for call, block, found in zip(calls, blocks, times, strict=True):
            started = time.perf_counter()
            for _ in range(block):
                call()
            found.append((time.perf_counter() - started) / block)
    return [statistics.median(found) for found in times]


def _memory_ratio(program: Program, inputs: Sequence[Array]) -> float:
    tracemalloc.start()
    try:
        runner = Runner(program)
        runner.run(inputs)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return (peak + weight_bytes(program)) / (weight_bytes(program) + live_bytes(program))


def hashing() -> dict[str, float]:
    """Measures the MB/s of value roots on one core, over 32 MB in values of many sizes. `./dev
    bench hash` tells more."""
    rng = np.random.default_rng(0)
    values = [rng.standard_normal(size, np.float32) for size in (1 << 22, *[1 << 16] * 64)]
    size = sum(value.nbytes for value in values) / MEGABYTE
    (seconds,) = _medians([lambda: [merkle.tensor_root(value) for value in values]], 0)
    return {"one_core": round(size / seconds, 1)}


def _rows(results: Sequence[Result]) -> Iterator[tuple[str, ...]]:
    for each in results:
        if each.refused:
            yield each.name, each.what, "refused", "", "", "", ""
            continue
        yield (
            each.name + (" (second opinion differs)" if each.doubt else ""),
            each.what,
            f"{each.exact * 1e3:.3f}",
            f"{each.native * 1e3:.3f}",
            f"{each.ratio:.2f}",
            f"{each.memory:.1f}",
            f"{each.weights / MEGABYTE:.1f}",
        )


def _tabular_rows(ones: Sequence[Result], many: Sequence[Result]) -> Iterator[tuple[str, ...]]:
    for one, batch in zip(ones, many, strict=True):
        yield (
            one.name,
            one.what,
            f"{one.exact * 1e6:.1f}",
            f"{one.native * 1e6:.1f}",
            f"{batch.exact * 1e6:.0f}",
            f"{batch.native * 1e6:.0f}",
            f"{batch.ratio:.2f}",
        )


NETWORK_HEAD = (
    *("model", "input", "exact ms", "onnxruntime ms", "ratio"),
    *("memory ratio", "weights MB"),
)
TABULAR_HEAD = (
    *("model", "input", "exact µs", "onnxruntime µs", "128 rows, exact µs"),
    *("128 rows, onnxruntime µs", "ratio at 128"),
)


def _table(title: str, head: Sequence[str], rows: Iterator[tuple[str, ...]]) -> Table:
    table = Table(title=title)
    for name in head:
        table.add_column(name, no_wrap=name == head[0])
    for row in rows:
        table.add_row(*row)
    return table


def _markdown(head: Sequence[str], rows: Iterator[tuple[str, ...]]) -> list[str]:
    lines = ["| " + " | ".join(head) + " |", "|---|---|" + "--:|" * (len(head) - 2)]
    return lines + ["| " + " | ".join(row) + " |" for row in rows] + [""]


def _geomean(ratios: Sequence[float]) -> float | None:
    return round(statistics.geometric_mean(ratios), 3) if ratios else None


def _refusals(results: Sequence[Result]) -> Iterator[str]:
    for each in results:
        for reason in each.refused:
            yield f"{each.name}: {reason}"


def _choose_own_kernels() -> None:
    """Starts anew without OPENBLAS_CORETYPE, as a worker's children do: the bits do not depend on
    it, so the processor chooses. OpenBLAS reads it when it is loaded, which is before this."""
    if os.environ.pop("OPENBLAS_CORETYPE", None) is not None:
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, prog="./dev bench exact")
    parser.add_argument("--json", action="store_true", help="print one JSON object, last")
    parser.add_argument("--write", action="store_true", help="renew docs/benchmarks.md")
    parser.add_argument("--seconds", type=float, default=2.0, help="for each model")
    arguments = parser.parse_args()
    _choose_own_kernels()
    keep_pages()
    warnings.simplefilter("ignore")

    nets = _each_alone(networks, arguments.seconds)
    more = _each_alone(more_networks, arguments.seconds)
    with threadpoolctl.threadpool_limits(1):
        ones = [measured(model, arguments.seconds / 4) for model in tabular()]
        many = [measured(model, arguments.seconds / 4) for model in tabular(128)]
    speeds = hashing()
    geomean = _geomean([each.ratio for each in nets if not each.refused])

    console = Console(stderr=arguments.json)
    console.print(_table("Networks", NETWORK_HEAD, _rows(nets)))
    console.print(_table("More networks of the same packages", NETWORK_HEAD, _rows(more)))
    console.print(_table("Tabular models", TABULAR_HEAD, _tabular_rows(ones, many)))
    for line in _refusals([*nets, *more, *ones]):
        console.print(f"refused: {line}", markup=False)
    for each in (*nets, *more, *ones):
        if each.doubt:
            console.print(f"{each.name}: {each.doubt}", style="red", markup=False)
    console.print("Trace hashing, MB/s:", speeds)
    console.print(f"Geometric mean over the networks that run: {geomean}; the bar is ≤ 3.")
    if arguments.write:
        # What follows is written by ./dev bench latency, worker and dispute.
        _, heading, others = PAGE.read_text().partition("\n## Latency")
        PAGE.write_text(_page(nets, more, ones, many, geomean, speeds) + heading + others)
    if arguments.json:
        tables = {
            "geomean_ratio": geomean,
            "models": {each.name: each.json() for each in nets},
            "tabular": {
                one.name: {
                    "exact_us": round(one.exact * 1e6, 2),
                    "onnxruntime_us": round(one.native * 1e6, 2),
                    "batch_128_ratio": round(batch.ratio, 3),
                }
                for one, batch in zip(ones, many, strict=True)
            },
            "hashing_mb_s": speeds,
            "more": {each.name: each.json() for each in more},
        }
        print(json.dumps(tables))
    return int(_misses(nets, ones, many, geomean))


def _misses(
    nets: Sequence[Result], ones: Sequence[Result], many: Sequence[Result], geomean: float | None
) -> bool:
    """Says whether a bar is missed. A network that is refused misses it."""
    if geomean is None or geomean > GEOMEAN_BAR or any(each.refused for each in nets):
        return True
    slow = any(each.ratio > RATIO_BAR or each.memory > MEMORY_BAR for each in nets)
    rows = any(each.exact * 1e6 > ROW_BAR for each in ones)
    return slow or rows or any(each.ratio > BATCH_BAR for each in many)


def _page(
    nets: Sequence[Result],
    more: Sequence[Result],
    ones: Sequence[Result],
    many: Sequence[Result],
    geomean: float | None,
    speeds: Mapping[str, float],
) -> str:
    refused = [f"- {line}" for line in _refusals([*nets, *more])]
    machine = f"numpy {np.__version__}, onnxruntime {ort.__version__}, {platform.machine()}"
    lines = [
        "# Benchmarks",
        "",
        wrapped(
            "Written by `./dev bench exact --write`: medians, exact inference and onnxruntime's"
            f" default session in turns, one thread each ({machine}, Python"
            f" {platform.python_version()}). OpenBLAS chooses its kernels for the processor,"
            " whatever OPENBLAS_CORETYPE says. Memory ratio: numpy's peak, prepared kernels"
            " included, over weights and live tensors."
        ),
        "",
        "## Networks",
        "",
        *_markdown(NETWORK_HEAD, _rows(nets)),
        f"Geometric mean of the ratios of those that run: {geomean}.",
        "",
        "## More networks of the same packages",
        "",
        *_markdown(NETWORK_HEAD, _rows(more)),
        "## Tabular models",
        "",
        *_markdown(TABULAR_HEAD, _tabular_rows(ones, many)),
        "## Traces",
        "",
        *(f"- hashing, {name.replace('_', ' ')}: {speed} MB/s" for name, speed in speeds.items()),
        "",
    ]
    if refused:
        lines += ["## Refused", "", *refused, ""]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
