"""Nodes that misbehave for a while, each in one way at a time, at the end of a program's wire."""

import io
import json
from collections.abc import Sequence
from enum import Enum
from random import Random
from typing import Any

import requests
from eth_utils import keccak
from requests.adapters import HTTPAdapter

from oracle.chain.node import Chain, open_node

RATE = 0.4  # of the questions to which a node that fails now and then gives no answer
MOST_LAG = 12  # blocks


class Fault(Enum):
    """What a node does."""

    BUSY = "says 429"
    BROKEN = "says 500"
    CLOSED = "closes the connection"
    CUT = "closes it in the middle of an answer"
    GARBAGE = "answers with a page"
    HALF = "answers with half of it"
    LAGS = "knows nothing of the newest blocks"
    EMPTY = "gives no logs"
    BACKWARDS = "gives the newest logs first"
    DOUBLED = "gives logs twice"
    REMOVED = "gives logs of blocks that were replaced"
    FORGETS = "takes transactions and forgets them"
    LATE = "knows no receipts yet"


ON_THE_WIRE = {Fault.BUSY, Fault.BROKEN, Fault.CLOSED, Fault.CUT, Fault.GARBAGE, Fault.HALF}


class BadNode(HTTPAdapter):
    """Answers as the node behind it, until it is told to do otherwise."""

    def __init__(self, upstream: str, name: str, rng: Random):
        super().__init__()
        self._upstream = upstream
        self._rng = rng
        self._behind = requests.Session()
        self.url = f"{upstream}/?{name}"
        self.name = name
        self.fault: Fault | None = None
        self.rate = 1.0
        self.lag = 0

    def open(self, _: str = "") -> Chain:
        """Connects as a program does, but to ask nothing twice: it would sleep meanwhile."""
        web3 = open_node(self._upstream, is_alone=False).web3
        session = web3.provider._request_session_manager._explicit_session  # type: ignore[attr-defined]
        session.mount(self._upstream, self)
        return Chain(web3, self.url, f"the node {self.name}")

    def fail(self, fault: Fault) -> None:
        self.fault, self.rate = fault, self._rng.choice((RATE, 1.0))
        self.lag = self._rng.randint(1, MOST_LAG)

    def calm(self) -> None:
        self.fault = None

    def send(self, request: requests.PreparedRequest, *rest: Any, **more: Any) -> Any:
        fault = self.fault
        if fault is None:
            return super().send(request, *rest, **more)
        assert isinstance(request.body, (str, bytes))
        body = json.loads(request.body)
        if fault in ON_THE_WIRE:
            if self._rng.random() > self.rate:
                return super().send(request, *rest, **more)
            return self._fail(fault, request, body)
        many = body if isinstance(body, list) else [body]
        found = [self._answer(fault, each) for each in many]
        return _response(request, _dump(found if isinstance(body, list) else found[0]))

    def _fail(self, fault: Fault, request: requests.PreparedRequest, body: Any) -> Any:
        match fault:
            case Fault.BUSY:
                return _response(request, b"too many requests", 429)
            case Fault.BROKEN:
                return _response(request, b"internal error", 500)
            case Fault.GARBAGE:
                return _response(request, b"<html>")
            case Fault.CLOSED:
                raise requests.ConnectionError("closed")
        data = _dump(self._ask(body))  # it did what it was asked to
        if fault is Fault.CUT:
            raise requests.exceptions.ChunkedEncodingError("cut")
        return _response(request, data[: len(data) // 2])

    def _ask(self, body: Any) -> Any:
        return self._behind.post(self._upstream, json=body).json()

    def _answer(self, fault: Fault, body: dict[str, Any]) -> Any:
        method, parameters = body["method"], body["params"]
        if fault is Fault.FORGETS and method == "eth_sendRawTransaction":
            raw = bytes.fromhex(parameters[0][2:])
            return {"jsonrpc": "2.0", "id": body["id"], "result": "0x" + keccak(raw).hex()}
        if fault is Fault.LAGS:
            return self._answer_late(body)
        reply = self._ask(body)
        if method == "eth_getLogs" and "result" in reply:
            reply["result"] = _spoilt_logs(fault, reply["result"])
        if fault is Fault.LATE and method == "eth_getTransactionReceipt":
            reply["result"] = None
        return reply

    def _answer_late(self, body: dict[str, Any]) -> Any:
        """As of some blocks ago."""
        head = self._ask(_question("eth_blockNumber"))["result"]
        seen = max(0, int(head, 16) - self.lag)
        method = body["method"]
        asked = body | {"params": [_as_of(each, seen) for each in body["params"]]}
        if method == "eth_getBlockByNumber" and int(asked["params"][0], 16) > seen:
            return {"jsonrpc": "2.0", "id": body["id"], "result": None}
        reply = self._ask(asked)
        if method == "eth_blockNumber":
            reply["result"] = hex(seen)
        result = reply.get("result")
        is_unknown = isinstance(result, dict) and int(result.get("blockNumber") or "0x0", 16) > seen
        if is_unknown and method == "eth_getTransactionReceipt":
            reply["result"] = None
        elif is_unknown:
            result |= {"blockNumber": None, "blockHash": None, "transactionIndex": None}
        return reply


def _as_of(parameter: Any, seen: int) -> Any:
    """Puts the block that the node takes for the newest in the place of names for it."""
    if parameter in ("latest", "pending"):
        return hex(seen)
    if isinstance(parameter, dict) and "toBlock" in parameter:
        # As nodes do: of blocks that they have not got, they have no logs.
        first, last = (int(parameter[each], 16) for each in ("fromBlock", "toBlock"))
        return parameter | {"fromBlock": hex(min(first, seen)), "toBlock": hex(min(last, seen))}
    return parameter


def _spoilt_logs(fault: Fault, logs: Sequence[Any]) -> Sequence[Any]:
    match fault:
        case Fault.EMPTY:
            return []
        case Fault.BACKWARDS:
            return logs[::-1]
        case Fault.DOUBLED:
            return [*logs, *logs]
        case Fault.REMOVED:
            gone = [each | {"removed": True, "blockHash": "0x" + 32 * "ab"} for each in logs]
            return [*gone, *logs]
    return logs


def _question(method: str) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": []}


def _dump(value: Any) -> bytes:
    return json.dumps(value).encode()


def _response(
    request: requests.PreparedRequest, data: bytes, status: int = 200
) -> requests.Response:
    found = requests.Response()
    found.status_code, found.raw, found.request = status, io.BytesIO(data), request
    found.url = request.url or ""
    found.headers["content-type"] = "application/json"
    return found
