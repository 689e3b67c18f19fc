"""How values look: to a person, and to a machine."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import Any

from rich.console import Console
from rich.table import Table

from oracle.types import TensorType

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)


def ether(wei: int) -> str:
    """Exactly, in the unit that reads best."""
    for unit, size in (("ether", 10**18), ("gwei", 10**9)):
        if abs(wei) >= size // 1000:
            return f"{(Decimal(wei) / size).normalize():f} {unit}"
    return f"{wei} wei"


def rounded(wei: int) -> str:
    """In ether, to three digits: for a table, next to others."""
    return f"{wei / 10**18:.3g} ether"


def short(value: bytes | str) -> str:
    """An id or an address for a table: enough to tell it from the next."""
    text = "0x" + value.hex() if isinstance(value, bytes) else value
    return f"{text[:10]}…{text[-4:]}"


def hex_(value: bytes) -> str:
    return "0x" + value.hex()


def when(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def signature(tensors: Sequence[TensorType]) -> str:
    return ", ".join(map(str, tensors))


def plain(value: Any) -> Any:
    """For JSON: bytes as hex, enums by name, integers beyond 2^53 as decimal strings."""
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


def print_fields(title: str, rows: Mapping[str, object]) -> None:
    """Names and values, one a line."""
    table = Table(title=title, title_justify="left", show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in rows.items():
        table.add_row(name, str(value))
    out.print(table)
