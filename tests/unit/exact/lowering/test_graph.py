"""Lowering: what ops mean in each opset, how dims are frozen, and what is refused."""

from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import (
    AttributeProto,
    FunctionProto,
    GraphProto,
    ModelProto,
    NodeProto,
    TensorProto,
    helper,
    numpy_helper,
)

from oracle.errors import ModelRefused
from oracle.exact.limits import Limits
from oracle.exact.lowering.graph import frozen_dims, lower
from oracle.exact.program import Op, Program
from oracle.exact.run import run
from oracle.types import DType
from tests.oracles import same
from tests.unit.exact.files import classifier, file, ml_node, node, proto, regressor, stumps, tensor

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64


def reasons(model: bytes, **options) -> str:
    with pytest.raises(ModelRefused) as refused:
        lower(model, **options)
    return str(refused.value)


def single(op, shapes, opset=21, constants=None, gives=FLOAT, **attributes) -> bytes:
    """One node with float32 inputs of these shapes and then the constants."""
    names = [f"x{place}" for place in range(len(shapes))]
    inputs = [tensor(name, shape) for name, shape in zip(names, shapes, strict=True)]
    constants = constants or {}
    made = node(op, [*names, *constants], ["y"], **attributes)
    return file([made], inputs, [tensor("y", None, gives)], opset=opset, **constants)


def agree(model: bytes, seed: int = 0, **tolerance) -> Program:
    """Fast, plain and onnxruntime on random inputs."""
    program = lower(model)
    rng = np.random.default_rng(seed)
    arrays = [
        rng.standard_normal(type_.shape).astype(np.float32) for type_ in program.signature.inputs
    ]
    (ours,) = run(program, arrays)
    assert same(ours, run(program, arrays, plain=True)[0])
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    feeds = {t.name: array for t, array in zip(program.signature.inputs, arrays, strict=True)}
    (theirs,) = session.run(None, feeds)
    assert ours.shape == theirs.shape and ours.dtype == theirs.dtype
    np.testing.assert_allclose(ours, theirs, **({"rtol": 1e-4, "atol": 1e-5} | tolerance))
    return program


# What ops mean


@pytest.mark.parametrize(
    "shapes",
    [
        [(3, 4), (4, 5)],
        [(4,), (4,)],
        [(4,), (4, 5)],
        [(3, 4), (4,)],
        [(2, 3, 4), (4, 5)],
        [(2, 3, 4), (4,)],
        [(2, 3, 4), (2, 4, 5)],
        [(4,), (2, 4, 5)],
        [(2, 1, 3, 4), (5, 4, 2)],
        [(1, 4), (4, 1)],
    ],
)
def test_matmul_has_numpys_shapes(shapes):
    agree(single("MatMul", shapes))


@pytest.mark.parametrize("attributes", [{}, {"alpha": 0.5}, {"beta": 2.0}, {"beta": 0.0}])
@pytest.mark.parametrize("trans_a", [0, 1])
@pytest.mark.parametrize("trans_b", [0, 1])
@pytest.mark.parametrize("bias", [(), (5,), (3, 1), (3, 5), None])
def test_gemm_agrees_with_onnxruntime(attributes, trans_a, trans_b, bias):
    a, b = [(4, 3) if trans_a else (3, 4), (5, 4) if trans_b else (4, 5)]
    shapes = [a, b] if bias is None else [a, b, bias]
    agree(single("Gemm", shapes, transA=trans_a, transB=trans_b, **attributes))


def test_gemm_rounds_its_bias_in_the_same_sum():
    model = single("Gemm", [(1, 2), (2, 1), (1,)])
    x, w = np.array([[2.0**24, 1]], np.float32), np.ones((2, 1), np.float32)
    assert run(lower(model), [x, w, np.array([2.0**-20], np.float32)])[0][0, 0] == 2.0**24 + 2


@pytest.mark.parametrize("opset", [7, 13, 21])
@pytest.mark.parametrize("op", ["Add", "Sub", "Mul", "Div"])
def test_arithmetic_broadcasts(op, opset):
    agree(single(op, [(2, 1, 3), (4, 1)], opset=opset))


@pytest.mark.parametrize("op", ["Neg", "Abs", "Relu", "Exp", "Sigmoid", "Tanh", "Erf", "Identity"])
def test_unary_ops_agree_with_onnxruntime(op):
    agree(single(op, [(3, 5)], opset=13))


@pytest.mark.parametrize("axis", [-1, 0, 1, 2])
@pytest.mark.parametrize("opset", [7, 11, 13, 21])
def test_softmax_reads_its_axis_as_its_opset_does(opset, axis):
    if axis < 0 and opset < 11:
        axis = 1
    agree(single("Softmax", [(2, 3, 4)], opset=opset, axis=axis))


