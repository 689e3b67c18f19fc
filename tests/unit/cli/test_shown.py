"""What people see of models and results on a terminal of 80 columns: ids whole, classes by name."""

import io
import json
from pathlib import Path

import numpy as np
import pytest

from oracle.chain.events import RequestCreated
from oracle.cli import audit, main, session, show
from oracle.cli.files import model_files
from oracle.cli.session import Session
from oracle.config import Settings
from oracle.exact.lowering.graph import lower
from oracle.exact.program_file import Dictionary, dictionary, pack, read
from oracle.types import ModelId
from tests.chains import World, address
from tests.unit.exact.files import file, ml_node, tensor

LABELS = ["benign", "malignant"]


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What goes to a terminal of 80 columns."""
    buffer = io.StringIO()
    console = type(show.out)(
        file=buffer, highlight=False, soft_wrap=True, markup=False, emoji=False, width=80
    )
    monkeypatch.setattr(show, "out", console)
    return buffer


@pytest.fixture
def world(embedded: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setenv("EXACTUM_HOME", str(tmp_path / "home"))
    opened = Session(Settings(), embedded.chain, embedded.deployment)
    (tmp_path / "home" / "models").mkdir(parents=True)
    monkeypatch.setattr(session, "open_session", lambda *_: opened)
    monkeypatch.setattr(audit, "open_session", lambda *_: opened)
    return embedded


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as end:
        main.main(arguments)
    return int(end.value.code or 0)


def classifier() -> bytes:
    """The program file of a linear classifier whose classes have names."""
    linear = ml_node(
        "LinearClassifier",
        ["x"],
        ["label", "scores"],
        coefficients=[1.0, 0.0, 0.0, 1.0],
        intercepts=[0.0, 0.0],
        classlabels_strings=LABELS,
    )
    return pack(lower(file([linear], [tensor("x", [1, 2])], ["label", "scores"])))


def output(label: int, *scores: float) -> bytes:
    return np.array([label], ">i8").tobytes() + np.array(scores, ">f4").tobytes()


def publish(world: World, tmp_path: Path, is_here: bool = True) -> ModelId:
    path = tmp_path / "classifier.safetensors"
    path.write_bytes(classifier())
    if is_here:
        model_files(Settings()).add(path)
    program = read(path)
    return world.publish(program_root=program.root, signature=program.signature)


def test_dictionary_reads_names_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "classifier.safetensors"
    path.write_bytes(classifier())

    assert dictionary(path) == Dictionary(tuple(LABELS), ())


@pytest.mark.parametrize("command", [["model", "list"], ["model", "show"]])
def test_a_model_is_shown_with_its_whole_id_and_its_classes(
    world: World, shown: io.StringIO, tmp_path: Path, capsys, command: list[str]
) -> None:
    model_id = publish(world, tmp_path)
    of = [show.hex_(model_id)] if command == ["model", "show"] else []

    run(*command, *of)
    run(*command, *of, "--json")

    text = shown.getvalue()
    assert show.hex_(model_id) in text and "benign, malignant" in text
    found = json.loads(capsys.readouterr().out)
    [found] = found if isinstance(found, list) else [found]
    assert found["labels"] == LABELS and found["categories"] == []


def test_a_model_whose_file_is_elsewhere_is_shown_without_classes(
    world: World, shown: io.StringIO, tmp_path: Path, capsys
) -> None:
    model_id = publish(world, tmp_path, is_here=False)

    run("model", "show", show.hex_(model_id))
    run("model", "show", show.hex_(model_id), "--json")

    assert "benign" not in shown.getvalue() and "none; exactum audit fetches" in shown.getvalue()
    assert json.loads(capsys.readouterr().out)["labels"] is None


def answered(world: World, folder: Path, result: bytes) -> RequestCreated:
    """A request for zeros, and that answer to it."""
    model_id = publish(world, folder)
    world.stake()
    asked = world.ask(model_id, payload=bytes(8))
    world.propose(asked, output=result)
    return asked


def test_a_result_is_shown_with_the_name_of_its_class(
    world: World, shown: io.StringIO, tmp_path: Path, capsys
) -> None:
    asked = answered(world, tmp_path, output(1, 0.25, 0.75))

    run("result", show.hex_(asked.request_id))
    run("result", show.hex_(asked.request_id), "--json")

    assert "1 (malignant)" in shown.getvalue()
    assert "classes, in their order: benign, malignant" in shown.getvalue()
    found = json.loads(capsys.readouterr().out)
    assert found["classes"] == {"label": ["malignant"]} and found["labels"] == LABELS


def test_an_audit_of_a_range_shows_whole_ids(
    world: World, shown: io.StringIO, tmp_path: Path
) -> None:
    asked = answered(world, tmp_path, output(0, 0.0, 0.0))

    assert run("audit") == 0

    assert show.hex_(asked.request_id) in shown.getvalue()
    assert address("operator") in shown.getvalue()


def test_an_audit_of_one_result_cuts_no_element_and_no_bits(
    world: World, shown: io.StringIO, tmp_path: Path
) -> None:
    """On 80 columns they are folded: who compares them needs all."""
    asked = answered(world, tmp_path, output(1, 0.25, 0.123456789))

    assert run("audit", show.hex_(asked.request_id)) == 1

    text = shown.getvalue()
    assert "MISMATCH" in text and "…" not in text and "..." not in text


def test_print_fields_cuts_no_id_however_narrow_the_terminal_is(shown: io.StringIO) -> None:
    """Anything else is folded."""
    id_, words = "0x" + "ab" * 32, "long words " * 20

    show.print_fields("title", {"a name of thirty letters in all": id_, "text": words})

    assert f" {id_}" in shown.getvalue()
    assert max(map(len, shown.getvalue().splitlines())) <= 31 + 2 + 66


def test_print_parties_gives_each_whole_once(shown: io.StringIO) -> None:
    one, two = address("operator"), address("rival")

    show.print_parties([one, two, one])

    assert shown.getvalue().count(f"is {one}") == 1 and f"is {two}" in shown.getvalue()


def test_names_are_few_of_many() -> None:
    assert show.names(["a", "b"]) == "a, b"
    assert show.names(range(1000)).endswith("18, 19 … 980 more")
