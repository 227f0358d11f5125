"""Which engine tasks come from, and what works them and follows its ends."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

from dadm.adapters.failpoints import armed
from dadm.application.endings.idle_threads import IdleThreads
from dadm.application.endings.job_holding import JobHolding
from dadm.application.endings.thread_cleanup import Shift, ThreadCleanup
from dadm.application.orchestration.outcomes import RetryPolicy
from dadm.application.orchestration.service_orchestrator import (
    OrchestratorLimits,
    ServiceOrchestrator,
)
from dadm.bootstrap.engine_access import engine_access
from dadm.bootstrap.system import CLOCK, IDENTIFIERS
from dadm.ports.assistant_service import AssistantService
from dadm.ports.engine import ProcessHistory, ProcessModels, ServiceTasks
from dadm.ports.engine_features import Feature
from dadm.ports.jobs import JobKey
from dadm.ports.observer import Observer
from dadm.ports.process_store import ProcessStore
from dadm.ports.store import ThreadStore
from dadm.settings import Settings

if TYPE_CHECKING:
    from dadm.adapters.engines.camunda8 import Camunda8Engine
    from dadm.adapters.engines.embedded import EmbeddedEngine
    from dadm.adapters.engines.external_task import ExternalTaskEngine

ENDS_REREAD = timedelta(days=1)
"""How far back an engine is asked which instances ended, where nobody has followed it yet."""

INTERVAL_SECONDS = 30.0
"""How often an engine is asked, at first, whose history costs it a query."""


def embedded_engine(settings: Settings, processes: ProcessStore) -> "EmbeddedEngine":
    """Put the embedded engine on its store."""
    from dadm.adapters.engines.embedded import EmbeddedEngine

    return EmbeddedEngine(processes, CLOCK, IDENTIFIERS, engine_id=settings.engine_id)


def external_engine(settings: Settings) -> "ExternalTaskEngine | Camunda8Engine":
    """Reach the engine at the address that the settings name.

    Raises:
        SettingsError: There are several ways in at once, or half of one, or a useless CA file.
    """
    if settings.engine_kind == "camunda8":
        return camunda8_engine(settings)
    from dadm.adapters.engines.external_task import ExternalTaskEngine

    given = settings.engine
    return ExternalTaskEngine(
        settings.engine_url,
        CLOCK,
        IDENTIFIERS,
        engine_id=settings.engine_id,
        access=engine_access(settings),
        ca_file=given.ca_file,
        topics=given.topics,
        ended_since=CLOCK.now() - ENDS_REREAD,
    )


def camunda8_engine(settings: Settings) -> "Camunda8Engine":
    """Reach the Camunda 8 at the address that the settings name.

    Raises:
        SettingsError: There are several ways in at once, or half of one, or a useless CA file.
    """
    from dadm.adapters.engines.camunda8 import Camunda8Engine

    given = settings.engine
    return Camunda8Engine(
        settings.engine_url,
        CLOCK,
        IDENTIFIERS,
        engine_id=settings.engine_id,
        access=engine_access(settings),
        ca_file=given.ca_file,
        topics=given.topics,
        ended_since=CLOCK.now() - ENDS_REREAD,
    )


class WorkedEngine(ServiceTasks, ProcessModels, ProcessHistory, Protocol):
    """An engine as far as its tasks are worked and its ends followed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSide:
    """The engine that the settings choose.

    `searched` tells ends and states that the engine itself may not tell. `run_due` lets the timers
    of one that runs here come.
    """

    engine: WorkedEngine
    searched: ProcessHistory | None = None
    run_due: Callable[[], Awaitable[int]] | None = None


@asynccontextmanager
async def open_engine(settings: Settings, processes: ProcessStore) -> AsyncIterator[EngineSide]:
    """Reach the engine that the settings name, else run the embedded one on `processes`.

    Raises:
        SettingsError: The way into it is wrong.
    """
    if settings.engine_kind == "camunda8":
        async with camunda8_engine(settings) as camunda8:
            yield EngineSide(engine=camunda8, searched=camunda8.searched_ends)
    elif settings.engine_url:
        async with external_engine(settings) as engine:
            yield EngineSide(engine=engine)
    else:
        embedded = embedded_engine(settings, processes)
        yield EngineSide(engine=embedded, run_due=embedded.run_due)


def orchestrator(
    settings: Settings,
    engine: WorkedEngine,
    service: AssistantService,
    observer: Observer,
    *,
    models: ProcessModels | None = None,
    peers: int = 1,
) -> ServiceOrchestrator:
    """Put the orchestrator between an engine and an assistant service.

    It works the AI tasks of `models`: those of the engine itself, unless others are given. Where
    `peers` orchestrators in all share the service, each takes its share of tasks in hand, so that
    one engine with much to do leaves room for the others.
    """
    given = settings.engine
    in_hand = settings.turns.waiting_turns + settings.turns.concurrent_turns
    return ServiceOrchestrator(
        tasks=armed(settings.failpoint, "engine", engine),
        models=models or engine,
        service=service,
        observer=observer,
        clock=CLOCK,
        identifiers=IDENTIFIERS,
        limits=OrchestratorLimits(
            lease_seconds=given.lease_seconds,
            tasks_in_hand=max(1, in_hand // peers),
            retry=RetryPolicy(
                retries=given.retries, first_pause=timedelta(seconds=given.retry_seconds)
            ),
        ),
    )


def thread_cleanups(
    settings: Settings, side: EngineSide, threads: ThreadStore, observer: Observer
) -> Sequence[ThreadCleanup]:
    """Close threads as the engine's instances end.

    An engine's history is asked by one replica for all. Ends that are told until they are forgotten
    are met by every replica: they cost the database that threads are in a look, or are handed to
    one replica at a time by their engine.
    """
    is_outbox = Feature.OUTBOX in side.engine.features
    shared = side.searched if is_outbox else side.engine
    cleanups = []
    if is_outbox:
        cleanups.append(_cleanup(settings, side.engine, threads, observer))
    if shared is not None:
        shift = Shift(job=_job("ends", settings, threads), fraction=IDENTIFIERS.fraction)
        cleanups.append(_cleanup(settings, shared, threads, observer, shift=shift))
    return cleanups


def _cleanup(
    settings: Settings,
    history: ProcessHistory,
    threads: ThreadStore,
    observer: Observer,
    *,
    shift: Shift | None = None,
) -> ThreadCleanup:
    return ThreadCleanup(
        engine_id=settings.engine_id,
        interval_seconds=1.0 if shift is None else INTERVAL_SECONDS,
        history=history,
        directory=threads,
        observer=observer,
        clock=CLOCK,
        shift=shift,
    )


def _job(name: str, settings: Settings, threads: ThreadStore) -> JobHolding:
    return JobHolding(threads, JobKey(name=name, subject=settings.engine_id), CLOCK, IDENTIFIERS)


def idle_threads(
    settings: Settings, side: EngineSide, threads: ThreadStore, observer: Observer
) -> IdleThreads:
    """Ask the engine about the instances of idle threads, or park these if it cannot tell."""
    tells_states = Feature.INSTANCE_STATES in side.engine.features
    return IdleThreads(
        engine_id=settings.engine_id,
        history=side.searched or (side.engine if tells_states else None),
        store=threads,
        job=_job("idle", settings, threads),
        observer=observer,
        clock=CLOCK,
        identifiers=IDENTIFIERS,
        idle_seconds=settings.ended.idle_seconds,
        parked_seconds=settings.ended.parked_seconds,
    )
