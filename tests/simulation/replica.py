"""Replica: manager, orchestrator and cleanup in one process, as `dadm run` puts them together."""

import asyncio
from datetime import timedelta

from dadm.application.endings.closed_cleanup import ClosedCleanup, EndedPolicy
from dadm.application.endings.closed_threads import ClosedThreads
from dadm.application.endings.job_holding import JobHolding
from dadm.application.endings.rests import Rests
from dadm.application.endings.retired_cleanup import RetiredCleanup
from dadm.application.endings.thread_cleanup import ThreadCleanup
from dadm.application.orchestration.outcomes import RetryPolicy
from dadm.application.orchestration.service_orchestrator import (
    OrchestratorLimits,
    ServiceOrchestrator,
)
from dadm.application.turns.name_based_assistant_manager import NameBasedAssistantManager
from dadm.ports.jobs import JobKey
from tests.simulation.lines import engine_line
from tests.simulation.program import Program, Shared
from tests.simulation.weather import Weather

DRAIN_SECONDS = 10.0
GRACE_SECONDS = 30.0
"""How long after an instance's end its threads are closed for good."""

CLEARED_SECONDS = 20.0
"""How long after that a thread may be cleared, in runs in which threads are."""


class Replica(Program):
    """A replica that works the engine's tasks."""

    def __init__(self, name: str, shared: Shared) -> None:
        """Start it."""
        super().__init__(name, shared)
        self.stop = asyncio.Event()
        self._engine = engine_line(self.caller, shared.engine)
        self.manager = NameBasedAssistantManager(self.world)
        self.main = self.spawn(self._run())

    @property
    def is_running(self) -> bool:
        """Whether it does anything: not dead, not paused, not ended."""
        return not (self.caller.is_dead or self.process.is_held or self.main.done())

    def visit(self, scope: str, assistant: str) -> None:
        """Have somebody ask over HTTP for the thread of a process instance."""
        self.begin(self._visited(scope, assistant))

    async def _visited(self, scope: str, assistant: str) -> None:
        engine = self.shared.engine.engine_id
        try:
            found = await self.manager.get_or_create_process_thread(scope, assistant, engine=engine)
        except Exception as error:  # noqa: BLE001 - a visitor is told and leaves
            self.shared.record.note(self.name, "visitor gets", error)
        else:
            self.shared.record.note(self.name, "visitor gets", found)

    async def _run(self) -> None:
        orchestrator = ServiceOrchestrator(
            tasks=self._engine,
            models=self._engine,
            service=self.manager,
            observer=self,
            clock=self.clock,
            identifiers=self.identifiers,
            limits=orchestrator_limits(self.shared.storm.weather),
        )
        cleanup = ThreadCleanup(
            engine_id=self.shared.engine.engine_id,
            history=self._engine,
            directory=self.store,
            observer=self,
            clock=self.clock,
            interval_seconds=10.0,
            grace_seconds=GRACE_SECONDS,
        )
        async with self.manager, asyncio.TaskGroup() as group:
            group.create_task(cleanup.run(self.stop))
            if self.shared.left_to_clear is None:
                group.create_task(RetiredCleanup(self.world).run(self.stop))
            else:
                self._clear(group)
            await orchestrator.run(self.stop, drain_seconds=DRAIN_SECONDS)
            await self.manager.drain(seconds=DRAIN_SECONDS)

    def _clear(self, group: asyncio.TaskGroup) -> None:
        """Do what is done in the background about closed threads as well."""
        rests = Rests(self.world)
        job = JobHolding(self.store, JobKey(name="clear"), self.clock, self.identifiers)
        cleanup = ClosedCleanup(
            self.world,
            job,
            policy=EndedPolicy.DELETE_REMOTE,
            after_seconds=CLEARED_SECONDS,
            rests=rests,
        )
        group.create_task(RetiredCleanup(self.world, rests).run(self.stop))
        group.create_task(ClosedThreads(self.world).run(self.stop))
        group.create_task(cleanup.run(self.stop))


def orchestrator_limits(weather: Weather) -> OrchestratorLimits:
    """Give limits for few tasks and a short run."""
    return OrchestratorLimits(
        lease_seconds=weather.task_lease_seconds,
        tasks_in_hand=20,
        tasks_per_fetch=3,
        poll_seconds=15.0,
        models_seconds=15.0,
        longest_pause_seconds=10.0,
        retry=RetryPolicy(
            retries=3, first_pause=timedelta(seconds=5), longest_pause=timedelta(seconds=40)
        ),
    )
