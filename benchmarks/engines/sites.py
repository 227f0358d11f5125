"""The engines that are measured on: how each is started and used, and what its replies say."""

import asyncio
import json
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import httpx2

from benchmarks.engines.meter import Dialect, HandedOut
from benchmarks.engines.models import FACTS, KEY, TOPICS, camunda7_model, camunda8_model
from dadm.adapters.engines.camunda8 import Camunda8Engine
from dadm.adapters.engines.external_task import ExternalTaskEngine
from dadm.adapters.system_clock import RandomIdentifiers, SystemClock
from dadm.settings import Settings
from tests.engines.distributions import CAMUNDA_8, OPERATON
from tests.engines.running import running_broker, running_engine

LEASE_MILLISECONDS = 30_000
POLL_SECONDS = 2.0
COMES_BACK = frozenset({429, 503})
PAUSE_SECONDS = 0.1
TASKS_PER_FETCH = 50
"""As dadm's orchestrator asks, so that all workers ask alike."""


class Site(Dialect, Protocol):
    """An engine at an address."""

    address: str

    async def deploy(self, client: httpx2.AsyncClient) -> None:
        """Have the engine know the process."""
        ...

    async def start(self, client: httpx2.AsyncClient) -> str:
        """Start an instance and give its id."""
        ...

    def polls(self, worker: str) -> list[tuple[str, dict[str, Any]]]:
        """Give path and body of every request that a worker holds open."""
        ...

    def completion(self, task_id: str, worker: str, answer: str) -> tuple[str, dict[str, Any]]:
        """Give path and body of a completion."""
        ...

    def engine(
        self, settings: Settings, client: httpx2.AsyncClient
    ) -> ExternalTaskEngine | Camunda8Engine:
        """Give dadm's own client of this engine, made as `dadm work` makes it."""
        ...


class OperatonSite:
    """An Operaton, with its database in memory."""

    def __init__(self, address: str) -> None:
        self.address = address

    async def deploy(self, client: httpx2.AsyncClient) -> None:
        files = {"bench.bpmn": ("bench.bpmn", camunda7_model())}
        data = {"deployment-name": KEY}
        (
            await client.post(f"{self.address}/deployment/create", data=data, files=files)
        ).raise_for_status()

    async def start(self, client: httpx2.AsyncClient) -> str:
        variables = {name: {"type": "String", "value": value} for name, value in FACTS.items()}
        at = f"{self.address}/process-definition/key/{KEY}/start"
        return str((await posted(client, at, {"variables": variables})).json()["id"])

    def polls(self, worker: str) -> list[tuple[str, dict[str, Any]]]:
        topics = [{"topicName": topic, "lockDuration": LEASE_MILLISECONDS} for topic in TOPICS]
        return [
            (
                "/external-task/fetchAndLock",
                {
                    "workerId": worker,
                    "maxTasks": TASKS_PER_FETCH,
                    "asyncResponseTimeout": int(POLL_SECONDS * 1000),
                    "topics": topics,
                },
            )
        ]

    def completion(self, task_id: str, worker: str, answer: str) -> tuple[str, dict[str, Any]]:
        variables = {"recommendation": {"type": "String", "value": answer}}
        body = {"workerId": worker, "variables": variables}
        return f"/external-task/{task_id}/complete", body

    def handed_out(self, path: str, reply: bytes) -> list[HandedOut]:
        if not path.endswith("/external-task/fetchAndLock"):
            return []
        return [HandedOut(row["id"], row["processInstanceId"]) for row in json.loads(reply)]

    def completed(self, path: str) -> str | None:
        found = re.search(r"/external-task/([^/]+)/complete$", path)
        return found[1] if found else None

    def engine(self, settings: Settings, client: httpx2.AsyncClient) -> ExternalTaskEngine:
        return ExternalTaskEngine(
            settings.engine_url,
            SystemClock(),
            RandomIdentifiers(),
            engine_id=settings.engine_id,
            ended_since=SystemClock().now(),
            client=client,
        )


class Camunda8Site:
    """A broker of Camunda 8 with its gateway, one partition, and no exporter."""

    def __init__(self, address: str) -> None:
        self.address = address

    async def deploy(self, client: httpx2.AsyncClient) -> None:
        files = {"resources": ("bench.bpmn", camunda8_model())}
        (await client.post(f"{self.address}/deployments", files=files)).raise_for_status()

    async def start(self, client: httpx2.AsyncClient) -> str:
        body = {"processDefinitionId": KEY, "variables": FACTS}
        reply = await posted(client, f"{self.address}/process-instances", body)
        return str(reply.json()["processInstanceKey"])

    def polls(self, worker: str) -> list[tuple[str, dict[str, Any]]]:
        return [
            (
                "/jobs/activation",
                {
                    "type": topic,
                    "worker": worker,
                    "timeout": LEASE_MILLISECONDS,
                    "maxJobsToActivate": TASKS_PER_FETCH,
                    "requestTimeout": int(POLL_SECONDS * 1000),
                },
            )
            for topic in TOPICS
        ]

    def completion(self, task_id: str, worker: str, answer: str) -> tuple[str, dict[str, Any]]:
        del worker
        return f"/jobs/{task_id}/completion", {"variables": {"recommendation": answer}}

    def handed_out(self, path: str, reply: bytes) -> list[HandedOut]:
        if not path.endswith("/jobs/activation"):
            return []
        jobs = json.loads(reply).get("jobs", ())
        return [HandedOut(str(job["key"]), str(job["processInstanceKey"])) for job in jobs]

    def completed(self, path: str) -> str | None:
        found = re.search(r"/jobs/([^/]+)/completion$", path)
        return found[1] if found else None

    def engine(self, settings: Settings, client: httpx2.AsyncClient) -> Camunda8Engine:
        return Camunda8Engine(
            settings.engine_url,
            SystemClock(),
            RandomIdentifiers(),
            engine_id=settings.engine_id,
            topics=settings.engine.topics,
            client=client,
        )


async def posted(client: httpx2.AsyncClient, address: str, body: object) -> httpx2.Response:
    """Post until it is taken: an engine that is pressed hard says now and then to come back."""
    while True:
        reply = await client.post(address, json=body)
        if reply.status_code not in COMES_BACK:
            return reply.raise_for_status()
        await asyncio.sleep(PAUSE_SECONDS)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of engine: what it is called, what speaks to one, and what starts one."""

    title: str
    site_at: Callable[[str], Site]
    running: Callable[[Path], AbstractContextManager[str]]


ENGINES = {
    "operaton": Kind(OPERATON.title, OperatonSite, partial(running_engine, OPERATON)),
    "camunda8": Kind(CAMUNDA_8.title, Camunda8Site, running_broker),
}
