"""Service tasks that wait for workers, on PostgreSQL."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from dadm.adapters.stores.postgres.database import PostgresDatabase
from dadm.adapters.stores.postgres.process_saving import add_incident
from dadm.adapters.stores.postgres.reading import as_it_is
from dadm.adapters.stores.rows.processes import WAITING_TASK, ProcessRows
from dadm.domain.errors import LeaseLost, TaskGone
from dadm.ports.engine import EngineIncident
from dadm.ports.process_store import WaitingTask

ROWS = ProcessRows(as_it_is)
SELECT = f"SELECT {WAITING_TASK} FROM waiting_tasks w"  # noqa: S608 - a column list of our own
OF_ID = f"{SELECT} WHERE w.task_id = $1"
OF_INSTANCE = f"{SELECT} WHERE w.instance_id = $1 ORDER BY w.position"
# Rows that another worker is taking at this moment are passed over, not waited for.
LEASE = """WITH picked AS (
        SELECT position FROM waiting_tasks w
        WHERE w.available_at <= clock_timestamp()
          AND (w.lease_expires_at IS NULL OR w.lease_expires_at <= clock_timestamp())
          AND (w.retries IS NULL OR w.retries > 0) AND ({subscribed})
        ORDER BY w.priority DESC, w.position LIMIT $3 FOR UPDATE SKIP LOCKED
    )
    UPDATE waiting_tasks w SET worker = $1, lease_expires_at = clock_timestamp() + $2::interval
    FROM picked WHERE w.position = picked.position
    RETURNING {columns}, w.position"""
EXTEND = """UPDATE waiting_tasks SET lease_expires_at = clock_timestamp() + $3::interval
    WHERE task_id = $1 AND worker = $2 AND lease_expires_at > clock_timestamp()"""
FAIL = """UPDATE waiting_tasks SET retries = $3, available_at = clock_timestamp() + $4::interval,
    worker = '', lease_expires_at = NULL WHERE task_id = $1 AND worker = $2"""
# An incident's row needs this lock; taken before the task's, in the order in which steps are saved.
KEEP_INSTANCE = "SELECT FROM process_instances WHERE instance_id = $1 FOR KEY SHARE"
RELEASE = """UPDATE waiting_tasks SET worker = '', lease_expires_at = NULL
    WHERE task_id = $1 AND worker = $2"""
RETRY = """WITH closed AS (DELETE FROM incidents WHERE incident_id = $3)
    UPDATE waiting_tasks SET retries = $2, available_at = clock_timestamp() WHERE task_id = $1"""
PRIORITY, POSITION = 6, 12

Topics = Sequence[tuple[str, frozenset[str], frozenset[str]]]


class PostgresProcessTasks:
    """The service tasks of a `ProcessStore`."""

    def __init__(self, database: PostgresDatabase) -> None:
        """Work on `database`."""
        self._database = database

    async def lease_tasks(
        self, *, topics: Topics, worker: str, lease: timedelta, limit: int
    ) -> Sequence[WaitingTask]:
        condition, values = subscribed(topics, after=3)
        query = LEASE.format(subscribed=condition, columns=WAITING_TASK)
        rows = await self._database.rows(query, worker, lease, limit, *values)
        in_order = sorted(rows, key=lambda row: (-row[PRIORITY], row[POSITION]))
        return tuple(map(ROWS.waiting_task, in_order))

    async def extend_lease(self, task_id: str, *, worker: str, lease: timedelta) -> None:
        if not await self._database.execute(EXTEND, task_id, worker, lease):
            await self.check_lease(task_id, worker=worker)
            raise LeaseLost

    async def check_lease(self, task_id: str, *, worker: str) -> WaitingTask:
        row = await self._database.row(OF_ID, task_id)
        if row is None:
            raise TaskGone
        task = ROWS.waiting_task(row)
        if task.worker != worker:
            raise LeaseLost
        return task

    async def fail_task(
        self,
        task_id: str,
        *,
        worker: str,
        retries: int,
        retry_after: timedelta,
        incident: EngineIncident | None,
    ) -> None:
        async with self._database.transaction() as connection:
            if incident is not None:
                await connection.execute(KEEP_INSTANCE, incident.instance_id)
            failed = await connection.execute(FAIL, task_id, worker, retries, retry_after)
            if failed == "UPDATE 1":
                if incident is not None:
                    await add_incident(connection, incident)
                return
        await self.check_lease(task_id, worker=worker)
        raise LeaseLost

    async def release_task(self, task_id: str, *, worker: str) -> None:
        await self._database.execute(RELEASE, task_id, worker)

    async def has_task(self, task_id: str) -> bool:
        return await self._database.row(OF_ID, task_id) is not None

    async def retry_task(self, task_id: str, *, retries: int, incident_id: str) -> None:
        await self._database.execute(RETRY, task_id, retries, incident_id)

    async def tasks_of(self, instance_id: str) -> Sequence[WaitingTask]:
        rows = await self._database.rows(OF_INSTANCE, instance_id)
        return tuple(map(ROWS.waiting_task, rows))


def subscribed(topics: Topics, *, after: int) -> tuple[str, list[Any]]:
    """Say in SQL which tasks are wanted, with parameters behind the first `after`."""
    alternatives: list[str] = []
    values: list[Any] = []
    for topic, keys, tenants in topics:
        values.append(topic)
        terms = [f"w.topic = ${after + len(values)}"]
        for column, allowed in (("w.definition_key", keys), ("w.tenant", tenants)):
            if allowed:
                values.append(sorted(allowed))
                terms.append(f"{column} = ANY (${after + len(values)})")
        alternatives.append(f"({' AND '.join(terms)})")
    return " OR ".join(alternatives) or "false", values
