"""RemoteAssistantService: another DADM's OpenAI Service answers the tasks, over HTTP."""

import json
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from types import MappingProxyType, TracebackType
from typing import Any, Self

import httpx2
from pydantic import BaseModel, ValidationError

from dadm.domain import errors
from dadm.domain.errors import (
    BackendMisconfigured,
    BackendUnavailable,
    DadmError,
    InvalidTask,
    OutcomeUnknown,
    ServiceUnavailable,
    UnknownAssistant,
)
from dadm.domain.json import JsonObject
from dadm.domain.task import ServiceTask
from dadm.domain.thread import Usage
from dadm.ports.assistant_service import TaskAnswer, ThreadChange

TURN_PATIENCE_SECONDS = 50.0
"""How long one request waits before the same task is passed again; below what proxies allow."""

ALIVE_SECONDS = 10.0
"""How long a service that is alive takes at most to say so."""


def _every(kind: type[DadmError]) -> Iterator[type[DadmError]]:
    yield kind
    for narrower in kind.__subclasses__():
        if narrower.__module__ == errors.__name__:
            yield from _every(narrower)


ERROR_OF: Mapping[str, type[DadmError]] = MappingProxyType(
    {kind.code: kind for kind in _every(DadmError)}
    | {
        "malformed_request": InvalidTask,
        "body_too_large": InvalidTask,
        "unauthorized": BackendMisconfigured,
        "cross_site": BackendMisconfigured,
        "not_found": BackendMisconfigured,
        "method_not_allowed": BackendMisconfigured,
        "internal_error": OutcomeUnknown,
    }
)
"""The error that each code of a problem document stands for."""

ERROR_OF_STATUS: Mapping[int, type[DadmError]] = MappingProxyType(
    {413: InvalidTask} | dict.fromkeys((429, 502, 503, 504), ServiceUnavailable)
)
"""The error that a reply without a problem document stands for, from something in between.

Any other below 500 means that the address or the token is wrong; any other is unknown.
"""


class _Result(BaseModel):
    assistant_id: str
    processed_at: datetime
    processed_by: str
    recommendation: str
    thread_id: str


class _Turn(BaseModel):
    id: str
    sequence: int
    replayed: bool
    recovered: bool
    structured: bool


class _Usage(BaseModel):
    input_tokens: int
    output_tokens: int
    cached_tokens: int


class _Thread(BaseModel):
    generation: int
    change: ThreadChange
    previous_thread_id: str | None
    copied_messages: int


class _Assistant(BaseModel):
    version: str


class _Reply(BaseModel):
    task_id: str
    result: _Result
    turn: _Turn
    usage: _Usage
    thread: _Thread
    assistant: _Assistant


