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
the release of the lease. A turn that recovery proves unasked keeps its place: another task that
found it gives way. A permit bounds concurrent turns and is held only while a turn holds its
thread, so that tasks waiting for one thread never delay another.

Nothing here relies on `finally` or `except` running: a replica that vanishes at any await leaves
the store as the next holder expects it.
"""

from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from typing import assert_never

from dadm.application.conversations.circuit import Circuits
from dadm.application.conversations.conversation_opening import REUSED, ConversationOpening, Opening
from dadm.application.lease_keeping import LeaseKeeper
from dadm.application.turns.asking import Asking
from dadm.application.turns.failed_attempts import FailedAttempts
from dadm.application.turns.held import Held, TurnResult
from dadm.application.turns.held_endings import HeldEndings
from dadm.application.turns.permits import Permits
from dadm.application.turns.recovery import Recovery
from dadm.application.turns.recovery_case import Ended, ToBeAsked
from dadm.application.turns.run_stopping import RunStopping
from dadm.application.turns.submission import Delivery, prepare_submission, submit
from dadm.application.turns.thread_queue import Place, ThreadQueue
from dadm.application.turns.withdrawal import Withdrawal
from dadm.application.world import World
from dadm.domain.assistant import Assistant
from dadm.domain.errors import BackendError, RequestError, TaskGone
from dadm.domain.prompt import render_prompt
from dadm.domain.task import DEFAULT_ENGINE, ServiceTask
from dadm.domain.thread import Thread, ThreadKey
from dadm.domain.turn import LEGAL_CHANGES
from dadm.ports.observer import TurnReplayed, TurnWaiting
from dadm.ports.store_values import (
    ClaimRequest,
    Granted,
    OpenTurn,
    Queued,
    Recorded,
    Standing,
    Submission,
    Submitted,
)


class TurnTaking:
    """Takes turns on threads, each exactly once."""

    def __init__(self, world: World) -> None:
        """Put the protocol's parts together over `world`."""
        self._world = world
        self._store = world.store
        self._queue = ThreadQueue(world.store, world.clock, world.limits)
        self._permits = Permits(world.limits.concurrent_turns)
        self._stopping = RunStopping(world)
        self._keeper = LeaseKeeper(world.store, world.clock, world.limits)
        self._circuits = Circuits(world.clock, world.observer, world.limits)
        self._opening = ConversationOpening(world, self._circuits)
        self._recovery = Recovery(world, self._opening, self._circuits)
        self._endings = HeldEndings(world, self._recovery)
        self._failed = FailedAttempts(
            world,
            opening=self._opening,
            recovery=self._recovery,
            endings=self._endings,
            circuits=self._circuits,
        )
        self._asking = Asking(
            world,
            opening=self._opening,
            failed=self._failed,
            endings=self._endings,
            circuits=self._circuits,
        )

    @property
    def opening(self) -> ConversationOpening:
        """What opens conversations here, and knows which backends are failing."""
        return self._opening

    async def keep_tickets(self) -> None:
        """Keep the places of waiting tasks, for ever; runs beside the turns."""
        await self._queue.keep_tickets()

    def close(self) -> None:
        """Begin no more turns; those whose model is being asked go on."""
        self._queue.close()
        self._failed.close()

    async def take(
        self, task: ServiceTask, assistant: Assistant, withdrawal: Withdrawal
    ) -> TurnResult:
        """Take the task's turn on its thread with `assistant`, waiting until the thread is free.

        `withdrawal` may tell meanwhile that the task is gone.

        Returns:
            The settled turn: completed, refused, or abandoned by a person.

        Raises:
            RequestError: The task cannot be asked as it is; nothing was asked.
            BackendError: There is no answer yet; `retryable` says whether to come back.
            StoreError: The store did not take part, or the thread was lost to another replica.
            TaskGone: The task was withdrawn before it had an answer.
            TooManyWaiting: This replica holds as many tasks as it may.
            ShuttingDown: This replica begins no more turns, and this one had not begun.
        """
        key = ThreadKey(
            engine=task.engine,
            tenant=task.tenant,
            scope=task.thread_scope,
            assistant=assistant.name,
        )
        delivery = Delivery(
            task=task,
            thread=key,
            arrived_at=self._world.clock.monotonic(),
            withdrawal=withdrawal,
        )
        standing = await self._store.look_up(key, task.turn_key)
        line = standing.thread.key if standing.turn and standing.thread else key
        opening = REUSED
        async with self._queue.place(line) as place:
            withdrawal.wakes(place.woken.set)
            while True:
                taken = await self._try_to_take(delivery, standing, opening, place)
                match taken:
                    case TurnResult():
                        return taken
                    case Queued():
                        if place.queued is None:
                            self._tell_waiting(task, taken)
                        await self._wait(place, taken, withdrawal)
                    case _GivenWay():
                        opening = taken.opening
                    case _:
                        assert_never(taken)
                standing = await self._store.look_up(key, task.turn_key)

    async def _wait(self, place: Place, queued: Queued, withdrawal: Withdrawal) -> None:
        """Wait in line; a task that is gone gives up its place.

        Raises:
            TaskGone: It is.
        """
        if not withdrawal.is_withdrawn:
            await self._queue.wait(place, queued)
        if withdrawal.is_withdrawn:
            await self._store.drop_ticket(queued.turn)
        withdrawal.refuse_if_withdrawn()

    async def _try_to_take(
        self, delivery: Delivery, standing: Standing, opening: Opening, place: Place
    ) -> "TurnResult | Queued | _GivenWay":
        request = self._claim_request(delivery, standing)
        async with self._permit(standing, place):
            self._queue.refuse_if_closed()
            asked_at = self._world.clock.monotonic()
            claim = await self._store.claim(request)
            if isinstance(claim, Queued):
                return claim
            if isinstance(claim, Recorded):
                return self._replay(delivery, claim)
            granted = claim
            return await self._keeper.run(
                claim.lease, lambda: self._hold(delivery, granted, opening), asked_at=asked_at
            )

    def _permit(self, standing: Standing, place: Place) -> AbstractAsyncContextManager[None]:
        """Give a permit to wait for, or none: no thread is held for a recorded answer."""
        is_recorded = standing.turn is not None and not LEGAL_CHANGES[standing.turn.state]
        is_due = place.queued is not None
        return nullcontext() if is_recorded else self._permits.held(is_due=is_due)

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
            submission=self._submission(task, standing),
        )

    def _submission(self, task: ServiceTask, standing: Standing) -> Submission | None:
        """Prepare what would be asked right now, None where that cannot be known yet.

        Nor is anything submitted to a backend that is left alone, before it admits a turn.

        Raises:
            RequestError: The task cannot be asked, and is told so before anything is recorded.
        """
        thread = standing.thread
        try:
            if thread is None or thread.live is None:
                render_prompt(task, shown={})
                return None
            submission = prepare_submission(task, thread, self._world.assistants)
            return submission if self._circuits.lets_all_in(thread.live.identity) else None
        except RequestError:
            if standing.turn is None:
                raise
            # A settled turn is replayed whatever has become of its task; any other meets this
            # error again once its thread is held.
            return None

    async def _hold(
        self, delivery: Delivery, claim: Granted | Submitted, opening: Opening
    ) -> "TurnResult | _GivenWay":
        """Bring the turn to its end while its thread is held."""
        waited = self._world.clock.monotonic() - delivery.arrived_at
        if isinstance(claim, Submitted):
            return await self._asking.ask(Held.of(delivery, claim, opening, waited_seconds=waited))
        try:
            delivery.withdrawal.refuse_if_withdrawn()
            backend = await self._opening.backend_of(claim.thread)
            self._circuits.admit(backend.identity)
            if claim.open_turn is not None:
                end = await self._end_open_turn(delivery, claim, claim.open_turn, waited)
                if not isinstance(end, Opening):
                    return end
                opening = end if end is not REUSED else opening
            reached = await self._reach_submission(delivery, claim, opening)
        except (RequestError, BackendError, TaskGone):
            await self._give_back(claim)
            raise
        submitted, opening = reached
        return await self._asking.ask(Held.of(delivery, submitted, opening, waited_seconds=waited))

    async def _end_open_turn(
        self, delivery: Delivery, claim: Granted, open_turn: OpenTurn, waited: float
    ) -> "TurnResult | _GivenWay | Opening":
        """End the turn that somebody left open; give the opening with which ours may go on.

        Another task's turn that must be asked again keeps its earlier place: the thread is
        given back, for whoever is first in line now.
        """
        is_own = open_turn.turn.ref == claim.turn.ref
        ending = await self._recovery.end(
            claim.lease,
            claim.thread,
            open_turn,
            process_instance_id=delivery.task.process_instance_id,
            withdrawal=delivery.withdrawal if is_own else None,
        )
        if not isinstance(ending, Ended):
            # What it would meet if it was asked as it is, it meets when it is asked.
            opening = ending.opening if isinstance(ending, ToBeAsked) else None
            opening = opening or REUSED
            if is_own:
                await self._stopping.learn(delivery.withdrawal, open_turn.turn, open_turn.attempt)
                delivery.withdrawal.refuse_if_withdrawn()
                return opening
            await self._store.release(claim.lease)
            return _GivenWay(opening=opening)
        held = Held(
            delivery=delivery,
            lease=claim.lease,
            thread=claim.thread,
            turn=open_turn.turn,
            attempt=open_turn.attempt,
            opening=REUSED,
            waited_seconds=waited,
        )
        if is_own:
            return await self._endings.finish(held, ending)
        self._endings.tell_end(held, ending.turn)
        return REUSED

    async def _reach_submission(
        self, delivery: Delivery, claim: Granted, opening: Opening
    ) -> tuple[Submitted, Opening]:
        """Give the thread a conversation if it has none, and submit this delivery's turn."""
        thread = await self._thread_again(delivery, claim) if claim.open_turn else claim.thread
        reason = self._opening.reason_to_open(thread)
        if reason is not None:
            # Rendered before anything is opened, so that a task that cannot be asked opens nothing.
            prepare_submission(delivery.task, thread, self._world.assistants)
            opening = await self._opening.open(
                claim.lease,
                thread,
                reason=reason,
                process_instance_id=delivery.task.process_instance_id,
            )
            thread = await self._thread_again(delivery, claim)
        submission = prepare_submission(delivery.task, thread, self._world.assistants)
        return await submit(self._store, claim.lease, claim.turn.ref, submission), opening

    async def _thread_again(self, delivery: Delivery, claim: Granted) -> Thread:
        standing = await self._store.look_up(claim.thread.key, delivery.task.turn_key)
        return standing.thread or claim.thread

    async def _give_back(self, claim: Granted) -> None:
        """Release the thread of a turn that was not submitted, and its place in the line.

        A turn of this delivery that is still open keeps its state for whoever looks next.
        """
        await self._store.drop_ticket(claim.turn.ref)
        await self._store.release(claim.lease)

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
        return TurnResult(
            turn=recorded.turn, thread=recorded.thread, opening=REUSED, is_replayed=True
        )

    def _tell_waiting(self, task: ServiceTask, queued: Queued) -> None:
        self._world.observer.notify(
            TurnWaiting(
                process_instance_id=task.process_instance_id,
                task_id=task.task_id,
                ahead=queued.ahead,
            )
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _GivenWay:
    """The thread was given back to an earlier task; `opening` is how its conversation changed."""

    opening: Opening