@pytest.mark.parametrize("keepdims", [0, 1])
@pytest.mark.parametrize("axes", [None, [0], [1], [-1], [0, 2], [2, 0, 1]])
@pytest.mark.parametrize(
    ("opset", "op"), [(11, "ReduceSum"), (13, "ReduceMean"), (13, "ReduceMax")]
)
def test_reductions_read_axes_from_attributes_in_older_opsets(opset, op, axes, keepdims):
    attributes = {} if axes is None else {"axes": axes}
    agree(single(op, [(2, 3, 4)], opset=opset, keepdims=keepdims, **attributes))


@pytest.mark.parametrize("axes", [None, [0], [1, -1]])
@pytest.mark.parametrize("op", ["ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin"])
def test_reductions_read_axes_from_an_input_in_newer_opsets(op, axes):
    constants = {} if axes is None else {"axes": np.array(axes)}
    agree(single(op, [(2, 3, 4)], constants=constants))


@pytest.mark.parametrize("op", ["ReduceMax", "ReduceMin"])
@pytest.mark.parametrize(("shape", "nodes"), [((2, 5000), 2), ((2, 5003), 1), ((2, 4096), 1)])
def test_extrema_of_long_rows_are_taken_in_two_steps(op, shape, nodes):
    """5003 is prime."""
    program = agree(single(op, [shape], constants={"axes": np.array([1])}))
    assert len(program.nodes) == nodes


def test_reduction_does_nothing_when_told_so():
    program = agree(single("ReduceSum", [(2, 3)], noop_with_empty_axes=1))
    assert [made.op for made in program.nodes] == [Op.TRANSPOSE]


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("keepdims", [0, 1])
def test_arg_max_agrees_with_onnxruntime(axis, keepdims):
    agree(single("ArgMax", [(3, 4, 2)], axis=axis, keepdims=keepdims, gives=INT64))


def test_clip_reads_its_bounds_as_its_opset_does():
    agree(single("Clip", [(9,)], opset=6 + 1, min=-0.5, max=0.5))
    low, high = np.array(-0.5, np.float32), np.array(0.5, np.float32)
    agree(single("Clip", [(9,)], constants={"low": low, "high": high}))
    agree(single("Clip", [(9,)], constants={"low": low}))


def test_clip_is_the_upper_bound_when_the_bounds_cross():
    low, high = np.array(2, np.float32), np.array(-2, np.float32)
    agree(single("Clip", [(9,)], constants={"low": low, "high": high}))


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_gather_agrees_with_onnxruntime(axis):
    indices = np.array([[0, -1], [1, 0]])
    agree(single("Gather", [(2, 3, 4)], constants={"i": indices}, axis=axis))


@pytest.mark.parametrize("perm", [[2, 0, 1], [0, 2, 1], [0, 1, 2], None])
def test_transpose_agrees_with_onnxruntime(perm):
    agree(single("Transpose", [(2, 3, 4)], **({"perm": perm} if perm else {})))


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_concat_agrees_with_onnxruntime(axis):
    agree(single("Concat", [(2, 3, 2), (2, 3, 2), (2, 3, 2)], axis=axis))


@pytest.mark.parametrize("shape", [[6, 4], [-1], [0, -1], [2, 3, 4, 1], [0, 0, 0]])
def test_reshape_makes_no_node(shape):
    program = agree(single("Reshape", [(2, 3, 4)], constants={"s": np.array(shape)}))
    assert [made.op for made in program.nodes] == [Op.TRANSPOSE]  # the copy of an input


def test_reshape_follows_arithmetic_on_shapes():
    """Shape, Gather, Mul and Concat of constants are folded."""
    nodes = [
        node("Shape", ["x"], ["s"]),
        node("Gather", ["s", "zero"], ["n"]),
        node("Concat", ["n", "minus"], ["t"], axis=0),
        node("Reshape", ["x", "t"], ["y"]),
        node("Relu", ["y"], ["z"]),
    ]
    model = file(nodes, [tensor("x", [2, 3, 4])], ["z"], zero=np.array([0]), minus=np.array([-1]))
    program = lower(model)
    assert len(program.nodes) == 1 and program.signature.outputs[0].shape == (2, 12)


@pytest.mark.parametrize("axis", [0, 1, 2, 3])
def test_flatten_agrees_with_onnxruntime(axis):
    agree(single("Flatten", [(2, 3, 4)], axis=axis))


def test_two_transposes_become_one_or_none():
    nodes = [
        node("Transpose", ["x"], ["a"], perm=[1, 2, 0]),
        node("Transpose", ["a"], ["b"], perm=[2, 0, 1]),
        node("Relu", ["b"], ["y"]),
    ]
    assert [made.op for made in lower(file(nodes, [tensor("x", [2, 3, 4])], ["y"])).nodes] == [
        Op.MAX
    ]


