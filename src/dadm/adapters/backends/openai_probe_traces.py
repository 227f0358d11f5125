"""What a probe of OpenAI has made there, and how it is taken away again."""

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import openai

from dadm.adapters.backends.openai_access import OpenAIAccess
from dadm.adapters.backends.openai_client import read_object
from dadm.adapters.backends.openai_erasure import Erasure
from dadm.adapters.backends.openai_errors import VENDOR_ERRORS
from dadm.adapters.backends.openai_items import Json
from dadm.adapters.backends.openai_pages import ItemPages
from dadm.adapters.backends.openai_probe_terms import NotAnswered
from dadm.adapters.backends.openai_replies import says_gone
from dadm.domain.errors import BackendError, OutcomeUnknown
from dadm.domain.thread import ConversationId

AnyT = TypeVar("AnyT")
UNDER_WAY = frozenset({"queued", "in_progress"})


@dataclass(frozen=True, slots=True)
class _Failed:
    """How something could not be made."""

    error: Exception


class ProbeTraces:
    """Knows every conversation and response that was made, and deletes them."""

    def __init__(
        self, access: OpenAIAccess, *, poll_seconds: float, clean_up_seconds: float
    ) -> None:
        """Know of nothing yet."""
        self._client = access.client
        self._errors = access.errors
        self._pages = ItemPages(access.client, access.errors)
        self._poll_seconds = poll_seconds
        self._clean_up_seconds = clean_up_seconds
        self._conversations: list[str] = []
        self._responses: dict[str, bool] = {}
        self._out_of_reach: dict[str, None] = {}
        self._making: set[asyncio.Task[Any]] = set()
        self._tasks = asyncio.TaskGroup()

    @asynccontextmanager
    async def taken_away(self) -> AsyncGenerator[None, None]:
        """Clean up on leaving, however it is left; nothing can be made outside of this."""
        async with self._tasks:
            try:
                yield
            finally:
                await self.clean_up()
                for making in self._making:
                    making.cancel()

    async def until_known(self, making: Coroutine[Any, Any, AnyT]) -> AnyT:
        """Await what makes something; it is not stopped with its caller, so that its trace is known."""
        task = self._tasks.create_task(_outcome(making))
        self._making.add(task)
        task.add_done_callback(self._making.discard)
        outcome = await asyncio.shield(task)
        if isinstance(outcome, _Failed):
            raise outcome.error
        return outcome

    @property
    def left_behind(self) -> tuple[str, ...]:
        """All that was made and is not known to be gone."""
        return (*self._conversations, *self._responses, *self._out_of_reach)

    def conversation_made(self, conversation: Json) -> str:
        """Note a conversation, and give its id."""
        self._conversations.append(_id_of(conversation))
        return self._conversations[-1]

    def response_made(self, response: Json) -> str:
        """Note a response as it stands, and give its id."""
        response_id = _id_of(response)
        self._responses[response_id] = response.get("status") in UNDER_WAY
        return response_id

    def conversation_gone(self, conversation_id: str) -> None:
        """Forget a conversation."""
        self._conversations.remove(conversation_id)

    def response_gone(self, response_id: str) -> None:
        """Forget a response."""
        self._responses.pop(response_id, None)

    def made_without_a_name(self, what: str) -> None:
        """Note something whose id nobody was told, so that it cannot be deleted."""
        self._out_of_reach[what] = None

    async def clean_up(self) -> None:
        """Delete all that there is, in bounded time; can be repeated for what is left."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._clean_up_seconds):
                if self._making:
                    await asyncio.wait(self._making)
                for response_id in [each for each, runs in self._responses.items() if runs]:
                    await self._stop(response_id)
                for conversation_id in tuple(self._conversations):
                    await self._erase(conversation_id)
                for response_id in tuple(self._responses):
                    await self._delete(response_id)

    async def _stop(self, response_id: str) -> None:
        """Wait for the end of a run, which holds its conversation's lock; cancelled if it can be."""
        with suppress(*VENDOR_ERRORS):
            await self._client.responses.cancel(response_id)
        with suppress(BackendError, openai.NotFoundError):
            while True:
                with self._errors.at_boundary(but=says_gone):
                    found = await self._client.responses.retrieve(response_id)
                response = read_object(found, service=self._errors.service)
                if response.get("status") not in UNDER_WAY:
                    return
                await asyncio.sleep(self._poll_seconds)

    async def _erase(self, conversation_id: str) -> None:
        erasure = Erasure(self._client, self._pages, self._errors)
        with suppress(BackendError):
            report = await erasure.run(ConversationId(conversation_id), response_ids=())
            left = dict.fromkeys(report.unreachable)
            if conversation_id not in left:
                self._conversations.remove(conversation_id)
            self._out_of_reach |= {each: None for each in left if each != conversation_id}

    async def _delete(self, response_id: str) -> None:
        with suppress(BackendError):
            with suppress(openai.NotFoundError), self._errors.at_boundary(but=says_gone):
                await self._client.responses.delete(response_id)
            del self._responses[response_id]


async def _outcome(making: Coroutine[Any, Any, AnyT]) -> AnyT | _Failed:
    # Not raised, since that would end all other tasks of the group.
    try:
        return await making
    except (BackendError, NotAnswered) as error:
        return _Failed(error)


def _id_of(made: Json) -> str:
    if not made.get("id"):
        raise OutcomeUnknown("Something was made, and the reply does not name it.")
    return str(made["id"])


def first_of(listed: object) -> Mapping[str, Any] | None:
    """Give the first object of a list, if there is one."""
    if isinstance(listed, list) and listed and isinstance(listed[0], dict):
        return listed[0]
    return None
