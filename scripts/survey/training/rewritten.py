"""What onnxruntime makes of networks: quantized in every way, optimised, and in half precision."""

import tempfile
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from onnxruntime import quantization as q
from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer
from onnxruntime.quantization.shape_inference import quant_pre_process
from onnxruntime.transformers.float16 import convert_float_to_float16
from torch import nn

from scripts.survey.training import layers
from scripts.survey.training.made import Recipe, Rows

Levels = ort.GraphOptimizationLevel
Rewrite = Callable[[Path, Path, Rows], None]

NETWORKS: Mapping[str, tuple[Callable[[], Any], tuple[Any, ...]]] = {
    "mlp": (partial(layers._mlp, nn.ReLU), ((1, 10),)),
    "residual": (layers._residual, (layers.IMAGE,)),
    "separable": (layers._separable, (layers.IMAGE,)),
    "lstm": (layers._lstm, (layers.SERIES,)),
    "encoder": (layers._encoder, (layers.SERIES,)),
    "text-cnn": (layers._text_cnn, (("int64", 50, (1, 12)),)),
}


def recipes() -> Iterator[Recipe]:
    """Yields every network, rewritten in every way."""
    for name, (make, inputs) in NETWORKS.items():
        for how, rewrite in _rewrites().items():
            made = partial(_made, make, inputs, rewrite)
            yield Recipe(f"onnxruntime/{name}-{how}", "torch, onnxruntime", made)


def _rewrites() -> Mapping[str, Rewrite]:
    return {
        "dynamic-uint8": _dynamic(weight_type=q.QuantType.QUInt8),
        "dynamic-int8": _dynamic(weight_type=q.QuantType.QInt8, per_channel=True),
        "qdq": _static(quant_format=q.QuantFormat.QDQ),
        "qdq-channels": _static(
            quant_format=q.QuantFormat.QDQ,
            per_channel=True,
            activation_type=q.QuantType.QInt8,
            weight_type=q.QuantType.QInt8,
        ),
        "qdq-int16": _static(
            quant_format=q.QuantFormat.QDQ,
            activation_type=q.QuantType.QUInt16,
            weight_type=q.QuantType.QInt8,
        ),
        "qdq-int4": _static(quant_format=q.QuantFormat.QDQ, weight_type=q.QuantType.QInt4),
        "qoperator": _static(
            quant_format=q.QuantFormat.QOperator, activation_type=q.QuantType.QUInt8
        ),
        "nbits": _nbits,
        "basic": _optimised(Levels.ORT_ENABLE_BASIC),
        "extended": _optimised(Levels.ORT_ENABLE_EXTENDED),
        "all": _optimised(Levels.ORT_ENABLE_ALL),
        "half": _half(keep_io_types=True),
        "half-throughout": _half(keep_io_types=False),
    }


def _made(make: Callable[[], Any], inputs: tuple[Any, ...], rewrite: Rewrite) -> tuple[bytes, Rows]:
    file, rows = layers.exported(make, inputs, False, 17)
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "source.onnx", Path(folder) / "target.onnx"
        source.write_bytes(file)
        rewrite(source, target, rows)
        return target.read_bytes(), rows


def _dynamic(**options: Any) -> Rewrite:
    def rewrite(source: Path, target: Path, _: Rows) -> None:
        q.quantize_dynamic(source, target, **options)

    return rewrite


def _static(**options: Any) -> Rewrite:
    def rewrite(source: Path, target: Path, rows: Rows) -> None:
        prepared = source.with_name("prepared.onnx")
        quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
        q.quantize_static(str(prepared), str(target), _Reader(source, rows), **options)

    return rewrite


class _Reader(q.CalibrationDataReader):  # type: ignore[misc, unused-ignore]
    """Gives what a network was shown, once."""

    def __init__(self, source: Path, rows: Rows):
        names = [each.name for each in onnx.load(source).graph.input]
        count = len(rows[0])
        self._left = [
            dict(zip(names, (each[at] for each in rows), strict=True)) for at in range(count)
        ]

    def get_next(self) -> dict[str, np.ndarray[Any, Any]] | None:
        return self._left.pop() if self._left else None


def _nbits(source: Path, target: Path, _: Rows) -> None:
    quantizer = MatMulNBitsQuantizer(onnx.load(source), block_size=16, is_symmetric=False)
    quantizer.process()
    onnx.save(quantizer.model.model, target)


def _optimised(level: Any) -> Rewrite:
    def rewrite(source: Path, target: Path, _: Rows) -> None:
        options = ort.SessionOptions()
        options.graph_optimization_level = level
        options.optimized_model_filepath = str(target)
        options.log_severity_level = 3
        ort.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])

    return rewrite


def _half(**options: Any) -> Rewrite:
    def rewrite(source: Path, target: Path, _: Rows) -> None:
        onnx.save(convert_float_to_float16(onnx.load(source), **options), target)

    return rewrite
