"""What passes between turn taking and its store: leases, claims, submissions, settlements."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from dadm.domain.json import JsonObject
from dadm.domain.thread import NO_USAGE, Thread, ThreadKey, ThreadRef, ThreadState, Usage
from dadm.domain.turn import Attempt, Refusal, Turn, TurnKey, TurnRef, TurnState


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """A temporary right to decide about one thread.

    `owner` names one attempt (replica and nonce), not a replica. `fence` rises with each grant
    to another owner; a decision is recorded only while both still stand in the store. Judged by
    the store's clock alone.
    """

    thread: ThreadRef
    owner: str
    fence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What the store knows before a turn is claimed; either may not exist yet.

    Where the turn exists, `thread` is the turn's own thread, whatever key was asked for.
    """

    thread: Thread | None
    turn: Turn | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """What is about to be asked: the durable record of it is written before the request leaves.

    `after_sequence` and `generation` say what the caller saw (`Thread.turn_count`, the live
    generation's number); a submission made from a stale view is not recorded. `shown` holds
    marks of the variables this prompt shows; it is kept with the attempt and merged into
    `Thread.shown` when the turn is answered, by whoever settles it.
    """

    prompt: str
    assistant_version: str
    answer_schema: JsonObject | None
    after_sequence: int
    generation: int
    shown: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimRequest:
    """One delivery of a task asks for its thread.

    `refuse_other_content` is for plain HTTP callers: other content under the same task id is an
    error, where an engine gets the recorded answer. `submission` is left out when the caller
    knows that the turn cannot be submitted at once.
    """

    thread: ThreadKey
    turn: TurnKey
    content_digest: str
    element_id: str
    process_definition: str
    owner: str
    lease_seconds: float
    ticket_seconds: float
    refuse_other_content: bool
    submission: Submission | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """The turn is settled already: completed, refused and not yet reported, or abandoned."""

    thread: Thread
    turn: Turn


@dataclass(frozen=True, slots=True, kw_only=True)
class Queued:
    """The thread is not free for this turn: a lease is held, or an earlier task waits for it.

    The ticket is committed: the thread's next number, kept as long as it stays alive. `ahead`
    counts the living tickets before it. `lease_remaining_seconds` is how long the present lease
    may still last by the store's clock, 0 where none is held.
    """

    turn: TurnRef
    ticket: int
    ahead: int
    lease_remaining_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenTurn:
    """A turn whose request may have been sent, with its latest attempt."""

    turn: Turn
    attempt: Attempt


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """The lease is held, but nothing was submitted.

    Either `open_turn` (perhaps the caller's own) must be brought to its end first, or the
    thread has no live generation, or the submission was left out or stale.
    """

    lease: Lease
    thread: Thread
    turn: Turn
    open_turn: OpenTurn | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted:
    """The lease is held and the turn is submitted, durably: the request may leave."""

    lease: Lease
    thread: Thread
    turn: Turn
    attempt: Attempt


Claim: TypeAlias = Recorded | Queued | Granted | Submitted


@dataclass(frozen=True, slots=True, kw_only=True)
class ThreadGranted:
    """The lease of a thread, taken without a turn."""

    lease: Lease
    thread: Thread
    open_turn: OpenTurn | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ThreadHeld:
    """Another owner holds the thread for that long at most, by the store's clock."""

    lease_remaining_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerSettlement:
    """The answer a turn ends with."""

    answer: str
    usage: Usage
    last_item_id: str
    is_recovered: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusalSettlement:
    """The definite refusal a turn ends with. `usage` is what it cost all the same."""

    refusal: Refusal
    usage: Usage = NO_USAGE


@dataclass(frozen=True, slots=True, kw_only=True)
class AbandonSettlement:
    """A person's decision that a turn ends without an answer; `reason` is theirs.

    It stands on the turn as its refusal, under the code `abandoned`.
    """

    reason: str


Settlement: TypeAlias = AnswerSettlement | RefusalSettlement | AbandonSettlement


@dataclass(frozen=True, slots=True, kw_only=True)
class ThreadFilter:
    """Which threads to list; None means any. At most `limit`, newest first, after `before`.

    Those of a `process_instance_id` are the thread of that scope and those of scopes within it.
    """

    engine: str | None = None
    tenant: str | None = None
    scope: str | None = None
    process_instance_id: str | None = None
    assistant: str | None = None
    states: frozenset[ThreadState] | None = None
    before: ThreadRef | None = None
    limit: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreStatistics:
    """Counts for metrics and `/status`; `oldest_open_seconds` is 0 where no turn is open."""

    threads_by_state: Mapping[ThreadState, int]
    turns_by_state: Mapping[TurnState, int]
    unreported_turns: int
    retired_conversations: int
    oldest_open_seconds: float
