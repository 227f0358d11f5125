"""Connections to PostgreSQL kept at hand, so that a statement need not go through the driver's pool."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeAlias

import asyncpg

from dadm.domain.errors import StoreUnavailable

Connection: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"
CLOSE_SECONDS = 10.0
WAIT_SECONDS = 30.0
MORE_SECONDS = 60.0
"""How long fewer connections are made do with before one more is tried."""


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
        self._lent = 0
        self._places_given_up = 0
        self._try_more_at = 0.0
        self._is_closing = False

    @asynccontextmanager
    async def lend(self) -> AsyncIterator[Connection]:
        """Lend a connection for as long as the block lasts, waiting until one is free.

        Raises:
            StoreUnavailable: All were in use for so long that something must be wrong.
        """
        await self._wait_for_place()
        try:
            connection = await self._one_however_many_there_may_be()
            is_sound = False
            try:
                yield connection
                is_sound = True
            except asyncpg.ReadOnlySQLTransactionError:
                # To a server that is the primary no more; the next one may reach the new primary.
                connection.terminate()
                raise
            finally:
                self._lent -= 1
                if is_sound and not self._is_closing:
                    self._at_hand.append(connection)
                else:
                    await self._pool.release(connection)
        finally:
            self._places.release()

    async def _wait_for_place(self) -> None:
        if not self._places.locked():
            await self._places.acquire()
            return
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await self._places.acquire()
        except TimeoutError as error:
            message = (
                f"All {self._pool.get_max_size()} connections to the database were in use for "
                f"{WAIT_SECONDS:.0f} seconds. See what its sessions wait for."
            )
            raise StoreUnavailable(message) from error

    async def _one_however_many_there_may_be(self) -> Connection:
        """Give a connection; where the server allows fewer than wanted, wait for one of ours.

        Raises:
            asyncpg.TooManyConnectionsError: It allows none at all.
        """
        now = asyncio.get_running_loop().time()
        if self._places_given_up and now >= self._try_more_at:
            self._give_place_back(now)
        while True:
            try:
                connection = await self._one()
            except asyncpg.TooManyConnectionsError:
                if not self._lent:
                    raise
                # This place is kept back, and another waited for.
                self._places_given_up += 1
                self._try_more_at = now + MORE_SECONDS
                await self._wait_for_place()
            else:
                self._lent += 1
                return connection

    def _give_place_back(self, now: float) -> None:
        """Try again whether the server allows one more by now."""
        self._places_given_up -= 1
        self._try_more_at = now + MORE_SECONDS
        self._places.release()

    async def _one(self) -> Connection:
        while self._at_hand:
            connection = self._at_hand.pop()
            if is_open(connection):
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


def is_open(connection: Connection) -> bool:
    """Whether a connection can be used; one that was cut meanwhile is back in the pool already."""
    try:
        return not connection.is_closed()
    except asyncpg.InterfaceError:
        return False
