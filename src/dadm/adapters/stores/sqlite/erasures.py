"""Erasing threads and conversations on SQLite."""

import json
import sqlite3
from collections.abc import Mapping, Sequence

from dadm.adapters.stores import audit_details
from dadm.adapters.stores.rows.records import RECEIPT, names_text, receipt, report_values
from dadm.adapters.stores.rows.threads import GENERATION
from dadm.adapters.stores.sqlite.audit import note
from dadm.adapters.stores.sqlite.database import SqliteDatabase
from dadm.adapters.stores.sqlite.instants import instant, microseconds_now
from dadm.adapters.stores.sqlite.reading import ROWS, leased, open_turn
from dadm.domain.errors import ThreadConflict
from dadm.domain.thread import BackendIdentity, Generation, ThreadRef, ThreadState
from dadm.ports.audit import AuditAction
from dadm.ports.backend import ErasureReport
from dadm.ports.erasures import ErasureReceipt
from dadm.ports.store_values import Lease

BEGIN = "UPDATE threads SET state = 'erasing' WHERE id = ?"
NOTE_BEGUN = "INSERT INTO erasures (thread, begun_at) VALUES (?, ?)"
RESPONSE_IDS = """SELECT k.generation, r.response_id
    FROM turns u JOIN attempts k ON k.turn = u.id
    JOIN responses r ON r.turn = k.turn AND r.number = k.number
    WHERE u.thread = ? ORDER BY k.generation, k.turn, k.number"""
END_CONVERSATION = """UPDATE generations SET state = 'erased'
    WHERE thread = ?1 AND number = ?2 AND state <> 'erased'
      AND (state <> 'live'
           OR EXISTS (SELECT 1 FROM threads WHERE id = ?1 AND state = 'erasing'))"""
NOTE_ENDED = """INSERT INTO erased_conversations
    (thread, number, deleted_items, deleted_responses, unreachable) VALUES (?, ?, ?, ?, ?)"""
IS_LEFT = "SELECT 1 FROM generations WHERE thread = ? AND state <> 'erased'"
REPORTS = """SELECT deleted_items, deleted_responses, unreachable FROM erased_conversations
    WHERE thread = ? ORDER BY number"""
COUNTS = """SELECT
    (SELECT count(*) FROM turns WHERE thread = ?1),
    (SELECT count(*) FROM generations WHERE thread = ?1),
    (SELECT count(*) FROM turns u JOIN attempts k ON k.turn = u.id
     LEFT JOIN responses r ON r.turn = k.turn AND r.number = k.number
     WHERE u.thread = ?1 AND r.turn IS NULL)"""
ITS_TURNS = "(SELECT id FROM turns WHERE thread = ?)"
DELETE_TEXTS = (
    f"DELETE FROM answers WHERE turn IN {ITS_TURNS}",  # noqa: S608
    f"DELETE FROM responses WHERE turn IN {ITS_TURNS}",  # noqa: S608
    f"DELETE FROM attempts WHERE turn IN {ITS_TURNS}",  # noqa: S608
    "DELETE FROM turns WHERE thread = ?",
)
BURY = """UPDATE threads SET state = 'erased', shown = '{}', chain = NULL, exchange_count = 0,
    lease_owner = '', lease_expires_at = NULL WHERE id = ?"""
FINISH = """UPDATE erasures SET erased_at = ?, turns = ?, conversations = ?, deleted_items = ?,
    deleted_responses = ?, unnamed_responses = ?, unreachable = ? WHERE thread = ?"""
RECEIPT_OF = f"SELECT {RECEIPT} FROM erasures WHERE thread = ? AND erased_at IS NOT NULL"  # noqa: S608
FENCE = "SELECT fence FROM threads WHERE id = ?"
RETIRED = f"""SELECT {GENERATION} FROM generations g
    WHERE g.state = 'retired' AND coalesce(g.retired_at, g.created_at) <= ?
      AND g.identity IN (SELECT value FROM json_each(?))
    ORDER BY coalesce(g.retired_at, g.created_at), g.thread, g.number LIMIT ?"""  # noqa: S608


