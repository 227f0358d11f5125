"""How PostgreSQL is spoken to, and what its failures are called."""

import asyncio
from urllib.parse import urlsplit

import asyncpg
import pytest

from dadm.adapters.stores.postgres import PostgresDatabase, PostgresStore, open_postgres
from dadm.adapters.stores.postgres.failures import address_of, ours
from dadm.domain.errors import StoreMisconfigured, StoreUnavailable, ThreadConflict
from tests.contracts.stores import (
    AT_ONCE,
    LONG,
    StoreUnderTest,
    answer,
    request,
    submission,
    submitted,
    thread_key,
    turn_key,
)

NOBODY_LISTENS = "postgresql://user:secret@127.0.0.1:1/dadm"


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("postgresql://user:secret@db.local:5433/dadm", "db.local:5433/dadm"),
        ("postgresql://user@db.local/dadm?sslmode=require", "db.local/dadm"),
        ("postgresql://postgres:@/postgres?host=/run/postgres", "/run/postgres/postgres"),
        ("postgresql:///dadm", "localhost/dadm"),
        ("postgresql://user:secret@db.local:many/dadm", "db.local/dadm"),
    ],
)
def test_a_database_is_named_without_user_and_password(url: str, address: str) -> None:
    assert address_of(url) == address


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (asyncpg.UniqueViolationError, ThreadConflict),
        (asyncpg.ForeignKeyViolationError, ThreadConflict),
        (asyncpg.CheckViolationError, ThreadConflict),
        (asyncpg.InvalidPasswordError, StoreMisconfigured),
        (asyncpg.InvalidCatalogNameError, StoreMisconfigured),
        (asyncpg.InsufficientPrivilegeError, StoreMisconfigured),
        (asyncpg.UndefinedTableError, StoreMisconfigured),
        (asyncpg.DeadlockDetectedError, StoreUnavailable),
        (asyncpg.TooManyConnectionsError, StoreUnavailable),
        (asyncpg.AdminShutdownError, StoreUnavailable),
        (asyncpg.ReadOnlySQLTransactionError, StoreUnavailable),
        (asyncpg.DiskFullError, StoreUnavailable),
    ],
)
def test_what_the_server_says_is_ours_to_name(
    error: type[asyncpg.PostgresError], expected: type[Exception]
) -> None:
    named = ours(error("what it said\nand more"), "db.local/dadm")

    assert type(named) is expected
    assert "what it said." in str(named)


async def test_an_unreachable_server_is_named_without_password() -> None:
    with pytest.raises(StoreUnavailable, match=r"127\.0\.0\.1:1/dadm did not answer") as caught:
        async with open_postgres(NOBODY_LISTENS):
            pass

    assert "secret" not in str(caught.value)


async def test_an_address_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(StoreMisconfigured, match="cannot be read"):
        async with open_postgres("postgresql://127.0.0.1:many/dadm"):
            pass


@pytest.mark.postgres
async def test_a_database_that_is_not_there_is_named(postgres_url: str) -> None:
    elsewhere = urlsplit(postgres_url)._replace(path="/nowhere").geturl()

    with pytest.raises(StoreMisconfigured, match="nowhere"):
        async with open_postgres(elsewhere):
            pass


@pytest.mark.postgres
async def test_a_connection_that_is_cut_is_replaced(postgres_url: str) -> None:
    async with open_postgres(postgres_url, connections=1) as database:
        with pytest.raises(StoreUnavailable):
            await database.row("SELECT pg_terminate_backend(pg_backend_pid())")

        assert (await database.one("SELECT 1"))[0] == 1


@pytest.mark.postgres
async def test_a_transaction_that_fails_changes_nothing(postgres_url: str) -> None:
    async def write(database: PostgresDatabase) -> None:
        async with database.transaction() as connection:
            await connection.execute("INSERT INTO scopes (engine, tenant, name) VALUES ('','','')")
            raise LookupError

    async with open_postgres(postgres_url, connections=1) as database:
        with pytest.raises(LookupError):
            await write(database)

        assert await database.rows("SELECT * FROM scopes") == []


@pytest.mark.postgres
async def test_more_calls_than_connections_take_their_turn(postgres_url: str) -> None:
    async with open_postgres(postgres_url, connections=2) as database:
        store = PostgresStore(database)

        taken = await asyncio.gather(
            *(
                store.lease_thread(thread_key(scope=f"p{n}"), owner="o", lease_seconds=LONG)
                for n in range(30)
            )
        )

    assert len({type(found) for found in taken}) == 1


@pytest.mark.postgres
async def test_a_step_of_the_protocol_is_one_statement_without_a_reset(postgres_url: str) -> None:
    async def put(*_: object) -> None:
        raise NotImplementedError

    sent: list[str] = []
    async with open_postgres(postgres_url, connections=1) as database:
        store = PostgresStore(database)
        given = StoreUnderTest(store, put)
        await given.ready()
        await given.complete("before")
        async with database.transaction() as connection:
            connection.add_query_logger(lambda record: sent.append(record.query))
        sent.clear()

        claim = await given.submit("t1")
        await store.note_response(claim.attempt.ref, "resp_1")
        await store.settle(claim.lease, claim.turn.ref, answer("a", last_item="i"))
        await store.mark_reported(claim.turn.key)

    # The helper looks the thread up before it claims.
    assert len(sent) == 5


@pytest.mark.postgres
async def test_a_claim_sees_what_happened_while_it_waited_for_the_thread(
    postgres_url: str,
) -> None:
    async def put(*_: object) -> None:
        raise NotImplementedError

    async with open_postgres(postgres_url, connections=3) as database:
        store = PostgresStore(database)
        given = StoreUnderTest(store, put)
        await given.ready()
        taken = await given.submit("t1")
        await store.extend(taken.lease, lease_seconds=AT_ONCE)

        async with asyncio.TaskGroup() as tasks, database.transaction() as connection:
            await connection.execute("SELECT 1 FROM threads FOR UPDATE")
            waiting = tasks.create_task(store.claim(request("t2", asks=submission(after=1))))
            while not await database.row(
                "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            ):
                pass
            await connection.execute(
                "SELECT settle_1($1, $2, $3, $4, false, 'A', 'item_1', false, NULL, NULL, 0, 0, 0)",
                *(taken.lease.thread, taken.lease.owner, taken.lease.fence, taken.turn.ref),
            )

        claim = submitted(waiting.result())
        assert claim.attempt.item_before == "item_1"
        assert (await store.look_up(thread_key(), turn_key("t1"))).turn is not None
