"""LeaseKeeper: runs work under a thread's lease and keeps the lease alive meanwhile."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import TypeVar

from dadm.application.limits import TurnLimits
from dadm.domain.errors import StoreUnavailable, ThreadConflict
from dadm.ports.clock import Clock
from dadm.ports.store import ThreadStore
from dadm.ports.store_values import Lease

Result = TypeVar("Result")

SHORTEST_BEAT_SECONDS = 0.01
"""With less time left than that, a lease counts as lost: no database answers so quickly."""


class LeaseKeeper:
    """Extends a lease by heartbeat, and stops the work before the lease could have run out."""

    def __init__(self, store: ThreadStore, clock: Clock, limits: TurnLimits) -> None:
        """Keep leases in `store`, judging the time left by `clock`'s monotonic time."""
        self._store = store
        self._clock = clock
        self._limits = limits

    async def run(
        self,
        lease: Lease,
        work: Callable[[], Coroutine[None, None, Result]],
        *,
        asked_at: float,
    ) -> Result:
        """Run `work` while the lease lasts.

        Args:
            lease: The lease, just granted.
            work: Decides about the thread; it ends by releasing the lease.
            asked_at: Monotonic time at which the lease was asked for.

        Raises:
            ThreadConflict: The lease was lost; the work was stopped and decides nothing more.
        """
        results: list[Result] = []

        async def work_to_its_end() -> None:
            results.append(await work())

        try:
            async with asyncio.TaskGroup() as group:
                beating = group.create_task(self._beat(lease, asked_at))
                working = group.create_task(work_to_its_end())
                working.add_done_callback(lambda _: beating.cancel())
        except ExceptionGroup as failures:
            # One of the two failed and the other was stopped: there is one error to tell. Work
            # that has ended released the lease itself, which the beat may have noticed.
            if not results:
                raise failures.exceptions[0] from None
        return results[0]

    async def _beat(self, lease: Lease, asked_at: float) -> None:
        """Extend again and again; raise ThreadConflict once the lease is or may be lost."""
        limits = self._limits
        sure_until = asked_at + limits.lease_seconds - limits.lease_margin_seconds
        while True:
            now = self._clock.monotonic()
            await self._clock.sleep(max(0.0, min(limits.lease_seconds / 3, sure_until - now)))
            sent_at = self._clock.monotonic()
            if sent_at + SHORTEST_BEAT_SECONDS >= sure_until:
                msg = (
                    "The database did not let this replica keep the thread in time, so another may "
                    "have it by now; the task comes again."
                )
                raise ThreadConflict(msg)
            try:
                async with asyncio.timeout(sure_until - sent_at):
                    stands = await self._store.extend(lease, lease_seconds=limits.lease_seconds)
            except (StoreUnavailable, TimeoutError):
                continue
            if not stands:
                msg = (
                    "Another replica has the thread by now, since this one did not keep it in time; "
                    "the task comes again."
                )
                raise ThreadConflict(msg)
            sure_until = sent_at + limits.lease_seconds - limits.lease_margin_seconds
