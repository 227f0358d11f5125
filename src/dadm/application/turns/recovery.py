"""Recovery: brings an open turn to its end by looking, never by guessing."""

import asyncio
from typing import assert_never

from dadm.application.conversations.circuit import Circuits
from dadm.application.conversations.conversation_opening import ConversationOpening, Opening
from dadm.application.turns.recovery_case import Ended, Ending, InVain, RecoveryCase, ToBeAsked
from dadm.application.turns.refusals import refusal_of
from dadm.application.turns.turn_news import TurnNews
from dadm.application.turns.withdrawal import Withdrawal
from dadm.application.world import World
from dadm.domain.errors import (
    BackendError,
    BackendRefused,
    BackendUnavailable,
    ConversationLost,
    OutcomeUnknown,
)
from dadm.domain.thread import GenerationReason, Thread
from dadm.domain.turn import Refusal, Turn
from dadm.ports.audit import AuditAction
from dadm.ports.backend import (
    Answered,
    CutShort,
    Finding,
    FoundAnswered,
    FoundNothing,
    FoundUnanswered,
    RunCancelled,
    RunFailed,
    RunGone,
    Running,
)
from dadm.ports.store_values import AnswerSettlement, Lease, OpenTurn, RefusalSettlement

LONGEST_POLL_SECONDS = 30.0

NOT_APPLIED = "not_applied"
"""What is noted on an attempt of which nothing was found, where nobody knows what it met."""


