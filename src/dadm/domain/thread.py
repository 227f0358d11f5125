"""A thread: the durable conversation of one scope with one assistant, and whose it is."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NewType

from dadm.domain.json import JsonValue
from dadm.domain.thread_scope import instance_of

ThreadRef = NewType("ThreadRef", int)
"""The store's own number of a thread; it never changes and is never shown to users."""

ConversationId = NewType("ConversationId", str)
"""The id of one remote conversation. The live one's is what users see as `thread_id`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ThreadKey:
    """Whose conversation it is; unique in the store among threads that are not erased.

    `scope` is the process instance id by default, which gives the familiar
    `process_instance_id:assistant_id`; for a task without a process instance it is the task
    itself; `domain.thread_scope` has the others. `tenant` is `""` where there is none. `engine` is the configured id of the engine,
    because two engines may number their instances alike.
    """

    engine: str
    tenant: str
    scope: str
    assistant: str

    @property
    def process_instance_id(self) -> str:
        """The process instance that it ends with, `""` where it outlives every one."""
        return instance_of(self.scope)


class ThreadState(StrEnum):
    """Where a thread is in its life; only open and parked threads take new turns."""

    OPEN = "open"
    PARKED = "parked"
    CLOSED = "closed"
    ERASING = "erasing"
    ERASED = "erased"

    @property
    def takes_turns(self) -> bool:
        """Whether a new turn may be taken on a thread in this state."""
        return self in {ThreadState.OPEN, ThreadState.PARKED}


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendIdentity:
    """Who keeps a conversation: only under the same identity is a missing one really lost.

    `adapter` is the kind of backend, `address` its base URL (empty where it runs in process),
    `account` the organisation and project, or a fingerprint of the key.
    """

    adapter: str
    address: str = ""
    account: str = ""

    def __str__(self) -> str:
        """Write the identity as one text, as stores keep it."""
        return f"{self.adapter}|{self.address}|{self.account}"

    @classmethod
    def parse(cls, text: str) -> "BackendIdentity":
        """Read what `str` wrote; neither adapters nor addresses hold a bar, accounts may."""
        adapter, _, rest = text.partition("|")
        address, _, account = rest.partition("|")
        return cls(adapter=adapter, address=address, account=account)


class GenerationState(StrEnum):
    """Where a remote conversation is in its life; at most one of a thread is live.

    A retired conversation is no longer read and waits to be erased at its backend.
    """

    BUILDING = "building"
    LIVE = "live"
    RETIRED = "retired"
    ERASED = "erased"


class GenerationReason(StrEnum):
    """Why a thread got a new remote conversation."""

    FIRST = "first"
    LOST = "lost"
    FENCED = "fenced"
    ENDED = "ended"
    """An incomplete or orphaned exchange ended the one before."""
    BACKEND_CHANGED = "backend_changed"
    UNPARKED = "unparked"
    SHORTENED = "shortened"
    """The one before no longer fitted the model's window; less of the thread was copied."""
    REQUESTED = "requested"
    """A person asked for it, or the one before no longer held what it should."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """One remote conversation of a thread.

    `number` counts from 1. The conversation was opened with copies of this thread's turns
    `opened_from`..`opened_to` (sequences, both inclusive, 0 and 0 for none), `copied_messages`
    of them so far; turns before `opened_from` other than the first were left out.
    `last_item_id` is the last item known to be in it, `""` while it is empty or where the
    backend keeps nothing.
    """

    thread: ThreadRef
    number: int
    identity: BackendIdentity
    conversation_id: ConversationId
    state: GenerationState
    reason: GenerationReason
    opened_from: int = 0
    opened_to: int = 0
    copied_messages: int = 0
    last_item_id: str = ""
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What turns cost, in tokens as the backend counted them; 0 where it does not say."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        """Add token by token."""
        return Usage(
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            cached_tokens=self.cached_tokens + other.cached_tokens,
        )

    def as_json(self) -> dict[str, JsonValue]:
        """Give the counts under the names users see."""
        return {
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "cached_tokens": self.cached_tokens,
        }


NO_USAGE = Usage()
"""Nothing was counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Thread:
    """The durable conversation of one scope with one assistant.

    `turn_count` is the sequence of the last turn that was submitted. `shown` maps the name of
    each process variable this thread has been shown to a mark of the value and of the turn that
    showed it (see `domain.shown_variables`).
    `chain` is the latest link of its transcript (see `domain.chain`), `""` before the first.
    """

    ref: ThreadRef
    key: ThreadKey
    state: ThreadState
    turn_count: int
    shown: Mapping[str, str] = field(default_factory=dict)
    live: Generation | None = None
    usage: Usage = NO_USAGE
    created_at: datetime
    last_turn_at: datetime | None = None
    chain: str = ""

    @property
    def thread_id(self) -> ConversationId | None:
        """What users know the thread by: the live conversation's id, or none before the first."""
        return self.live.conversation_id if self.live else None
