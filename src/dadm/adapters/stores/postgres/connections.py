"""Connections to PostgreSQL kept at hand, so that a statement need not go through the driver's pool."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeAlias

import asyncpg

Connection: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"
CLOSE_SECONDS = 10.0


class Connections:
    """Lends connections of a pool, the one used last first.

    The pool opens them, and takes back those with which something went wrong. The others stay
    out between two statements: giving one back costs a task, which is a good part of what a
    statement costs here.
    """

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        """Lend as many at a time as `pool` may open."""
        self._pool = pool
        self._places = asyncio.Semaphore(pool.get_max_size())
        self._at_hand: list[Connection] = []
        self._is_closing = False

    @asynccontextmanager
    async def lend(self) -> AsyncIterator[Connection]:
        """Lend a connection for as long as the block lasts, waiting until one is free."""
        async with self._places:
            connection = await self._one()
            is_sound = False
            try:
                yield connection
                is_sound = True
            finally:
                if is_sound and not self._is_closing:
                    self._at_hand.append(connection)
                else:
                    await self._pool.release(connection)

    async def _one(self) -> Connection:
        while self._at_hand:
            connection = self._at_hand.pop()
            if not connection.is_closed():
                return connection
            await self._pool.release(connection)
        return await self._pool.acquire()

    async def close(self) -> None:
        """Let statements under way end, then close the connections."""
        self._is_closing = True
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                while self._at_hand:
                    await self._pool.release(self._at_hand.pop())
                await self._pool.close()
        except TimeoutError:
            self._pool.terminate()
