"""Who answers in the model's place: a script, an echo of what was shown, or a real model."""

import asyncio
import inspect
import json
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

from dadm.adapters.simulators.openai.context import ShownMessage
from dadm.adapters.simulators.openai.requests import ResponseRequest
from dadm.domain.errors import BackendRefused


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionCall:
    """The model wants a function of the caller's run; `arguments` is a JSON text."""

    name: str
    arguments: str = "{}"
    call_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the model puts out where a plain text is not enough.

    Attributes:
        text: The message; empty for none, as with function calls.
        reasoning: A summary of reasoning that comes before everything else.
        function_calls: Calls that come after the message.
        refusal: A refusal in the place of the text.
        incomplete: Ends the response as `incomplete` for this reason.
        error_code: Ends the response as `failed` with this code and nothing put out.
        error_message: Goes with `error_code`.
    """

    text: str = ""
    reasoning: str | None = None
    function_calls: tuple[FunctionCall, ...] = ()
    refusal: str | None = None
    incomplete: Literal["max_output_tokens", "content_filter"] | None = None
    error_code: Literal["server_error", "rate_limit_exceeded", "invalid_prompt"] | None = None
    error_message: str = "The model failed to answer."


class Responder(Protocol):
    """Answers a request; it may take its time, while the response runs and holds its lock.

    `messages` are oldest first, without the instructions. What it raises makes the response fail
    with `server_error`.
    """

    async def __call__(
        self,
        instructions: str | None,
        messages: Sequence[ShownMessage],
        request: ResponseRequest,
    ) -> Answer | str: ...


class Generate(Protocol):
    """A real model: completes `messages` (role and content, instructions first) to a text."""

    async def __call__(
        self,
        messages: list[dict[str, str]],
        *,
        max_tokens: int | None,
        temperature: float | None,
        json_schema: dict[str, Any] | None,
    ) -> str: ...


class ScriptExhausted(LookupError):
    """The script holds no further answer."""


Script: TypeAlias = (
    Iterable[Answer | str]
    | Callable[
        [str | None, Sequence[ShownMessage], ResponseRequest],
        Answer | str | Awaitable[Answer | str],
    ]
)


class Scripted:
    """Answers from a list, each entry once and in order, or from a function of the request."""

    def __init__(self, script: Script) -> None:
        self._function = script if callable(script) else None
        answers = [script] if isinstance(script, str) else script
        self._answers = iter(() if callable(answers) else answers)

    async def __call__(
        self,
        instructions: str | None,
        messages: Sequence[ShownMessage],
        request: ResponseRequest,
    ) -> Answer | str:
        if self._function is not None:
            answer = self._function(instructions, messages, request)
            return await answer if inspect.isawaitable(answer) else answer
        try:
            return next(self._answers)
        except StopIteration as end:
            message = "The script of the simulated model holds no further answer."
            raise ScriptExhausted(message) from end


class Echo:
    """Repeats all that users and tools said to it, so that an answer shows what was remembered.

    Where a schema is asked for, the answer is the smallest value that fits it, with the echo in
    its strings.
    """

    async def __call__(
        self,
        instructions: str | None,
        messages: Sequence[ShownMessage],
        request: ResponseRequest,
    ) -> str:
        del instructions
        told = [message.text for message in messages if message.role != "assistant"]
        echo = f"I was told: {' | '.join(told)}" if told else "I was told nothing."
        if request.json_schema is None:
            return echo
        return json.dumps(smallest_value(request.json_schema, echo), ensure_ascii=False)


class FromModel:
    """Hands the messages to a real model, as chat messages with the instructions first."""

    def __init__(self, generate: Generate) -> None:
        self._generate = generate

    async def __call__(
        self,
        instructions: str | None,
        messages: Sequence[ShownMessage],
        request: ResponseRequest,
    ) -> str:
        chat = [{"role": "system", "content": instructions}] if instructions else []
        for message in messages:
            role = "system" if message.role == "developer" else message.role
            chat.append({"role": role, "content": message.text})
        return await self._generate(
            chat,
            max_tokens=request.max_output_tokens,
            temperature=request.temperature,
            json_schema=request.json_schema,
        )


class FromScript:
    """Says what a script has for the last message; what the script refuses is refused."""

    def __init__(self, answer: Callable[[str], Awaitable[str]]) -> None:
        self._answer = answer

    async def __call__(
        self,
        instructions: str | None,
        messages: Sequence[ShownMessage],
        request: ResponseRequest,
    ) -> Answer | str:
        del instructions, request
        try:
            return await self._answer(messages[-1].text if messages else "")
        except BackendRefused as refusal:
            return Answer(refusal=refusal.message)


class Held:
    """Keeps every answer of `inner` back until it is let go, so that a test can act meanwhile."""

    def __init__(self, inner: Responder) -> None:
        self._inner = inner
        self._asked = asyncio.Semaphore(0)
        self._let_go = asyncio.Semaphore(0)

    async def asked(self) -> None:
        """Wait until the model has been asked once more."""
        await self._asked.acquire()

    def let_go(self) -> None:
        """Let one answer go, now or when it is asked for."""
        self._let_go.release()

    async def __call__(
        self,
        instructions: str | None,
        messages: Sequence[ShownMessage],
        request: ResponseRequest,
    ) -> Answer | str:
        self._asked.release()
        await self._let_go.acquire()
        return await self._inner(instructions, messages, request)


def smallest_value(schema: dict[str, Any], text: str) -> Any:
    """Give the smallest value that fits a plain JSON schema, with `text` for its strings."""
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][0]
    for choice in ("anyOf", "oneOf"):
        if choice in schema:
            return smallest_value(schema[choice][0], text)
    kinds = schema.get("type", "object")
    value: Any = None
    match kinds[0] if isinstance(kinds, list) else kinds:
        case "string":
            value = text
        case "integer" | "number":
            value = schema.get("minimum", 0)
        case "boolean":
            value = True
        case "array":
            items = schema.get("items", {"type": "string"})
            value = [smallest_value(items, text)] * schema.get("minItems", 1)
        case "object":
            properties = schema.get("properties", {})
            value = {name: smallest_value(inner, text) for name, inner in properties.items()}
    return value
