"""OpenAI's items and responses, read from its JSON into what the port speaks of."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from dadm.adapters.backends.openai_replies import (
    NO_MODEL_CODES,
    QUOTA_CODES,
    TOO_LONG,
    TOO_LONG_CODES,
)
from dadm.domain.errors import (
    BackendError,
    BackendMisconfigured,
    BackendRefused,
    ConversationTooLong,
    OutcomeUnknown,
)
from dadm.domain.thread import NO_USAGE, Usage
from dadm.domain.transcript import Message, Role
from dadm.ports.backend import (
    Answered,
    CutShort,
    Finding,
    FoundAnswered,
    FoundNothing,
    FoundUnanswered,
    KeptMessage,
    RunCancelled,
    RunFailed,
    Running,
    RunState,
)

Json: TypeAlias = Mapping[str, Any]
"""An object of OpenAI's, as it came; fields may be missing or of another kind on other servers."""

ROLES = {
    "user": Role.USER,
    "assistant": Role.ASSISTANT,
    "system": Role.SYSTEM,
    "developer": Role.SYSTEM,
}
TEMPORARY_FAILURES = frozenset({"server_error", "rate_limit_exceeded", "vector_store_timeout"})
ANSWERED_BY_CALLER = frozenset(
    {
        "apply_patch_call",
        "computer_call",
        "custom_tool_call",
        "function_call",
        "local_shell_call",
        "shell_call",
    }
)
"""Calls whose output the caller owes; without it the conversation takes no more turns."""


def text_of(item: Json) -> str:
    """Give a message's text, whether its content is a text or a list of parts."""
    content = item.get("content")
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "".join(
        str(part.get("text") or "")
        for part in parts
        if part.get("type") in {"input_text", "output_text", "text"}
    )


def kept_message(item: Json) -> KeptMessage | None:
    """Give the item as a message; None for tool calls, reasoning and the like."""
    role = ROLES.get(str(item.get("role")))
    if item.get("type", "message") != "message" or role is None:
        return None
    message = Message(role=role, text=text_of(item))
    return KeptMessage(item_id=str(item.get("id") or ""), message=message)


def is_question(item: Json, prompt: str) -> bool:
    """Whether the item is the user's message `prompt`."""
    return _is_by(item, Role.USER) and text_of(item).strip() == prompt.strip()


def usage_of(response: Json) -> Usage:
    usage = response.get("usage") or {}
    details = usage.get("input_tokens_details") or {}
    return Usage(
        input_tokens=int(usage.get("input_tokens") or 0),
        output_tokens=int(usage.get("output_tokens") or 0),
        cached_tokens=int(details.get("cached_tokens") or 0),
    )


def run_state(response: Json) -> RunState:
    """Say how a response stands.

    Raises:
        OutcomeUnknown: It has no status that we know.
    """
    match response.get("status"):
        case "completed":
            return _completed(response)
        case "incomplete":
            reason = (response.get("incomplete_details") or {}).get("reason")
            return _cut_short(response, str(reason or "incomplete"))
        case "queued" | "in_progress":
            return Running()
        case "failed":
            failure = response.get("error") or {}
            code = str(failure.get("code") or "unknown")
            said = str(failure.get("message") or "no reason given")
            return RunFailed(
                reason=f"{code}: {said}",
                is_temporary=code in TEMPORARY_FAILURES,
                error=failure_of(code, said),
            )
        case "cancelled":
            return RunCancelled()
        case status:
            text = f"Response {response.get('id')!r} has the unknown status {status!r}."
            raise OutcomeUnknown(text)


def failure_of(code: str, said: str) -> type[BackendError]:
    """Give the error that a request would have met at once which a run failed with later."""
    if code in QUOTA_CODES or code in NO_MODEL_CODES:
        return BackendMisconfigured
    if code in TOO_LONG_CODES or TOO_LONG.search(said):
        return ConversationTooLong
    return BackendRefused


def _completed(response: Json) -> Answered | CutShort:
    output = response.get("output") or []
    text = _answer_in(output)
    reason = _why_no_answer(output, text)
    if reason:
        return _cut_short(response, reason)
    return Answered(
        text=text,
        usage=usage_of(response),
        response_id=str(response.get("id") or ""),
        last_item_id=_last_id(output),
    )


def _cut_short(response: Json, reason: str) -> CutShort:
    output = response.get("output") or []
    return CutShort(
        reason=reason,
        partial_text=_answer_in(output) or _refusal_in(output),
        usage=usage_of(response),
        response_id=str(response.get("id") or ""),
    )


def _why_no_answer(items: Sequence[Json], text: str) -> str:
    """Say why a finished run's items are no answer; empty if they are one."""
    if _refusal_in(items):
        return "refusal"
    if _has_orphaned_call(items):
        return "unanswered_tool_call"
    return "" if text else "empty_answer"


def _answer_in(items: Sequence[Json]) -> str:
    """Join the assistant's messages, without its remarks on the way to the answer."""
    spoken = [item for item in items if _is_by(item, Role.ASSISTANT)]
    return "\n\n".join(
        text
        for text in (text_of(item) for item in spoken if item.get("phase") != "commentary")
        if text
    )


def _refusal_in(items: Sequence[Json]) -> str:
    for item in items:
        content = item.get("content")
        for part in content if isinstance(content, list) else []:
            if part.get("type") == "refusal":
                return str(part.get("refusal") or "refused")
    return ""


def _has_orphaned_call(items: Sequence[Json]) -> bool:
    calls = {item.get("call_id") for item in items if item.get("type") in ANSWERED_BY_CALLER}
    outputs = {item.get("call_id") for item in items if str(item.get("type")).endswith("_output")}
    return bool(calls - outputs)


def find_exchange(items: Sequence[Json], prompt: str) -> Finding:
    """Look for our message and its answer in `items`, the oldest first.

    Our exchange begins with the user's message `prompt` and ends before the next message that is
    not part of its answer. Messages outside of it are foreign; a reasoning item or the like
    belongs to no one.
    """
    tail = items[-1:]
    messages = sum(1 for item in items if kept_message(item))
    found: FoundUnanswered | None = None
    for exchange in _exchanges(items, prompt):
        foreign = messages - sum(1 for item in exchange if kept_message(item))
        output = exchange[1:]
        text = _answer_in(output)
        is_whole = all(item.get("status", "completed") == "completed" for item in output)
        if is_whole and not _why_no_answer(output, text):
            answered = Answered(text=text, usage=NO_USAGE, last_item_id=_last_id(tail))
            return FoundAnswered(answered=answered, foreign_items=foreign)
        found = found or FoundUnanswered(foreign_items=foreign)
    return found or FoundNothing(foreign_items=messages)


def _exchanges(items: Sequence[Json], prompt: str) -> Iterator[Sequence[Json]]:
    for start, item in enumerate(items):
        if is_question(item, prompt):
            yield items[start : _end_of_exchange(items, start)]


def _end_of_exchange(items: Sequence[Json], start: int) -> int:
    is_behind_answer = False
    for position in range(start + 1, len(items)):
        message = kept_message(items[position])
        if message is None:
            is_behind_answer = False
            continue
        # A run puts something between two messages of its own (a search, its reasoning): one
        # right behind the answer was written by someone else.
        if message.message.role is not Role.ASSISTANT or is_behind_answer:
            return position
        is_behind_answer = items[position].get("phase") != "commentary"
    return len(items)


def _is_by(item: Json, role: Role) -> bool:
    message = kept_message(item)
    return message is not None and message.message.role is role


def _last_id(items: Sequence[Json]) -> str:
    return str(items[-1].get("id") or "") if items else ""
