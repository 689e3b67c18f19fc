"""The law, held against independent references: every primitive's fast kernel, to the bit.

Functions of one number of 32 bits are swept over all 2^32 of them, against pairs of float64 with a
bound that mpmath confirms first, or against integers. The others meet exact references on millions
of elements, random and nasty. Niced, on one core, in blocks; --only takes some primitives, and
--from goes on where a sweep was stopped. The last line is one JSON object.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import threadpoolctl  # type: ignore[import-untyped, unused-ignore]
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from oracle.exact.program import Op
from scripts.law.differential import CHECKS
from scripts.law.functions import ERROR, VALUES
from scripts.law.pairs import confirm_exactness
from scripts.law.sweeps import SWEEPS, Report, Tally, bound_observed

QUICK = 1 << 8
PAIRS = 100_000


def checks(quick: bool, start: int) -> dict[str, Callable[[Report], Tally]]:
    """Gives the checks by name, each name a primitive and what of it is checked. There is one of
    each primitive."""
    part = QUICK if quick else 1
    sweeps = {each.name: partial(each.run, start=start, stride=part) for each in SWEEPS}
    every: dict[str, Callable[[Report], Tally]] = {
        **sweeps,
        **{each.name: partial(each.run, part=part) for each in CHECKS},
    }
    missing = {op.name for op in Op} - {name.split()[0] for name in every}
    assert not missing, f"nothing checks {missing}"
    return every


def confirmed(name: str, quick: bool) -> dict[str, object]:
    """Checks the bound of a function's reference with mpmath. Raises ArithmeticError where it does
    not hold."""
    op = next((op for op in VALUES if op.name == name), None)
    if op is None:
        return {}
    count, worst = bound_observed(op, PAIRS // (50 if quick else 1))
    if 2.0**worst > ERROR / 16:
        raise ArithmeticError(f"the reference of {name} is off by 2^{worst:.1f}")
    return {"reference_checked": count, "reference_error_log2": round(worst, 1)}


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty"]
    return subprocess.run(command, capture_output=True, text=True).stdout.strip()


def _table(tallies: Sequence[Tally]) -> Table:
    table = Table("primitive", "elements", "wrong", "method", "seconds", title="The law")
    for each in tallies:
        style = "red" if each.wrong else None
        cells = (f"{each.elements:,}", str(each.wrong), each.method, f"{each.seconds:.0f}")
        table.add_row(each.op, *cells, style=style)
    return table


def _show(progress: Progress, task: TaskID, done: int, of: int) -> None:
    progress.update(task, completed=done, total=of)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, prog="./dev bench law")
    parser.add_argument("--json", action="store_true", help="a line a primitive as it is done, too")
    parser.add_argument("--only", action="append", metavar="OP", help="this primitive; repeatable")
    parser.add_argument("--quick", action="store_true", help="a small part of everything")
    parser.add_argument("--from", dest="start", type=lambda text: int(text, 0), default=0)
    arguments = parser.parse_args()
    os.nice(19)

    names = {op.name for op in Op}
    every = checks(arguments.quick, arguments.start)
    if wrong := set(arguments.only or ()) - names:
        parser.error(f"there is no primitive {', '.join(sorted(wrong))}")
    chosen = {
        name: check
        for name, check in every.items()
        if not arguments.only or name.split()[0] in arguments.only
    }
    confirm_exactness()
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    tallies = []
    with threadpoolctl.threadpool_limits(1), Progress(*columns, console=console) as progress:
        for name, check in chosen.items():
            task = progress.add_task(name)
            notes = confirmed(name, arguments.quick)
            tally = check(partial(_show, progress, task))
            tally.notes |= notes
            tallies.append(tally)
            if arguments.json:
                print(json.dumps({name: tally.json()}, ensure_ascii=False), flush=True)
    console.print(_table(tallies))
    summary = {
        "commit": _commit(),
        "machine": f"numpy {np.__version__}, {platform.machine()}",
        "primitives": {tally.op: tally.json() for tally in tallies},
    }
    print(json.dumps(summary, ensure_ascii=False))
    return int(any(tally.wrong for tally in tallies))


if __name__ == "__main__":
    sys.exit(main())
