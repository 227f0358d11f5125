"""OpenAI Agents' sessions: two calls that add an item and one that reads, as its runner makes them."""

from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from typing import Any

import asyncpg
from agents.extensions.memory.sqlalchemy_session import SQLAlchemySession
from agents.memory import SQLiteSession
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from benchmarks import texts
from benchmarks.readings import LATEST_MESSAGES, Reading

CONNECTIONS = 20


class AgentsSessions:
    """Takes turns in sessions, one for each conversation."""

    def __init__(self, open_session: Callable[[str], Any]) -> None:
        """Open the session of a conversation with `open_session`, once."""
        self._open_session = open_session
        self._sessions: dict[str, Any] = {}
        self._taken: Counter[str] = Counter()

    def session(self, conversation: str) -> Any:
        """Give the session of a conversation."""
        if conversation not in self._sessions:
            self._sessions[conversation] = self._open_session(conversation)
        return self._sessions[conversation]

    async def turn(self, conversation: str, reading: Reading) -> None:
        """Add the question, add the answer, and read back."""
        turn = self._taken[conversation]
        self._taken[conversation] += 1
        session = self.session(conversation)
        await session.add_items([question(turn)])
        await session.add_items([reply(turn)])
        if reading is not Reading.NOTHING:
            await session.get_items(LATEST_MESSAGES if reading is Reading.LATEST else None)

    async def fill(self, conversation: str, turns: int) -> None:
        """Add everything at once, which leaves the same rows behind."""
        items = [item for turn in range(turns) for item in (question(turn), reply(turn))]
        await self.session(conversation).add_items(items)
        self._taken[conversation] = turns

    def close(self) -> None:
        """Close what can be closed."""
        for session in self._sessions.values():
            if isinstance(session, SQLiteSession):
                session.close()


def question(turn: int) -> dict[str, str]:
    """Give what is asked, as an item."""
    return {"role": "user", "content": texts.prompt(turn)}


def reply(turn: int) -> dict[str, str]:
    """Give what is answered, as an item."""
    return {"role": "assistant", "content": texts.answer(turn)}


@asynccontextmanager
async def open_sqlite_sessions(path: str) -> AsyncIterator[AgentsSessions]:
    """Use SQLiteSession on a file."""
    with closing(AgentsSessions(lambda conversation: SQLiteSession(conversation, path))) as opened:
        yield opened


@asynccontextmanager
async def open_aiosqlite_sessions(path: str) -> AsyncIterator[AgentsSessions]:
    """Use SQLAlchemySession on a file."""
    async with sessions_of(create_async_engine(f"sqlite+aiosqlite:///{path}")) as opened:
        yield opened


@asynccontextmanager
async def open_postgres_sessions(url: str) -> AsyncIterator[AgentsSessions]:
    """Use SQLAlchemySession on a database, with a pool as large as ours."""
    engine = create_async_engine(
        "postgresql+asyncpg://",
        async_creator=lambda: asyncpg.connect(url),
        pool_size=CONNECTIONS,
        max_overflow=0,
    )
    async with sessions_of(engine) as opened:
        yield opened


@asynccontextmanager
async def sessions_of(engine: AsyncEngine) -> AsyncIterator[AgentsSessions]:
    """Create the tables, and open sessions that share `engine`."""
    await SQLAlchemySession("tables", engine=engine, create_tables=True).get_items()
    try:
        yield AgentsSessions(lambda conversation: SQLAlchemySession(conversation, engine=engine))
    finally:
        await engine.dispose()
