"""What passes between a caller and the simulated API: calls, replies, and connections that break."""

from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

JsonObject: TypeAlias = dict[str, Any]
"""A JSON object as it stands on the wire; its shape is the vendor's, so its values are untyped."""

Events: TypeAlias = AsyncGenerator[JsonObject, None]
"""Events on their way to one caller; whoever stops early closes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request, read and authenticated, free of the web framework.

    `number` counts arrivals from 1. `path` begins with `/v1`; `named` holds the ids in it.
    """

    number: int
    method: str
    path: str
    named: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    body: JsonObject = field(default_factory=dict)
    idempotency_key: str | None = None
    retry_count: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonReply:
    """A whole reply."""

    body: JsonObject
    status: int = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class EventsReply:
    """A reply of server-sent events about one response.

    `on_gone` is called when the caller leaves before their end.
    """

    response_id: str
    events: Events
    on_gone: Callable[[], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class PageReply:
    """A page for people, as a proxy on the way sends it in the API's place."""

    html: str
    status: int
    headers: Mapping[str, str] = field(default_factory=dict)


Reply: TypeAlias = JsonReply | EventsReply | PageReply


class ConnectionDropped(ConnectionError):
    """The connection breaks here: the caller gets no reply, or no rest of one."""
