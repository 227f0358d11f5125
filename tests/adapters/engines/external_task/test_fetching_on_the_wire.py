"""How tasks are fetched, what of a reply is read, and what a lost poll leaves behind."""

import asyncio
from datetime import timedelta
from typing import Any

import httpx2
import pytest

from dadm.adapters.engines.external_task import ExternalTaskEngine
from dadm.domain.errors import EngineRejected, EngineUnavailable
from dadm.ports.engine import LeasedTask, TopicSubscription
from tests.adapters.engines.bpmn import boundary, caught, definitions, error, node, process
from tests.adapters.engines.external_task.wire import (
    DONE,
    Reply,
    Wire,
    engine_over,
    locked_task,
    model_reply,
    refusal,
    rows,
)

FETCH = "POST /external-task/fetchAndLock"
XML = "GET /process-definition/p:1:x/xml"
LOCKED = "GET /external-task"
NO_MODEL = model_reply(definitions())
HALF_A_MINUTE = timedelta(seconds=30)


def alpha(**more: Any) -> TopicSubscription:
    return TopicSubscription(topic="alpha", lease_duration=HALF_A_MINUTE, **more)


async def fetch(
    engine: ExternalTaskEngine, *subscriptions: TopicSubscription, seconds: float = 2.0
) -> list[LeasedTask]:
    found = await engine.fetch_and_lease(
        subscriptions or [alpha()], max_tasks=5, request_timeout=timedelta(seconds=seconds)
    )
    return list(found)


async def test_one_request_asks_for_all_topics_bound_to_their_processes() -> None:
    wire = Wire({FETCH: [rows()]})

    async with engine_over(wire) as engine:
        await fetch(
            engine,
            alpha(process_definition_keys=("p", "q")),
            TopicSubscription(topic="beta", lease_duration=timedelta(0), tenants=("acme",)),
            TopicSubscription(topic="gamma", lease_duration=HALF_A_MINUTE, tenants=("",)),
        )

    body = wire.body()
    assert (body["maxTasks"], body["asyncResponseTimeout"], body["usePriority"]) == (5, 2000, True)
    assert body["sorting"] == [{"sortBy": "createTime", "sortOrder": "asc"}]
    kept = {"includeExtensionProperties": True, "deserializeValues": False}
    assert body["topics"] == [
        {"topicName": "alpha", "lockDuration": 30000, "processDefinitionKeyIn": ["p", "q"], **kept},
        # No duration at all is refused.
        {"topicName": "beta", "lockDuration": 1, "tenantIdIn": ["acme"], **kept},
        {"topicName": "gamma", "lockDuration": 30000, "withoutTenantId": True, **kept},
    ]


@pytest.mark.parametrize(
    "subscriptions",
    [[alpha(tenants=("a",)), alpha(tenants=("b",))], [alpha(tenants=("", "a"))]],
)
async def test_what_an_engine_would_misunderstand_is_not_asked(
    subscriptions: list[TopicSubscription],
) -> None:
    wire = Wire({FETCH: [rows()]})

    async with engine_over(wire) as engine:
        with pytest.raises(EngineRejected):
            await fetch(engine, *subscriptions)

    assert not wire.requests


async def test_each_poll_has_a_worker_id_of_its_own_which_is_the_lease() -> None:
    wire = Wire({FETCH: [rows(locked_task())], XML: [NO_MODEL]})

    async with engine_over(wire) as engine:
        (first,) = await fetch(engine)
        (second,) = await fetch(engine)

    assert first.lease == wire.body(0)["workerId"]
    assert first.lease != second.lease
    # The model is read once.
    assert wire.sent.count(XML) == 1


VALUES: list[tuple[Any, Any]] = [
    ({"type": "String", "value": "x"}, "x"),
    ({"type": "Date", "value": "2026-11-29T01:20:27.099+0000"}, "2026-11-29T01:20:27.099+0000"),
    ({"type": "Json", "value": '{"a": [1]}'}, {"a": [1]}),
    (
        {
            "type": "Object",
            "value": '["b"]',
            "valueInfo": {"serializationDataFormat": "application/json"},
        },
        ["b"],
    ),
    ({"type": "Bytes", "value": "w6Q="}, "ä"),
    (
        {
            "type": "File",
            "value": None,
            "valueInfo": {"filename": "a.pdf", "mimeType": "application/pdf"},
        },
        {"filename": "a.pdf", "mimeType": "application/pdf"},
    ),
    ({"type": "Xml", "value": "<a/>"}, "<a/>"),
    ({"type": "Null", "value": None}, None),
    ({"type": "Something new", "value": 3}, 3),
]


@pytest.mark.parametrize(("typed", "expected"), VALUES)
async def test_a_variable_is_read_by_its_type(typed: Any, expected: Any) -> None:
    wire = Wire({FETCH: [rows(locked_task(variables={"v": typed}))], XML: [NO_MODEL]})

    async with engine_over(wire) as engine:
        (found,) = await fetch(engine)

    assert found.variables == {"v": expected}


