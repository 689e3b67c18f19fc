"""`exactum model add-file`: what it keeps, and what it says of it."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result

from oracle import samples
from oracle.cli.files import model_files
from oracle.cli.model import model
from oracle.config import Settings
from oracle.errors import ConfigError
from oracle.exact.lowering.external import source_digest
from oracle.types import FileKind, FileName
from tests.unit.exact.files import file, node, proto, tensor


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EXACTUM_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(model, arguments, catch_exceptions=False)


def test_add_file_says_which_program_it_is_and_whose_source(tmp_path: Path) -> None:
    path = tmp_path / "wine.onnx"
    path.write_bytes(samples.gradient_boosting().onnx)
    run("lower", str(path))

    alone = run("add-file", str(path))
    program = run("add-file", str(tmp_path / "wine.safetensors"))
    again = run("add-file", str(path))

    digest = source_digest(path.read_bytes(), tmp_path).hex()
    assert f"an ONNX file of SHA-256 {digest}." in alone.stdout
    assert "No program file here says that it was lowered from it" in alone.stderr
    assert f"said to be lowered from SHA-256 {digest}." in program.stdout
    root = program.stdout.split()[1].split(".")[0]
    assert f"Kept {root}.safetensors, the program of root 0x{root}," in program.stdout
    assert f"the source of the program of root 0x{root}." in again.stdout and not again.stderr


def test_add_file_keeps_what_lies_beside_an_onnx_file(tmp_path: Path) -> None:
    made = proto(
        [node("Mul", ["x", "w"], ["y"])], [tensor("x", [2])], ["y"], w=np.ones(2, np.float32)
    )
    path = tmp_path / "model.onnx"
    onnx.save_model(made, str(path), save_as_external_data=True, size_threshold=0)

    run("add-file", str(path))

    name = FileName(FileKind.ONNX, source_digest(path.read_bytes(), tmp_path))
    assert model_files(Settings()).path(name) is not None
    next(each for each in tmp_path.iterdir() if each.is_file() and each != path).unlink()
    with pytest.raises(ConfigError, match="copy it beside the file"):
        run("add-file", str(path))


@pytest.mark.parametrize("data", [b"", b"{}", b"no model", b"\x10\x00\x00\x00\x00\x00\x00\x00{"])
def test_add_file_refuses_what_is_neither(data: bytes, tmp_path: Path, home: Path) -> None:
    path = tmp_path / "odd"
    path.write_bytes(data)

    why = "is neither a program file nor an ONNX file|is no whole program file"
    with pytest.raises(ConfigError, match=why):
        run("add-file", str(path))

    assert not list(home.rglob("*.onnx"))


def test_add_file_knows_an_onnx_file_by_its_graph(tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes(file([node("Relu", ["x"], ["y"])], [tensor("x", [2])], ["y"]))
    assert "an ONNX file" in run("add-file", str(path)).stdout
