"""A wire with a scripted far end: what a backend sent over it, and what it is answered."""

import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import httpx2

from dadm.adapters.backends.openai_conversations import OpenAIConversations
from tests.adapters.backends.under_test import BASE_URL, KEY

Json = dict[str, Any]
Reply: TypeAlias = httpx2.Response | Exception | Callable[[httpx2.Request], httpx2.Response]


class Wire:
    """Answers requests by `replies`, the last of them for ever; keeps what was sent."""

    def __init__(self, *replies: Reply) -> None:
        self._replies = list(replies)
        self.requests: list[httpx2.Request] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        reply = self._replies.pop(0) if len(self._replies) > 1 else self._replies[0]
        if isinstance(reply, Exception):
            raise reply
        return reply(request) if callable(reply) else reply

    @property
    def body(self) -> Json:
        """The JSON of the last request."""
        body: Json = json.loads(self.requests[-1].content)
        return body

    @property
    def sent(self) -> list[str]:
        """The requests in short: method and path."""
        return [f"{request.method} {request.url.path}" for request in self.requests]


@asynccontextmanager
async def openai_over(wire: Wire, **settings: Any) -> AsyncIterator[OpenAIConversations]:
    """Give the OpenAI backend at the near end of `wire`."""
    given: Json = {"model": "gpt-test", "api_key": KEY, "base_url": BASE_URL} | settings
    async with (
        httpx2.AsyncClient(transport=httpx2.MockTransport(wire)) as http,
        OpenAIConversations(http_client=http, **given) as backend,
    ):
        yield backend


def error(status: int, message: str = "", *, headers: Json | None = None, **more: Any) -> Reply:
    """Give an error reply in OpenAI's form."""
    inside = {"message": message, "type": "invalid_request_error", "param": None, "code": None}
    body = {"error": inside | more}
    return lambda _: httpx2.Response(status, json=body, headers=headers)


def page(*items: Json, has_more: bool = False) -> Reply:
    """Give a page of items."""
    body = {
        "object": "list",
        "data": list(items),
        "has_more": has_more,
        "first_id": items[0]["id"] if items else None,
        "last_id": items[-1]["id"] if items else None,
    }
    return whole(body)


def whole(body: Json) -> Reply:
    """Give a reply that is not streamed."""
    return lambda _: httpx2.Response(200, json=body)


def message(item_id: str, role: str, text: Any, **more: Any) -> Json:
    """Give a message as an item; `text` may be a list of parts."""
    part = "output_text" if role == "assistant" else "input_text"
    content = [{"type": part, "text": text}] if isinstance(text, str) else text
    return {
        "id": item_id,
        "type": "message",
        "role": role,
        "status": "completed",
        "content": content,
    } | more


def response(status: str = "completed", *output: Json, **more: Any) -> Json:
    """Give a response."""
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "model": "gpt-test",
        "status": status,
        "output": list(output),
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": {
            "input_tokens": 11,
            "input_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 0},
            "output_tokens": 5,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": 16,
        },
    } | more


def happened(kind: str, **more: Any) -> Json:
    """Give an event of a stream."""
    return {"type": kind, "sequence_number": 0} | more


CREATED = happened("response.created", response=response("in_progress"))


def delta(text: str) -> Json:
    """Give the event of a piece of text."""
    place = {"item_id": "msg_2", "output_index": 0, "content_index": 0, "logprobs": []}
    return happened("response.output_text.delta", delta=text, **place)


def completed(*output: Json, **more: Any) -> Json:
    """Give the event of a completed response."""
    given = output or (message("msg_2", "assistant", "Ines."),)
    return happened("response.completed", response=response("completed", *given, **more))


def stream(*events: Json | Exception) -> Callable[[httpx2.Request], httpx2.Response]:
    """Give a stream of server-sent events; an exception breaks it off."""

    class Body(httpx2.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            for event in events:
                if isinstance(event, Exception):
                    raise event
                yield sse(event)

    headers = {"content-type": "text/event-stream"}
    return lambda _: httpx2.Response(200, headers=headers, stream=Body())


def sse(event: Json) -> bytes:
    return f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()


def lines_of(errors: BaseException) -> Iterator[str]:
    """Give all that an error and what caused it say of themselves."""
    seen: BaseException | None = errors
    while seen is not None:
        yield str(seen)
        yield repr(seen)
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)
