"""Connections to a PostgreSQL database, and the database made ready for them."""

from typing import Any

import asyncpg

from dadm.adapters.stores.migrations.version import SCHEMA, VERSION_TABLE
from dadm.domain.errors import StoreMisconfigured

CONNECT_SECONDS = 10.0
STATEMENT_SECONDS = 30.0
# Replicas that start together change the schema one after the other; the number is any.
SCHEMA_LOCK = 0x64_61_64_6D
IS_THERE = "SELECT to_regclass($1) IS NOT NULL"


async def connect(url: str) -> "asyncpg.Connection[asyncpg.Record]":
    """Connect once.

    Raises:
        StoreMisconfigured: The address cannot be read.
    """
    try:
        return await asyncpg.connect(url, timeout=CONNECT_SECONDS)
    except (ValueError, asyncpg.ClientConfigurationError) as error:
        message = f"The address of the database cannot be read: {error}."
        raise StoreMisconfigured(message) from error


async def connect_pool(url: str, connections: int) -> "asyncpg.Pool[asyncpg.Record]":
    """Open a pool of up to so many connections."""
    return await asyncpg.create_pool(
        url,
        min_size=1,
        max_size=connections,
        timeout=CONNECT_SECONDS,
        command_timeout=STATEMENT_SECONDS,
        init=set_up,
        reset=leave_as_it_is,
    )


async def set_up(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Prepare a new connection, whatever its database or role has for defaults."""
    # Compiling statements costs more than these ever take; each decides on what it finds once it
    # has its thread's lock, not on what there was before.
    await connection.execute("SET jit = off; SET default_transaction_isolation = 'read committed'")


async def leave_as_it_is(_: Any) -> None:
    """Send nothing when a connection goes back: no statement leaves anything in its session."""


async def bring_up_to_date(url: str) -> None:
    """Apply what is missing of the schema, one replica at a time.

    Raises:
        StoreMisconfigured: The schema is newer than this program, or the database cannot keep
            every text.
    """
    connection = await connect(url)
    try:
        encoding = connection.get_settings().server_encoding
        if encoding != "UTF8":
            message = (
                f"The database keeps texts as {encoding}, which has not all characters. "
                "Create one with ENCODING 'UTF8'."
            )
            raise StoreMisconfigured(message)
        if await is_up_to_date(connection):
            return
    finally:
        await connection.close()
    await write_schema(url)


async def is_up_to_date(connection: "asyncpg.Connection[asyncpg.Record]") -> bool:
    """Whether the database has this program's schema; quick, for most starts end here."""
    if not await connection.fetchval(IS_THERE, VERSION_TABLE):
        return False
    versions = await connection.fetch(f"SELECT version_num FROM {VERSION_TABLE}")  # noqa: S608
    return [row[0] for row in versions] == [SCHEMA]


async def write_schema(url: str) -> None:
    """Apply what is missing in one transaction, under a lock."""
    # Half a second of imports that a start with an up-to-date schema does without.
    from sqlalchemy.exc import DBAPIError  # noqa: PLC0415
    from sqlalchemy.ext.asyncio import create_async_engine  # noqa: PLC0415
    from sqlalchemy.pool import NullPool  # noqa: PLC0415

    from dadm.adapters.stores.migrations.upgrading import upgrade  # noqa: PLC0415

    async def connect_once() -> Any:
        return await connect(url)

    # So that what another replica wrote is seen once the lock was waited for, whatever isolation
    # the database has by default.
    engine = create_async_engine(
        "postgresql+asyncpg://",
        async_creator=connect_once,
        poolclass=NullPool,
        isolation_level="READ COMMITTED",
    )
    try:
        async with engine.begin() as alembics:
            await alembics.exec_driver_sql(f"SELECT pg_advisory_xact_lock({SCHEMA_LOCK})")
            await alembics.run_sync(upgrade)
    except DBAPIError as error:
        # SQLAlchemy's own error is around that of its adapter, which is around the driver's.
        driver_s = error.orig and error.orig.__cause__
        raise driver_s or error from error
