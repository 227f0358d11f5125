"""Engines: where service tasks come from, where outcomes go, and what can be asked about processes."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

from dadm.domain.json import JsonObject, JsonValue
from dadm.ports.engine_features import Feature


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicSubscription:
    """One topic to take tasks from. Empty `process_definition_keys` and `tenants` mean any."""

    topic: str
    lease_duration: timedelta
    process_definition_keys: tuple[str, ...] = ()
    tenants: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LeasedTask:
    """One task of an engine, leased to this worker.

    `retries` is None before the first failure, but for `Feature.RETRIES_IN_MODEL`. `variables` are
    those visible to the task, after its input mapping: all, or without `Feature.ALL_VARIABLES` those
    that it needs. `mapped` names what the mapping provides, None where there is none or it is not
    told. `properties` are the model's extension properties or task headers; `thread.scope` among
    them is the process's own where the task has none. `documentation` is the
    element's text in the model. `caught_errors` are the BPMN error codes that the model catches
    around this task ("" for a catch-all). `own_answers` names the variables that AI tasks of
    this model write. `lease` is the engine's own proof of ownership, opaque to us.
    """

    task_id: str
    topic: str
    element_id: str
    element_name: str = ""
    process_instance_id: str
    root_process_instance_id: str | None = None
    process_definition_id: str
    process_definition_key: str
    business_key: str = ""
    tenant: str = ""
    priority: int = 0
    retries: int | None = None
    lease_expires_at: datetime
    variables: JsonObject = field(default_factory=dict)
    mapped: tuple[str, ...] | None = None
    properties: Mapping[str, str] = field(default_factory=dict)
    documentation: str = ""
    caught_errors: frozenset[str] = frozenset()
    own_answers: frozenset[str] = frozenset()
    lease: str = ""


class ServiceTasks(Protocol):
    """Service tasks that wait for a worker.

    A lease lasts until `lease_expires_at` by the engine's clock; `extend` counts from now. A
    report after the lease ran out is accepted as long as nobody else took the task; without
    `Feature.FENCED_LEASE` a completion always is, and other reports never are. Reports are
    not repeatable in effect: after EngineUnavailable the caller repeats, and TaskGone may then
    mean that the first report arrived.

    Raises, from every report:
        TaskGone: No such task any more: completed, cancelled, or its instance is gone.
        LeaseLost: Another worker holds it.
        EngineRejected: The engine refuses this report as it is; repeating cannot help.
        EngineUnavailable: Not reachable, or come back later; repeat.
    """

    @property
    def engine_id(self) -> str:
        """The configured id of this engine; part of every thread and turn key."""
        ...

    @property
    def features(self) -> frozenset[Feature]:
        """What this engine can do."""
        ...

    async def fetch_and_lease(
        self,
        subscriptions: Sequence[TopicSubscription],
        *,
        max_tasks: int,
        request_timeout: timedelta,
    ) -> Sequence[LeasedTask]:
        """Lease up to `max_tasks` tasks, oldest first within a priority, highest priority first.

        Waits up to `request_timeout` for the first; returns at once when there is one. A task
        is given to one worker at a time.
        """
        ...

    async def complete(self, task: LeasedTask, *, variables: JsonObject) -> None:
        """Report the task done; `variables` become process variables.

        EngineRejected says that the process cannot go on from here (a gateway's condition fails,
        say); the task stays, with its lease. Not told without `Feature.ANSWERS_REFUSED`.
        """
        ...

    async def fail(
        self,
        task: LeasedTask,
        *,
        message: str,
        details: str,
        retries: int,
        retry_after: timedelta,
    ) -> None:
        """Report a failure. With `retries` 0 an incident is left; else it is offered again later."""
        ...

    async def bpmn_error(
        self, task: LeasedTask, *, error_code: str, message: str, variables: JsonObject
    ) -> None:
        """Take the model's error path. Only for codes among `caught_errors`."""
        ...

    async def extend(self, task: LeasedTask, *, lease_duration: timedelta) -> None:
        """Let the lease last that long from now."""
        ...

    async def unlease(self, task: LeasedTask) -> None:
        """Give the task back, to be offered again at once; retries are unchanged."""
        ...

    async def is_active(self, task: LeasedTask) -> bool:
        """Say whether the task still waits in the engine, whoever holds it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class AssistantTask:
    """One AI task as a deployed model declares it.

    Where only its topic is known, `element_id` and `process_definition_key` are `""`.
    """

    topic: str
    element_id: str
    process_definition_key: str
    assistant: str


class ProcessModels(Protocol):
    """The deployed models, as far as AI tasks go."""

    async def assistant_tasks(self) -> Sequence[AssistantTask]:
        """Give the AI tasks of every model version with running instances, and of the latest."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessDefinition:
    """A deployed version of a model. `key` is the process id in the model."""

    definition_id: str
    key: str
    version: int
    name: str
    deployed_at: datetime
    tenant: str = ""


