"""Checks JSON against the official SDK's types without forgiving anything, unlike the SDK itself."""

import json
import re
from types import NoneType, TracebackType, UnionType
from typing import Annotated, Any, Literal, Self, Union, cast, get_args, get_origin

import httpx2
from openai.types import Model
from openai.types.conversations import (
    Conversation,
    ConversationDeletedResource,
    ConversationItem,
    ConversationItemList,
)
from openai.types.responses import Response, ResponseItemList, ResponseStreamEvent
from pydantic import BaseModel


class ModelList(BaseModel):
    object: Literal["list"]
    data: list[Model]


class DeletedResponse(BaseModel):
    """The SDK throws this reply away unread; the fields are those of the API's documentation."""

    id: str
    object: Literal["response"]
    deleted: bool


class ErrorInside(BaseModel):
    message: str
    type: str
    param: str | None
    code: str | None


class ErrorReply(BaseModel):
    error: ErrorInside


REPLIES: list[tuple[str, str, Any]] = [
    ("POST", r"/v1/conversations", Conversation),
    ("GET|POST", r"/v1/conversations/[^/]+", Conversation),
    ("DELETE", r"/v1/conversations/[^/]+", ConversationDeletedResource),
    ("GET|POST", r"/v1/conversations/[^/]+/items", ConversationItemList),
    ("GET", r"/v1/conversations/[^/]+/items/[^/]+", ConversationItem),
    ("DELETE", r"/v1/conversations/[^/]+/items/[^/]+", Conversation),
    ("POST", r"/v1/responses", Response),
    ("GET", r"/v1/responses/[^/]+", Response),
    ("DELETE", r"/v1/responses/[^/]+", DeletedResponse),
    ("POST", r"/v1/responses/[^/]+/cancel", Response),
    ("GET", r"/v1/responses/[^/]+/input_items", ResponseItemList),
    ("GET", r"/v1/models", ModelList),
    ("GET", r"/v1/models/[^/]+", Model),
]


class Misfit(AssertionError):
    """A payload that the SDK's type does not describe."""


def check(value: object, expected: Any, where: str) -> None:
    """Raise Misfit unless value has exactly the fields and types of expected."""
    found = misfits(value, expected, where)
    if found:
        raise Misfit("\n".join(found))


def misfits(value: object, expected: Any, path: str) -> list[str]:
    origin, arguments = get_origin(expected), get_args(expected)
    if origin is Annotated:
        return misfits(value, arguments[0], path)
    if origin in (Union, UnionType):
        return _union_misfits(value, arguments, path)
    if origin is Literal:
        return [] if value in arguments else [f"{path}: {value!r} is none of {arguments}"]
    if origin in (list, dict):
        return _container_misfits(value, origin, arguments[-1], path)
    if isinstance(expected, type) and issubclass(expected, BaseModel):
        return _model_misfits(value, expected, path)
    return _plain_misfits(value, expected, path)


def _container_misfits(value: object, container: type, inner: Any, path: str) -> list[str]:
    if not isinstance(value, container):
        return [f"{path}: {value!r} is no {container.__name__}"]
    entries = value.items() if isinstance(value, dict) else enumerate(cast("list[object]", value))
    return [
        misfit for place, entry in entries for misfit in misfits(entry, inner, f"{path}[{place}]")
    ]


def _plain_misfits(value: object, expected: Any, path: str) -> list[str]:
    if expected in (object, Any):
        return []
    if expected in (None, NoneType):
        return [] if value is None else [f"{path}: {value!r} is not null"]
    kinds: tuple[type, ...] = (int, float) if expected is float else (expected,)
    return [] if type(value) in kinds else [f"{path}: {value!r} is no {expected.__name__}"]


def _union_misfits(value: object, members: tuple[Any, ...], path: str) -> list[str]:
    tried = [misfits(value, member, path) for member in members]
    if not all(tried):
        return []
    # The member meant is the one that names the value's own type; else the nearest.
    return min(tried, key=lambda found: (any(".type:" in misfit for misfit in found), len(found)))


def _model_misfits(value: object, model: type[BaseModel], path: str) -> list[str]:
    if not isinstance(value, dict):
        return [f"{path}: {value!r} is no {model.__name__}"]
    fields = {field.alias or name: field for name, field in model.model_fields.items()}
    found = [
        f"{path}.{name}: {model.__name__} has no such field" for name in value if name not in fields
    ]
    for name, field in fields.items():
        if name in value:
            found += misfits(value[name], field.annotation, f"{path}.{name}")
        elif field.is_required():
            found.append(f"{path}.{name}: missing, and {model.__name__} requires it")
    return found


class StrictTransport(httpx2.AsyncBaseTransport):
    """Passes requests on, and checks every reply and every event that comes back."""

    def __init__(self, inner: httpx2.AsyncBaseTransport) -> None:
        self._inner = inner

    async def __aenter__(self) -> Self:
        await self._inner.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        await self._inner.__aexit__(kind, error, traceback)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        response = await self._inner.handle_async_request(request)
        if response.headers.get("content-type", "").startswith("text/event-stream"):
            assert isinstance(response.stream, httpx2.AsyncByteStream)
            response.stream = _CheckedEvents(response.stream)
            return response
        body = await response.aread()
        if "application/json" in response.headers.get("content-type", ""):
            self._check_body(request, response.status_code, json.loads(body))
        return response

    def _check_body(self, request: httpx2.Request, status: int, body: object) -> None:
        where = f"{request.method} {request.url.path}"
        if status >= 400:
            check(body, ErrorReply, where)
            return
        for methods, path, expected in REPLIES:
            if re.fullmatch(methods, request.method) and re.fullmatch(path, request.url.path):
                check(body, expected, where)
                return
        message = f"no type is known for {where}"
        raise Misfit(message)


class _CheckedEvents(httpx2.AsyncByteStream):
    def __init__(self, inner: httpx2.AsyncByteStream) -> None:
        self._inner = inner

    async def __aiter__(self) -> Any:
        pending = b""
        async for chunk in self._inner:
            pending += chunk
            *events, pending = pending.split(b"\n\n")
            for event in events:
                check_event(event)
            yield chunk

    async def aclose(self) -> None:
        await self._inner.aclose()


def check_event(event: bytes) -> None:
    """Raise Misfit unless this is a named server-sent event that the SDK's union of events holds."""
    match = re.fullmatch(rb"event: (\S+)\ndata: (.*)", event)
    if match is None:
        message = f"not one named event with one line of data: {event!r}"
        raise Misfit(message)
    data = json.loads(match[2])
    check(data, ResponseStreamEvent, data["type"])
    if data["type"] != match[1].decode():
        message = f"the event is named {match[1]!r}, its data {data['type']}"
        raise Misfit(message)
