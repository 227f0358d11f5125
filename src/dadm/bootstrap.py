"""Bootstrap: the only place that chooses adapters, and puts DADM together from settings.

Adapters are imported where they are chosen, so that a program loads only what it uses.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import urlsplit

from dadm.adapters.assistant_files import SHIPPED, read_catalogue
from dadm.adapters.system_clock import RandomIdentifiers, SystemClock
from dadm.application.limits import TurnLimits
from dadm.application.name_based_assistant_manager import NameBasedAssistantManager
from dadm.application.outcomes import RetryPolicy
from dadm.application.service_orchestrator import OrchestratorLimits, ServiceOrchestrator
from dadm.application.thread_cleanup import ThreadCleanup
from dadm.application.turn_taking import World
from dadm.domain.assistant import AssistantCatalogue
from dadm.domain.errors import BackendMisconfigured
from dadm.domain.thread import BackendIdentity
from dadm.ports.assistant_service import AssistantService
from dadm.ports.backend import ConversationBackend
from dadm.ports.engine import ProcessModels
from dadm.ports.observer import Observer
from dadm.ports.process_store import ProcessStore
from dadm.ports.store import ThreadStore
from dadm.settings import Settings
from dadm.telemetry import Scrubber, configure_logging

if TYPE_CHECKING:
    from dadm.adapters.engines.embedded import EmbeddedEngine

OpeningBackend: TypeAlias = AbstractAsyncContextManager[ConversationBackend]

CLOCK = SystemClock()
IDENTIFIERS = RandomIdentifiers()


@dataclass(frozen=True, slots=True, kw_only=True)
class Databases:
    """What is durable: threads, and the embedded engine's processes, in one database."""

    threads: ThreadStore
    processes: ProcessStore


@asynccontextmanager
async def open_databases(settings: Settings) -> AsyncIterator[Databases]:
    """Open the database that the settings name, bringing its schema up to date.

    Raises:
        StoreMisconfigured: It cannot be used as it is.
        StoreUnavailable: It cannot be reached.
    """
    url = settings.database_url.get_secret_value()
    async with AsyncExitStack() as stack:
        if url.startswith("memory:"):
            from dadm.adapters.stores.memory import MemoryProcessStore, MemoryStore

            yield Databases(threads=MemoryStore(CLOCK), processes=MemoryProcessStore(CLOCK))
        elif url.startswith("sqlite:"):
            from dadm.adapters.stores.sqlite import (
                SqliteProcessStore,
                SqliteStore,
                open_sqlite,
            )

            path = sqlite_path(url)
            path.parent.mkdir(parents=True, exist_ok=True)
            file = await stack.enter_async_context(open_sqlite(path))
            yield Databases(threads=SqliteStore(file), processes=SqliteProcessStore(file))
        else:
            from dadm.adapters.stores.postgres import (
                PostgresProcessStore,
                PostgresStore,
                open_postgres,
            )

            server = await stack.enter_async_context(open_postgres(url))
            yield Databases(
                threads=PostgresStore(server), processes=PostgresProcessStore(server)
            )


def sqlite_path(url: str) -> Path:
    """Give the file of `sqlite:///relative` or `sqlite:////absolute`."""
    return Path(urlsplit(url).path.removeprefix("/")).expanduser()


class Backends:
    """The backends that the settings reach; each is started when it is first needed.

    New threads go to the default one. A thread stays with the identity it was opened under, so
    a thread that began on the local model goes on there even after a key was set.
    """

    def __init__(self, settings: Settings, stack: AsyncExitStack) -> None:
        """Start backends on `stack`, which closes them."""
        self._settings = settings
        self._stack = stack
        self._started: dict[str, ConversationBackend] = {}
        self._starting = asyncio.Lock()

    async def start_default(self) -> None:
        """Start the backend of new threads."""
        await self._start(self._settings.chosen_backend)

    @property
    def default(self) -> ConversationBackend:
        """The backend that new threads are opened at."""
        return self._started[self._settings.chosen_backend]

    async def of(self, identity: BackendIdentity) -> ConversationBackend:
        """Give the backend of that identity, starting it if need be.

        Raises:
            BackendMisconfigured: The settings reach none of that identity.
        """
        for backend in self._started.values():
            if backend.identity == identity:
                return backend
        if identity.adapter in BACKENDS:
            backend = await self._start(identity.adapter)
            if backend.identity == identity:
                return backend
            reached = f"the settings now reach {_described(backend.identity)}"
        else:
            reached = "there is no backend of that kind"
        msg = (
            f"This thread is kept at {_described(identity)}, but {reached}. Threads stay where "
            "they were opened: set the old address, account or model again to go on with it."
        )
        raise BackendMisconfigured(msg)

    async def _start(self, kind: str) -> ConversationBackend:
        async with self._starting:
            if kind not in self._started:
                self._started[kind] = await self._stack.enter_async_context(
                    BACKENDS[kind](self._settings)
                )
            return self._started[kind]


def _described(identity: BackendIdentity) -> str:
    parts = [identity.adapter]
    if identity.address:
        parts.append(f"at {identity.address}")
    if identity.account:
        parts.append(f"under account {identity.account}")
    return " ".join(parts)


def _openai(settings: Settings) -> OpeningBackend:
    from dadm.adapters.backends.openai_conversations import OpenAIConversations

    given = settings.openai
    return OpenAIConversations(
        model=given.model,
        api_key=given.api_key.get_secret_value() if given.api_key else None,
        base_url=given.base_url or None,
        organization=given.organization or None,
        project=given.project or None,
        account=given.account or None,
        use_background=given.background,
        turn_timeout_seconds=settings.turns.turn_seconds,
    )


