"""The course: hours of following an engine while very many instances wait, in as little time as that takes."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any, cast

from benchmarks.ends.crowd import IDENTITY
from benchmarks.ends.stub_engine import ENGINE_ID, StubEngine
from dadm.application.endings.idle_threads import IdleThreads
from dadm.application.endings.job_holding import JobHolding
from dadm.application.endings.thread_cleanup import Shift, ThreadCleanup
from dadm.domain.thread import BackendIdentity
from dadm.ports.jobs import JobKey
from dadm.ports.observer import Event
from dadm.ports.store import ThreadStore

INTERVAL_SECONDS = 30.0
REPLICAS = 3
HOUR = 3600.0
ENDS_AT_ONCE = 200
MILLISECONDS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """How many instances wait, how many are closed and cleared, and how often things are done."""

    waiting: int = 100_000
    closed: int = 100_000
    hours: int = 1
    repeats: int = 20


QUICK = Extent(waiting=2000, closed=2000, repeats=3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What something costs: requests to the engine, statements in the store, and time."""

    what: str
    engine_requests: float
    store_statements: float
    milliseconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """All costs on one store."""

    name: str
    costs: list[Cost] = field(default_factory=list)


class SteppedClock:
    """A Clock that goes on when it is told to; sleeping costs no time."""

    def __init__(self) -> None:
        """Begin somewhere."""
        self._passed = 0.0

    def now(self) -> datetime:
        """Give the time, as far as it has gone on."""
        return datetime(2030, 1, 1, tzinfo=UTC) + timedelta(seconds=self._passed)

    def monotonic(self) -> float:
        """Give the seconds gone on."""
        return self._passed

    async def sleep(self, seconds: float) -> None:
        """Go on that far."""
        self._passed += seconds


class Names:
    """Identifiers without chance."""

    def __init__(self) -> None:
        """Count from one."""
        self._count = 0

    def new_id(self, prefix: str) -> str:
        """Give the next name."""
        self._count += 1
        return f"{prefix}_{self._count}"

    def fraction(self) -> float:
        """Give the middle."""
        return 0.5


class Nobody:
    """An Observer that takes no note."""

    def notify(self, event: Event) -> None:
        """Take no note."""


class Counted:
    """A store that counts the calls of each role; each is one statement, or one transaction."""

    def __init__(self, store: ThreadStore) -> None:
        """Count calls of `store`."""
        self.calls: Counter[str] = Counter()
        self._store = store

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        """Give a call that is counted."""
        ask: Callable[..., Awaitable[Any]] = getattr(self._store, name)

        async def counted(*args: Any, **kwargs: Any) -> Any:
            self.calls[name] += 1
            return await ask(*args, **kwargs)

        return counted


class Course:
    """Replicas that follow one engine, on one store."""

    def __init__(self, name: str, store: ThreadStore, extent: Extent) -> None:
        """Measure on `store`, called `name`."""
        self._extent = extent
        self._counted = Counted(store)
        self._store = cast("ThreadStore", self._counted)
        self._clock = SteppedClock()
        self._names = Names()
        self.section = Section(name=name)

    async def run(self) -> Section:
        """Measure everything, one after the other."""
        await self._follow("an hour in which nothing ends", ends_each=0)
        await self._follow("an hour with 10 ends per interval", ends_each=10)
        await self._measure(
            f"{ENDS_AT_ONCE} ends met at once", self._at_once, repeats=self._extent.repeats
        )
        await self._measure("the daily round over all idle threads", self._round, repeats=1)
        await self._measure(
            "a look for threads to clear, all cleared", self._to_clear, repeats=self._extent.repeats
        )
        return self.section

    async def _follow(self, what: str, *, ends_each: int) -> None:
        """Have replicas follow an engine for hours; what it costs is told per interval."""
        engine = StubEngine()
        replicas = [self._replica(engine, what) for _ in range(REPLICAS)]
        intervals = int(self._extent.hours * HOUR / INTERVAL_SECONDS)
        ended = 0
        self._counted.calls.clear()
        begun_at = time.perf_counter()
        for _ in range(intervals):
            for _ in range(ends_each):
                ended += 1
                engine.end(ended)
            for cleanup, shift in replicas:
                await cleanup.take_part(shift, asyncio.Event())
            await self._clock.sleep(INTERVAL_SECONDS)
        self._note(
            f"{what}, per interval of {INTERVAL_SECONDS:.0f} s and {REPLICAS} replicas",
            engine.requests / intervals,
            self._counted.calls.total() / intervals,
            (time.perf_counter() - begun_at) * MILLISECONDS / intervals,
        )

    def _replica(self, engine: StubEngine, what: str) -> tuple[ThreadCleanup, Shift]:
        job = JobHolding(self._store, JobKey(name="ends", subject=what), self._clock, self._names)
        shift = Shift(job=job, fraction=self._names.fraction)
        cleanup = ThreadCleanup(
            engine_id=ENGINE_ID,
            history=engine,
            directory=self._store,
            observer=Nobody(),
            clock=self._clock,
            interval_seconds=INTERVAL_SECONDS,
            shift=shift,
        )
        return cleanup, shift

    async def _at_once(self, repeat: int) -> StubEngine:
        engine = StubEngine()
        first = self._extent.waiting - (repeat + 1) * ENDS_AT_ONCE
        for number in range(ENDS_AT_ONCE):
            engine.end(first + number)
        cleanup, shift = self._replica(engine, f"at once {repeat}")
        await cleanup.take_part(shift, asyncio.Event())
        return engine

    async def _round(self, repeat: int) -> StubEngine:
        del repeat
        engine = StubEngine()
        idle = IdleThreads(
            engine_id=ENGINE_ID,
            history=engine,
            store=self._store,
            job=JobHolding(self._store, JobKey(name="idle"), self._clock, self._names),
            observer=Nobody(),
            clock=self._clock,
            identifiers=self._names,
            idle_seconds=86_400.0,
            parked_seconds=90 * 86_400.0,
        )
        await idle.make_round()
        return engine

    async def _to_clear(self, repeat: int) -> StubEngine:
        del repeat
        identity = BackendIdentity.parse(IDENTITY)
        # None of those that were closed just now have been for so long.
        found = await self._store.threads_to_clear([identity], closed_seconds=86_400.0)
        assert not found
        return StubEngine()

    async def _measure(
        self, what: str, work: Callable[[int], Awaitable[StubEngine]], *, repeats: int
    ) -> None:
        """Do something some times; the median of its time is told."""
        taken, requests = [], 0
        self._counted.calls.clear()
        for repeat in range(repeats):
            begun_at = time.perf_counter()
            engine = await work(repeat)
            taken.append((time.perf_counter() - begun_at) * MILLISECONDS)
            requests += engine.requests
        statements = self._counted.calls.total() / repeats
        self._note(what, requests / repeats, statements, median(taken))

    def _note(self, what: str, requests: float, statements: float, milliseconds: float) -> None:
        self.section.costs.append(
            Cost(
                what=what,
                engine_requests=requests,
                store_statements=statements,
                milliseconds=milliseconds,
            )
        )
