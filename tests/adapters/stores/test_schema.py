"""The migrated schema is the described one, comes up under a lock, and never goes back."""

import asyncio
import sqlite3
import sys
from contextlib import AbstractAsyncContextManager, closing
from pathlib import Path

import asyncpg
import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from dadm.adapters.stores import migrations
from dadm.adapters.stores.migrations.version import SCHEMA, VERSION_TABLE
from dadm.adapters.stores.postgres import open_postgres
from dadm.adapters.stores.rows import threads as columns
from dadm.adapters.stores.sqlite import open_sqlite
from dadm.adapters.stores.tables import metadata
from dadm.domain.errors import StoreMisconfigured
from tests.databases import command, make_postgres

IN_SQLITE = "SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%'"
COLUMNS = """SELECT table_name, column_name, ordinal_position, data_type, is_nullable,
    column_default, is_identity FROM information_schema.columns WHERE table_schema = 'public'"""
CONSTRAINTS = """SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid)
    FROM pg_constraint WHERE connamespace = 'public'::regnamespace"""
INDEXES = "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'"
VIEW_COLUMNS = """SELECT count(*) FROM information_schema.columns WHERE table_name = $1"""
TABLES = {table.name for table in metadata.sorted_tables}


def words(sql: str | None) -> list[str]:
    """Give a statement word by word, whatever its line breaks and order of constraints."""
    if sql is None:
        return []
    spaced = sql.replace("(", " ( ").replace(")", " ) ").replace(",", " , ")
    return sorted(spaced.replace('"', "").split())


def sqlite_schema(path: Path) -> dict[tuple[str, str, str], list[str]]:
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute(IN_SQLITE).fetchall()
    return {(kind, name, table): words(sql) for kind, name, table, sql in rows if table in TABLES}


async def test_migrations_of_sqlite_add_up_to_the_tables(tmp_path: Path) -> None:
    async with open_sqlite(tmp_path / "migrated.db"):
        pass
    engine = create_engine(f"sqlite:///{tmp_path / 'described.db'}", poolclass=NullPool)
    metadata.create_all(engine)

    migrated, described = (
        sqlite_schema(tmp_path / name) for name in ("migrated.db", "described.db")
    )

    assert migrated.keys() == described.keys()
    assert migrated == described


async def postgres_schema(url: str) -> set[tuple[object, ...]]:
    connection = await asyncpg.connect(url)
    try:
        return {
            tuple(row)
            for query in (COLUMNS, CONSTRAINTS, INDEXES)
            for row in await connection.fetch(query)
            if row[0] in TABLES
        }
    finally:
        await connection.close()


@pytest.mark.postgres
async def test_migrations_of_postgres_add_up_to_the_tables(
    empty_postgres_url: str, postgres_url: str
) -> None:
    engine = create_async_engine(
        "postgresql+asyncpg://",
        async_creator=lambda: asyncpg.connect(empty_postgres_url),
        poolclass=NullPool,
    )
    async with engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
    await engine.dispose()

    migrated, described = (
        await postgres_schema(postgres_url),
        await postgres_schema(empty_postgres_url),
    )

    assert migrated ^ described == set()
    assert len(described) > 200


@pytest.mark.postgres
async def test_views_have_the_columns_that_are_read_by_position(postgres_url: str) -> None:
    async with open_postgres(postgres_url, connections=1) as database:
        for view, width in (
            ("thread_rows_2", columns.THREAD_WIDTH),
            ("turn_rows_2", columns.TURN_WIDTH),
            ("attempt_rows_1", len(columns.ATTEMPT.split(","))),
        ):
            assert (await database.one(VIEW_COLUMNS, view))[0] == width


def test_the_widths_of_rows_are_those_of_their_columns() -> None:
    assert len(columns.THREAD.split(",")) == columns.THREAD_WIDTH
    assert len(columns.TURN.split(",")) == columns.TURN_WIDTH


def test_the_program_knows_its_latest_schema() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))

    assert ScriptDirectory.from_config(config).get_current_head() == SCHEMA


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def newer(request: pytest.FixtureRequest) -> AbstractAsyncContextManager[object]:
    """Give what opens a database whose schema a later program has changed."""
    to_later = f"UPDATE {VERSION_TABLE} SET version_num = '9999'"  # noqa: S608
    if request.param == "sqlite":
        path: Path = request.getfixturevalue("sqlite_path")
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute(to_later)
        return open_sqlite(path)
    url: str = request.getfixturevalue("empty_postgres_url")
    asyncio.run(make_postgres(url))
    asyncio.run(command(url, to_later))
    return open_postgres(url)


async def test_a_newer_schema_is_refused_in_plain_words(
    newer: AbstractAsyncContextManager[object],
) -> None:
    with pytest.raises(StoreMisconfigured, match=r"schema 9999, which is newer.*Use a newer dadm"):
        await newer.__aenter__()


async def test_programs_that_start_together_write_the_schema_once(tmp_path: Path) -> None:
    path = tmp_path / "new.db"
    script = (
        "import asyncio, sys\n"
        "from dadm.adapters.stores.sqlite import SqliteStore, open_sqlite\n"
        "async def main():\n"
        "    async with open_sqlite(sys.argv[1]) as database:\n"
        "        await SqliteStore(database).now()\n"
        "asyncio.run(main())\n"
    )
    started = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", script, str(path), stderr=asyncio.subprocess.PIPE
        )
        for _ in range(4)
    ]
    ended = await asyncio.gather(*(process.communicate() for process in started))

    assert [error for _, error in ended] == [b""] * 4
    assert [process.returncode for process in started] == [0] * 4


@pytest.mark.postgres
async def test_replicas_that_start_together_write_the_schema_once(
    empty_postgres_url: str,
) -> None:
    async def start() -> str:
        async with open_postgres(empty_postgres_url, connections=1) as database:
            version = await database.one(f"SELECT version_num FROM {VERSION_TABLE}")  # noqa: S608
            return str(version[0])

    assert await asyncio.gather(*(start() for _ in range(3))) == [SCHEMA] * 3
