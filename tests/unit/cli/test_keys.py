"""`exactum keys`, and which commands ask for a password."""

import fcntl
import json
import os
import pty
import subprocess
import sys
import termios
from pathlib import Path

import pytest
from click.testing import CliRunner
from eth_account import Account

from oracle.cli import keys, session
from oracle.cli.operator import operator
from oracle.cli.session import Session
from oracle.config import Settings
from tests.chains import World, address

KEY = "4c0883a69102937d6231471b5dbb6204fe5129617082792ae468d01a3f362318"
ADDRESS = "0x2c7536E3605D9C16a7a3D7b1898e529396a65c23"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EXACTUM_HOME", str(tmp_path))
    monkeypatch.delenv("EXACTUM_PASSWORD", raising=False)
    monkeypatch.delenv("EXACTUM_PASSWORD_FILE", raising=False)
    (tmp_path / "keys").mkdir()
    return tmp_path


def keep(home: Path, name: str = "mine", **changes: object) -> Path:
    path = home / "keys" / f"{name}.json"
    content = Account.encrypt(bytes.fromhex(KEY), "right", kdf="pbkdf2", iterations=2)
    path.write_text(json.dumps(content | changes))
    return path


def test_import_reads_a_pipe_though_there_is_a_terminal(home: Path) -> None:
    """getpass would ask the terminal, and leave the pipe unread."""
    terminal, theirs = pty.openpty()

    def take_terminal() -> None:
        fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)

    process = subprocess.Popen(
        [sys.executable, "-m", "oracle.cli", "keys", "import", "piped"],
        stdin=subprocess.PIPE,
        stdout=theirs,
        stderr=theirs,
        env=os.environ | {"EXACTUM_PASSWORD": "right"},
        start_new_session=True,
        preexec_fn=take_terminal,
    )
    try:
        process.communicate(f"{KEY}\n".encode(), timeout=120)
    finally:
        process.kill()
        process.wait()
        os.close(terminal)
        os.close(theirs)

    assert process.returncode == 0
    kept = json.loads((home / "keys" / "piped.json").read_text())
    assert kept["address"].lower() == ADDRESS[2:].lower()


def test_import_refuses_an_empty_pipe(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXACTUM_PASSWORD", "right")

    done = CliRunner().invoke(keys.keys, ["import", "piped"], input="")

    assert "no private key" in str(done.exception)
    assert not list((home / "keys").iterdir())


def test_list_shows_the_others_where_one_file_is_none(home: Path) -> None:
    keep(home)
    (home / "keys" / "bad.json").write_text("{")
    keep(home, "silent", address="")

    done = CliRunner().invoke(keys.keys, ["list", "--json"], catch_exceptions=False)

    assert json.loads(done.stdout) == {"bad": None, "mine": ADDRESS, "silent": None}


def status(embedded: World, monkeypatch: pytest.MonkeyPatch, *options: str) -> dict[str, str]:
    opened = Session(Settings(), embedded.chain, embedded.deployment)
    monkeypatch.setattr(session, "open_session", lambda *_: opened)
    arguments = ["status", "--json", *options]
    done = CliRunner().invoke(operator, arguments, input="right\n", catch_exceptions=False)
    return {"address": json.loads(done.stdout)["address"], "asked": done.stderr}


def test_status_takes_no_password(
    embedded: World, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(home)

    found = status(embedded, monkeypatch, "--key", "mine")

    assert found == {"address": ADDRESS, "asked": ""}


def test_status_takes_one_where_the_file_does_not_say_whose_it_is(
    embedded: World, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(home, address="")

    found = status(embedded, monkeypatch, "--key", "mine")

    assert found["address"] == ADDRESS and "Password" in found["asked"]


def test_status_says_where_no_bond_can_be_put_up(
    embedded: World, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(home)
    opened = Session(Settings(), embedded.chain, embedded.deployment)
    monkeypatch.setattr(session, "open_session", lambda *_: opened)

    nothing = CliRunner().invoke(operator, ["status", "--key", "mine"], catch_exceptions=False)
    embedded.stake("operator")
    staked = CliRunner().invoke(operator, ["status", address("operator")], catch_exceptions=False)

    assert "0 wei (too little to answer: the least bond is 0.001 ether)" in nothing.stdout
    assert "too little" not in staked.stdout
