"""Bringing turns to their end in memory: answered, refused, set aside, planned again."""

from dataclasses import replace
from typing import assert_never

from dadm.adapters.stores import audit_details
from dadm.adapters.stores.memory.records import Records, ThreadRecord, TurnRecord
from dadm.adapters.stores.rows.texts import storable
from dadm.domain.chain import next_link
from dadm.domain.errors import ThreadConflict
from dadm.domain.turn import AttemptRef, Refusal, Turn, TurnKey, TurnRef, TurnState
from dadm.ports.audit import AuditAction
from dadm.ports.store_values import (
    AbandonSettlement,
    AnswerSettlement,
    Lease,
    RefusalSettlement,
    Settlement,
)


class MemoryEndings:
    """How turns of the role `Turns` end."""

    def __init__(self, records: Records) -> None:
        """Work on `records`, which the other roles share."""
        self._records = records

    async def note_response(self, attempt: AttemptRef, response_id: str) -> None:
        turn = self._records.attempts.get(attempt)
        if turn is None:
            return
        attempts = self._records.turns[turn].attempts
        for index, known in enumerate(attempts):
            if known.ref == attempt and not known.response_id:
                attempts[index] = replace(known, response_id=response_id)

    async def settle(
        self,
        lease: Lease,
        turn: TurnRef,
        settlement: Settlement,
        *,
        keep_lease: bool = False,
    ) -> Turn:
        record = self._records.turn_of(lease, turn)
        if not (record.turn.state.is_settled and record.fence == lease.fence):
            thread = self._records.leased(lease)
            match settlement:
                case AnswerSettlement():
                    self._answer(thread, record, settlement)
                case RefusalSettlement():
                    self._refuse(thread, record, settlement)
                case AbandonSettlement():
                    self._abandon(thread, record, settlement)
                case _:
                    assert_never(settlement)
            record.fence = lease.fence
        self._give_up(lease, keep_lease=keep_lease)
        return record.turn

    def _answer(
        self, thread: ThreadRecord, record: TurnRecord, settlement: AnswerSettlement
    ) -> None:
        if not record.turn.state.is_open:
            raise ThreadConflict
        now = self._records.clock.now()
        record.turn = replace(
            record.turn,
            state=TurnState.COMPLETED,
            answer=storable(settlement.answer),
            usage=settlement.usage,
            recovered=settlement.is_recovered,
            settled_at=now,
            link=next_link(
                thread.chain,
                sequence=record.turn.sequence,
                prompt=record.turn.prompt,
                answer=storable(settlement.answer),
            ),
        )
        thread.chain = record.turn.link
        live = thread.live_generation()
        if live and live.number == record.turn.generation and settlement.last_item_id:
            self._records.set_generation(
                thread, replace(live, last_item_id=settlement.last_item_id)
            )
        thread.shown.update(record.shown)
        thread.usage += settlement.usage
        thread.last_turn_at = now
        if settlement.is_recovered:
            detail = audit_details.recovered(record.turn.attempts)
            self._records.note(thread.ref, record.turn.ref, AuditAction.RECOVERED, detail)

    def _refuse(
        self, thread: ThreadRecord, record: TurnRecord, settlement: RefusalSettlement
    ) -> None:
        if record.turn.state.is_settled:
            raise ThreadConflict
        record.turn = replace(
            record.turn,
            state=TurnState.REFUSED,
            refusal=replace(settlement.refusal, reason=storable(settlement.refusal.reason)),
            usage=settlement.usage,
            settled_at=self._records.clock.now(),
        )
        thread.planned.pop(record.turn.ref, None)
        thread.usage += settlement.usage
        self._records.note(
            thread.ref, record.turn.ref, AuditAction.REFUSED, settlement.refusal.code
        )

    def _abandon(
        self, thread: ThreadRecord, record: TurnRecord, settlement: AbandonSettlement
    ) -> None:
        if record.turn.state.is_settled:
            raise ThreadConflict
        reason = storable(settlement.reason)
        record.turn = replace(
            record.turn,
            state=TurnState.ABANDONED,
            refusal=Refusal(code=TurnState.ABANDONED, reason=reason),
            settled_at=self._records.clock.now(),
        )
        thread.planned.pop(record.turn.ref, None)
        self._records.note(thread.ref, record.turn.ref, AuditAction.ABANDONED, reason)

    async def set_aside(
        self, lease: Lease, turn: TurnRef, *, error_code: str, error_message: str
    ) -> None:
        record = self._records.turn_of(lease, turn)
        is_repeated = record.fence == lease.fence and record.turn.state in {
            TurnState.PLANNED,
            TurnState.UNKNOWN,
        }
        if is_repeated and not self._records.threads[lease.thread].stands(lease):
            return
        self._records.leased(lease)
        if record.turn.state.is_settled:
            raise ThreadConflict
        if record.turn.state.is_open:
            record.turn = replace(record.turn, state=TurnState.UNKNOWN)
            record.note_error(error_code, storable(error_message))
        record.fence = lease.fence
        self._give_up(lease, keep_lease=False)

    async def replan(
        self,
        lease: Lease,
        attempt: AttemptRef,
        *,
        error_code: str,
        error_message: str,
        keep_lease: bool,
    ) -> None:
        turn = self._records.attempts.get(attempt)
        if turn is None:
            raise ThreadConflict
        record = self._records.turn_of(lease, turn)
        if record.attempts[-1].ref != attempt:
            raise ThreadConflict
        if not (record.turn.state is TurnState.PLANNED and record.fence == lease.fence):
            thread = self._records.leased(lease)
            if not record.turn.state.is_open:
                raise ThreadConflict
            record.turn = replace(record.turn, state=TurnState.PLANNED, sequence=0)
            record.note_error(error_code, storable(error_message))
            record.fence = lease.fence
            thread.asked.remove(record)
            thread.turn_count -= 1
            thread.planned[turn] = record
            self._records.note(thread.ref, turn, AuditAction.ASKED_AGAIN, error_code)
        if not keep_lease and self._records.threads[lease.thread].stands(lease):
            record.ticket_expires_at = None
        self._give_up(lease, keep_lease=keep_lease)

    async def mark_reported(self, turn: TurnKey) -> None:
        record = self._records.turn_by_key(turn)
        if record is not None and record.turn.state.is_settled:
            record.turn = replace(record.turn, is_reported=True)

    def _give_up(self, lease: Lease, *, keep_lease: bool) -> None:
        thread = self._records.threads[lease.thread]
        if not keep_lease and thread.stands(lease):
            thread.free()
