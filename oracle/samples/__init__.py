"""Real models to try things with: trained once by scripts/train_samples.py, and kept as files.

A model trained anew would be another one on another processor: libraries of linear algebra choose
their kernels by it, and sums round differently. README.md beside the files says what they are.
"""

import csv
import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np

from oracle.tensor import Array, to_bytes

OPSET = {"": 17, "ai.onnx.ml": 3}
MADE = "made.json"  # what made each, and what the rows alone do not say


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
    made: str  # which model of which data, and by what it was trained

    def payload(self, row: int) -> bytes:
        """The request's payload for a row."""
        return to_bytes(self.rows[row])


def breast_cancer() -> Sample:
    """Logistic regression: malignant or benign, from 30 measurements of cell nuclei."""
    return _sample("breast-cancer")


def gradient_boosting() -> Sample:
    """Gradient-boosted trees: which of three cultivars a wine is of, from 13 measurements."""
    return _sample("wine")


def digits() -> Sample:
    """A network with one hidden layer: which digit was written, from 8 × 8 grey pixels."""
    return _sample("digits")


@cache
def _sample(name: str) -> Sample:
    folder = files(__name__)
    made = json.loads((folder / MADE).read_text())[name]
    header, *lines = csv.reader((folder / f"{name}.csv").read_text().splitlines())
    rows = np.array([line[:-1] for line in lines], np.float32)
    rows.flags.writeable = False  # all who ask share them
    classes = tuple(made["classes"].split())
    return Sample(
        name=name,
        version="1",
        onnx=(folder / f"{name}.onnx").read_bytes(),
        rows=rows,
        targets=tuple(classes.index(line[-1]) for line in lines),
        features=tuple(header[:-1]),
        classes=classes,
        made=made["made"],
    )
