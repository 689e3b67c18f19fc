"""Payloads as a person writes and reads them: JSON arrays in, tables of elements out."""

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from oracle.cli import show
from oracle.cli.files import read_file
from oracle.errors import ConfigError, PayloadError
from oracle.tensor import Array, decode, encode, numpy_dtype
from oracle.texts import places
from oracle.types import DType, Signature, TensorType

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
        try:
            payload = bytes.fromhex(text[2:])
        except ValueError:
            raise PayloadError("The input begins with 0x but is not hexadecimal.") from None
        decode(payload, signature.inputs)
        return payload
    values = _values(text)
    return encode(
        [
            _array(_value(values, tensor, signature), tensor, categories)
            for tensor in signature.inputs
        ],
        signature.inputs,
    )


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


def _value(values: Any, tensor: TensorType, signature: Signature) -> Any:
    """Gives what was given for that input."""
    if isinstance(values, dict):
        if tensor.name not in values:
            names = ", ".join(each.name for each in signature.inputs)
            raise PayloadError(f"The input lacks {tensor.name!r}; the model takes {names}.")
        return values[tensor.name]
    if len(signature.inputs) > 1:
        names = ", ".join(each.name for each in signature.inputs)
        raise PayloadError(f"The model takes {names}: give an object with a value for each.")
    return values


def _array(values: Any, tensor: TensorType, categories: Callable[[], Sequence[str]]) -> Array:
    if tensor.dtype is DType.INT64:
        values = _placed(values, tensor, categories)
    try:
        exact = np.asarray(values)
        array = np.asarray(values, dtype=numpy_dtype(tensor.dtype))
    except (ValueError, TypeError, OverflowError) as error:
        raise PayloadError(f"{tensor.name!r} does not hold {tensor}: {error}.") from error
    if array.dtype.kind in "iub" and exact.size and not np.array_equal(exact, array):
        raise PayloadError(f"{tensor.name!r} holds values that are no {tensor.dtype.name.lower()}.")
    if array.size != tensor.elements:
        raise PayloadError(
            f"{tensor.name!r} has {array.size} elements, {tensor} {tensor.elements}."
        )
    return array.reshape(tensor.shape)


def _placed(values: Any, tensor: TensorType, categories: Callable[[], Sequence[str]]) -> Any:
    """Gives places in place of strings, where there are any."""
    array = np.asarray(values, object)
    each = array.ravel()
    is_text = np.array([isinstance(value, str) for value in each], bool)
    if not is_text.any():
        return values
    each[is_text] = places(each[is_text].tolist(), categories(), tensor.name)
    return each.reshape(array.shape).tolist()


def elements(payload: bytes, tensors: Sequence[TensorType]) -> dict[str, Any]:
    """Gives each tensor by name, as nested lists for JSON."""
    arrays = decode(payload, tensors)
    return {tensor.name: array.tolist() for tensor, array in zip(tensors, arrays, strict=True)}


def classes(
    payload: bytes, tensors: Sequence[TensorType], labels: Sequence[str | int]
) -> dict[str, list[str | None]]:
    """Gives by name the output that holds places of `labels`, each place as its label, or None
    where there is none. Only of labels that are strings, and where one output alone is of integers,
    it is known which that is."""
    named = [tensor.name for tensor in tensors if tensor.dtype is DType.INT64]
    if len(named) != 1 or not all(isinstance(label, str) for label in labels) or not labels:
        return {}
    arrays = decode(payload, tensors)
    [array] = [a for t, a in zip(tensors, arrays, strict=True) if t.name == named[0]]
    label_at = dict(enumerate(map(str, labels)))
    return {named[0]: [label_at.get(int(place)) for place in array.ravel()]}


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
