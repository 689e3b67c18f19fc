"""An op means what the file's opset says; what that opset lacks has no meaning."""

import numpy as np
import pytest
from onnx import TensorProto, helper

from oracle.errors import ModelRefused
from oracle.exact.lowering.graph import lower
from tests.unit.exact.files import file, ml_node, node, regressor, tensor

X = tensor("x", [1, 1, 2, 2])
ROW = {"s": np.ones(4, np.float32), "p": np.zeros(8, np.int64), "a": np.zeros(1, np.int64)}
BEFORE = {
    "Trilu": 13,
    "Gelu": 19,
    "Mish": 17,
    "Swish": 23,
    "Sign": 8,
    "Round": 10,
    "HardSwish": 13,
    "MeanVarianceNormalization": 8,
}


def reason(*arguments, **options) -> str:
    with pytest.raises(ModelRefused) as refused:
        lower(file(*arguments, **options))
    (found,) = refused.value.reasons
    return found.why


@pytest.mark.parametrize(("op", "opset"), BEFORE.items())
def test_lower_refuses_an_op_that_came_later(op, opset):
    made = node(op, ["x"], ["y"])
    why = reason([made], [X], ["y"], opset=opset)
    assert why == f"opset {opset} has no op {op}, which came with opset {opset + 1}"
    lower(file([made], [X], ["y"], opset=opset + 1))


def test_lower_refuses_an_integer_op_that_came_later():
    made = node("BitwiseNot", ["x"], ["y"])
    why = reason([made], [tensor("x", [2], TensorProto.INT64)], ["y"], opset=17)
    assert why == "opset 17 has no op BitwiseNot, which came with opset 18"


def test_lower_refuses_an_op_that_is_gone():
    made = node("Upsample", ["x", "s"], ["y"])
    why = reason([made], [X], ["y"], opset=10, s=ROW["s"])
    assert why == "opset 10 has no op Upsample, which went with opset 10"
    lower(file([made], [X], ["y"], opset=9, s=ROW["s"]))


def test_lower_refuses_an_op_of_ml_that_is_gone():
    why = reason([regressor()], [tensor("x", [1, 1])], ["y"], ml_opset=5)
    assert why == "opset 5 has no op TreeEnsembleRegressor, which went with opset 5"


def test_lower_refuses_an_op_of_ml_that_came_later():
    why = reason([ml_node("TreeEnsemble", ["x"], ["y"])], [tensor("x", [1, 1])], ["y"], ml_opset=4)
    assert why == "opset 4 has no op TreeEnsemble, which came with opset 5"


@pytest.mark.parametrize(
    ("made", "opset"),
    [
        (node("ReduceSum", ["x"], ["y"], axes=[0]), 13),
        (node("Slice", ["x"], ["y"], starts=[0], ends=[1]), 10),
        (node("Resize", ["x", "s"], ["y"], antialias=0), 17),
        (node("Relu", ["x"], ["y"], alpha=1.0), 21),
    ],
    ids=lambda value: getattr(value, "op_type", str(value)),
)
def test_lower_refuses_attributes_that_the_opset_lacks(made, opset):
    names = ", ".join(sorted(attribute.name for attribute in made.attribute))
    why = reason([made], [X], ["y"], opset=opset, s=ROW["s"])
    assert why == f"its attributes {names} are not known in opset {opset}"


def test_lower_refuses_inputs_that_the_opset_lacks():
    made = node("Pad", ["x", "p", "", "a"], ["y"])
    why = reason([made], [X], ["y"], opset=13, p=ROW["p"], a=ROW["a"])
    assert why == "it has 4 inputs, in opset 13 3 at most"


def test_lower_refuses_outputs_that_the_opset_lacks():
    why = reason([node("Relu", ["x"], ["y", "z"])], [X], ["y"])
    assert why == "it has 2 outputs, in opset 21 1 at most"


def test_lower_reads_a_functions_nodes_by_the_functions_opset():
    opsets = [helper.make_opsetid("", 13)]
    function = helper.make_function("mine", "F", ["x"], ["y"], [node("Gelu", ["x"], ["y"])], opsets)
    model = helper.make_model(
        helper.make_graph([node("F", ["x"], ["y"], domain="mine")], "g", [X], [tensor("y", None)]),
        functions=[function],
        opset_imports=[helper.make_opsetid("", 21), helper.make_opsetid("mine", 1)],
    )
    with pytest.raises(ModelRefused, match="opset 13 has no op Gelu"):
        lower(model.SerializeToString())


@pytest.mark.parametrize(
    "made",
    [
        node("LayerNormalization", ["x", "s"], ["y"], axis=1),
        node("SimplifiedLayerNormalization", ["x", "s"], ["y"], axis=1),
        node("ThresholdedRelu", ["x"], ["y"], alpha=0.5),
    ],
    ids=lambda made: made.op_type,
)
def test_lower_takes_what_onnxruntime_writes_into_older_opsets(made):
    model = file([made], [tensor("x", [1, 4])], ["y"], opset=9, s=ROW["s"])
    newer = file([made], [tensor("x", [1, 4])], ["y"], opset=17, s=ROW["s"])
    assert lower(model).root == lower(newer).root


def test_lower_takes_the_first_group_normalization():
    made = node("GroupNormalization", ["x", "s", "s"], ["y"], num_groups=4)
    lower(file([made], [tensor("x", [1, 4, 2])], ["y"], opset=18, s=ROW["s"]))


def test_an_op_that_onnx_writes_out_is_refused_where_onnx_has_no_words():
    made = node("CausalConvWithState", ["x", "x"], ["y"])
    assert "ONNX does not say" in reason([made], [tensor("x", [2])], ["y"], opset=27)
    made = node("SwiGLU", ["x", "x"], ["y"])
    assert "came with opset" in reason([made], [X], ["y"], opset=22)
