"""What an older schema holds is there after the next start, and turns go on from it."""

import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, create_engine
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from dadm.adapters.stores import migrations
from dadm.adapters.stores.migrations.version import VERSION_TABLE
from dadm.adapters.stores.postgres import PostgresStore, open_postgres
from dadm.adapters.stores.sqlite import SqliteStore, open_sqlite
from dadm.adapters.stores.sqlite.opening import write_schema
from dadm.domain.chain import CHAIN_START, next_link
from dadm.domain.errors import StoreMisconfigured, ThreadClosed
from dadm.domain.thread import GenerationState, ThreadRef
from dadm.domain.turn import TurnRef, TurnState
from dadm.ports.store import ThreadStore
from dadm.ports.store_values import AbandonSettlement
from tests.contracts.stores import HERE, LONG, StoreUnderTest, answer, submission, thread_key

BEFORE = "0003"
NOW = {"sqlite": "1700000000000000", "postgres": "'2023-11-14 22:13:20+00'"}
ROWS = (
    "INSERT INTO scopes (engine, tenant, name) VALUES ('embedded', '', 'p1')",
    (
        "INSERT INTO threads (scope, assistant, state, created_at, turn_count, exchange_count,"
        " last_ticket, fence, shown, input_tokens)"
        " VALUES (1, 'analyst', 'open', {now}, 3, 1, 4, 7, '{{\"budget\": \"d1\"}}', 5)"
    ),
    (
        "INSERT INTO generations (thread, number, identity, conversation_id, state, reason,"
        " last_item_id, created_at)"
        " VALUES (1, 1, '{backend}', 'conv_1', 'retired', 'first', '', {now}),"
        " (1, 2, '{backend}', 'conv_2', 'live', 'fenced', 'msg_1', {now})"
    ),
    (
        "INSERT INTO turns (thread, scope, task_id, state, sequence, ticket, content_digest,"
        " element_id, process_definition, created_at, settled_at, generation, attempts,"
        " refusal_code, refusal_reason, ticket_expires_at) VALUES"
        " (1, 1, 't1', 'completed', 1, 1, 'content', 'e', 'd', {now}, {now}, 2, 1, NULL, NULL, NULL),"
        " (1, 1, 't2', 'refused', 2, 2, 'content', 'e', 'd', {now}, {now}, 2, 1, 'policy', 'No.', NULL),"
        " (1, 1, 't3', 'unknown', 3, 3, 'content', 'e', 'd', {now}, NULL, 2, 1, NULL, NULL, NULL),"
        " (1, 1, 't4', 'planned', 0, 4, 'content', 'e', 'd', {now}, NULL, 0, 0, NULL, NULL, NULL)"
    ),
    (
        "INSERT INTO attempts (turn, number, thread, generation, item_before, shown, sent_at,"
        " prompt) VALUES (1, 1, 1, 2, '', '{{}}', {now}, 'Who?'),"
        " (2, 1, 1, 2, 'msg_1', '{{}}', {now}, 'Why?'),"
        " (3, 1, 1, 2, 'msg_1', '{{}}', {now}, 'When?')"
    ),
    "INSERT INTO responses (turn, number, response_id) VALUES (1, 1, 'resp_1')",
    "INSERT INTO answers (turn, text) VALUES (1, 'Ada.')",
)


def upgrade_to(connection: Connection, revision: str) -> None:
    config = Config(attributes={"connection": connection, "version_table": VERSION_TABLE})
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    command.upgrade(config, revision)


def make_old_sqlite(path: Path, *, also: tuple[str, ...] = ()) -> None:
    engine = create_engine(f"sqlite:///{path}", poolclass=NullPool)
    with engine.begin() as connection:
        upgrade_to(connection, BEFORE)
        for statement in (*ROWS, *also):
            connection.exec_driver_sql(statement.format(now=NOW["sqlite"], backend=HERE))


async def make_old_postgres(url: str, *, also: tuple[str, ...] = ()) -> None:
    engine = create_async_engine(
        "postgresql+asyncpg://", async_creator=lambda: asyncpg.connect(url), poolclass=NullPool
    )
    async with engine.begin() as connection:
        await connection.run_sync(upgrade_to, BEFORE)
        for statement in (*ROWS, *also):
            await connection.exec_driver_sql(statement.format(now=NOW["postgres"], backend=HERE))
    await engine.dispose()


@dataclass
class Migrated:
    """A store over a database that an older program filled, and how to write behind its back."""

    store: ThreadStore
    execute: Callable[[str], Awaitable[Any]]

    def as_given(self) -> StoreUnderTest:
        async def put(*_: object) -> None:
            raise NotImplementedError

        return StoreUnderTest(self.store, put)


@pytest.fixture
async def migrated_sqlite(tmp_path: Path) -> AsyncIterator[Migrated]:
    make_old_sqlite(tmp_path / "old.db")
    async with open_sqlite(tmp_path / "old.db") as database:

        async def execute(statement: str) -> int:
            return await database.execute(statement, ())

        yield Migrated(SqliteStore(database), execute)


@pytest.fixture
async def migrated_postgres(empty_postgres_url: str) -> AsyncIterator[Migrated]:
    await make_old_postgres(empty_postgres_url)
    async with open_postgres(empty_postgres_url, connections=2) as database:
        yield Migrated(PostgresStore(database), database.execute)


@pytest.fixture(
    params=["migrated_sqlite", pytest.param("migrated_postgres", marks=pytest.mark.postgres)]
)
def migrated(request: pytest.FixtureRequest) -> Migrated:
    found: Migrated = request.getfixturevalue(request.param)
    return found


