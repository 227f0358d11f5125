"""ClosedThreads: brings the turns that closed threads still have open to their end."""

import asyncio
from contextlib import suppress

from dadm.application.care.answer_finding import AnswerFinding
from dadm.application.care.turn_resolving import AsAbandoned, AsAnswered, Resolved, TurnResolving
from dadm.application.thread_holding import ThreadHolding
from dadm.application.turns.turn_news import TurnNews
from dadm.application.world import World
from dadm.domain.errors import (
    BackendError,
    StoreError,
    ThreadConflict,
    ThreadErased,
    UnknownThread,
)
from dadm.domain.thread import ThreadState
from dadm.domain.turn import TurnRef
from dadm.ports.audit import AuditAction
from dadm.ports.observer import TurnRefused
from dadm.ports.store_values import OpenTurn, ThreadGranted

LOOK_SECONDS = 60.0
"""How often, about, it is looked for such turns."""

AT_ONCE = 100
"""How many of them are looked at in one go."""

PATIENCE_SECONDS = 3600.0
"""How long a backend that cannot be asked is waited for before a turn is abandoned."""

ITS_PROCESS_ENDED = "Its process instance has ended"


class ClosedThreads:
    """Ends open turns that no task comes back for, since their threads take none any more.

    The run is stopped where it is named. Then the turn is answered if its answer is found at the
    backend, or else abandoned; the conversation that it may still come to is retired then.
    Nothing new is opened and nothing is asked. A thread that is held is left to its holder, and a
    backend that cannot be asked is waited for, for a while.
    """

    def __init__(self, world: World) -> None:
        """End turns in the world's store; look at its backends."""
        world = world.with_confirmed_store()
        self._store = world.store
        self._backends = world.backends
        self._observer = world.observer
        self._clock = world.clock
        self._fraction = world.identifiers.fraction
        self._holding = ThreadHolding(world, patience_seconds=0.0)
        self._resolving = TurnResolving(world, self._holding, AnswerFinding(world))
        self._news = TurnNews(world.observer, world.clock)
        self._failing_since: dict[TurnRef, float] = {}

    async def run(self, stop: asyncio.Event) -> None:
        """End such turns until `stop` is set; one that is being ended is left to the next time."""
        async with asyncio.TaskGroup() as group:
            ending = group.create_task(self._end_again_and_again())
            await stop.wait()
            ending.cancel()

    async def _end_again_and_again(self) -> None:
        while True:
            # Said aloud by everything else that meets the same store; what is left is met again.
            with suppress(StoreError):
                await self.end_open_turns()
            await self._clock.sleep(LOOK_SECONDS * (0.5 + self._fraction()))

    async def end_open_turns(self) -> int:
        """End those that can be ended now; give how many.

        Raises:
            StoreError: The store did not take part.
        """
        turns = await self._store.open_turns_of_closed(limit=AT_ONCE)
        left = {turn.ref for turn in turns}
        self._failing_since = {
            ref: since for ref, since in self._failing_since.items() if ref in left
        }
        ended = 0
        for turn in turns:
            try:
                done = await self._holding.hold(turn.thread, self._end)
            except (ThreadConflict, ThreadErased, UnknownThread):
                # Somebody else has come to it.
                continue
            ended += done is True
        return ended

    async def _end(self, granted: ThreadGranted) -> bool:
        """End the open turn of a thread that is held; whether it is ended."""
        open_turn = granted.open_turn
        if open_turn is None or granted.thread.state is not ThreadState.CLOSED:
            return False
        turn = open_turn.turn
        reason = f"{ITS_PROCESS_ENDED}, and its backend holds no answer."
        try:
            await self._stop(granted, open_turn)
            done = await self._resolving.resolve_held(granted, turn.ref, AsAnswered())
        except BackendError as error:
            now = self._clock.monotonic()
            if now - self._failing_since.setdefault(turn.ref, now) < PATIENCE_SECONDS:
                return False
            reason = f"{ITS_PROCESS_ENDED}, and its backend cannot be asked: {error.message}"
        else:
            if isinstance(done, Resolved):
                return True
        await self._resolving.resolve_held(granted, turn.ref, AsAbandoned(reason=reason))
        self._tell_abandoned(granted, open_turn, reason)
        return True

    async def _stop(self, granted: ThreadGranted, open_turn: OpenTurn) -> None:
        """Have the run stopped, if it is named; one that has ended takes no harm."""
        attempt, turn = open_turn.attempt, open_turn.turn
        for generation in await self._store.generations(turn.thread):
            if not attempt.response_id or generation.number != attempt.generation:
                continue
            backend = await self._backends.of(generation.identity)
            if not backend.keeps_conversations:
                continue
            await backend.cancel(attempt.response_id)
            self._news.stopped(
                turn,
                granted.thread.key.process_instance_id,
                generation.conversation_id,
                attempt.response_id,
                reason="its process instance has ended",
            )
            await self._store.note(
                turn.thread, turn.ref, AuditAction.CANCELLED, detail=attempt.response_id
            )

    def _tell_abandoned(self, granted: ThreadGranted, open_turn: OpenTurn, reason: str) -> None:
        self._observer.notify(
            TurnRefused(
                process_instance_id=granted.thread.key.process_instance_id,
                task_id=open_turn.turn.key.task_id,
                thread_id=granted.thread.thread_id or "",
                code="abandoned",
                reason=reason,
            )
        )
