"""What a turn sends to OpenAI, and how what comes back is read."""

from dataclasses import replace
from typing import Any

import httpx2
import pytest

from dadm.adapters.backends.openai_conversations import OpenAIConversations
from dadm.domain.assistant import Assistant
from dadm.domain.errors import BackendMisconfigured, BackendUnavailable, OutcomeUnknown
from dadm.domain.thread import BackendIdentity, ConversationId, Usage
from dadm.ports.backend import (
    Answered,
    AnswerPart,
    CutShort,
    ResponseStarted,
    RunCancelled,
    RunFailed,
    Running,
    RunState,
)
from tests.adapters.backends.under_test import ANALYST, BASE_URL, KEY, events_of, question
from tests.adapters.backends.wire import (
    CREATED,
    Json,
    Wire,
    completed,
    delta,
    error,
    happened,
    message,
    openai_over,
    page,
    response,
    stream,
    whole,
)

ON = ConversationId("conv_1")
USAGE = Usage(input_tokens=11, output_tokens=5, cached_tokens=3)


async def sent_for(asked: Any, **settings: Any) -> Json:
    """Take a turn that is answered; give what was sent for it."""
    wire = Wire(stream(CREATED, completed()))
    async with openai_over(wire, **settings) as backend:
        await events_of(backend, asked)
    return wire.body


async def end_of(*output: Json, **more: Any) -> RunState:
    """Give how a response with this output ends, retrieved."""
    wire = Wire(whole(response(more.pop("status", "completed"), *output, **more)))
    async with openai_over(wire) as backend:
        return await backend.retrieve(ON, "resp_1")


async def test_a_turn_is_one_streamed_background_request() -> None:
    body = await sent_for(question(ON, "Who?", labels={"thread": 7, "turn": "t1"}))

    assert body == {
        "model": "gpt-test",
        "conversation": "conv_1",
        "input": "Who?",
        "instructions": "Be brief.",
        "background": True,
        "store": True,
        "stream": True,
        "truncation": "disabled",
        "metadata": {"thread": "7", "turn": "t1"},
        "prompt_cache_key": f"analyst:{ANALYST.version}",
    }


async def test_without_background_it_is_not_asked_for() -> None:
    body = await sent_for(question(ON, "Who?"), use_background=False)

    assert "background" not in body
    assert body["stream"] is True


async def test_what_the_assistant_says_is_passed_on() -> None:
    assistant = Assistant(
        name="Analyst of the board",
        instructions="",
        model="gpt-own",
        parameters={"temperature": 0.1, "text": {"verbosity": "low"}, "prompt_cache_key": "mine"},
        tools=({"type": "web_search"},),
    )
    schema = {"type": "object", "properties": {}}

    body = await sent_for(question(ON, "Who?", assistant=assistant, answer_schema=schema))

    assert body["model"] == "gpt-own"
    assert body["temperature"] == 0.1
    assert body["tools"] == [{"type": "web_search"}]
    assert body["prompt_cache_key"] == "mine"
    assert "instructions" not in body
    assert body["text"] == {
        "verbosity": "low",
        "format": {
            "type": "json_schema",
            "name": "Analyst_of_the_board",
            "schema": schema,
            "strict": True,
        },
    }


@pytest.mark.parametrize("name", ["input", "conversation", "store", "truncation", "temprature"])
async def test_a_parameter_that_is_ours_or_nobodys_is_named_and_nothing_sent(name: str) -> None:
    wire = Wire(error(500))

    async with openai_over(wire) as backend:
        with pytest.raises(BackendMisconfigured, match=name):
            await events_of(
                backend, question(ON, "Who?", assistant=replace(ANALYST, parameters={name: 1}))
            )

    assert wire.sent == []
    assert name not in OpenAIConversations.parameter_names()


def test_the_parameters_of_responses_may_be_set() -> None:
    names = OpenAIConversations.parameter_names()

    assert {"temperature", "max_output_tokens", "reasoning", "service_tier"} <= names
    assert not {"self", "timeout", "extra_body"} & names


async def test_a_tool_that_we_would_have_to_run_is_refused() -> None:
    assistant = replace(ANALYST, tools=({"type": "function", "name": "f"},))

    async with openai_over(Wire(error(500))) as backend:
        with pytest.raises(BackendMisconfigured, match="function"):
            await events_of(backend, question(ON, "Who?", assistant=assistant))


