"""What the model is shown for a response: the items before it, checked, counted and made to fit."""

import base64
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from dadm.adapters.simulators.openai import errors
from dadm.adapters.simulators.openai.wire import JsonObject

COMPACTION_TOKENS = 100
REMEMBERED_COUNTS = 65_536
TOKEN = re.compile(r"\s*\S{1,8}|\s+$")


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownMessage:
    """A message as the model sees it; a tool call is the assistant's, its output the tool's."""

    role: str
    text: str


def tokens_of(text: str) -> list[str]:
    """Cut `text` into the simulated model's tokens, which joined give it back.

    A token is a word of up to eight characters with the space before it.
    """
    return TOKEN.findall(text)


@lru_cache(maxsize=REMEMBERED_COUNTS)
def token_count(text: str) -> int:
    return len(tokens_of(text))


def tokens_in(items: Sequence[JsonObject], instructions: str | None) -> int:
    count = token_count(instructions or "")
    for item in since_compaction(items):
        if item["type"] == "compaction":
            count += COMPACTION_TOKENS
        else:
            count += sum(token_count(message.text) for message in _shown(item))
    return count


def since_compaction(items: Sequence[JsonObject]) -> Sequence[JsonObject]:
    """Give the items from the last compaction on; it stands for all those before it."""
    for position in range(len(items) - 1, -1, -1):
        if items[position]["type"] == "compaction":
            return items[position:]
    return items


def shown(items: Sequence[JsonObject]) -> tuple[ShownMessage, ...]:
    return tuple(message for item in since_compaction(items) for message in _shown(item))


def compacted(items: Sequence[JsonObject]) -> str:
    """Pack what the model was shown so far into the opaque content of a compaction item."""
    packed = json.dumps([[message.role, message.text] for message in shown(items)])
    return base64.b64encode(packed.encode()).decode()


def fitted(
    items: Sequence[JsonObject], *, instructions: str | None, window: int, truncates: bool
) -> Sequence[JsonObject]:
    """Give the items that fit into a window of so many tokens, dropping the oldest if allowed.

    Raises:
        ApiError: they do not fit, and nothing may be dropped or what remains is still too long.
    """
    excess = tokens_in(items, instructions) - window
    if excess <= 0:
        return items
    for position, item in enumerate(items if truncates else ()):
        excess -= tokens_in([item], None)
        if excess <= 0 and position + 1 < len(items):
            return items[position + 1 :]
    raise errors.input_over_the_window()


def check_tool_calls(items: Sequence[JsonObject]) -> None:
    """Refuse a context in which a function call has no output, or an output no call."""
    called = {item["call_id"]: None for item in items if item["type"] == "function_call"}
    answered = {item["call_id"]: None for item in items if item["type"] == "function_call_output"}
    for call_id in called:
        if call_id not in answered:
            raise errors.missing_tool_output(call_id)
    for call_id in answered:
        if call_id not in called:
            raise errors.missing_tool_call(call_id)


def check_reasoning(items: Sequence[JsonObject], followers: Mapping[str, str | None]) -> None:
    """Refuse a context in which a reasoning item has lost the item that came out with it.

    `followers` names that item for each reasoning item the API itself made, or None where there
    is none; any other must stand before something that the assistant said or did.
    """
    for position, item in enumerate(items):
        if item["type"] != "reasoning":
            continue
        following = items[position + 1] if position + 1 < len(items) else None
        if item["id"] in followers:
            expected = followers[item["id"]]
            is_whole = expected is None or (following is not None and following["id"] == expected)
        else:
            is_whole = following is not None and following.get("role", "assistant") == "assistant"
        if not is_whole:
            raise errors.half_a_reasoning_pair(item["id"])


def text_of(content: str | list[JsonObject]) -> str:
    """Give the text of a message's content; a part without text is named by its type."""
    if isinstance(content, str):
        return content
    return "\n".join(
        part.get("text") or part.get("refusal") or f"[{part['type']}]" for part in content
    )


def _shown(item: JsonObject) -> list[ShownMessage]:
    match item["type"]:
        case "message":
            return [ShownMessage(role=item["role"], text=text_of(item["content"]))]
        case "function_call":
            called = f"{item['name']}({item['arguments']})"
            return [ShownMessage(role="assistant", text=called)]
        case "function_call_output":
            return [ShownMessage(role="tool", text=text_of(item["output"]))]
        case "compaction":
            return unpacked(item["encrypted_content"])
        case _:
            return []


def unpacked(content: str) -> list[ShownMessage]:
    """Read the opaque content of a compaction item.

    Raises:
        ApiError: it is none that `compacted` made.
    """
    try:
        packed = json.loads(base64.b64decode(content))
        return [ShownMessage(role=role, text=text) for role, text in packed]
    except (ValueError, TypeError) as error:
        raise errors.ApiError(
            "The encrypted content of a compaction item could not be verified.",
            param="input",
            code="invalid_encrypted_content",
        ) from error
