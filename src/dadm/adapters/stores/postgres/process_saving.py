"""Saving steps of process instances inside a transaction on PostgreSQL."""

from collections.abc import Sequence
from typing import TypeAlias

import asyncpg

from dadm.adapters.stores.rows.processes import payload_text
from dadm.adapters.stores.rows.texts import storable
from dadm.ports.engine import EngineIncident, InstanceState
from dadm.ports.process_store import InstanceChange

Connection: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"

# The state before is read under the row's lock; a row that is not there yet cannot be locked, so
# that of two sessions which begin the same instance the second finds the first one's row in its way.
BEFORE = "SELECT revision, state FROM process_instances WHERE instance_id = $1 FOR UPDATE"
ADD_INSTANCE = """INSERT INTO process_instances (instance_id, definition_id, definition_key,
    business_key, tenant, state, revision, document, parent_id, parent_task, root_id,
    started_at, ended_at, due_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
    ON CONFLICT (instance_id) DO NOTHING"""
CHANGE_INSTANCE = """UPDATE process_instances SET definition_id = $2, definition_key = $3,
    business_key = $4, tenant = $5, state = $6, revision = $7, document = $8, parent_id = $9,
    parent_task = $10, root_id = $11, started_at = $12, ended_at = $13, due_at = $14
    WHERE instance_id = $1"""
# Positions must become visible in their order, or a reader would pass one over; the number is any.
ORDER_ENDS = "SELECT pg_advisory_xact_lock(1684104557)"
ADD_END = """INSERT INTO ended_instances (instance_id, tenant, state, ended_at)
    VALUES ($1, $2, $3, coalesce($4, clock_timestamp()))"""
FORGET_WAITS = """WITH
    tasks AS (DELETE FROM waiting_tasks WHERE instance_id = $1 AND task_id <> ALL ($2)),
    user_tasks AS (DELETE FROM user_tasks WHERE instance_id = $1 AND task_id <> ALL ($3))
    DELETE FROM message_waits WHERE instance_id = $1 AND name <> ALL ($4)"""
SAVE_TASK = """INSERT INTO waiting_tasks (task_id, instance_id, element_id, topic,
    definition_key, tenant, priority, retries, available_at, worker, lease_expires_at, payload)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
    ON CONFLICT (task_id) DO UPDATE SET payload = excluded.payload"""
SAVE_USER_TASK = """INSERT INTO user_tasks (task_id, instance_id, element_id, name,
    documentation, created_at) VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT (task_id) DO UPDATE SET element_id = excluded.element_id, name = excluded.name,
    documentation = excluded.documentation, created_at = excluded.created_at"""
SAVE_MESSAGE = """INSERT INTO message_waits (instance_id, name) VALUES ($1, $2)
    ON CONFLICT DO NOTHING"""
CLOSE_INCIDENTS = "DELETE FROM incidents WHERE incident_id = ANY ($1)"
ADD_INCIDENT = """INSERT INTO incidents (incident_id, instance_id, element_id, task_id, message,
    details, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7)"""


class StaleRevision(Exception):
    """An instance has moved on since a step was made."""


async def save(connection: Connection, changes: Sequence[InstanceChange]) -> None:
    """Save steps, all or none.

    Raises:
        StaleRevision: One was made from a revision that is not the latest.
    """
    # In one order for everybody, so that two sessions never wait for each other.
    in_order = sorted(changes, key=lambda change: change.instance.instance_id)
    ended = {
        change.instance.instance_id
        for change in in_order
        if await save_instance(connection, change)
    }
    for change in changes:
        await save_waits(connection, change)
        if change.closed_incidents:
            await connection.execute(CLOSE_INCIDENTS, list(change.closed_incidents))
        for incident in change.opened_incidents:
            await add_incident(connection, incident)
    if ended:
        await connection.execute(ORDER_ENDS)
    for new in (change.instance for change in changes if change.instance.instance_id in ended):
        end = (new.instance_id, new.tenant, new.state, new.ended_at)
        await connection.execute(ADD_END, *end)


async def save_instance(connection: Connection, change: InstanceChange) -> bool:
    """Save the instance itself, and say whether it has ended by this."""
    new = change.instance
    values = (
        *(new.instance_id, new.definition_id, new.definition_key, new.business_key),
        *(new.tenant, new.state, new.revision + 1, new.document),
        *(new.parent_id, new.parent_task, new.root_id),
        *(new.started_at, new.ended_at, change.due_at),
    )
    before = await connection.fetchrow(BEFORE, new.instance_id)
    if (before["revision"] if before else 0) != new.revision:
        raise StaleRevision
    if before is not None:
        await connection.execute(CHANGE_INSTANCE, *values)
    elif await connection.execute(ADD_INSTANCE, *values) != "INSERT 0 1":
        raise StaleRevision
    was_active = before is None or before["state"] == InstanceState.ACTIVE
    return was_active and new.state is not InstanceState.ACTIVE


async def save_waits(connection: Connection, change: InstanceChange) -> None:
    """Make what the instance waits for that of the change; what stays keeps its place."""
    instance_id = change.instance.instance_id
    names = [wait.name for wait in change.messages]
    if change.instance.revision:
        await connection.execute(
            FORGET_WAITS,
            instance_id,
            [task.task_id for task in change.waiting_tasks],
            [task.task_id for task in change.user_tasks],
            names,
        )
    tasks = [
        (
            *(task.task_id, task.instance_id, task.element_id, task.topic),
            *(task.definition_key, task.tenant, task.priority, task.retries),
            *(task.available_at, task.worker, task.lease_expires_at),
            payload_text(task.payload),
        )
        for task in change.waiting_tasks
    ]
    user_tasks = [
        (
            *(task.task_id, task.instance_id, task.element_id),
            *(storable(task.name), storable(task.documentation), task.created_at),
        )
        for task in change.user_tasks
    ]
    for statement, rows in (
        (SAVE_TASK, tasks),
        (SAVE_USER_TASK, user_tasks),
        (SAVE_MESSAGE, [(instance_id, name) for name in names]),
    ):
        if rows:
            await connection.executemany(statement, rows)


async def add_incident(connection: Connection, incident: EngineIncident) -> None:
    """Write an incident down."""
    await connection.execute(
        ADD_INCIDENT,
        *(incident.incident_id, incident.instance_id, incident.element_id, incident.task_id),
        *(storable(incident.message), storable(incident.details), incident.created_at),
    )
