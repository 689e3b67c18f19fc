"""The client before servers that mean it no good: slow, endless, or packed."""

import gzip
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Event, Thread

import pytest

from oracle.errors import ServiceError
from oracle.serve.client import AskedOptions, Client
from oracle.types import ModelId, Wei

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"


@contextmanager
def saying(pieces: Iterator[bytes]) -> Iterator[str]:
    """A server that says these to whoever comes first, one each twentieth of a second."""
    ended = Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            connection, _ = listening.accept()
            with connection, suppress(OSError):
                connection.recv(1 << 16)
                for piece in pieces:
                    connection.sendall(piece)
                    if ended.wait(0.05):
                        return

        thread = Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        ended.set()
        thread.join()


def quote(url: str, patience: float) -> None:
    Client(url, patience).quote(ModelId(bytes(32)), AskedOptions(Wei(1), 1, 1))


def trickle(first: bytes) -> Iterator[bytes]:
    yield first
    for _ in range(400):
        yield b"a"


@pytest.mark.parametrize(
    "first",
    [b"H", HEAD + b"x-", HEAD + b"content-length: 1000\r\n\r\n"],
    ids=["line", "head", "body"],
)
def test_a_server_that_never_ends_is_given_up(first: bytes) -> None:
    with (
        saying(trickle(first)) as url,
        pytest.raises(ServiceError, match="does not answer: it took over 1 s"),
    ):
        quote(url, patience=1.0)


def test_a_small_reply_takes_no_gigabytes() -> None:
    """What is packed twice would be a million times as long."""
    packed = gzip.compress(gzip.compress(bytes(1 << 26)))
    head = HEAD + b"content-encoding: gzip, gzip\r\ncontent-length: %d\r\n\r\n" % len(packed)
    with (
        saying(iter([head + packed])) as url,
        pytest.raises(ServiceError, match="an answer that cannot be read"),
    ):
        quote(url, patience=60.0)


def test_a_reply_without_end_is_not_kept() -> None:
    chunk = b"100000\r\n" + b" " * 0x100000 + b"\r\n"

    def endless() -> Iterator[bytes]:
        yield HEAD + b"transfer-encoding: chunked\r\n\r\n"
        while True:
            yield chunk * 8

    with saying(endless()) as url, pytest.raises(ServiceError, match="more than 33554432 bytes"):
        quote(url, patience=60.0)
