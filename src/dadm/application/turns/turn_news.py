"""TurnNews: tells the observer how a held turn goes on."""

from dadm.application.turns.held import Held
from dadm.domain.errors import BackendError, DadmError
from dadm.domain.thread import ConversationId
from dadm.domain.turn import Refusal, Turn
from dadm.ports.assistant_service import ThreadChange
from dadm.ports.backend import MessagesShown
from dadm.ports.clock import Clock
from dadm.ports.observer import (
    ForeignItemsFound,
    ModelShown,
    Observer,
    RunStopped,
    ThreadReused,
    TurnCompleted,
    TurnDelayed,
    TurnRefused,
    TurnStarted,
    TurnUnsettled,
)


class TurnNews:
    """Turns steps of a held turn into events."""

    def __init__(self, observer: Observer, clock: Clock) -> None:
        """Tell `observer`."""
        self._observer = observer
        self._clock = clock

    def started(self, held: Held) -> None:
        """The request is about to leave."""
        if held.opening.change is ThreadChange.REUSED:
            self._observer.notify(
                ThreadReused(
                    process_instance_id=held.process_instance_id,
                    thread_id=held.thread_id,
                    assistant=held.thread.key.assistant,
                )
            )
        self._observer.notify(
            TurnStarted(
                process_instance_id=held.process_instance_id,
                task_id=held.turn.key.task_id,
                thread_id=held.thread_id,
                assistant=held.thread.key.assistant,
                sequence=held.turn.sequence,
                attempt=held.attempt.number,
            )
        )

    def shown(self, held: Held, shown: MessagesShown) -> None:
        """The model is shown these messages."""
        self._observer.notify(
            ModelShown(
                process_instance_id=held.process_instance_id,
                task_id=held.turn.key.task_id,
                thread_id=held.thread_id,
                sequence=held.turn.sequence,
                messages=shown.messages,
                left_out=shown.left_out,
            )
        )

    def completed(self, held: Held, turn: Turn, *, begun_at: float, answered_at: float) -> None:
        """The turn has its answer."""
        self._observer.notify(
            TurnCompleted(
                process_instance_id=held.process_instance_id,
                task_id=turn.key.task_id,
                thread_id=held.thread_id,
                assistant=held.thread.key.assistant,
                sequence=turn.sequence,
                is_recovered=turn.recovered,
                usage=turn.usage,
                waited_seconds=held.waited_seconds,
                backend_seconds=answered_at - begun_at,
                store_seconds=self._clock.monotonic() - answered_at,
            )
        )

    def refused(self, held: Held, refusal: Refusal) -> None:
        """The turn ended without an answer."""
        self._observer.notify(
            TurnRefused(
                process_instance_id=held.process_instance_id,
                task_id=held.turn.key.task_id,
                thread_id=held.thread_id,
                code=refusal.code,
                reason=refusal.reason,
            )
        )

    def delayed(self, held: Held, error: BackendError, pause_seconds: float) -> None:
        """The attempt failed; the turn is asked again after a pause."""
        self._observer.notify(
            TurnDelayed(
                process_instance_id=held.process_instance_id,
                task_id=held.turn.key.task_id,
                thread_id=held.thread_id,
                code=error.code,
                reason=error.message,
                pause_seconds=pause_seconds,
            )
        )

    def stopped(
        self,
        turn: Turn,
        process_instance_id: str,
        thread_id: ConversationId,
        response_id: str,
        *,
        reason: str,
    ) -> None:
        """The model's run was stopped."""
        self._observer.notify(
            RunStopped(
                process_instance_id=process_instance_id,
                task_id=turn.key.task_id,
                thread_id=thread_id,
                response_id=response_id,
                reason=reason,
            )
        )

    def foreign(self, process_instance_id: str, thread_id: ConversationId, count: int) -> None:
        """Somebody else wrote to the conversation."""
        self._observer.notify(
            ForeignItemsFound(
                process_instance_id=process_instance_id, thread_id=thread_id, count=count
            )
        )

    def unsettled(self, held: Held, error: DadmError, *, is_unknown: bool) -> None:
        """The attempt failed and the turn stays to be taken again."""
        self._observer.notify(
            TurnUnsettled(
                process_instance_id=held.process_instance_id,
                task_id=held.turn.key.task_id,
                thread_id=held.thread_id,
                code=error.code,
                reason=error.message,
                is_unknown=is_unknown,
            )
        )