def _chat(settings: Settings) -> OpeningBackend:
    from dadm.adapters.backends.chat_completions import ChatCompletions

    given = settings.chat
    return ChatCompletions(
        base_url=given.base_url,
        model=given.model,
        api_key=given.api_key.get_secret_value() if given.api_key else None,
        context_tokens=given.context_tokens,
        turn_timeout_seconds=settings.turns.turn_seconds,
    )


def _local(settings: Settings) -> OpeningBackend:
    from dadm.adapters.backends.local_model import LocalModel

    given = settings.local
    return LocalModel(
        model_path=given.model_path,
        context_tokens=given.context_tokens,
        answer_tokens=given.max_answer_tokens,
        threads=given.threads,
    )


def _scripted(settings: Settings) -> OpeningBackend:
    from dadm.adapters.backends.scripted import ScriptedBackend

    return ScriptedBackend()


BACKENDS: dict[str, Callable[[Settings], OpeningBackend]] = {
    "openai": _openai,
    "chat": _chat,
    "local": _local,
    "scripted": _scripted,
}


def read_assistants(settings: Settings) -> AssistantCatalogue:
    """Read the assistants' files; the chosen backend decides which parameters there are.

    Raises:
        InvalidAssistant: A file is broken, or two claim one name.
    """
    return read_catalogue(
        settings.assistants or SHIPPED,
        default=settings.default_assistant,
        parameters=_parameter_names(settings),
    )


def _parameter_names(settings: Settings) -> frozenset[str] | None:
    match settings.chosen_backend:
        case "openai":
            from dadm.adapters.backends.openai_conversations import parameter_names

            return parameter_names()
        case "chat":
            from dadm.adapters.backends.chat_completions import ChatCompletions

            return ChatCompletions.parameter_names()
        case "local":
            from dadm.adapters.backends.local_model import LocalModel

            return LocalModel.parameter_names()
        case _:
            return None


@dataclass(frozen=True, slots=True, kw_only=True)
class AssistantSide:
    """The assistant service in process, with what it works on."""

    manager: NameBasedAssistantManager
    catalogue: AssistantCatalogue
    backends: Backends


@asynccontextmanager
async def open_assistant_side(
    settings: Settings, store: ThreadStore, observer: Observer
) -> AsyncIterator[AssistantSide]:
    """Start the chosen backend and the manager of threads on `store`.

    Raises:
        InvalidAssistant: The assistants cannot be read.
        BackendMisconfigured: The backend cannot be started as it is set.
    """
    catalogue = read_assistants(settings)
    async with AsyncExitStack() as stack:
        backends = Backends(settings, stack)
        await backends.start_default()
        world = World(
            store=store,
            backends=backends,
            assistants=catalogue,
            observer=observer,
            clock=CLOCK,
            identifiers=IDENTIFIERS,
            limits=turn_limits(settings),
        )
        manager = await stack.enter_async_context(NameBasedAssistantManager(world))
        yield AssistantSide(manager=manager, catalogue=catalogue, backends=backends)


def turn_limits(settings: Settings) -> TurnLimits:
    """Give the bounds of turn taking."""
    given = settings.turns
    return TurnLimits(
        turn_seconds=given.turn_seconds,
        lease_seconds=given.lease_seconds,
        ticket_seconds=given.ticket_seconds,
        concurrent_turns=given.concurrent_turns,
        waiting_turns=given.waiting_turns,
        copied_characters=given.copied_characters,
    )


def remote_service(settings: Settings) -> "AbstractAsyncContextManager[AssistantService]":
    """Reach the assistant service that the settings name."""
    from dadm.adapters.services.remote import RemoteAssistantService

    token = settings.service_token
    return RemoteAssistantService(
        settings.service_url, token=token.get_secret_value() if token else None
    )


def embedded_engine(settings: Settings, processes: ProcessStore) -> "EmbeddedEngine":
    """Put the embedded engine on its store."""
    from dadm.adapters.engines.embedded import EmbeddedEngine

    return EmbeddedEngine(processes, CLOCK, IDENTIFIERS, engine_id=settings.engine.id)


def orchestrator(
    settings: Settings,
    engine: "EmbeddedEngine",
    service: AssistantService,
    observer: Observer,
    *,
    models: ProcessModels | None = None,
) -> ServiceOrchestrator:
    """Put the orchestrator between an engine and an assistant service.

    It works the AI tasks of `models`: those of the engine itself, unless others are given.
    """
    given = settings.engine
    return ServiceOrchestrator(
        tasks=engine,
        models=models or engine,
        service=service,
        observer=observer,
        clock=CLOCK,
        identifiers=IDENTIFIERS,
        limits=OrchestratorLimits(
            lease_seconds=given.lease_seconds,
            tasks_in_hand=settings.turns.waiting_turns + settings.turns.concurrent_turns,
            retry=RetryPolicy(
                retries=given.retries, first_pause=timedelta(seconds=given.retry_seconds)
            ),
        ),
    )


def thread_cleanup(
    settings: Settings, engine: "EmbeddedEngine", threads: ThreadStore, observer: Observer
) -> ThreadCleanup:
    """Close threads as the engine's instances end."""
    return ThreadCleanup(
        engine_id=settings.engine.id, history=engine, directory=threads, observer=observer
    )


def start_logging(settings: Settings, *, more_secrets: Sequence[str] = ()) -> Scrubber:
    """Render log records as the settings say, without the secrets in them."""
    scrubber = Scrubber((*settings.secrets, *more_secrets))
    configure_logging(level=settings.log.level, style=settings.log.format, scrubber=scrubber)
    return scrubber
