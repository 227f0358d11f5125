"""Replies that last: server-sent events, callers that leave meanwhile, connections that break."""

import asyncio
import json
from collections.abc import Awaitable
from contextlib import aclosing
from typing import TypeVar

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from dadm.adapters.simulators.openai.wire import ConnectionDropped, EventsReply, JsonObject

T = TypeVar("T")


class CallerGone(Exception):
    """The caller closed the connection before the end of the reply."""


async def attended(work: Awaitable[T], receive: Receive) -> T:
    """Await `work` as long as the caller stays; it is cancelled when the caller leaves.

    The body of the request must have been read.

    Raises:
        CallerGone: the caller left first.
    """

    async def watch() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        raise CallerGone

    try:
        async with asyncio.TaskGroup() as tasks:
            watcher = tasks.create_task(watch())
            result = await work
            watcher.cancel()
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from None
    return result


class EventStream(Response):
    """Server-sent events as they come; tells `on_gone` when the caller leaves before their end."""

    media_type = "text/event-stream"

    def __init__(self, reply: EventsReply, *, headers: dict[str, str]) -> None:
        super().__init__(headers=headers)
        del self.headers["content-length"]
        self._reply = reply

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del scope
        try:
            await attended(self._send_all(send), receive)
        except (CallerGone, ConnectionDropped):
            # Nothing more can be sent; a reply that was not completed makes the server close.
            self._reply.on_gone()
        except asyncio.CancelledError:
            self._reply.on_gone()
            raise

    async def _send_all(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        async with aclosing(self._reply.events) as events:
            async for event in events:
                await send(
                    {"type": "http.response.body", "body": encoded(event), "more_body": True}
                )
        await send({"type": "http.response.body", "body": b"", "more_body": False})


class BrokenReply(Response):
    """Promises a body and sends none, so that the server closes the connection."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del scope, receive
        headers = [(b"content-length", b"1")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})


class NoReply(Response):
    """Sends nothing, to a caller that has left."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del scope, receive, send


def encoded(event: JsonObject) -> bytes:
    return f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()
