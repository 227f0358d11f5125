"""The audit trail in memory."""

from collections.abc import Sequence

from dadm.adapters.stores.memory.records import Records
from dadm.adapters.stores.rows.texts import storable
from dadm.domain.thread import ThreadRef
from dadm.domain.turn import TurnRef
from dadm.ports.audit import AuditAction, AuditEntry


class MemoryAuditTrail:
    """The role `AuditTrail` over records."""

    def __init__(self, records: Records) -> None:
        """Work on `records`, which the other roles share."""
        self._records = records

    async def note(
        self, thread: ThreadRef, turn: TurnRef | None, action: AuditAction, *, detail: str
    ) -> None:
        known = self._records.thread(thread)
        self._records.note(known.ref, turn, action, storable(detail))

    async def audit(
        self, thread: ThreadRef, *, after: int = 0, limit: int = 100
    ) -> Sequence[AuditEntry]:
        rows = (row for row in self._records.audit if row.thread == thread)
        return tuple(row for row in rows if row.position > after)[:limit]
