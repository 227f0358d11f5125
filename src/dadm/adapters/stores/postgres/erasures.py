"""Erasing threads and conversations on PostgreSQL."""

from collections.abc import Mapping, Sequence

from dadm.adapters.stores.postgres.database import PostgresDatabase
from dadm.adapters.stores.postgres.reading import ROWS, as_it_is
from dadm.adapters.stores.rows.records import RECEIPT, receipt, report_values
from dadm.adapters.stores.rows.threads import GENERATION
from dadm.domain.thread import BackendIdentity, Generation, ThreadRef
from dadm.ports.backend import ErasureReport
from dadm.ports.erasures import ErasureReceipt
from dadm.ports.store_values import Lease

BEGIN = "SELECT begin_erasure_1($1, $2, $3)"
RESPONSE_IDS = """SELECT k.generation, array_agg(r.response_id ORDER BY k.turn, k.number)
    FROM turns u JOIN attempts k ON k.turn = u.id
    JOIN responses r ON r.turn = k.turn AND r.number = k.number
    WHERE u.thread = $1 GROUP BY k.generation ORDER BY k.generation"""
NOTE_ERASED = "SELECT note_erased_1($1, $2, $3, $4, $5)"
FINISH = f"SELECT {RECEIPT} FROM finish_erasure_1($1, $2, $3)"  # noqa: S608
RECEIPT_OF = f"SELECT {RECEIPT} FROM erasures WHERE thread = $1 AND erased_at IS NOT NULL"  # noqa: S608
RETIRED = f"""SELECT {GENERATION} FROM generations g
    WHERE g.state = 'retired' AND g.identity = ANY ($1)
      AND coalesce(g.retired_at, g.created_at)
          <= clock_timestamp() - make_interval(secs => $2)
    ORDER BY coalesce(g.retired_at, g.created_at), g.thread, g.number LIMIT $3"""  # noqa: S608


class PostgresErasures:
    """The role `Erasures`."""

    def __init__(self, database: PostgresDatabase) -> None:
        """Work on `database`, which the other roles share."""
        self._database = database

    async def begin_erasure(self, lease: Lease) -> None:
        await self._database.execute(BEGIN, lease.thread, lease.owner, lease.fence)

    async def response_ids(self, thread: ThreadRef) -> Mapping[int, Sequence[str]]:
        rows = await self._database.rows(RESPONSE_IDS, thread)
        return {number: tuple(response_ids) for number, response_ids in rows}

    async def note_erased(self, thread: ThreadRef, number: int, report: ErasureReport) -> None:
        await self._database.execute(NOTE_ERASED, thread, number, *report_values(report))

    async def finish_erasure(self, lease: Lease) -> ErasureReceipt:
        row = await self._database.one(FINISH, lease.thread, lease.owner, lease.fence)
        return receipt(row, as_it_is)

    async def receipt(self, thread: ThreadRef) -> ErasureReceipt | None:
        row = await self._database.row(RECEIPT_OF, thread)
        return receipt(row, as_it_is) if row else None

    async def retired(
        self, identities: Sequence[BackendIdentity], *, retired_seconds: float, limit: int = 100
    ) -> Sequence[Generation]:
        keepers = [str(identity) for identity in identities]
        rows = await self._database.rows(RETIRED, keepers, retired_seconds, limit)
        return tuple(map(ROWS.generation, rows))
