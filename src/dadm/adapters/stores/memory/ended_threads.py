"""Closing, clearing and parking threads in memory."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from dadm.adapters.stores import audit_details
from dadm.adapters.stores.memory.records import Records, ThreadRecord
from dadm.domain.errors import ThreadConflict
from dadm.domain.thread import BackendIdentity, GenerationState, ThreadRef, ThreadState
from dadm.ports.audit import AuditAction
from dadm.ports.ended_threads import IdleScope, IdleThread
from dadm.ports.store_values import Lease

LEFT = frozenset({GenerationState.BUILDING, GenerationState.LIVE, GenerationState.RETIRED})


class MemoryEndedThreads:
    """The role `EndedThreads` over records."""

    def __init__(self, records: Records) -> None:
        """Work on `records`, which the other roles share."""
        self._records = records

    async def close_scope(self, *, engine: str, tenant: str, scope: str, reason: str = "") -> int:
        key = (engine, tenant, scope)
        if key not in self._records.scopes:
            return 0
        now = self._records.clock.now()
        self._records.ended_scopes.setdefault(key, now)
        closed = 0
        for record in self._records.threads.values():
            if record.scope_key == key and record.state.takes_turns:
                record.state = ThreadState.CLOSED
                record.closed_at = now
                self._records.note(record.ref, None, AuditAction.CLOSED, reason)
                closed += 1
        return closed

    async def open_scopes(self, *, engine: str, tenant: str, beginning: str) -> Sequence[str]:
        return sorted(
            key[2]
            for key in self._records.scopes
            if key[:2] == (engine, tenant)
            and beginning
            and key[2].startswith(beginning)
            and key not in self._records.ended_scopes
        )

    async def threads_to_clear(
        self,
        identities: Sequence[BackendIdentity],
        *,
        closed_seconds: float,
        with_cleared: bool = False,
        limit: int = 100,
    ) -> Sequence[ThreadRef]:
        until = self._before(closed_seconds)
        waiting = sorted(
            (record.cleared_at is not None, record.closed_at, record.ref)
            for record in self._records.threads.values()
            if record.state is ThreadState.CLOSED
            and record.closed_at is not None
            and record.closed_at <= until
            and (with_cleared or record.cleared_at is None)
            and all(
                generation.identity in identities
                for generation in record.generations.values()
                if generation.state in LEFT
            )
        )
        return tuple(ref for _, _, ref in waiting)[:limit]

    async def note_cleared(self, lease: Lease) -> None:
        record = self._records.leased(lease)
        is_left = any(generation.state in LEFT for generation in record.generations.values())
        if record.state is not ThreadState.CLOSED or is_left:
            raise ThreadConflict
        if record.cleared_at is None:
            record.cleared_at = self._records.clock.now()
            reports = record.erasures.values()
            detail = audit_details.cleared(
                len(reports),
                sum(report.deleted_items for report in reports),
                sum(report.deleted_responses for report in reports),
                sum(len(report.unreachable) for report in reports),
            )
            self._records.note(record.ref, None, AuditAction.CLEARED, detail)

    async def idle_scopes(
        self, engine: str, *, idle_seconds: float, after: int = 0, limit: int = 500
    ) -> Sequence[IdleScope]:
        since = self._before(idle_seconds)
        used: dict[tuple[str, str, str], bool] = {}
        for record in self._records.threads.values():
            if record.key.engine == engine and record.state.takes_turns:
                is_used = record.last_used_at > since
                used[record.scope_key] = used.get(record.scope_key, False) or is_used
        found = sorted(
            (self._records.scopes[key], key) for key, is_used in used.items() if not is_used
        )
        return tuple(
            IdleScope(position=position, tenant=tenant, name=name)
            for position, (_, tenant, name) in found
            if position > after
        )[:limit]

    async def threads_to_park(
        self, engine: str, *, idle_seconds: float, after: ThreadRef | None = None, limit: int = 100
    ) -> Sequence[IdleThread]:
        since = self._before(idle_seconds)
        found: Iterator[ThreadRecord] = (
            self._records.threads[ref] for ref in sorted(self._records.threads)
        )
        return tuple(
            IdleThread(ref=record.ref, tenant=record.key.tenant, scope=record.key.scope)
            for record in found
            if record.ref > (after or 0)
            and record.key.engine == engine
            and record.state is ThreadState.OPEN
            and record.last_used_at <= since
        )[:limit]

    async def park(self, lease: Lease) -> None:
        record = self._records.leased(lease)
        if record.state is ThreadState.PARKED:
            return
        if record.state is not ThreadState.OPEN or record.open_record() is not None:
            raise ThreadConflict
        record.state = ThreadState.PARKED
        for generation in tuple(record.generations.values()):
            if generation.state in {GenerationState.BUILDING, GenerationState.LIVE}:
                left = replace(generation, state=GenerationState.RETIRED)
                self._records.set_generation(record, left)
        self._records.note(record.ref, None, AuditAction.PARKED, "")

    def _before(self, seconds: float) -> datetime:
        return self._records.clock.now() - timedelta(seconds=seconds)
