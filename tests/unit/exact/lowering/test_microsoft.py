"""What onnxruntime's optimizer and quantizer write: as onnxruntime has it."""

import numpy as np
import pytest
from onnx import TensorProto

from oracle.exact.lowering.graph import lower
from oracle.exact.run import run
from tests.unit.exact.agreement import check, integers, model, numbers, refusal
from tests.unit.exact.files import file, node, tensor

MS = {"domain": "com.microsoft"}
IMAGE = {"x": numbers(2, 3, 6, 6)}
KERNEL = {"w": numbers(4, 3, 3, 3, seed=1), "bias": numbers(4, seed=2)}
ROWS = {"x": numbers(2, 5, 8)}


def small(*shape: int, seed: int = 0, dtype: type = np.uint8) -> np.ndarray:
    info = np.iinfo(dtype)
    rng = np.random.default_rng(seed)
    return rng.integers(info.min, info.max + 1, shape).astype(dtype)


def steps(**given: float) -> dict[str, np.ndarray]:
    """Scales, and zero points where a name ends in z."""
    return {
        name: np.array(value, np.uint8 if name.endswith("z") else np.float32)
        for name, value in given.items()
    }


# FUSED


@pytest.mark.parametrize(
    ("activation", "parameters"),
    [
        ("Relu", []),
        ("Sigmoid", []),
        ("Tanh", []),
        ("LeakyRelu", [0.1]),
        ("Clip", [-0.5, 0.75]),
        ("HardSigmoid", [0.2, 0.5]),
    ],
)
def test_fused_conv_agrees(activation, parameters):
    options = {"activation": activation, "pads": [1, 1, 1, 1]}
    if parameters:
        options["activation_params"] = parameters
    check("FusedConv", IMAGE, KERNEL, **MS, **options)


def test_fused_conv_adds_before_it_activates():
    addend = {"z": numbers(2, 4, 4, 4, seed=5)}
    check(
        "FusedConv", IMAGE | addend, KERNEL, order=["x", "w", "bias", "z"], **MS, activation="Relu"
    )


def test_fused_conv_refuses_activations_it_does_not_know():
    assert "activation Gelu" in refusal("FusedConv", IMAGE, KERNEL, **MS, activation="Gelu")


def test_fused_gemm_agrees():
    inputs, constants = {"x": numbers(3, 4)}, {"y": numbers(5, 4, seed=1), "c": numbers(5, seed=2)}
    options = {"transB": 1, "alpha": 0.5, "beta": 2.0}
    check("FusedGemm", inputs, constants, **MS, **options, activation="Relu")
    leaky = {"activation": "LeakyRelu", "activation_alpha": 0.3}
    check("FusedGemm", inputs, constants, **MS, **options, **leaky)


@pytest.mark.parametrize("constant", [True, False])
@pytest.mark.parametrize(
    ("x", "y", "options"),
    [
        ((3, 4), (4, 5), {"alpha": 0.25}),
        ((4, 3), (5, 4), {"transA": 1, "transB": 1}),
        ((2, 3, 4), (2, 5, 4), {"transB": 1, "alpha": 2.0}),
        ((3, 2, 4), (2, 4, 5), {"transBatchA": 1}),
        ((3, 2, 4), (5, 2, 4), {"transBatchA": 1, "transBatchB": 1, "transB": 1}),
    ],
)
def test_fused_matmul_agrees(x, y, options, constant):
    right = {"y": numbers(*y, seed=1)}
    inputs = {"x": numbers(*x)} | ({} if constant else right)
    check("FusedMatMul", inputs, right if constant else {}, **MS, **options)


@pytest.mark.parametrize("op", ["Gelu", "QuickGelu", "FastGelu", "BiasGelu"])
def test_gelus_agree(op):
    check(op, ROWS, {"bias": numbers(8, seed=1)} if op in ("FastGelu", "BiasGelu") else {}, **MS)


