"""A wire with a scripted engine at its far end: what the adapter sent, and what it is answered."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, TypeAlias

import httpx2

from dadm.adapters.engines.external_task import ExternalTaskEngine
from dadm.ports.engine import LeasedTask
from tests.builders import make_leased_task
from tests.clocks import Numbers

ADDRESS = "http://engine.test/engine-rest"
DONE = httpx2.Response(204)
Reply: TypeAlias = "httpx2.Response | BaseException"


class StandingClock:
    """Goes on only when a test says so, or something sleeps."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> datetime:
        return datetime(2030, 1, 1, tzinfo=UTC)

    def monotonic(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        self.seconds += seconds


class Wire:
    """Answers requests to a path by its replies, the last of them for ever."""

    def __init__(self, replies: dict[str, list[Reply]]) -> None:
        # Nobody has called the instance, unless a test says so.
        self._replies: dict[str, list[Reply]] = {"GET /process-instance": [rows()], **replies}
        self.requests: list[httpx2.Request] = []
        self.clock = StandingClock()

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        path = request.url.path.removeprefix("/engine-rest")
        replies = self._replies[f"{request.method} {path}"]
        reply = replies.pop(0) if len(replies) > 1 else replies[0]
        if isinstance(reply, BaseException):
            raise reply
        return httpx2.Response(reply.status_code, headers=reply.headers, content=reply.content)

    @property
    def sent(self) -> list[str]:
        """The requests in short."""
        return [
            f"{request.method} {request.url.path.removeprefix('/engine-rest')}"
            for request in self.requests
        ]

    def body(self, at: int = -1) -> Any:
        """The JSON of a request."""
        return json.loads(self.requests[at].content)


@asynccontextmanager
async def engine_over(wire: Wire, **settings: Any) -> AsyncIterator[ExternalTaskEngine]:
    async with httpx2.AsyncClient(transport=httpx2.MockTransport(wire)) as client:
        yield ExternalTaskEngine(ADDRESS, wire.clock, Numbers(), client=client, **settings)


def refusal(
    status: int, message: str = "No.", *, code: int | None = 0, kind: str = "RestException"
) -> httpx2.Response:
    """Give a refusal as these engines write it."""
    return httpx2.Response(status, json={"type": kind, "message": message, "code": code})


def rows(*found: dict[str, Any]) -> httpx2.Response:
    return httpx2.Response(200, json=list(found))


def locked_task(**changes: Any) -> dict[str, Any]:
    """Give a task as an engine hands it out."""
    return {
        "id": "t1",
        "topicName": "alpha",
        "activityId": "Task_1",
        "processInstanceId": "i1",
        "processDefinitionId": "p:1:x",
        "processDefinitionKey": "p",
        "lockExpirationTime": "2026-11-29T01:20:27.099+0000",
        "businessKey": None,
        "tenantId": None,
        "retries": None,
        "priority": 0,
        "workerId": "w",
        "variables": {},
        "extensionProperties": {},
    } | changes


def task(**changes: Any) -> LeasedTask:
    return make_leased_task("t1", lease="w", **changes)


def model_reply(document: bytes) -> httpx2.Response:
    return httpx2.Response(200, json={"id": "p:1:x", "bpmn20Xml": document.decode()})


def paths(**replies: list[Reply]) -> dict[str, list[Reply]]:
    """Name the replies of a task's calls: `complete=[…]` is those to its completion."""
    at = "/external-task/t1"
    return {
        (f"GET {at}" if name == "state" else f"POST {at}/{name}"): given
        for name, given in replies.items()
    }
