"""Finding or creating thread and turn, and granting the one to the other, inside a job on SQLite."""

import sqlite3
from dataclasses import replace

from dadm.adapters.stores.deliveries import is_recorded, refuse_unusable
from dadm.adapters.stores.rows.texts import storable
from dadm.adapters.stores.rows.threads import attempt_ref, schema_text, shown_text
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
from dadm.domain.errors import ThreadConflict
from dadm.domain.thread import NO_USAGE, Thread, ThreadKey, ThreadRef, ThreadState
from dadm.domain.turn import Attempt, Turn, TurnRef, TurnState
from dadm.ports.store import (
    Claim,
    ClaimRequest,
    Granted,
    Lease,
    Queued,
    Recorded,
    Submission,
    Submitted,
)

FIND_SCOPE = "SELECT id FROM scopes WHERE engine = ? AND tenant = ? AND name = ?"
ADD_SCOPE = "INSERT INTO scopes (engine, tenant, name) VALUES (?, ?, ?)"
ADD_THREAD = "INSERT INTO threads (scope, assistant, state, created_at) VALUES (?, ?, 'open', ?)"
AHEAD = """SELECT count(*) FROM turns
    WHERE thread = ? AND state = 'planned' AND ticket < ? AND ticket_expires_at > ?"""
PLAN = """INSERT INTO turns (thread, scope, task_id, state, ticket, ticket_expires_at,
    content_digest, element_id, process_definition, created_at)
    VALUES (?, ?, ?, 'planned', ?, ?, ?, ?, ?, ?)"""
RENEW = """UPDATE turns SET state = ?, sequence = ?, ticket = ?, ticket_expires_at = ?,
    content_digest = ?, element_id = ?, process_definition = ?,
    refusal_code = NULL, refusal_reason = NULL,
    input_tokens = 0, output_tokens = 0, cached_tokens = 0, reported = 0, settled_at = NULL
    WHERE id = ?"""
DRAW_TICKET = "UPDATE threads SET last_ticket = ? WHERE id = ?"
GRANT = """UPDATE threads SET last_ticket = ?, lease_owner = ?, lease_expires_at = ?, fence = ?
    WHERE id = ?"""
SUBMIT = """UPDATE turns SET state = 'submitted', sequence = ?, fence = ?,
    assistant_version = ?, answer_schema = ?, generation = ?, attempts = ? WHERE id = ?"""
