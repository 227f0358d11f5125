"""A turn whose thread is held, and what becomes of it."""

from dataclasses import dataclass

from dadm.application.conversations.conversation_opening import Opening
from dadm.application.turns.submission import Delivery
from dadm.domain.thread import ConversationId, Thread
from dadm.domain.turn import Attempt, Turn
from dadm.ports.store_values import Lease, Submitted


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnResult:
    """A settled turn, and how it came by its conversation."""

    turn: Turn
    thread: Thread
    opening: Opening
    is_replayed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A submitted turn whose thread is held: everything needed to ask and to settle."""

    delivery: Delivery
    lease: Lease
    thread: Thread
    turn: Turn
    attempt: Attempt
    opening: Opening
    waited_seconds: float

    @classmethod
    def of(
        cls, delivery: Delivery, submitted: Submitted, opening: Opening, *, waited_seconds: float
    ) -> "Held":
        """Hold what was just submitted."""
        return cls(
            delivery=delivery,
            lease=submitted.lease,
            thread=submitted.thread,
            turn=submitted.turn,
            attempt=submitted.attempt,
            opening=opening,
            waited_seconds=waited_seconds,
        )

    @property
    def process_instance_id(self) -> str:
        """The instance the task belongs to, for those who are told."""
        return self.delivery.task.process_instance_id

    @property
    def thread_id(self) -> ConversationId:
        """What users know the thread by; nothing is submitted on one without a conversation."""
        return self.thread.thread_id or ConversationId("")
