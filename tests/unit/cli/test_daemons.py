"""Every option of the programs that run for long, followed to where it decides something."""

import json
import socket
from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from structlog.testing import capture_logs

from oracle.chain.node import Chain
from oracle.challenger.patrol import Patrol
from oracle.challenger.patrol import Setup as PatrolSetup
from oracle.challenger.policy import Policy as Watching
from oracle.cli import challenger as challenger_module
from oracle.cli import daemon, session
from oracle.cli.challenger import SecondNode, challenger
from oracle.cli.daemon import ADVICE_SHARE, Daemon
from oracle.cli.session import Session
from oracle.cli.worker import worker
from oracle.config import Settings
from oracle.errors import ConfigError, NotItsSigner, WrongChain
from oracle.types import Address, ModelId, Wei
from oracle.worker.policy import Policy as Answering
from oracle.worker.service import Service
from tests import chains, courts
from tests.chains import ETHER, GWEI, World, address

ONE, TWO = "0x" + "01" * 32, "0x" + "02" * 32
ME = Address("0x" + "00" * 20)


@dataclass
class Run:
    """What a command made of its options, when it was about to run."""

    program: Service | Patrol
    daemon: Daemon
    executors: list[tuple[object, ...]]
    files: Any
    opened: list[tuple[Sequence[str], Path | None]]
    said: str = ""

    @property
    def setup(self) -> Any:
        return self.program._setup


