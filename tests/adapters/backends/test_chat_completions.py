"""What the chat backend shows a server, and how it reads what comes back."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import httpx2
import pytest

from dadm.adapters.backends.chat_completions import ChatCompletions
from dadm.domain.errors import (
    BackendError,
    BackendMisconfigured,
    BackendRefused,
    BackendUnavailable,
    ConversationTooLong,
    OutcomeUnknown,
)
from dadm.domain.thread import BackendIdentity, ConversationId, Usage
from dadm.domain.transcript import Role
from dadm.ports.backend import Answered, CutShort, MessagesShown, TurnEvent
from tests.adapters.backends.chat_server import ChatServer, Json, spoken
from tests.adapters.backends.under_test import (
    ANALYST,
    BASE_URL,
    KEY,
    answer,
    events_of,
    history,
    question,
)
from tests.adapters.backends.wire import Reply, Wire, error, lines_of
from tests.adapters.simulators.in_process import InProcess

ON = ConversationId("chat_1")
CONTEXT_SETTING = "DADM_CHAT__CONTEXT_TOKENS"
MODELS = "GET /v1/models"
ASK = "POST /v1/chat/completions"


@pytest.fixture
def server() -> ChatServer:
    return ChatServer()


@asynccontextmanager
async def chat_at(far_end: ChatServer | Wire, **settings: Any) -> AsyncIterator[ChatCompletions]:
    transport = httpx2.MockTransport(far_end) if isinstance(far_end, Wire) else InProcess(far_end)
    given: Json = {"base_url": BASE_URL, "model": "tiny", "api_key": KEY} | settings
    async with (
        httpx2.AsyncClient(transport=transport) as http,
        ChatCompletions(http_client=http, **given) as backend,
    ):
        yield backend


async def shown_by(server: ChatServer, asked: Any, **settings: Any) -> MessagesShown:
    async with chat_at(server, **settings) as backend:
        first, *_ = await events_of(backend, asked)
    assert isinstance(first, MessagesShown)
    return first


async def last_of(server: ChatServer, **settings: Any) -> TurnEvent:
    async with chat_at(server, **settings) as backend:
        return (await events_of(backend, question(ON, "Who?")))[-1]


def long_history(count: int, words: int = 50) -> Any:
    return history(*((f"Question {n}: {'why ' * words}", f"Answer {n}.") for n in range(count)))


async def test_a_turn_is_one_streamed_request_with_the_whole_window(server: ChatServer) -> None:
    before = history(("Who owns it?", "Ines."))
    async with chat_at(server, context_tokens=1000) as backend:
        answered = await answer(backend, ON, "How much?", history=before)

    assert server.paths == ["/v1/chat/completions"]
    assert server.requests == [
        {
            "model": "tiny",
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "Who owns it?"},
                {"role": "assistant", "content": "Ines."},
                {"role": "user", "content": "How much?"},
            ],
            "stream": True,
            "stream_options": {"include_usage": True},
        }
    ]
    assert answered.text == "I was told: Who owns it? | How much?"


async def test_what_the_assistant_says_is_passed_on(server: ChatServer) -> None:
    assistant = replace(
        ANALYST, model="big", parameters={"temperature": 0.1, "extra_body": {"top_k": 3}}
    )
    schema = {"type": "object", "properties": {}}
    async with chat_at(server) as backend:
        await answer(backend, ON, "Who?", assistant=assistant, answer_schema=schema)

    (sent,) = server.requests
    assert sent["model"] == "big"
    assert sent["temperature"] == 0.1
    assert sent["top_k"] == 3
    assert sent["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "analyst", "schema": schema, "strict": True},
    }


@pytest.mark.parametrize(
    "parameters",
    [{"messages": []}, {"n": 2}, {"temprature": 1}, {"extra_body": {"stream": False}}],
)
async def test_a_parameter_that_is_ours_or_nobodys_is_refused(
    server: ChatServer, parameters: Json
) -> None:
    async with chat_at(server) as backend:
        with pytest.raises(BackendMisconfigured, match="analyst"):
            await events_of(
                backend, question(ON, "Who?", assistant=replace(ANALYST, parameters=parameters))
            )

    assert server.paths == []


async def test_tools_are_refused(server: ChatServer) -> None:
    assistant = replace(ANALYST, tools=({"type": "web_search"},))

    async with chat_at(server) as backend:
        with pytest.raises(BackendMisconfigured, match="tools"):
            await events_of(backend, question(ON, "Who?", assistant=assistant))


# The window


async def test_the_window_keeps_the_first_exchange_and_the_latest_that_fit(
    server: ChatServer,
) -> None:
    asked = question(ON, "So?", history=long_history(20))

    shown = await shown_by(server, asked, context_tokens=1000, answer_tokens=100)

    prompts = [message.text for message in shown.messages if message.role is Role.USER]
    assert prompts[0].startswith("Question 0:")
    assert prompts[-2].startswith("Question 19:")
    assert prompts[-1] == "So?"
    assert 0 < shown.left_out < 19
    kept = (len(shown.messages) - 2) // 2
    assert kept + shown.left_out == 20
    assert [message.text for message in shown.messages] == [
        message["content"] for message in server.requests[0]["messages"]
    ]


async def test_the_answer_limit_of_the_assistant_is_left_free(server: ChatServer) -> None:
    asked = question(ON, "So?", history=long_history(20))
    short = replace(asked, assistant=replace(ANALYST, parameters={"max_tokens": 10}))

    usual = await shown_by(server, asked, context_tokens=1000, answer_tokens=500)
    more = await shown_by(server, short, context_tokens=1000, answer_tokens=500)

    assert len(more.messages) > len(usual.messages)


async def test_a_question_that_does_not_fit_alone_is_not_sent(server: ChatServer) -> None:
    async with chat_at(server, context_tokens=200, answer_tokens=100) as backend:
        with pytest.raises(ConversationTooLong, match=CONTEXT_SETTING):
            await events_of(backend, question(ON, "why " * 200))

    assert server.paths == []


async def test_a_server_that_reads_less_than_it_was_sent_is_named(server: ChatServer) -> None:
    server.chunks = lambda _: spoken("Ines.", prompt_tokens=512, completion_tokens=2)
    asked = question(ON, "So?", history=long_history(20))

    async with chat_at(server, context_tokens=8192) as backend:
        with pytest.raises(BackendMisconfigured, match=f"{CONTEXT_SETTING} to 512"):
            await events_of(backend, asked)


@pytest.mark.parametrize("counted", [{}, {"prompt_tokens": 0, "completion_tokens": 0}])
async def test_a_server_that_does_not_count_is_believed(server: ChatServer, counted: Any) -> None:
    server.chunks = lambda _: spoken("Ines.", **counted)

    assert isinstance(await last_of(server), Answered)


# How much the server takes in

VLLM = {"id": "tiny", "owned_by": "vllm", "max_model_len": 600}
LLAMA_CPP = {"id": "/models/a.gguf", "owned_by": "llamacpp", "meta": {"n_ctx_train": 99999}}
OLLAMA = {"id": "tiny", "owned_by": "library"}
PROPS = {"default_generation_settings": {"n_ctx": 600}, "total_slots": 2}
LOADED = {"models": [{"name": "tiny", "model": "tiny", "context_length": 600}]}


@pytest.mark.parametrize(
    ("models", "replies"),
    [
        ([VLLM], {}),
        ([{"id": "else"}, VLLM], {}),
        ([LLAMA_CPP], {"/props": (200, PROPS)}),
        ([OLLAMA], {"/api/ps": (200, LOADED)}),
        ([{"id": "tiny", "context_window": 600}], {}),
    ],
)
async def test_the_context_is_what_the_server_tells(
    server: ChatServer, models: list[Json], replies: Any
) -> None:
    server.models, server.replies = models, replies
    asked = question(ON, "So?", history=long_history(20))
    set_by_hand = await shown_by(ChatServer(), asked, context_tokens=600, answer_tokens=100)

    assert await shown_by(server, asked, answer_tokens=100) == set_by_hand


@pytest.mark.parametrize(
    ("models", "replies"),
    [
        ([], {}),
        ([{"id": "one"}, {"id": "two"}], {}),
        ([{"id": "tiny", "max_model_len": "many"}], {}),
        ([OLLAMA], {"/api/ps": (200, {"models": []})}),
        ([LLAMA_CPP], {"/props": (501, {"error": {"message": "off"}})}),
        ([VLLM], {"/v1/models": (404, {"detail": "Not Found"})}),
        ([VLLM], {"/v1/models": (200, {"data": "none"})}),
    ],
)
async def test_the_context_is_assumed_where_the_server_does_not_tell(
    server: ChatServer, models: list[Json], replies: Any
) -> None:
    server.models, server.replies = models, replies
    asked = question(ON, "So?", history=long_history(20))

    shown = await shown_by(server, asked, answer_tokens=100)

    assert shown.left_out == 0


async def test_a_server_is_asked_for_its_context_until_it_tells_and_not_for_ever(
    server: ChatServer,
) -> None:
    server.models = [OLLAMA]
    server.replies["/api/ps"] = 200, {"models": []}
    async with chat_at(server) as backend:
        assert backend.history_characters == 4 * 8192
        await answer(backend, ON, "Who?")
        server.replies["/api/ps"] = 200, LOADED
        await answer(backend, ON, "Who?", assistant=replace(ANALYST, parameters={"max_tokens": 9}))
        assert backend.history_characters == 4 * 600
        await answer(backend, ON, "Who?", assistant=replace(ANALYST, parameters={"max_tokens": 9}))

    assert server.paths.count("/v1/models") == 2


async def test_without_a_model_it_is_the_first_that_the_server_lists(server: ChatServer) -> None:
    server.models = [{"id": "one"}, {"id": "two"}]
    async with chat_at(server, model="", context_tokens=4096) as backend:
        await answer(backend, ON, "Who?")
        await answer(backend, ON, "Why?")

    assert [request["model"] for request in server.requests] == ["one", "one"]
    assert server.paths.count("/v1/models") == 1


async def test_without_a_model_a_server_that_lists_none_is_named(server: ChatServer) -> None:
    server.models = []
    async with chat_at(server, model="") as backend:
        with pytest.raises(BackendMisconfigured, match="DADM_CHAT__MODEL"):
            await events_of(backend, question(ON, "Who?"))


async def test_the_context_that_is_set_is_not_asked_for(server: ChatServer) -> None:
    async with chat_at(server, context_tokens=4096) as backend:
        assert backend.history_characters == 4 * 4096
        await answer(backend, ON, "Who?")

    assert server.paths == ["/v1/chat/completions"]


async def test_a_server_that_cannot_be_asked_for_its_context_was_asked_nothing() -> None:
    async with chat_at(Wire(httpx2.ReadTimeout("silent"))) as backend:
        with pytest.raises(BackendUnavailable):
            await events_of(backend, question(ON, "Who?"))


# The answer


@pytest.mark.parametrize("reason", ["stop", "eos", "end_turn"])
async def test_a_whole_answer_is_read_with_its_usage(server: ChatServer, reason: str) -> None:
    usage = {"prompt_tokens": 21, "completion_tokens": 2}
    server.chunks = lambda _: spoken("In", "es.", reason=reason, **usage)

    assert await last_of(server) == Answered(
        text="Ines.", usage=Usage(input_tokens=21, output_tokens=2)
    )


@pytest.mark.parametrize("reason", ["length", "content_filter", "tool_calls"])
async def test_an_answer_ended_early_is_cut_short(server: ChatServer, reason: str) -> None:
    server.chunks = lambda _: spoken("In", reason=reason, prompt_tokens=21, completion_tokens=1)

    assert await last_of(server) == CutShort(
        reason=reason, partial_text="In", usage=Usage(input_tokens=21, output_tokens=1)
    )


async def test_an_answer_that_filled_the_context_is_cut_short_whatever_the_server_says(
    server: ChatServer,
) -> None:
    server.chunks = lambda _: spoken("In", prompt_tokens=900, completion_tokens=1100)

    last = await last_of(server, context_tokens=2000)

    assert isinstance(last, CutShort)
    assert last.reason == "length"


async def test_an_empty_answer_is_cut_short(server: ChatServer) -> None:
    server.chunks = lambda _: spoken("", prompt_tokens=21, completion_tokens=1)

    last = await last_of(server)

    assert isinstance(last, CutShort)
    assert last.reason == "empty_answer"


async def test_a_server_need_not_say_that_it_is_done(server: ChatServer) -> None:
    server.says_done = False

    assert isinstance(await last_of(server), Answered)


async def test_a_stream_without_an_end_leaves_the_outcome_unknown(server: ChatServer) -> None:
    server.chunks = lambda _: spoken("In", reason=None)

    async with chat_at(server) as backend:
        with pytest.raises(OutcomeUnknown, match="ended its stream"):
            await events_of(backend, question(ON, "Who?"))


async def test_an_error_in_the_stream_leaves_the_outcome_unknown(server: ChatServer) -> None:
    server.chunks = lambda _: [*spoken("In", reason=None), {"error": {"message": "Sorry."}}]

    async with chat_at(server) as backend:
        with pytest.raises(OutcomeUnknown, match="Sorry"):
            await events_of(backend, question(ON, "Who?"))


TABLE: dict[str, tuple[Reply, type[BackendError], str]] = {
    "vLLM's window": (
        error(400, "You passed 9 input tokens … the model's context length is only 8 tokens."),
        ConversationTooLong,
        CONTEXT_SETTING,
    ),
    "llama.cpp's window": (
        error(400, "request (9 tokens) exceeds …", type="exceed_context_size_error"),
        ConversationTooLong,
        CONTEXT_SETTING,
    ),
    "model missing": (error(404, "The model `tiny` does not exist."), BackendMisconfigured, "tiny"),
    "wrong key": (error(401, KEY), BackendMisconfigured, "DADM_CHAT__API_KEY"),
    "wrong address": (
        httpx2.Response(404, json={"detail": "Not Found"}),
        BackendMisconfigured,
        "DADM_CHAT__BASE_URL",
    ),
    "filtered": (error(400, "No.", code="content_filter"), BackendRefused, "No."),
    "too many": (error(429, "Slow down."), BackendUnavailable, "429"),
    "refused": (httpx2.ConnectError("refused"), BackendUnavailable, "not reachable"),
    "500": (error(500, "Sorry."), OutcomeUnknown, "500"),
    "silence": (httpx2.ReadTimeout("silent"), OutcomeUnknown, "silent"),
}


@pytest.mark.parametrize("situation", TABLE)
async def test_a_turn_fails_by_the_table_and_is_asked_once(situation: str) -> None:
    reply, expected, words = TABLE[situation]
    wire = Wire(reply)

    async with chat_at(wire, context_tokens=1000) as backend:
        with pytest.raises(BackendError) as raised:
            await events_of(backend, question(ON, "Who?"))

    assert type(raised.value) is expected
    assert words in raised.value.message
    assert KEY not in "".join(lines_of(raised.value))
    assert wire.sent == [ASK]


async def test_what_the_environment_holds_for_openai_is_not_sent_elsewhere(
    server: ChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-openai")
    monkeypatch.setenv("OPENAI_ORG_ID", "org-of-openai")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-of-openai")

    async with chat_at(server, api_key=None) as backend:
        await answer(backend, ON, "Who?")

    assert server.headers
    assert "of-openai" not in str(server.headers)


async def test_a_ping_says_what_the_server_offers(server: ChatServer) -> None:
    async with chat_at(server) as backend:
        assert await backend.ping() == "The chat server at 127.0.0.1 offers tiny."
    async with chat_at(server, model="big") as backend:
        assert "does not list" in await backend.ping()
    async with chat_at(Wire(httpx2.ConnectError("refused"))) as backend:
        with pytest.raises(BackendUnavailable):
            await backend.ping()


def test_the_identity_is_the_address() -> None:
    backend = ChatCompletions(base_url="http://me:hush@127.0.0.1:8080/v1/", model="tiny")

    assert backend.identity == BackendIdentity(adapter="chat", address="http://127.0.0.1:8080/v1")


def test_an_address_that_is_none_is_refused() -> None:
    with pytest.raises(BackendMisconfigured, match="DADM_CHAT__BASE_URL"):
        ChatCompletions(base_url="localhost:8080", model="tiny")
