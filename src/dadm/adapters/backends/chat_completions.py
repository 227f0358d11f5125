"""ChatCompletions: threads on any server that speaks OpenAI's chat completions and keeps nothing."""

import inspect
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

import httpx2
import openai
from openai.resources.chat.completions import AsyncCompletions

from dadm.adapters.backends.chat_answers import Spoken
from dadm.adapters.backends.chat_context import ContextTold
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
from dadm.adapters.backends.openai_requests import answer_format
from dadm.domain.assistant import Assistant
from dadm.domain.errors import BackendMisconfigured, ConversationTooLong, OutcomeUnknown
from dadm.domain.thread import BackendIdentity
from dadm.domain.token_estimate import fewest_tokens, most_tokens
from dadm.domain.transcript import Message, Window, fit_window, messages_shown
from dadm.ports.backend import AnswerPart, MessagesShown, Question, TurnEvent

KEY_SETTING = "DADM_CHAT__API_KEY"
ADDRESS_SETTING = "DADM_CHAT__BASE_URL"
CONTEXT_SETTING = "DADM_CHAT__CONTEXT_TOKENS"

ASSUMED_CONTEXT_TOKENS = 8192
CONTEXT_QUESTIONS = 2
"""How often a server is asked for its context: Ollama tells it only after the first question."""
CHARACTERS_PER_TOKEN = 4
TOKENS_AROUND_MESSAGE = 6
"""What a chat template puts around a message, at most."""

SET_BY_DADM = frozenset(
    {"messages", "metadata", "model", "n", "response_format", "store", "stream", "stream_options"}
    | {"function_call", "functions", "tool_choice", "tools"}
)
OF_THE_SDK = frozenset({"self", "extra_headers", "extra_query", "timeout"})
ANSWER_LIMITS = ("max_completion_tokens", "max_tokens")
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
            model: For assistants that name none.
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
        self._context_tokens = context_tokens
        self._told: dict[str, int] = {}
        self._times_asked: Counter[str] = Counter()
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
        self._context = ContextTold(self._client, self._errors)

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
        return CHARACTERS_PER_TOKEN * (self._known_context(self._model) or ASSUMED_CONTEXT_TOKENS)

    @staticmethod
    def parameter_names() -> frozenset[str]:
        """Give the names that an assistant's `parameters` may have.

        `extra_body` holds what a server takes beyond OpenAI's own parameters.
        """
        signature = inspect.signature(AsyncCompletions.create)
        return frozenset(signature.parameters) - SET_BY_DADM - OF_THE_SDK

    @asynccontextmanager
    async def take_turn(self, question: Question) -> AsyncGenerator[AsyncIterator[TurnEvent], None]:
        """Ask by one streamed completion; see the port."""
        self._check(question.assistant)
        shown = await self._fit(question)
        stream = EventStream(self._errors, seconds=self._turn_timeout_seconds)
        sent = self._client.chat.completions.create(
            **self._request(question, shown),
            stream=True,
            stream_options={"include_usage": True},
            timeout=timeouts(self._turn_timeout_seconds),
        )
        context = self._known_context(question.assistant.model or self._model)
        async with (
            stream.opened(sent) as chunks,
            aclosing(self._turn_events(shown, stream, chunks, context)) as turn,
        ):
            yield turn

    def _check(self, assistant: Assistant) -> None:
        extra = assistant.parameters.get("extra_body")
        names = {*assistant.parameters, *(extra if isinstance(extra, Mapping) else ())}
        unknown = ({*assistant.parameters} - self.parameter_names()) | (names & SET_BY_DADM)
        if unknown:
            text = (
                f"Assistant {assistant.name!r} sets {', '.join(sorted(unknown))}, which chat "
                "completions do not have or DADM sets itself. Remove it from the parameters; what "
                "only this server knows goes into extra_body."
            )
            raise BackendMisconfigured(text)
        if assistant.tools:
            text = (
                f"Assistant {assistant.name!r} has tools. Chat completions host none; "
                "take them out, or use the openai backend."
            )
            raise BackendMisconfigured(text)

    def _request(self, question: Question, shown: MessagesShown) -> dict[str, Any]:
        assistant = question.assistant
        request: dict[str, Any] = {
            **assistant.parameters,
            "model": assistant.model or self._model,
            "messages": [
                {"role": message.role.value, "content": message.text} for message in shown.messages
            ],
        }
        if question.answer_schema is not None:
            inner = answer_format(assistant, question.answer_schema)
            kind = inner.pop("type")
            request["response_format"] = {"type": kind, kind: inner}
        return request

    async def _fit(self, question: Question) -> MessagesShown:
        """Choose what is shown: the question, and as much of the thread as fits beside it.

        Raises:
            ConversationTooLong: The question does not fit even alone.
        """
        assistant = question.assistant
        context = await self._context_of(assistant.model or self._model)
        shown = messages_shown(
            instructions=assistant.instructions, window=NOTHING, prompt=question.prompt
        )
        room = context - self._answer_limit(assistant, context) - sum(map(_most_tokens, shown))
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

    def _answer_limit(self, assistant: Assistant, context: int) -> int:
        limits = (assistant.parameters.get(name) for name in ANSWER_LIMITS)
        usual = min(self._answer_tokens, context // 2)
        return next((limit for limit in limits if isinstance(limit, int)), usual)

    def _known_context(self, model: str) -> int | None:
        return self._context_tokens or self._told.get(model)

    async def _context_of(self, model: str) -> int:
        if not self._known_context(model) and self._times_asked[model] < CONTEXT_QUESTIONS:
            self._times_asked[model] += 1
            told = await self._context.tokens(model)
            if told is not None:
                self._told[model] = told
        return self._known_context(model) or ASSUMED_CONTEXT_TOKENS

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
        offered = [str(each.get("id")) for each in await self._context.models()]
        if self._model in offered:
            return f"{self._errors.service} offers {self._model}."
        return f"{self._errors.service} answers; it does not list the model {self._model!r}."


def _most_tokens(message: Message) -> int:
    return most_tokens(message.text) + TOKENS_AROUND_MESSAGE
