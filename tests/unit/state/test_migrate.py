"""States of other versions: adapted, or refused in a sentence; never half of one."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine, inspect, text
from sqlalchemy.engine import Engine

from oracle.errors import ConfigError
from oracle.state.migrate import migrate
from oracle.state.schema import METADATA


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    opened = create_engine(f"sqlite:///{tmp_path}/state.db")
    yield opened
    opened.dispose()


def test_migrations_lead_to_the_tables_of_the_schema(engine: Engine) -> None:
    with engine.begin() as connection:
        migrate(connection)
        migrate(connection)  # there is nothing left to do

        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []


def test_a_state_from_before_there_were_migrations_is_refused(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE identity (chain_id INTEGER)"))

        with pytest.raises(ConfigError, match="too old: move it away"):
            migrate(connection)

        assert inspect(connection).get_table_names() == ["identity"]


def test_a_state_of_a_newer_version_is_refused(engine: Engine) -> None:
    with engine.begin() as connection:
        migrate(connection)
        connection.execute(text("UPDATE alembic_version SET version_num = 'later'"))

        with pytest.raises(ConfigError, match=r"newer version of exactum \(later, and this one"):
            migrate(connection)


def test_who_only_looks_makes_nothing(engine: Engine) -> None:
    with engine.begin() as connection:
        with pytest.raises(ConfigError, match="next start adapts it"):
            migrate(connection, looks=True)

        assert inspect(connection).get_table_names() == []
