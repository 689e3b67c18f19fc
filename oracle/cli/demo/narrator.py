"""What the programs in this process log, as lines of the play."""

from typing import Any

import structlog
from structlog.contextvars import merge_contextvars

from oracle.cli import show
from oracle.cli.dispute import part_name
from oracle.types import Part


def narrate() -> None:
    """Turns what a program in this process logs into lines of the play."""
    structlog.configure(processors=[merge_contextvars, _sentence], logger_factory=_Narrator)


def _sentence(_: Any, _level: str, fields: Any) -> str:
    what, who = fields.pop("event"), fields.pop("who", "")
    # What was taken on is soon done, and then it is told.
    if what == "took on a duty":
        raise structlog.DropEvent
    values = (f"{name} {_brief(value)}" for name, value in fields.items() if value is not None)
    return f"{who} {what}: {', '.join(values)}"


def _brief(value: Any) -> str:
    if isinstance(value, Part):
        return part_name(value)
    text = str(value)
    if len(text) < 60:
        return text
    return show.short(text if text.startswith("0x") else "0x" + text)


class _Narrator:
    """Prints beside the status line, without breaking it."""

    def __init__(self, *_: Any):
        pass

    def msg(self, line: str) -> None:
        show.out.print(f"  {line}", style="dim", soft_wrap=True)

    debug = info = warning = error = critical = msg
