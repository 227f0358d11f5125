"""Leases and tickets on SQLite."""

import sqlite3
from collections.abc import Sequence

from dadm.adapters.stores.deliveries import refuse_unusable
from dadm.adapters.stores.sqlite.claiming import Claiming
from dadm.adapters.stores.sqlite.database import SqliteDatabase
from dadm.adapters.stores.sqlite.endings import DROP_TICKET, free
from dadm.adapters.stores.sqlite.instants import later, microseconds_now
from dadm.adapters.stores.sqlite.reading import StandingThread, open_turn, thread_of_ref
from dadm.domain.errors import ThreadErased, UnknownThread
from dadm.domain.thread import ThreadKey, ThreadRef, ThreadState
from dadm.domain.turn import TurnRef
from dadm.ports.store_values import Lease, ThreadGranted, ThreadHeld

EXTEND = """UPDATE threads SET lease_expires_at = ?
    WHERE id = ? AND lease_owner = ? AND fence = ?"""
KEEP_TICKET = """UPDATE turns SET ticket_expires_at = ?
    WHERE id = ? AND state = 'planned' AND ticket_expires_at IS NOT NULL"""


class SqliteLeases:
    """The role `Leases`."""

    def __init__(self, database: SqliteDatabase) -> None:
        """Work on `database`, which the other roles share."""
        self._database = database

    async def lease_thread(
        self, thread: ThreadKey, *, owner: str, lease_seconds: float
    ) -> ThreadGranted | ThreadHeld:
        return await self._database.write(
            lambda connection: lease_thread(connection, thread, owner, lease_seconds)
        )

    async def lease_known_thread(
        self, thread: ThreadRef, *, owner: str, lease_seconds: float
    ) -> ThreadGranted | ThreadHeld:
        return await self._database.write(
            lambda connection: lease_known_thread(connection, thread, owner, lease_seconds)
        )

    async def extend(self, lease: Lease, *, lease_seconds: float) -> bool:
        return await self._database.write(
            lambda connection: extend(connection, lease, lease_seconds)
        )

    async def release(self, lease: Lease) -> None:
        await self._database.write(lambda connection: free(connection, lease))

    async def keep_tickets(self, turns: Sequence[TurnRef], *, ticket_seconds: float) -> None:
        await self._database.write(
            lambda connection: keep_tickets(connection, turns, ticket_seconds)
        )

    async def drop_ticket(self, turn: TurnRef) -> None:
        await self._database.execute(DROP_TICKET, (turn,))


def lease_thread(
    connection: sqlite3.Connection, key: ThreadKey, owner: str, lease_seconds: float
) -> ThreadGranted | ThreadHeld:
    """Take a thread whatever tickets there are, creating it if there is none."""
    claiming = Claiming(connection)
    standing = claiming.thread_or_new(key)
    refuse_unusable(standing.thread.state)
    return lease_standing(connection, claiming, standing, owner, lease_seconds)


def lease_known_thread(
    connection: sqlite3.Connection, ref: ThreadRef, owner: str, lease_seconds: float
) -> ThreadGranted | ThreadHeld:
    """Take a thread that is there, whatever state it is in but erased."""
    standing = thread_of_ref(connection, ref)
    if standing is None:
        raise UnknownThread
    if standing.thread.state is ThreadState.ERASED:
        raise ThreadErased
    return lease_standing(connection, Claiming(connection), standing, owner, lease_seconds)


def lease_standing(
    connection: sqlite3.Connection,
    claiming: Claiming,
    standing: StandingThread,
    owner: str,
    lease_seconds: float,
) -> ThreadGranted | ThreadHeld:
    """Take a thread unless somebody else holds it."""
    if standing.held_by_another(owner, claiming.now):
        return ThreadHeld(lease_remaining_seconds=standing.remaining_seconds(claiming.now))
    lease = claiming.take_thread(standing, owner, lease_seconds)
    return ThreadGranted(
        lease=lease,
        thread=standing.thread,
        open_turn=open_turn(connection, standing.thread.ref),
    )


# The time is read inside the job: what waited in line for the writer must not be shorter for it.
def extend(connection: sqlite3.Connection, lease: Lease, lease_seconds: float) -> bool:
    """Let the lease last that long from now, if it stands."""
    expires_at = later(microseconds_now(), lease_seconds)
    values = (expires_at, lease.thread, lease.owner, lease.fence)
    return connection.execute(EXTEND, values).rowcount == 1


def keep_tickets(
    connection: sqlite3.Connection, turns: Sequence[TurnRef], ticket_seconds: float
) -> None:
    """Keep tickets alive that were not given up."""
    expires_at = later(microseconds_now(), ticket_seconds)
    connection.executemany(KEEP_TICKET, [(expires_at, turn) for turn in turns])
