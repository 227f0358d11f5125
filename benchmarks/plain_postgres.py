"""The least that could keep conversations in PostgreSQL: one statement that writes a turn."""

import uuid
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from benchmarks import texts
from benchmarks.readings import LATEST_MESSAGES, Reading

CONNECTIONS = 20
SCHEMA = """
    CREATE TABLE threads (id text PRIMARY KEY, version bigint NOT NULL);
    CREATE TABLE turns (thread text NOT NULL, task uuid NOT NULL, PRIMARY KEY (thread, task));
    CREATE TABLE messages (
        thread text NOT NULL, sequence bigint NOT NULL, role text NOT NULL, text text NOT NULL,
        PRIMARY KEY (thread, sequence)
    );
"""
WRITE = """
    WITH bumped AS (
        INSERT INTO threads VALUES ($1, 1)
        ON CONFLICT (id) DO UPDATE SET version = threads.version + 1
        RETURNING id, version
    ), named AS (
        INSERT INTO turns SELECT id, $2 FROM bumped
    )
    INSERT INTO messages
    SELECT id, 2 * version - 1, 'user', $3 FROM bumped
    UNION ALL SELECT id, 2 * version, 'assistant', $4 FROM bumped"""
READ_WHOLE = "SELECT role, text FROM messages WHERE thread = $1 ORDER BY sequence"
READ_LATEST = """SELECT role, text FROM messages WHERE thread = $1
    ORDER BY sequence DESC LIMIT $2"""


class PlainPostgres:
    """Writes and reads on connections from a pool as the driver makes it."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        """Use `pool`."""
        self._pool = pool
        self._taken: Counter[str] = Counter()

    async def turn(self, conversation: str, reading: Reading) -> None:
        """Write the turn down in one statement, then read back on the same connection."""
        turn = self._taken[conversation]
        self._taken[conversation] += 1
        said = (texts.prompt(turn), texts.answer(turn))
        async with self._pool.acquire() as connection:
            await connection.execute(WRITE, conversation, uuid.uuid4(), *said)
            if reading is Reading.LATEST:
                await connection.fetch(READ_LATEST, conversation, LATEST_MESSAGES)
            elif reading is Reading.WHOLE:
                await connection.fetch(READ_WHOLE, conversation)

    async def fill(self, conversation: str, turns: int) -> None:
        """Take the turns, one after the other."""
        for _ in range(turns):
            await self.turn(conversation, Reading.NOTHING)


@asynccontextmanager
async def open_plain_postgres(url: str) -> AsyncIterator[PlainPostgres]:
    """Create the tables in a new database."""
    async with asyncpg.create_pool(url, min_size=CONNECTIONS, max_size=CONNECTIONS) as pool:
        await pool.execute(SCHEMA)
        yield PlainPostgres(pool)
