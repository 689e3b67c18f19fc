import hashlib
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from oracle.errors import CacheFull, ModelUnavailable
from oracle.inference.cache import STEP, Limits
from oracle.inference.files import ModelFiles
from oracle.types import FileKind, FileName

SIZE = 1000


def data(number: int, size: int = SIZE) -> bytes:
    return bytes([number]) * size


def name_of(number: int, size: int = SIZE) -> FileName:
    return FileName(FileKind.ONNX, hashlib.sha256(data(number, size)).digest())


def uri(folder: Path, number: int, size: int = SIZE) -> str:
    path = folder / f"source-{number}-{size}"
    path.write_bytes(data(number, size))
    return path.as_uri()


def files(folder: Path, room: int = 0, **options: Any) -> ModelFiles:
    """A cache with room for one file in the making and `room` bytes besides."""
    options.setdefault("limits", Limits(total=STEP + room, reserve=0))
    return ModelFiles(folder / "cache", allow_local=True, max_bytes=4 * STEP, **options)


def fetch(cache: ModelFiles, folder: Path, *numbers: int) -> None:
    for number in numbers:
        path = cache.fetch(name_of(number), [uri(folder, number)])
        os.utime(path, (number, number))  # the order of their last uses


def held(cache: ModelFiles, *numbers: int) -> list[int]:
    return [number for number in numbers if cache.has(name_of(number))]


def test_fetch_evicts_what_was_used_the_longest_ago(tmp_path):
    cache = files(tmp_path, room=2 * SIZE)
    fetch(cache, tmp_path, 1, 2, 3)
    assert held(cache, 1, 2, 3) == [1, 2, 3]
    with cache.held(name_of(1)):
        pass
    fetch(cache, tmp_path, 4)
    assert held(cache, 1, 2, 3, 4) == [1, 3, 4]


def test_fetch_evicts_no_file_that_is_held(tmp_path):
    cache, another = files(tmp_path, room=SIZE), files(tmp_path, room=SIZE)
    fetch(cache, tmp_path, 1, 2)
    with another.held(name_of(1)) as path:
        fetch(cache, tmp_path, 3)
        assert path.read_bytes() == data(1)
    assert held(cache, 1, 2, 3) == [1, 3]


def test_fetch_evicts_no_file_that_a_program_keeps(tmp_path):
    """A publisher whose server is gone must not cost us the bond of a result that is open."""
    fetch(files(tmp_path), tmp_path, 1)
    files(tmp_path, keeper="worker").keep({name_of(1)})
    again = files(tmp_path, keeper="challenger")
    with pytest.raises(CacheFull, match="needed to defend a result: raise --cache-bytes"):
        fetch(again, tmp_path, 2)
    again.keep(set())
    assert held(again, 1, 2) == [1]
    files(tmp_path, keeper="worker").keep(set())
    fetch(again, tmp_path, 2)
    assert held(again, 1, 2) == [2]


def test_fetch_evicts_no_file_of_the_operators_own_and_counts_it(tmp_path):
    cache = files(tmp_path, room=SIZE)
    cache.add(data(1))
    cache.add(data(2))
    with pytest.raises(CacheFull, match="all that it holds is in use, your own"):
        fetch(cache, tmp_path, 3)
    assert held(cache, 1, 2, 3) == [1, 2]


def test_add_makes_a_fetched_file_the_operators_own(tmp_path):
    cache = files(tmp_path, room=SIZE)
    fetch(cache, tmp_path, 1)
    cache.add(data(1))
    assert [path.name for path in (tmp_path / "cache").glob("**/*.onnx")] == [str(name_of(1))]
    fetch(cache, tmp_path, 2, 3)
    assert held(cache, 1, 2, 3) == [1, 3]