def test_nodes_that_no_output_needs_are_dropped():
    nodes = [node("Exp", ["x"], ["a"]), node("Neg", ["x"], ["y"])]
    assert len(lower(file(nodes, [tensor("x", [2])], ["y"])).nodes) == 1


def test_an_output_that_is_an_input_or_a_constant_becomes_a_copy():
    nodes = [node("Identity", ["c"], ["d"])]
    c = np.array([1, 2], np.float32)
    program = lower(file(nodes, [tensor("x", [3])], ["x", "d"], c=c))
    x = np.array([5, 6, 7], np.float32)
    first, second = run(program, [x])
    assert same(first, x) and same(second, c)


def test_string_labels_become_places_in_the_list():
    model = ml_node(
        "LinearClassifier",
        ["x"],
        ["label", "y"],
        coefficients=[1.0, -1.0],
        intercepts=[0.0, 0.0],
        classlabels_strings=["benign", "malignant"],
    )
    zip_map = ml_node("ZipMap", ["y"], ["z"], classlabels_strings=["benign", "malignant"])
    outputs = [tensor("label", [2], TensorProto.STRING), "z"]
    program = lower(file([model, zip_map], [tensor("x", [2, 1])], outputs))
    assert program.labels == ("benign", "malignant")
    assert program.signature.outputs[0].dtype is DType.INT64
    label, _ = run(program, [np.array([[1], [-1]], np.float32)])
    assert label.tolist() == [0, 1]


# Dims


def test_the_leading_dim_is_one_when_nothing_is_said():
    for symbol in (None, "batch"):
        model = file([node("Relu", ["x"], ["y"])], [tensor("x", [symbol, 3])], ["y"])
        assert lower(model).signature.inputs[0].shape == (1, 3)


def test_dims_without_a_real_name_are_given_by_place():
    model = file([node("Relu", ["x"], ["y"])], [tensor("x", [-1, "?", "?"])], ["y"])
    program = lower(model, {"x.1": 4, "x.2": 6})
    assert program.signature.inputs[0].shape == (1, 4, 6)


def test_dims_are_given_by_name_and_by_place():
    named = file([node("Relu", ["x"], ["y"])], [tensor("x", ["batch", "time"])], ["y"])
    assert lower(named, {"batch": 2, "time": 7}).signature.outputs[0].shape == (2, 7)
    unnamed = file([node("Relu", ["x"], ["y"])], [tensor("x", [None, None])], ["y"])
    assert lower(unnamed, {"x.0": 2, "x.1": 7}).signature.outputs[0].shape == (2, 7)


def test_frozen_dims_are_those_that_nobody_gave():
    inputs = [tensor("x", ["batch", "time"]), tensor("z", [None, 4]), tensor("w", [2, "batch"])]
    nodes = [node("Relu", ["x"], ["y"])]
    model = file(nodes, [*inputs, tensor("c", ["rows"])], ["y"], c=np.zeros(3, np.float32))
    assert frozen_dims(model, {"time": 7}) == {"batch": 1, "z.0": 1}
    assert frozen_dims(model, {"time": 7, "batch": 3, "z.0": 1}) == {}
    shapes = [info.shape for info in lower(model, {"time": 7}).signature.inputs]
    assert shapes == [(1, 7), (1, 4), (2, 1)]
    with pytest.raises(ModelRefused):
        frozen_dims(b"no model", {})


def test_lower_refuses_and_names_each_dim_that_is_not_frozen():
    model = file(
        [node("Add", ["x", "z"], ["y"])], [tensor("x", [1, "time"]), tensor("z", [1, None])], ["y"]
    )
    assert "--dim time=VALUE" in reasons(model) and "--dim z.1=VALUE" in reasons(model)


def test_lower_refuses_when_a_given_dim_does_not_exist_or_is_not_positive():
    model = file([node("Relu", ["x"], ["y"])], [tensor("x", ["batch", 3])], ["y"])
    assert "no symbolic dim is named 'time'" in reasons(model, dims={"time": 3})
    assert "'batch' is given as 0" in reasons(model, dims={"batch": 0})


# Refusals


def test_lower_refuses_every_op_outside_the_law_at_once_by_name():
    outside = node("TfIdfVectorizer", ["b"], ["y"])
    nodes = [node("Loop", ["x"], ["a"]), node("Relu", ["a"], ["b"]), outside]
    with pytest.raises(ModelRefused) as refused:
        lower(file(nodes, [tensor("x", [2, 2])], ["y"]))
    assert [(reason.node, reason.op) for reason in refused.value.reasons] == [
        ("myLoop", "Loop"),
        ("myTfIdfVectorizer", "TfIdfVectorizer"),
    ]
    assert "outside the law" in str(refused.value) and "VANILLA" in str(refused.value)


