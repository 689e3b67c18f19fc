"""Where files come from: URIs that strangers chose, read as streams.

A publisher's URI comes from the chain, so it may point anywhere: at the operator's files, at its
router, at a server that never stops sending, or that never starts. Only http(s), ipfs and data URIs
are read, and no connection is made to an address that is not public. That is checked when a socket
is made, after names are resolved, so that neither a redirect nor a name that changes its address
slips by.
"""

import asyncio
import base64
import binascii
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import Any, TypeVar
from urllib.parse import unquote_to_bytes, urlsplit

import aiohttp
import fsspec  # type: ignore[import-untyped, unused-ignore]
from fsspec.implementations.http import (  # type: ignore[import-untyped, unused-ignore]
    HTTPFileSystem,
)

from oracle.config import URI_SCHEMES

CHUNK = 1 << 18
IPFS_GATEWAY = "https://ipfs.io"
PATIENCE = 10.0  # seconds until a server must have answered, and for each LEAST bytes after that
LEAST = 1 << 18

_LONGEST, _LONGEST_SCHEME = 1 << 13, 32  # letters of a URI that is no data URI

_UNLESS_LOCAL = "(on a devnet, --allow-local-files allows it)"

T = TypeVar("T")
Endpoint = tuple[str, int]
Sink = Callable[[bytes], None]
"""Takes the next bytes of a file; raises to stop the reading."""


class Unreadable(Exception):
    """One URI did not give its file, and why."""


class Sources:
    """`allow_local` is for devnets: it reads file:// and local addresses too. The IPFS gateway is
    the operator's own choice, so it may be local in any case. No file has more than `max_bytes`: a
    Content-Length is never believed."""

    def __init__(
        self,
        max_bytes: int,
        allow_local: bool = False,
        ipfs_gateway: str | None = None,
        patience: float = PATIENCE,
    ):
        self._max_bytes = max_bytes
        self._allow_local = allow_local
        self._gateway = (ipfs_gateway or IPFS_GATEWAY).rstrip("/")
        self._patience = patience

    def read(self, uri: str, sink: Sink, limit: float) -> None:
        """Gives the file to `sink`, in `limit` seconds at most. Raises Unreadable."""
        bounded = _Bounded(sink, self._max_bytes)
        scheme, colon, _ = uri[:_LONGEST_SCHEME].partition(":")
        if len(uri) > _LONGEST and scheme.lower() != "data":
            raise Unreadable("it is longer than any address")
        match scheme.lower() if colon else "":
            case "http" | "https":
                self._download(uri, bounded, limit, permitted=frozenset())
            case "ipfs":
                url = f"{self._gateway}/ipfs/{uri[len(scheme) + 1 :].lstrip('/')}"
                self._download(url, bounded, limit, _endpoints(self._gateway))
            case "data":
                for chunk in _inline(uri):
                    bounded(chunk)
            case "file" if self._allow_local:
                _copy(uri, bounded)
            case "file":
                raise Unreadable(f"local files are not read {_UNLESS_LOCAL}")
            case other:
                raise Unreadable(
                    f"the protocol {other!r} is not one of {', '.join(URI_SCHEMES[:-1])}"
                    if other
                    else "it names no protocol"
                )

    def _download(self, url: str, sink: Sink, limit: float, permitted: frozenset[Endpoint]) -> None:
        guard = None if self._allow_local else _Guard(permitted)
        try:
            asyncio.run(self._stream(url, sink, limit, guard))
        except TimeoutError:
            raise Unreadable(f"it took more than {limit:.2g} s") from None
        except aiohttp.ClientResponseError as error:
            raise Unreadable(f"HTTP status {error.status}") from None
        except aiohttp.ClientConnectorError as error:
            cause = error.os_error
            if isinstance(cause, _NotPublic):
                raise Unreadable(str(cause)) from None
            raise Unreadable(f"no connection ({cause.strerror or type(cause).__name__})") from None
        # The text of these may hold a URL with a password in it.
        except (aiohttp.ClientError, ValueError) as error:
            raise Unreadable(type(error).__name__) from None

    async def _stream(self, url: str, sink: Sink, limit: float, guard: "_Guard | None") -> None:
        async with asyncio.timeout(limit), _http(guard) as http:
            file = await http.open_async(url, size=1)  # no HEAD to ask: its answer proves nothing
            try:
                more = await self._hurried(_some(file, sink, 1), "it does not answer")
                slow = f"it sends less than {LEAST >> 10} KiB in {self._patience:g} s"
                while more:
                    more = await self._hurried(_some(file, sink, LEAST), slow)
            finally:
                await file.close()

    async def _hurried(self, step: Coroutine[Any, Any, T], otherwise: str) -> T:
        """Waits for one step, and raises Unreadable when it takes longer than `patience`. So a
        server that is slow on purpose gives up its place long before `limit`."""
        try:
            async with asyncio.timeout(self._patience) as timeout:
                return await step
        except TimeoutError:
            raise (Unreadable(otherwise) if timeout.expired() else TimeoutError()) from None


