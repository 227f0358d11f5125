"""Replica: one whole program of the product on the simulated loop, with its own clocks and ids."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from dadm.adapters.stores.memory import MemoryStore
from dadm.application.limits import TurnLimits
from dadm.application.name_based_assistant_manager import NameBasedAssistantManager
from dadm.application.outcomes import RetryPolicy
from dadm.application.service_orchestrator import OrchestratorLimits, ServiceOrchestrator
from dadm.application.thread_cleanup import ThreadCleanup
from dadm.application.world import World
from dadm.domain.assistant import Assistant, AssistantCatalogue
from dadm.ports.observer import Event
from tests.simulation.backend import SimulatedBackend
from tests.simulation.backend_line import BackendLine
from tests.simulation.engine import SimulatedEngine
from tests.simulation.lines import engine_line, store_line
from tests.simulation.network import Caller, Network
from tests.simulation.record import Record
from tests.simulation.scheduler import SimulatedLoop
from tests.simulation.storm import Storm
from tests.simulation.weather import Weather

EPOCH = datetime(2030, 1, 1, tzinfo=UTC)
ASSISTANTS = AssistantCatalogue(
    [Assistant(name=name, instructions=f"You are the {name}.") for name in ("analyst", "critic")],
    default="analyst",
)
DRAIN_SECONDS = 10.0
GRACE_SECONDS = 30.0
"""How long after an instance's end its threads are closed for good."""


class SkewedClock:
    """A clock of its own: its wall time is off and may jump, its seconds are a little too long."""

    def __init__(
        self, loop: SimulatedLoop, *, ahead_seconds: float = 0.0, rate: float = 1.0
    ) -> None:
        """Count from now; `rate` is how many of its seconds pass in one of the loop's."""
        self._loop = loop
        self._rate = rate
        self.ahead_seconds = ahead_seconds
        self.stood_still_seconds = 0.0

    def now(self) -> datetime:
        return EPOCH + timedelta(seconds=self._loop.time() + self.ahead_seconds)

    def monotonic(self) -> float:
        return (self._loop.time() - self.stood_still_seconds) * self._rate

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / self._rate)


class DrawnIdentifiers:
    """Ids that count, and chance from the seed."""

    def __init__(self, name: str, storm: Storm) -> None:
        self._name = name
        self._storm = storm
        self._count = 0

    def new_id(self, prefix: str) -> str:
        self._count += 1
        return f"{prefix}_{self._name}_{self._count}"

    def fraction(self) -> float:
        return self._storm.fraction()


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """What all replicas share, and the way there."""

    network: Network
    store: MemoryStore
    engine: SimulatedEngine
    backend: SimulatedBackend
    after_store_call: Callable[[str, str, Any], None]

    @property
    def loop(self) -> SimulatedLoop:
        return self.network.loop

    @property
    def storm(self) -> Storm:
        return self.network.storm

    @property
    def record(self) -> Record:
        return self.network.record


class Replica:
    """Manager, orchestrator and cleanup, as `dadm run` puts them together."""

    def __init__(self, name: str, shared: Shared) -> None:
        """Start it."""
        self.name = name
        self._shared = shared
        storm = shared.storm
        self.process = shared.loop.new_process(name)
        self.caller = Caller(name, self.process, shared.network)
        self.clock = SkewedClock(
            shared.loop,
            ahead_seconds=storm.fraction() * 600 - 300,
            rate=1 + (storm.fraction() - 0.5) / 500,
        )
        self.caller.on_pause = self._paused
        self.stop = asyncio.Event()
        self._visits: list[asyncio.Task[Any]] = []
        self._store = store_line(self.caller, shared.store, shared.after_store_call)
        self._engine = engine_line(self.caller, shared.engine)
        self._identifiers = DrawnIdentifiers(name, storm)
        self.manager = NameBasedAssistantManager(
            World(
                store=self._store,
                backends=BackendLine(self.caller, shared.backend),
                assistants=ASSISTANTS,
                observer=self,
                clock=self.clock,
                identifiers=self._identifiers,
                limits=turn_limits(storm.weather),
            )
        )
        shared.record.note(name, "starts")
        self.main = self.spawn(self._run())

    @property
    def is_running(self) -> bool:
        """Whether it does anything: not dead, not paused, not ended."""
        return not (self.caller.is_dead or self.process.is_held or self.main.done())

    def notify(self, event: Event) -> None:
        """Take note, as the Observer."""
        self._shared.record.tell(self.name, event)

    def spawn(self, work: Any) -> asyncio.Task[Any]:
        """Let a coroutine run as part of this process."""
        return self._shared.loop.create_task(work, context=self.process.context)

    def visit(self, scope: str, assistant: str) -> None:
        """Have somebody ask over HTTP for the thread of a process instance."""
        self._visits.append(self.spawn(self._visited(scope, assistant)))

    async def _visited(self, scope: str, assistant: str) -> None:
        engine = self._shared.engine.engine_id
        try:
            found = await self.manager.get_or_create_process_thread(scope, assistant, engine=engine)
        except Exception as error:  # noqa: BLE001 - a visitor is told and leaves
            self._shared.record.note(self.name, "visitor gets", error)
        else:
            self._shared.record.note(self.name, "visitor gets", found)

    def _paused(self, seconds: float) -> None:
        # A machine that sleeps may stop its monotonic clock as well.
        if self._shared.storm.fraction() < 0.5:
            self.clock.stood_still_seconds += seconds

    async def _run(self) -> None:
        orchestrator = ServiceOrchestrator(
            tasks=self._engine,
            models=self._engine,
            service=self.manager,
            observer=self,
            clock=self.clock,
            identifiers=self._identifiers,
            limits=orchestrator_limits(self._shared.storm.weather),
        )
        cleanup = ThreadCleanup(
            engine_id=self._shared.engine.engine_id,
            history=self._engine,
            directory=self._store,
            observer=self,
            clock=self.clock,
            interval_seconds=10.0,
            grace_seconds=GRACE_SECONDS,
        )
        async with self.manager, asyncio.TaskGroup() as group:
            group.create_task(cleanup.run(self.stop))
            await orchestrator.run(self.stop, drain_seconds=DRAIN_SECONDS)
            await self.manager.drain(seconds=DRAIN_SECONDS)


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


def turn_limits(weather: Weather) -> TurnLimits:
    """Give limits short enough for a short run, in the proportions of the defaults."""
    return TurnLimits(
        turn_seconds=60.0,
        lease_seconds=weather.lease_seconds,
        lease_margin_seconds=weather.lease_seconds / 6,
        ticket_seconds=weather.ticket_seconds,
        concurrent_turns=weather.concurrent_turns,
        waiting_turns=100,
        poll_seconds=5.0,
        busy_poll_seconds=5.0,
        copied_characters=weather.copied_characters,
        patience_seconds=weather.patience_seconds,
        rest_seconds=10.0,
        longest_rest_seconds=40.0,
        losses_believed=5,
        losses_seconds=100.0,
    )
