"""`exactum request` of a model that takes strings."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from onnx import TensorProto

from oracle.chain.events import RequestCreated
from oracle.chain.rollups import RollupFees
from oracle.chain.sizes import answer_sizes
from oracle.cli import request as requests
from oracle.cli.files import model_files
from oracle.cli.session import Session
from oracle.config import Settings
from oracle.errors import PayloadError
from oracle.exact.lowering.graph import lower
from oracle.exact.program import Program
from oracle.exact.program_file import pack
from oracle.types import ModelId, RequestId
from tests.chains import OUTPUT, PAYLOAD, PEOPLE, ROYALTY, World
from tests.rollups import ISTHMUS, become_rollup
from tests.unit.exact.files import file, ml_node, tensor


@pytest.fixture
def home(embedded: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of somebody with a key and a node."""
    session = Session(Settings(home=tmp_path), embedded.chain, embedded.deployment)
    monkeypatch.setattr("oracle.cli.session.open_session", lambda *_: session)
    monkeypatch.setattr("oracle.cli.session.open_key", lambda *_: PEOPLE["requester"])
    return tmp_path


def encoder() -> Program:
    keys = {"keys_strings": ["red", "blue"], "values_int64s": [10, 20], "default_int64": 0}
    encode = ml_node("LabelEncoder", ["colour"], ["y"], **keys)
    return lower(file([encode], [tensor("colour", [2], TensorProto.STRING)], ["y"]))


def publish(world: World, uri: str = "") -> ModelId:
    program = encoder()
    return world.publish(uri, program_root=program.root, signature=program.signature)


def ask(model: ModelId, text: str, *options: str) -> Result:
    command = ["0x" + model.hex(), "--input", text, "--json", *options]
    return CliRunner().invoke(requests.request, command, catch_exceptions=False)


def payload(world: World, said: Result) -> bytes:
    request = RequestId(bytes.fromhex(json.loads(said.stdout)["request_id"][2:]))
    return world.history.request(request).created.payload


def test_request_takes_strings(embedded: World, home: Path) -> None:
    model = publish(embedded)
    model_files(Settings(home=home)).add(pack(encoder()))

    said = ask(model, '["blue", "red"]')

    assert payload(embedded, said).hex() == "0000000000000001" + "0000000000000000"
    assert "which the id does not bind" in " ".join(said.stderr.split())


def test_request_fetches_the_list_of_strings(embedded: World, home: Path) -> None:
    path = home / "encoder.safetensors"
    path.write_bytes(pack(encoder()))
    model = publish(embedded, path.as_uri())

    with pytest.raises(PayloadError, match=r"--allow-local-files .* exactum model add-file"):
        ask(model, '["blue", "red"]')

    assert payload(embedded, ask(model, '["blue", "red"]', "--allow-local-files"))


def test_request_sends_no_string_that_the_model_does_not_know(embedded: World, home: Path) -> None:
    model = publish(embedded)
    model_files(Settings(home=home)).add(pack(encoder()))

    with pytest.raises(PayloadError, match=r"'blu' of 'colour' is none of .*\('red', 'blue'\)"):
        ask(model, '["blu", "red"]')


def test_request_needs_no_file_for_numbers(embedded: World, home: Path) -> None:
    assert payload(embedded, ask(publish(embedded), "[1, 2]"))[-1:] == b"\x02"
    assert not (home / "models").exists()


def test_the_fee_pays_for_what_a_rollup_charges(
    anvil: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = Session(Settings(home=tmp_path), anvil.chain, anvil.deployment)
    monkeypatch.setattr("oracle.cli.session.open_session", lambda *_: session)
    monkeypatch.setattr("oracle.cli.session.open_key", lambda *_: PEOPLE["requester"])
    model = anvil.publish()
    become_rollup(anvil, ISTHMUS, constant=10**16)

    said = ask(model, "0x" + PAYLOAD.hex())

    [created] = anvil.all(RequestCreated)
    charged = RollupFees(anvil.chain).of(answer_sizes(len(OUTPUT)), 200_000)
    assert said.exit_code == 0 and charged > 2 * 10**16
    assert created.request.fee >= 2 * (charged + ROYALTY)
