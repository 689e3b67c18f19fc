"""Encoders and support vector machines of ai.onnx.ml: as onnxruntime has them."""

from dataclasses import replace

import numpy as np
import onnxruntime
import pytest
from onnx import AttributeProto, NodeProto, TensorProto, helper

from oracle.errors import ModelRefused
from oracle.exact.lowering.graph import lower
from oracle.exact.program_file import pack, read
from oracle.exact.run import run
from oracle.inference.onnxruntime import SecondOpinion
from oracle.types import DType
from tests.unit.exact.agreement import agree, check, integers, model, numbers, refusal
from tests.unit.exact.files import file, ml_node, node, tensor

ML = {"domain": "ai.onnx.ml"}
IDS = {"x": integers(3, 4, low=0, high=5)}


@pytest.mark.parametrize(
    "attributes",
    [
        {"keys_int64s": [1, 2, 4], "values_int64s": [7, 8, 9], "default_int64": -3},
        {"keys_int64s": [1, 2], "values_floats": [0.5, 1.5], "default_float": 2.5},
    ],
)
def test_label_encoder_agrees_on_integers(attributes):
    check("LabelEncoder", IDS, **ML, **attributes)


def test_label_encoder_agrees_on_floats_and_nan():
    x = {"x": np.float32([0.5, np.nan, 2, 3])}
    keys = [2.0, float("nan"), 0.5]
    check("LabelEncoder", x, **ML, keys_floats=keys, values_int64s=[1, 2, 3])


def test_label_encoder_looks_up_strings_that_the_model_made():
    encoders = [
        {"keys_int64s": [1, 2, 3], "values_strings": ["a", "b", "a"], "default_string": "none"},
        {"keys_strings": ["b", "a"], "values_strings": ["B", "A"], "default_string": "?"},
        {"keys_strings": ["A", "?"], "values_floats": [0.5, 1.5], "default_float": -1.0},
    ]
    chain = [
        ml_node("LabelEncoder", [f"x{at}"], [f"x{at + 1}"], **attributes)
        for at, attributes in enumerate(encoders)
    ]
    for made in chain:
        made.name = made.output[0]
    agree(file(chain, [tensor("x0", [5], TensorProto.INT64)], ["x3"]), {"x0": np.arange(5)})


def test_linear_models_agree_and_are_refused_where_their_numbers_do_not_fit():
    x = {"x": numbers(3, 2)}
    right = {"coefficients": [0.5, -1.0, 2.0, 0.25], "intercepts": [1.0, -1.0], "targets": 2}
    check("LinearRegressor", x, **ML, **right)
    check("LinearRegressor", x, **ML, coefficients=[0.5, -1.0])
    short = right | {"coefficients": [0.5, -1.0, 2.0]}
    assert "3 coefficients for 2 rows of 2" in refusal("LinearRegressor", x, **ML, **short)
    few = right | {"intercepts": [1.0]}
    assert "1 intercepts for 2 rows" in refusal("LinearRegressor", x, **ML, **few)
    labels = {"classlabels_ints": [3, 4, 5], "coefficients": [1.0] * 5}
    refused = refusal("LinearClassifier", x, outputs=2, **ML, **labels)
    assert "2 rows of coefficients for 3 labels" in refused


@pytest.mark.parametrize("inner", [["no", "yes"], ["yes", "no"]])
def test_labels_are_those_of_the_outputs(inner):
    nodes = [
        linear_classifier("inner", classlabels_strings=inner),
        linear_classifier("outer", classlabels_strings=["no", "yes"]),
    ]
    rest = [tensor("x", [4, 2])], ["label_outer", "scores_outer", "scores_inner"]
    assert lower(file(nodes, *rest)).labels == ("no", "yes")
    both = [tensor("x", [4, 2])], ["label_outer", "label_inner"]
    if inner == ["no", "yes"]:
        assert lower(file(nodes, *both)).labels == ("no", "yes")
        return
    with pytest.raises(ModelRefused, match="different lists of labels"):
        lower(file(nodes, *both))


@pytest.mark.parametrize(
    "labels", [{}, {"classlabels_ints": [3, 4], "classlabels_strings": ["no", "yes"]}]
)
def test_labels_are_of_one_kind(labels):
    made = file([linear_classifier("only", **labels)], [tensor("x", [2, 2])], ["only"])
    with pytest.raises(ModelRefused, match="labels of one kind"):
        lower(made)


def linear_classifier(name: str, **labels: list) -> NodeProto:
    made = ml_node("LinearClassifier", ["x"], [f"label_{name}", f"scores_{name}"], **labels)
    made.attribute.append(helper.make_attribute("coefficients", [1.0, 2.0, -1.0, 0.5]))
    return made


def test_one_hot_encoder_agrees():
    check("OneHotEncoder", IDS, **ML, cats_int64s=[0, 3, 4], zeros=1)
    check("OneHotEncoder", IDS, **ML, cats_int64s=[0, 1, 2, 3, 4], zeros=0)


