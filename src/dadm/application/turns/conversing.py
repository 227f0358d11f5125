"""Conversing: one attempt at a turn, from the question to what the backend says at last."""

import asyncio
from contextlib import suppress
from dataclasses import replace

from dadm.application.turns.held import Held
from dadm.application.turns.run_stopping import RunStopping
from dadm.application.turns.turn_news import TurnNews
from dadm.application.world import World
from dadm.domain.errors import BackendError, OutcomeUnknown, StoreError, StoreUnavailable
from dadm.domain.transcript import Window
from dadm.ports.backend import (
    Answered,
    AnswerPart,
    ConversationBackend,
    CutShort,
    MessagesShown,
    Question,
    ResponseStarted,
)

NOTHING = Window(exchanges=(), left_out=0)


class Conversing:
    """One attempt, which can be stopped when its task is withdrawn.

    Attributes:
        held: The turn; its attempt carries the run's name as soon as the backend has told it.
    """

    def __init__(self, world: World, held: Held, backend: ConversationBackend) -> None:
        """Ask `backend` for the answer to the turn that is held."""
        self.held = held
        self._world = world
        self._store = world.store
        self._backend = backend
        self._news = TurnNews(world.observer, world.clock)
        self._stopping = RunStopping(world)

    async def run(self) -> Answered | CutShort:
        """Ask, and record the run's name on the way.

        Raises:
            BackendError: As `ConversationBackend.take_turn`.
            TimeoutError: The longest turn is over, or a run that cannot be cancelled was stopped.
        """
        withdrawal = self.held.delivery.withdrawal
        async with asyncio.timeout(self._world.limits.turn_seconds) as limit:

            async def stop() -> None:
                if self._backend.keeps_conversations:
                    await self._cancel()
                elif not limit.expired():
                    # Such a run ends when its caller leaves.
                    limit.reschedule(asyncio.get_running_loop().time())

            withdrawal.stops(stop)
            try:
                return await self._ask()
            except BackendError:
                with suppress(StoreError):
                    await self._stopping.learn(withdrawal, self.held.turn, self.held.attempt)
                raise
            finally:
                # Whoever withdraws the task between two attempts finds no run to stop.
                withdrawal.stops(None)

    async def _ask(self) -> Answered | CutShort:
        question = await self._question()
        async with self._backend.take_turn(question) as events:
            async for event in events:
                match event:
                    case MessagesShown():
                        self._news.shown(self.held, event)
                    case ResponseStarted(response_id=response_id):
                        await self._named(response_id)
                    case AnswerPart():
                        continue
                    case Answered() | CutShort():
                        return event
        msg = "The backend ended its answer without saying how."
        raise OutcomeUnknown(msg)

    async def _question(self) -> Question:
        held, backend = self.held, self._backend
        history = NOTHING
        if backend.history_characters and held.turn.sequence > 1:
            history = await self._store.window(
                held.thread.ref, characters=backend.history_characters
            )
        key = held.turn.key
        return Question(
            conversation_id=held.thread_id,
            assistant=self._world.assistants.resolve(held.thread.key.assistant),
            prompt=held.turn.prompt,
            history=history,
            answer_schema=held.turn.answer_schema,
            labels={"engine": key.engine, "scope": key.scope, "task": key.task_id},
            attempt=f"{held.lease.owner}.{held.attempt.number}",
        )

    async def _named(self, response_id: str) -> None:
        self.held = replace(self.held, attempt=replace(self.held.attempt, response_id=response_id))
        with suppress(StoreUnavailable):
            # Without the name, whoever comes after a crash looks instead.
            await self._store.note_response(self.held.attempt.ref, response_id)
        if self.held.delivery.withdrawal.is_withdrawn:
            await self._cancel()

    async def _cancel(self) -> None:
        """Stop the run where it has a name by now; else when it gets one."""
        held, response_id = self.held, self.held.attempt.response_id
        if not response_id:
            return
        await self._backend.cancel(response_id)
        self._news.stopped(
            held.turn,
            held.process_instance_id,
            held.thread_id,
            response_id,
            reason="its task is gone",
        )
        await self._stopping.note(held.turn, response_id)
