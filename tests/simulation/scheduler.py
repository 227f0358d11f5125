"""SimulatedLoop: an event loop on virtual time that knows which process each callback belongs to.

Several processes live on one loop. Whatever a process schedules, at whatever depth of the product
or of asyncio, inherits its context, so the loop can hold back all of it: for a while (a pause of
the whole process, heartbeats included) or for good (a crash: no `finally` and no `except` of it
ever runs). Requests under way belong to the network, which is no process and never stops.

Ready callbacks run in the order in which they were scheduled, as asyncio promises; chance comes in
by the delays that others draw. Tasks hash by their number, so that sets of them have one order.
"""

import asyncio
import heapq
import itertools
import sys
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar
from typing import Any, TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

MOST_CALLBACKS = 400_000
"""More than any run needs: whoever gets there goes round in circles without time passing."""


MOST_ROUNDS = 100
"""How often a task is cancelled at the end of a run; a few times, each for one await it clings to."""


class NeverEnding(AssertionError):
    """The run does not come to its end: nothing is left to happen, or too much happens."""


class Process:
    """One program on the loop: it runs, is paused, or is dead."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_held = False
        self.held_back: list[asyncio.Handle] = []
        self.context = Context()
        self.context.run(_PROCESS.set, self)


_PROCESS: ContextVar[Process | None] = ContextVar("process", default=None)


class NumberedTask(asyncio.Task[Any]):
    """A task that hashes by its number instead of its address."""

    def __init__(self, *args: Any, number: int, **kwargs: Any) -> None:
        self.number = number
        super().__init__(*args, **kwargs)

    def __hash__(self) -> int:
        return self.number

    def __eq__(self, other: object) -> bool:
        return self is other


class _Handle(asyncio.Handle):
    __slots__ = ("process",)

    process: Process | None


class _Timer(asyncio.TimerHandle):
    __slots__ = ("process",)

    process: Process | None


class SimulatedLoop(asyncio.AbstractEventLoop):
    """Runs coroutines of several processes as fast as they go, on a clock that jumps."""

    def __init__(self, *, longest_seconds: float) -> None:
        """Give up once that much time has passed."""
        self._now = 0.0
        self._longest_seconds = longest_seconds
        self._ready: deque[_Handle | _Timer] = deque()
        self._timers: list[tuple[float, int, _Timer]] = []
        self._numbers = itertools.count(1)
        self._processes: list[Process] = []
        self._is_unwinding = False
        self.callbacks_run = 0
        self.unhandled: list[str] = []

    # What the simulation does with processes

    def new_process(self, name: str) -> Process:
        """Begin a program; tasks made in its context belong to it."""
        process = Process(name)
        self._processes.append(process)
        return process

    def hold(self, process: Process) -> None:
        """Let nothing of `process` run until it is let go, which may be never."""
        process.is_held = True

    def let_go(self, process: Process) -> None:
        """Let `process` go on as if nothing had happened."""
        process.is_held = False
        self._ready.extend(process.held_back)  # type: ignore[arg-type]  # only ours are kept there
        process.held_back.clear()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run until `coroutine` has ended, then stop whatever else is still there.

        Raises:
            NeverEnding: It does not end.
        """
        hooks = sys.get_asyncgen_hooks()
        # A generator that is dropped in the middle is left alone: when it would be found depends
        # on the garbage collector.
        sys.set_asyncgen_hooks(firstiter=None, finalizer=lambda _: None)
        asyncio.events._set_running_loop(self)
        try:
            main = self.create_task(coroutine)
            while not main.done():
                self._run_next()
            return main.result()  # type: ignore[no-any-return]  # a NumberedTask is one of Any
        finally:
            try:
                self._unwind()
            finally:
                asyncio.events._set_running_loop(None)
                sys.set_asyncgen_hooks(*hooks)

    def _unwind(self) -> None:
        """Cancel every task, those of the dead too, so that none is left to complain."""
        self._is_unwinding = True
        for process in self._processes:
            self.let_go(process)
        for _ in range(MOST_ROUNDS):
            tasks = sorted(asyncio.all_tasks(self), key=hash)
            if not tasks:
                return
            for task in tasks:
                task.cancel()
            while self._ready:
                self._run_next()
        raise NeverEnding("tasks that were cancelled again and again do not end")

    def _run_next(self) -> None:
        if not self._ready:
            self._jump()
        handle = self._ready.popleft()
        if handle._cancelled:
            return
        process = handle.process
        if process is not None and process.is_held:
            process.held_back.append(handle)
            return
        self.callbacks_run += 1
        if self.callbacks_run > MOST_CALLBACKS and not self._is_unwinding:
            self._ready.appendleft(handle)
            raise NeverEnding(f"{MOST_CALLBACKS} callbacks by {self._now:.3f} s")
        handle._run()

    def _jump(self) -> None:
        """Let time pass until something is due."""
        timers, ready = self._timers, self._ready
        while timers:
            when, _, timer = heapq.heappop(timers)
            if timer._cancelled:
                continue
            self._now = max(self._now, when)
            if self._now > self._longest_seconds:
                raise NeverEnding(f"still not over after {self._longest_seconds:g} s")
            ready.append(timer)
            return
        raise NeverEnding("nothing is left that could happen")

    # What asyncio needs of a loop

    def time(self) -> float:
        return self._now

    def call_soon(
        self,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.Handle:
        handle = _Handle(callback, args, self, context)
        handle.process = _PROCESS.get() if context is None else context.get(_PROCESS)
        self._ready.append(handle)
        return handle

    def call_later(
        self,
        delay: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_at(
        self,
        when: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        timer = _Timer(when, callback, args, self, context)
        timer.process = _PROCESS.get() if context is None else context.get(_PROCESS)
        heapq.heappush(self._timers, (when, next(self._numbers), timer))
        return timer

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Leave it where it is until it is due."""

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(self, coro: Any, **options: Any) -> asyncio.Task[Any]:
        return NumberedTask(coro, number=next(self._numbers), loop=self, **options)

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Keep what nobody handled: it is a fault of the product's."""
        if not self._is_unwinding:
            self.unhandled.append(f"{context.get('message')}: {context.get('exception')!r}")


def new_loop(*, longest_seconds: float) -> SimulatedLoop:
    """Make a loop; what it leaves out is for sockets, signals and threads, which nothing here has."""
    return SimulatedLoop(longest_seconds=longest_seconds)  # type: ignore[abstract]
