"""Quantized ops, and RNN, GRU and LSTM: as onnxruntime has them."""

import numpy as np
import pytest
from onnx import TensorProto, helper

from oracle.exact.program import Op
from oracle.exact.proofs.inspect import unprovable
from tests.unit.exact.agreement import agree, check, integers, numbers, refusal
from tests.unit.exact.files import node, proto, tensor

X = {"x": numbers(3, 4)}
U8, I8 = np.uint8, np.int8


def small(*shape: int, dtype: type = np.uint8) -> np.ndarray:
    info = np.iinfo(dtype)
    return integers(*shape, low=info.min, high=info.max + 1, dtype=dtype)


@pytest.mark.parametrize("zero", [U8(7), U8(255), I8(-5)])
def test_quantize_and_dequantize_agree(zero):
    scale = np.float32(0.013)
    halves = np.arange(-9, 9, dtype=np.float32) / 2 * scale
    x = {"x": np.concatenate([halves, np.float32([np.inf, -np.inf, 1e9, 0])])}
    program = check("QuantizeLinear", x, {"s": scale, "z": np.array(zero)})
    assert [node.op for node in program.nodes] == [Op.QUANTIZE]
    q = {"q": small(3, 4, dtype=zero.dtype.type)}
    check("DequantizeLinear", q, {"s": scale, "z": np.array(zero)})
    scales, zeros = np.float32([0.1, 0.2, 0.3]), np.array([zero, 0, 1], zero.dtype)
    check("QuantizeLinear", X, {"s": scales, "z": zeros}, axis=0)
    check("DequantizeLinear", q, {"s": scales, "z": zeros}, axis=0)
    check("DequantizeLinear", q, {"s": numbers(3, 2)}, axis=1, block_size=2)
    check("DequantizeLinear", q, {"s": numbers(3, 2)}, axis=1, block_size=3)  # the last has one
    assert "blocks of 4" in refusal(
        "DequantizeLinear", q, {"s": numbers(3, 2)}, axis=1, block_size=4
    )


def test_dequantize_reads_int32_as_numbers():
    check("DequantizeLinear", {"x": integers(3, 4, dtype=np.int32)}, {"s": np.float32(0.5)})


def test_quantizing_to_more_than_16_bits_is_refused():
    constants = {"s": np.float32(1), "z": np.array(0, np.int32)}
    assert "quantizing to int32" in refusal("QuantizeLinear", X, constants)
    assert "quantizing to float8" in refusal(
        "QuantizeLinear", X, {"s": np.float32(1)}, output_dtype=TensorProto.FLOAT8E4M3FN
    )


def test_quantization_in_other_precisions_is_refused():
    constants, half = {"s": np.float32(1), "z": np.array(0, U8)}, TensorProto.FLOAT16
    refused = refusal("QuantizeLinear", X, constants, opset=23, precision=half)
    assert "another precision" in refused
    refused = refusal("DequantizeLinear", {"q": small(3)}, constants, opset=23, output_dtype=2)
    assert "gives dtype 2" in refused
    same = {"precision": TensorProto.FLOAT, "output_dtype": TensorProto.UINT8}
    check("QuantizeLinear", X, {"s": np.float32(1)}, opset=23, **same)


@pytest.mark.parametrize("x", [numbers(3, 4), np.abs(numbers(5)), np.zeros((2, 2), np.float32)])
def test_dynamic_quantize_agrees(x):
    check("DynamicQuantizeLinear", {"x": x}, outputs=3)


def test_dynamic_quantize_of_a_large_tensor_can_be_proven():
    program = check("DynamicQuantizeLinear", {"x": numbers(1, 30, 1000)}, outputs=3)
    pieces = [node.output.shape for node in program.nodes if node.op is Op.REDUCE_MAX]
    assert pieces == [(150,), (1,)]
    # What is left of large proofs is the output itself.
    assert {reason.op for reason in unprovable(program)} <= {"QUANTIZE"}


@pytest.mark.parametrize("dtype", [U8, I8])
def test_integer_products_agree(dtype):
    a, w = {"a": small(2, 3, 4)}, {"b": small(4, 5, dtype=dtype)}
    check("MatMulInteger", a, w)
    zeros = {"za": np.array(9, U8), "zb": np.array(3, dtype)}
    check("MatMulInteger", a, w | zeros)
    check("MatMulInteger", a, w | {"za": np.array(9, U8), "zb": small(5, dtype=dtype)})


