"""The server itself: connections that say nothing, or are many, and how it ends."""

import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from threading import Event
from urllib.parse import urlsplit

import httpx2
import pytest
from fastapi import FastAPI

from oracle.errors import ConfigError
from oracle.serve import server as servers
from oracle.serve.server import Server, listen

LONGEST = 30.0  # seconds that a busy machine may take


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(servers, "IDLE", 0.3)
    found = Server(app(), listen("127.0.0.1", 0), drain=5)
    ended = Event()
    found.start(ended.set)
    yield found
    found.stop()
    found.wait()
    assert ended.is_set()


def app() -> FastAPI:
    made = FastAPI()

    @made.get("/slow")
    def slow() -> str:
        time.sleep(1)
        return "done"

    @made.get("/long")
    def long() -> str:
        return "x" * (1 << 23)

    return made


def connect(server: Server) -> socket.socket:
    where = urlsplit(server.url)
    return socket.create_connection((where.hostname, where.port or 0), timeout=LONGEST)


def rest(connection: socket.socket) -> bytes:
    """Until it is closed from there."""
    return b"".join(iter(lambda: connection.recv(1 << 16), b""))


def wait_for_a_place(server: Server) -> None:
    """Until it has seen that others are closed."""
    for _ in range(100):
        try:
            assert httpx2.get(f"{server.url}/none").status_code == 404
            return
        except httpx2.TransportError:
            time.sleep(0.1)
    raise AssertionError("it takes none any more")


@pytest.mark.parametrize("said", [b"", b"GET / HTTP/1.1\r\nhost: x\r\n"], ids=["nothing", "half"])
def test_a_connection_without_a_request_is_closed(server: Server, said: bytes) -> None:
    with connect(server) as connection:
        connection.sendall(said)
        assert connection.recv(1) == b""


def test_a_connection_is_closed_that_begins_another_request_and_says_no_more(
    server: Server,
) -> None:
    with connect(server) as connection:
        connection.sendall(b"GET /none HTTP/1.1\r\nhost: x\r\n\r\n")
        assert connection.recv(1) == b"H"
        connection.sendall(b"GET /")
        assert rest(connection).startswith(b"TTP/1.1 404")


def test_a_request_may_take_longer_than_a_silence(server: Server) -> None:
    assert httpx2.get(f"{server.url}/slow", timeout=LONGEST).json() == "done"


def test_one_address_has_so_many_connections(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(servers, "PER_ADDRESS", 2)
    monkeypatch.setattr(servers, "IDLE", 10 * LONGEST)
    connections = [connect(server) for _ in range(3)]
    with suppress(ConnectionResetError):
        assert connections[2].recv(1) == b""
    for each in connections:
        each.close()

    wait_for_a_place(server)


def test_one_network_has_so_many_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    """An IPv6 address stands for all those of its network."""
    monkeypatch.setattr(servers, "PER_ADDRESS", 2)
    connections = servers.Connections(most=100)

    taken = [connections.take(f"2001:db8::{number}") for number in range(3)]
    assert taken == [True, True, False]
    connections.give_back("2001:db8::1")
    connections.give_back("2001:db8::2")
    assert connections.take("2001:db8::3") is True
    assert connections.take("2001:db8::4") is False
    assert connections.take("2001:db8:0:1::1") is True


def test_there_are_never_so_many_connections_that_a_worker_has_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However many addresses they come from: a node is asked by a socket too."""
    monkeypatch.setattr(servers, "MOST_CONNECTIONS", 2)
    monkeypatch.setattr(servers, "IDLE", 10 * LONGEST)
    other = Server(app(), listen("127.0.0.1", 0), drain=5)
    other.start(lambda: None)
    connections = [connect(other) for _ in range(3)]
    with suppress(ConnectionResetError):
        assert connections[2].recv(1) == b""
    for each in connections:
        each.close()
    other.stop()
    other.wait()


def test_a_connection_is_closed_that_takes_no_answer(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it would stay for ever, with what it does not take."""
    monkeypatch.setattr(servers, "PER_ADDRESS", 1)
    with connect(server) as connection:
        connection.sendall(b"GET /long HTTP/1.1\r\nhost: x\r\n\r\n")
        assert connection.recv(1) == b"H"

        wait_for_a_place(server)


def test_a_head_that_never_ends_is_refused(server: Server) -> None:
    with connect(server) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nx: " + b"y" * (1 << 17))
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 400")


def test_what_is_asked_is_answered_before_it_ends(server: Server) -> None:
    with connect(server) as connection:
        connection.sendall(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n")
        time.sleep(0.2)
        server.stop()
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 200")
    server.wait()
    with pytest.raises(OSError):
        connect(server)


def test_a_host_that_is_none_is_said() -> None:
    with pytest.raises(ConfigError, match="Nothing can be served at 203.0.113.1"):
        listen("203.0.113.1", 0)