COUNT_TURN = "UPDATE threads SET turn_count = ? WHERE id = ?"
ADD_ATTEMPT = """INSERT INTO attempts
    (turn, number, thread, generation, item_before, shown, sent_at, prompt)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)"""


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
                return Recorded(thread=thread.thread, turn=turn.turn)
            self._renew(thread, turn, request)
        return self._take(thread, turn, request)

    def thread_or_new(self, key: ThreadKey) -> StandingThread:
        """Find the thread of that key, or open it."""
        found = thread_of_key(self._connection, key)
        if found is not None:
            return found
        scope = self._scope_or_new(key.engine, key.tenant, key.scope)
        opened = self._connection.execute(ADD_THREAD, (scope, key.assistant, self.now))
        thread = Thread(
            ref=ThreadRef(opened.lastrowid or 0),
            key=key,
            state=ThreadState.OPEN,
            turn_count=0,
            created_at=instant(self.now),
        )
        return StandingThread(thread, scope, "", None, fence=0, last_ticket=0)

    def _scope_or_new(self, engine: str, tenant: str, name: str) -> int:
        values = (engine, tenant, name)
        row = self._connection.execute(FIND_SCOPE, values).fetchone()
        if row is not None:
            return int(row[0])
        return self._connection.execute(ADD_SCOPE, values).lastrowid or 0

    def _plan(self, thread: StandingThread, request: ClaimRequest) -> StandingTurn:
        """Write down a turn that was not known, with the thread's next ticket."""
        key = request.turn
        owner = thread.thread.key
        if (key.engine, key.tenant, key.scope) == (owner.engine, owner.tenant, owner.scope):
            scope = thread.scope
        else:
            scope = self._scope_or_new(key.engine, key.tenant, key.scope)
        thread.last_ticket += 1
        expires_at = later(self.now, request.ticket_seconds)
        content = (request.content_digest, request.element_id, request.process_definition)
        planned = self._connection.execute(
            PLAN,
            (
                thread.thread.ref,
                scope,
                key.task_id,
                thread.last_ticket,
                expires_at,
                *content,
                self.now,
            ),
        )
        turn = Turn(
            ref=TurnRef(planned.lastrowid or 0),
            thread=thread.thread.ref,
            key=key,
            state=TurnState.PLANNED,
            content_digest=request.content_digest,
            element_id=request.element_id,
            process_definition=request.process_definition,
            created_at=instant(self.now),
        )
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
        self._connection.execute(
            RENEW,
            (
                turn.turn.state,
                turn.turn.sequence,
                turn.ticket,
                turn.ticket_expires_at,
                turn.turn.content_digest,
                turn.turn.element_id,
                turn.turn.process_definition,
                turn.turn.ref,
            ),
        )

    def _take(self, thread: StandingThread, turn: StandingTurn, request: ClaimRequest) -> Claim:
        """Grant the thread if it is free for this turn, and submit the turn if it can be."""
        ref = thread.thread.ref
        ahead = 0
        if turn.turn.state is TurnState.PLANNED:
            (ahead,) = self._connection.execute(AHEAD, (ref, turn.ticket, self.now)).fetchone()
        is_held = thread.held_by_another(request.owner, self.now)
        if is_held or (ahead and thread.lease_owner != request.owner):
            self._connection.execute(DRAW_TICKET, (thread.last_ticket, ref))
            return Queued(
                turn=turn.turn.ref,
                ticket=turn.ticket,
                ahead=ahead,
                lease_remaining_seconds=thread.remaining_seconds(self.now) if is_held else 0.0,
            )
        lease = self.grant(thread, request.owner, request.lease_seconds)
        found_open = open_turn(self._connection, ref)
        if request.submission is not None:
            if turn.is_submitted_under(lease):
                return self.submitted_already(lease, thread, turn)
            if found_open is None and matches(thread.thread, turn.turn, request.submission):
                return self.write_submission(lease, thread, turn, request.submission)
        return Granted(lease=lease, thread=thread.thread, turn=turn.turn, open_turn=found_open)

    def grant(self, thread: StandingThread, owner: str, lease_seconds: float) -> Lease:
        """Give `owner` the thread; the fence rises unless it is the owner's already."""
        if thread.lease_owner != owner:
            thread.fence += 1
        thread.lease_owner = owner
        expires_at = later(self.now, lease_seconds)
        ref = thread.thread.ref
        self._connection.execute(GRANT, (thread.last_ticket, owner, expires_at, thread.fence, ref))
        return Lease(thread=ref, owner=owner, fence=thread.fence)

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
        ref = turn.turn.ref
        asked_thread = replace(thread.thread, turn_count=thread.thread.turn_count + 1)
        asked = replace(
            turn.turn,
            state=TurnState.SUBMITTED,
            sequence=asked_thread.turn_count,
            prompt=storable(submission.prompt),
            answer_schema=submission.answer_schema,
            assistant_version=submission.assistant_version,
            generation=live.number,
            attempts=turn.turn.attempts + 1,
        )
        content = (asked.assistant_version, schema_text(asked.answer_schema))
        attempted = (asked.generation, asked.attempts)
        self._connection.execute(SUBMIT, (asked.sequence, lease.fence, *content, *attempted, ref))
        self._connection.execute(COUNT_TURN, (asked.sequence, lease.thread))
        conversation = (lease.thread, live.number, live.last_item_id)
        shown = shown_text(submission.shown)
        self._connection.execute(
            ADD_ATTEMPT, (ref, asked.attempts, *conversation, shown, self.now, asked.prompt)
        )
        attempt = Attempt(
            ref=attempt_ref(ref, asked.attempts),
            turn=ref,
            number=asked.attempts,
            generation=live.number,
            item_before=live.last_item_id,
            sent_at=instant(self.now),
        )
        return Submitted(lease=lease, thread=asked_thread, turn=asked, attempt=attempt)


def matches(thread: Thread, turn: Turn, submission: Submission) -> bool:
    """Whether the submission was made from the thread as it stands."""
    return (
        turn.state is TurnState.PLANNED
        and thread.live is not None
        and thread.live.number == submission.generation
        and thread.turn_count == submission.after_sequence
    )
