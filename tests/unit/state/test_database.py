"""Whose state it is, who may open it, and what it is worth when the power fails."""

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from oracle.errors import ConfigError
from oracle.state.store import Store
from tests.chains import address
from tests.unit.state.changes import ME, QUEUE, Open, change, header, nothing


def test_store_opens_its_own_state_again(open_store: Open) -> None:
    open_store().apply(change(first=7, last=7), nothing)

    assert open_store().cursor() == header(7)


@pytest.mark.parametrize(
    "other",
    [
        {"chain_id": 1},
        {"queue": address("rival")},
        {"operator": address("rival")},
        {"sender": address("rival")},
    ],
)
def test_store_refuses_the_state_of_another(open_store: Open, other: dict[str, Any]) -> None:
    """Nor that of another key, whose nonces say nothing about ours."""
    open_store()

    with pytest.raises(ConfigError, match=f"belongs to the worker of account {ME} on chain 31337"):
        open_store(**other)


def test_store_says_whose_key_its_state_is_of(open_store: Open) -> None:
    open_store(sender=address("rival"))

    with pytest.raises(ConfigError, match=f"account {ME}, whose key is {address('rival')}, on"):
        open_store()


def test_store_says_why_it_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be opened"):
        Store(f"sqlite:///{tmp_path}/no/such/folder/state.db", 1, QUEUE, ME)


def test_store_refuses_a_file_that_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    path.write_text("not a database, but long enough to be looked at" * 100)

    with pytest.raises(ConfigError, match="cannot be opened"):
        Store(f"sqlite:///{path}", 1, QUEUE, ME)


def test_store_refuses_the_state_of_another_version(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/state.db"
    with sqlite3.connect(tmp_path / "state.db") as old:
        old.execute("CREATE TABLE duties (id INTEGER PRIMARY KEY, state TEXT)")

    with pytest.raises(ConfigError, match="too old: move it away"):
        Store(url, 1, QUEUE, ME)


@pytest.mark.parametrize("nonsense", ["nonsense", "nonsense://host/name"])
def test_store_refuses_a_url_that_is_none(nonsense: str) -> None:
    with pytest.raises(ConfigError, match="cannot be opened"):
        Store(nonsense, 1, QUEUE, ME)


def test_sqlite_keeps_what_was_committed_when_the_power_fails(store: Store) -> None:
    if store._engine.dialect.name != "sqlite":
        pytest.skip("PostgreSQL does unless told otherwise")
    with store._engine.connect() as connection:
        found = [
            connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("journal_mode", "synchronous")
        ]

    assert found == ["wal", 2]  # 2 is FULL


def test_nobody_else_reads_a_state_file(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    path.touch(0o644)

    Store(f"sqlite:///{path}", 31337, QUEUE, ME).close()

    assert path.stat().st_mode & 0o777 == 0o600
