"""Claiming and submitting turns in memory, each decision in one step."""

from dataclasses import replace
from datetime import timedelta

from dadm.adapters.stores.deliveries import is_recorded, refuse_unusable
from dadm.adapters.stores.memory.records import Records, ThreadRecord, TurnRecord
from dadm.adapters.stores.rows.texts import storable
from dadm.domain.errors import ThreadConflict
from dadm.domain.thread import NO_USAGE, ThreadKey
from dadm.domain.turn import Attempt, Turn, TurnKey, TurnRef, TurnState
from dadm.ports.audit import AuditAction
from dadm.ports.store_values import (
    Claim,
    ClaimRequest,
    Granted,
    Lease,
    Queued,
    Recorded,
    Standing,
    Submission,
    Submitted,
)


class MemoryClaims:
    """How turns of the role `Turns` begin."""

    def __init__(self, records: Records) -> None:
        """Work on `records`, which the other roles share."""
        self._records = records

    async def look_up(self, thread: ThreadKey, turn: TurnKey) -> Standing:
        record = self._records.turn_by_key(turn)
        if record is not None:
            standing = self._records.threads[record.turn.thread]
            return Standing(thread=standing.as_thread(), turn=record.turn)
        found = self._records.thread_by_key(thread)
        return Standing(thread=found.as_thread() if found else None, turn=None)

    async def claim(self, request: ClaimRequest) -> Claim:
        record = self._records.turn_by_key(request.turn)
        if record is None:
            thread = self._records.thread_or_new(request.thread)
            refuse_unusable(thread.state)
            record = self._plan(thread, request)
        else:
            thread = self._records.threads[record.turn.thread]
            waits = record.waits(self._records.clock.now())
            if is_recorded(thread.state, record.turn, request, waits=waits):
                self._records.note(
                    thread.ref, record.turn.ref, AuditAction.REPLAYED, record.turn.state
                )
                return Recorded(thread=thread.as_thread(), turn=record.turn)
            self._renew(thread, record, request)
        return self._take(thread, record, request)

    def _plan(self, thread: ThreadRecord, request: ClaimRequest) -> TurnRecord:
        now = self._records.clock.now()
        turn = Turn(
            ref=self._records.next_turn(),
            thread=thread.ref,
            key=request.turn,
            state=TurnState.PLANNED,
            content_digest=request.content_digest,
            element_id=request.element_id,
            process_definition=request.process_definition,
            created_at=now,
        )
        record = TurnRecord(
            turn=turn,
            ticket=thread.next_ticket(),
            ticket_expires_at=now + timedelta(seconds=request.ticket_seconds),
        )
        self._records.note_scope((turn.key.engine, turn.key.tenant, turn.key.scope))
        self._records.turns[turn.ref] = record
        self._records.turns_by_key[turn.key] = turn.ref
        thread.planned[turn.ref] = record
        return record

    def _renew(self, thread: ThreadRecord, record: TurnRecord, request: ClaimRequest) -> None:
        """Keep the turn's ticket alive, and give a planned turn today's content."""
        now = self._records.clock.now()
        if record.turn.state is TurnState.REFUSED:
            self._release_again(thread, record)
            record.ticket = thread.next_ticket()
        elif record.turn.state is TurnState.PLANNED and not record.waits(now):
            record.ticket = thread.next_ticket()
        record.ticket_expires_at = now + timedelta(seconds=request.ticket_seconds)
        if record.turn.state is TurnState.PLANNED:
            record.turn = replace(
                record.turn,
                content_digest=request.content_digest,
                element_id=record.turn.element_id or request.element_id,
                process_definition=record.turn.process_definition or request.process_definition,
            )

    def _release_again(self, thread: ThreadRecord, record: TurnRecord) -> None:
        """Plan a refused turn again; the sequence it had stays unused."""
        if record.turn.sequence:
            thread.asked.remove(record)
        record.turn = replace(
            record.turn,
            state=TurnState.PLANNED,
            sequence=0,
            refusal=None,
            usage=NO_USAGE,
            is_reported=False,
            settled_at=None,
        )
        thread.planned[record.turn.ref] = record

    def _take(self, thread: ThreadRecord, record: TurnRecord, request: ClaimRequest) -> Claim:
        """Grant the thread if it is free for this turn, and submit the turn if it can be."""
        now = self._records.clock.now()
        ahead = 0
        if record.turn.state is TurnState.PLANNED:
            ahead = sum(
                other.ticket < record.ticket and other.waits(now)
                for other in thread.planned.values()
            )
        is_held = thread.held_by_another(request.owner, now)
        if is_held or (ahead and thread.lease_owner != request.owner):
            return Queued(
                turn=record.turn.ref,
                ticket=record.ticket,
                ahead=ahead,
                lease_remaining_seconds=thread.lease_remaining_seconds(now) if is_held else 0.0,
            )
        lease = thread.grant(request.owner, now + timedelta(seconds=request.lease_seconds))
        if request.submission is not None:
            if self._is_submitted_under(lease, record):
                return self._submitted(lease, thread, record)
            if self._can_submit(thread, record, request.submission):
                return self._submit(lease, thread, record, request.submission)
        return Granted(
            lease=lease,
            thread=thread.as_thread(),
            turn=record.turn,
            open_turn=thread.open_turn(),
        )

    async def submit(self, lease: Lease, turn: TurnRef, submission: Submission) -> Submitted:
        record = self._records.turn_of(lease, turn)
        thread = self._records.leased(lease)
        if self._is_submitted_under(lease, record):
            return self._submitted(lease, thread, record)
        refuse_unusable(thread.state)
        if not self._can_submit(thread, record, submission):
            raise ThreadConflict
        return self._submit(lease, thread, record, submission)

    def _is_submitted_under(self, lease: Lease, record: TurnRecord) -> bool:
        return record.turn.state is TurnState.SUBMITTED and record.fence == lease.fence

    def _can_submit(self, thread: ThreadRecord, record: TurnRecord, submission: Submission) -> bool:
        return (
            record.turn.state is TurnState.PLANNED
            and thread.open_record() is None
            and thread.live != 0
            and thread.live == submission.generation
            and thread.turn_count == submission.after_sequence
        )

    def _submit(
        self, lease: Lease, thread: ThreadRecord, record: TurnRecord, submission: Submission
    ) -> Submitted:
        thread.turn_count += 1
        attempt = Attempt(
            ref=self._records.next_attempt(),
            turn=record.turn.ref,
            number=record.turn.attempts + 1,
            generation=thread.live,
            item_before=thread.generations[thread.live].last_item_id,
            sent_at=self._records.clock.now(),
        )
        record.attempts.append(attempt)
        record.fence = lease.fence
        record.shown = dict(submission.shown)
        record.turn = replace(
            record.turn,
            state=TurnState.SUBMITTED,
            sequence=thread.turn_count,
            prompt=storable(submission.prompt),
            answer_schema=submission.answer_schema,
            assistant_version=submission.assistant_version,
            generation=thread.live,
            attempts=attempt.number,
        )
        self._records.attempts[attempt.ref] = record.turn.ref
        del thread.planned[record.turn.ref]
        thread.asked.append(record)
        return self._submitted(lease, thread, record)

    def _submitted(self, lease: Lease, thread: ThreadRecord, record: TurnRecord) -> Submitted:
        return Submitted(
            lease=lease,
            thread=thread.as_thread(),
            turn=record.turn,
            attempt=record.attempts[-1],
        )