def test_conv_integer_agrees():
    x = {"x": small(1, 4, 5, 6)}
    for group in (1, 2):
        w = {"w": small(4, 4 // group, 3, 3), "zx": np.array(3, U8), "zw": np.array(8, U8)}
        options = {"pads": [1, 0, 2, 1], "strides": [2, 1], "group": group}
        assert Op.CONV in {n.op for n in check("ConvInteger", x, w, **options).nodes}


def test_qlinear_ops_agree():
    scale, zero = np.float32, U8
    parameters = {"sa": scale(0.02), "za": zero(3), "b": small(4, 5), "sb": scale(0.01)}
    rest = {"zb": zero(100), "so": scale(0.03), "zo": zero(120)}
    constants = {name: np.asarray(value) for name, value in (parameters | rest).items()}
    check("QLinearMatMul", {"a": small(3, 4)}, constants)
    constants |= {"b": small(3, 2, 3, 3), "sb": np.float32([0.01, 0.02, 0.03])}
    constants |= {"zb": np.array([100] * 3, U8), "bias": integers(3, dtype=np.int32)}
    check("QLinearConv", {"a": small(1, 2, 5, 5)}, constants, pads=[1, 1, 1, 1])


def weights(gates: int, directions: int, hidden: int = 4, features: int = 3):
    return {
        "w": numbers(directions, gates * hidden, features, seed=1),
        "r": numbers(directions, gates * hidden, hidden, seed=2),
        "b": numbers(directions, 2 * gates * hidden, seed=3),
    }


SEQUENCE = {"x": numbers(5, 2, 3)}


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize(("op", "gates", "outputs"), [("RNN", 1, 2), ("GRU", 3, 2), ("LSTM", 4, 3)])
def test_recurrent_ops_agree(op, gates, outputs, direction):
    count = 2 if direction == "bidirectional" else 1
    options = {"hidden_size": 4, "direction": direction, "outputs": outputs}
    check(op, SEQUENCE, weights(gates, count), **options)
    state = {f"s{at}": numbers(count, 2, 4, seed=7 + at) for at in range(outputs - 1)}
    order = ["x", "w", "r", "b", "", *state]
    check(op, SEQUENCE | state, weights(gates, count), order=order, **options)


def test_gru_resets_after_the_linear_part_when_told_so():
    check("GRU", SEQUENCE, weights(3, 1), outputs=2, hidden_size=4, linear_before_reset=1)


def test_lstm_looks_through_its_peepholes():
    constants = weights(4, 1) | {"p": numbers(1, 12, seed=9)}
    order = ["x", "w", "r", "b", "", "", "", "p"]
    check("LSTM", SEQUENCE, constants, order=order, outputs=3, hidden_size=4)


def test_recurrent_ops_take_other_activations_and_refuse_the_rest():
    check("RNN", SEQUENCE, weights(1, 1), outputs=2, hidden_size=4, activations=["Relu"])
    options = {"outputs": 2, "hidden_size": 4}
    refused = refusal("RNN", SEQUENCE, weights(1, 1), activations=["Affine"], **options)
    assert "activations ['affine']" in refused
    assert "clip" in refusal("RNN", SEQUENCE, weights(1, 1), clip=1.0, **options)


@pytest.mark.parametrize("per_column", [False, True])
def test_dynamic_quantize_lstm_agrees(per_column):
    scales = np.full((2, 16) if per_column else (2,), 0.01, np.float32)
    zeros = np.zeros(scales.shape, np.int8)
    constants = {
        "w": small(2, 3, 16, dtype=np.int8),
        "r": small(2, 4, 16, dtype=np.int8),
        "b": numbers(2, 32),
        "sw": scales,
        "zw": zeros,
        "sr": scales,
        "zr": zeros,
    }
    order = ["x", "w", "r", "b", "", "", "", "", "sw", "zw", "sr", "zr"]
    made = node("DynamicQuantizeLSTM", order, ["y", "h", "c"], domain="com.microsoft")
    made.attribute.append(helper.make_attribute("hidden_size", 4))
    made.attribute.append(helper.make_attribute("direction", "bidirectional"))
    x = numbers(5, 1, 3)
    data = proto([made], [tensor("x", x.shape)], ["y", "h", "c"], **constants)
    data.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    agree(data.SerializeToString(), {"x": x})
