"""ExternalTaskEngine: an engine of the Camunda 7 family in all its roles."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx2

from dadm.adapters.engines.access import Access, new_client
from dadm.adapters.engines.external_task.connection import REPLY_SECONDS, EngineConnection
from dadm.adapters.engines.external_task.history import EngineHistory
from dadm.adapters.engines.external_task.library import ModelLibrary
from dadm.adapters.engines.external_task.polling import TaskPolling
from dadm.adapters.engines.external_task.refusals import Refused
from dadm.adapters.engines.external_task.reports import TaskReports
from dadm.adapters.engines.external_task.variables import VariableWriting
from dadm.domain.errors import EngineUnavailable
from dadm.ports.clock import Clock, Identifiers
from dadm.ports.engine import (
    AssistantTask,
    EndedInstance,
    InstanceState,
    LeasedTask,
    TopicSubscription,
)
from dadm.ports.engine_features import Feature

FEATURES = frozenset(
    {
        Feature.MULTI_TOPIC,
        Feature.UNLOCK,
        Feature.PRIORITY,
        Feature.FENCED_LEASE,
        Feature.PROCESS_FILTER,
        Feature.ALL_VARIABLES,
        Feature.MODELS_TOLD,
        Feature.ANSWERS_REFUSED,
        Feature.ERROR_VARIABLES,
        Feature.SUSPENSION,
        Feature.CANCELLED_ENDS,
        Feature.SHARED_ENDS,
        Feature.INSTANCE_STATES,
        Feature.ROOT_INSTANCE,
        Feature.BUSINESS_KEY,
    }
)


class ExternalTaskEngine(TaskReports):
    """ServiceTasks, ProcessModels and ProcessHistory of an engine at an address.

    Nothing is wired: topics, prompts and assistants are read from the deployed models. Used as
    an async context manager, which closes the connections it opened.
    """

    def __init__(
        self,
        address: str,
        clock: Clock,
        identifiers: Identifiers,
        *,
        engine_id: str = "camunda7",
        access: Access | None = None,
        ca_file: Path | None = None,
        topics: Sequence[str] = (),
        worker_name: str = "dadm",
        ended_since: datetime | None = None,
        client: httpx2.AsyncClient | None = None,
    ) -> None:
        """Work the engine whose REST interface is at `address`.

        Args:
            address: As in `http://host/engine-rest`.
            clock: For pauses and lost polls; locks are judged by the engine's own.
            identifiers: For worker ids that nobody else has, or had.
            engine_id: Part of the name of every thread and turn.
            access: How requests are let in, if the engine asks.
            ca_file: Certificates that are believed beside this machine's own, in PEM form.
            topics: Whose tasks are worked, where the models are not to say it.
            worker_name: What people see as the worker's id begins with it.
            ended_since: Instances that ended before are not told.
            client: Connections to use in the place of own ones.

        Raises:
            SettingsError: `ca_file` is of no use.
        """
        self._client = client or new_client(
            access, clock, ca_file=ca_file, reply_seconds=REPLY_SECONDS
        )
        self._owns_client = client is None
        connection = EngineConnection(address, self._client, clock, identifiers)
        super().__init__(connection, VariableWriting())
        self._engine_id = engine_id
        self._library = ModelLibrary(connection, frozenset(topics))
        self._history = EngineHistory(connection, since=ended_since)
        worker = identifiers.new_id(worker_name)
        self._polling = TaskPolling(connection, self._library, self, clock, worker)

    async def __aenter__(self) -> Self:
        """Be ready; costs no request."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the connections."""
        if self._owns_client:
            await self._client.aclose()

    @property
    def engine_id(self) -> str:
        """The configured id of this engine."""
        return self._engine_id

    @property
    def features(self) -> frozenset[Feature]:
        """What engines of this family can do."""
        return FEATURES

    async def ping(self) -> str:
        """Say what answers at the address.

        Raises:
            EngineUnavailable: Nothing does, or no engine.
        """
        try:
            version = (await self._connection.get("/version")).get("version", "unknown")
        except Refused as refused:
            raise EngineUnavailable(refused.refusal.message) from refused
        return f"{self._connection.address} answers; its version is {version}"

    async def assistant_tasks(self) -> Sequence[AssistantTask]:
        """Give the AI tasks of every deployed version of a model; see ProcessModels."""
        return await self._library.assistant_tasks()

    async def fetch_and_lease(
        self,
        subscriptions: Sequence[TopicSubscription],
        *,
        max_tasks: int,
        request_timeout: timedelta,
    ) -> Sequence[LeasedTask]:
        """Lease tasks; see ServiceTasks for the contract."""
        return await self._polling.fetch_and_lease(
            subscriptions, max_tasks=max_tasks, request_timeout=request_timeout
        )

    async def ended_instances(self, *, after: int, limit: int) -> Sequence[EndedInstance]:
        """Give instances that ended behind a position; see ProcessHistory."""
        return await self._history.ended_instances(after=after, limit=limit)

    async def forget_ended(self, *, up_to: int) -> None:
        """Do not tell again what ended up to that position."""
        await self._history.forget_ended(up_to=up_to)

    async def instance_states(self, instance_ids: Collection[str]) -> Mapping[str, InstanceState]:
        """Say of instances what became of them; see ProcessHistory."""
        return await self._history.instance_states(instance_ids)
