"""Which topics are worked: those of the deployed models, found again when something is deployed."""

from typing import Any

import httpx2
import pytest

from dadm.domain.errors import EngineUnavailable
from dadm.ports.engine import AssistantTask
from tests.adapters.engines.bpmn import definitions, extended, process, properties, task
from tests.adapters.engines.external_task.wire import (
    Reply,
    Wire,
    engine_over,
    model_reply,
    refusal,
    rows,
)

MARKED = extended(properties(service__type="assistant", assistant="analyst"))
NEWEST, COUNT, LIST = "GET /deployment", "GET /process-definition/count", "GET /process-definition"


def xml(definition_id: str) -> str:
    return f"GET /process-definition/{definition_id}/xml"


def engine_with(*states: dict[str, bytes], **models: Any) -> Wire:
    """Give an engine whose definitions (id and model) are those of `states`, one after the other."""
    replies: dict[str, list[Reply]] = {
        NEWEST: [rows({"id": f"d{number}"}) for number in range(len(states))],
        COUNT: [httpx2.Response(200, json={"count": len(state)}) for state in states],
        LIST: [
            rows(*({"id": each, "key": each.partition(":")[0]} for each in state))
            for state in states
        ],
    }
    for state in states:
        replies |= {xml(each): [model_reply(document)] for each, document in state.items()}
    return Wire(replies)


def model(*tasks: str, key: str = "p") -> bytes:
    return definitions(process(*tasks, key=key))


def told(topic: str, element: str, *, key: str = "p") -> AssistantTask:
    return AssistantTask(
        topic=topic, element_id=element, process_definition_key=key, assistant="analyst"
    )


async def test_topics_of_all_versions_are_worked_and_those_of_others_left_alone() -> None:
    wire = engine_with(
        {
            "p:1:a": model(task("A", MARKED, topic="old"), task("Foreign")),
            "p:2:b": model(task("A", MARKED, topic="new")),
            "q:1:c": model(task("Q", topic="not ours"), key="q"),
        }
    )

    async with engine_over(wire) as engine:
        found = await engine.assistant_tasks()

    assert list(found) == [told("new", "A"), told("old", "A")]


async def test_while_nothing_is_deployed_two_small_requests_are_all_it_costs() -> None:
    wire = engine_with({"p:1:a": model(task("A", MARKED))})

    async with engine_over(wire) as engine:
        await engine.assistant_tasks()
        before = len(wire.requests)
        await engine.assistant_tasks()

    assert wire.sent[before:] == [NEWEST, COUNT]


async def test_what_is_deployed_later_is_noticed_and_only_that_is_read() -> None:
    first = {"p:1:a": model(task("A", MARKED))}
    second = first | {"q:1:b": model(task("B", MARKED), key="q")}
    wire = engine_with(first, second)

    async with engine_over(wire) as engine:
        await engine.assistant_tasks()
        found = await engine.assistant_tasks()

    assert list(found) == [told("A", "A"), told("B", "B", key="q")]
    assert wire.sent.count(xml("p:1:a")) == 1


async def test_what_is_deleted_is_not_asked_for_any_more() -> None:
    both = {"p:1:a": model(task("A", MARKED)), "q:1:b": model(task("B", MARKED), key="q")}
    wire = engine_with(both, {"p:1:a": both["p:1:a"]})

    async with engine_over(wire) as engine:
        await engine.assistant_tasks()
        assert list(await engine.assistant_tasks()) == [told("A", "A")]


async def test_a_topic_shared_with_a_task_of_another_kind_is_left_alone_and_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    document = model(task("A", MARKED, topic="shared"), task("F", topic="shared"))
    wire = engine_with({"p:1:a": document})

    async with engine_over(wire) as engine:
        assert not await engine.assistant_tasks()
        assert not await engine.assistant_tasks()

    (sentence,) = [each for each in caplog.messages if "left alone" in each]
    assert "'shared'" in sentence


async def test_a_computed_topic_is_told_with_the_setting_that_helps(
    caplog: pytest.LogCaptureFixture,
) -> None:
    wire = engine_with({"p:1:a": model(task("A", MARKED, topic="${x}"))})

    async with engine_over(wire) as engine:
        assert not await engine.assistant_tasks()

    assert any("DADM_ENGINE__TOPICS" in each for each in caplog.messages)


async def test_topics_set_by_hand_need_no_models() -> None:
    wire = Wire({})

    async with engine_over(wire, topics=("b", "a")) as engine:
        found = await engine.assistant_tasks()

    assert [(each.topic, each.process_definition_key) for each in found] == [("a", ""), ("b", "")]
    assert not wire.requests


async def test_a_model_that_goes_while_it_is_read_stops_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    wire = engine_with({"p:1:a": b"", "q:1:b": model(task("B", MARKED), key="q")})
    wire._replies[xml("p:1:a")] = [refusal(404, kind="InvalidRequestException")]

    async with engine_over(wire) as engine:
        assert list(await engine.assistant_tasks()) == [told("B", "B", key="q")]


async def test_an_engine_out_of_reach_in_the_middle_is_asked_again_from_there() -> None:
    wire = engine_with({"p:1:a": model(task("A", MARKED))})
    document = wire._replies[xml("p:1:a")]
    wire._replies[xml("p:1:a")] = [httpx2.Response(503), *document]

    async with engine_over(wire) as engine:
        with pytest.raises(EngineUnavailable):
            await engine.assistant_tasks()
        assert list(await engine.assistant_tasks()) == [told("A", "A")]
