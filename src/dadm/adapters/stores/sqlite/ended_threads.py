"""Closing, clearing and parking threads on SQLite."""

import json
import sqlite3
from collections.abc import Sequence

from dadm.adapters.stores import audit_details
from dadm.adapters.stores.rows.texts import bounds_of, storable
from dadm.adapters.stores.sqlite.audit import note
from dadm.adapters.stores.sqlite.database import SqliteDatabase
from dadm.adapters.stores.sqlite.instants import microseconds_now
from dadm.adapters.stores.sqlite.reading import leased, open_turn
from dadm.domain.errors import ThreadConflict
from dadm.domain.thread import BackendIdentity, ThreadRef, ThreadState
from dadm.ports.audit import AuditAction
from dadm.ports.ended_threads import IdleScope, IdleThread
from dadm.ports.store_values import Lease

FIND_SCOPE = "SELECT id FROM scopes WHERE engine = ? AND tenant = ? AND name = ?"
END_SCOPE = "UPDATE scopes SET ended_at = ? WHERE id = ? AND ended_at IS NULL"
# SQLite does not see by itself that the index of what is not erased holds these states.
TAKES_TURNS = "state <> 'erased' AND state IN ('open', 'parked')"
CLOSE = f"""UPDATE threads SET state = 'closed', closed_at = ?
    WHERE scope = ? AND {TAKES_TURNS} RETURNING id"""  # noqa: S608
IS_REACHED = """NOT EXISTS (SELECT 1 FROM generations g
        WHERE g.thread = t.id AND g.state <> 'erased'
          AND g.identity NOT IN (SELECT value FROM json_each(?)))"""
TO_CLEAR = f"""SELECT t.id FROM threads t
    WHERE t.state = 'closed' AND t.cleared_at IS NULL AND t.closed_at <= ? AND {IS_REACHED}
    ORDER BY t.closed_at, t.id LIMIT ?"""  # noqa: S608
TO_CLEAR_OR_CLEARED = f"""SELECT t.id FROM threads t
    WHERE t.state = 'closed' AND t.closed_at <= ? AND {IS_REACHED}
    ORDER BY t.cleared_at IS NOT NULL, t.closed_at, t.id LIMIT ?"""  # noqa: S608
IS_LEFT = "SELECT 1 FROM generations WHERE thread = ? AND state <> 'erased'"
CLEAR = "UPDATE threads SET cleared_at = ? WHERE id = ? AND cleared_at IS NULL"
REPORTS = """SELECT count(*), coalesce(sum(deleted_items), 0), coalesce(sum(deleted_responses), 0),
    coalesce(sum(json_array_length(unreachable)), 0) FROM erased_conversations WHERE thread = ?"""
IDLE_SCOPES = f"""SELECT s.id, s.tenant, s.name FROM scopes s
    WHERE s.engine = ?1 AND s.id > ?3 AND EXISTS (
        SELECT 1 FROM threads t WHERE t.scope = s.id AND {TAKES_TURNS})
      AND NOT EXISTS (
        SELECT 1 FROM threads t WHERE t.scope = s.id AND {TAKES_TURNS}
          AND coalesce(t.last_turn_at, t.created_at) > ?2)
    ORDER BY s.id LIMIT ?4"""  # noqa: S608
OPEN_SCOPES = """SELECT name FROM scopes
    WHERE engine = ? AND tenant = ? AND name >= ? AND name < ? AND ended_at IS NULL
    ORDER BY name"""
TO_PARK = """SELECT t.id, s.tenant, s.name FROM threads t JOIN scopes s ON s.id = t.scope
    WHERE s.engine = ? AND t.state = 'open' AND coalesce(t.last_turn_at, t.created_at) <= ?
      AND t.id > ?
    ORDER BY t.id LIMIT ?"""
PARK = "UPDATE threads SET state = 'parked' WHERE id = ?"
RETIRE_ALL = """UPDATE generations SET state = 'retired', retired_at = ?
    WHERE thread = ? AND state IN ('building', 'live')"""


