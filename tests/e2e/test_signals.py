"""A signal while the node hangs: the programs end, and go on with the next start."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from oracle import samples
from oracle.chain import devnet
from tests import chains, nodes
from tests.e2e.desk import Desk
from tests.nodes import Fault, Proxy

SOON = 20  # seconds: a node that hangs would be waited for longer than that


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """Contracts deployed, a model published, an operator staked; all by the command line."""
    chains.require_anvil()
    with devnet.anvil() as url:
        desk = Desk(tmp_path_factory.mktemp("desk"), url)
        for name in ("operator", "watcher"):
            desk.fund(name)
        desk.run("deploy", "--key", "operator", "--preset", "devnet")
        file = desk.home / "model.onnx"
        file.write_bytes(samples.breast_cancer().onnx)
        names = ("--name", "cancer", "--version", "1", "--key", "operator")
        published = desk.json("model", "publish", str(file), *names)["model_id"]
        (desk.home / "model").write_text(published)
        desk.run("operator", "stake", "1ether", "--key", "operator")
        yield desk


@pytest.fixture
def proxy(desk: Desk) -> Iterator[Proxy]:
    with nodes.proxy(desk.url) as found:
        yield found


@contextmanager
def running(desk: Desk, proxy: Proxy, *command: str) -> Iterator[subprocess.Popen[bytes]]:
    """A program that has worked a few rounds, and now waits for a node that hangs."""
    log = desk.home / "log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "oracle.cli", *command, "--poll", "0.1", "--json-logs"],
            env=desk.environment | {"EXACTUM_RPC": proxy.url},
            stderr=file,
        )
    try:
        wait(lambda: "is up" in log.read_text() or "serving" in log.read_text(), process)
        proxy.asked.clear()
        wait(lambda: "eth_getBlockByNumber" in proxy.asked, process)
        proxy.fail(Fault.HANG)
        before = proxy.requests
        wait(lambda: proxy.requests > before, process)
        yield process
    finally:
        process.kill()
        process.wait()


def wait(until: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    while not until():
        assert process.poll() is None, "it ended"
        time.sleep(0.05)


def ask(desk: Desk) -> str:
    row = json.dumps(samples.breast_cancer().rows[0].tolist())
    model = (desk.home / "model").read_text()
    return desk.json("request", model, "--input", row, "--key", "watcher")["request_id"]


@pytest.mark.parametrize(
    "command",
    [
        ("worker", "--key", "operator"),
        ("serve", "--key", "operator", "--port", "0"),
        ("challenger", "--key", "watcher"),
    ],
    ids=lambda command: command[0],
)
def test_a_program_ends_on_a_signal_while_its_node_hangs(
    desk: Desk, proxy: Proxy, command: tuple[str, ...]
) -> None:
    with running(desk, proxy, *command) as process:
        process.send_signal(signal.SIGTERM)

        assert process.wait(SOON) == 0
    assert "Traceback" not in (desk.home / "log").read_text()


def test_what_was_begun_when_a_signal_came_is_done_by_the_next_start(
    desk: Desk, proxy: Proxy
) -> None:
    with running(desk, proxy, "worker", "--key", "operator") as process:
        request = ask(desk)  # while the node hangs
        process.send_signal(signal.SIGTERM)
        assert process.wait(SOON) == 0

    desk.run("worker", "--key", "operator", "--once")

    said = json.loads(desk.call("result", request, "--json").stdout)
    assert said["status"] in ("proposed", "settled")
