"""Fixtures for the simulator of OpenAI's API: one simulated API, and the official SDK before it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx2
import pytest
from openai import AsyncOpenAI

from dadm.adapters.simulators.openai import CountingIds, Echo, SimulatedOpenAI, create_app
from tests.adapters.simulators.in_process import InProcess
from tests.adapters.simulators.strict import StrictTransport

BASE_URL = "http://127.0.0.1/v1"
NOON = 1_760_000_000.0


@dataclass(slots=True)
class HandClock:
    """Shows the time it is set to, in unix seconds."""

    shows: float = NOON

    def __call__(self) -> float:
        return self.shows


@asynccontextmanager
async def caller_of(
    simulated: SimulatedOpenAI, *, key: str = "sk-test"
) -> AsyncIterator[AsyncOpenAI]:
    """Give the official SDK, unforgiving and without retries, talking to simulated in process."""
    transport = StrictTransport(InProcess(create_app(simulated)))
    async with httpx2.AsyncClient(transport=transport) as http:
        yield AsyncOpenAI(api_key=key, base_url=BASE_URL, max_retries=0, http_client=http)


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
async def simulated(clock: HandClock) -> AsyncIterator[SimulatedOpenAI]:
    """An echoing API with a clock set by hand and ids that count."""
    async with SimulatedOpenAI(Echo(), clock=clock, mint=CountingIds()) as simulated:
        yield simulated


@pytest.fixture
async def client(simulated: SimulatedOpenAI) -> AsyncIterator[AsyncOpenAI]:
    async with caller_of(simulated) as client:
        yield client


@pytest.fixture
async def raw(simulated: SimulatedOpenAI) -> AsyncIterator[httpx2.AsyncClient]:
    """A plain HTTP client, for what the SDK would not send."""
    headers = {"authorization": "Bearer sk-test"}
    transport = InProcess(create_app(simulated))
    async with httpx2.AsyncClient(transport=transport, base_url=BASE_URL, headers=headers) as http:
        yield http
