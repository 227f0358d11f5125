"""ProcessStore: where the embedded engine keeps definitions, instances and what they wait for."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from dadm.domain.json import JsonObject
from dadm.ports.engine import (
    EndedInstance,
    EngineIncident,
    InstanceState,
    ProcessDefinition,
    UserTask,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredDefinition:
    """A deployed model with its file: `source` is the whole XML, `digest` stands for it."""

    definition: ProcessDefinition
    resource_name: str
    digest: str
    source: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredInstance:
    """One instance with its engine state.

    `document` is the engine's serialized state as text, opaque to the store. `revision` rises
    with each save. `parent_id` and `parent_element` say which call activity started it, `""`
    for a root; `root_id` is its own id for a root.
    """

    instance_id: str
    definition_id: str
    definition_key: str
    business_key: str
    tenant: str
    state: InstanceState
    revision: int
    document: str
    parent_id: str = ""
    parent_task: str = ""
    root_id: str
    started_at: datetime
    ended_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingTask:
    """A service task that waits for a worker.

    `position` orders by arrival. `payload` is what the engine needs to hand it out (variables,
    mapping, properties), opaque to the store. A task may be leased when its lease has run out,
    `available_at` has come, and `retries` is None or above 0.
    """

    task_id: str
    instance_id: str
    element_id: str
    topic: str
    definition_key: str
    tenant: str
    priority: int = 0
    retries: int | None = None
    available_at: datetime
    worker: str = ""
    lease_expires_at: datetime | None = None
    payload: JsonObject = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageWait:
    """An instance waits for a message of that name."""

    instance_id: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceChange:
    """One step of an instance, saved as a whole or not at all.

    `instance.revision` is the revision the step was made from; 0 creates the instance. The wait
    lists are complete: what is not in them any more is removed. `waiting_tasks` that exist
    already keep their lease, retries and position, and take the new payload. `ended` writes an
    outbox row in the same transaction when the instance has just ended. `started_children` are
    created with it; `closed_incidents` are removed, `opened_incidents` added.
    """

    instance: StoredInstance
    waiting_tasks: tuple[WaitingTask, ...] = ()
    user_tasks: tuple[UserTask, ...] = ()
    messages: tuple[MessageWait, ...] = ()
    due_at: datetime | None = None
    opened_incidents: tuple[EngineIncident, ...] = ()
    closed_incidents: tuple[str, ...] = ()


class ProcessStore(Protocol):
    """Durable state of the embedded engine.

    Leases of tasks are granted and judged by the store's own clock. Every method raises
    StoreUnavailable when the database did not confirm.
    """

    async def add_definitions(self, stored: Sequence[StoredDefinition]) -> None:
        """Record new definitions, all or none.

        Raises:
            EngineRejected: One has an id, or a key, tenant and version, that is there already.
        """
        ...

    async def latest_definition(self, key: str, *, tenant: str) -> StoredDefinition | None:
        """Find the highest version of `key`."""
        ...

    async def definition(self, definition_id: str) -> StoredDefinition | None:
        """Read one definition."""
        ...

    async def definitions(self, *, with_running: bool) -> Sequence[ProcessDefinition]:
        """Give the latest of each key and tenant; with those that have running instances too."""
        ...

    async def save(self, changes: Sequence[InstanceChange]) -> bool:
        """Save these steps in one transaction; False, and nothing saved, if a revision is stale.

        A step that ends its instance adds a row to the outbox of ends.
        """
        ...

    async def instance(self, instance_id: str) -> StoredInstance | None:
        """Read one instance."""
        ...

    async def instances(
        self, *, state: InstanceState | None, limit: int
    ) -> Sequence[StoredInstance]:
        """List instances, newest first."""
        ...

    async def children(self, instance_id: str) -> Sequence[StoredInstance]:
        """Give the instances that call activities of this one started, oldest first."""
        ...

    async def lease_tasks(
        self,
        *,
        topics: Sequence[tuple[str, frozenset[str], frozenset[str]]],
        worker: str,
        lease: timedelta,
        limit: int,
    ) -> Sequence[WaitingTask]:
        """Lease waiting tasks: highest priority first, then oldest.

        Args:
            topics: (topic, definition keys or none for any, tenants or none for any).
            worker: Who takes them; unique per replica and start.
            lease: How long, by the store's clock.
            limit: At most so many.
        """
        ...

    async def extend_lease(self, task_id: str, *, worker: str, lease: timedelta) -> None:
        """Let the lease last that long from now.

        Raises:
            TaskGone: No such task.
            LeaseLost: Another worker holds it, or nobody does any more.
        """
        ...

    async def check_lease(self, task_id: str, *, worker: str) -> WaitingTask:
        """Read a task for its report: held by `worker`, or lapsed and taken by nobody since.

        Raises:
            TaskGone: No such task.
            LeaseLost: Another worker holds it.
        """
        ...

    async def fail_task(
        self,
        task_id: str,
        *,
        worker: str,
        retries: int,
        retry_after: timedelta,
        incident: EngineIncident | None,
    ) -> None:
        """End the lease, set retries and the time it is offered again, and open an incident if given.

        Raises:
            TaskGone: No such task.
            LeaseLost: Another worker holds it.
        """
        ...

    async def release_task(self, task_id: str, *, worker: str) -> None:
        """Give a leased task back at once; nothing happens where it is not held by `worker`."""
        ...

    async def has_task(self, task_id: str) -> bool:
        """Whether the task still waits."""
        ...

    async def retry_task(self, task_id: str, *, retries: int, incident_id: str) -> None:
        """Offer a task that ran out of retries again, and remove its incident."""
        ...

    async def tasks_of(self, instance_id: str) -> Sequence[WaitingTask]:
        """Give the waiting service tasks of an instance, oldest first."""
        ...

    async def user_tasks(self, *, limit: int) -> Sequence[UserTask]:
        """List user tasks, oldest first."""
        ...

    async def user_task(self, task_id: str) -> UserTask | None:
        """Read one user task."""
        ...

    async def waiting_for_message(self, name: str, *, instance_id: str) -> Sequence[str]:
        """Give the ids of instances (or the one) that wait for that message, oldest first."""
        ...

    async def due_instances(self, *, limit: int) -> Sequence[str]:
        """Give the ids of active instances with a timer that is due by the store's clock."""
        ...

    async def incidents(self, *, instance_id: str | None, limit: int) -> Sequence[EngineIncident]:
        """List open incidents, oldest first."""
        ...

    async def incident(self, incident_id: str) -> EngineIncident | None:
        """Read one incident."""
        ...

    async def ended_instances(self, *, after: int, limit: int) -> Sequence[EndedInstance]:
        """Read the outbox of ends behind a position, in order."""
        ...

    async def forget_ended(self, *, up_to: int) -> None:
        """Drop outbox rows up to and including a position."""
        ...

    async def instance_states(self, instance_ids: Collection[str]) -> Mapping[str, InstanceState]:
        """Give the state of each of these instances that is there."""
        ...

    async def now(self) -> datetime:
        """Give the store's own time."""
        ...
