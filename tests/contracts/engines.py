"""What the contract suite of engines asks for: an engine of each kind, with tasks to offer."""

import itertools
from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import timedelta
from typing import Protocol

import pytest

from dadm.adapters.engines.embedded import EmbeddedEngine
from dadm.adapters.engines.external_task import ExternalTaskEngine
from dadm.adapters.engines.external_task.variables import read_variables
from dadm.adapters.engines.memory import MemoryEngine
from dadm.domain.json import JsonObject
from dadm.ports.clock import Clock, Identifiers
from dadm.ports.engine import (
    InstanceState,
    LeasedTask,
    ProcessHistory,
    ServiceTasks,
    TopicSubscription,
)
from dadm.ports.process_store import ProcessStore
from tests.adapters.engines.bpmn import (
    boundary,
    caught,
    definitions,
    end,
    error,
    extended,
    flows,
    node,
    process,
    properties,
    start,
    task,
)
from tests.builders import make_leased_task
from tests.engines.rest_engine import RestEngine

REAL = [pytest.mark.engines, pytest.mark.timeout(240)]
"""Long enough for a real engine to start."""

CAUGHT = "CAUGHT"
LONG = timedelta(hours=1)
AT_ONCE = timedelta(0)
"""A lease of that length has run out when the next call looks at it."""


class Engine(ServiceTasks, ProcessHistory, Protocol):
    """The roles that the suite asks about."""


class EngineUnderTest(ABC):
    """An engine and another one on the same tasks, and what a test does from outside."""

    engine: Engine
    other: Engine

    @abstractmethod
    async def offer(
        self,
        topic: str = "alpha",
        *,
        key: str = "p",
        tenant: str = "",
        priority: int = 0,
        variables: JsonObject | None = None,
    ) -> str:
        """Have a task wait for a worker, in an instance of its own; give the instance's id."""

    @abstractmethod
    async def start(
        self, document: bytes, *, key: str = "p", variables: JsonObject | None = None
    ) -> str:
        """Deploy a model and start an instance of it; give the instance's id."""

    @abstractmethod
    async def variables(self, instance_id: str) -> JsonObject:
        """Give the variables of an instance that runs or has ended, as they were written."""

    @abstractmethod
    async def incidents(self, instance_id: str) -> Sequence[str]:
        """Give the messages of an instance's open incidents."""

    @abstractmethod
    async def cancel(self, instance_id: str) -> None:
        """End an instance behind the worker's back."""

    @abstractmethod
    async def retry(self, task: LeasedTask, retries: int) -> None:
        """Resolve the task's incident, as a person does."""

    async def fetch(
        self,
        *topics: str,
        most: int = 100,
        lease: timedelta = LONG,
        keys: tuple[str, ...] = (),
        tenants: tuple[str, ...] = (),
        engine: Engine | None = None,
    ) -> Sequence[LeasedTask]:
        return await (engine or self.engine).fetch_and_lease(
            [
                TopicSubscription(
                    topic=topic,
                    lease_duration=lease,
                    process_definition_keys=keys,
                    tenants=tenants,
                )
                for topic in topics or ("alpha",)
            ],
            max_tasks=most,
            request_timeout=timedelta(0),
        )

    async def take(self, *, lease: timedelta = LONG) -> LeasedTask:
        (taken,) = await self.fetch(lease=lease)
        return taken


def one_task(topic: str, *, key: str, priority: int) -> bytes:
    """Write a model with one task, whose error leads to another one for a person."""
    inner = "<bpmn:documentation>What now?</bpmn:documentation>" + extended(properties(a="b"))
    return definitions(
        error(CAUGHT),
        process(
            start(),
            task("Task_1", inner, topic=topic, attributes=f"camunda:taskPriority='{priority}'"),
            boundary("c", "Task_1", caught("caught")),
            node("userTask", "U"),
            end(),
            flows("s > Task_1 > e", "c > U > e"),
            key=key,
            attributes="camunda:historyTimeToLive='1'",
        ),
    )


