"""A node that misbehaves: a proxy in front of a good one, which changes what that one says."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import requests

Change = Callable[[str, Any], Any]
"""Gives what is said in place of a method's result, or raises Refusal."""
Limit = Callable[[str, list[Any]], None]
"""Raises Refusal where a method's parameters ask for too much."""


class Fault(Enum):
    """What a node does in place of an answer."""

    HANG = "it takes the request, and says nothing"
    CLOSE = "it closes the connection"
    CUT = "it closes the connection in the middle of its answer"
    GARBAGE = "its answer is no JSON"
    HALF = "its answer is JSON that ends too early"


class Refusal(Exception):
    """What a `change` raises where the node is to refuse."""


class Proxy:
    """`change` is what it does to each result now, `limit` what it refuses to be asked, and `fault`
    what it does in place of an answer to a method; `too_many` is how it refuses more questions than
    `most_together` in one request. `asked` has the methods that it was asked, and `sent` counts the
    bytes that it said."""

    def __init__(self, upstream: str):
        self._upstream = upstream
        self.url = ""
        self.change: Change = unchanged
        self.limit: Limit = unlimited
        self.fault: Callable[[str], Fault | HTTPStatus | None] = lambda _: None
        self.takes_batches = True
        self.most_together = 10**9
        self.too_many: Fault | HTTPStatus | None = None
        self.asked: list[str] = []
        self.requests = 0
        self.sent = 0
        self.is_over = threading.Event()

    def fail(self, fault: Fault | HTTPStatus | None) -> None:
        """Has it do that whatever it is asked; None has it answer again."""
        self.fault = lambda _: fault

    def fault_of(self, body: Any) -> Fault | HTTPStatus | None:
        self.requests += 1
        bodies = body if isinstance(body, list) else [body]
        if len(bodies) > self.most_together and self.too_many is not None:
            return self.too_many
        faults = [self.fault(each["method"]) for each in bodies]
        return next((fault for fault in faults if fault is not None), None)

    def answer(self, body: Any) -> Any:
        if not isinstance(body, list):
            return self._answer(body)
        if not self.takes_batches or len(body) > self.most_together:
            error = {"code": -32600, "message": "batches are not taken"}
            return {"jsonrpc": "2.0", "id": None, "error": error}
        return [self._answer(each) for each in body][::-1]  # in any order, says JSON-RPC

    def _answer(self, body: dict[str, Any]) -> dict[str, Any]:
        method = body["method"]
        self.asked.append(method)
        try:
            self.limit(method, body["params"])
            reply: dict[str, Any] = requests.post(self._upstream, json=body).json()
            if "result" in reply:
                reply["result"] = self.change(method, reply["result"])
        except Refusal as refusal:
            error = {"code": -32601, "message": str(refusal)}
            return {"jsonrpc": "2.0", "id": body["id"], "error": error}
        return reply


def unchanged(_: str, result: Any) -> Any:
    return result


def unlimited(_: str, __: list[Any]) -> None: ...


@contextmanager
def proxy(upstream: str) -> Iterator[Proxy]:
    found = Proxy(upstream)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # or a body waits 40 ms behind its head

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            fault = found.fault_of(body)
            if fault is Fault.HANG:
                found.is_over.wait()
            if fault in (Fault.HANG, Fault.CLOSE):
                self.close_connection = True
                return
            if isinstance(fault, HTTPStatus):
                self._say(fault, b"busy")
                return
            data = json.dumps(found.answer(body)).encode()
            found.sent += len(data)
            match fault:
                case Fault.GARBAGE:
                    self._say(HTTPStatus.OK, b"<html>")
                case Fault.HALF:
                    self._say(HTTPStatus.OK, data[: len(data) // 2])
                case Fault.CUT:
                    self._say(HTTPStatus.OK, data[: len(data) // 2], len(data))
                    self.close_connection = True
                case _:
                    self._say(HTTPStatus.OK, data)

        def _say(self, status: HTTPStatus, data: bytes, length: int | None = None) -> None:
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data) if length is None else length))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        found.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield found
        finally:
            found.is_over.set()
            server.shutdown()
            thread.join()