async def test_labels_are_cut_to_what_metadata_takes() -> None:
    labels: dict[str, Any] = {f"{number:02}{'k' * 80}": "v" * 600 for number in range(20)}

    sent: dict[str, str] = (await sent_for(question(ON, "Who?", labels=labels)))["metadata"]

    assert len(sent) == 16
    assert {len(name) for name in sent} == {64}
    assert {len(value) for value in sent.values()} == {512}


async def test_a_turn_names_its_attempt_for_those_who_know_a_repeated_request_by_it() -> None:
    wire = Wire(stream(CREATED, completed()), stream(CREATED, completed()))

    async with openai_over(wire) as backend:
        await events_of(backend, question(ON, "Who?", attempt="owner_1.2"))
        await events_of(backend, question(ON, "Who?"))

    keys = [request.headers.get("idempotency-key") for request in wire.requests]
    assert keys == ["owner_1.2", None]


async def test_the_run_is_named_at_once_and_its_answer_read_from_the_end() -> None:
    wire = Wire(
        stream(
            CREATED,
            happened("response.in_progress", response=response("in_progress")),
            happened("response.something_new", whatever=1),
            delta("In"),
            delta("es."),
            completed(
                {"id": "rs_1", "type": "reasoning", "summary": []},
                message("msg_2", "assistant", "I look it up.", phase="commentary"),
                message("msg_3", "assistant", "Ines.", phase="final_answer"),
            ),
        )
    )

    async with openai_over(wire) as backend:
        events = await events_of(backend, question(ON, "Who?"))

    assert events == [
        ResponseStarted(response_id="resp_1"),
        AnswerPart(text="In"),
        AnswerPart(text="es."),
        Answered(text="Ines.", usage=USAGE, response_id="resp_1", last_item_id="msg_3"),
    ]


async def test_an_incomplete_stream_is_cut_short_with_its_reason() -> None:
    cut = response(
        "incomplete",
        message("msg_2", "assistant", "In", status="incomplete"),
        incomplete_details={"reason": "max_output_tokens"},
    )
    wire = Wire(stream(CREATED, happened("response.incomplete", response=cut)))

    async with openai_over(wire) as backend:
        *_, last = await events_of(backend, question(ON, "Who?"))

    assert last == CutShort(
        reason="max_output_tokens", partial_text="In", usage=USAGE, response_id="resp_1"
    )


async def test_the_last_item_is_read_where_an_output_has_no_id() -> None:
    nameless = {**message("", "assistant", "Ines."), "id": None}
    wire = Wire(stream(CREATED, completed(nameless)), page(message("msg_last", "assistant", "?")))

    async with openai_over(wire) as backend:
        *_, last = await events_of(backend, question(ON, "Who?"))

    assert isinstance(last, Answered)
    assert last.last_item_id == "msg_last"


async def test_the_last_item_is_read_where_output_ids_do_not_tell() -> None:
    wire = Wire(
        stream(CREATED, completed()),
        page(message("msg_last", "assistant", "Ines.")),
    )

    async with openai_over(wire, output_ids_are_item_ids=False) as backend:
        *_, last = await events_of(backend, question(ON, "Who?"))

    assert isinstance(last, Answered)
    assert last.last_item_id == "msg_last"
    assert wire.requests[-1].url.params["order"] == "desc"
    assert wire.requests[-1].url.params["limit"] == "1"


@pytest.mark.parametrize("status", ["queued", "in_progress"])
async def test_a_run_under_way_is_running(status: str) -> None:
    assert await end_of(status=status) == Running()


async def test_a_cancelled_run_is_over() -> None:
    assert await end_of(status="cancelled") == RunCancelled()


@pytest.mark.parametrize(
    ("code", "is_temporary"),
    [("server_error", True), ("rate_limit_exceeded", True), ("invalid_prompt", False)],
)
async def test_a_failed_run_says_why_and_whether_to_try_again(
    code: str, is_temporary: bool
) -> None:
    state = await end_of(status="failed", error={"code": code, "message": "Sorry."})

    assert state == RunFailed(reason=f"{code}: Sorry.", is_temporary=is_temporary)


async def test_a_status_we_do_not_know_is_not_guessed() -> None:
    with pytest.raises(OutcomeUnknown, match="paused"):
        await end_of(status="paused")


async def test_a_completed_run_that_refuses_is_cut_short() -> None:
    refusal = message("msg_2", "assistant", [{"type": "refusal", "refusal": "I will not."}])

    state = await end_of(refusal)

    assert state == CutShort(
        reason="refusal", partial_text="I will not.", usage=USAGE, response_id="resp_1"
    )


