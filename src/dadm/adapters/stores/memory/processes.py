"""Where the embedded engine keeps its processes when nothing need outlive the program."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from dadm.domain.errors import EngineRejected, LeaseLost, TaskGone
from dadm.ports.clock import Clock
from dadm.ports.engine import (
    EndedInstance,
    EngineIncident,
    InstanceState,
    ProcessDefinition,
    UserTask,
)
from dadm.ports.process_store import (
    InstanceChange,
    StoredDefinition,
    StoredInstance,
    WaitingTask,
)


@dataclass(slots=True)
class InstanceRecord:
    """An instance and what it waits for; the dicts keep their order of arrival."""

    stored: StoredInstance
    due_at: datetime | None = None


@dataclass(slots=True)
class Shelves:
    """Everything the store knows; each dict is in order of arrival."""

    definitions: dict[str, StoredDefinition] = field(default_factory=dict)
    instances: dict[str, InstanceRecord] = field(default_factory=dict)
    tasks: dict[str, WaitingTask] = field(default_factory=dict)
    user_tasks: dict[str, UserTask] = field(default_factory=dict)
    messages: dict[tuple[str, str], None] = field(default_factory=dict)
    incidents: dict[str, EngineIncident] = field(default_factory=dict)
    ended: list[EndedInstance] = field(default_factory=list)
    last_position: int = 0


class MemoryProcessStore:
    """Keeps definitions, instances and their waits for as long as the process lives.

    Everything happens on one event loop, and no method awaits, so each call is atomic.
    """

    def __init__(self, clock: Clock) -> None:
        """Start empty; leases and timers are judged by `clock`."""
        self._clock = clock
        self._kept = Shelves()

    async def add_definitions(self, stored: Sequence[StoredDefinition]) -> None:
        taken = set(self._kept.definitions)
        versions = {version_of(known) for known in self._kept.definitions.values()}
        for new in stored:
            if new.definition.definition_id in taken or version_of(new) in versions:
                message = f"The definition {new.definition.definition_id} exists already."
                raise EngineRejected(message)
            taken.add(new.definition.definition_id)
            versions.add(version_of(new))
        self._kept.definitions |= {new.definition.definition_id: new for new in stored}

    async def latest_definition(self, key: str, *, tenant: str) -> StoredDefinition | None:
        matching = (
            stored
            for stored in self._kept.definitions.values()
            if (stored.definition.key, stored.definition.tenant) == (key, tenant)
        )
        return max(matching, key=lambda stored: stored.definition.version, default=None)

    async def definition(self, definition_id: str) -> StoredDefinition | None:
        return self._kept.definitions.get(definition_id)

    async def definitions(self, *, with_running: bool) -> Sequence[ProcessDefinition]:
        in_order = sorted(
            (stored.definition for stored in self._kept.definitions.values()),
            key=lambda definition: (definition.key, definition.tenant, definition.version),
        )
        latest = {(known.key, known.tenant): known.definition_id for known in in_order}
        wanted = set(latest.values())
        if with_running:
            wanted |= {
                record.stored.definition_id
                for record in self._kept.instances.values()
                if record.stored.state is InstanceState.ACTIVE
            }
        return tuple(known for known in in_order if known.definition_id in wanted)

    async def save(self, changes: Sequence[InstanceChange]) -> bool:
        if any(self._is_stale(change.instance) for change in changes):
            return False
        for change in changes:
            self._save_instance(change)
            self._save_waits(change)
            for closed in change.closed_incidents:
                self._kept.incidents.pop(closed, None)
            for opened in change.opened_incidents:
                self._kept.incidents[opened.incident_id] = opened
        return True

    def _is_stale(self, instance: StoredInstance) -> bool:
        record = self._kept.instances.get(instance.instance_id)
        return (record.stored.revision if record else 0) != instance.revision

    def _save_instance(self, change: InstanceChange) -> None:
        new = replace(change.instance, revision=change.instance.revision + 1)
        before = self._kept.instances.get(new.instance_id)
        was_active = before is None or before.stored.state is InstanceState.ACTIVE
        if was_active and new.state is not InstanceState.ACTIVE:
            self._kept.last_position += 1
            self._kept.ended.append(
                EndedInstance(
                    position=self._kept.last_position,
                    instance_id=new.instance_id,
                    tenant=new.tenant,
                    state=new.state,
                    ended_at=new.ended_at or self._clock.now(),
                )
            )
        self._kept.instances[new.instance_id] = InstanceRecord(new, change.due_at)

    def _save_waits(self, change: InstanceChange) -> None:
        """Make the instance's waits those of the change; what stays keeps its place in the line."""
        kept, instance_id = self._kept, change.instance.instance_id
        tasks = {task.task_id: task for task in change.waiting_tasks}
        user_tasks = {task.task_id: task for task in change.user_tasks}
        messages = {(instance_id, wait.name): None for wait in change.messages}
        for task in [task for task in kept.tasks.values() if task.instance_id == instance_id]:
            if task.task_id in tasks:
                new = tasks.pop(task.task_id)
                kept.tasks[task.task_id] = replace(task, payload=new.payload)
            else:
                del kept.tasks[task.task_id]
        for user_task in list(kept.user_tasks.values()):
            if user_task.instance_id == instance_id and user_task.task_id not in user_tasks:
                del kept.user_tasks[user_task.task_id]
        for message in [message for message in kept.messages if message[0] == instance_id]:
            if message not in messages:
                del kept.messages[message]
        kept.tasks |= tasks
        kept.user_tasks |= user_tasks
        kept.messages |= messages

    async def instance(self, instance_id: str) -> StoredInstance | None:
        record = self._kept.instances.get(instance_id)
        return record.stored if record else None

    async def instances(
        self, *, state: InstanceState | None, limit: int
    ) -> Sequence[StoredInstance]:
        newest_first = [record.stored for record in reversed(self._kept.instances.values())]
        return tuple(known for known in newest_first if state in {None, known.state})[:limit]

    async def children(self, instance_id: str) -> Sequence[StoredInstance]:
        return tuple(
            record.stored
            for record in self._kept.instances.values()
            if instance_id and record.stored.parent_id == instance_id
        )

    async def lease_tasks(
        self,
        *,
        topics: Sequence[tuple[str, frozenset[str], frozenset[str]]],
        worker: str,
        lease: timedelta,
        limit: int,
    ) -> Sequence[WaitingTask]:
        now = self._clock.now()
        on_offer = [
            task
            for task in self._kept.tasks.values()
            if is_on_offer(task, now) and is_subscribed(task, topics)
        ]
        on_offer.sort(key=lambda task: -task.priority)
        leased = tuple(
            replace(task, worker=worker, lease_expires_at=now + lease) for task in on_offer[:limit]
        )
        self._kept.tasks |= {task.task_id: task for task in leased}
        return leased

    async def extend_lease(self, task_id: str, *, worker: str, lease: timedelta) -> None:
        task = await self.check_lease(task_id, worker=worker)
        now = self._clock.now()
        if task.lease_expires_at is None or task.lease_expires_at <= now:
            raise LeaseLost
        self._kept.tasks[task_id] = replace(task, lease_expires_at=now + lease)

    async def check_lease(self, task_id: str, *, worker: str) -> WaitingTask:
        task = self._kept.tasks.get(task_id)
        if task is None:
            raise TaskGone
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
        task = await self.check_lease(task_id, worker=worker)
        self._kept.tasks[task_id] = replace(
            task,
            retries=retries,
            available_at=self._clock.now() + retry_after,
            worker="",
            lease_expires_at=None,
        )
        if incident is not None:
            self._kept.incidents[incident.incident_id] = incident

    async def release_task(self, task_id: str, *, worker: str) -> None:
        task = self._kept.tasks.get(task_id)
        if task is not None and task.worker == worker:
            self._kept.tasks[task_id] = replace(task, worker="", lease_expires_at=None)

    async def has_task(self, task_id: str) -> bool:
        return task_id in self._kept.tasks

    async def retry_task(self, task_id: str, *, retries: int, incident_id: str) -> None:
        task = self._kept.tasks.get(task_id)
        if task is not None:
            self._kept.tasks[task_id] = replace(
                task, retries=retries, available_at=self._clock.now()
            )
        self._kept.incidents.pop(incident_id, None)

    async def tasks_of(self, instance_id: str) -> Sequence[WaitingTask]:
        return tuple(task for task in self._kept.tasks.values() if task.instance_id == instance_id)

    async def user_tasks(self, *, limit: int) -> Sequence[UserTask]:
        return tuple(self._kept.user_tasks.values())[:limit]

    async def user_task(self, task_id: str) -> UserTask | None:
        return self._kept.user_tasks.get(task_id)

    async def waiting_for_message(self, name: str, *, instance_id: str) -> Sequence[str]:
        return tuple(
            waiting
            for waiting, wanted in self._kept.messages
            if wanted == name and instance_id in {"", waiting}
        )

    async def due_instances(self, *, limit: int) -> Sequence[str]:
        now = self._clock.now()
        due = [
            (record.due_at, instance_id)
            for instance_id, record in self._kept.instances.items()
            if record.stored.state is InstanceState.ACTIVE
            and record.due_at is not None
            and record.due_at <= now
        ]
        return tuple(instance_id for _, instance_id in sorted(due))[:limit]

    async def incidents(self, *, instance_id: str | None, limit: int) -> Sequence[EngineIncident]:
        wanted = [
            incident
            for incident in self._kept.incidents.values()
            if instance_id in {None, incident.instance_id}
        ]
        return tuple(wanted)[:limit]

    async def incident(self, incident_id: str) -> EngineIncident | None:
        return self._kept.incidents.get(incident_id)

    async def ended_instances(self, *, after: int, limit: int) -> Sequence[EndedInstance]:
        return tuple(ended for ended in self._kept.ended if ended.position > after)[:limit]

    async def forget_ended(self, *, up_to: int) -> None:
        self._kept.ended = [ended for ended in self._kept.ended if ended.position > up_to]

    async def instance_states(self, instance_ids: Collection[str]) -> Mapping[str, InstanceState]:
        known = (self._kept.instances.get(each) for each in instance_ids)
        return {
            record.stored.instance_id: record.stored.state for record in known if record is not None
        }

    async def now(self) -> datetime:
        return self._clock.now()


def version_of(stored: StoredDefinition) -> tuple[str, str, int]:
    """Give what is unique about a definition beside its id."""
    known = stored.definition
    return (known.key, known.tenant, known.version)


def is_on_offer(task: WaitingTask, now: datetime) -> bool:
    """Whether a task may be leased."""
    return (
        (task.lease_expires_at is None or task.lease_expires_at <= now)
        and task.available_at <= now
        and (task.retries is None or task.retries > 0)
    )


def is_subscribed(
    task: WaitingTask, topics: Sequence[tuple[str, frozenset[str], frozenset[str]]]
) -> bool:
    """Whether one of the subscriptions takes this task."""
    return any(
        task.topic == topic
        and (not keys or task.definition_key in keys)
        and (not tenants or task.tenant in tenants)
        for topic, keys, tenants in topics
    )
