"""What the contract suite of engines asks for: an engine of each kind, with tasks to offer."""

import asyncio
import itertools
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import timedelta
from typing import Protocol

import pytest

from dadm.adapters.engines.embedded import EmbeddedEngine
from dadm.adapters.engines.memory import MemoryEngine
from dadm.domain.json import JsonObject
from dadm.ports.clock import Clock, Identifiers
from dadm.ports.engine import (
    EndedInstance,
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
    patience = AT_ONCE
    """How long something that must come may take where nobody else does anything."""
    has_tenants = True
    """Whether it was set up with tenants."""
    second_price = "offer.prices[1]"
    """How an expression of a process reads the second of the prices of an offer."""

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
        self,
        document: bytes,
        *,
        key: str = "p",
        variables: JsonObject | None = None,
        tells_its_end: bool = False,
        business_key: str = "",
    ) -> str:
        """Deploy a model and start an instance of it; give the instance's id.

        With `tells_its_end` its end is told also where a model must ask for it.
        """

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

    async def suspend(self, instance_id: str) -> bool:
        """Suspend an instance; give whether there is a way to do that."""
        del instance_id
        return False

    async def resume(self, instance_id: str) -> None:
        """Let an instance that was suspended go on."""
        raise NotImplementedError

    async def fetch(
        self,
        *topics: str,
        most: int = 100,
        wait: timedelta = AT_ONCE,
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
            request_timeout=wait,
        )

    async def take(self, topic: str = "alpha", *, lease: timedelta = LONG) -> LeasedTask:
        """Take the one task that there is."""
        (taken,) = await self.fetch(topic, lease=lease, wait=self.patience)
        return taken

    async def take_briefly(self, topic: str = "alpha") -> LeasedTask:
        """Take the one task that there is, for so short that its lease has run out by now."""
        return await self.take(topic, lease=AT_ONCE)

    async def gather(
        self, *topics: str, count: int, lease: timedelta = LONG, tenants: tuple[str, ...] = ()
    ) -> list[LeasedTask]:
        """Take tasks until there are that many, or no more come."""
        found: list[LeasedTask] = []
        while len(found) < count:
            more = await self.fetch(*topics, lease=lease, tenants=tenants, wait=self.patience)
            if not more:
                break
            found += more
        return found

    async def told(
        self, reader: ProcessHistory, *, count: int, after: int = 0
    ) -> Sequence[EndedInstance]:
        """Read ends until that many are told, or no more come."""
        until = time.monotonic() + self.patience.total_seconds()
        while True:
            told = await reader.ended_instances(after=after, limit=10)
            if len(told) >= count or time.monotonic() > until:
                return told
            await asyncio.sleep(0.05)


def one_task(topic: str, *, key: str, priority: int) -> bytes:
    """Write a model with one task, whose error leads to another one for a person."""
    inner = "<bpmn:documentation>What now?</bpmn:documentation>" + extended(
        properties(a="b", errors=CAUGHT)
    )
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
        self,
        document: bytes,
        *,
        key: str = "p",
        variables: JsonObject | None = None,
        tells_its_end: bool = False,
        business_key: str = "",
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
        self,
        document: bytes,
        *,
        key: str = "p",
        variables: JsonObject | None = None,
        tells_its_end: bool = False,
        business_key: str = "",
    ) -> str:
        await self._embedded.deploy({"model.bpmn": document})
        started = await self._embedded.start(
            key, variables=variables or {}, business_key=business_key
        )
        return started.instance_id

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
