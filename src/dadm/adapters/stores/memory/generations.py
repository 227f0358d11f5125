"""The remote conversations of threads, as memory keeps them."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from dadm.adapters.stores import audit_details
from dadm.adapters.stores.memory.records import Records, ThreadRecord
from dadm.domain.errors import ThreadConflict
from dadm.domain.thread import (
    BackendIdentity,
    ConversationId,
    Generation,
    GenerationReason,
    GenerationState,
    ThreadRef,
    ThreadState,
)
from dadm.ports.store_values import Lease


class MemoryGenerations:
    """The role `Generations` over records."""

    def __init__(self, records: Records) -> None:
        """Work on `records`, which the other roles share."""
        self._records = records

    async def note_conversation(
        self,
        thread: ThreadRef,
        *,
        identity: BackendIdentity,
        conversation_id: ConversationId,
        reason: GenerationReason,
        opened_from: int,
        opened_to: int,
    ) -> Generation:
        record = self._records.thread(thread)
        owner = self._records.conversations.setdefault((identity, conversation_id), thread)
        if owner != thread:
            message = f"The conversation {conversation_id} belongs to another thread already."
            raise ThreadConflict(message)
        for known in record.generations.values():
            if (known.identity, known.conversation_id) == (identity, conversation_id):
                return known
        record.cleared_at = None
        generation = Generation(
            thread=thread,
            number=len(record.generations) + 1,
            identity=identity,
            conversation_id=conversation_id,
            state=GenerationState.RETIRED
            if record.state is ThreadState.ERASED
            else GenerationState.BUILDING,
            reason=reason,
            opened_from=opened_from,
            opened_to=opened_to,
            created_at=self._records.clock.now(),
        )
        return self._records.set_generation(record, generation)

    async def note_copied(
        self, thread: ThreadRef, number: int, *, copied_messages: int, last_item_id: str
    ) -> None:
        record = self._records.threads.get(thread)
        generation = record.generations.get(number) if record else None
        if (
            record is None
            or generation is None
            or generation.state is not GenerationState.BUILDING
            or generation.copied_messages > copied_messages
        ):
            return
        self._records.set_generation(
            record,
            replace(generation, copied_messages=copied_messages, last_item_id=last_item_id),
        )

    async def make_live(self, lease: Lease, number: int) -> Generation:
        record = self._records.leased(lease)
        generation = record.generations.get(number)
        if generation is not None and generation.state is GenerationState.LIVE:
            return generation
        if generation is None or generation.state is not GenerationState.BUILDING:
            raise ThreadConflict
        before = record.live_generation()
        action = audit_details.replacing(generation)
        if action is not None:
            detail = audit_details.replaced(before or last_left(record, number), generation)
            self._records.note(record.ref, None, action, detail)
        if before is not None:
            self._records.set_generation(record, replace(before, state=GenerationState.RETIRED))
        if record.state is ThreadState.PARKED:
            record.state = ThreadState.OPEN
        return self._records.set_generation(record, replace(generation, state=GenerationState.LIVE))

    async def retire(self, lease: Lease, number: int) -> None:
        record = self._records.leased(lease)
        generation = record.generations.get(number)
        if generation is None:
            raise ThreadConflict
        if generation.state in {GenerationState.BUILDING, GenerationState.LIVE}:
            self._records.set_generation(record, replace(generation, state=GenerationState.RETIRED))

    async def generations(self, thread: ThreadRef) -> Sequence[Generation]:
        record = self._records.threads.get(thread)
        return tuple(record.generations.values()) if record else ()

    async def count_lost(self, identity: BackendIdentity, *, within_seconds: float) -> int:
        since = self._records.clock.now() - timedelta(seconds=within_seconds)
        lost = {
            generation.thread
            for generation in self._records.all_generations()
            if generation.reason is GenerationReason.LOST
            and generation.identity == identity
            and generation.created_at > since
        }
        return len(lost)


def last_left(record: ThreadRecord, number: int) -> Generation | None:
    """Give the conversation that was left last before that number, where none is live."""
    left = {GenerationState.RETIRED, GenerationState.ERASED}
    earlier = (known for known in record.generations.values() if known.number < number)
    return max(
        (known for known in earlier if known.state in left),
        key=lambda known: known.number,
        default=None,
    )
