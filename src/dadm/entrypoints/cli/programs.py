"""The programs that stay: the service, the orchestrator, or both; each drains when it is told to stop."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    closing,
    suppress,
)
from dataclasses import dataclass, replace
from typing import Any, Literal

from dadm import bootstrap
from dadm.bootstrap import CLOCK, IDENTIFIERS, AssistantSide, Databases, EngineSide
from dadm.domain.errors import EngineError, StoreError
from dadm.domain.task import DEFAULT_ENGINE
from dadm.entrypoints.cli.announcing import startup_line, version
from dadm.entrypoints.openai_service import (
    Lifecycle,
    ServiceParts,
    address_of,
    create_app,
    open_listener,
    serve,
    stop_on_signals,
)
from dadm.ports.assistant_service import AssistantService
from dadm.ports.observer import Observer
from dadm.settings import Settings
from dadm.telemetry import CachedStatistics, Fanout, LogObserver, Metrics, Scrubber

LOGGER = logging.getLogger("dadm.cli")

REPORTING_SECONDS = 5.0
"""How much longer the orchestrator may take than turns: to report their ends, or give tasks back."""

TIMERS_SECONDS = 1.0
"""How late a timer may come where no tasks are fetched."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What every program stands on."""

    settings: Settings
    stop: asyncio.Event
    databases: Databases
    statistics: CachedStatistics
    metrics: Metrics
    observer: Observer


@asynccontextmanager
async def open_ground(settings: Settings) -> AsyncIterator[Ground]:
    """Open the database, and hear signals."""
    async with stop_on_signals() as stop, bootstrap.open_databases(settings) as databases:
        statistics = CachedStatistics(databases.threads.statistics, CLOCK.monotonic)
        metrics = Metrics(backend=settings.chosen_backend, statistics=statistics)
        yield Ground(
            settings=settings,
            stop=stop,
            databases=databases,
            statistics=statistics,
            metrics=metrics,
            observer=Fanout((LogObserver(), metrics)),
        )


async def serve_alone(settings: Settings) -> None:
    """Answer tasks over HTTP."""
    with closing(_listener(settings)) as listener:
        async with open_ground(settings) as ground, _open_side(ground) as side:
            _announce(ground, "OpenAI Service", listener=listener, side=side)
            async with asyncio.TaskGroup() as group:
                group.create_task(side.upkeep.run(ground.stop))
                group.create_task(_serve(ground, side, listener, engines=(DEFAULT_ENGINE,)))


async def run_everything(settings: Settings) -> None:
    """Run engine, orchestrator and service; tasks are answered in process and over HTTP."""
    if settings.service_url:
        LOGGER.warning("DADM_SERVICE_URL is for `dadm work`: here tasks are answered in process")
    with closing(_listener(settings)) as listener:
        async with (
            open_ground(settings) as ground,
            _open_engines(ground) as worked,
            _open_side(ground) as side,
        ):
            _announce(
                ground, "engine", "orchestrator", "OpenAI Service", listener=listener, side=side
            )
            async with asyncio.TaskGroup() as group:
                _work_all(group, worked, side.manager)
                group.create_task(side.upkeep.run(ground.stop))
                engines = (DEFAULT_ENGINE, *(each.engine_id for each in settings.by_engine))
                group.create_task(_serve(ground, side, listener, engines=engines))


async def work_alone(settings: Settings) -> None:
    """Work the engines' tasks; they are answered in process, or by another DADM's service."""
    async with AsyncExitStack() as stack:
        ground = await stack.enter_async_context(open_ground(settings))
        worked = await stack.enter_async_context(_open_engines(ground))
        if settings.service_url:
            remote = await stack.enter_async_context(bootstrap.remote_service(settings))
            _announce(ground, "engine", "orchestrator")
            async with asyncio.TaskGroup() as group:
                _work_all(group, worked, remote)
            return
        side = await stack.enter_async_context(_open_side(ground))
        _announce(ground, "engine", "orchestrator", side=side)
        async with asyncio.TaskGroup() as group:
            _work_all(group, worked, side.manager)
            group.create_task(side.upkeep.run(ground.stop))
            await ground.stop.wait()
            await side.manager.drain(seconds=settings.drain_seconds)


def _work_all(
    group: asyncio.TaskGroup,
    worked: Sequence[tuple[Ground, EngineSide]],
    service: AssistantService,
) -> None:
    """Work every engine, each by itself: one that is away leaves the others as they are."""
    for ground, side in worked:
        work_engine(group, ground, side, service, peers=len(worked))


