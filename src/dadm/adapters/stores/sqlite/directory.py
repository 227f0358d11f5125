"""Reading threads and transcripts on SQLite."""

import sqlite3
from collections.abc import Collection, Sequence
from datetime import datetime

from dadm.adapters.stores.rows.texts import bounds_of
from dadm.adapters.stores.rows.threads import THREAD, THREADS
from dadm.adapters.stores.sqlite.database import SqliteDatabase
from dadm.adapters.stores.sqlite.instants import instant, microseconds_now
from dadm.adapters.stores.sqlite.reading import (
    ATTEMPTS_IN_ORDER,
    ROWS,
    SELECT_TURN,
    turn_of_ref,
)
from dadm.domain.thread import Thread, ThreadRef, ThreadState
from dadm.domain.thread_scope import scopes_within
from dadm.domain.transcript import Exchange, Window
from dadm.domain.turn import Attempt, Turn, TurnRef, TurnState
from dadm.ports.store_values import StoreStatistics, ThreadFilter

SELECT_THREAD = f"SELECT {THREAD} FROM {THREADS}"  # noqa: S608 - column lists of our own
OF_CONVERSATION = f"""{SELECT_THREAD} JOIN generations c ON c.thread = t.id
    WHERE c.conversation_id = ? ORDER BY c.state = 'live' DESC, t.id DESC LIMIT 1"""
ASKED = f"""{SELECT_TURN} WHERE u.thread = ? AND u.sequence > ? AND u.sequence > 0
    ORDER BY u.sequence LIMIT ?"""
IN_STATES = (
    SELECT_TURN
    + " WHERE u.state IN ({}) AND u.thread = coalesce(?, u.thread) ORDER BY u.id DESC LIMIT ?"
)
OPEN_OF_CLOSED = f"""{SELECT_TURN} WHERE u.state IN ('submitted', 'unknown')
    AND EXISTS (SELECT 1 FROM threads t WHERE t.id = u.thread AND t.state = 'closed')
    ORDER BY u.id LIMIT ?"""  # noqa: S608
SELECT_EXCHANGE = """SELECT u.sequence, p.prompt, a.text FROM turns u
    JOIN attempts p ON p.turn = u.id AND p.number = u.attempts
    JOIN answers a ON a.turn = u.id
    WHERE u.thread = ? AND u.sequence > ? AND u.sequence > 0 AND u.state = 'completed'"""
EXCHANGES = f"{SELECT_EXCHANGE} ORDER BY u.sequence LIMIT ?"
LATEST_EXCHANGES = f"{SELECT_EXCHANGE} ORDER BY u.sequence DESC"
OLDEST_OPEN = """SELECT min(k.sent_at) FROM turns u
    JOIN attempts k ON k.turn = u.id AND k.number = u.attempts
    WHERE u.state IN ('submitted', 'unknown')"""


class SqliteDirectory:
    """The role `ThreadDirectory`."""

    def __init__(self, database: SqliteDatabase) -> None:
        """Work on `database`, which the other roles share."""
        self._database = database

    async def find_thread(self, thread_id: str) -> Thread | None:
        return await self._database.read(lambda connection: find_thread(connection, thread_id))

    async def threads(self, wanted: ThreadFilter) -> Sequence[Thread]:
        return await self._database.read(lambda connection: threads(connection, wanted))

    async def find_turn(self, turn: TurnRef) -> Turn | None:
        standing = await self._database.read(lambda connection: turn_of_ref(connection, turn))
        return standing.turn if standing else None

    async def turns_in(
        self, states: Collection[TurnState], *, thread: ThreadRef | None = None, limit: int = 100
    ) -> Sequence[Turn]:
        query = IN_STATES.format(", ".join("?" * len(states)))
        values = (*sorted(states), thread, limit)
        return await self._database.read(
            lambda connection: tuple(map(ROWS.turn, connection.execute(query, values)))
        )

    async def open_turns_of_closed(self, *, limit: int = 100) -> Sequence[Turn]:
        return await self._database.read(
            lambda connection: tuple(map(ROWS.turn, connection.execute(OPEN_OF_CLOSED, (limit,))))
        )

    async def turns(
        self, thread: ThreadRef, *, after_sequence: int = 0, limit: int = 100
    ) -> Sequence[Turn]:
        values = (thread, after_sequence, limit)
        return await self._database.read(
            lambda connection: tuple(map(ROWS.turn, connection.execute(ASKED, values)))
        )

    async def attempts(self, turn: TurnRef) -> Sequence[Attempt]:
        return await self._database.read(
            lambda connection: tuple(
                map(ROWS.attempt, connection.execute(ATTEMPTS_IN_ORDER, (turn,)))
            )
        )

    async def exchanges(
        self, thread: ThreadRef, *, after_sequence: int = 0, limit: int = 100
    ) -> Sequence[Exchange]:
        values = (thread, after_sequence, limit)
        return await self._database.read(
            lambda connection: tuple(map(exchange, connection.execute(EXCHANGES, values)))
        )

    async def window(self, thread: ThreadRef, *, characters: int) -> Window:
        return await self._database.read(lambda connection: window(connection, thread, characters))

    async def statistics(self) -> StoreStatistics:
        return await self._database.read(statistics)

    async def now(self) -> datetime:
        await self._database.read(lambda connection: connection.execute("SELECT 1").fetchone())
        return instant(microseconds_now())

    async def doubts(self) -> Sequence[str]:
        # Each connection of ours asks for full synchronisation; nobody else's matters.
        return ()


