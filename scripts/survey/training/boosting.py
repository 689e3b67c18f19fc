"""Boosted trees of XGBoost, LightGBM and CatBoost, by onnxmltools and by their own exporters."""

import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import catboost
import lightgbm
import numpy as np
import onnxmltools
import pandas
import xgboost
from onnxmltools.convert.common.data_types import FloatTensorType

from scripts.survey.training.estimators import RUNS, data
from scripts.survey.training.made import Recipe, Rows

OPSET = 15
_XGBOOST, _LIGHTGBM = "XGBoost, onnxmltools", "LightGBM, onnxmltools"
_SIZE = {"n_estimators": 15, "max_depth": 4, "random_state": 0}
_LIGHT: dict[str, Any] = {"n_estimators": 15, "num_leaves": 12, "random_state": 0, "verbose": -1}
_CAT: dict[str, Any] = {
    "iterations": 15,
    "depth": 4,
    "random_seed": 0,
    "verbose": False,
    "allow_writing_files": False,
}


def recipes() -> Iterator[Recipe]:
    """Yields every booster, objective and option."""
    for name, model, on in _xgboost():
        yield Recipe(f"xgboost/{name}", _XGBOOST, partial(_made, model, on, _by_xgboost))
    for name, model, on in _lightgbm():
        yield Recipe(f"lightgbm/{name}", _LIGHTGBM, partial(_made, model, on, _by_lightgbm))
    for name, model, on in _catboost():
        yield Recipe(f"catboost/{name}", "CatBoost", partial(_made, model, on, _by_catboost))
    yield Recipe("xgboost/categories", _XGBOOST, _xgboost_categories)
    yield Recipe("lightgbm/ranker", _LIGHTGBM, _ranker)
    yield Recipe("lightgbm/categories", _LIGHTGBM, partial(_lightgbm_categories, 5))
    yield Recipe("lightgbm/many-categories", _LIGHTGBM, partial(_lightgbm_categories, 200))
    yield Recipe("lightgbm/split", _LIGHTGBM, _lightgbm_split)
    yield Recipe("lightgbm/booster", _LIGHTGBM, _lightgbm_booster)


def _xgboost() -> list[tuple[str, Any, str]]:
    regressor, classifier = (
        partial(xgboost.XGBRegressor, **_SIZE),
        partial(xgboost.XGBClassifier, **_SIZE),
    )
    return [
        ("regressor", regressor(), "diabetes"),
        ("regressor-absolute", regressor(objective="reg:absoluteerror"), "diabetes"),
        ("regressor-huber", regressor(objective="reg:pseudohubererror"), "diabetes"),
        ("regressor-poisson", regressor(objective="count:poisson"), "positive"),
        ("regressor-gamma", regressor(objective="reg:gamma"), "positive"),
        ("regressor-tweedie", regressor(objective="reg:tweedie"), "positive"),
        ("regressor-logistic", regressor(objective="reg:logistic"), "breast_cancer"),
        ("regressor-base", regressor(base_score=100.0), "diabetes"),
        ("regressor-targets", regressor(), "targets"),
        ("regressor-gaps", regressor(), "gaps"),
        ("regressor-lossguide", regressor(grow_policy="lossguide", max_leaves=8), "diabetes"),
        ("forest-regressor", xgboost.XGBRFRegressor(**_SIZE), "diabetes"),
        ("classifier-two", classifier(), "breast_cancer"),
        ("classifier-two-base", classifier(base_score=0.3), "breast_cancer"),
        ("classifier-hinge", classifier(objective="binary:hinge"), "breast_cancer"),
        ("classifier-more", classifier(), "iris"),
        ("classifier-more-softmax", classifier(objective="multi:softmax"), "digits"),
        ("forest-classifier", xgboost.XGBRFClassifier(**_SIZE), "iris"),
        ("stump", xgboost.XGBClassifier(n_estimators=5, max_depth=1), "breast_cancer"),
    ]


def _lightgbm() -> list[tuple[str, Any, str]]:
    regressor, classifier = (
        partial(lightgbm.LGBMRegressor, **_LIGHT),
        partial(lightgbm.LGBMClassifier, **_LIGHT),
    )
    objectives = ("l1", "huber", "quantile")
    positive = ("poisson", "gamma", "tweedie")
    return [
        ("regressor", regressor(), "diabetes"),
        *((f"regressor-{name}", regressor(objective=name), "diabetes") for name in objectives),
        *((f"regressor-{name}", regressor(objective=name), "positive") for name in positive),
        ("regressor-gaps", regressor(), "gaps"),
        ("regressor-no-missing", regressor(use_missing=False), "gaps"),
        ("regressor-zero-missing", regressor(zero_as_missing=True), "diabetes"),
        ("regressor-dart", regressor(boosting_type="dart"), "diabetes"),
        (
            "regressor-forest",
            regressor(boosting_type="rf", bagging_freq=1, bagging_fraction=0.7),
            "diabetes",
        ),
        ("regressor-linear-trees", regressor(linear_tree=True), "diabetes"),
        ("classifier-two", classifier(), "breast_cancer"),
        ("classifier-two-weighted", classifier(is_unbalance=True), "breast_cancer"),
        ("classifier-more", classifier(), "iris"),
        ("classifier-one-against-all", classifier(objective="multiclassova"), "iris"),
        ("classifier-goss", classifier(data_sample_strategy="goss"), "digits"),
        ("classifier-dart", classifier(boosting_type="dart"), "iris"),
        ("classifier-words", classifier(), "words"),
    ]


