"""Connections that stay at hand between statements."""

import asyncio
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import pytest

from dadm.adapters.stores.postgres.connections import Connections
from dadm.adapters.stores.postgres.opening import connect_pool
from tests.databases import command

pytestmark = pytest.mark.postgres
SESSIONS = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
FOR_EVER = "SELECT pg_sleep(3600)"


async def test_the_one_used_last_is_lent_first(postgres_url: str) -> None:
    connections = Connections(await connect_pool(postgres_url, 3))
    try:
        for _ in range(5):
            async with connections.lend() as connection:
                assert await connection.fetchval(SESSIONS) == 1
    finally:
        await connections.close()


async def test_a_statement_that_failed_costs_no_place(postgres_url: str) -> None:
    connections = Connections(await connect_pool(postgres_url, 1))
    try:
        for _ in range(3):
            with pytest.raises(asyncpg.UndefinedTableError):
                async with connections.lend() as connection:
                    await connection.execute("SELECT 1 FROM nowhere")
        async with connections.lend() as connection:
            assert await connection.fetchval("SELECT 1") == 1
    finally:
        await connections.close()


async def test_a_statement_that_was_cancelled_ends_and_costs_no_place(postgres_url: str) -> None:
    connections = Connections(await connect_pool(postgres_url, 1))
    has_begun = asyncio.Event()

    async def wait_for_ever() -> None:
        async with connections.lend() as connection:
            has_begun.set()
            await connection.execute(FOR_EVER)

    try:
        async with asyncio.TaskGroup() as tasks:
            waiting = tasks.create_task(wait_for_ever())
            await has_begun.wait()
            waiting.cancel()
        async with asyncio.timeout(10), connections.lend() as connection:
            assert await connection.fetchval("SELECT 1") == 1
    finally:
        await connections.close()


async def test_closing_waits_for_the_statement_under_way(postgres_url: str) -> None:
    connections = Connections(await connect_pool(postgres_url, 2))
    has_begun, may_end = asyncio.Event(), asyncio.Event()

    async def use_one() -> int:
        async with connections.lend() as connection:
            has_begun.set()
            await may_end.wait()
            given: int = await connection.fetchval("SELECT 1")
            return given

    async with asyncio.TaskGroup() as tasks:
        using = tasks.create_task(use_one())
        await has_begun.wait()
        closing = tasks.create_task(connections.close())
        await asyncio.sleep(0)
        assert not closing.done()
        may_end.set()

    assert using.result() == 1
    with pytest.raises(asyncpg.InterfaceError):
        async with connections.lend():
            pass


async def test_where_the_server_allows_fewer_connections_those_there_are_are_waited_for(
    postgres_server_url: str, postgres_url: str
) -> None:
    role = f"limited_{uuid4().hex[:8]}"
    await command(postgres_server_url, f"CREATE ROLE {role} LOGIN CONNECTION LIMIT 2")
    given = urlsplit(postgres_url)
    url = given._replace(netloc=f"{role}@{given.netloc.rpartition('@')[2]}").geturl()
    connections = Connections(await connect_pool(url, 10))

    async def ask() -> int:
        async with connections.lend() as connection:
            answer: int = await connection.fetchval("SELECT 1 FROM pg_sleep(0.01)")
            return answer

    try:
        assert await asyncio.gather(*(ask() for _ in range(30))) == [1] * 30
    finally:
        await connections.close()
        await command(postgres_server_url, f"DROP ROLE {role}")
