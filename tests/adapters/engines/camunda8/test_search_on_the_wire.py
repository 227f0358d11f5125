"""Ends and states by search, as the published description of 8.8 and later has it."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest

from dadm.adapters.engines.camunda8 import Camunda8Engine
from dadm.domain.errors import EngineUnavailable
from dadm.ports.engine import InstanceState
from dadm.ports.engine_features import Feature
from tests.adapters.engines.camunda8.search_stub import SearchStub
from tests.adapters.engines.external_task.wire import StandingClock
from tests.clocks import Numbers


def instance(
    key: int, second: int | None = None, *, state: str = "", tenant: str = "<default>"
) -> dict[str, Any]:
    """Write an instance that ended in that second, or runs."""
    return {
        "processInstanceKey": str(key),
        "processDefinitionId": "p",
        "processDefinitionKey": "3",
        "startDate": "2030-01-01T00:00:00.000Z",
        "endDate": None if second is None else f"2030-01-01T00:00:{second:02d}.250Z",
        "state": state or ("ACTIVE" if second is None else "COMPLETED"),
        "hasIncident": False,
        "tenantId": tenant,
    }


@asynccontextmanager
async def engine_over(
    answer: Callable[[httpx2.Request], httpx2.Response],
    *,
    since: datetime | None = None,
    clock: StandingClock | None = None,
) -> AsyncIterator[Camunda8Engine]:
    async with (
        httpx2.AsyncClient(transport=httpx2.MockTransport(answer)) as client,
        Camunda8Engine(
            "http://gateway.test/v2",
            clock or StandingClock(),
            Numbers(),
            client=client,
            ended_since=since,
        ) as engine,
    ):
        yield engine


async def test_ends_are_told_in_order_with_their_states_and_tenants() -> None:
    rows = [
        instance(7, 3, state="TERMINATED"),
        instance(9),
        instance(8, 1, tenant="acme"),
    ]
    async with engine_over(SearchStub(*rows)) as engine:
        told = await engine.searched_ends.ended_instances(after=0, limit=10)

    assert [(each.instance_id, each.state, each.tenant) for each in told] == [
        ("8", InstanceState.COMPLETED, "acme"),
        ("7", InstanceState.CANCELLED, ""),
    ]
    assert told[0].ended_at == datetime(2030, 1, 1, 0, 0, 1, 250_000, tzinfo=UTC)


async def test_what_was_told_is_not_told_again_and_what_comes_late_is() -> None:
    stub = SearchStub(instance(1, 1), instance(3, 3))
    async with engine_over(stub) as engine:
        ends = engine.searched_ends
        told = await ends.ended_instances(after=0, limit=10)
        stub.rows.append(instance(2, 2))
        then = await ends.ended_instances(after=told[-1].position, limit=10)
        await ends.forget_ended(up_to=then[-1].position)
        afterwards = await ends.ended_instances(after=0, limit=10)

    assert [each.instance_id for each in told] == ["1", "3"]
    assert [each.instance_id for each in then] == ["2"]
    assert not afterwards


async def test_only_what_ended_since_a_time_is_told() -> None:
    since = datetime(2030, 1, 1, 0, 0, 2, tzinfo=UTC)
    stub = SearchStub(instance(1, 1), instance(3, 3))
    async with engine_over(stub, since=since) as engine:
        told = await engine.searched_ends.ended_instances(after=0, limit=10)

    assert [each.instance_id for each in told] == ["3"]
    assert stub.asked[-1]["filter"]["endDate"] == {"$gte": "2029-12-31T23:55:02.000Z"}


async def test_more_than_a_page_is_read_by_cursor_as_far_as_wanted() -> None:
    stub = SearchStub(*(instance(number, number // 40) for number in range(1100)))
    async with engine_over(stub) as engine:
        told = await engine.searched_ends.ended_instances(after=0, limit=700)

    assert [each.instance_id for each in told] == [str(number) for number in range(700)]
    assert [query["page"] for query in stub.asked[1:]] == [
        {"limit": 500},
        {"limit": 500, "after": "cursor500"},
    ]


async def test_states_are_asked_for_500_at_a_time_and_only_of_keys() -> None:
    stub = SearchStub(
        instance(1), instance(2, 1), instance(3, 2, state="TERMINATED"), instance(5000)
    )
    too_long = [str(2**63), "9" * 30, "9" * 5000]
    asked = ["unknown", "²", *too_long, *(str(number) for number in range(1, 1001)), "5000"]
    async with engine_over(stub) as engine:
        states = await engine.instance_states(asked)

    assert states == {
        "1": InstanceState.ACTIVE,
        "2": InstanceState.COMPLETED,
        "3": InstanceState.CANCELLED,
        "5000": InstanceState.ACTIVE,
    }
    assert [len(q["filter"]["processInstanceKey"]["$in"]) for q in stub.asked[1:]] == [500, 500, 1]


@pytest.mark.parametrize(
    "reply",
    [
        httpx2.Response(404, json={"status": 404, "error": "Not Found", "path": "/v2"}),
        httpx2.Response(405, json={"title": "Method Not Allowed"}),
        httpx2.Response(403, json={"title": "Forbidden", "detail": "no secondary storage"}),
    ],
)
async def test_a_server_without_search_is_asked_once_and_knows_nothing(
    reply: httpx2.Response,
) -> None:
    asked: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        asked.append(request)
        return reply

    async with engine_over(answer) as engine:
        assert not await engine.searched_ends.ended_instances(after=0, limit=10)
        assert not await engine.instance_states(["1"])
        assert Feature.INSTANCE_STATES not in engine.features

    assert len(asked) == 1


async def test_a_server_that_is_given_search_later_is_found_to_have_it() -> None:
    replies = [httpx2.Response(403, json={"title": "Forbidden", "detail": "not yet"})]
    stub, clock = SearchStub(instance(1, 1)), StandingClock()

    def answer(request: httpx2.Request) -> httpx2.Response:
        return replies.pop() if replies else stub(request)

    async with engine_over(answer, clock=clock) as engine:
        assert not await engine.instance_states(["1"])
        assert not await engine.instance_states(["1"])
        clock.seconds += 3600
        assert await engine.instance_states(["1"]) == {"1": InstanceState.COMPLETED}


async def test_a_server_that_was_away_at_first_is_asked_again() -> None:
    replies = [httpx2.Response(503, json={"title": "UNAVAILABLE", "detail": "later"})]
    stub = SearchStub(instance(1, 1))

    def answer(request: httpx2.Request) -> httpx2.Response:
        return replies.pop() if replies else stub(request)

    async with engine_over(answer) as engine:
        with pytest.raises(EngineUnavailable):
            await engine.instance_states(["1"])
        assert await engine.instance_states(["1"]) == {"1": InstanceState.COMPLETED}
        assert Feature.INSTANCE_STATES in engine.features


@pytest.mark.parametrize("content", [[], None, "x", {"items": [1]}, {"items": [{}]}], ids=str)
async def test_a_reply_that_no_gateway_wrote_is_told_as_an_engine_that_is_away(
    content: Any,
) -> None:
    async with engine_over(lambda _: httpx2.Response(200, content=json.dumps(content))) as engine:
        with pytest.raises(EngineUnavailable):
            await engine.searched_ends.ended_instances(after=0, limit=10)
        with pytest.raises(EngineUnavailable):
            await engine.searched_ends.instance_states(["7"])
        with pytest.raises(EngineUnavailable):
            await engine.assistant_tasks()