@pytest.mark.parametrize("outputs", [1, 4])
def test_skip_layer_normalization_agrees(outputs):
    inputs = ROWS | {"skip": numbers(2, 5, 8, seed=1)}
    constants = {"g": numbers(8, seed=2), "be": numbers(8, seed=3), "bi": numbers(8, seed=4)}
    some = {"outputs": outputs, "left_out": (1, 2), "epsilon": 1e-5} | MS  # the sum is the fourth
    check("SkipLayerNormalization", inputs, constants, **some)
    rms = {"g": constants["g"], "bi": constants["bi"]}
    check("SkipSimplifiedLayerNormalization", inputs, rms, **some)


def test_simplified_layer_normalization_agrees():
    check("SimplifiedLayerNormalization", ROWS, {"g": numbers(8, seed=1)}, epsilon=1e-5, axis=-1)


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("segmented", [True, False])
def test_embed_layer_normalization_agrees(segmented, masked):
    inputs = {"ids": integers(2, 5, low=0, high=9, dtype=np.int32)}
    constants = {
        "words": numbers(9, 8),
        "places": numbers(7, 8, seed=1),
        "g": numbers(8, seed=3),
        "b": numbers(8, seed=4),
    }
    order = ["ids", "", "words", "places", "", "g", "b"]
    if segmented:
        inputs["kinds"] = integers(2, 5, low=0, high=2, dtype=np.int32)
        constants["table"] = numbers(2, 8, seed=2)
        order = ["ids", "kinds", "words", "places", "table", "g", "b"]
    if masked:
        inputs["mask"] = np.int32([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]])
        order.append("mask")
    check("EmbedLayerNormalization", inputs, constants, order=order, outputs=2, **MS)


