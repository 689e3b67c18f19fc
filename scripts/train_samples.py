"""Trains the models of oracle/samples and writes their files; --check trains anew and compares.

Which bytes come out depends on the kernels that OpenBLAS chooses for the processor, so the files in
git were written once, with OPENBLAS_CORETYPE=Haswell, and whoever needs the models reads them.
--check writes nothing: it holds the rows to scikit-learn's data bit for bit, and tells whether a
model that is trained here, now, is as often right. From the repository's root, in the development
environment (it needs scikit-learn and skl2onnx, which bring the data; nothing asks the network):

    .venv/bin/python -m scripts.train_samples --check
"""

import argparse
import csv
import hashlib
import io
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import skl2onnx  # type: ignore[import-untyped, unused-ignore]
import sklearn  # type: ignore[import-untyped, unused-ignore]
import threadpoolctl  # type: ignore[import-untyped, unused-ignore]
from onnx import helper, numpy_helper
from onnx.onnx_ml_pb2 import TensorProto
from skl2onnx.common.data_types import (  # type: ignore[import-untyped, unused-ignore]
    FloatTensorType,
)
from sklearn import (  # type: ignore[import-untyped, unused-ignore]
    datasets,
    ensemble,
    linear_model,
    model_selection,
    neural_network,
    pipeline,
    preprocessing,
)

from oracle import samples
from oracle.exact.lowering.graph import lower
from oracle.exact.run import Runner
from oracle.samples import MADE, OPSET, Sample
from oracle.tensor import Array

FOLDER = Path(samples.__file__).parent
IR_VERSION = 8  # of opset 17
SEED = 0
SLACK = 100  # one row in so many may be answered otherwise by a model that is as good


# TRAINING


def train() -> Iterator[Sample]:
    """On one thread: sums of many threads differ from run to run."""
    with threadpoolctl.threadpool_limits(1):
        yield _breast_cancer(_split(datasets.load_breast_cancer()))
        yield _wine(_split(datasets.load_wine()))
        yield _digits(_split(datasets.load_digits()))


def _breast_cancer(data: "_Data") -> Sample:
    regression = linear_model.LogisticRegression(random_state=SEED)
    model = pipeline.make_pipeline(preprocessing.StandardScaler(), regression)
    onnx = _converted("breast-cancer", data, model)
    return data.sample("breast-cancer", onnx, "logistic regression on Breast Cancer Wisconsin")


def _wine(data: "_Data") -> Sample:
    model = ensemble.GradientBoostingClassifier(n_estimators=20, random_state=SEED)
    return data.sample("wine", _converted("wine", data, model), "gradient boosting on Wine")


def _digits(data: "_Data") -> Sample:
    """With any kernels lbfgs converges, after 1,100 to 2,500 steps."""
    model = neural_network.MLPClassifier(
        hidden_layer_sizes=(32,),
        solver="lbfgs",
        alpha=1.0,
        max_iter=20_000,
        max_fun=100_000,
        random_state=SEED,
    )
    model.fit(data.train_rows / 16, data.train_targets)
    onnx = _network(model.coefs_, model.intercepts_)
    return data.sample("digits", onnx, "a network with one hidden layer on Handwritten Digits")


@dataclass(frozen=True, slots=True, eq=False)
class _Data:
    train_rows: Array
    train_targets: Array
    rows: Array
    targets: Array
    features: tuple[str, ...]
    classes: tuple[str, ...]

    def sample(self, name: str, onnx: bytes, what: str) -> Sample:
        made = f"{what}, trained by scikit-learn {sklearn.__version__}"
        targets = tuple(map(int, self.targets))
        return Sample(name, "1", onnx, self.rows, targets, self.features, self.classes, made)


