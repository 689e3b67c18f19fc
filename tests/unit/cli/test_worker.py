"""Every option of `exactum worker` reaches what decides. Nothing is connected to."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from oracle.cli import session as sessions
from oracle.cli import worker as command
from oracle.cli.daemon import Daemon
from oracle.types import Account, ModelId, Wei
from oracle.worker.policy import DEFENCE_RATE, Policy
from oracle.worker.service import Setup
from tests.chains import ETHER, GWEI, PEOPLE, address

ME = address("operator")
MODEL = ModelId(b"\x01" * 32)


@dataclass
class Stage:
    """What a service would have been made of, of things that nothing is asked of."""

    session: Any
    store: object
    answers: object
    setups: list[Setup]

    def run(self, *options: str) -> Setup:
        result = CliRunner().invoke(command.worker, ["--dry-run", ME, *options])
        assert result.exit_code == 0, result.output
        return self.setups.pop()

    def policy(self, *options: str) -> Policy:
        return self.run(*options).policy


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    session = SimpleNamespace(
        chain=SimpleNamespace(id=1, log_span=1),
        deployment=SimpleNamespace(queue="0x", watched=(), first_block=0),
        queue=SimpleNamespace(account_of=lambda _: Account(Wei(1), Wei(0), 0)),
        disputes=None,
        view=lambda confirmations, _: SimpleNamespace(confirmations=confirmations),
    )
    found = Stage(session, object(), object(), [])

    @contextmanager
    def opened(*_: object, **__: Any) -> Iterator[SimpleNamespace]:
        yield SimpleNamespace(store=found.store, answers=found.answers)

    monkeypatch.setattr(sessions, "open_session", lambda *_: session)
    monkeypatch.setattr(Daemon, "open", opened)
    monkeypatch.setattr(Daemon, "run", lambda *_: None)
    monkeypatch.setattr(command, "Service", found.setups.append)
    return found


def test_worker_has_the_policy_of_its_manual_when_no_option_is_given(stage: Stage) -> None:
    assert stage.policy() == Policy(ME, max_window=7 * 86400)


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
    stage: Stage, options: tuple[str, ...], field: str, value: object
) -> None:
    assert getattr(stage.policy(*options), field) == value


def test_worker_puts_each_thing_in_its_place(stage: Stage) -> None:
    setup = stage.run("--processes", "5", "--time-limit", "90s", "--confirmations", "7")

    assert (setup.store, setup.inference) == (stage.store, stage.answers)
    assert (setup.chain, setup.queue) == (stage.session.chain, stage.session.queue)
    assert (setup.parallel, setup.time_limit, setup.view.confirmations) == (5, 90, 7)
    assert setup.sender is None


def test_default_rate_is_what_the_manual_says() -> None:
    assert Wei(10 * GWEI) == DEFENCE_RATE


@pytest.mark.usefixtures("stage")
@pytest.mark.parametrize("other", [["--dry-run", ME], ["--vanilla"]])
def test_worker_takes_no_operator_with_an_option_that_it_contradicts(
    monkeypatch: pytest.MonkeyPatch, other: list[str]
) -> None:
    monkeypatch.setattr(command, "open_key", lambda *_: PEOPLE["second"])

    result = CliRunner().invoke(command.worker, ["--operator", ME, *other])

    assert result.exit_code == 2 and other[0] in result.output
