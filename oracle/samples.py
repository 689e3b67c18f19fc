"""Real models, trained here on real data in seconds; the same bytes each time.

scikit-learn and skl2onnx come with the extra `demo`; both bring the data and neither asks the
network.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
from onnx import helper, numpy_helper
from onnx.onnx_ml_pb2 import TensorProto

from oracle.errors import ConfigError
from oracle.tensor import Array, to_bytes

OPSET = {"": 17, "ai.onnx.ml": 3}
IR_VERSION = 8  # of opset 17
SEED = 0


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """A model that takes one row [1, features], and the rows to ask it about."""

    name: str
    version: str
    onnx: bytes
    rows: Array  # float32 [rows, features]; not trained on
    targets: tuple[int, ...]  # what is true of each row, by place in `classes`
    features: tuple[str, ...]
    classes: tuple[str, ...]

    def payload(self, row: int) -> bytes:
        """The request's payload for a row."""
        return to_bytes(self.rows[row])


def breast_cancer() -> Sample:
    """Logistic regression: malignant or benign, from 30 measurements of cell nuclei."""
    with _sklearn() as lib:
        data = _split(lib, lib.datasets.load_breast_cancer())
        model = lib.pipeline.make_pipeline(
            lib.preprocessing.StandardScaler(),
            lib.linear_model.LogisticRegression(random_state=SEED),
        )
        return _converted(lib, "breast-cancer", data, model)


def gradient_boosting() -> Sample:
    """Gradient-boosted trees: which of three cultivars a wine is of, from 13 measurements."""
    with _sklearn() as lib:
        data = _split(lib, lib.datasets.load_wine())
        model = lib.ensemble.GradientBoostingClassifier(n_estimators=20, random_state=SEED)
        return _converted(lib, "wine", data, model)


def digits() -> Sample:
    """A network with one hidden layer: which digit was written, from 8 × 8 grey pixels."""
    with _sklearn() as lib:
        data = _split(lib, lib.datasets.load_digits())
        model = lib.neural_network.MLPClassifier(
            hidden_layer_sizes=(32,), solver="lbfgs", alpha=1.0, max_iter=2000, random_state=SEED
        )
        model.fit(data.train_rows / 16, data.train_targets)
    return _sample("digits", data, _network(model.coefs_, model.intercepts_))


@dataclass(frozen=True, slots=True, eq=False)
class _Data:
    train_rows: Array
    train_targets: Array
    rows: Array
    targets: Array
    features: tuple[str, ...]
    classes: tuple[str, ...]


@contextmanager
def _sklearn() -> Iterator[Any]:
    """scikit-learn and skl2onnx, on one thread: sums of many threads differ from run to run."""
    try:
        import skl2onnx  # type: ignore[import-untyped, unused-ignore]
        import threadpoolctl  # type: ignore[import-untyped, unused-ignore]
        from sklearn import (  # type: ignore[import-untyped, unused-ignore]
            datasets,
            ensemble,
            linear_model,
            model_selection,
            neural_network,
            pipeline,
            preprocessing,
        )
    except ImportError as error:
        raise ConfigError(
            f"The sample models need {error.name}: pip install 'exactum[demo]'."
        ) from error
    modules: dict[str, ModuleType] = {
        module.__name__.rpartition(".")[2]: module
        for module in (
            skl2onnx,
            datasets,
            ensemble,
            linear_model,
            model_selection,
            neural_network,
            pipeline,
            preprocessing,
        )
    }
    with threadpoolctl.threadpool_limits(1):
        yield SimpleNamespace(**modules)


def _split(lib: Any, bunch: Any) -> _Data:
    """A quarter is kept apart to ask about. float32 throughout, as a request carries it."""
    train_rows, rows, train_targets, targets = lib.model_selection.train_test_split(
        bunch.data.astype(np.float32), bunch.target, random_state=SEED, stratify=bunch.target
    )
    return _Data(
        train_rows,
        train_targets,
        rows,
        targets,
        tuple(map(str, bunch.feature_names)),
        tuple(map(str, bunch.target_names)),
    )


def _converted(lib: Any, name: str, data: _Data, model: Any) -> Sample:
    model.fit(data.train_rows, data.train_targets)
    shape = [1, len(data.features)]
    proto = lib.skl2onnx.to_onnx(
        model,
        name=name,
        initial_types=[("input", lib.skl2onnx.common.data_types.FloatTensorType(shape))],
        options={id(model): {"zipmap": False}},
        target_opset=OPSET,
    )
    proto.producer_version = ""  # the same bytes by any version that converts the same way
    return _sample(name, data, proto.SerializeToString(deterministic=True))


def _sample(name: str, data: _Data, onnx: bytes) -> Sample:
    targets = tuple(map(int, data.targets))
    return Sample(name, "1", onnx, data.rows, targets, data.features, data.classes)


def _network(weights: list[Array], biases: list[Array]) -> bytes:
    """Gemm, Relu, …, Gemm, Softmax and ArgMax, on pixels from 0 to 16."""
    floats = [np.asarray(array, np.float32) for array in (weights[0] / 16, *weights[1:])]
    nodes, constants, value = [], [], "input"
    for layer, (weight, bias) in enumerate(zip(floats, biases, strict=True)):
        names = [value, f"weight{layer}", f"bias{layer}"]
        constants += [
            numpy_helper.from_array(weight, names[1]),
            numpy_helper.from_array(np.asarray(bias, np.float32), names[2]),
        ]
        is_last = layer == len(floats) - 1
        nodes.append(helper.make_node("Gemm", names, [f"sum{layer}"], f"Gemm{layer}"))
        value = "probabilities" if is_last else f"hidden{layer}"
        op = "Softmax" if is_last else "Relu"
        nodes.append(helper.make_node(op, [f"sum{layer}"], [value], f"{op}{layer}"))
    nodes.append(helper.make_node("ArgMax", [value], ["label"], "ArgMax", axis=1, keepdims=0))
    graph = helper.make_graph(
        nodes,
        "digits",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, floats[0].shape[0]])],
        [
            helper.make_tensor_value_info("label", TensorProto.INT64, [1]),
            helper.make_tensor_value_info(value, TensorProto.FLOAT, [1, floats[-1].shape[1]]),
        ],
        constants,
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET[""])], ir_version=IR_VERSION
    )
    return bytes(model.SerializeToString(deterministic=True))
