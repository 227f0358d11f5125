"""What is sent to a chat server for a turn: the request, and which of its parameters are whose."""

import inspect
from collections.abc import Mapping
from typing import Any

from openai.resources.chat.completions import AsyncCompletions

from dadm.adapters.backends.openai_requests import answer_format
from dadm.domain.assistant import Assistant
from dadm.domain.errors import BackendMisconfigured
from dadm.ports.backend import MessagesShown, Question

SET_BY_DADM = frozenset(
    {"messages", "metadata", "model", "n", "response_format", "store", "stream", "stream_options"}
    | {"function_call", "functions", "tool_choice", "tools"}
)
OF_THE_SDK = frozenset({"self", "extra_headers", "extra_query", "timeout"})
ANSWER_LIMITS = ("max_completion_tokens", "max_tokens")


def parameter_names() -> frozenset[str]:
    """Give the names that an assistant's `parameters` may have: those of the API, less ours.

    `extra_body` holds what a server takes beyond OpenAI's own parameters.
    """
    signature = inspect.signature(AsyncCompletions.create)
    return frozenset(signature.parameters) - SET_BY_DADM - OF_THE_SDK


def check_assistant(assistant: Assistant) -> None:
    """Make sure that what the assistant asks for can be sent.

    Raises:
        BackendMisconfigured: It sets what is ours or nobody's, or has tools.
    """
    extra = assistant.parameters.get("extra_body")
    names = {*assistant.parameters, *(extra if isinstance(extra, Mapping) else ())}
    refused = ({*assistant.parameters} - parameter_names()) | (names & SET_BY_DADM)
    if refused:
        text = (
            f"Assistant {assistant.name!r} sets {', '.join(sorted(refused))}, which chat "
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


def chat_request(question: Question, shown: MessagesShown, *, model: str) -> dict[str, Any]:
    """Build the arguments of `chat.completions.create` for a turn."""
    assistant = question.assistant
    request: dict[str, Any] = {
        **assistant.parameters,
        "model": model,
        "messages": [
            {"role": message.role.value, "content": message.text} for message in shown.messages
        ],
    }
    if question.answer_schema is not None:
        inner = answer_format(assistant, question.answer_schema)
        kind = inner.pop("type")
        request["response_format"] = {"type": kind, kind: inner}
    return request


def answer_limit(assistant: Assistant) -> int | None:
    """Give the limit that the assistant's parameters set for an answer, in tokens."""
    limits = (assistant.parameters.get(name) for name in ANSWER_LIMITS)
    return next((limit for limit in limits if isinstance(limit, int)), None)
