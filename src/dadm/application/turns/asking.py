"""Asking: from a submitted turn to a settled one, whatever the backend answers."""

from typing import NoReturn

from dadm.application.conversations.circuit import Circuits
from dadm.application.conversations.conversation_opening import ConversationOpening
from dadm.application.turns.conversing import Conversing
from dadm.application.turns.failed_attempts import ASKED_AT_MOST, FailedAttempts, Tries
from dadm.application.turns.held import Held, TurnResult
from dadm.application.turns.held_endings import HeldEndings
from dadm.application.turns.recovery_case import ToBeAsked
from dadm.application.turns.submission import prepare_submission, submit
from dadm.application.turns.turn_news import TurnNews
from dadm.application.world import World
from dadm.domain.errors import (
    BackendError,
    ConversationBusy,
    OutcomeUnknown,
    RequestError,
    TaskGone,
)
from dadm.ports.backend import ConversationBackend


class Asking:
    """Asks the backend and settles what it answered; errors become the next step."""

    def __init__(
        self,
        world: World,
        *,
        opening: ConversationOpening,
        failed: FailedAttempts,
        endings: HeldEndings,
        circuits: Circuits,
    ) -> None:
        """Work with the parts of turn taking."""
        self._world = world
        self._opening = opening
        self._store = world.store
        self._failed = failed
        self._endings = endings
        self._circuits = circuits
        self._assistants = world.assistants
        self._news = TurnNews(world.observer, world.clock)
        self._clock = world.clock
        self._limits = world.limits

    async def ask(self, held: Held) -> TurnResult:
        """Bring the submitted turn to its end and release the thread.

        Raises:
            BackendError: There is no answer yet; the turn is planned again or unknown, and the
                thread is free.
            TaskGone: The task disappeared before it had an answer; likewise.
            ShuttingDown: This replica lets nothing wait any more; likewise.
            StoreError: The store did not take part, or the lease was lost.
        """
        tries = Tries()
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

    async def _ask_once(self, held: Held, tries: Tries) -> TurnResult | ToBeAsked:
        self._news.started(held)
        try:
            backend = await self._opening.backend_of(held.thread)
        except BackendError as error:
            await self._endings.plan_again(held, error)
            raise
        begun_at = self._clock.monotonic()
        conversing = Conversing(self._world, held, backend)
        try:
            end = await conversing.run()
        except BackendError as error:
            told = _as_told(error, conversing.held)
            self._note(conversing.held, backend, told)
            return await self._failed.next_step(conversing.held, backend, told, tries)
        except TimeoutError:
            await self._too_late(conversing.held, backend)
        self._circuits.note(backend.identity, None)
        return await self._endings.settle(held, end, begun_at)

    def _note(self, held: Held, backend: ConversationBackend, error: BackendError) -> None:
        """Tell the circuit how the attempt failed, unless it was us who ended it."""
        if held.delivery.withdrawal.is_withdrawn:
            self._circuits.give_probe_back(backend.identity)
        else:
            self._circuits.note(backend.identity, error)

    async def _too_late(self, held: Held, backend: ConversationBackend) -> NoReturn:
        """Leave a turn that took too long, or whose task is gone, to whoever comes next."""
        late = OutcomeUnknown(
            f"No answer within {self._limits.turn_seconds:g} seconds (DADM_TURNS__TURN_SECONDS). "
            "The turn is looked for when its task is tried again."
        )
        self._note(held, backend, late)
        gone = TaskGone() if held.delivery.withdrawal.is_withdrawn else None
        await self._endings.set_aside(held, gone or late)
        raise gone or late

    async def _submit_again(self, held: Held, step: ToBeAsked) -> Held:
        standing = await self._store.look_up(held.delivery.thread, held.turn.key)
        thread = standing.thread or held.thread
        try:
            held.delivery.withdrawal.refuse_if_withdrawn()
            submission = prepare_submission(held.delivery.task, thread, self._assistants)
            submitted = await submit(self._store, held.lease, held.turn.ref, submission)
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

    async def _give_up(self, held: Held, tries: Tries) -> NoReturn:
        """Leave a turn that is planned again to the next delivery."""
        said = f" The last time: {tries.last_error.message}" if tries.last_error else ""
        late = OutcomeUnknown(
            f"The turn was asked {tries.unanswered} times without an answer.{said}"
        )
        await self._endings.give_back(held, late)
        raise late


def _as_told(error: BackendError, held: Held) -> BackendError:
    """Take nothing for not applied once the run has a name: by then it was taken."""
    is_named = bool(held.attempt.response_id)
    if not is_named or isinstance(error, OutcomeUnknown | ConversationBusy):
        return error
    unknown = OutcomeUnknown(error.message)
    unknown.__cause__ = error
    return unknown
