"""TurnTaking: the protocol that makes one task exactly one question and answer on its thread.

    look up ─▶ claim ──────────────▶ submitted ─▶ ask ─▶ settle ─▶ reported by the caller
                │  │                     ▲          │
                │  └▶ granted ─▶ recover ┘          ├▶ lost conversation: rebuild, submit again
                │       open turn, open a           ├▶ no definite answer: look (Recovery)
                │       conversation, submit        ├▶ refused: settle as refused
                ├▶ queued: wait in line, look up    └▶ not applied: planned again, error to caller
                └▶ recorded: the answer again

Who holds a thread's lease decides about it; `LeaseKeeper` keeps the lease by heartbeat and stops
the work before the lease could have run out. `submitted` is durable before a request leaves, the
run's name is recorded as soon as the backend gives it, and the answer is settled together with
the release of the lease. A permit bounds concurrent turns and is held only while a turn holds
its thread, so that tasks waiting for one thread never delay another.

Nothing here relies on `finally` or `except` running: a replica that vanishes at any await leaves
the store as the next holder expects it.
"""

import asyncio
from dataclasses import dataclass

from dadm.application.asking import Asking
from dadm.application.conversation_opening import REUSED, ConversationOpening, Opening
from dadm.application.held import Held, TurnResult
from dadm.application.lease_keeping import LeaseKeeper
from dadm.application.limits import TurnLimits
from dadm.application.recovery import Ended, Recovery, ToBeAsked
from dadm.application.submission import Delivery, prepare_submission
from dadm.application.thread_queue import Place, ThreadQueue
from dadm.application.turn_news import TurnNews
from dadm.domain.assistant import Assistant, AssistantCatalogue
from dadm.domain.errors import BackendError, RequestError
from dadm.domain.task import DEFAULT_ENGINE, ServiceTask
from dadm.domain.thread import GenerationReason, Thread, ThreadKey
from dadm.ports.backend import ConversationBackends
from dadm.ports.clock import Clock, Identifiers
from dadm.ports.observer import Observer, TurnReplayed, TurnWaiting
from dadm.ports.store import (
    ClaimRequest,
    Granted,
    Queued,
    Recorded,
    Standing,
    Submission,
    Submitted,
    ThreadStore,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What turn taking is handed: where things are durable, who answers, time and chance."""

    store: ThreadStore
    backends: ConversationBackends
    assistants: AssistantCatalogue
    observer: Observer
    clock: Clock
    identifiers: Identifiers
    limits: TurnLimits


class TurnTaking:
    """Takes turns on threads, each exactly once."""

    def __init__(self, world: World) -> None:
        """Put the protocol's parts together over `world`."""
        self._world = world
        self._store = world.store
        self._queue = ThreadQueue(world.store, world.clock, world.limits)
        self._permits = asyncio.Semaphore(world.limits.concurrent_turns)
        self._keeper = LeaseKeeper(world.store, world.clock, world.limits)
        self._opening = ConversationOpening(
            world.store, world.backends, world.observer, world.limits
        )
        self._recovery = Recovery(world.store, self._opening, world.clock, world.limits)
        self._asking = Asking(
            store=world.store,
            opening=self._opening,
            recovery=self._recovery,
            assistants=world.assistants,
            news=TurnNews(world.observer, world.clock),
            clock=world.clock,
            limits=world.limits,
        )

    @property
    def standing_count(self) -> int:
        """How many tasks of this replica wait for their threads or hold them."""
        return self._queue.count

    async def keep_tickets(self) -> None:
        """Keep the places of waiting tasks, for ever; runs beside the turns."""
        await self._queue.keep_tickets()

    async def take(self, task: ServiceTask, assistant: Assistant) -> TurnResult:
        """Take the task's turn on its thread with `assistant`, waiting until the thread is free.

        Returns:
            The settled turn: completed, refused, or abandoned by a person.

        Raises:
            RequestError: The task cannot be asked as it is; nothing was asked.
            BackendError: There is no answer yet; `retryable` says whether to come back.
            StoreError: The store did not take part, or the thread was lost to another replica.
            TooManyWaiting: This replica holds as many tasks as it may.
        """
        key = ThreadKey(
            engine=task.engine,
            tenant=task.tenant,
            scope=task.thread_scope,
            assistant=assistant.name,
        )
        delivery = Delivery(task=task, thread=key, arrived_at=self._world.clock.monotonic())
        standing = await self._store.look_up(key, task.turn_key)
        line = standing.thread.key if standing.turn and standing.thread else key
        async with self._queue.place(line) as place:
            while True:
                taken = await self._try_to_take(delivery, standing, place)
                if isinstance(taken, TurnResult):
                    return taken
                if place.queued is None:
                    self._tell_waiting(task, taken)
                await self._queue.wait(place, taken)
                standing = await self._store.look_up(key, task.turn_key)

    async def _try_to_take(
        self, delivery: Delivery, standing: Standing, place: Place
    ) -> TurnResult | Queued:
        request = self._claim_request(delivery, standing)
        async with self._permits:
            asked_at = self._world.clock.monotonic()
            claim = await self._store.claim(request)
            if isinstance(claim, Queued):
                return claim
            if isinstance(claim, Recorded):
                return self._replay(delivery, claim)
            self._queue.got_thread(place)
            granted = claim
            return await self._keeper.run(
                claim.lease, lambda: self._hold(delivery, granted), asked_at=asked_at
            )

    def _claim_request(self, delivery: Delivery, standing: Standing) -> ClaimRequest:
        task = delivery.task
        limits = self._world.limits
        return ClaimRequest(
            thread=delivery.thread,
            turn=task.turn_key,
            content_digest=task.content_digest,
            element_id=task.element_id,
            process_definition=task.process_definition,
            owner=self._world.identifiers.new_id("owner"),
            lease_seconds=limits.lease_seconds,
            ticket_seconds=limits.ticket_seconds,
            refuse_other_content=task.engine == DEFAULT_ENGINE,
            submission=self._submission(task, standing.thread),
        )

    def _submission(self, task: ServiceTask, thread: Thread | None) -> Submission | None:
        """Prepare what would be asked right now, None where that cannot be known yet."""
        if thread is None or thread.live is None:
            return None
        try:
            return prepare_submission(task, thread, self._world.assistants)
        except RequestError:
            # A settled turn is replayed whatever has become of its task; any other meets this
            # error again once its thread is held.
            return None

    async def _hold(self, delivery: Delivery, claim: Granted | Submitted) -> TurnResult:
        """Bring the turn to its end while its thread is held."""
        waited = self._world.clock.monotonic() - delivery.arrived_at
        if isinstance(claim, Submitted):
            return await self._asking.ask(Held.of(delivery, claim, REUSED, waited_seconds=waited))
        try:
            reached = await self._reach_submission(delivery, claim)
        except (RequestError, BackendError):
            await self._give_back(claim)
            raise
        if isinstance(reached, TurnResult):
            return reached
        submitted, opening = reached
        return await self._asking.ask(Held.of(delivery, submitted, opening, waited_seconds=waited))

    async def _reach_submission(
        self, delivery: Delivery, claim: Granted
    ) -> TurnResult | tuple[Submitted, Opening]:
        """End an open turn, give the thread a conversation, and submit this delivery's turn."""
        opening = REUSED
        thread = claim.thread
        if claim.open_turn is not None:
            ending = await self._recovery.end(
                claim.lease,
                thread,
                claim.open_turn,
                process_instance_id=delivery.task.process_instance_id,
            )
            if isinstance(ending, Ended) and ending.turn.ref == claim.turn.ref:
                await self._store.release(claim.lease)
                return self._result_of(claim.thread, ending, is_replayed=False)
            if isinstance(ending, ToBeAsked) and ending.opening is not None:
                opening = ending.opening
            thread = await self._thread_again(delivery, thread)
        if thread.live is None:
            # Rendered before anything is opened, so that a task that cannot be asked opens nothing.
            prepare_submission(delivery.task, thread, self._world.assistants)
            opening = await self._open(delivery, claim, thread)
            thread = await self._thread_again(delivery, thread)
        submission = prepare_submission(delivery.task, thread, self._world.assistants)
        submitted = await self._store.submit(claim.lease, claim.turn.ref, submission)
        return submitted, opening

    async def _open(self, delivery: Delivery, claim: Granted, thread: Thread) -> Opening:
        reason = GenerationReason.FIRST if thread.turn_count == 0 else GenerationReason.ENDED
        return await self._opening.open(
            claim.lease,
            thread,
            reason=reason,
            process_instance_id=delivery.task.process_instance_id,
        )

    async def _thread_again(self, delivery: Delivery, thread: Thread) -> Thread:
        standing = await self._store.look_up(thread.key, delivery.task.turn_key)
        return standing.thread or thread

    async def _give_back(self, claim: Granted) -> None:
        """Release the thread of a turn that was not submitted, and its place in the line.

        A turn of this delivery that is still open keeps its state for whoever looks next.
        """
        await self._store.release(claim.lease)
        await self._store.drop_ticket(claim.turn.ref)

    def _replay(self, delivery: Delivery, recorded: Recorded) -> TurnResult:
        task = delivery.task
        self._world.observer.notify(
            TurnReplayed(
                process_instance_id=task.process_instance_id,
                task_id=task.task_id,
                thread_id=recorded.thread.thread_id or "",
                content_differs=recorded.turn.content_digest != task.content_digest,
            )
        )
        return self._result_of(recorded.thread, Ended(turn=recorded.turn), is_replayed=True)

    def _result_of(self, thread: Thread, ended: Ended, *, is_replayed: bool) -> TurnResult:
        return TurnResult(turn=ended.turn, thread=thread, opening=REUSED, is_replayed=is_replayed)

    def _tell_waiting(self, task: ServiceTask, queued: Queued) -> None:
        self._world.observer.notify(
            TurnWaiting(
                process_instance_id=task.process_instance_id,
                task_id=task.task_id,
                ahead=queued.ahead,
            )
        )
