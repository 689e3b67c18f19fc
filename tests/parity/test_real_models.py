"""The referee on real networks: every node of a run, as the fast kernels computed it."""

import numpy as np
import pytest

from oracle.exact.lowering.graph import lower
from scripts.models import RealModel, more_networks, networks, tabular
from tests.parity.referee import Case, Judged, Referee

SMALL = ("magika", "rapidocr-cls", "mtcnn-pnet", "mtcnn-rnet", "mtcnn-onet", "silero-vad-window")
NETWORKS = [
    pytest.param(model, id=model.name, marks=[] if model.name in SMALL else pytest.mark.long)
    for model in (*networks(), *more_networks())
]


@pytest.mark.parametrize("model", NETWORKS)
def test_judge_agrees_with_a_networks_run(
    referee: Referee, model: RealModel, rng: np.random.Generator
) -> None:
    if not model.is_here:
        pytest.skip("run ./dev models")
    assert differing(referee, model, rng) == []


def test_judge_agrees_with_runs_of_tabular_models(
    referee: Referee, rng: np.random.Generator
) -> None:
    pytest.importorskip("skl2onnx")
    assert [(m.name, found) for m in tabular(3) if (found := differing(referee, m, rng))] == []


def differing(
    referee: Referee, model: RealModel, rng: np.random.Generator
) -> list[tuple[object, ...]]:
    """Of two elements of each node one is claimed wrongly."""
    judged = Judged(lower(model.onnx(), model.dims), model.inputs())
    cases: list[Case] = []
    wanted: list[tuple[int, int]] = []
    for node, record in enumerate(judged.program.nodes):
        chosen = rng.integers(record.output.elements, size=2).tolist()
        more, their = judged.some(node, chosen)
        cases += more
        wanted += their
    rows = zip(referee.judge(cases), wanted, strict=True)
    return [
        (at // 2, *row)
        for at, row in enumerate(rows)
        if row[0].error or (row[0].claimed, row[0].expected) != row[1]
    ]
