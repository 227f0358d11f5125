"""Bell: wakes whoever waits in this process for something to change."""

import asyncio

from dadm.ports.clock import Clock


class Bell:
    """Rings for all who listen at that moment; those who come later wait for the next time."""

    def __init__(self) -> None:
        """Begin silent."""
        self._ringing = asyncio.Event()

    def listen(self) -> asyncio.Event:
        """Give what will be set when the bell rings next; take it before looking for work."""
        return self._ringing

    def ring(self) -> None:
        """Wake all who listen."""
        self._ringing.set()
        self._ringing = asyncio.Event()


async def wait_for(ringing: asyncio.Event, clock: Clock, seconds: float) -> None:
    """Wait until it rings, but no longer than so many seconds."""
    async with asyncio.TaskGroup() as group:
        heard = group.create_task(ringing.wait())
        slept = group.create_task(clock.sleep(seconds))
        heard.add_done_callback(lambda _: slept.cancel())
        slept.add_done_callback(lambda _: heard.cancel())
