"""Asking: from a submitted turn to a settled one, whatever the backend answers."""

import asyncio
from dataclasses import dataclass
from typing import NoReturn

from dadm.application.circuit import Circuits
from dadm.application.conversation_opening import ConversationOpening
from dadm.application.conversing import Conversing
from dadm.application.held import Held, TurnResult
from dadm.application.held_endings import HeldEndings
from dadm.application.recovery import Ended, Recovery, ToBeAsked
from dadm.application.submission import prepare_submission
from dadm.application.turn_news import TurnNews
from dadm.application.world import World
from dadm.domain.errors import (
    BackendError,
    BackendRefused,
    BackendUnavailable,
    ConversationBroken,
    ConversationBusy,
    ConversationLost,
    ConversationTooLong,
    OutcomeUnknown,
    RequestError,
    ShuttingDown,
    TaskGone,
)
from dadm.domain.thread import GenerationReason
from dadm.ports.backend import ConversationBackend
from dadm.ports.store_values import OpenTurn

ASKED_AT_MOST = 3
"""How often one delivery may ask without a definite answer before it is left to the next one."""

SHORTENED_AT_MOST = 4
"""How often one delivery may halve what its conversation holds; to a sixteenth in all."""


@dataclass(slots=True)
class _Tries:
    """What one delivery has tried so far: it is bounded in how often, and in how long it waits."""

    not_taken: int = 0
    unanswered: int = 0
    shortened: int = 0
    paused_seconds: float = 0.0
    characters: int | None = None


