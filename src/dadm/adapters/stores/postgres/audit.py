"""The audit trail on PostgreSQL."""

from collections.abc import Sequence

from dadm.adapters.stores.postgres.database import PostgresDatabase
from dadm.adapters.stores.postgres.reading import as_it_is
from dadm.adapters.stores.rows.records import AUDIT_ENTRY, audit_entry
from dadm.adapters.stores.rows.texts import storable
from dadm.domain.errors import UnknownThread
from dadm.domain.thread import ThreadRef
from dadm.domain.turn import TurnRef
from dadm.ports.audit import AuditAction, AuditEntry

# The thread's lock keeps its rows in the order of their positions.
NOTE = """INSERT INTO audit_entries (thread, turn, at, action, detail)
    SELECT id, $2, clock_timestamp(), $3, $4 FROM threads WHERE id = $1 FOR NO KEY UPDATE"""
OF_THREAD = f"""SELECT {AUDIT_ENTRY} FROM audit_entries
    WHERE thread = $1 AND position > $2 ORDER BY position LIMIT $3"""  # noqa: S608


class PostgresAuditTrail:
    """The role `AuditTrail`."""

    def __init__(self, database: PostgresDatabase) -> None:
        """Work on `database`, which the other roles share."""
        self._database = database

    async def note(
        self, thread: ThreadRef, turn: TurnRef | None, action: AuditAction, *, detail: str
    ) -> None:
        if not await self._database.execute(NOTE, thread, turn, action, storable(detail)):
            raise UnknownThread

    async def audit(
        self, thread: ThreadRef, *, after: int = 0, limit: int = 100
    ) -> Sequence[AuditEntry]:
        rows = await self._database.rows(OF_THREAD, thread, after, limit)
        return tuple(audit_entry(row, as_it_is) for row in rows)
