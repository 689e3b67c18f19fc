import hashlib
import json
from dataclasses import replace
from importlib.resources import files

import numpy as np
import pytest

from oracle import samples
from oracle.exact.lowering.graph import lower
from oracle.samples import MADE, breast_cancer, digits, gradient_boosting
from scripts import train_samples

SAMPLES = [breast_cancer, gradient_boosting, digits]


@pytest.mark.parametrize("make", SAMPLES)
def test_samples_are_right_about_rows_that_they_never_saw(make):
    sample = make()
    told = json.loads((files(samples) / MADE).read_text())[sample.name]
    right = train_samples.right(sample)
    assert right > 0.95 * len(sample.rows)
    assert told["right"] == f"{right} of {len(sample.rows)} rows"
    assert told["sha256"] == hashlib.sha256(sample.onnx).hexdigest()


@pytest.mark.parametrize("make", SAMPLES)
def test_samples_take_one_row_and_give_label_and_probabilities(make):
    sample = make()
    signature = lower(sample.onnx).signature
    (row,), (label, probabilities) = signature.inputs, signature.outputs
    assert str(row) == f"input: float[1,{len(sample.features)}]"
    assert str(label) == "label: int64[1]"
    assert str(probabilities) == f"probabilities: float[1,{len(sample.classes)}]"
    assert len(sample.payload(0)) == row.nbytes


def test_rows_and_targets_belong_together():
    sample = breast_cancer()
    assert sample.rows.dtype == np.float32
    assert len(sample.rows) == len(sample.targets) == 143
    assert sample.classes == ("malignant", "benign")


def test_what_is_trained_on_this_processor_is_as_good_and_of_the_same_data():
    for make, trained in zip(SAMPLES, train_samples.train(), strict=True):
        assert list(train_samples.faults(make(), trained)) == []


def test_faults_tells_files_that_were_changed_or_are_worse():
    kept = breast_cancer()
    rows = kept.rows.copy()
    rows[7, 3] = np.nextafter(rows[7, 3], np.float32(0))
    changed = [
        (replace(kept, onnx=kept.onnx + b"\0\0"), "another SHA-256"),
        (replace(kept, rows=rows), "does not hold scikit-learn's data"),
        (replace(kept, classes=("benign", "malignant")), "other classes"),
    ]
    for sample, words in changed:
        assert any(words in said for said in train_samples.faults(sample, kept)), words
    wrong = replace(kept, targets=tuple(1 - target for target in kept.targets))
    assert "right about 6 of 143" in list(train_samples.faults(wrong, kept))[-1]