def test_fetch_leaves_the_reserve_of_the_disk(tmp_path):
    """Or a stranger's file stops the database in which our duties are."""
    cache = files(tmp_path, limits=Limits(reserve=1 << 60))
    with pytest.raises(CacheFull, match="are reserved: free some, or move"):
        fetch(cache, tmp_path, 1)
    assert list((tmp_path / "cache" / "fetched").iterdir()) == []


def test_fetch_of_garbage_evicts_no_more_than_a_quarter(tmp_path):
    """Twenty servers that stream zeros cannot drive good files out."""
    cache = ModelFiles(
        tmp_path / "cache", STEP, allow_local=True, limits=Limits(total=8 * STEP, reserve=0)
    )
    with cache._cache.incoming() as one, cache._cache.incoming() as other:
        one.write(bytes(STEP))
        other.write(bytes(STEP))
        with pytest.raises(CacheFull, match="try again when others are done"):
            one.write(b"\0")


def test_fetch_of_garbage_keeps_no_small_file_waiting(tmp_path):
    """A few servers that send large files slowly, for all the time that a fetch may take, could
    keep a challenger from every model that it does not have yet."""
    limits = Limits(total=256 * STEP, reserve=0)
    cache = ModelFiles(tmp_path / "cache", STEP, allow_local=True, limits=limits)
    with cache._cache.incoming() as garbage, cache._cache.incoming() as good:
        cache._cache.grow(garbage._file, limits.total // 4)
        with pytest.raises(CacheFull, match="try again when others are done"):
            cache._cache.grow(garbage._file, 1)
        good.write(b"a model")
        good.written()
        assert good.finish(name_of(1)).read_bytes() == b"a model"


def test_held_names_a_file_that_was_evicted(tmp_path):
    cache = files(tmp_path)
    fetch(cache, tmp_path, 1)
    fetch(cache, tmp_path, 2)
    with pytest.raises(ModelUnavailable, match="is no longer in"), cache.held(name_of(1)):
        pass


def test_a_file_that_is_open_outlives_its_eviction(tmp_path):
    cache = files(tmp_path)
    fetch(cache, tmp_path, 1)
    path = cache.path(name_of(1))
    with path.open("rb") as opened:
        fetch(cache, tmp_path, 2)
        assert not path.exists()
        assert opened.read() == data(1)


_WRITER = """
import sys
from pathlib import Path
from oracle.inference.cache import Cache, Limits
with Cache(Path(sys.argv[1]), Limits(reserve=0), 1 << 30).incoming() as incoming:
    incoming.write(b"begun")
    print("begun", flush=True)
    sys.stdin.readline()
"""


def test_clean_removes_what_a_killed_process_left_and_nothing_of_a_living_one(tmp_path):
    root = tmp_path / "cache"
    with subprocess.Popen(
        [sys.executable, "-c", _WRITER, root], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as writer:
        assert writer.stdout.readline() == b"begun\n"
        ModelFiles(root)
        assert len(list((root / "fetched").iterdir())) == 1
        writer.kill()
        writer.wait()
        assert len(list((root / "fetched").iterdir())) == 1
        ModelFiles(root)
        assert list((root / "fetched").iterdir()) == []


def test_fetches_beside_each_other_stay_within_the_budget(tmp_path):
    """Of several caches over one folder, as several processes have them."""
    limits = Limits(total=2 * STEP + 3 * SIZE, reserve=0)
    caches = [files(tmp_path, limits=limits) for _ in range(4)]
    seen: list[int] = []

    def work(cache: ModelFiles, first: int) -> None:
        for number in range(first, first + 12):
            try:
                cache.fetch(name_of(number), [uri(tmp_path, number)])
            except CacheFull:
                continue  # others were in the making
            folder = (tmp_path / "cache" / "fetched").glob("*.onnx")
            seen.append(sum(SIZE for _ in folder))

    threads = [threading.Thread(target=work, args=(c, 20 * i)) for i, c in enumerate(caches)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen and max(seen) <= limits.total
    assert not list((tmp_path / "cache" / "fetched").glob(".*.part"))
