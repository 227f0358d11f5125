"""Carries HTTP to an ASGI application in this process, streaming and breaking as a network would.

The transport that comes with the HTTP client waits for the whole reply; here a reply arrives as
it is sent, a caller may leave, silence runs into the read timeout, and a reply that is not
completed breaks off.
"""

import asyncio
from collections.abc import AsyncIterator, MutableMapping
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self

import httpx2
from starlette.types import ASGIApp


class InProcess(httpx2.AsyncBaseTransport):
    """Entered and left with the client it is given to; leaving it is a loss of every connection.

    An error that the application lets out fails the test, on leaving.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._tasks = asyncio.TaskGroup()
        self._exchanges: list[_Exchange] = []

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        for exchange in self._exchanges:
            exchange.leave()
        await self._tasks.__aexit__(kind, error, traceback)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        body = await request.aread()
        timeout = request.extensions.get("timeout", {}).get("read")
        exchange = _Exchange(request, body, timeout)
        self._exchanges.append(exchange)
        self._tasks.create_task(exchange.run(self._app))
        try:
            async with _read_timeout(timeout, request):
                await exchange.started.wait()
        except (asyncio.CancelledError, httpx2.ReadTimeout):
            exchange.leave()
            raise
        if exchange.status is None:
            message = "Server disconnected without sending a response."
            raise httpx2.RemoteProtocolError(message, request=request)
        return httpx2.Response(exchange.status, headers=exchange.headers, stream=exchange)


class _Exchange(httpx2.AsyncByteStream):
    def __init__(self, request: httpx2.Request, body: bytes, timeout: float | None) -> None:
        self.started = asyncio.Event()
        self.status: int | None = None
        self.headers: list[tuple[bytes, bytes]] = []
        self._request = request
        self._body: bytes | None = body
        self._timeout = timeout
        self._gone = asyncio.Event()
        self._chunks: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._is_complete = False

    async def run(self, app: ASGIApp) -> None:
        url = self._request.url
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": self._request.method,
            "headers": [(name.lower(), value) for name, value in self._request.headers.raw],
            "scheme": url.scheme,
            "path": url.path,
            "raw_path": url.raw_path.split(b"?")[0],
            "query_string": url.query,
            "server": (url.host, url.port),
            "client": ("127.0.0.1", 1),
            "root_path": "",
        }
        try:
            await app(scope, self._receive, self._send)
        finally:
            self.started.set()
            self._chunks.put_nowait(None)

    def leave(self) -> None:
        self._gone.set()

    async def aclose(self) -> None:
        self.leave()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            async with _read_timeout(self._timeout, self._request):
                chunk = await self._chunks.get()
            if chunk is not None:
                yield chunk
            elif self._is_complete:
                return
            else:
                message = "peer closed connection without sending complete message body"
                raise httpx2.RemoteProtocolError(message, request=self._request)

    async def _receive(self) -> MutableMapping[str, Any]:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = list(message["headers"])
            self.started.set()
            return
        if message.get("body"):
            self._chunks.put_nowait(message["body"])
        self._is_complete = not message.get("more_body", False)


@asynccontextmanager
async def _read_timeout(seconds: float | None, request: httpx2.Request) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as silence:
        message = "the server was silent"
        raise httpx2.ReadTimeout(message, request=request) from silence
