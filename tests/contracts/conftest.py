"""A store and an engine of each kind for the contract suites."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dadm.adapters.engines.camunda8 import Camunda8Engine
from dadm.adapters.stores.memory import MemoryProcessStore, MemoryStore
from dadm.adapters.stores.postgres import PostgresProcessStore, PostgresStore, open_postgres
from dadm.adapters.stores.sqlite import SqliteProcessStore, SqliteStore, open_sqlite
from dadm.adapters.system_clock import RandomIdentifiers, SystemClock
from dadm.domain.thread import ThreadRef, ThreadState
from dadm.ports.process_store import ProcessStore
from tests.contracts.engines import (
    EmbeddedUnderTest,
    EngineUnderTest,
    MemoryUnderTest,
)
from tests.contracts.real_engines import Camunda8UnderTest, ExternalTaskUnderTest
from tests.contracts.stores import StoreUnderTest
from tests.databases import migrated_postgres_url, postgres_url, sqlite_path, sqlite_template
from tests.engines.broker import Broker
from tests.engines.broker_records import BrokerRecords
from tests.engines.rest_engine import RestEngine

# Fixtures that those below stand on.
__all__ = ["migrated_postgres_url", "postgres_url", "sqlite_path", "sqlite_template"]


@pytest.fixture
def memory_store() -> StoreUnderTest:
    store = MemoryStore(SystemClock())

    async def put(thread: ThreadRef, state: ThreadState) -> None:
        store._records.threads[thread].state = state

    return StoreUnderTest(store, put)


@pytest.fixture
async def sqlite_store(sqlite_path: Path) -> AsyncIterator[StoreUnderTest]:
    async with open_sqlite(sqlite_path) as database:

        async def put(thread: ThreadRef, state: ThreadState) -> None:
            await database.execute("UPDATE threads SET state = ? WHERE id = ?", (state, thread))

        yield StoreUnderTest(SqliteStore(database), put)


@pytest.fixture
async def postgres_store(postgres_url: str) -> AsyncIterator[StoreUnderTest]:
    async with open_postgres(postgres_url, connections=5) as database:

        async def put(thread: ThreadRef, state: ThreadState) -> None:
            await database.execute("UPDATE threads SET state = $1 WHERE id = $2", state, thread)

        yield StoreUnderTest(PostgresStore(database), put)


@pytest.fixture(
    params=[
        "memory_store",
        "sqlite_store",
        pytest.param("postgres_store", marks=pytest.mark.postgres),
    ]
)
def given(request: pytest.FixtureRequest) -> StoreUnderTest:
    found: StoreUnderTest = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def memory_processes() -> ProcessStore:
    return MemoryProcessStore(SystemClock())


@pytest.fixture
async def sqlite_processes(sqlite_path: Path) -> AsyncIterator[ProcessStore]:
    async with open_sqlite(sqlite_path) as database:
        yield SqliteProcessStore(database)


@pytest.fixture
async def postgres_processes(postgres_url: str) -> AsyncIterator[ProcessStore]:
    async with open_postgres(postgres_url, connections=5) as database:
        yield PostgresProcessStore(database)


@pytest.fixture(
    params=[
        "memory_processes",
        "sqlite_processes",
        pytest.param("postgres_processes", marks=pytest.mark.postgres),
    ]
)
def processes(request: pytest.FixtureRequest) -> ProcessStore:
    found: ProcessStore = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def memory_engine() -> EngineUnderTest:
    return MemoryUnderTest(SystemClock(), RandomIdentifiers())


@pytest.fixture
def embedded_engine(memory_processes: ProcessStore) -> EngineUnderTest:
    return EmbeddedUnderTest(memory_processes, SystemClock(), RandomIdentifiers())


@pytest.fixture
def embedded_on_sqlite(sqlite_processes: ProcessStore) -> EngineUnderTest:
    return EmbeddedUnderTest(sqlite_processes, SystemClock(), RandomIdentifiers())


@pytest.fixture
async def operaton(operaton_url: str) -> AsyncIterator[EngineUnderTest]:
    rest = RestEngine(operaton_url)
    yield ExternalTaskUnderTest(rest, SystemClock(), RandomIdentifiers(), has_json=False)
    await rest.close()


@pytest.fixture
async def camunda7(camunda7_url: str) -> AsyncIterator[EngineUnderTest]:
    rest = RestEngine(camunda7_url)
    yield ExternalTaskUnderTest(rest, SystemClock(), RandomIdentifiers(), has_json=True)
    await rest.close()


@pytest.fixture
async def camunda8(
    camunda8_url: str, camunda8_records: BrokerRecords
) -> AsyncIterator[EngineUnderTest]:
    broker = Broker(camunda8_url, camunda8_records)
    clock, identifiers = SystemClock(), RandomIdentifiers()
    async with (
        Camunda8Engine(camunda8_url, clock, identifiers, client=broker.client) as engine,
        Camunda8Engine(camunda8_url, clock, identifiers, client=broker.client) as other,
    ):
        yield Camunda8UnderTest(broker, engine, other)
    await broker.close()
