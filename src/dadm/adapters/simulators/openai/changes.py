"""Lets any number of tasks wait for the next change of something."""

import asyncio


class Changes:
    """Whoever waits is woken by the next `tell`, and looks for itself whether it was the one."""

    def __init__(self) -> None:
        self._next = asyncio.Event()

    def tell(self) -> None:
        # Those who wait hold the event they saw; those who come later get a fresh one.
        told, self._next = self._next, asyncio.Event()
        told.set()

    async def wait(self) -> None:
        await self._next.wait()
