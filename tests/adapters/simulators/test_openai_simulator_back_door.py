"""What an owner of the simulator sees and does behind its callers' backs."""

import asyncio
import time
import typing

import httpx2
import pytest
from openai import AsyncOpenAI, BadRequestError, NotFoundError
from openai.types.responses import response_create_params

from dadm.adapters.simulators.openai import (
    Behaviour,
    CountingIds,
    Echo,
    Held,
    SimulatedOpenAI,
    create_app,
)
from dadm.adapters.simulators.openai.errors import ApiError
from dadm.adapters.simulators.openai.faults import NoFaults
from dadm.adapters.simulators.openai.ledger import Append, ModelCall, Removal, ResponseEnded
from dadm.adapters.simulators.openai.requests import PARAMETERS
from dadm.adapters.simulators.openai.responders import smallest_value
from tests.adapters.simulators.conftest import NOON, HandClock, caller_of
from tests.adapters.simulators.in_process import InProcess
from tests.adapters.simulators.short_forms import MODEL, ask, conversation, soon, texts, user

ADMIN_URL = "http://127.0.0.1/simulator"


def test_every_parameter_of_the_sdk_is_known() -> None:
    of_the_sdk = typing.get_type_hints(response_create_params.ResponseCreateParamsStreaming)

    assert set(of_the_sdk) == PARAMETERS


async def test_the_ledger_tells_a_turn_in_order(
    client: AsyncOpenAI, simulated: SimulatedOpenAI, clock: HandClock
) -> None:
    on = await conversation(client, user("before"))
    clock.shows += 5
    made = await client.responses.create(
        model=MODEL,
        conversation=on,
        input="asked",
        instructions="Be brief.",
        metadata={"turn": "1"},
        extra_headers={"Idempotency-Key": "k-1"},
    )
    await client.conversations.delete(on)

    first_request, created, request, call, appended, ended, _, removed = simulated.ledger.entries
    assert first_request == simulated.ledger.requests("POST", "/v1/conversations")[0]
    assert isinstance(created, Append)
    assert created.response_id is None
    assert request == simulated.ledger.requests("POST", "/v1/responses")[0]
    assert simulated.ledger.requests("POST", "/v1/responses")[0].outcome == "200"
    assert simulated.ledger.requests("POST", "/v1/responses")[0].idempotency_key == "k-1"
    assert call == ModelCall(
        at=NOON + 5,
        response_id=made.id,
        conversation_id=on,
        model=MODEL,
        instructions="Be brief.",
        messages=(("user", "before"), ("user", "asked")),
        metadata={"turn": "1"},
    )
    assert isinstance(appended, Append)
    assert [item["role"] for item in appended.items] == ["user", "assistant"]
    assert appended.response_id == made.id
    assert ended == ResponseEnded(
        at=NOON + 5, response_id=made.id, conversation_id=on, status="completed"
    )
    assert removed == Removal(at=NOON + 5, conversation_id=on, item_id=None)


async def test_the_ledger_is_asked_for_one_conversation(
    client: AsyncOpenAI, simulated: SimulatedOpenAI
) -> None:
    one, other = await conversation(client), await conversation(client)
    await ask(client, one, "x")
    await ask(client, other, "y")
    await client.responses.create(model=MODEL, input="z")

    assert len(simulated.ledger.model_calls()) == 3
    assert [call.conversation_id for call in simulated.ledger.model_calls(one)] == [one]
    assert [append.conversation_id for append in simulated.ledger.appends(other)] == [other]


async def test_a_refused_request_is_in_the_ledger_and_asks_no_model(
    client: AsyncOpenAI, simulated: SimulatedOpenAI
) -> None:
    with pytest.raises(BadRequestError):
        await client.responses.create(model=MODEL)

    assert simulated.ledger.requests()[-1].outcome == "400"
    assert simulated.ledger.model_calls() == []


async def test_a_retry_of_the_sdk_is_seen_as_one(
    client: AsyncOpenAI, simulated: SimulatedOpenAI
) -> None:
    await client.conversations.create(extra_headers={"x-stainless-retry-count": "2"})

    assert simulated.ledger.requests()[-1].retry_count == 2


