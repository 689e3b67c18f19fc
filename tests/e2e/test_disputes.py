"""Disputes as people fight them: each program a process, on one anvil, with real models."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from oracle import samples
from oracle.chain import devnet
from oracle.chain import keys as signer
from oracle.chain.codec import dispute_key
from oracle.chain.connection import connect
from oracle.chain.contracts import Disputes, Queue, Subject
from oracle.chain.deployment import Deployment, read_deployment
from oracle.chain.events import Event, OperatorSlashed, PartDemanded, PartRevealed, RequestSettled
from oracle.chain.history import History
from oracle.chain.node import Chain
from oracle.chain.transactions import transact
from oracle.chain.watcher import Watcher
from oracle.errors import ChainError
from oracle.exact.lowering.graph import lower
from oracle.exact.proofs.evidence import descriptors
from oracle.types import VALUE_TREE, Address, Part, RequestId, Wei
from tests import chains
from tests.e2e.desk import PASSWORD, Desk
from tests.e2e.test_cli import ask

ETHER = 10**18
ROOT = Path(__file__).parents[2]
PEOPLE = (
    *("publisher", "operator", "honest", "requester", "challenger"),
    *("griefer1", "griefer2", "griefer3"),
)
# Seconds of the chain, whose clock is moved: so long that a busy machine misses none of them.
WINDOW, REVEAL, REACTION = 7200, 3600, 1800
TIMES = (
    *("--preset", "devnet", "--withdrawal-delay", "1s", "--extension-limit", "4h"),
    *("--reveal-period", f"{REVEAL}s", "--reaction-period", f"{REACTION}s"),
)
LOGGED = ("--poll", "0.2", "--json-logs")
Running = AbstractContextManager["subprocess.Popen[bytes]"]
PATIENCE = 1200.0  # seconds of ours, for what another process does


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    chains.require_anvil()
    with devnet.anvil() as url:
        desk = Desk(tmp_path, url)
        for name in PEOPLE:
            desk.fund(name)
        desk.run("deploy", "--key", "publisher", *TIMES)
        (desk.home / "model.onnx").write_bytes(samples.breast_cancer().onnx)
        for name in ("operator", "honest"):
            desk.run("operator", "stake", "1ether", "--key", name)
        yield desk


@pytest.fixture
def model(desk: Desk) -> str:
    names = ("--name", "cancer", "--version", "1", "--key", "publisher")
    return desk.json("model", "publish", str(desk.home / "model.onnx"), *names)["model_id"]


@contextmanager
def running(desk: Desk, name: str, *command: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A program in a process of its own, whose log is in the desk's folder."""
    with (desk.home / f"{name}.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, *command],
            env=desk.environment | {"PYTHONPATH": str(ROOT)},
            stderr=log,
        )
        try:
            yield process
        finally:
            process.terminate()
            process.wait(900)


def liar(desk: Desk, **lie: Any) -> Running:
    script = str(Path(__file__).with_name("lying_worker.py"))
    return running(desk, "liar", script, json.dumps(lie), "operator")


def worker(desk: Desk, key: str) -> Running:
    return running(desk, key, "-m", "oracle.cli", "worker", "--key", key, *LOGGED)


def challenger(desk: Desk, *options: str) -> Running:
    command = ("-m", "oracle.cli", "challenger", "--key", "challenger", *LOGGED, *options)
    return running(desk, "challenger", *command)


class Court:
    """What the chain says."""

    def __init__(self, desk: Desk):
        self.chain: Chain = connect(desk.url)
        path = desk.home / "deployments" / f"{self.chain.id}.json"
        self.deployment: Deployment = read_deployment(path)
        self.queue = Queue(self.chain, self.deployment)
        self.disputes = Disputes(self.chain, self.deployment)

    def all(self, kind: type[Event]) -> list:
        watcher = Watcher(self.chain, self.deployment, 0)
        head = self.chain.block("latest").number
        found = watcher.events(self.deployment.first_block, head)
        return [event for event in found if isinstance(event, kind)]

    def until(self, is_so: Callable[[], object], desk: Desk, skip: int = 0) -> None:
        """Blocks come every second, as on a real chain: time goes by though nobody sends, `skip`
        seconds faster a block."""
        deadline = time.monotonic() + PATIENCE
        while not is_so():
            logs = [path.read_text()[-3000:] for path in desk.home.glob("*.log")]
            assert time.monotonic() < deadline, "\n".join(logs)
            time.sleep(0.5)
            devnet.skip_time(self.chain, skip)


def address(desk: Desk, name: str) -> Address:
    return desk.json("keys", "list")[name]


