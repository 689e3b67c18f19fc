"""`exactum serve` and `exactum infer` as people use them: processes, on one anvil."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from oracle import samples
from oracle.chain import devnet
from tests import chains
from tests.e2e.desk import Desk

FEE = ("--fee", "0.001ether")


@dataclass(frozen=True)
class Running:
    url: str
    process: subprocess.Popen[bytes]
    log: Path

    def lines(self, event: str) -> list[dict[str, object]]:
        found = [json.loads(line) for line in self.log.read_text().splitlines()]
        return [line for line in found if line["event"] == event]

    def connect(self) -> socket.socket:
        where = urlsplit(self.url)
        assert where.hostname is not None
        return socket.create_connection((where.hostname, where.port or 0), timeout=30)


@contextmanager
def serving(desk: Desk, *options: str) -> Iterator[Running]:
    """From when the first model is signed for."""
    log = desk.home / "serve.log"
    command = [sys.executable, "-m", "oracle.cli", "serve", "--key", "operator", "--port", "0"]
    with log.open("wb") as file:
        process = subprocess.Popen(
            [*command, "--poll", "0.1", "--json-logs", *options],
            env=desk.environment,
            stderr=file,
        )
    running = Running("", process, log)
    try:
        for _ in range(6000):
            if running.lines("signing for a model") or process.poll() is not None:
                break
            time.sleep(0.1)
        [line] = running.lines("serving signed answers")
        yield Running(str(line["url"]), process, log)
    finally:
        process.terminate()
        assert process.wait(900) == 0, log.read_text()


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """Contracts deployed, a model published and in the cache, an operator staked."""
    chains.require_anvil()
    with devnet.anvil() as url:
        desk = Desk(tmp_path_factory.mktemp("desk"), url)
        for name in ("publisher", "operator", "requester"):
            desk.fund(name)
        times = ("--min-window", "2s", "--withdrawal-delay", "1s")
        desk.run("deploy", "--key", "publisher", *times)
        desk.run("operator", "stake", "1ether", "--key", "operator")
        yield desk


@pytest.fixture(scope="module")
def model(desk: Desk) -> str:
    (desk.home / "model.onnx").write_bytes(samples.breast_cancer().onnx)
    names = ("--name", "cancer", "--version", "1", "--key", "publisher")
    return str(desk.json("model", "publish", str(desk.home / "model.onnx"), *names)["model_id"])


@pytest.fixture(scope="module")
def server(desk: Desk, model: str) -> Iterator[Running]:
    assert model
    with serving(desk) as found:
        yield found


def row(index: int = 0) -> str:
    return json.dumps(samples.breast_cancer().rows[index].tolist())


def test_an_answer_is_printed_with_what_posts_it(desk: Desk, model: str, server: Running) -> None:
    consumer = "0x" + "0c" * 20
    found = desk.json("infer", model, row(), "--via", server.url, "--consumer", consumer)

    assert found["request"]["consumer"].lower() == consumer and found["is_insured"] is True
    assert found["calldata"].startswith("0x") and int(found["value"]) > 0
    shown = desk.run("infer", model, row(), "--via", server.url, "--consumer", consumer).stdout
    assert "calldata" in shown and found["operator"] in shown


def test_an_answer_is_posted_and_becomes_final(desk: Desk, model: str, server: Running) -> None:
    """The server goes on as a worker: it settles what was posted."""
    key = ("--key", "requester", "--post", *FEE)
    found = desk.json("infer", model, row(1), "--via", server.url, *key)

    result = desk.json("result", found["request_id"], "--wait")

    assert result["status"] == "settled" and result["output"] == found["output"]
    assert result["operator"] == found["operator"]


def test_requests_of_the_chain_are_answered_too(desk: Desk, model: str, server: Running) -> None:
    assert server.process.poll() is None
    asked = desk.json("request", model, "--input", row(), "--key", "requester")

    assert desk.json("result", asked["request_id"], "--wait")["status"] == "settled"


def test_what_is_wrong_is_one_sentence(desk: Desk, model: str, server: Running) -> None:
    to = ("--consumer", "0x" + "0c" * 20)
    for words, why in [
        ((model, "[1]", "--via", server.url, *to), "elements"),
        ((model, row(), "--via", server.url, *to, "--fee", "1wei"), "409: We do not answer"),
        ((model, row(), "--via", server.url, *to, "--timeout", "1h"), "409: The deadline must be"),
        ((model, row(), "--via", "http://127.0.0.1:9", *to), "does not answer"),
        ((model, row(), "--via", "ftp://nowhere", *to), "does not answer"),
        ((model, row(), "--via", server.url, "--post", "--key", "requester"), "by --fee"),
        (("0x" + "00" * 32, row(), "--via", server.url, *to), "no model"),
    ]:
        done = desk.run("infer", *words, code=1)
        assert why in done.stderr and "Traceback" not in done.stderr and not done.stdout


def test_a_port_that_is_taken_is_one_sentence(desk: Desk, server: Running) -> None:
    port = str(urlsplit(server.url).port)
    state = ("--state", f"sqlite:///{desk.home}/other.db")

    done = desk.run("serve", "--key", "operator", "--port", port, *state, code=1)

    assert f"Nothing can be served at 127.0.0.1, port {port}" in done.stderr


def test_a_signal_lets_it_answer_what_was_asked(desk: Desk, model: str) -> None:
    """Whoever is about to ask is told to come again, and the process ends by itself."""
    assert model
    body = json.dumps({"model": model, "input": json.loads(row()), "consumer": "0x" + "0c" * 20})
    head = f"POST /v1/infer HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n"
    state = ("--state", f"sqlite:///{desk.home}/draining.db")
    with serving(desk, *state) as server, server.connect() as early:
        early.sendall((head + "content-type: application/json\r\n\r\n").encode())
        time.sleep(0.5)
        os.kill(server.process.pid, signal.SIGTERM)
        while not server.lines("stopping: answering what was asked, and nothing new"):
            time.sleep(0.05)
        early.sendall(body.encode())
        # The head and the body of an answer may come one after the other.
        answer = b"".join(iter(lambda: early.recv(1 << 16), b""))
        assert server.process.wait(60) == 0

    assert answer.startswith(b"HTTP/1.1 503") and b"We are stopping" in answer
