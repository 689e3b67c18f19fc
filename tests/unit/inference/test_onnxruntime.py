import numpy as np
import pytest
from onnx import TensorProto as T
from onnx import helper as h

from oracle.errors import InferenceFailed, ModelRefused, SecondOpinionDiffers, WrongPayloadLength
from oracle.exact.lowering.graph import lower
from oracle.exact.run import Runner
from oracle.inference.onnxruntime import QUANTIZED_NOISE, Native, SecondOpinion, differs
from oracle.types import DType, Signature, TensorType

INF, NAN = np.inf, np.nan


def tensor(name, dtype, shape):
    return h.make_tensor_value_info(name, dtype, shape)


def model(nodes, inputs, outputs, initializers=()):
    graph = h.make_graph(nodes, "graph", inputs, outputs, initializers)
    opsets = [h.make_opsetid("", 17), h.make_opsetid("ai.onnx.ml", 3)]
    return h.make_model(graph, opset_imports=opsets, ir_version=8)


def neg(shape, dtype=T.FLOAT):
    return model(
        [h.make_node("Neg", ["x"], ["y"])], [tensor("x", dtype, shape)], [tensor("y", dtype, shape)]
    )


def classifier(labels):
    """Scores 2x and −2x over two classes, with the ZipMap that skl2onnx adds by default."""
    scores = {"coefficients": [2.0, -2.0], "intercepts": [0.0, 0.0]}
    value = h.make_tensor_type_proto(T.FLOAT, None)
    key = T.STRING if "classlabels_strings" in labels else T.INT64
    maps = h.make_sequence_type_proto(h.make_map_type_proto(key, value))
    ml = "ai.onnx.ml"
    return model(
        [
            h.make_node(
                "LinearClassifier",
                ["x"],
                ["label", "s"],
                domain=ml,
                **scores,
                **{name: values for name, values in labels.items()},
            ),
            h.make_node("ZipMap", ["s"], ["scores"], domain=ml, **labels),
        ],
        [tensor("x", T.FLOAT, [1, 1])],
        [tensor("label", key, [1]), h.make_value_info("scores", maps)],
    )


def reasons(refused):
    return " | ".join(map(str, refused.value.reasons))


# Native


def test_signature_has_frozen_dims():
    native = Native(neg(["batch", "width"]).SerializeToString(), {"width": 3})
    assert str(native.signature.inputs[0]) == "x: float[1,3]"
    assert str(native.signature.outputs[0]) == "y: float[1,3]"


def test_signature_is_the_laws():
    data = neg([None, 4]).SerializeToString()
    dims = {"x.0": 5}
    assert Native(data, dims).signature == lower(data, dims).signature


def test_infer_gives_the_canonical_payload():
    native = Native(neg([2]).SerializeToString())
    assert native.infer(np.array([1.5, 0], ">f4").tobytes()) == np.array([-1.5, 0], ">f4").tobytes()


def test_infer_refuses_a_short_payload():
    with pytest.raises(WrongPayloadLength):
        Native(neg([2]).SerializeToString()).infer(bytes(7))


def test_run_fails_in_one_sentence():
    gather = model(
        [h.make_node("Gather", ["x", "at"], ["y"])],
        [tensor("x", T.FLOAT, [2]), tensor("at", T.INT64, [1])],
        [tensor("y", T.FLOAT, [1])],
    )
    native = Native(gather.SerializeToString())
    with pytest.raises(InferenceFailed, match="onnxruntime failed: .* idx=7 must be within"):
        native.run([np.zeros(2, np.float32), np.array([7])])


def test_native_refuses_a_dim_that_is_not_frozen():
    with pytest.raises(ModelRefused) as refused:
        Native(neg(["batch", "width"]).SerializeToString(), {"height": 3})
    assert "dim 'width' is not frozen; give --dim width=VALUE" in reasons(refused)
    assert "no symbolic dim is named 'height'" in reasons(refused)


def test_native_refuses_outputs_that_are_not_tensors_of_numbers():
    with pytest.raises(ModelRefused) as refused:
        Native(classifier({"classlabels_strings": ["no", "yes"]}).SerializeToString())
    assert "output 'label' is of tensor(string)" in reasons(refused)
    assert "output 'scores' is of seq(map(string,tensor(float)))" in reasons(refused)


