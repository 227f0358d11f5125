"""Saving steps of process instances inside a job on SQLite."""

import sqlite3
from collections.abc import Sequence

from dadm.adapters.stores.rows.processes import payload_text
from dadm.adapters.stores.rows.texts import storable
from dadm.adapters.stores.sqlite.instants import microseconds, microseconds_now
from dadm.ports.engine import EngineIncident, InstanceState
from dadm.ports.process_store import InstanceChange

BEFORE = "SELECT revision, state FROM process_instances WHERE instance_id = ?"
SAVE_INSTANCE = """INSERT INTO process_instances (instance_id, definition_id, definition_key,
    business_key, tenant, state, revision, document, parent_id, parent_task, root_id,
    started_at, ended_at, due_at)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (instance_id) DO UPDATE SET definition_id = excluded.definition_id,
    definition_key = excluded.definition_key, business_key = excluded.business_key,
    tenant = excluded.tenant, state = excluded.state, revision = excluded.revision,
    document = excluded.document, parent_id = excluded.parent_id,
    parent_task = excluded.parent_task, root_id = excluded.root_id,
    started_at = excluded.started_at, ended_at = excluded.ended_at, due_at = excluded.due_at"""
ADD_END = "INSERT INTO ended_instances (instance_id, tenant, state, ended_at) VALUES (?, ?, ?, ?)"
SAVE_TASK = """INSERT INTO waiting_tasks (task_id, instance_id, element_id, topic,
    definition_key, tenant, priority, retries, available_at, worker, lease_expires_at, payload)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (task_id) DO UPDATE SET payload = excluded.payload"""
SAVE_USER_TASK = """INSERT INTO user_tasks (task_id, instance_id, element_id, name,
    documentation, created_at) VALUES (?, ?, ?, ?, ?, ?)
    ON CONFLICT (task_id) DO UPDATE SET element_id = excluded.element_id, name = excluded.name,
    documentation = excluded.documentation, created_at = excluded.created_at"""
SAVE_MESSAGE = """INSERT INTO message_waits (instance_id, name) VALUES (?, ?)
    ON CONFLICT DO NOTHING"""
ADD_INCIDENT = """INSERT INTO incidents (incident_id, instance_id, element_id, task_id, message,
    details, created_at) VALUES (?, ?, ?, ?, ?, ?, ?)"""
FORGET_TASK = "DELETE FROM waiting_tasks WHERE task_id = ?"
FORGET_USER_TASK = "DELETE FROM user_tasks WHERE task_id = ?"
FORGET_MESSAGE = "DELETE FROM message_waits WHERE instance_id = ? AND name = ?"
CLOSE_INCIDENT = "DELETE FROM incidents WHERE incident_id = ?"


class StaleRevision(Exception):
    """An instance has moved on since a step was made."""


def save(connection: sqlite3.Connection, changes: Sequence[InstanceChange]) -> None:
    """Save steps, all or none.

    Raises:
        StaleRevision: One was made from a revision that is not the latest.
    """
    for change in changes:
        save_instance(connection, change)
        save_tasks(connection, change)
        save_user_tasks(connection, change)
        save_messages(connection, change)
        closed = [(incident,) for incident in change.closed_incidents]
        connection.executemany(CLOSE_INCIDENT, closed)
        for incident in change.opened_incidents:
            add_incident(connection, incident)


def save_instance(connection: sqlite3.Connection, change: InstanceChange) -> None:
    """Save the instance itself, and tell of its end."""
    new = change.instance
    revision, state = connection.execute(BEFORE, (new.instance_id,)).fetchone() or (0, "active")
    if revision != new.revision:
        raise StaleRevision
    ended_at = new.ended_at and microseconds(new.ended_at)
    connection.execute(
        SAVE_INSTANCE,
        (
            *(new.instance_id, new.definition_id, new.definition_key, new.business_key),
            *(new.tenant, new.state, new.revision + 1, new.document),
            *(new.parent_id, new.parent_task, new.root_id, microseconds(new.started_at)),
            ended_at,
            change.due_at and microseconds(change.due_at),
        ),
    )
    if state == InstanceState.ACTIVE and new.state is not InstanceState.ACTIVE:
        end = (new.instance_id, new.tenant, new.state, ended_at or microseconds_now())
        connection.execute(ADD_END, end)


def save_tasks(connection: sqlite3.Connection, change: InstanceChange) -> None:
    """Make the instance's service tasks those of the change; the rest of known ones stays."""
    ids = {task.task_id for task in change.waiting_tasks}
    known = connection.execute(
        "SELECT task_id FROM waiting_tasks WHERE instance_id = ?", (change.instance.instance_id,)
    ).fetchall()
    connection.executemany(FORGET_TASK, [row for row in known if row[0] not in ids])
    connection.executemany(
        SAVE_TASK,
        [
            (
                *(task.task_id, task.instance_id, task.element_id, task.topic),
                *(task.definition_key, task.tenant, task.priority, task.retries),
                microseconds(task.available_at),
                task.worker,
                task.lease_expires_at and microseconds(task.lease_expires_at),
                payload_text(task.payload),
            )
            for task in change.waiting_tasks
        ],
    )


def save_user_tasks(connection: sqlite3.Connection, change: InstanceChange) -> None:
    """Make the instance's user tasks those of the change."""
    ids = {task.task_id for task in change.user_tasks}
    known = connection.execute(
        "SELECT task_id FROM user_tasks WHERE instance_id = ?", (change.instance.instance_id,)
    ).fetchall()
    connection.executemany(FORGET_USER_TASK, [row for row in known if row[0] not in ids])
    connection.executemany(
        SAVE_USER_TASK,
        [
            (
                *(task.task_id, task.instance_id, task.element_id),
                *(storable(task.name), storable(task.documentation)),
                microseconds(task.created_at),
            )
            for task in change.user_tasks
        ],
    )


def save_messages(connection: sqlite3.Connection, change: InstanceChange) -> None:
    """Make the messages that the instance waits for those of the change."""
    instance_id = change.instance.instance_id
    names = {wait.name for wait in change.messages}
    known = connection.execute(
        "SELECT instance_id, name FROM message_waits WHERE instance_id = ?", (instance_id,)
    ).fetchall()
    connection.executemany(FORGET_MESSAGE, [row for row in known if row[1] not in names])
    waits = [(instance_id, wait.name) for wait in change.messages]
    connection.executemany(SAVE_MESSAGE, waits)


def add_incident(connection: sqlite3.Connection, incident: EngineIncident) -> None:
    """Write an incident down."""
    connection.execute(
        ADD_INCIDENT,
        (
            *(incident.incident_id, incident.instance_id, incident.element_id, incident.task_id),
            *(storable(incident.message), storable(incident.details)),
            microseconds(incident.created_at),
        ),
    )
