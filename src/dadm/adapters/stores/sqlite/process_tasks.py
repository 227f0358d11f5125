"""Service tasks that wait for workers, on SQLite."""

import sqlite3
from collections.abc import Sequence
from datetime import timedelta

from dadm.adapters.stores.rows.processes import WAITING_TASK, ProcessRows
from dadm.adapters.stores.sqlite.database import SqliteDatabase
from dadm.adapters.stores.sqlite.instants import instant, later, microseconds_now
from dadm.adapters.stores.sqlite.process_saving import CLOSE_INCIDENT, add_incident
from dadm.domain.errors import LeaseLost, TaskGone
from dadm.ports.engine import EngineIncident
from dadm.ports.process_store import WaitingTask

ROWS = ProcessRows(instant)
SELECT = f"SELECT {WAITING_TASK} FROM waiting_tasks w"  # noqa: S608 - a column list of our own
OF_ID = f"{SELECT} WHERE w.task_id = ?"
OF_INSTANCE = f"{SELECT} WHERE w.instance_id = ? ORDER BY w.position"
ON_OFFER = """w.available_at <= ? AND (w.lease_expires_at IS NULL OR w.lease_expires_at <= ?)
    AND (w.retries IS NULL OR w.retries > 0)"""
LEASE = "UPDATE waiting_tasks SET worker = ?, lease_expires_at = ? WHERE task_id = ?"
FAIL = """UPDATE waiting_tasks SET retries = ?, available_at = ?, worker = '',
    lease_expires_at = NULL WHERE task_id = ?"""
RELEASE = """UPDATE waiting_tasks SET worker = '', lease_expires_at = NULL
    WHERE task_id = ? AND worker = ?"""
RETRY = "UPDATE waiting_tasks SET retries = ?, available_at = ? WHERE task_id = ?"

Topics = Sequence[tuple[str, frozenset[str], frozenset[str]]]


class SqliteProcessTasks:
    """The service tasks of a `ProcessStore`."""

    def __init__(self, database: SqliteDatabase) -> None:
        """Work on `database`."""
        self._database = database

    async def lease_tasks(
        self, *, topics: Topics, worker: str, lease: timedelta, limit: int
    ) -> Sequence[WaitingTask]:
        return await self._database.write(
            lambda connection: lease_tasks(connection, topics, worker, lease, limit)
        )

    async def extend_lease(self, task_id: str, *, worker: str, lease: timedelta) -> None:
        await self._database.write(
            lambda connection: extend_lease(connection, task_id, worker, lease)
        )

    async def check_lease(self, task_id: str, *, worker: str) -> WaitingTask:
        return await self._database.read(
            lambda connection: check_lease(connection, task_id, worker)
        )

    async def fail_task(
        self,
        task_id: str,
        *,
        worker: str,
        retries: int,
        retry_after: timedelta,
        incident: EngineIncident | None,
    ) -> None:
        def fail(connection: sqlite3.Connection) -> None:
            check_lease(connection, task_id, worker)
            available_at = later(microseconds_now(), retry_after.total_seconds())
            connection.execute(FAIL, (retries, available_at, task_id))
            if incident is not None:
                add_incident(connection, incident)

        await self._database.write(fail)

    async def release_task(self, task_id: str, *, worker: str) -> None:
        await self._database.execute(RELEASE, (task_id, worker))

    async def has_task(self, task_id: str) -> bool:
        return await self._database.read(
            lambda connection: connection.execute(OF_ID, (task_id,)).fetchone() is not None
        )

    async def retry_task(self, task_id: str, *, retries: int, incident_id: str) -> None:
        def retry(connection: sqlite3.Connection) -> None:
            connection.execute(RETRY, (retries, microseconds_now(), task_id))
            connection.execute(CLOSE_INCIDENT, (incident_id,))

        await self._database.write(retry)

    async def tasks_of(self, instance_id: str) -> Sequence[WaitingTask]:
        return await self._database.read(
            lambda connection: tuple(
                map(ROWS.waiting_task, connection.execute(OF_INSTANCE, (instance_id,)))
            )
        )


def lease_tasks(
    connection: sqlite3.Connection, topics: Topics, worker: str, lease: timedelta, limit: int
) -> tuple[WaitingTask, ...]:
    """Lease what is on offer, highest priority first, then oldest."""
    now = microseconds_now()
    expires_at = later(now, lease.total_seconds())
    condition, values = subscribed(topics)
    query = (
        f"{SELECT} WHERE {ON_OFFER} AND ({condition}) ORDER BY w.priority DESC, w.position LIMIT ?"
    )
    found = [row[0] for row in connection.execute(query, (now, now, *values, limit))]
    connection.executemany(LEASE, [(worker, expires_at, task_id) for task_id in found])
    return tuple(
        ROWS.waiting_task(connection.execute(OF_ID, (task_id,)).fetchone()) for task_id in found
    )


def subscribed(topics: Topics) -> tuple[str, list[str]]:
    """Say in SQL which tasks are wanted; without topics none are."""
    alternatives: list[str] = []
    values: list[str] = []
    for topic, keys, tenants in topics:
        terms = ["w.topic = ?"]
        values.append(topic)
        for column, allowed in (("w.definition_key", keys), ("w.tenant", tenants)):
            if allowed:
                terms.append(f"{column} IN ({', '.join('?' * len(allowed))})")
                values += sorted(allowed)
        alternatives.append(f"({' AND '.join(terms)})")
    return " OR ".join(alternatives) or "0", values


def check_lease(connection: sqlite3.Connection, task_id: str, worker: str) -> WaitingTask:
    """Read a task that `worker` holds, or held last.

    Raises:
        TaskGone: There is no such task.
        LeaseLost: Somebody else has it, or nobody.
    """
    row = connection.execute(OF_ID, (task_id,)).fetchone()
    if row is None:
        raise TaskGone
    task = ROWS.waiting_task(row)
    if task.worker != worker:
        raise LeaseLost
    return task


def extend_lease(
    connection: sqlite3.Connection, task_id: str, worker: str, lease: timedelta
) -> None:
    """Let a lease that has not run out last that long from now."""
    task = check_lease(connection, task_id, worker)
    now = microseconds_now()
    if task.lease_expires_at is None or task.lease_expires_at <= instant(now):
        raise LeaseLost
    connection.execute(LEASE, (worker, later(now, lease.total_seconds()), task_id))
