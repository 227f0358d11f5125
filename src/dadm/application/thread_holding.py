"""ThreadHolding: takes a thread for a person's command, waiting a little while where it is held."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from math import ceil
from typing import TypeVar

from dadm.application.lease_keeping import LeaseKeeper
from dadm.application.world import World
from dadm.domain.errors import DadmError, ThreadConflict
from dadm.domain.thread import ThreadRef
from dadm.ports.store_values import ThreadGranted

Result = TypeVar("Result")

PATIENCE_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ThreadBusy:
    """Another owner held the thread all the while, and may for that long still."""

    lease_remaining_seconds: float

    @property
    def said(self) -> str:
        """Say it to the person who waits."""
        return (
            "A turn is being taken on this thread, so nothing was done. Try again when it has "
            f"ended; if its replica has died, in {ceil(self.lease_remaining_seconds)} s."
        )


class ThreadHolding:
    """Runs work under the lease of a thread that is there, whatever its state."""

    def __init__(self, world: World, *, patience_seconds: float = PATIENCE_SECONDS) -> None:
        """Take leases in the world's store; wait at most `patience_seconds` for one."""
        self._store = world.store
        self._clock = world.clock
        self._identifiers = world.identifiers
        self._limits = world.limits
        self._patience_seconds = patience_seconds
        self._keeper = LeaseKeeper(world.store, world.clock, world.limits)

    async def hold(
        self,
        thread: ThreadRef,
        work: Callable[[ThreadGranted], Coroutine[None, None, Result]],
    ) -> Result | ThreadBusy:
        """Run `work` while the thread is held for it, and release the thread.

        Raises:
            UnknownThread: There is no such thread.
            ThreadErased: It has been erased.
            ThreadConflict: The lease was lost; the work was stopped and decides nothing more.
            DadmError: As `work` raises it; the thread is free then.
        """
        owner = self._identifiers.new_id("owner")
        until = self._clock.monotonic() + self._patience_seconds
        while True:
            asked_at = self._clock.monotonic()
            taken = await self._store.lease_known_thread(
                thread, owner=owner, lease_seconds=self._limits.lease_seconds
            )
            if isinstance(taken, ThreadGranted):
                return await self._keeper.run(
                    taken.lease, partial(self._work, taken, work), asked_at=asked_at
                )
            left = until - self._clock.monotonic()
            if left <= 0:
                return ThreadBusy(lease_remaining_seconds=taken.lease_remaining_seconds)
            await self._clock.sleep(min(self._limits.poll_seconds, left))

    async def again(self, granted: ThreadGranted) -> ThreadGranted:
        """Read the thread that is held once more.

        Raises:
            ThreadConflict: It is held no longer.
        """
        lease = granted.lease
        taken = await self._store.lease_known_thread(
            lease.thread, owner=lease.owner, lease_seconds=self._limits.lease_seconds
        )
        if isinstance(taken, ThreadGranted) and taken.lease == lease:
            return taken
        raise ThreadConflict

    async def _work(
        self,
        granted: ThreadGranted,
        work: Callable[[ThreadGranted], Coroutine[None, None, Result]],
    ) -> Result:
        try:
            result = await work(granted)
        except DadmError:
            # What is half done is found by whoever comes next, who need not wait for it.
            await self._store.release(granted.lease)
            raise
        await self._store.release(granted.lease)
        return result
