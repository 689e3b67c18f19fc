"""What is said of a program before it is published."""

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from oracle import samples
from oracle.errors import ConfigError
from oracle.exact.lowering.graph import lower
from oracle.exact.program import Program
from oracle.exact.run import Runner
from oracle.inference.consultation import Rows, compare, consult, random_rows
from oracle.tensor import Array
from tests.silencers import SILENCERS
from tests.unit.exact.files import file, node, tensor

MEMORY = 2 << 30


def tree_with_a_transform() -> bytes:
    """One target and LOGISTIC, which onnxruntime leaves out."""
    tree = helper.make_node(
        *("TreeEnsembleRegressor", ["x"], ["y"]),
        domain="ai.onnx.ml",
        n_targets=1,
        post_transform="LOGISTIC",
        nodes_treeids=[0, 0, 0],
        nodes_nodeids=[0, 1, 2],
        nodes_featureids=[0, 0, 0],
        nodes_values=[0.5, 0.0, 0.0],
        nodes_modes=["BRANCH_LEQ", "LEAF", "LEAF"],
        nodes_truenodeids=[1, 0, 0],
        nodes_falsenodeids=[2, 0, 0],
        target_treeids=[0, 0],
        target_nodeids=[1, 2],
        target_ids=[0, 0],
        target_weights=[-2.0, 3.0],
    )
    return file([tree], [tensor("x", [1, 1])], ["y"])


def of_wine() -> tuple[Program, bytes, samples.Sample]:
    sample = samples.gradient_boosting()
    return lower(sample.onnx), sample.onnx, sample


def asked(program: Program, source: bytes) -> tuple[int, int, int, str]:
    said = consult(program, source, random_rows(program.signature), MEMORY)
    return said.tried, said.differs, said.missing, said.first


def test_consult_says_that_onnxruntime_agrees() -> None:
    program, source, _ = of_wine()
    assert asked(program, source) == (8, 0, 0, "")


def test_consult_says_where_it_differs() -> None:
    source = tree_with_a_transform()
    tried, differs, missing, first = asked(lower(source), source)
    assert (tried, differs, missing) == (8, 8, 0) and "by onnxruntime" in first


def test_consult_says_where_there_is_none() -> None:
    """It runs in a process of its own, which it may take down."""
    source, _ = SILENCERS["one that does not load"]
    tried, differs, missing, first = asked(lower(source), source)
    assert (tried, differs, missing) == (8, 0, 8) and "no second opinion" in first


def saved(folder: Path, **arrays: Array) -> Path:
    path = folder / "rows.npz"
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return path


def test_compare_holds_results_against_those_of_the_trained_model(tmp_path: Path) -> None:
    program, _, sample = of_wine()
    runner = Runner(program)
    ours = [runner.run([row[None]]) for row in sample.rows]
    labels = np.array([label[0] for label, _ in ours])
    scores = np.stack([score[0] for _, score in ours]).astype(np.float64)

    path = saved(tmp_path, input=sample.rows, label=labels, probabilities=scores)
    assert compare(program, Rows.read(path, program)).agrees

    labels[3], scores[5, 1] = (labels[3] + 1) % 3, 0.5
    path = saved(tmp_path, input=sample.rows, label=labels, probabilities=scores)
    said = compare(program, Rows.read(path, program))
    assert (said.tried, said.differs) == (len(sample.rows), 2)
    assert said.first.startswith("Row 3: Output 'label'") and "by the rows" in said.first


def test_rows_may_name_classes(tmp_path: Path) -> None:
    program, _, sample = of_wine()
    names = np.array([str(program.labels[0])] * len(sample.rows))
    rows = Rows.read(saved(tmp_path, input=sample.rows, label=names), program)
    assert rows.outputs["label"].tolist() == [[0]] * len(sample.rows)


@pytest.mark.parametrize(
    ("arrays", "why"),
    [
        ({}, "has no 'input': its arrays go by 'input', 'label', 'probabilities'"),
        ({"input": (2, 13), "inputs": (2, 13)}, "has 'inputs'"),
        ({"input": (2, 12)}, r"A row of 'input' has 12 elements; the model's input: float\[1,13\]"),
        ({"input": (2, 13), "label": (3,)}, "have not all as many rows"),
        ({"input": (0, 13)}, "have not all as many rows"),
    ],
)
def test_rows_that_do_not_fit_are_refused(
    arrays: dict[str, tuple[int, ...]], why: str, tmp_path: Path
) -> None:
    program, _, _ = of_wine()
    path = saved(tmp_path, **{name: np.zeros(shape) for name, shape in arrays.items()})
    with pytest.raises(ConfigError, match=why):
        Rows.read(path, program)


def test_rows_with_other_classes_or_parts_of_numbers_are_refused(tmp_path: Path) -> None:
    program, _, sample = of_wine()
    for label, why in (
        (np.array(["Merlot"]), "'Merlot' of 'label'"),
        (np.array([0.5]), "no int64"),
    ):
        path = saved(tmp_path, input=sample.rows[:1], label=label)
        with pytest.raises(ConfigError, match=why):
            Rows.read(path, program)


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"{}"])
def test_what_holds_no_rows_is_refused(data: bytes, tmp_path: Path) -> None:
    """It may come from a stranger: nothing in it is unpickled."""
    program, _, _ = of_wine()
    path = tmp_path / "rows.npz"
    path.write_bytes(data)
    with pytest.raises(ConfigError, match=r"is no \.npz file"):
        Rows.read(path, program)
    np.save(tmp_path / "array.npy", np.zeros(3))
    with pytest.raises(ConfigError, match=r"is no \.npz file"):
        Rows.read(tmp_path / "array.npy", program)


def test_random_rows_fit_any_signature() -> None:
    inputs = [tensor("a", [2, 3]), tensor("b", [2, 3], TensorProto.INT64)]
    program = lower(
        file([node("Cast", ["b"], ["c"], to=1), node("Add", ["a", "c"], ["y"])], inputs, ["y"])
    )
    rows = list(random_rows(program.signature))
    assert len(rows) == 8 and all(len(Runner(program).run(row)) == 1 for row in rows)
