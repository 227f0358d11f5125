"""The JSON of conversations, responses, pages and models, as the official SDK's types want it."""

from collections.abc import Mapping, Sequence

from dadm.adapters.simulators.openai import errors, validation
from dadm.adapters.simulators.openai.context import tokens_in, tokens_of
from dadm.adapters.simulators.openai.state import Conversation, StoredResponse
from dadm.adapters.simulators.openai.wire import JsonObject

ECHOED: JsonObject = {
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "safety_identifier": None,
    "temperature": 1.0,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": 1.0,
    "truncation": "disabled",
    "user": None,
}
"""Parameters that a response repeats, with what it says where they were not given."""


def conversation_body(conversation: Conversation) -> JsonObject:
    return {
        "id": conversation.id,
        "object": "conversation",
        "created_at": conversation.created_at,
        "metadata": dict(conversation.metadata),
    }


def conversation_deleted(conversation_id: str) -> JsonObject:
    return {"id": conversation_id, "object": "conversation.deleted", "deleted": True}


def response_deleted(response_id: str) -> JsonObject:
    return {"id": response_id, "object": "response", "deleted": True}


def response_body(response: StoredResponse) -> JsonObject:
    """Give the response as it stands now; later changes do not show in it."""
    request = response.request
    given = {name: value for name, value in request.body.items() if value is not None}
    body: JsonObject = {
        "id": response.id,
        "object": "response",
        "created_at": int(response.created_at),
        "status": response.status,
        "background": request.background,
        "error": response.error,
        "incomplete_details": _incomplete_details(response),
        "model": request.model,
        "metadata": dict(request.metadata),
        "output": list(response.output),
        "reasoning": given.get("reasoning", {"effort": None, "summary": None}),
        "service_tier": "default",
        "usage": response.usage,
    }
    body |= {name: given.get(name, default) for name, default in ECHOED.items()}
    if response.status == "completed":
        body["completed_at"] = int(response.ended_at or 0)
    if request.conversation_id is not None:
        body["conversation"] = {"id": request.conversation_id}
    return body


def usage(response: StoredResponse, output: Sequence[JsonObject]) -> JsonObject:
    """Count the tokens of a response whose output is `output`."""
    input_tokens = tokens_in(response.shown, response.request.instructions)
    thought = [part["text"] for item in output for part in item.get("summary", [])]
    reasoning_tokens = sum(len(tokens_of(text)) for text in thought)
    output_tokens = tokens_in(output, None) + reasoning_tokens
    return {
        "input_tokens": input_tokens,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": output_tokens,
        "output_tokens_details": {"reasoning_tokens": reasoning_tokens},
        "total_tokens": input_tokens + output_tokens,
    }


def page(items: Sequence[JsonObject], query: Mapping[str, str]) -> JsonObject:
    """Give the page of `items` (oldest first) that a listing's query asks for.

    Raises:
        ApiError: the limit or order is not allowed, or `after` names no item of these.
    """
    limit = validation.page_limit(query)
    ordered = list(reversed(items)) if validation.is_descending(query) else list(items)
    after = query.get("after")
    if after is not None:
        ids = [item["id"] for item in ordered]
        if after not in ids:
            raise errors.unknown_cursor(after)
        ordered = ordered[ids.index(after) + 1 :]
    return listing(ordered[:limit], has_more=len(ordered) > limit)


def listing(items: Sequence[JsonObject], *, has_more: bool = False) -> JsonObject:
    return {
        "object": "list",
        "data": list(items),
        "first_id": items[0]["id"] if items else "",
        "last_id": items[-1]["id"] if items else "",
        "has_more": has_more,
    }


def _incomplete_details(response: StoredResponse) -> JsonObject | None:
    if response.incomplete_reason is None:
        return None
    return {"reason": response.incomplete_reason}
