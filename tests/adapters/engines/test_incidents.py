"""What cannot go on waits for a person, who lets it go on, with other variables if need be."""

from datetime import timedelta

import pytest

from dadm.domain.errors import EngineRejected, LeaseLost, UnknownProcess
from dadm.ports.engine import InstanceState, TopicSubscription
from tests.adapters.engines.bpmn import (
    boundary,
    end,
    extended,
    flows,
    mapping,
    model,
    node,
    start,
    task,
    timer,
)
from tests.adapters.engines.stage import Stage

ONE = model(start(), task("A"), task("B"), end(), flows("s > A > B > e"))


async def test_a_task_without_retries_left_leaves_an_incident(stage: Stage) -> None:
    await stage.run(ONE)

    held = await stage.fail("A", "It broke. " + "x" * 1000)

    incident = await stage.the_incident()
    assert incident.message.startswith("It broke. xxx")
    assert len(incident.message) == 666
    assert (incident.instance_id, incident.element_id, incident.task_id) == (
        stage.instance_id,
        "A",
        held.task_id,
    )
    assert incident.created_at == stage.clock.now()
    seen = await stage.see()
    assert (seen.state, seen.incident_count) == (InstanceState.ACTIVE, 1)
    assert seen.waiting_at == ("A",)
    assert await stage.fetch() == []


async def test_a_retry_offers_the_same_task_with_new_variables(stage: Stage) -> None:
    await stage.run(ONE, x=1)
    held = await stage.fail("A")
    incident = await stage.the_incident()

    await stage.engine.retry_incident(incident.incident_id, variables={"x": 2, "y": 3}, retries=5)

    assert not await stage.engine.incidents()
    again = await stage.take("A")
    assert again.task_id == held.task_id
    assert again.retries == 5
    assert again.variables == {"x": 2, "y": 3}
    with pytest.raises(UnknownProcess):
        await stage.engine.retry_incident(incident.incident_id, variables={})


async def test_a_retry_changes_what_the_task_sees_where_it_maps_it_in(stage: Stage) -> None:
    inner = extended(mapping({"x": "${y}"}))
    await stage.run(model(start(), task("A", inner), end(), flows("s > A > e")), x=1, y=2)
    await stage.fail("A")
    incident = await stage.the_incident()

    await stage.engine.retry_incident(incident.incident_id, variables={"x": 9})

    assert (await stage.take("A")).variables == {"x": 9, "y": 2}
    assert (await stage.see()).variables == {"x": 1, "y": 2}


async def test_an_incident_is_retried_at_least_once(stage: Stage) -> None:
    await stage.run(ONE)
    await stage.fail("A")

    with pytest.raises(EngineRejected, match="at least once"):
        await stage.engine.retry_incident(
            (await stage.the_incident()).incident_id, variables={}, retries=0
        )
    assert (await stage.see()).incident_count == 1


async def test_an_incident_goes_away_with_its_task(stage: Stage) -> None:
    await stage.run(
        model(
            start(),
            task("A"),
            boundary("late", "A", timer("PT1H")),
            end(),
            node("userTask", "U"),
            flows("s > A > e", "late > U > e"),
        )
    )
    await stage.fail("A")

    await stage.wait(hours=1)

    assert not await stage.engine.incidents()
    assert await stage.stands_at() == ("U",)


async def test_an_incident_of_one_branch_leaves_the_other_alone(stage: Stage) -> None:
    await stage.run(
        model(
            start(),
            node("parallelGateway", "f"),
            task("A"),
            task("B"),
            node("userTask", "U"),
            end(),
            flows("s > f > A > e", "f > B > U > e"),
        )
    )
    await stage.fail("A")

    await stage.work("B")
    await stage.do("U")

    assert (await stage.the_incident()).element_id == "A"
    assert (await stage.see()).waiting_at == ("A",)


async def test_retries_count_down_as_the_worker_says(stage: Stage) -> None:
    await stage.run(ONE)

    assert (await stage.take("A")).retries is None
    stage._held.clear()
    fresh = Stage(stage.store)
    fresh.clock, fresh._topics = stage.clock, {"A"}
    (task_,) = await stage.store.tasks_of(stage.instance_id)
    await stage.store.release_task(task_.task_id, worker=task_.worker)
    await fresh.fail("A", retries=2)
    again = await fresh.take("A")
    assert again.retries == 2
    await stage.engine.fail(
        again, message="", details="", retries=1, retry_after=timedelta(minutes=5)
    )
    assert await fresh.fetch() == []
    stage.clock.pass_time(minutes=5)
    assert (await fresh.take("A")).retries == 1


async def test_retries_of_a_camunda_8_model_come_from_the_model(stage: Stage) -> None:
    definition = extended("<zeebe:taskDefinition type='A' retries='7'/>")
    await stage.run(model(start(), node("serviceTask", "A", definition), end(), flows("s > A > e")))

    assert (await stage.take("A")).retries == 7


async def test_a_lease_is_lost_to_the_next_fetch_even_within_one_program(stage: Stage) -> None:
    await stage.run(ONE)
    engine = stage.engine
    subscription = TopicSubscription(topic="A", lease_duration=timedelta(minutes=1))

    (first,) = await engine.fetch_and_lease(
        [subscription], max_tasks=1, request_timeout=timedelta(0)
    )
    stage.clock.pass_time(minutes=2)
    (second,) = await engine.fetch_and_lease(
        [subscription], max_tasks=1, request_timeout=timedelta(0)
    )

    assert first.task_id == second.task_id
    with pytest.raises(LeaseLost):
        await engine.complete(first, variables={})
    await engine.complete(second, variables={})
    assert await stage.offered() == ["B"]
