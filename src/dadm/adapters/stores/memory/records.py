"""What the memory store keeps of threads and turns, and how its records find each other."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TypeAlias

from dadm.domain.chain import CHAIN_START
from dadm.domain.errors import ThreadClosed, ThreadConflict, UnknownThread
from dadm.domain.thread import (
    NO_USAGE,
    BackendIdentity,
    ConversationId,
    Generation,
    GenerationState,
    Thread,
    ThreadKey,
    ThreadRef,
    ThreadState,
    Usage,
)
from dadm.domain.turn import Attempt, AttemptRef, Turn, TurnKey, TurnRef, TurnState
from dadm.ports.audit import AuditAction, AuditEntry
from dadm.ports.backend import ErasureReport
from dadm.ports.clock import Clock
from dadm.ports.erasures import ErasureReceipt
from dadm.ports.jobs import JobKey
from dadm.ports.store_values import Lease, OpenTurn

ScopeKey: TypeAlias = tuple[str, str, str]
"""Engine, tenant and name of a scope."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRecord:
    """Who does a job, until when, and how far it has come."""

    owner: str
    until: datetime
    position: int


@dataclass(slots=True, kw_only=True)
class TurnRecord:
    """A turn with its ticket and attempts.

    `ticket_expires_at` is None once the place was given up. `fence` is that of the lease under
    which the latest decision about this turn was made, so that a repeated one is recognised.
    `shown` is what the latest submission's prompt shows.
    """

    turn: Turn
    ticket: int
    ticket_expires_at: datetime | None
    fence: int = 0
    shown: dict[str, str] = field(default_factory=dict)
    attempts: list[Attempt] = field(default_factory=list)

    def waits(self, now: datetime) -> bool:
        """Whether the turn is planned and its ticket alive."""
        return (
            self.turn.state is TurnState.PLANNED
            and self.ticket_expires_at is not None
            and self.ticket_expires_at > now
        )

    def note_error(self, code: str, message: str) -> None:
        """Write on the latest attempt why it gave no answer."""
        if self.attempts:
            self.attempts[-1] = replace(self.attempts[-1], error_code=code, error_message=message)


@dataclass(slots=True, kw_only=True)
class ThreadRecord:
    """A thread with its lease, tickets, generations and turns.

    `planned` holds the turns that wait, `asked` those with a sequence, in order; the last of
    these is the open one if any is. `retired_at` and `erasures` are by generation number.
    """

    ref: ThreadRef
    key: ThreadKey
    state: ThreadState
    created_at: datetime
    turn_count: int = 0
    shown: dict[str, str] = field(default_factory=dict)
    usage: Usage = NO_USAGE
    last_turn_at: datetime | None = None
    lease_owner: str = ""
    lease_expires_at: datetime | None = None
    fence: int = 0
    last_ticket: int = 0
    live: int = 0
    chain: str = CHAIN_START
    erasing_since: datetime | None = None
    receipt: ErasureReceipt | None = None
    closed_at: datetime | None = None
    cleared_at: datetime | None = None
    retired_at: dict[int, datetime] = field(default_factory=dict)
    erasures: dict[int, ErasureReport] = field(default_factory=dict)
    generations: dict[int, Generation] = field(default_factory=dict)
    planned: dict[TurnRef, TurnRecord] = field(default_factory=dict)
    asked: list[TurnRecord] = field(default_factory=list)

    @property
    def scope_key(self) -> ScopeKey:
        """Which scope it belongs to."""
        return (self.key.engine, self.key.tenant, self.key.scope)

    @property
    def last_used_at(self) -> datetime:
        """When it had its last answer, or was made."""
        return self.last_turn_at or self.created_at

    def next_ticket(self) -> int:
        """Draw a ticket."""
        self.last_ticket += 1
        return self.last_ticket

    def live_generation(self) -> Generation | None:
        """Give the live conversation, if there is one."""
        return self.generations.get(self.live)

    def as_thread(self) -> Thread:
        """Give what others see of it."""
        return Thread(
            ref=self.ref,
            key=self.key,
            state=self.state,
            turn_count=self.turn_count,
            shown=dict(self.shown),
            live=self.live_generation(),
            usage=self.usage,
            created_at=self.created_at,
            last_turn_at=self.last_turn_at,
            chain=self.chain,
        )

    def open_record(self) -> TurnRecord | None:
        """Give the one turn whose request may be under way."""
        if self.asked and self.asked[-1].turn.state.is_open:
            return self.asked[-1]
        return None

    def open_turn(self) -> OpenTurn | None:
        """Give that turn with its latest attempt, as others see it."""
        record = self.open_record()
        return OpenTurn(turn=record.turn, attempt=record.attempts[-1]) if record else None

    def held_by_another(self, owner: str, now: datetime) -> bool:
        """Whether somebody else's lease has not run out."""
        return (
            self.lease_owner not in {"", owner}
            and self.lease_expires_at is not None
            and self.lease_expires_at > now
        )

    def lease_remaining_seconds(self, now: datetime) -> float:
        """Give how long the present lease may last, 0 where none does."""
        if not self.lease_owner or self.lease_expires_at is None:
            return 0.0
        return max(0.0, (self.lease_expires_at - now).total_seconds())

    def grant(self, owner: str, expires_at: datetime) -> Lease:
        """Give `owner` the thread; the fence rises unless it is the owner's already."""
        if self.lease_owner != owner:
            self.fence += 1
            self.lease_owner = owner
        self.lease_expires_at = expires_at
        return Lease(thread=self.ref, owner=owner, fence=self.fence)

    def stands(self, lease: Lease) -> bool:
        """Whether nobody was granted the thread after `lease`, and it was not given up."""
        return self.lease_owner == lease.owner and self.fence == lease.fence

    def free(self) -> None:
        """End the present lease."""
        self.lease_owner = ""
        self.lease_expires_at = None


