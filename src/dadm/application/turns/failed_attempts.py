"""FailedAttempts: the next step of a held turn after its backend gave no answer."""

import asyncio
from dataclasses import dataclass
from typing import assert_never

from dadm.application.conversations.circuit import Circuits
from dadm.application.conversations.conversation_opening import ConversationOpening
from dadm.application.turns.held import Held, TurnResult
from dadm.application.turns.held_endings import HeldEndings
from dadm.application.turns.recovery import Recovery
from dadm.application.turns.recovery_case import Ended, InVain, ToBeAsked
from dadm.application.turns.turn_news import TurnNews
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
class Tries:
    """What one delivery has tried so far: it is bounded in how often, and in how long it waits."""

    not_taken: int = 0
    unanswered: int = 0
    last_error: BackendError | None = None
    shortened: int = 0
    paused_seconds: float = 0.0
    characters_at_first: int = 0

    def failed_by(self, error: BackendError) -> None:
        """Count a try that brought no definite answer."""
        self.unanswered += 1
        self.last_error = error

    def failed_definitely(self) -> None:
        """Take back a try that was counted, for looking has told how it ended."""
        self.unanswered -= 1


class FailedAttempts:
    """Turns each error of a backend into what comes next.

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
        self._store = world.store
        self._opening = opening
        self._recovery = recovery
        self._endings = endings
        self._circuits = circuits
        self._news = TurnNews(world.observer, world.clock)
        self._limits = world.limits
        self._back_off = world.back_off
        self._pausing: set[asyncio.Event] = set()
        self._is_closing = False

    def close(self) -> None:
        """Let no turn wait any longer to be asked again."""
        self._is_closing = True
        for woken in self._pausing:
            woken.set()

    async def next_step(
        self, held: Held, backend: ConversationBackend, error: BackendError, tries: Tries
    ) -> TurnResult | ToBeAsked:
        """Find the next step after an error."""
        match error:
            case ConversationLost():
                return await self._lost(held, backend, error, tries)
            case ConversationBroken():
                tries.failed_by(error)
                return await self._reopen(held, GenerationReason.ENDED, error)
            case ConversationTooLong() if self._can_be_shortened(backend, tries):
                return await self._shorten(held, error, tries)
            case ConversationTooLong() if tries.shortened:
                raise await self._with_memory_given_back(held, error, tries)
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
        self, held: Held, backend: ConversationBackend, error: ConversationLost, tries: Tries
    ) -> TurnResult | ToBeAsked:
        """Rebuild, but only if the backend confirms that the conversation is gone."""
        try:
            is_there = await backend.exists(held.thread_id)
        except BackendError as unsure:
            await self._endings.plan_again(held, unsure)
            raise
        if is_there:
            return await self._look(held, backend, OutcomeUnknown(error.message), tries)
        tries.failed_by(error)
        return await self._reopen(held, GenerationReason.LOST, error)

    def _can_be_shortened(self, backend: ConversationBackend, tries: Tries) -> bool:
        return (
            self._limits.is_shortened
            and backend.keeps_conversations
            and tries.shortened < SHORTENED_AT_MOST
        )

    async def _shorten(self, held: Held, error: ConversationTooLong, tries: Tries) -> ToBeAsked:
        """Go on in a conversation that holds half as much."""
        if not tries.shortened:
            tries.characters_at_first = await self._opening.characters_held(held.thread)
        tries.shortened += 1
        fewer = tries.characters_at_first >> tries.shortened
        return await self._reopen(held, GenerationReason.SHORTENED, error, characters=fewer)

    async def _with_memory_given_back(
        self, held: Held, error: ConversationTooLong, tries: Tries
    ) -> ConversationTooLong:
        """Undo the shortening that was of no use, for it is the question that is too long."""
        await self._reopen(
            held, GenerationReason.SHORTENED, error, characters=tries.characters_at_first
        )
        await self._endings.give_back(held, error)
        return error

    async def _reopen(
        self,
        held: Held,
        reason: GenerationReason,
        error: BackendError,
        *,
        characters: int | None = None,
    ) -> ToBeAsked:
        """Plan the turn again, not applied because of `error`, on a new conversation."""
        await self._store.replan(
            held.lease,
            held.attempt.ref,
            error_code=error.code,
            error_message=f"{error.message} The thread gets a new conversation.",
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
        except BackendError as trouble:
            await self._endings.give_back(held, trouble)
            raise
        return ToBeAsked(opening=opening)

    async def _look(
        self, held: Held, backend: ConversationBackend, error: BackendError, tries: Tries
    ) -> TurnResult | ToBeAsked:
        """Bring an attempt without a definite answer to its end, if looking succeeds."""
        if not backend.keeps_conversations:
            return await self._ask_anew(held, backend, error, tries)
        await self._let_it_recover(held, error, tries)
        found = OpenTurn(turn=held.turn, attempt=held.attempt)
        withdrawal = held.delivery.withdrawal
        try:
            ending = await self._recovery.end(
                held.lease,
                held.thread,
                found,
                process_instance_id=held.process_instance_id,
                is_busy=isinstance(error, ConversationBusy),
                withdrawal=withdrawal,
                cause=error,
            )
        except BackendError as trouble:
            gone = TaskGone() if withdrawal.is_withdrawn else None
            await self._endings.set_aside(held, gone or trouble)
            raise (gone or error) from trouble
        match ending:
            case Ended():
                return await self._endings.finish(held, ending)
            case InVain(error=why):
                tries.failed_definitely()
                return await self.next_step(held, backend, why, tries)
            case ToBeAsked():
                return ending
            case _:
                assert_never(ending)

    async def _let_it_recover(self, held: Held, error: BackendError, tries: Tries) -> None:
        """Wait before looking, where that may spare a new conversation at a backend that falters.

        A run that has a name is asked about at once, and so is a backend that speaks of it.
        """
        tries.failed_by(error)
        is_silent = isinstance(error, OutcomeUnknown) and not error.is_well
        is_last = tries.unanswered >= ASKED_AT_MOST
        if held.attempt.response_id or not is_silent or is_last:
            return
        pause = self._pause_after_unknown(error, tries)
        if tries.paused_seconds + pause > self._back_off.patience_seconds:
            return
        try:
            await self._pause(held, error, pause, tries)
        except ShuttingDown as leaving:
            await self._endings.set_aside(held, leaving)
            raise

    def _pause_after_unknown(self, error: BackendError, tries: Tries) -> float:
        # Longer than after a refusal: each try may cost a model call and a conversation.
        asked_for = error.retry_after if isinstance(error, OutcomeUnknown) else None
        return self._back_off.pause(2 * tries.unanswered, at_least=asked_for)

    async def _ask_anew(
        self, held: Held, backend: ConversationBackend, error: BackendError, tries: Tries
    ) -> ToBeAsked:
        """Ask a backend that keeps nothing once more: only what it costs can be double."""
        tries.failed_by(error)
        if tries.unanswered >= ASKED_AT_MOST:
            await self._endings.plan_again(held, error)
            raise error
        pause = self._pause_after_unknown(error, tries)
        return await self._plan_and_pause(held, backend, error, pause, tries)

    async def _try_later(
        self, held: Held, backend: ConversationBackend, error: BackendUnavailable, tries: Tries
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
        tries: Tries,
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
        try:
            await self._pause(held, error, pause, tries)
        except ShuttingDown as leaving:
            await self._endings.give_back(held, leaving)
            raise
        return ToBeAsked(opening=None)

    async def _pause(self, held: Held, error: BackendError, seconds: float, tries: Tries) -> None:
        """Wait, the thread held, unless the task goes meanwhile.

        Raises:
            ShuttingDown: There is no more waiting here; the thread is to be left.
        """
        self._news.delayed(held, error, seconds)
        tries.paused_seconds += seconds
        woken = asyncio.Event()
        held.delivery.withdrawal.wakes(woken.set)
        self._pausing.add(woken)
        is_leaving = self._is_closing or held.delivery.withdrawal.is_withdrawn
        try:
            async with asyncio.timeout(0 if is_leaving else seconds):
                await woken.wait()
        except TimeoutError:
            pass
        finally:
            self._pausing.discard(woken)
        if self._is_closing:
            raise ShuttingDown