def test_native_refuses_an_output_whose_shape_depends_on_data():
    nonzero = model(
        [h.make_node("NonZero", ["x"], ["y"])],
        [tensor("x", T.FLOAT, [4])],
        [tensor("y", T.INT64, [1, None])],
    )
    with pytest.raises(ModelRefused, match="which is not static"):
        Native(nonzero.SerializeToString())


def test_native_refuses_gigantic_dims():
    with pytest.raises(ModelRefused, match="use 268435456 elements or fewer"):
        Native(neg([1 << 20, 1 << 20]).SerializeToString())


@pytest.mark.parametrize("where", ["initializer", "constant", "branch"])
def test_native_refuses_data_outside_the_file(where):
    outside = T(name="w", data_type=T.FLOAT, dims=[2], data_location=T.EXTERNAL)
    outside.external_data.add(key="location", value="../../../etc/passwd")
    constant = h.make_node("Constant", [], ["w"], value=outside)
    add = h.make_node("Add", ["x", "w"], ["y"])
    outputs = [tensor("y", T.FLOAT, [2])]
    nodes, initializers = [add], []
    match where:
        case "initializer":
            initializers = [outside]
        case "constant":
            nodes = [constant, add]
        case "branch":
            branch = h.make_graph([constant, add], "branch", [], outputs)
            nodes = [h.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)]
    hostile = model(
        nodes, [tensor("x", T.FLOAT, [2]), tensor("c", T.BOOL, [])], outputs, initializers
    )
    with pytest.raises(ModelRefused, match="tensor 'w' is outside the file"):
        Native(hostile.SerializeToString())


def test_native_refuses_a_cycle():
    cycle = model(
        [h.make_node("Add", ["x", "b"], ["a"]), h.make_node("Neg", ["a"], ["b"])],
        [tensor("x", T.FLOAT, [1])],
        [tensor("b", T.FLOAT, [1])],
    )
    with pytest.raises(ModelRefused, match="onnxruntime .* refuses it"):
        Native(cycle.SerializeToString())


@pytest.mark.parametrize("data", [b"", b"PK\3\4 no model", bytes(100)])
def test_native_refuses_what_is_no_model(data):
    with pytest.raises(ModelRefused, match="not an ONNX file"):
        Native(data)


# The second opinion


def advised(data, payload, other=None):
    """Runs `data` by the law, and asks for the second opinion of `other`."""
    program = lower(data)
    output = Runner(program).infer(payload)
    opinion = SecondOpinion(other or data, program.signature, {}, program.labels)
    opinion.advise(payload, output)


@pytest.mark.parametrize(
    "labels",
    [
        {"classlabels_ints": [7, 9]},
        {"classlabels_strings": ["no", "yes"]},
    ],
)
@pytest.mark.parametrize("x", [-3.0, 2.5])
def test_second_opinion_agrees_through_labels_and_zip_maps(labels, x):
    names = {"classlabels_ints": "classlabels_int64s"}
    proto = classifier({names.get(key, key): value for key, value in labels.items()})
    if "classlabels_ints" in labels:
        attribute = next(a for a in proto.graph.node[0].attribute if "classlabels" in a.name)
        attribute.name = "classlabels_ints"
    advised(proto.SerializeToString(), np.array([x], ">f4").tobytes())


def test_second_opinion_catches_a_wrong_result():
    right = neg([2]).SerializeToString()
    wrong = neg([2])
    wrong.graph.node[0].op_type = "Abs"
    with pytest.raises(SecondOpinionDiffers) as raised:
        advised(right, np.array([-1, 2], ">f4").tobytes(), wrong.SerializeToString())
    assert str(raised.value) == (
        "Output 'y' differs in 1 of 2 elements, by up to 4, first at [1]: -2.0 by the law, 2.0 by"
        " onnxruntime; at most 0.002 is float noise."
    )


def steps(scale):
    """To 8 bits and back; a network of dynamic quantization in little."""
    nodes = [
        h.make_node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"]),
        h.make_node("DequantizeLinear", ["q", "s", "z"], ["wide"]),
        h.make_node("Mul", ["wide", "by"], ["y"]),
    ]
    x, y = tensor("x", T.FLOAT, [4]), tensor("y", T.FLOAT, [4])
    by = h.make_tensor("by", T.FLOAT, [], [scale])
    return model(nodes, [x], [y], [by]).SerializeToString()


