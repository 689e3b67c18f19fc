"""Opens the database of what must survive a crash. SQL by SQLAlchemy."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Table, create_engine, event, inspect, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Engine
from sqlalchemy.exc import ArgumentError, DBAPIError

from oracle.errors import ConfigError
from oracle.state.schema import IDENTITY, METADATA
from oracle.types import Address


class Database:
    """Opens the state of one account. `url` as SQLAlchemy writes it: sqlite:///… or
    postgresql+psycopg://… Its transactions are all of `sender`; of the account, if that is None."""

    def __init__(
        self,
        url: str,
        chain_id: int,
        queue: Address,
        account: Address,
        sender: Address | None = None,
    ):
        sender = sender or account
        self._engine = _open(url)
        with self._begin() as connection:
            METADATA.create_all(connection)
            _check_tables(connection, self._engine.url.render_as_string(hide_password=True))
            found = connection.execute(select(IDENTITY)).one_or_none()
            if found is None:
                values = {"chain_id": chain_id, "queue": queue, "account": account}
                connection.execute(IDENTITY.insert().values(values | {"sender": sender}))
        if found is not None and tuple(found) != (chain_id, queue, account, sender):
            self.close()
            key = "" if found.sender == found.account else f", whose key is {found.sender},"
            raise ConfigError(
                f"This state belongs to account {found.account}{key} on chain {found.chain_id}"
                f" (queue {found.queue}); give --state another file."
            )

    def close(self) -> None:
        self._engine.dispose()

    @contextmanager
    def _begin(self) -> Iterator[Connection]:
        with self._engine.begin() as connection:
            yield connection

    def _insert(self, connection: Connection, table: Table, **values: object) -> None:
        """Inserts a row, or does nothing where the row is there already, because events may be read
        twice."""
        dialect = postgresql if self._engine.dialect.name == "postgresql" else sqlite
        connection.execute(dialect.insert(table).values(values).on_conflict_do_nothing())


def _open(url: str) -> Engine:
    try:
        engine = create_engine(url)
    except (ArgumentError, ImportError) as error:
        raise ConfigError(f"The state cannot be opened: {_first_line(error)}.") from error
    if engine.dialect.name == "sqlite":

        @event.listens_for(engine, "connect")
        def _durable(connection: object, _: object) -> None:
            cursor = connection.cursor()  # type: ignore[attr-defined]
            cursor.execute("PRAGMA journal_mode = WAL")
            cursor.execute("PRAGMA synchronous = FULL")
            cursor.close()

    try:
        engine.connect().close()
    except (DBAPIError, sqlite3.DatabaseError) as error:
        cause = getattr(error, "orig", error)
        raise ConfigError(f"The state cannot be opened: {_first_line(cause)}.") from error
    return engine


def _check_tables(connection: Connection, where: str) -> None:
    """Refuses the state of another version, which lies at `where`. It can be given up, since all
    that is kept follows from the chain, or ends within the hour that a signature lasts at most."""
    tables = inspect(connection)
    for name, table in METADATA.tables.items():
        if {column["name"] for column in tables.get_columns(name)} != set(table.columns.keys()):
            raise ConfigError(
                f"The state {where} was made by another version of exactum: move it away, or give"
                " --state another place. What it held is read from the chain again, but for answers"
                " that were signed and not posted yet: wait for an hour before you sign more."
            )


def _first_line(error: object) -> str:
    return str(error).strip().splitlines()[0].rstrip(".")
