"""Two replicas beside a real engine, one killed in the middle of a turn: nothing is lost or doubled."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, AsyncExitStack
from pathlib import Path
from typing import Protocol
from uuid import uuid4

import pytest

from dadm.adapters.engines.external_task.variables import read_variables
from dadm.domain.json import JsonObject
from dadm.ports.engine import EngineIncident, InstanceState, ProcessInstance
from tests.acceptance.crashes import SECONDS, SHORT_LEASES, assert_killed, process
from tests.acceptance.evidence import Door, evidence_of, opened, violations
from tests.acceptance.programs import DADM, Program, running
from tests.builders import NOON
from tests.engines.broker import Broker
from tests.engines.broker_records import BrokerRecords
from tests.engines.rest_engine import RestEngine
from tests.engines.zeebe_dialect import in_zeebe

pytestmark = [pytest.mark.engines, pytest.mark.timeout(600)]

TASKS = ("First", "Second", "Third")
INSTANCES = 4


class EngineSeen(Protocol):
    """A real engine, as far as the test starts instances in it and looks at them afterwards."""

    address: str

    async def begin(self, matter: str) -> str:
        """Start an instance of the process of these tasks; give its id."""
        ...

    async def completed(self, instance_id: str) -> tuple[JsonObject, list[str]]:
        """Wait until an instance is completed; give its variables, and its open incidents."""
        ...


class OnCamunda7(RestEngine):
    """Operaton or Camunda 7."""

    async def begin(self, matter: str) -> str:
        await self.deploy(_kept(process(TASKS)))
        return await self.start("p", variables={"matter": matter})

    async def completed(self, instance_id: str) -> tuple[JsonObject, list[str]]:
        async with asyncio.timeout(SECONDS):
            while (state := await self.state(instance_id)) == "ACTIVE":  # noqa: ASYNC110 - it is remote
                await asyncio.sleep(0.1)
        assert state == "COMPLETED"
        incidents = await self.get(f"/incident?processInstanceId={instance_id}")
        told = [each["incidentMessage"] for each in incidents]
        return read_variables(await RestEngine.variables(self, instance_id)), told


class OnCamunda8(Broker):
    """A broker of Camunda 8."""

    async def begin(self, matter: str) -> str:
        await self.deploy(in_zeebe(process(TASKS), tells_ends=True))
        return await self.start("p", variables={"matter": matter})

    async def completed(self, instance_id: str) -> tuple[JsonObject, list[str]]:
        await self.has_completed(instance_id)
        return await self.variables(instance_id), await self.incidents(instance_id)


@pytest.fixture(params=["operaton", "camunda7", "camunda8"])
async def engine(request: pytest.FixtureRequest) -> AsyncIterator[EngineSeen]:
    address = request.getfixturevalue(f"{request.param}_url")
    async with AsyncExitStack() as stack:
        if request.param == "camunda8":
            records: BrokerRecords = request.getfixturevalue("camunda8_records")
            broker = OnCamunda8(address, records)
            stack.push_async_callback(broker.close)
            yield broker
        else:
            rest = OnCamunda7(address)
            stack.push_async_callback(rest.close)
            yield rest


async def test_a_replica_killed_in_mid_turn_loses_and_doubles_nothing(
    engine: EngineSeen, simulator: Door, tmp_path: Path
) -> None:
    database_url = f"sqlite:///{tmp_path / 'dadm.db'}"

    def working(failpoint: str = "") -> AbstractContextManager[Program]:
        settings = {
            "DADM_DATABASE_URL": database_url,
            "DADM_ENGINE_URL": engine.address,
            "DADM_ENGINE__TOPICS": ",".join(TASKS),
            "DADM_FAILPOINT": failpoint,
            "OPENAI_API_KEY": "sk-of-nobody",
            "OPENAI_BASE_URL": f"{simulator.address}/v1",
            **SHORT_LEASES,
        }
        return running(DADM, "work", folder=tmp_path, settings=settings)

    with working("store.note_response:after:2") as doomed:
        instances = [await engine.begin(uuid4().hex) for _ in range(INSTANCES)]
        with working() as survivor:
            await asyncio.to_thread(assert_killed, doomed)
            found = {each: await engine.completed(each) for each in instances}
            survivor.terminate()
            assert survivor.wait(seconds=SECONDS) == 0

    async with opened(database_url) as database:
        seen = [
            await evidence_of(database, simulator, *_instance(each, *found[each]))
            for each in instances
        ]
    assert [violations(each, TASKS) for each in seen] == [[]] * INSTANCES
    assert [each.asked for each in seen] == [Counter(TASKS)] * INSTANCES
    assert sum(len(each.recovered) for each in seen) >= 1


def _instance(
    instance_id: str, variables: JsonObject, incidents: list[str]
) -> tuple[ProcessInstance, tuple[EngineIncident, ...]]:
    instance = ProcessInstance(
        instance_id=instance_id,
        definition_id="p:1",
        definition_key="p",
        business_key="",
        tenant="",
        state=InstanceState.COMPLETED,
        variables=variables,
        waiting_at=(),
        incident_count=len(incidents),
        started_at=NOON,
    )
    return instance, tuple(
        EngineIncident(
            incident_id=str(number),
            instance_id=instance_id,
            element_id="",
            task_id="",
            message=message,
            details="",
            created_at=NOON,
        )
        for number, message in enumerate(incidents)
    )


def _kept(document: bytes) -> bytes:
    """Have the engine keep the history of a process."""
    return document.replace(b"<bpmn:process ", b"<bpmn:process camunda:historyTimeToLive='1' ")
