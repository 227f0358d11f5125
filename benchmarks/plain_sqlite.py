"""The least that could keep conversations in a SQLite file: one transaction for each turn."""

import asyncio
import sqlite3
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TypeVar

from benchmarks import texts
from benchmarks.readings import LATEST_MESSAGES, Reading

T = TypeVar("T")

SCHEMA = """
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    CREATE TABLE threads (id TEXT PRIMARY KEY, version INTEGER NOT NULL);
    CREATE TABLE turns (thread TEXT NOT NULL, task TEXT NOT NULL, PRIMARY KEY (thread, task));
    CREATE TABLE messages (
        id INTEGER PRIMARY KEY, thread TEXT NOT NULL, role TEXT NOT NULL, text TEXT NOT NULL
    );
    CREATE INDEX messages_of_thread ON messages (thread, id);
"""
BUMP = """INSERT INTO threads VALUES (?, 1)
    ON CONFLICT (id) DO UPDATE SET version = version + 1"""
NAME = "INSERT INTO turns VALUES (?, ?)"
SAY = "INSERT INTO messages (thread, role, text) VALUES (?, 'user', ?), (?, 'assistant', ?)"
READ_WHOLE = "SELECT role, text FROM messages WHERE thread = ? ORDER BY id"
READ_LATEST = "SELECT role, text FROM messages WHERE thread = ? ORDER BY id DESC LIMIT ?"


class PlainSqlite:
    """Writes and reads on one connection, in one thread."""

    def __init__(self, connection: sqlite3.Connection, thread: ThreadPoolExecutor) -> None:
        """Use `connection` in `thread` alone."""
        self._connection = connection
        self._thread = thread
        self._taken: Counter[str] = Counter()

    async def turn(self, conversation: str, reading: Reading) -> None:
        """Write the turn down in one transaction, then read back."""
        turn = self._taken[conversation]
        self._taken[conversation] += 1
        await self._do(lambda: self._write(conversation, turn))
        if reading is not Reading.NOTHING:
            await self._do(lambda: self._read(conversation, reading))

    async def fill(self, conversation: str, turns: int) -> None:
        """Take the turns, one after the other."""
        for _ in range(turns):
            await self.turn(conversation, Reading.NOTHING)

    async def _do(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _write(self, conversation: str, turn: int) -> None:
        said = (conversation, texts.prompt(turn), conversation, texts.answer(turn))
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.execute(BUMP, (conversation,))
        self._connection.execute(NAME, (conversation, str(uuid.uuid4())))
        self._connection.execute(SAY, said)
        self._connection.execute("COMMIT")

    def _read(self, conversation: str, reading: Reading) -> list[tuple[str, str]]:
        if reading is Reading.LATEST:
            latest = self._connection.execute(READ_LATEST, (conversation, LATEST_MESSAGES))
            return latest.fetchall()[::-1]
        return self._connection.execute(READ_WHOLE, (conversation,)).fetchall()


@asynccontextmanager
async def open_plain_sqlite(path: str) -> AsyncIterator[PlainSqlite]:
    """Create the tables in a new file."""
    with ThreadPoolExecutor(max_workers=1) as thread:
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            connection.executescript(SCHEMA)
            yield PlainSqlite(connection, thread)
        finally:
            connection.close()
