"""How PostgreSQL is spoken to, and what its failures are called."""

import asyncio
import os
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import asyncpg
import pytest

from dadm.adapters.stores.postgres import PostgresDatabase, PostgresStore, open_postgres
from dadm.adapters.stores.postgres.failures import address_of, ours
from dadm.domain.errors import StoreMisconfigured, StoreUnavailable, ThreadClosed, ThreadConflict
from dadm.domain.thread import ConversationId, GenerationReason
from dadm.ports.store_values import Claim, Queued
from tests.contracts.stores import (
    AT_ONCE,
    HERE,
    LONG,
    StoreUnderTest,
    answer,
    granted,
    request,
    submission,
    submitted,
    thread_key,
)
from tests.databases import beside, command

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
async def test_a_role_that_may_not_make_tables_is_told(
    postgres_server_url: str, empty_postgres_url: str
) -> None:
    role = f"guest_{os.getpid()}"
    await command(postgres_server_url, f"CREATE ROLE {role} LOGIN PASSWORD 'secret'")
    given = urlsplit(empty_postgres_url)
    address = given.netloc.rpartition("@")[2]
    as_guest = given._replace(netloc=f"{role}:secret@{address}").geturl()
    try:
        with pytest.raises(StoreMisconfigured, match="permission denied") as caught:
            async with open_postgres(as_guest):
                pass
    finally:
        await command(postgres_server_url, f"DROP ROLE {role}")

    assert "secret" not in str(caught.value)


@pytest.mark.postgres
@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
async def test_a_database_that_cannot_keep_every_text_is_refused(
    postgres_server_url: str, encoding: str
) -> None:
    name = f"dadm_{encoding.lower()}_{os.getpid()}"
    made = f"ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
    await command(postgres_server_url, f"CREATE DATABASE {name} {made}")
    try:
        with pytest.raises(StoreMisconfigured, match=f"as {encoding}.*ENCODING 'UTF8'"):
            async with open_postgres(beside(postgres_server_url, name)):
                pass
    finally:
        await command(postgres_server_url, f"DROP DATABASE {name} WITH (FORCE)")


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
        # Loggers are told in the loop's next round.
        await asyncio.sleep(0)
        sent.clear()

        claim = await given.submit("t1")
        await store.note_response(claim.attempt.ref, "resp_1")
        await store.settle(claim.lease, claim.turn.ref, answer("a", last_item="i"))
        await store.mark_reported(claim.turn.key)

    # The helper looks the thread up before it claims.
    assert len(sent) == 5


SETTLE = (
    "SELECT settle_2($1, $2, $3, $4, false, 'completed', 'A', 'item_1', false, NULL, NULL, 0, 0, 0)"
)
EXTEND = "UPDATE threads SET lease_expires_at = now() + interval '1 hour'"
CHANGE = "SELECT change_generation_2($1, $2, $3, $4, $5)"
SOMEBODY_WAITS = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"


async def claim_meanwhile(
    database: PostgresDatabase, given: StoreUnderTest, after: int, change: str, *values: object
) -> Claim:
    """Claim a thread while another session changes something about it, and only then commits."""
    async with asyncio.TaskGroup() as tasks, database.transaction() as connection:
        await connection.execute(change, *values)
        waiting = tasks.create_task(
            given.store.claim(request("late", asks=submission(after=after)))
        )
        while not await database.row(SOMEBODY_WAITS):
            pass
    return waiting.result()


@pytest.fixture
async def contended(postgres_url: str) -> AsyncIterator[tuple[PostgresDatabase, StoreUnderTest]]:
    async def put(*_: object) -> None:
        raise NotImplementedError

    async with open_postgres(postgres_url, connections=3) as database:
        given = StoreUnderTest(PostgresStore(database), put)
        await given.ready()
        yield database, given


@pytest.mark.postgres
async def test_a_claim_sees_the_answer_that_came_while_it_waited(
    contended: tuple[PostgresDatabase, StoreUnderTest],
) -> None:
    database, given = contended
    taken = await given.submit("t1")
    await given.store.extend(taken.lease, lease_seconds=AT_ONCE)
    lease = (taken.lease.thread, taken.lease.owner, taken.lease.fence)

    claim = await claim_meanwhile(database, given, 1, SETTLE, *lease, taken.turn.ref)

    assert submitted(claim).attempt.item_before == "item_1"


@pytest.mark.postgres
async def test_a_claim_sees_the_lease_that_was_extended_while_it_waited(
    contended: tuple[PostgresDatabase, StoreUnderTest],
) -> None:
    database, given = contended
    await given.lease(owner="somebody", seconds=AT_ONCE)

    claim = await claim_meanwhile(database, given, 0, EXTEND)

    assert isinstance(claim, Queued)
    assert claim.lease_remaining_seconds > 3000


@pytest.mark.postgres
async def test_a_claim_sees_the_conversation_that_was_left_while_it_waited(
    contended: tuple[PostgresDatabase, StoreUnderTest],
) -> None:
    database, given = contended
    holder = await given.lease(owner="somebody", seconds=AT_ONCE)
    lease = (holder.lease.thread, holder.lease.owner, holder.lease.fence)

    claim = await claim_meanwhile(database, given, 0, CHANGE, *lease, 1, "retired")

    assert granted(claim).thread.live is None


@pytest.mark.postgres
async def test_a_claim_sees_the_conversation_that_went_live_while_it_waited(
    contended: tuple[PostgresDatabase, StoreUnderTest],
) -> None:
    database, given = contended
    holder = await given.lease(owner="somebody", seconds=AT_ONCE)
    await given.store.note_conversation(
        holder.lease.thread,
        identity=HERE,
        conversation_id=ConversationId("conv_next"),
        reason=GenerationReason.FENCED,
        opened_from=0,
        opened_to=0,
    )
    lease = (holder.lease.thread, holder.lease.owner, holder.lease.fence)

    claim = await claim_meanwhile(database, given, 0, CHANGE, *lease, 2, "live")

    assert granted(claim).thread.thread_id == "conv_next"


@pytest.mark.postgres
async def test_a_claim_sees_the_scope_that_ended_while_it_waited(
    contended: tuple[PostgresDatabase, StoreUnderTest],
) -> None:
    database, given = contended

    with pytest.raises(ExceptionGroup) as caught:
        await claim_meanwhile(database, given, 0, "UPDATE threads SET state = 'closed'")

    assert [type(error) for error in caught.value.exceptions] == [ThreadClosed]
