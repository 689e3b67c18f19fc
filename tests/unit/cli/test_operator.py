"""`exactum operator signer`, and what `exactum operator status` says of it."""

import json
from collections.abc import Callable

import pytest
from click.testing import CliRunner, Result

from oracle.cli import session
from oracle.cli.operator import operator
from oracle.cli.session import Session
from oracle.config import Settings
from oracle.types import Wei
from tests.chains import ETHER, PEOPLE, World, address

COLD, HOT = address("operator"), address("second")

Command = Callable[..., Result]


@pytest.fixture
def command(embedded: World, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs a command of the operator's, whose key is the cold one."""
    opened = Session(Settings(), embedded.chain, embedded.deployment)
    monkeypatch.setattr(session, "open_session", lambda *_: opened)
    monkeypatch.setattr(session, "open_key", lambda *_: PEOPLE["operator"])
    return lambda *arguments: CliRunner().invoke(operator, arguments)


def shown(command: Command) -> dict[str, object]:
    found = json.loads(command("status", COLD, "--json").stdout)
    return {name: found[name] for name in ("signer", "max_locked", "ended_signer")}


def test_signer_names_a_key_and_its_limit(embedded: World, command: Command) -> None:
    done = command("signer", HOT, "--max-locked", "2ether")

    said = " ".join(done.stdout.split())
    assert f"signer {HOT} its limit 2 ether locked at most, until the next slash" in said
    named = embedded.queue.signer_of(COLD)
    assert named is not None and (named.signer, named.max_locked) == (HOT, 2 * ETHER)
    assert shown(command) == {"signer": HOT, "max_locked": str(2 * ETHER), "ended_signer": None}


def test_signer_none_leaves_it_to_the_operator(embedded: World, command: Command) -> None:
    command("signer", HOT, "--max-locked", "2ether")

    done = command("signer", "--none")

    assert "nobody but the operator itself" in done.stdout
    assert embedded.queue.signer_of(COLD) is None
    assert shown(command) == {"signer": None, "max_locked": None, "ended_signer": None}


def test_status_says_whom_a_slash_ended(embedded: World, command: Command) -> None:
    embedded.stake()
    command("signer", HOT, "--max-locked", "2ether")
    asked = embedded.ask(embedded.publish())
    embedded.slash(asked, embedded.propose(asked))

    said = " ".join(command("status", COLD).stdout.split())
    assert f"signer nobody: a slash ended {HOT}" in said
    assert shown(command) == {"signer": None, "max_locked": None, "ended_signer": HOT}


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        (HOT,),
        ("--max-locked", "1ether"),
        ("--none", HOT),
        ("--none", "--max-locked", "1ether"),
        (COLD, "--max-locked", "1ether"),
    ],
    ids=" ".join,
)
def test_signer_takes_one_key_with_a_limit_or_none(
    embedded: World, command: Command, arguments: tuple[str, ...]
) -> None:
    done = command("signer", *arguments)

    assert done.exit_code == 2
    assert embedded.chain.nonce(COLD) == 0


def test_signer_may_have_a_limit_of_nothing(embedded: World, command: Command) -> None:
    """So that a key is stopped and still shows the traces of what it signed."""
    assert command("signer", HOT, "--max-locked", "0wei").exit_code == 0
    named = embedded.queue.signer_of(COLD)
    assert named is not None and (named.signer, named.max_locked) == (HOT, Wei(0))
