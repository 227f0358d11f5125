"""What recovery is given and what it gives: the case of one open turn, and how it ended."""

from dataclasses import dataclass
from typing import TypeAlias

from dadm.application.conversations.conversation_opening import Opening
from dadm.application.turns.withdrawal import Withdrawal
from dadm.domain.errors import BackendError
from dadm.domain.thread import ConversationId, Thread
from dadm.domain.turn import Turn
from dadm.ports.backend import ConversationBackend
from dadm.ports.store_values import Lease, OpenTurn


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveryCase:
    """What one recovery is about, and when by the monotonic clock it began."""

    lease: Lease
    thread: Thread
    found: OpenTurn
    backend: ConversationBackend
    process_instance_id: str
    is_busy: bool
    withdrawal: Withdrawal | None
    cause: BackendError | None
    begun_at: float

    @property
    def is_withdrawn(self) -> bool:
        """Whether the turn's own task is gone."""
        return self.withdrawal is not None and self.withdrawal.is_withdrawn

    @property
    def conversation_id(self) -> ConversationId:
        """Give the live conversation's id, empty where there is none."""
        live = self.thread.live
        return live.conversation_id if live else ConversationId("")


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


@dataclass(frozen=True, slots=True, kw_only=True)
class InVain:
    """The turn is planned again, and asked as it is it would meet `error`."""

    error: BackendError


Ending: TypeAlias = Ended | ToBeAsked | InVain
