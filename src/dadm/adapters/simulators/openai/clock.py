"""The simulator's time: that of its owner, and how far it was moved ahead by hand."""

import asyncio
import math
from collections.abc import Callable

from dadm.adapters.simulators.openai.changes import Changes


class Clock:
    """Shows unix seconds; moving it ahead ends every wait whose time has then come."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._ahead_seconds = 0.0
        self._moves = Changes()

    def __call__(self) -> float:
        return self._now() + self._ahead_seconds

    def forward(self, seconds: float) -> None:
        """Let time pass at once.

        Raises:
            ValueError: `seconds` is negative or no number.
        """
        if not math.isfinite(seconds) or seconds < 0:
            message = "The clock goes forward only, by a number of seconds."
            raise ValueError(message)
        self._ahead_seconds += seconds
        self._moves.tell()

    async def wait_until(self, moment: float) -> None:
        """Wait until this clock shows a time, having come there by itself or by hand."""
        while (left := moment - self()) > 0:
            try:
                async with asyncio.timeout(left):
                    await self._moves.wait()
            except TimeoutError:
                continue
