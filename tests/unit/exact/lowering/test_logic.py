"""Comparison, logic, bits, Mod, and all reductions: as onnxruntime has them."""

import numpy as np
import pytest
from onnx import TensorProto

from oracle.exact.lowering.graph import lower
from oracle.exact.run import run
from tests.oracles import nasty
from tests.unit.exact.agreement import check, integers, model, numbers, refusal
from tests.unit.exact.files import file, node, tensor

COMPARISONS = ["Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"]


@pytest.mark.parametrize("op", COMPARISONS)
def test_comparisons_agree_on_every_kind_of_number(op):
    x = nasty()
    check(op, {"x": x[:, None], "y": x})
    check(op, {"x": integers(3, 4), "y": integers(4)})


@pytest.mark.parametrize("op", ["And", "Or", "Xor"])
def test_logic_agrees(op):
    x = np.array([True, False])
    check(op, {"x": x[:, None], "y": x})


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.int8, np.uint8])
def test_bits_agree(dtype):
    low = 0 if dtype is np.uint8 else -99
    x, y = (integers(*shape, low=low, high=100, dtype=dtype) for shape in ((5, 4), (4,)))
    for op in ("BitwiseAnd", "BitwiseOr", "BitwiseXor"):
        check(op, {"x": x, "y": y})
    check("BitwiseNot", {"x": x})


def test_not_agrees():
    check("Not", {"x": np.array([True, False])})


@pytest.mark.parametrize("direction", ["LEFT", "RIGHT"])
def test_bit_shift_agrees(direction):
    x, y = np.arange(256).astype(np.uint8), np.arange(8).astype(np.uint8)
    check("BitShift", {"x": x[:, None], "y": y}, direction=direction)
    assert "a shift of" in refusal("BitShift", {"x": x.astype(int), "y": y}, direction=direction)


def test_is_nan_and_is_inf_agree():
    check("IsNaN", {"x": nasty()})
    for positive in (0, 1):
        for negative in (0, 1):
            options = {"detect_positive": positive, "detect_negative": negative}
            check("IsInf", {"x": nasty()}, **options)


@pytest.mark.parametrize("fmod", [0, 1])
def test_mod_of_integers_agrees(fmod):
    y = np.array([-7, -3, -1, 1, 2, 5])
    check("Mod", {"x": integers(20, 1, low=-50, high=50), "y": y}, fmod=fmod)


def test_mod_of_floats_agrees():
    check("Mod", {"x": numbers(50), "y": np.float32(0.3) + np.abs(numbers(50, seed=1))}, fmod=1)


REDUCTIONS = [
    *("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2"),
    *("ReduceSumSquare", "ReduceLogSum", "ReduceLogSumExp"),
]


@pytest.mark.parametrize("op", REDUCTIONS)
@pytest.mark.parametrize("axes", [[1], [0, 2], [-1], []])
def test_reductions_agree(op, axes):
    x = {"x": np.abs(numbers(3, 4, 5)) + np.float32(0.1)}
    check(op, x, {"a": np.array(axes, np.int64)}, keepdims=0, opset=18)
    old = {"axes": axes} if axes else {}
    if op == "ReduceSum":
        check(op, x, opset=11, keepdims=1, **old)
    else:
        check(op, x, opset=13, keepdims=1, **old)


@pytest.mark.parametrize("op", ["ReduceSum", "ReduceMean", "ReduceProd", "ReduceMax", "ReduceL1"])
def test_reductions_of_integers_agree(op):
    check(op, {"x": integers(3, 7, low=0, dtype=np.int32)}, {"a": np.array([1])}, opset=18)


@pytest.mark.parametrize("op", ["ArgMax", "ArgMin"])
@pytest.mark.parametrize("last", [0, 1])
def test_arg_min_and_max_agree(op, last):
    x = integers(4, 6, low=0, high=3)
    for array in (x.astype(np.float32), x.astype(np.int32), x.astype(np.uint8)):
        check(op, {"x": array}, axis=1, select_last_index=last)


@pytest.mark.parametrize("exclusive", [0, 1])
@pytest.mark.parametrize("reverse", [0, 1])
def test_cum_sum_agrees(exclusive, reverse):
    for x in (numbers(3, 4, 2), integers(3, 4, 2), integers(3, 1, 2)):
        check("CumSum", {"x": x}, {"a": np.array(1)}, exclusive=exclusive, reverse=reverse)


def test_sum_and_mean_agree():
    inputs = {f"x{at}": numbers(*shape, seed=at) for at, shape in enumerate([(3, 4), (4,), (3, 1)])}
    check("Sum", inputs)
    check("Mean", inputs)


@pytest.mark.parametrize("exclusive", [0, 1])
@pytest.mark.parametrize("reverse", [0, 1])
@pytest.mark.parametrize("dtype", [np.float32, np.int64])
def test_cum_prod_multiplies_from_the_left(exclusive, reverse, dtype):
    x = (numbers(2, 5, 3) * 3).astype(dtype)
    data = model(
        "CumProd", {"x": x}, {"a": np.array(1)}, opset=26, exclusive=exclusive, reverse=reverse
    )
    line = x[:, ::-1] if reverse else x
    if exclusive:
        line = np.concatenate([np.ones((2, 1, 3), dtype), line[:, :-1]], 1)
    wanted = np.multiply.accumulate(line, 1)
    (ours,) = run(lower(data), [x])
    assert ours.tolist() == (wanted[:, ::-1] if reverse else wanted).tolist()


def test_bit_cast_keeps_bits_of_bytes_and_of_constants():
    x = np.arange(-128, 128).astype(np.int8)
    data = model("BitCast", {"x": x}, opset=26, to=TensorProto.UINT8)
    assert run(lower(data), [x])[0].tolist() == x.view(np.uint8).tolist()
    c = np.array([1.5, -2.0, np.inf], np.float32)
    cast = node("BitCast", ["c"], ["bits"], to=TensorProto.INT32)
    made = [cast, node("Add", ["bits", "x"], ["y"])]
    data = file(made, [tensor("x", [3], TensorProto.INT32)], ["y"], opset=26, c=c)
    (ours,) = run(lower(data), [np.zeros(3, np.int32)])
    assert ours.tolist() == c.view(np.int32).tolist()


def test_bit_cast_of_what_only_a_run_knows_is_refused():
    floats, whole = {"x": numbers(3)}, {"x": np.arange(3)}
    assert "reads the bits of float" in refusal("BitCast", floats, opset=26, to=TensorProto.INT32)
    assert "as dtype 1" in refusal("BitCast", whole, opset=26, to=TensorProto.FLOAT)
    bytes_ = {"x": np.arange(3, dtype=np.uint8)}
    assert "reads the bits" in refusal("BitCast", bytes_, opset=26, to=TensorProto.BOOL)
