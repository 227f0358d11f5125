"""Where the embedded engine keeps its processes in a SQLite file."""

import json
import sqlite3
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from dadm.adapters.stores.rows.processes import (
    DEFINITION,
    ENDED,
    INCIDENT,
    INSTANCE,
    STORED_DEFINITION,
    USER_TASK,
    ProcessRows,
)
from dadm.adapters.stores.sqlite.instants import instant, microseconds, microseconds_now
from dadm.adapters.stores.sqlite.process_saving import StaleRevision, save
from dadm.adapters.stores.sqlite.process_tasks import SqliteProcessTasks
from dadm.domain.errors import EngineRejected
from dadm.ports.engine import (
    EndedInstance,
    EngineIncident,
    InstanceState,
    ProcessDefinition,
    UserTask,
)
from dadm.ports.process_store import InstanceChange, StoredDefinition, StoredInstance

T = TypeVar("T")
ROWS = ProcessRows(instant)
ADD_DEFINITION = """INSERT INTO process_definitions (definition_id, key, tenant, version, name,
    resource_name, digest, source, deployed_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"""
SELECT_STORED = f"SELECT {STORED_DEFINITION} FROM process_definitions d"  # noqa: S608
LATEST = f"{SELECT_STORED} WHERE d.key = ? AND d.tenant = ? ORDER BY d.version DESC LIMIT 1"
DEFINITION_OF_ID = f"{SELECT_STORED} WHERE d.definition_id = ?"
DEFINITIONS = f"""SELECT {DEFINITION} FROM process_definitions d
    WHERE d.version = (SELECT max(o.version) FROM process_definitions o
                       WHERE o.key = d.key AND o.tenant = d.tenant)
       OR (? AND EXISTS (SELECT 1 FROM process_instances i
                         WHERE i.definition_id = d.definition_id AND i.state = 'active'))
    ORDER BY d.key, d.tenant, d.version"""  # noqa: S608
SELECT_INSTANCE = f"SELECT {INSTANCE} FROM process_instances i"  # noqa: S608
INSTANCE_OF_ID = f"{SELECT_INSTANCE} WHERE i.instance_id = ?"
INSTANCES = f"""{SELECT_INSTANCE} WHERE (?1 IS NULL OR i.state = ?1)
    ORDER BY i.position DESC LIMIT ?2"""
CHILDREN = f"""{SELECT_INSTANCE} WHERE i.parent_id = ? AND i.parent_id <> ''
    ORDER BY i.position"""
SELECT_USER_TASK = f"SELECT {USER_TASK} FROM user_tasks t"  # noqa: S608
WAITING = """SELECT instance_id FROM message_waits
    WHERE name = ?1 AND (?2 = '' OR instance_id = ?2) ORDER BY position"""
DUE = """SELECT instance_id FROM process_instances
    WHERE state = 'active' AND due_at IS NOT NULL AND due_at <= ?
    ORDER BY due_at, instance_id LIMIT ?"""
SELECT_INCIDENT = f"SELECT {INCIDENT} FROM incidents c"  # noqa: S608
INCIDENTS = f"""{SELECT_INCIDENT} WHERE (?1 IS NULL OR c.instance_id = ?1)
    ORDER BY c.position LIMIT ?2"""
INCIDENT_OF_ID = f"{SELECT_INCIDENT} WHERE c.incident_id = ?"
ENDS = f"""SELECT {ENDED} FROM ended_instances e
    WHERE e.position > ? ORDER BY e.position LIMIT ?"""  # noqa: S608
STATES = """SELECT instance_id, state FROM process_instances
    WHERE instance_id IN (SELECT value FROM json_each(?))"""


