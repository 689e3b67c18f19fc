"""Brings a state to this version's tables, by Alembic."""

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect

from oracle.errors import ConfigError
from oracle.state.schema import METADATA


def migrate(connection: Connection, looks: bool = False) -> None:
    """Makes the tables, or changes those of an older version, in the connection's transaction.
    Whoever only `looks` changes nothing. Raises ConfigError for what it does not know."""
    config = Config()
    config.set_main_option("script_location", "oracle.state:migrations")
    config.attributes["connection"] = connection
    scripts = ScriptDirectory.from_config(config)
    found = MigrationContext.configure(connection).get_current_revision()
    newest = scripts.get_current_head()
    if found == newest:
        return
    if found is None and METADATA.tables.keys() & set(inspect(connection).get_table_names()):
        # Before there were migrations. What it held follows from the chain, or has ended by now.
        raise ConfigError(
            "This state was made by a version of exactum that is too old: move it away, or give"
            " --state another place. What it held is read from the chain again, but for answers"
            " that were signed and not posted yet: wait for an hour before you sign more."
        )
    if found is not None and found not in {each.revision for each in scripts.walk_revisions()}:
        raise ConfigError(
            f"This state was made by a newer version of exactum ({found}, and this one has"
            f" {newest}): install that again, or give --state another place."
        )
    if looks:
        raise ConfigError(
            "This state is of an older version, and the program's next start adapts it."
        )
    command.upgrade(config, "head")
