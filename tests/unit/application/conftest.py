"""Tests of the application run on virtual time, with a stage each."""

from collections.abc import AsyncIterator, Callable, Mapping

import pytest

from tests.clocks import VirtualTimeLoop
from tests.unit.application.stage import Stage


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], VirtualTimeLoop]]:
    return {"virtual": VirtualTimeLoop}


@pytest.fixture(params=["keeps_conversations", "keeps_nothing"])
async def stage(request: pytest.FixtureRequest) -> AsyncIterator[Stage]:
    """A store and a backend of either kind."""
    async with Stage(keeps_conversations=request.param == "keeps_conversations") as given:
        yield given


@pytest.fixture
async def keeping() -> AsyncIterator[Stage]:
    """A store and a backend that keeps conversations."""
    async with Stage(keeps_conversations=True) as given:
        yield given


@pytest.fixture
async def forgetful() -> AsyncIterator[Stage]:
    """A store and a backend that keeps nothing."""
    async with Stage(keeps_conversations=False) as given:
        yield given
