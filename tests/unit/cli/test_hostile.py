"""What strangers wrote, in whatever the command shows."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
import structlog
from rich.table import Table

from oracle.audit.verification import Check, Outcome
from oracle.cli import audit, evidence, main, payload, session, show, sweep
from oracle.cli.daemon import configure_logs
from oracle.cli.session import Session
from oracle.config import Settings
from oracle.errors import ChainError, ModelRefused, Reason, Reverted
from oracle.inference.comparison import Element
from oracle.types import DType, Signature, TensorType
from tests import chains
from tests.chains import World

HOSTILE = "\x1b[2J\x1b]0;owned\x07[/x][link=http://evil]good[/link]\n\r\u202e\x9b31m:smile:\\"
SHOWN = "\\x1b[2J\\x1b]0;owned\\x07[/x][link=http://evil]good[/link]\\n\\r\\u202e\\x9b31m:smile:\\"


def is_clean(text: str) -> bool:
    return all(letter.isprintable() or letter == "\n" for letter in text)


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What goes to either stream, wide, and with no styles of our own."""
    buffer = io.StringIO()
    for name in ("out", "err"):
        console = type(show.out)(
            file=buffer, highlight=False, soft_wrap=True, markup=False, emoji=False, width=2000
        )
        monkeypatch.setattr(show, name, console)
    return buffer


def test_consoles_show_strings_as_they_are_wherever_they_stand(shown):
    table = Table(HOSTILE, title=HOSTILE, caption=HOSTILE)
    table.add_row(HOSTILE)
    show.out.print(table)
    show.err.print(HOSTILE, HOSTILE)
    show.out.rule(HOSTILE)
    show.print_fields(HOSTILE, {HOSTILE: HOSTILE, "uris": show.lines([HOSTILE, HOSTILE])})
    show.out.print(show.styled("[red]{}[/] and {}", HOSTILE, HOSTILE))
    text = shown.getvalue()
    assert is_clean(text)
    assert text.count(SHOWN) == 14


def test_styled_styles_our_words_and_none_of_others():
    text = show.styled("[red]WRONG[/]: {}", "[green]right[/]")
    assert text.plain == "WRONG: [green]right[/]"
    assert [(span.start, span.end, span.style) for span in text.spans] == [(0, 5, "red")]


def element() -> Element:
    return Element(HOSTILE, 3, HOSTILE, HOSTILE, "0x1", "0x2")


def test_verdicts_show_tensors_and_reasons_as_they_are(shown):
    show.out.print(sweep._said(sweep.Wrong(element(), 2)))
    show.out.print(sweep._said(sweep.Unchecked(HOSTILE)))
    assert is_clean(shown.getvalue()) and shown.getvalue().count(SHOWN) == 4


def test_an_audit_shows_elements_and_names_as_they_are(shown):
    class Found:
        model = chains.model(chains.address("publisher"), name=HOSTILE, version=HOSTILE)

    audit._print(Found(), [element()], [element()])
    audit._print(Found(), [element()], [])
    assert is_clean(shown.getvalue()) and shown.getvalue().count(SHOWN) == 10


def test_evidence_shows_checks_as_they_are(shown):
    class Bundle:
        request_id = bytes(32)
        proposal = chains.request()

    class Report:
        checks = (Check(HOSTILE, Outcome.OK, HOSTILE),)
        outcome = Outcome.OK
        difference = (element(), 1)

    Bundle.proposal = type("Proposal", (), {"operator": HOSTILE})
    evidence._print(Bundle, Report)
    assert is_clean(shown.getvalue()) and shown.getvalue().count(SHOWN) == 6


def test_a_payload_shows_tensors_as_they_are(shown):
    payload.print_elements(HOSTILE, bytes(4), [TensorType(HOSTILE, DType.FLOAT, ())])
    assert is_clean(shown.getvalue()) and shown.getvalue().count(SHOWN) == 2


@pytest.mark.parametrize(
    "error",
    [
        ChainError(HOSTILE),
        Reverted("Error", {"reason": HOSTILE}),
        ModelRefused([Reason(HOSTILE, HOSTILE, HOSTILE, HOSTILE)]),
    ],
)
def test_main_shows_errors_as_they_are(shown, monkeypatch, error):
    def fail(*_: object, **__: Any) -> None:
        raise error

    monkeypatch.setattr(main, "exactum", fail)
    with pytest.raises(SystemExit):
        main.main([])
    assert is_clean(shown.getvalue()) and "[/x]" in shown.getvalue()


def test_a_bug_is_told_with_nothing_hidden(capsys):
    try:
        raise ZeroDivisionError(HOSTILE)
    except ZeroDivisionError as error:
        main._print_bug(type(error), error, error.__traceback__)
    text = capsys.readouterr().err
    assert is_clean(text) and "Traceback" in text and "\\x1b[2J" in text


@pytest.fixture
def logs(capsys):
    yield lambda: capsys.readouterr().err
    structlog.reset_defaults()


@pytest.mark.parametrize("as_json", [False, True])
def test_logs_hide_nothing(logs, as_json):
    configure_logs(as_json)
    log = structlog.get_logger()
    log.error(HOSTILE, why=HOSTILE, many=[HOSTILE], error=ChainError(HOSTILE))
    log.error("bug", exc_info=ChainError(HOSTILE))
    text = logs()
    assert is_clean(text) and text.count("owned") >= 5
    if as_json:
        first = json.loads(text.splitlines()[0])
        assert first["why"] == first["event"] == HOSTILE


@pytest.fixture
def world(embedded: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A chain on which everything that may have a name has a hostile one."""
    monkeypatch.setenv("EXACTUM_HOME", str(tmp_path))
    opened = Session(Settings(), embedded.chain, embedded.deployment)
    monkeypatch.setattr(session, "open_session", lambda *_: opened)
    monkeypatch.setattr(audit, "open_session", lambda *_: opened)
    return embedded


def run(*arguments: str) -> None:
    with pytest.raises(SystemExit):
        main.main(arguments)


def test_every_command_shows_what_is_on_chain_as_it_is(world, shown, capsys):
    world.stake()
    signature = Signature(
        (TensorType(HOSTILE, DType.INT64, (1,)),), (TensorType(HOSTILE, DType.FLOAT, (2,)),)
    )
    names = {"name": HOSTILE, "version": HOSTILE, "signature": signature}
    model_id = world.publish(HOSTILE, **names)
    asked = world.ask(model_id)
    world.propose(asked)
    model, request = show.hex_(model_id), show.hex_(asked.request_id)
    for command in (
        ("model", "list"),
        ("model", "show", model),
        ("result", request),
        ("audit",),
        ("audit", request),
        ("dispute", "show", request),
        ("dispute", "show", "--no-run", request),
    ):
        before = len(shown.getvalue())
        run(*command)
        text = shown.getvalue()[before:]
        assert is_clean(text), command
        assert "owned" in text or command[:1] == ("dispute",) or len(command) == 3, command
    for command in (("model", "list"), ("model", "show", model), ("result", request), ("audit",)):
        run(*command, "--json")
        text = capsys.readouterr().out
        assert is_clean(text) and repr(HOSTILE)[1:-1] in str(json.loads(text)), command
