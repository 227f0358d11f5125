"""ThreadErasing: deletes a thread here and at its backends, and leaves a receipt."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeAlias

from dadm.application.thread_holding import ThreadBusy, ThreadHolding
from dadm.application.world import World
from dadm.domain.errors import BackendError, ThreadErased
from dadm.domain.thread import Generation, GenerationReason, GenerationState, Thread, ThreadRef
from dadm.ports.audit import AuditAction
from dadm.ports.erasures import ErasureReceipt
from dadm.ports.store_values import AbandonSettlement, OpenTurn, ThreadGranted

PAGE = 100

WHY_ABANDONED = "Its thread is being erased."

LEAVING = frozenset({AuditAction.FENCED, AuditAction.ABANDONED, AuditAction.RESOLVED})
"""What leaves a request behind that may still be under way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Erased:
    """Nothing of the thread is left but what the receipt names."""

    receipt: ErasureReceipt


@dataclass(frozen=True, slots=True, kw_only=True)
class Postponed:
    """The thread takes no more turns; deleting may begin at `until`, by the store's clock."""

    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfinished:
    """The thread takes no more turns; some conversations could not be deleted yet, and why."""

    reasons: tuple[str, ...]


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
        self._limits = world.limits
        self._holding = holding

    async def erase(
        self, thread: ThreadRef, *, on_deleted: Callable[[Generation], None] = lambda _: None
    ) -> Erasing | ThreadBusy:
        """Erase the thread, or go on with it; `on_deleted` is told of each conversation.

        A thread that was erased before gives its receipt again.

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
            return Erased(receipt=receipt)

    async def _erase(
        self, granted: ThreadGranted, on_deleted: Callable[[Generation], None]
    ) -> Erasing:
        thread, lease = granted.thread, granted.lease
        if granted.open_turn is not None:
            await self._end(granted, granted.open_turn)
        await self._store.begin_erasure(lease)
        left = await self._left(thread.ref)
        if await self._are_kept(left):
            until = await self._last_left_behind(thread, left)
            if until is not None and until > await self._store.now():
                return Postponed(until=until)
        while left:
            reasons = [
                reason
                for generation in left
                if (reason := await self._delete(thread, generation, on_deleted))
            ]
            if reasons:
                return Unfinished(reasons=tuple(reasons))
            # One that was being opened when its holder died may have been recorded meanwhile.
            left = await self._left(thread.ref)
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

    async def _left(self, thread: ThreadRef) -> list[Generation]:
        return [
            each
            for each in await self._store.generations(thread)
            if each.state is not GenerationState.ERASED
        ]

    async def _are_kept(self, generations: Sequence[Generation]) -> bool:
        """Whether any of them is at a backend that keeps conversations, or cannot be asked."""
        for generation in generations:
            try:
                backend = await self._backends.of(generation.identity)
            except BackendError:
                return True
            if backend.keeps_conversations:
                return True
        return False

    async def _last_left_behind(
        self, thread: Thread, generations: Sequence[Generation]
    ) -> datetime | None:
        """Give when whatever was left behind must have ended, None if nothing ever was."""
        times = [each.created_at for each in generations if each.reason is GenerationReason.FENCED]
        after = 0
        while True:
            page = await self._store.audit(thread.ref, after=after, limit=PAGE)
            times += [each.at for each in page if each.action in LEAVING][-1:]
            if len(page) < PAGE:
                break
            after = page[-1].position
        return max(times) + timedelta(seconds=self._limits.turn_seconds) if times else None

    async def _delete(
        self, thread: Thread, generation: Generation, on_deleted: Callable[[Generation], None]
    ) -> str:
        """Delete one conversation with its runs; say why it was not, `""` if it was."""
        names = await self._store.response_ids(thread.ref)
        try:
            backend = await self._backends.of(generation.identity)
            report = await backend.erase(
                generation.conversation_id, response_ids=names.get(generation.number, ())
            )
        except BackendError as error:
            return f"{generation.conversation_id}: {error.message}"
        await self._store.note_erased(thread.ref, generation.number, report)
        on_deleted(generation)
        return ""
