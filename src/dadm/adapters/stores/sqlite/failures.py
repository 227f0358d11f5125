"""What SQLite says when something fails, in our own words, and what to do about it."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dadm.domain.errors import StoreError, StoreMisconfigured, StoreUnavailable, ThreadConflict

DAMAGED = "It is damaged: stop dadm, and restore a backup or what `sqlite3 FILE .recover` finds."
RIGHTS = "Let this program read and write the file and its folder."
NO_SUCH_VALUE = "It cannot keep one of the values as it is."
# By SQLite's primary result codes (https://sqlite.org/rescode.html).
NEEDS_A_PERSON = {
    sqlite3.SQLITE_ERROR: "Its tables are not as dadm has made them: name another file.",
    sqlite3.SQLITE_PERM: RIGHTS,
    sqlite3.SQLITE_READONLY: RIGHTS,
    sqlite3.SQLITE_CANTOPEN: RIGHTS,
    sqlite3.SQLITE_CORRUPT: DAMAGED,
    sqlite3.SQLITE_NOTADB: "Name a file that is a database, or one that is not there yet.",
    sqlite3.SQLITE_TOOBIG: NO_SUCH_VALUE,
}
PASSES = {
    sqlite3.SQLITE_BUSY: "Another program holds it: end that, or give each a file of its own.",
    sqlite3.SQLITE_LOCKED: "Another program holds it: end that, or give each a file of its own.",
    sqlite3.SQLITE_FULL: "Make room on its disk.",
    sqlite3.SQLITE_IOERR: "Its disk does not work or is full: the system's log says more.",
}
ASK_AGAIN = "What was asked may or may not be durable."


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Raise errors of SQLite as ours; `path` is the file that they name.

    Raises:
        StoreUnavailable: The database did not confirm.
        StoreMisconfigured: It does not let us do this at all.
        ThreadConflict: A constraint refused the change.
    """
    try:
        yield
    except sqlite3.Error as error:
        raise ours(error, path) from error
    except OverflowError as error:
        message = f"The database {path} cannot be used: {error}. {NO_SUCH_VALUE}"
        raise StoreMisconfigured(message) from error


def ours(error: sqlite3.Error, path: Path) -> StoreError:
    """Say in our words what SQLite said."""
    # The lowest byte is the primary result code; errors of Python's own have none.
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_INTERNAL) & 0xFF
    if code == sqlite3.SQLITE_CONSTRAINT:
        return ThreadConflict(f"The database refused the change: {error}.")
    if code in NEEDS_A_PERSON:
        message = f"The database {path} cannot be used: {error}. {NEEDS_A_PERSON[code]}"
        return StoreMisconfigured(message)
    remedy = PASSES.get(code, ASK_AGAIN)
    return StoreUnavailable(f"The database {path} did not confirm: {error}. {remedy}")
