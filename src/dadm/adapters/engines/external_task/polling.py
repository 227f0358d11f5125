"""TaskPolling: waiting tasks are locked for this worker, and what a lost poll locked is freed."""

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from dadm.adapters.engines.external_task.callers import Callers
from dadm.adapters.engines.external_task.connection import EngineConnection
from dadm.adapters.engines.external_task.library import ModelLibrary
from dadm.adapters.engines.external_task.models import DefinitionModel, TaskModel
from dadm.adapters.engines.external_task.refusals import Refused
from dadm.adapters.engines.external_task.reports import TaskReports, milliseconds
from dadm.adapters.engines.external_task.roots import Roots
from dadm.adapters.engines.external_task.variables import read_variables
from dadm.adapters.engines.process_scope import with_scope
from dadm.domain.errors import EngineRejected, EngineUnavailable
from dadm.domain.thread_scope import SETTING, ThreadScope
from dadm.ports.clock import Clock
from dadm.ports.engine import LeasedTask, TopicSubscription

LOGGER = logging.getLogger(__name__)

SPARE_SECONDS = 1.0
"""How much later than it should a poll without a client may end at the engine."""


class _LockedTask(BaseModel):
    """A task as the engine hands it out. All but its identity may be missing."""

    id: str
    topic: str = Field(alias="topicName")
    element_id: str = Field(alias="activityId")
    instance_id: str = Field(alias="processInstanceId")
    definition_id: str = Field(alias="processDefinitionId")
    definition_key: str = Field(alias="processDefinitionKey")
    lock_expires_at: datetime = Field(alias="lockExpirationTime")
    business_key: str | None = Field(default=None, alias="businessKey")
    tenant: str | None = Field(default=None, alias="tenantId")
    priority: int | None = None
    retries: int | None = None
    variables: dict[str, Any] | None = None
    properties: dict[str, str | None] | None = Field(default=None, alias="extensionProperties")


@dataclass(frozen=True, slots=True)
class _LostPoll:
    """A poll whose reply did not arrive: it may have locked tasks, and may do so until then."""

    worker: str
    until: float


class TaskPolling:
    """Fetches tasks, each time under a worker id that nobody ever had.

    So a report under a lock that was lost is refused even where this same program took the task
    again, and what a poll locked to nobody can be listed and freed.
    """

    def __init__(
        self,
        connection: EngineConnection,
        library: ModelLibrary,
        reports: TaskReports,
        clock: Clock,
        worker: str,
    ) -> None:
        """Poll over `connection` as `worker` and a number."""
        self._connection = connection
        self._library = library
        self._callers = Callers(connection, library)
        self._roots = Roots(connection)
        self._reports = reports
        self._clock = clock
        self._worker = worker
        self._poll_count = 0
        self._lost: list[_LostPoll] = []

    async def fetch_and_lease(
        self,
        subscriptions: Sequence[TopicSubscription],
        *,
        max_tasks: int,
        request_timeout: timedelta,
    ) -> Sequence[LeasedTask]:
        """Lease up to `max_tasks` tasks, waiting up to `request_timeout` for the first.

        Raises:
            EngineUnavailable: It does not answer. What it may have locked is freed later.
            EngineRejected: It cannot do with the subscriptions.
        """
        if max_tasks < 1 or not subscriptions:
            return ()
        await self._free_lost()
        self._poll_count += 1
        worker = f"{self._worker}-{self._poll_count}"
        try:
            rows = await self._poll(worker, subscriptions, max_tasks, request_timeout)
            return tuple([await self._leased(row, worker) for row in _read(rows)])
        except (EngineUnavailable, asyncio.CancelledError):
            until = self._clock.monotonic() + request_timeout.total_seconds() + SPARE_SECONDS
            self._lost.append(_LostPoll(worker, until))
            raise

    async def _poll(
        self,
        worker: str,
        subscriptions: Sequence[TopicSubscription],
        max_tasks: int,
        request_timeout: timedelta,
    ) -> Any:
        body: dict[str, Any] = {
            "workerId": worker,
            "maxTasks": max_tasks,
            "usePriority": True,
            "sorting": [{"sortBy": "createTime", "sortOrder": "asc"}],
            "topics": _topics(subscriptions),
        }
        if request_timeout > timedelta(0):
            body["asyncResponseTimeout"] = milliseconds(request_timeout)
        try:
            return await self._connection.post(
                "/external-task/fetchAndLock", body, wait_seconds=request_timeout.total_seconds()
            )
        except Refused as refused:
            if refused.refusal.is_fault:
                # Its queue of polls is full, or its database is away.
                raise EngineUnavailable(f"No tasks: {refused.refusal.message}") from refused
            raise EngineRejected(refused.refusal.message) from refused

    async def _leased(self, row: _LockedTask, worker: str) -> LeasedTask:
        definition = await self._library.definition(row.definition_id, row.definition_key)
        model = definition.tasks.get(row.element_id) or TaskModel(element_id=row.element_id)
        outside = await self._callers.caught_outside(row.instance_id, row.definition_key)
        caught = model.caught_errors | outside
        given = {name: text or "" for name, text in (row.properties or {}).items()}
        properties = with_scope({**model.properties, **given}, definition.thread_scope)
        root = await self._roots.root_of(row.instance_id) if _wants_root(properties) else None
        read = replace(model, caught_errors=caught, properties=properties)
        return replace(_leased_task(row, worker, definition, read), root_process_instance_id=root)

    async def _free_lost(self) -> None:
        """Give back what polls locked whose replies never came."""
        for poll in tuple(self._lost):
            is_over = self._clock.monotonic() >= poll.until
            await self._reports.free_all_of(poll.worker)
            if is_over:
                self._lost.remove(poll)


