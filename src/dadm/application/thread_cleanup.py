"""ThreadCleanup: closes the threads of process instances that have ended."""

import asyncio
from collections import deque
from dataclasses import dataclass

from dadm.domain.errors import EngineError, StoreError
from dadm.ports.clock import Clock
from dadm.ports.ended_threads import EndedThreads
from dadm.ports.engine import EndedInstance, ProcessHistory
from dadm.ports.observer import EngineTrouble, Observer, ThreadsClosed

BATCH = 200
"""How many ended instances are read at once."""

GRACE_SECONDS = 300.0
"""How long after its end a task of an instance may still claim a thread, at most."""


class ThreadCleanup:
    """Follows an engine's record of ended instances and closes their threads.

    Threads are closed at once, and once more after a while: a task that was handed out before
    the end may claim a thread after it. Only then is the engine's record dropped, so that nothing
    is missed when a replica dies in between; closing is idempotent. A closed thread takes no new
    turns; its recorded answers are still given.
    """

    def __init__(
        self,
        *,
        engine_id: str,
        history: ProcessHistory,
        directory: EndedThreads,
        observer: Observer,
        clock: Clock,
        interval_seconds: float = 1.0,
        grace_seconds: float = GRACE_SECONDS,
    ) -> None:
        """Follow `history` of the engine called `engine_id`; close in `directory`."""
        self._engine_id = engine_id
        self._history = history
        self._directory = directory
        self._observer = observer
        self._clock = clock
        self._interval_seconds = interval_seconds
        self._grace_seconds = grace_seconds
        self._closed_once: deque[_ClosedOnce] = deque()

    async def run(self, stop: asyncio.Event) -> None:
        """Close threads until `stop` is set; trouble is told once and tried again."""
        is_in_trouble = False
        while not stop.is_set():
            try:
                while await self.close_ended():
                    continue
                is_in_trouble = self._tell_trouble("", was=is_in_trouble, now=False)
            except (EngineError, StoreError) as error:
                is_in_trouble = self._tell_trouble(error.message, was=is_in_trouble, now=True)
            try:
                async with asyncio.timeout(self._interval_seconds):
                    await stop.wait()
            except TimeoutError:
                continue

    async def close_ended(self) -> int:
        """Close the threads of the next batch of ended instances; give how many instances.

        Those closed a while ago are closed for good on the way.
        """
        await self._close_for_good()
        last = self._closed_once[-1].instance.position if self._closed_once else 0
        ended = await self._history.ended_instances(after=last, limit=BATCH)
        for instance in ended:
            await self._close(instance)
            closed_at = self._clock.monotonic()
            self._closed_once.append(_ClosedOnce(instance=instance, closed_at=closed_at))
        return len(ended)

    async def _close_for_good(self) -> None:
        due = self._clock.monotonic() - self._grace_seconds
        while self._closed_once and self._closed_once[0].closed_at <= due:
            instance = self._closed_once[0].instance
            await self._close(instance)
            await self._history.forget_ended(up_to=instance.position)
            self._closed_once.popleft()

    async def _close(self, instance: EndedInstance) -> None:
        count = await self._directory.close_scope(
            engine=self._engine_id, tenant=instance.tenant, scope=instance.instance_id
        )
        if count:
            self._observer.notify(
                ThreadsClosed(process_instance_id=instance.instance_id, count=count)
            )

    def _tell_trouble(self, reason: str, *, was: bool, now: bool) -> bool:
        if was != now:
            self._observer.notify(
                EngineTrouble(engine=self._engine_id, reason=reason, is_over=not now)
            )
        return now


@dataclass(frozen=True, slots=True, kw_only=True)
class _ClosedOnce:
    """An ended instance whose threads were closed at that time, and may not be all there are."""

    instance: EndedInstance
    closed_at: float
