"""A PostgreSQL database, spoken to directly: one statement, one round trip."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, TypeVar

import asyncpg

from dadm.adapters.stores.postgres.connections import Connection, Connections
from dadm.adapters.stores.postgres.failures import address_of, translated
from dadm.adapters.stores.postgres.gathering import Gathering
from dadm.adapters.stores.postgres.opening import bring_up_to_date, connect_pool
from dadm.domain.errors import StoreUnavailable

T = TypeVar("T")

TRIES = 3
# Of these alone it is certain that nothing was changed.
TAKEN_BACK = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError)


class PostgresDatabase:
    """Executes statements on connections that are kept at hand.

    A statement is a transaction of its own. Nothing is sent when a connection goes back: no
    statement here leaves anything behind in its session.
    """

    def __init__(self, connections: Connections, address: str) -> None:
        """Use `connections`; `address` names the database to people, without a password."""
        self._connections = connections
        self._address = address
        self._gatherings: dict[str, Gathering] = {}

    async def row(self, statement: str, *values: Any) -> asyncpg.Record | None:
        """Execute a statement, and give its first row.

        Raises:
            StoreError: As the database's own error says.
        """
        return await self._do(lambda connection: connection.fetchrow(statement, *values))

    async def one(self, statement: str, *values: Any) -> asyncpg.Record:
        """Execute a statement that always gives a row."""
        row = await self.row(statement, *values)
        if row is None:
            message = f"The database {self._address} gave no row where there must be one."
            raise StoreUnavailable(message)
        return row

    async def rows(self, statement: str, *values: Any) -> Sequence[asyncpg.Record]:
        """Execute a statement, and give all its rows."""
        return await self._do(lambda connection: connection.fetch(statement, *values))

    async def execute(self, statement: str, *values: Any) -> int:
        """Execute a statement, and give how many rows it changed."""
        status = await self._do(lambda connection: connection.execute(statement, *values))
        return int(status.rpartition(" ")[2])

    async def one_of_many(self, statement: str, *values: Any) -> asyncpg.Record:
        """Execute a statement that always gives one row, with whoever else waits to execute it.

        Only for one that may be repeated.
        """
        if statement not in self._gatherings:
            self._gatherings[statement] = Gathering(partial(self._rows_of_each, statement))
        row: asyncpg.Record = await self._gatherings[statement].execute(values)
        return row

    async def execute_together(self, statement: str, *values: Any) -> None:
        """Execute a statement that gives nothing, with whoever else waits to execute it.

        Only for one that may be repeated.
        """
        if statement not in self._gatherings:
            self._gatherings[statement] = Gathering(partial(self._execute_each, statement))
        await self._gatherings[statement].execute(values)

    async def _rows_of_each(
        self, statement: str, values: Sequence[Sequence[Any]]
    ) -> Sequence[asyncpg.Record]:
        return await self._do(lambda connection: connection.fetchmany(statement, values))

    async def _execute_each(
        self, statement: str, values: Sequence[Sequence[Any]]
    ) -> Sequence[None]:
        await self._do(lambda connection: connection.executemany(statement, values))
        return [None] * len(values)

    async def _do(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """Do what is one transaction, anew where the server took it back for another's sake."""
        tries_left = TRIES
        with translated(self._address):
            while True:
                tries_left -= 1
                try:
                    async with self._connections.lend() as connection:
                        return await work(connection)
                except TAKEN_BACK:
                    if not tries_left:
                        raise

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """Keep one connection for several statements, all of which count or none."""
        with translated(self._address):
            async with self._connections.lend() as connection, connection.transaction():
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
    kept = Connections(pool)
    try:
        yield PostgresDatabase(kept, address)
    finally:
        await kept.close()
