"""How definitions, instances and what they wait for are read from rows, alike on both databases."""

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

from dadm.adapters.stores.rows.threads import Row
from dadm.ports.engine import (
    EndedInstance,
    EngineIncident,
    InstanceState,
    ProcessDefinition,
    UserTask,
)
from dadm.ports.process_store import StoredDefinition, StoredInstance, WaitingTask

DEFINITION = "d.definition_id, d.key, d.tenant, d.version, d.name, d.deployed_at"
STORED_DEFINITION = f"{DEFINITION}, d.resource_name, d.digest, d.source"
INSTANCE = """i.instance_id, i.definition_id, i.definition_key, i.business_key, i.tenant, i.state,
    i.revision, i.document, i.parent_id, i.parent_task, i.root_id, i.started_at, i.ended_at"""
WAITING_TASK = """w.task_id, w.instance_id, w.element_id, w.topic, w.definition_key, w.tenant,
    w.priority, w.retries, w.available_at, w.worker, w.lease_expires_at, w.payload"""
USER_TASK = "t.task_id, t.instance_id, t.element_id, t.name, t.documentation, t.created_at"
INCIDENT = """c.incident_id, c.instance_id, c.element_id, c.task_id, c.message, c.details,
    c.created_at"""
ENDED = "e.position, e.instance_id, e.tenant, e.state, e.ended_at"


class ProcessRows:
    """Reads processes from rows of one database."""

    def __init__(self, instant: Callable[[Any], datetime]) -> None:
        """Read points in time with `instant`."""
        self._instant = instant

    def _instant_or_none(self, value: Any) -> datetime | None:
        return None if value is None else self._instant(value)

    def definition(self, row: Row) -> ProcessDefinition:
        """Read the columns `DEFINITION`."""
        return ProcessDefinition(
            definition_id=row[0],
            key=row[1],
            tenant=row[2],
            version=row[3],
            name=row[4],
            deployed_at=self._instant(row[5]),
        )

    def stored_definition(self, row: Row) -> StoredDefinition:
        """Read the columns `STORED_DEFINITION`."""
        return StoredDefinition(
            definition=self.definition(row),
            resource_name=row[6],
            digest=row[7],
            source=bytes(row[8]),
        )

    def instance(self, row: Row) -> StoredInstance:
        """Read the columns `INSTANCE`."""
        return StoredInstance(
            instance_id=row[0],
            definition_id=row[1],
            definition_key=row[2],
            business_key=row[3],
            tenant=row[4],
            state=InstanceState(row[5]),
            revision=row[6],
            document=row[7],
            parent_id=row[8],
            parent_task=row[9],
            root_id=row[10],
            started_at=self._instant(row[11]),
            ended_at=self._instant_or_none(row[12]),
        )

    def waiting_task(self, row: Row) -> WaitingTask:
        """Read the columns `WAITING_TASK`."""
        return WaitingTask(
            task_id=row[0],
            instance_id=row[1],
            element_id=row[2],
            topic=row[3],
            definition_key=row[4],
            tenant=row[5],
            priority=row[6],
            retries=row[7],
            available_at=self._instant(row[8]),
            worker=row[9],
            lease_expires_at=self._instant_or_none(row[10]),
            payload=json.loads(row[11]),
        )

    def user_task(self, row: Row) -> UserTask:
        """Read the columns `USER_TASK`."""
        return UserTask(
            task_id=row[0],
            instance_id=row[1],
            element_id=row[2],
            name=row[3],
            documentation=row[4],
            created_at=self._instant(row[5]),
        )

    def incident(self, row: Row) -> EngineIncident:
        """Read the columns `INCIDENT`."""
        return EngineIncident(
            incident_id=row[0],
            instance_id=row[1],
            element_id=row[2],
            task_id=row[3],
            message=row[4],
            details=row[5],
            created_at=self._instant(row[6]),
        )

    def ended(self, row: Row) -> EndedInstance:
        """Read the columns `ENDED`."""
        return EndedInstance(
            position=row[0],
            instance_id=row[1],
            tenant=row[2],
            state=InstanceState(row[3]),
            ended_at=self._instant(row[4]),
        )


def payload_text(payload: Any) -> str:
    """Write a task's payload as it is stored; the order of its keys is kept."""
    return json.dumps(payload)
