"""Leases and tickets in memory."""

from collections.abc import Sequence
from datetime import timedelta

from dadm.adapters.stores.deliveries import refuse_unusable
from dadm.adapters.stores.memory.records import Records, ThreadRecord
from dadm.domain.errors import ThreadErased
from dadm.domain.thread import ThreadKey, ThreadRef, ThreadState
from dadm.domain.turn import TurnRef, TurnState
from dadm.ports.store_values import Lease, ThreadGranted, ThreadHeld


class MemoryLeases:
    """The role `Leases` over records."""

    def __init__(self, records: Records) -> None:
        """Work on `records`, which the other roles share."""
        self._records = records

    async def lease_thread(
        self, thread: ThreadKey, *, owner: str, lease_seconds: float
    ) -> ThreadGranted | ThreadHeld:
        record = self._records.thread_or_new(thread)
        refuse_unusable(record.state)
        return self._lease(record, owner, lease_seconds)

    async def lease_known_thread(
        self, thread: ThreadRef, *, owner: str, lease_seconds: float
    ) -> ThreadGranted | ThreadHeld:
        record = self._records.thread(thread)
        if record.state is ThreadState.ERASED:
            raise ThreadErased
        return self._lease(record, owner, lease_seconds)

    def _lease(
        self, record: ThreadRecord, owner: str, lease_seconds: float
    ) -> ThreadGranted | ThreadHeld:
        now = self._records.clock.now()
        if record.held_by_another(owner, now):
            return ThreadHeld(lease_remaining_seconds=record.lease_remaining_seconds(now))
        lease = record.grant(owner, now + timedelta(seconds=lease_seconds))
        return ThreadGranted(lease=lease, thread=record.as_thread(), open_turn=record.open_turn())

    async def extend(self, lease: Lease, *, lease_seconds: float) -> bool:
        record = self._records.threads.get(lease.thread)
        if record is None or not record.stands(lease):
            return False
        record.lease_expires_at = self._records.clock.now() + timedelta(seconds=lease_seconds)
        return True

    async def release(self, lease: Lease) -> None:
        record = self._records.threads.get(lease.thread)
        if record is not None and record.stands(lease):
            record.free()

    async def keep_tickets(self, turns: Sequence[TurnRef], *, ticket_seconds: float) -> None:
        expires_at = self._records.clock.now() + timedelta(seconds=ticket_seconds)
        for turn in turns:
            record = self._records.turns.get(turn)
            if (
                record is not None
                and record.turn.state is TurnState.PLANNED
                and record.ticket_expires_at is not None
            ):
                record.ticket_expires_at = expires_at

    async def drop_ticket(self, turn: TurnRef) -> None:
        record = self._records.turns.get(turn)
        if record is not None and record.turn.state is TurnState.PLANNED:
            record.ticket_expires_at = None
