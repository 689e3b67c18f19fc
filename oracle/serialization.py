"""Values as JSON and back: what child processes answer, and what the state keeps.

Bytes are base64, numbers are of any size. Reading is strict: a value has the type that its
dataclass declares, or it is refused. Nothing is ever unpickled.
"""

from typing import Any, TypeVar

import msgspec

T = TypeVar("T")


class Unreadable(ValueError):
    """The text is not JSON, or not a value of the type that was asked for."""


def dump(value: Any) -> bytes:
    """Gives a dataclass of numbers, text, bytes, tuples and dataclasses as JSON."""
    return msgspec.json.encode(value)


def load(data: bytes | str, kind: type[T]) -> T:
    """Reads what `dump` gave of a value of type `kind`. Raises Unreadable."""
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise Unreadable(str(error)) from None