def _topics(subscriptions: Sequence[TopicSubscription]) -> list[dict[str, Any]]:
    """Write the subscriptions. Of two for one topic an engine would silently follow the last."""
    topics = {subscription.topic: _topic(subscription) for subscription in subscriptions}
    if len(topics) < len(subscriptions):
        raise EngineRejected("A topic can be subscribed to once in a request.")
    return list(topics.values())


def _topic(subscription: TopicSubscription) -> dict[str, Any]:
    topic: dict[str, Any] = {
        "topicName": subscription.topic,
        "lockDuration": milliseconds(subscription.lease_duration),
        "includeExtensionProperties": True,
        # True lets one object of an unknown class spoil the whole batch.
        "deserializeValues": False,
    }
    if subscription.process_definition_keys:
        topic["processDefinitionKeyIn"] = list(subscription.process_definition_keys)
    if subscription.tenants == ("",):
        topic["withoutTenantId"] = True
    elif "" in subscription.tenants:
        raise EngineRejected("Tasks of tenants and of none cannot be asked for at once.")
    elif subscription.tenants:
        topic["tenantIdIn"] = list(subscription.tenants)
    return topic


def _read(rows: Any) -> Iterable[_LockedTask]:
    """Read what was handed out, one by one: a task that is odd leaves the others as they are."""
    for row in rows if isinstance(rows, list) else ():
        try:
            yield _LockedTask.model_validate(row)
        except ValidationError as error:
            LOGGER.warning("A task cannot be read, and is left to its lock: %s", error)


def _wants_root(properties: Mapping[str, str]) -> bool:
    return properties.get(SETTING, "").strip() == ThreadScope.ROOT_INSTANCE


def _leased_task(
    row: _LockedTask, worker: str, definition: DefinitionModel, model: TaskModel
) -> LeasedTask:
    return LeasedTask(
        task_id=row.id,
        topic=row.topic,
        element_id=row.element_id,
        element_name=model.name,
        process_instance_id=row.instance_id,
        process_definition_id=row.definition_id,
        process_definition_key=row.definition_key,
        business_key=row.business_key or "",
        tenant=row.tenant or "",
        priority=row.priority or 0,
        retries=row.retries,
        lease_expires_at=row.lock_expires_at,
        variables=read_variables(row.variables or {}),
        mapped=model.mapped,
        properties=model.properties,
        documentation=model.documentation,
        caught_errors=model.caught_errors,
        own_answers=definition.own_answers,
        lease=worker,
    )
