"""Director: starts replicas, brings the troubles that come by themselves, and ends the run."""

import asyncio

from dadm.ports.engine import InstanceState
from tests.simulation.backend import SimulatedBackend
from tests.simulation.person import Person
from tests.simulation.processes import Processes
from tests.simulation.program import Program, Shared, SkewedClock
from tests.simulation.replica import Replica
from tests.simulation.trouble_at_backend import TroubleAtBackend

TICK_SECONDS = 1.0
STOPPING_TICKS = 60
QUIET_SECONDS = 55.0
"""How long nothing may be left to do before a run counts as over.

It is longer than a thread's lease, and than it takes to close an ended instance's threads for good.
"""


class Director:
    """Brings a run from its beginning to its end."""

    def __init__(
        self,
        shared: Shared,
        processes: Processes,
        person: Person,
        store_clock: SkewedClock,
        engine_clock: SkewedClock,
    ) -> None:
        """Direct what is there."""
        self._shared = shared
        self._storm = shared.storm
        self._processes = processes
        self._person = person
        self._store_clock = store_clock
        self._engine_clock = engine_clock
        self._at_backend = TroubleAtBackend(shared)
        self.replicas: list[Replica] = []
        self.is_quiet = False
        self.ended_badly: list[str] = []

    @property
    def backend(self) -> SimulatedBackend:
        """The backend of the run."""
        return self._shared.backend

    async def direct(self, *, patience_seconds: float) -> None:
        """Let the storm blow, then wait until all is done, for `patience_seconds` at most."""
        for _ in range(self._storm.weather.replicas):
            self._start_replica()
        while self._shared.loop.time() < self._storm.weather.storm_seconds:
            self._processes.go_on()
            self._person.go_on()
            self._bring_trouble()
            self._replace_replicas(likely=0.05)
            await asyncio.sleep(TICK_SECONDS)
        self._storm.is_over = True
        self._shared.record.note("weather", "is over")
        self._at_backend.clear()
        quiet_until = self._shared.loop.time() + QUIET_SECONDS
        give_up_at = self._shared.loop.time() + patience_seconds
        while self._shared.loop.time() < give_up_at:
            self._processes.go_on()
            self._person.go_on()
            self._processes.release_after_storm()
            self._replace_replicas(likely=0.3)
            if self._is_busy():
                quiet_until = self._shared.loop.time() + QUIET_SECONDS
            elif self._shared.loop.time() >= quiet_until:
                self.is_quiet = True
                break
            await asyncio.sleep(TICK_SECONDS)
        await self._stop_replicas()

    def _is_busy(self) -> bool:
        left_to_clear = self._shared.left_to_clear
        return bool(
            self._processes.unfinished()
            or (left_to_clear and left_to_clear())
            or self._person.is_busy
            or self._shared.network.late_count
            or self.backend.running
            or any(replica.manager.in_flight_count for replica in self._living())
        )

    def _start_replica(self) -> None:
        self.replicas.append(Replica(f"r{len(self.replicas) + 1}", self._shared))

    def _living(self) -> list[Replica]:
        return [
            replica
            for replica in self.replicas
            if not (replica.caller.is_dead or replica.main.done())
        ]

    def _replace_replicas(self, *, likely: float) -> None:
        missing = self._storm.weather.replicas - len(self._living())
        if missing and self._storm.fraction() < likely:
            self._start_replica()

    def _bring_trouble(self) -> None:
        for trouble in self._storm.weather.chances:
            act = getattr(self, f"_{trouble.value}", None) or self._at_backend.act(trouble)
            if act is not None and self._storm.strikes(trouble):
                act()

    def _some_replica(self) -> Replica | None:
        running = [replica for replica in self.replicas if replica.is_running]
        return self._storm.pick(running) if running else None

    def _some_program(self) -> Program | None:
        running = [replica for replica in self.replicas if replica.is_running]
        programs: list[Program] = [*running, *self._person.programs]
        return self._storm.pick(programs) if programs else None

    def _replica_crash(self) -> None:
        if (program := self._some_program()) is not None:
            program.caller.die()

    def _replica_pause(self) -> None:
        if (program := self._some_program()) is not None:
            program.caller.pause(self._storm.seconds(1.0, 200.0))

    def _replica_stop(self) -> None:
        if (replica := self._some_replica()) is not None:
            self._shared.record.note(replica.name, "is asked to stop")
            replica.stop.set()

    def _replica_clock_jumps(self) -> None:
        if (replica := self._some_replica()) is not None:
            replica.clock.ahead_seconds += self._storm.pick((-4000.0, -30.0, 30.0, 4000.0))

    def _store_cut_off(self) -> None:
        if (replica := self._some_replica()) is not None:
            until = self._shared.loop.time() + self._storm.seconds(2.0, 90.0)
            replica.caller.cut_off_until["store"] = until

    def _backend_outage(self) -> None:
        until = self._shared.loop.time() + self._storm.seconds(2.0, 60.0)
        for replica in self.replicas:
            replica.caller.cut_off_until["backend"] = until

    def _store_clock_jumps(self) -> None:
        self._store_clock.ahead_seconds += self._storm.pick((-20.0, 7.0, 40.0, 40.0))

    def _engine_clock_jumps(self) -> None:
        self._engine_clock.ahead_seconds += 70.0

    def _instance_ended(self) -> None:
        running = [each for each in self._processes.instances if each.offered and not each.is_over]
        if running:
            self._processes.end(self._storm.pick(running), InstanceState.CANCELLED)

    def _task_cancelled(self) -> None:
        self._processes.withdraw_some()

    def _person_erases(self) -> None:
        self._person.erase_some()

    def _person_rebuilds(self) -> None:
        self._person.rebuild_some()

    def _person_resolves(self) -> None:
        self._person.resolve_some()

    def _operator_retries(self) -> None:
        incidents = self._processes.incidents()
        if incidents:
            self._processes.release(self._storm.pick(incidents))

    def _visitor(self) -> None:
        if (replica := self._some_replica()) is not None:
            instance = self._storm.pick(self._processes.instances)
            if instance.offered and not instance.is_over:
                replica.visit(instance.id, "analyst")

    async def _stop_replicas(self) -> None:
        for replica in self._living():
            replica.stop.set()
        for _ in range(STOPPING_TICKS):
            await asyncio.sleep(TICK_SECONDS)
        self.ended_badly += [f"{replica.name} does not stop" for replica in self._living()]
        for replica in self.replicas:
            if replica.main.done() and (error := replica.main.exception()) is not None:
                self.ended_badly.append(f"{replica.name} ended with {error!r}")
