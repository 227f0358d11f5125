"""A broker of Camunda 8 for tests: deployed to, started and looked at from outside."""

import asyncio
import itertools
from typing import Any

import httpx2

from dadm.domain.json import JsonObject
from tests.engines.broker_records import BrokerRecords

SIGNALS = itertools.count(1)


class Broker:
    """What a person or another program does to a broker, for the length of one test."""

    def __init__(self, address: str, records: BrokerRecords) -> None:
        self.address = address
        self.client = httpx2.AsyncClient(base_url=address, timeout=60)
        self._records = records
        self._started: list[str] = []

    async def close(self) -> None:
        """Leave no instance behind that was started here."""
        for instance_id in self._started:
            reply = await self.client.post(
                f"/process-instances/{instance_id}/cancellation", json={}
            )
            # Most have ended.
            assert reply.is_success or reply.status_code == httpx2.codes.NOT_FOUND, reply.text
        await self.client.aclose()

    async def deploy(self, document: bytes) -> None:
        await self._asked("POST", "/deployments", files=[("resources", ("model.bpmn", document))])

    async def start(self, key: str, *, variables: JsonObject | None = None) -> str:
        """Start an instance of the latest version and give its id."""
        body = {"processDefinitionId": key, "variables": variables or {}}
        started = (await self._asked("POST", "/process-instances", json=body)).json()
        instance_id = str(started["processInstanceKey"])
        self._started.append(instance_id)
        return instance_id

    async def set_variables(self, instance_id: str, variables: JsonObject) -> None:
        path = f"/element-instances/{instance_id}/variables"
        await self._asked("PUT", path, json={"variables": variables})

    async def cancel(self, instance_id: str) -> None:
        await self._asked("POST", f"/process-instances/{instance_id}/cancellation", json={})

    async def can_suspend(self, instance_id: str) -> bool:
        """Whether there is a way to suspend an instance, as there is one to cancel it."""
        path = f"/process-instances/{instance_id}/suspension"
        return (await self.client.post(path, json={})).status_code != httpx2.codes.NOT_FOUND

    async def retry(self, job_key: str, retries: int) -> None:
        """Give a job retries and resolve its incident, as Operate does."""
        await self._told()
        await self._asked("PATCH", f"/jobs/{job_key}", json={"changeset": {"retries": retries}})
        (incident,) = [
            each for each in self._records.all_incidents() if str(each["jobKey"]) == job_key
        ]
        await self._asked("POST", f"/incidents/{incident['key']}/resolution", json={})
        await self._told()

    async def variables(self, instance_id: str) -> dict[str, Any]:
        """Give the variables of an instance, running or ended."""
        await self._told()
        return self._records.variables(instance_id)

    async def incidents(self, instance_id: str) -> list[str]:
        """Give the messages of an instance's open incidents."""
        await self._told()
        return [each["errorMessage"] for each in self._records.incidents(instance_id)]

    async def state(self, instance_id: str) -> str:
        """Give where an instance is in its life, in the broker's word."""
        await self._told()
        return self._records.state(instance_id)

    async def has_completed(self, instance_id: str) -> None:
        """Wait until an instance has come to its end."""
        await asyncio.to_thread(self._records.wait_for_state, instance_id, "COMPLETED")

    async def _told(self) -> None:
        """Wait until all that happened so far has been told: a signal has its place among it."""
        name = f"told{next(SIGNALS)}"
        await self._asked("POST", "/signals/broadcast", json={"signalName": name})
        await asyncio.to_thread(self._records.wait_for_signal, name)

    async def _asked(self, method: str, path: str, **more: Any) -> httpx2.Response:
        reply = await self.client.request(method, path, **more)
        assert reply.is_success, f"{method} {path}: {reply.status_code} {reply.text}"
        return reply
