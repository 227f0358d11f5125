"""What engines of the Camunda 7 family reply to reports, and what becomes of it."""

import base64
import json
from datetime import timedelta
from typing import Any

import httpx2
import pytest

from dadm.adapters.engines.external_task.connection import TRIES
from dadm.domain.errors import (
    DadmError,
    EngineAccessRefused,
    EngineRejected,
    EngineUnavailable,
    LeaseLost,
    TaskGone,
)
from dadm.domain.json import JsonObject
from tests.adapters.engines.external_task.wire import (
    DONE,
    Reply,
    Wire,
    engine_over,
    paths,
    refusal,
    task,
)
from tests.builders import make_leased_task

MINUTE = timedelta(minutes=1)
OURS = httpx2.Response(200, json={"workerId": "w", "suspended": False})
OURS_SUSPENDED = httpx2.Response(200, json={"workerId": "w", "suspended": True})
ANOTHERS = httpx2.Response(200, json={"workerId": "other", "suspended": False})
GONE = refusal(404, "External task with id t1 does not exist")
NOT_OURS = refusal(400, "cannot be completed by worker 'w'. It is locked by worker 'other'.")

MEANINGS: list[tuple[str, Reply, Reply, type[DadmError]]] = [
    ("gone", GONE, GONE, TaskGone),
    ("another's", NOT_OURS, ANOTHERS, LeaseLost),
    ("never ours", NOT_OURS, httpx2.Response(200, json={"workerId": None}), LeaseLost),
    ("gone while we look", NOT_OURS, GONE, TaskGone),
    ("suspended", refusal(400, "is suspended."), OURS_SUSPENDED, EngineUnavailable),
    ("refused for another reason", refusal(400, "Hm."), OURS, EngineRejected),
    (
        "a bad request",
        refusal(400, "Unsupported value type 'Nope'", code=None),
        OURS,
        EngineRejected,
    ),
    ("no JSON sent", httpx2.Response(400, text="what?"), OURS, EngineRejected),
    ("a gateway fails", refusal(500, "ENGINE-02004 No outgoing flow"), OURS, EngineRejected),
    (
        "ended in the middle of the report",
        refusal(500, "Cannot find execution", kind="NullValueException"),
        GONE,
        TaskGone,
    ),
    (
        "ended in the middle, and badly",
        refusal(500, "Cannot invoke", code=None, kind="NullPointerException"),
        GONE,
        TaskGone,
    ),
    ("unauthorised", refusal(401, code=None), OURS, EngineAccessRefused),
    ("forbidden", refusal(403, code=0), OURS, EngineAccessRefused),
    ("too many", httpx2.Response(429), OURS, EngineUnavailable),
    ("a proxy's page", httpx2.Response(502, text="<html>"), OURS, EngineUnavailable),
    ("busy", refusal(503, code=None), OURS, EngineUnavailable),
    ("a fault that no engine wrote", httpx2.Response(500, text="<h1>"), OURS, EngineUnavailable),
    ("no such path", refusal(404, code=None, kind="NotFoundException"), OURS, EngineUnavailable),
    ("a page elsewhere", httpx2.Response(404, text="<html>"), OURS, EngineUnavailable),
    ("unreachable", httpx2.ConnectError("refused"), OURS, EngineUnavailable),
    ("broken off", httpx2.ReadError("reset"), OURS, EngineUnavailable),
    ("silent", httpx2.ReadTimeout("late"), OURS, EngineUnavailable),
]


@pytest.mark.parametrize(
    ("reply", "state", "expected"), [row[1:] for row in MEANINGS], ids=[row[0] for row in MEANINGS]
)
async def test_a_refused_completion_is_told_apart(
    reply: Reply, state: Reply, expected: type[DadmError]
) -> None:
    wire = Wire(paths(complete=[reply], state=[state]))

    async with engine_over(wire) as engine:
        with pytest.raises(expected) as raised:
            await engine.complete(task(), variables={})

    assert type(raised.value) is expected
    assert raised.value.message


async def test_a_lock_that_ran_out_is_not_extended() -> None:
    expired = refusal(400, "Cannot extend a lock that expired")
    wire = Wire(paths(extendLock=[expired], state=[OURS]))

    async with engine_over(wire) as engine:
        with pytest.raises(LeaseLost):
            await engine.extend(task(), lease_duration=MINUTE)


async def test_meeting_another_change_is_no_failure_but_tried_again_at_once() -> None:
    met = refusal(500, "Optimistic", code=1, kind="OptimisticLockingException")
    deadlock = refusal(500, "Deadlock", code=10_000, kind="ProcessEnginePersistenceException")
    wire = Wire(paths(complete=[met, deadlock, met, DONE]))

    async with engine_over(wire) as engine:
        await engine.complete(task(), variables={"x": 1})

    assert len(wire.requests) == 4
    assert wire.clock.seconds < 1


async def test_meeting_other_changes_again_and_again_is_reported_later() -> None:
    met = refusal(500, "Optimistic", code=1, kind="OptimisticLockingException")
    wire = Wire(paths(complete=[met]))

    async with engine_over(wire) as engine:
        with pytest.raises(EngineUnavailable):
            await engine.complete(task(), variables={})

    assert len(wire.requests) == TRIES


