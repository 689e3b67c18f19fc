"""Every option of `exactum worker` reaches what decides. Nothing is connected to."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from oracle.cli import session as sessions
from oracle.cli import worker as command
from oracle.cli.daemon import Daemon
from oracle.types import ModelId, Wei
from oracle.worker.policy import DEFENCE_RATE, Policy
from tests.chains import ETHER, GWEI, address

ME = address("operator")
MODEL = ModelId(b"\x01" * 32)


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What a service would have been made of."""
    found: list[tuple[Any, ...]] = []
    session = SimpleNamespace(chain=SimpleNamespace(id=1), deployment=SimpleNamespace(queue="0x"))

    @contextmanager
    def opened(*_: object, **__: object) -> Iterator[SimpleNamespace]:
        yield SimpleNamespace(store=None, answers=None)

    monkeypatch.setattr(sessions, "open_session", lambda *_: session)
    monkeypatch.setattr(Daemon, "open", opened)
    monkeypatch.setattr(Daemon, "run", lambda *_: None)
    monkeypatch.setattr(command, "build", lambda *arguments: found.append(arguments))
    return found


def run(built: list[tuple[Any, ...]], *options: str) -> tuple[Any, ...]:
    result = CliRunner().invoke(command.worker, ["--dry-run", ME, *options])
    assert result.exit_code == 0, result.output
    return built.pop()


def policy(built: list[tuple[Any, ...]], *options: str) -> Policy:
    return next(each for each in run(built, *options) if isinstance(each, Policy))


def test_worker_has_the_policy_of_its_manual_when_no_option_is_given(built: list[Any]) -> None:
    assert policy(built) == Policy(ME, max_window=7 * 86400)


@pytest.mark.parametrize(
    ("options", "field", "value"),
    [
        (("--model", "0x" + "01" * 32), "models", frozenset([MODEL])),
        (("--vanilla",), "answers_vanilla", True),
        (("--max-bond", "2ether"), "max_bond", 2 * ETHER),
        (("--max-exposure", "3ether"), "max_exposure", 3 * ETHER),
        (("--max-window", "2h"), "max_window", 7200),
        (("--margin", "7"), "margin", 7),
        (("--defence-rate", "5gwei"), "defence_rate", 5 * GWEI),
        (("--defence-rate", "0wei"), "defence_rate", 0),
    ],
    ids=lambda value: str(value[0]) if isinstance(value, tuple) else None,
)
def test_worker_takes_each_option_into_its_policy(
    built: list[Any], options: tuple[str, ...], field: str, value: object
) -> None:
    assert getattr(policy(built, *options), field) == value


def test_worker_tells_the_service_of_processes_and_time(built: list[Any]) -> None:
    assert run(built, "--processes", "5", "--time-limit", "90s")[-3:] == (5, 90, None)


def test_default_rate_is_what_the_manual_says() -> None:
    assert Wei(10 * GWEI) == DEFENCE_RATE
