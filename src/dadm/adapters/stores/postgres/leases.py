"""Leases and tickets on PostgreSQL."""

from collections.abc import Sequence
from typing import Any

from dadm.adapters.stores.postgres.database import PostgresDatabase
from dadm.adapters.stores.postgres.reading import ROWS, open_turn
from dadm.domain.thread import ThreadKey, ThreadRef
from dadm.domain.turn import TurnRef
from dadm.ports.store_values import Lease, ThreadGranted, ThreadHeld

LEASE = "SELECT * FROM lease_thread_2($1, $2, $3, $4, $5, $6)"
LEASE_KNOWN = "SELECT * FROM lease_known_thread_1($1, $2, $3)"
EXTEND = """UPDATE threads
    SET lease_expires_at = clock_timestamp() + make_interval(secs => $4)
    WHERE id = $1 AND lease_owner = $2 AND fence = $3"""
RELEASE = """UPDATE threads SET lease_owner = '', lease_expires_at = NULL
    WHERE id = $1 AND lease_owner = $2 AND fence = $3"""
# The rows are locked in one order, whichever plan the server takes: two replicas may keep the same.
KEEP_TICKETS = """UPDATE turns
    SET ticket_expires_at = clock_timestamp() + make_interval(secs => $2)
    WHERE id IN (
        SELECT id FROM turns
        WHERE id = ANY ($1) AND state = 'planned' AND ticket_expires_at IS NOT NULL
        ORDER BY id FOR NO KEY UPDATE)"""
DROP_TICKET = "UPDATE turns SET ticket_expires_at = NULL WHERE id = $1 AND state = 'planned'"


class PostgresLeases:
    """The role `Leases`."""

    def __init__(self, database: PostgresDatabase) -> None:
        """Work on `database`, which the other roles share."""
        self._database = database

    async def lease_thread(
        self, thread: ThreadKey, *, owner: str, lease_seconds: float
    ) -> ThreadGranted | ThreadHeld:
        key = (thread.engine, thread.tenant, thread.scope, thread.assistant)
        row = await self._database.one(LEASE, *key, owner, lease_seconds)
        return leased(row, owner)

    async def lease_known_thread(
        self, thread: ThreadRef, *, owner: str, lease_seconds: float
    ) -> ThreadGranted | ThreadHeld:
        row = await self._database.one(LEASE_KNOWN, thread, owner, lease_seconds)
        return leased(row, owner)

    async def extend(self, lease: Lease, *, lease_seconds: float) -> bool:
        changed = await self._database.execute(
            EXTEND, lease.thread, lease.owner, lease.fence, lease_seconds
        )
        return changed == 1

    async def release(self, lease: Lease) -> None:
        await self._database.execute(RELEASE, lease.thread, lease.owner, lease.fence)

    async def keep_tickets(self, turns: Sequence[TurnRef], *, ticket_seconds: float) -> None:
        if turns:
            await self._database.execute(KEEP_TICKETS, list(turns), ticket_seconds)

    async def drop_ticket(self, turn: TurnRef) -> None:
        await self._database.execute(DROP_TICKET, turn)


def leased(row: Any, owner: str) -> ThreadGranted | ThreadHeld:
    """Read what `grant_thread_1` gives."""
    if row["kind"] == "held":
        return ThreadHeld(lease_remaining_seconds=row["remaining_seconds"])
    granted = ROWS.thread(row["thread_row"])
    return ThreadGranted(
        lease=Lease(thread=granted.ref, owner=owner, fence=row["fence"]),
        thread=granted,
        open_turn=open_turn(row["open_row"], row["attempt_row"]),
    )
