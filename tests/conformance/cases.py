"""ONNX's own node cases, which every runtime is held to, run under the law.

A case that the law refuses as it stands only because shapes, axes or other parameters are inputs,
as they are in no model that was exported, is tried again with its integer inputs as constants, and
then with all inputs but the first (scales, zero points, a region).
"""

import warnings
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from typing import Any

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper

from oracle.errors import ModelRefused, Reason
from oracle.exact.lowering.graph import lower
from oracle.exact.program import Program
from oracle.exact.run import run
from oracle.tensor import Array

PASSED, FAILED, REFUSED = "passed", "failed", "refused"


class Constants(IntEnum):
    """Which inputs become constants of the model."""

    NONE = 0
    INTEGERS = 1
    PARAMETERS = 2


_WIDER = {"int16": np.int32, "uint16": np.int32, "uint32": np.int64}
"""Integers of a file that the law has as wider ones."""

_PLACES = 2.0**-6
"""Two places of bfloat16. A tolerance below one, as ONNX's own of 1e-3 is, asks for
the very roundings of its reference."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """`why` is empty for what passed; `ops` are those that stand in the way of what was refused."""

    case: str
    op: str
    result: str
    why: str = ""
    ops: tuple[str, ...] = ()
    constants: bool = False
    """Whether parameters had to be made constants."""


@cache
def cases() -> dict[str, Any]:
    """onnx.backend.test's node cases by name. They draw their data anew at each import."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnx.backend.test.case import node

        np.random.seed(0)
        return {case.name: case for case in node.collect_testcases(None)}


def outcome(case: Any) -> Outcome:
    """What became of the case: of all its data sets, the worst."""
    op = _op(case)
    first: Outcome | None = None
    for constants in Constants:
        try:
            whys = [_why_wrong(case, given, wanted, constants) for given, wanted in case.data_sets]
        except ModelRefused as refused:
            reason = refused.reasons[0]
            ops = tuple(sorted({reason.op for reason in refused.reasons if reason.op}))
            found = Outcome(case.name, op, REFUSED, reason.why, ops)
            first = first or found
            continue
        except Exception as error:  # a case must not end the others
            return Outcome(case.name, op, FAILED, f"{type(error).__name__}: {error}"[:200])
        why = next(filter(None, whys), "")
        return Outcome(case.name, op, FAILED if why else PASSED, why, (), constants > 0)
    assert first is not None
    return first


def program(case: Any) -> Program | None:
    """Lowers the case as `outcome` runs it: with the fewest constants that the law asks for. None
    is a case that the law refuses."""
    ((inputs, _),) = case.data_sets  # each case has one
    for constants in Constants:
        with suppress(ModelRefused):
            model, _ = _frozen(case.model, list(map(_array, inputs)), constants)
            return lower(model.SerializeToString())
    return None


def _op(case: Any) -> str:
    """The op that the case is about; of one written out as a function's body, the function."""
    case = cases().get(case.name.partition("_expanded")[0], case)
    return str(case.model.graph.node[0].op_type) if case.model.graph.node else ""


def _why_wrong(
    case: Any, inputs: Sequence[Any], expected: Sequence[Any], constants: Constants
) -> str | None:
    model, arrays = _frozen(case.model, list(map(_array, inputs)), constants)
    program = lower(model.SerializeToString())
    outputs = run(program, [_places(array, program.categories) for array in arrays])
    if len(outputs) != len(expected):
        return f"{len(outputs)} outputs in place of {len(expected)}"
    for ours, theirs in zip(outputs, map(_array, expected), strict=True):
        rtol = max(case.rtol, _PLACES) if theirs.dtype.name == "bfloat16" else case.rtol
        if why := _difference(*_comparable(ours, theirs), rtol, case.atol):
            return why
    return None


