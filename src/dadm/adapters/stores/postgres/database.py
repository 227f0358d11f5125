"""A PostgreSQL database, spoken to directly: one statement, one round trip."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from dadm.adapters.stores.postgres.failures import address_of, translated
from dadm.adapters.stores.postgres.opening import bring_up_to_date, connect_pool
from dadm.domain.errors import StoreUnavailable

CLOSE_SECONDS = 10.0


class PostgresDatabase:
    """Executes statements on connections from a pool.

    A statement is a transaction of its own. Nothing is sent when a connection goes back to the
    pool: no statement here leaves anything behind in its session.
    """

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]", address: str) -> None:
        """Use `pool`; `address` names the database to people, without a password."""
        self._pool = pool
        self._address = address

    async def row(self, statement: str, *values: Any) -> asyncpg.Record | None:
        """Execute a statement, and give its first row.

        Raises:
            StoreError: As the database's own error says.
        """
        with translated(self._address):
            async with self._pool.acquire() as connection:
                return await connection.fetchrow(statement, *values)

    async def one(self, statement: str, *values: Any) -> asyncpg.Record:
        """Execute a statement that always gives a row."""
        row = await self.row(statement, *values)
        if row is None:
            message = f"The database {self._address} gave no row where there must be one."
            raise StoreUnavailable(message)
        return row

    async def rows(self, statement: str, *values: Any) -> Sequence[asyncpg.Record]:
        """Execute a statement, and give all its rows."""
        with translated(self._address):
            async with self._pool.acquire() as connection:
                return await connection.fetch(statement, *values)

    async def execute(self, statement: str, *values: Any) -> int:
        """Execute a statement, and give how many rows it changed."""
        with translated(self._address):
            async with self._pool.acquire() as connection:
                status = await connection.execute(statement, *values)
        return int(status.rpartition(" ")[2])

    @asynccontextmanager
    async def transaction(
        self,
    ) -> "AsyncIterator[asyncpg.pool.PoolConnectionProxy[asyncpg.Record]]":
        """Keep one connection for several statements, all of which count or none."""
        with translated(self._address):
            async with self._pool.acquire() as connection, connection.transaction():
                yield connection


@asynccontextmanager
async def open_postgres(url: str, *, connections: int = 10) -> AsyncIterator[PostgresDatabase]:
    """Connect to a database, and bring its schema up to date where need be.

    Args:
        url: `postgresql://user:password@host:port/database`, as PostgreSQL's own tools read it.
        connections: How many may be open at once.

    Raises:
        StoreMisconfigured: The database cannot be used: no such, no right to it, a newer schema.
        StoreUnavailable: It cannot be reached; the message names its address.
    """
    address = address_of(url)
    with translated(address):
        await bring_up_to_date(url)
        pool = await connect_pool(url, connections)
    try:
        yield PostgresDatabase(pool, address)
    finally:
        await close(pool)


async def close(pool: "asyncpg.Pool[asyncpg.Record]") -> None:
    """Let statements under way end, then close the connections."""
    try:
        async with asyncio.timeout(CLOSE_SECONDS):
            await pool.close()
    except TimeoutError:
        pool.terminate()
