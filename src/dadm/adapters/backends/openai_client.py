"""The OpenAI SDK's client as DADM uses it: never retrying, with its key and address checked."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Awaitable
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Any, TypeVar

import httpx2
import openai

from dadm.adapters.backends.openai_errors import VENDOR_ERRORS, ErrorTable
from dadm.domain.errors import BackendMisconfigured, OutcomeUnknown

CONNECT_SECONDS = 5.0
DRAIN_SECONDS = 0.5

AnyT = TypeVar("AnyT")
EventT = TypeVar("EventT")


def checked_key(key: str, *, setting: str) -> str:
    """Give the key if it can stand in a header; else the HTTP client would quote it in its error.

    Raises:
        BackendMisconfigured: It has a line break, a space or the like in it.
    """
    if not key.isascii() or not key.isprintable() or " " in key:
        text = f"The key in {setting} holds characters that no key has. Copy it again, on one line."
        raise BackendMisconfigured(text)
    return key


def checked_address(url: httpx2.URL | str, *, setting: str) -> httpx2.URL:
    """Give the base URL.

    Raises:
        BackendMisconfigured: It is not an http or https address.
    """
    try:
        address = httpx2.URL(url)
    except httpx2.InvalidURL as error:
        raise BackendMisconfigured(f"{setting} is no address: {error}") from error
    if address.scheme not in {"http", "https"} or not address.host:
        text = f"{setting} must begin with http:// or https:// and name a host."
        raise BackendMisconfigured(text)
    return address


def shown_address(url: httpx2.URL) -> str:
    """Write the base URL as others may see it: without a name or password in it."""
    return str(url.copy_with(userinfo=b"", query=None)).rstrip("/")


def fingerprint(key: str) -> str:
    """Give 16 digits that stand for a key and do not reveal it."""
    return hashlib.blake2b(key.encode(), digest_size=8, person=b"dadm-key").hexdigest()


def timeouts(seconds: float) -> httpx2.Timeout:
    """Allow `seconds` of silence, and a few to connect."""
    return httpx2.Timeout(seconds, connect=min(seconds, CONNECT_SECONDS))


def read_object(reply: object, *, service: str) -> dict[str, Any]:
    """Give a reply as JSON, without the SDK's types: servers differ from them.

    Raises:
        OutcomeUnknown: It is no JSON object, such as a proxy's page.
    """
    if isinstance(reply, openai.BaseModel):
        return reply.to_dict(warnings=False)
    if isinstance(reply, dict):
        return reply
    raise OutcomeUnknown(f"{service} sent a reply that is not the API's.")


async def listed(
    client: openai.AsyncOpenAI, path: str, *, service: str, **params: str | int
) -> dict[str, Any]:
    """Get a page of a listing; not by the SDK's own paging, which takes any page for a list.

    Raises:
        OutcomeUnknown: It is no JSON object, such as a proxy's page.
    """
    reply = await client.get(path, cast_to=httpx2.Response, options={"params": params})
    return read_object(reply.json(), service=service)


class EventStream:
    """The events of one streamed reply, with DADM's errors and an end to waiting.

    Attributes:
        is_over: Set by whoever reads the events once they have said how it ended; the rest is then
            read to its end, so that the connection can be used again.
    """

    def __init__(self, errors: ErrorTable, *, seconds: float) -> None:
        """Start the time that the whole stream may take."""
        self._errors = errors
        self._deadline = asyncio.get_running_loop().time() + seconds
        self.is_over = False

    @asynccontextmanager
    async def opened(
        self, request: Awaitable[openai.AsyncStream[EventT]]
    ) -> AsyncGenerator[AsyncGenerator[EventT, None], None]:
        """Send `request` and give its events.

        Raises:
            BackendError: As the table says; OutcomeUnknown when the time is over.
        """
        stream = await self._in_time(request)
        try:
            async with aclosing(self._events(stream)) as events:
                yield events
        finally:
            # Nothing that goes wrong while hanging up changes what was said.
            with suppress(TimeoutError, *VENDOR_ERRORS):
                if self.is_over:
                    await self._read_rest(stream)
                await stream.close()

    async def _events(self, stream: openai.AsyncStream[EventT]) -> AsyncGenerator[EventT, None]:
        while (event := await self._in_time(anext(stream, None))) is not None:
            yield event

    async def _in_time(self, awaited: Awaitable[AnyT]) -> AnyT:
        try:
            async with asyncio.timeout_at(self._deadline):
                with self._errors.at_boundary():
                    return await awaited
        except TimeoutError as error:
            text = f"{self._errors.service} did not finish in time."
            raise OutcomeUnknown(text) from error

    async def _read_rest(self, stream: openai.AsyncStream[EventT]) -> None:
        async with asyncio.timeout(DRAIN_SECONDS):
            while await anext(stream, None) is not None:
                pass
