"""Program: one process of the product on the simulated loop, with its own clocks, ids and lines."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from dadm.adapters.stores.memory import MemoryStore
from dadm.application.limits import TurnLimits
from dadm.application.world import World
from dadm.domain.assistant import Assistant, AssistantCatalogue
from dadm.ports.observer import Event
from tests.simulation.backend import SimulatedBackend
from tests.simulation.backend_line import BackendLine
from tests.simulation.engine import SimulatedEngine
from tests.simulation.lines import store_line
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
    left_to_clear: Callable[[], int] | None = None
    """How many closed threads are not cleared yet; None where replicas clear none."""

    @property
    def loop(self) -> SimulatedLoop:
        return self.network.loop

    @property
    def storm(self) -> Storm:
        return self.network.storm

    @property
    def record(self) -> Record:
        return self.network.record


class Program:
    """A process with its way to the store and the backend; what it does, its kinds say."""

    def __init__(self, name: str, shared: Shared) -> None:
        """Begin it."""
        self.name = name
        self.shared = shared
        storm = shared.storm
        self.process = shared.loop.new_process(name)
        self.caller = Caller(name, self.process, shared.network)
        self.caller.on_pause = self._paused
        self.clock = SkewedClock(
            shared.loop,
            ahead_seconds=storm.fraction() * 600 - 300,
            rate=1 + (storm.fraction() - 0.5) / 500,
        )
        self.identifiers = DrawnIdentifiers(name, storm)
        self.store = store_line(self.caller, shared.store, shared.after_store_call)
        self.world = World(
            store=self.store,
            backends=BackendLine(self.caller, shared.backend),
            assistants=ASSISTANTS,
            observer=self,
            clock=self.clock,
            identifiers=self.identifiers,
            limits=turn_limits(storm.weather),
        )
        self._tasks: list[asyncio.Task[Any]] = []
        shared.record.note(name, "starts")

    def notify(self, event: Event) -> None:
        """Take note, as the Observer."""
        self.shared.record.tell(self.name, event)

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Let a coroutine run as part of this process."""
        return self.shared.loop.create_task(work, context=self.process.context)

    def begin(self, work: Coroutine[Any, Any, Any]) -> None:
        """Let a coroutine run that nobody waits for."""
        # Kept even when the process is dead: nobody else holds on to what it was doing.
        self._tasks.append(self.spawn(work))

    def _paused(self, seconds: float) -> None:
        # A machine that sleeps may stop its monotonic clock as well.
        if self.shared.storm.fraction() < 0.5:
            self.clock.stood_still_seconds += seconds


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
        retired_seconds=100.0,
    )