def _split(bunch: Any) -> _Data:
    """Keeps a quarter apart to ask about. float32 throughout, as a request carries it."""
    train_rows, rows, train_targets, targets = model_selection.train_test_split(
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


def _converted(name: str, data: _Data, model: Any) -> bytes:
    model.fit(data.train_rows, data.train_targets)
    proto = skl2onnx.to_onnx(
        model,
        name=name,
        initial_types=[("input", FloatTensorType([1, len(data.features)]))],
        options={id(model): {"zipmap": False}},
        target_opset=OPSET,
    )
    # The same bytes by any version that converts the same way, and in any process: the converter
    # takes the opsets out of a set.
    proto.producer_version = ""
    proto.opset_import.sort(key=lambda opset: opset.domain, reverse=True)
    return bytes(proto.SerializeToString(deterministic=True))


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


# FILES


def write() -> None:
    made = {}
    for sample in train():
        (FOLDER / f"{sample.name}.onnx").write_bytes(sample.onnx)
        (FOLDER / f"{sample.name}.csv").write_text(_table(sample))
        made[sample.name] = {
            "made": sample.made,
            "with": f"skl2onnx {skl2onnx.__version__}, numpy {np.__version__}, {_blas()}",
            "sha256": hashlib.sha256(sample.onnx).hexdigest(),
            "right": f"{right(sample)} of {len(sample.rows)} rows",
            "classes": " ".join(sample.classes),
        }
    (FOLDER / MADE).write_text(json.dumps(made, indent=2) + "\n")


def _table(sample: Sample) -> str:
    """A line a row: the shortest decimals that stand for the float32, and the class."""
    out = io.StringIO()
    lines = csv.writer(out, lineterminator="\n")
    lines.writerow([*sample.features, "class"])
    for row, target in zip(sample.rows, sample.targets, strict=True):
        numbers = (str(value).removesuffix(".0") for value in row)
        lines.writerow([*numbers, sample.classes[target]])
    return out.getvalue()


def _blas() -> str:
    """The library of linear algebra and the kernels that it chose for this processor."""
    found = (info for info in threadpoolctl.threadpool_info() if info["user_api"] == "blas")
    names = (f"{i['internal_api']} {i['version']} {i['architecture']}" for i in found)
    return ", ".join(sorted(names))  # numpy's and scipy's


# COMPARING


def right(sample: Sample) -> int:
    """Counts the rows whose class the model tells, by the law."""
    program = lower(sample.onnx)
    runner = Runner(program)
    labels = (runner.run([row[None]])[0].item() for row in sample.rows)
    return sum(label == target for label, target in zip(labels, sample.targets, strict=True))


def faults(kept: Sample, trained: Sample) -> Iterator[str]:
    """Tells what is wrong with the files of `kept`, now that it was trained again."""
    made = json.loads((FOLDER / MADE).read_text())[kept.name]
    if hashlib.sha256(kept.onnx).hexdigest() != made["sha256"]:
        yield f"{kept.name}.onnx has another SHA-256 than {MADE} says"
    if _table(kept) != _table(trained):
        yield f"{kept.name}.csv does not hold scikit-learn's data"
    if kept.classes != trained.classes:
        yield f"{MADE} names other classes than scikit-learn"
    ours, theirs, rows = right(kept), right(trained), len(kept.rows)
    if abs(ours - theirs) > max(1, rows // SLACK):
        yield f"the file is right about {ours} of {rows} rows, and trained here about {theirs}"


def check() -> int:
    failed = False
    print(f"trained here with {_blas()}")
    for kept, trained in zip(_kept(), train(), strict=True):
        found = list(faults(kept, trained))
        failed |= bool(found)
        same = "the same bytes" if kept.onnx == trained.onnx else "other bytes"
        print(f"{kept.name:<14}{'; '.join(found) or 'as good'}; {same}")
    return int(failed)


def _kept() -> tuple[Sample, ...]:
    return samples.breast_cancer(), samples.gradient_boosting(), samples.digits()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare, and write nothing")
    if parser.parse_args().check:
        return check()
    write()
    return 0


if __name__ == "__main__":
    sys.exit(main())
