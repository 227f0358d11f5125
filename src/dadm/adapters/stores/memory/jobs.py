"""Jobs that one replica does for all, in memory."""

from dataclasses import replace
from datetime import timedelta

from dadm.adapters.stores.memory.records import JobRecord, Records
from dadm.ports.jobs import JobKey


class MemoryJobs:
    """The role `Jobs` over records."""

    def __init__(self, records: Records) -> None:
        """Work on `records`, which the other roles share."""
        self._records = records

    async def take_job(self, job: JobKey, *, owner: str, lease_seconds: float) -> int | None:
        now = self._records.clock.now()
        known = self._records.jobs.get(job)
        if known is not None and known.owner != owner and known.until > now:
            return None
        position = known.position if known else 0
        until = now + timedelta(seconds=lease_seconds)
        self._records.jobs[job] = JobRecord(owner=owner, until=until, position=position)
        return position

    async def note_job(self, job: JobKey, *, owner: str, position: int) -> bool:
        known = self._records.jobs.get(job)
        if known is None or known.owner != owner:
            return False
        self._records.jobs[job] = replace(known, position=position)
        return True

    async def leave_job(self, job: JobKey, *, owner: str, rest_seconds: float = 0.0) -> None:
        known = self._records.jobs.get(job)
        if known is not None and known.owner == owner:
            until = self._records.clock.now() + timedelta(seconds=rest_seconds)
            self._records.jobs[job] = replace(known, owner="", until=until)