class SqliteEndedThreads:
    """The role `EndedThreads`."""

    def __init__(self, database: SqliteDatabase) -> None:
        """Work on `database`, which the other roles share."""
        self._database = database

    async def close_scope(self, *, engine: str, tenant: str, scope: str, reason: str = "") -> int:
        key, text = (engine, tenant, scope), storable(reason)
        return await self._database.write(lambda connection: close_scope(connection, key, text))

    async def open_scopes(self, *, engine: str, tenant: str, beginning: str) -> Sequence[str]:
        values = (engine, tenant, *bounds_of(beginning))
        return await self._database.read(
            lambda connection: tuple(name for (name,) in connection.execute(OPEN_SCOPES, values))
        )

    async def threads_to_clear(
        self,
        identities: Sequence[BackendIdentity],
        *,
        closed_seconds: float,
        with_cleared: bool = False,
        limit: int = 100,
    ) -> Sequence[ThreadRef]:
        keepers = json.dumps([str(identity) for identity in identities])
        values = (moment_before(closed_seconds), keepers, limit)
        query = TO_CLEAR_OR_CLEARED if with_cleared else TO_CLEAR
        return await self._database.read(lambda connection: refs(connection, query, values))

    async def note_cleared(self, lease: Lease) -> None:
        await self._database.write(lambda connection: note_cleared(connection, lease))

    async def idle_scopes(
        self, engine: str, *, idle_seconds: float, after: int = 0, limit: int = 500
    ) -> Sequence[IdleScope]:
        values = (engine, moment_before(idle_seconds), after, limit)
        return await self._database.read(
            lambda connection: tuple(
                IdleScope(position=position, tenant=tenant, name=name)
                for position, tenant, name in connection.execute(IDLE_SCOPES, values)
            )
        )

    async def threads_to_park(
        self, engine: str, *, idle_seconds: float, after: ThreadRef | None = None, limit: int = 100
    ) -> Sequence[IdleThread]:
        values = (engine, moment_before(idle_seconds), after or 0, limit)
        return await self._database.read(
            lambda connection: tuple(
                IdleThread(ref=ThreadRef(ref), tenant=tenant, scope=scope)
                for ref, tenant, scope in connection.execute(TO_PARK, values)
            )
        )

    async def park(self, lease: Lease) -> None:
        await self._database.write(lambda connection: park(connection, lease))


def moment_before(seconds: float) -> int:
    """Give the moment so long ago."""
    return microseconds_now() - int(seconds * 1_000_000)


def refs(
    connection: sqlite3.Connection, query: str, values: tuple[object, ...]
) -> tuple[ThreadRef, ...]:
    """Read the numbers of threads."""
    return tuple(ThreadRef(row[0]) for row in connection.execute(query, values))


def close_scope(connection: sqlite3.Connection, key: tuple[str, str, str], reason: str) -> int:
    """Let a scope be over, and close its threads that take turns."""
    scope = connection.execute(FIND_SCOPE, key).fetchone()
    if scope is None:
        return 0
    now = microseconds_now()
    connection.execute(END_SCOPE, (now, *scope))
    closed = sorted(connection.execute(CLOSE, (now, *scope)).fetchall())
    for (thread,) in closed:
        note(connection, thread, None, AuditAction.CLOSED, reason)
    return len(closed)


def note_cleared(connection: sqlite3.Connection, lease: Lease) -> None:
    """Write down that nothing of a closed thread is left at its backends."""
    thread = (lease.thread,)
    state = leased(connection, lease).thread.state
    is_left = connection.execute(IS_LEFT, thread).fetchone() is not None
    if state is not ThreadState.CLOSED or is_left:
        raise ThreadConflict
    if connection.execute(CLEAR, (microseconds_now(), *thread)).rowcount:
        detail = audit_details.cleared(*connection.execute(REPORTS, thread).fetchone())
        note(connection, lease.thread, None, AuditAction.CLEARED, detail)


def park(connection: sqlite3.Connection, lease: Lease) -> None:
    """Leave the conversations of an open thread, until its next task."""
    state = leased(connection, lease).thread.state
    if state is ThreadState.PARKED:
        return
    if state is not ThreadState.OPEN or open_turn(connection, lease.thread) is not None:
        raise ThreadConflict
    connection.execute(PARK, (lease.thread,))
    connection.execute(RETIRE_ALL, (microseconds_now(), lease.thread))
    note(connection, lease.thread, None, AuditAction.PARKED, "")
