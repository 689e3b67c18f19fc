"""Encodings of features in ai.onnx.ml: labels, categories, missing values and thresholds."""

from collections.abc import Sequence

import numpy as np

from oracle.exact.lowering.builder import Builder
from oracle.exact.lowering.elementwise import cast
from oracle.exact.lowering.indexing import joined
from oracle.exact.lowering.linear import rows
from oracle.exact.lowering.logic import is_nan
from oracle.exact.lowering.movement import gather
from oracle.exact.lowering.source import Lowering, Source, tensor_array
from oracle.exact.primitive import Outside
from oracle.exact.program import Op, Operand
from oracle.tensor import Array
from oracle.types import DType


def _label_encoder(b: Builder, node: Source) -> list[Operand]:
    """Emits the value of the first key that equals x, else the default. NaN equals a key NaN."""
    (x,) = node.exactly(1)
    found, count = _found(b, node, x)
    values = _column(b, node, "values")
    texts = node.texts("values_strings")
    if (values is None) == (not texts):
        raise Outside("its values are neither numbers nor strings", "give one kind")
    if count != (len(texts) if values is None else values.size):
        raise Outside(f"{count} keys for another number of values", "fix the file")
    if values is None:
        texts = (*texts, node.text("default_string", "_Unused"))
        return [b.mark_text(gather(b, b.text(texts, (count + 1,)), found, 0), texts)]
    return [gather(b, b.constant(np.append(values, _default(b, node, values))), found, 0)]


def _found(b: Builder, node: Source, x: Operand) -> tuple[Operand, int]:
    """Emits the place of the key that x equals. Gives that and the number of keys."""
    texts = b.texts(x)
    if texts is not None:
        keys = node.texts("keys_strings")
        return _looked_up(b, x, texts, keys), len(keys)
    numbers = _column(b, node, "keys")
    if numbers is None:
        raise Outside("its keys are no numbers", "give keys_int64s or keys_floats")
    x = cast(b, x, DType.INT64) if numbers.dtype == np.int64 else x
    return _places(b, x, numbers), numbers.size


def _looked_up(b: Builder, x: Operand, texts: Sequence[str], keys: Sequence[str]) -> Operand:
    """Emits for places in a list of strings which key each is, or how many keys there are."""
    places = {key: place for place, key in reversed(list(enumerate(keys)))}
    table = np.array([places.get(text, len(keys)) for text in texts], np.int64)
    return gather(b, b.constant(table), x, 0)


def _column(b: Builder, node: Source, which: str) -> Array | None:
    """Reads the keys or the values where they are numbers, else gives None."""
    if node.has(f"{which}_tensor"):
        array = tensor_array(node.tensor(f"{which}_tensor"), b.limits.elements).reshape(-1)
        if array.dtype not in (np.int64, np.float32):
            raise Outside(f"its {which} are of {array.dtype}", "use int64 or float32")
        return array
    if node.has(f"{which}_int64s"):
        return np.array(node.integers(f"{which}_int64s"), np.int64)
    return node.reals(f"{which}_floats") if node.has(f"{which}_floats") else None


def _default(_b: Builder, node: Source, values: Array) -> Array:
    if node.has("default_tensor"):
        given = tensor_array(node.tensor("default_tensor"), 1).reshape(-1)
        if given.dtype != values.dtype:
            raise Outside(f"its default is of {given.dtype}", f"use {values.dtype}")
        return given
    if values.dtype == np.int64:
        return np.array([node.integer("default_int64", -1)], np.int64)
    return np.array([node.real("default_float", 0.0)], np.float32)


def _places(b: Builder, x: Operand, keys: Array) -> Operand:
    """Emits which key equals x, or the number of keys where none does: int64 in the shape of x."""
    column = b.reshape(x, (x.type.elements, 1))
    same = b.emit(Op.EQUAL, (column, b.constant(keys)))
    if keys.dtype == np.float32 and np.isnan(keys).any():
        missing = b.emit(Op.AND, (is_nan(b, column), b.constant(np.isnan(keys))))
        same = b.emit(Op.OR, (same, missing))
    none = b.constant(np.ones((x.type.elements, 1), np.uint8))
    hits = b.emit(Op.CONCAT, (cast(b, same, DType.UINT8), none))
    return b.reshape(b.emit(Op.ARG_MAX, (hits,), 0), x.type.shape)


def _one_hot(b: Builder, node: Source) -> list[Operand]:
    """Emits 1 at the category that x, cast to int64, equals, and 0 elsewhere."""
    (x,) = node.exactly(1)
    categories = np.array(node.integers("cats_int64s", ()), np.int64)
    names = node.texts("cats_strings")
    node.integer("zeros", 1)  # 0 makes an unknown category an error, but no program can fail
    texts = b.texts(x)
    if (texts is None) == bool(names) or bool(names) == bool(categories.size):
        raise Outside("its categories are not of its input's kind", "give cats_int64s, or strings")
    if texts is not None:
        x, categories = _looked_up(b, x, texts, names), np.arange(len(names))
    wide = b.reshape(cast(b, x, DType.INT64), (*x.type.shape, 1))
    return [cast(b, b.emit(Op.EQUAL, (wide, b.constant(categories))), DType.FLOAT)]


def _imputer(b: Builder, node: Source) -> list[Operand]:
    (x,) = node.exactly(1)
    if x.type.dtype is DType.FLOAT:
        values = node.reals("imputed_value_floats")
        gap = np.array(node.real("replaced_value_float", 0.0), np.float32)
    else:
        values = np.array(node.integers("imputed_value_int64s", ()), np.int64)
        gap = np.array(node.integer("replaced_value_int64", 0), np.int64)
    if values.size not in (1, (x.type.shape or (1,))[-1]):
        raise Outside(f"it has {values.size} values for {x.type}", "give one, or one a feature")
    missing = is_nan(b, x) if np.isnan(gap) else b.emit(Op.EQUAL, (x, b.constant(gap)))
    return [b.emit(Op.WHERE, (missing, b.constant(values), x))]


def _binarizer(b: Builder, node: Source) -> list[Operand]:
    (x,) = node.exactly(1)
    above = b.emit(Op.LESS, (b.scalar(node.real("threshold", 0.0)), x))
    return [cast(b, above, x.type.dtype)]


def _feature_vectorizer(b: Builder, node: Source) -> list[Operand]:
    parts = [rows(b, node.input(at)) for at in range(len(node.inputs))]
    sizes: Sequence[int] = node.integers("inputdimensions", ())
    if not parts or (sizes and [part.type.shape[1] for part in parts] != list(sizes)):
        raise Outside(f"its inputs are not of {tuple(sizes)} features", "fix inputdimensions")
    if len({part.type.shape[0] for part in parts}) > 1:
        raise Outside("its inputs have different numbers of rows", "fix their shapes")
    return [joined(b, parts, 1)]


ONNX_ML: dict[str, Lowering] = {
    "LabelEncoder": _label_encoder,
    "OneHotEncoder": _one_hot,
    "Imputer": _imputer,
    "Binarizer": _binarizer,
    "FeatureVectorizer": _feature_vectorizer,
}
