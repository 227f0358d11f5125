"""ThreadErasing: deletes a thread here and at its backends, and leaves a receipt."""

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeAlias

from dadm.application.thread_holding import ThreadBusy, ThreadHolding
from dadm.application.world import World
from dadm.domain.errors import BackendError, ThreadErased
from dadm.domain.thread import (
    ConversationId,
    Generation,
    GenerationReason,
    GenerationState,
    Thread,
    ThreadRef,
)
from dadm.ports.audit import AuditAction
from dadm.ports.erasures import ErasureReceipt
from dadm.ports.store_values import AbandonSettlement, OpenTurn, ThreadGranted

PAGE = 100

WHY_ABANDONED = "Its thread is being erased."

LEAVING = frozenset({AuditAction.FENCED, AuditAction.ABANDONED, AuditAction.RESOLVED})
"""What leaves a request behind that may still be under way."""


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
        on_deleted: Callable[[Generation], None],
    ) -> Erasing:
        """Delete what was opened for the thread by a holder that did not know it was erased."""
        late = await self._left(thread)
        if late and await self._are_kept(late):
            until = max(each.created_at for each in late) + self._longest_turn
            if until > await self._store.now():
                return Postponed(until=until)
        reasons = [reason for each in late if (reason := await self._delete(each, (), on_deleted))]
        if reasons:
            return Unfinished(reasons=tuple(reasons))
        return Erased(receipt=receipt, late=tuple(each.conversation_id for each in late))

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
        deleted: dict[int, set[str]] = {}
        while reached := await self._to_delete(thread.ref, deleted):
            reasons = []
            for generation, names in reached:
                if reason := await self._delete(generation, names, on_deleted):
                    reasons.append(reason)
                else:
                    deleted.setdefault(generation.number, set()).update(names)
            if reasons:
                return Unfinished(reasons=tuple(reasons))
        return Erased(receipt=await self._store.finish_erasure(lease))

    async def _to_delete(
        self, thread: ThreadRef, deleted: Mapping[int, AbstractSet[str]]
    ) -> list[tuple[Generation, Sequence[str]]]:
        """Give what is left to delete, each conversation with its runs.

        One that was being opened when its holder died may have been recorded meanwhile, and so
        may the name of a run.
        """
        generations = await self._store.generations(thread)
        names = await self._store.response_ids(thread)
        found: list[tuple[Generation, Sequence[str]]] = []
        for each in generations:
            known = deleted.get(each.number, frozenset())
            new = [name for name in names.get(each.number, ()) if name not in known]
            is_late = each.number in deleted and new
            if each.state is not GenerationState.ERASED or is_late:
                found.append((each, new))
        return found

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
        return max(times) + self._longest_turn if times else None

    @property
    def _longest_turn(self) -> timedelta:
        return timedelta(seconds=self._limits.turn_seconds)

    async def _delete(
        self,
        generation: Generation,
        names: Sequence[str],
        on_deleted: Callable[[Generation], None],
    ) -> str:
        """Delete one conversation with the named runs; say why it was not, `""` if it was."""
        try:
            backend = await self._backends.of(generation.identity)
            report = await backend.erase(generation.conversation_id, response_ids=names)
        except BackendError as error:
            return f"{generation.conversation_id}: {error.message}"
        await self._store.note_erased(generation.thread, generation.number, report)
        on_deleted(generation)
        return ""
