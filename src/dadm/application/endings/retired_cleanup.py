"""RetiredCleanup: deletes conversations that are no longer in use at the backends that keep them."""

import asyncio
from collections.abc import Sequence

from dadm.application.endings.rests import Rests
from dadm.application.thread_holding import ThreadBusy, ThreadHolding
from dadm.application.world import World
from dadm.domain.errors import (
    BackendError,
    ConversationBusy,
    ConversationLost,
    StoreError,
    ThreadErased,
)
from dadm.domain.thread import Generation, GenerationState, ThreadRef
from dadm.ports.backend import ConversationBackend, ErasureReport
from dadm.ports.observer import ConversationDeleted
from dadm.ports.store_values import ThreadGranted

LOOK_SECONDS = 60.0
"""How often, about, it is looked for conversations that are due."""

PAUSE_SECONDS = 1.0
"""The pause between two conversations: nobody waits for this, and backends limit requests."""

AT_ONCE = 20
"""How many are deleted before it is looked again for what has become due."""


class RetiredCleanup:
    """Empties the queue of retired conversations, those first that were retired first.

    Each conversation goes with its items and its runs, once it has been retired for as long as the
    limits say, by the store's clock. What the thread's live conversation holds too is spared: a
    thread that healed by links has items of a retired one in it. One that may be the quarry of a
    conversation which is being built is deleted only under the thread's lease.

    Replicas may do this beside each other, and beside whoever erases the thread: what is gone
    counts as done. Interrupted anywhere, it goes on the next time. A backend that fails is left
    alone for a while, which is told when it begins and when it is over; so is a conversation that
    could not be deleted, and others come first.
    """

    def __init__(self, world: World, rests: Rests | None = None) -> None:
        """Delete at the world's backends what its store says is retired.

        `rests` may be shared with others who delete there.
        """
        self._world = world.with_confirmed_store()
        self._store = self._world.store
        self._clock = world.clock
        self._holding = ThreadHolding(self._world, patience_seconds=0.0)
        self._rests = rests or Rests(world)

    async def run(self, stop: asyncio.Event) -> None:
        """Delete what is due, until `stop` is set; a deletion that is under way is left then."""
        if not self._world.limits.retired_seconds:
            return
        async with asyncio.TaskGroup() as group:
            deleting = group.create_task(self._delete_again_and_again())
            await stop.wait()
            deleting.cancel()

    async def _delete_again_and_again(self) -> None:
        while True:
            try:
                deleted = await self.delete_due()
            except StoreError:
                # Said aloud by everything else that meets the same store.
                deleted = 0
            if deleted < AT_ONCE:
                # Replicas that were started together part.
                await self._clock.sleep(LOOK_SECONDS * (0.5 + self._world.identifiers.fraction()))

    async def delete_due(self) -> int:
        """Delete the first of those that are due; give how many were.

        Raises:
            StoreError: The store did not take part.
        """
        deleted = 0
        for generation, backend in await self._due():
            if self._rests.includes(backend.identity):
                continue
            if await self._deleted(generation, backend):
                deleted += 1
                await self._clock.sleep(PAUSE_SECONDS)
        return deleted

    async def _due(self) -> Sequence[tuple[Generation, ConversationBackend]]:
        backends = {
            backend.identity: backend
            for backend in await self._world.backends.reachable()
            if not self._rests.includes(backend.identity)
        }
        if not backends:
            return ()
        waiting = await self._store.retired(
            tuple(backends),
            retired_seconds=self._world.limits.retired_seconds,
            # Those left alone are among them.
            limit=AT_ONCE + self._rests.count(),
        )
        due = [each for each in waiting if not self._rests.includes(_name(each))]
        return [(each, backends[each.identity]) for each in due[:AT_ONCE]]

    async def _deleted(self, generation: Generation, backend: ConversationBackend) -> bool:
        """Delete a conversation; whether it was this replica that did."""
        name = _name(generation)
        try:
            report = await self._delete(generation, backend)
        except (ConversationBusy, ThreadErased):
            self._rests.begin(name)
            return False
        except BackendError as error:
            self._rests.begin(name)
            self._rests.begin(backend.identity, error)
            return False
        if isinstance(report, ThreadBusy):
            self._rests.begin(name)
            return False
        self._rests.end(name)
        if report is None:
            return False
        self._rests.end(backend.identity)
        self._world.observer.notify(
            ConversationDeleted(
                backend=backend.identity.adapter,
                thread_id=generation.conversation_id,
                deleted_items=report.deleted_items,
                deleted_responses=report.deleted_responses,
                unreachable=report.unreachable,
            )
        )
        return True

    async def _delete(
        self, generation: Generation, backend: ConversationBackend
    ) -> ErasureReport | ThreadBusy | None:
        """Delete a conversation, under the thread's lease if need be; None if it is gone already."""
        generations = await self._store.generations(generation.thread)
        if not any(each.state is GenerationState.BUILDING for each in generations):
            return await self._delete_one(generation, generations, backend)

        async def delete(granted: ThreadGranted) -> ErasureReport | None:
            found = await self._store.generations(granted.thread.ref)
            return await self._delete_one(generation, found, backend)

        return await self._holding.hold(generation.thread, delete)

    async def _delete_one(
        self,
        generation: Generation,
        generations: Sequence[Generation],
        backend: ConversationBackend,
    ) -> ErasureReport | None:
        states = {each.number: each.state for each in generations}
        if states.get(generation.number) is not GenerationState.RETIRED:
            return None
        names = await self._store.response_ids(generation.thread)
        report = await backend.erase(
            generation.conversation_id,
            response_ids=names.get(generation.number, ()),
            spare=await _shared_items(generation, generations, backend),
        )
        await self._store.note_erased(generation.thread, generation.number, report)
        return report


async def _shared_items(
    generation: Generation, generations: Sequence[Generation], backend: ConversationBackend
) -> frozenset[str]:
    """Give what the live conversation holds, where it may hold items of this one."""
    live = next((each for each in generations if each.state is GenerationState.LIVE), None)
    if live is None or live.number < generation.number or live.identity != generation.identity:
        return frozenset()
    if not live.copied_messages or not backend.links_items:
        return frozenset()
    try:
        kept = [each.item_id async for each in backend.messages(live.conversation_id)]
    except ConversationLost:
        # What nobody holds any more need not be spared, but a single word is not believed.
        if await backend.exists(live.conversation_id):
            raise
        return frozenset()
    return frozenset(kept)


def _name(generation: Generation) -> tuple[ThreadRef, int]:
    return generation.thread, generation.number
