"""Camunda8Runtime: deploying and starting processes, and what else the REST of every version can."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NoReturn
from urllib.parse import quote

import httpx2

from dadm.adapters.engines.camunda8.connection import Camunda8Connection, Refused
from dadm.adapters.engines.camunda8.jobs import NO_TENANT
from dadm.adapters.engines.camunda8.values import storable
from dadm.domain.errors import EngineRejected, InvalidModel, UnknownProcess
from dadm.domain.json import JsonObject, JsonValue
from dadm.ports.clock import Clock
from dadm.ports.engine import (
    EngineIncident,
    InstanceState,
    ProcessDefinition,
    ProcessInstance,
    UserTask,
)

ELSEWHERE = (
    "The interface that every version of Camunda 8 has cannot do this; use Operate, Tasklist or "
    "the engine's own client."
)


class Camunda8Runtime:
    """Deploys, starts and cancels. What wants search, which 8.6 has not, is refused by name."""

    def __init__(self, connection: Camunda8Connection, clock: Clock) -> None:
        """Ask over `connection`; the gateway does not say when it did something."""
        self._connection = connection
        self._clock = clock

    async def deploy(
        self, documents: Mapping[str, bytes], *, tenant: str = ""
    ) -> Sequence[ProcessDefinition]:
        """Deploy files; see ProcessRuntime."""
        data = {"tenantId": tenant} if tenant else {}
        try:
            reply = await self._connection.upload("/deployments", dict(documents), data)
        except Refused as refused:
            if refused.status == httpx2.codes.BAD_REQUEST:
                raise InvalidModel(refused.detail) from refused
            raise EngineRejected(refused.detail) from refused
        now = self._clock.now()
        return tuple(
            _definition(each, now)
            for deployed in reply.get("deployments") or ()
            # 8.6 and later versions name it differently.
            for each in (deployed.get("processDefinition") or deployed.get("process"),)
            if each
        )

    async def start(
        self,
        key: str,
        *,
        variables: JsonObject,
        business_key: str = "",
        tenant: str = "",
    ) -> ProcessInstance:
        """Start an instance of the latest version of `key`; see ProcessRuntime."""
        body: dict[str, Any] = {"processDefinitionId": key, "variables": storable(variables)}
        if tenant:
            body["tenantId"] = tenant
        if business_key:
            # Known from 8.10 on.
            body["businessId"] = business_key
        begun = self._clock.now()
        try:
            reply = await self._connection.post("/process-instances", body)
        except Refused as refused:
            self._raise_for(refused)
        given_tenant = str(reply.get("tenantId") or "")
        return ProcessInstance(
            instance_id=str(reply["processInstanceKey"]),
            definition_id=str(reply.get("processDefinitionKey", "")),
            definition_key=str(reply.get("processDefinitionId", key)),
            business_key=business_key,
            tenant="" if given_tenant == NO_TENANT else given_tenant,
            state=InstanceState.ACTIVE,
            variables=variables,
            waiting_at=(),
            incident_count=0,
            started_at=begun,
        )

    async def cancel(self, instance_id: str) -> None:
        """End an instance now; see ProcessRuntime."""
        path = f"/process-instances/{quote(instance_id, safe='')}/cancellation"
        try:
            await self._connection.post(path, {})
        except Refused as refused:
            self._raise_for(refused)

    async def definitions(self) -> Sequence[ProcessDefinition]:
        """Refuse: it wants search."""
        raise EngineRejected(ELSEWHERE)

    async def instances(
        self, *, state: InstanceState | None = None, limit: int = 100
    ) -> Sequence[ProcessInstance]:
        """Refuse: it wants search."""
        del state, limit
        raise EngineRejected(ELSEWHERE)

    async def instance(self, instance_id: str) -> ProcessInstance:
        """Refuse: it wants search."""
        del instance_id
        raise EngineRejected(ELSEWHERE)

    async def user_tasks(self, *, limit: int = 100) -> Sequence[UserTask]:
        """Refuse: it wants search."""
        del limit
        raise EngineRejected(ELSEWHERE)

    async def complete_user_task(self, task_id: str, *, variables: JsonObject) -> None:
        """Refuse: people have Tasklist for it."""
        del task_id, variables
        raise EngineRejected(ELSEWHERE)

    async def correlate_message(
        self, name: str, *, instance_id: str = "", variables: JsonObject
    ) -> int:
        """Refuse: messages go to a correlation key here, not to an instance."""
        del name, instance_id, variables
        raise EngineRejected(ELSEWHERE)

    async def incidents(self, *, limit: int = 100) -> Sequence[EngineIncident]:
        """Refuse: it wants search."""
        del limit
        raise EngineRejected(ELSEWHERE)

    async def retry_incident(
        self, incident_id: str, *, variables: Mapping[str, JsonValue], retries: int = 3
    ) -> None:
        """Refuse: whoever sees incidents resolves them there."""
        del incident_id, variables, retries
        raise EngineRejected(ELSEWHERE)

    def _raise_for(self, refused: Refused) -> NoReturn:
        if refused.status == httpx2.codes.NOT_FOUND:
            raise UnknownProcess(refused.detail) from refused
        raise EngineRejected(refused.detail) from refused


def _definition(deployed: Mapping[str, Any], at: datetime) -> ProcessDefinition:
    tenant = str(deployed.get("tenantId") or "")
    key = str(deployed.get("processDefinitionId", ""))
    return ProcessDefinition(
        definition_id=str(deployed.get("processDefinitionKey", "")),
        key=key,
        version=int(deployed.get("processDefinitionVersion") or 0),
        name=key,
        deployed_at=at,
        tenant="" if tenant == NO_TENANT else tenant,
    )
