"""Time for tests: an event loop whose clock jumps to whatever comes next, and a Clock that reads it."""

import asyncio
import selectors
from datetime import UTC, datetime, timedelta

EPOCH = datetime(2030, 1, 1, tzinfo=UTC)

DAY_SECONDS = 86_400.0


class NothingWillHappen(AssertionError):
    """Every coroutine waits and nothing is left that could wake one: a deadlock."""


class _JumpingSelector(selectors.DefaultSelector):
    """Does not wait: tells the loop's clock to jump instead."""

    loop: "VirtualTimeLoop"

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout is None:
            raise NothingWillHappen
        if not ready and timeout:
            self.loop.jump(timeout)
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Runs coroutines as fast as they go; sleeping and timeouts take no time.

    A deadlock raises NothingWillHappen at once, and so does a wait of more than a day, which
    only heartbeats would survive. No threads and no sockets: nothing waits for them.
    """

    def __init__(self) -> None:
        selector = _JumpingSelector()
        selector.loop = self
        self._passed = 0.0
        super().__init__(selector)

    def time(self) -> float:
        """Give the seconds that have passed since the loop was made."""
        return self._passed

    def jump(self, seconds: float) -> None:
        """Let time pass."""
        self._passed += seconds
        if self._passed > DAY_SECONDS:
            raise NothingWillHappen


class LoopClock:
    """A Clock that reads the running loop's time; `ahead_seconds` sets its wall clock apart."""

    def __init__(self, *, ahead_seconds: float = 0.0) -> None:
        self._ahead_seconds = ahead_seconds

    def now(self) -> datetime:
        """Give the time since the loop was made, as if it had been made at the turn of 2030."""
        return EPOCH + timedelta(seconds=self.monotonic() + self._ahead_seconds)

    def monotonic(self) -> float:
        """Give the loop's time."""
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        """Wait in the loop's time."""
        await asyncio.sleep(seconds)


class Numbers:
    """Identifiers that count; all chance is one half."""

    def __init__(self, name: str = "") -> None:
        self._name = name
        self._count = 0

    def new_id(self, prefix: str) -> str:
        """Give `prefix_` with this counter's name and the next number."""
        self._count += 1
        return f"{prefix}_{self._name}{self._count}"

    def fraction(self) -> float:
        """Give the middle."""
        return 0.5