async def test_a_conversation_is_deleted_behind_its_callers_backs(
    client: AsyncOpenAI, simulated: SimulatedOpenAI
) -> None:
    on = await conversation(client)

    simulated.delete_conversation(on)

    with pytest.raises(NotFoundError, match="Conversation with id"):
        await ask(client, on, "anybody?")
    with pytest.raises(ApiError):
        simulated.items_of(on)


async def test_a_lock_is_held_by_someone_else_until_it_is_released(
    client: AsyncOpenAI, simulated: SimulatedOpenAI
) -> None:
    on = await conversation(client)

    simulated.hold_lock(on)
    with pytest.raises(BadRequestError) as locked:
        await ask(client, on, "now?")
    simulated.release_lock(on)

    assert locked.value.code == "conversation_locked"
    assert (await ask(client, on, "and now?")).status == "completed"


async def test_a_lock_held_by_someone_else_outlasts_the_end_of_a_response(
    client: AsyncOpenAI, simulated: SimulatedOpenAI
) -> None:
    simulated.responder = responder = Held(Echo())
    on = await conversation(client)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(ask(client, on, "first"))
        await soon(responder.asked())
        simulated.hold_lock(on)
        responder.let_go()

    with pytest.raises(BadRequestError):
        await ask(client, on, "second")


async def test_counted_ids_are_the_same_in_every_run() -> None:
    seen = []
    for _ in range(2):
        async with (
            SimulatedOpenAI(mint=CountingIds(), clock=lambda: NOON) as simulated,
            caller_of(simulated) as client,
        ):
            on = await conversation(client, user("x"))
            seen.append((await ask(client, on, "y"), simulated.ledger.as_json()))

    assert seen[0] == seen[1]


async def test_random_ids_differ_and_look_like_the_vendors() -> None:
    async with SimulatedOpenAI() as simulated, caller_of(simulated) as client:
        one, other = await client.conversations.create(), await client.conversations.create()

    assert one.id != other.id
    assert len(one.id) == len("conv_") + 48
    assert abs(one.created_at - time.time()) < 60


async def test_the_application_enters_the_simulator_unless_that_was_done() -> None:
    simulated = SimulatedOpenAI()
    app = create_app(simulated)

    entered = [simulated.is_entered]
    async with app.router.lifespan_context(app):
        entered.append(simulated.is_entered)
    entered.append(simulated.is_entered)
    async with simulated:
        async with app.router.lifespan_context(app):
            entered.append(simulated.is_entered)
        entered.append(simulated.is_entered)

    assert entered == [False, True, False, True, True]


@pytest.fixture
async def admin(simulated: SimulatedOpenAI) -> typing.AsyncIterator[httpx2.AsyncClient]:
    transport = InProcess(create_app(simulated))
    headers = {"authorization": "Bearer sk-test"}
    async with httpx2.AsyncClient(
        transport=transport, base_url=ADMIN_URL, headers=headers
    ) as admin:
        yield admin


async def test_switches_are_read_and_changed_over_http(
    admin: httpx2.AsyncClient, simulated: SimulatedOpenAI
) -> None:
    before = (await admin.get("/behaviour")).json()

    changed = await admin.patch(
        "/behaviour", json={"failed_appends": "input", "update_merges_metadata": True}
    )

    assert before["failed_appends"] == "nothing"
    assert changed.json()["failed_appends"] == "input"
    assert simulated.behaviour == Behaviour(
        failed_appends=simulated.behaviour.failed_appends, update_merges_metadata=True
    )


@pytest.mark.parametrize("content", [b'{"no_such": 1}', b"[]", b"{", b"5", b""])
async def test_a_wrong_switch_over_http_is_refused_and_changes_nothing(
    admin: httpx2.AsyncClient, simulated: SimulatedOpenAI, content: bytes
) -> None:
    refused = await admin.patch("/behaviour", content=content)

    assert refused.status_code == 400
    assert simulated.behaviour == Behaviour()


