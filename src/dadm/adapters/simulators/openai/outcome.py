"""Turns the model's answer into the outcome of a response: its status and its output items."""

import json
from collections.abc import Callable
from dataclasses import dataclass

from dadm.adapters.simulators.openai.context import compacted, tokens_in, tokens_of
from dadm.adapters.simulators.openai.faults import RunEnds
from dadm.adapters.simulators.openai.items import id_prefix, output_text
from dadm.adapters.simulators.openai.requests import ResponseRequest
from dadm.adapters.simulators.openai.responders import Answer, FunctionCall
from dadm.adapters.simulators.openai.wire import JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a response ends."""

    status: str
    output: list[JsonObject]
    incomplete_reason: str | None = None
    error: JsonObject | None = None


def failed(code: str, message: str) -> Outcome:
    return Outcome(status="failed", output=[], error={"code": code, "message": message})


def broken_off(end: RunEnds, said: list[JsonObject]) -> Outcome:
    """Give the outcome of a response that ended before its time, with what it had said by then."""
    if end.status == "failed":
        return failed(end.code, end.message)
    output = [*said[:-1], *(item | {"status": "incomplete"} for item in said[-1:])]
    reason = end.code if end.status == "incomplete" else None
    return Outcome(status=end.status, output=output, incomplete_reason=reason)


def outcome_of(
    given: Answer | str,
    *,
    request: ResponseRequest,
    shown: list[JsonObject],
    mint: Callable[[str], str],
) -> Outcome:
    """Give the outcome of a response to which the model answered so.

    A text longer than `max_output_tokens` is cut there, and the response is incomplete. Where a
    schema was asked for, an answer that is not JSON makes it fail: the model of the real API
    cannot say such a thing.
    """
    answer = Answer(text=given) if isinstance(given, str) else given
    if answer.error_code is not None:
        return failed(answer.error_code, answer.error_message)
    text, reason = _cut(answer, request.max_output_tokens)
    if request.json_schema is not None and reason is None and text and not _is_json(text):
        return failed("server_error", "The model's answer is not the JSON that was asked for.")
    status = "completed" if reason is None else "incomplete"
    output = _compaction(request, shown)
    if answer.reasoning is not None:
        summary = [{"type": "summary_text", "text": answer.reasoning}]
        output.append({"type": "reasoning", "summary": summary})
    if answer.refusal is not None:
        output.append(_message({"type": "refusal", "refusal": answer.refusal}, status))
    elif text or not answer.function_calls:
        output.append(_message(output_text(text), status))
    output += [_function_call(call, mint) for call in answer.function_calls]
    return Outcome(
        status=status,
        output=[item | {"id": mint(id_prefix(item["type"]))} for item in output],
        incomplete_reason=reason,
    )


def _cut(answer: Answer, limit: int | None) -> tuple[str, str | None]:
    tokens = tokens_of(answer.text)
    if limit is not None and len(tokens) > limit:
        return "".join(tokens[:limit]), "max_output_tokens"
    return answer.text, answer.incomplete


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _compaction(request: ResponseRequest, shown: list[JsonObject]) -> list[JsonObject]:
    threshold = request.compact_threshold
    if threshold is None or tokens_in(shown, request.instructions) < threshold:
        return []
    return [{"type": "compaction", "encrypted_content": compacted(shown)}]


def _message(part: JsonObject, status: str) -> JsonObject:
    return {"type": "message", "role": "assistant", "status": status, "content": [part]}


def _function_call(call: FunctionCall, mint: Callable[[str], str]) -> JsonObject:
    return {
        "type": "function_call",
        "call_id": call.call_id or mint("call"),
        "name": call.name,
        "arguments": call.arguments,
        "status": "completed",
    }