def work_engine(
    group: asyncio.TaskGroup,
    ground: Ground,
    side: EngineSide,
    service: AssistantService,
    *,
    peers: int = 1,
) -> None:
    """Run the engine's timers, the orchestrator and the cleanup, until the program stops."""
    settings, stop, observer = ground.settings, ground.stop, ground.observer
    engine = side.engine
    orchestrator = bootstrap.orchestrator(settings, engine, service, observer, peers=peers)
    threads = ground.databases.threads
    idle = bootstrap.idle_threads(settings, side, threads, observer)
    if side.run_due is not None:
        group.create_task(run_timers(side.run_due, stop))
    for cleanup in bootstrap.thread_cleanups(settings, side, threads, observer):
        group.create_task(cleanup.run(stop))
    group.create_task(idle.run(stop))
    seconds = settings.drain_seconds + REPORTING_SECONDS
    group.create_task(orchestrator.run(stop, drain_seconds=seconds))


async def run_timers(run_due: Callable[[], Awaitable[int]], stop: asyncio.Event) -> None:
    """Let due timers come, also where there are no tasks to fetch and so nobody else does it."""
    while not stop.is_set():
        try:
            await run_due()
        except (EngineError, StoreError) as error:
            # Said aloud by the cleanup beside it, which meets the same trouble.
            LOGGER.debug("Timers were not looked at: %s", error.message)
        with suppress(TimeoutError):
            async with asyncio.timeout(TIMERS_SECONDS):
                await stop.wait()


@asynccontextmanager
async def _open_engines(ground: Ground) -> AsyncIterator[Sequence[tuple[Ground, EngineSide]]]:
    """Open every engine, each with a ground whose settings are its own."""
    processes = ground.databases.processes
    async with AsyncExitStack() as stack:
        yield [
            (
                replace(ground, settings=each),
                await stack.enter_async_context(bootstrap.open_engine(each, processes)),
            )
            for each in ground.settings.by_engine
        ]


def _open_side(ground: Ground) -> AbstractAsyncContextManager[AssistantSide]:
    return bootstrap.open_assistant_side(ground.settings, ground.databases.threads, ground.observer)


def _listener(settings: Settings) -> socket.socket:
    return open_listener(settings.host, settings.port, has_tokens=bool(settings.api_tokens))


async def _serve(
    ground: Ground, side: AssistantSide, listener: socket.socket, *, engines: tuple[str, ...]
) -> None:
    settings = ground.settings
    lifecycle = Lifecycle()
    parts = ServiceParts(
        service=side.manager,
        directory=ground.databases.threads,
        catalogue=side.catalogue,
        backend=side.backends.default,
        statistics=ground.statistics,
        metrics=ground.metrics.page,
        in_flight=lambda: side.manager.in_flight_count,
        clock=CLOCK,
        identifiers=IDENTIFIERS,
        version=version(),
        engines=engines,
        tokens=tuple(token.get_secret_value() for token in settings.api_tokens),
        max_body_bytes=settings.max_body_bytes,
        scrub=Scrubber(settings.secrets),
        lifecycle=lifecycle,
    )
    await serve(
        create_app(parts),
        listener,
        stop=ground.stop,
        lifecycle=lifecycle,
        drain=lambda: side.manager.drain(seconds=settings.drain_seconds),
    )


def _announce(
    ground: Ground,
    *parts: str,
    listener: socket.socket | None = None,
    side: AssistantSide | None = None,
) -> None:
    line = startup_line(
        ground.settings,
        parts=parts,
        address=address_of(listener) if listener else "",
        backend=side.backends.default.identity if side else None,
        catalogue=side.catalogue if side else None,
    )
    LOGGER.info("%s", line)


async def simulate_openai(
    settings: Settings,
    *,
    answers: Literal["echo", "script", "local"],
    switches: Mapping[str, Any],
    api_keys: Sequence[str],
    faults: Sequence[str] = (),
    seed: int = 0,
) -> None:
    """Serve OpenAI's API, simulated, until the program is told to stop."""
    with closing(_listener(settings)) as listener:
        async with (
            stop_on_signals() as stop,
            bootstrap.open_simulated_openai(
                settings,
                answers=answers,
                switches=switches,
                api_keys=api_keys,
                faults=faults,
                seed=seed,
            ) as app,
        ):
            address = address_of(listener)
            key = "a known" if api_keys else "any"
            LOGGER.info("Set OPENAI_BASE_URL=%s/v1 and %s OPENAI_API_KEY to use it", address, key)
            await serve(
                app,
                listener,
                stop=stop,
                lifecycle=Lifecycle(),
                drain=_nothing,
                name="The simulated OpenAI",
            )


async def _nothing() -> None:
    """End at once: nothing that is simulated need be kept."""
