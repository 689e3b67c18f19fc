"""Convolutions and pools lowered: their attributes against onnxruntime, and what is refused."""

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto

from oracle.errors import ModelRefused
from oracle.exact.lowering.graph import lower
from oracle.exact.program import Op, Program
from oracle.exact.run import run
from tests.oracles import same
from tests.unit.exact.agreement import agree as same_as_onnxruntime
from tests.unit.exact.files import file, node, tensor


def weights(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def layer(op: str, shape, opset: int = 21, outputs=("y",), **rest) -> bytes:
    """One node on an image, with constants (arrays) and attributes (anything else)."""
    constants = {name: value for name, value in rest.items() if isinstance(value, np.ndarray)}
    attributes = {name: value for name, value in rest.items() if name not in constants}
    made = node(op, ["x", *constants], list(outputs), **attributes)
    return file([made], [tensor("x", shape)], [tensor("y", None)], opset=opset, **constants)


def agree(model: bytes) -> Program:
    """Fast, plain and onnxruntime."""
    program = lower(model)
    arrays = [weights(*type_.shape, seed=9) for type_ in program.signature.inputs]
    (ours,) = run(program, arrays)
    assert same(ours, run(program, arrays, plain=True)[0])
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    names = [type_.name for type_ in program.signature.inputs]
    (theirs,) = session.run(None, dict(zip(names, arrays, strict=True)))
    assert ours.shape == theirs.shape and ours.dtype == theirs.dtype
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
    return program


def ops(program: Program) -> list[Op]:
    return [made.op for made in program.nodes]


def refusal(model: bytes) -> str:
    with pytest.raises(ModelRefused) as refused:
        lower(model)
    return str(refused.value)


PLACES = [
    {},
    {"pads": [1, 0, 2, 1]},
    {"strides": [2, 3]},
    {"dilations": [2, 1], "pads": [2, 2, 0, 1]},
    {"auto_pad": "SAME_UPPER", "strides": [2, 1]},
    {"auto_pad": "SAME_LOWER", "strides": [2, 3]},
    {"auto_pad": "VALID", "strides": [1, 2]},
]


@pytest.mark.parametrize("opset", [11, 21])
@pytest.mark.parametrize("group", [1, 2, 4])
@pytest.mark.parametrize("place", PLACES)
def test_conv_agrees_with_onnxruntime(place, group, opset):
    w, bias = weights(8, 4 // group, 2, 3), weights(8)
    agree(layer("Conv", (2, 4, 6, 7), opset, w=w, b=bias, group=group, **place))
    agree(layer("Conv", (1, 4, 6, 7), opset, w=w, group=group, kernel_shape=[2, 3], **place))


@pytest.mark.parametrize("attributes", [{}, {"pads": [2, 1], "dilations": [2]}, {"strides": [3]}])
def test_conv_takes_one_dimension(attributes):
    agree(layer("Conv", (2, 4, 9), w=weights(3, 4, 3), b=weights(3), **attributes))


def test_conv_takes_three_dimensions():
    agree(layer("Conv", (1, 2, 4, 5, 3), w=weights(3, 2, 2, 3, 2), strides=[1, 2, 1]))


def test_conv_takes_weights_that_are_inputs():
    made = node("Conv", ["x", "w", "b"], ["y"], pads=[1, 1, 1, 1])
    inputs = [tensor("x", (1, 2, 4, 4)), tensor("w", (3, 2, 3, 3)), tensor("b", (3,))]
    agree(file([made], inputs, ["y"]))


TRANSPOSED = [
    {},
    {"strides": [2, 3]},
    {"strides": [2, 3], "pads": [1, 0, 1, 2], "output_padding": [1, 2]},
    {"dilations": [2, 1], "pads": [2, 1, 2, 1]},
    {"strides": [3, 2], "output_shape": [10, 8]},
    {"strides": [3, 2], "output_shape": [10, 8], "auto_pad": "SAME_UPPER"},
    {"strides": [2, 2], "auto_pad": "SAME_UPPER"},
    {"strides": [2, 2], "auto_pad": "SAME_LOWER"},
]


@pytest.mark.parametrize("group", [1, 2])
@pytest.mark.parametrize("place", TRANSPOSED)
def test_conv_transpose_agrees_with_onnxruntime(place, group):
    w, bias = weights(4, 3, 3, 3), weights(3 * group)
    agree(layer("ConvTranspose", (1, 4, 3, 4), w=w, b=bias, group=group, **place))


def test_conv_transpose_takes_one_dimension():
    agree(layer("ConvTranspose", (1, 4, 5), w=weights(4, 2, 3), strides=[2], pads=[1, 1]))


POOLS = [
    {"kernel_shape": [2, 2], "strides": [2, 2]},
    {"kernel_shape": [3, 2], "pads": [1, 1, 1, 0]},
    {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1},
    {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1], "ceil_mode": 1},
    {"kernel_shape": [1, 1], "strides": [2, 2], "ceil_mode": 1},
    {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "SAME_UPPER"},
    {"kernel_shape": [3, 2], "strides": [2, 2], "auto_pad": "SAME_LOWER"},
    {"kernel_shape": [3, 3], "auto_pad": "VALID"},
    {"kernel_shape": [2, 3], "dilations": [3, 2], "pads": [1, 2, 1, 1]},
]


@pytest.mark.parametrize("place", POOLS)
@pytest.mark.parametrize("opset", [12, 21])
def test_max_pool_agrees_with_onnxruntime(place, opset):
    agree(layer("MaxPool", (2, 3, 7, 8), opset, storage_order=0, **place))


@pytest.mark.parametrize("place", POOLS)
@pytest.mark.parametrize("counted", [0, 1])
def test_average_pool_agrees_with_onnxruntime(place, counted):
    agree(layer("AveragePool", (2, 3, 7, 8), count_include_pad=counted, **place))


@pytest.mark.parametrize("columns", [0, 1])
@pytest.mark.parametrize("shape", [(2, 3, 7, 8), (2, 2, 9), (1, 2, 4, 5, 6)])
@pytest.mark.parametrize(
    "place",
    [{}, {"pads": 1}, {"strides": 2, "ceil_mode": 1}, {"dilations": 2, "pads": 1}],
)
def test_max_pool_says_where_its_elements_stood_as_onnxruntime_does(shape, place, columns):
    axes = len(shape) - 2
    many = {"pads": 2 * axes, "strides": axes, "dilations": axes}
    rest = {name: [of] * many[name] if name in many else of for name, of in place.items()}
    pool = node(
        "MaxPool", ["x"], ["y", "i"], kernel_shape=[3] * axes, storage_order=columns, **rest
    )
    x = np.random.default_rng(0).integers(0, 9, shape).astype(np.float32)  # with equals
    same_as_onnxruntime(file([pool], [tensor("x", shape)], ["y", "i"]), {"x": x})


def test_max_unpool_puts_back_what_max_pool_took():
    size = {"kernel_shape": [2, 2], "strides": [2, 2]}
    nodes = [
        node("MaxPool", ["x"], ["p", "i"], **size),
        node("MaxUnpool", ["p", "i"], ["y"], **size),
    ]
    model = file(nodes, [tensor("x", (2, 3, 4, 6))], ["y"])
    same_as_onnxruntime(model, {"x": weights(2, 3, 4, 6)})


@pytest.mark.parametrize("op", ["MaxPool", "AveragePool"])
def test_pools_take_one_dimension(op):
    agree(layer(op, (1, 3, 9), kernel_shape=[3], strides=[2], pads=[1, 1]))


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("place", POOLS[:3])
def test_lp_pool_agrees_with_onnxruntime(place, p):
    agree(layer("LpPool", (2, 3, 7, 8), 18, p=p, **place))


@pytest.mark.parametrize("op", ["GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"])
@pytest.mark.parametrize("shape", [(2, 3, 5), (2, 3, 4, 5)])
def test_global_pools_agree_with_onnxruntime(op, shape):
    agree(layer(op, shape))


def chain(*nodes, shape=(1, 3, 6, 6), **constants) -> Program:
    for place, made in enumerate(nodes):
        made.name = f"node{place}"
    return agree(file(list(nodes), [tensor("x", shape)], ["y"], **constants))


def test_a_network_is_transposed_once_at_each_end():
    program = chain(
        node("Conv", ["x", "w", "b"], ["c"], pads=[1, 1, 1, 1]),
        node("Mul", ["c", "scale"], ["n"]),
        node("Relu", ["n"], ["r"]),
        node("Conv", ["r", "w2"], ["d"], pads=[1, 1, 1, 1]),
        node("Add", ["d", "r"], ["s"]),
        node("MaxPool", ["s"], ["y"], kernel_shape=[2, 2]),
        w=weights(4, 3, 3, 3),
        b=weights(4),
        w2=weights(4, 4, 3, 3),
        scale=weights(4, 1, 1),
    )
    found = ops(program)
    assert found.count(Op.TRANSPOSE) == 2
    assert found[0] is Op.TRANSPOSE and found[-1] is Op.TRANSPOSE


def test_squeeze_and_excitation_is_not_transposed():
    program = chain(
        node("Conv", ["x", "w"], ["c"]),
        node("GlobalAveragePool", ["c"], ["p"]),
        node("Conv", ["p", "w2"], ["q"]),
        node("Sigmoid", ["q"], ["g"]),
        node("Mul", ["c", "g"], ["m"]),
        node("Conv", ["m", "w2"], ["y"]),
        w=weights(4, 3, 3, 3),
        w2=weights(4, 4, 1, 1),
    )
    assert ops(program).count(Op.TRANSPOSE) == 3  # in, for the pool, out


def test_an_operand_in_another_layout_keeps_its_transpose():
    chain(
        node("Conv", ["x", "w"], ["c"]),
        node("Add", ["c", "x"], ["a"]),
        node("Transpose", ["a"], ["t"], perm=[0, 2, 3, 1]),
        node("Add", ["t", "bias"], ["y"]),
        w=weights(3, 3, 1, 1),
        bias=weights(3),
    )


def test_what_is_outside_is_refused_by_name():
    indices = layer("MaxPool", (1, 1, 4), outputs=("y", "i"), kernel_shape=[1], pads=[1, 0])
    assert "padding alone" in refusal(indices)
    x, i = tensor("x", (1, 1, 2)), tensor("i", (1, 1, 2), TensorProto.INT64)
    larger = node("MaxUnpool", ["x", "i", "s"], ["y"], kernel_shape=[2], strides=[2])
    assert "output_shape" in refusal(file([larger], [x, i], ["y"], s=np.array([1, 1, 9])))
    kernel = {"kernel_shape": [2]}
    narrow = tensor("i", (1, 1, 2), TensorProto.INT32)
    assert "Indices" in refusal(
        file([node("MaxUnpool", ["x", "i"], ["y"], **kernel)], [x, narrow], ["y"])
    )
    assert "p = 3" in refusal(layer("LpPool", (1, 1, 4), kernel_shape=[2], p=3))
    assert "an image [N, C" in refusal(layer("GlobalMaxPool", (3, 4)))
    assert "do not fit" in refusal(layer("Conv", (1, 2, 4), w=weights(2, 2, 3), kernel_shape=[2]))
    assert "does not fit" in refusal(layer("Conv", (1, 2, 2), w=weights(2, 2, 3)))
    assert "'strides' has 1 numbers" in refusal(
        layer("Conv", (1, 2, 4, 4), w=weights(2, 2, 3, 3), strides=[1])
    )
    assert "auto_pad OTHER" in refusal(
        layer("Conv", (1, 2, 4), w=weights(2, 2, 3), auto_pad="OTHER")
    )


def test_max_pool_takes_bytes():
    made = node("MaxPool", ["x"], ["y"], kernel_shape=[2, 2], pads=[1, 1, 0, 0])
    model = file([made], [tensor("x", (1, 2, 4, 4), TensorProto.INT8)], ["y"])
    x = np.random.default_rng(0).integers(-128, 128, (1, 2, 4, 4)).astype(np.int8)
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    assert same(run(lower(model), [x])[0], session.run(None, {"x": x})[0])


@pytest.mark.parametrize("op", ["Conv", "MaxPool", "AveragePool", "LpPool"])
@pytest.mark.parametrize("mode", ["SAME_UPPER", "SAME_LOWER"])
def test_same_counts_the_dilation(op, mode):
    """Of 7 elements by steps of 2 there are 4 windows, which reach over 2·3 + 4 = 10."""
    kernel = {"w": weights(1, 1, 2)} if op == "Conv" else {"kernel_shape": [2]}
    place = {"strides": [2], "dilations": [3], **kernel}
    pads = {"SAME_UPPER": [1, 2], "SAME_LOWER": [2, 1]}[mode]
    same_pads = lower(layer(op, (1, 1, 7), 22, auto_pad=mode, **place))
    assert same_pads.signature.outputs[0].shape == (1, 1, 4)
    assert same_pads.root == lower(layer(op, (1, 1, 7), 22, pads=pads, **place)).root


def test_same_pads_nothing_where_windows_leave_elements_out():
    program = lower(
        layer("MaxPool", (1, 1, 5), kernel_shape=[1], strides=[3], auto_pad="SAME_LOWER")
    )
    assert program.signature.outputs[0].shape == (1, 1, 2)
