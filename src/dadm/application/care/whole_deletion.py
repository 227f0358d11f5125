"""WholeDeletion: deletes at their backends all conversations that a thread ever had."""

from collections.abc import Callable, Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeAlias

from dadm.application.world import World
from dadm.domain.errors import BackendError
from dadm.domain.thread import Generation, GenerationReason, GenerationState, ThreadRef
from dadm.ports.audit import AuditAction
from dadm.ports.backend import ErasureReport

OnDeleted: TypeAlias = Callable[[Generation, ErasureReport], None]
"""Told of each conversation that was deleted."""

PAGE = 100

LEAVING = frozenset({AuditAction.FENCED, AuditAction.ABANDONED, AuditAction.RESOLVED})
"""What leaves a request behind that may still be under way."""


def tell_nobody(generation: Generation, report: ErasureReport) -> None:
    """Take no note of a conversation that was deleted."""
    del generation, report


@dataclass(frozen=True, slots=True, kw_only=True)
class NotDeleted:
    """A conversation that could not be deleted yet, and why."""

    generation: Generation
    error: BackendError

    @property
    def said(self) -> str:
        """Say it to a person."""
        return f"{self.generation.conversation_id}: {self.error.message}"


class WholeDeletion:
    """Deletes conversations with their items and runs, for whoever holds their thread's lease.

    Interrupted anywhere, it is run again and goes on from what was noted. Nothing should be deleted
    before a request that was left behind must have ended, one turn limit after the thread's last
    fence: what it adds to a conversation that is deleted already would stay.
    """

    def __init__(self, world: World) -> None:
        """Delete at the world's backends what its store knows of."""
        self._store = world.store
        self._backends = world.backends
        self._longest_turn = timedelta(seconds=world.limits.turn_seconds)

    async def left(self, thread: ThreadRef) -> list[Generation]:
        """Give the conversations that are not known to be deleted."""
        return [
            each
            for each in await self._store.generations(thread)
            if each.state is not GenerationState.ERASED
        ]

    async def waits_until(self, thread: ThreadRef) -> datetime | None:
        """Give when deleting may begin, by the store's clock; None if that is now."""
        left = await self.left(thread)
        if not await self._are_kept(left):
            return None
        return await self._if_to_come(await self._last_left_behind(thread, left))

    async def late_waits_until(self, late: Sequence[Generation]) -> datetime | None:
        """Give the same of conversations that became known after the others were deleted."""
        if not late or not await self._are_kept(late):
            return None
        return await self._if_to_come(max(each.created_at for each in late) + self._longest_turn)

    async def delete_all(self, thread: ThreadRef, *, on_deleted: OnDeleted) -> Sequence[NotDeleted]:
        """Delete all that is left, and `on_deleted` is told; give what could not be."""
        deleted: dict[int, set[str]] = {}
        while reached := await self._to_delete(thread, deleted):
            failed = []
            for generation, names in reached:
                if failure := await self.delete(generation, names, on_deleted=on_deleted):
                    failed.append(failure)
                else:
                    deleted.setdefault(generation.number, set()).update(names)
            if failed:
                return failed
        return ()

    async def delete(
        self,
        generation: Generation,
        names: Sequence[str],
        *,
        on_deleted: OnDeleted,
    ) -> NotDeleted | None:
        """Delete one conversation with the named runs; give why it was not, None if it was."""
        try:
            backend = await self._backends.of(generation.identity)
            report = await backend.erase(generation.conversation_id, response_ids=names)
        except BackendError as error:
            return NotDeleted(generation=generation, error=error)
        await self._store.note_erased(generation.thread, generation.number, report)
        on_deleted(generation, report)
        return None

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

    async def _are_kept(self, generations: Collection[Generation]) -> bool:
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
        self, thread: ThreadRef, generations: Sequence[Generation]
    ) -> datetime | None:
        """Give when whatever was left behind must have ended, None if nothing ever was."""
        times = [each.created_at for each in generations if each.reason is GenerationReason.FENCED]
        after = 0
        while True:
            page = await self._store.audit(thread, after=after, limit=PAGE)
            times += [each.at for each in page if each.action in LEAVING][-1:]
            if len(page) < PAGE:
                break
            after = page[-1].position
        return max(times) + self._longest_turn if times else None

    async def _if_to_come(self, until: datetime | None) -> datetime | None:
        return until if until is not None and until > await self._store.now() else None