async def test_a_failure_says_its_retries_and_is_cut_to_what_the_engine_keeps() -> None:
    wire = Wire(paths(failure=[DONE]))
    message = "Why. " * 500

    async with engine_over(wire) as engine:
        await engine.fail(
            task(),
            message=message,
            details="turn: 7",
            retries=0,
            retry_after=timedelta(seconds=1.5),
        )

    body = wire.body()
    assert (body["workerId"], body["retries"], body["retryTimeout"]) == ("w", 0, 1500)
    assert len(body["errorMessage"]) == 666
    assert body["errorDetails"].startswith(message)
    assert body["errorDetails"].endswith("turn: 7")


async def test_an_error_that_nothing_catches_is_never_sent_as_one() -> None:
    wire = Wire(paths(failure=[DONE]))

    async with engine_over(wire) as engine:
        await engine.bpmn_error(
            task(caught_errors=frozenset({"A"})), error_code="B", message="No.", variables={}
        )

    assert wire.sent == ["POST /external-task/t1/failure"]
    assert wire.body()["retries"] == 0


async def test_a_catch_all_takes_any_error() -> None:
    wire = Wire(paths(bpmnError=[DONE]))

    async with engine_over(wire) as engine:
        await engine.bpmn_error(
            task(caught_errors=frozenset({""})), error_code="B", message="No.", variables={"x": 1}
        )

    body = wire.body()
    assert (body["errorCode"], body["variables"]) == ("B", {"x": {"value": 1, "type": "Integer"}})


async def test_only_a_lock_of_ours_is_given_back() -> None:
    wire = Wire(paths(extendLock=[NOT_OURS], unlock=[DONE]))

    async with engine_over(wire) as engine:
        await engine.unlease(task())

    assert wire.sent == ["POST /external-task/t1/extendLock"]


async def test_an_odd_id_stays_one_step_of_the_path() -> None:
    wire = Wire({"GET /external-task/a/b?c": [OURS]})

    async with engine_over(wire) as engine:
        assert await engine.is_active(make_leased_task("a/b?c"))

    assert wire.requests[0].url.raw_path == b"/engine-rest/external-task/a%2Fb%3Fc"


# --- what is sent of an answer

LONG = "ä" * 4001
STRUCTURE: JsonObject = {"a": [1, {"b": None}]}


async def sent_variables(wire: Wire, variables: Any) -> Any:
    async with engine_over(wire) as engine:
        await engine.complete(task(), variables=variables)
    return wire.body()["variables"]


async def test_values_are_sent_with_the_types_that_hold_them() -> None:
    given = {
        "text": "x" * 4000,
        "true": True,
        "small": -7,
        "big": 2**31,
        "bigger": 2**63,
        "half": 0.5,
        "none": None,
        "infinite": float("inf"),
    }

    sent = await sent_variables(Wire(paths(complete=[DONE])), given)

    assert {name: each["type"] for name, each in sent.items()} == {
        "text": "String",
        "true": "Boolean",
        "small": "Integer",
        "big": "Long",
        "bigger": "String",
        "half": "Double",
        "none": "Null",
        "infinite": "String",
    }
    assert sent["bigger"]["value"] == str(2**63)


async def test_an_engine_with_json_gets_long_texts_and_structures_as_json() -> None:
    sent = await sent_variables(Wire(paths(complete=[DONE])), {"long": LONG, "s": STRUCTURE})

    assert {each["type"] for each in sent.values()} == {"Json"}
    assert json.loads(sent["long"]["value"]) == LONG
    assert json.loads(sent["s"]["value"]) == STRUCTURE


async def test_an_engine_without_json_is_found_out_once() -> None:
    none = refusal(400, "Cannot complete: Unsupported value type 'Json'", code=None)
    wire = Wire(paths(complete=[none, DONE]))

    async with engine_over(wire) as engine:
        await engine.complete(task(), variables={"long": LONG, "s": STRUCTURE})
        await engine.complete(task(), variables={"long": LONG})

    assert len(wire.requests) == 3
    sent = wire.body(1)["variables"]
    assert sent["s"] == {"value": STRUCTURE}
    assert sent["long"]["type"] == "Bytes"
    assert base64.b64decode(sent["long"]["value"]).decode() == LONG
    assert wire.body(2)["variables"]["long"]["type"] == "Bytes"


async def test_a_database_that_counts_bytes_gets_shorter_strings() -> None:
    too_long = refusal(500, "persistence layer", code=10_002)
    none = refusal(400, "Unsupported value type 'Json'", code=None)
    wire = Wire(paths(complete=[too_long, none, DONE]))

    async with engine_over(wire) as engine:
        await engine.complete(task(), variables={"x": "€" * 3000, "y": "short"})

    sent = wire.body()["variables"]
    assert (sent["x"]["type"], sent["y"]["type"]) == ("Bytes", "String")


async def test_what_the_database_refuses_for_another_reason_is_not_sent_for_ever() -> None:
    too_long = refusal(500, "persistence layer", code=10_002)
    wire = Wire(paths(complete=[too_long], state=[OURS]))

    async with engine_over(wire) as engine:
        with pytest.raises(EngineRejected):
            await engine.complete(task(), variables={"x": "€" * 3000})
        with pytest.raises(EngineRejected):
            await engine.complete(task(), variables={"x": "short"})

    assert [each for each in wire.sent if each.endswith("complete")] == [wire.sent[0]] * 3


async def test_half_a_surrogate_pair_does_not_stop_a_report() -> None:
    sent = await sent_variables(Wire(paths(complete=[DONE])), {"x": "a\ud800"})

    assert sent["x"]["value"] == "a\ud800"
