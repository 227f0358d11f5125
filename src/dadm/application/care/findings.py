"""Findings: what is wrong with a thread, each with what a person should do about it."""

from dataclasses import dataclass
from enum import StrEnum


class FindingKind(StrEnum):
    """What was found, in words that scripts may rely on."""

    SEQUENCE_GAP = "sequence_gap"
    DUPLICATE_SEQUENCE = "duplicate_sequence"
    DUPLICATE_KEY = "duplicate_key"
    OPEN_TURN_NOT_LAST = "open_turn_not_last"
    BROKEN_LINK = "broken_link"
    CHAIN_HEAD_DIFFERS = "chain_head_differs"
    CONVERSATION_LOST = "conversation_lost"
    MESSAGE_MISSING = "message_missing"
    MESSAGE_CHANGED = "message_changed"
    FOREIGN_MESSAGE = "foreign_message"
    MORE_DIFFERENCES = "more_differences"
    UNREACHABLE = "unreachable"
    BUSY = "busy"

    @property
    def is_drift(self) -> bool:
        """Whether it lies in the remote conversation alone, so that a rebuild mends it."""
        return self in _DRIFT

    @property
    def is_unsure(self) -> bool:
        """Whether nothing is known to be wrong, but not everything could be looked at."""
        return self in {FindingKind.UNREACHABLE, FindingKind.BUSY}


_DRIFT = frozenset(
    {
        FindingKind.CONVERSATION_LOST,
        FindingKind.MESSAGE_MISSING,
        FindingKind.MESSAGE_CHANGED,
        FindingKind.FOREIGN_MESSAGE,
        FindingKind.MORE_DIFFERENCES,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong.

    `sequence` is the turn it is about, None where it is about none; `item_id` the backend's name
    of the message, `""` where it has none. `said` says what is wrong and what to do; it quotes
    nobody's text.
    """

    kind: FindingKind
    said: str
    sequence: int | None = None
    item_id: str = ""
