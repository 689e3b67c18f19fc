"""Encoders and support vector machines of ai.onnx.ml: as onnxruntime has them."""

import numpy as np
import pytest
from onnx import AttributeProto, TensorProto, helper

from oracle.errors import ModelRefused
from oracle.exact.lower import lower
from tests.unit.exact.agreement import agree, check, integers, numbers, refusal
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


def test_one_hot_encoder_agrees():
    check("OneHotEncoder", IDS, **ML, cats_int64s=[0, 3, 4], zeros=1)
    assert "zeros = 0" in refusal("OneHotEncoder", IDS, **ML, cats_int64s=[0], zeros=0)


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
    platt = {"prob_a": [1.0], "prob_b": [1.0]}
    refused = refusal("SVMClassifier", x, outputs=2, **ML, **kernels, **attributes, **platt)
    assert "Platt" in refused


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
        ({"tree_roots": [0, 0]}, "in two trees"),
        ({"tree_roots": []}, "belongs to no tree"),
        ({"nodes_truenodeids": [7]}, "is not there"),
        ({"nodes_trueleafs": [0]}, "in two trees"),
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
