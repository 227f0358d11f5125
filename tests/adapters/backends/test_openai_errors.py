"""Every way in which OpenAI can fail a turn, and what DADM makes of it; never by asking twice."""

import asyncio
import logging
import traceback
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx2
import pytest

from dadm.domain.assistant import Assistant
from dadm.domain.errors import (
    BackendError,
    BackendMisconfigured,
    BackendRefused,
    BackendUnavailable,
    ConversationBroken,
    ConversationBusy,
    ConversationLost,
    ConversationTooLong,
    OutcomeUnknown,
)
from dadm.domain.thread import ConversationId
from dadm.domain.transcript import Message, Role
from tests.adapters.backends.under_test import KEY, events_of, question
from tests.adapters.backends.wire import (
    CREATED,
    Reply,
    Wire,
    delta,
    error,
    happened,
    lines_of,
    openai_over,
    response,
    sse,
    stream,
)

ON = ConversationId("conv_1")
ASKED = question(ON, "Who?")

REPLIES: dict[str, tuple[Reply, type[BackendError], str]] = {
    "E1 a response is running": (
        error(
            400,
            "Another process is currently operating on this conversation.",
            param="conversation",
            code="conversation_locked",
        ),
        ConversationBusy,
        "running",
    ),
    "E2 conversation missing": (
        error(404, "Conversation with id 'conv_1' not found."),
        ConversationLost,
        "conv_1",
    ),
    "E3 conversation missing on Azure": (
        error(404, "Not there.", param="conversation_id", code="invalid_request_error"),
        ConversationLost,
        "Not there.",
    ),
    "conversation missing elsewhere": (
        httpx2.Response(404, json={"detail": "Conversation 'conv_1' not found."}),
        ConversationLost,
        "conv_1",
    ),
    "conversation missing at agentic-api": (
        error(404, "storage error: not found: Conversation with id 'conv_1'", code="not_found"),
        ConversationLost,
        "conv_1",
    ),
    "an item of a conversation missing": (
        error(404, "storage error: not found: Conversation item with id 'm'", code="not_found"),
        BackendMisconfigured,
        "item",
    ),
    "E4 malformed conversation id": (
        error(400, "Invalid 'conversation'.", param="conversation", code="invalid_value"),
        BackendRefused,
        "Invalid",
    ),
    "E6 model missing": (
        error(404, "The requested model 'gpt-test' does not exist.", code="model_not_found"),
        BackendMisconfigured,
        "gpt-test",
    ),
    "model missing at Ollama": (
        error(404, 'model "gpt-test" not found, try pulling it first', type="api_error"),
        BackendMisconfigured,
        "gpt-test",
    ),
    "E7 an item of the conversation missing": (
        error(404, "Item with id 'rs_1' not found. Items are not persisted …", param="input"),
        ConversationBroken,
        "rs_1",
    ),
    "E10 metadata over its limits": (
        error(400, "Too many.", param="metadata", code="object_above_max_properties"),
        BackendMisconfigured,
        "metadata",
    ),
    "E13 unanswered function call": (
        error(400, "No tool output found for function call call_1.", param="input"),
        ConversationBroken,
        "call_1",
    ),
    "E14 half a reasoning pair": (
        error(
            400,
            "Item 'rs_1' of type 'reasoning' was provided without its required following item.",
        ),
        ConversationBroken,
        "rs_1",
    ),
    "E15 parameters that exclude each other": (
        error(
            400,
            "Mutually exclusive parameters: ''. Ensure you are only providing one of: 'a' or 'b'.",
            code="mutually_exclusive_parameters",
        ),
        BackendMisconfigured,
        "Mutually exclusive",
    ),
    "a parameter the model does not take": (
        error(
            400,
            "Unsupported parameter: 'temperature' is not supported with this model.",
            param="temperature",
        ),
        BackendMisconfigured,
        "temperature",
    ),
    "the same without its name": (
        error(400, "Unsupported parameter: 'top_p' is not supported with this model."),
        BackendMisconfigured,
        "top_p",
    ),
    "a parameter's value is wrong": (
        error(400, "Too small.", param="max_output_tokens", code="integer_below_min_value"),
        BackendMisconfigured,
        "max_output_tokens",
    ),
    "a schema is wrong": (
        error(400, "Bad schema.", param="text.format.schema", code="invalid_json_schema"),
        BackendMisconfigured,
        "text.format.schema",
    ),
    "over the window": (
        error(
            400,
            "Your input exceeds the context window of this model.",
            param="input",
            code="context_length_exceeded",
        ),
        ConversationTooLong,
        "window",
    ),
    "content filter": (
        error(400, "The response was filtered.", param="prompt", code="content_filter"),
        BackendRefused,
        "filtered",
    ),
    "policy": (
        error(400, "Your prompt was flagged.", code="invalid_prompt"),
        BackendRefused,
        "flagged",
    ),
    "other 400": (error(400, "We do not like it.", param="input"), BackendRefused, "like"),
    "other 404": (error(404, "There is no such thing."), BackendMisconfigured, "thing"),
    "wrong path at Azure": (
        error(404, "Resource not found", code="404"),
        BackendMisconfigured,
        "OPENAI_BASE_URL",
    ),
    "no deployment at Azure": (
        error(
            404, "The API deployment for this resource does not exist.", code="DeploymentNotFound"
        ),
        BackendMisconfigured,
        "no such model",
    ),
    "unknown model": (
        error(400, "Unknown model: gpt-9", code="unknown_model"),
        BackendMisconfigured,
        "no such model",
    ),
    "422": (error(422, "Not understood."), BackendRefused, "understood"),
    "413": (error(413, "Too much."), BackendRefused, "too large"),
    "401": (error(401, f"Incorrect API key provided: {KEY}."), BackendMisconfigured, "OPENAI_API"),
    "403": (error(403, "The project may not use it."), BackendMisconfigured, "project"),
    "wrong base URL": (
        error(404, "Invalid URL (POST /v2/responses)"),
        BackendMisconfigured,
        "OPENAI_BASE_URL",
    ),
    "a web page instead of an API": (
        httpx2.Response(404, html="<html>nothing here</html>"),
        BackendMisconfigured,
        "OPENAI_BASE_URL",
    ),
    "429": (error(429, "Slow down.", code="rate_limit_exceeded"), BackendUnavailable, "429"),
    "429 quota": (
        error(429, "You exceeded your quota.", code="insufficient_quota"),
        BackendMisconfigured,
        "quota",
    ),
    "400 from something in between": (
        httpx2.Response(400, text="bad request"),
        OutcomeUnknown,
        "400",
    ),
    "not offered": (httpx2.Response(405), BackendMisconfigured, "OPENAI_BASE_URL"),
    "not offered yet": (error(501, "Not implemented."), BackendMisconfigured, "OPENAI_BASE"),
    "408": (error(408, "Too slow."), OutcomeUnknown, "408"),
    "409": (error(409, "Conflict."), OutcomeUnknown, "409"),
    "500": (error(500, "Sorry."), OutcomeUnknown, "500"),
    "503": (error(503, "Overloaded."), OutcomeUnknown, "503"),
    "not known yet": (error(418, "I am a teapot."), OutcomeUnknown, "418"),
    "connection refused": (httpx2.ConnectError("refused"), BackendUnavailable, "not reachable"),
    "no time to connect": (httpx2.ConnectTimeout("slow"), BackendUnavailable, "not reachable"),
    "no connection free": (httpx2.PoolTimeout("full"), BackendUnavailable, "not reachable"),
    "a proxy refuses": (httpx2.ProxyError("no"), BackendUnavailable, "not reachable"),
    "not an address": (httpx2.UnsupportedProtocol("ftp"), BackendMisconfigured, "OPENAI_BASE_URL"),
    "silence": (httpx2.ReadTimeout("silent"), OutcomeUnknown, "silent"),
    "reset": (httpx2.ReadError("reset"), OutcomeUnknown, "broke"),
    "half a request": (httpx2.WriteError("reset"), OutcomeUnknown, "broke"),
    "half a reply": (httpx2.RemoteProtocolError("closed"), OutcomeUnknown, "broke"),
}


