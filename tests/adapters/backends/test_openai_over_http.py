"""The OpenAI backend before the simulator on a real socket."""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from dadm.adapters.backends.openai_conversations import OpenAIConversations
from dadm.adapters.simulators.openai import Echo, Held, SimulatedOpenAI, create_app
from dadm.domain.errors import BackendUnavailable
from dadm.ports.backend import Answered, ResponseStarted, Running
from tests.adapters.backends.under_test import KEY, answer, question

PATIENCE_SECONDS = 10


class Server(uvicorn.Server):
    """Says when it listens, and leaves signals to the test run."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listens = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listens.set()


class Counting:
    """An application that notes which connections its requests came by."""

    def __init__(self, simulated: SimulatedOpenAI) -> None:
        self._app = create_app(simulated)
        self.connections: list[object] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            self.connections.append(scope["client"])
        await self._app(scope, receive, send)


@pytest.fixture
def simulated() -> SimulatedOpenAI:
    return SimulatedOpenAI()


@pytest.fixture
def app(simulated: SimulatedOpenAI) -> Counting:
    return Counting(simulated)


@pytest.fixture
async def backend(app: Counting) -> AsyncIterator[OpenAIConversations]:
    config = uvicorn.Config(
        app,
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
        await asyncio.wait_for(server.listens.wait(), PATIENCE_SECONDS)
        port = server.servers[0].sockets[0].getsockname()[1]
        address = f"http://127.0.0.1:{port}/v1"
        async with OpenAIConversations(model="simulated", api_key=KEY, base_url=address) as backend:
            yield backend
        server.should_exit = True


async def test_turns_share_a_connection(backend: OpenAIConversations, app: Counting) -> None:
    on = await backend.open(labels={})
    for prompt in ("One?", "Two?", "Three?"):
        await answer(backend, on, prompt)

    assert len(app.connections) == 4
    assert len(set(app.connections)) == 1


async def test_the_run_is_named_while_it_is_under_way_and_goes_on_when_its_caller_leaves(
    backend: OpenAIConversations, simulated: SimulatedOpenAI
) -> None:
    held = simulated.responder = Held(Echo())
    on = await backend.open(labels={})
    async with asyncio.timeout(PATIENCE_SECONDS):
        async with backend.take_turn(question(on, "Who?")) as events:
            started = await anext(events)
            assert isinstance(started, ResponseStarted)
        await held.asked()
        assert await backend.retrieve(on, started.response_id) == Running()

        held.let_go()
        while isinstance(state := await backend.retrieve(on, started.response_id), Running):
            pass
    assert isinstance(state, Answered)
    assert state.text == "I was told: Who?"


async def test_nobody_listening_means_unavailable() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}/v1"

        async with OpenAIConversations(model="simulated", api_key=KEY, base_url=address) as backend:
            with pytest.raises(BackendUnavailable, match="not reachable"):
                await backend.open(labels={})