ODD: list[Any] = [
    {"type": "Json", "value": "{"},
    {"type": "Bytes", "value": "/w=="},
    {"type": "Bytes", "value": "%"},
    {"type": "Object", "value": "x", "valueInfo": {"serializationDataFormat": "application/xml"}},
    {
        "type": "Object",
        "value": "rO0ABXNy",
        "valueInfo": {"serializationDataFormat": "application/x-java-serialized-object"},
    },
    {"type": "Object", "value": {"nodeType": "OBJECT"}},
    "no typed value",
]


@pytest.mark.parametrize("typed", ODD)
async def test_a_variable_that_cannot_be_read_is_left_out_and_spoils_nothing(typed: Any) -> None:
    variables = {"odd": typed, "fine": {"type": "Integer", "value": 1}}
    wire = Wire({FETCH: [rows(locked_task(variables=variables))], XML: [NO_MODEL]})

    async with engine_over(wire) as engine:
        (found,) = await fetch(engine)

    assert found.variables == {"fine": 1}


async def test_a_task_that_cannot_be_read_leaves_the_others_as_they_are() -> None:
    odd = {"id": "t0", "topicName": "alpha"}
    bare = {
        name: value
        for name, value in locked_task(id="t2").items()
        if value is not None and name not in {"variables", "extensionProperties", "priority"}
    }
    wire = Wire({FETCH: [rows(odd, locked_task(unheard="of"), bare)], XML: [NO_MODEL]})

    async with engine_over(wire) as engine:
        found = await fetch(engine)

    assert [each.task_id for each in found] == ["t1", "t2"]


async def test_a_task_whose_model_cannot_be_read_is_given_as_it_is() -> None:
    deleted = refusal(404, "No matching definition", kind="InvalidRequestException")
    wire = Wire(
        {FETCH: [rows(locked_task(extensionProperties={"prompt": "Why?"}))], XML: [deleted]}
    )

    async with engine_over(wire) as engine:
        (found,) = await fetch(engine)

    assert (found.documentation, found.properties) == ("", {"prompt": "Why?"})


LOST: list[Reply] = [
    httpx2.ReadTimeout("late"),
    httpx2.RemoteProtocolError("broken off"),
    httpx2.Response(502),
    refusal(500, "too many requests"),
]


@pytest.mark.parametrize("lost", LOST)
async def test_what_a_lost_poll_locked_is_given_back_until_it_must_be_over(lost: Reply) -> None:
    mine = {"id": "t1", "workerId": "any"}
    wire = Wire(
        {
            FETCH: [lost, rows()],
            LOCKED: [rows(), rows(mine), rows()],
            "POST /external-task/t1/extendLock": [DONE],
            "POST /external-task/t1/unlock": [DONE],
        }
    )

    async with engine_over(wire) as engine:
        with pytest.raises(EngineUnavailable):
            await fetch(engine)
        worker = wire.body(0)["workerId"]
        await fetch(engine)
        await fetch(engine)
        wire.clock.seconds = 10
        await fetch(engine)
        count = len(wire.requests)
        await fetch(engine)

    asked = [each for each in wire.requests if each.method == "GET"]
    assert {each.url.params["workerId"] for each in asked} == {worker}
    assert {each.url.params["locked"] for each in asked} == {"true"}
    assert len(asked) == 3
    assert wire.sent.count("POST /external-task/t1/unlock") == 1
    # After that, a poll is one request again.
    assert len(wire.requests) == count + 1


async def test_a_poll_that_was_cancelled_is_a_lost_one() -> None:
    wire = Wire({FETCH: [asyncio.CancelledError(), rows()], LOCKED: [rows()]})

    async with engine_over(wire) as engine:
        with pytest.raises(asyncio.CancelledError):
            await fetch(engine)
        await fetch(engine)

    assert LOCKED in wire.sent


async def test_tasks_that_were_locked_are_not_lost_when_their_model_is_out_of_reach() -> None:
    wire = Wire(
        {
            FETCH: [rows(locked_task()), rows()],
            XML: [httpx2.Response(503)],
            LOCKED: [rows({"id": "t1"})],
            "POST /external-task/t1/extendLock": [DONE],
            "POST /external-task/t1/unlock": [DONE],
        }
    )

    async with engine_over(wire) as engine:
        with pytest.raises(EngineUnavailable):
            await fetch(engine)
        await fetch(engine)

    assert "POST /external-task/t1/unlock" in wire.sent


async def test_a_request_that_the_engine_cannot_do_with_is_no_reason_to_poll_on() -> None:
    wire = Wire({FETCH: [refusal(400, "cannot be set to a value greater than", code=None)]})

    async with engine_over(wire) as engine:
        with pytest.raises(EngineRejected):
            await fetch(engine)


