"""New and empty databases to measure in, and how large they have become."""

import itertools
import os
import sqlite3
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias
from urllib.parse import urlsplit

import asyncpg

NUMBERS = itertools.count(1)
SIZE = """SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND n.nspname = 'public'"""


class Place(Protocol):
    """A database of one entrant."""

    @property
    def address(self) -> str:
        """What the entrant opens."""
        ...

    async def stored_bytes(self) -> int:
        """Count what the tables take, with their indexes and what is dead but not yet reused."""
        ...


NewPlace: TypeAlias = Callable[[], AbstractAsyncContextManager[Place]]


@dataclass(frozen=True, slots=True, kw_only=True)
class SqliteFile:
    """A file in a folder of its own."""

    address: str

    async def stored_bytes(self) -> int:
        """Count the pages, in the file or still in its log."""
        with closing(sqlite3.connect(self.address)) as connection:
            (pages,) = connection.execute("PRAGMA page_count").fetchone()
            (page_bytes,) = connection.execute("PRAGMA page_size").fetchone()
            return int(pages) * int(page_bytes)


@asynccontextmanager
async def new_sqlite_file() -> AsyncIterator[SqliteFile]:
    """Give the path of a file that is not there yet, on the disk that holds temporary files."""
    with tempfile.TemporaryDirectory(prefix="dadm-bench-") as folder:
        yield SqliteFile(address=str(Path(folder) / "bench.db"))


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresPlace:
    """A database of a server; `direct` is its address without any delay."""

    address: str
    direct: str

    async def stored_bytes(self) -> int:
        """Ask the server."""
        connection = await asyncpg.connect(self.direct)
        try:
            size: int = await connection.fetchval(SIZE)
            return size
        finally:
            await connection.close()


def new_postgres_database(server: str, reached_by: str) -> NewPlace:
    """Make databases on `server` that entrants reach by `reached_by`, the same server's address."""

    @asynccontextmanager
    async def make() -> AsyncIterator[PostgresPlace]:
        name = f"dadm_bench_{os.getpid()}_{next(NUMBERS)}"
        await command(server, f"CREATE DATABASE {name}")
        try:
            yield PostgresPlace(address=beside(reached_by, name), direct=beside(server, name))
        finally:
            await command(server, f"DROP DATABASE {name} WITH (FORCE)")

    return make


def beside(server: str, name: str) -> str:
    """Give the address of another database of a server."""
    return urlsplit(server)._replace(path=f"/{name}").geturl()


async def command(server: str, statement: str) -> None:
    """Execute one statement that is no query."""
    connection = await asyncpg.connect(server)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
