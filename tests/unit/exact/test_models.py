"""Real scikit-learn models: exact results against onnxruntime's, within float noise."""

from functools import cache

import numpy as np
import onnxruntime
import pytest
from skl2onnx import to_onnx
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris
from sklearn.ensemble import (
    BaggingClassifier,
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LinearRegression, LogisticRegression, RidgeClassifier
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, Normalizer, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from oracle.exact.lowering.graph import lower
from oracle.exact.program import Program
from oracle.exact.run import run
from tests.oracles import same

BATCH = 16
DATA = {
    "cancer": load_breast_cancer(return_X_y=True),
    "iris": load_iris(return_X_y=True),
    "flowers": (
        load_iris().data,
        np.array(["setosa", "versicolor", "virginica"])[load_iris().target],
    ),
    "digits": load_digits(return_X_y=True),
    "diabetes": load_diabetes(return_X_y=True),
}
CLASSIFIERS = {
    "logistic": lambda: make_pipeline(StandardScaler(), LogisticRegression()),
    "forest": lambda: RandomForestClassifier(7, random_state=0),
    "extra trees": lambda: ExtraTreesClassifier(5, random_state=0),
    "boosting": lambda: GradientBoostingClassifier(n_estimators=4, random_state=0),
    "tree": lambda: DecisionTreeClassifier(random_state=0),
    "ridge": lambda: RidgeClassifier(),
    "pipeline": lambda: make_pipeline(
        StandardScaler(), MinMaxScaler(clip=True), Normalizer("l1"), LogisticRegression()
    ),
    "neighbours": lambda: KNeighborsClassifier(3),
    "one against the rest": lambda: OneVsRestClassifier(
        make_pipeline(StandardScaler(), LogisticRegression())
    ),
    "bagging": lambda: BaggingClassifier(DecisionTreeClassifier(max_depth=3), 3, random_state=0),
    "Platt": lambda: make_pipeline(StandardScaler(), SVC(probability=True, random_state=0)),
    "bayes": lambda: make_pipeline(StandardScaler(), GaussianNB()),
    "tanh": lambda: make_pipeline(
        MinMaxScaler(),
        MLPClassifier(
            hidden_layer_sizes=(8,), activation="tanh", solver="lbfgs", max_iter=5, random_state=0
        ),
    ),
}
REGRESSORS = {
    "linear": lambda: LinearRegression(),
    "forest": lambda: RandomForestRegressor(5, max_depth=6, random_state=0),
    "boosting": lambda: GradientBoostingRegressor(n_estimators=5, random_state=0),
    "tree": lambda: DecisionTreeRegressor(max_depth=5, random_state=0),
    "max": lambda: make_pipeline(Normalizer("max"), LinearRegression()),
    "perceptron": lambda: MLPRegressor(
        hidden_layer_sizes=(8,), activation="logistic", solver="lbfgs", max_iter=5, random_state=0
    ),
}

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore:.*prob:FutureWarning"),
]


@cache
def trained(kind: str, name: str, data: str):
    x, y = DATA[data]
    make = {"classifier": CLASSIFIERS, "regressor": REGRESSORS}[kind][name]
    return make().fit(x[:400], y[:400])


def exported(model, data: str, **options) -> tuple[bytes, np.ndarray]:
    """The file, and rows of the data set."""
    x = np.ascontiguousarray(DATA[data][0], dtype=np.float32)
    rows = np.ascontiguousarray(x[np.random.default_rng(0).permutation(len(x))[:BATCH]])
    return to_onnx(model, x[:1], **options).SerializeToString(), rows


def opinions(file: bytes, x: np.ndarray) -> tuple[Program, list[np.ndarray], list]:
    program = lower(file, {"X.0": BATCH})
    ours = run(program, [x])
    assert all(map(same, ours, run(program, [x], plain=True)))
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    return program, list(ours), session.run(None, {"X": x})


@pytest.mark.parametrize("zipmap", [True, False])
@pytest.mark.parametrize("data", ["cancer", "iris", "flowers"])
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_classifiers_agree_with_onnxruntime(name, data, zipmap):
    model = trained("classifier", name, data)
    file, x = exported(model, data, options={"zipmap": zipmap})
    program, (label, scores), (their_label, their_scores) = opinions(file, x)
    if data == "flowers":
        assert [program.labels[place] for place in label] == their_label.tolist()
    else:
        assert label.tolist() == their_label.tolist()
    if isinstance(their_scores, list):
        assert list(their_scores[0]) == list(program.labels)
        their_scores = np.array([list(row.values()) for row in their_scores])
    np.testing.assert_allclose(scores, their_scores, rtol=1e-4, atol=2e-6)


@pytest.mark.parametrize("name", REGRESSORS)
def test_regressors_agree_with_onnxruntime(name):
    file, x = exported(trained("regressor", name, "diabetes"), "diabetes")
    _, (ours,), (theirs,) = opinions(file, x)
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(ours, theirs, rtol=2e-5)


def test_a_perceptron_on_digits_agrees_with_onnxruntime():
    x, y = DATA["digits"]
    model = MLPClassifier(
        hidden_layer_sizes=(24, 16), solver="lbfgs", max_iter=15, random_state=0
    ).fit(x, y)
    file, rows = exported(model, "digits", options={"zipmap": False})
    _, (label, scores), (their_label, their_scores) = opinions(file, rows)
    assert label.tolist() == their_label.tolist()
    np.testing.assert_allclose(scores, their_scores, rtol=1e-3, atol=1e-6)
