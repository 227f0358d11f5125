"""A chat-completions server in memory, as an ASGI application: repeats what it is told, or as set."""

import json
from collections.abc import Callable
from typing import Any

from starlette.types import Receive, Scope, Send

Json = dict[str, Any]


class ChatServer:
    """Streams an echo of the messages it was sent, and counts a token for each word.

    `requests` are the bodies of all completions. `chunks`, where set, gives the stream in the
    echo's place, and `replies` whole replies by path, as a status and a body.
    """

    def __init__(self) -> None:
        self.requests: list[Json] = []
        self.paths: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.models: list[Json] = [{"id": "tiny", "object": "model", "owned_by": "vllm"}]
        self.replies: dict[str, tuple[int, Json]] = {}
        self.chunks: Callable[[Json], list[Json | str]] = echo
        self.says_done = True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = b""
        more = True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        path: str = scope["path"]
        self.paths.append(path)
        self.headers.append({name.decode(): value.decode() for name, value in scope["headers"]})
        if path in self.replies:
            await reply(send, *self.replies[path])
        elif path == "/v1/models":
            await reply(send, 200, {"object": "list", "data": self.models})
        elif path == "/v1/chat/completions":
            request = json.loads(body)
            self.requests.append(request)
            await self._stream(send, request)
        else:
            await reply(send, 404, {"detail": "Not Found"})

    async def _stream(self, send: Send, request: Json) -> None:
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for chunk in [*self.chunks(request), *(["[DONE]"] if self.says_done else [])]:
            data = chunk if isinstance(chunk, str) else json.dumps(chunk)
            event = f"data: {data}\n\n".encode()
            await send({"type": "http.response.body", "body": event, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


async def reply(send: Send, status: int, body: Json) -> None:
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(body).encode()})


def spoken(*texts: str, reason: str | None = "stop", **usage: int) -> list[Json | str]:
    """Give the chunks of an answer in pieces, with its usage at the end."""
    pieces: list[Json | str] = [_chunk({"delta": {"content": text}}) for text in texts]
    if reason is not None:
        pieces.append(_chunk({"delta": {}, "finish_reason": reason}))
    if usage:
        pieces.append(_chunk(None, usage=usage))
    return pieces


def echo(request: Json) -> list[Json | str]:
    told = [message["content"] for message in request["messages"] if message["role"] == "user"]
    words = sum(len(message["content"].split()) + 4 for message in request["messages"])
    text = f"I was told: {' | '.join(told)}"
    return spoken(text[:8], text[8:], prompt_tokens=words, completion_tokens=len(text.split()))


def _chunk(choice: Json | None, **more: Any) -> Json:
    choices = [] if choice is None else [{"index": 0, "finish_reason": None} | choice]
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "tiny",
        "choices": choices,
    } | more