def test_second_opinion_lets_quantized_values_differ_by_some_steps():
    payload = np.array([0, 1, 2, 255], ">f4").tobytes()
    advised(steps(1), payload, steps(1.05))
    with pytest.raises(SecondOpinionDiffers, match="at most 15.9 is noise of what is quantized"):
        advised(steps(1), payload, steps(1.1))


# differs


def compare(exact, native, *relative):
    """`differs` for outputs given as lists or arrays."""
    exact, native = ([np.asarray(array) for array in arrays] for arrays in (exact, native))
    codes = {
        np.dtype(np.float32): DType.FLOAT,
        np.dtype(np.int64): DType.INT64,
        np.dtype(np.int8): DType.INT8,
    }
    types = [TensorType(f"out{i}", codes[a.dtype], a.shape) for i, a in enumerate(exact)]
    return differs(exact, native, Signature((), tuple(types)), *relative)


def floats(*values):
    return np.array(values, np.float32)


@pytest.mark.parametrize(
    "ours, theirs",
    [
        (floats(1000, 1), floats(1000.9, 1.9)),
        (floats(1e-20, 0), floats(1.0001e-20, 0)),
        (floats(0, 0), floats(5e-8, 0)),
        (floats(1.2e-7, 0), floats(2.98e-7, 0)),  # Sigmoid of -15.93 by onnxruntime
        (floats(NAN, INF, -INF, 1), floats(NAN, INF, -INF, 1)),
        (np.zeros((0, 3), np.float32), np.zeros((0, 3), np.float32)),
        (np.float32(2), np.float32(2.001)),
    ],
)
def test_differs_allows_float_noise(ours, theirs):
    assert compare([ours], [theirs]) is None


@pytest.mark.parametrize(
    "ours, theirs",
    [
        (floats(1000, 1), floats(1000, 2.1)),
        (floats(1, NAN), floats(1, 1)),
        (floats(1, 1), floats(1, NAN)),
        (floats(1, INF), floats(1, -INF)),
        (floats(1, INF), floats(1, 3e38)),
        (floats(1, 3e38), floats(1, INF)),
        (np.float32(2), np.float32(2.1)),
    ],
)
def test_differs_tells_more_than_noise(ours, theirs):
    assert "Output 'out0' differs in 1 of" in compare([ours], [theirs])


def test_differs_tells_another_shape_or_dtype():
    assert "float32[2] by the law and float32[1, 2]" in compare([floats(1, 2)], [[floats(1, 2)]])
    assert "int64[1] by the law and int32[1]" in compare([np.array([1])], [np.array([1], np.int32)])


def test_differs_tells_another_number_of_outputs():
    assert compare([floats(1)], []) == "The exact run gave 1 outputs, onnxruntime 0."


def test_differs_allows_another_label_only_where_the_best_scores_tie():
    scores = np.array([[0.5, 0.5, 0], [0.9, 0.05, 0.05]], np.float32)
    labels = np.array([4, 4])
    assert compare([labels, scores], [np.array([7, 4]), scores]) is None
    assert "'out0' differs in 1 of 2 elements, first at [1]: 4 by the law, 7" in compare(
        [labels, scores], [np.array([4, 7]), scores]
    )


def test_differs_allows_another_label_where_the_only_score_is_about_zero():
    scores = np.array([[1e-6], [-4]], np.float32)
    labels = np.array([[1], [-1]])
    assert compare([labels, scores], [np.array([[-1], [-1]]), scores]) is None
    assert compare([labels, scores], [np.array([[1], [1]]), scores]) is not None


def test_differs_reads_8_bits_as_numbers_where_the_network_quantizes():
    ours, theirs = np.array([-128, 1], np.int8), np.array([-121, 2], np.int8)
    assert compare([ours], [theirs]) is not None
    assert compare([ours], [theirs], QUANTIZED_NOISE) is None
    assert "at most 8 is noise" in compare([ours], [ours + np.int8(9)], QUANTIZED_NOISE)


def test_differs_allows_no_other_integer():
    assert compare([np.array([4])], [np.array([5])]) is not None
    assert compare([np.array([[4, 5]]), floats(1, 1)], [np.array([[5, 4]]), floats(1, 1)])
