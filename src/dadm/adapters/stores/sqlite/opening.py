"""Connections to a SQLite file, and the file made ready for them."""

import sqlite3
import time
from contextlib import closing
from pathlib import Path

from dadm.adapters.stores.migrations.version import SCHEMA, VERSION_TABLE
from dadm.adapters.stores.sqlite.failures import ours
from dadm.domain.errors import StoreMisconfigured, StoreUnavailable

BUSY_SECONDS = 30.0
LOOK_AGAIN_SECONDS = 0.02
LOG_PATIENCE_MILLISECONDS = 1000
# Larger than the default, so that fewer bytes are lost behind texts that do not fill a page.
PAGE_BYTES = 8192
# What SQLite says where waiting may help; anything else needs a person.
PASSING = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})


def connect(path: Path, *, is_reader: bool = False) -> sqlite3.Connection:
    """Connect with durable commits and enforced foreign keys; the caller begins transactions."""
    connection = sqlite3.connect(
        path,
        timeout=BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=256,
    )
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA temp_store = MEMORY")
    # What is deleted is overwritten, or erased texts would be read in the file for a long time.
    connection.execute("PRAGMA secure_delete = ON")
    if is_reader:
        connection.execute("PRAGMA query_only = ON")
    return connection


def prepare(path: Path) -> None:
    """Create the file if there is none, and bring its schema up to date.

    Raises:
        StoreMisconfigured: The file cannot be used: no right to it, no database, a newer schema.
        StoreUnavailable: Others kept it locked all the time, or its disk is full.
    """
    patience_ends = time.monotonic() + BUSY_SECONDS
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        while not is_prepared(path):
            if time.monotonic() > patience_ends:
                message = (
                    f"The database {path} is locked by another program: end that, or give each a "
                    "file of its own."
                )
                raise StoreUnavailable(message)
            time.sleep(LOOK_AGAIN_SECONDS)
    except OSError as error:
        message = f"The folder of the database {path} cannot be used: {error.strerror}."
        raise StoreMisconfigured(message) from error
    except sqlite3.Error as error:
        raise ours(error, path) from error


def is_prepared(path: Path) -> bool:
    """Bring the schema up to date; False if a lock is in the way that SQLite does not wait for.

    It does not while another program that starts at this moment makes a new file a WAL one.
    """
    try:
        with closing(connect(path)) as connection:
            if not is_up_to_date(connection):
                write_schema(connection)
            # Told now, not by the first task: whether the file may be written at all. Taking the
            # lock says nothing, for that is another file.
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(f"UPDATE {VERSION_TABLE} SET version_num = version_num")  # noqa: S608
            connection.execute("ROLLBACK")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode in PASSING:
            return False
        raise
    return True


def is_up_to_date(connection: sqlite3.Connection) -> bool:
    """Whether the file has this program's schema; quick, for most starts end here."""
    tables = "SELECT 1 FROM sqlite_schema WHERE name = ?"
    if connection.execute(tables, (VERSION_TABLE,)).fetchone() is None:
        return False
    versions = connection.execute(f"SELECT version_num FROM {VERSION_TABLE}")  # noqa: S608 - ours
    return versions.fetchall() == [(SCHEMA,)]


def write_schema(connection: sqlite3.Connection) -> None:
    """Apply what is missing of the schema, while everybody else is kept out."""
    # Half a second of imports that a start with an up-to-date schema does without.
    from sqlalchemy import create_engine  # noqa: PLC0415
    from sqlalchemy.exc import DBAPIError  # noqa: PLC0415
    from sqlalchemy.pool import StaticPool  # noqa: PLC0415

    from dadm.adapters.stores.migrations.upgrading import upgrade  # noqa: PLC0415

    connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
    connection.execute("PRAGMA journal_mode = WAL")
    # SQLite's own way to change a table that others refer to; looked through before the commit.
    connection.execute("PRAGMA foreign_keys = OFF")
    engine = create_engine("sqlite://", creator=lambda: connection, poolclass=StaticPool)
    with engine.connect() as alembics:
        connection.execute("BEGIN EXCLUSIVE")
        try:
            upgrade(alembics)
        except DBAPIError as error:
            raise error.orig or error from error
        if connection.execute("PRAGMA foreign_key_check").fetchone() is not None:
            message = (
                "The database has rows that refer to others which are missing, so its schema was "
                "not brought up to date. Restore a backup, or name another file."
            )
            raise StoreMisconfigured(message)
        connection.execute("COMMIT")


def empty_log(path: Path) -> None:
    """Move what is in the log to the file, and empty the log, unless others are at it too long.

    It is the log of all programs on the file; what is left there goes when it begins anew.
    """
    with closing(connect(path)) as connection:
        connection.execute(f"PRAGMA busy_timeout = {LOG_PATIENCE_MILLISECONDS}")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
