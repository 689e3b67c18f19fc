"""`exactum audit REQUEST` and `dispute show`: what they say and exit with, model file or none."""

import json
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from oracle.cli import audit as audits
from oracle.cli import dispute as disputes
from oracle.cli.files import model_files
from oracle.cli.session import Session
from oracle.config import Settings
from oracle.errors import ConfigError
from oracle.types import Assurance
from tests.chains import World
from tests.networks import network

pytestmark = pytest.mark.usefixtures("session")


@pytest.fixture
def session(embedded: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Session:
    """The commands open it in place of a node."""
    session = Session(Settings(home=tmp_path / "home"), embedded.chain, embedded.deployment)
    monkeypatch.setattr(audits, "open_session", lambda *_: session)
    monkeypatch.setattr("oracle.cli.session.open_session", lambda *_: session)
    return session


def answered(world: World, uri: str = "", **changes: Any) -> str:
    """A request that was answered rightly, by the model's terms but for `changes`."""
    world.stake()
    payload = network().payload()
    model_id = world.publish(uri, **(network().terms | changes))
    asked = world.ask(model_id, payload=payload)
    world.propose(asked, output=network().output(payload))
    return "0x" + asked.request_id.hex()


def run(command: click.Command, *arguments: str) -> Result:
    return CliRunner().invoke(command, arguments, catch_exceptions=False)


def test_audit_exits_with_3_where_nobody_serves_the_file(embedded: World) -> None:
    request = answered(embedded, "https://127.0.0.1/model.safetensors")

    said = run(audits.audit, request)
    found = run(audits.audit, request, "--json")

    assert (said.exit_code, found.exit_code) == (3, 3)
    assert "Not checked: No URI gave the program file" in said.stdout
    assert json.loads(found.stdout)["matches"] is None
    assert "No URI gave the program file" in json.loads(found.stdout)["why"]


def test_audit_exits_with_3_where_the_file_holds_no_program(embedded: World) -> None:
    other = bytes(range(32))  # the root of nothing
    request = answered(embedded, "data:;base64,AAAA", program_root=other)

    said = run(audits.audit, request)

    assert said.exit_code == 3 and "it is no program file" in said.stdout


def test_audit_exits_with_3_where_a_vanilla_model_gives_other_bits_here(
    embedded: World, session: Session, tmp_path: Path
) -> None:
    """Other hardware may give them, so nothing is known to be wrong."""
    network_ = network()
    file = tmp_path / "model.onnx"
    file.write_bytes(network_.onnx)
    model_files(session.settings).add(file)
    embedded.stake()
    terms = network_.terms | {"assurance": Assurance.VANILLA, "program_root": bytes(32)}
    payload = network_.payload()
    asked = embedded.ask(embedded.publish("", **terms), payload=payload)
    embedded.propose(asked, output=network_.lie(payload, at=1))

    said = run(audits.audit, "0x" + asked.request_id.hex())

    assert said.exit_code == 3 and "The model is VANILLA" in said.stdout


@pytest.mark.parametrize("command", [audits.audit, disputes.show_])
def test_what_runs_one_result_fetches_local_files_where_allowed(
    command: click.Command, embedded: World, tmp_path: Path
) -> None:
    file = network().write(tmp_path)
    request = answered(embedded, file.as_uri())

    said = CliRunner().invoke(command, [request])
    assert "--allow-local-files" in said.output + str(said.exception)
    assert run(command, request, "--allow-local-files").exit_code == 0


@pytest.mark.parametrize("command", [audits.audit, disputes.show_])
def test_who_gives_an_onnx_file_is_told_what_to_do(
    command: click.Command, embedded: World, tmp_path: Path
) -> None:
    request = answered(embedded)
    source, other, text = (tmp_path / name for name in ("a.onnx", "b.onnx", "c.txt"))
    source.write_bytes(network().onnx)
    other.write_bytes(network(1).onnx)
    text.write_text("neither")

    for file, why in (
        (source, f"{source} is the ONNX file .* exactum model lower writes its program file"),
        (other, "an ONNX file, and not the one that the model is of: exactum model lower writes"),
        (text, "is neither a program file nor an ONNX file"),
    ):
        with pytest.raises(ConfigError, match=why):
            run(command, request, "--model", str(file))
    program = network().write(tmp_path)
    assert run(command, request, "--model", str(program)).exit_code == 0


def test_audit_of_a_range_takes_no_onnx_file(tmp_path: Path) -> None:
    """It would be of no use, and nobody would be told."""
    source = tmp_path / "a.onnx"
    source.write_bytes(network().onnx)

    with pytest.raises(ConfigError, match="exactum model lower writes its program file"):
        run(audits.audit, "--model", str(source))
