"""Erasing threads and conversations in memory."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from dadm.adapters.stores import audit_details
from dadm.adapters.stores.memory.records import Records, ThreadRecord
from dadm.domain.chain import CHAIN_START
from dadm.domain.errors import ThreadConflict
from dadm.domain.thread import BackendIdentity, Generation, GenerationState, ThreadRef, ThreadState
from dadm.ports.audit import AuditAction
from dadm.ports.backend import ErasureReport
from dadm.ports.erasures import ErasureReceipt
from dadm.ports.store_values import Lease


class MemoryErasures:
    """The role `Erasures` over records."""

    def __init__(self, records: Records) -> None:
        """Work on `records`, which the other roles share."""
        self._records = records

    async def begin_erasure(self, lease: Lease) -> None:
        thread = self._records.leased(lease)
        if thread.state is ThreadState.ERASING:
            return
        if thread.open_record() is not None:
            raise ThreadConflict
        self._records.note(thread.ref, None, AuditAction.ERASURE_BEGUN, thread.state)
        thread.state = ThreadState.ERASING
        thread.erasing_since = self._records.clock.now()

    async def response_ids(self, thread: ThreadRef) -> Mapping[int, Sequence[str]]:
        found: dict[int, list[str]] = {}
        for record in self._records.turns_of(thread):
            for attempt in record.attempts:
                if attempt.response_id:
                    found.setdefault(attempt.generation, []).append(attempt.response_id)
        return {number: tuple(found[number]) for number in sorted(found)}

    async def note_erased(self, thread: ThreadRef, number: int, report: ErasureReport) -> None:
        record = self._records.threads.get(thread)
        generation = record.generations.get(number) if record else None
        if record is None or generation is None or generation.state is GenerationState.ERASED:
            return
        is_in_use = generation.state is GenerationState.LIVE
        if is_in_use and record.state is not ThreadState.ERASING:
            return
        record.erasures[number] = report
        self._records.set_generation(record, replace(generation, state=GenerationState.ERASED))

    async def finish_erasure(self, lease: Lease) -> ErasureReceipt:
        thread = self._records.threads.get(lease.thread)
        if thread is not None and thread.receipt is not None and thread.fence == lease.fence:
            return thread.receipt
        thread = self._records.leased(lease)
        is_left = any(
            generation.state is not GenerationState.ERASED
            for generation in thread.generations.values()
        )
        if thread.state is not ThreadState.ERASING or thread.erasing_since is None or is_left:
            raise ThreadConflict
        thread.receipt = self._receipt(thread, thread.erasing_since)
        for turn in self._records.turns_of(thread.ref):
            self._records.forget_turn(turn)
        thread.planned.clear()
        thread.asked.clear()
        thread.shown.clear()
        thread.chain = CHAIN_START
        thread.state = ThreadState.ERASED
        thread.free()
        detail = audit_details.erased(thread.receipt)
        self._records.note(thread.ref, None, AuditAction.ERASED, detail)
        return thread.receipt

    def _receipt(self, thread: ThreadRecord, begun_at: datetime) -> ErasureReceipt:
        turns = self._records.turns_of(thread.ref)
        reports = [thread.erasures[number] for number in sorted(thread.erasures)]
        return ErasureReceipt(
            thread=thread.ref,
            begun_at=begun_at,
            erased_at=self._records.clock.now(),
            turns=len(turns),
            conversations=len(thread.generations),
            deleted_items=sum(report.deleted_items for report in reports),
            deleted_responses=sum(report.deleted_responses for report in reports),
            unnamed_responses=sum(
                not attempt.response_id for turn in turns for attempt in turn.attempts
            ),
            unreachable=tuple(name for report in reports for name in report.unreachable),
        )

    async def receipt(self, thread: ThreadRef) -> ErasureReceipt | None:
        record = self._records.threads.get(thread)
        return record.receipt if record else None

    async def retired(
        self, identities: Sequence[BackendIdentity], *, retired_seconds: float, limit: int = 100
    ) -> Sequence[Generation]:
        until = self._records.clock.now() - timedelta(seconds=retired_seconds)
        waiting = sorted(
            (record.retired_at[generation.number], record.ref, generation.number)
            for record in self._records.threads.values()
            for generation in record.generations.values()
            if generation.state is GenerationState.RETIRED and generation.identity in identities
        )
        return tuple(
            self._records.threads[ref].generations[number]
            for retired_at, ref, number in waiting
            if retired_at <= until
        )[:limit]