@pytest.mark.parametrize(
    "lie",
    [
        pytest.param({"node": None, "element": 1}, id="output"),
        pytest.param({"node": 2, "element": 0}, id="trace"),
    ],
)
def test_a_lying_operator_is_slashed(desk: Desk, model: str, lie: dict) -> None:
    court = Court(desk)
    with liar(desk, **lie), challenger(desk, "--check-rpc", desk.url, "--even-at-a-loss"):
        request = ask(desk, model, "--bond", "0.5ether", "--window", f"{WINDOW}s")
        court.until(lambda: court.all(OperatorSlashed), desk)
        balance = court.chain.balance
        court.until(lambda: balance(court.deployment.disputes) == 0, desk)
        court.until(lambda: court.queue.credit_of(address(desk, "challenger")) == 0, desk)

    [slashed] = court.all(OperatorSlashed)
    assert slashed.challenger == address(desk, "challenger")
    shown = desk.json("dispute", "show", request)
    assert shown["state"] == "convicted" and shown["differences"]
    assert shown["verdict"]["claimed"] != shown["verdict"]["expected"]
    assert court.chain.balance(address(desk, "challenger")) > 10 * ETHER


def test_a_silent_operator_is_slashed(desk: Desk, model: str) -> None:
    court = Court(desk)
    silent = {"node": 2, "element": 0, "silent": True}
    with liar(desk, **silent), challenger(desk, "--even-at-a-loss"):
        ask(desk, model, "--bond", "0.5ether", "--window", f"{WINDOW}s")
        court.until(lambda: court.all(PartDemanded), desk)
        devnet.skip_time(court.chain, REVEAL + 1)
        court.until(lambda: court.all(OperatorSlashed), desk)

    [slashed] = court.all(OperatorSlashed)
    assert slashed.challenger == address(desk, "challenger")


def test_of_two_operators_the_liar_is_slashed_and_the_honest_paid(desk: Desk, model: str) -> None:
    court = Court(desk)
    honest = address(desk, "honest")
    with ExitStack() as stack:
        for each in (liar(desk, node=2, element=0), worker(desk, "honest")):
            stack.enter_context(each)
        stack.enter_context(challenger(desk, "--even-at-a-loss"))
        options = ("--bond", "0.5ether", "--window", f"{WINDOW}s")
        ask(desk, model, *options, "--operator", address(desk, "operator"))
        paid = ask(desk, model, *options, "--operator", honest)
        court.until(lambda: court.all(OperatorSlashed), desk)
        court.until(lambda: court.queue.account_of(honest).locked, desk)
        devnet.skip_time(court.chain, WINDOW + REACTION)
        court.until(lambda: court.all(RequestSettled), desk)

    [slashed] = court.all(OperatorSlashed)
    assert slashed.operator == address(desk, "operator")
    [settled] = court.all(RequestSettled)
    assert (settled.operator, "0x" + settled.request_id.hex()) == (honest, paid)


def test_an_honest_operator_under_attack_is_not_out_of_pocket(desk: Desk, model: str) -> None:
    """Three demand what they can; the worker is killed on the way; it answers all and is paid."""
    court = Court(desk)
    honest = address(desk, "honest")
    with worker(desk, "honest") as first:
        request = ask(desk, model, "--bond", "0.5ether", "--window", f"{WINDOW}s")
        history = History(court.chain, court.deployment)
        request_id = RequestId(bytes.fromhex(request[2:]))
        court.until(lambda: history.request(request_id).proposed, desk)
        before = court.chain.balance(honest)
        demanded = attack(desk, court, request_id)
        first.send_signal(signal.SIGKILL)
        first.wait()
    with worker(desk, "honest"):
        court.until(lambda: len(court.all(PartRevealed)) == demanded, desk)
        devnet.skip_time(court.chain, WINDOW + REACTION)
        court.until(lambda: court.all(RequestSettled), desk)
        balance = court.chain.balance
        court.until(lambda: balance(court.deployment.disputes) == 0, desk)

    assert court.all(OperatorSlashed) == []
    earned = court.queue.account_of(honest).staked - ETHER
    assert court.chain.balance(honest) + earned > before