async def test_conversations_and_ledger_are_seen_and_deleted_over_http(
    admin: httpx2.AsyncClient, client: AsyncOpenAI
) -> None:
    on = await conversation(client, user("seen"))

    listed = (await admin.get("/conversations")).json()
    seen = (await admin.get(f"/conversations/{on}")).json()
    entries = (await admin.get("/ledger")).json()["entries"]
    deleted = await admin.delete(f"/conversations/{on}")
    missing = await admin.get(f"/conversations/{on}")

    assert listed == {"conversations": [on]}
    assert seen["items"][0]["content"][0]["text"] == "seen"
    assert {entry["kind"] for entry in entries} == {"RequestSeen", "Append"}
    assert (deleted.status_code, missing.status_code) == (200, 404)
    with pytest.raises(NotFoundError):
        await client.conversations.retrieve(on)


async def test_a_lock_is_held_and_released_over_http(
    admin: httpx2.AsyncClient, client: AsyncOpenAI
) -> None:
    on = await conversation(client)

    held = await admin.post(f"/conversations/{on}/lock")
    with pytest.raises(BadRequestError):
        await ask(client, on, "now?")
    released = await admin.delete(f"/conversations/{on}/lock")

    assert held.json()["is_locked"] is True
    assert released.json()["is_locked"] is False
    await ask(client, on, "and now?")
    assert len(await texts(client, on)) == 2


async def test_the_back_door_takes_the_same_keys() -> None:
    simulated = SimulatedOpenAI(api_keys=["sk-right"])
    transport = InProcess(create_app(simulated))
    async with httpx2.AsyncClient(transport=transport, base_url=ADMIN_URL) as admin:
        for path in (
            "/behaviour",
            "/ledger",
            "/conversations",
            "/conversations/c",
            "/faults",
            "/clock",
        ):
            reply = await admin.get(path, headers={"authorization": "Bearer sk-wrong"})
            assert reply.status_code == 401


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "object", "properties": {"a": {"type": "string"}}}, {"a": "so"}),
        ({"type": "array", "items": {"type": "integer"}, "minItems": 2}, [0, 0]),
        ({"type": ["number", "null"], "minimum": 3}, 3),
        ({"enum": ["yes", "no"]}, "yes"),
        ({"const": 7}, 7),
        ({"anyOf": [{"type": "boolean"}, {"type": "null"}]}, True),
        ({"type": "null"}, None),
    ],
)
def test_the_echo_fits_a_schema(schema: dict[str, typing.Any], value: object) -> None:
    assert smallest_value(schema, "so") == value


async def test_faults_are_added_seen_let_go_and_cleared_over_http(
    admin: httpx2.AsyncClient, client: AsyncOpenAI, simulated: SimulatedOpenAI
) -> None:
    on = await conversation(client)
    added = await admin.post(
        "/faults",
        json=[
            "POST /v1/responses hold-request times=1",
            {"on": "GET /v1/responses/*", "fault": "http-error", "status": 503, "seed": 3},
        ],
    )
    async with asyncio.TaskGroup() as tasks:
        asked = tasks.create_task(ask(client, on, "x"))
        while (listed := (await admin.get("/faults")).json()["faults"])[0]["holding"] == 0:
            pass
        let_go = await admin.post("/faults/fault_1/let-go")
    removed = await admin.delete("/faults/fault_2")
    cleared = await admin.delete("/faults")

    assert added.status_code == 201
    assert [rule["id"] for rule in added.json()["faults"]] == ["fault_1", "fault_2"]
    assert listed == [
        {
            "id": "fault_1",
            "on": "POST /v1/responses",
            "fault": "hold-request",
            "outlives_caller": False,
            "times": 1,
            "matched": 1,
            "struck": 1,
            "holding": 1,
        },
        {
            "id": "fault_2",
            "on": "GET /v1/responses/*",
            "fault": "http-error",
            "status": 503,
            "when": "before",
            "html": False,
            "seed": 3,
            "matched": 0,
            "struck": 0,
            "holding": 0,
        },
    ]
    assert let_go.json() == {"id": "fault_1", "let_go": 1}
    assert asked.result().status == "completed"
    assert [rule["id"] for rule in removed.json()["faults"]] == ["fault_1"]
    assert cleared.json() == {"faults": []}
    assert simulated.ledger.faults("hold-request")[0].request_number == 2
    entries = (await admin.get("/ledger")).json()["entries"]
    assert [entry["fault"] for entry in entries if entry["kind"] == "FaultStruck"] == [
        "hold-request"
    ]


