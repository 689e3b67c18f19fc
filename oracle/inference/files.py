"""Model files by name: fetched from URIs that strangers chose, checked, kept."""

import time
from collections.abc import Iterator, Sequence, Set
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from threading import Lock
from weakref import WeakValueDictionary

from oracle.errors import ConfigError, ModelMismatch, ModelRefused, ModelUnavailable, NotCertified
from oracle.exact.program_file import source_hash
from oracle.inference.cache import Cache, Incoming, Limits
from oracle.inference.certificates import Allowance, name_of
from oracle.inference.sources import CHUNK, PATIENCE, Sources, Unreadable, masked
from oracle.types import FileKind, FileName


class ModelFiles:
    """Model files, each by what certifies it, in a folder that other programs may share.

    `timeout` is for all URIs of a file together, for a publisher may name any number of slow ones;
    a server that sends next to nothing for `patience` seconds is given up before. `keeper` is in
    whose name `keep` speaks.
    """

    def __init__(
        self,
        root: Path,
        max_bytes: int = 2 << 30,
        timeout: float = 300.0,
        allow_local: bool = False,
        ipfs_gateway: str | None = None,
        patience: float = PATIENCE,
        limits: Limits | None = None,
        keeper: str = "nobody",
    ):
        self._root = root
        self._timeout = timeout
        self._cache = Cache(root, limits or Limits(), max_bytes, keeper)
        self._sources = Sources(max_bytes, allow_local, ipfs_gateway, patience)
        self._guard = Lock()
        self._fetching: WeakValueDictionary[_Wanted, _Turn] = WeakValueDictionary()
        with suppress(OSError):  # of a folder that cannot be used, a fetch tells
            self._cache.clean()

    def add(self, file: Path | bytes | Iterator[bytes]) -> FileName:
        """Keeps a file of the operator's own, given whole or in pieces, which is never evicted;
        gives its name. Raises ModelRefused where it is a program file that lacks a part, and
        NotCertified."""
        try:
            with self._cache.incoming(is_own=True) as incoming:
                for piece in _pieces(file):
                    incoming.write(piece)
                name = name_of(incoming.written())
                incoming.finish(name)
                return name
        except OSError as error:
            raise ConfigError(f"The file cannot be kept in {self._root}: {error}.") from error

    def programs_of(self, source: FileName) -> list[FileName]:
        """Lists the program files here that say that they were lowered from that source."""
        return sorted(
            (name for name in self._cache.names() if self._source(name) == source.digest), key=str
        )

    def _source(self, name: FileName) -> bytes | None:
        if name.kind is not FileKind.PROGRAM:
            return None
        try:
            path = self._cache.path(name)
            return None if path is None else source_hash(path)
        except (ModelRefused, NotCertified, OSError):
            return None

    def has(self, name: FileName) -> bool:
        """Says whether there is a file of that name. It does not check the file, so it costs
        nothing."""
        return self._cache.place(name) is not None

    def place(self, name: FileName) -> Path | None:
        """Says where a file of that name lies, if there is one, as unchecked as `has`."""
        return self._cache.place(name)

    def path(self, name: FileName) -> Path | None:
        """Finds the file, if it is here. A file whose bytes changed is removed. Raises
        NotCertified."""
        return self._cache.path(name)

    def held(self, name: FileName) -> AbstractContextManager[Path]:
        """Gives the path of the file and keeps it from being evicted until the block ends. Raises
        ModelUnavailable."""
        return self._cache.held(name)

    def keep(self, files: Set[FileName]) -> None:
        """Says which fetched files are needed until the next call, and after a restart too. Raises
        ModelUnavailable where that cannot be noted down."""
        try:
            self._cache.keep(files)
        except OSError as error:
            why = error.strerror or str(error)
            raise ModelUnavailable(f"Nothing can be noted down in {self._root}: {why}.") from error

    def fetch(self, name: FileName, uris: Sequence[str]) -> Path:
        """Fetches the file from the first URI that gives it, unless it is here, and gives its path.

        Raises ModelMismatch if every URI gives other bytes, CacheFull if there is no room, else
        ModelUnavailable with the reason of each.
        """
        with self._guard:
            turn = self._fetching.setdefault((name, tuple(uris)), _Turn())
        with turn.lock:
            try:
                return self._cache.path(name) or self._fetch(name, uris)
            except OSError as error:
                raise ModelUnavailable(f"{self._root} cannot be used: {error}.") from error

    def _fetch(self, name: FileName, uris: Sequence[str]) -> Path:
        failures: list[str] = []
        wrong: set[str] = set()
        end, allowance = time.monotonic() + self._timeout, Allowance()
        with self._cache.incoming() as incoming:
            for left, uri in zip(range(len(uris), 0, -1), uris, strict=True):
                allowance.files = left
                try:
                    self._read(uri, incoming, (end - time.monotonic()) / left)
                except Unreadable as error:
                    failures.append(f"{masked(uri)}: {error}")
                    continue
                try:
                    other = _other(incoming.written(), name, allowance)
                except NotCertified as error:
                    failures.append(f"{masked(uri)}: {error.why}")
                    continue
                if other is None:
                    return incoming.finish(name)
                failures.append(f"{masked(uri)}: {other}")
                wrong.add(uri)
        if not failures:
            raise ModelUnavailable(f"There is no URI for {_called(name)}.")
        kind = ModelMismatch if wrong == set(uris) else ModelUnavailable
        raise kind(f"No URI gave {_called(name)}: {'; '.join(failures)}.")

    def _read(self, uri: str, incoming: Incoming, limit: float) -> None:
        incoming.restart()
        self._sources.read(uri, incoming.write, limit)


def _pieces(file: Path | bytes | Iterator[bytes]) -> Iterator[bytes]:
    match file:
        case bytes():
            yield file
        case Path():
            with file.open("rb") as opened:
                while chunk := opened.read(CHUNK):
                    yield chunk
        case _:
            yield from file


def _called(name: FileName) -> str:
    if name.kind is FileKind.PROGRAM:
        return f"the program file of root 0x{name.digest.hex()}"
    return f"the model file with SHA-256 {name.digest.hex()}"


def _other(path: Path, wanted: FileName, allowance: Allowance) -> str | None:
    """Says what a file is that is not the one that is wanted. Raises NotCertified."""
    try:
        found = name_of(path, allowance)
    except ModelRefused as refused:
        return refused.reasons[0].why
    if found == wanted:
        return None
    if found.kind is FileKind.PROGRAM:
        return f"it is the program file of root 0x{found.digest.hex()}"
    what = "it is no program file" if wanted.kind is FileKind.PROGRAM else "it is another file"
    return f"{what}: its SHA-256 is {found.digest.hex()}"


_Wanted = tuple[FileName, tuple[str, ...]]
"""A file, and where from: whoever knows of other servers does not wait for these."""


class _Turn:
    """Who fetches a file, while others that want it from the same URIs wait."""

    def __init__(self) -> None:
        self.lock = Lock()
