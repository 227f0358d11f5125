"""ThreadCleanup: closes the threads of process instances that have ended."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from dadm.application.endings.job_holding import ASK_SECONDS, JobHolding
from dadm.domain.errors import EngineError, StoreError
from dadm.domain.thread_scope import scopes_within
from dadm.ports.clock import Clock
from dadm.ports.ended_threads import EndedThreads
from dadm.ports.engine import EndedInstance, ProcessHistory
from dadm.ports.observer import EngineTrouble, Observer, ThreadsClosed

BATCH = 200
"""How many ended instances are read at once."""

HISTORY_BATCH = 2000
"""How many are where each reading begins some minutes back: small ones would read those again and again."""

GRACE_SECONDS = 300.0
"""How long after its end a task of an instance may still claim a thread, at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """How replicas share the looks at an engine that is asked over the network.

    One of them looks, every `ThreadCleanup.interval_seconds` or so, and less and less often, down
    to every `longest_seconds`, where nothing ended meanwhile. `fraction` draws from [0, 1). Up to
    `batch` ends are read at once.
    """

    job: JobHolding
    fraction: Callable[[], float]
    longest_seconds: float = 300.0
    batch: int = HISTORY_BATCH


class ThreadCleanup:
    """Follows an engine's record of ended instances and closes their threads.

    Those are the instance's own and those of its elements. What a business key shares outlives
    every instance: it may return with another one, and a scope that ended could not begin again.

    Threads are closed at once, and once more after a while: a task that was handed out before
    the end may claim a thread after it. Only then is the engine's record dropped, so that nothing
    is missed when a replica dies in between; closing is idempotent. A closed thread takes no new
    turns; its recorded answers are still given.

    With a shift, one replica does this for all, and whoever takes over begins where the one before
    had closed for good.
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
        shift: Shift | None = None,
    ) -> None:
        """Follow `history` of the engine called `engine_id`; close in `directory`."""
        self._engine_id = engine_id
        self._history = history
        self._directory = directory
        self._observer = observer
        self._clock = clock
        self._interval_seconds = interval_seconds
        self._grace_seconds = grace_seconds
        self._shift = shift
        self._is_on_shift = False
        self._pace_seconds = interval_seconds
        self._look_at = float("-inf")
        self._closed_once: deque[_ClosedOnce] = deque()

    async def run(self, stop: asyncio.Event) -> None:
        """Close threads until `stop` is set; trouble is told once and tried again."""
        is_in_trouble = False
        while not stop.is_set():
            try:
                if self._shift is None:
                    while not stop.is_set() and await self.close_ended():
                        continue
                else:
                    await self.take_part(self._shift, stop)
                is_in_trouble = self._tell_trouble("", was=is_in_trouble, now=False)
            except (EngineError, StoreError) as error:
                is_in_trouble = self._tell_trouble(error.message, was=is_in_trouble, now=True)
            try:
                async with asyncio.timeout(self._pause_seconds(is_in_trouble=is_in_trouble)):
                    await stop.wait()
            except TimeoutError:
                continue
        if self._shift is not None:
            # Who cannot be told waits until the job's time has run out.
            with suppress(StoreError):
                await self._shift.job.leave()

    async def take_part(self, shift: Shift, stop: asyncio.Event) -> None:
        """Look at the engine if it is time, and this replica is the one that does.

        Where much has ended that takes long: it keeps the job meanwhile, and ends once `stop` is set.

        Raises:
            EngineError: The engine does not tell.
            StoreError: The store did not take part.
        """
        was_on_shift, self._is_on_shift = self._is_on_shift, await shift.job.is_held()
        if not self._is_on_shift:
            self._closed_once.clear()
            return
        if not was_on_shift and shift.job.position:
            await self._history.forget_ended(up_to=shift.job.position)
        now = self._clock.monotonic()
        if now < self._look_at:
            return
        # Also where this look fails, so that an engine in trouble is not asked more often.
        self._look_at = now + self._interval_seconds * (0.9 + shift.fraction() / 5)
        total = found = await self.close_ended()
        # What did not fill a batch was all there is.
        while found == shift.batch and not stop.is_set() and await shift.job.is_held():
            found = await self.close_ended()
            total += found
        longest = max(self._interval_seconds, shift.longest_seconds)
        doubled = min(longest, 2 * self._pace_seconds)
        self._pace_seconds = self._interval_seconds if total else doubled
        self._look_at = now + self._pace_seconds * (0.9 + shift.fraction() / 5)

    async def close_ended(self) -> int:
        """Close the threads of the next batch of ended instances; give how many instances.

        Those closed a while ago are closed for good on the way.
        """
        await self._close_for_good()
        last = self._closed_once[-1].instance.position if self._closed_once else 0
        limit = BATCH if self._shift is None else self._shift.batch
        ended = await self._history.ended_instances(after=last, limit=limit)
        for instance in ended:
            await self._close(instance)
            closed_at = self._clock.monotonic()
            self._closed_once.append(_ClosedOnce(instance=instance, closed_at=closed_at))
        return len(ended)

    async def _close_for_good(self) -> None:
        due = self._clock.monotonic() - self._grace_seconds
        last = 0
        while self._closed_once and self._closed_once[0].closed_at <= due:
            instance = self._closed_once[0].instance
            await self._close(instance)
            await self._history.forget_ended(up_to=instance.position)
            self._closed_once.popleft()
            last = instance.position
        if self._shift is not None and last > self._shift.job.position:
            await self._shift.job.note(last)

    async def _close(self, instance: EndedInstance) -> None:
        count = 0
        for scope in (instance.instance_id, *await self._within(instance)):
            count += await self._directory.close_scope(
                engine=self._engine_id, tenant=instance.tenant, scope=scope, reason=instance.state
            )
        if count:
            self._observer.notify(
                ThreadsClosed(process_instance_id=instance.instance_id, count=count)
            )

    async def _within(self, instance: EndedInstance) -> Sequence[str]:
        beginning = scopes_within(instance.instance_id)
        return await self._directory.open_scopes(
            engine=self._engine_id, tenant=instance.tenant, beginning=beginning
        )

    def _pause_seconds(self, *, is_in_trouble: bool) -> float:
        if self._shift is None or is_in_trouble:
            return self._interval_seconds
        until_look = max(0.0, self._look_at - self._clock.monotonic())
        return min(ASK_SECONDS, until_look) if self._is_on_shift else ASK_SECONDS

    def _tell_trouble(self, reason: str, *, was: bool, now: bool) -> bool:
        if was != now:
            self._observer.notify(
                EngineTrouble(
                    engine=self._engine_id,
                    about="ends" if self._shift is None else "history",
                    reason=reason,
                    is_over=not now,
                )
            )
        return now


@dataclass(frozen=True, slots=True, kw_only=True)
class _ClosedOnce:
    """An ended instance whose threads were closed at that time, and may not be all there are."""

    instance: EndedInstance
    closed_at: float