@pytest.mark.parametrize(
    ("path", "content", "refusal"),
    [
        ("/faults", b"{", (400, "no JSON")),
        ("/faults", b"", (400, "no JSON")),
        ("/faults", b'"POST /v1/responses never"', (400, "There is no fault 'never'; there are:")),
        ("/faults", b'["POST /v1/responses late", 5]', (400, "A rule is a text or an object")),
        (
            "/faults/fault_1/let-go",
            b"",
            (404, "There is no rule 'fault_1'; there are: none at all"),
        ),
        ("/faults/fault_1/let-go", b'{"at_most": 0}', (400, "'at_most' is a whole number from 1")),
        ("/faults/fault_1/let-go", b'{"most": 1}', (400, "'at_most' alone")),
        ("/clock", b"", (400, 'Send {"forward_seconds": NUMBER}')),
        ("/clock", b'{"forward_seconds": "1"}', (400, 'Send {"forward_seconds": NUMBER}')),
        ("/clock", b'{"forward_seconds": -1}', (400, "The clock goes forward only")),
        ("/clock", b'{"forward_seconds": NaN}', (400, "The clock goes forward only")),
        ("/clock", b'{"backward_seconds": 1}', (400, "'forward_seconds' alone")),
    ],
)
async def test_wrong_faults_and_times_over_http_are_refused_and_change_nothing(
    admin: httpx2.AsyncClient,
    simulated: SimulatedOpenAI,
    path: str,
    content: bytes,
    refusal: tuple[int, str],
) -> None:
    refused = await admin.post(path, content=content)

    status, said = refusal
    assert refused.status_code == status
    assert said in refused.json()["error"]["message"]
    assert (await admin.get("/faults")).json() == {"faults": []}
    assert simulated.clock() == NOON


async def test_a_rule_that_is_not_there_cannot_be_removed_over_http(
    admin: httpx2.AsyncClient,
) -> None:
    assert (await admin.delete("/faults/fault_7")).status_code == 404


async def test_faults_of_the_owners_own_are_not_switched_over_http(
    admin: httpx2.AsyncClient, simulated: SimulatedOpenAI
) -> None:
    simulated.faults = NoFaults()

    refused = await admin.get("/faults")

    assert refused.status_code == 409


async def test_one_kind_of_the_ledgers_entries_is_seen_over_http(
    admin: httpx2.AsyncClient, client: AsyncOpenAI
) -> None:
    await ask(client, await conversation(client), "x")

    calls = (await admin.get("/ledger", params={"kind": "ModelCall"})).json()["entries"]
    refused = await admin.get("/ledger", params={"kind": "Nothing"})

    assert [entry["kind"] for entry in calls] == ["ModelCall"]
    assert refused.status_code == 400
    assert refused.json()["error"]["message"] == (
        "'kind' is one of: RequestSeen, ModelCall, ResponseEnded, Append, Removal, FaultStruck."
    )


async def test_time_passes_over_http(
    admin: httpx2.AsyncClient, client: AsyncOpenAI, clock: HandClock
) -> None:
    made = await ask(client, await conversation(client), "x")

    passed = await admin.post("/clock", json={"forward_seconds": 30 * 24 * 3600})
    clock.shows += 5

    assert passed.json() == {"now": NOON + 30 * 24 * 3600}
    assert (await admin.get("/clock")).json() == {"now": NOON + 30 * 24 * 3600 + 5}
    with pytest.raises(NotFoundError, match="Response with id"):
        await client.responses.retrieve(made.id)