class Asking:
    """Asks the backend, settles what it answered, and turns its errors into the next step.

    A request that was not taken is sent again after a pause, within the delivery's patience and
    while the backend's circuit is closed; then the turn goes back to its engine, planned. One
    without a definite answer is looked for first. The thread stays held meanwhile, since its
    turns have an order.
    """

    def __init__(
        self,
        world: World,
        *,
        opening: ConversationOpening,
        recovery: Recovery,
        endings: HeldEndings,
        circuits: Circuits,
    ) -> None:
        """Work with the parts of turn taking."""
        self._world = world
        self._store = world.store
        self._endings = endings
        self._opening = opening
        self._recovery = recovery
        self._circuits = circuits
        self._assistants = world.assistants
        self._news = TurnNews(world.observer, world.clock)
        self._clock = world.clock
        self._limits = world.limits
        self._back_off = world.back_off
        self._closing = asyncio.Event()

    def close(self) -> None:
        """Let no turn wait any longer to be asked again."""
        self._closing.set()

    async def ask(self, held: Held) -> TurnResult:
        """Bring the submitted turn to its end and release the thread.

        Raises:
            BackendError: There is no answer yet; the turn is planned again or unknown, and the
                thread is free.
            TaskGone: The task disappeared before it had an answer; likewise.
            ShuttingDown: This replica lets nothing wait any more; likewise.
            StoreError: The store did not take part, or the lease was lost.
        """
        tries = _Tries()
        if held.delivery.withdrawal.is_withdrawn:
            await self._endings.plan_again(held, TaskGone())
            raise TaskGone
        while True:
            step = await self._ask_once(held, tries)
            if isinstance(step, TurnResult):
                return step
            if tries.unanswered >= ASKED_AT_MOST:
                await self._give_up(held, tries)
            held = await self._submit_again(held, step)

    async def _ask_once(self, held: Held, tries: _Tries) -> TurnResult | ToBeAsked:
        self._news.started(held)
        try:
            backend = await self._opening.backend_of(held.thread)
        except BackendError as error:
            await self._endings.plan_again(held, error)
            raise
        begun_at = self._clock.monotonic()
        conversing = Conversing(self._world, held, backend)
        try:
            with self._circuits.watching(backend.identity):
                end = await conversing.run()
        except BackendError as error:
            return await self._after(conversing.held, backend, error, tries)
        except TimeoutError:
            await self._too_late(conversing.held)
        return await self._endings.settle(held, end, begun_at)

    async def _too_late(self, held: Held) -> NoReturn:
        """Leave a turn that took too long, or whose task is gone, to whoever comes next."""
        late: BackendError | TaskGone = OutcomeUnknown(
            f"No answer within {self._limits.turn_seconds:g} seconds."
        )
        if held.delivery.withdrawal.is_withdrawn:
            late = TaskGone()
        await self._endings.set_aside(held, late)
        raise late

    async def _after(
        self, held: Held, backend: ConversationBackend, error: BackendError, tries: _Tries
    ) -> TurnResult | ToBeAsked:
        """Find the next step after an error."""
        match error:
            case ConversationLost():
                return await self._lost(held, backend, error, tries)
            case ConversationBroken():
                tries.unanswered += 1
                return await self._reopen(held, GenerationReason.ENDED)
            case ConversationTooLong() if self._can_be_shortened(backend, tries):
                return await self._shorten(held, tries)
            case OutcomeUnknown() | ConversationBusy():
                return await self._look(held, backend, error, tries)
            case BackendRefused():
                return await self._endings.refuse(held, error)
            case BackendUnavailable():
                return await self._try_later(held, backend, error, tries)
            case _:
                await self._endings.plan_again(held, error)
                raise error

    async def _lost(
        self, held: Held, backend: ConversationBackend, error: ConversationLost, tries: _Tries
    ) -> TurnResult | ToBeAsked:
        """Rebuild, but only if the backend confirms that the conversation is gone."""
        try:
            is_there = await backend.exists(held.thread_id)
        except BackendError as unsure:
            await self._endings.plan_again(held, unsure)
            raise
        if is_there:
            return await self._look(held, backend, OutcomeUnknown(error.message), tries)
        tries.unanswered += 1
        return await self._reopen(held, GenerationReason.LOST)

    def _can_be_shortened(self, backend: ConversationBackend, tries: _Tries) -> bool:
        return (
            self._limits.is_shortened
            and backend.keeps_conversations
            and tries.shortened < SHORTENED_AT_MOST
        )

    async def _shorten(self, held: Held, tries: _Tries) -> ToBeAsked:
        """Go on in a conversation that holds half as much."""
        if tries.characters is None:
            tries.characters = await self._opening.characters_held(held.thread)
        tries.characters //= 2
        tries.shortened += 1
        return await self._reopen(held, GenerationReason.SHORTENED, characters=tries.characters)

    async def _reopen(
        self, held: Held, reason: GenerationReason, *, characters: int | None = None
    ) -> ToBeAsked:
        """Plan the turn again, proven not applied, on a new conversation."""
        await self._store.replan(
            held.lease,
            held.attempt.ref,
            error_code=f"conversation_{reason.value}",
            error_message="Not applied; the thread gets a new conversation.",
            keep_lease=True,
        )
        try:
            opening = await self._opening.open(
                held.lease,
                held.thread,
                reason=reason,
                process_instance_id=held.process_instance_id,
                characters=characters,
            )
        except BackendError as error:
            await self._endings.give_back(held, error)
            raise
        return ToBeAsked(opening=opening)

    async def _look(
        self, held: Held, backend: ConversationBackend, error: BackendError, tries: _Tries
    ) -> TurnResult | ToBeAsked:
        """Bring an attempt without a definite answer to its end, if looking succeeds."""
        if not backend.keeps_conversations:
            return await self._ask_anew(held, backend, error, tries)
        found = OpenTurn(turn=held.turn, attempt=held.attempt)
        try:
            held.delivery.withdrawal.refuse_if_withdrawn()
            ending = await self._recovery.end(
                held.lease,
                held.thread,
                found,
                process_instance_id=held.process_instance_id,
                is_busy=isinstance(error, ConversationBusy),
            )
        except (BackendError, TaskGone) as trouble:
            await self._endings.set_aside(held, trouble)
            raise (trouble if isinstance(trouble, TaskGone) else error) from trouble
        if isinstance(ending, Ended):
            return await self._endings.finish(held, ending)
        tries.unanswered += 1
        if tries.unanswered < ASKED_AT_MOST:
            await self._pause(held, error, self._back_off.pause(tries.unanswered), tries)
        return ending

    async def _ask_anew(
        self, held: Held, backend: ConversationBackend, error: BackendError, tries: _Tries
    ) -> ToBeAsked:
        """Ask a backend that keeps nothing once more: only what it costs can be double."""
        tries.unanswered += 1
        if tries.unanswered >= ASKED_AT_MOST:
            await self._endings.plan_again(held, error)
            raise error
        pause = self._back_off.pause(tries.unanswered)
        return await self._plan_and_pause(held, backend, error, pause, tries)

    async def _try_later(
        self, held: Held, backend: ConversationBackend, error: BackendUnavailable, tries: _Tries
    ) -> ToBeAsked:
        """Wait for a backend that did not take the request, as long as it asks for."""
        tries.not_taken += 1
        pause = self._back_off.pause(tries.not_taken, at_least=error.retry_after)
        return await self._plan_and_pause(held, backend, error, pause, tries)

    async def _plan_and_pause(
        self,
        held: Held,
        backend: ConversationBackend,
        error: BackendError,
        pause: float,
        tries: _Tries,
    ) -> ToBeAsked:
        """Plan the turn again and wait, or send it back where waiting would take too long."""
        is_patient = tries.paused_seconds + pause <= self._back_off.patience_seconds
        if not is_patient or self._circuits.is_failing(backend.identity):
            await self._endings.plan_again(held, error)
            raise error
        await self._store.replan(
            held.lease,
            held.attempt.ref,
            error_code=error.code,
            error_message=error.message,
            keep_lease=True,
        )
        await self._pause(held, error, pause, tries)
        return ToBeAsked(opening=None)

    async def _pause(self, held: Held, error: BackendError, seconds: float, tries: _Tries) -> None:
        """Wait, the thread held and the turn planned.

        Raises:
            ShuttingDown: There is no more waiting here; the thread is free.
        """
        self._news.delayed(held, error, seconds)
        tries.paused_seconds += seconds
        try:
            async with asyncio.timeout(seconds):
                await self._closing.wait()
        except TimeoutError:
            return
        leaving = ShuttingDown()
        await self._endings.give_back(held, leaving)
        raise leaving

    async def _submit_again(self, held: Held, step: ToBeAsked) -> Held:
        standing = await self._store.look_up(held.delivery.thread, held.turn.key)
        thread = standing.thread or held.thread
        try:
            held.delivery.withdrawal.refuse_if_withdrawn()
            submission = prepare_submission(held.delivery.task, thread, self._assistants)
            submitted = await self._store.submit(held.lease, held.turn.ref, submission)
        except (RequestError, TaskGone):
            # Its placeholders are undefined by now, the thread was closed, or the task is gone.
            await self._endings.give_back(held)
            raise
        return Held.of(
            held.delivery,
            submitted,
            step.opening or held.opening,
            waited_seconds=held.waited_seconds,
        )

    async def _give_up(self, held: Held, tries: _Tries) -> NoReturn:
        """Leave a turn that is planned again to the next delivery."""
        late = OutcomeUnknown(f"The turn was asked {tries.unanswered} times without an answer.")
        await self._endings.give_back(held, late)
        raise late
