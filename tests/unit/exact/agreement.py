"""One ONNX node under the law, held against the plain kernels and against onnxruntime."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import helper

from oracle.errors import ModelRefused
from oracle.exact.lowering.graph import lower
from oracle.exact.program import Program
from oracle.exact.run import run
from oracle.tensor import Array
from tests.oracles import same
from tests.unit.exact.files import file, node, tensor

Arrays = Mapping[str, Array]


def model(
    op: str,
    inputs: Arrays,
    constants: Arrays | None = None,
    order: Sequence[str] = (),
    outputs: int = 1,
    left_out: Sequence[int] = (),
    opset: int = 21,
    **attributes: Any,
) -> bytes:
    """`order` names the node's inputs where they are not the inputs and then the constants;
    `left_out` are places of outputs that the node does not give."""
    constants = constants or {}
    names = ["" if place in left_out else f"y{place}" for place in range(outputs)]
    made = node(op, order or [*inputs, *constants], names, **attributes)
    given = [
        tensor(name, array.shape, helper.np_dtype_to_tensor_dtype(array.dtype))
        for name, array in inputs.items()
    ]
    return file(
        [made], given, [name for name in names if name], opset=opset, ml_opset=4, **constants
    )


def agree(data: bytes, inputs: Arrays, *, slow: bool = True, **tolerance: float) -> list[Array]:
    """Fast = plain, bit for bit, and onnxruntime near; its own bits where nothing is float."""
    program = lower(data)
    outputs = run(program, list(inputs.values()))
    if slow:
        for ours, law in zip(outputs, run(program, list(inputs.values()), plain=True), strict=True):
            assert same(ours, law)
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    for ours, theirs in zip(outputs, session.run(None, dict(inputs)), strict=True):
        assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
        if ours.dtype == np.float32:
            near = {"rtol": 1e-4, "atol": 1e-5} | tolerance
            np.testing.assert_allclose(ours, theirs, rtol=near["rtol"], atol=near["atol"])
        else:
            assert ours.tolist() == theirs.tolist()
    return list(outputs)


def check(op: str, inputs: Arrays, constants: Arrays | None = None, **rest: Any) -> Program:
    """The node agrees; its program."""
    data = model(op, inputs, constants, **rest)
    agree(data, inputs)
    return lower(data)


def refusal(op: str, inputs: Arrays, constants: Arrays | None = None, **rest: Any) -> str:
    with pytest.raises(ModelRefused) as refused:
        lower(model(op, inputs, constants, **rest))
    return str(refused.value)


def numbers(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def integers(*shape: int, low: int = -5, high: int = 6, dtype: type = np.int64) -> Array:
    return np.random.default_rng(0).integers(low, high, shape).astype(dtype)