async def test_a_completed_run_that_waits_for_a_tool_is_cut_short() -> None:
    call = {"id": "fc_1", "type": "function_call", "call_id": "call_1", "name": "f"}

    state = await end_of(message("msg_2", "assistant", "Wait."), call | {"arguments": "{}"})

    assert isinstance(state, CutShort)
    assert state.reason == "unanswered_tool_call"


async def test_hosted_tools_belong_to_the_answer() -> None:
    search = {"id": "ws_1", "type": "web_search_call", "status": "completed"}

    state = await end_of(search, message("msg_2", "assistant", "Ines."))

    assert isinstance(state, Answered)
    assert state.text == "Ines."


async def test_a_completed_run_without_text_is_cut_short() -> None:
    state = await end_of({"id": "rs_1", "type": "reasoning", "summary": []})

    assert isinstance(state, CutShort)
    assert state.reason == "empty_answer"


async def test_a_reply_that_is_no_object_is_not_guessed() -> None:
    wire = Wire(httpx2.Response(200, html="<html>login</html>"))

    async with openai_over(wire) as backend:
        with pytest.raises(OutcomeUnknown):
            await backend.retrieve(ON, "resp_1")
        with pytest.raises(OutcomeUnknown):
            await backend.look(ON, after_item="", prompt="Who?")


def test_the_identity_names_the_account_where_it_is_set() -> None:
    backend = OpenAIConversations(
        model="m", api_key=KEY, organization="org-1", project="proj_1", base_url=BASE_URL
    )

    assert backend.identity == BackendIdentity(
        adapter="openai", address="http://127.0.0.1/v1", account="org-1/proj_1"
    )


def test_the_identity_keeps_the_name_that_was_given_to_the_account() -> None:
    def identity(key: str) -> BackendIdentity:
        return OpenAIConversations(model="m", api_key=key, account="board|2").identity

    assert identity("sk-one") == identity("sk-two")
    assert BackendIdentity.parse(str(identity("sk-one"))) == identity("sk-one")


def test_the_identity_is_else_a_print_of_the_key_and_the_address_bare() -> None:
    def identity(key: str) -> BackendIdentity:
        return OpenAIConversations(
            model="m", api_key=key, base_url="https://me:hush@example.org/v1/"
        ).identity

    assert identity("sk-one") == identity("sk-one")
    assert identity("sk-one") != identity("sk-two")
    assert identity("sk-one").address == "https://example.org/v1"
    assert len(identity("sk-one").account) == 16


@pytest.mark.parametrize("key", ["sk-abc\ndef", "sk-abc def", "sk-äbc", "sk-abc\x00"])
def test_a_key_that_no_header_takes_is_refused_without_being_told(key: str) -> None:
    with pytest.raises(BackendMisconfigured) as raised:
        OpenAIConversations(model="m", api_key=key)

    assert key not in raised.value.message
    assert "OPENAI_API_KEY" in raised.value.message


@pytest.mark.parametrize("address", ["api.openai.com/v1", "ftp://example.org", "https://"])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(BackendMisconfigured, match="OPENAI_BASE_URL"):
        OpenAIConversations(model="m", api_key=KEY, base_url=address)


@pytest.mark.parametrize("key", [None, ""])
def test_a_missing_key_is_named(key: str | None) -> None:
    with pytest.raises(BackendMisconfigured, match="OPENAI_API_KEY"):
        OpenAIConversations(model="m", api_key=key)


async def test_a_ping_asks_for_the_model() -> None:
    wire = Wire(whole({"id": "gpt-test", "object": "model", "created": 1, "owned_by": "us"}))

    async with openai_over(wire) as backend:
        assert "gpt-test" in await backend.ping()

    assert wire.sent == ["GET /v1/models/gpt-test"]


@pytest.mark.parametrize("reply", [httpx2.ReadTimeout("silent"), error(503)])
async def test_a_ping_without_an_answer_means_unavailable(reply: Any) -> None:
    async with openai_over(Wire(reply)) as backend:
        with pytest.raises(BackendUnavailable):
            await backend.ping()


async def test_an_http_client_that_was_handed_in_stays_open() -> None:
    async with httpx2.AsyncClient() as http:
        async with OpenAIConversations(model="m", api_key=KEY, http_client=http):
            pass
        assert not http.is_closed
