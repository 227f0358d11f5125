"""Camunda8Engine: a Camunda 8 in all its roles."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx2

from dadm.adapters.engines.access import Access, new_client
from dadm.adapters.engines.camunda8.activation import JobActivation
from dadm.adapters.engines.camunda8.connection import REPLY_SECONDS, Camunda8Connection
from dadm.adapters.engines.camunda8.library import JobLibrary
from dadm.adapters.engines.camunda8.listened import ListenedEnds
from dadm.adapters.engines.camunda8.reports import JobReports
from dadm.adapters.engines.camunda8.runtime import Camunda8Runtime
from dadm.adapters.engines.camunda8.searched import SearchedEnds
from dadm.ports.clock import Clock, Identifiers
from dadm.ports.engine import (
    AssistantTask,
    EndedInstance,
    InstanceState,
    LeasedTask,
    TopicSubscription,
)
from dadm.ports.engine_features import Feature

FEATURES = frozenset({Feature.UNLOCK, Feature.RETRIES_IN_MODEL, Feature.OUTBOX})
SEARCH_FEATURES = frozenset({Feature.MODELS_TOLD, Feature.INSTANCE_STATES})
"""What there is besides from 8.8 on, with secondary storage."""
TOKEN_FEATURES = frozenset({Feature.FENCED_LEASE})
"""What there is besides from 8.10 on, where jobs come with lease tokens."""


class Camunda8Engine(JobReports):
    """ServiceTasks, ProcessModels and ProcessHistory of a Camunda 8 at an address.

    Ends are told by the listeners that models have. `searched_ends` is a history besides, which
    tells the others too where the server has search.

    Used as an async context manager: requests that are open at its end are waited for.
    """

    def __init__(
        self,
        address: str,
        clock: Clock,
        identifiers: Identifiers,
        *,
        engine_id: str = "camunda8",
        access: Access | None = None,
        ca_file: Path | None = None,
        topics: Sequence[str] = (),
        worker_name: str = "dadm",
        ended_since: datetime | None = None,
        client: httpx2.AsyncClient | None = None,
    ) -> None:
        """Work the engine whose REST interface is at `address`.

        Args:
            address: As in `http://host:8080/v2`.
            clock: For the timeouts of jobs, which have no owner but our word.
            identifiers: For the worker's name.
            engine_id: Part of the name of every thread and turn.
            access: How requests are let in, if the engine asks.
            ca_file: Certificates that are believed beside this machine's own, in PEM form.
            topics: Job types that are worked, where the server does not tell its models.
            worker_name: What people see as the worker begins with it.
            ended_since: Instances that ended before are not told by search.
            client: Connections to use in the place of own ones.

        Raises:
            SettingsError: `ca_file` is of no use.
        """
        self._client = client or new_client(
            access, clock, ca_file=ca_file, reply_seconds=REPLY_SECONDS
        )
        self._owns_client = client is None
        connection = Camunda8Connection(address, self._client)
        super().__init__(connection, clock)
        self._engine_id = engine_id
        worker = identifiers.new_id(worker_name)
        self._library = JobLibrary(connection, frozenset(topics))
        self._activation = JobActivation(connection, self._library, self, clock, worker)
        self.runtime = Camunda8Runtime(connection, clock)
        self._listened = ListenedEnds(connection, clock, worker)
        self.searched_ends = SearchedEnds(connection, clock, since=ended_since)

    async def __aenter__(self) -> Self:
        """Be ready; costs no request."""
        await self._activation.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let open requests end, give back what they bring, and close the connections."""
        try:
            await self._activation.__aexit__(kind, error, trace)
        finally:
            if self._owns_client:
                await self._client.aclose()

    @property
    def engine_id(self) -> str:
        """The configured id of this engine."""
        return self._engine_id

    @property
    def features(self) -> frozenset[Feature]:
        """What every version from 8.6 on can do, and what was found that this one can."""
        found = SEARCH_FEATURES if self.searched_ends.is_offered else frozenset()
        return FEATURES | found | (TOKEN_FEATURES if self._activation.gets_tokens else frozenset())

    async def ping(self) -> str:
        """Say what answers at the address.

        Raises:
            EngineUnavailable: Nothing does, or no gateway.
        """
        version = await self._library.version()
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
        return await self._activation.fetch_and_lease(
            subscriptions, max_tasks=max_tasks, request_timeout=request_timeout
        )

    async def ended_instances(self, *, after: int, limit: int) -> Sequence[EndedInstance]:
        """Give instances whose listeners told that they ended; see ProcessHistory."""
        return await self._listened.ended_instances(after=after, limit=limit)

    async def instance_states(self, instance_ids: Collection[str]) -> Mapping[str, InstanceState]:
        """Give the states that search knows; nothing where there is no search; see ProcessHistory."""
        return await self.searched_ends.instance_states(instance_ids)

    async def forget_ended(self, *, up_to: int) -> None:
        """Let the instances end whose ends were handled, up to that position."""
        await self._listened.forget_ended(up_to=up_to)
