"""Integers that the law lacks: 2 and 4 bits and float8 as constants, 16 bits and unsigned ones as
wider ones; against onnxruntime, and against ONNX's own reference where onnxruntime has no such op.
"""

import numpy as np
import onnxruntime
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from oracle.errors import InferenceFailed, ModelRefused
from oracle.exact.lowering.graph import lower
from oracle.exact.run import run
from oracle.inference.onnxruntime import SecondOpinion
from oracle.tensor import Array
from oracle.types import DType
from tests.oracles import same
from tests.unit.exact.files import node, proto, tensor

FLOAT, T = TensorProto.FLOAT, TensorProto
RNG = np.random.default_rng(7)
PACKED = [
    (T.INT4, -8, 7),
    (T.UINT4, 0, 15),
    (T.INT2, -2, 1),
    (T.UINT2, 0, 3),
    (T.INT16, -(2**15), 2**15 - 1),
    (T.UINT16, 0, 2**16 - 1),
    (T.INT8, -128, 127),
]
EIGHT = [T.FLOAT8E4M3FN, T.FLOAT8E4M3FNUZ, T.FLOAT8E5M2, T.FLOAT8E5M2FNUZ]


def constant(name: str, code: int, values: Array, raw: bool = False) -> TensorProto:
    flat = np.asarray(values)
    made = helper.make_tensor(name, code, flat.shape, flat.ravel().tolist())
    return numpy_helper.from_array(numpy_helper.to_array(made), name) if raw else made


def model(nodes, inputs, outputs, *constants: TensorProto, opset: int = 25) -> ModelProto:
    made = proto(nodes, inputs, outputs, opset=opset)
    made.ir_version = 10 if opset < 25 else 13
    made.graph.initializer.extend(constants)
    return made


def both(made: ModelProto, *arrays: Array) -> list[Array]:
    """Our outputs, which the plain rules give, too."""
    program = lower(made.SerializeToString())
    outputs = run(program, list(arrays))
    for ours, law in zip(outputs, run(program, list(arrays), plain=True), strict=True):
        assert same(ours, law)
    return list(outputs)


@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize("form", ["one", "axis", "block"])
@pytest.mark.parametrize(("code", "low", "high"), PACKED)
def test_weights_of_few_bits_are_dequantized_as_the_reference_does(code, low, high, form, raw):
    w = RNG.integers(low, high + 1, (6, 7))  # 42: the last byte is not full
    w.flat[:2] = low, high
    shape = {"one": (), "axis": (6,), "block": (2, 7)}[form]
    options = {"one": {}, "axis": {"axis": 0}, "block": {"axis": 0, "block_size": 3}}[form]
    s = RNG.uniform(0.1, 2, shape).astype(np.float32)
    z = RNG.integers(low, high + 1, shape)
    nodes = [
        node("DequantizeLinear", ["w", "s", "z"], ["wide"], **options),
        node("MatMul", ["x", "wide"], ["y"]),
    ]
    constants = [constant("w", code, w, raw), numpy_helper.from_array(s, "s")]
    constants.append(constant("z", code, z, raw))
    made = model(nodes, [tensor("x", [2, 6])], [tensor("y", [2, 7])], *constants)
    x = RNG.standard_normal((2, 6), np.float32)
    (y,) = both(made, x)
    (wanted,) = ReferenceEvaluator(made).run(None, {"x": x})
    np.testing.assert_allclose(y, wanted, rtol=1e-5, atol=1e-4 * np.abs(wanted).max())


@pytest.mark.parametrize(("code", "low", "high"), PACKED)
@pytest.mark.parametrize("zero", [True, False])
def test_numbers_are_quantized_to_few_and_to_many_bits(code, low, high, zero):
    x = np.float32([0, 0.25, 0.75, -0.75, 1.25, 7.5, 8.5, -8.5, 3e4, -3e4, 3e38, -3e38, 32767.5])
    s = np.float32(0.5)
    point = RNG.integers(low, high + 1) if zero else 0
    names = ["x", "s", "z"] if zero else ["x", "s"]
    options = {} if zero else {"output_dtype": code}
    nodes = [
        node("QuantizeLinear", names, ["q"], **options),
        node("DequantizeLinear", ["q", "s"], ["y"]),
    ]
    constants = [numpy_helper.from_array(s, "s"), constant("z", code, np.array(point))]
    made = model(nodes, [tensor("x", x.shape)], ["y"], *constants[: 1 + zero])
    (y,) = both(made, x)
    wanted = np.clip(np.rint(x.astype(np.float64) * 2) + point, low, high) * 0.5
    assert y.tolist() == wanted.tolist()


