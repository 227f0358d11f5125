"""Replicas over one memory store and scripted backends, with everything between them in our hands."""

import asyncio
import inspect
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Coroutine, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self, TypeVar, cast

from dadm.adapters.backends.scripted import ScriptedBackend
from dadm.adapters.stores.memory import MemoryStore
from dadm.application.limits import TurnLimits
from dadm.application.turns.name_based_assistant_manager import NameBasedAssistantManager
from dadm.application.world import World
from dadm.domain.assistant import AssistantCatalogue
from dadm.domain.errors import BackendMisconfigured
from dadm.domain.task import ServiceTask
from dadm.domain.thread import BackendIdentity, ConversationId, Generation, GenerationState, Thread
from dadm.domain.transcript import Message
from dadm.domain.turn import Turn
from dadm.ports.assistant_service import TaskAnswer
from dadm.ports.backend import ConversationBackend, Question, ResponseStarted, TurnEvent
from dadm.ports.observer import Event
from dadm.ports.store import ThreadStore
from dadm.ports.store_values import ThreadFilter
from tests.builders import make_assistant, make_task
from tests.clocks import LoopClock, Numbers

LIMITS = TurnLimits(
    turn_seconds=100.0,
    lease_seconds=30.0,
    lease_margin_seconds=5.0,
    ticket_seconds=60.0,
    concurrent_turns=4,
    waiting_turns=1000,
    poll_seconds=1.0,
    busy_poll_seconds=2.0,
    # Tests of waiting for a backend bring patience of their own.
    patience_seconds=0.0,
)

EventKind = TypeVar("EventKind", bound=Event)


@dataclass
class Wire:
    """What lies between one replica and a port: counts, delays, faults, and the end of the line.

    A call takes `latency_seconds`. Once cut, no call has any effect and none returns. `called` is
    set by every call that returned or failed, and `given` holds the arguments of every call.
    """

    target: Any
    latency_seconds: float = 0.001
    calls: Counter[str] = field(default_factory=Counter)
    given: dict[str, list[tuple[tuple[Any, ...], dict[str, Any]]]] = field(default_factory=dict)
    called: asyncio.Event = field(default_factory=asyncio.Event)
    is_cut: bool = False
    _before: dict[str, list[Exception]] = field(default_factory=dict)
    _after: dict[str, list[Exception]] = field(default_factory=dict)
    _stops: dict[str, list[tuple[asyncio.Event, asyncio.Event]]] = field(default_factory=dict)

    def fail_next(
        self, method: str, error: Exception, *, is_done: bool = False, times: int = 1
    ) -> None:
        """Have the next calls of `method` raise `error`, before or after they took effect."""
        faults = self._after if is_done else self._before
        faults.setdefault(method, []).extend([error] * times)

    def hold_next(self, method: str) -> tuple[asyncio.Event, asyncio.Event]:
        """Hold the next call of `method` up: the first event says it is there, the second lets go."""
        events = asyncio.Event(), asyncio.Event()
        self._stops.setdefault(method, []).append(events)
        return events

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.target, name)
        if not inspect.iscoroutinefunction(found):
            return found

        async def call(*args: Any, **kwargs: Any) -> Any:
            self.calls[name] += 1
            self.given.setdefault(name, []).append((args, kwargs))
            try:
                return await self._call(name, found(*args, **kwargs))
            finally:
                self.called.set()

        return call

    async def _call(self, name: str, work: Coroutine[None, None, Any]) -> Any:
        with closing(work):
            await self._reach(name)
            if self._before.get(name):
                raise self._before[name].pop(0)
            result = await work
        if self.is_cut:
            await asyncio.Event().wait()
        if self._after.get(name):
            raise self._after[name].pop(0)
        return result

    async def _reach(self, name: str) -> None:
        await asyncio.sleep(self.latency_seconds)
        if self._stops.get(name):
            arrived, let_go = self._stops[name].pop(0)
            arrived.set()
            await let_go.wait()
        if self.is_cut:
            await asyncio.Event().wait()


class Backends:
    """The backends that are configured, found by identity; `default` may change."""

    def __init__(self, default: ConversationBackend) -> None:
        self.default = default
        self.known = {default.identity: default}

    def add(self, backend: ConversationBackend) -> None:
        self.known[backend.identity] = backend

    async def reachable(self) -> Sequence[ConversationBackend]:
        return tuple(self.known.values())

    async def of(self, identity: BackendIdentity) -> ConversationBackend:
        found = self.known.get(identity)
        if found is None:
            raise BackendMisconfigured(f"No backend {identity} is configured here.")
        return found


class NamelessRuns(ScriptedBackend):
    """Keeps conversations and never names a run before it has ended."""

    hidden: tuple[type[TurnEvent], ...] = (ResponseStarted,)

    @asynccontextmanager
    async def take_turn(self, question: Question) -> AsyncGenerator[AsyncIterator[TurnEvent], None]:
        async with super().take_turn(question) as events:
            yield (each async for each in events if not isinstance(each, self.hidden))