async def test_threads_and_turns_of_before_are_kept_whole(migrated: Migrated) -> None:
    thread = await migrated.as_given().thread()
    turns = await migrated.store.turns(thread.ref)

    assert (thread.turn_count, thread.shown, thread.usage.input_tokens) == (3, {"budget": "d1"}, 5)
    assert (thread.thread_id, thread.chain) == ("conv_2", CHAIN_START)
    assert [(turn.state, turn.prompt, turn.answer, turn.link) for turn in turns] == [
        (TurnState.COMPLETED, "Who?", "Ada.", ""),
        (TurnState.REFUSED, "Why?", None, ""),
        (TurnState.UNKNOWN, "When?", None, ""),
    ]
    assert turns[1].refusal is not None
    assert (turns[1].refusal.code, turns[1].refusal.reason) == ("policy", "No.")
    planned = await migrated.store.find_turn(TurnRef(4))
    assert planned is not None
    assert planned.state is TurnState.PLANNED
    assert await migrated.store.response_ids(thread.ref) == {2: ("resp_1",)}
    assert await migrated.store.audit(thread.ref) == ()


async def test_a_thread_of_before_goes_on_and_its_chain_begins(migrated: Migrated) -> None:
    given = migrated.as_given()
    holder = await given.lease()
    assert holder.lease.fence == 8
    assert holder.open_turn is not None
    unknown = holder.open_turn.turn.ref
    reason = AbandonSettlement(reason="Too old.")
    abandoned = await migrated.store.settle(holder.lease, unknown, reason)
    assert abandoned.state is TurnState.ABANDONED

    taken = await given.ask("t5", submission("How?", after=3, generation=2))
    settled = await migrated.store.settle(taken.lease, taken.turn.ref, answer("So."))

    assert settled.ref == TurnRef(5)
    assert settled.link == next_link(CHAIN_START, sequence=4, prompt="How?", answer="So.")
    assert (await given.thread()).chain == settled.link


async def test_conversations_retired_before_wait_from_the_migration_on(
    migrated: Migrated,
) -> None:
    assert await migrated.store.retired([HERE], retired_seconds=LONG) == ()
    (retired,) = await migrated.store.retired([HERE], retired_seconds=0)
    assert (retired.number, retired.state) == (1, GenerationState.RETIRED)


async def test_a_conversation_that_an_older_program_retires_is_found_by_its_age(
    migrated: Migrated,
) -> None:
    await migrated.execute("UPDATE generations SET state = 'retired' WHERE number = 2")

    (retired,) = await migrated.store.retired([HERE], retired_seconds=LONG)

    assert retired.number == 2


async def test_a_thread_of_before_is_erased_whole(migrated: Migrated) -> None:
    given = migrated.as_given()
    holder = await given.lease()
    assert holder.open_turn is not None
    reason = AbandonSettlement(reason="Too old.")
    await migrated.store.settle(holder.lease, holder.open_turn.turn.ref, reason, keep_lease=True)

    receipt = await given.erase(holder.lease)

    assert (receipt.turns, receipt.conversations, receipt.unnamed_responses) == (4, 2, 2)
    assert await migrated.store.turns(ThreadRef(1)) == ()


CLOSED = ("UPDATE threads SET state = 'closed'",)


@pytest.fixture
async def closed_on_sqlite(tmp_path: Path) -> AsyncIterator[ThreadStore]:
    make_old_sqlite(tmp_path / "old.db", also=CLOSED)
    async with open_sqlite(tmp_path / "old.db") as database:
        yield SqliteStore(database)


@pytest.fixture
async def closed_on_postgres(empty_postgres_url: str) -> AsyncIterator[ThreadStore]:
    await make_old_postgres(empty_postgres_url, also=CLOSED)
    async with open_postgres(empty_postgres_url, connections=2) as database:
        yield PostgresStore(database)


@pytest.fixture(
    params=["closed_on_sqlite", pytest.param("closed_on_postgres", marks=pytest.mark.postgres)]
)
def closed_before(request: pytest.FixtureRequest) -> ThreadStore:
    found: ThreadStore = request.getfixturevalue(request.param)
    return found


async def test_scopes_of_closed_threads_ended_with_the_migration(
    closed_before: ThreadStore,
) -> None:
    assert await closed_before.threads_to_clear([HERE], closed_seconds=0) == (ThreadRef(1),)
    assert await closed_before.threads_to_clear([HERE], closed_seconds=LONG) == ()
    critic = thread_key(assistant="critic")
    with pytest.raises(ThreadClosed):
        await closed_before.lease_thread(critic, owner="late", lease_seconds=LONG)


def test_a_file_with_dangling_rows_is_not_changed(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    make_old_sqlite(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("DELETE FROM turns WHERE id = 1")

    with (
        closing(sqlite3.connect(path, isolation_level=None)) as connection,
        pytest.raises(StoreMisconfigured, match="refer to others which are missing"),
    ):
        write_schema(connection)

    with closing(sqlite3.connect(path)) as connection:
        versions = connection.execute(f"SELECT version_num FROM {VERSION_TABLE}")  # noqa: S608
        assert versions.fetchall() == [(BEFORE,)]


async def test_that_is_said_when_the_file_is_opened(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    make_old_sqlite(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("DELETE FROM turns WHERE id = 1")

    with pytest.raises(StoreMisconfigured, match="refer to others which are missing"):
        await open_sqlite(path).__aenter__()
