"""Closing, clearing and parking threads on PostgreSQL."""

from collections.abc import Sequence

from dadm.adapters.stores.postgres.database import PostgresDatabase
from dadm.adapters.stores.rows.texts import bounds_of, storable
from dadm.domain.thread import BackendIdentity, ThreadRef
from dadm.ports.ended_threads import IdleScope, IdleThread
from dadm.ports.store_values import Lease

CLOSE_SCOPE = "SELECT close_scope_1($1, $2, $3, $4)"
IS_REACHED = """NOT EXISTS (SELECT FROM generations g
        WHERE g.thread = t.id AND g.state <> 'erased' AND g.identity <> ALL ($1))"""
TO_CLEAR = f"""SELECT t.id FROM threads t
    WHERE t.state = 'closed' AND t.cleared_at IS NULL
      AND t.closed_at <= clock_timestamp() - make_interval(secs => $2) AND {IS_REACHED}
    ORDER BY t.closed_at, t.id LIMIT $3"""  # noqa: S608
TO_CLEAR_OR_CLEARED = f"""SELECT t.id FROM threads t
    WHERE t.state = 'closed'
      AND t.closed_at <= clock_timestamp() - make_interval(secs => $2) AND {IS_REACHED}
    ORDER BY t.cleared_at IS NOT NULL, t.closed_at, t.id LIMIT $3"""  # noqa: S608
NOTE_CLEARED = "SELECT note_cleared_1($1, $2, $3)"
IDLE_SINCE = (
    "coalesce(t.last_turn_at, t.created_at) <= clock_timestamp() - make_interval(secs => $2)"
)
IDLE_SCOPES = f"""SELECT s.id, s.tenant, s.name FROM scopes s
    WHERE s.engine = $1 AND s.id > $3 AND EXISTS (
        SELECT FROM threads t WHERE t.scope = s.id AND t.state IN ('open', 'parked'))
      AND NOT EXISTS (
        SELECT FROM threads t WHERE t.scope = s.id AND t.state IN ('open', 'parked')
          AND NOT {IDLE_SINCE})
    ORDER BY s.id LIMIT $4"""  # noqa: S608
# Written as its index is.
OPEN_SCOPES = """SELECT name FROM scopes
    WHERE engine = $1 AND tenant = $2 AND name ~>=~ $3 AND name ~<~ $4
      AND ended_at IS NULL AND name LIKE 'element:%'
    ORDER BY name USING ~<~"""
TO_PARK = f"""SELECT t.id, s.tenant, s.name FROM threads t JOIN scopes s ON s.id = t.scope
    WHERE s.engine = $1 AND t.state = 'open' AND {IDLE_SINCE} AND t.id > $3
    ORDER BY t.id LIMIT $4"""  # noqa: S608
PARK = "SELECT park_1($1, $2, $3)"


class PostgresEndedThreads:
    """The role `EndedThreads`."""

    def __init__(self, database: PostgresDatabase) -> None:
        """Work on `database`, which the other roles share."""
        self._database = database

    async def close_scope(self, *, engine: str, tenant: str, scope: str, reason: str = "") -> int:
        row = await self._database.one(CLOSE_SCOPE, engine, tenant, scope, storable(reason))
        closed: int = row[0]
        return closed

    async def open_scopes(self, *, engine: str, tenant: str, beginning: str) -> Sequence[str]:
        rows = await self._database.rows(OPEN_SCOPES, engine, tenant, *bounds_of(beginning))
        return tuple(row[0] for row in rows)

    async def threads_to_clear(
        self,
        identities: Sequence[BackendIdentity],
        *,
        closed_seconds: float,
        with_cleared: bool = False,
        limit: int = 100,
    ) -> Sequence[ThreadRef]:
        keepers = [str(identity) for identity in identities]
        query = TO_CLEAR_OR_CLEARED if with_cleared else TO_CLEAR
        rows = await self._database.rows(query, keepers, closed_seconds, limit)
        return tuple(ThreadRef(row[0]) for row in rows)

    async def note_cleared(self, lease: Lease) -> None:
        await self._database.execute(NOTE_CLEARED, lease.thread, lease.owner, lease.fence)

    async def idle_scopes(
        self, engine: str, *, idle_seconds: float, after: int = 0, limit: int = 500
    ) -> Sequence[IdleScope]:
        rows = await self._database.rows(IDLE_SCOPES, engine, idle_seconds, after, limit)
        return tuple(IdleScope(position=row[0], tenant=row[1], name=row[2]) for row in rows)

    async def threads_to_park(
        self, engine: str, *, idle_seconds: float, after: ThreadRef | None = None, limit: int = 100
    ) -> Sequence[IdleThread]:
        rows = await self._database.rows(TO_PARK, engine, idle_seconds, after or 0, limit)
        return tuple(IdleThread(ref=ThreadRef(row[0]), tenant=row[1], scope=row[2]) for row in rows)

    async def park(self, lease: Lease) -> None:
        await self._database.execute(PARK, lease.thread, lease.owner, lease.fence)
