"""Every error that the API is known to answer, word for word where its words are known."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from openai import APIStatusError, AsyncOpenAI, AuthenticationError, NotFoundError

from dadm.adapters.simulators.openai import (
    Answer,
    Echo,
    FunctionCall,
    Held,
    Model,
    Scripted,
    SimulatedOpenAI,
)
from tests.adapters.simulators.conftest import caller_of
from tests.adapters.simulators.short_forms import (
    MODEL,
    ask,
    call_of,
    conversation,
    id_of,
    message,
    output_of,
    reference,
    soon,
    texts,
    untyped,
    user,
)

GONE = "conv_" + "0" * 48


async def refusal(raw: httpx2.AsyncClient, method: str, path: str, body: Any = None) -> Any:
    """Give the status and the inside of `error` of a reply that must be an error."""
    reply = await raw.request(method, path, json=body)
    assert reply.status_code >= 400, reply.text
    error = reply.json()["error"]
    assert error["type"] == "invalid_request_error"
    return reply.status_code, error["param"], error["code"], error["message"]


async def refused_response(raw: httpx2.AsyncClient, **body: object) -> Any:
    return await refusal(raw, "POST", "/responses", {"model": MODEL} | body)


async def test_e1_a_second_response_on_a_conversation_is_refused_while_one_runs(
    client: AsyncOpenAI, raw: httpx2.AsyncClient, simulated: SimulatedOpenAI
) -> None:
    simulated.responder = held = Held(Echo())
    on = await conversation(client)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(ask(client, on, "first"))
        await soon(held.asked())

        assert await refused_response(raw, input="second", conversation=on) == (
            400,
            "conversation",
            "conversation_locked",
            (
                "Another process is currently operating on this conversation. "
                "Please retry in a few seconds."
            ),
        )
        held.let_go()
    assert await texts(client, on) == ["first", "I was told: first"]


async def test_e2_a_missing_conversation(raw: httpx2.AsyncClient) -> None:
    expected = (404, None, None, f"Conversation with id '{GONE}' not found.")

    assert await refusal(raw, "GET", f"/conversations/{GONE}") == expected
    assert await refused_response(raw, input="x", conversation=GONE) == expected
    assert await refused_response(raw, input="x", conversation={"id": GONE}) == expected


async def test_e3_a_missing_conversation_on_azure(
    raw: httpx2.AsyncClient, simulated: SimulatedOpenAI
) -> None:
    simulated.switch(azure_error_bodies=True)

    for found in (
        await refusal(raw, "GET", f"/conversations/{GONE}"),
        await refused_response(raw, input="x", conversation=GONE),
    ):
        assert found[:3] == (404, "conversation_id", "invalid_request_error")


async def test_e4_a_conversation_id_that_cannot_be_one(raw: httpx2.AsyncClient) -> None:
    long = "conv_" + "0" * 60

    for path_id, code in (("thread_1", "invalid_value"), (long, "string_above_max_length")):
        by_path = await refusal(raw, "GET", f"/conversations/{path_id}/items")
        in_body = await refused_response(raw, input="x", conversation=path_id)
        assert by_path[:3] == (400, "conversation_id", code)
        assert in_body[:3] == (400, "conversation", code)


async def test_e5_a_missing_response(raw: httpx2.AsyncClient) -> None:
    status, _, _, message = await refusal(raw, "GET", "/responses/resp_1")

    assert (status, message) == (404, "Response with id 'resp_1' not found.")


@pytest.fixture
async def strict_models() -> AsyncIterator[AsyncOpenAI]:
    """An API with two models and no other."""
    models = (Model(id="small", window=10), Model(id="thinker", is_reasoning=True))
    async with (
        SimulatedOpenAI(models=models, accepts_other_models=False) as simulated,
        caller_of(simulated) as client,
    ):
        yield client


async def test_e6_a_missing_model(strict_models: AsyncOpenAI) -> None:
    with pytest.raises(NotFoundError) as missing:
        await strict_models.responses.create(model="gone", input="x")
    assert missing.value.code == "model_not_found"
    with pytest.raises(NotFoundError):
        await strict_models.models.retrieve("gone")


async def test_e7_a_missing_item_wins_over_a_repeated_one(
    client: AsyncOpenAI, raw: httpx2.AsyncClient, simulated: SimulatedOpenAI
) -> None:
    on = await conversation(client, user("there"))
    there = simulated.items_of(on)[0]["id"]
    both = [reference(there), reference("msg_gone")]

    for found in (
        await refused_response(raw, input=both, conversation=on),
        await refusal(raw, "POST", f"/conversations/{on}/items", {"items": both}),
    ):
        assert found[:3] == (404, "input", None)
        assert found[3].startswith(
            "Item with id 'msg_gone' not found. "
            "Items are not persisted when `store` is set to false"
        )


async def test_e8_an_unknown_or_deleted_cursor(
    client: AsyncOpenAI, raw: httpx2.AsyncClient, simulated: SimulatedOpenAI
) -> None:
    on = await conversation(client, user("there"))
    item_id = simulated.items_of(on)[0]["id"]
    await client.conversations.items.delete(item_id, conversation_id=on)

    for cursor in ("msg_never", item_id):
        found = await refusal(raw, "GET", f"/conversations/{on}/items?after={cursor}")
        assert found == (404, "after", None, f"No item found with id '{cursor}'")


async def test_e9_no_items_and_too_many(client: AsyncOpenAI, raw: httpx2.AsyncClient) -> None:
    on = await conversation(client)
    path = f"/conversations/{on}/items"
    many = [user("x")] * 21

    assert (await refusal(raw, "POST", path, {"items": []}))[2] == "empty_array"
    assert (await refusal(raw, "POST", path, {"items": many}))[2] == "array_above_max_length"
    made = await refusal(raw, "POST", "/conversations", {"items": many})
    assert made[2] == "array_above_max_length"
    assert await texts(client, on) == []


@pytest.mark.parametrize(
    ("metadata", "code"),
    [
        ({str(number): "x" for number in range(17)}, "object_above_max_properties"),
        ({"k" * 65: "x"}, "property_name_above_max_length"),
        ({"k": "x" * 513}, "string_above_max_length"),
        ({"k": 1}, "invalid_type"),
        ({"k": None}, "invalid_type"),
    ],
)
async def test_e10_metadata_over_its_limits(
    client: AsyncOpenAI, raw: httpx2.AsyncClient, metadata: dict[str, Any], code: str
) -> None:
    on = await conversation(client)

    for path, body in (
        ("/conversations", {}),
        (f"/conversations/{on}", {}),
        ("/responses", {"model": MODEL, "input": "x"}),
    ):
        found = await refusal(raw, "POST", path, body | {"metadata": metadata})
        assert found[0] == 400
        assert found[2] == code


async def test_metadata_at_its_limits_is_taken(client: AsyncOpenAI) -> None:
    metadata = {f"{number:064}": "x" * 512 for number in range(16)}

    assert (await client.conversations.create(metadata=metadata)).metadata == metadata


async def test_e11_an_item_already_there_refuses_its_whole_batch(
    client: AsyncOpenAI, raw: httpx2.AsyncClient, simulated: SimulatedOpenAI
) -> None:
    on = await conversation(client, user("there"))
    item_id = simulated.items_of(on)[0]["id"]
    path = f"/conversations/{on}/items"
    by_own_id = {"type": "message", "role": "user", "content": "x", "id": item_id}

    for repeated in (reference(item_id), by_own_id):
        found = await refusal(raw, "POST", path, {"items": [user("new"), repeated]})
        assert found == (
            400,
            "items",
            "item_already_in_conversation",
            "Item already in conversation",
        )
    assert await texts(client, on) == ["there"]


async def test_e11_an_item_twice_in_one_batch_is_refused_once_there_are_items(
    client: AsyncOpenAI, raw: httpx2.AsyncClient, simulated: SimulatedOpenAI
) -> None:
    elsewhere, on = await conversation(client, user("x")), await conversation(client, user("y"))
    twice = [reference(simulated.items_of(elsewhere)[0]["id"])] * 2

    found = await refusal(raw, "POST", f"/conversations/{on}/items", {"items": twice})

    assert found[2] == "item_already_in_conversation"
    assert await texts(client, on) == ["y"]


async def test_e12_a_repeated_item_in_the_input(
    client: AsyncOpenAI, raw: httpx2.AsyncClient, simulated: SimulatedOpenAI
) -> None:
    on = await conversation(client, user("there"))
    item_id = simulated.items_of(on)[0]["id"]

    found = await refused_response(raw, input=[reference(item_id)], conversation=on)

    assert found == (
        400,
        "input",
        None,
        (
            f"Duplicate item found with id {item_id}. "
            "Remove duplicate items from your input and try again."
        ),
    )
    assert await texts(client, on) == ["there"]


async def test_e13_an_unanswered_function_call_poisons_its_conversation_until_repaired(
    client: AsyncOpenAI, raw: httpx2.AsyncClient, simulated: SimulatedOpenAI
) -> None:
    call = FunctionCall(name="f", call_id="call_7")
    simulated.responder = Scripted([Answer(function_calls=(call,)), "after", "deleted"])
    on = await conversation(client)
    asked = await ask(client, on, "begin")

    for _ in range(2):
        found = await refused_response(raw, input="go on", conversation=on)
        assert found[:3] == (400, "input", None)
        assert found[3].startswith("No tool output found for function call call_7")
    await client.conversations.items.delete(id_of(asked.output[0]), conversation_id=on)
    assert (await ask(client, on, "go on")).output_text == "after"


async def test_an_output_without_its_call_is_refused(raw: httpx2.AsyncClient) -> None:
    found = await refused_response(raw, input=[output_of("call_8", "x")])

    assert found[:3] == (400, "input", None)


async def test_an_answered_function_call_does_no_harm(client: AsyncOpenAI) -> None:
    on = await conversation(client, call_of("f", "call_1"), output_of("call_1", "abandoned"))

    assert (await ask(client, on, "go on")).status == "completed"


async def test_e14_half_a_reasoning_pair(
    client: AsyncOpenAI, raw: httpx2.AsyncClient, simulated: SimulatedOpenAI
) -> None:
    simulated.responder = Scripted([Answer(text="so", reasoning="because"), "whole", "never"])
    on = await conversation(client)
    made = await ask(client, on, "why")
    assert (await ask(client, on, "whole?")).status == "completed"
    thought, said = (id_of(item) for item in made.output)

    await client.conversations.items.delete(said, conversation_id=on)
    found = await refused_response(raw, input="go on", conversation=on)
    stray = await refused_response(raw, input=[{"type": "reasoning", "summary": []}])

    assert (found[0], found[3]) == (
        400,
        f"Item '{thought}' of type 'reasoning' was provided without its required following item.",
    )
    assert "required following item" in stray[3]


async def test_e15_a_previous_response_with_a_conversation(raw: httpx2.AsyncClient) -> None:
    found = await refused_response(raw, input="x", conversation=GONE, previous_response_id="resp_1")

    assert (found[0], found[2]) == (400, "mutually_exclusive_parameters")
    assert found[3].startswith(
        "Mutually exclusive parameters: ''. Ensure you are only providing one of: "
    )


async def test_e16_an_unknown_previous_response(raw: httpx2.AsyncClient) -> None:
    found = await refused_response(raw, input="x", previous_response_id="resp_1")

    assert (found[0], found[2]) == (400, "previous_response_not_found")


@pytest.mark.parametrize("body", [{}, {"input": ""}, {"input": []}, {"input": None}])
async def test_e17_no_input(raw: httpx2.AsyncClient, body: dict[str, object]) -> None:
    found = await refused_response(raw, **body)

    assert (found[0], found[3]) == (
        400,
        (
            "One of \"input\" or \"previous_response_id\" or 'prompt' or 'conversation_id' "
            "must be provided."
        ),
    )


async def test_e18_an_own_id_with_the_wrong_prefix(
    client: AsyncOpenAI, raw: httpx2.AsyncClient
) -> None:
    on = await conversation(client)
    wrong = {"type": "message", "role": "user", "content": "x", "id": "mine-1"}

    found = await refusal(raw, "POST", f"/conversations/{on}/items", {"items": [wrong]})

    assert found[:3] == (400, "items[0].id", "invalid_value")


async def test_e19_rejoining_without_background(
    client: AsyncOpenAI, raw: httpx2.AsyncClient
) -> None:
    made = await client.responses.create(model=MODEL, input="x")

    assert await refusal(raw, "GET", f"/responses/{made.id}?stream=true") == (
        400,
        "stream",
        "invalid_request_error",
        "This response cannot be streamed because it was not created with background=true.",
    )


async def test_a_response_without_background_cannot_be_cancelled(
    client: AsyncOpenAI, raw: httpx2.AsyncClient
) -> None:
    made = await client.responses.create(model=MODEL, input="x")

    assert (await refusal(raw, "POST", f"/responses/{made.id}/cancel"))[0] == 400


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        ({"max_output_tokens": 15}, "max_output_tokens", "integer_below_min_value"),
        ({"temperature": 3}, "temperature", "decimal_above_max_value"),
        ({"top_p": -1}, "top_p", "decimal_below_min_value"),
        ({"max_tokens": 5}, "max_tokens", "unknown_parameter"),
        ({"model": None}, "model", "missing_required_parameter"),
        ({"background": "yes"}, "background", "invalid_type"),
        ({"instructions": 1}, "instructions", "invalid_type"),
        ({"metadata": []}, "metadata", "invalid_type"),
        ({"input": 5}, "input", "invalid_type"),
        ({"input": ["x"]}, "input[0]", "invalid_type"),
        ({"input": [{"type": "poem"}]}, "input[0].type", "invalid_value"),
        ({"input": [{"type": ["message"]}]}, "input[0].type", "invalid_value"),
        ({"input": [{"role": "user"}]}, "input[0].content", "missing_required_parameter"),
        ({"input": [{"role": "boss", "content": ""}]}, "input[0].role", "invalid_value"),
        ({"input": [{"role": "user", "content": 1}]}, "input[0].content", "invalid_type"),
        (
            {"input": [{"role": "user", "content": "x", "extra": 1}]},
            "input[0].extra",
            "unknown_parameter",
        ),
        (
            {"input": [{"type": "function_call", "call_id": "", "name": "", "arguments": ""}]},
            "input[0].call_id",
            "empty_string",
        ),
        (
            {"input": [{"type": "function_call_output", "call_id": "c" * 65, "output": ""}]},
            "input[0].call_id",
            "string_above_max_length",
        ),
        ({"input": [{"type": "item_reference"}]}, "input[0].id", "missing_required_parameter"),
        ({"conversation": 5}, "conversation", "invalid_type"),
        ({"truncation": "some"}, "truncation", "invalid_value"),
        ({"safety_identifier": "x" * 129}, "safety_identifier", "string_above_max_length"),
        (
            {"context_management": [{"type": "compaction", "compact_threshold": 999}]},
            "context_management[0].compact_threshold",
            "integer_below_min_value",
        ),
        (
            {"text": {"format": {"type": "json_schema", "schema": {}}}},
            "text.format.name",
            "missing_required_parameter",
        ),
        (
            {"text": {"format": {"type": "json_schema", "name": "a"}}},
            "text.format.schema",
            "missing_required_parameter",
        ),
        (
            {"background_options": {"completion_window": "8h"}},
            "background_options.completion_window",
            "invalid_value",
        ),
    ],
)
async def test_a_wrong_parameter_is_named(
    raw: httpx2.AsyncClient, body: dict[str, object], param: str, code: str
) -> None:
    found = await refused_response(raw, **({"input": "x"} | body))

    assert found[:3] == (400, param, code)


@pytest.mark.parametrize(
    ("role", "part"),
    [
        ("assistant", {"type": "input_text", "text": "x"}),
        ("user", {"type": "output_text", "text": "x"}),
        ("user", {"type": ["input_text"]}),
    ],
)
async def test_a_part_that_does_not_go_with_its_role_is_named(
    raw: httpx2.AsyncClient, role: str, part: dict[str, Any]
) -> None:
    found = await refused_response(raw, input=[message(role, part)])

    assert found[:3] == (400, "input[0].content[0]", "invalid_value")


@pytest.mark.parametrize(
    ("query", "param", "code"),
    [
        ("limit=0", "limit", "integer_below_min_value"),
        ("limit=101", "limit", "integer_above_max_value"),
        ("limit=many", "limit", "invalid_type"),
        ("order=up", "order", "invalid_value"),
    ],
)
async def test_a_wrong_page_is_named(
    client: AsyncOpenAI, raw: httpx2.AsyncClient, query: str, param: str, code: str
) -> None:
    on = await conversation(client)

    found = await refusal(raw, "GET", f"/conversations/{on}/items?{query}")

    assert found[:3] == (400, param, code)


async def test_a_reasoning_model_refuses_sampling_parameters(strict_models: AsyncOpenAI) -> None:
    for parameter in ("temperature", "top_p"):
        with pytest.raises(APIStatusError) as refused:
            await strict_models.responses.create(
                model="thinker", input="x", extra_body={parameter: 0.5}
            )
        assert refused.value.status_code == 400
        assert refused.value.code is None
        assert f"Unsupported parameter: '{parameter}'" in refused.value.message


async def test_an_input_over_the_window_is_refused(strict_models: AsyncOpenAI) -> None:
    with pytest.raises(APIStatusError) as refused:
        await strict_models.responses.create(model="small", input=" ".join("x" * 11))
    assert refused.value.code == "context_length_exceeded"
    with pytest.raises(APIStatusError) as still_refused:
        await strict_models.responses.create(
            model="small", input=" ".join("x" * 11), truncation="auto"
        )
    assert still_refused.value.code == "context_length_exceeded"


async def test_the_key_must_be_one_that_is_taken() -> None:
    async with SimulatedOpenAI(api_keys=["sk-right"]) as simulated:
        async with caller_of(simulated, key="sk-right") as client:
            assert (await client.conversations.create()).id
        async with caller_of(simulated, key="sk-secret-wrong") as client:
            with pytest.raises(AuthenticationError) as refused:
                await client.conversations.create()
    assert refused.value.status_code == 401
    assert refused.value.code == "invalid_api_key"
    assert "secret" not in refused.value.message


async def test_a_request_without_a_key_is_refused(raw: httpx2.AsyncClient) -> None:
    reply = await raw.get("/models", headers={"authorization": ""})

    assert reply.status_code == 401
    assert reply.json()["error"]["code"] is None


async def test_unknown_paths_methods_and_bodies_are_refused_in_the_vendors_form(
    raw: httpx2.AsyncClient,
) -> None:
    unknown = await raw.get("/threads")
    not_allowed = await raw.get("/responses")
    not_json = await raw.post("/responses", content=b"{")
    no_object = await raw.post("/responses", content=b"[1]")

    assert unknown.status_code == 404
    assert unknown.json()["error"]["message"] == "Invalid URL (GET /v1/threads)"
    assert not_allowed.status_code == 405
    assert [not_json.status_code, no_object.status_code] == [400, 400]
    assert no_object.json()["error"]["type"] == "invalid_request_error"


async def test_every_reply_names_its_request(raw: httpx2.AsyncClient) -> None:
    good = await raw.get("/models")
    bad = await raw.get("/responses/resp_1")

    assert good.headers["x-request-id"].startswith("req_")
    assert bad.headers["x-request-id"] != good.headers["x-request-id"]


async def test_a_compaction_item_from_elsewhere_is_refused(raw: httpx2.AsyncClient) -> None:
    bad = untyped(type="compaction", encrypted_content="not ours")

    found = await refused_response(raw, input=[bad])

    assert found[2] == "invalid_encrypted_content"
