"""Activations, functions and normalizations lowered: against onnxruntime, and by their definition
where that has no kernel or is less exact."""

import mpmath
import numpy as np
import onnxruntime
import pytest

from oracle.errors import ModelRefused
from oracle.exact import float32
from oracle.exact.lowering.graph import lower
from oracle.exact.program import Op, Program
from oracle.exact.run import run
from oracle.tensor import canonical
from tests.oracles import nasty, same
from tests.unit.exact.files import file, node, tensor

MP = mpmath.MPContext()
MP.prec = 300


def layer(op: str, shape, opset: int = 24, outputs=("y",), **rest) -> bytes:
    """One node, with constants (arrays) and attributes (anything else)."""
    constants = {name: value for name, value in rest.items() if isinstance(value, np.ndarray)}
    attributes = {name: value for name, value in rest.items() if name not in constants}
    made = node(op, ["x", *constants], list(outputs), **attributes)
    results = [tensor(name, None) for name in outputs]
    return file([made], [tensor("x", shape)], results, opset=opset, **constants)


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def lowered(model: bytes, x: np.ndarray) -> tuple[Program, list[np.ndarray]]:
    program = lower(model)
    ours = run(program, [x])
    assert all(map(same, ours, run(program, [x], plain=True)))
    return program, list(ours)


def agree(model: bytes, x: np.ndarray, rtol: float = 1e-4, atol: float = 2e-6) -> Program:
    program, ours = lowered(model, x)
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    for mine, theirs in zip(ours, session.run(None, {"x": x}), strict=True):
        assert mine.shape == theirs.shape and mine.dtype == theirs.dtype
        np.testing.assert_allclose(mine, theirs, rtol=rtol, atol=atol)
    return program


ACTIVATIONS = [
    ("LeakyRelu", {}),
    ("LeakyRelu", {"alpha": -0.5}),
    ("ThresholdedRelu", {"alpha": 0.3}),
    ("Elu", {"alpha": 0.7}),
    ("Selu", {}),
    ("Celu", {"alpha": 0.7}),
    ("HardSigmoid", {}),
    ("HardSigmoid", {"alpha": 0.3, "beta": 0.4}),
    ("HardSwish", {}),
    ("Softplus", {}),
    ("Softsign", {}),
    ("Mish", {}),
    ("Gelu", {}),
    ("Gelu", {"approximate": "tanh"}),
    ("Sign", {}),
    ("Round", {}),
    ("Floor", {}),
    ("Ceil", {}),
    *((op, {}) for op in ("Sin", "Cos", "Tan", "Atan", "Sinh", "Cosh", "Asinh")),
]


@pytest.mark.parametrize(("op", "attributes"), ACTIVATIONS)
def test_activations_agree_with_onnxruntime(op, attributes):
    x = np.concatenate([numbers(40) * 3, [0, -0.5, 0.5, 1.5, -2.5, 3, 1e-20]]).astype(np.float32)
    agree(layer(op, x.shape, 22, **attributes), x)


@pytest.mark.parametrize("op", ["Asin", "Acos", "Atanh", "Acosh"])
def test_inverse_functions_agree_with_onnxruntime(op):
    x = np.linspace(-1, 1, 41, dtype=np.float32)
    agree(layer(op, x.shape, 22), x if op != "Acosh" else (1 + np.abs(x) * 9).astype(np.float32))


@pytest.mark.parametrize("alpha", [1.0, 1.7])
def test_swish_is_its_definition(alpha):
    x = numbers(20)
    (y,) = lowered(layer("Swish", x.shape, alpha=alpha), x)[1]
    np.testing.assert_allclose(y, x / (1 + np.exp(-alpha * x.astype(np.float64))), rtol=1e-5)


PRECISE = {
    "Softplus": lambda x: np.logaddexp(0, x),
    "Softsign": lambda x: x / (1 + np.abs(x)),
    "Sinh": np.sinh,
    "Cosh": np.cosh,
    "Asinh": np.arcsinh,
    "Atan": np.arctan,
    "Sin": np.sin,
    "Cos": np.cos,
}


