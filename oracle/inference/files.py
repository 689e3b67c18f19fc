"""Model files by hash: fetched from URIs that strangers chose, checked, kept.

A publisher's URI comes from the chain, so it may point anywhere: at the operator's files, at its
router, at a server that never stops sending. Only http(s), ipfs and data URIs are read, and no
connection is made to an address that is not public. That is checked when a socket is made, after
names are resolved, so that neither a redirect nor a name that changes its address slips by.
"""

import asyncio
import hashlib
import os
import socket
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from threading import Lock
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import fsspec  # type: ignore[import-untyped, unused-ignore]
from fsspec.implementations.http import (  # type: ignore[import-untyped, unused-ignore]
    HTTPFileSystem,
)

from oracle.errors import ModelMismatch, ModelUnavailable

CHUNK = 1 << 20
IPFS_GATEWAY = "https://ipfs.io"

Endpoint = tuple[str, int]


class ModelFiles:
    """A folder of model files, each named by its SHA-256.

    `timeout` is for all URIs of a file together, for a publisher may name any number of slow ones.
    `allow_local` is for devnets: it reads file:// and local addresses too. The IPFS gateway is the
    operator's own choice, so it may be local in any case.
    """

    def __init__(
        self,
        root: Path,
        max_bytes: int = 2 << 30,
        timeout: float = 300.0,
        allow_local: bool = False,
        ipfs_gateway: str | None = None,
    ):
        self._root = root
        self._max_bytes = max_bytes
        self._timeout = timeout
        self._allow_local = allow_local
        self._gateway = (ipfs_gateway or IPFS_GATEWAY).rstrip("/")
        self._checked: dict[bytes, tuple[int, ...]] = {}  # by hash: the file as it was when hashed
        self._fetching: defaultdict[bytes, Lock] = defaultdict(Lock)

    def add(self, data: bytes) -> bytes:
        """Keeps a file; gives its hash."""
        file_hash = hashlib.sha256(data).digest()
        if self.path(file_hash) is None:
            self._keep(file_hash, data)
        return file_hash

    def path(self, file_hash: bytes) -> Path | None:
        """Where the file is kept, if it is. One whose bytes changed is removed."""
        path = self._root / f"{file_hash.hex()}.onnx"
        try:
            found = path.stat()
            # The kernel sets ctime, so an unchanged one means unchanged bytes. Whoever loads the
            # file hashes what it read all the same.
            seen = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
            if self._checked.get(file_hash) == seen:
                return path
            with path.open("rb") as file:
                actual = hashlib.file_digest(file, "sha256").digest()
        except FileNotFoundError:
            return None
        if actual != file_hash:
            path.unlink(missing_ok=True)
            return None
        self._checked[file_hash] = seen
        return path

    def fetch(self, file_hash: bytes, uris: Sequence[str]) -> Path:
        """Where the file is kept, after fetching it from the first URI that gives it.

        Raises ModelMismatch if every URI gives other bytes, else ModelUnavailable with the reason
        of each.
        """
        with self._fetching[file_hash]:
            try:
                return self.path(file_hash) or self._fetch(file_hash, uris)
            except OSError as error:
                raise ModelUnavailable(f"{self._root} cannot be used: {error}.") from error

    def _fetch(self, file_hash: bytes, uris: Sequence[str]) -> Path:
        failures: list[str] = []
        wrong: set[str] = set()
        end = time.monotonic() + self._timeout
        for left, uri in zip(range(len(uris), 0, -1), uris, strict=True):
            try:
                data = self._read(uri, (end - time.monotonic()) / left)
            except _Unreadable as error:
                failures.append(f"{masked(uri)}: {error}")
                continue
            actual = hashlib.sha256(data).digest()
            if actual == file_hash:
                return self._keep(file_hash, data)
            failures.append(f"{masked(uri)}: its bytes have SHA-256 {actual.hex()}")
            wrong.add(uri)
        name = f"the model file with SHA-256 {file_hash.hex()}"
        if not failures:
            raise ModelUnavailable(f"There is no URI for {name}.")
        kind = ModelMismatch if wrong == set(uris) else ModelUnavailable
        raise kind(f"No URI gave {name}: {'; '.join(failures)}.")

    def _keep(self, file_hash: bytes, data: bytes) -> Path:
        self._root.mkdir(parents=True, exist_ok=True)
        path = self._root / f"{file_hash.hex()}.onnx"
        with tempfile.NamedTemporaryFile(dir=self._root, prefix=".", delete=False) as file:
            try:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
                os.replace(file.name, path)
            except BaseException:
                os.unlink(file.name)
                raise
        return path

    # URIs

    def _read(self, uri: str, limit: float) -> bytes:
        scheme, colon, rest = uri.partition(":")
        match scheme.lower() if colon else "":
            case "http" | "https":
                return self._download(uri, limit, permitted=frozenset())
            case "ipfs":
                url = f"{self._gateway}/ipfs/{rest.lstrip('/')}"
                return self._download(url, limit, _endpoints(self._gateway))
            case "data":
                return self._opened("data", uri)
            case "file" if self._allow_local:
                return self._opened("file", uri)
            case "file":
                raise _Unreadable("local files are not read")
            case other:
                raise _Unreadable(
                    f"the protocol {other!r} is not one of http, https, ipfs, data"
                    if other
                    else "it names no protocol"
                )

    def _opened(self, protocol: str, uri: str) -> bytes:
        """By the one filesystem named: `fsspec.open` would follow chains such as zip://…::file://…"""
        try:
            with fsspec.filesystem(protocol).open(uri, "rb") as file:
                return self._joined(iter(lambda: file.read(CHUNK), b""))
        except (OSError, ValueError) as error:
            raise _Unreadable(getattr(error, "strerror", None) or "it cannot be read") from error

    def _joined(self, chunks: Iterator[bytes]) -> bytes:
        body = _Body(self._max_bytes)
        for chunk in chunks:
            body.add(chunk)
        return body.data

    def _download(self, url: str, limit: float, permitted: frozenset[Endpoint]) -> bytes:
        guard = None if self._allow_local else _Guard(permitted)
        try:
            return asyncio.run(self._stream(url, limit, guard))
        except TimeoutError:
            raise _Unreadable(f"it took more than {limit:.2g} s") from None
        except aiohttp.ClientResponseError as error:
            raise _Unreadable(f"HTTP status {error.status}") from None
        except aiohttp.ClientConnectorError as error:
            cause = error.os_error
            if isinstance(cause, _NotPublic):
                raise _Unreadable(str(cause)) from None
            raise _Unreadable(f"no connection ({cause.strerror or type(cause).__name__})") from None
        # The text of these may hold a URL with a password in it.
        except (aiohttp.ClientError, ValueError, OSError) as error:
            raise _Unreadable(type(error).__name__) from None

    async def _stream(self, url: str, limit: float, guard: "_Guard | None") -> bytes:
        body = _Body(self._max_bytes)
        async with asyncio.timeout(limit), _http(guard) as http:
            file = await http.open_async(url, size=1)  # no HEAD to ask: its answer proves nothing
            try:
                while chunk := await file.read(CHUNK):
                    body.add(chunk)
            finally:
                await file.close()
        return body.data


