import numpy as np
import pytest

from oracle.exact.lowering.graph import lower
from oracle.exact.run import Runner
from oracle.samples import Sample, breast_cancer, digits, gradient_boosting
from oracle.tensor import decode


def share_right(sample: Sample) -> float:
    program = lower(sample.onnx)
    runner = Runner(program)
    outputs = (runner.infer(sample.payload(row)) for row in range(len(sample.rows)))
    labels = [int(decode(output, program.signature.outputs)[0][0]) for output in outputs]
    return float(np.mean(np.array(labels) == sample.targets))


@pytest.mark.parametrize("make", [breast_cancer, gradient_boosting, digits])
def test_samples_are_right_about_rows_that_they_never_saw(make):
    assert share_right(make()) > 0.95


@pytest.mark.parametrize("make", [breast_cancer, gradient_boosting, digits])
def test_samples_have_the_same_bytes_each_time(make):
    assert make().onnx == make().onnx


@pytest.mark.parametrize("make", [breast_cancer, gradient_boosting, digits])
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
