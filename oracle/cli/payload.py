"""Payloads as a person writes and reads them: JSON arrays in, tables of elements out."""

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from oracle.cli import show
from oracle.cli.files import read_file
from oracle.errors import ConfigError, PayloadError
from oracle.tensor import decode
from oracle.types import Signature, TensorType
from oracle.values import classes, payload_of, payload_of_hex

MAX_TEXT = 1 << 28  # bytes of JSON: enough for any input that a queue takes
SHOWN = 20  # elements of a tensor in a table


def parse(
    text: str, signature: Signature, categories: Callable[[], Sequence[str]] = tuple
) -> bytes:
    """Reads the input payload from `text`, which is JSON, @FILE with JSON, or the payload itself as
    0x….

    One input is given as nested lists, several as an object with a value for each name. Where there
    are strings among integers, `categories` is asked for the list in which they have places.
    """
    if text.startswith("@"):
        try:
            text = read_file(Path(text[1:]), MAX_TEXT).decode()
        except (ConfigError, UnicodeDecodeError) as error:
            raise PayloadError(f"The input cannot be read: {error}") from error
    text = text.strip()
    if text.startswith("0x"):
        return payload_of_hex(text, signature)
    return payload_of(_values(text), signature, categories)


def _values(text: str) -> Any:
    """Reads JSON. Not by orjson, which knows no NaN; and with Python's usual limit of recursion,
    which py-evm raises so far that lists in lists overflow the stack."""
    usual = sys.getrecursionlimit()
    sys.setrecursionlimit(min(usual, 1000))
    try:
        return json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise PayloadError(f"The input is no JSON: {error}.") from None
    finally:
        sys.setrecursionlimit(usual)


def print_elements(
    title: str, payload: bytes, tensors: Sequence[TensorType], labels: Sequence[str | int] = ()
) -> None:
    table = Table("tensor", "values", title=title, title_justify="left")
    meant = classes(payload, tensors, labels)
    for tensor, array in zip(tensors, decode(payload, tensors), strict=True):
        values = [str(value) for value in array.ravel()[:SHOWN]]
        for place, text in enumerate(meant.get(tensor.name, [])[:SHOWN]):
            values[place] += f" ({text})" if text is not None else ""
        shown = ", ".join(values)
        more = f" … {array.size - SHOWN} more" if array.size > SHOWN else ""
        table.add_row(str(tensor), shown + more)
    show.out.print(table)
