"""AuditTrail: a durable row for everything that happened to a thread beside its plain turns."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from dadm.domain.thread import ThreadRef
from dadm.domain.turn import TurnRef


class AuditAction(StrEnum):
    """What an audit row is about."""

    REPLAYED = "replayed"
    """A delivery got the recorded answer; no model was asked."""
    RECOVERED = "recovered"
    """An answer was found by looking, after its receipt had failed."""
    ASKED_AGAIN = "asked_again"
    """An open turn was proven not applied and went back to planned."""
    REFUSED = "refused"
    ABANDONED = "abandoned"
    """The turn was ended without an answer: by a person, or since nobody waits for one."""
    RESOLVED = "resolved"
    """A person answered the turn in the backend's place, or had it asked again."""
    REBUILT = "rebuilt"
    """The thread got a new conversation with its memory; the detail says why."""
    FENCED = "fenced"
    """The same, so that a request which may be under way lands where nobody reads."""
    CANCELLED = "cancelled"
    """The model's run was stopped because the task is gone."""
    FOREIGN_ITEMS = "foreign_items"
    """Somebody else wrote to the conversation."""
    CLOSED = "closed"
    """Its scope has ended, so that it takes no more turns; the detail says how that was known."""
    CLEARED = "cleared"
    """What was kept of the closed thread at its backends is deleted; the transcript stays."""
    PARKED = "parked"
    """It was idle for long, so that its conversation is given up; its next task rebuilds it."""
    ERASURE_BEGUN = "erasure_begun"
    ERASED = "erased"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One row; `position` orders the rows of the store, `turn` is None where it is about none.

    `detail` is a short text for people: codes, counts and ids, never what was asked or answered.
    """

    position: int
    at: datetime
    thread: ThreadRef
    turn: TurnRef | None
    action: AuditAction
    detail: str


class AuditTrail(Protocol):
    """Rows that are only ever added; they stay when their thread is erased.

    The store itself writes the row of a decision in the transaction of that decision: a claim
    that gives Recorded (REPLAYED, the turn's state as detail), each time it is made; `settle` of
    a recovered answer (the number of the attempt), a refusal (its code) or an abandonment (the
    person's reason); `replan` (ASKED_AGAIN, its error code); `make_live` of any generation but a
    first one (FENCED or REBUILT; the detail names the reason, both conversations and how many
    messages were copied); `close_scope` (a row for each thread it closes, the given reason as detail);
    `note_cleared` (counts); `park`; `begin_erasure` (the state the thread was in) and `finish_erasure`
    (counts). A decision that is repeated under the same fence adds no second row.
    """

    async def note(
        self, thread: ThreadRef, turn: TurnRef | None, action: AuditAction, *, detail: str
    ) -> None:
        """Add a row about something that is no decision of the store's. A fact; repeating adds another.

        Raises:
            UnknownThread: There is no such thread.
        """
        ...

    async def audit(
        self, thread: ThreadRef, *, after: int = 0, limit: int = 100
    ) -> Sequence[AuditEntry]:
        """Give a thread's rows behind position `after`, oldest first."""
        ...
