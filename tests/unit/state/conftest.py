"""States to test: in a file, and in PostgreSQL where there is one."""

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy

from oracle.state.store import Store
from oracle.types import Address
from tests.unit.state.changes import ME, QUEUE, Open


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty database. PostgreSQL where EXACTUM_TEST_POSTGRES is the URL of a server."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/state.db"
        return
    server = os.environ.get("EXACTUM_TEST_POSTGRES")
    if server is None:
        pytest.skip("EXACTUM_TEST_POSTGRES is not set")
    schema = "exactum_" + uuid.uuid4().hex
    engine = sqlalchemy.create_engine(server)
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text(f"CREATE SCHEMA {schema}"))
    mark = "&" if "?" in server else "?"
    yield f"{server}{mark}options=-csearch_path%3D{schema}"
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text(f"DROP SCHEMA {schema} CASCADE"))
    engine.dispose()


@pytest.fixture
def open_store(url: str) -> Iterator[Open]:
    """Opens the same state once more, as a restarted worker does."""
    stores = []

    def opened(
        chain_id: int = 31337,
        queue: Address = QUEUE,
        operator: Address = ME,
        sender: Address | None = None,
    ) -> Store:
        stores.append(Store(url, chain_id, queue, operator, sender))
        return stores[-1]

    yield opened
    for store in stores:
        store.close()


@pytest.fixture
def store(open_store: Open) -> Store:
    return open_store()
