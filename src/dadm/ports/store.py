"""ThreadStore: where threads, turns and transcripts are durable, and who may change them."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Protocol

from dadm.domain.thread import (
    BackendIdentity,
    ConversationId,
    Generation,
    GenerationReason,
    Thread,
    ThreadKey,
    ThreadRef,
)
from dadm.domain.transcript import Exchange, Window
from dadm.domain.turn import Attempt, AttemptRef, Turn, TurnKey, TurnRef, TurnState
from dadm.ports.audit import AuditTrail
from dadm.ports.ended_threads import EndedThreads
from dadm.ports.erasures import Erasures
from dadm.ports.jobs import Jobs
from dadm.ports.store_values import (
    Claim,
    ClaimRequest,
    Lease,
    Settlement,
    Standing,
    StoreStatistics,
    Submission,
    Submitted,
    ThreadFilter,
    ThreadGranted,
    ThreadHeld,
)


class Turns(Protocol):
    """Turns, taken one at a time per thread.

    Decisions (claim, submit, settle, set_aside, replan) hold in one transaction each and compare
    owner and fence with the thread's row; with a lease that no longer stands they raise
    ThreadConflict and change nothing. A lease that has run out but was not granted to anybody
    else still stands. Facts (note_*) are recorded whoever holds the lease.

    Every method raises StoreUnavailable when the database did not confirm; the change may be
    durable all the same. Repeating any call with the same arguments is then safe: a claim by the
    same owner gives the same lease and fence, a decision already made under the same fence gives
    the same result.
    """

    async def look_up(self, thread: ThreadKey, turn: TurnKey) -> Standing:
        """Read thread and turn in one round trip; changes nothing."""
        ...

    async def claim(self, request: ClaimRequest) -> Claim:
        """Find or create thread and turn, take a ticket, and take the thread if it is free.

        In one transaction: the thread row is created if there is none under that key; the turn
        row likewise, planned, with the next ticket of the thread. A settled turn gives Recorded,
        except one that was refused and reported: a person released it, so it is planned again.
        Where no lease of another owner stands unexpired and no other planned turn with an
        earlier ticket that is still alive waits, the lease is granted with a new fence; if then
        no turn is open and the submission matches the thread, the turn is submitted with the
        next sequence and an attempt whose `item_before` is the live generation's last item.
        Only an open turn gives its own delivery the thread ahead of earlier tickets.
        Where the turn exists, its thread is that of the first claim, whatever
        `request.thread` says; the new content replaces the old while the turn is planned.

        Raises:
            TaskIdentityConflict: Element or process definition differ from the recorded ones
                (where both are given).
            TaskContentChanged: Other content, `refuse_other_content`, and the turn is submitted,
                unknown or settled, or planned with a ticket kept alive for other content.
            ThreadClosed: The thread is closed and the turn is not settled, or there is no thread
                and its scope has ended.
            ThreadErased: The thread is being erased.
        """
        ...

    async def submit(self, lease: Lease, turn: TurnRef, submission: Submission) -> Submitted:
        """Record that the turn is about to be asked; releases nothing.

        Raises:
            ThreadConflict: The lease does not stand, another turn is open, the turn is not
                planned, or the submission does not match the thread's sequence or live generation.
            ThreadClosed: The thread was closed since it was claimed.
            ThreadErased: It is being erased by now.
        """
        ...

    async def note_response(self, attempt: AttemptRef, response_id: str) -> None:
        """Record the run's name at the backend. The first name recorded stays."""
        ...

    async def settle(
        self,
        lease: Lease,
        turn: TurnRef,
        settlement: Settlement,
        *,
        keep_lease: bool = False,
    ) -> Turn:
        """End the turn, and release the lease unless it is to be kept, in one transaction.

        An answer also moves the live generation's last item, the thread's shown variables (by
        those of the turn's latest attempt), usage and times, and adds the turn's link to the
        thread's chain (`domain.chain`). An abandonment ends a turn in any state that is not
        settled, and an answer one that is submitted or unknown.
        """
        ...

    async def set_aside(
        self, lease: Lease, turn: TurnRef, *, error_code: str, error_message: str
    ) -> None:
        """Mark a submitted turn unknown, note why on its attempt, and release the lease.

        On a turn already unknown it notes and releases; on a planned one it only releases.
        """
        ...

    async def replan(
        self,
        lease: Lease,
        attempt: AttemptRef,
        *,
        error_code: str,
        error_message: str,
        keep_lease: bool,
    ) -> None:
        """Take an open turn back to planned: this attempt's request was proven not applied.

        A lease may outlast several attempts, so that a call which arrives late must not be taken
        for one about the latest.

        Its sequence is free again. The ticket stays if the lease is kept; otherwise the delivery
        goes back to its caller, and the place in the line is given up with the lease.
        """
        ...

    async def mark_reported(self, turn: TurnKey) -> None:
        """Record that the caller or engine has the turn's outcome; only a settled turn changes."""
        ...


