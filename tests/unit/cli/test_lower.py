"""`exactum model lower`, and `inspect` of what it wrote."""

import json
from pathlib import Path

import numpy as np
import onnx
from click.testing import CliRunner, Result

from oracle import samples
from oracle.cli.model import model
from oracle.exact.lowering.external import source_digest
from oracle.exact.lowering.graph import lower
from oracle.exact.program_file import read, source_hash
from tests.unit.exact.files import file, ml_node, node, tensor


def run(*arguments: str) -> Result:
    return CliRunner().invoke(model, arguments, catch_exceptions=False)


def onnx_file(folder: Path) -> Path:
    path = folder / "wine.onnx"
    path.write_bytes(samples.gradient_boosting().onnx)
    return path


def test_lower_writes_the_program_beside_the_model(tmp_path: Path) -> None:
    path = onnx_file(tmp_path)
    root = lower(path.read_bytes()).root

    said = json.loads(run("lower", str(path), "--json").stdout)

    target = tmp_path / "wine.safetensors"
    assert said == {
        "file": str(target),
        "bytes": target.stat().st_size,
        "program_root": "0x" + root.hex(),
        "frozen": {},
    }
    assert read(target).root == root


def test_inspect_says_of_a_program_what_it_says_of_its_source(tmp_path: Path) -> None:
    path = onnx_file(tmp_path)
    target = tmp_path / "elsewhere" / "program"
    run("lower", str(path), "--output", str(target))

    of_source = json.loads(run("inspect", str(path), "--json").stdout)
    of_program = json.loads(run("inspect", str(target), "--json").stdout)

    for found in (of_source, of_program):
        assert len(found["source_hash"]) == 64
    assert of_source["inspection"].pop("lowered") and not of_program["inspection"].pop("lowered")
    # The preimage of an id holds the file's name.
    for found in (of_source, of_program):
        for name in ("gas", "zeros", "others", "size"):
            found["inspection"]["dearest"].pop(name, None)
        del found["dearest_gas"]
    assert of_source.pop("opinions")["onnxruntime"]["tried"] == 8
    assert of_program.pop("opinions")["onnxruntime"] is None
    assert of_source == of_program


def test_lower_does_not_write_over_the_model(tmp_path: Path) -> None:
    path = onnx_file(tmp_path)
    before = path.read_bytes()

    done = CliRunner().invoke(model, ["lower", str(path), "--output", str(path)])

    assert "is the model itself" in str(done.exception) and path.read_bytes() == before


def test_inspect_says_where_the_trained_model_says_another_thing(tmp_path: Path) -> None:
    """A converter may have dropped what the file does not show to have been there."""
    path, rows = onnx_file(tmp_path), tmp_path / "rows.npz"
    sample = samples.gradient_boosting()
    np.savez(rows, input=sample.rows, label=np.array(sample.targets, np.int64))

    shown = run("inspect", str(path), "--check", str(rows))
    said = " ".join(shown.stdout.split())
    as_json = run("inspect", str(path), "--check", str(rows), "--json")
    found = json.loads(as_json.stdout)

    assert (shown.exit_code, as_json.exit_code) == (1, 1)  # as publish refuses it
    differs = found["opinions"]["rows"]["differs"]  # what the model gets wrong
    assert 0 < differs < len(sample.rows)
    assert f"{differs} of {len(sample.rows)} differ; they count from 0. Row " in said
    assert f"agrees on {len(sample.rows)} inputs" in said and "classes 0, 1, 2" in said


def test_inspect_exits_with_0_where_the_rows_agree(tmp_path: Path) -> None:
    path, rows = tmp_path / "colours.onnx", tmp_path / "rows.npz"
    path.write_bytes(encoder())
    np.savez(rows, colour=np.array([["blue"], ["red"]]), y=np.array([[20], [10]]))
    done = run("inspect", str(path), "--check", str(rows))
    assert done.exit_code == 0 and "agree, all 2" in done.stdout


def encoder() -> bytes:
    """A LabelEncoder of two colours; others become 0."""
    keys = {"keys_strings": ["red", "blue"], "values_int64s": [10, 20], "default_int64": 0}
    encode = ml_node("LabelEncoder", ["colour"], ["y"], **keys)
    return file([encode], [tensor("colour", [1, 1], onnx.TensorProto.STRING)], ["y"])


def test_what_a_file_leaves_open_is_not_frozen_without_a_word(tmp_path: Path) -> None:
    path = tmp_path / "open.onnx"
    path.write_bytes(file([node("Relu", ["x"], ["y"])], [tensor("x", ["batch", 3])], ["y"]))

    for command in ("lower", "inspect"):
        said = run(command, str(path), "--json")
        assert json.loads(said.stdout)["frozen"] == {"batch": 1}
        assert "leaves the dim 'batch' open; it is 1 here: --dim batch=N" in said.stderr
        given = run(command, str(path), "--dim", "batch=2", "--json")
        assert json.loads(given.stdout)["frozen"] == {} and "open" not in given.stderr


def test_lower_and_inspect_read_what_lies_beside_the_file(tmp_path: Path) -> None:
    made = onnx.ModelProto.FromString(
        file(
            [node("Mul", ["x", "w"], ["y"])],
            [tensor("x", [2])],
            ["y"],
            w=np.array([2, 3], np.float32),
        )
    )
    wanted = lower(made.SerializeToString()).root
    path = tmp_path / "model.onnx"
    onnx.save_model(made, str(path), save_as_external_data=True, size_threshold=0)

    lowered = json.loads(run("lower", str(path), "--json").stdout)
    found = json.loads(run("inspect", str(path), "--json").stdout)

    assert lowered["program_root"] == found["program_root"] == "0x" + wanted.hex()
    assert found["source_hash"] == source_digest(path.read_bytes(), tmp_path).hex()
    assert source_hash(tmp_path / "model.safetensors") == bytes.fromhex(found["source_hash"])
    assert found["opinions"]["onnxruntime"]["missing"] == 0
