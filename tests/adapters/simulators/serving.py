"""The simulator behind a real server on loopback, and the official SDK before it."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from openai import AsyncOpenAI

from dadm.adapters.simulators.openai import SimulatedOpenAI, create_app
from tests.adapters.simulators.short_forms import soon


class Server(uvicorn.Server):
    """A server that says when it listens, and leaves signals to the test run."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listens = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listens.set()


@asynccontextmanager
async def served(simulated: SimulatedOpenAI) -> AsyncIterator[str]:
    """Give the address at which the simulator, which is not entered yet, is served."""
    config = uvicorn.Config(
        create_app(simulated),
        host="127.0.0.1",
        port=0,
        lifespan="on",
        ws="none",
        log_config=None,
        timeout_graceful_shutdown=1,
    )
    server = Server(config)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(server.serve())
        await soon(server.listens.wait())
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
        server.should_exit = True


@asynccontextmanager
async def sdk_at(address: str) -> AsyncIterator[AsyncOpenAI]:
    """Give the SDK, without retries of its own."""
    async with AsyncOpenAI(api_key="sk-test", base_url=f"{address}/v1", max_retries=0) as client:
        yield client
