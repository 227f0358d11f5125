"""An engine of the Camunda 7 family for tests: deployed to, started and looked at over its REST."""

import base64
from typing import Any

import httpx2

from dadm.adapters.engines.external_task.variables import VariableWriting
from dadm.domain.json import JsonObject


class RestEngine:
    """What a person or another program does to an engine, for the length of one test."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.client = httpx2.AsyncClient(base_url=address, timeout=30)
        self._writing = VariableWriting()

    async def close(self) -> None:
        """Leave the engine as it was found: without deployments, instances and history."""
        for deployment in await self.get("/deployment"):
            # An output mapping runs for a task that is cancelled too, and may fail then.
            gone = f"/deployment/{deployment['id']}?cascade=true&skipIoMappings=true"
            await self._asked("DELETE", gone)
        await self.client.aclose()

    async def deploy(self, document: bytes, *, tenant: str = "", name: str = "model.bpmn") -> None:
        data = {"deployment-name": name, "enable-duplicate-filtering": "true"}
        if tenant:
            data["tenant-id"] = tenant
        await self._asked("POST", "/deployment/create", data=data, files={name: (name, document)})

    async def start(
        self,
        key: str,
        *,
        variables: JsonObject | None = None,
        tenant: str = "",
        business_key: str = "",
    ) -> str:
        """Start an instance and give its id; variables are written as the adapter writes them."""
        at = f"/process-definition/key/{key}"
        if tenant:
            at += f"/tenant-id/{tenant}"
        # As every engine takes it, whether or not it has the JSON plugin.
        self._writing._has_json = False
        body = {"variables": self._writing.write(variables or {}), "businessKey": business_key}
        started = await self.post(f"{at}/start", body)
        instance_id: str = started["id"]
        return instance_id

    async def variables(self, instance_id: str) -> dict[str, Any]:
        """Give the typed values of an instance, running or ended, by name."""
        rows = await self.get(
            f"/history/variable-instance?processInstanceId={instance_id}&deserializeValues=false"
        )
        for row in rows:
            if row["type"] == "Bytes":
                # The list holds none.
                data = await self._asked("GET", f"/history/variable-instance/{row['id']}/data")
                row["value"] = base64.b64encode(data.content).decode()
        return {row["name"]: row for row in rows}

    async def state(self, instance_id: str) -> str:
        state: str = (await self.get(f"/history/process-instance/{instance_id}"))["state"]
        return state

    async def get(self, path: str) -> Any:
        return (await self._asked("GET", path)).json()

    async def post(self, path: str, body: Any) -> Any:
        reply = await self._asked("POST", path, json=body)
        return reply.json() if reply.content else None

    async def put(self, path: str, body: Any) -> None:
        await self._asked("PUT", path, json=body)

    async def delete(self, path: str) -> None:
        await self._asked("DELETE", path)

    async def _asked(self, method: str, path: str, **more: Any) -> httpx2.Response:
        reply = await self.client.request(method, path, **more)
        assert reply.is_success, f"{method} {path}: {reply.status_code} {reply.text}"
        return reply