def _catboost() -> list[tuple[str, Any, str]]:
    regressor, classifier = (
        partial(catboost.CatBoostRegressor, **_CAT),
        partial(catboost.CatBoostClassifier, **_CAT),
    )
    return [
        ("regressor", regressor(), "diabetes"),
        ("regressor-mae", regressor(loss_function="MAE"), "diabetes"),
        ("regressor-poisson", regressor(loss_function="Poisson"), "positive"),
        ("regressor-quantile", regressor(loss_function="Quantile:alpha=0.7"), "diabetes"),
        ("regressor-gaps", regressor(), "gaps"),
        ("regressor-targets", regressor(loss_function="MultiRMSE"), "targets"),
        ("regressor-one-tree", regressor(iterations=1), "diabetes"),
        ("classifier-two", classifier(), "breast_cancer"),
        ("classifier-two-cross-entropy", classifier(loss_function="CrossEntropy"), "breast_cancer"),
        ("classifier-more", classifier(), "iris"),
        ("classifier-words", classifier(), "words"),
        ("classifier-one-against-all", classifier(loss_function="MultiClassOneVsAll"), "iris"),
    ]


def _made(model: Any, on: str, convert: Any) -> tuple[bytes, Rows]:
    x, y = data(on)
    model.fit(x[RUNS:], y[RUNS:])
    return convert(model, x.shape[1]), [x[:RUNS]]


def _types(features: int) -> list[tuple[str, FloatTensorType]]:
    return [("x", FloatTensorType([None, features]))]


def _by_xgboost(model: Any, features: int) -> bytes:
    proto = onnxmltools.convert_xgboost(model, initial_types=_types(features), target_opset=OPSET)
    return bytes(proto.SerializeToString())


def _by_lightgbm(model: Any, features: int, **options: Any) -> bytes:
    proto = onnxmltools.convert_lightgbm(
        model, initial_types=_types(features), target_opset=OPSET, **options
    )
    return bytes(proto.SerializeToString())


def _by_catboost(model: Any, _: int) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        model.save_model(str(path), format="onnx")
        return path.read_bytes()


def _categories(many: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    rng = np.random.default_rng(0)
    x = np.stack([rng.integers(0, many, 600), rng.integers(0, 4, 600)], 1).astype(np.float32)
    x = np.hstack([x, rng.standard_normal((600, 2), np.float32)])
    effect = rng.standard_normal(many)
    return x, effect[x[:, 0].astype(int)] + x[:, 1] * x[:, 2]


def _xgboost_categories() -> tuple[bytes, Rows]:
    x, y = _categories(12)
    table = pandas.DataFrame(x, columns=["f0", "f1", "f2", "f3"])
    table = table.astype({"f0": int, "f1": int}).astype({"f0": "category", "f1": "category"})
    model = xgboost.XGBRegressor(enable_categorical=True, max_cat_to_onehot=4, **_SIZE)
    model.fit(table, y)
    return _by_xgboost(model, 4), [x[:RUNS]]


def _lightgbm_categories(many: int) -> tuple[bytes, Rows]:
    x, y = _categories(many)
    model = lightgbm.LGBMRegressor(min_data_per_group=1, cat_smooth=1, **_LIGHT)
    model.fit(x, y, categorical_feature=[0, 1])
    return _by_lightgbm(model, 4), [x[:RUNS]]


def _lightgbm_split() -> tuple[bytes, Rows]:
    x, y = data("diabetes")
    model = lightgbm.LGBMRegressor(**_LIGHT).fit(x, y)
    return _by_lightgbm(model, x.shape[1], split=5), [x[:RUNS]]


def _lightgbm_booster() -> tuple[bytes, Rows]:
    x, y = data("breast_cancer")
    options = {"objective": "binary", "num_leaves": 12, "verbose": -1, "seed": 0}
    booster = lightgbm.train(options, lightgbm.Dataset(x, y), 15)
    return _by_lightgbm(booster, x.shape[1], zipmap=False), [x[:RUNS]]


def _ranker() -> tuple[bytes, Rows]:
    x, y = data("iris")
    model = lightgbm.LGBMRanker(**_LIGHT).fit(x, y, group=[50, 50, len(x) - 100])
    return _by_lightgbm(model, x.shape[1]), [x[:RUNS]]
