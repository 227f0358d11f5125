"""Asking: from a submitted turn to a settled one, whatever the backend answers."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TypeAlias, assert_never

from dadm.application.conversation_opening import ConversationOpening
from dadm.application.held import Held, TurnResult
from dadm.application.limits import TurnLimits
from dadm.application.recovery import Ended, Recovery, ToBeAsked
from dadm.application.settling import Settling
from dadm.application.submission import prepare_submission
from dadm.application.turn_news import TurnNews
from dadm.domain.assistant import AssistantCatalogue
from dadm.domain.errors import (
    BackendError,
    BackendRefused,
    ConversationBroken,
    ConversationBusy,
    ConversationLost,
    OutcomeUnknown,
    RequestError,
    StoreUnavailable,
)
from dadm.domain.thread import GenerationReason
from dadm.domain.transcript import Window
from dadm.domain.turn import Refusal, Turn
from dadm.ports.backend import (
    Answered,
    AnswerPart,
    ConversationBackend,
    CutShort,
    MessagesShown,
    Question,
    ResponseStarted,
)
from dadm.ports.clock import Clock
from dadm.ports.store import ThreadStore
from dadm.ports.store_values import AnswerSettlement, OpenTurn, RefusalSettlement

ASKED_AT_MOST = 3
"""How often one delivery may ask its backend before the turn is left to the next delivery."""


_Step: TypeAlias = TurnResult | ToBeAsked


class Asking:
    """Asks the backend, settles what it answered, and turns its errors into the next step."""

    def __init__(
        self,
        *,
        store: ThreadStore,
        opening: ConversationOpening,
        recovery: Recovery,
        assistants: AssistantCatalogue,
        news: TurnNews,
        clock: Clock,
        limits: TurnLimits,
    ) -> None:
        """Work with the parts of turn taking."""
        self._store = store
        self._settling = Settling(store, clock)
        self._opening = opening
        self._recovery = recovery
        self._assistants = assistants
        self._news = news
        self._clock = clock
        self._limits = limits

    async def ask(self, held: Held) -> TurnResult:
        """Bring the submitted turn to its end and release the thread.

        Raises:
            BackendError: There is no answer yet; the turn is planned again or unknown, and the
                thread is free.
            StoreError: The store did not take part, or the lease was lost.
        """
        for asked in range(1, ASKED_AT_MOST + 1):
            step = await self._ask_once(held)
            if isinstance(step, TurnResult):
                return step
            if asked < ASKED_AT_MOST:
                held = await self._submit_again(held, step)
        error = OutcomeUnknown(f"The turn was asked {ASKED_AT_MOST} times without an answer.")
        await self._give_back(held)
        self._news.unsettled(held, error, is_unknown=False)
        raise error

    async def finish(self, held: Held, ended: Ended) -> TurnResult:
        """Release the thread of a turn that was brought to its end by looking."""
        await self._store.release(held.lease)
        self.tell_end(held, ended.turn)
        return self._result(held, ended.turn)

    def tell_end(self, held: Held, turn: Turn) -> None:
        """Tell of a turn that was brought to its end by looking."""
        if turn.refusal is not None:
            self._news.refused(held, turn.refusal)
            return
        now = self._clock.monotonic()
        self._news.completed(held, turn, begun_at=now, answered_at=now)

    async def _ask_once(self, held: Held) -> _Step:
        self._news.started(held)
        try:
            backend = await self._opening.backend_of(held.thread)
        except BackendError as error:
            await self._plan_again(held, error)
            raise
        begun_at = self._clock.monotonic()
        conversing = _Conversing(held=held)
        try:
            async with asyncio.timeout(self._limits.turn_seconds):
                end = await self._converse(conversing, backend)
        except ConversationLost as error:
            return await self._lost(conversing.held, backend, error)
        except ConversationBroken:
            return await self._reopen(held, GenerationReason.ENDED)
        except (OutcomeUnknown, ConversationBusy) as error:
            return await self._look(conversing.held, backend, error)
        except TimeoutError:
            late = OutcomeUnknown(f"No answer within {self._limits.turn_seconds:g} seconds.")
            await self._set_aside(conversing.held, late)
            raise late from None
        except BackendRefused as error:
            return await self._refuse(held, error)
        except BackendError as error:
            await self._plan_again(held, error)
            raise
        return await self._settle(held, end, begun_at)

    async def _converse(
        self, conversing: "_Conversing", backend: ConversationBackend
    ) -> Answered | CutShort:
        held = conversing.held
        question = await self._question(held, backend)
        async with backend.take_turn(question) as events:
            async for event in events:
                match event:
                    case MessagesShown():
                        self._news.shown(held, event)
                    case ResponseStarted(response_id=response_id):
                        conversing.note_response(response_id)
                        with suppress(StoreUnavailable):
                            # Without the name, whoever comes after a crash looks instead.
                            await self._store.note_response(held.attempt.ref, response_id)
                    case AnswerPart():
                        continue
                    case Answered() | CutShort():
                        return event
                    case _:
                        assert_never(event)
        msg = "The backend ended its answer without saying how."
        raise OutcomeUnknown(msg)

    async def _question(self, held: Held, backend: ConversationBackend) -> Question:
        history = Window(exchanges=(), left_out=0)
        if backend.history_characters and held.turn.sequence > 1:
            history = await self._store.window(
                held.thread.ref, characters=backend.history_characters
            )
        key = held.turn.key
        return Question(
            conversation_id=held.thread_id,
            assistant=self._assistants.resolve(held.thread.key.assistant),
            prompt=held.turn.prompt,
            history=history,
            answer_schema=held.turn.answer_schema,
            labels={"engine": key.engine, "scope": key.scope, "task": key.task_id},
        )

    async def _settle(self, held: Held, end: Answered | CutShort, begun_at: float) -> TurnResult:
        answered_at = self._clock.monotonic()
        if isinstance(end, CutShort):
            ended = await self._recovery.refuse_cut_short(held.lease, held.thread, held.turn, end)
            return await self.finish(held, ended)
        settlement = AnswerSettlement(
            answer=end.text, usage=end.usage, last_item_id=end.last_item_id
        )
        turn = await self._settling.settle(held.lease, held.turn.ref, settlement)
        self._news.completed(held, turn, begun_at=begun_at, answered_at=answered_at)
        return self._result(held, turn)

    async def _lost(
        self, held: Held, backend: ConversationBackend, error: ConversationLost
    ) -> _Step:
        """Rebuild, but only if the backend confirms that the conversation is gone."""
        try:
            is_there = await backend.exists(held.thread_id)
        except BackendError as unsure:
            await self._plan_again(held, unsure)
            raise
        if is_there:
            return await self._look(held, backend, OutcomeUnknown(error.message))
        return await self._reopen(held, GenerationReason.LOST)

    async def _reopen(self, held: Held, reason: GenerationReason) -> ToBeAsked:
        """Plan the turn again, proven not applied, on a new conversation."""
        await self._store.replan(
            held.lease,
            held.turn.ref,
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
            )
        except BackendError as error:
            await self._give_back(held)
            self._news.unsettled(held, error, is_unknown=False)
            raise
        return ToBeAsked(opening=opening)

    async def _look(self, held: Held, backend: ConversationBackend, error: BackendError) -> _Step:
        """Bring an attempt without a definite answer to its end, if looking succeeds."""
        if not backend.keeps_conversations:
            await self._plan_again(held, error)
            raise error
        found = OpenTurn(turn=held.turn, attempt=held.attempt)
        try:
            ending = await self._recovery.end(
                held.lease,
                held.thread,
                found,
                process_instance_id=held.process_instance_id,
                is_busy=isinstance(error, ConversationBusy),
            )
        except BackendError as trouble:
            await self._set_aside(held, trouble)
            raise error from trouble
        return await self.finish(held, ending) if isinstance(ending, Ended) else ending

    async def _submit_again(self, held: Held, step: ToBeAsked) -> Held:
        standing = await self._store.look_up(held.delivery.thread, held.turn.key)
        thread = standing.thread or held.thread
        try:
            submission = prepare_submission(held.delivery.task, thread, self._assistants)
            submitted = await self._store.submit(held.lease, held.turn.ref, submission)
        except RequestError:
            # Its placeholders are undefined by now, or the thread was closed meanwhile.
            await self._give_back(held)
            raise
        return Held.of(
            held.delivery,
            submitted,
            step.opening or held.opening,
            waited_seconds=held.waited_seconds,
        )

    async def _refuse(self, held: Held, error: BackendRefused) -> TurnResult:
        refusal = Refusal(code=error.code, reason=error.message)
        turn = await self._settling.settle(
            held.lease, held.turn.ref, RefusalSettlement(refusal=refusal)
        )
        self._news.refused(held, refusal)
        return self._result(held, turn)

    async def _plan_again(self, held: Held, error: BackendError) -> None:
        await self._store.replan(
            held.lease,
            held.turn.ref,
            error_code=error.code,
            error_message=error.message,
            keep_lease=False,
        )
        self._news.unsettled(held, error, is_unknown=False)

    async def _set_aside(self, held: Held, error: BackendError) -> None:
        await self._store.set_aside(
            held.lease, held.turn.ref, error_code=error.code, error_message=error.message
        )
        self._news.unsettled(held, error, is_unknown=True)

    async def _give_back(self, held: Held) -> None:
        """Release the thread of a turn that is planned again, and its place in the line."""
        await self._store.release(held.lease)
        await self._store.drop_ticket(held.turn.ref)

    def _result(self, held: Held, turn: Turn) -> TurnResult:
        return TurnResult(turn=turn, thread=held.thread, opening=held.opening, is_replayed=False)


@dataclass(slots=True)
class _Conversing:
    """The turn being asked, with the run's name as soon as it is known."""

    held: Held

    def note_response(self, response_id: str) -> None:
        self.held = replace(self.held, attempt=replace(self.held.attempt, response_id=response_id))
