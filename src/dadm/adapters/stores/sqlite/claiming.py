"""Finding or creating thread and turn, and granting the one to the other, inside a job on SQLite."""

import sqlite3
from dataclasses import replace

from dadm.adapters.stores.deliveries import is_recorded, refuse_unusable
from dadm.adapters.stores.rows.texts import storable
from dadm.adapters.stores.rows.threads import attempt_ref, schema_text, shown_text
from dadm.adapters.stores.sqlite.audit import note
from dadm.adapters.stores.sqlite.instants import instant, later, microseconds_now
from dadm.adapters.stores.sqlite.reading import (
    StandingThread,
    StandingTurn,
    latest_attempt,
    open_turn,
    thread_of_key,
    thread_of_turn,
    turn_of_key,
)
from dadm.domain.errors import ThreadClosed, ThreadConflict
from dadm.domain.thread import NO_USAGE, Thread, ThreadKey, ThreadRef, ThreadState
from dadm.domain.turn import Attempt, Turn, TurnRef, TurnState
from dadm.ports.audit import AuditAction
from dadm.ports.store_values import (
    Claim,
    ClaimRequest,
    Granted,
    Lease,
    Queued,
    Recorded,
    Submission,
    Submitted,
)

FIND_SCOPE = "SELECT id, ended_at FROM scopes WHERE engine = ? AND tenant = ? AND name = ?"
ADD_SCOPE = "INSERT INTO scopes (engine, tenant, name) VALUES (?, ?, ?)"
ADD_THREAD = "INSERT INTO threads (scope, assistant, state, created_at) VALUES (?, ?, 'open', ?)"
AHEAD_AND_OPEN = """SELECT
    (SELECT count(*) FROM turns WHERE thread = ?1 AND state = 'planned'
        AND ticket < ?2 AND ticket_expires_at > ?3),
    EXISTS (SELECT 1 FROM turns WHERE thread = ?1 AND state IN ('submitted', 'unknown'))"""
