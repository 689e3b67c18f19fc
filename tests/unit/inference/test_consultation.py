"""What is said of a program before it is published."""

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from oracle import samples
from oracle.cli.source import CHECK
from oracle.errors import ConfigError
from oracle.exact.lowering.graph import lower
from oracle.exact.program import Program
from oracle.exact.run import Runner
from oracle.inference.consultation import Rows, compare, consult, random_rows
from oracle.inference.onnxruntime import FLOAT32_NOISE, QUANTIZED_NOISE
from oracle.tensor import Array
from tests.silencers import SILENCERS
from tests.unit.exact.files import file, ml_node, node, tensor

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
    return said.tried, said.differs, said.missing, "".join(said.first[:1])


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
    label, score = said.first
    assert label.startswith("Row 3: Output 'label'") and "by the rows" in label
    assert score.startswith("Row 5: Output 'probabilities' differs in 1 of 3 elements, by up to 0.")


def test_rows_may_name_classes(tmp_path: Path) -> None:
    program, _, sample = of_wine()
    names = np.array([str(program.labels[0])] * len(sample.rows))
    rows = Rows.read(saved(tmp_path, input=sample.rows, label=names), program)
    assert rows.outputs["label"].tolist() == [[0]] * len(sample.rows)


def test_compare_shows_a_few_of_many(tmp_path: Path) -> None:
    program, _, sample = of_wine()
    wrong = np.full((len(sample.rows), 3), 7, np.float32)
    path = saved(tmp_path, input=sample.rows, probabilities=wrong)
    said = compare(program, Rows.read(path, program))
    assert said.differs == len(sample.rows) and len(said.first) == 3
    assert [each.partition(":")[0] for each in said.first] == ["Row 0", "Row 1", "Row 2"]
    assert all("differs in 3 of 3 elements, by up to " in each for each in said.first)


def test_help_states_the_noise_that_is_allowed() -> None:
    stated = CHECK(lambda: None).__click_params__[0].help  # type: ignore[attr-defined]
    for noise in (FLOAT32_NOISE, QUANTIZED_NOISE):
        assert f"{noise.relative * 100:g} %" in stated


def colours() -> Program:
    """Codes of a colour and of two sizes, with "none" in either list, and numbers as they are."""
    inputs = [
        tensor("colour", [1], TensorProto.STRING),
        tensor("size", [1, 2], TensorProto.STRING),
        tensor("weight", [1]),
    ]
    tints = {"keys_strings": ["none", "red"], "values_int64s": [0, 7], "default_int64": -2}
    sizes = {"keys_strings": ["none", "S", "L"], "values_int64s": [0, 1, 2], "default_int64": -1}
    nodes = [
        ml_node("LabelEncoder", ["colour"], ["tint"], **tints),
        ml_node("LabelEncoder", ["size"], ["sizes"], **sizes),
        node("Relu", ["weight"], ["positive"]),
    ]
    return lower(file(nodes, inputs, ["tint", "sizes", "positive"]))


def test_rows_may_have_strings_at_inputs(tmp_path: Path) -> None:
    program = colours()
    given: dict[str, Array] = {
        "colour": np.array(["red", "none", "S"]),  # of a size: no colour, and yet a known string
        "size": np.array([[b"S", b"L"], [b"none", b"red"], [b"L", b"S"]]),
        "weight": np.ones(3),
    }
    wanted: dict[str, Array] = {
        "tint": np.array([7, 0, -2]),
        "sizes": np.array([[1, 2], [0, -1], [2, 1]]),
    }
    rows = Rows.read(saved(tmp_path, **given, **wanted), program)
    assert compare(program, rows).agrees

    behind = len(program.categories)  # where the error sends who means one that is not known
    given["colour"], wanted["tint"] = np.array([behind, behind + 9, 1]), np.array([-2, -2, 7])
    assert compare(program, Rows.read(saved(tmp_path, **given, **wanted), program)).agrees


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("colour", "gren", r"'gren' of 'colour' is none of the 4 .*\('none', 'red', 'S', 'L'\)"),
        ("colour", "gren", "the number 4 in its place stands for one that it does not know"),
        ("weight", "red", "'weight' takes numbers, and no strings"),
    ],
)
def test_rows_with_strings_that_the_model_does_not_know_are_refused(
    name: str, text: str, why: str, tmp_path: Path
) -> None:
    given = {
        "colour": np.array(["red"]),
        "size": np.array([["S", "L"]]),
        "weight": np.ones(1),
    }
    path = saved(tmp_path, **(given | {name: np.array([text])}))
    with pytest.raises(ConfigError, match=why):
        Rows.read(path, colours())


def test_rows_of_objects_are_not_unpickled(tmp_path: Path) -> None:
    """pandas has strings so; whoever has them is told what to do."""
    path = saved(tmp_path, colour=np.array(["red"], object))
    with pytest.raises(ConfigError, match=r"of objects as numpy\.array\(objects, str\)"):
        Rows.read(path, colours())


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
        (np.array(["Merlot"]), r"'Merlot' of 'label' is no class of the model \(0, 1, 2\)"),
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