def test_one_hot_encoder_gives_zeros_for_what_it_does_not_know():
    x = {"x": np.int64([[7]])}
    program = lower(model("OneHotEncoder", x, **ML, cats_int64s=[1, 2], zeros=0))
    assert run(program, [x["x"]])[0].tolist() == [[[0, 0]]]


@pytest.mark.parametrize("gap", [float("nan"), 1.0])
def test_imputer_agrees(gap):
    x = {"x": np.float32([[1, np.nan, 3], [np.nan, 1, 5]])}
    for values in ([9.0], [7.0, 8.0, 9.0]):
        check("Imputer", x, **ML, imputed_value_floats=values, replaced_value_float=gap)


def test_binarizer_agrees():
    check("Binarizer", {"x": numbers(3, 4)}, **ML, threshold=0.25)


def test_feature_vectorizer_agrees():
    inputs = {"a": numbers(3, 2), "b": numbers(3, 1)}
    check("FeatureVectorizer", inputs, **ML, inputdimensions=[2, 1])


KERNELS = ["LINEAR", "POLY", "RBF", "SIGMOID"]


def support(kernel: str, count: int) -> dict:
    return {
        "kernel_type": kernel,
        "kernel_params": [0.3, 0.5, 3.0],
        "support_vectors": numbers(count, 3, seed=1).ravel().tolist(),
    }


@pytest.mark.parametrize("kernel", KERNELS)
def test_svm_regressor_agrees(kernel):
    attributes = {"coefficients": numbers(5).tolist(), "rho": [0.25], "n_supports": 5}
    check("SVMRegressor", {"x": numbers(4, 3)}, **ML, **support(kernel, 5), **attributes)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("sizes", [[2, 3], [2, 1, 2], [1, 2, 3, 1]])
def test_svm_classifier_agrees(kernel, sizes):
    classes = len(sizes)
    attributes = {
        "classlabels_ints": list(range(3, 3 + classes)),
        "vectors_per_class": sizes,
        "coefficients": numbers((classes - 1) * sum(sizes), seed=2).tolist(),
        "rho": numbers(classes * (classes - 1) // 2, seed=3).tolist(),
    }
    x = {"x": numbers(6, 3)}
    kernels = support(kernel, sum(sizes))
    check("SVMClassifier", x, outputs=2, **ML, **kernels, **attributes)
    slopes = numbers(classes * (classes - 1) // 2, seed=4)
    for scale in (0, 1, 30):
        platt = {"prob_a": (slopes * scale).tolist(), "prob_b": slopes[::-1].tolist()}
        check("SVMClassifier", x, outputs=2, **ML, **kernels, **attributes, **platt)


def test_svm_classifier_of_two_knows_no_probability_nearer_to_a_half_than_it_rests():
    attributes = {
        "classlabels_ints": [0, 1],
        "vectors_per_class": [1, 1],
        "coefficients": [1.0, -1.0],
        "rho": [0.0],
        "prob_a": [0.0],
    }
    x = {"x": numbers(1, 3)}
    for shift, wanted in ((0.019, 0.5), (0.021, 1 / (1 + np.exp(0.021)))):
        rest = {**ML, **support("LINEAR", 2), **attributes, "prob_b": [shift]}
        given = agree(model("SVMClassifier", x, outputs=2, **rest), x)[1]
        np.testing.assert_allclose(given[0], [wanted, 1 - wanted], rtol=1e-5)


def test_svm_is_refused_when_its_probabilities_do_not_fit():
    attributes = {
        "classlabels_ints": [0, 1, 2],
        "vectors_per_class": [1, 1, 1],
        "coefficients": [1.0] * 6,
        "rho": [0.0] * 3,
        "prob_a": [1.0],
    }
    rest = {**ML, **support("LINEAR", 3), **attributes}
    assert "1 prob_a, 0 prob_b for 3 pairs" in refusal(
        "SVMClassifier", {"x": numbers(2, 3)}, outputs=2, **rest
    )


def test_svm_is_refused_when_its_numbers_do_not_fit():
    attributes = {"coefficients": [1.0], "rho": [0.0], "n_supports": 2}
    refused = refusal("SVMRegressor", {"x": numbers(4, 3)}, **ML, **support("RBF", 2), **attributes)
    assert "1 coefficients" in refused
    half = support("POLY", 2) | {"kernel_params": [1.0, 0.0, 2.5]}
    attributes["coefficients"] = [1.0, 2.0]
    refused = refusal("SVMRegressor", {"x": numbers(4, 3)}, **ML, **half, **attributes)
    assert "degree 2.5" in refused


@pytest.mark.parametrize("mode", range(6))
@pytest.mark.parametrize("shared", [False, True])
def test_tree_ensemble_of_the_newer_op_agrees(mode, shared):
    attributes = {
        "n_targets": 2,
        "tree_roots": [0, 2],
        "nodes_featureids": [0, 2, 1],
        "nodes_splits": helper.make_tensor("s", 1, [3], [0.0, 0.5, -0.5]),
        "nodes_modes": helper.make_tensor("m", TensorProto.UINT8, [3], [mode, 0, 0]),
        "nodes_truenodeids": [1, 0, 3],
        "nodes_trueleafs": [0, 1, 1],
        "nodes_falsenodeids": [2, 1, 3 if shared else 2],
        "nodes_falseleafs": [1, 1, 1],
        "leaf_targetids": [0, 1, 0, 1],
        "leaf_weights": helper.make_tensor("w", 1, [4], [1.0, 2.0, -3.0, 4.5]),
    }
    x = {"x": np.float32([[0, 1, 2], [-1, -1, 0], [0, -2, 0.5], [3, 0, 1]])}
    data = file(
        [ml_node("TreeEnsemble", ["x"], ["y"], **attributes)],
        [tensor("x", [4, 3])],
        ["y"],
        ml_opset=5,
    )
    agree(data, x)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"tree_roots": [1]}, "roots .1,. of 1 nodes"),
        ({"tree_roots": []}, "no root leads to node 0"),
        ({"nodes_truenodeids": [7]}, "is not there"),
        ({"nodes_trueleafs": [0]}, "a cycle of nodes leads to node 0"),
        ({"nodes_featureids": [3]}, "features 3 of 3"),
        ({"leaf_targetids": [0, 9]}, "leaf weights for targets"),
        ({"nodes_falsenodeids": [0, 1]}, "differ in length"),
    ],
)
def test_tree_ensemble_is_refused_when_it_is_broken(changes, why):
    attributes = {
        "n_targets": 1,
        "tree_roots": [0],
        "nodes_featureids": [0],
        "nodes_splits": helper.make_tensor("s", 1, [1], [0.0]),
        "nodes_modes": helper.make_tensor("m", TensorProto.UINT8, [1], [0]),
        "nodes_truenodeids": [0],
        "nodes_trueleafs": [1],
        "nodes_falsenodeids": [1],
        "nodes_falseleafs": [1],
        "leaf_targetids": [0, 0],
        "leaf_weights": helper.make_tensor("w", 1, [2], [1.0, 2.0]),
    } | changes
    made = node("TreeEnsemble", ["x"], ["y"], domain="ai.onnx.ml")
    for name, value in attributes.items():
        kind = AttributeProto.INTS if isinstance(value, list) else None
        made.attribute.append(helper.make_attribute(name, value, attr_type=kind))
    with pytest.raises(ModelRefused, match=why):
        lower(file([made], [tensor("x", [4, 3])], ["y"], ml_opset=5))