class SqliteErasures:
    """The role `Erasures`."""

    def __init__(self, database: SqliteDatabase) -> None:
        """Work on `database`, which the other roles share."""
        self._database = database

    async def begin_erasure(self, lease: Lease) -> None:
        await self._database.write(lambda connection: begin(connection, lease))

    async def response_ids(self, thread: ThreadRef) -> Mapping[int, Sequence[str]]:
        return await self._database.read(lambda connection: response_ids(connection, thread))

    async def note_erased(self, thread: ThreadRef, number: int, report: ErasureReport) -> None:
        await self._database.write(
            lambda connection: note_erased(connection, thread, number, report)
        )

    async def finish_erasure(self, lease: Lease) -> ErasureReceipt:
        written = await self._database.write(lambda connection: finish(connection, lease))
        await self._database.empty_log()
        return written

    async def receipt(self, thread: ThreadRef) -> ErasureReceipt | None:
        return await self._database.read(lambda connection: receipt_of(connection, thread))

    async def retired(
        self, identities: Sequence[BackendIdentity], *, retired_seconds: float, limit: int = 100
    ) -> Sequence[Generation]:
        keepers = json.dumps([str(identity) for identity in identities])
        until = microseconds_now() - int(retired_seconds * 1_000_000)
        return await self._database.read(
            lambda connection: tuple(
                map(ROWS.generation, connection.execute(RETIRED, (until, keepers, limit)))
            )
        )


def begin(connection: sqlite3.Connection, lease: Lease) -> None:
    """Let a thread take no more turns."""
    state = leased(connection, lease).thread.state
    if state is ThreadState.ERASING:
        return
    if open_turn(connection, lease.thread) is not None:
        raise ThreadConflict
    connection.execute(BEGIN, (lease.thread,))
    connection.execute(NOTE_BEGUN, (lease.thread, microseconds_now()))
    note(connection, lease.thread, None, AuditAction.ERASURE_BEGUN, state)


def response_ids(
    connection: sqlite3.Connection, thread: ThreadRef
) -> Mapping[int, tuple[str, ...]]:
    """Read the names of all runs, by generation."""
    found: dict[int, tuple[str, ...]] = {}
    for number, response_id in connection.execute(RESPONSE_IDS, (thread,)):
        found[number] = (*found.get(number, ()), response_id)
    return found


def note_erased(
    connection: sqlite3.Connection, thread: ThreadRef, number: int, report: ErasureReport
) -> None:
    """Write down that a conversation is gone, the first time that it is said."""
    if connection.execute(END_CONVERSATION, (thread, number)).rowcount:
        connection.execute(NOTE_ENDED, (thread, number, *report_values(report)))


def finish(connection: sqlite3.Connection, lease: Lease) -> ErasureReceipt:
    """Delete a thread's turns with their texts, and write its receipt."""
    thread = (lease.thread,)
    written = receipt_of(connection, lease.thread)
    if written is not None and connection.execute(FENCE, thread).fetchone() == (lease.fence,):
        return written
    state = leased(connection, lease).thread.state
    is_left = connection.execute(IS_LEFT, thread).fetchone() is not None
    if state is not ThreadState.ERASING or is_left:
        raise ThreadConflict
    turns, conversations, unnamed = connection.execute(COUNTS, thread).fetchone()
    reports = connection.execute(REPORTS, thread).fetchall()
    items, responses = (sum(report[at] for report in reports) for at in (0, 1))
    unreachable = tuple(name for report in reports for name in json.loads(report[2]))
    for statement in DELETE_TEXTS:
        connection.execute(statement, thread)
    connection.execute(BURY, thread)
    counts = (turns, conversations, items, responses, unnamed)
    values = (microseconds_now(), *counts, names_text(unreachable), lease.thread)
    connection.execute(FINISH, values)
    finished = receipt_of(connection, lease.thread)
    if finished is None:
        raise ThreadConflict
    detail = audit_details.erased(finished)
    note(connection, lease.thread, None, AuditAction.ERASED, detail)
    return finished


def receipt_of(connection: sqlite3.Connection, thread: ThreadRef) -> ErasureReceipt | None:
    """Read the receipt of an erased thread."""
    row = connection.execute(RECEIPT_OF, (thread,)).fetchone()
    return receipt(row, instant) if row else None
