"""The service over the real manager on the memory store, with a backend that answers by function."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import httpx2
from fastapi import FastAPI

from dadm.adapters.backends.scripted import ScriptedBackend
from dadm.adapters.stores.memory import MemoryStore
from dadm.adapters.system_clock import RandomIdentifiers, SystemClock
from dadm.application.limits import TurnLimits
from dadm.application.turns.name_based_assistant_manager import NameBasedAssistantManager
from dadm.application.world import World
from dadm.domain.assistant import Assistant, AssistantCatalogue
from dadm.domain.thread import BackendIdentity
from dadm.entrypoints.openai_service import ServiceParts, create_app
from dadm.ports.assistant_service import AssistantService
from dadm.ports.backend import ConversationBackend, CutShort, Question
from dadm.ports.observer import Event
from dadm.telemetry import CachedStatistics, Fanout, LogObserver, Metrics

ADDRESS = "http://service.local"

CATALOGUE = AssistantCatalogue(
    (
        Assistant(name="analyst", instructions="Analyse.", aliases=("dadm-openai-assistant",)),
        Assistant(name="advocate", instructions="Advocate.", description="Speaks for people."),
    ),
    default="analyst",
)


class AnsweringBackend(ScriptedBackend):
    """Answers with what `answer` makes of a question, and keeps the questions."""

    def __init__(self) -> None:
        super().__init__(
            self._line,
            identity=BackendIdentity(adapter="answering", address="http://user:word@host/v1"),
            new_id=RandomIdentifiers().new_id,
        )
        self.asked: list[Question] = []
        self.answer: Callable[[Question], Awaitable[str | CutShort]] = self.echo
        self.ping_answer: Callable[[], Awaitable[str]] = super().ping

    async def echo(self, question: Question) -> str:
        return f"{question.prompt.splitlines()[0]} ({len(question.history.exchanges)} before)"

    async def ping(self) -> str:
        return await self.ping_answer()

    async def _line(self, question: Question) -> str | CutShort:
        self.asked.append(question)
        return await self.answer(question)


@dataclass(frozen=True)
class OneBackend:
    default: ConversationBackend

    async def reachable(self) -> Sequence[ConversationBackend]:
        return (self.default,)

    async def of(self, identity: BackendIdentity) -> ConversationBackend:
        del identity
        return self.default


class Heard:
    """An observer that keeps what it was told."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def notify(self, event: Event) -> None:
        self.events.append(event)


@dataclass
class Service:
    """A service that can be called, and what stands behind it."""

    app: FastAPI
    client: httpx2.AsyncClient
    parts: ServiceParts
    backend: AnsweringBackend
    store: MemoryStore
    manager: NameBasedAssistantManager
    heard: Heard = field(default_factory=Heard)

    async def ask(self, **body: Any) -> httpx2.Response:
        return await self.client.post(
            "/process_task", json={"task_description": "What now?", **body}
        )

    async def answer(self, **body: Any) -> dict[str, Any]:
        response = await self.ask(**body)
        assert response.status_code == 200, response.text
        found: dict[str, Any] = response.json()
        return found


@asynccontextmanager
async def running_service(
    *, service: AssistantService | None = None, limits: TurnLimits | None = None, **changes: Any
) -> AsyncIterator[Service]:
    """Run the service; `service` replaces the manager, `changes` replace other parts."""
    clock, identifiers, backend, heard = (
        SystemClock(),
        RandomIdentifiers(),
        AnsweringBackend(),
        Heard(),
    )
    store = MemoryStore(clock)
    statistics = CachedStatistics(store.statistics, clock.monotonic)
    metrics = Metrics(backend="answering", statistics=statistics)
    world = World(
        store=store,
        backends=OneBackend(backend),
        assistants=CATALOGUE,
        observer=Fanout([heard, metrics, LogObserver()]),
        clock=clock,
        identifiers=identifiers,
        # What the backend says is told at once; waiting for it is tried elsewhere.
        limits=limits or TurnLimits(patience_seconds=0.0),
    )
    async with NameBasedAssistantManager(world) as manager:
        parts = ServiceParts(
            service=service or manager,
            directory=store,
            catalogue=CATALOGUE,
            backend=backend,
            statistics=statistics,
            metrics=metrics.page,
            in_flight=lambda: manager.in_flight_count,
            clock=clock,
            identifiers=identifiers,
            version="1.2.3",
        )
        parts = replace(parts, **changes)
        app = create_app(parts)
        async with app.router.lifespan_context(app), client_of(app) as client:
            yield Service(app, client, parts, backend, store, manager, heard)


def client_of(app: FastAPI, **more: Any) -> httpx2.AsyncClient:
    transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
    return httpx2.AsyncClient(transport=transport, base_url=ADDRESS, **more)


async def until(condition: Callable[[], bool]) -> None:
    """Let everything else run until `condition` holds."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - whoever is waited for does not know of us
            await asyncio.sleep(0.001)
