"""OpenAIConversations: threads kept at OpenAI, by its Conversations and Responses."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

import httpx2
import openai

from dadm.adapters.backends.openai_access import open_access
from dadm.adapters.backends.openai_client import EventStream, read_object, timeouts
from dadm.adapters.backends.openai_erasure import Erasure
from dadm.adapters.backends.openai_items import Json, kept_message, run_state
from dadm.adapters.backends.openai_pages import ItemPages
from dadm.adapters.backends.openai_replies import (
    says_already_there,
    says_gone,
    says_gone_or_ended,
)
from dadm.adapters.backends.openai_requests import (
    link_item,
    message_item,
    metadata_of,
    parameter_names,
    turn_request,
)
from dadm.domain.errors import (
    BackendError,
    ConversationBroken,
    ConversationLost,
    OutcomeUnknown,
)
from dadm.domain.json import JsonObject
from dadm.domain.thread import BackendIdentity, ConversationId
from dadm.domain.transcript import Message
from dadm.ports.backend import (
    Answered,
    AnswerPart,
    CutShort,
    ErasureReport,
    Finding,
    KeptMessage,
    Question,
    ResponseStarted,
    RunFailed,
    RunGone,
    RunState,
    TurnEvent,
)


class OpenAIConversations:
    """Keeps each thread as a conversation at OpenAI, and takes a turn by one response on it.

    No request is ever repeated by this class or the SDK under it. Where the outcome of a turn is
    not known, it can be found by its response id (`retrieve`) or by `look`.
    """

    keeps_conversations = True
    append_limit = 20
    history_characters = 0

    def __init__(
        self,
        *,
        model: str,
        api_key: str | None = None,
        base_url: str | None = None,
        organization: str | None = None,
        project: str | None = None,
        account: str | None = None,
        use_background: bool = True,
        output_ids_are_item_ids: bool = True,
        links_items: bool = True,
        request_timeout_seconds: float = 60.0,
        turn_timeout_seconds: float = 600.0,
        http_client: httpx2.AsyncClient | None = None,
    ) -> None:
        """Prepare; nothing is sent yet. What is None, the SDK reads from its environment.

        Args:
            model: For assistants that name none.
            api_key: OPENAI_API_KEY.
            base_url: OPENAI_BASE_URL, or else OpenAI's own.
            organization: OPENAI_ORG_ID.
            project: OPENAI_PROJECT_ID.
            account: A name for the account, so that threads stay with it when the key changes;
                by default organisation and project, or a fingerprint of the key.
            use_background: Runs go on when we are cut off, and can be retrieved; not possible
                under zero data retention.
            output_ids_are_item_ids: The last id of a response's output is that of the
                conversation's last item; otherwise that is read after each turn, by a request more.
            links_items: Items of one conversation can be put into another by their ids, which
                lets a long thread heal over lost requests.
            request_timeout_seconds: How long any other request than a turn may be silent.
            turn_timeout_seconds: How long a turn may take in all.
            http_client: Sends the requests, and stays open; by default the SDK's.

        Raises:
            BackendMisconfigured: There is no key, or the key or the address cannot be sent.
        """
        self._model = model
        self._use_background = use_background
        self._output_ids_are_item_ids = output_ids_are_item_ids
        self._links_items = links_items
        self._turn_timeout_seconds = turn_timeout_seconds
        self._owns_http_client = http_client is None
        self._access = access = open_access(
            api_key=api_key,
            base_url=base_url,
            organization=organization,
            project=project,
            timeout_seconds=request_timeout_seconds,
            http_client=http_client,
        )
        self._client, self._errors = access.client, access.errors
        self._identity = BackendIdentity(
            adapter="openai",
            address=access.address,
            account=(account or access.account).replace("|", "/"),
        )
        self._pages = ItemPages(self._client, self._errors)

    async def __aenter__(self) -> Self:
        """Cost nothing: connections open with the first request."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the connections, unless the HTTP client was handed in."""
        if self._owns_http_client:
            await self._client.close()

    @property
    def identity(self) -> BackendIdentity:
        """The address, and organisation and project where they are set, else the key's print."""
        return self._identity

    @property
    def links_items(self) -> bool:
        """As it was told."""
        return self._links_items

    @staticmethod
    def parameter_names() -> frozenset[str]:
        """Give the names that an assistant's `parameters` may have."""
        return parameter_names()

    async def open(self, *, labels: JsonObject) -> ConversationId:
        """Open an empty conversation, with the labels as its metadata."""
        with self._errors.at_boundary():
            opened = await self._client.conversations.create(metadata=metadata_of(labels))
        return ConversationId(self._id_of(self._read(opened)))

    @asynccontextmanager
    async def take_turn(self, question: Question) -> AsyncGenerator[AsyncIterator[TurnEvent], None]:
        """Ask by one streamed response; see the port."""
        request = turn_request(question, model=self._model, use_background=self._use_background)
        errors = self._errors.asked_as(question.assistant)
        stream = EventStream(errors, seconds=self._turn_timeout_seconds)
        sent = self._client.responses.create(
            **request,
            stream=True,
            timeout=timeouts(self._turn_timeout_seconds),
            # Not documented for responses, and harmless: where it is honoured, a request that
            # something on the way repeats is answered once.
            extra_headers={"Idempotency-Key": question.attempt} if question.attempt else None,
        )
        async with (
            stream.opened(sent) as events,
            aclosing(self._turn_events(question, stream, events)) as turn,
        ):
            yield turn

    async def _turn_events(
        self, question: Question, stream: EventStream, events: AsyncIterator[Any]
    ) -> AsyncGenerator[TurnEvent, None]:
        response_id = ""
        async for event in events:
            response = getattr(event, "response", None)
            if response is not None and not response_id:
                response_id = self._id_of(self._read(response))
                yield ResponseStarted(response_id=response_id)
            match event.type:
                case "response.output_text.delta":
                    yield AnswerPart(text=event.delta)
                case "response.completed" | "response.incomplete":
                    stream.is_over = True
                    yield await self._end(question, self._read(response))
                    return
                case "response.failed":
                    raise self._failed(response_id, self._read(response))
                case "error":
                    raise self._not_told(response_id, str(event.message))
                case _:
                    pass
        raise self._not_told(response_id, "the stream ended early")

    async def _end(self, question: Question, response: Json) -> Answered | CutShort:
        try:
            end = await self._state(question.conversation_id, response)
        except BackendError as error:
            # The run has ended, whatever became of a request about it: nothing here says that
            # the turn was not applied.
            raise self._not_told(str(response.get("id")), error.message) from error
        if isinstance(end, Answered | CutShort):
            return end
        raise self._not_told(str(response.get("id")), f"its end is none: {end}")

    def _failed(self, response_id: str, response: Json) -> OutcomeUnknown:
        """Say that a run failed; what that comes to is found out by its name."""
        state = run_state(response)
        is_temporary, why = False, "it has none"
        if isinstance(state, RunFailed):
            is_temporary, why = state.is_temporary, f"it failed, {state.reason}"
        told = self._not_told(response_id, why)
        return OutcomeUnknown(told.message, is_well=not is_temporary)

    async def _state(self, conversation_id: ConversationId, response: Json) -> RunState:
        state = run_state(response)
        if isinstance(state, Answered) and not (
            self._output_ids_are_item_ids and state.last_item_id
        ):
            return replace(state, last_item_id=await self._pages.last_id(conversation_id))
        return state

    def _not_told(self, response_id: str, why: str) -> OutcomeUnknown:
        run = f"response {response_id}" if response_id else "a response it did not name"
        return OutcomeUnknown(
            f"{self._errors.service} did not tell the end of {run}: {self._errors.quote(why)}."
        )

    async def retrieve(self, conversation_id: ConversationId, response_id: str) -> RunState:
        """Say what a response is doing; responses are kept for thirty days."""
        try:
            with self._errors.at_boundary(but=says_gone):
                response = await self._client.responses.retrieve(response_id)
        except openai.NotFoundError:
            return RunGone()
        return await self._state(conversation_id, self._read(response))

    async def cancel(self, response_id: str) -> None:
        """Cancel a background response; one that is none, or that has ended, is left alone."""
        with suppress(openai.APIStatusError), self._errors.at_boundary(but=says_gone_or_ended):
            await self._client.responses.cancel(response_id)

    async def look(
        self, conversation_id: ConversationId, *, after_item: str, prompt: str
    ) -> Finding:
        """List the items behind the known one, or backwards; see the port."""
        try:
            return await self._pages.find(conversation_id, after=after_item, prompt=prompt)
        except ConversationLost as error:
            if await self.exists(conversation_id):
                text = f"{self._errors.service} has {conversation_id} and does not list its items."
                raise OutcomeUnknown(text) from error
            raise

    async def exists(self, conversation_id: ConversationId) -> bool:
        """Retrieve the conversation; only its own 404 means no."""
        try:
            with self._errors.at_boundary():
                await self._client.conversations.retrieve(conversation_id)
        except ConversationLost:
            return False
        return True

    async def messages(
        self, conversation_id: ConversationId, *, after_item: str = ""
    ) -> AsyncGenerator[KeptMessage, None]:
        """Read messages, the oldest first."""
        try:
            async for page in self._pages.pages(conversation_id, order="asc", after=after_item):
                for item in page:
                    kept = kept_message(item)
                    if kept is not None:
                        yield kept
        except openai.NotFoundError as error:
            text = f"{self._errors.service} has no item {after_item} in {conversation_id} any more."
            raise ConversationBroken(text) from error

    async def append(self, conversation_id: ConversationId, messages: Sequence[Message]) -> str:
        """Create the items of `messages` by one request."""
        items = [message_item(message) for message in messages]
        with self._errors.at_boundary():
            created = await self._client.conversations.items.create(conversation_id, items=items)
        listed = self._read(created).get("data")
        return self._id_of(listed[-1] if isinstance(listed, list) and listed else {})

    async def link(self, conversation_id: ConversationId, item_ids: Sequence[str]) -> None:
        """Create items by reference; OpenAI refuses those that are there already."""
        items = [link_item(item_id) for item_id in item_ids]
        with (
            suppress(openai.BadRequestError),
            self._errors.at_boundary(but=says_already_there),
        ):
            await self._client.conversations.items.create(conversation_id, items=items)

    async def erase(
        self,
        conversation_id: ConversationId,
        *,
        response_ids: Sequence[str],
        spare: frozenset[str] = frozenset(),
    ) -> ErasureReport:
        """Delete each item, each response, then the conversation; see the port."""
        erasure = Erasure(self._client, self._pages, self._errors)
        return await erasure.run(conversation_id, response_ids, spare)

    async def ping(self) -> str:
        """Retrieve the default model, or list the models where that cannot be done."""
        return await self._access.check_model(self._model)

    def _id_of(self, reply: Json) -> str:
        """Give the id of what was made.

        Raises:
            OutcomeUnknown: The reply names none: it is not the API's, whatever has happened there.
        """
        found = reply.get("id")
        if not found:
            msg = f"{self._errors.service} sent a reply that is not the API's: it names nothing."
            raise OutcomeUnknown(msg)
        return str(found)

    def _read(self, reply: object) -> dict[str, Any]:
        return read_object(reply, service=self._errors.service)
