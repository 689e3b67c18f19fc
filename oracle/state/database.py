"""Opens the database of what must survive a crash. SQL by SQLAlchemy."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from sqlalchemy import Connection, create_engine, event, select
from sqlalchemy.engine import Engine
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError

from oracle.errors import ConfigError, StateUnavailable
from oracle.state.hold import hold
from oracle.state.migrate import migrate
from oracle.state.schema import IDENTITY
from oracle.types import Address

WORKER, CHALLENGER = "worker", "challenger"  # the programs that have a state


class Database:
    """Opens the state of one account's `program`. `url` as SQLAlchemy writes it: sqlite:///… or
    postgresql+psycopg://… Its transactions are all of `sender`; of the account, if that is None.

    Whoever only `looks` makes and changes nothing. Whoever `holds` it keeps any other program from
    working with it until it is closed; raises ConfigError where one does."""

    def __init__(
        self,
        url: str,
        chain_id: int,
        queue: Address,
        account: Address,
        sender: Address | None = None,
        program: str = WORKER,
        looks: bool = False,
        holds: bool = False,
    ):
        sender = sender or account
        self.account = account
        self._engine = _open(url, looks)
        self._held: ExitStack | None = None
        self._shared: Connection | None = None
        try:
            if holds:
                self._held = hold(self._engine)
            self._prepare((chain_id, queue, account, sender, program), looks)
        except BaseException:
            self.close()
            raise

    def _prepare(self, ours: tuple[object, ...], looks: bool) -> None:
        with self._begin() as connection:
            migrate(connection, looks)
            found = connection.execute(select(IDENTITY)).one_or_none()
            if found is None and not looks:
                names = [column.name for column in IDENTITY.columns]
                connection.execute(IDENTITY.insert().values(dict(zip(names, ours, strict=True))))
        if found is not None and tuple(found) != ours:
            key = "" if found.sender == found.account else f", whose key is {found.sender},"
            raise ConfigError(
                f"This state belongs to the {found.program} of account {found.account}{key} on"
                f" chain {found.chain_id} (queue {found.queue}); give --state another file."
            )

    def close(self) -> None:
        if self._held is not None:
            self._held.close()
        self._engine.dispose()

    @contextmanager
    def together(self) -> Iterator[None]:
        """Keeps all that is kept inside at once, or nothing: each time takes as long as the disk
        takes to write."""
        if self._shared is not None:
            yield
            return
        with self._begin() as connection:
            self._shared = connection
            try:
                yield
            finally:
                self._shared = None

    @contextmanager
    def _begin(self) -> Iterator[Connection]:
        """Does all inside or nothing. Raises StateUnavailable where the disk is full, or the
        database does not answer."""
        if self._shared is not None:
            yield self._shared
            return
        try:
            with self._engine.begin() as connection:
                yield connection
        except (OperationalError, InterfaceError) as error:
            raise StateUnavailable(_first_line(error.orig)) from error


def _open(url: str, looks: bool) -> Engine:
    try:
        engine = create_engine(url)
    except (ArgumentError, ImportError) as error:
        raise ConfigError(f"The state cannot be opened: {_first_line(error)}.") from error
    if engine.dialect.name == "sqlite":
        if not looks:
            _keep_private(engine.url.database)

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


def _keep_private(file: str | None) -> None:
    """Makes the file, and lets nobody else read it: it says what we will do."""
    if file in (None, "", ":memory:"):
        return
    assert file is not None
    try:
        os.close(os.open(file, os.O_CREAT | os.O_RDWR, 0o600))
        os.chmod(file, 0o600)
    except OSError as error:
        raise ConfigError(f"The state {file} cannot be opened: {error.strerror}.") from error


def _first_line(error: object) -> str:
    return str(error).strip().splitlines()[0].rstrip(".")
