"""The remote conversations of threads on PostgreSQL."""

from collections.abc import Sequence

from dadm.adapters.stores.postgres.database import PostgresDatabase
from dadm.adapters.stores.postgres.reading import ROWS
from dadm.adapters.stores.rows.texts import storable
from dadm.adapters.stores.rows.threads import GENERATION
from dadm.domain.errors import ThreadConflict
from dadm.domain.thread import (
    BackendIdentity,
    ConversationId,
    Generation,
    GenerationReason,
    ThreadRef,
)
from dadm.ports.store_values import Lease

NOTE = "SELECT * FROM note_conversation_3($1, $2, $3, $4, $5, $6)"
COPY = """UPDATE generations SET copied_messages = $3, last_item_id = $4
    WHERE thread = $1 AND number = $2 AND state = 'building' AND copied_messages <= $3"""
CHANGE = "SELECT * FROM change_generation_2($1, $2, $3, $4, $5)"
ALL = f"SELECT {GENERATION} FROM generations g WHERE g.thread = $1 ORDER BY g.number"  # noqa: S608

LOST = """SELECT count(DISTINCT thread) FROM generations
    WHERE reason = 'lost' AND identity = $1
      AND created_at > clock_timestamp() - make_interval(secs => $2)"""


class PostgresGenerations:
    """The role `Generations`."""

    def __init__(self, database: PostgresDatabase) -> None:
        """Work on `database`, which the other roles share."""
        self._database = database

    async def note_conversation(
        self,
        thread: ThreadRef,
        *,
        identity: BackendIdentity,
        conversation_id: ConversationId,
        reason: GenerationReason,
        opened_from: int,
        opened_to: int,
    ) -> Generation:
        row = await self._database.one(
            NOTE, thread, conversation_id, str(identity), reason, opened_from, opened_to
        )
        generation = ROWS.generation(row)
        if generation.thread != thread:
            message = f"The conversation {conversation_id} belongs to another thread already."
            raise ThreadConflict(message)
        return generation

    async def note_copied(
        self, thread: ThreadRef, number: int, *, copied_messages: int, last_item_id: str
    ) -> None:
        await self._database.execute(COPY, thread, number, copied_messages, storable(last_item_id))

    async def make_live(self, lease: Lease, number: int) -> Generation:
        return await self._change(lease, number, "live")

    async def retire(self, lease: Lease, number: int) -> None:
        await self._change(lease, number, "retired")

    async def _change(self, lease: Lease, number: int, state: str) -> Generation:
        row = await self._database.one(
            CHANGE, lease.thread, lease.owner, lease.fence, number, state
        )
        return ROWS.generation(row)

    async def generations(self, thread: ThreadRef) -> Sequence[Generation]:
        return tuple(map(ROWS.generation, await self._database.rows(ALL, thread)))

    async def count_lost(self, identity: BackendIdentity, *, within_seconds: float) -> int:
        count: int = (await self._database.one(LOST, str(identity), within_seconds))[0]
        return count
