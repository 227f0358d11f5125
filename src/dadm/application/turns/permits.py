"""Permits: how many turns of this replica hold their threads at once, and who is next."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Permits:
    """Gives a fixed number of permits to those who wait for them.

    A task whose turn it is on its thread keeps that thread from all other replicas until it has
    a permit. So it does not stand behind those that just came; these, in turn, are not kept out
    by a replica's crowded threads: while both wait, one of each is let in by turns. Among
    themselves they are let in as they came.
    """

    def __init__(self, count: int) -> None:
        """Have `count` permits, all of them free."""
        self._free = count
        self._waiting: dict[bool, deque[asyncio.Future[None]]] = {True: deque(), False: deque()}
        self._was_due = False

    @asynccontextmanager
    async def held(self, *, is_due: bool) -> AsyncIterator[None]:
        """Hold a permit for the length of the context, waiting until there is one.

        `is_due` says that the task has waited for its thread and it may be its turn now.
        """
        await self._take(self._waiting[is_due])
        try:
            yield
        finally:
            self._give_on()

    async def _take(self, line: deque[asyncio.Future[None]]) -> None:
        if self._free:
            # A permit that is free has nobody waiting for it: others are handed on.
            self._free -= 1
            return
        given = asyncio.get_running_loop().create_future()
        line.append(given)
        try:
            await given
        except asyncio.CancelledError:
            if not given.cancelled():
                self._give_on()
            elif given in line:
                line.remove(given)
            raise

    def _give_on(self) -> None:
        """Hand a permit to the next who waits for one."""
        for line in self._waiting.values():
            # Whoever is cancelled still stands in line until its task runs again.
            while line and line[0].done():
                del line[0]
        lines = self._waiting
        is_due = not self._was_due if lines[True] and lines[False] else bool(lines[True])
        if not lines[is_due]:
            self._free += 1
            return
        self._was_due = is_due
        lines[is_due].popleft().set_result(None)

    @property
    def free(self) -> int:
        """How many permits nobody holds."""
        return self._free