# --- who called

CALLERS = "GET /process-instance"


def calling(*codes: str) -> bytes:
    """Give a model that calls the process p from several places, each of which catches a code."""
    calls = [
        node("callActivity", f"C{number}", attributes="calledElement='p'")
        + (boundary(f"b{number}", f"C{number}", caught(code.lower())) if code else "")
        for number, code in enumerate(codes)
    ]
    return definitions(*(error(code) for code in set(codes) if code), process(*calls, key="caller"))


def called_by(document: bytes) -> Wire:
    caller = {"id": "i0", "definitionId": "caller:1:y", "definitionKey": "caller"}
    xml = httpx2.Response(200, json={"id": "caller:1:y", "bpmn20Xml": document.decode()})
    return Wire(
        {
            FETCH: [rows(locked_task())],
            XML: [NO_MODEL],
            CALLERS: [rows(caller), rows()],
            "GET /process-definition/caller:1:y/xml": [xml],
        }
    )


async def test_what_the_caller_catches_is_known_and_asked_for_once() -> None:
    wire = called_by(calling("A"))

    async with engine_over(wire) as engine:
        (first,) = await fetch(engine)
        (again,) = await fetch(engine)

    assert first.caught_errors == again.caught_errors == {"A"}
    asked = [
        each.url.params["subProcessInstance"]
        for each in wire.requests
        if each.method == "GET" and each.url.path.endswith("/process-instance")
    ]
    assert asked == ["i1", "i0"]


@pytest.mark.parametrize(
    ("codes", "expected"), [(("A", "A"), {"A"}), (("A", ""), set()), (("A", "B"), set())]
)
async def test_where_it_is_called_from_several_places_each_must_catch_it(
    codes: tuple[str, ...], expected: set[str]
) -> None:
    async with engine_over(called_by(calling(*codes))) as engine:
        (found,) = await fetch(engine)

    assert found.caught_errors == expected


async def test_callers_that_we_may_not_see_catch_nothing() -> None:
    wire = Wire({FETCH: [rows(locked_task())], XML: [NO_MODEL], CALLERS: [refusal(400, code=None)]})

    async with engine_over(wire) as engine:
        (found,) = await fetch(engine)

    assert found.caught_errors == frozenset()


ROOT = "GET /history/process-instance/i1"


def rooted(wanted: str) -> httpx2.Response:
    return rows(locked_task(extensionProperties={"thread.scope": wanted}))


async def test_the_root_of_an_instance_is_asked_for_once_and_only_where_it_matters() -> None:
    told = httpx2.Response(200, json={"id": "i1", "rootProcessInstanceId": "i0"})
    wire = Wire(
        {FETCH: [rooted("element"), rooted("root-instance")], XML: [NO_MODEL], ROOT: [told]}
    )

    async with engine_over(wire) as engine:
        (other,) = await fetch(engine)
        assert wire.sent.count(ROOT) == 0
        first, second = [(await fetch(engine))[0] for _ in range(2)]

    assert other.root_process_instance_id is None
    assert first.root_process_instance_id == second.root_process_instance_id == "i0"
    assert wire.sent.count(ROOT) == 1


@pytest.mark.parametrize(
    "reply",
    [
        refusal(404, "Historic process instance with id i1 does not exist"),
        httpx2.Response(200, json={"id": "i1", "rootProcessInstanceId": None}),
    ],
)
async def test_a_root_that_the_engine_does_not_tell_is_not_guessed(reply: httpx2.Response) -> None:
    wire = Wire({FETCH: [rooted("root-instance")], XML: [NO_MODEL], ROOT: [reply]})

    async with engine_over(wire) as engine:
        (task,) = await fetch(engine)

    assert task.root_process_instance_id is None


async def test_tasks_whose_root_cannot_be_asked_for_now_are_freed_later() -> None:
    away = httpx2.Response(503)
    wire = Wire({FETCH: [rooted("root-instance")], XML: [NO_MODEL], ROOT: [away], LOCKED: [rows()]})

    async with engine_over(wire) as engine:
        with pytest.raises(EngineUnavailable):
            await fetch(engine)
        with pytest.raises(EngineUnavailable):
            await fetch(engine)

    assert LOCKED in wire.sent


@pytest.mark.parametrize(
    "reply", [refusal(500, "Its database is away."), httpx2.Response(200, json=None)]
)
async def test_a_root_that_the_engine_fails_to_tell_leaves_the_task_for_later(
    reply: httpx2.Response,
) -> None:
    wire = Wire({FETCH: [rooted("root-instance")], XML: [NO_MODEL], ROOT: [reply]})

    async with engine_over(wire) as engine:
        with pytest.raises(EngineUnavailable):
            await fetch(engine)
