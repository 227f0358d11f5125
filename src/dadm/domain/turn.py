"""A turn: one task's question and its answer on a thread, its states and legal changes."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import NewType

from dadm.domain.json import JsonObject
from dadm.domain.thread import NO_USAGE, ThreadRef, Usage

TurnRef = NewType("TurnRef", int)
"""The store's own number of a turn."""

AttemptRef = NewType("AttemptRef", int)
"""The store's own number of an attempt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnKey:
    """The name of the work, not of an attempt at it; unique in the store.

    Engines keep `task_id` over retries and give a loop's next round or another element of a
    multi-instance a new one (Camunda 7 external task ids, Camunda 8 job keys).
    """

    engine: str
    tenant: str
    scope: str
    task_id: str


class TurnState(StrEnum):
    """Where a turn is: planned → submitted → completed, with detours.

    `submitted` is durable before the request leaves; `unknown` means that no definite answer
    came back, so the next holder of the thread looks before it asks again. `abandoned` is a
    person's decision.
    """

    PLANNED = "planned"
    SUBMITTED = "submitted"
    UNKNOWN = "unknown"
    COMPLETED = "completed"
    REFUSED = "refused"
    ABANDONED = "abandoned"

    @property
    def is_open(self) -> bool:
        """Whether a request for this turn may be under way; a thread has at most one such turn."""
        return self in {TurnState.SUBMITTED, TurnState.UNKNOWN}

    @property
    def is_settled(self) -> bool:
        """Whether the turn has its end."""
        return self in {TurnState.COMPLETED, TurnState.REFUSED, TurnState.ABANDONED}


LEGAL_CHANGES: Mapping[TurnState, frozenset[TurnState]] = MappingProxyType(
    {
        TurnState.PLANNED: frozenset({TurnState.SUBMITTED, TurnState.REFUSED, TurnState.ABANDONED}),
        TurnState.SUBMITTED: frozenset(
            {
                TurnState.COMPLETED,
                TurnState.REFUSED,
                TurnState.PLANNED,
                TurnState.UNKNOWN,
                TurnState.ABANDONED,
            }
        ),
        TurnState.UNKNOWN: frozenset(
            {
                TurnState.COMPLETED,
                TurnState.REFUSED,
                TurnState.PLANNED,
                TurnState.ABANDONED,
            }
        ),
        TurnState.COMPLETED: frozenset(),
        TurnState.REFUSED: frozenset({TurnState.PLANNED}),
        TurnState.ABANDONED: frozenset(),
    }
)
"""From each state, the states it may change to.

Back to planned: proven not applied; or refused, reported, and released again by a person.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a turn got no answer: the error's code and a sentence for people."""

    code: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One task's question and its answer.

    `sequence` is the turn's place on its thread, from 1, given at submission (0 before).
    `content_digest` stands for what the caller sent; `element_id` and `process_definition` say
    what the task is, so that an engine that reuses numbers is noticed. `generation` is that of
    the latest attempt (0 before the first). `recovered` says that the answer was found by
    looking, not received. `link` is its place in the thread's chain (see `domain.chain`), `""`
    unless it is completed.
    """

    ref: TurnRef
    thread: ThreadRef
    key: TurnKey
    state: TurnState
    sequence: int = 0
    content_digest: str
    element_id: str = ""
    process_definition: str = ""
    prompt: str = ""
    answer: str | None = None
    answer_schema: JsonObject | None = None
    assistant_version: str = ""
    refusal: Refusal | None = None
    usage: Usage = NO_USAGE
    generation: int = 0
    attempts: int = 0
    recovered: bool = False
    is_reported: bool = False
    created_at: datetime
    settled_at: datetime | None = None
    link: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One submission of a turn; a fact that is never changed, only completed.

    `item_before` is the last item known to be in the conversation when the request was about
    to leave (`""` for none): whatever this attempt appended comes after it. `response_id` is
    what the backend called the run, as soon as it said so.
    """

    ref: AttemptRef
    turn: TurnRef
    number: int
    generation: int
    item_before: str
    sent_at: datetime
    response_id: str = ""
    error_code: str = ""
    error_message: str = ""