class Recovery:
    """Applies the recovery table to an open turn, under its thread's lease.

    With a backend that keeps conversations: a named run is retrieved, and waited for while it
    runs; otherwise the conversation is looked at behind the item known before the request
    left, again and again while another run holds it. Only when nothing is there and the request
    may still be under way does the thread get a new conversation, so that a late arrival lands
    where nobody reads; and never at a backend that is failing. Waiting is bounded by the longest
    turn; a run that takes longer is stopped.

    With a backend that keeps nothing, the turn is planned again: nothing was recorded, so the
    transcript cannot double.
    """

    def __init__(self, world: World, opening: ConversationOpening, circuits: Circuits) -> None:
        """Look through the backends that `opening` knows; record in the world's store."""
        self._store = world.store
        self._opening = opening
        self._circuits = circuits
        self._news = TurnNews(world.observer, world.clock)
        self._clock = world.clock
        self._limits = world.limits

    async def end(
        self,
        lease: Lease,
        thread: Thread,
        found: OpenTurn,
        *,
        process_instance_id: str,
        is_busy: bool = False,
        withdrawal: Withdrawal | None = None,
        cause: BackendError | None = None,
    ) -> Ending:
        """Bring the open turn to its end, or prove that it must be asked again.

        Args:
            lease: Held by the caller, and still held afterwards.
            thread: The thread as it stands.
            found: Its open turn.
            process_instance_id: For those who are told of a new conversation.
            is_busy: Another run held the conversation a moment ago; perhaps an earlier try of
                this turn, so it is worth waiting for.
            withdrawal: Tells whether the turn's own task is gone: its run is stopped then, and
                nothing new is begun for it.
            cause: Why there is no definite answer, where that is known, for the attempt's record.

        Raises:
            BackendError: Looking did not succeed; the turn is as it was.
            ThreadConflict: The lease does not stand any more.
        """
        # Waiting takes one turn's time at most; looking and rebuilding get as much again.
        longest_seconds = 2 * self._limits.turn_seconds
        at = RecoveryCase(
            lease=lease,
            thread=thread,
            found=found,
            backend=await self._opening.backend_of(thread),
            process_instance_id=process_instance_id,
            is_busy=is_busy,
            withdrawal=withdrawal,
            cause=cause,
            begun_at=self._clock.monotonic(),
        )
        try:
            async with asyncio.timeout(longest_seconds):
                return await self._end(at)
        except TimeoutError:
            msg = f"Looking for the turn's answer took more than {longest_seconds:g} seconds."
            raise OutcomeUnknown(msg) from None

    async def _end(self, at: RecoveryCase) -> Ending:
        live = at.thread.live
        if live is None or not at.backend.keeps_conversations:
            return await self._ask_again(at, "nothing of it was recorded")
        if at.found.attempt.generation != live.number:
            return await self._ask_again(at, "its conversation is no longer in use")
        try:
            if at.found.attempt.response_id:
                return await self._by_run(at)
            return await self._by_looking(at, is_over=False)
        except ConversationLost:
            opening = await self._reopen(at, GenerationReason.LOST)
            return await self._ask_again(at, "its conversation was lost", opening)

    async def _by_run(self, at: RecoveryCase) -> Ending:
        polls, is_stopped = 0, False
        while True:
            state = await at.backend.retrieve(at.conversation_id, at.found.attempt.response_id)
            match state:
                case Running() if is_stopped:
                    return await self._by_looking(at, is_over=False)
                case Running():
                    polls += 1
                    is_stopped = await self._stop_or_wait(at, polls)
                case Answered():
                    return await self._settle(at, state)
                case CutShort():
                    return await self.refuse_cut_short(at.lease, at.thread, at.found.turn, state)
                case RunFailed():
                    return await self._failed(at, state)
                case RunCancelled():
                    return await self._by_looking(at, is_over=True)
                case RunGone():
                    return await self._by_looking(at, is_over=False)
                case _:
                    assert_never(state)

    async def _stop_or_wait(self, at: RecoveryCase, polls: int) -> bool:
        """Stop a run whose task is gone, or that takes too long; else wait. Whether it stopped it."""
        if at.is_withdrawn:
            await self._stop(at, "its task is gone")
            return True
        if self._waited(at) >= self._limits.turn_seconds:
            await self._stop(at, f"it was still under way after {self._waited(at):.0f} seconds")
            return True
        await self._clock.sleep(self._poll_seconds(polls))
        return False

    async def _stop(self, at: RecoveryCase, reason: str) -> None:
        response_id = at.found.attempt.response_id
        await at.backend.cancel(response_id)
        self._news.stopped(
            at.found.turn,
            at.process_instance_id,
            at.conversation_id,
            response_id,
            reason=reason,
        )

    async def _failed(self, at: RecoveryCase, failure: RunFailed) -> Ending:
        """End a turn whose run failed: by what it left all the same, else by why it failed."""
        if failure.is_temporary:
            ending = await self._by_looking(at, is_over=True)
            if isinstance(ending, ToBeAsked) and ending.opening is None:
                # Asked at once it would meet the same again, so it is asked as after a refusal
                # for now: with pauses, and within the delivery's patience.
                return InVain(error=BackendUnavailable(failure.reason))
            return ending
        finding = await self._look_while_busy(at)
        if isinstance(finding, FoundAnswered):
            return await self._by_finding(at, finding, is_over=True)
        if finding.foreign_items:
            await self._note_foreign(at, finding.foreign_items)
        if isinstance(finding, FoundUnanswered):
            await self._reopen(at, GenerationReason.ENDED)
        error = failure.error(failure.reason)
        if not isinstance(error, BackendRefused):
            await self._ask_again(at, error.message)
            return InVain(error=error)
        refusal = Refusal(code=error.code, reason=error.message)
        return Ended(
            turn=await self._store.settle(
                at.lease, at.found.turn.ref, RefusalSettlement(refusal=refusal), keep_lease=True
            )
        )

    async def _by_looking(self, at: RecoveryCase, *, is_over: bool) -> Ending:
        """Look behind the last known item; `is_over` if the run is known to have ended."""
        return await self._by_finding(at, await self._look_while_busy(at), is_over=is_over)

    async def _by_finding(self, at: RecoveryCase, finding: Finding, *, is_over: bool) -> Ending:
        if finding.foreign_items:
            await self._note_foreign(at, finding.foreign_items)
        match finding:
            case FoundAnswered(is_by_text_alone=True) if await self._was_asked_before(at):
                return await self._fence(at, "an earlier task asked the same")
            case FoundAnswered(answered=answered):
                return await self._settle(at, answered)
            case FoundUnanswered():
                opening = await self._reopen(at, GenerationReason.ENDED)
                return await self._ask_again(at, "it had no answer", opening)
            case FoundNothing():
                if is_over:
                    return await self._ask_again(at, "nothing of it was appended")
                return await self._fence(at, "it may be under way")
            case _:
                assert_never(finding)

    async def _look_while_busy(self, at: RecoveryCase) -> Finding:
        """Look once, or until the answer is there while another run holds the conversation.

        That run may be ours. Patience is only about cost here: what comes later is fenced off.
        """
        longest = min(self._limits.turn_seconds, self._limits.patience_seconds)
        polls = 0
        while True:
            finding = await at.backend.look(
                at.conversation_id,
                after_item=at.found.attempt.item_before,
                prompt=at.found.turn.prompt,
            )
            is_there = isinstance(finding, FoundAnswered)
            if is_there or not at.is_busy or self._waited(at) >= longest:
                return finding
            polls += 1
            await self._clock.sleep(self._poll_seconds(polls))

    async def _note_foreign(self, at: RecoveryCase, count: int) -> None:
        self._news.foreign(at.process_instance_id, at.conversation_id, count)
        await self._store.note(
            at.thread.ref,
            at.found.turn.ref,
            AuditAction.FOREIGN_ITEMS,
            detail=f"{count} messages of others in {at.conversation_id}",
        )

    async def _was_asked_before(self, at: RecoveryCase) -> bool:
        """Whether an earlier turn of the thread asked the same words."""
        prompt, after = at.found.turn.prompt.strip(), 0
        while exchanges := await self._store.exchanges(at.thread.ref, after_sequence=after):
            if any(exchange.prompt.strip() == prompt for exchange in exchanges):
                return True
            after = exchanges[-1].sequence
        return False

    async def _fence(self, at: RecoveryCase, why: str) -> Ending:
        """Go on in a new conversation, so that whatever arrives late lands where nobody reads.

        Raises:
            OutcomeUnknown: The backend is failing, so nothing new is opened there now; nor is it
                for a task that is gone.
        """
        if at.is_withdrawn:
            msg = f"Nothing of the turn was found, and {why}; its task is gone, so it stays."
            raise OutcomeUnknown(msg)
        if self._circuits.is_failing(at.backend.identity):
            msg = f"Nothing of the turn was found, and {why}; the backend is failing, so it waits."
            raise OutcomeUnknown(msg)
        opening = await self._reopen(at, GenerationReason.FENCED)
        return await self._ask_again(at, why, opening)

    async def refuse_cut_short(
        self, lease: Lease, thread: Thread, turn: Turn, cut: CutShort
    ) -> Ended:
        """Record an answer cut short as a refusal, and end the conversation that may hold it."""
        backend = await self._opening.backend_of(thread)
        if thread.live is not None and backend.keeps_conversations:
            await self._store.retire(lease, thread.live.number)
        settlement = RefusalSettlement(refusal=refusal_of(cut), usage=cut.usage)
        return Ended(turn=await self._store.settle(lease, turn.ref, settlement, keep_lease=True))

    async def _settle(self, at: RecoveryCase, answered: Answered) -> Ended:
        settlement = AnswerSettlement(
            answer=answered.text,
            usage=answered.usage,
            last_item_id=answered.last_item_id,
            is_recovered=True,
        )
        turn = await self._store.settle(at.lease, at.found.turn.ref, settlement, keep_lease=True)
        return Ended(turn=turn)

    async def _reopen(self, at: RecoveryCase, reason: GenerationReason) -> Opening:
        return await self._opening.open(
            at.lease, at.thread, reason=reason, process_instance_id=at.process_instance_id
        )

    async def _ask_again(
        self, at: RecoveryCase, why: str, opening: Opening | None = None
    ) -> ToBeAsked:
        said = f"{at.cause.message} " if at.cause else ""
        await self._store.replan(
            at.lease,
            at.found.attempt.ref,
            error_code=at.cause.code if at.cause else NOT_APPLIED,
            error_message=f"{said}Asked again: {why}.",
            keep_lease=True,
        )
        return ToBeAsked(opening=opening)

    def _waited(self, at: RecoveryCase) -> float:
        return self._clock.monotonic() - at.begun_at

    def _poll_seconds(self, polls: int) -> float:
        """Give the wait before a run is asked about again: longer each time."""
        return min(LONGEST_POLL_SECONDS, self._limits.busy_poll_seconds * 2.0 ** min(polls - 1, 8))