@pytest.mark.parametrize("metric", ["euclidean", "sqeuclidean"])
def test_distances_agree(metric):
    check("CDist", {"x": numbers(3, 4)}, {"y": numbers(5, 4, seed=1)}, **MS, metric=metric)


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("zero", [None, np.uint8])
def test_matmul_of_blocks_agrees(bits, zero):
    depth, columns, block = 40, 6, 16
    blocks = -(-depth // block)
    constants = {
        "w": small(columns, blocks, block * bits // 8),
        "s": np.abs(numbers(columns * blocks, seed=1)),
    }
    if zero is not None:
        constants["z"] = small(columns * -(-blocks * bits // 8), seed=2)
    options = {"K": depth, "N": columns, "bits": bits, "block_size": block}
    check("MatMulNBits", {"x": numbers(3, depth)}, constants, **MS, **options)


def test_matmul_of_16_bits_agrees():
    a, b = (integers(*shape, low=-999, high=999, dtype=np.int16) for shape in ((2, 3), (3, 4)))
    data = model("MatMulInteger16", {"a": a, "b": b}, **MS)
    (y,) = run(lower(data), [a.astype(np.int32), b.astype(np.int32)])
    assert y.tolist() == (a.astype(np.int64) @ b.astype(np.int64)).tolist()


# ATTENTION


@pytest.mark.parametrize("causal", [0, 1])
@pytest.mark.parametrize("mask", [None, "rows", "lengths"])
def test_packed_attention_agrees(mask, causal):
    inputs, order = dict(ROWS), ["x", "w", "b"]
    if mask == "rows":
        inputs["mask"] = np.int32([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]])
    if mask == "lengths":
        inputs["mask"] = np.int32([3, 5])
    constants = {"w": numbers(8, 24, seed=1), "b": numbers(24, seed=2)}
    order += ["mask"] if mask else []
    check("Attention", inputs, constants, order=order, **MS, num_heads=2, unidirectional=causal)


def test_quantized_attention_agrees():
    inputs = {"x": small(2, 5, 8), "mask": np.int32([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]])}
    constants = {
        "w": small(8, 24, seed=1, dtype=np.int8),
        "b": numbers(24, seed=2),
        **steps(xs=0.02, xz=120),
        "ws": np.float32(0.01),
        "wz": np.int8(3),
    }
    order = ["x", "w", "b", "xs", "ws", "mask", "xz", "wz"]
    check("QAttention", inputs, constants, order=order, **MS, num_heads=2)


def test_quantized_embed_layer_normalization_agrees():
    inputs = {
        "ids": integers(2, 5, low=0, high=9, dtype=np.int32),
        "kinds": integers(2, 5, low=0, high=2, dtype=np.int32),
        "mask": np.int32([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]]),
    }
    tables = {"words": (9, 8), "places": (7, 8), "table": (2, 8), "g": (8,), "b": (8,)}
    names = [*tables]
    constants = {name: small(*shape, seed=len(name)) for name, shape in tables.items()}
    constants |= steps(**{f"{name}s": 0.01 + at / 500 for at, name in enumerate(names)})
    constants |= steps(**{f"{name}z": 100 + at for at, name in enumerate(names)})
    scales = [f"{name}s" for name in names] + [f"{name}z" for name in names]
    order = ["ids", "kinds", *names, "mask", *scales]
    check("QEmbedLayerNormalization", inputs, constants, order=order, outputs=2, **MS)


@pytest.mark.parametrize("biased", [True, False])
def test_multi_head_attention_agrees(biased):
    inputs = ROWS | {
        "k": numbers(2, 7, 8, seed=1),
        "v": numbers(2, 7, 12, seed=2),
        "mask": np.int32([[1] * 7, [1] * 4 + [0] * 3]),
        "added": numbers(1, 2, 5, 7, seed=3),
    }
    constants = {"b": numbers(28, seed=4)} if biased else {}
    order = ["x", "k", "v", "b" if biased else "", "mask", "added"]
    check("MultiHeadAttention", inputs, constants, order=order, **MS, num_heads=2)


@pytest.mark.parametrize("interleaved", [0, 1])
@pytest.mark.parametrize("ids", [np.array([[0, 2, 4, 1, 3], [5, 4, 3, 2, 1]]), np.array([1])])
def test_rotary_embedding_agrees(ids, interleaved):
    angles = np.float32(numbers(9, 2, seed=1))
    caches = {"cos": np.cos(angles), "sin": np.sin(angles)}
    order = ["x", "ids", "cos", "sin"]
    check(
        "RotaryEmbedding", ROWS | {"ids": ids}, caches, order=order, **MS, interleaved=interleaved
    )


@pytest.mark.parametrize("interleaved", [0, 1])
def test_rotary_embedding_takes_heads_of_their_own(interleaved):
    angles = np.float32(numbers(9, 2, seed=1))
    caches = {"cos": np.cos(angles), "sin": np.sin(angles)}
    inputs = {"x": numbers(2, 3, 5, 4), "ids": np.int64([2])}
    order = ["x", "ids", "cos", "sin"]
    check("RotaryEmbedding", inputs, caches, order=order, **MS, interleaved=interleaved)


# QUANTIZED


@pytest.mark.parametrize("op", ["QLinearAdd", "QLinearMul"])
def test_quantized_arithmetic_agrees(op):
    inputs = {"x": small(3, 4), "y": small(4, seed=1)}
    constants = steps(xs=0.02, xz=120, ys=0.03, yz=7, s=0.041, z=99)
    order = ["x", "xs", "xz", "y", "ys", "yz", "s", "z"]
    check(op, inputs, constants, order=order, **MS)


@pytest.mark.parametrize(
    ("op", "options"),
    [
        ("QLinearSigmoid", {}),
        ("QLinearLeakyRelu", {"alpha": 0.2}),
        ("QLinearGlobalAveragePool", {"channels_last": 0}),
        ("QLinearAveragePool", {"kernel_shape": [2, 2], "strides": [2, 2]}),
    ],
)
def test_quantized_functions_agree(op, options):
    constants = steps(xs=0.02, xz=120, s=0.0123, z=3)
    check(op, {"x": small(2, 3, 4, 4)}, constants, **MS, **options)


@pytest.mark.parametrize(("opset", "axes"), [(11, (1, 2)), (13, 1)])
def test_quantized_softmax_is_the_nearest(opset, axes):
    """onnxruntime looks exponentials up in a table, and may be one step off."""
    x, constants = {"x": small(2, 3, 4)}, steps(xs=0.02, xz=120, s=0.004, z=3)
    made = node("QLinearSoftmax", [*x, *constants], ["y"], **MS, axis=1, opset=opset)
    program = lower(file([made], [tensor("x", [2, 3, 4], TensorProto.UINT8)], ["y"], **constants))
    e = np.exp((x["x"].astype(np.float64) - 120) * np.float32(0.02))
    wanted = np.rint(e / e.sum(axes, keepdims=True) / np.float32(0.004)) + 3
    assert run(program, [x["x"]])[0].tolist() == np.clip(wanted, 0, 255).tolist()


def test_quantized_concat_agrees():
    inputs = {"x": small(2, 3), "y": small(2, 2, seed=1)}
    constants = steps(s=0.05, z=10, xs=0.02, xz=120, ys=0.03, yz=7)
    order = ["s", "z", "x", "xs", "xz", "y", "ys", "yz"]
    check("QLinearConcat", inputs, constants, order=order, **MS, axis=1)


def test_quantized_where_agrees():
    inputs = {"c": numbers(3, 4) > 0, "x": small(3, 4), "y": small(3, 4, seed=1)}
    constants = steps(xs=0.02, xz=120, ys=0.03, yz=7, s=0.041, z=99)
    order = ["c", "x", "xs", "xz", "y", "ys", "yz", "s", "z"]
    check("QLinearWhere", inputs, constants, order=order, **MS)


@pytest.mark.parametrize("quantizing", [True, False])
@pytest.mark.parametrize("columns", [True, False])
def test_quantized_gemm_agrees(quantizing, columns):
    scale = np.linspace(0.01, 0.02, 5, dtype=np.float32) if columns else np.float32(0.01)
    constants = {
        **steps(xs=0.02, xz=120),
        "y": small(5, 4, seed=1, dtype=np.int8),
        "ys": scale,
        "yz": np.zeros(np.shape(scale), np.int8),
        "c": integers(5, low=-500, high=500, dtype=np.int32),
        **(steps(s=0.05, z=100) if quantizing else {}),
    }
    check("QGemm", {"x": small(3, 4)}, constants, **MS, transB=1, alpha=1.0)


def test_matrix_products_of_what_is_quantized_agree():
    weights = {"y": small(4, 5, seed=1, dtype=np.int8)}
    rest = {"zy": np.zeros(5, np.int8), "bias": numbers(5, seed=3)}
    scales = {"ys": np.linspace(0.01, 0.02, 5, dtype=np.float32)}
    order = ["x", "y", "xs", "ys", "xz", "zy", "bias"]
    constants = weights | steps(xs=0.02, xz=120) | scales | rest
    check("MatMulIntegerToFloat", {"x": small(3, 4)}, constants, order=order, **MS)
    order = ["x", "y", "ys", "zy", "bias"]
    check("DynamicQuantizeMatMul", {"x": numbers(3, 4)}, weights | scales | rest, order=order, **MS)


def test_quantize_linear_of_onnxruntime_agrees():
    check("QuantizeLinear", {"x": numbers(3, 4)}, steps(s=0.02, z=100), **MS)
    check("DequantizeLinear", {"x": small(3, 4)}, steps(s=0.02, z=100), **MS)
    scales = {"s": np.float32([0.5, 0.1, 0.2, 0.3]), "z": np.zeros(4, np.int8)}
    check("DequantizeLinear", {"x": small(3, 4, dtype=np.int8)}, scales, **MS, axis=1)