class Records:
    """Everything the memory store knows, and the clock it judges leases by."""

    def __init__(self, clock: Clock) -> None:
        """Start empty; `clock` is the store's own."""
        self.clock = clock
        self.threads: dict[ThreadRef, ThreadRecord] = {}
        self.turns: dict[TurnRef, TurnRecord] = {}
        self.attempts: dict[AttemptRef, TurnRef] = {}
        self.threads_by_key: dict[ThreadKey, ThreadRef] = {}
        self.turns_by_key: dict[TurnKey, TurnRef] = {}
        self.conversations: dict[tuple[BackendIdentity, ConversationId], ThreadRef] = {}
        self.scopes: dict[ScopeKey, int] = {}
        self.ended_scopes: dict[ScopeKey, datetime] = {}
        self.jobs: dict[JobKey, JobRecord] = {}
        self.audit: list[AuditEntry] = []
        self._last_turn = 0
        self._last_attempt = 0

    def next_turn(self) -> TurnRef:
        """Give a number that no turn ever had."""
        self._last_turn += 1
        return TurnRef(self._last_turn)

    def next_attempt(self) -> AttemptRef:
        """Give a number that no attempt ever had."""
        self._last_attempt += 1
        return AttemptRef(self._last_attempt)

    def thread(self, ref: ThreadRef) -> ThreadRecord:
        """Find a thread by its number.

        Raises:
            UnknownThread: There is none.
        """
        record = self.threads.get(ref)
        if record is None:
            raise UnknownThread
        return record

    def thread_by_key(self, key: ThreadKey) -> ThreadRecord | None:
        """Find the thread of that key that is not erased."""
        ref = self.threads_by_key.get(key)
        record = None if ref is None else self.threads[ref]
        return None if record is None or record.state is ThreadState.ERASED else record

    def thread_or_new(self, key: ThreadKey) -> ThreadRecord:
        """Find the thread of that key, or open it.

        Raises:
            ThreadClosed: There is none, and its scope has ended.
        """
        record = self.thread_by_key(key)
        if record is None:
            self.note_scope((key.engine, key.tenant, key.scope))
            if (key.engine, key.tenant, key.scope) in self.ended_scopes:
                raise ThreadClosed
            ref = ThreadRef(len(self.threads) + 1)
            record = ThreadRecord(
                ref=ref, key=key, state=ThreadState.OPEN, created_at=self.clock.now()
            )
            self.threads[ref] = record
            self.threads_by_key[key] = ref
        return record

    def note_scope(self, key: ScopeKey) -> None:
        """Give a scope its number, if it has none."""
        self.scopes.setdefault(key, len(self.scopes) + 1)

    def turn_by_key(self, key: TurnKey) -> TurnRecord | None:
        """Find the turn of that key."""
        ref = self.turns_by_key.get(key)
        return None if ref is None else self.turns[ref]

    def leased(self, lease: Lease) -> ThreadRecord:
        """Give the thread that `lease` is for.

        Raises:
            ThreadConflict: The lease does not stand.
        """
        record = self.threads.get(lease.thread)
        if record is None or not record.stands(lease):
            raise ThreadConflict
        return record

    def turn_of(self, lease: Lease, turn: TurnRef) -> TurnRecord:
        """Give a turn of the thread that `lease` is for, whether or not the lease stands.

        Raises:
            ThreadConflict: There is no such turn on that thread.
        """
        record = self.turns.get(turn)
        if record is None or record.turn.thread != lease.thread:
            raise ThreadConflict
        return record

    def set_generation(self, thread: ThreadRecord, changed: Generation) -> Generation:
        """Keep `changed` in the place of the generation of that number."""
        if changed.state is GenerationState.RETIRED:
            thread.retired_at.setdefault(changed.number, self.clock.now())
        thread.generations[changed.number] = changed
        if changed.state is GenerationState.LIVE:
            thread.live = changed.number
        elif thread.live == changed.number:
            thread.live = 0
        return changed

    def all_generations(self) -> Iterator[Generation]:
        """Give the conversations of all threads."""
        for record in self.threads.values():
            yield from record.generations.values()

    def turns_of(self, thread: ThreadRef) -> tuple[TurnRecord, ...]:
        """Give the turns of a thread, whatever state they are in."""
        return tuple(record for record in self.turns.values() if record.turn.thread == thread)

    def forget_turn(self, record: TurnRecord) -> None:
        """Delete a turn with its texts and attempts."""
        for attempt in record.attempts:
            del self.attempts[attempt.ref]
        del self.turns_by_key[record.turn.key]
        del self.turns[record.turn.ref]

    def note(
        self, thread: ThreadRef, turn: TurnRef | None, action: AuditAction, detail: str
    ) -> None:
        """Add an audit row."""
        entry = AuditEntry(
            position=len(self.audit) + 1,
            at=self.clock.now(),
            thread=thread,
            turn=turn,
            action=action,
            detail=detail,
        )
        self.audit.append(entry)