@pytest.mark.parametrize("data", [b"", b"\0" * 100, b"not a model", b"\xff" * 4096, b"PK\3\4"])
def test_lower_refuses_a_file_that_is_no_model(data):
    assert "not an ONNX file" in reasons(data)


def test_lower_refuses_every_truncation_of_a_file():
    whole = file([regressor()], [tensor("x", [1, 1])], ["y"])
    for end in range(0, len(whole) - 1, 7):
        reasons(whole[:end])


def test_lower_survives_every_flipped_byte():
    whole = bytearray(file([regressor()], [tensor("x", [1, 1])], ["y"]))
    for place in range(len(whole)):
        for value in (0, 0x7F, 0xFF):
            changed = bytes(whole[:place]) + bytes([value]) + bytes(whole[place + 1 :])
            try:
                lower(changed, limits=Limits(elements=1 << 20))
            except ModelRefused:
                continue


def test_lower_refuses_a_file_that_is_too_long():
    assert "the limit is 10" in reasons(b"x" * 11, limits=Limits(file_bytes=10))


@pytest.mark.parametrize("shape", [[2**40], [2**20, 2**20], [1, 2**31], [-5], [0, 3]])
def test_lower_refuses_gigantic_negative_and_empty_dims(shape):
    model = file([node("Relu", ["x"], ["y"])], [tensor("x", shape)], ["y"])
    assert "elements" in reasons(model) or "positive dims" in reasons(model)


def test_lower_refuses_a_product_that_grows_gigantic():
    """A column times a row, again and again."""
    nodes = [node("MatMul", ["x", "r"], ["y"])]
    model = file(nodes, [tensor("x", [2**20, 1])], ["y"], r=np.ones((1, 4096), np.float32))
    assert "elements" in reasons(model)


def test_lower_refuses_more_work_than_the_limit():
    nodes = [node("MatMul", ["x", "z"], ["y"])]
    model = file(nodes, [tensor("x", [64, 64]), tensor("z", [64, 64])], ["y"])
    assert "multiply-adds" in reasons(model, limits=Limits(work=64**3))
    assert lower(model, limits=Limits(work=64**3 + 2 * 64**2 + 2))


def test_lower_refuses_work_on_constants_too():
    big = np.ones((64, 64), np.float32)
    nodes = [node("MatMul", ["a", "a"], ["b"]), node("Add", ["b", "x"], ["y"])]
    model = file(nodes, [tensor("x", [1])], ["y"], a=big)
    assert "multiply-adds to fold" in reasons(model, limits=Limits(folded_work=10000))


def test_lower_refuses_more_live_bytes_than_the_limit():
    model = file([node("Relu", ["x"], ["y"])], [tensor("x", [1000])], ["y"])
    assert "bytes of tensors" in reasons(model, limits=Limits(live_bytes=7999))
    assert lower(model, limits=Limits(live_bytes=8004))


def test_lower_refuses_more_nodes_than_the_limit():
    nodes = [helper.make_node("Relu", ["x"], [f"y{place}"]) for place in range(11)]
    assert "10 nodes" in reasons(file(nodes, [tensor("x", [1])], ["y0"]), limits=Limits(nodes=10))


def test_lower_refuses_a_cycle():
    nodes = [node("Add", ["x", "b"], ["a"]), node("Relu", ["a"], ["b"])]
    assert "a cycle of nodes" in reasons(file(nodes, [tensor("x", [1])], ["b"]))


def test_lower_refuses_inputs_and_outputs_that_are_not_defined():
    assert "'nothing'" in reasons(
        file([node("Relu", ["nothing"], ["y"])], [tensor("x", [1])], ["y"])
    )
    assert "output 'z'" in reasons(file([node("Relu", ["x"], ["y"])], [tensor("x", [1])], ["z"]))


def test_lower_refuses_two_values_of_one_name():
    twice = [node("Relu", ["x"], ["y"]), node("Neg", ["x"], ["y"])]
    assert "two values are named 'y'" in reasons(file(twice, [tensor("x", [1])], ["y"]))
    shadowed = [node("Relu", ["x"], ["c"])]
    model = file(shadowed, [tensor("x", [1])], ["c"], c=np.zeros(1, np.float32))
    assert "two values are named 'c'" in reasons(model)
    inputs = [tensor("x", [1]), tensor("x", [2])]
    assert "two inputs" in reasons(file([node("Relu", ["x"], ["y"])], inputs, ["y"]))
    made = proto([node("Relu", ["x"], ["y"])], [tensor("x", [1])], ["y"], c=np.zeros(1, np.float32))
    made.graph.initializer.append(made.graph.initializer[0])
    assert "two initializers" in reasons(made.SerializeToString())


