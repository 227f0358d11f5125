"""Bootstrap: the only place that chooses adapters, and puts DADM together from settings.

Adapters are imported where they are chosen, so that a program loads only what it uses.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from dadm.adapters.assistant_files import SHIPPED, assistant_paths, read_assistant, read_catalogue
from dadm.adapters.failpoints import armed, arming
from dadm.adapters.script_file import read_script
from dadm.application.conversations.reachable_backends import OpeningBackend, ReachableBackends
from dadm.application.turns.name_based_assistant_manager import NameBasedAssistantManager
from dadm.application.world import World
from dadm.bootstrap.engines import (
    EngineSide,
    camunda8_engine,
    embedded_engine,
    external_engine,
    idle_threads,
    open_engine,
    orchestrator,
    thread_cleanups,
)
from dadm.bootstrap.linting import lint_models
from dadm.bootstrap.system import CLOCK, IDENTIFIERS
from dadm.bootstrap.upkeep import Upkeep, upkeep
from dadm.domain.assistant import Assistant, AssistantCatalogue
from dadm.domain.errors import InvalidAssistant, SettingsError
from dadm.ports.assistant_service import AssistantService
from dadm.ports.observer import Observer
from dadm.ports.probe import Probe
from dadm.ports.process_store import ProcessStore
from dadm.ports.store import ThreadStore
from dadm.settings import Settings, turn_limits

if TYPE_CHECKING:
    from dadm.adapters.backends.local_model import LocalModel

__all__ = [
    "BACKENDS",
    "CLOCK",
    "IDENTIFIERS",
    "AssistantSide",
    "Databases",
    "EngineSide",
    "camunda8_engine",
    "check_assistants",
    "embedded_engine",
    "external_engine",
    "idle_threads",
    "lint_models",
    "open_assistant_side",
    "open_databases",
    "open_engine",
    "open_simulated_openai",
    "openai_probe",
    "orchestrator",
    "reachable_backends",
    "read_assistants",
    "remote_service",
    "sqlite_path",
    "thread_cleanups",
    "world_of",
]


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
            from dadm.adapters.stores.sqlite import SqliteProcessStore, SqliteStore, open_sqlite

            file = await stack.enter_async_context(open_sqlite(sqlite_path(url)))
            yield Databases(threads=SqliteStore(file), processes=SqliteProcessStore(file))
        else:
            from dadm.adapters.stores import postgres as pg

            server = await stack.enter_async_context(pg.open_postgres(url))
            processes = pg.PostgresProcessStore(server)
            yield Databases(threads=pg.PostgresStore(server), processes=processes)


def sqlite_path(url: str) -> Path:
    """Give the file of `sqlite:///relative` or `sqlite:////absolute`."""
    return Path(url.removeprefix("sqlite:///")).expanduser()


def _openai(settings: Settings) -> OpeningBackend:
    from dadm.adapters.backends.openai_conversations import OpenAIConversations

    given = settings.openai
    return OpenAIConversations(
        model=given.model,
        **_openai_access(settings),
        account=given.account or None,
        use_background=given.background,
        output_ids_are_item_ids=given.output_ids_are_item_ids,
        links_items=given.links_items,
        turn_timeout_seconds=settings.turns.turn_seconds,
    )


def _openai_access(settings: Settings) -> dict[str, Any]:
    given = settings.openai
    return {
        "api_key": given.api_key.get_secret_value() if given.api_key else None,
        "base_url": given.base_url or None,
        "organization": given.organization or None,
        "project": given.project or None,
    }


def openai_probe(settings: Settings, *, model: str) -> Probe:
    """Give a probe of the account that the settings name.

    Raises:
        BackendMisconfigured: There is no key, or the key or the address cannot be sent.
    """
    from dadm.adapters.backends.openai_probe import OpenAIProbe

    return OpenAIProbe(model=model, **_openai_access(settings))


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


def _local(settings: Settings) -> "LocalModel":
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
    from dadm.adapters.backends.scripted_lines import echo

    path = settings.scripted.script
    if path is None:
        return ScriptedBackend(echo, new_id=IDENTIFIERS.new_id)
    script = read_script(path)
    return ScriptedBackend(
        lambda question: script.answer(question.prompt), new_id=IDENTIFIERS.new_id
    )


BACKENDS: dict[str, Callable[[Settings], OpeningBackend]] = {
    "openai": _openai,
    "chat": _chat,
    "local": _local,
    "scripted": _scripted,
}


KEEPERS = ("openai",)
"""Which of them keep conversations."""


def reachable_backends(settings: Settings) -> ReachableBackends:
    """Give the backends that the settings reach; entering starts the one of new threads."""
    ways = {
        kind: arming(settings.failpoint, "backend", partial(way, settings))
        for kind, way in BACKENDS.items()
    }
    return ReachableBackends(ways, default=settings.chosen_backend, keepers=KEEPERS)


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


def check_assistants(settings: Settings) -> Iterator[tuple[Path, Assistant | InvalidAssistant]]:
    """Read each assistant's file by itself, and give it or what is wrong with it.

    Raises:
        InvalidAssistant: There are no files.
    """
    parameters = _parameter_names(settings)
    for path in assistant_paths(settings.assistants or SHIPPED):
        try:
            yield path, read_assistant(path, parameters=parameters)
        except InvalidAssistant as error:
            yield path, error


def _parameter_names(settings: Settings) -> frozenset[str] | None:
    match settings.chosen_backend:
        case "openai":
            from dadm.adapters.backends.openai_conversations import OpenAIConversations

            return OpenAIConversations.parameter_names()
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
    backends: ReachableBackends
    upkeep: Upkeep


def world_of(
    settings: Settings,
    store: ThreadStore,
    backends: ReachableBackends,
    assistants: AssistantCatalogue,
    observer: Observer,
) -> World:
    """Put together what turns are taken in, and threads cared for."""
    return World(
        store=armed(settings.failpoint, "store", store),
        backends=backends,
        assistants=assistants,
        observer=observer,
        clock=CLOCK,
        identifiers=IDENTIFIERS,
        limits=turn_limits(settings.turns),
    )


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
    async with reachable_backends(settings) as backends:
        world = world_of(settings, store, backends, catalogue, observer)
        async with NameBasedAssistantManager(world) as manager:
            yield AssistantSide(
                manager=manager,
                catalogue=catalogue,
                backends=backends,
                upkeep=upkeep(settings, world),
            )


def remote_service(settings: Settings) -> "AbstractAsyncContextManager[AssistantService]":
    """Reach the assistant service that the settings name."""
    from dadm.adapters.services.remote import RemoteAssistantService

    token = settings.service_token
    return RemoteAssistantService(settings.service_url, token.get_secret_value() if token else "")


@asynccontextmanager
async def open_simulated_openai(
    settings: Settings,
    *,
    answers: Literal["echo", "script", "local"],
    switches: Mapping[str, Any],
    api_keys: Sequence[str] = (),
    faults: Sequence[str] = (),
    seed: int = 0,
) -> AsyncIterator[Callable[[Any, Any, Any], Awaitable[None]]]:
    """Give OpenAI's API as an ASGI application, with no model, a script or the local model behind.

    Raises:
        SettingsError: There is no such switch or fault, or the script cannot be followed.
        BackendMisconfigured: The local model is missing.
    """
    from dadm.adapters.simulators import openai

    async with AsyncExitStack() as stack:
        responder: openai.Responder = openai.Echo()
        if answers == "local":
            model = await stack.enter_async_context(_local(settings))
            responder = openai.FromModel(model.generate)
        elif answers == "script" and settings.scripted.script is not None:
            responder = openai.FromScript(read_script(settings.scripted.script).answer)
        try:
            app = openai.simulate(responder, switches, api_keys, faults, seed=seed)
        except ValueError as error:
            raise SettingsError(str(error)) from error
        yield app
