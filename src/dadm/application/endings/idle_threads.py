"""IdleThreads: asks an engine now and then what became of the instances of idle threads."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta

from dadm.application.endings.job_holding import ASK_SECONDS, JobHolding
from dadm.domain.errors import EngineError, StoreError, ThreadConflict, ThreadErased
from dadm.domain.thread import Thread, ThreadRef
from dadm.domain.thread_scope import instance_of
from dadm.ports.clock import Clock, Identifiers
from dadm.ports.ended_threads import IdleScope, IdleThread
from dadm.ports.engine import InstanceState, ProcessHistory
from dadm.ports.observer import Observer, ThreadsClosed
from dadm.ports.store import ThreadStore
from dadm.ports.store_values import ThreadGranted

ROUND_SECONDS = 86_400.0
"""How long after one round the next one begins, whichever replica does it."""

AT_ONCE = 500
"""How many instances are asked about in one request."""

PAUSE_SECONDS = 1.0
"""The pause between two requests."""

PARKED_AT_ONCE = 100
"""How many threads that may be parked are read at once."""

LEASE_SECONDS = 30.0


class IdleThreads:
    """Finds the ends that nobody told of, and parks threads where no end can be found.

    An end is missed where the engine was not followed for longer than its history is kept from
    one look to the next. Once in a while one replica therefore asks what became of the instances
    of all idle threads, a page at a time; interrupted, the next replica goes on behind the last
    page.

    A thread is closed only where the engine says that its instance ended. That it does not know
    the instance proves nothing, and closing is for good: the engine may be another one than
    before, or the scope may be none of its instances but a caller's own word. A thread like that,
    and any where the engine cannot tell, is parked once it is idle for very long: nothing is kept
    for it at its backend any more, and its next task, should it ever come, finds its memory
    rebuilt from the transcript.
    """

    def __init__(
        self,
        *,
        engine_id: str,
        history: ProcessHistory | None,
        store: ThreadStore,
        job: JobHolding,
        observer: Observer,
        clock: Clock,
        identifiers: Identifiers,
        idle_seconds: float,
        parked_seconds: float,
        round_seconds: float = ROUND_SECONDS,
    ) -> None:
        """Care for the idle threads of one engine.

        Args:
            engine_id: What the engine is called in thread keys.
            history: Who tells what became of instances; None if the engine cannot.
            store: Where threads are closed and parked.
            job: Held by the one replica that does it.
            observer: Told of what was closed.
            clock: For pauses.
            identifiers: For leases.
            idle_seconds: How long after a thread's last answer its instance is asked about; 0 for
                never.
            parked_seconds: How long after it a thread is parked, where nobody knows its instance;
                0 for never.
            round_seconds: How long after one round the next one begins.
        """
        self._engine_id = engine_id
        self._history = history
        self._store = store
        self._job = job
        self._observer = observer
        self._clock = clock
        self._identifiers = identifiers
        self._idle_seconds = idle_seconds
        self._parked_seconds = parked_seconds
        self._round_seconds = round_seconds

    async def run(self, stop: asyncio.Event) -> None:
        """Make rounds until `stop` is set; one that is under way is left then."""
        if not self._parked_seconds and (self._history is None or not self._idle_seconds):
            return
        async with asyncio.TaskGroup() as group:
            looking = group.create_task(self._look_again_and_again())
            await stop.wait()
            looking.cancel()

    async def _look_again_and_again(self) -> None:
        while True:
            # Said aloud by everything else that meets the same store or engine; the round goes on
            # where it was.
            with suppress(EngineError, StoreError):
                await self.make_round()
            await self._clock.sleep(ASK_SECONDS * (0.5 + self._identifiers.fraction()))

    async def make_round(self) -> int:
        """Make a round, or go on with one, if it is time and this replica does it.

        Gives how many threads were closed or parked.

        Raises:
            EngineError: The engine does not tell.
            StoreError: The store did not take part.
        """
        if not await self._job.is_held():
            return 0
        changed = 0
        if self._history is not None and self._idle_seconds:
            changed += await self._ask_about_all(self._history)
        if self._parked_seconds:
            changed += await self._park_all()
        if await self._job.is_held():
            await self._job.leave(rest_seconds=self._round_seconds)
        return changed

    async def _ask_about_all(self, history: ProcessHistory) -> int:
        closed = 0
        while await self._job.is_held():
            scopes = await self._store.idle_scopes(
                self._engine_id,
                idle_seconds=self._idle_seconds,
                after=self._job.position,
                limit=AT_ONCE,
            )
            if not scopes:
                await self._job.note(0)
                break
            closed += await self._close_ended(history, scopes)
            await self._job.note(scopes[-1].position)
            await self._clock.sleep(PAUSE_SECONDS)
        return closed

    async def _close_ended(self, history: ProcessHistory, scopes: Sequence[IdleScope]) -> int:
        states = await _states(history, {instance_of(scope.name) for scope in scopes})
        closed = 0
        for scope in scopes:
            instance_id = instance_of(scope.name)
            state = states.get(instance_id, InstanceState.ACTIVE)
            if state is InstanceState.ACTIVE:
                continue
            count = await self._store.close_scope(
                engine=self._engine_id,
                tenant=scope.tenant,
                scope=scope.name,
                reason=f"{state}, found by asking",
            )
            if count:
                self._observer.notify(ThreadsClosed(process_instance_id=instance_id, count=count))
            closed += count
        return closed

    async def _park_all(self) -> int:
        parked = 0
        last: ThreadRef | None = None
        while await self._job.is_held():
            threads = await self._store.threads_to_park(
                self._engine_id,
                idle_seconds=self._parked_seconds,
                after=last,
                limit=PARKED_AT_ONCE,
            )
            if not threads:
                break
            last = threads[-1].ref
            for thread in await self._unknown(threads):
                parked += await self._is_parked(thread.ref)
            await self._clock.sleep(PAUSE_SECONDS)
        return parked

    async def _unknown(self, threads: Sequence[IdleThread]) -> Sequence[IdleThread]:
        """Give those whose instance the engine does not know."""
        if self._history is None:
            return threads
        states = await _states(self._history, {instance_of(thread.scope) for thread in threads})
        return [thread for thread in threads if instance_of(thread.scope) not in states]

    async def _is_parked(self, thread: ThreadRef) -> bool:
        """Park a thread, unless somebody holds it or has used it: it is not idle any more."""
        owner = self._identifiers.new_id("owner")
        try:
            taken = await self._store.lease_known_thread(
                thread, owner=owner, lease_seconds=LEASE_SECONDS
            )
        except ThreadErased:
            return False
        if not isinstance(taken, ThreadGranted):
            return False
        is_parked = False
        if await self._is_idle(taken.thread):
            with suppress(ThreadConflict):
                await self._store.park(taken.lease)
                is_parked = True
        await self._store.release(taken.lease)
        return is_parked

    async def _is_idle(self, thread: Thread) -> bool:
        """Whether it still is: between the list and the lease a task may have come and gone."""
        used_at = thread.last_turn_at or thread.created_at
        return await self._store.now() - used_at >= timedelta(seconds=self._parked_seconds)


async def _states(
    history: ProcessHistory, instance_ids: Collection[str]
) -> Mapping[str, InstanceState]:
    """Ask about instances, `""` not among them; about none nobody is asked."""
    asked = [instance_id for instance_id in instance_ids if instance_id]
    return await history.instance_states(asked) if asked else {}
