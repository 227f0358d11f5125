"""TurnResolving: a person decides about a turn that has no end of its own."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias, assert_never

from dadm.application.care.answer_finding import AnswerFinding, Found, NotFound
from dadm.application.thread_holding import ThreadBusy, ThreadHolding
from dadm.application.world import World
from dadm.domain.errors import BackendError, ThreadErased, UnknownThread
from dadm.domain.thread import NO_USAGE, Generation, ThreadState
from dadm.domain.turn import LEGAL_CHANGES, Turn, TurnRef, TurnState
from dadm.ports.audit import AuditAction
from dadm.ports.store_values import AbandonSettlement, AnswerSettlement, Settlement, ThreadGranted

RESUBMITTED = "resubmitted"
"""The error code on the attempt of a turn that a person had asked again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AsAnswered:
    """The turn has an answer: these words, or, where None, what the backend is found to hold."""

    words: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AsResubmit:
    """The turn is to be asked again when its task is delivered next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AsAbandoned:
    """The turn ends without an answer; `reason` is the person's."""

    reason: str


Decision: TypeAlias = AsAnswered | AsResubmit | AsAbandoned


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """The turn is as it was decided. `retired` is the conversation that was left behind, if any."""

    turn: Turn
    retired: Generation | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NotResolved:
    """Nothing was changed; `said` says why, and what to do."""

    said: str


WHAT_ELSE: Mapping[TurnState, str] = MappingProxyType(
    {
        TurnState.PLANNED: "It is asked when its task is delivered next; if it should not be, "
        "give --as abandoned.",
        TurnState.SUBMITTED: "",
        TurnState.UNKNOWN: "",
        TurnState.COMPLETED: "It has its answer, which never changes.",
        TurnState.REFUSED: "It has its end. Have its task delivered again and it is asked again: "
        "dadm incidents retry, or call /process_task once more.",
        TurnState.ABANDONED: "It has its end. Give the work a new task to have it asked again.",
    }
)
"""What a person can do about a turn in that state instead."""


class TurnResolving:
    """Applies a person's decision under the lease of the turn's thread.

    A request of an open turn may still be under way, or its question may stand in the live
    conversation: whatever is decided without the backend, that conversation is retired first, so
    that a late arrival lands where nobody reads. Only then is the turn changed; interrupted in
    between, the turn is open as before and its thread's next holder asks it anew.
    """

    def __init__(self, world: World, holding: ThreadHolding, finding: AnswerFinding) -> None:
        """Decide in the world's store; find answers by `finding`."""
        self._store = world.store
        self._backends = world.backends
        self._holding = holding
        self._finding = finding

    async def resolve(
        self, turn: TurnRef, decision: Decision
    ) -> Resolved | NotResolved | ThreadBusy:
        """Bring the turn to where the person wants it.

        Raises:
            UnknownThread: There is no such turn.
            ThreadErased: Its thread is being erased.
            BackendError: The answer could not be looked for; nothing was changed.
            ThreadConflict: The lease was lost.
        """
        known = await self._turn(turn)
        return await self._holding.hold(
            known.thread, lambda granted: self.resolve_held(granted, turn, decision)
        )

    async def _turn(self, ref: TurnRef) -> Turn:
        turn = await self._store.find_turn(ref)
        if turn is None:
            msg = f"There is no turn {ref}. See which wait for a person: dadm turns list"
            raise UnknownThread(msg)
        return turn

    async def resolve_held(
        self, granted: ThreadGranted, ref: TurnRef, decision: Decision
    ) -> Resolved | NotResolved:
        """Bring a turn of a thread that is held to where it is wanted; raises as `resolve` does."""
        if granted.thread.state is ThreadState.ERASING:
            msg = "The turn's thread is being erased, and its turns with it."
            raise ThreadErased(msg)
        turn = await self._turn(ref)
        if not is_open_to(turn.state, decision):
            said = f"Turn {ref} is {turn.state.value}. {WHAT_ELSE[turn.state]}"
            return NotResolved(said=said)
        match decision:
            case AsAnswered(words=words):
                if words is None:
                    return await self._settle_found(granted, turn)
                answer = AnswerSettlement(answer=words, usage=NO_USAGE, last_item_id="")
                await self._note(turn, "answered by a person")
                return await self._settle_apart(granted, turn, answer)
            case AsResubmit():
                return await self._resubmit(granted, turn)
            case AsAbandoned(reason=reason):
                return await self._settle_apart(granted, turn, AbandonSettlement(reason=reason))
            case _:
                assert_never(decision)

    async def _settle_found(self, granted: ThreadGranted, turn: Turn) -> Resolved | NotResolved:
        found = await self._finding.find(granted.thread, turn)
        match found:
            case NotFound(said=said):
                return NotResolved(said=said)
            case Found(answered=answered, generation=generation):
                live = granted.thread.live
                is_live = live is not None and live.number == generation.number
                settlement = AnswerSettlement(
                    answer=answered.text,
                    usage=answered.usage,
                    last_item_id=answered.last_item_id if is_live else "",
                    is_recovered=True,
                )
            case _:
                assert_never(found)
        if not is_live:
            return await self._settle_apart(granted, turn, settlement)
        settled = await self._store.settle(granted.lease, turn.ref, settlement, keep_lease=True)
        return Resolved(turn=settled, retired=None)

    async def _settle_apart(
        self, granted: ThreadGranted, turn: Turn, settlement: Settlement
    ) -> Resolved:
        """Settle by what the live conversation does not hold; so it is left first."""
        retired = await self._leave(granted, turn)
        settled = await self._store.settle(granted.lease, turn.ref, settlement, keep_lease=True)
        return Resolved(turn=settled, retired=retired)

    async def _resubmit(self, granted: ThreadGranted, turn: Turn) -> Resolved:
        latest = (await self._store.attempts(turn.ref))[-1]
        retired = await self._leave(granted, turn)
        await self._note(turn, "asked again by a person")
        await self._store.replan(
            granted.lease,
            latest.ref,
            error_code=RESUBMITTED,
            error_message="A person had it asked again.",
            keep_lease=False,
        )
        return Resolved(turn=await self._turn(turn.ref), retired=retired)

    async def _leave(self, granted: ThreadGranted, turn: Turn) -> Generation | None:
        """Retire the live conversation that the turn may be in, or come to be in."""
        live = granted.thread.live
        if live is None or not turn.state.is_open or not await self._may_keep(live):
            return None
        await self._store.retire(granted.lease, live.number)
        return live

    async def _may_keep(self, live: Generation) -> bool:
        """Whether the backend keeps conversations; so it is taken where it cannot be asked."""
        try:
            backend = await self._backends.of(live.identity)
        except BackendError:
            return True
        return backend.keeps_conversations

    async def _note(self, turn: Turn, detail: str) -> None:
        # Before the decision, which is not the backend's: it must not go without its row.
        await self._store.note(turn.thread, turn.ref, AuditAction.RESOLVED, detail=detail)


def is_open_to(state: TurnState, decision: Decision) -> bool:
    """Whether a turn in that state can be resolved so."""
    match decision:
        case AsAnswered():
            return TurnState.COMPLETED in LEGAL_CHANGES[state]
        case AsResubmit():
            return state.is_open and TurnState.PLANNED in LEGAL_CHANGES[state]
        case AsAbandoned():
            return TurnState.ABANDONED in LEGAL_CHANGES[state]
        case _:
            assert_never(decision)
