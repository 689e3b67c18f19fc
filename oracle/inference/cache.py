"""A folder of files, each named by what certifies it: bounded in bytes, and shared by processes.

<name>            the operator's own: added by a command, counted, never evicted
fetched/<name>    from a URI, evicted when room is needed, the least recently used first
fetched/.….part   a file in the making, which its writer holds locked
kept/<who>/<name> says that a program still needs the file, which is then not evicted
.lock             held while room is made, so that two processes never count the same bytes

What the folder holds is counted anew each time from the files themselves: a count that is kept
beside them would be wrong after the first process that is killed.
"""

import fcntl
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator, Set
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from oracle.errors import CacheFull, ModelUnavailable
from oracle.inference.certificates import is_certified
from oracle.types import FileKind, FileName

STEP = 4 << 20  # bytes by which a file in the making grows
RESERVE = 1 << 30  # bytes of the disk that are left to others, the state above all
HOUR = 3600.0  # seconds that the time of a file's last use may be behind

_SUFFIXES, _PART = tuple(f".{kind}" for kind in FileKind), ".part"


@dataclass(frozen=True, slots=True)
class Limits:
    """`total` bytes are all files together; `reserve` is what stays free on the disk."""

    total: int = 16 << 30
    reserve: int = RESERVE


class Cache:
    """`keeper` names the program in whose name `keep` speaks, over all of its runs."""

    def __init__(self, root: Path, limits: Limits, largest: int, keeper: str = "nobody"):
        self._root = root
        self._fetched = root / "fetched"
        self._kept = root / "kept"
        self._mine = self._kept / keeper
        self._limits = limits
        # Files in the making are not known to be good. Whoever sends garbage evicts no more.
        self._most_parts = max(largest, limits.total // 4)
        # But a few servers that send large ones slowly must keep no small file from being fetched.
        self._small = limits.total // 256
        self._checked: dict[Path, tuple[int, ...]] = {}  # files as they were when hashed
        self._last_kept: Set[FileName] | None = None

    def place(self, name: FileName) -> Path | None:
        """Says where a file of that name lies, if there is one. It does not check the file, so it
        costs nothing."""
        return next((path for path in self._places(name) if path.exists()), None)

    def names(self) -> set[FileName]:
        """Gathers the names of all files that are here. It does not check them."""
        if not self._fetched.is_dir():
            return set()
        paths = [*_sizes(self._root), *_sizes(self._fetched)]
        ours = (path for path in paths if re.fullmatch("[0-9a-f]{64}", path.stem))
        return {FileName(FileKind(path.suffix[1:]), bytes.fromhex(path.stem)) for path in ours}

    def path(self, name: FileName) -> Path | None:
        """Finds the file, if it is here. A file whose bytes changed is removed, and one of which
        that cannot be found out stays. Raises NotCertified."""
        for path in self._places(name):
            try:
                if self._is_whole(path, name):
                    return path
                path.unlink(missing_ok=True)
            except FileNotFoundError:
                pass
        return None

    @contextmanager
    def held(self, name: FileName) -> Iterator[Path]:
        """Gives the path of the file and keeps it from being evicted until the block ends. Raises
        ModelUnavailable where the file is not here, or no longer; it can be fetched again."""
        path = self.path(name)
        file = None if path is None else _opened(path)
        if path is None or file is None:
            raise ModelUnavailable(f"The model file {name} is no longer in {self._root}.")
        with file:
            self._note_use(path, file)
            yield path

    @contextmanager
    def incoming(self, is_own: bool = False) -> Iterator["Incoming"]:
        """Opens a new file to be filled. If it is not kept by the end of the block, it is
        removed."""
        self._fetched.mkdir(parents=True, exist_ok=True)
        with self._locked():  # or another process takes it for the leftover of a killed one
            number, name = tempfile.mkstemp(dir=self._fetched, prefix=".", suffix=_PART)
            file = os.fdopen(number, "wb")
            fcntl.flock(file, fcntl.LOCK_EX)
        part = Path(name)
        try:
            with file:
                yield Incoming(self, file, part, is_own)
        finally:
            part.unlink(missing_ok=True)

    def keep(self, files: Set[FileName]) -> None:
        """Evicts none of these files from now on, nor after a restart, until the next call."""
        if files == self._last_kept:
            return
        self._mine.mkdir(parents=True, exist_ok=True)
        names = {str(each) for each in files}
        for path in self._mine.iterdir():
            if path.name not in names:
                path.unlink(missing_ok=True)
        for name in names:
            (self._mine / name).touch()
        self._last_kept = frozenset(files)

    def clean(self) -> None:
        """Removes what killed processes left half-written."""
        if not self._fetched.is_dir():
            return
        with self._locked():
            for path in self._fetched.glob(f".*{_PART}"):
                _evict(path)

    # Used by Incoming.

    def grow(self, file: BinaryIO, by: int) -> int:
        """Takes room for `by` more bytes; gives the file's size then. Raises CacheFull."""
        with self._locked():
            size = os.fstat(file.fileno()).st_size + by
            self._make_room(by, is_small=size <= self._small)
            os.ftruncate(file.fileno(), size)  # others count these bytes from now on
            return size

    def admit(self, part: Path, name: FileName, is_own: bool) -> Path:
        """Gives a finished file its name."""
        own, fetched = self._places(name)
        path = own if is_own else fetched
        with self._locked():
            os.replace(part, path)
            if is_own:
                fetched.unlink(missing_ok=True)
            self._checked[path] = _identity(path.stat())
        return path

    # Inside.

    def _places(self, name: FileName) -> tuple[Path, Path]:
        return self._root / str(name), self._fetched / str(name)

    def _is_whole(self, path: Path, name: FileName) -> bool:
        # The kernel sets ctime, so an unchanged one means unchanged bytes. Whoever loads the file
        # hashes what it read all the same.
        seen = _identity(path.stat())
        if self._checked.get(path) == seen:
            return True
        if not is_certified(path, name):
            return False
        self._checked[path] = seen
        return True

    def _note_use(self, path: Path, file: BinaryIO) -> None:
        """Sets the time of access, as not every file system does. That also sets ctime, and other
        processes hash the file anew: so not each time."""
        found = os.fstat(file.fileno())
        if time.time() - found.st_atime < HOUR:
            return
        os.utime(file.fileno(), ns=(time.time_ns(), found.st_mtime_ns))
        if self._checked.get(path) == _identity(found):
            self._checked[path] = _identity(os.fstat(file.fileno()))

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Lets one thread of one process in at a time."""
        with (self._root / ".lock").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _make_room(self, needed: int, is_small: bool) -> None:
        own, fetched, parts = _sizes(self._root), _sizes(self._fetched), self._parts()
        making = needed + sum(parts.values())
        if making > self._most_parts and not is_small:
            raise CacheFull(
                f"Files that are being fetched may take {self._most_parts} bytes together: try"
                " again when others are done."
            )
        kept = {path.name for path in self._kept.glob("*/*")}
        total = making + sum(own.values()) + sum(fetched.values())
        free = shutil.disk_usage(self._root).free
        for path in sorted(fetched, key=_last_use):
            if self._fits(total, free - needed):
                return
            if path.name not in kept and _evict(path):
                total -= fetched[path]
                free = shutil.disk_usage(self._root).free
        if total > self._limits.total:
            raise CacheFull(
                f"The model cache may hold {self._limits.total} bytes, and all that it holds is"
                " in use, your own, or needed to defend a result: raise --cache-bytes."
            )
        if not self._fits(total, free - needed):
            raise CacheFull(
                f"The disk of {self._root} has {free} bytes left, of which {self._limits.reserve}"
                " are reserved: free some, or move $EXACTUM_HOME."
            )

    def _fits(self, total: int, free: int) -> bool:
        return total <= self._limits.total and free >= self._limits.reserve

    def _parts(self) -> dict[Path, int]:
        return _sizes(self._fetched, _PART)


class Incoming:
    """A file in the making, never larger than there is room for."""

    def __init__(self, cache: Cache, file: BinaryIO, part: Path, is_own: bool):
        self._cache = cache
        self._file = file
        self._part = part
        self._is_own = is_own
        self._room = 0
        self.size = 0

    def restart(self) -> None:
        """Forgets what was written: the next source begins."""
        self.size = 0
        self._file.seek(0)

    def write(self, chunk: bytes) -> None:
        """Raises CacheFull where there is no room for it."""
        self.size += len(chunk)
        if self.size > self._room and not self._is_own:
            self._room = self._cache.grow(self._file, max(STEP, self.size - self._room))
        self._file.write(chunk)

    def written(self) -> Path:
        """Gives the path of what was written, to be looked at."""
        self._file.flush()
        os.ftruncate(self._file.fileno(), self.size)
        self._room = self.size
        return self._part

    def finish(self, name: FileName) -> Path:
        """Keeps the file, on the disk for good, under the name that it was found to have."""
        os.fsync(self._file.fileno())
        return self._cache.admit(self._part, name, self._is_own)


def _opened(path: Path) -> BinaryIO | None:
    """Opens the file and locks it against eviction until it is closed. Gives None if it is gone."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return None
    fcntl.flock(file, fcntl.LOCK_SH)
    if os.fstat(file.fileno()).st_nlink:
        return file
    file.close()  # evicted just before
    return None


def _evict(path: Path) -> bool:
    """Removes a file unless somebody holds it locked, and says whether it is gone."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()
    except BlockingIOError:
        return False
    except FileNotFoundError:
        pass
    return True


def _sizes(folder: Path, suffix: str | tuple[str, ...] = _SUFFIXES) -> dict[Path, int]:
    found = {}
    for entry in os.scandir(folder):
        if entry.name.endswith(suffix):
            try:
                found[Path(entry.path)] = entry.stat().st_size
            except FileNotFoundError:
                continue
    return found


def _last_use(path: Path) -> float:
    try:
        return path.stat().st_atime
    except FileNotFoundError:
        return 0.0


def _identity(found: os.stat_result) -> tuple[int, ...]:
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
