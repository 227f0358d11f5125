"""The ground that a probe of OpenAI works on: what it makes there, and what it sees."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import openai

from dadm.adapters.backends.openai_access import OpenAIAccess
from dadm.adapters.backends.openai_client import listed, read_object
from dadm.adapters.backends.openai_errors import VENDOR_ERRORS
from dadm.adapters.backends.openai_items import Json
from dadm.adapters.backends.openai_pages import ItemPages, items_path
from dadm.adapters.backends.openai_probe_terms import NotAnswered, Observed, Pace, Refusal, Reply
from dadm.adapters.backends.openai_probe_traces import UNDER_WAY, ProbeTraces, first_of
from dadm.adapters.backends.openai_replies import words_of
from dadm.domain.errors import BackendUnavailable
from dadm.domain.thread import ConversationId

AnyT = TypeVar("AnyT")

SHORT = "Say yes."
LONG = (
    "Write the numbers from one to three hundred in words, each on a line of its own. "
    "Do not leave any of them out, and do not say anything else."
)
SHORT_TOKENS = 200
LONG_TOKENS = 1000
FEWEST_TOKENS = 16

REFUSALS = frozenset({400, 404, 405, 409, 422, 501})
RATE_LIMIT_SECONDS = 5.0
LABELS = {"made_by": "dadm probe"}


class ProbeGround:
    """Makes conversations and responses, each of which leaves its trace.

    Attributes:
        traces: What was made.
    """

    def __init__(self, access: OpenAIAccess, *, model: str, pace: Pace) -> None:
        """Make nothing yet."""
        self.access = access
        self.client = access.client
        self.errors = access.errors
        self.pace = pace
        self._model = model
        self._pages = ItemPages(access.client, access.errors)
        self.traces = ProbeTraces(access, poll_seconds=pace.poll, clean_up_seconds=pace.clean_up)

    # What is made

    async def open(self, **metadata: str) -> str:
        """Open a conversation, and give its id."""
        return await self.traces.until_known(self._open(LABELS | metadata))

    async def _open(self, metadata: dict[str, str]) -> str:
        opened = await self.done(lambda: self.client.conversations.create(metadata=metadata))
        return self.traces.conversation_made(opened)

    async def say(self, conversation_id: str, text: str = SHORT) -> str:
        """Append a user's message without a response, and give its item's id."""
        message: Any = {"type": "message", "role": "user", "content": text}
        created = await self.done(
            lambda: self.client.conversations.items.create(conversation_id, items=[message])
        )
        first = first_of(created.get("data"))
        if first is None:
            raise NotAnswered("An item was created, and the reply does not name it.")
        return str(first["id"])

    async def link(self, conversation_id: str, item_id: str) -> Reply:
        """Append an item that there is, by its id."""
        return await self.attempt(
            lambda: self.client.conversations.items.create(
                conversation_id, items=[{"type": "item_reference", "id": item_id}]
            )
        )

    async def ask(self, conversation_id: str | None, text: Any = SHORT, **more: Any) -> Reply:
        """Have a response made, waiting for its end unless it is to run in the background."""
        return await self.traces.until_known(self.ask_and_leave(conversation_id, text, **more))

    async def ask_and_leave(self, conversation_id: str | None, text: Any, **more: Any) -> Reply:
        """Ask likewise, but so that the request ends with its caller, and what it made is unknown."""
        request = self.request(conversation_id, text, **more)
        reply = await self.attempt(lambda: self.client.responses.create(**request))
        if not isinstance(reply, Refusal):
            self.traces.response_made(reply)
        return reply

    async def answered(self, conversation_id: str | None, text: Any = SHORT, **more: Any) -> Json:
        """Have a response made that must be completed.

        Raises:
            NotAnswered: It was refused, or ended otherwise.
        """
        reply = await self.ask(conversation_id, text, **more)
        if isinstance(reply, Refusal):
            raise NotAnswered(f"A plain response was refused: {reply.told}")
        if reply.get("status") != "completed":
            raise NotAnswered(f"A plain response ended as {reply.get('status')}.")
        return reply

    @asynccontextmanager
    async def running(
        self, conversation_id: str, *, background: bool, until_it_speaks: bool = False
    ) -> AsyncGenerator[str, None]:
        """Give the id of a streamed response that is under way; its stream is left on leaving."""
        request = self.request(conversation_id, LONG, max_output_tokens=LONG_TOKENS)
        if background:
            request["background"] = True
        begun = self._begun(request, until_it_speaks=until_it_speaks)
        stream, response_id = await self.traces.until_known(begun)
        try:
            yield response_id
        finally:
            with suppress(*VENDOR_ERRORS):
                await stream.close()

    async def _begun(
        self, request: Json, *, until_it_speaks: bool
    ) -> tuple[openai.AsyncStream[Any], str]:
        response_id = ""
        stream = await self._stream(request)
        with self.errors.at_boundary():
            async for event in stream:
                response_id = self._named(event) or response_id
                is_speaking = event.type == "response.output_text.delta"
                if is_speaking or (event.type == "response.in_progress" and not until_it_speaks):
                    return stream, response_id
        raise NotAnswered(f"Response {response_id} ended before it said anything.")

    def _named(self, event: Any) -> str:
        response = getattr(event, "response", None)
        if response is None:
            return ""
        return self.traces.response_made(read_object(response, service=self.errors.service))

    async def streamed(self, conversation_id: str) -> str:
        """Have a background response streamed to its end, and give its id."""
        return await self.traces.until_known(self._streamed(conversation_id))

    async def _streamed(self, conversation_id: str) -> str:
        request = self.request(conversation_id, SHORT, background=True)
        response_id = ""
        async with await self._stream(request) as stream:
            with self.errors.at_boundary():
                async for event in stream:
                    response_id = self._named(event) or response_id
        return response_id

    async def _stream(self, request: Json) -> openai.AsyncStream[Any]:
        try:
            return await self._sent(lambda: self.client.responses.create(**request, stream=True))
        except openai.APIStatusError as error:
            told = self._refusal(error).told
            raise NotAnswered(f"A streamed response was refused: {told}") from error

    def request(self, conversation_id: str | None, text: Any, **more: Any) -> dict[str, Any]:
        """Build the arguments of a response; `text` may be items, or None for no input."""
        request = {
            "model": self._model,
            "max_output_tokens": SHORT_TOKENS,
            "metadata": LABELS,
            **more,
        }
        if conversation_id is not None:
            request["conversation"] = conversation_id
        if text is not None:
            request["input"] = text
        return request

    # What is seen

    async def attempt(self, call: Callable[[], Awaitable[object]]) -> Reply:
        """Send a request; give the reply, or how it was refused.

        Where there are too many requests, nothing was done, and it is sent again after a while.

        Raises:
            BackendError: Neither reply nor refusal.
        """
        try:
            return read_object(await self._sent(call), service=self.errors.service)
        except openai.APIStatusError as error:
            return self._refusal(error)

    async def _sent(self, call: Callable[[], Awaitable[AnyT]]) -> AnyT:
        while True:
            try:
                with self.errors.at_boundary(but=_is_refusal):
                    return await call()
            except BackendUnavailable as error:
                if not isinstance(error.__cause__, openai.RateLimitError):
                    raise
                wait = error.retry_after
                await asyncio.sleep(wait.total_seconds() if wait else RATE_LIMIT_SECONDS)

    async def done(self, call: Callable[[], Awaitable[object]]) -> Json:
        """Send a request that must not be refused.

        Raises:
            NotAnswered: It was.
        """
        reply = await self.attempt(call)
        if isinstance(reply, Refusal):
            raise NotAnswered(f"What the question needs was refused: {reply.told}")
        return reply

    async def items(self, conversation_id: str) -> list[Json]:
        """Give the items of a conversation, the oldest first."""
        listing = self._pages.pages(ConversationId(conversation_id), order="asc")
        return [item async for page in listing for item in page]

    async def list_items(self, conversation_id: str, **params: str) -> Reply:
        """Ask for one page of a conversation's items."""
        path, service = items_path(conversation_id), self.errors.service
        return await self.attempt(lambda: listed(self.client, path, service=service, **params))

    async def response(self, response_id: str) -> Json | None:
        """Give a response as it stands; None for one that is not known (any more)."""
        reply = await self.attempt(lambda: self.client.responses.retrieve(response_id))
        if isinstance(reply, Refusal):
            return None
        self.traces.response_made(reply)
        return reply

    async def ended(self, response_id: str) -> Json | None:
        """Wait for the end of a response; None if it is not known (any more)."""
        while True:
            reply = await self.response(response_id)
            if reply is None or reply.get("status") not in UNDER_WAY:
                return reply
            await asyncio.sleep(self.pace.poll)

    async def check_running(self, response_id: str, *, may_be_unknown: bool = False) -> None:
        """Make sure that what was just seen was seen while the response ran.

        Raises:
            NotAnswered: It has ended; or is not known, unless it may be.
        """
        reply = await self.response(response_id)
        if reply is None and may_be_unknown:
            return
        status = "gone" if reply is None else reply.get("status")
        if status not in UNDER_WAY:
            raise NotAnswered(f"The response was {status} too soon to see anything while it ran.")

    async def attached(self, response_id: str) -> Refusal | None:
        """Attach to the stream of a response for one event; give how that was refused.

        Raises:
            NotAnswered: There was no event.
        """
        try:
            stream = await self._sent(
                lambda: self.client.responses.retrieve(response_id, stream=True, starting_after=0)
            )
        except openai.APIStatusError as error:
            return self._refusal(error)
        async with stream:
            with self.errors.at_boundary():
                if await anext(aiter(stream), None) is None:
                    raise NotAnswered("The stream could be opened, and brought no event.")
        return None

    # What is taken away on the way

    async def cancel(self, response_id: str) -> Reply:
        """Cancel a response."""
        return await self.attempt(lambda: self.client.responses.cancel(response_id))

    async def remove_item(self, conversation_id: str, item_id: str) -> None:
        """Remove an item from a conversation."""
        await self.done(
            lambda: self.client.conversations.items.delete(item_id, conversation_id=conversation_id)
        )

    async def delete(self, conversation_id: str) -> None:
        """Delete a conversation alone."""
        await self.done(lambda: self.client.conversations.delete(conversation_id))
        self.traces.conversation_gone(conversation_id)

    async def delete_response(self, response_id: str) -> None:
        """Delete a response alone."""
        with self.errors.at_boundary():
            await self.client.responses.delete(response_id)
        self.traces.response_gone(response_id)

    def _refusal(self, error: openai.APIStatusError) -> Refusal:
        code = str(error.code or "")
        named = f" {code}" if code else ""
        words = self.errors.quote(words_of(error)) or "no words"
        return Refusal(
            status=error.status_code,
            code=code,
            param=str(error.param or ""),
            told=f"HTTP {error.status_code}{named}: {words}",
            error=error,
        )


def _is_refusal(error: openai.APIStatusError) -> bool:
    return error.status_code in REFUSALS


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeQuestion:
    """A question as it is probed.

    `requests` is about how many it sends, without polling and cleaning up, `runs` at most how many
    responses it has made. `decides` says for each answer what follows from it.
    """

    name: str
    asks: str
    look: Callable[[ProbeGround], Awaitable[Observed]]
    requests: int
    runs: int
    decides: Mapping[str, str]
