"""ThreadClearing: deletes a closed thread's conversations at their backends, and keeps its transcript."""

from dataclasses import dataclass
from typing import TypeAlias

from dadm.application.care.whole_deletion import NotDeleted, OnDeleted, WholeDeletion, tell_nobody
from dadm.application.thread_holding import ThreadBusy, ThreadHolding
from dadm.application.world import World
from dadm.domain.thread import GenerationState, Thread, ThreadRef, ThreadState
from dadm.ports.store_values import ThreadGranted


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleared:
    """Nothing of the thread is left at its backends but what they refused to delete."""

    thread: Thread
    conversations: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NotYetCleared:
    """The thread may not be cleared now; `failed` names what could not be deleted, if it was tried."""

    failed: tuple[NotDeleted, ...] = ()


Clearing: TypeAlias = Cleared | NotYetCleared


class ThreadClearing:
    """Clears threads whose scope has ended; interrupted anywhere, it is run again and goes on.

    Under the thread's lease all its conversations are retired, so that none is read again, then
    deleted with their items and runs, and last it is written down that the thread is cleared: the
    store counts what was deleted and what was refused into an audit row, the receipt. A thread
    with an open turn waits until that is brought to its end, and so does one whose backend may
    still be working at a request that was left behind.
    """

    def __init__(self, world: World, holding: ThreadHolding) -> None:
        """Clear in the world's store and at its backends."""
        self._store = world.store
        self._deletion = WholeDeletion(world)
        self._holding = holding

    async def clear(
        self, thread: ThreadRef, *, on_deleted: OnDeleted = tell_nobody
    ) -> Clearing | ThreadBusy:
        """Clear the thread, or go on with it; `on_deleted` is told of each conversation.

        One that is cleared stays as it is.

        Raises:
            UnknownThread: There is no such thread.
            ThreadErased: It has been erased.
            ThreadConflict: The lease was lost.
        """
        return await self._holding.hold(thread, lambda granted: self._clear(granted, on_deleted))

    async def _clear(self, granted: ThreadGranted, on_deleted: OnDeleted) -> Clearing:
        thread, lease = granted.thread, granted.lease
        if thread.state is not ThreadState.CLOSED or granted.open_turn is not None:
            return NotYetCleared()
        if await self._deletion.waits_until(thread.ref) is not None:
            return NotYetCleared()
        left = await self._deletion.left(thread.ref)
        for generation in left:
            if generation.state is not GenerationState.RETIRED:
                await self._store.retire(lease, generation.number)
        failed = await self._deletion.delete_all(thread.ref, on_deleted=on_deleted)
        if failed:
            return NotYetCleared(failed=tuple(failed))
        await self._store.note_cleared(lease)
        return Cleared(thread=thread, conversations=len(left))
