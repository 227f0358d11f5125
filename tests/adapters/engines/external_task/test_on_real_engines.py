"""What only engines of the Camunda 7 family have: suspension, files, lost polls, versions, tenants' models."""

import asyncio
import base64
from collections.abc import AsyncIterator
from datetime import timedelta

import httpx2
import pytest

from dadm.adapters.engines.external_task import ExternalTaskEngine
from dadm.adapters.system_clock import RandomIdentifiers, SystemClock
from dadm.domain.errors import EngineUnavailable, TaskGone
from dadm.domain.json import JsonObject
from dadm.ports.engine import AssistantTask, LeasedTask, TopicSubscription
from tests.adapters.engines.bpmn import (
    definitions,
    end,
    extended,
    flow,
    flows,
    mapping,
    node,
    process,
    properties,
    start,
    task,
)
from tests.engines.rest_engine import RestEngine

pytestmark = [pytest.mark.engines, pytest.mark.timeout(240)]

MINUTE = timedelta(minutes=1)
MARKED = extended(properties(service__type="assistant"))


@pytest.fixture(params=["operaton_url", "camunda7_url"])
async def rest(request: pytest.FixtureRequest) -> AsyncIterator[RestEngine]:
    rest = RestEngine(request.getfixturevalue(request.param))
    yield rest
    await rest.close()


@pytest.fixture
def engine(rest: RestEngine) -> ExternalTaskEngine:
    return ExternalTaskEngine(rest.address, SystemClock(), RandomIdentifiers(), client=rest.client)


def model(inner: str = MARKED, *, topic: str = "T", key: str = "p") -> bytes:
    parts = (start(), task("T", inner, topic=topic), end(), flows("s > T > e"))
    return definitions(process(*parts, key=key, attributes="camunda:historyTimeToLive='1'"))


async def fetch(
    engine: ExternalTaskEngine, *, wait: timedelta = timedelta(0), lease: timedelta = MINUTE
) -> list[LeasedTask]:
    wanted = TopicSubscription(topic="T", lease_duration=lease)
    return list(await engine.fetch_and_lease([wanted], max_tasks=9, request_timeout=wait))


async def test_what_a_suspended_instance_answers_is_reported_when_it_goes_on(
    rest: RestEngine, engine: ExternalTaskEngine
) -> None:
    await rest.deploy(model())
    instance = await rest.start("p")
    (held,) = await fetch(engine)
    await rest.put(f"/process-instance/{instance}/suspended", {"suspended": True})

    with pytest.raises(EngineUnavailable, match="suspended"):
        await engine.complete(held, variables={})
    with pytest.raises(EngineUnavailable, match="suspended"):
        await engine.extend(held, lease_duration=MINUTE)
    assert not await fetch(engine)
    assert await engine.is_active(held)

    await rest.put(f"/process-instance/{instance}/suspended", {"suspended": False})
    await engine.complete(held, variables={})
    assert await rest.state(instance) == "COMPLETED"


async def test_files_bytes_and_dates_do_not_spoil_a_batch(
    rest: RestEngine, engine: ExternalTaskEngine
) -> None:
    await rest.deploy(model())
    content = base64.b64encode(b"%PDF").decode()
    about = {"filename": "offer.pdf", "mimeType": "application/pdf"}
    variables = {
        "file": {"type": "File", "value": content, "valueInfo": about},
        "bytes": {"type": "Bytes", "value": base64.b64encode(b"\xff\x00").decode()},
        "date": {"type": "Date", "value": "2026-11-29T01:20:27.099+0000"},
        "long": {"type": "Long", "value": 2**40},
        "map": {"value": {"a": ["b", 1.5, None]}},
    }
    await rest.post("/process-definition/key/p/start", {"variables": variables})

    (held,) = await fetch(engine)

    assert held.variables == {
        "file": about,
        "date": "2026-11-29T01:20:27.099+0000",
        "long": 2**40,
        "map": {"a": ["b", 1.5, None]},
    }