def _frozen(
    model: ModelProto, inputs: Sequence[Any], constants: Constants
) -> tuple[ModelProto, list[Array]]:
    """The model with the dims of `inputs`, the ones that are left to give among them, and with
    those that `constants` names as initializers, but for the first input unless all are scalars."""
    frozen = ModelProto()
    frozen.CopyFrom(model)
    infos = list(frozen.graph.input)
    del frozen.graph.input[:]
    left = []
    for place, (info, value) in enumerate(zip(infos, inputs, strict=True)):
        if not isinstance(value, np.ndarray | np.generic):
            frozen.graph.input.append(info)  # a sequence or nothing at all: lower says so
            left.append(value)
            continue
        array = np.asarray(value)
        follows = place > 0 or all(np.ndim(each) == 0 for each in inputs)
        is_integer = array.dtype != np.float32 and (follows or len(inputs) == 1)
        is_parameter = follows if constants is Constants.PARAMETERS else is_integer
        if constants and is_parameter:
            frozen.graph.initializer.append(numpy_helper.from_array(array, info.name))
            continue
        if info.type.HasField("tensor_type"):
            dtype = info.type.tensor_type.elem_type
            info.CopyFrom(helper.make_tensor_value_info(info.name, dtype, array.shape))
        frozen.graph.input.append(info)
        left.append(_in_law(info.name, array))
    if not frozen.graph.input:  # the law wants one
        unused = helper.make_tensor_value_info("unused", TensorProto.FLOAT, [1])
        frozen.graph.input.append(unused)
        left.append(np.zeros(1, np.float32))
    return frozen, left


def _array(value: Any) -> Any:
    """The case's tensor; anything else as it is."""
    if isinstance(value, TensorProto):
        return numpy_helper.to_array(value)
    return np.asarray(value) if isinstance(value, np.generic) else value


def _in_law(name: str, array: Array) -> Array:
    """An input of another float as the float32 that the signature says, and integers as the wider
    ones. The case asks something else where a float is none."""
    if not _is_float(array):
        return array.astype(_WIDER.get(array.dtype.name, array.dtype))
    held = array.astype(np.float32)
    if not np.array_equal(held, array, equal_nan=True):
        why = f"the case gives {name!r} {array.dtype} that are no float32"
        raise ModelRefused([Reason("", "", why, "give float32")])
    return held


def _places(array: Array, categories: Sequence[str]) -> Array:
    """Strings as their places among those that the program knows; anything else as it is."""
    if array.dtype != object:
        return array
    known = {text: place for place, text in enumerate(categories)}
    places = [known.get(str(text), len(known)) for text in array.ravel()]
    return np.array(places, np.int64).reshape(array.shape)


def _is_float(array: Array) -> bool:
    return np.issubdtype(array.dtype, np.floating) or array.dtype.name == "bfloat16"


def _comparable(ours: Array, theirs: Array) -> tuple[Array, Array]:
    """Both as float32 where theirs are of another float: float64 rounded to it; ours rounded to
    what is narrower, as the case's own dtype has it. Integers as wider ones."""
    theirs = theirs.astype(_WIDER.get(theirs.dtype.name, theirs.dtype))
    if not _is_float(theirs) or ours.dtype != np.float32:
        return ours, theirs
    with np.errstate(all="ignore"):
        if theirs.dtype.itemsize < ours.dtype.itemsize:
            ours = ours.astype(theirs.dtype).astype(np.float32)
        return ours, theirs.astype(np.float32)


def _difference(ours: Array, theirs: Array, rtol: float, atol: float) -> str | None:
    if (ours.dtype, ours.shape) != (theirs.dtype, theirs.shape):
        return f"{ours.dtype}{list(ours.shape)} in place of {theirs.dtype}{list(theirs.shape)}"
    if not np.issubdtype(ours.dtype, np.floating):
        wrong = np.count_nonzero(ours != theirs)
        return f"{wrong} of {ours.size} elements differ" if wrong else None
    near = np.isclose(ours, theirs, rtol=rtol, atol=atol, equal_nan=True)
    if near.all():
        return None
    at = np.unravel_index(int(np.argmin(near)), near.shape) if near.ndim else ()
    return f"{int((~near).sum())} of {near.size} elements differ: {ours[at]} not {theirs[at]}"
