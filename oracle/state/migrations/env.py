"""What Alembic runs: the migrations, on the connection that it was given."""

from alembic import context

from oracle.state.schema import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA)
context.run_migrations()
