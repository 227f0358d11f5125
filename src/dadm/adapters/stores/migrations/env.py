"""What Alembic runs to apply revisions on the connection it is given."""

from alembic import context

# The caller owns the transaction and the lock; nothing is committed here.
context.configure(
    connection=context.config.attributes["connection"],
    version_table=context.config.attributes["version_table"],
)
context.run_migrations()
