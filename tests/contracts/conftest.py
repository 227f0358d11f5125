"""A store of each kind for the contract suites."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dadm.adapters.stores.memory import MemoryStore
from dadm.adapters.stores.sqlite import SqliteStore, open_sqlite
from dadm.domain.thread import ThreadRef, ThreadState
from tests.contracts.stores import MachineClock, StoreUnderTest


@pytest.fixture
def memory_store() -> StoreUnderTest:
    store = MemoryStore(MachineClock())

    async def put(thread: ThreadRef, state: ThreadState) -> None:
        store._records.threads[thread].state = state

    return StoreUnderTest(store, put)


@pytest.fixture
async def sqlite_store(tmp_path: Path) -> AsyncIterator[StoreUnderTest]:
    async with open_sqlite(tmp_path / "dadm.db") as database:

        async def put(thread: ThreadRef, state: ThreadState) -> None:
            await database.write(
                lambda connection: connection.execute(
                    "UPDATE threads SET state = ? WHERE id = ?", (state, thread)
                )
            )

        yield StoreUnderTest(SqliteStore(database), put)


@pytest.fixture(params=["memory_store", "sqlite_store"])
def given(request: pytest.FixtureRequest) -> StoreUnderTest:
    found: StoreUnderTest = request.getfixturevalue(request.param)
    return found
