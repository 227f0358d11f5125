"""Bringing a database's schema up to date with Alembic, and refusing one that is newer."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from dadm.adapters.stores.migrations.version import SCHEMA, VERSION_TABLE
from dadm.domain.errors import StoreMisconfigured


def upgrade(connection: Connection) -> None:
    """Apply the changes that are missing, inside the caller's transaction and under its lock.

    Raises:
        StoreMisconfigured: The schema is not one that this program knows.
    """
    config = Config(attributes={"connection": connection, "version_table": VERSION_TABLE})
    config.set_main_option("script_location", str(Path(__file__).parent))
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    present = MigrationContext.configure(
        connection, opts={"version_table": VERSION_TABLE}
    ).get_current_revision()
    if present is not None and present not in known:
        message = (
            f"The database has schema {present}, which is newer than schema {SCHEMA} that this "
            "program works with. Use a newer dadm; a schema is never taken back."
        )
        raise StoreMisconfigured(message)
    command.upgrade(config, "head")