def find_thread(connection: sqlite3.Connection, thread_id: str) -> Thread | None:
    """Find the thread that had that conversation, the one it is live on before others."""
    row = connection.execute(OF_CONVERSATION, (thread_id,)).fetchone()
    return ROWS.thread(row) if row else None


def threads(connection: sqlite3.Connection, wanted: ThreadFilter) -> tuple[Thread, ...]:
    """List threads, newest first."""
    conditions: dict[str, str | int | None] = {
        "s.engine = ?": wanted.engine,
        "s.tenant = ?": wanted.tenant,
        "s.name = ?": wanted.scope,
        "t.assistant = ?": wanted.assistant,
        "t.id < ?": wanted.before,
    }
    asked = {condition: value for condition, value in conditions.items() if value is not None}
    values = list(asked.values())
    where = ["1", *asked]
    if wanted.process_instance_id is not None:
        where.append("(s.name = ? OR (s.name >= ? AND s.name < ?))")
        within = bounds_of(scopes_within(wanted.process_instance_id))
        values += (wanted.process_instance_id, *within)
    if wanted.states is not None:
        where.append(f"t.state IN ({', '.join('?' * len(wanted.states))})")
        values += sorted(wanted.states)
    query = f"{SELECT_THREAD} WHERE {' AND '.join(where)} ORDER BY t.id DESC LIMIT ?"
    return tuple(map(ROWS.thread, connection.execute(query, (*values, wanted.limit))))


def exchange(row: tuple[int, str, str]) -> Exchange:
    """Read a row of `SELECT_EXCHANGE`."""
    return Exchange(sequence=row[0], prompt=row[1], answer=row[2])


def window(connection: sqlite3.Connection, thread: ThreadRef, characters: int) -> Window:
    """Read the first exchange, then backwards until the room is used up."""
    count = connection.execute("SELECT exchange_count FROM threads WHERE id = ?", (thread,))
    (total,) = count.fetchone() or (0,)
    opening = connection.execute(EXCHANGES, (thread, 0, 1)).fetchone()
    first = () if opening is None or size(exchange(opening)) > characters else (exchange(opening),)
    remaining = characters - sum(map(size, first))
    latest: list[Exchange] = []
    after = first[0].sequence if first else 0
    for row in connection.execute(LATEST_EXCHANGES, (thread, after)):
        remaining -= size(exchange(row))
        if remaining < 0:
            break
        latest.append(exchange(row))
    chosen = (*first, *reversed(latest))
    return Window(exchanges=chosen, left_out=total - len(chosen))


def size(given: Exchange) -> int:
    """Count the characters of an exchange."""
    return len(given.prompt) + len(given.answer)


def statistics(connection: sqlite3.Connection) -> StoreStatistics:
    """Count everything; this scans."""
    threads_by_state = connection.execute("SELECT state, count(*) FROM threads GROUP BY state")
    turns_by_state = connection.execute("SELECT state, count(*) FROM turns GROUP BY state")
    (unreported,) = connection.execute(
        "SELECT count(*) FROM turns WHERE settled_at IS NOT NULL AND NOT reported"
    ).fetchone()
    (retired,) = connection.execute(
        "SELECT count(*) FROM generations WHERE state = 'retired'"
    ).fetchone()
    (oldest,) = connection.execute(OLDEST_OPEN).fetchone()
    return StoreStatistics(
        threads_by_state={ThreadState(state): count for state, count in threads_by_state},
        turns_by_state={TurnState(state): count for state, count in turns_by_state},
        unreported_turns=unreported,
        retired_conversations=retired,
        oldest_open_seconds=0.0
        if oldest is None
        else max(0, microseconds_now() - oldest) / 1_000_000,
    )
