"""ChatCompletions: threads on any server that speaks OpenAI's chat completions and keeps nothing."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

import httpx2
import openai

from dadm.adapters.backends.chat_answers import Spoken
from dadm.adapters.backends.chat_context import ASSUMED_TOKENS, ServedModels
from dadm.adapters.backends.chat_requests import (
    answer_limit,
    chat_request,
    check_assistant,
    parameter_names,
)
from dadm.adapters.backends.keeping_nothing import KeepsNothing
from dadm.adapters.backends.openai_client import (
    EventStream,
    checked_address,
    checked_key,
    read_object,
    shown_address,
    timeouts,
)
from dadm.adapters.backends.openai_errors import ErrorTable
from dadm.domain.errors import BackendMisconfigured, ConversationTooLong, OutcomeUnknown
from dadm.domain.thread import BackendIdentity
from dadm.domain.token_estimate import fewest_tokens, most_tokens
from dadm.domain.transcript import Message, Window, fit_window, messages_shown
from dadm.ports.backend import AnswerPart, MessagesShown, Question, TurnEvent

KEY_SETTING = "DADM_CHAT__API_KEY"
ADDRESS_SETTING = "DADM_CHAT__BASE_URL"
CONTEXT_SETTING = "DADM_CHAT__CONTEXT_TOKENS"

CHARACTERS_PER_TOKEN = 4
TOKENS_AROUND_MESSAGE = 6
"""What a chat template puts around a message, at most."""

NOTHING = Window(exchanges=(), left_out=0)
NO_KEY = "none"
"""Sent where there is no key, so that the SDK does not take OpenAI's from the environment."""


