"""What is sent to OpenAI for a turn: the request, and which of its parameters are whose."""

import inspect
import re
from collections.abc import Mapping
from typing import Any

from openai.resources.responses import AsyncResponses
from openai.types.responses import EasyInputMessageParam
from openai.types.responses.response_input_item_param import ItemReference

from dadm.domain.assistant import Assistant
from dadm.domain.errors import BackendMisconfigured
from dadm.domain.json import JsonObject
from dadm.domain.transcript import Message
from dadm.ports.backend import Question

SET_BY_DADM = frozenset(
    {
        "background",
        "background_options",
        "conversation",
        "input",
        "instructions",
        "metadata",
        "model",
        "previous_response_id",
        "prompt",
        "store",
        "stream",
        "tools",
        "truncation",
    }
)
OF_THE_SDK = frozenset({"self", "extra_headers", "extra_query", "extra_body", "timeout"})
NEEDS_A_CALLER = frozenset(
    {"apply_patch", "computer", "computer_use_preview", "custom", "function", "local_shell"}
)
"""Tools that someone on our side would have to run."""

METADATA_KEYS = 16
METADATA_KEY_LENGTH = 64
METADATA_VALUE_LENGTH = 512
NAME_LENGTH = 64


def parameter_names() -> frozenset[str]:
    """Give the names that an assistant's `parameters` may have: those of Responses, less ours."""
    signature = inspect.signature(AsyncResponses.create)
    return frozenset(signature.parameters) - SET_BY_DADM - OF_THE_SDK


def turn_request(question: Question, *, model: str, use_background: bool) -> dict[str, Any]:
    """Build the arguments of `responses.create` for a turn.

    Raises:
        BackendMisconfigured: The assistant asks for something that cannot be sent.
    """
    assistant = question.assistant
    _check(assistant)
    request: dict[str, Any] = {
        "prompt_cache_key": f"{assistant.name[: NAME_LENGTH - 13]}:{assistant.version}",
        **assistant.parameters,
        "model": assistant.model or model,
        "conversation": question.conversation_id,
        "input": question.prompt,
        "store": True,
        "truncation": "disabled",
        "metadata": metadata_of(question.labels),
    }
    if use_background:
        request["background"] = True
    if assistant.instructions:
        request["instructions"] = assistant.instructions
    if assistant.tools:
        request["tools"] = [dict(tool) for tool in assistant.tools]
    if question.answer_schema is not None:
        given = assistant.parameters.get("text")
        text = given if isinstance(given, Mapping) else {}
        request["text"] = {**text, "format": answer_format(assistant, question.answer_schema)}
    return request


def answer_format(assistant: Assistant, schema: JsonObject) -> dict[str, Any]:
    name = re.sub(r"[^A-Za-z0-9_-]", "_", assistant.name)[:NAME_LENGTH]
    return {"type": "json_schema", "name": name or "answer", "schema": schema, "strict": True}


def metadata_of(labels: JsonObject) -> dict[str, str]:
    """Give labels as metadata, cut to what OpenAI takes of it."""
    return {
        name[:METADATA_KEY_LENGTH]: str(labels[name])[:METADATA_VALUE_LENGTH]
        for name in list(labels)[:METADATA_KEYS]
    }


def message_item(message: Message) -> EasyInputMessageParam:
    return {"type": "message", "role": message.role.value, "content": message.text}


def link_item(item_id: str) -> ItemReference:
    return {"type": "item_reference", "id": item_id}


def _check(assistant: Assistant) -> None:
    unknown = sorted(set(assistant.parameters) - parameter_names())
    if unknown:
        text = (
            f"Assistant {assistant.name!r} sets {', '.join(unknown)}, which OpenAI's Responses do "
            "not have or DADM sets itself. Remove it from the assistant's parameters."
        )
        raise BackendMisconfigured(text)
    for tool in assistant.tools:
        if tool.get("type") in NEEDS_A_CALLER:
            text = (
                f"Assistant {assistant.name!r} has a tool of type {tool.get('type')!r}, which "
                "DADM would have to run itself. Only tools that OpenAI hosts can be used."
            )
            raise BackendMisconfigured(text)
