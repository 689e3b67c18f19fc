"""The bars of the worker's benchmark, and what it reads of processes."""

import os
import subprocess
import sys
from dataclasses import replace

import pytest

from scripts.bench_worker import Answered, Counts, Measured, rows_of
from scripts.processes import cpu_seconds_of_tree, resident, resident_of_tree

AT_THE_BARS = Measured(
    counts=Counts.of(20_000),
    ceiling=1000.0,
    batched=Answered(per_s=500.0, resident=10**9, growth=10.0, cpu_ms=1.0),
    single=Answered(per_s=150.0, resident=10**9, growth=99.0, cpu_ms=9.0),
    backlog=5000.0,
    latency=(100.0, 150.0, 900.0),
)


def missed(found: Measured) -> list[str]:
    return [row.what.split(":")[0] for row in rows_of(found) if row.is_missed]


def test_rows_of_misses_nothing_at_the_bars() -> None:
    assert missed(AT_THE_BARS) == []


@pytest.mark.parametrize(
    ("worse", "what"),
    [
        (replace(AT_THE_BARS, batched=replace(AT_THE_BARS.batched, per_s=499.9)), "batched"),
        (replace(AT_THE_BARS, single=replace(AT_THE_BARS.single, per_s=149.9)), "single"),
        (replace(AT_THE_BARS, backlog=4999.9), "backlog"),
        (replace(AT_THE_BARS, latency=(100.0, 150.1, 900.0)), "latency"),
        (
            replace(AT_THE_BARS, batched=replace(AT_THE_BARS.batched, growth=10.1)),
            "growth of the worker's own from 25 % to 90 %",
        ),
    ],
)
def test_rows_of_misses_what_is_worse_than_its_bar(worse: Measured, what: str) -> None:
    assert missed(worse) == [what]


def test_a_higher_ceiling_raises_the_bars_of_batched_and_single() -> None:
    assert missed(replace(AT_THE_BARS, ceiling=1001.0)) == ["batched", "single"]


def test_counts_of_gives_each_part_its_share() -> None:
    assert Counts.of(20_000) == Counts(500, 20_000, 500, 10_000, 200)


def test_a_tree_of_processes_has_the_memory_and_the_time_of_its_children() -> None:
    busy = "import time; held = bytes(range(256)) * 2**18; time.process_time()\n"
    busy += "while time.process_time() < 0.2: pass\n"
    busy += "print('ready', flush=True); input()"
    before = cpu_seconds_of_tree(os.getpid())
    with subprocess.Popen(
        [sys.executable, "-c", busy], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None and child.stdout.readline() == "ready\n"
        held = resident_of_tree(os.getpid()) - resident(os.getpid())
        meanwhile = cpu_seconds_of_tree(os.getpid())
        child.communicate("\n")

    assert held > 2**26
    assert meanwhile - before >= 0.15
    assert cpu_seconds_of_tree(os.getpid()) - before >= 0.15  # of a child that is gone
    assert resident(child.pid) == 0
