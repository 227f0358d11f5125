"""Jobs that one replica does for all, on SQLite."""

import sqlite3

from dadm.adapters.stores.sqlite.database import SqliteDatabase
from dadm.adapters.stores.sqlite.instants import later, microseconds_now
from dadm.ports.jobs import JobKey

TAKE = """INSERT INTO jobs (name, subject, owner, until) VALUES (?1, ?2, ?3, ?4)
    ON CONFLICT (name, subject) DO UPDATE SET owner = excluded.owner, until = excluded.until
    WHERE jobs.owner = excluded.owner OR jobs.until <= ?5
    RETURNING position"""
NOTE = "UPDATE jobs SET position = ? WHERE name = ? AND subject = ? AND owner = ?"
LEAVE = "UPDATE jobs SET owner = '', until = ? WHERE name = ? AND subject = ? AND owner = ?"


class SqliteJobs:
    """The role `Jobs`."""

    def __init__(self, database: SqliteDatabase) -> None:
        """Work on `database`, which the other roles share."""
        self._database = database

    async def take_job(self, job: JobKey, *, owner: str, lease_seconds: float) -> int | None:
        return await self._database.write(
            lambda connection: take(connection, job, owner, lease_seconds)
        )

    async def note_job(self, job: JobKey, *, owner: str, position: int) -> bool:
        values = (position, job.name, job.subject, owner)
        return await self._database.execute(NOTE, values) == 1

    async def leave_job(self, job: JobKey, *, owner: str, rest_seconds: float = 0.0) -> None:
        until = later(microseconds_now(), rest_seconds)
        await self._database.execute(LEAVE, (until, job.name, job.subject, owner))


def take(
    connection: sqlite3.Connection, job: JobKey, owner: str, lease_seconds: float
) -> int | None:
    """Take a job that nobody else has, or keep it."""
    now = microseconds_now()
    values = (job.name, job.subject, owner, later(now, lease_seconds), now)
    rows = connection.execute(TAKE, values).fetchall()
    return int(rows[0][0]) if rows else None