class Leases(Protocol):
    """The right to decide about a thread, and the tickets of those who wait for it."""

    async def lease_thread(
        self, thread: ThreadKey, *, owner: str, lease_seconds: float
    ) -> ThreadGranted | ThreadHeld:
        """Take a thread without a turn, creating it if there is none; tickets do not matter.

        Raises:
            ThreadClosed: The thread is closed, or there is none and its scope has ended.
            ThreadErased: The thread is being erased.
        """
        ...

    async def lease_known_thread(
        self, thread: ThreadRef, *, owner: str, lease_seconds: float
    ) -> ThreadGranted | ThreadHeld:
        """Take a thread that is there, closed ones and those being erased included.

        Raises:
            UnknownThread: There is no such thread.
            ThreadErased: It has been erased.
        """
        ...

    async def extend(self, lease: Lease, *, lease_seconds: float) -> bool:
        """Let the lease last that long from now; False if it no longer stands."""
        ...

    async def release(self, lease: Lease) -> None:
        """Give the thread up; nothing happens where the lease no longer stands."""
        ...

    async def keep_tickets(self, turns: Sequence[TurnRef], *, ticket_seconds: float) -> None:
        """Keep the tickets of these planned turns alive that long from now, in one statement."""
        ...

    async def drop_ticket(self, turn: TurnRef) -> None:
        """Give up a planned turn's place: its delivery no longer waits."""
        ...


class Generations(Protocol):
    """The remote conversations a thread has had."""

    async def note_conversation(
        self,
        thread: ThreadRef,
        *,
        identity: BackendIdentity,
        conversation_id: ConversationId,
        reason: GenerationReason,
        opened_from: int,
        opened_to: int,
    ) -> Generation:
        """Record a conversation that was just opened, as building, with the next number. A fact.

        Where the thread was erased meanwhile, as retired: nobody will come to build it.

        Raises:
            UnknownThread: There is no such thread.
            ThreadConflict: The conversation is another thread's.
        """
        ...

    async def note_copied(
        self, thread: ThreadRef, number: int, *, copied_messages: int, last_item_id: str
    ) -> None:
        """Record how many messages a building conversation holds by now. A fact."""
        ...

    async def make_live(self, lease: Lease, number: int) -> Generation:
        """Make a building conversation the live one; the one live before is retired.

        Raises:
            ThreadConflict: The lease does not stand, or that generation is not building.
        """
        ...

    async def retire(self, lease: Lease, number: int) -> None:
        """Queue a conversation for erasure; it is never read or written again."""
        ...

    async def generations(self, thread: ThreadRef) -> Sequence[Generation]:
        """Give all generations of a thread, by number."""
        ...

    async def count_lost(self, identity: BackendIdentity, *, within_seconds: float) -> int:
        """Count the threads given a new conversation there because that backend had lost theirs.

        Those whose new conversation was recorded within that time, by the store's clock, whatever
        became of it.
        """
        ...


class ThreadDirectory(Protocol):
    """Reading threads and transcripts; nothing here changes anything."""

    async def find_thread(self, thread_id: str) -> Thread | None:
        """Find the thread that has, or ever had, a conversation of that id."""
        ...

    async def threads(self, wanted: ThreadFilter) -> Sequence[Thread]:
        """List threads, newest first."""
        ...

    async def find_turn(self, turn: TurnRef) -> Turn | None:
        """Read one turn with its prompt and answer."""
        ...

    async def turns_in(
        self, states: Collection[TurnState], *, thread: ThreadRef | None = None, limit: int = 100
    ) -> Sequence[Turn]:
        """Give the turns in one of these states, newest first, of one thread or of all.

        For people who look for what waits for them; may cost a scan.
        """
        ...

    async def open_turns_of_closed(self, *, limit: int = 100) -> Sequence[Turn]:
        """Give turns that are open though their thread is closed, those that were made first first.

        No task of theirs can take the thread any more.
        """
        ...

    async def turns(
        self, thread: ThreadRef, *, after_sequence: int = 0, limit: int = 100
    ) -> Sequence[Turn]:
        """Give the submitted and settled turns of a thread with their texts, by sequence."""
        ...

    async def attempts(self, turn: TurnRef) -> Sequence[Attempt]:
        """Give a turn's attempts, by number."""
        ...

    async def exchanges(
        self, thread: ThreadRef, *, after_sequence: int = 0, limit: int = 100
    ) -> Sequence[Exchange]:
        """Give completed exchanges, by sequence: what a rebuilt conversation is made of."""
        ...

    async def window(self, thread: ThreadRef, *, characters: int) -> Window:
        """Give the first exchange and as many of the latest as `characters` allow.

        Reads in proportion to what it returns, not to the thread's length.
        """
        ...

    async def statistics(self) -> StoreStatistics:
        """Count, for metrics; may cost a scan and is not called per turn."""
        ...

    async def now(self) -> datetime:
        """Give the store's own time; also the cheapest proof that it answers."""
        ...

    async def doubts(self) -> Sequence[str]:
        """Say, a sentence each, what may undo what was committed; empty where nothing may.

        Every promise about turns holds as far as the database keeps its commits.
        """
        ...


class ThreadStore(
    Turns,
    Leases,
    Generations,
    ThreadDirectory,
    AuditTrail,
    Erasures,
    EndedThreads,
    Jobs,
    Protocol,
):
    """All roles of the store; adapters implement this one.

    Guarantees the database itself enforces: thread keys and turn keys are unique; a thread has
    at most one open turn and one live generation; a conversation id is unique with its backend
    identity; sequences of a thread are unique; every row hangs on its thread's row.

    Texts come back as they were given, but for NUL and halves of surrogate pairs, which no
    database takes: each becomes U+FFFD.

    An adapter works on a database that an async context manager opens: entering connects and
    applies migrations under a lock (StoreMisconfigured if the schema is newer than the program),
    leaving closes.
    """
