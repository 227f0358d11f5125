"""Network: carries the calls of replicas to what they share, late, twice, in vain, or without a reply.

A call leaves its replica, arrives after a while, takes effect in the network's own context, and its
reply comes back after another while. What was sent by a replica that died on the way arrives or
does not, by chance; its reply reaches nobody.
"""

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Any, TypeAlias

from tests.simulation.record import Record
from tests.simulation.scheduler import Process, SimulatedLoop
from tests.simulation.storm import Storm
from tests.simulation.weather import Trouble

Work: TypeAlias = Callable[[], Coroutine[Any, Any, Any]]


class Effect(Enum):
    """Whether and when a call takes effect."""

    NOW = "now"
    NEVER = "never"
    LATE = "late"
    TWICE = "twice"


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of a call: its effect, and the error its caller gets instead of the reply."""

    effect: Effect = Effect.NOW
    error: Exception | None = None


GOES_WELL = Fate()
AT_CALLS = (Trouble.REPLICA_CRASH_AT_CALL, Trouble.REPLICA_PAUSE_AT_CALL)


class Network:
    """What lies between replicas and the things they share."""

    def __init__(self, loop: SimulatedLoop, storm: Storm, record: Record) -> None:
        """Carry calls on `loop`."""
        self.loop = loop
        self.storm = storm
        self.record = record
        self.context = Context()
        self.late_count = 0
        self.is_closed = False

    def later(self, seconds: float, act: Callable[[], object]) -> asyncio.TimerHandle:
        """Do something after a while, whatever becomes of who asked for it."""
        return self.loop.call_later(seconds, act, context=self.context)

    def much_later(self, seconds: float, act: Callable[[], object]) -> None:
        """The same, for what the run has to wait for before it is over."""
        self.late_count += 1

        def arrive() -> None:
            self.late_count -= 1
            act()

        self.later(seconds, arrive)


class Caller:
    """One replica as the network sees it."""

    def __init__(self, name: str, process: Process, network: Network) -> None:
        """Carry the calls of `process`."""
        self.name = name
        self.process = process
        self.network = network
        self.is_dead = False
        self.cut_off_until: dict[str, float] = {}
        self.on_death: list[Callable[[], object]] = []
        self.on_pause: Callable[[float], None] = lambda _: None
        self._under_way: dict[asyncio.TimerHandle, None] = {}

    def die(self) -> None:
        """Stop dead: of this replica nothing runs any more, and what it sent arrives or not."""
        if self.is_dead:
            return
        self.is_dead = True
        network = self.network
        network.record.note(self.name, "is dead")
        network.loop.hold(self.process)
        for sent in self._under_way:
            if network.storm.fraction() < 0.5:
                sent.cancel()
        for act in self.on_death:
            network.later(network.storm.latency(), act)

    def pause(self, seconds: float) -> None:
        """Hold all of this replica back for a while."""
        network = self.network
        if self.is_dead or self.process.is_held:
            return
        network.record.note(self.name, "pauses for", round(seconds, 3))
        network.loop.hold(self.process)
        self.on_pause(seconds)
        network.much_later(seconds, self._go_on)

    def _go_on(self) -> None:
        if not self.is_dead:
            self.network.record.note(self.name, "goes on")
            self.network.loop.let_go(self.process)

    async def call(
        self, name: str, work: Work, fate: Fate, *, about: str, is_slow: bool = False
    ) -> Any:
        """Carry a call; give its result or raise its error.

        Args:
            name: Of the port and its method.
            work: What takes effect at the other side.
            fate: What becomes of the call.
            about: What it is about, for the record.
            is_slow: Whether the work waits for something; other work is done at once.
        """
        network = self.network
        if network.is_closed:
            raise asyncio.CancelledError
        network.record.note(self.name, name, about)
        reply = network.loop.create_future()
        arrive: Callable[[], object] = partial(self._arrive, name, work, fate, reply, is_slow)
        if network.storm.is_possible(AT_CALLS):
            arrive = await self._strike(name, arrive)
        self._send(name, about, fate, arrive)
        if fate.error is not None:
            wait = network.storm.seconds(0.01, 5.0)
            network.later(wait, partial(self._reply, name, reply, None, fate.error))
        return await reply

    def _send(self, name: str, about: str, fate: Fate, arrive: Callable[[], object]) -> None:
        network = self.network
        if fate.effect in {Effect.NOW, Effect.TWICE}:

            def arrived() -> None:
                self._under_way.pop(sent, None)
                arrive()

            sent = network.later(network.storm.latency(), arrived)
            self._under_way[sent] = None

        def arrived_late() -> None:
            network.record.note(self.name, f"(late) {name}", about)
            arrive()

        if fate.effect is Effect.LATE:
            network.much_later(network.storm.seconds(0.5, 150.0), arrived_late)
        if fate.effect is Effect.TWICE:
            network.much_later(network.storm.seconds(0.01, 30.0), arrived_late)

    async def _strike(self, name: str, arrive: Callable[[], object]) -> Callable[[], object]:
        """Crash or pause at this call, before it leaves or once it has taken effect."""
        storm, loop = self.network.storm, self.network.loop
        if storm.strikes(Trouble.REPLICA_CRASH_AT_CALL, replica=self.name, about=name):
            if storm.fraction() < 0.5:
                self.die()
                await loop.create_future()

            def arrive_and_die() -> None:
                arrive()
                self.die()

            return arrive_and_die
        if storm.strikes(Trouble.REPLICA_PAUSE_AT_CALL, replica=self.name, about=name):
            self.pause(storm.seconds(1.0, 200.0))
            if storm.fraction() < 0.5:
                await asyncio.sleep(0)
        return arrive

    def _arrive(
        self,
        name: str,
        work: Work,
        fate: Fate,
        reply: asyncio.Future[Any],
        is_slow: bool,
    ) -> None:
        tell = partial(self._told, name, reply, fate)
        if is_slow:
            task = self.network.loop.create_task(_outcome(work), context=self.network.context)
            task.add_done_callback(lambda done: tell(done.result()), context=self.network.context)
        else:
            tell(_outcome_at_once(work))

    def _told(self, name: str, reply: asyncio.Future[Any], fate: Fate, outcome: Any) -> None:
        result, error = outcome
        if fate.error is not None:
            result_left_alone(result)
            return
        latency = self.network.storm.latency()
        self.network.later(latency, partial(self._reply, name, reply, result, error))

    def _reply(
        self, name: str, reply: asyncio.Future[Any], result: Any, error: Exception | None
    ) -> None:
        if error is not None:
            self.network.record.note(self.name, f"{name} raises", error)
        if reply.done() or self.is_dead:
            result_left_alone(result)
        elif error is not None:
            reply.set_exception(error)
        else:
            reply.set_result(result)


def result_left_alone(result: Any) -> None:
    """Tell a result that nobody takes it, where that matters to it."""
    leave = getattr(result, "leave", None)
    if leave is not None:
        leave()


async def _outcome(work: Work) -> tuple[Any, Exception | None]:
    try:
        return await work(), None
    except Exception as error:  # noqa: BLE001 - whatever it is, the caller gets it whole
        return None, error


def _outcome_at_once(work: Work) -> tuple[Any, Exception | None]:
    """Run work that never waits."""
    running = work()
    try:
        running.send(None)
    except StopIteration as end:
        return end.value, None
    except Exception as error:  # noqa: BLE001 - whatever it is, the caller gets it whole
        return None, error
    running.close()
    message = "this work waits for something"
    raise AssertionError(message)