def test_lower_refuses_custom_domains_and_ops_redefined():
    made = node("Relu", ["x"], ["y"], domain="com.evil")
    model = proto([made], [tensor("x", [1])], ["y"])
    assert "com.evil.Relu" in reasons(model.SerializeToString())
    opsets = [helper.make_opsetid("", 21)]
    function = helper.make_function("", "Relu", ["x"], ["y"], [node("Neg", ["x"], ["y"])], opsets)
    model = proto([node("Relu", ["x"], ["y"])], [tensor("x", [1])], ["y"])
    model.functions.append(function)
    assert "named like the op Relu" in reasons(model.SerializeToString())


def functions(*made: FunctionProto, call: NodeProto) -> bytes:
    model = proto([call], [tensor("x", [2, 3])], ["y"])
    model.functions.extend(made)
    model.opset_import.append(helper.make_opsetid("mine", 1))
    return bytes(model.SerializeToString())


def function(name: str, inputs: list[str], nodes: list[NodeProto], **rest: Any) -> FunctionProto:
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("mine", 1)]
    return helper.make_function("mine", name, inputs, ["y"], nodes, opsets, **rest)


def test_functions_mean_their_nodes():
    slope = node("LeakyRelu", ["x"], ["y"])
    slope.attribute.append(AttributeProto(name="alpha", ref_attr_name="slope", type="FLOAT"))
    default = helper.make_attribute("slope", 0.25)
    bend = function("Bend", ["x"], [slope], attribute_protos=[default])
    bounds = [
        node("Bend", ["x"], ["x0"], domain="mine", slope=0.5),
        node("Bend", ["x0"], ["x1"], domain="mine"),
        node("Clip", ["x1", "low", "high"], ["y"]),
    ]
    for at, made in enumerate(bounds):
        made.name = f"node {at}"
    both = function("Both", ["x", "low", "high"], bounds)
    x = np.float32([[-9, -8, -1], [1, 3, 2]])
    call = node("Both", ["x", "", "top"], ["y"], domain="mine")
    model = ModelProto.FromString(functions(bend, both, call=call))
    model.graph.initializer.append(numpy_helper.from_array(np.float32(2.5), "top"))
    file_ = model.SerializeToString()
    (ours,) = run(lower(file_), [x])
    assert ours.tolist() == [[-1.125, -1, -0.125], [1, 2.5, 2]]
    session = onnxruntime.InferenceSession(file_, providers=["CPUExecutionProvider"])
    assert session.run(None, {"x": x})[0].tolist() == ours.tolist()


def test_functions_see_nothing_but_what_they_are_given():
    blind = function("Blind", ["z"], [node("Neg", ["x"], ["y"])])
    file_ = functions(blind, call=node("Blind", ["x"], ["y"], domain="mine"))
    assert "its input 'x' is not defined" in reasons(file_)


@pytest.mark.parametrize(
    ("inner", "call", "why"),
    [
        (node("F", ["x"], ["y"], domain="mine"), {}, "16 deep"),
        (node("Neg", ["x"], ["y"]), {"slope": 1.0}, "attributes slope are not known"),
        (node("Neg", ["x"], ["y"]), {"inputs": ["x", "x"]}, "fewer inputs"),
    ],
)
def test_functions_are_refused_when_they_do_not_fit(inner, call, why):
    made = node("F", call.pop("inputs", ["x"]), ["y"], domain="mine", **call)
    assert why in reasons(functions(function("F", ["x"], [inner]), call=made))


@pytest.mark.parametrize("location", ["weights.bin", "../../../etc/passwd", "/dev/zero"])
def test_lower_refuses_external_data(location):
    model = proto(
        [node("Add", ["x", "w"], ["y"])], [tensor("x", [2])], ["y"], w=np.zeros(2, np.float32)
    )
    weights = model.graph.initializer[0]
    weights.ClearField("raw_data")
    weights.data_location = TensorProto.EXTERNAL
    entry = weights.external_data.add()
    entry.key, entry.value = "location", location
    assert "outside the file" in reasons(model.SerializeToString())


@pytest.mark.parametrize("dtype", [TensorProto.STRING, TensorProto.UINT64, 99])
def test_lower_refuses_inputs_of_dtypes_outside_the_law(dtype):
    model = proto([node("Identity", ["x"], ["y"])], [tensor("x", [1])], ["y"])
    model.graph.input[0].type.tensor_type.elem_type = dtype
    assert "input 'x' is of" in reasons(model.SerializeToString())


def test_lower_refuses_inputs_that_are_no_tensors():
    for make in (helper.make_sequence_type_proto, helper.make_optional_type_proto):
        made = proto([node("Identity", ["x"], ["y"])], [tensor("x", [1])], ["y"])
        inner = helper.make_tensor_type_proto(FLOAT, [1])
        made.graph.input[0].type.CopyFrom(make(inner))
        assert "is not a tensor" in reasons(made.SerializeToString())


