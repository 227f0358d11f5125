"""Jobs that one replica does for all, on PostgreSQL."""

from dadm.adapters.stores.postgres.database import PostgresDatabase
from dadm.ports.jobs import JobKey

TAKE = """INSERT INTO jobs (name, subject, owner, until)
    VALUES ($1, $2, $3, clock_timestamp() + make_interval(secs => $4))
    ON CONFLICT (name, subject) DO UPDATE SET owner = EXCLUDED.owner, until = EXCLUDED.until
    WHERE jobs.owner = EXCLUDED.owner OR jobs.until <= clock_timestamp()
    RETURNING position"""
NOTE = "UPDATE jobs SET position = $4 WHERE name = $1 AND subject = $2 AND owner = $3"
LEAVE = """UPDATE jobs SET owner = '', until = clock_timestamp() + make_interval(secs => $4)
    WHERE name = $1 AND subject = $2 AND owner = $3"""


class PostgresJobs:
    """The role `Jobs`."""

    def __init__(self, database: PostgresDatabase) -> None:
        """Work on `database`, which the other roles share."""
        self._database = database

    async def take_job(self, job: JobKey, *, owner: str, lease_seconds: float) -> int | None:
        row = await self._database.row(TAKE, job.name, job.subject, owner, lease_seconds)
        position: int | None = row[0] if row else None
        return position

    async def note_job(self, job: JobKey, *, owner: str, position: int) -> bool:
        return await self._database.execute(NOTE, job.name, job.subject, owner, position) == 1

    async def leave_job(self, job: JobKey, *, owner: str, rest_seconds: float = 0.0) -> None:
        await self._database.execute(LEAVE, job.name, job.subject, owner, rest_seconds)
