"""What a process and those that it started take of the machine, by Linux's /proc."""

import os
from pathlib import Path

PROC = Path("/proc")
TICK = os.sysconf("SC_CLK_TCK")  # a second
PAGE = os.sysconf("SC_PAGESIZE")  # bytes
PARENT, CPU, RESIDENT = 1, slice(11, 15), 21  # fields of stat behind the name of the program


def resident(pid: int) -> int:
    """Gives the bytes of memory that a process has, or none if it is gone."""
    fields = _fields(pid)
    return 0 if fields is None else int(fields[RESIDENT]) * PAGE


def resident_of_tree(pid: int) -> int:
    """Adds up the bytes of a process and of all below it. What they share counts for each."""
    return sum(map(resident, _tree(pid)))


def cpu_seconds_of_tree(pid: int) -> float:
    """Adds up the processor time of a process and of all below it, also those that are gone and
    that their parents have waited for."""
    found = (fields for each in _tree(pid) if (fields := _fields(each)) is not None)
    return sum(int(ticks) for fields in found for ticks in fields[CPU]) / TICK


def _tree(pid: int) -> list[int]:
    """Lists a process and all below it."""
    every = [int(each.name) for each in PROC.iterdir() if each.name.isdigit()]
    parents = {each: int(fields[PARENT]) for each in every if (fields := _fields(each))}
    found = [pid]
    for each in found:
        found += [child for child, parent in parents.items() if parent == each]
    return found


def _fields(pid: int) -> list[str] | None:
    try:
        text = (PROC / str(pid) / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text.rpartition(")")[2].split()  # a program may be named anything