@pytest.mark.parametrize("op", PRECISE)
def test_composed_functions_keep_their_digits_where_numbers_are_small_or_large(op):
    sizes = np.float32(2.0) ** np.arange(-140, 127, 3, dtype=np.float32)
    x = np.concatenate([sizes, -sizes, [-20, 88.9, -88.9, 89.3]]).astype(np.float32)
    (y,) = lowered(layer(op, x.shape, 22), x)[1]
    with np.errstate(over="ignore"):
        wanted = PRECISE[op](x.astype(np.float64)).astype(np.float32)
    np.testing.assert_allclose(y, wanted, rtol=3e-6, atol=1e-40)


@pytest.mark.parametrize(
    ("op", "function"),
    [("Round", np.round), ("Floor", np.floor), ("Ceil", np.ceil), ("Sign", np.sign)],
)
def test_whole_numbers_are_exact_when_numbers_are_nasty(op, function):
    x = nasty()
    (y,) = lowered(layer(op, x.shape, 22), x)[1]
    assert same(y, canonical(function(x)))


@pytest.mark.parametrize("slope", [(1,), (3, 1), (2, 3, 4)])
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("opset", [7, 16])
def test_p_relu_agrees_with_onnxruntime(slope, sign, opset):
    s = (np.abs(numbers(*slope)) % 1 * sign).astype(np.float32)
    agree(layer("PRelu", (2, 3, 4), opset, s=s), numbers(2, 3, 4))


@pytest.mark.parametrize("op", ["LogSoftmax", "Hardmax", "Softmax"])
@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("opset", [11, 13])
def test_rowwise_ops_agree_with_onnxruntime(op, axis, opset):
    x = numbers(2, 3, 4)
    x[0, 1] = x[1, 1] = 0.25  # ties
    agree(layer(op, x.shape, opset, axis=axis), x)


@pytest.mark.parametrize(
    ("exponent", "ops"),
    [
        (2.0, [Op.MUL]),
        (0.5, [Op.SQRT]),
        (3.0, [Op.POW]),
        (-1.5, [Op.POW]),
        (1.0, [Op.TRANSPOSE]),
        (0.0, [Op.POW]),
    ],
)
def test_pow_is_arithmetic_where_that_is_one_step(exponent, ops):
    x = np.abs(numbers(3, 4))
    program = agree(layer("Pow", (3, 4), 15, e=np.array(exponent, np.float32)), x)
    assert [made.op for made in program.nodes] == ops


def test_pow_broadcasts_and_takes_integers():
    x = np.abs(numbers(3, 4))
    agree(layer("Pow", (3, 4), 15, e=np.array([[1], [-2], [5]])), x)
    agree(layer("Pow", (3, 4), 15, e=numbers(2, 1, 4)), x)


BATCH = {name: np.abs(numbers(3, seed=place)) for place, name in enumerate("sbmv")}


@pytest.mark.parametrize("opset", [7, 9, 15])
@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 4), (2, 3, 4, 5)])
def test_batch_normalization_agrees_with_onnxruntime(opset, shape):
    model = layer("BatchNormalization", shape, opset, epsilon=1e-3, **BATCH)
    assert [made.op for made in agree(model, numbers(*shape)).nodes] == [Op.MUL, Op.ADD]


@pytest.mark.parametrize("axis", [-1, 1, 0])
def test_layer_normalization_agrees_with_onnxruntime(axis):
    shape = (2, 3, 4)
    scale, bias = numbers(*shape[axis:], seed=1), numbers(*shape[axis:], seed=2)
    outputs = ("y", "mean", "inverse")
    agree(
        layer("LayerNormalization", shape, 17, outputs, s=scale, b=bias, axis=axis), numbers(*shape)
    )
    agree(layer("LayerNormalization", shape, 17, s=scale, axis=axis), numbers(*shape))


@pytest.mark.parametrize("shape", [(2, 3, 4), (2, 3, 4, 5)])
def test_instance_normalization_agrees_with_onnxruntime(shape):
    agree(layer("InstanceNormalization", shape, s=numbers(3), b=numbers(3)), numbers(*shape))