ADD_TURN = """INSERT INTO turns (state, sequence, ticket, ticket_expires_at, fence,
    content_digest, element_id, process_definition, assistant_version, answer_schema,
    generation, attempts, thread, scope, task_id, created_at)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
CHANGE_TURN = """UPDATE turns SET state = ?, sequence = ?, ticket = ?, ticket_expires_at = ?,
    fence = ?, content_digest = ?, element_id = ?, process_definition = ?,
    assistant_version = ?, answer_schema = ?, generation = ?, attempts = ?,
    refusal_code = NULL, refusal_reason = NULL,
    input_tokens = 0, output_tokens = 0, cached_tokens = 0, reported = 0, settled_at = NULL
    WHERE id = ?"""
CHANGE_THREAD = """UPDATE threads SET turn_count = ?, last_ticket = ?, lease_owner = ?,
    lease_expires_at = ?, fence = ? WHERE id = ?"""
ADD_ATTEMPT = """INSERT INTO attempts
    (turn, number, thread, generation, item_before, shown, sent_at, prompt)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)"""

NOT_WRITTEN = TurnRef(0)
"""Stands for the number of a turn that has none yet."""


class Claiming:
    """One job of claiming, at one moment of the store's time."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        """Work inside the transaction that `connection` is in."""
        self._connection = connection
        self.now = microseconds_now()

    def claim(self, request: ClaimRequest) -> Claim:
        """Find or create thread and turn, and take the thread if it is free for the turn."""
        turn = turn_of_key(self._connection, request.turn)
        if turn is None:
            thread = self.thread_or_new(request.thread)
            refuse_unusable(thread.thread.state)
            turn = self._plan(thread, request)
        else:
            thread = thread_of_turn(self._connection, turn.turn)
            waits = turn.waits(self.now)
            if is_recorded(thread.thread.state, turn.turn, request, waits=waits):
                replayed = (turn.turn.thread, turn.turn.ref, AuditAction.REPLAYED)
                note(self._connection, *replayed, turn.turn.state)
                return Recorded(thread=thread.thread, turn=turn.turn)
            self._renew(thread, turn, request)
        return self._take(thread, turn, request)

    def thread_or_new(self, key: ThreadKey) -> StandingThread:
        """Find the thread of that key, or open it.

        Raises:
            ThreadClosed: There is none, and its scope has ended.
        """
        found = thread_of_key(self._connection, key)
        if found is not None:
            return found
        scope, ended_at = self._scope_or_new(key.engine, key.tenant, key.scope)
        if ended_at is not None:
            raise ThreadClosed
        opened = self._connection.execute(ADD_THREAD, (scope, key.assistant, self.now))
        thread = Thread(
            ref=ThreadRef(opened.lastrowid or 0),
            key=key,
            state=ThreadState.OPEN,
            turn_count=0,
            created_at=instant(self.now),
        )
        return StandingThread(thread, scope, "", None, fence=0, last_ticket=0)

    def _scope_or_new(self, engine: str, tenant: str, name: str) -> tuple[int, int | None]:
        """Give a scope's number, and when it ended."""
        values = (engine, tenant, name)
        row: tuple[int, int | None] | None = self._connection.execute(FIND_SCOPE, values).fetchone()
        if row is not None:
            return row
        return self._connection.execute(ADD_SCOPE, values).lastrowid or 0, None

    def _plan(self, thread: StandingThread, request: ClaimRequest) -> StandingTurn:
        """Think of a turn that was not known, with the thread's next ticket."""
        thread.last_ticket += 1
        turn = Turn(
            ref=NOT_WRITTEN,
            thread=thread.thread.ref,
            key=request.turn,
            state=TurnState.PLANNED,
            content_digest=request.content_digest,
            element_id=request.element_id,
            process_definition=request.process_definition,
            created_at=instant(self.now),
        )
        expires_at = later(self.now, request.ticket_seconds)
        return StandingTurn(turn, thread.last_ticket, expires_at, fence=0)

    def _renew(self, thread: StandingThread, turn: StandingTurn, request: ClaimRequest) -> None:
        """Keep the ticket alive, give a planned turn today's content, plan a released one."""
        is_released = turn.turn.state is TurnState.REFUSED
        if is_released or (turn.turn.state is TurnState.PLANNED and not turn.waits(self.now)):
            thread.last_ticket += 1
            turn.ticket = thread.last_ticket
        turn.ticket_expires_at = later(self.now, request.ticket_seconds)
        if is_released or turn.turn.state is TurnState.PLANNED:
            turn.turn = replace(
                turn.turn,
                state=TurnState.PLANNED,
                sequence=0,
                content_digest=request.content_digest,
                element_id=turn.turn.element_id or request.element_id,
                process_definition=turn.turn.process_definition or request.process_definition,
                refusal=None,
                usage=NO_USAGE,
                is_reported=False,
                settled_at=None,
            )

    def _take(self, thread: StandingThread, turn: StandingTurn, request: ClaimRequest) -> Claim:
        """Grant the thread if it is free for this turn, and submit the turn if it can be."""
        values = (thread.thread.ref, turn.ticket, self.now)
        ahead, is_one_open = self._connection.execute(AHEAD_AND_OPEN, values).fetchone()
        if turn.turn.state is not TurnState.PLANNED:
            ahead = 0
        is_held = thread.held_by_another(request.owner, self.now)
        if is_held or (ahead and thread.lease_owner != request.owner):
            self._write_turn(thread, turn)
            self._write_thread(thread)
            return Queued(
                turn=turn.turn.ref,
                ticket=turn.ticket,
                ahead=ahead,
                lease_remaining_seconds=thread.remaining_seconds(self.now) if is_held else 0.0,
            )
        lease = self._grant(thread, request.owner, request.lease_seconds)
        asks = request.submission
        if asks and not is_one_open and matches(thread.thread, turn.turn, asks):
            return self.write_submission(lease, thread, turn, asks)
        self._write_turn(thread, turn)
        self._write_thread(thread)
        if asks and turn.is_submitted_under(lease):
            return self.submitted_already(lease, thread, turn)
        return Granted(
            lease=lease,
            thread=thread.thread,
            turn=turn.turn,
            open_turn=open_turn(self._connection, lease.thread) if is_one_open else None,
        )

    def take_thread(self, thread: StandingThread, owner: str, lease_seconds: float) -> Lease:
        """Give `owner` the thread, durably."""
        lease = self._grant(thread, owner, lease_seconds)
        self._write_thread(thread)
        return lease

    def _grant(self, thread: StandingThread, owner: str, lease_seconds: float) -> Lease:
        """Give `owner` the thread; the fence rises unless it is the owner's already."""
        if thread.lease_owner != owner:
            thread.fence += 1
        thread.lease_owner = owner
        thread.lease_expires_at = later(self.now, lease_seconds)
        return Lease(thread=thread.thread.ref, owner=owner, fence=thread.fence)

    def submitted_already(
        self, lease: Lease, thread: StandingThread, turn: StandingTurn
    ) -> Submitted:
        """Give what the submission under this lease gave."""
        attempt = latest_attempt(self._connection, turn.turn.ref)
        return Submitted(lease=lease, thread=thread.thread, turn=turn.turn, attempt=attempt)

    def write_submission(
        self, lease: Lease, thread: StandingThread, turn: StandingTurn, submission: Submission
    ) -> Submitted:
        """Write the turn, its prompt and its attempt down, before the request leaves."""
        live = thread.thread.live
        if live is None:
            raise ThreadConflict
        thread.thread = replace(thread.thread, turn_count=thread.thread.turn_count + 1)
        turn.fence = lease.fence
        turn.turn = replace(
            turn.turn,
            state=TurnState.SUBMITTED,
            sequence=thread.thread.turn_count,
            prompt=storable(submission.prompt),
            answer_schema=submission.answer_schema,
            assistant_version=submission.assistant_version,
            generation=live.number,
            attempts=turn.turn.attempts + 1,
        )
        self._write_turn(thread, turn)
        self._write_thread(thread)
        asked = turn.turn
        conversation = (lease.thread, live.number, live.last_item_id)
        shown = shown_text(submission.shown)
        self._connection.execute(
            ADD_ATTEMPT,
            (asked.ref, asked.attempts, *conversation, shown, self.now, asked.prompt),
        )
        attempt = Attempt(
            ref=attempt_ref(asked.ref, asked.attempts),
            turn=asked.ref,
            number=asked.attempts,
            generation=live.number,
            item_before=live.last_item_id,
            sent_at=instant(self.now),
        )
        return Submitted(lease=lease, thread=thread.thread, turn=asked, attempt=attempt)

    def _write_turn(self, thread: StandingThread, turn: StandingTurn) -> None:
        """Write a turn down as it stands; a new one gets its number by this."""
        what = turn.turn
        values = (
            *(what.state, what.sequence, turn.ticket, turn.ticket_expires_at, turn.fence),
            *(what.content_digest, what.element_id, what.process_definition),
            *(what.assistant_version, schema_text(what.answer_schema)),
            *(what.generation, what.attempts),
        )
        if what.ref != NOT_WRITTEN:
            self._connection.execute(CHANGE_TURN, (*values, what.ref))
            return
        key, owner = what.key, thread.thread.key
        if (key.engine, key.tenant, key.scope) == (owner.engine, owner.tenant, owner.scope):
            scope = thread.scope
        else:
            scope, _ = self._scope_or_new(key.engine, key.tenant, key.scope)
        written = self._connection.execute(
            ADD_TURN, (*values, what.thread, scope, key.task_id, self.now)
        )
        turn.turn = replace(what, ref=TurnRef(written.lastrowid or 0))

    def _write_thread(self, thread: StandingThread) -> None:
        """Write down what a claim changes of a thread."""
        self._connection.execute(
            CHANGE_THREAD,
            (
                *(thread.thread.turn_count, thread.last_ticket, thread.lease_owner),
                *(thread.lease_expires_at, thread.fence, thread.thread.ref),
            ),
        )


def matches(thread: Thread, turn: Turn, submission: Submission) -> bool:
    """Whether the submission was made from the thread as it stands."""
    return (
        turn.state is TurnState.PLANNED
        and thread.live is not None
        and thread.live.number == submission.generation
        and thread.turn_count == submission.after_sequence
    )