def masked(uri: str) -> str:
    """`uri` fit for logs: no password, no query, and not the whole of a data URI."""
    try:
        parts = urlsplit(uri)
    except ValueError:
        return f"{uri.partition(':')[0]}:…"
    if parts.netloc:
        user, at, host = parts.netloc.rpartition("@")
        parts = parts._replace(netloc=f"***{at}{host}" if user else parts.netloc)
    shown = parts._replace(query="***" if parts.query else "", fragment="").geturl()
    return shown if len(shown) <= 120 else f"{shown[:119]}…"


class _Unreadable(Exception):
    """One URI did not give its file, and why."""


class _Body:
    """What was read so far, up to a limit; a Content-Length is never believed."""

    def __init__(self, limit: int):
        self._limit = limit
        self._data = bytearray()

    def add(self, chunk: bytes) -> None:
        self._data += chunk
        if len(self._data) > self._limit:
            raise _Unreadable(f"it is longer than {self._limit} bytes")

    @property
    def data(self) -> bytes:
        return bytes(self._data)


class _NotPublic(OSError):
    """A connection that a stranger may not make us open."""


@dataclass(frozen=True, slots=True)
class _Guard:
    """Makes sockets to public addresses, and to `permitted` endpoints."""

    permitted: frozenset[Endpoint]

    def __call__(self, info: Any) -> socket.socket:
        family, kind, protocol, _, address = info
        if not is_public(address[0]) and (address[0], address[1]) not in self.permitted:
            raise _NotPublic(f"{address[0]} is not a public address")
        return socket.socket(family, kind, protocol)


def is_public(address: str) -> bool:
    """Whether the whole internet means the same machine by it."""
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
    """The addresses that a URL's host has."""
    parts = urlsplit(url)
    try:
        port = parts.port or (80 if parts.scheme == "http" else 443)
        found = socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
    except (OSError, ValueError):
        raise _Unreadable("the IPFS gateway's name cannot be resolved") from None
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