@pytest.mark.parametrize("situation", REPLIES)
async def test_a_turn_fails_by_the_table_and_is_asked_once(situation: str) -> None:
    reply, expected, words = REPLIES[situation]
    wire = Wire(reply)

    async with openai_over(wire) as backend:
        with pytest.raises(BackendError) as raised:
            await events_of(backend, ASKED)

    assert type(raised.value) is expected
    assert words in raised.value.message
    assert wire.sent == ["POST /v1/responses"]


STREAMS: dict[str, list[Any]] = {
    "connection dropped": [CREATED, delta("In"), httpx2.ReadError("reset")],
    "silence": [CREATED, httpx2.ReadTimeout("silent")],
    "body breaks off": [CREATED, httpx2.RemoteProtocolError("incomplete")],
    "no terminal event": [CREATED, delta("Ines.")],
    "nothing at all": [],
    "an error as typed": [
        CREATED,
        happened("error", code="server_error", message="Sorry.", param=None),
    ],
    "an error as recorded": [
        CREATED,
        happened("error", error={"message": "Sorry.", "code": "server_error"}),
        happened("response.failed", response=response("failed")),
    ],
    "failed": [
        CREATED,
        happened(
            "response.failed",
            response=response("failed", error={"code": "server_error", "message": "Sorry."}),
        ),
    ],
    "an end that is none": [
        CREATED,
        happened("response.completed", response=response("in_progress")),
    ],
}


