"""ThreadQueue: tasks of this replica that wait for their threads, in the order they arrived."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from dadm.application.limits import TurnLimits
from dadm.domain.errors import ShuttingDown, StoreUnavailable, TooManyWaiting
from dadm.domain.thread import ThreadKey
from dadm.ports.clock import Clock
from dadm.ports.store import ThreadStore
from dadm.ports.store_values import Queued


@dataclass(slots=True, eq=False)
class Place:
    """One task's place in the line of its thread.

    `queued` is the ticket it drew, None before it had to wait; `is_waiting` while it sleeps,
    `is_pausing` while that sleep ends by itself.
    """

    thread: ThreadKey
    woken: asyncio.Event = field(default_factory=asyncio.Event)
    queued: Queued | None = None
    is_waiting: bool = False
    is_pausing: bool = False
    polls: int = 0


class ThreadQueue:
    """Lets waiting tasks sleep without a polling storm.

    Only the place with the earliest ticket of a line asks the store again, and only while no
    turn of this replica holds the thread: after a growing pause, since another replica may be
    done. All others sleep until it is their turn. One heartbeat keeps all their tickets.
    """

    def __init__(self, store: ThreadStore, clock: Clock, limits: TurnLimits) -> None:
        """Keep tickets in `store`; bounds come from `limits`."""
        self._store = store
        self._clock = clock
        self._limits = limits
        self._lines: dict[ThreadKey, list[Place]] = {}
        self._count = 0
        self._is_closed = False

    @asynccontextmanager
    async def place(self, thread: ThreadKey) -> AsyncIterator[Place]:
        """Stand in line for `thread` for the length of the context.

        Raises:
            TooManyWaiting: This replica holds as many tasks as it may.
        """
        if self._count >= self._limits.waiting_turns + self._limits.concurrent_turns:
            msg = (
                f"{self._count} tasks are in hand or waiting for their threads here already; come "
                "back later, or raise DADM_TURNS__WAITING_TURNS."
            )
            raise TooManyWaiting(msg)
        place = Place(thread=thread)
        line = self._lines.setdefault(thread, [])
        line.append(place)
        self._count += 1
        try:
            yield place
        finally:
            self._count -= 1
            line.remove(place)
            if not line:
                del self._lines[thread]
            self._wake_first(thread, even_pausing=True)

    def close(self) -> None:
        """Send away all who wait for their threads, and whoever comes to wait from now on."""
        self._is_closed = True
        for line in self._lines.values():
            for place in line:
                place.woken.set()

    def refuse_if_closed(self) -> None:
        """Let nobody begin after `close`.

        Raises:
            ShuttingDown: The queue is closed.
        """
        if self._is_closed:
            raise ShuttingDown

    async def wait(self, place: Place, queued: Queued) -> None:
        """Sleep until it is worth asking the store again for this place.

        Raises:
            ShuttingDown: The queue is closed. The ticket lives on for a while, so that the task
                finds its place again at another replica.
        """
        self.refuse_if_closed()
        place.queued = queued
        place.woken.clear()
        place.is_waiting = True
        try:
            if self._first(place.thread) is place:
                await self._pause(place, queued)
            else:
                self._wake_first(place.thread)
                await place.woken.wait()
        finally:
            place.is_waiting = False

    async def keep_tickets(self) -> None:
        """Keep the tickets of all waiting tasks alive, for ever; runs beside the turns."""
        while True:
            await self._clock.sleep(self._limits.ticket_seconds / 3)
            waiting = [place.queued for line in self._lines.values() for place in line]
            turns = [queued.turn for queued in waiting if queued is not None]
            if not turns:
                continue
            try:
                await self._store.keep_tickets(turns, ticket_seconds=self._limits.ticket_seconds)
            except StoreUnavailable:
                # A ticket outlives two missed beats; the waiting tasks meet the error themselves.
                continue

    async def _pause(self, place: Place, queued: Queued) -> None:
        pause = min(self._limits.poll_seconds, 0.05 * 2 ** min(place.polls, 10))
        if queued.lease_remaining_seconds > 0:
            pause = min(pause, queued.lease_remaining_seconds + 0.01)
        place.polls += 1
        place.is_pausing = True
        try:
            async with asyncio.timeout(pause):
                await place.woken.wait()
        except TimeoutError:
            return
        finally:
            place.is_pausing = False

    def _first(self, thread: ThreadKey) -> Place | None:
        """Find who may ask the store next: nobody while a place of the line is awake."""
        line = self._lines.get(thread, [])
        if not line or not all(place.is_waiting for place in line):
            return None
        return min(line, key=lambda place: place.queued.ticket if place.queued else 0)

    def _wake_first(self, thread: ThreadKey, *, even_pausing: bool = False) -> None:
        first = self._first(thread)
        if first is not None and (even_pausing or not first.is_pausing):
            first.woken.set()