def test_a_lying_challenger_gains_nothing(desk: Desk, model: str) -> None:
    """It demands all that leads to its own lie; the honest operator is paid for the answers."""
    court = Court(desk)
    honest, accuser = address(desk, "honest"), address(desk, "challenger")
    script = str(Path(__file__).with_name("lying_challenger.py"))
    lie = json.dumps({"node": 2, "element": 0})
    had = court.chain.balance(accuser)
    with worker(desk, "honest"):
        ask(desk, model, "--bond", "0.5ether", "--window", f"{WINDOW}s")
        court.until(lambda: court.queue.account_of(honest).locked, desk)
        before = court.chain.balance(honest)
        with running(desk, "accuser", script, lie, "challenger"):
            # The roots first; in them its own trace and the operator's part, and it asks for more.
            # The second pass over a trace begins a third of the period after the first.
            court.until(lambda: len(court.all(PartRevealed)) == 2, desk, skip=REVEAL // 180)
            time.sleep(5)
        devnet.skip_time(court.chain, WINDOW + REACTION)
        court.until(lambda: court.all(RequestSettled), desk)
        court.until(lambda: court.chain.balance(court.deployment.disputes) == 0, desk)

    assert court.all(OperatorSlashed) == []
    earned = court.queue.account_of(honest).staked - ETHER
    assert court.chain.balance(honest) + earned > before
    assert court.chain.balance(accuser) < had


def attack(desk: Desk, court: Court, request_id: RequestId) -> int:
    """Every griefer demands other parts of the trace; returns how many."""
    found = History(court.chain, court.deployment).request(request_id)
    proposal = found.proposed
    assert proposal is not None
    model = History(court.chain, court.deployment).model(found.created.request.model)
    program = lower(samples.breast_cancer().onnx)
    count = len(program.nodes)
    parts = [
        Part(VALUE_TREE, 0, 0, count),
        *(Part(value, 0, 0, 1) for value in range(count)),
        *(Part(value, 255, 0, 1) for value in range(count)),
    ]
    for place, part in enumerate(parts):
        name = f"griefer{place % 3 + 1}"
        griefer = signer.open_keystore(desk.home / "keys" / f"{name}.json", PASSWORD)
        current = History(court.chain, court.deployment).request(request_id).proposed
        assert current is not None
        subject = Subject(found.created.request, current.proposal, current.output)
        node = None if part.value == VALUE_TREE else part.value
        price = court.disputes.price_of(part, count, 1)
        call = court.disputes.demand(
            subject,
            part,
            model.published.preimage,
            descriptors(program, node),
            Wei(price * 3 // 2),
        )
        try:
            transact(court.chain, griefer, call)
        except ChainError:
            # The worker answered meanwhile, and with that moved the window.
            time.sleep(0.5)
            parts.append(part)
    assert dispute_key(request_id, proposal.proposal, proposal.output)
    return len(court.all(PartDemanded))


def test_challenger_once_exits_with_three_while_a_liar_is_at_large(desk: Desk, model: str) -> None:
    court = Court(desk)
    once = ("challenger", "--once", "--key", "challenger", "--even-at-a-loss", "--json-logs")
    with liar(desk, node=None, element=0):
        ask(desk, model, "--bond", "0.5ether", "--window", f"{WINDOW}s")
        court.until(lambda: court.queue.account_of(address(desk, "operator")).locked, desk)

        assert "a result is wrong" in run(desk, "challenger", "--dry-run", "--once", code=3)
        codes = [process(desk, *once).returncode]
        while codes[-1] == 3 and len(codes) < 20:
            court.chain.rpc("evm_mine", [])
            codes.append(process(desk, *once).returncode)

    assert (codes[0], codes[-1]) == (3, 0)
    assert len(court.all(OperatorSlashed)) == 1


def run(desk: Desk, *command: str, code: int) -> str:
    done = process(desk, *command)
    assert done.returncode == code, done.stderr
    return done.stderr


def process(desk: Desk, *command: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "oracle.cli", *command],
        env=desk.environment,
        capture_output=True,
        text=True,
        timeout=1800,
    )


@pytest.mark.parametrize("late", range(2))
def test_a_challenger_killed_at_every_step_convicts_all_the_same(
    desk: Desk, model: str, late: int
) -> None:
    """By SIGKILL, as soon as its log says something, or a while after: a life for each step."""
    court = Court(desk)
    log = desk.home / "challenger.log"
    stop = threading.Event()

    def kill_and_restart() -> None:
        lives = 0
        while not stop.is_set():
            lives += 1
            said = len(_steps(log))
            with challenger(desk, "--even-at-a-loss") as found:
                # A longer life now and then, should what it did not have been stored yet.
                while len(_steps(log)) < said + 1 + lives // 6 and not stop.wait(0.02):
                    pass
                stop.wait(0.3 * late)
                found.kill()
                found.wait()

    with liar(desk, node=2, element=0):
        ask(desk, model, "--bond", "0.5ether", "--window", f"{WINDOW}s")
        thread = threading.Thread(target=kill_and_restart)
        thread.start()
        try:
            court.until(lambda: court.all(OperatorSlashed), desk)
            balance = court.chain.balance
            court.until(lambda: balance(court.deployment.disputes) == 0, desk)
        finally:
            stop.set()
            thread.join()

    assert len(court.all(OperatorSlashed)) == 1
    parts = [event.demand.part for event in court.all(PartDemanded)]
    assert len(parts) == len(set(parts))


def _steps(log: Path) -> list[str]:
    """What a challenger said, but for that it is up."""
    lines = log.read_text().splitlines() if log.exists() else []
    return [line for line in lines if "is up" not in line and "one node alone" not in line]
