"""Errors on their way out of a child process, as JSON: what a child says is never unpickled.

Either side is total. A hostile file chooses what an error quotes, and an error that could not be
written would end the child, of which nobody learns why; and who took a child over writes anything.
"""

from dataclasses import fields, is_dataclass
from typing import Any

import orjson

from oracle import errors
from oracle.errors import InferenceFailed, ModelRefused, OracleError, Reason

MAX_ERROR = 1 << 20  # bytes of an error that a child tells of
MOST_LETTERS = 1 << 10  # of one text in it
MOST_VALUES = 32  # of one list in it
_DEEPEST = 3


def encoded(error: OracleError) -> bytes:
    """Writes the error with its values, texts and lists of them cut to what a message may hold."""
    kinds = (each.__name__ for each in type(error).__mro__)
    kind = next(name for name in kinds if _is_known(name))
    said = {"type": kind, "message": text(error), "values": _plain(vars(error), _DEEPEST)}
    data = orjson.dumps(said)
    return data if len(data) <= MAX_ERROR else orjson.dumps(said | {"values": {}})


def decoded(data: bytes) -> OracleError:
    """Reads the error that was encoded. Gives InferenceFailed where `data` holds none."""
    try:
        said = orjson.loads(data)
        kind, message, values = said["type"], str(said["message"]), said["values"]
        if kind == "ModelRefused":
            first, *more = (Reason(**_texts(reason)) for reason in values["reasons"])
            return ModelRefused([first, *more])
        if not _is_known(kind):
            raise TypeError(kind)
        found = getattr(errors, kind)
        error: OracleError = found.__new__(found, message)
        for name, value in values.items():
            setattr(error, name, tuple(value) if isinstance(value, list) else value)
    except (ValueError, KeyError, TypeError, AttributeError):
        return InferenceFailed("The child process gave an answer that cannot be read.")
    return error


def text(value: object) -> str:
    """Gives what `str` does, where it does, as text that any message may hold."""
    try:
        said = str(value)
    # Of another's class: anything may come out of it.
    except Exception as error:
        said = f"{type(value).__name__}, which has no text ({type(error).__name__})"
    cut = said if len(said) <= MOST_LETTERS else said[:MOST_LETTERS] + "…"
    return cut.encode(errors="backslashreplace").decode()


def _is_known(kind: str) -> bool:
    found = getattr(errors, kind, None)
    return isinstance(found, type) and issubclass(found, OracleError)


def _plain(value: Any, depth: int) -> Any:
    """Gives a value that JSON has: the value itself, its parts, or its text."""
    if is_dataclass(value) and not isinstance(value, type):
        value = {field.name: getattr(value, field.name, None) for field in fields(value)}
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, float):
        return float(value)  # numpy's is one too
    if isinstance(value, int) and -(1 << 63) <= value < 1 << 64:
        return int(value)
    if depth and isinstance(value, dict):
        some = list(value.items())[:MOST_VALUES]
        return {text(name): _plain(each, depth - 1) for name, each in some}
    if depth and isinstance(value, list | tuple):
        return [_plain(each, depth - 1) for each in value[:MOST_VALUES]]
    return text(value)


def _texts(reason: dict[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in reason.items()}