class MemoryUnderTest(EngineUnderTest):
    def __init__(self, clock: Clock, identifiers: Identifiers) -> None:
        engine = MemoryEngine(clock, identifiers)
        self._memory = self.engine = self.other = engine
        self._numbers = itertools.count(1)

    async def offer(
        self,
        topic: str = "alpha",
        *,
        key: str = "p",
        tenant: str = "",
        priority: int = 0,
        variables: JsonObject | None = None,
    ) -> str:
        number = next(self._numbers)
        self._memory.offer(
            make_leased_task(
                f"task{number}",
                topic=topic,
                process_instance_id=f"instance{number}",
                process_definition_key=key,
                tenant=tenant,
                priority=priority,
                variables=variables or {},
                caught_errors=frozenset({CAUGHT}),
                properties={"a": "b"},
                documentation="What now?",
            )
        )
        return f"instance{number}"

    async def start(
        self, document: bytes, *, key: str = "p", variables: JsonObject | None = None
    ) -> str:
        raise NotImplementedError("it has tasks, and no processes")

    async def variables(self, instance_id: str) -> JsonObject:
        raise NotImplementedError("it has tasks, and no processes")

    async def incidents(self, instance_id: str) -> Sequence[str]:
        raise NotImplementedError("it has tasks, and no processes")

    async def cancel(self, instance_id: str) -> None:
        self._memory.end_instance(instance_id, state=InstanceState.CANCELLED)

    async def retry(self, task: LeasedTask, retries: int) -> None:
        self._memory.retry(task.task_id, retries=retries)


class EmbeddedUnderTest(EngineUnderTest):
    def __init__(self, store: ProcessStore, clock: Clock, identifiers: Identifiers) -> None:
        embedded = EmbeddedEngine(store, clock, identifiers)
        self._embedded = self.engine = embedded
        self.other = EmbeddedEngine(store, clock, identifiers)

    async def offer(
        self,
        topic: str = "alpha",
        *,
        key: str = "p",
        tenant: str = "",
        priority: int = 0,
        variables: JsonObject | None = None,
    ) -> str:
        document = one_task(topic, key=key, priority=priority)
        await self._embedded.deploy({"model.bpmn": document}, tenant=tenant)
        started = await self._embedded.start(key, variables=variables or {}, tenant=tenant)
        return started.instance_id

    async def start(
        self, document: bytes, *, key: str = "p", variables: JsonObject | None = None
    ) -> str:
        await self._embedded.deploy({"model.bpmn": document})
        return (await self._embedded.start(key, variables=variables or {})).instance_id

    async def variables(self, instance_id: str) -> JsonObject:
        return (await self._embedded.instance(instance_id)).variables

    async def incidents(self, instance_id: str) -> Sequence[str]:
        return [
            incident.message
            for incident in await self._embedded.incidents()
            if incident.instance_id == instance_id
        ]

    async def cancel(self, instance_id: str) -> None:
        await self._embedded.cancel(instance_id)

    async def retry(self, task: LeasedTask, retries: int) -> None:
        for incident in await self._embedded.incidents():
            if incident.task_id == task.task_id:
                await self._embedded.retry_incident(
                    incident.incident_id, variables={}, retries=retries
                )


class ExternalTaskUnderTest(EngineUnderTest):
    """A real engine of the Camunda 7 family, and two clients of it."""

    def __init__(self, rest: RestEngine, clock: Clock, identifiers: Identifiers) -> None:
        self.rest = rest
        self.engine = ExternalTaskEngine(rest.address, clock, identifiers, client=rest.client)
        self.other = ExternalTaskEngine(rest.address, clock, identifiers, client=rest.client)

    async def offer(
        self,
        topic: str = "alpha",
        *,
        key: str = "p",
        tenant: str = "",
        priority: int = 0,
        variables: JsonObject | None = None,
    ) -> str:
        await self.rest.deploy(one_task(topic, key=key, priority=priority), tenant=tenant)
        return await self.rest.start(key, variables=variables, tenant=tenant)

    async def start(
        self, document: bytes, *, key: str = "p", variables: JsonObject | None = None
    ) -> str:
        await self.rest.deploy(document)
        return await self.rest.start(key, variables=variables)

    async def variables(self, instance_id: str) -> JsonObject:
        return read_variables(await self.rest.variables(instance_id))

    async def incidents(self, instance_id: str) -> Sequence[str]:
        found = await self.rest.get(f"/incident?processInstanceId={instance_id}")
        return [incident["incidentMessage"] for incident in found]

    async def cancel(self, instance_id: str) -> None:
        await self.rest.delete(f"/process-instance/{instance_id}")

    async def retry(self, task: LeasedTask, retries: int) -> None:
        await self.rest.put(f"/external-task/{task.task_id}/retries", {"retries": retries})