@dataclass
class Stage:
    """Runs commands on the embedded chain, up to the first round."""

    world: World
    home: Path
    monkeypatch: pytest.MonkeyPatch
    urls: list[str] = field(default_factory=list)

    def run(self, command: click.Command, *options: str) -> Run:
        runs: list[Run] = []
        executors: list[tuple[object, ...]] = []
        opened: list[tuple[Sequence[str], Path | None]] = []

        class Executor:
            def __init__(self, *limits: object):
                executors.append(limits)

            def close(self) -> None: ...

        def open_session(rpc: Sequence[str], folder: Path | None) -> Session:
            opened.append((rpc, folder))
            return Session(Settings(home=self.home), self.world.chain, self.world.deployment)

        def run(its: Daemon, program: Service | Patrol, *_: Chain) -> None:
            inference: Any = program._setup.inference
            runs.append(Run(program, its, executors, inference._files, opened))

        self.monkeypatch.setattr(daemon, "Executor", Executor)
        self.monkeypatch.setattr(session, "open_session", open_session)
        self.monkeypatch.setattr(Daemon, "run", run)
        result = CliRunner().invoke(command, options, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        [found] = runs
        found.said = result.stderr
        return found

    def connect(self, url: str) -> Any:
        self.urls.append(url)
        return another(self.world.chain, name=url)


def another(chain: Chain, **changes: Any) -> Chain:
    """The same chain by another endpoint."""
    found = copy(chain)
    vars(found).update(changes)
    return found


@pytest.fixture(scope="module")
def court() -> Iterator[World]:
    with chains.embedded(courts.parameters()) as world:
        yield world


@pytest.fixture
def stage(court: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    found = Stage(court, tmp_path, monkeypatch)
    monkeypatch.setattr(challenger_module, "connect", found.connect)
    yield found


@pytest.fixture
def signs(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Whose key was asked for; it is the test operator's."""
    from oracle.cli import worker as worker_module
    from tests.chains import PEOPLE

    asked: list[object] = []

    def open_key(key: str | None, password_file: Path | None) -> object:
        asked.extend((key, password_file))
        return PEOPLE["operator"]

    monkeypatch.setattr(worker_module, "open_key", open_key)
    monkeypatch.setattr(challenger_module, "open_key", open_key)
    return asked


# The worker


def answering(stage: Stage, *options: str) -> Answering:
    policy = stage.run(worker, "--dry-run", ME, *options).setup.policy
    assert isinstance(policy, Answering)
    return policy


def test_worker_defaults(stage: Stage) -> None:
    assert answering(stage) == Answering(ME, max_window=7 * 86400, margin=20)


@pytest.mark.parametrize(
    ("options", "field_", "value"),
    [
        (["--model", ONE, "--model", TWO], "models", frozenset([b"\1" * 32, b"\2" * 32])),
        (["--vanilla"], "answers_vanilla", True),
        (["--max-bond", "0.5ether"], "max_bond", ETHER // 2),
        (["--max-window", "2h"], "max_window", 7200),
        (["--margin", "-5"], "margin", -5),
    ],
)
def test_worker_follows_its_options_into_the_policy(
    stage: Stage, options: list[str], field_: str, value: object
) -> None:
    assert getattr(answering(stage, *options), field_) == value


def test_worker_signs_with_the_key_that_is_named(stage: Stage, signs: list[object]) -> None:
    run = stage.run(worker, "--key", "mine", "--password-file", "secret")

    assert signs == ["mine", Path("secret")]
    assert run.setup.policy.operator == run.setup.sender.signer.address == address("operator")
    assert stage.run(worker, "--dry-run", ME).setup.sender is None


@pytest.mark.usefixtures("signs")
def test_worker_signs_for_an_operator_that_has_named_its_key(stage: Stage) -> None:
    """By a state of its own, beside that of a worker with the operator's key."""
    cold, hot = address("rival"), address("operator")
    with chains.undone(stage.world.chain):
        stage.world.send("rival", stage.world.queue.set_signer(hot, Wei(5)))
        run = stage.run(worker, "--key", "hot", "--operator", cold)

    assert run.setup.policy.operator == cold
    assert run.setup.sender.signer.address == hot
    assert f"-{cold[2:10].lower()}-by-{hot[2:10].lower()}.db" in str(run.setup.store._engine.url)


@pytest.mark.usefixtures("signs")
def test_worker_does_not_start_with_a_key_that_was_not_named(stage: Stage) -> None:
    with pytest.raises(NotItsSigner):
        stage.run(worker, "--key", "hot", "--operator", address("rival"))


def test_worker_asks_for_a_second_opinion_in_processes_of_its_own(stage: Stage) -> None:
    run = stage.run(worker, "--dry-run", ME, "--time-limit", "90", "--processes", "3")

    exact, advice = sorted(run.executors, key=lambda limits: -limits[1])  # type: ignore[operator]
    assert exact[:2] == (3, 90) and advice[:2] == (3, 90 / ADVICE_SHARE)


def test_a_worker_says_what_it_does_at_its_start_and_its_end(stage: Stage) -> None:
    """Each takes seconds, on a new machine more."""
    said = stage.run(worker, "--dry-run", ME, "--json-logs").said

    events = [json.loads(line)["event"] for line in said.splitlines()]
    assert [event.split(",")[0] for event in events] == [
        "nothing is staked",
        "starting processes for inference",
        "measuring what traces take on this machine",
        "measured",
        "worker is up",
        "stopping: ending processes",
        "stopped; what is open goes on with the next start",
    ]


@pytest.mark.enable_socket
@pytest.mark.parametrize(
    ("command", "dry"),
    [(worker, ("--dry-run", ME)), (challenger, ("--dry-run",))],
    ids=["worker", "challenger"],
)
def test_a_program_is_watched_where_its_metrics_are_shown(
    stage: Stage, command: click.Command, dry: Sequence[str]
) -> None:
    shown = stage.run(command, *dry, "--metrics", "0")
    hidden = stage.run(command, *dry)

    assert "showing metrics and health" in shown.said
    assert shown.setup.watch.program == command.name
    assert hidden.setup.watch is None


@pytest.mark.enable_socket
def test_a_program_does_not_start_where_the_place_of_its_metrics_is_taken(stage: Stage) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        with pytest.raises(ConfigError, match=f"port {port}"):
            stage.run(worker, "--dry-run", ME, "--metrics", port)


# The challenger


def watching(stage: Stage, *options: str) -> Watching:
    policy = stage.run(challenger, "--dry-run", *options).setup.policy
    assert isinstance(policy, Watching)
    return policy


def test_challenger_defaults(stage: Stage) -> None:
    assert watching(stage) == Watching(ME)


@pytest.mark.parametrize(
    ("options", "field_", "value"),
    [
        (["--model", ONE], "models", frozenset([ModelId(b"\1" * 32)])),
        (["--max-spend", "0.5ether"], "max_spend", ETHER // 2),
        (["--even-at-a-loss"], "even_at_a_loss", True),
        (
            ["--refund-to", address("requester"), "--refund-to", address("rival")],
            "refund_to",
            frozenset([address("requester"), address("rival")]),
        ),
    ],
)
def test_challenger_follows_its_options_into_the_policy(
    stage: Stage, options: list[str], field_: str, value: object
) -> None:
    assert getattr(watching(stage, *options), field_) == value


def test_challenger_signs_with_the_key_that_is_named(stage: Stage, signs: list[object]) -> None:
    run = stage.run(challenger, "--key", "mine", "--password-file", "secret")

    assert signs == ["mine", Path("secret")]
    assert run.setup.policy.challenger == run.setup.sender.signer.address == address("operator")
    assert run.setup.sender.relay is stage.world.chain


@pytest.mark.usefixtures("signs")
def test_challenger_asks_a_second_node_and_sends_to_a_relay(stage: Stage) -> None:
    options = ("--check-rpc", "http://second", "--submit-rpc", "http://relay")
    setup: PatrolSetup = stage.run(challenger, *options).setup

    assert stage.urls == ["http://second", "http://relay"]
    assert isinstance(setup.second_view, SecondNode)
    assert setup.sender is not None and setup.sender.relay.name == "http://relay"
    assert setup.chain is setup.sender.chain is stage.world.chain


@pytest.mark.usefixtures("signs")
@pytest.mark.parametrize("option", ["--check-rpc", "--submit-rpc"])
def test_challenger_refuses_an_endpoint_of_another_chain(stage: Stage, option: str) -> None:
    other = another(stage.world.chain, id=7, name="it")
    stage.monkeypatch.setattr(challenger_module, "connect", {"http://other": other}.get)
    with pytest.raises(WrongChain, match="it is chain 7, not"):
        stage.run(challenger, option, "http://other")


def test_challenger_gets_twice_the_time_of_its_limit_next(stage: Stage) -> None:
    assert stage.run(challenger, "--dry-run", "--time-limit", "5m").setup.time_limit == 300


# Both


COMMANDS = [(worker, ["--dry-run", ME]), (challenger, ["--dry-run"])]


@pytest.mark.parametrize(("command", "dry"), COMMANDS)
def test_a_daemon_follows_its_options(
    stage: Stage, command: click.Command, dry: list[str], tmp_path: Path
) -> None:
    state = tmp_path / "its.db"
    run = stage.run(
        command,
        *dry,
        *("--state", f"sqlite:///{state}", "--confirmations", "7", "--poll", "0.25"),
        *("--finality", "9"),
        *("--time-limit", "9m", "--memory-limit", "123", "--processes", "5"),
        *("--allow-local-files", "--cache-bytes", "3GiB", "--once", "--json-logs"),
        *("--rpc", "http://node", "--rpc", "ws://other", "--deployments", "there"),
    )

    assert state.exists()
    assert run.opened == [(("http://node", "ws://other"), Path("there"))]
    assert run.setup.view.confirmations == 7
    assert run.setup.view._finality._depth == 9
    assert (run.daemon.poll, run.daemon.once, run.daemon.json_logs) == (0.25, True, True)
    assert (5, 540, 123 << 20) in run.executors
    assert run.setup.parallel == 5
    assert run.files._sources._allow_local
    assert run.files._cache._limits.total == 3 << 30


@pytest.mark.usefixtures("signs")
@pytest.mark.parametrize("command", [worker, challenger])
def test_a_daemon_caps_its_fees(stage: Stage, command: click.Command) -> None:
    assert stage.run(command, "--max-fee-per-gas", "50gwei").setup.sender.max_fee == 50 * GWEI
    assert stage.run(command).setup.sender.max_fee is None


@pytest.mark.parametrize(("command", "dry"), COMMANDS)
def test_a_daemon_knows_how_many_demands_have_time(
    stage: Stage, command: click.Command, dry: list[str]
) -> None:
    inference = stage.run(command, *dry).setup.inference

    assert inference._runs._rounds == stage.world.disputes.periods().rounds


def test_no_option_is_without_a_test() -> None:
    """An option that nobody follows is one that does nothing."""
    text = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    for command in (worker, challenger):
        names = [name for each in command.params for name in each.opts if name.startswith("--")]
        assert [name for name in names if f'"{name}"' not in text] == []


def test_an_account_without_coins_is_named_at_the_start(embedded: World) -> None:
    with capture_logs() as logs:
        daemon.warn_without_coins(embedded.chain, address("dead"))
        daemon.warn_without_coins(embedded.chain, address("operator"))

    assert [(each["log_level"], each["account"]) for each in logs] == [("warning", address("dead"))]
