"""Lines to a node, by HTTP and by WebSocket: an answer is bounded in size and time, and whoever
waits for one can be let go by another thread."""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, Future, InvalidStateError
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from threading import Event as Flag
from threading import Lock, Thread
from typing import Any, TypeVar, cast

from requests import HTTPError, Response, Session
from requests.adapters import HTTPAdapter
from requests.exceptions import RequestException
from web3 import HTTPProvider
from web3.providers.base import BaseProvider, JSONBaseProvider
from web3.providers.rpc.utils import ExceptionRetryConfiguration
from web3.types import RPCEndpoint, RPCResponse
from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.frames import CloseCode
from websockets.sync.client import ClientConnection, connect

MAX_ANSWER = 64 << 20  # bytes of a node's answer
CONNECT, READ = 5.0, 30.0  # seconds until a node must take a connection, and say something
LONGEST = 120.0  # seconds for one answer, however steadily it trickles in
LISTEN = 1.0  # seconds until whoever listens looks whether the line was cut
PING = 20.0  # seconds until whoever listens asks whether anybody is there
AGAIN = 5.0  # seconds until a dropped connection is opened again, to hear of new blocks
# HTTP's ways to say that a list of questions is not taken; 429 and 5xx speak of the moment.
_REFUSES_LISTS = (400, 404, 405, 406, 413, 415, 422, 501)

T = TypeVar("T")


class Cut(ConnectionAbortedError):
    """The line was cut while an answer was waited for, or before it was asked for."""


class CannotBatch(Exception):
    """The node takes fewer questions at a time."""


class TooLong(RequestException):
    """The answer is longer than any that we read."""


def in_background(work: Callable[[], T]) -> "Future[T]":
    """Runs `work` in a thread that does nothing else meanwhile, and for which the end of the
    program does not wait."""
    future: Future[T] = Future()
    try:
        errands = _IDLE.pop()
    except IndexError:
        errands = SimpleQueue()
        Thread(target=_run, args=(errands,), daemon=True).start()
    errands.put(partial(_settle, future, work))
    return future


def _settle(future: "Future[T]", work: Callable[[], T]) -> None:
    try:
        settle: Callable[[], None] = partial(future.set_result, work())
    except BaseException as error:
        settle = partial(future.set_exception, error)
    with suppress(InvalidStateError):  # nobody waits any more
        settle()


# What threads wait for that have nothing to do: to start one takes longer than most answers. One
# that hangs is not among them.
_IDLE: "list[SimpleQueue[Callable[[], None]]]" = []


def _run(errands: "SimpleQueue[Callable[[], None]]") -> None:
    while True:
        errands.get()()
        _IDLE.append(errands)


class Line:
    """What the questions to one node have in common: they all end when it is cut.

    Python runs a signal's handler while its main thread waits for a socket, and then goes on to
    wait. So threads do the talking, and whoever asks waits for a Future, which can be ended."""

    def __init__(self) -> None:
        self._waiting: set[Future[Any]] = set()
        self._is_cut = Flag()

    def wait(self, work: Callable[[], T]) -> T:
        """Gives what `work` gives. Raises Cut, and TimeoutError where it takes too long."""
        if self._is_cut.is_set():
            raise Cut
        future = in_background(work)
        self._waiting.add(future)
        try:
            if self._is_cut.is_set():
                raise Cut
            return future.result(LONGEST)
        except CancelledError:
            raise Cut from None
        finally:
            future.cancel()
            self._waiting.discard(future)

    def cut(self) -> None:
        """Ends all waiting, for ever."""
        self._is_cut.set()
        for future in list(self._waiting):
            future.cancel()

    @property
    def is_cut(self) -> bool:
        return self._is_cut.is_set()


def http(url: str, line: Line, is_alone: bool) -> HTTPProvider:
    """Makes a provider whose time is bounded, on connections that stay open. Where nobody else can
    be asked, it asks again for a moment what the server was too busy for."""
    session = _Session(line)
    for scheme in ("http://", "https://"):
        session.mount(scheme, _Bounded())
    retry = ExceptionRetryConfiguration(errors=(HTTPError,)) if is_alone else None
    return HTTPProvider(
        url,
        request_kwargs={"timeout": (CONNECT, READ)},
        session=session,
        exception_retry_configuration=retry,
    )


class _Session(Session):
    def __init__(self, line: Line):
        super().__init__()
        self._line = line

    def request(self, *arguments: Any, **options: Any) -> Response:
        return self._line.wait(partial(super().request, *arguments, **options))


class _Bounded(HTTPAdapter):
    """Stops reading what no node has to say: an answer that would fill the memory. Whoever asked
    for many logs asks for fewer then."""

    def send(self, *arguments: Any, **options: Any) -> Response:
        response = super().send(*arguments, **options)
        stream = response.raw.stream

        def bounded(*arguments: Any, **options: Any) -> Iterator[bytes]:
            taken = 0
            for chunk in stream(*arguments, **options):
                taken += len(chunk)
                if taken > MAX_ANSWER:
                    response.close()  # or its connection would stay open
                    raise TooLong(f"an answer of more than {MAX_ANSWER} bytes")
                yield chunk

        response.raw.stream = bounded
        return response


