"""The ends of instances are told once each, also those that become visible late."""

import json
from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest

from dadm.domain.errors import EngineUnavailable
from dadm.ports.engine import InstanceState
from tests.adapters.engines.external_task.wire import Reply, Wire, engine_over, refusal, rows

HISTORY = "POST /history/process-instance"


def ended(
    name: str, second: int, millisecond: int = 0, *, state: str = "COMPLETED"
) -> dict[str, Any]:
    at = f"2030-01-01T00:00:{second:02d}.{millisecond:03d}+0000"
    return {"id": name, "endTime": at, "state": state, "tenantId": None}


async def test_ends_are_read_in_order_with_their_states() -> None:
    found = [
        ended("a", 1),
        ended("b", 2, state="EXTERNALLY_TERMINATED"),
        ended("c", 3, state="INTERNALLY_TERMINATED"),
    ]
    wire = Wire({HISTORY: [rows(*found)]})

    async with engine_over(wire) as engine:
        told = await engine.ended_instances(after=0, limit=10)

    assert [(each.instance_id, each.state) for each in told] == [
        ("a", InstanceState.COMPLETED),
        ("b", InstanceState.CANCELLED),
        ("c", InstanceState.CANCELLED),
    ]
    assert wire.body()["finishedAfter"] == "1970-01-01T00:00:00.000+0000"


async def test_instances_that_ended_in_one_millisecond_are_told_apart() -> None:
    wire = Wire({HISTORY: [rows(ended("a", 1, 5), ended("b", 1, 5), ended("c", 1, 5))]})

    async with engine_over(wire) as engine:
        first, *rest = await engine.ended_instances(after=0, limit=10)
        again = await engine.ended_instances(after=first.position, limit=10)

    assert list(again) == rest
    assert len({first.position, *(each.position for each in rest)}) == 3


async def test_an_end_that_becomes_visible_late_is_told_behind_the_others() -> None:
    early, late, last = ended("early", 1), ended("late", 2), ended("last", 3)
    wire = Wire({HISTORY: [rows(early, last), rows(early, late, last)]})

    async with engine_over(wire) as engine:
        told = await engine.ended_instances(after=0, limit=10)
        then = await engine.ended_instances(after=told[-1].position, limit=10)
        afterwards = await engine.ended_instances(after=then[-1].position, limit=10)

    assert [each.instance_id for each in then] == ["late"]
    assert then[0].position > told[-1].position
    assert not afterwards


async def test_a_reader_that_goes_on_where_another_was_does_not_tell_again() -> None:
    both = rows(ended("a", 1), ended("b", 2))
    wire = Wire({HISTORY: [both]})

    async with engine_over(wire) as engine, engine_over(wire) as next_life:
        first, second = await engine.ended_instances(after=0, limit=10)
        told = await next_life.ended_instances(after=first.position, limit=10)

    assert list(told) == [second]


async def test_only_what_ended_since_a_time_is_told() -> None:
    since = datetime(2030, 1, 1, 0, 0, 2, tzinfo=UTC)
    wire = Wire({HISTORY: [rows(ended("before", 1), ended("after", 3))]})

    async with engine_over(wire, ended_since=since) as engine:
        told = await engine.ended_instances(after=0, limit=10)

    assert [each.instance_id for each in told] == ["after"]
    assert wire.body()["finishedAfter"] == "2029-12-31T23:55:02.000+0000"


async def test_where_somebody_followed_before_it_goes_on_however_long_ago_that_was() -> None:
    since = datetime(2030, 1, 2, tzinfo=UTC)
    ends = rows(ended("handled", 1), ended("missed", 3))
    wire = Wire({HISTORY: [ends, ends]})

    async with engine_over(wire) as before, engine_over(wire, ended_since=since) as engine:
        handled, missed = await before.ended_instances(after=0, limit=10)
        await engine.forget_ended(up_to=handled.position)
        told = await engine.ended_instances(after=0, limit=10)

    assert list(told) == [missed]


async def test_what_history_does_not_have_is_looked_for_among_what_runs() -> None:
    wire = Wire(
        {
            HISTORY: [rows(ended("done", 1), {**ended("waits", 1), "endTime": None})],
            "POST /process-instance": [rows({"id": "without history"})],
        }
    )

    async with engine_over(wire) as engine:
        states = await engine.instance_states(["done", "waits", "without history", "unknown"])

    assert states == {
        "done": InstanceState.COMPLETED,
        "waits": InstanceState.ACTIVE,
        "without history": InstanceState.ACTIVE,
    }
    assert wire.body() == {"processInstanceIds": ["unknown", "without history"]}


async def test_more_than_a_page_is_read_page_by_page_as_far_as_wanted() -> None:
    pages: list[Reply] = [
        rows(*(ended(f"{page}-{number}", page, number) for number in range(500))) for page in (1, 2)
    ]
    wire = Wire({HISTORY: [*pages, rows()]})

    async with engine_over(wire) as engine:
        told = await engine.ended_instances(after=0, limit=700)

    assert len(told) == 700
    assert [request.url.params["firstResult"] for request in wire.requests] == ["0", "500"]


async def test_an_engine_without_history_is_told_as_such() -> None:
    wire = Wire({HISTORY: [refusal(403), refusal(500)]})

    async with engine_over(wire) as engine:
        for _ in range(2):
            with pytest.raises(EngineUnavailable):
                await engine.ended_instances(after=0, limit=10)


async def test_a_ping_says_what_answers() -> None:
    wire = Wire({"GET /version": [httpx2.Response(200, json={"version": "7.24.0"})]})

    async with engine_over(wire) as engine:
        assert "7.24.0" in await engine.ping()


async def test_a_ping_of_something_else_says_what_to_set() -> None:
    wire = Wire({"GET /version": [httpx2.Response(200, text="<html>"), httpx2.Response(404)]})

    async with engine_over(wire) as engine:
        with pytest.raises(EngineUnavailable, match="REST interface"):
            await engine.ping()
        with pytest.raises(EngineUnavailable, match="DADM_ENGINE_URL"):
            await engine.ping()


NO_ROWS: list[Any] = [None, "x", {}, [1], [{}], [{"id": "a", "endTime": None}]]


@pytest.mark.parametrize("content", NO_ROWS, ids=str)
async def test_a_reply_that_no_engine_wrote_is_told_as_an_engine_that_is_away(content: Any) -> None:
    wire = Wire({HISTORY: [httpx2.Response(200, content=json.dumps(content))]})

    async with engine_over(wire) as engine:
        with pytest.raises(EngineUnavailable, match="does an engine answer there"):
            await engine.ended_instances(after=0, limit=10)


@pytest.mark.parametrize("content", [None, "x", {}, [1], [{}]], ids=str)
async def test_neither_is_a_state_nor_a_model_read_from_one(content: Any) -> None:
    reply: Reply = httpx2.Response(200, content=json.dumps(content))
    paths = (HISTORY, "GET /deployment", "GET /process-definition/count", "GET /process-definition")
    wire = Wire({path: [reply] for path in paths})

    async with engine_over(wire) as engine:
        with pytest.raises(EngineUnavailable, match="does an engine answer there"):
            await engine.instance_states(["a"])
        with pytest.raises(EngineUnavailable, match="does an engine answer there"):
            await engine.assistant_tasks()
