"""How values look: to a person, and to a machine."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from oracle.types import TensorType
from oracle.visible import visible

GAP = 1  # spaces on each side of what stands in a table
NAMED = 20  # of names in a row that are shown
_PLACE = "\ue000"  # a letter that stands for nothing
_ID = re.compile(r"\b(?:0x)?[0-9a-fA-F]{40,64}\b")  # what somebody may want to copy: ids, addresses


class _Console(Console):
    """Shows strings as they are: as visible text on one line, never as markup or control
    sequences, for a publisher, a server or a node may have written any part of one. What is styled,
    or has lines, is a Text: see `styled`."""

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(visible(text), **options)


out = _Console(highlight=False, soft_wrap=True, markup=False, emoji=False)
err = _Console(stderr=True, highlight=False, soft_wrap=True, markup=False, emoji=False)


def styled(markup: str, *values: object) -> Text:
    """Renders our own markup with `values` in place of each {}. The values are shown as they are,
    whatever markup they hold."""
    # Not by rich's `escape`, which loses backslashes: the markup is read before the values come.
    template = Text.from_markup(markup.replace("{}", _PLACE), emoji=False)
    places = [at for at, letter in enumerate(template.plain) if letter == _PLACE]
    pieces = template.divide([cut for at in places for cut in (at, at + 1)])
    left = iter(values)
    return Text.assemble(
        *(_filled(piece, next(left)) if piece.plain == _PLACE else piece for piece in pieces)
    )


def _filled(place: Text, value: object) -> Text:
    return Text(visible(str(value)), place.spans[0].style if place.spans else "")


def lines(texts: Iterable[str]) -> Text:
    """Puts each text on a line of its own."""
    return Text("\n".join(map(visible, texts)))


def ether(wei: int) -> str:
    """Gives the exact amount, in the unit that reads best."""
    for unit, size in (("ether", 10**18), ("gwei", 10**9)):
        if abs(wei) >= size // 1000:
            return f"{(Decimal(wei) / size).normalize():f} {unit}"
    return f"{wei} wei"


def amount(wei: int) -> str:
    """Gives the exact amount as an option takes it."""
    return ether(wei).replace(" ", "")


def rounded(wei: int) -> str:
    """Gives the amount in ether to three digits, for a table."""
    return f"{wei / 10**18:.3g} ether"


def short(value: bytes | str) -> str:
    """Shortens an id or an address for a table, to what tells it from the next."""
    text = "0x" + value.hex() if isinstance(value, bytes) else value
    return f"{text[:10]}…{text[-4:]}"


def hex_(value: bytes) -> str:
    return "0x" + value.hex()


def when(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def names(values: Sequence[object]) -> str:
    """Lists names, the first of them where there are many."""
    more = f" … {len(values) - NAMED:,} more" if len(values) > NAMED else ""
    return ", ".join(map(str, values[:NAMED])) + more


def dictionary(labels: Sequence[object], categories: Sequence[object]) -> dict[str, str]:
    """Gives rows of what a model's integers stand for, each list in the order of its places."""
    rows = {"classes": labels, "strings at inputs": categories}
    return {what: names(values) for what, values in rows.items() if values}


def signature(tensors: Sequence[TensorType]) -> str:
    return ", ".join(map(str, tensors))


def plain(value: Any) -> Any:
    """Makes a value fit for JSON: bytes as hex, enums by name, integers beyond 2^53 as decimal
    strings."""
    if isinstance(value, bytes):
        return hex_(value)
    if isinstance(value, Enum):
        return value.name.lower()
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return value if abs(value) < 2**53 else str(value)
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def print_json(value: Any) -> None:
    print(json.dumps(plain(value), indent=2))


class _Whole:
    """A table that is so many columns wide, whatever the terminal is: it goes on in its next line,
    and what is copied there is whole."""

    def __init__(self, table: Table, width: int):
        self._table = table
        self._width = width

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = max(self._width, options.max_width)
        yield from console.render(self._table, options.update(width=width))


def print_fields(title: str, rows: Mapping[str, object]) -> None:
    """Prints names and values, one pair a line. Ids and addresses are on one line each."""
    table = Table(
        title=title,
        title_justify="left",
        show_header=False,
        box=None,
        pad_edge=False,
        padding=(0, GAP),
    )
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    values = [value if isinstance(value, Text) else str(value) for value in rows.values()]
    for name, value in zip(rows, values, strict=True):
        table.add_row(name, value)
    ids = [len(found[0]) for value in values for found in _ID.finditer(str(value))]
    widest = max(map(len, rows), default=0)
    out.print(_Whole(table, widest + 2 * GAP + max(ids, default=0)))


def print_parties(parties: Iterable[str]) -> None:
    """Prints the whole of ids or addresses that a table shows shortened, each once."""
    for party in dict.fromkeys(parties):
        out.print(f"{short(party)} is {party}")