class Socket(JSONBaseProvider):
    """A provider over one WebSocket, which is opened when something is asked, and again after it
    was dropped. web3's own is for asyncio alone, and keeps a core busy while it waits."""

    def __init__(self, url: str, line: Line):
        super().__init__()
        self._url = url
        self._line = line
        self._lock = Lock()  # one question at a time
        self._open: ClientConnection | None = None

    def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        return cast(RPCResponse, self._exchange(self.encode_rpc_request(method, params)))

    def make_batch_request(
        self, requests: list[tuple[RPCEndpoint, Any]]
    ) -> list[RPCResponse] | RPCResponse:
        return cast(list[RPCResponse], self._exchange(self.encode_batch_rpc_request(requests)))

    def _exchange(self, asked: bytes) -> object:
        return self._line.wait(partial(self._talk, asked))

    def _talk(self, asked: bytes) -> object:
        with self._lock:
            connection = self._open or open_socket(self._url)
            # What fails leaves nothing open, or a late answer would be taken for the next one.
            self._open = None
            try:
                connection.send(asked.decode())
                reply: object = json.loads(connection.recv(READ))
            except BaseException as error:
                _close(connection)
                if isinstance(error, ConnectionClosed) and _is_too_long(error):
                    raise TooLong(f"an answer of more than {MAX_ANSWER} bytes") from error
                if isinstance(error, WebSocketException):
                    raise ConnectionError(str(error)) from error
                raise
            self._open = connection
            return reply


class Heads:
    """Hears of new blocks on a WebSocket of its own, where the node tells of them."""

    def __init__(self, url: str, line: Line):
        self._url = url
        self._line = line
        self._calls: tuple[Callable[[], None], ...] = ()
        self._thread = Thread(target=self._listen, daemon=True)

    def start(self, call: Callable[[], None]) -> None:
        """Has a thread `call` at each new block, until the line is cut."""
        if call not in self._calls:
            self._calls = (*self._calls, call)
        if self._thread.ident is None:
            self._thread.start()

    def _listen(self) -> None:
        while not self._line.is_cut:
            with suppress(OSError, WebSocketException, ValueError):
                self._hear()
            time.sleep(AGAIN)

    def _hear(self) -> None:
        """Calls until the connection is dropped."""
        connection = open_socket(self._url, listens=True)
        try:
            subscribe = {"jsonrpc": "2.0", "id": 0, "method": "eth_subscribe"}
            connection.send(json.dumps(subscribe | {"params": ["newHeads"]}))
            while not self._line.is_cut:
                with suppress(TimeoutError):
                    self._take(json.loads(connection.recv(LISTEN)))
        finally:
            _close(connection)

    def _take(self, said: object) -> None:
        if isinstance(said, Mapping) and said.get("method") == "eth_subscription":
            for call in self._calls:
                call()


def open_socket(url: str, listens: bool = False) -> ClientConnection:
    """Opens a WebSocket. Raises OSError. Who only `listens` asks now and then whether anybody is
    there; who asks questions hears it by the answers."""
    try:
        # Entered, or the library warns; whoever holds it closes it.
        return connect(
            url,
            max_size=MAX_ANSWER,
            open_timeout=CONNECT,
            close_timeout=1,
            compression=None,
            ping_interval=PING if listens else None,
        ).__enter__()
    except WebSocketException as error:
        raise ConnectionError(str(error)) from error


def _is_too_long(error: ConnectionClosed) -> bool:
    return error.sent is not None and error.sent.code == CloseCode.MESSAGE_TOO_BIG


def _close(connection: ClientConnection) -> None:
    with suppress(OSError, WebSocketException):
        connection.close()


def batch(provider: BaseProvider, questions: Sequence[tuple[str, list[Any]]]) -> list[RPCResponse]:
    """Asks all in one request, and gives the replies in the questions' order. Raises CannotBatch
    where there is not a reply for each."""
    asked = [(RPCEndpoint(method), parameters) for method, parameters in questions]
    try:
        found = cast(JSONBaseProvider, provider).make_batch_request(asked)
    except (LookupError, TypeError, AttributeError) as error:  # what should be a reply has no id
        raise CannotBatch from error
    except HTTPError as error:
        if error.response is not None and error.response.status_code in _REFUSES_LISTS:
            raise CannotBatch from error
        raise
    if not isinstance(found, list) or len(found) != len(asked) or not all(map(_is_reply, found)):
        raise CannotBatch
    return sorted(found, key=lambda reply: cast(int, reply["id"]))


def _is_reply(reply: object) -> bool:
    if not isinstance(reply, Mapping) or not isinstance(reply.get("id"), int):
        return False
    return "result" in reply or "error" in reply
