"""What becomes of a call when PostgreSQL cannot do it: what is told, and what is done anew."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import asyncpg
import pytest

from dadm.adapters.stores.postgres import PostgresDatabase, PostgresStore, open_postgres
from dadm.domain.errors import StoreMisconfigured, StoreUnavailable
from dadm.domain.turn import TurnRef
from dadm.ports.store_values import Queued, Recorded, Submitted
from tests.contracts.stores import LONG, StoreUnderTest, answer, request, submission, turn_key
from tests.databases import command, make_postgres

pytestmark = pytest.mark.postgres

ADD_SCOPE = "INSERT INTO scopes (engine, tenant, name) VALUES ('e', '', $1)"
COUNTED_FAILURE = """CREATE FUNCTION fail_with(_state text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM nextval('tries');
    RAISE EXCEPTION USING ERRCODE = _state, MESSAGE = 'it failed';
END $$"""
TRIES = "SELECT last_value FROM tries"
SOMEBODY_WAITS = """SELECT 1 FROM pg_stat_activity
    WHERE wait_event_type = 'Lock' AND datname = current_database()"""


@pytest.fixture
async def own_url(empty_postgres_url: str) -> str:
    """Give the address of a database that the test may change as it likes."""
    await make_postgres(empty_postgres_url)
    return empty_postgres_url


def given_store(database: PostgresDatabase) -> StoreUnderTest:
    async def put(*_: object) -> None:
        raise NotImplementedError

    return StoreUnderTest(PostgresStore(database), put)


async def set_default(url: str, setting: str) -> None:
    await command(url, f'ALTER DATABASE "{urlsplit(url).path[1:]}" SET {setting}')


# --- done anew, where nothing was changed


@pytest.mark.parametrize(("state", "tries"), [("40001", 3), ("40P01", 3), ("57014", 1)])
async def test_what_the_server_took_back_whole_is_tried_a_few_times(
    own_url: str, state: str, tries: int
) -> None:
    await command(own_url, "CREATE SEQUENCE tries", COUNTED_FAILURE)
    async with open_postgres(own_url, connections=1) as database:
        with pytest.raises(StoreUnavailable, match="it failed"):
            await database.execute("SELECT fail_with($1)", state)

        assert (await database.one(TRIES))[0] == tries


async def test_a_call_that_lost_a_deadlock_is_made_again(postgres_url: str) -> None:
    async with (
        open_postgres(postgres_url, connections=3) as database,
        patient_session(postgres_url) as other,
        asyncio.TaskGroup() as tasks,
    ):
        given = given_store(database)
        await given.lease()
        turns = [await queued(given, name) for name in ("a", "b")]
        transaction = other.transaction()
        await transaction.start()
        await other.execute("SELECT FROM turns WHERE id = $1 FOR UPDATE", turns[1])
        tasks.create_task(given.store.keep_tickets(turns, ticket_seconds=LONG))
        while not await database.row(SOMEBODY_WAITS):
            pass
        await other.execute("SELECT FROM turns WHERE id = $1 FOR UPDATE", turns[0])
        await transaction.rollback()


@asynccontextmanager
async def patient_session(
    url: str,
) -> "AsyncIterator[asyncpg.Connection[asyncpg.Record]]":
    """Give a session that waits for others in a ring until one of them gives up."""
    connection = await asyncpg.connect(url, server_settings={"deadlock_timeout": "1h"})
    try:
        yield connection
    finally:
        await connection.close()


async def queued(given: StoreUnderTest, name: str) -> TurnRef:
    claim = await given.store.claim(request(name))
    assert isinstance(claim, Queued)
    return claim.turn


async def test_replicas_decide_alike_where_the_database_serializes_by_default(
    own_url: str,
) -> None:
    await set_default(own_url, "default_transaction_isolation = 'serializable'")
    async with open_postgres(own_url, connections=8) as database:
        given = given_store(database)
        await given.ready()
        asked = [
            request("t1", owner=f"o{number}", asks=submission(), lease=0) for number in range(24)
        ]

        claims = await asyncio.gather(*map(given.store.claim, asked))

        taken = [claim for claim in claims if isinstance(claim, Submitted)]
        assert len(taken) == 1
        assert (await given.thread()).turn_count == 1
        assert (await database.one("SHOW transaction_isolation"))[0] == "read committed"


# --- told, with what to do


@pytest.mark.parametrize(
    ("state", "kind", "remedy"),
    [
        ("25006", StoreUnavailable, "name the primary"),
        ("53100", StoreUnavailable, "Make room"),
        ("53300", StoreUnavailable, "more connections"),
        ("57P01", StoreUnavailable, "stops or starts"),
        ("55P03", StoreUnavailable, "what its sessions wait for"),
        ("XX000", StoreUnavailable, "log says more"),
        ("42501", StoreMisconfigured, "Let the role use"),
        ("42P01", StoreMisconfigured, "as dadm has made them"),
        ("54000", StoreMisconfigured, "too long"),
    ],
)
async def test_what_the_server_says_comes_with_what_to_do(
    own_url: str, state: str, kind: type[Exception], remedy: str
) -> None:
    await command(own_url, "CREATE SEQUENCE tries", COUNTED_FAILURE)
    async with open_postgres(own_url, connections=1) as database:
        with pytest.raises(kind, match=rf"it failed\. .*{remedy}"):
            await database.execute("SELECT fail_with($1)", state)


async def test_an_id_that_no_index_takes_is_not_tried_for_ever(postgres_url: str) -> None:
    async with open_postgres(postgres_url, connections=1) as database:
        given = given_store(database)
        incompressible = "".join(f"{number * 2654435761 % 2**32:08x}" for number in range(4000))
        with pytest.raises(StoreMisconfigured, match="too long"):
            await given.store.claim(request(turn=turn_key(incompressible)))


async def test_a_number_that_no_column_takes_is_not_tried_for_ever(postgres_url: str) -> None:
    async with open_postgres(postgres_url, connections=1) as database:
        with pytest.raises(StoreMisconfigured, match="one of the values"):
            await PostgresStore(database).find_turn(TurnRef(2**70))


async def test_tables_that_somebody_took_away_are_told(own_url: str) -> None:
    async with open_postgres(own_url, connections=1) as database:
        given = given_store(database)
        await given.ready()
        taken = await given.submit()
        await command(own_url, "ALTER TABLE answers RENAME TO hidden")
        with pytest.raises(StoreMisconfigured, match="as dadm has made them"):
            await given.store.settle(taken.lease, taken.turn.ref, answer())
        await command(own_url, "ALTER TABLE hidden RENAME TO answers")

        await given.store.settle(taken.lease, taken.turn.ref, answer())

        assert isinstance(await given.store.claim(request()), Recorded)


async def test_a_statement_that_the_server_stops_changes_nothing(own_url: str) -> None:
    await set_default(own_url, "statement_timeout = '200ms'")
    async with (
        open_postgres(own_url, connections=1) as database,
        asyncpg.create_pool(own_url, min_size=1, max_size=1) as other,
    ):
        given = given_store(database)
        ready = await given.ready()
        async with other.acquire() as connection, connection.transaction():
            await connection.execute("SELECT FROM threads FOR UPDATE")
            with pytest.raises(StoreUnavailable, match="stopped before its end"):
                await given.store.claim(request())

        assert await given.thread() == ready


# --- connections


async def test_a_server_that_became_a_standby_is_left_for_whoever_is_the_primary(
    postgres_url: str,
) -> None:
    async with open_postgres(postgres_url, connections=1) as database:
        await database.row("SET default_transaction_read_only = on")
        with pytest.raises(StoreUnavailable, match="name the primary"):
            await database.execute(ADD_SCOPE, "one")

        assert await database.execute(ADD_SCOPE, "one") == 1


async def test_a_call_that_gets_no_connection_is_told(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dadm.adapters.stores.postgres.connections.WAIT_SECONDS", 0.05)
    async with (
        open_postgres(postgres_url, connections=1) as database,
        asyncio.TaskGroup() as tasks,
    ):
        sleeping = tasks.create_task(database.row("SELECT pg_sleep(3600)"))
        await asyncio.sleep(0)
        with pytest.raises(StoreUnavailable, match=r"All 1 connections .* sessions wait for"):
            await database.row("SELECT 1")
        sleeping.cancel()

        with pytest.raises(asyncio.CancelledError):
            await sleeping
        assert (await database.one("SELECT 2"))[0] == 2


async def test_calls_find_a_server_that_was_away(own_url: str, postgres_server_url: str) -> None:
    async with open_postgres(own_url, connections=3) as database:
        given = given_store(database)
        await given.ready()
        await asyncio.gather(*(database.row("SELECT pg_sleep(0.01)") for _ in range(3)))
        name = urlsplit(own_url).path[1:]
        await command(
            postgres_server_url,
            f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false',
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'",  # noqa: S608
        )
        with pytest.raises(StoreUnavailable):
            await given.store.claim(request())
        await command(postgres_server_url, f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')

        taken = await given.submit()

        assert (taken.lease.fence, taken.turn.sequence) == (2, 1)
