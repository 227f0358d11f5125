"""Recovery: brings an open turn to its end by looking, never by guessing."""

import asyncio
from dataclasses import dataclass
from typing import TypeAlias, assert_never

from dadm.application.conversation_opening import ConversationOpening, Opening
from dadm.application.limits import TurnLimits
from dadm.application.settling import Settling
from dadm.domain.errors import BackendRefused, ConversationLost, OutcomeUnknown
from dadm.domain.thread import ConversationId, GenerationReason, Thread
from dadm.domain.turn import Refusal, Turn
from dadm.ports.backend import (
    Answered,
    ConversationBackend,
    CutShort,
    Finding,
    FoundAnswered,
    FoundNothing,
    FoundUnanswered,
    RunFailed,
    RunGone,
    Running,
)
from dadm.ports.clock import Clock
from dadm.ports.store import ThreadStore
from dadm.ports.store_values import AnswerSettlement, Lease, OpenTurn, RefusalSettlement

CUT_SHORT = "answer_cut_short"
"""The refusal code of an answer that the backend ended early and definitely."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """The turn has its end; the lease is still held."""

    turn: Turn


@dataclass(frozen=True, slots=True, kw_only=True)
class ToBeAsked:
    """Nothing of the turn is in the live conversation, so it is planned again.

    `opening` says how the live conversation changed on the way, None if it did not.
    """

    opening: Opening | None


Ending: TypeAlias = Ended | ToBeAsked


class Recovery:
    """Applies the recovery table to an open turn, under its thread's lease.

    With a backend that keeps conversations: a named run is retrieved, and waited for while it
    runs; otherwise the conversation is looked at behind the item known before the request
    left, again and again while another run holds it. Only when nothing is there and the request
    may still be under way does the thread get a new conversation, so that a late arrival lands
    where nobody reads. Waiting is bounded by the longest turn.

    With a backend that keeps nothing, the turn is planned again: nothing was recorded, so the
    transcript cannot double.
    """

    def __init__(
        self,
        store: ThreadStore,
        opening: ConversationOpening,
        clock: Clock,
        limits: TurnLimits,
    ) -> None:
        """Look through the backends that `opening` knows; record in `store`."""
        self._store = store
        self._settling = Settling(store, clock)
        self._opening = opening
        self._clock = clock
        self._limits = limits

    async def end(
        self,
        lease: Lease,
        thread: Thread,
        found: OpenTurn,
        *,
        process_instance_id: str,
        is_busy: bool = False,
    ) -> Ending:
        """Bring the open turn to its end, or prove that it must be asked again.

        Args:
            lease: Held by the caller, and still held afterwards.
            thread: The thread as it stands.
            found: Its open turn.
            process_instance_id: For those who are told of a new conversation.
            is_busy: Another run held the conversation a moment ago; perhaps an earlier try of
                this turn, so it is worth waiting for.

        Raises:
            BackendError: Looking did not succeed; the turn is as it was.
            ThreadConflict: The lease does not stand any more.
        """
        # Waiting takes one turn's time at most; looking and rebuilding get as much again.
        longest_seconds = 2 * self._limits.turn_seconds
        try:
            async with asyncio.timeout(longest_seconds):
                return await self._end(
                    lease,
                    thread,
                    found,
                    process_instance_id=process_instance_id,
                    is_busy=is_busy,
                )
        except TimeoutError:
            msg = f"Looking for the turn's answer took more than {longest_seconds:g} seconds."
            raise OutcomeUnknown(msg) from None

    async def _end(
        self,
        lease: Lease,
        thread: Thread,
        found: OpenTurn,
        *,
        process_instance_id: str,
        is_busy: bool,
    ) -> Ending:
        live = thread.live
        backend = await self._opening.backend_of(thread)
        if live is None or not backend.keeps_conversations:
            return await self._ask_again(lease, found, "nothing of it was recorded")
        if found.attempt.generation != live.number:
            return await self._ask_again(lease, found, "its conversation is no longer in use")
        at = _At(
            lease=lease,
            thread=thread,
            found=found,
            backend=backend,
            process_instance_id=process_instance_id,
            is_busy=is_busy,
            wait_until=self._clock.monotonic() + self._limits.turn_seconds,
        )
        try:
            if found.attempt.response_id:
                return await self._by_run(at)
            return await self._by_looking(at, is_over=False)
        except ConversationLost:
            opening = await self._reopen(at, GenerationReason.LOST)
            return await self._ask_again(lease, found, "its conversation was lost", opening)

    async def _by_run(self, at: "_At") -> Ending:
        conversation_id = at.conversation_id
        while True:
            state = await at.backend.retrieve(conversation_id, at.found.attempt.response_id)
            match state:
                case Running():
                    await self._wait_for_run(at)
                case Answered():
                    return await self._settle(at, state)
                case CutShort():
                    return await self.refuse_cut_short(at.lease, at.thread, at.found.turn, state)
                case RunFailed():
                    return await self._failed(at, state)
                case RunGone():
                    return await self._by_looking(at, is_over=False)
                case _:
                    assert_never(state)

    async def _wait_for_run(self, at: "_At") -> None:
        if self._clock.monotonic() >= at.wait_until:
            msg = (
                f"The run {at.found.attempt.response_id} is still under way after "
                f"{self._limits.turn_seconds:g} seconds."
            )
            raise OutcomeUnknown(msg)
        await self._clock.sleep(self._limits.busy_poll_seconds)

    async def _failed(self, at: "_At", failure: RunFailed) -> Ending:
        ending = await self._by_looking(at, is_over=True)
        if isinstance(ending, Ended) or failure.is_temporary:
            return ending
        refusal = Refusal(code="backend_refused", reason=failure.reason)
        return Ended(
            turn=await self._settling.settle(
                at.lease, at.found.turn.ref, RefusalSettlement(refusal=refusal), keep_lease=True
            )
        )

    async def _by_looking(self, at: "_At", *, is_over: bool) -> Ending:
        """Look behind the last known item; `is_over` if the run is known to have ended."""
        finding = await self._look(at)
        while (
            at.is_busy
            and not isinstance(finding, FoundAnswered)
            and self._clock.monotonic() < at.wait_until
        ):
            await self._clock.sleep(self._limits.busy_poll_seconds)
            finding = await self._look(at)
        match finding:
            case FoundAnswered(answered=answered):
                return await self._settle(at, answered)
            case FoundUnanswered():
                opening = await self._reopen(at, GenerationReason.ENDED)
                return await self._ask_again(at.lease, at.found, "it had no answer", opening)
            case FoundNothing():
                if is_over:
                    return await self._ask_again(at.lease, at.found, "nothing of it was appended")
                opening = await self._reopen(at, GenerationReason.FENCED)
                return await self._ask_again(at.lease, at.found, "it may be under way", opening)
            case _:
                assert_never(finding)

    async def _look(self, at: "_At") -> Finding:
        return await at.backend.look(
            at.conversation_id,
            after_item=at.found.attempt.item_before,
            prompt=at.found.turn.prompt,
        )

    async def refuse_cut_short(
        self, lease: Lease, thread: Thread, turn: Turn, cut: CutShort
    ) -> Ended:
        """Record an answer cut short as a refusal, and end the conversation that may hold it."""
        backend = await self._opening.backend_of(thread)
        if thread.live is not None and backend.keeps_conversations:
            await self._store.retire(lease, thread.live.number)
        settlement = RefusalSettlement(refusal=_refusal_of(cut), usage=cut.usage)
        return Ended(turn=await self._settling.settle(lease, turn.ref, settlement, keep_lease=True))

    async def _settle(self, at: "_At", answered: Answered) -> Ended:
        settlement = AnswerSettlement(
            answer=answered.text,
            usage=answered.usage,
            last_item_id=answered.last_item_id,
            is_recovered=True,
        )
        turn = await self._settling.settle(at.lease, at.found.turn.ref, settlement, keep_lease=True)
        return Ended(turn=turn)

    async def _reopen(self, at: "_At", reason: GenerationReason) -> Opening:
        return await self._opening.open(
            at.lease, at.thread, reason=reason, process_instance_id=at.process_instance_id
        )

    async def _ask_again(
        self, lease: Lease, found: OpenTurn, why: str, opening: Opening | None = None
    ) -> ToBeAsked:
        await self._store.replan(
            lease,
            found.turn.ref,
            error_code="not_applied",
            error_message=f"Asked again: {why}.",
            keep_lease=True,
        )
        return ToBeAsked(opening=opening)


@dataclass(frozen=True, slots=True, kw_only=True)
class _At:
    """What one recovery is about, and until when by the monotonic clock it may wait."""

    lease: Lease
    thread: Thread
    found: OpenTurn
    backend: ConversationBackend
    process_instance_id: str
    is_busy: bool
    wait_until: float

    @property
    def conversation_id(self) -> ConversationId:
        live = self.thread.live
        return live.conversation_id if live else ConversationId("")


def _refusal_of(cut: CutShort) -> Refusal:
    """Say why there is no answer, and what a person can do about it."""
    match cut.reason:
        case "refusal":
            said = f": {cut.partial_text.strip()}" if cut.partial_text.strip() else "."
            return Refusal(code=BackendRefused.code, reason=f"The model refused to answer{said}")
        case "content_filter":
            reason = "The backend's content filter stopped the answer; change what is asked."
            return Refusal(code=BackendRefused.code, reason=reason)
        case "length" | "max_output_tokens" | "max_tokens":
            advice = "Raise the assistant's answer limit or change the task"
        case _:
            advice = "Change the task or the assistant"
    reason = (
        f"The backend ended its answer early ({cut.reason}). {advice}, then have it asked again."
    )
    return Refusal(code=CUT_SHORT, reason=reason)
