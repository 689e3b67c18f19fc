"""What is shown of a real program, over HTTP."""

import re
from threading import Event

import httpx2
import pytest
from fastapi.testclient import TestClient

from oracle.chain.nodes import Nodes
from oracle.errors import ModelUnavailable
from oracle.serve.monitor import create_monitor
from oracle.serve.server import Server, listen
from oracle.state.agenda import Tally
from oracle.state.lookout import ASK, LOOK
from tests.chains import BOND, FEE, ROYALTY, STAKE, WINDOW, World
from tests.integration.workers import Answers, Hire, Worker


def page(client: TestClient) -> dict[str, float]:
    """All samples by what stands before the value."""
    text = client.get("/metrics").text
    return {
        name.removeprefix("exactum_"): float(value)
        for name, value in re.findall(r"^(exactum\S*(?:\{.*\})?) (\S+)$", text, re.MULTILINE)
    }


def client_of(worker: Worker) -> TestClient:
    assert worker.watch is not None
    return TestClient(create_monitor(worker.watch))


def test_metrics_show_what_a_worker_does(embedded: World, hire: Hire) -> None:
    embedded.stake()
    embedded.ask(embedded.publish())
    worker = hire(embedded, watched=True)
    client = client_of(worker)

    worker.work()
    worker.wait(ASK)
    worker.tick()
    open_ = page(client)
    embedded.skip(WINDOW)
    worker.work()
    worker.wait(ASK)
    worker.tick()
    settled = page(client)

    assert open_['duties{kind="settle",state="open"}'] == 1
    assert (open_["stake_locked_wei"], open_["exposure_wei"]) == (BOND, BOND)
    assert open_["stake_free_wei"] == STAKE - BOND
    assert 'duties{kind="settle",state="open"}' not in settled
    assert (settled["stake_locked_wei"], settled["exposure_wei"]) == (0, 0)
    assert settled["stake_free_wei"] == STAKE + FEE - ROYALTY
    assert settled["gas_spent_wei_total"] > open_["gas_spent_wei_total"] > 0
    assert settled["read_block"] == settled["head_block"] == embedded.head()
    assert settled["healthy"] == 1
    assert settled['rounds_total{outcome="ok"}'] > open_['rounds_total{outcome="ok"}']


def test_metrics_show_every_node(anvil: World, hire: Hire) -> None:
    nodes = Nodes([anvil.chain.url, anvil.chain.url.replace("127.0.0.1", "localhost")])
    worker = hire(anvil, chain=nodes, watched=True)

    worker.tick()

    found = page(client_of(worker))
    up = {name: value for name, value in found.items() if name.startswith("node_up")}
    assert list(up.values()) == [1, 1]
    nodes.hang_up()


def test_health_is_503_with_reasons_while_it_is_not_well(embedded: World, hire: Hire) -> None:
    embedded.stake()
    embedded.ask(embedded.publish())
    worker = hire(embedded, watched=True, answers=Answers(failures=[ModelUnavailable("no")] * 9))
    client = client_of(worker)
    starting = client.get("/healthz")
    worker.tick()
    well = client.get("/healthz")
    embedded.skip(7200)
    worker.tick()
    missed = client.get("/healthz")

    assert (well.status_code, well.json()) == (200, {"status": "ok"})
    assert starting.status_code == missed.status_code == 503
    [reason] = missed.json()["reasons"]
    assert missed.json()["status"] == "failing" and reason.startswith("A duty was missed")


def test_reading_asks_no_node(embedded: World, hire: Hire, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = hire(embedded, watched=True)
    worker.tick()
    worker.store.close()

    def asked(*_: object) -> None:
        raise AssertionError("asked")

    monkeypatch.setattr(embedded.chain.web3.provider, "make_request", asked)

    assert client_of(worker).get("/metrics").status_code == 200
    assert client_of(worker).get("/healthz").json() == {"status": "ok"}


def test_rounds_that_follow_each_other_closely_look_once(
    embedded: World, hire: Hire, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is shown must cost a program little, however often it works."""
    worker = hire(embedded, watched=True)
    asked: list[float] = []
    tallies = worker.store.tallies

    def counted(time: float) -> list[Tally]:
        asked.append(time)
        return tallies(time)

    monkeypatch.setattr(worker.store, "tallies", counted)

    for _ in range(10):
        worker.service.tick()
    worker.wait(LOOK)
    worker.service.tick()

    assert len(asked) == 2


def test_a_server_shows_it_until_it_is_stopped(embedded: World, hire: Hire) -> None:
    worker = hire(embedded, watched=True)
    worker.tick()
    assert worker.watch is not None
    server, ended = Server(create_monitor(worker.watch), listen("127.0.0.1", 0), drain=1), Event()
    server.start(ended.set)

    url = f"{server.url}/healthz"
    shown = httpx2.get(url)
    server.stop()
    server.wait()

    assert shown.json() == {"status": "ok"} and ended.is_set()
    with pytest.raises(httpx2.ConnectError):
        httpx2.get(url)