class Replica:
    """One manager with its own wires to the shared store and its own record of what it told."""

    def __init__(self, stage: "Stage", name: str, changes: dict[str, Any]) -> None:
        self.store = Wire(stage.store)
        self.events: list[Event] = []
        self.world = World(
            store=cast("ThreadStore", self.store),
            backends=changes.get("backends", stage.backends),
            assistants=changes.get("assistants", stage.assistants),
            observer=self,
            clock=LoopClock(),
            identifiers=Numbers(f"{name}_"),
            limits=changes.get("limits", LIMITS),
        )
        self.manager = NameBasedAssistantManager(self.world)

    def notify(self, event: Event) -> None:
        """Take note, as the Observer."""
        self.events.append(event)

    def told(self, kind: type[EventKind]) -> list[EventKind]:
        """Give the events of one kind, in order."""
        return [event for event in self.events if isinstance(event, kind)]

    async def ask(self, task_id: str = "t1", /, **changes: Any) -> TaskAnswer:
        """Process a task of the process instance p1."""
        return await self.manager.process_task(make_task(task_id, **changes))

    async def crash(self) -> None:
        """Stop dead: nothing the replica does from now on has any effect anywhere."""
        self.store.is_cut = True
        await self.manager.drain(seconds=0)


class Stage:
    """One store, one backend, and as many replicas as a test wants."""

    def __init__(self, *, keeps_conversations: bool) -> None:
        self.store = MemoryStore(LoopClock(ahead_seconds=7.0))
        self.backend = ScriptedBackend(keeps_conversations=keeps_conversations)
        self.backends = Backends(self.backend)
        self.assistants = AssistantCatalogue(
            [make_assistant("analyst", aliases=("ann",)), make_assistant("critic")],
            default="analyst",
        )
        self._replicas: list[Replica] = []
        self._tasks: list[asyncio.Task[Any]] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for replica in self._replicas:
            await replica.manager.drain(seconds=0)
        for task in self._tasks:
            task.cancel()
        await settled(*self._tasks)

    def use(self, backend: ScriptedBackend) -> ScriptedBackend:
        """Have new threads kept at `backend` from now on."""
        self.backends.default = self.backend = backend
        self.backends.add(backend)
        return backend

    async def replica(self, **changes: Any) -> Replica:
        """Start a replica that runs until the test ends."""
        replica = Replica(self, f"r{len(self._replicas) + 1}", changes)
        started = asyncio.Event()

        async def run() -> None:
            async with replica.manager:
                started.set()
                await asyncio.Event().wait()

        self.let_run(run())
        await started.wait()
        self._replicas.append(replica)
        return replica

    def begin(self, work: Coroutine[None, None, Any]) -> asyncio.Task[Any]:
        """Let `work` go on beside the test; it is stopped at the end if need be."""
        # A test's own task group would wait where the test wants to look.
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.append(task)
        return task

    def let_run(self, work: Coroutine[None, None, Any]) -> None:
        """Let `work` go on beside the test, whatever becomes of it."""
        self.begin(settled(work)).set_name("left to itself")

    async def threads(self) -> list[Thread]:
        """Give all threads, oldest first."""
        return list(reversed(await self.store.threads(ThreadFilter())))

    async def thread(self) -> Thread:
        """Give the one thread there is."""
        (only,) = await self.threads()
        return only

    async def generations(self) -> list[Generation]:
        """Give the generations of the one thread there is."""
        return list(await self.store.generations((await self.thread()).ref))

    async def states(self) -> list[GenerationState]:
        """Give the states of those generations."""
        return [generation.state for generation in await self.generations()]

    async def turns(self) -> list[Turn]:
        """Give the turns of the one thread there is."""
        return list(await self.store.turns((await self.thread()).ref))

    async def turn(self, task: ServiceTask | None = None) -> Turn:
        """Give the turn of a task, `t1` unless another is given."""
        thread = await self.thread()
        standing = await self.store.look_up(thread.key, (task or make_task()).turn_key)
        assert standing.turn is not None
        return standing.turn

    async def kept(self, conversation_id: str) -> list[Message]:
        """Give the messages that the backend keeps in a conversation."""
        kept = self.backend._conversations.messages(ConversationId(conversation_id))
        return [each.message for each in kept]

    @property
    def asked(self) -> list[str]:
        """The prompts that reached the model, in order."""
        return [question.prompt for question in self.backend.questions]

    def called(self, method: str) -> int:
        """How often a method of the backend was called."""
        return sum(call.method == method for call in self.backend.calls)


async def settled(*work: Awaitable[Any]) -> list[Any]:
    """Wait for all; errors are values."""
    return await asyncio.gather(*work, return_exceptions=True)
