"""The remote conversations of threads on SQLite."""

import sqlite3
from collections.abc import Sequence

from dadm.adapters.stores import audit_details
from dadm.adapters.stores.rows.threads import GENERATION
from dadm.adapters.stores.sqlite.audit import note
from dadm.adapters.stores.sqlite.database import SqliteDatabase
from dadm.adapters.stores.sqlite.instants import microseconds_now
from dadm.adapters.stores.sqlite.reading import ROWS, check_lease, thread_of_ref
from dadm.domain.errors import ThreadConflict, UnknownThread
from dadm.domain.thread import (
    BackendIdentity,
    ConversationId,
    Generation,
    GenerationReason,
    GenerationState,
    ThreadRef,
    ThreadState,
)
from dadm.ports.store_values import Lease

SELECT = f"SELECT {GENERATION} FROM generations g"  # noqa: S608 - a column list of our own
ALL = f"{SELECT} WHERE g.thread = ? ORDER BY g.number"
ONE = f"{SELECT} WHERE g.thread = ? AND g.number = ?"
OF_CONVERSATION = f"{SELECT} WHERE g.conversation_id = ? AND g.identity = ?"
ADD = """INSERT INTO generations (thread, number, identity, conversation_id, state, reason,
    opened_from, opened_to, created_at)
    SELECT ?, coalesce(max(number), 0) + 1, ?, ?, ?, ?, ?, ?, ?
    FROM generations WHERE thread = ?"""
CLEAR_AGAIN = "UPDATE threads SET cleared_at = NULL WHERE id = ? AND cleared_at IS NOT NULL"
COPY = """UPDATE generations SET copied_messages = ?, last_item_id = ?
    WHERE thread = ? AND number = ? AND state = 'building' AND copied_messages <= ?"""
LATEST_LEFT = f"""{SELECT}
    WHERE g.thread = ?
      AND (g.state = 'live' OR (g.number < ? AND g.state IN ('retired', 'erased')))
    ORDER BY g.state = 'live' DESC, g.number DESC LIMIT 1"""
RETIRE_LIVE = """UPDATE generations SET state = 'retired', retired_at = ?
    WHERE thread = ? AND state = 'live'"""
RETIRE = """UPDATE generations SET state = 'retired', retired_at = ?
    WHERE thread = ? AND number = ? AND state IN ('building', 'live')"""
GO_LIVE = "UPDATE generations SET state = 'live' WHERE thread = ? AND number = ?"
LOST = """SELECT count(DISTINCT thread) FROM generations
    WHERE reason = 'lost' AND identity = ? AND created_at > ?"""
REOPEN = "UPDATE threads SET state = 'open' WHERE id = ? AND state = 'parked'"


class SqliteGenerations:
    """The role `Generations`."""

    def __init__(self, database: SqliteDatabase) -> None:
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
        described = (reason, opened_from, opened_to)
        return await self._database.write(
            lambda connection: note_conversation(
                connection, thread, (conversation_id, str(identity)), described
            )
        )

    async def note_copied(
        self, thread: ThreadRef, number: int, *, copied_messages: int, last_item_id: str
    ) -> None:
        values = (copied_messages, last_item_id, thread, number, copied_messages)
        await self._database.execute(COPY, values)

    async def make_live(self, lease: Lease, number: int) -> Generation:
        return await self._database.write(lambda connection: make_live(connection, lease, number))

    async def retire(self, lease: Lease, number: int) -> None:
        await self._database.write(lambda connection: retire(connection, lease, number))

    async def generations(self, thread: ThreadRef) -> Sequence[Generation]:
        return await self._database.read(lambda connection: generations(connection, thread))

    async def count_lost(self, identity: BackendIdentity, *, within_seconds: float) -> int:
        since = microseconds_now() - int(within_seconds * 1_000_000)
        return await self._database.read(lambda connection: count_lost(connection, identity, since))


def note_conversation(
    connection: sqlite3.Connection,
    thread: ThreadRef,
    conversation: tuple[str, str],
    described: tuple[GenerationReason, int, int],
) -> Generation:
    """Write a conversation down as building; one that is known already is given again."""
    standing = thread_of_ref(connection, thread)
    if standing is None:
        raise UnknownThread
    known = connection.execute(OF_CONVERSATION, conversation).fetchone()
    if known is None:
        conversation_id, identity = conversation
        now = microseconds_now()
        is_late = standing.thread.state is ThreadState.ERASED
        state = GenerationState.RETIRED if is_late else GenerationState.BUILDING
        values = (thread, identity, conversation_id, state, *described, now, thread)
        connection.execute(ADD, values)
        connection.execute(CLEAR_AGAIN, (thread,))
        known = connection.execute(OF_CONVERSATION, conversation).fetchone()
    generation = ROWS.generation(known)
    if generation.thread != thread:
        message = f"The conversation {conversation[0]} belongs to another thread already."
        raise ThreadConflict(message)
    return generation


def of_number(connection: sqlite3.Connection, lease: Lease, number: int) -> Generation:
    """Read a generation of a thread that is held.

    Raises:
        ThreadConflict: The lease does not stand, or there is no such generation.
    """
    check_lease(connection, lease)
    row = connection.execute(ONE, (lease.thread, number)).fetchone()
    if row is None:
        raise ThreadConflict
    return ROWS.generation(row)


def make_live(connection: sqlite3.Connection, lease: Lease, number: int) -> Generation:
    """Let a building conversation take the place of the live one."""
    generation = of_number(connection, lease, number)
    if generation.state is GenerationState.LIVE:
        return generation
    if generation.state is not GenerationState.BUILDING:
        raise ThreadConflict
    action = audit_details.replacing(generation)
    if action is not None:
        left = connection.execute(LATEST_LEFT, (lease.thread, number)).fetchone()
        detail = audit_details.replaced(ROWS.generation(left) if left else None, generation)
        note(connection, lease.thread, None, action, detail)
    connection.execute(RETIRE_LIVE, (microseconds_now(), lease.thread))
    connection.execute(GO_LIVE, (lease.thread, number))
    connection.execute(REOPEN, (lease.thread,))
    return of_number(connection, lease, number)


def retire(connection: sqlite3.Connection, lease: Lease, number: int) -> None:
    """Leave a conversation for good."""
    of_number(connection, lease, number)
    connection.execute(RETIRE, (microseconds_now(), lease.thread, number))


def generations(connection: sqlite3.Connection, thread: ThreadRef) -> tuple[Generation, ...]:
    """Read all conversations of a thread, by number."""
    return tuple(map(ROWS.generation, connection.execute(ALL, (thread,))))


def count_lost(connection: sqlite3.Connection, identity: BackendIdentity, since: int) -> int:
    """Count the threads that a backend lost the conversation of."""
    (count,) = connection.execute(LOST, (str(identity), since)).fetchone()
    return int(count)
