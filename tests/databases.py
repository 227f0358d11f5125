"""A database for each test, with the schema and nothing in it."""

import asyncio
import itertools
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from dadm.adapters.stores.postgres import open_postgres
from dadm.adapters.stores.sqlite import open_sqlite
from dadm.adapters.stores.tables import metadata

NUMBERS = itertools.count(1)


async def make_sqlite(path: Path) -> None:
    async with open_sqlite(path):
        pass


async def make_postgres(url: str) -> None:
    async with open_postgres(url, connections=1):
        pass


async def command(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


def beside(server_url: str, name: str) -> str:
    """Give the address of another database of the same server."""
    return urlsplit(server_url)._replace(path=f"/{name}").geturl()


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    asyncio.run(make_sqlite(path))
    return path


@pytest.fixture
def sqlite_path(sqlite_template: Path, tmp_path: Path) -> Path:
    """Give a SQLite file with the schema and nothing else."""
    return shutil.copyfile(sqlite_template, tmp_path / "dadm.db")


@pytest.fixture(scope="session")
def migrated_postgres_url(postgres_server_url: str) -> Iterator[str]:
    # Each folder that imports this fixture has one of its own.
    name = f"dadm_test_{os.getpid()}_{next(NUMBERS)}"
    asyncio.run(command(postgres_server_url, f"CREATE DATABASE {name}"))
    asyncio.run(make_postgres(beside(postgres_server_url, name)))
    yield beside(postgres_server_url, name)
    asyncio.run(command(postgres_server_url, f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture
async def postgres_url(migrated_postgres_url: str) -> AsyncIterator[str]:
    """Give the address of a PostgreSQL database with the schema and nothing else.

    It is one database for the whole run, emptied after each test: making and dropping one costs
    the server a checkpoint. A test that changes the schema takes an empty one instead.
    """
    yield migrated_postgres_url
    tables = reversed(metadata.sorted_tables)
    emptied = [f"DELETE FROM {table.name}" for table in tables]  # noqa: S608
    await command(migrated_postgres_url, *emptied)


@pytest.fixture
async def empty_postgres_url(postgres_server_url: str) -> AsyncIterator[str]:
    """Give the address of a PostgreSQL database without any table."""
    name = f"dadm_empty_{os.getpid()}_{next(NUMBERS)}"
    await command(postgres_server_url, f"CREATE DATABASE {name}")
    yield beside(postgres_server_url, name)
    await command(postgres_server_url, f"DROP DATABASE {name} WITH (FORCE)")
