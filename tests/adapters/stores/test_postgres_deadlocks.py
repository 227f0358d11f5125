"""Sessions that want several rows take them in one order, so that none waits for another in a ring."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import TypeAlias

import asyncpg
import pytest

from dadm.adapters.stores.postgres import PostgresProcessStore, PostgresStore, open_postgres
from dadm.adapters.stores.postgres.endings import REPORT
from dadm.adapters.stores.postgres.erasures import FINISH
from dadm.adapters.stores.postgres.leases import KEEP_TICKETS
from dadm.domain.errors import EngineRejected
from dadm.domain.turn import TurnRef
from dadm.ports.process_store import StoredDefinition
from dadm.ports.store_values import Queued
from tests.contracts.processes import begin, change, definition, incident, lease, task
from tests.contracts.stores import LONG, NOTHING_DELETED, StoreUnderTest, request

pytestmark = pytest.mark.postgres

Session: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Do: TypeAlias = Callable[[], Awaitable[object]]
HOLD_TURN = "SELECT FROM turns WHERE task_id = $1 FOR UPDATE"
HOLD_TASK = "SELECT FROM waiting_tasks WHERE task_id = $1 FOR UPDATE"
HOLD_DEFINITION = """INSERT INTO process_definitions (definition_id, key, tenant, version, name,
    resource_name, digest, source, deployed_at) VALUES ($1, $1, '', 1, '', '', '', '', now())"""
WAITING = """SELECT count(*) FROM pg_stat_activity
    WHERE wait_event_type = 'Lock' AND datname = current_database()"""


@asynccontextmanager
async def session(url: str, *settings: str) -> AsyncIterator[Session]:
    connection = await asyncpg.connect(url)
    try:
        for setting in settings:
            await connection.execute(setting)
        yield connection
    finally:
        await connection.close()


@pytest.fixture
async def given(postgres_url: str) -> AsyncIterator[StoreUnderTest]:
    async def put(*_: object) -> None:
        raise NotImplementedError

    async with open_postgres(postgres_url, connections=1) as database:
        yield StoreUnderTest(PostgresStore(database), put)


async def wait_for(waiting: int, looker: Session) -> None:
    while await looker.fetchval(WAITING) < waiting:
        pass


async def meet(url: str, hold: str, middle: str, one: Do, other: Do) -> None:
    """Let two take rows until both wait for the one in the middle, then let them go on.

    Those that began at opposite ends then wait for each other, which the server ends with an error.
    """
    async with session(url) as holder, session(url) as looker, asyncio.TaskGroup() as tasks:
        transaction = holder.transaction()
        await transaction.start()
        await holder.execute(hold, middle)
        for number, do in enumerate((one, other), start=1):
            tasks.create_task(awaited(do))
            await wait_for(number, looker)
        await transaction.rollback()


async def awaited(do: Do) -> None:
    await do()


async def queued(given: StoreUnderTest, name: str) -> TurnRef:
    claim = await given.store.claim(request(name))
    assert isinstance(claim, Queued)
    return claim.turn


async def test_replicas_keep_the_same_tickets_whatever_plans_their_servers_take(
    postgres_url: str, given: StoreUnderTest
) -> None:
    await given.lease()
    first, middle, last = [await queued(given, name) for name in "abc"]
    # Rows that are written anew come behind the others.
    for turn in (middle, first):
        await given.store.keep_tickets([turn], ticket_seconds=LONG)

    def keep(*settings: str) -> Do:
        async def do() -> None:
            async with session(postgres_url, *settings) as connection:
                await connection.execute(KEEP_TICKETS, [last, middle, first], LONG)

        return do

    by_place = keep("SET enable_indexscan = off", "SET enable_bitmapscan = off")
    by_number = keep("SET enable_seqscan = off", "SET enable_bitmapscan = off")
    await meet(postgres_url, HOLD_TURN, "b", by_place, by_number)


async def test_an_erasure_deletes_turns_in_the_order_in_which_they_are_reported(
    postgres_url: str, given: StoreUnderTest
) -> None:
    await given.ready()
    for name in "cba":
        await given.complete(name)
    held = (await given.lease()).lease
    await given.store.begin_erasure(held)
    await given.store.note_erased(held.thread, 1, NOTHING_DELETED)

    async def report() -> None:
        async with session(postgres_url) as connection:
            await connection.executemany(REPORT, [("embedded", "", "p1", name) for name in "abc"])

    async def finish() -> None:
        async with session(postgres_url) as connection:
            await connection.execute(FINISH, held.thread, held.owner, held.fence)

    await meet(postgres_url, HOLD_TURN, "b", report, finish)


async def test_an_erasure_deletes_waiting_turns_in_the_order_in_which_their_tickets_are_kept(
    postgres_url: str, given: StoreUnderTest
) -> None:
    held = (await given.lease()).lease
    turns = [await queued(given, name) for name in "cba"]
    await given.store.begin_erasure(held)

    async def keep() -> None:
        async with session(postgres_url) as connection:
            await connection.execute(KEEP_TICKETS, turns, LONG)

    async def finish() -> None:
        async with session(postgres_url) as connection:
            await connection.execute(FINISH, held.thread, held.owner, held.fence)

    await meet(postgres_url, HOLD_TURN, "b", keep, finish)


async def test_a_task_fails_while_its_instance_is_saved(postgres_url: str) -> None:
    async with (
        open_postgres(postgres_url, connections=1) as here,
        open_postgres(postgres_url, connections=1) as there,
    ):
        failing, saving = PostgresProcessStore(here), PostgresProcessStore(there)
        begun = await begin(failing, task("t1"))
        await lease(failing, worker="w")

        async def fail() -> None:
            await failing.fail_task(
                "t1", worker="w", retries=0, retry_after=timedelta(0), incident=incident()
            )

        async def save() -> None:
            await saving.save([change(begun)])

        await meet(postgres_url, HOLD_TASK, "t1", fail, save)


async def test_programs_deploy_the_same_models_in_any_order(postgres_url: str) -> None:
    async with (
        open_postgres(postgres_url, connections=1) as here,
        open_postgres(postgres_url, connections=1) as there,
    ):
        models = [definition(name, key=name) for name in "abc"]

        def deploy(store: PostgresProcessStore, given: list[StoredDefinition]) -> Do:
            async def do() -> None:
                with suppress(EngineRejected):
                    await store.add_definitions(given)

            return do

        await meet(
            postgres_url,
            HOLD_DEFINITION,
            "b",
            deploy(PostgresProcessStore(here), models),
            deploy(PostgresProcessStore(there), models[::-1]),
        )
        assert len(await PostgresProcessStore(here).definitions(with_running=False)) == 3
