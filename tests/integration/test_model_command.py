"""`exactum model verify` and `add-file`, before a registry."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from oracle.cli import model as models
from oracle.cli import show
from oracle.cli.session import Session
from oracle.config import Settings
from oracle.errors import ConfigError
from oracle.types import ModelId
from tests.chains import World
from tests.networks import network
from tests.unit.exact.files import file, node, tensor


@pytest.fixture
def published(embedded: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelId:
    """The network's model; the commands see the chain in place of a node."""
    monkeypatch.setenv("EXACTUM_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(show.out, "width", 400)
    session = Session(Settings(), embedded.chain, embedded.deployment)
    monkeypatch.setattr(models, "open_session", lambda *_: session)
    monkeypatch.setattr("oracle.cli.session.open_session", lambda *_: session)
    return embedded.publish("", **network().terms)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(models.model, arguments, catch_exceptions=False)


def verify(model: ModelId, source: Path) -> tuple[int, dict[str, object], str]:
    """The exit code, what is said to machines, and to people."""
    command = ("verify", "0x" + model.hex(), "--source", str(source))
    said = run(*command)
    return said.exit_code, json.loads(run(*command, "--json").stdout), " ".join(said.stdout.split())


def test_verify_compares_the_root_of_a_program_file(published: ModelId, tmp_path: Path) -> None:
    code, found, said = verify(published, network().write(tmp_path))
    assert code == 0 and found["is_program_file"] and found["gives_program"]
    assert not found["is_source"]  # which it only says
    root = network().program.root.hex()
    assert "file a program file" in said and f"program root 0x{root} (as in the id)" in said

    code, found, said = verify(published, network(1).write(tmp_path))
    assert code == 1 and not found["gives_program"]
    root = network(1).program.root.hex()
    assert f"program root 0x{root} (not that of the id)" in said


def test_verify_says_why_a_source_does_not_lower(published: ModelId, tmp_path: Path) -> None:
    """Its hash may be the id's all the same."""
    path = tmp_path / "odd.onnx"
    path.write_bytes(file([node("Unique", ["x"], ["y"])], [tensor("x", [2])], ["y"]))
    code, found, said = verify(published, path)
    assert code == 1 and found["program_root"] is None and not found["gives_program"]
    assert "myUnique" in json.dumps(found["refused"])
    assert "lowering refused: node 'myUnique' (Unique): how many distinct elements it finds" in said


def test_verify_refuses_what_is_no_model(published: ModelId, tmp_path: Path) -> None:
    path = tmp_path / "odd.txt"
    path.write_text("no model")
    with pytest.raises(ConfigError, match="is neither a program file nor an ONNX file"):
        verify(published, path)


def test_add_file_names_the_models_that_it_belongs_to(published: ModelId, tmp_path: Path) -> None:
    source, other = tmp_path / "a.onnx", tmp_path / "b.onnx"
    source.write_bytes(network().onnx)
    other.write_bytes(network(1).onnx)
    rpc = ("--rpc", "http://127.0.0.1:8545")

    for path in (source, network().write(tmp_path)):
        assert (
            f"It is of doubler 1, 0x{published.hex()}." in run("add-file", str(path), *rpc).stdout
        )
    assert "It is of no model on" in run("add-file", str(other), *rpc).stderr