@pytest.mark.parametrize("code", [T.INT16, T.UINT16])
def test_sixteen_bits_are_what_onnxruntime_gives(code):
    x = RNG.standard_normal(100).astype(np.float32) * 9
    constants = [
        numpy_helper.from_array(np.float32(0.0003), "s"),
        constant("z", code, np.array(1000)),
    ]
    nodes = [
        node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        node("DequantizeLinear", ["q", "s", "z"], ["y"]),
    ]
    outputs = [tensor("y", [100]), tensor("q", [100], code)]
    made = model(nodes, [tensor("x", [100])], outputs, *constants, opset=21)
    data = made.SerializeToString()
    y, q = both(made, x)
    assert q.dtype == np.int32
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    wanted = session.run(None, {"x": x})
    assert (y.tolist(), q.tolist()) == (wanted[0].tolist(), wanted[1].tolist())
    SecondOpinion(data, lower(data).signature).check([x], [y, q])


@pytest.mark.parametrize("code", EIGHT)
def test_weights_of_float8_are_the_float32_that_they_are(code):
    made = helper.make_tensor("w", code, [256], bytes(range(256)), raw=True)
    numbers = numpy_helper.to_array(made).astype(np.float32)
    scale = numpy_helper.from_array(np.float32(0.5), "s")
    nodes = [
        node("DequantizeLinear", ["w", "s"], ["wide"]),
        node("Mul", ["x", "wide"], ["y"]),
        node("Cast", ["w"], ["w32"], to=FLOAT),
        node("Mul", ["x", "w32"], ["z"]),
    ]
    made_ = model(nodes, [tensor("x", [256])], ["y", "z"], made, scale)
    y, z = both(made_, np.ones(256, np.float32))
    np.testing.assert_array_equal(y, numbers / 2)
    np.testing.assert_array_equal(z, numbers)


def test_four_bits_need_their_bytes_and_no_more():
    for data in (b"\x12", b"\x12\x34\x56"):
        w = TensorProto(name="w", data_type=T.UINT4, dims=[3], raw_data=data)
        made = model([node("Cast", ["w"], ["y"], to=FLOAT)], [tensor("x", [1])], ["y"], w)
        with pytest.raises(ModelRefused, match=f"{len(data)} bytes of data in place of 2"):
            lower(made.SerializeToString())


def test_a_zero_point_of_four_bits_keeps_them_when_it_moves():
    """Beside an int8 of the same bits."""
    nodes = [
        node("Transpose", ["z"], ["moved"], perm=[1, 0]),
        helper.make_node("Reshape", ["moved", "shape"], ["flat"]),
        helper.make_node("QuantizeLinear", ["x", "s", "flat"], ["q"], axis=1),
        helper.make_node("QuantizeLinear", ["x", "s", "eight"], ["p"], axis=1),
        helper.make_node("Cast", ["q"], ["y"], to=FLOAT),
        helper.make_node("Cast", ["p"], ["w"], to=FLOAT),
    ]
    constants = [
        constant("z", T.INT4, [[1, 2]]),
        constant("eight", T.INT8, [1, 2]),
        numpy_helper.from_array(np.ones(2, np.float32), "s"),
        numpy_helper.from_array(np.array([2]), "shape"),
    ]
    made = model(nodes, [tensor("x", [1, 2])], ["y", "w"], *constants)
    y, w = both(made, np.float32([[100, -100]]))
    assert (y.tolist(), w.tolist()) == ([[7, -8]], [[101, -98]])


# Inputs


