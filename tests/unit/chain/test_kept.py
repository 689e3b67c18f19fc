"""What is kept of old logs is read as it was written, or not at all."""

import json
from pathlib import Path
from typing import Any

import pytest

from oracle.chain.kept import DatedLog, Kept, load, save
from oracle.chain.replies import Log
from tests.chains import address

LOG = Log(address("publisher"), (b"\1" * 32,), b"\2\3", 5, b"\4" * 32, 6, b"\5" * 32)
KEPT = Kept(9, b"\6" * 32, [DatedLog(LOG, 1_900_000_000), DatedLog(LOG, 1_900_000_012)])


def test_load_gives_what_was_saved(tmp_path: Path) -> None:
    path = tmp_path / "cache" / "1-aa.json"
    save(path, Kept(1, b"\0" * 32))
    save(path, KEPT)

    assert load(path) == KEPT
    assert path.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_load_gives_nothing_where_there_is_no_file(tmp_path: Path) -> None:
    assert load(tmp_path / "none.json") is None
    assert load(tmp_path) is None


@pytest.mark.parametrize("field", ["last", "hash", "logs"])
def test_load_gives_nothing_where_a_field_is_garbled(tmp_path: Path, field: str) -> None:
    path = tmp_path / "1-aa.json"
    save(path, KEPT)
    content = json.loads(path.read_text())

    odd: list[Any] = [None, -1, "zz", {}, [None], [{}], [content["logs"][0] | {"time": None}]]
    for value in odd:
        path.write_text(json.dumps(content | {field: value}))
        assert load(path) is None


@pytest.mark.parametrize("text", ["", "[", "[]", "3", "{}", "[" * 100_000])
def test_load_gives_nothing_where_the_file_is_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "1-aa.json"
    path.write_text(text)

    assert load(path) is None


def test_load_gives_nothing_where_the_file_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "1-aa.json"
    path.write_bytes(b"\xff\xfe")

    assert load(path) is None


def test_save_passes_over_a_folder_that_it_cannot_make(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")

    save(tmp_path / "cache" / "1-aa.json", KEPT)

    assert load(tmp_path / "cache" / "1-aa.json") is None
