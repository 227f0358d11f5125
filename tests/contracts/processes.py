"""Short ways to say what a process store is given."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from dadm.ports.engine import EngineIncident, InstanceState, ProcessDefinition, UserTask
from dadm.ports.process_store import (
    InstanceChange,
    MessageWait,
    ProcessStore,
    StoredDefinition,
    StoredInstance,
    WaitingTask,
)

THEN = datetime(2026, 5, 1, 12, 30, 15, 123456, tzinfo=UTC)
HOUR = timedelta(hours=1)
AT_ONCE = timedelta(0)
ANY_TOPIC = [("decide", frozenset[str](), frozenset[str]())]


def definition(
    definition_id: str = "decision:1", *, key: str = "decision", tenant: str = "", version: int = 1
) -> StoredDefinition:
    return StoredDefinition(
        definition=ProcessDefinition(
            definition_id=definition_id,
            key=key,
            version=version,
            name="A decision",
            deployed_at=THEN,
            tenant=tenant,
        ),
        resource_name="decision.bpmn",
        digest="d1",
        source=b"\x00<xml>\xff",
    )


def instance(
    instance_id: str = "i1",
    *,
    revision: int = 0,
    state: InstanceState = InstanceState.ACTIVE,
    parent: str = "",
    of: str = "decision:1",
) -> StoredInstance:
    return StoredInstance(
        instance_id=instance_id,
        definition_id=of,
        definition_key="decision",
        business_key="B-1",
        tenant="acme",
        state=state,
        revision=revision,
        document='{"é": 1}',
        parent_id=parent,
        parent_task="Call_1" if parent else "",
        root_id=parent or instance_id,
        started_at=THEN,
        ended_at=None if state is InstanceState.ACTIVE else THEN + HOUR,
    )


def task(
    task_id: str = "t1",
    *,
    instance_id: str = "i1",
    topic: str = "decide",
    key: str = "decision",
    tenant: str = "",
    priority: int = 0,
    retries: int | None = None,
    available_at: datetime = THEN,
    **payload: str,
) -> WaitingTask:
    return WaitingTask(
        task_id=task_id,
        instance_id=instance_id,
        element_id="Task_1",
        topic=topic,
        definition_key=key,
        tenant=tenant,
        priority=priority,
        retries=retries,
        available_at=available_at,
        payload=payload,
    )


def user_task(task_id: str = "u1", *, instance_id: str = "i1", name: str = "Sign") -> UserTask:
    return UserTask(
        task_id=task_id,
        instance_id=instance_id,
        element_id="User_1",
        name=name,
        documentation="Please sign.",
        created_at=THEN,
    )


def incident(
    incident_id: str = "x1", *, instance_id: str = "i1", task_id: str = "t1"
) -> EngineIncident:
    return EngineIncident(
        incident_id=incident_id,
        instance_id=instance_id,
        element_id="Task_1",
        task_id=task_id,
        message="It failed.",
        details="At length.",
        created_at=THEN,
    )


def change(
    changed: StoredInstance,
    *,
    tasks: tuple[WaitingTask, ...] = (),
    user_tasks: tuple[UserTask, ...] = (),
    messages: tuple[str, ...] = (),
    due_at: datetime | None = None,
    opened: tuple[EngineIncident, ...] = (),
    closed: tuple[str, ...] = (),
) -> InstanceChange:
    return InstanceChange(
        instance=changed,
        waiting_tasks=tasks,
        user_tasks=user_tasks,
        messages=tuple(
            MessageWait(instance_id=changed.instance_id, name=name) for name in messages
        ),
        due_at=due_at,
        opened_incidents=opened,
        closed_incidents=closed,
    )


async def begin(
    store: ProcessStore, *tasks: WaitingTask, instance_id: str = "i1", of: str = "decision:1"
) -> StoredInstance:
    """Save a first step of an instance, deploying its model if that is not there."""
    if await store.definition(of) is None:
        await store.add_definitions([definition(of)])
    new = instance(instance_id, of=of)
    assert await store.save([change(new, tasks=tasks)])
    return replace(new, revision=1)


async def lease(
    store: ProcessStore,
    *,
    worker: str = "w1",
    lease: timedelta = HOUR,
    limit: int = 10,
) -> list[str]:
    """Lease tasks of the usual topic, and give their ids."""
    leased = await store.lease_tasks(topics=ANY_TOPIC, worker=worker, lease=lease, limit=limit)
    return [found.task_id for found in leased]
