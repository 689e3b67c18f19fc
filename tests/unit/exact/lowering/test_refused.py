"""What is refused by name says what to do instead."""

import numpy as np
import pytest
from onnx import NodeProto, TensorProto, helper

from oracle.errors import ModelRefused
from oracle.exact.limits import Limits
from oracle.exact.lowering.graph import lower
from tests.unit.exact.files import file, node, tensor

X = tensor("x", [4, 6])
INT64, STRING = TensorProto.INT64, TensorProto.STRING


def reasons(made: NodeProto, *inputs: object, **constants: np.ndarray) -> str:
    with pytest.raises(ModelRefused) as refused:
        lower(file([made], inputs or [X], ["y"], ml_opset=4, **constants))
    return str(refused.value)


@pytest.mark.parametrize(
    ("made", "advice"),
    [
        (node("RandomNormalLike", ["x"], ["y"]), "give the noise as an input"),
        (node("RandomNormal", [], ["y"], shape=[4]), "give the noise as an input"),
        (node("RandomUniformLike", ["x"], ["y"]), "give the noise as an input"),
        (node("RandomUniform", [], ["y"], shape=[4]), "give the noise as an input"),
        (node("Bernoulli", ["x"], ["y"]), "give uniform noise as an input"),
        (node("Multinomial", ["x"], ["y"]), "give Gumbel noise as an input"),
        (node("Unique", ["x"], ["y"]), "TopK, a mask and Where"),
        (node("NonZero", ["x"], ["y"]), "choose by Where"),
        (node("OptionalHasElement", ["x"], ["y"]), "export lists of tensors as Concat"),
        (node("Solve", ["x", "x"], ["y"], domain="com.microsoft"), "another classifier"),
        (
            node("CDist", ["x", "x"], ["y"], domain="com.microsoft", metric="manhattan"),
            "convert without optim='cdist'",
        ),
        (node("ImageDecoder", ["x"], ["y"]), "decode outside"),
        (node("TfIdfVectorizer", ["x"], ["y"]), "ops that docs/lowering.md covers"),
        (
            node("Conv", ["x"], ["y"], domain="com.microsoft.nchwc"),
            "graph_optimization_level ORT_ENABLE_EXTENDED or less",
        ),
        (
            node("ReorderInput", ["x"], ["y"], domain="com.microsoft.nchwc"),
            "graph_optimization_level ORT_ENABLE_EXTENDED or less",
        ),
    ],
    ids=lambda value: value.op_type if isinstance(value, NodeProto) else "",
)
def test_an_op_without_a_lowering_is_refused_with_advice(made, advice):
    why = reasons(made)
    assert advice in why and made.op_type in why


def test_dropout_draws_nothing_unless_it_may_train():
    lower(file([node("Dropout", ["x"], ["y"])], [X], ["y"]))
    made, on = node("Dropout", ["x", "", "on"], ["y"]), tensor("on", [], TensorProto.BOOL)
    lower(file([made], [X], ["y"], on=np.array(False)))
    assert "export for inference" in reasons(made, X, on)
    assert "export for inference" in reasons(made, X, on=np.array(True))


def test_lengths_that_inputs_decide_are_refused_with_advice():
    made = node("Range", ["a", "n", "b"], ["y"])
    ends = {"a": np.int64(0), "b": np.int64(1)}
    assert "a mask by Less" in reasons(made, tensor("n", [], INT64), **ends)
    made = node("Compress", ["x", "c"], ["y"], axis=0)
    assert "choose by Where" in reasons(made, X, tensor("c", [4], TensorProto.BOOL))


def test_strings_are_refused_with_advice():
    text = tensor("x", [4], STRING)
    assert "train on codes of the strings" in reasons(node("Identity", ["x"], ["y"]), text)
    words = np.array(["a", "b"], object)
    made = node("StringNormalizer", ["w"], ["y"])
    assert "encode them outside of the model" in reasons(made, X, w=words)


def test_a_scan_of_too_many_turns_names_the_option_of_skl2onnx():
    body = helper.make_graph(
        [node("Identity", ["r"], ["o"])], "body", [tensor("r", [6])], [tensor("o", [6])]
    )
    made = node("Scan", ["x"], ["y"], body=body, num_scan_inputs=1)
    with pytest.raises(ModelRefused, match="'optim': 'cdist'"):
        lower(file([made], [tensor("x", [200, 6])], ["y"]), limits=Limits(nodes=100))
