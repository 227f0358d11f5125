"""ThreadRebuilding: gives a thread a new conversation with its memory, on a person's word."""

from dataclasses import dataclass
from typing import TypeAlias

from dadm.application.conversations.conversation_opening import ConversationOpening, Opening
from dadm.application.thread_holding import ThreadBusy, ThreadHolding
from dadm.application.turns.recovery import Recovery
from dadm.application.turns.recovery_case import Ending, ToBeAsked
from dadm.application.world import World
from dadm.domain.errors import BackendError, ThreadErased, TooManyLost
from dadm.domain.thread import GenerationReason, Thread, ThreadRef, ThreadState
from dadm.ports.store_values import OpenTurn, ThreadGranted


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuilt:
    """The thread has a new live conversation."""

    opening: Opening


@dataclass(frozen=True, slots=True, kw_only=True)
class NotRebuilt:
    """Nothing was changed; `said` says why, and what to do."""

    said: str


Rebuilding: TypeAlias = Rebuilt | NotRebuilt


class ThreadRebuilding:
    """Replaces conversations under their threads' leases.

    A turn that somebody left open is brought to its end first, by looking, as every holder of the
    thread does: its answer may be in the conversation that is about to be left, and has been paid
    for. Where looking fails, nothing is changed.
    """

    def __init__(
        self,
        world: World,
        holding: ThreadHolding,
        opening: ConversationOpening,
        recovery: Recovery,
    ) -> None:
        """Hold threads by `holding`; end open turns by `recovery`, open by `opening`."""
        self._store = world.store
        self._backends = world.backends
        self._holding = holding
        self._opening = opening
        self._recovery = recovery

    async def rebuild(self, thread: ThreadRef) -> Rebuilding | ThreadBusy:
        """Give the thread a new conversation with its memory.

        Raises:
            UnknownThread: There is no such thread.
            ThreadErased: It is being erased, or has been.
            BackendError: The backend did not take part; the thread is as it was.
            ThreadConflict: The lease was lost.
        """
        return await self._holding.hold(
            thread, lambda granted: self.rebuild_held(granted, GenerationReason.REQUESTED)
        )

    async def rebuild_held(self, granted: ThreadGranted, reason: GenerationReason) -> Rebuilding:
        """Do the same for a thread that is held, and keep holding it.

        Raises:
            ThreadErased: It is being erased.
            BackendError: The backend did not take part; the thread is as it was.
            ThreadConflict: The lease does not stand any more.
        """
        hindrance = await self._hindrance(granted.thread)
        if hindrance:
            return NotRebuilt(said=hindrance)
        if granted.open_turn is None:
            return Rebuilt(opening=await self._open(granted, reason))
        return await self._rebuild_with_open_turn(granted, granted.open_turn, reason)

    async def _hindrance(self, thread: Thread) -> str:
        """Say why the thread is not rebuilt, `""` if it can be."""
        if thread.state is ThreadState.ERASING:
            msg = "The thread is being erased: dadm threads erase goes on with it."
            raise ThreadErased(msg)
        if thread.state is ThreadState.CLOSED:
            return "The thread is closed: it takes no more turns, so it needs no conversation."
        generations = await self._store.generations(thread.ref)
        if not generations:
            return "The thread has had no conversation yet: its first turn opens one."
        latest = thread.live or generations[-1]
        backend = await self._backends.of(latest.identity)
        if not backend.keeps_conversations:
            return (
                f"The backend {latest.identity.adapter} keeps no conversations: it is shown the "
                "transcript with every turn, so there is nothing to rebuild."
            )
        return ""

    async def _rebuild_with_open_turn(
        self, granted: ThreadGranted, open_turn: OpenTurn, reason: GenerationReason
    ) -> Rebuilding:
        try:
            ending = await self._end(granted, open_turn)
        except TooManyLost:
            # Nothing of the turn can be found any more. The breaker lets pass what a person asks
            # for, and meets a repair of many threads once more.
            opening = await self._open(granted, reason)
            await self._end(await self._holding.again(granted), open_turn)
            return Rebuilt(opening=opening)
        except BackendError as error:
            return NotRebuilt(said=_unresolved(open_turn, error))
        if isinstance(ending, ToBeAsked) and ending.opening is not None:
            return Rebuilt(opening=ending.opening)
        return Rebuilt(opening=await self._open(await self._holding.again(granted), reason))

    async def _end(self, granted: ThreadGranted, open_turn: OpenTurn) -> Ending:
        return await self._recovery.end(
            granted.lease,
            granted.thread,
            open_turn,
            process_instance_id=granted.thread.key.process_instance_id,
        )

    async def _open(self, granted: ThreadGranted, reason: GenerationReason) -> Opening:
        return await self._opening.open(
            granted.lease,
            granted.thread,
            reason=reason,
            process_instance_id=granted.thread.key.process_instance_id,
        )


def _unresolved(open_turn: OpenTurn, error: BackendError) -> str:
    turn = open_turn.turn
    return (
        f"Turn {turn.sequence} is {turn.state.value}, and looking for its answer failed: "
        f"{error.message} Try again when the backend answers, or decide about the turn: "
        f"dadm turns resolve {turn.ref} --as resubmit"
    )