async def _some(file: Any, sink: Sink, least: int) -> bool:
    """Reads the next bytes, `least` of them or more; whether there may be others after them."""
    taken = 0
    while taken < least:
        chunk = await file.read(CHUNK)
        if not chunk:
            return False
        sink(chunk)
        taken += len(chunk)
    return True


class _Bounded:
    """A sink that takes so many bytes and no more."""

    def __init__(self, sink: Sink, most: int):
        self._sink = sink
        self._most = most
        self._taken = 0

    def __call__(self, chunk: bytes) -> None:
        self._taken += len(chunk)
        if self._taken > self._most:
            raise Unreadable(f"it is longer than {self._most} bytes")
        self._sink(chunk)


def _inline(uri: str) -> Iterator[bytes]:
    """Decodes a data URI and yields its bytes piece by piece, since it may be as long as a node
    allows."""
    head, comma, _ = uri[:CHUNK].partition(",")
    if not comma:
        raise Unreadable("it cannot be read: a data URI has a comma")
    is_base64 = head.endswith((";base64", ":base64"))
    at = len(head) + 1
    while at < len(uri):
        end = at + CHUNK
        if is_base64:  # CHUNK is a multiple of four
            try:
                yield base64.b64decode(uri[at:end], validate=True)
            except (binascii.Error, ValueError):
                raise Unreadable("it cannot be read: its base64 is malformed") from None
        else:
            cut = uri.find("%", end - 2, end)  # an escape of three letters stays whole
            end = end if cut < 0 or end >= len(uri) else cut
            yield unquote_to_bytes(uri[at:end])
        at = end


def _copy(uri: str, sink: Sink) -> None:
    """Copies a file through the one filesystem named, because `fsspec.open` would follow chains
    such as zip://…::file://…"""
    try:
        file = fsspec.filesystem("file").open(uri, "rb")
    except (OSError, ValueError) as error:
        raise Unreadable(getattr(error, "strerror", None) or "it cannot be read") from error
    with file:
        while chunk := file.read(CHUNK):
            sink(chunk)


def masked(uri: str) -> str:
    """Makes `uri` fit for logs: no password, no query, and not the whole of a data URI."""
    if len(uri) > _LONGEST:  # a data URI, or none that is read
        return f"{uri[:_LONGEST_SCHEME].partition(':')[0]}:…"
    try:
        parts = urlsplit(uri)
    except ValueError:
        return f"{uri.partition(':')[0]}:…"
    if parts.netloc:
        user, at, host = parts.netloc.rpartition("@")
        parts = parts._replace(netloc=f"***{at}{host}" if user else parts.netloc)
    shown = parts._replace(query="***" if parts.query else "", fragment="").geturl()
    return shown if len(shown) <= 120 else f"{shown[:119]}…"


class _NotPublic(OSError):
    """A connection that a stranger may not make us open."""


@dataclass(frozen=True, slots=True)
class _Guard:
    """Makes sockets to public addresses, and to `permitted` endpoints."""

    permitted: frozenset[Endpoint]

    def __call__(self, info: Any) -> socket.socket:
        family, kind, protocol, _, address = info
        if not is_public(address[0]) and (address[0], address[1]) not in self.permitted:
            raise _NotPublic(f"{address[0]} is not a public address {_UNLESS_LOCAL}")
        return socket.socket(family, kind, protocol)


def is_public(address: str) -> bool:
    """Says whether the address means the same machine to the whole internet."""
    ip = ip_address(address.partition("%")[0])
    if isinstance(ip, IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if inner is not None and not is_public(str(inner)):
            return False
        # NAT64: the last four bytes are an IPv4 address.
        if ip.packed[:12] == bytes.fromhex("0064ff9b0000000000000000"):
            return is_public(str(ip_address(ip.packed[12:])))
    return ip.is_global and not ip.is_multicast


def _endpoints(url: str) -> frozenset[Endpoint]:
    """Resolves the addresses of a URL's host."""
    parts = urlsplit(url)
    try:
        port = parts.port or (80 if parts.scheme == "http" else 443)
        found = socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
    except (OSError, ValueError):
        raise Unreadable("the IPFS gateway's name cannot be resolved") from None
    return frozenset((str(address[0]), int(address[1])) for *_, address in found)


@asynccontextmanager
async def _http(guard: _Guard | None) -> AsyncIterator[HTTPFileSystem]:
    async def client(**_: Any) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(socket_factory=guard)
        # Undecoded, for a small body may inflate to a huge one.
        return aiohttp.ClientSession(
            connector=connector,
            raise_for_status=True,  # which closes the connection; fsspec would leave it open
            headers={"Accept-Encoding": "identity"},
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    http = HTTPFileSystem(asynchronous=True, get_client=client, skip_instance_cache=True)
    session = await http.set_session()
    try:
        yield http
    finally:
        await session.close()
