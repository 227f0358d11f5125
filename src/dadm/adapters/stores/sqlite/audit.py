"""The audit trail on SQLite."""

import sqlite3
from collections.abc import Sequence

from dadm.adapters.stores.rows.records import AUDIT_ENTRY, audit_entry
from dadm.adapters.stores.rows.texts import storable
from dadm.adapters.stores.sqlite.database import SqliteDatabase
from dadm.adapters.stores.sqlite.instants import instant, microseconds_now
from dadm.adapters.stores.sqlite.reading import thread_of_ref
from dadm.domain.errors import UnknownThread
from dadm.domain.thread import ThreadRef
from dadm.domain.turn import TurnRef
from dadm.ports.audit import AuditAction, AuditEntry

ADD = "INSERT INTO audit_entries (thread, turn, at, action, detail) VALUES (?, ?, ?, ?, ?)"
OF_THREAD = f"""SELECT {AUDIT_ENTRY} FROM audit_entries
    WHERE thread = ? AND position > ? ORDER BY position LIMIT ?"""  # noqa: S608


class SqliteAuditTrail:
    """The role `AuditTrail`."""

    def __init__(self, database: SqliteDatabase) -> None:
        """Work on `database`, which the other roles share."""
        self._database = database

    async def note(
        self, thread: ThreadRef, turn: TurnRef | None, action: AuditAction, *, detail: str
    ) -> None:
        text = storable(detail)
        await self._database.write(
            lambda connection: note_of_known(connection, thread, turn, action, text)
        )

    async def audit(
        self, thread: ThreadRef, *, after: int = 0, limit: int = 100
    ) -> Sequence[AuditEntry]:
        values = (thread, after, limit)
        return await self._database.read(
            lambda connection: tuple(
                audit_entry(row, instant) for row in connection.execute(OF_THREAD, values)
            )
        )


def note(
    connection: sqlite3.Connection,
    thread: ThreadRef,
    turn: TurnRef | None,
    action: AuditAction,
    detail: str,
) -> None:
    """Add a row in the transaction of what it is about."""
    connection.execute(ADD, (thread, turn, microseconds_now(), action, detail))


def note_of_known(
    connection: sqlite3.Connection,
    thread: ThreadRef,
    turn: TurnRef | None,
    action: AuditAction,
    detail: str,
) -> None:
    """Add a row about a thread that there is."""
    if thread_of_ref(connection, thread) is None:
        raise UnknownThread
    note(connection, thread, turn, action, detail)
