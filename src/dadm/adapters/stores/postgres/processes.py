"""Where the embedded engine keeps its processes in a PostgreSQL database."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

import asyncpg

from dadm.adapters.stores.postgres.process_saving import StaleRevision, save
from dadm.adapters.stores.postgres.process_tasks import PostgresProcessTasks
from dadm.adapters.stores.postgres.reading import as_it_is
from dadm.adapters.stores.rows.processes import (
    DEFINITION,
    ENDED,
    INCIDENT,
    INSTANCE,
    STORED_DEFINITION,
    USER_TASK,
    ProcessRows,
)
from dadm.domain.errors import EngineRejected
from dadm.ports.engine import (
    EndedInstance,
    EngineIncident,
    InstanceState,
    ProcessDefinition,
    UserTask,
)
from dadm.ports.process_store import InstanceChange, StoredDefinition, StoredInstance

ROWS = ProcessRows(as_it_is)
ADD_DEFINITION = """INSERT INTO process_definitions (definition_id, key, tenant, version, name,
    resource_name, digest, source, deployed_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"""
SELECT_STORED = f"SELECT {STORED_DEFINITION} FROM process_definitions d"  # noqa: S608
LATEST = f"{SELECT_STORED} WHERE d.key = $1 AND d.tenant = $2 ORDER BY d.version DESC LIMIT 1"
DEFINITION_OF_ID = f"{SELECT_STORED} WHERE d.definition_id = $1"
DEFINITIONS = f"""SELECT {DEFINITION} FROM process_definitions d
    WHERE d.version = (SELECT max(o.version) FROM process_definitions o
                       WHERE o.key = d.key AND o.tenant = d.tenant)
       OR ($1 AND EXISTS (SELECT 1 FROM process_instances i
                          WHERE i.definition_id = d.definition_id AND i.state = 'active'))
    ORDER BY d.key COLLATE "C", d.tenant COLLATE "C", d.version"""  # noqa: S608
SELECT_INSTANCE = f"SELECT {INSTANCE} FROM process_instances i"  # noqa: S608
INSTANCE_OF_ID = f"{SELECT_INSTANCE} WHERE i.instance_id = $1"
INSTANCES = f"""{SELECT_INSTANCE} WHERE ($1::text IS NULL OR i.state = $1)
    ORDER BY i.position DESC LIMIT $2"""
CHILDREN = f"""{SELECT_INSTANCE} WHERE i.parent_id = $1 AND i.parent_id <> ''
    ORDER BY i.position"""
SELECT_USER_TASK = f"SELECT {USER_TASK} FROM user_tasks t"  # noqa: S608
WAITING = """SELECT instance_id FROM message_waits
    WHERE name = $1 AND ($2 = '' OR instance_id = $2) ORDER BY position"""
DUE = """SELECT instance_id FROM process_instances
    WHERE state = 'active' AND due_at IS NOT NULL AND due_at <= clock_timestamp()
    ORDER BY due_at, instance_id COLLATE "C" LIMIT $1"""
SELECT_INCIDENT = f"SELECT {INCIDENT} FROM incidents c"  # noqa: S608
INCIDENTS = f"""{SELECT_INCIDENT} WHERE ($1::text IS NULL OR c.instance_id = $1)
    ORDER BY c.position LIMIT $2"""
ENDS = f"""SELECT {ENDED} FROM ended_instances e
    WHERE e.position > $1 ORDER BY e.position LIMIT $2"""  # noqa: S608
STATES = "SELECT instance_id, state FROM process_instances WHERE instance_id = ANY ($1)"


class PostgresProcessStore(PostgresProcessTasks):
    """Keeps definitions, instances and their waits in the database that threads are in too."""

    async def add_definitions(self, stored: Sequence[StoredDefinition]) -> None:
        async with self._database.transaction() as connection:
            # In one order, so that programs which deploy the same never wait for each other.
            for new in sorted(stored, key=lambda one: one.definition.definition_id):
                known = new.definition
                try:
                    await connection.execute(
                        ADD_DEFINITION,
                        *(known.definition_id, known.key, known.tenant, known.version),
                        *(known.name, new.resource_name, new.digest, new.source),
                        known.deployed_at,
                    )
                except asyncpg.UniqueViolationError as error:
                    message = f"The definition {known.definition_id} exists already."
                    raise EngineRejected(message) from error

    async def latest_definition(self, key: str, *, tenant: str) -> StoredDefinition | None:
        row = await self._database.row(LATEST, key, tenant)
        return ROWS.stored_definition(row) if row else None

    async def definition(self, definition_id: str) -> StoredDefinition | None:
        row = await self._database.row(DEFINITION_OF_ID, definition_id)
        return ROWS.stored_definition(row) if row else None

    async def definitions(self, *, with_running: bool) -> Sequence[ProcessDefinition]:
        return tuple(map(ROWS.definition, await self._database.rows(DEFINITIONS, with_running)))

    async def save(self, changes: Sequence[InstanceChange]) -> bool:
        try:
            async with self._database.transaction() as connection:
                await save(connection, changes)
        except StaleRevision:
            return False
        return True

    async def instance(self, instance_id: str) -> StoredInstance | None:
        row = await self._database.row(INSTANCE_OF_ID, instance_id)
        return ROWS.instance(row) if row else None

    async def instances(
        self, *, state: InstanceState | None, limit: int
    ) -> Sequence[StoredInstance]:
        return tuple(map(ROWS.instance, await self._database.rows(INSTANCES, state, limit)))

    async def children(self, instance_id: str) -> Sequence[StoredInstance]:
        return tuple(map(ROWS.instance, await self._database.rows(CHILDREN, instance_id)))

    async def user_tasks(self, *, limit: int) -> Sequence[UserTask]:
        query = f"{SELECT_USER_TASK} ORDER BY t.position LIMIT $1"
        return tuple(map(ROWS.user_task, await self._database.rows(query, limit)))

    async def user_task(self, task_id: str) -> UserTask | None:
        row = await self._database.row(f"{SELECT_USER_TASK} WHERE t.task_id = $1", task_id)
        return ROWS.user_task(row) if row else None

    async def waiting_for_message(self, name: str, *, instance_id: str) -> Sequence[str]:
        rows = await self._database.rows(WAITING, name, instance_id)
        return tuple(row[0] for row in rows)

    async def due_instances(self, *, limit: int) -> Sequence[str]:
        return tuple(row[0] for row in await self._database.rows(DUE, limit))

    async def incidents(self, *, instance_id: str | None, limit: int) -> Sequence[EngineIncident]:
        return tuple(map(ROWS.incident, await self._database.rows(INCIDENTS, instance_id, limit)))

    async def incident(self, incident_id: str) -> EngineIncident | None:
        row = await self._database.row(f"{SELECT_INCIDENT} WHERE c.incident_id = $1", incident_id)
        return ROWS.incident(row) if row else None

    async def ended_instances(self, *, after: int, limit: int) -> Sequence[EndedInstance]:
        return tuple(map(ROWS.ended, await self._database.rows(ENDS, after, limit)))

    async def forget_ended(self, *, up_to: int) -> None:
        await self._database.execute("DELETE FROM ended_instances WHERE position <= $1", up_to)

    async def instance_states(self, instance_ids: Collection[str]) -> Mapping[str, InstanceState]:
        rows = await self._database.rows(STATES, sorted(instance_ids))
        return {row[0]: InstanceState(row[1]) for row in rows}

    async def now(self) -> datetime:
        now: datetime = (await self._database.one("SELECT clock_timestamp()"))[0]
        return now