@pytest.mark.parametrize(
    ("code", "numpy", "law"),
    [
        (T.INT16, np.int16, DType.INT32),
        (T.UINT16, np.uint16, DType.INT32),
        (T.UINT32, np.uint32, DType.INT64),
    ],
)
def test_integers_that_the_law_lacks_are_given_as_wider_ones(code, numpy, law):
    ends = np.iinfo(numpy)
    x = np.array([ends.min, ends.max, 3, 3], np.int64)
    y = np.array([5, ends.max, 2, 3], np.int64)
    nodes = [
        node("Less", ["x", "y"], ["less"]),
        node("Max", ["x", "y"], ["max"]),
        node("Equal", ["x", "seven"], ["is7"]),
        node("Where", ["less", "x", "seven"], ["where"]),
        node("Concat", ["where", "x"], ["both"], axis=0),
        node("Cast", ["max"], ["float"], to=FLOAT),
        node("ArgMax", ["x"], ["place"], axis=0),
    ]
    outputs = [tensor("both", [8], code), tensor("max", [4], code), "is7", "float", "place"]
    outputs[2:] = [tensor("is7", [4], T.BOOL), tensor("float", [4]), tensor("place", [1], T.INT64)]
    seven = constant("seven", code, np.array([7]))
    inputs = [tensor("x", [4], code), tensor("y", [4], code)]
    made = model(nodes, inputs, outputs, seven, opset=21)
    data = made.SerializeToString()
    signature = lower(data).signature
    assert {type_.dtype for type_ in signature.inputs} == {law}
    given = [x, y] if law is DType.INT64 else [x.astype(np.int32), y.astype(np.int32)]
    ours = both(made, *given)
    theirs = ReferenceEvaluator(made).run(None, {"x": x.astype(numpy), "y": y.astype(numpy)})
    for mine, other in zip(ours, theirs, strict=True):
        assert mine.tolist() == other.tolist()


@pytest.mark.parametrize("op", ["Add", "Sub", "Mul", "Div", "Neg", "BitwiseNot"])
def test_what_would_wrap_at_16_bits_is_refused(op):
    nodes = [node(op, ["x"] if op in ("Neg", "BitwiseNot") else ["x", "x"], ["y"])]
    for code in (T.INT16, T.UINT16, T.UINT32):
        with pytest.raises(ModelRefused, match="int.* is not covered; Cast it to int32"):
            lower(model(nodes, [tensor("x", [1], code)], ["y"]).SerializeToString())


def test_casts_to_16_bits_are_covered_where_nothing_wraps():
    def cast(source: int, target: int) -> bytes:
        nodes = [node("Cast", ["x"], ["y"], to=target)]
        made = model(nodes, [tensor("x", [1], source)], [tensor("y", [1], target)])
        return made.SerializeToString()

    for source, target in ((T.INT8, T.INT16), (T.UINT8, T.UINT32), (T.UINT16, T.INT32)):
        assert lower(cast(source, target))
    for source, target in ((T.INT8, T.UINT16), (T.INT32, T.INT16), (FLOAT, T.INT16)):
        with pytest.raises(ModelRefused, match=r"a Cast of \w+ to \w+ is not covered"):
            lower(cast(source, target))


def test_uint64_is_refused_as_an_input_and_beyond_int64_as_a_constant():
    nodes = [node("Cast", ["w"], ["y"], to=T.INT64)]
    small, large = (constant("w", T.UINT64, np.array([n], np.uint64)) for n in (2**63 - 1, 2**63))
    made = model(nodes, [tensor("x", [1])], ["y"], small)
    assert both(made, np.zeros(1, np.float32))[0].tolist() == [2**63 - 1]
    with pytest.raises(ModelRefused, match=r"numbers from 2\^63 on"):
        lower(model(nodes, [tensor("x", [1])], ["y"], large).SerializeToString())
    with pytest.raises(ModelRefused, match="input 'w' is of uint64; use float"):
        lower(model(nodes, [tensor("w", [1], T.UINT64)], ["y"]).SerializeToString())


def test_a_second_opinion_is_none_on_numbers_that_the_file_cannot_be_given():
    nodes = [node("Cast", ["x"], ["y"], to=FLOAT)]
    data = model(nodes, [tensor("x", [1], T.INT16)], [tensor("y", [1])], opset=21)
    data = data.SerializeToString()
    program, x = lower(data), np.int32([40_000])
    with pytest.raises(InferenceFailed, match="int16 lacks"):
        SecondOpinion(data, program.signature).check([x], run(program, [x]))
