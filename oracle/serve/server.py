"""Runs the API beside a worker, in a thread of its own."""

import asyncio
import resource
import socket
from collections import Counter
from collections.abc import Callable, Sequence, Set
from threading import Thread

import structlog
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from oracle.errors import ConfigError
from oracle.serve.guard import network_of

log = structlog.get_logger()

MOST_CONNECTIONS = 1024
PER_ADDRESS = 64  # connections; an IPv6 address stands for its network
IDLE = 10  # seconds that a connection may be open without a whole head of a request
LEAST_TAKEN = 1 << 14  # bytes of an answer that a connection must take in that time
MOST_HEADERS = 1 << 14  # bytes


class Server:
    """Answers at what `listen` gave; `proxies` are the addresses whose X-Forwarded-For is
    believed."""

    def __init__(
        self, app: ASGIApp, listening: socket.socket, drain: int, proxies: Sequence[str] = ()
    ):
        self._socket = listening
        most = _most_connections()
        config = uvicorn.Config(
            app,
            http=_impatient(Connections(most, frozenset(proxies))),
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="critical",  # the app logs what fails
            access_log=False,
            server_header=False,
            limit_concurrency=most,
            timeout_keep_alive=IDLE,
            timeout_graceful_shutdown=drain,
            h11_max_incomplete_event_size=MOST_HEADERS,
            proxy_headers=bool(proxies),
            forwarded_allow_ips=list(proxies),
        )
        self._server = uvicorn.Server(config)
        self._thread = Thread(target=self._run, name="serve", daemon=True)
        self._ended: Callable[[], None] = lambda: None

    @property
    def url(self) -> str:
        host, port = self._socket.getsockname()[:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def start(self, ended: Callable[[], None]) -> None:
        """Starts to answer; `ended` is called once it no longer does, for whatever reason."""
        self._ended = ended
        self._thread.start()

    def stop(self) -> None:
        """Takes no more requests, and ends once those that it has are answered, or are out of
        time."""
        self._server.should_exit = True

    def wait(self) -> None:
        self._thread.join()

    def _run(self) -> None:
        try:
            self._server.run(sockets=[self._socket])
        except Exception:
            log.error("the server failed", exc_info=True)
        finally:
            self._ended()


class Connections:
    """Counts those that are open: `most` in all, and so many of one address that is no proxy."""

    def __init__(self, most: int, proxies: Set[str] = frozenset()):
        self._most = most
        self._proxies = proxies
        self._all = 0
        self._opened: Counter[str] = Counter()

    def take(self, host: str) -> bool:
        """Counts one, and says whether it may stay."""
        self._all += 1
        who = network_of(host)
        self._opened[who] += 1
        is_one_of_many = self._opened[who] > PER_ADDRESS and host not in self._proxies
        return self._all <= self._most and not is_one_of_many

    def give_back(self, host: str) -> None:
        self._all -= 1
        who = network_of(host)
        self._opened[who] -= 1
        if not self._opened[who]:
            del self._opened[who]


def _most_connections() -> int:
    """Leaves half of what the process may open to the worker, which has disputes to answer."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST_CONNECTIONS if soft == resource.RLIM_INFINITY else min(MOST_CONNECTIONS, soft // 2)


def _impatient(connections: Connections) -> type[H11Protocol]:
    """Makes the protocol of connections that are closed when they say nothing for long, take no
    answer, or are too many; uvicorn's own wait for ever."""

    class Impatient(H11Protocol):
        _silence: asyncio.TimerHandle | None = None
        _stalling: asyncio.TimerHandle | None = None
        _host = ""

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._host = str((transport.get_extra_info("peername") or ("",))[0])
            if not connections.take(self._host):
                transport.abort()
            self._wait()

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            connections.give_back(self._host)
            for timer in (self._silence, self._stalling):
                if timer is not None:
                    timer.cancel()

        def on_response_complete(self) -> None:
            super().on_response_complete()
            self._wait()

        def pause_writing(self) -> None:
            super().pause_writing()
            self._watch()

        def _wait(self) -> None:
            if self._silence is not None:
                self._silence.cancel()
            self._silence = self.loop.call_later(IDLE, self._close_if_silent)

        def _close_if_silent(self) -> None:
            cycle = self.cycle
            if cycle is None or cycle.response_complete:
                self.transport.close()  # once all that was said to it is taken
                self._watch()

        def _watch(self) -> None:
            if self._stalling is not None:
                self._stalling.cancel()
            left = self.transport.get_write_buffer_size()
            self._stalling = self.loop.call_later(IDLE, self._abort_if_stalled, left)

        def _abort_if_stalled(self, before: int) -> None:
            left = self.transport.get_write_buffer_size()
            if left > before - LEAST_TAKEN:
                self.transport.abort()
            elif left:
                self._watch()

    return Impatient


def listen(host: str, port: int) -> socket.socket:
    """Takes the place, before anything else is begun. Raises ConfigError where it is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=256)
    except OSError as error:
        why = error.strerror
        raise ConfigError(f"Nothing can be served at {host}, port {port}: {why}.") from error
