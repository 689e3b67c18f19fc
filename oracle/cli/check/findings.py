"""What a check found, and how it is told to a person and to a machine."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

from oracle.cli import show
from oracle.errors import OracleError
from oracle.visible import visible

T = TypeVar("T")
_COLOURS = {"ok": "green", "warning": "yellow", "failure": "red"}


class Level(StrEnum):
    OK = "ok"
    WARNING = "warning"  # it works, and may cost something
    FAILURE = "failure"  # a worker cannot do its work like this


@dataclass(frozen=True, slots=True)
class Finding:
    """A sentence on what was found and, where that is not as it should be, one on what to do."""

    level: Level
    found: str
    advice: str = ""


def ok(found: str) -> Finding:
    return Finding(Level.OK, found)


def warning(found: str, advice: str) -> Finding:
    return Finding(Level.WARNING, found, advice)


def failure(found: str, advice: str) -> Finding:
    return Finding(Level.FAILURE, found, advice)


@dataclass(frozen=True, slots=True)
class Check(Generic[T]):
    """A question about a `T`. `advice` says what to do where it cannot be answered."""

    name: str
    look: Callable[[T], Finding]
    advice: str


@dataclass(frozen=True, slots=True)
class Entry:
    """A finding, what it is about and which check made it."""

    about: str
    check: str
    finding: Finding


def examined(about: str, subject: T, checks: Iterable[Check[T]]) -> Iterator[Entry]:
    """Asks each check about `subject`. One that fails is a finding, and the others go on."""
    for check in checks:
        yield Entry(about, check.name, _looked(subject, check))


def _looked(subject: T, check: Check[T]) -> Finding:
    try:
        return check.look(subject)
    except OracleError as error:
        return failure(str(error), check.advice)
    except Exception as error:  # as of one event: what nobody thought of must not hide the rest
        found = f"The check itself failed: {type(error).__name__}: {visible(str(error), 300)}."
        return failure(found, "Please report it, with the version of exactum.")


def print_entries(entries: Sequence[Entry]) -> None:
    about = None
    for entry in entries:
        if entry.about != about:
            about = entry.about
            show.out.print(show.styled("[bold]{}[/]", about))
        level, finding = entry.finding.level, entry.finding
        mark = f"[{_COLOURS[level]}]{level:<8}[/]"
        show.out.print(show.styled(f"  {mark} {{}}: {{}}", entry.check, finding.found))
        if finding.advice:
            show.out.print(show.styled("  {} → {}", " " * 8, finding.advice))
    show.out.print(summary(entries))


def summary(entries: Sequence[Entry]) -> str:
    counts = {level: count(entries, level) for level in Level}
    failures, warnings = counts[Level.FAILURE], counts[Level.WARNING]
    return f"failures: {failures}, warnings: {warnings}, in order: {counts[Level.OK]}"


def count(entries: Iterable[Entry], level: Level) -> int:
    return sum(entry.finding.level is level for entry in entries)
