"""The survey of models: what becomes of one, in a child that may die, and how it is told."""

import json
import os
import signal
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest

from scripts import bench_models as bench
from scripts.survey.collected import Candidate, collected, trained
from scripts.survey.page import BROKE, DIFFERS, RAN, REFUSED, UNPROVABLE, counted, kind, page
from scripts.survey.verdict import RUNS, Verdict, verdict
from tests.unit.exact.files import file, leaning, node, proto, tensor


def candidate(folder: Path, data: bytes, rows: np.ndarray | None = None) -> Candidate:
    """A model as the training leaves it, perhaps with a row for each run."""
    path = folder / "family/model.onnx"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    path.with_suffix(".json").write_text(json.dumps({"by": "me"}))
    if rows is not None:
        np.savez(path.with_suffix(".npz"), x=rows)
    return next(trained(folder))


def found(**rest: object) -> Verdict:
    return Verdict("family/model", "me", "00" * 32, **rest)  # type: ignore[arg-type]


def test_verdict_runs_a_model_and_asks_onnxruntime(tmp_path):
    given = tensor("x", ["batch", "many"])
    tried = verdict(candidate(tmp_path, file([node("Exp", ["x"], ["y"])], [given], ["y"])))
    assert (kind(tried), tried.opinion, tried.nodes, tried.origin) == (RAN, "agrees", 1, "me")
    assert tried.gas > 0 and len(bytes.fromhex(tried.root)) == 32


def test_verdict_tries_the_rows_that_came_with_a_model(tmp_path):
    """A square root of what is random would be NaN; of these rows it is not, and never 0."""
    nodes = [node("Sqrt", ["x"], ["r"]), node("Div", ["one", "r"], ["y"])]
    rows = np.arange(1, 2 * RUNS + 1, dtype=np.float64).reshape(RUNS, 2)
    data = file(nodes, [tensor("x", [1, 2])], ["y"], one=np.float32([1]))
    assert verdict(candidate(tmp_path, data, rows)).opinion == "agrees"


def test_verdict_has_every_reason_for_which_a_model_is_refused(tmp_path):
    nodes = [node("Unique", ["x"], ["a"]), node("MaxRoiPool", ["x"], ["b"])]
    tried = verdict(candidate(tmp_path, file(nodes, [tensor("x", [2, 2])], ["a", "b"])))
    assert kind(tried) == REFUSED and len(tried.refused) == 2


def test_verdict_names_what_no_proof_could_reach(tmp_path):
    tried = verdict(candidate(tmp_path, file([leaning(400)], [tensor("x", [1, 1])], ["y"])))
    assert kind(tried) == UNPROVABLE
    assert "- family/model: 1 TREE\\_WALK\n" in page([], [tried])


def test_a_child_that_dies_ends_nothing(tmp_path, monkeypatch):
    model = candidate(tmp_path, file([node("Exp", ["x"], ["y"])], [tensor("x", [1])], ["y"]))
    monkeypatch.setattr(bench, "verdict", lambda _: os.kill(os.getpid(), signal.SIGKILL))
    assert "ended with -9" in bench.in_child(bench.mp.get_context("fork"), model).broke


def test_a_child_that_raises_says_where(tmp_path, monkeypatch):
    model = candidate(tmp_path, file([node("Exp", ["x"], ["y"])], [tensor("x", [1])], ["y"]))
    monkeypatch.setattr(bench, "verdict", lambda _: 1 // 0)
    broke = bench.in_child(bench.mp.get_context("fork"), model)
    assert kind(broke) == BROKE and "ZeroDivisionError at test_bench_models.py" in broke.broke


def test_a_child_that_takes_too_long_is_ended(tmp_path, monkeypatch):
    model = candidate(tmp_path, file([node("Exp", ["x"], ["y"])], [tensor("x", [1])], ["y"]))
    monkeypatch.setattr(bench, "SECONDS", 0)
    assert bench.in_child(bench.mp.get_context("fork"), model).broke == "it took more than 0 s"


def test_what_was_tried_is_not_tried_again(tmp_path, monkeypatch):
    model = candidate(tmp_path, file([node("Exp", ["x"], ["y"])], [tensor("x", [1])], ["y"]))
    kept = tmp_path / "kept.jsonl"
    monkeypatch.setattr(bench, "in_child", lambda *_: found(refused=("why",)))
    first = list(bench.tried([model], kept))
    monkeypatch.setattr(bench, "in_child", lambda *_: pytest.fail("it was tried again"))
    assert list(bench.tried([model], kept)) == first == [found(refused=("why",))]


def test_counted_counts_each_kind_once():
    ran = {"root": "ab" * 32, "opinion": "agrees"}
    every = [
        found(**ran),
        found(**ran, unprovable=("node 'a' (ADD): it may take much; use less",)),
        found(root="ab" * 32, opinion="differs: by 9"),
        found(refused=("node 'a' (Det): it is outside; replace it",)),
        found(broke="it ended"),
    ]
    assert [kind(each) for each in every] == [RAN, UNPROVABLE, DIFFERS, REFUSED, BROKE]
    said = counted(every)
    assert said.startswith("Of 5 3 ran, of which 1 could not be published and 1 differ")
    assert said.endswith("1 were refused and 1 ended otherwise.")


def test_page_shows_what_strangers_wrote_as_what_it_is():
    hostile = Verdict("p/a|b\n<i>", "p==1", "00" * 32, refused=("node 'x|\\'' (Det): w; a",) * 2)
    text = page([hostile], [])
    assert "a\\|b\\n\\<i\\>" in text and "Det: w; a (2 times)" in text


def test_a_model_of_a_wheel_is_tried_with_the_tensors_beside_it(tmp_path):
    made = proto([node("Mul", ["x", "w"], ["y"])], [tensor("x", [2])], ["y"], w=np.float32([2, 3]))
    onnx.save_model(
        made,
        str(tmp_path / "m.onnx"),
        save_as_external_data=True,
        location="w.bin",
        size_threshold=0,
    )
    with zipfile.ZipFile(tmp_path / "a-1-py3-none-any.whl", "w") as wheel:
        for name in ("m.onnx", "w.bin"):
            wheel.write(tmp_path / name, f"a/models/{name}")
    (model,) = collected(tmp_path, tmp_path / "none")
    tried = verdict(model)
    assert (kind(tried), tried.opinion) == (RAN, "agrees")
