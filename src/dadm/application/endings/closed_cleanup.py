"""ClosedCleanup: does with threads whose process instance has ended what the policy says, after a while."""

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum

from dadm.application.care.thread_erasing import Erased, Postponed, ThreadErasing, Unfinished
from dadm.application.care.whole_deletion import NotDeleted
from dadm.application.endings.job_holding import JobHolding
from dadm.application.endings.rests import Rests
from dadm.application.endings.thread_clearing import Cleared, NotYetCleared, ThreadClearing
from dadm.application.thread_holding import ThreadBusy, ThreadHolding
from dadm.application.world import World
from dadm.domain.errors import (
    ConversationBusy,
    StoreError,
    ThreadConflict,
    ThreadErased,
    UnknownThread,
)
from dadm.domain.thread import Generation, GenerationState, ThreadRef, ThreadState
from dadm.ports.backend import ErasureReport
from dadm.ports.observer import ConversationDeleted, ThreadCleared
from dadm.ports.store_values import ThreadFilter

LOOK_SECONDS = 60.0
"""How often, about, it is looked for threads that are due."""

PAUSE_SECONDS = 0.25
"""The pause between two threads: nobody waits for this, and backends limit requests."""

AT_ONCE = 50
"""How many threads are read at once."""


class EndedPolicy(StrEnum):
    """What happens to a thread some time after its process instance has ended."""

    KEEP = "keep"
    """Nothing."""
    DELETE_REMOTE = "delete-remote"
    """Its conversations are deleted at their backends; the transcript stays."""
    ERASE = "erase"
    """The transcript is deleted too, and a receipt stays."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Undone:
    """A thread that is to be left alone for a while, and what failed at backends."""

    failed: tuple[NotDeleted, ...] = ()


class ClosedCleanup:
    """Clears or erases closed threads, those first whose instance ended first.

    One replica of those that talk to the same backend does this at a time; should two do it, the
    threads' leases keep them apart. What is done is noted thread by thread, so that whoever comes
    next goes on where the work was; erasing also goes on where a person began it. A backend that
    fails is left alone for a while with all threads at it, which is told when it begins and when
    it is over; so is a thread that is held, has an open turn, or could not be deleted, and others
    come first. A thread is touched only where every conversation that is left of it can be reached.
    """

    def __init__(
        self,
        world: World,
        job: JobHolding,
        *,
        policy: EndedPolicy,
        after_seconds: float,
        rests: Rests | None = None,
    ) -> None:
        """Do it with the world's threads.

        Args:
            world: Where threads are, and their backends.
            job: Held by the one replica that does it.
            policy: What is done.
            after_seconds: How long after the end of its instance, by the store's clock.
            rests: Shared with others who delete at the same backends.
        """
        self._world = world.with_confirmed_store()
        self._job = job
        self._policy = policy
        self._after_seconds = after_seconds
        self._rests = rests or Rests(world)
        holding = ThreadHolding(self._world, patience_seconds=0.0)
        self._clearing = ThreadClearing(self._world, holding)
        self._erasing = ThreadErasing(self._world, holding)

    async def run(self, stop: asyncio.Event) -> None:
        """Do what is due until `stop` is set; a thread that is under way is left then."""
        if self._policy is EndedPolicy.KEEP:
            return
        async with asyncio.TaskGroup() as group:
            cleaning = group.create_task(self._clean_again_and_again())
            await stop.wait()
            cleaning.cancel()
        # Who cannot be told waits until the job's time has run out.
        with suppress(StoreError):
            await self._job.leave()

    async def _clean_again_and_again(self) -> None:
        while True:
            # Said aloud by everything else that meets the same store.
            done = 0
            with suppress(StoreError):
                done = await self.clean_due()
            if not done:
                # Replicas that were started together part.
                pause = LOOK_SECONDS * (0.5 + self._world.identifiers.fraction())
                await self._world.clock.sleep(pause)

    async def clean_due(self) -> int:
        """Clear or erase the first of those that are due, if it is this replica that does it.

        Gives how many were.

        Raises:
            StoreError: The store did not take part.
        """
        done = 0
        for thread in await self._due():
            if not await self._job.is_held():
                break
            if await self._meets_a_rest(thread):
                self._rests.begin(thread)
                continue
            done += await self._is_done(thread)
            await self._world.clock.sleep(PAUSE_SECONDS)
        return done

    async def _meets_a_rest(self, thread: ThreadRef) -> bool:
        """Whether a backend of the thread has failed since those that are due were read.

        Trying each of them there would take as long as the backend is silent, and each failure
        would have it left alone for twice as long.
        """
        resting = self._rests.backends()
        if not resting:
            return False
        generations = await self._world.store.generations(thread)
        return any(
            each.state is not GenerationState.ERASED and each.identity in resting
            for each in generations
        )

    async def _due(self) -> Sequence[ThreadRef]:
        if not await self._job.is_held():
            return ()
        identities = [
            backend.identity
            for backend in await self._world.backends.reachable()
            if not self._rests.includes(backend.identity)
        ]
        # Those left alone are among them.
        limit = AT_ONCE + self._rests.count()
        waiting = list(
            await self._world.store.threads_to_clear(
                identities,
                closed_seconds=self._after_seconds,
                with_cleared=self._policy is EndedPolicy.ERASE,
                limit=limit,
            )
        )
        if self._policy is EndedPolicy.ERASE:
            # Closed no more, and not erased yet: whoever began has died, or could not go on.
            begun = ThreadFilter(states=frozenset({ThreadState.ERASING}), limit=limit)
            waiting = [each.ref for each in await self._world.store.threads(begun)] + waiting
        return [thread for thread in waiting if not self._rests.includes(thread)][:AT_ONCE]

    async def _is_done(self, thread: ThreadRef) -> bool:
        """Clear or erase a thread; whether that was done, by this replica."""
        try:
            if self._policy is EndedPolicy.ERASE:
                undone = await self._erase(thread)
            else:
                undone = await self._clear(thread)
        except (ThreadConflict, ThreadErased, UnknownThread):
            # Somebody else has come to it.
            undone = _Undone()
        if undone is None:
            self._rests.end(thread)
            return True
        self._rests.begin(thread)
        self._leave_alone(undone.failed)
        return False

    def _leave_alone(self, failed: Iterable[NotDeleted]) -> None:
        errors = {each.generation.identity: each.error for each in failed}
        for identity, error in errors.items():
            if not isinstance(error, ConversationBusy):
                self._rests.begin(identity, error)

    async def _clear(self, thread: ThreadRef) -> _Undone | None:
        match await self._clearing.clear(thread, on_deleted=self._tell_deleted):
            case Cleared() as cleared:
                self._tell_done(cleared.thread.key.process_instance_id, cleared.conversations)
                return None
            case NotYetCleared(failed=failed):
                return _Undone(failed=failed)
            case ThreadBusy():
                return _Undone()

    async def _erase(self, thread: ThreadRef) -> _Undone | None:
        match await self._erasing.erase(thread, on_deleted=self._tell_deleted):
            case Erased(receipt=receipt):
                self._tell_done("", receipt.conversations)
                return None
            case Unfinished(failed=failed):
                return _Undone(failed=failed)
            case Postponed() | ThreadBusy():
                return _Undone()

    def _tell_deleted(self, generation: Generation, report: ErasureReport) -> None:
        self._rests.end(generation.identity)
        self._world.observer.notify(
            ConversationDeleted(
                backend=generation.identity.adapter,
                thread_id=generation.conversation_id,
                deleted_items=report.deleted_items,
                deleted_responses=report.deleted_responses,
                unreachable=report.unreachable,
            )
        )

    def _tell_done(self, process_instance_id: str, conversations: int) -> None:
        self._world.observer.notify(
            ThreadCleared(
                process_instance_id=process_instance_id,
                policy=self._policy.value,
                conversations=conversations,
            )
        )
