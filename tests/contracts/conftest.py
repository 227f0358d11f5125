"""A store of each kind for the contract suites."""

import pytest

from dadm.adapters.stores.memory import MemoryStore
from dadm.domain.thread import ThreadRef, ThreadState
from tests.contracts.stores import MachineClock, StoreUnderTest


@pytest.fixture
def memory_store() -> StoreUnderTest:
    store = MemoryStore(MachineClock())

    async def put(thread: ThreadRef, state: ThreadState) -> None:
        store._records.threads[thread].state = state

    return StoreUnderTest(store, put)


@pytest.fixture(params=["memory_store"])
def given(request: pytest.FixtureRequest) -> StoreUnderTest:
    found: StoreUnderTest = request.getfixturevalue(request.param)
    return found
