"""CachedStatistics: the store's counts, asked for at most every few seconds."""

import asyncio
from collections.abc import Awaitable, Callable

from dadm.ports.store_values import StoreStatistics


class CachedStatistics:
    """Gives the store's counts without a scan for everybody who asks."""

    def __init__(
        self,
        ask: Callable[[], Awaitable[StoreStatistics]],
        monotonic: Callable[[], float],
        *,
        seconds: float = 5.0,
    ) -> None:
        """Call `ask` again once the last answer is `seconds` old by `monotonic`."""
        self._ask = ask
        self._monotonic = monotonic
        self._seconds = seconds
        self._asking = asyncio.Lock()
        self._asked_at = 0.0
        self._last: StoreStatistics | None = None

    async def __call__(self) -> StoreStatistics:
        """Give counts at most so old.

        Raises:
            StoreUnavailable: The store did not answer, and the last answer is too old.
        """
        async with self._asking:
            now = self._monotonic()
            if self._last is None or now - self._asked_at >= self._seconds:
                self._last = await self._ask()
                self._asked_at = now
            return self._last