def encoding(*nodes: NodeProto) -> bytes:
    """Two strings, of which the first is a colour and the second a size, encoded by the nodes."""
    parts = [
        node("Gather", ["x", "first"], ["colour"], axis=1),
        node("Gather", ["x", "second"], ["size"], axis=1),
    ]
    for at, made in enumerate(parts):
        made.name = f"part {at}"
    places = {"first": np.array([0]), "second": np.array([1])}
    return file([*parts, *nodes], [tensor("x", [3, 2], TensorProto.STRING)], ["a", "b"], **places)


ENCODERS = (
    ml_node("OneHotEncoder", ["colour"], ["a"], cats_strings=["red", "green"], zeros=1),
    ml_node(
        "LabelEncoder", ["size"], ["b"], keys_strings=["s", "red", "l"], values_int64s=[5, 6, 7]
    ),
)


def test_strings_at_an_input_are_places_among_those_that_encoders_know():
    data = encoding(*ENCODERS)
    program = lower(data)
    assert program.categories == ("red", "green", "s", "l")
    (input_,) = program.signature.inputs
    assert (input_.dtype, input_.shape) == (DType.INT64, (3, 2))
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    texts = np.array([*program.categories, "?????", "blue", "RED", ""], object)
    for places in np.random.default_rng(0).integers(0, len(texts), (20, 3, 2)):
        theirs = session.run(None, {"x": texts[places]})
        ours = run(program, [places])
        SecondOpinion(data, program.signature, {}, (), program.categories).check([places], ours)
        assert [out.tolist() for out in ours] == [out.tolist() for out in theirs]


@pytest.mark.parametrize("place", [4, 5, 1 << 40, -1])
def test_a_place_behind_the_last_is_a_string_that_nobody_knows(place):
    one_hot, label = run(lower(encoding(*ENCODERS)), [np.full((3, 2), place)])
    assert not one_hot.any() and set(label.ravel().tolist()) == {-1}


def test_strings_of_an_input_that_go_elsewhere_are_refused():
    through = node("Identity", ["size"], ["b"])
    with pytest.raises(ModelRefused, match="output 'b' passes strings through"):
        lower(encoding(ENCODERS[0], through))
    with pytest.raises(ModelRefused, match="it computes with strings"):
        lower(encoding(ENCODERS[0], node("Equal", ["size", "size"], ["b"])))
    numbers_ = ml_node("OneHotEncoder", ["size"], ["b"], cats_int64s=[1, 2])
    with pytest.raises(ModelRefused, match="not of its input's kind"):
        lower(encoding(ENCODERS[0], numbers_))


def test_categories_are_in_the_program_file_and_bind_nothing(tmp_path):
    program = lower(encoding(*ENCODERS))
    path = tmp_path / "program.safetensors"
    path.write_bytes(pack(program))
    assert read(path).categories == program.categories
    assert replace(program, categories=()).root == program.root