class SqliteProcessStore(SqliteProcessTasks):
    """Keeps definitions, instances and their waits in the file that threads are in too."""

    async def add_definitions(self, stored: Sequence[StoredDefinition]) -> None:
        await self._database.write(lambda connection: add_definitions(connection, stored))

    async def latest_definition(self, key: str, *, tenant: str) -> StoredDefinition | None:
        return await self._one(LATEST, (key, tenant), ROWS.stored_definition)

    async def definition(self, definition_id: str) -> StoredDefinition | None:
        return await self._one(DEFINITION_OF_ID, (definition_id,), ROWS.stored_definition)

    async def definitions(self, *, with_running: bool) -> Sequence[ProcessDefinition]:
        return await self._all(DEFINITIONS, (with_running,), ROWS.definition)

    async def save(self, changes: Sequence[InstanceChange]) -> bool:
        try:
            await self._database.write(lambda connection: save(connection, changes))
        except StaleRevision:
            return False
        return True

    async def instance(self, instance_id: str) -> StoredInstance | None:
        return await self._one(INSTANCE_OF_ID, (instance_id,), ROWS.instance)

    async def instances(
        self, *, state: InstanceState | None, limit: int
    ) -> Sequence[StoredInstance]:
        return await self._all(INSTANCES, (state, limit), ROWS.instance)

    async def children(self, instance_id: str) -> Sequence[StoredInstance]:
        return await self._all(CHILDREN, (instance_id,), ROWS.instance)

    async def user_tasks(self, *, limit: int) -> Sequence[UserTask]:
        query = f"{SELECT_USER_TASK} ORDER BY t.position LIMIT ?"
        return await self._all(query, (limit,), ROWS.user_task)

    async def user_task(self, task_id: str) -> UserTask | None:
        return await self._one(
            f"{SELECT_USER_TASK} WHERE t.task_id = ?", (task_id,), ROWS.user_task
        )

    async def waiting_for_message(self, name: str, *, instance_id: str) -> Sequence[str]:
        return await self._all(WAITING, (name, instance_id), first)

    async def due_instances(self, *, limit: int) -> Sequence[str]:
        return await self._all(DUE, (microseconds_now(), limit), first)

    async def incidents(self, *, instance_id: str | None, limit: int) -> Sequence[EngineIncident]:
        return await self._all(INCIDENTS, (instance_id, limit), ROWS.incident)

    async def incident(self, incident_id: str) -> EngineIncident | None:
        return await self._one(INCIDENT_OF_ID, (incident_id,), ROWS.incident)

    async def ended_instances(self, *, after: int, limit: int) -> Sequence[EndedInstance]:
        return await self._all(ENDS, (after, limit), ROWS.ended)

    async def forget_ended(self, *, up_to: int) -> None:
        await self._database.execute("DELETE FROM ended_instances WHERE position <= ?", (up_to,))

    async def instance_states(self, instance_ids: Collection[str]) -> Mapping[str, InstanceState]:
        wanted = json.dumps(sorted(instance_ids))
        found = await self._all(STATES, (wanted,), lambda row: (row[0], InstanceState(row[1])))
        return dict(found)

    async def now(self) -> datetime:
        await self._one("SELECT 1", (), first)
        return instant(microseconds_now())

    async def _one(self, query: str, values: tuple[Any, ...], read: Callable[[Any], T]) -> T | None:
        def fetch(connection: sqlite3.Connection) -> T | None:
            row = connection.execute(query, values).fetchone()
            return None if row is None else read(row)

        return await self._database.read(fetch)

    async def _all(
        self, query: str, values: tuple[Any, ...], read: Callable[[Any], T]
    ) -> tuple[T, ...]:
        return await self._database.read(
            lambda connection: tuple(map(read, connection.execute(query, values)))
        )


def first(row: tuple[Any, ...]) -> Any:
    """Give the only column of a row."""
    return row[0]


def add_definitions(connection: sqlite3.Connection, stored: Sequence[StoredDefinition]) -> None:
    """Write definitions down, all or none.

    Raises:
        EngineRejected: One is there already.
    """
    for new in stored:
        known = new.definition
        try:
            connection.execute(
                ADD_DEFINITION,
                (
                    *(known.definition_id, known.key, known.tenant, known.version, known.name),
                    *(new.resource_name, new.digest, new.source),
                    microseconds(known.deployed_at),
                ),
            )
        except sqlite3.IntegrityError as error:
            message = f"The definition {known.definition_id} exists already."
            raise EngineRejected(message) from error