class ChatCompletions(KeepsNothing):
    """Shows a server the instructions, as much of the thread as fits, and the question.

    The transcript is ours; a conversation is a name and nothing more. Which part of the thread
    the model was shown is told by `MessagesShown`.
    """

    def __init__(
        self,
        *,
        base_url: str,
        model: str,
        api_key: str | None = None,
        context_tokens: int | None = None,
        answer_tokens: int = 1024,
        request_timeout_seconds: float = 60.0,
        turn_timeout_seconds: float = 600.0,
        http_client: httpx2.AsyncClient | None = None,
        new_id: Callable[[], str] = lambda: f"chat_{uuid4().hex}",
    ) -> None:
        """Prepare; nothing is sent yet.

        Args:
            base_url: Of the API, usually ending in `/v1`.
            model: For assistants that name none; the first that the server lists for `""`.
            api_key: Where the server asks for one.
            context_tokens: What the model takes in and puts out in all; by default what the
                server tells, else 8192.
            answer_tokens: How much of that is left free for an answer, though at most half of it,
                unless the assistant's parameters set a limit themselves.
            request_timeout_seconds: How long any other request than a turn may be silent.
            turn_timeout_seconds: How long a turn may take in all.
            http_client: Sends the requests, and stays open; by default the SDK's.
            new_id: Names conversations.

        Raises:
            BackendMisconfigured: The key or the address cannot be sent.
        """
        super().__init__(new_id)
        self._model = model
        self._answer_tokens = answer_tokens
        self._turn_timeout_seconds = turn_timeout_seconds
        self._owns_http_client = http_client is None
        address = checked_address(base_url, setting=ADDRESS_SETTING)
        key = checked_key(api_key or NO_KEY, setting=KEY_SETTING)
        self._client = openai.AsyncOpenAI(
            api_key=key,
            base_url=base_url,
            max_retries=0,
            timeout=timeouts(request_timeout_seconds),
            http_client=http_client,
        )
        # What the SDK finds in its environment is meant for OpenAI, not for this server.
        self._client.organization = self._client.project = self._client.admin_api_key = None
        self._errors = ErrorTable(
            service=f"The chat server at {address.host}",
            key=key,
            key_setting=KEY_SETTING,
            address_setting=ADDRESS_SETTING,
            window_hint=f"Set {CONTEXT_SETTING} to what the model really takes in.",
        )
        self._identity = BackendIdentity(adapter="chat", address=shown_address(address))
        self._served = ServedModels(self._client, self._errors, context_tokens=context_tokens)

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
        """The server's address."""
        return self._identity

    @property
    def history_characters(self) -> int:
        """About what fits the default model's context, as far as it is known by now."""
        return CHARACTERS_PER_TOKEN * (self._served.known_context(self._model) or ASSUMED_TOKENS)

    @staticmethod
    def parameter_names() -> frozenset[str]:
        """Give the names that an assistant's `parameters` may have."""
        return parameter_names()

    @asynccontextmanager
    async def take_turn(self, question: Question) -> AsyncGenerator[AsyncIterator[TurnEvent], None]:
        """Ask by one streamed completion; see the port."""
        check_assistant(question.assistant)
        model = question.assistant.model or self._model or await self._served.first()
        shown = await self._fit(question, model)
        errors = self._errors.asked_as(question.assistant)
        stream = EventStream(errors, seconds=self._turn_timeout_seconds)
        sent = self._client.chat.completions.create(
            **chat_request(question, shown, model=model),
            stream=True,
            stream_options={"include_usage": True},
            timeout=timeouts(self._turn_timeout_seconds),
        )
        context = self._served.known_context(model)
        async with (
            stream.opened(sent) as chunks,
            aclosing(self._turn_events(shown, stream, chunks, context)) as turn,
        ):
            yield turn

    async def _fit(self, question: Question, model: str) -> MessagesShown:
        """Choose what is shown: the question, and as much of the thread as fits beside it.

        Raises:
            ConversationTooLong: The question does not fit even alone.
        """
        assistant = question.assistant
        context = await self._served.context(model)
        answer = answer_limit(assistant) or min(self._answer_tokens, context // 2)
        alone = messages_shown(
            instructions=assistant.instructions, window=NOTHING, prompt=question.prompt
        )
        room = context - answer - sum(map(_most_tokens, alone))
        if room < 0:
            text = (
                f"The question and the instructions alone take up to {-room} tokens more than the "
                f"{context} of the model's context leave beside an answer. Shorten them, or set "
                f"{CONTEXT_SETTING} if the model takes in more."
            )
            raise ConversationTooLong(text)
        window = fit_window(question.history.exchanges, budget=room, measure=_most_tokens)
        return MessagesShown(
            messages=messages_shown(
                instructions=assistant.instructions, window=window, prompt=question.prompt
            ),
            left_out=question.history.left_out + window.left_out,
        )

    async def _turn_events(
        self,
        shown: MessagesShown,
        stream: EventStream,
        chunks: AsyncIterator[Any],
        context_tokens: int | None,
    ) -> AsyncGenerator[TurnEvent, None]:
        yield shown
        spoken = Spoken()
        async for chunk in chunks:
            added = spoken.hear(read_object(chunk, service=self._errors.service))
            if added:
                yield AnswerPart(text=added)
            if spoken.is_over:
                break
        if not spoken.reason:
            text = f"{self._errors.service} ended its stream before the answer was finished."
            raise OutcomeUnknown(text)
        stream.is_over = True
        self._check_all_was_read(shown, spoken)
        yield spoken.outcome(context_tokens=context_tokens)

    def _check_all_was_read(self, shown: MessagesShown, spoken: Spoken) -> None:
        """Make sure that the server did not silently drop a part of what it was sent.

        Raises:
            BackendMisconfigured: It counted fewer tokens than there were words.
        """
        sent = sum(fewest_tokens(message.text) for message in shown.messages)
        counted = spoken.usage.input_tokens
        if 0 < counted < sent:
            text = (
                f"{self._errors.service} read only {counted} tokens of at least {sent} that it "
                "was sent, so its answer cannot be trusted. Its context is smaller than assumed: "
                f"set {CONTEXT_SETTING} to {counted} or less, or give the server a larger one."
            )
            raise BackendMisconfigured(text)

    async def ping(self) -> str:
        """List the server's models."""
        offered = [str(each.get("id")) for each in await self._served.models()]
        model = self._model or await self._served.first()
        if model in offered:
            return f"{self._errors.service} offers {model}."
        return f"{self._errors.service} answers; it does not list the model {model!r}."


def _most_tokens(message: Message) -> int:
    return most_tokens(message.text) + TOKENS_AROUND_MESSAGE