def test_lower_refuses_an_input_without_a_shape():
    assert "has no shape" in reasons(file([node("Relu", ["x"], ["y"])], [tensor("x", None)], ["y"]))


def test_lower_refuses_sparse_initializers():
    model = proto([node("Relu", ["x"], ["y"])], [tensor("x", [1])], ["y"])
    sparse = model.graph.sparse_initializer.add()
    sparse.values.CopyFrom(numpy_helper.from_array(np.zeros(1, np.float32), "s"))
    assert "sparse" in reasons(model.SerializeToString())


@pytest.mark.parametrize("length", [0, 4, 7, 9, 4096])
def test_lower_refuses_raw_data_of_the_wrong_length(length):
    model = proto(
        [node("Add", ["x", "w"], ["y"])], [tensor("x", [2])], ["y"], w=np.zeros(2, np.float32)
    )
    model.graph.initializer[0].raw_data = b"\0" * length
    assert f"{length} bytes of data in place of 8" in reasons(model.SerializeToString())


def test_lower_refuses_typed_data_of_the_wrong_length():
    model = proto(
        [node("Add", ["x", "w"], ["y"])], [tensor("x", [2])], ["y"], w=np.zeros(2, np.float32)
    )
    model.graph.initializer[0].ClearField("raw_data")
    model.graph.initializer[0].float_data.extend([1, 2, 3])
    assert "3 elements in place of 2" in reasons(model.SerializeToString())


@pytest.mark.parametrize("dims", [[2**40], [-1], [-2, -1], [2**20, 2**20, 2**20]])
def test_lower_refuses_a_constant_that_claims_gigantic_or_negative_dims(dims):
    model = proto(
        [node("Add", ["x", "w"], ["y"])], [tensor("x", [2])], ["y"], w=np.zeros(2, np.float32)
    )
    del model.graph.initializer[0].dims[:]
    model.graph.initializer[0].dims.extend(dims)
    assert "has dims" in reasons(model.SerializeToString())


def test_lower_refuses_constants_of_dtypes_outside_the_law():
    model = file([node("Add", ["x", "w"], ["y"])], [tensor("x", [2])], ["y"], w=np.zeros(2))
    assert "different dtypes: double, float" in reasons(model)
    model = file([node("Relu", ["w"], ["y"])], [tensor("x", [2])], ["y"], w=np.zeros(2, np.uint64))
    assert "dtype uint64 is not covered" in reasons(model)
    model = file([node("Abs", ["w"], ["y"])], [tensor("x", [2])], ["y"], w=np.zeros(2, complex))
    assert "tensor 'w' is of complex128" in reasons(model)


@pytest.mark.parametrize("code", [TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE])
def test_constants_stored_in_other_dtypes_become_float32_when_cast(code):
    values = [1.0, -0.0, 0.1, 65504.0, 2.0**-24]
    stored = helper.make_tensor("w", code, [5], values)
    wanted = (numpy_helper.to_array(stored).astype(np.float32) + np.float32(0)).tolist()
    cast = node("Cast", ["w"], ["f"], to=FLOAT)
    made = proto([cast, node("Add", ["x", "f"], ["y"])], [tensor("x", [5])], ["y"])
    made.graph.initializer.append(stored)
    program = lower(made.SerializeToString())
    assert run(program, [np.zeros(5, np.float32)])[0].tolist() == wanted
    made.graph.output[0].name = "w"
    (given,) = run(lower(made.SerializeToString()), [np.zeros(5, np.float32)])
    assert given.dtype == np.float32 and given.tolist() == wanted


def branches(then: str, other: str) -> tuple[GraphProto, ...]:
    """x through an op each; the names inside are the same in both."""
    return tuple(
        helper.make_graph([node(op, ["x"], ["inside"])], name, [], [tensor("inside", [2])])
        for name, op in (("then", then), ("else", other))
    )


@pytest.mark.parametrize("condition", [True, False])
def test_if_is_the_branch_that_is_taken(condition):
    then, other = branches("Neg", "Loop" if condition else "Abs")
    then.node[0].op_type = "Neg" if condition else "Loop"
    nodes = [
        node("If", ["c"], ["a"], then_branch=then, else_branch=other),
        node("If", ["c"], ["b"], then_branch=then, else_branch=other),
        node("Add", ["a", "b"], ["y"]),
    ]
    program = lower(file(nodes, [tensor("x", [2])], ["y"], c=np.array(condition)))
    (out,) = run(program, [np.float32([1, -2])])
    assert out.tolist() == ([-2, 4] if condition else [2, 4])


def test_lower_refuses_what_a_branch_that_is_taken_holds():
    then, other = branches("Multinomial", "Neg")
    made = node("If", ["c"], ["y"], then_branch=then, else_branch=other)
    model = file([made], [tensor("x", [2])], ["y"], c=np.array(True))
    assert "the op Multinomial is outside" in reasons(model)


