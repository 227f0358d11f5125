"""ThreadErasing: deletes a thread here and at its backends, and leaves a receipt."""

from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from dadm.application.care.whole_deletion import NotDeleted, OnDeleted, WholeDeletion, tell_nobody
from dadm.application.thread_holding import ThreadBusy, ThreadHolding
from dadm.application.world import World
from dadm.domain.errors import BackendError, ThreadErased
from dadm.domain.thread import ConversationId, ThreadRef
from dadm.ports.audit import AuditAction
from dadm.ports.erasures import ErasureReceipt
from dadm.ports.store_values import AbandonSettlement, OpenTurn, ThreadGranted

WHY_ABANDONED = "Its thread is being erased."


@dataclass(frozen=True, slots=True, kw_only=True)
class Erased:
    """Nothing of the thread is left but what the receipt names.

    `late` are conversations that became known after the receipt was written, deleted just now.
    """

    receipt: ErasureReceipt
    late: tuple[ConversationId, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Postponed:
    """The thread takes no more turns; deleting may begin at `until`, by the store's clock."""

    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfinished:
    """The thread takes no more turns; some conversations could not be deleted yet, and why."""

    failed: tuple[NotDeleted, ...]

    @property
    def reasons(self) -> tuple[str, ...]:
        """Say each to a person."""
        return tuple(each.said for each in self.failed)


Erasing: TypeAlias = Erased | Postponed | Unfinished


class ThreadErasing:
    """Erases threads; interrupted anywhere, it is run again and goes on.

    An open turn is ended first: its run is cancelled where it is named, and the turn abandoned.
    Nothing is deleted before a request that was left behind must have ended, one turn limit after
    the thread's last fence: what it adds to a conversation that is deleted already would stay.
    """

    def __init__(self, world: World, holding: ThreadHolding) -> None:
        """Erase in the world's store and at its backends."""
        self._store = world.store
        self._backends = world.backends
        self._deletion = WholeDeletion(world)
        self._holding = holding

    async def erase(
        self, thread: ThreadRef, *, on_deleted: OnDeleted = tell_nobody
    ) -> Erasing | ThreadBusy:
        """Erase the thread, or go on with it; `on_deleted` is told of each conversation.

        A thread that was erased before gives its receipt again, after what became known of it
        since is deleted too.

        Raises:
            UnknownThread: There is no such thread.
            ThreadConflict: The lease was lost.
        """
        try:
            return await self._holding.hold(
                thread, lambda granted: self._erase(granted, on_deleted)
            )
        except ThreadErased:
            receipt = await self._store.receipt(thread)
            if receipt is None:
                raise
            return await self._erase_late(thread, receipt, on_deleted)

    async def _erase_late(
        self,
        thread: ThreadRef,
        receipt: ErasureReceipt,
        on_deleted: OnDeleted,
    ) -> Erasing:
        """Delete what was opened for the thread by a holder that did not know it was erased."""
        late = await self._deletion.left(thread)
        until = await self._deletion.late_waits_until(late)
        if until is not None:
            return Postponed(until=until)
        failed = [
            failure
            for each in late
            if (failure := await self._deletion.delete(each, (), on_deleted=on_deleted))
        ]
        if failed:
            return Unfinished(failed=tuple(failed))
        return Erased(receipt=receipt, late=tuple(each.conversation_id for each in late))

    async def _erase(self, granted: ThreadGranted, on_deleted: OnDeleted) -> Erasing:
        thread, lease = granted.thread, granted.lease
        if granted.open_turn is not None:
            await self._end(granted, granted.open_turn)
        await self._store.begin_erasure(lease)
        until = await self._deletion.waits_until(thread.ref)
        if until is not None:
            return Postponed(until=until)
        failed = await self._deletion.delete_all(thread.ref, on_deleted=on_deleted)
        if failed:
            return Unfinished(failed=tuple(failed))
        return Erased(receipt=await self._store.finish_erasure(lease))

    async def _end(self, granted: ThreadGranted, open_turn: OpenTurn) -> None:
        """Stop the run and abandon the turn; what may still arrive is never read."""
        thread, turn = granted.thread, open_turn.turn
        await self._cancel(thread.ref, open_turn)
        if thread.live is not None:
            await self._store.retire(granted.lease, thread.live.number)
        await self._store.settle(
            granted.lease, turn.ref, AbandonSettlement(reason=WHY_ABANDONED), keep_lease=True
        )

    async def _cancel(self, thread: ThreadRef, open_turn: OpenTurn) -> None:
        attempt = open_turn.attempt
        generations = await self._store.generations(thread)
        asked = [each for each in generations if each.number == attempt.generation]
        if not attempt.response_id or not asked:
            return
        try:
            backend = await self._backends.of(asked[0].identity)
            await backend.cancel(attempt.response_id)
        except BackendError:
            # It runs to its end, then; that is waited for before anything is deleted.
            return
        await self._store.note(
            thread, open_turn.turn.ref, AuditAction.CANCELLED, detail=attempt.response_id
        )
