"""Real networks: what is published runs, and onnxruntime has nothing against the result."""

import pytest

from oracle.exact.lowering.graph import lower
from oracle.exact.proofs.trace import trace
from oracle.exact.run import Runner
from oracle.inference.onnxruntime import SecondOpinion
from oracle.tensor import to_bytes
from scripts.models import RealModel, more_networks, networks, tabular


def agree(model: RealModel) -> None:
    file, inputs = model.onnx(), model.inputs()
    program = lower(file, model.dims)
    outputs = Runner(program).run(inputs)
    opinion = SecondOpinion(file, program.signature, model.dims, program.labels)
    opinion.check(inputs, outputs)
    found = trace(Runner(program), inputs)
    for output, array in zip(program.outputs, outputs, strict=True):
        assert to_bytes(found.values[output.index]) == to_bytes(array)


@pytest.mark.long
@pytest.mark.parametrize("model", [*networks(), *more_networks()], ids=lambda model: model.name)
def test_networks_agree_with_onnxruntime(model):
    if not model.is_here:
        pytest.skip("./dev models fetches it")
    agree(model)


@pytest.mark.long
@pytest.mark.parametrize("batch", [1, 128])
def test_tabular_models_agree_with_onnxruntime(batch):
    for model in tabular(batch):
        agree(model)
