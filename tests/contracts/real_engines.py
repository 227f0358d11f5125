"""Real engines as the contract suite asks for them: started and looked at from outside."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

from dadm.adapters.engines.camunda8 import Camunda8Engine
from dadm.adapters.engines.external_task import ExternalTaskEngine
from dadm.adapters.engines.external_task.variables import read_variables
from dadm.domain.json import JsonObject
from dadm.ports.clock import Clock, Identifiers
from dadm.ports.engine import LeasedTask
from tests.contracts.engines import EngineUnderTest, one_task
from tests.engines.broker import Broker
from tests.engines.rest_engine import RestEngine
from tests.engines.zeebe_dialect import in_zeebe

BRIEFLY = timedelta(milliseconds=400)


class ExternalTaskUnderTest(EngineUnderTest):
    """A real engine of the Camunda 7 family, and two clients of it."""

    def __init__(
        self, rest: RestEngine, clock: Clock, identifiers: Identifiers, *, has_json: bool
    ) -> None:
        self.rest = rest
        if has_json:
            # JSON is no Java list, where an engine has a type for it.
            self.second_price = "offer.prop('prices').elements().get(1).numberValue()"
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
        self,
        document: bytes,
        *,
        key: str = "p",
        variables: JsonObject | None = None,
        tells_its_end: bool = False,
        business_key: str = "",
    ) -> str:
        await self.rest.deploy(document)
        return await self.rest.start(key, variables=variables, business_key=business_key)

    async def variables(self, instance_id: str) -> JsonObject:
        return read_variables(await self.rest.variables(instance_id))

    async def incidents(self, instance_id: str) -> Sequence[str]:
        found = await self.rest.get(f"/incident?processInstanceId={instance_id}")
        return [incident["incidentMessage"] for incident in found]

    async def cancel(self, instance_id: str) -> None:
        await self.rest.delete(f"/process-instance/{instance_id}")

    async def retry(self, task: LeasedTask, retries: int) -> None:
        await self.rest.put(f"/external-task/{task.task_id}/retries", {"retries": retries})

    async def suspend(self, instance_id: str) -> bool:
        await self.rest.put(f"/process-instance/{instance_id}/suspended", {"suspended": True})
        return True

    async def resume(self, instance_id: str) -> None:
        await self.rest.put(f"/process-instance/{instance_id}/suspended", {"suspended": False})


class Camunda8UnderTest(EngineUnderTest):
    """A real broker of Camunda 8 without tenants, and two clients of it that were entered."""

    patience = timedelta(seconds=6)
    """It looks once a second whose timeout has passed, and goes on behind its replies."""
    has_tenants = False

    def __init__(self, broker: Broker, engine: Camunda8Engine, other: Camunda8Engine) -> None:
        self.broker = broker
        self._runtime = engine.runtime
        self.engine = engine
        self.other = other

    async def offer(
        self,
        topic: str = "alpha",
        *,
        key: str = "p",
        tenant: str = "",
        priority: int = 0,
        variables: JsonObject | None = None,
    ) -> str:
        document = in_zeebe(one_task(topic, key=key, priority=priority), tells_ends=True)
        if tenant:
            await self._runtime.deploy({"model.bpmn": document}, tenant=tenant)
        await self.broker.deploy(document)
        return await self.broker.start(key, variables=variables)

    async def start(
        self,
        document: bytes,
        *,
        key: str = "p",
        variables: JsonObject | None = None,
        tells_its_end: bool = False,
        business_key: str = "",
    ) -> str:
        await self.broker.deploy(in_zeebe(document, tells_ends=tells_its_end, sees_all=True))
        return await self.broker.start(key, variables=variables)

    async def take_briefly(self, topic: str = "alpha") -> LeasedTask:
        # None is handed on whose timeout has passed on the way.
        task = await self.take(topic, lease=BRIEFLY)
        await asyncio.sleep(BRIEFLY.total_seconds())
        return task

    async def variables(self, instance_id: str) -> JsonObject:
        return await self.broker.variables(instance_id)

    async def incidents(self, instance_id: str) -> Sequence[str]:
        return await self.broker.incidents(instance_id)

    async def cancel(self, instance_id: str) -> None:
        await self.broker.cancel(instance_id)

    async def retry(self, task: LeasedTask, retries: int) -> None:
        await self.broker.retry(task.task_id, retries)

    async def suspend(self, instance_id: str) -> bool:
        return await self.broker.can_suspend(instance_id)