class InstanceState(StrEnum):
    """Where a process instance is in its life."""

    ACTIVE = "active"
    COMPLETED = "completed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessInstance:
    """One run of a process. `waiting_at` names the elements where it stands."""

    instance_id: str
    definition_id: str
    definition_key: str
    business_key: str
    tenant: str
    state: InstanceState
    variables: JsonObject
    waiting_at: tuple[str, ...]
    incident_count: int
    parent_id: str = ""
    started_at: datetime
    ended_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UserTask:
    """A task that waits for a person."""

    task_id: str
    instance_id: str
    element_id: str
    name: str
    documentation: str
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineIncident:
    """Something that stopped an instance and waits for a person."""

    incident_id: str
    instance_id: str
    element_id: str
    task_id: str
    message: str
    details: str
    created_at: datetime


class ProcessRuntime(Protocol):
    """Deploying, starting and steering processes.

    Raises:
        InvalidModel: From deploy: the model has elements this engine would run wrongly; the
            message names each by id and line.
        UnknownProcess: No such definition, instance, task or incident.
        EngineRejected: It is not in a state that allows this.
    """

    async def deploy(
        self, documents: Mapping[str, bytes], *, tenant: str = ""
    ) -> Sequence[ProcessDefinition]:
        """Deploy files, by name, all or none; an unchanged model keeps its version."""
        ...

    async def definitions(self) -> Sequence[ProcessDefinition]:
        """Give the latest version of every process, by key."""
        ...

    async def start(
        self,
        key: str,
        *,
        variables: JsonObject,
        business_key: str = "",
        tenant: str = "",
    ) -> ProcessInstance:
        """Start an instance of the latest version of `key`."""
        ...

    async def instances(
        self, *, state: InstanceState | None = None, limit: int = 100
    ) -> Sequence[ProcessInstance]:
        """List instances, newest first."""
        ...

    async def instance(self, instance_id: str) -> ProcessInstance:
        """Read one instance."""
        ...

    async def cancel(self, instance_id: str) -> None:
        """End an instance now; its waiting tasks are gone."""
        ...

    async def user_tasks(self, *, limit: int = 100) -> Sequence[UserTask]:
        """List tasks that wait for people, oldest first."""
        ...

    async def complete_user_task(self, task_id: str, *, variables: JsonObject) -> None:
        """Complete a user task."""
        ...

    async def correlate_message(
        self, name: str, *, instance_id: str = "", variables: JsonObject
    ) -> int:
        """Hand a message to the instances (or the one) that wait for it; give how many took it."""
        ...

    async def incidents(self, *, limit: int = 100) -> Sequence[EngineIncident]:
        """List open incidents, oldest first."""
        ...

    async def retry_incident(
        self, incident_id: str, *, variables: Mapping[str, JsonValue], retries: int = 3
    ) -> None:
        """Resolve an incident by trying again, with changed variables if any."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedInstance:
    """A process instance that has ended, as the engine tells it. `position` orders them."""

    position: int
    instance_id: str
    tenant: str
    state: InstanceState
    ended_at: datetime


class ProcessHistory(Protocol):
    """What became of process instances."""

    async def ended_instances(self, *, after: int, limit: int) -> Sequence[EndedInstance]:
        """Give instances that ended, in the order they were recorded, behind position `after`."""
        ...

    async def forget_ended(self, *, up_to: int) -> None:
        """Drop what was handled, up to and including that position."""
        ...

    async def instance_states(self, instance_ids: Collection[str]) -> Mapping[str, InstanceState]:
        """Give the state of each of these instances that the engine knows.

        With one request for up to 500 of them, or two. Suspended ones, and those with incidents,
        are active. One that is left out may have ended so long ago that nothing is kept of it, or
        never have been this engine's. Nothing is asked of an engine that does not declare
        `Feature.INSTANCE_STATES`.

        Raises:
            EngineUnavailable: The engine does not answer, or will not tell.
        """
        ...