@pytest.mark.parametrize(
    ("rest", "kinds", "amount"),
    [
        ("operaton_url", ("Bytes", "Object"), "answer.amount"),
        # With the JSON plugin (Spin).
        ("camunda7_url", ("Json", "Json"), "answer.prop('amount').numberValue()"),
    ],
    indirect=["rest"],
)
async def test_long_and_structured_answers_arrive_whole_and_steer_the_process(
    rest: RestEngine, engine: ExternalTaskEngine, kinds: tuple[str, str], amount: str
) -> None:
    steered = (
        start(),
        task("A", topic="T"),
        node("exclusiveGateway", "G", attributes="default='G_e'"),
        task("B", topic="T"),
        end(),
        flows("s > A > G > e", "B > e"),
        flow("G", "B", f"${{{amount} > 2}}"),
    )
    await rest.deploy(definitions(process(*steered, attributes="camunda:historyTimeToLive='1'")))
    instance = await rest.start("p")
    answers: JsonObject = {
        "long": "ü" * 5000,
        "answer": {"amount": 3, "of": ["a", None, {"b": 1.5}]},
    }

    (first,) = await fetch(engine)
    await engine.complete(first, variables=answers)
    (second,) = await fetch(engine)

    assert second.element_id == "B"
    assert second.variables == answers
    written = await rest.variables(instance)
    assert (written["long"]["type"], written["answer"]["type"]) == kinds


async def test_what_a_poll_locked_that_nobody_heard_of_is_worked_long_before_its_lock_ends(
    rest: RestEngine, engine: ExternalTaskEngine
) -> None:
    await rest.deploy(model())
    with pytest.raises(TimeoutError):
        # Its client goes away; the engine does not notice.
        async with asyncio.timeout(0.5):
            await fetch(engine, wait=timedelta(seconds=20))
    instance = await rest.start("p")
    async with asyncio.timeout(15):
        # Nobody is told when the engine's own thread has handed it out.
        while not await rest.get("/external-task?locked=true"):  # noqa: ASYNC110
            await asyncio.sleep(0.05)

    (held,) = await fetch(engine)

    assert (held.process_instance_id, held.retries) == (instance, None)
    await engine.complete(held, variables={})
    assert await rest.state(instance) == "COMPLETED"


async def test_a_task_given_back_wakes_whoever_waits_for_it(
    rest: RestEngine, engine: ExternalTaskEngine
) -> None:
    await rest.deploy(model())
    await rest.start("p")
    (held,) = await fetch(engine)

    async with asyncio.timeout(15), asyncio.TaskGroup() as group:
        waiting = group.create_task(fetch(engine, wait=timedelta(seconds=20)))
        # Nothing tells that the poll waits; given back before that, the task is simply there.
        await asyncio.sleep(0.5)
        await engine.unlease(held)

    assert [each.task_id for each in waiting.result()] == [held.task_id]


async def test_a_deleted_instance_has_its_output_mappings_run_unless_they_are_skipped(
    rest: RestEngine, engine: ExternalTaskEngine
) -> None:
    inner = extended(mapping(outputs={"kept": "${recommendation}"}))
    await rest.deploy(model(inner))
    instance = await rest.start("p")
    (held,) = await fetch(engine)

    refused = await rest.client.delete(f"/process-instance/{instance}")
    assert refused.status_code == 500
    assert await engine.is_active(held)

    await rest.delete(f"/process-instance/{instance}?skipIoMappings=true")
    with pytest.raises(TaskGone):
        await engine.complete(held, variables={"recommendation": "x"})


async def test_topics_of_older_versions_are_worked_as_long_as_they_are_deployed(
    rest: RestEngine, engine: ExternalTaskEngine
) -> None:
    await rest.deploy(model(topic="old"))
    await rest.deploy(model(topic="new"))
    await rest.deploy(model("", topic="foreign", key="q"))

    found = await engine.assistant_tasks()

    assert list(found) == [
        AssistantTask(topic=topic, element_id="T", process_definition_key="p", assistant="")
        for topic in ("new", "old")
    ]


async def test_an_engine_that_is_not_there_is_unavailable(rest: RestEngine) -> None:
    elsewhere = rest.address.replace("/engine-rest", "/nothing")
    nobody = "http://127.0.0.1:9/engine-rest"
    for address in (elsewhere, nobody):
        async with httpx2.AsyncClient() as client:
            engine = ExternalTaskEngine(address, SystemClock(), RandomIdentifiers(), client=client)
            with pytest.raises(EngineUnavailable):
                await engine.ping()