class RemoteAssistantService:
    """Passes tasks to the OpenAI Service at an address; an AssistantService.

    A task is never asked twice by passing it twice, so where a reply takes longer than a
    connection may stay silent, the same task is simply passed again and joins its own turn. For
    the same reason a connection that breaks says only that the service is not there for now.

    Used as an async context manager, which closes the connections it opened.
    """

    def __init__(
        self,
        base_url: str,
        token: str = "",
        *,
        client: httpx2.AsyncClient | None = None,
        patience_seconds: float = TURN_PATIENCE_SECONDS,
    ) -> None:
        """Call the service at `base_url` with `token`, over `client` if there is one."""
        self._base_url = base_url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._client = client or _new_client(patience_seconds)
        self._owns_client = client is None
        self._known: set[str] = set()

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

    async def process_task(self, task: ServiceTask) -> TaskAnswer:
        """Give the task's answer; see AssistantService for the contract."""
        body = _encoded(_body_of(task))
        while True:
            try:
                response = await self._send("POST", "/process_task", content=body)
            except httpx2.ReadTimeout:
                # The turn goes on there as long as somebody is there.
                await self._look("GET", "/health", timeout=ALIVE_SECONDS)
                continue
            break
        self._raise_problem(response, task.assistant)
        try:
            reply = _Reply.model_validate_json(response.content)
        except ValidationError as error:
            raise self._not_a_service("gave a reply that is no answer") from error
        return _answer_of(reply)

    async def knows_assistant(self, name: str) -> bool:
        """Whether the service knows an assistant of that name; a yes is remembered."""
        if name not in self._known:
            response = await self._look("GET", "/assistants", params={"name": name})
            try:
                found = response.json()["assistants"]
            except (ValueError, KeyError, TypeError) as error:
                raise self._not_a_service("does not list assistants") from error
            if not found:
                return False
            self._known.add(name)
        return True

    async def refuse_if_away(self) -> None:
        """Ask whether the service takes turns."""
        await self._look("GET", "/ready", timeout=ALIVE_SECONDS)

    async def outcome_reported(self, task: ServiceTask) -> None:
        """Record that the engine has the outcome of this task's settled turn."""
        await self._look("POST", "/turns/reported", content=_encoded(_identity_of(task)))

    async def withdraw_task(self, task: ServiceTask) -> None:
        """Say that a task is gone, so that its model's run is stopped."""
        await self._look("POST", "/turns/withdrawn", content=_encoded(_identity_of(task)))

    async def _look(self, method: str, path: str, **more: Any) -> httpx2.Response:
        try:
            response = await self._send(method, path, **more)
        except httpx2.ReadTimeout as error:
            msg = f"The assistant service at {self._base_url} gave no answer in time."
            raise ServiceUnavailable(msg) from error
        self._raise_problem(response)
        return response

    async def _send(self, method: str, path: str, **more: Any) -> httpx2.Response:
        headers = {**self._headers, "Content-Type": "application/json"}
        try:
            return await self._client.request(
                method, self._base_url + path, headers=headers, **more
            )
        except httpx2.ReadTimeout:
            raise
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            msg = f"The assistant service at {self._base_url} is not reachable: {error}."
            raise ServiceUnavailable(msg) from error
        except httpx2.UnsupportedProtocol as error:
            msg = f"DADM_SERVICE_URL is not an address of the web: {self._base_url!r}."
            raise BackendMisconfigured(msg) from error
        except httpx2.TransportError as error:
            msg = f"The assistant service at {self._base_url} broke off: {error!r}."
            raise ServiceUnavailable(msg) from error

    def _raise_problem(self, response: httpx2.Response, assistant: str = "") -> None:
        if response.is_success:
            return
        document = _problem_in(response)
        kind = ERROR_OF.get(str(document.get("code")))
        detail = str(document.get("detail", ""))
        if kind is None:
            kind = ERROR_OF_STATUS.get(response.status_code) or (
                BackendMisconfigured
                if response.status_code < httpx2.codes.INTERNAL_SERVER_ERROR
                else OutcomeUnknown
            )
            detail = f"{self._base_url} replied {response.status_code} {response.reason_phrase}."
        if kind is BackendMisconfigured and document.get("code") != kind.code:
            detail += " Set DADM_SERVICE_URL to a DADM service and DADM_SERVICE_TOKEN to its token."
        if kind is UnknownAssistant:
            raise UnknownAssistant(assistant, tuple(document.get("known_assistants", ())))
        if issubclass(kind, BackendUnavailable | OutcomeUnknown | ServiceUnavailable):
            raise kind(detail, retry_after=_retry_after(response))
        raise kind(detail)

    def _not_a_service(self, what: str) -> OutcomeUnknown:
        return OutcomeUnknown(f"{self._base_url} {what}: is it a DADM service of this version?")


def _new_client(patience_seconds: float) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(
        timeout=httpx2.Timeout(10.0, read=patience_seconds, pool=None),
        # Many tasks wait at once for few threads; how many is bounded where tasks are taken.
        limits=httpx2.Limits(max_connections=None, max_keepalive_connections=100),
    )


def _identity_of(task: ServiceTask) -> dict[str, Any]:
    return {
        "task_id": task.task_id,
        "process_instance_id": task.process_instance_id,
        "engine": task.engine,
        "tenant": task.tenant,
        "scope": task.scope,
    }


def _body_of(task: ServiceTask) -> dict[str, Any]:
    return {
        **_identity_of(task),
        "task_description": task.description if task.description.strip() else task.documentation,
        "task_name": task.task_name,
        "task_documentation": task.documentation,
        "variables": task.variables,
        "assistant": task.assistant,
        "element_id": task.element_id,
        "process_definition": task.process_definition,
        "mapped_variables": None if task.mapped is None else list(task.mapped),
        "own_answers": sorted(task.own_answers),
        "variable_selection": str(task.selection),
        "answer_schema": task.answer_schema,
    }


def _encoded(body: JsonObject) -> bytes:
    try:
        return json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
    except ValueError as error:
        msg = f"The task holds what JSON cannot carry: {error}."
        raise InvalidTask(msg) from error


def _answer_of(reply: _Reply) -> TaskAnswer:
    return TaskAnswer(
        task_id=reply.task_id,
        turn_id=reply.turn.id,
        recommendation=reply.result.recommendation,
        assistant_id=reply.result.assistant_id,
        assistant_version=reply.assistant.version,
        thread_id=reply.result.thread_id,
        generation=reply.thread.generation,
        change=reply.thread.change,
        previous_thread_id=reply.thread.previous_thread_id or "",
        copied_messages=reply.thread.copied_messages,
        sequence=reply.turn.sequence,
        is_replayed=reply.turn.replayed,
        is_recovered=reply.turn.recovered,
        usage=Usage(
            input_tokens=reply.usage.input_tokens,
            output_tokens=reply.usage.output_tokens,
            cached_tokens=reply.usage.cached_tokens,
        ),
        processed_at=reply.result.processed_at,
        processed_by=reply.result.processed_by,
        has_structure=reply.turn.structured,
    )


def _problem_in(response: httpx2.Response) -> dict[str, Any]:
    try:
        document = response.json()
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _retry_after(response: httpx2.Response) -> timedelta | None:
    seconds = response.headers.get("retry-after", "")
    return timedelta(seconds=int(seconds)) if seconds.isdecimal() else None