def test_names_in_a_branch_are_not_seen_outside_it():
    then, other = branches("Neg", "Neg")
    made = node("If", ["c"], ["a"], then_branch=then, else_branch=other)
    model = file(
        [made, node("Abs", ["inside"], ["y"])], [tensor("x", [2])], ["y"], c=np.array(True)
    )
    assert "'inside' is not defined" in reasons(model)


def test_lower_refuses_booleans_that_are_neither():
    model = proto(
        [node("Where", ["w", "x", "x"], ["y"])], [tensor("x", [2])], ["y"], w=np.zeros(2, np.bool_)
    )
    model.graph.initializer[0].raw_data = b"\x02\x01"
    assert "beyond its dtype" in reasons(model.SerializeToString())


@pytest.mark.parametrize("opset", [1, 6, 29, 1000])
def test_lower_refuses_opsets_that_it_does_not_know(opset):
    model = file([node("Relu", ["x"], ["y"])], [tensor("x", [1])], ["y"], opset=opset)
    assert f"opset {opset}" in reasons(model)


def test_lower_refuses_attributes_that_it_does_not_know_or_that_have_the_wrong_type():
    made = node("Relu", ["x"], ["y"], slope=0.5)
    assert "attributes slope are not known" in reasons(file([made], [tensor("x", [1])], ["y"]))
    made = node("Softmax", ["x"], ["y"], axis="one")
    assert "'axis' is not of type INT" in reasons(file([made], [tensor("x", [1])], ["y"]))


@pytest.mark.parametrize("name", [b"myRelu", b"theinput", b"theoutput"])
def test_lower_refuses_names_that_are_not_utf8(name):
    nodes = [node("Relu", ["theinput"], ["theoutput"])]
    model = file(nodes, [tensor("theinput", [1])], ["theoutput"])
    assert "not UTF-8" in reasons(model.replace(name, b"\xff\xfe" + name[2:]))


def test_lower_refuses_axes_out_of_range():
    assert "axis 3 is not one of 2" in reasons(single("ArgMax", [(2, 3)], axis=3))
    assert "axis 5 is not one of 1" in reasons(single("Softmax", [(3,)], axis=5))


def test_lower_refuses_shapes_that_depend_on_inputs():
    nodes = [node("Reshape", ["x", "s"], ["y"])]
    model = file(nodes, [tensor("x", [2]), tensor("s", [1], INT64)], ["y"])
    assert "depend on the model's inputs" in reasons(model)


def test_lower_refuses_to_compute_with_strings():
    words = np.array(["a", "b"], object)
    nodes = [
        ml_node("ArrayFeatureExtractor", ["w", "i"], ["s"]),
        node("Cast", ["s"], ["y"], to=INT64),
    ]
    model = file(nodes, [tensor("i", [1], INT64)], ["y"], w=words)
    assert "it computes with strings" in reasons(model)


# Trees


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"nodes_truenodeids": [9, 0, 0] * 2}, "is not there"),
        ({"nodes_falsenodeids": [-1, 0, 0] * 2}, "is not there"),
        ({"nodes_truenodeids": [0, 0, 0] * 2}, "cycle"),
        ({"nodes_falsenodeids": [1, 0, 0] * 2}, "tree 0 has two roots"),
        ({"nodes_featureids": [1] * 6}, "feature 1 of 1"),
        ({"nodes_featureids": [-1] * 6}, "feature -1 of 1"),
        ({"nodes_featureids": [0] * 5}, "have lengths"),
        ({"nodes_values": [0.0] * 7}, "have lengths"),
        ({"nodes_modes": ["BRANCH_MAYBE", "LEAF", "LEAF"] * 2}, "mode 'BRANCH_MAYBE'"),
        ({"nodes_nodeids": [0, 1, 1] * 2}, "two with one id"),
        ({"target_ids": [0, 2] * 4}, "target id 2"),
        ({"target_ids": [0, -1] * 4}, "target id -1"),
        ({"target_ids": [0, 0] * 4}, "two weights for one leaf"),
        ({"target_nodeids": [0, 1, 2, 2] * 2}, "no leaf"),
        ({"target_weights": [1.0]}, "have lengths"),
        ({"n_targets": 2**40}, "target ids"),
        ({"n_targets": -1}, "target ids"),
        ({"base_values": [1.0]}, "1 base values for 2"),
        ({"aggregate_function": "MEDIAN"}, "MEDIAN"),
        ({"post_transform": "PROBIT"}, "PROBIT"),
    ],
)
def test_lower_refuses_a_broken_tree(change, why):
    assert why in reasons(file([regressor(**change)], [tensor("x", [1, 1])], ["y"]))