@pytest.mark.parametrize(("opset", "many"), [(18, 2), (21, 4)])
def test_group_normalization_reads_its_scale_as_its_opset_does(opset, many):
    x, scale, bias = numbers(2, 4, 3, 3), numbers(many, seed=1), numbers(many, seed=2)
    model = layer("GroupNormalization", x.shape, opset, s=scale, b=bias, num_groups=2)
    (y,) = lowered(model, x)[1]
    groups = x.reshape(2, 2, -1).astype(np.float64)
    centred = groups - groups.mean(-1, keepdims=True)
    rows = (centred / np.sqrt(groups.var(-1, keepdims=True) + 1e-5)).reshape(2, 4, 3, 3)
    a, b = (np.repeat(v, 4 // many).reshape(1, 4, 1, 1) for v in (scale, bias))
    np.testing.assert_allclose(y, rows * a + b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("op", "opset", "attributes"),
    [
        ("LRN", 13, {"size": 3}),
        ("LRN", 13, {"size": 5, "alpha": 0.5, "beta": 0.5, "bias": 2.0}),
        ("MeanVarianceNormalization", 13, {}),
        ("LpNormalization", 21, {"axis": 1}),
        ("LpNormalization", 21, {"axis": -1, "p": 1}),
    ],
)
def test_other_normalizations_agree_with_onnxruntime(op, opset, attributes):
    agree(layer(op, (2, 5, 3, 3), opset, **attributes), numbers(2, 5, 3, 3))


def test_rms_normalization_agrees_with_onnxs_reference():
    x, scale = numbers(2, 3, 4), numbers(4, seed=1)
    model = layer("RMSNormalization", x.shape, 23, s=scale)
    (y,) = lowered(model, x)[1]
    wide = x.astype(np.float64)
    root = np.sqrt((wide * wide).mean(-1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(y, wide / root * scale, rtol=1e-5)


@pytest.mark.parametrize(
    ("model", "why"),
    [
        (layer("BatchNormalization", (2, 3), 15, training_mode=1, **BATCH), "training mode"),
        (layer("BatchNormalization", (2, 3), 7, spatial=0, **BATCH), "spatial"),
        (layer("LayerNormalization", (2, 3), 17, s=numbers(3), stash_type=10), "stash_type"),
        (
            layer("GroupNormalization", (2, 3, 4), 21, s=BATCH["s"], b=BATCH["b"], num_groups=2),
            "2 gr",
        ),
        (layer("LpNormalization", (2, 3), 21, p=3), "p = 3"),
        (layer("PRelu", (2, 3), 16, s=numbers(4, 2, 3)), "do not broadcast"),
        (layer("Gelu", (2, 3), 20, approximate="other"), "approximate other"),
    ],
)
def test_what_is_outside_is_refused_by_name(model, why):
    with pytest.raises(ModelRefused, match=why):
        lower(model)


@pytest.mark.parametrize(
    ("op", "attributes", "values"),
    [
        ("Gelu", {}, [MP.mpf(1) / 2, MP.sqrt(MP.mpf(1) / 2), MP.mpf(1)]),
        ("Gelu", {"approximate": "tanh"}, [MP.sqrt(2 / MP.pi), MP.mpf(44715) / 10**6]),
        ("HardSwish", {}, [MP.mpf(1) / 6]),
        ("LRN", {"size": 3, "alpha": 0.5}, [MP.mpf(1) / 6]),
        ("Asinh", {}, [MP.log(2)]),
    ],
)
def test_constants_of_a_lowering_are_the_nearest_float32(op, attributes, values):
    program = lower(layer(op, (1, 4, 2), **attributes))
    found = {float(v) for constant in program.constants for v in constant.array.ravel()}
    assert {float(nearest(number)) for number in values} <= found


def test_scale_of_attention_is_the_nearest_float32():
    for size in (3, 5, 7, 12, 48, 80, 96, 1000):
        made = node("Attention", ["q", "q", "q"], ["y"])
        program = lower(file([made], [tensor("q", [1, 1, 1, size])], ["y"], opset=23))
        found = [constant.array for constant in program.constants if constant.array.size == 1]
        assert nearest(1 / MP.sqrt(size)) in found


def nearest(number) -> np.float32:
    scale = 1 << 200  # far below the last place of a constant's quotient by a midpoint
    bits = float32.of_ratio(int(MP.floor(MP.ldexp(number, 200))), scale)
    return np.uint32(bits).view(np.float32)