@pytest.mark.parametrize("situation", STREAMS)
async def test_a_stream_without_a_definite_end_leaves_the_outcome_unknown(situation: str) -> None:
    wire = Wire(stream(*STREAMS[situation]))

    async with openai_over(wire) as backend:
        with pytest.raises(OutcomeUnknown):
            await events_of(backend, ASKED)

    assert wire.sent == ["POST /v1/responses"]


async def test_a_stream_that_is_not_json_leaves_the_outcome_unknown() -> None:
    reply = httpx2.Response(
        200, headers={"content-type": "text/event-stream"}, content=b"data: {half\n\n"
    )

    async with openai_over(Wire(reply)) as backend:
        with pytest.raises(OutcomeUnknown):
            await events_of(backend, ASKED)


async def test_a_turn_that_takes_too_long_leaves_the_outcome_unknown() -> None:
    class Silent(httpx2.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield sse(CREATED)
            await asyncio.Event().wait()

    headers = {"content-type": "text/event-stream"}
    wire = Wire(lambda _: httpx2.Response(200, headers=headers, stream=Silent()))

    async with openai_over(wire, turn_timeout_seconds=0.01) as backend:
        with pytest.raises(OutcomeUnknown, match="in time"):
            await events_of(backend, ASKED)


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"retry-after": "7"}, timedelta(seconds=7)),
        ({"retry-after-ms": "1500", "retry-after": "9"}, timedelta(seconds=1.5)),
        (
            {
                "date": "Mon, 02 Nov 2026 10:00:00 GMT",
                "retry-after": "Mon, 02 Nov 2026 10:00:30 GMT",
            },
            timedelta(seconds=30),
        ),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "nan"}, None),
        ({}, None),
    ],
)
async def test_how_long_to_wait_is_read(headers: dict[str, str], wait: timedelta | None) -> None:
    async with openai_over(Wire(error(429, "Slow down.", headers=headers))) as backend:
        with pytest.raises(BackendUnavailable) as raised:
            await events_of(backend, ASKED)

    assert raised.value.retry_after == wait


@pytest.mark.parametrize("situation", ["E6 model missing", "a parameter the model does not take"])
async def test_a_refused_model_or_parameter_names_the_assistant_and_its_file(
    situation: str,
) -> None:
    reply, expected, _ = REPLIES[situation]
    assistant = Assistant(name="careful", instructions="", origin="assistants/careful.md")

    async with openai_over(Wire(reply)) as backend:
        with pytest.raises(expected, match=r"assistant 'careful' in assistants/careful\.md"):
            await events_of(backend, question(ON, "Who?", assistant=assistant))


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422, 429, 500])
async def test_the_key_is_in_no_error_and_no_log(
    status: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    said = f"Your key is {KEY}, or sk-abcd***wxyz, isn't it?"

    async with openai_over(Wire(error(status, said))) as backend:
        with pytest.raises(BackendError) as raised:
            await events_of(backend, ASKED)

    told = "\n".join(
        [
            *lines_of(raised.value),
            *traceback.format_exception(raised.value),
            caplog.text,
            repr(backend),
            repr(vars(backend)),
            str(backend.identity),
        ]
    )
    assert KEY not in told
    assert "sk-abcd" not in told


@pytest.mark.parametrize("failure", [500, httpx2.ReadTimeout("silent")])
async def test_nothing_that_writes_is_sent_twice(failure: int | Exception) -> None:
    wire = Wire(error(failure, "Sorry.") if isinstance(failure, int) else failure)

    async with openai_over(wire) as backend:
        with pytest.raises(OutcomeUnknown):
            await backend.open(labels={})
        with pytest.raises(OutcomeUnknown):
            await backend.append(ON, [Message(role=Role.USER, text="Who?")])
        with pytest.raises(OutcomeUnknown):
            await backend.cancel("resp_1")

    assert wire.sent == [
        "POST /v1/conversations",
        "POST /v1/conversations/conv_1/items",
        "POST /v1/responses/resp_1/cancel",
    ]


@pytest.mark.parametrize(
    "reply",
    [
        error(401, "No."),
        error(404, "Invalid URL (GET /v2/conversations/conv_1)"),
        httpx2.Response(404, html="<html>nothing here</html>"),
        httpx2.Response(404, json={"detail": "Not Found"}),
        error(429, "Slow down."),
        error(500, "Sorry."),
        httpx2.ConnectError("refused"),
    ],
)
async def test_only_its_own_404_says_that_a_conversation_is_gone(reply: Reply) -> None:
    async with openai_over(Wire(reply)) as backend:
        with pytest.raises(BackendError) as raised:
            await backend.exists(ON)

    assert not isinstance(raised.value, ConversationLost)