@pytest.mark.parametrize("children", [(0, 1), (1, 1), (2, 0)])
def test_lower_refuses_a_tree_with_a_cycle(children):
    loop = {
        "nodes_modes": ["BRANCH_LEQ"] * 2 + ["LEAF"] + stumps()["nodes_modes"][3:],
        "nodes_truenodeids": [children[0], children[1], 0, 1, 0, 0],
        "nodes_falsenodeids": [1, 2, 0, 2, 0, 0],
        "target_nodeids": [2, 2, 2, 2, 1, 1, 2, 2],
    }
    why = reasons(file([regressor(**loop)], [tensor("x", [1, 1])], ["y"]))
    assert "cycle" in why or "parents" in why


def test_lower_refuses_a_ring_of_nodes_beside_the_root():
    ring = {
        "nodes_treeids": [0] * 4,
        "nodes_nodeids": [0, 1, 2, 3],
        "nodes_featureids": [0] * 4,
        "nodes_values": [0.0] * 4,
        "nodes_modes": ["LEAF", "BRANCH_LEQ", "BRANCH_LEQ", "LEAF"],
        "nodes_truenodeids": [0, 2, 1, 0],
        "nodes_falsenodeids": [0, 3, 3, 0],
        "nodes_missing_value_tracks_true": [0] * 4,
        "target_treeids": [0],
        "target_nodeids": [0],
        "target_ids": [0],
        "target_weights": [1.0],
    }
    why = reasons(file([regressor(**ring)], [tensor("x", [1, 1])], ["y"]))
    assert "no root leads to node 1 of tree 0, as in a cycle" in why


def test_lower_takes_a_tree_deeper_than_pythons_stack():
    depth = 5000
    leaf = [2 * level + 1 for level in range(depth)]
    chain = {
        "nodes_treeids": [0] * (2 * depth + 1),
        "nodes_nodeids": list(range(2 * depth + 1)),
        "nodes_featureids": [0] * (2 * depth + 1),
        "nodes_values": [float(place) for place in range(2 * depth + 1)],
        "nodes_modes": ["BRANCH_LEQ", "LEAF"] * depth + ["LEAF"],
        "nodes_truenodeids": [place + 1 for place in range(2 * depth + 1)],
        "nodes_falsenodeids": [place + 2 for place in range(2 * depth + 1)],
        "nodes_missing_value_tracks_true": [0] * (2 * depth + 1),
        "target_treeids": [0] * depth,
        "target_nodeids": leaf,
        "target_ids": [0] * depth,
        "target_weights": [float(place) for place in leaf],
        "n_targets": 1,
    }
    program = lower(file([regressor(**chain)], [tensor("x", [1, 1])], ["y"]))
    assert run(program, [np.array([[4001.5]], np.float32)])[0].tolist() == [[4003.0]]


@pytest.mark.parametrize("ids", [[0, 1] * 2, [1, 1]])
def test_lower_refuses_two_classes_whose_meaning_is_not_agreed(ids):
    model = classifier(ids, [0.5] * len(ids))
    assert "no agreed meaning" in reasons(file([model], [tensor("x", [1, 1])], ["label", "y"]))


def test_lower_refuses_a_classifier_whose_labels_do_not_match():
    model = ml_node(
        "LinearClassifier", ["x"], ["l", "y"], coefficients=[1.0] * 3, classlabels_ints=[1, 2]
    )
    assert "3 rows of coefficients for 2 labels" in reasons(
        file([model], [tensor("x", [1, 1])], ["l", "y"])
    )


@pytest.mark.parametrize(
    ("attributes", "why"),
    [
        ({"offset": [1.0, 2.0], "scale": [1.0]}, "its offset has 2 elements"),
        ({"scale": [1.0]}, "its offset has 0 elements"),
        ({"offset": [1.0]}, "its scale has 0 elements"),
    ],
)
def test_lower_refuses_a_scaler_without_both_attributes_in_full(attributes, why):
    model = ml_node("Scaler", ["x"], ["y"], **attributes)
    assert why in reasons(file([model], [tensor("x", [1, 3])], ["y"]))


def test_a_program_may_have_so_many_primitives_and_no_more():
    data = file([node("Exp", ["x"], ["h"]), node("Exp", ["h"], ["y"])], [tensor("x", [2])], ["y"])
    assert len(lower(data, limits=Limits(nodes=2)).nodes) == 2
    with pytest.raises(ModelRefused, match="more than 1 (primitives|nodes)"):
        lower(data, limits=Limits(nodes=1))
    sums = [node("Softmax", ["x"], ["y"])]
    with pytest.raises(ModelRefused, match="more than 2 primitives"):
        lower(file(sums, [tensor("x", [2, 3])], ["y"]), limits=Limits(nodes=2))
