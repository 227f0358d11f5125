"""Instances are started, listed, steered by people, and cancelled; their ends are told."""

import pytest

from dadm.domain.errors import EngineRejected, TaskGone, UnknownProcess
from dadm.ports.engine import InstanceState
from tests.adapters.engines.bpmn import (
    boundary,
    end,
    extended,
    flow,
    flows,
    mapping,
    model,
    node,
    start,
    task,
    timer,
)
from tests.adapters.engines.stage import Stage

TWO = model(start(), task("A"), task("B"), end(), flows("s > A > B > e"))


async def test_an_instance_tells_where_it_stands(stage: Stage) -> None:
    await stage.deploy(TWO)
    started = await stage.engine.start("p", variables={"x": [1]}, business_key="K")

    assert started.state is InstanceState.ACTIVE
    assert started.waiting_at == ("A",)
    assert started.variables == {"x": [1]}
    assert (started.business_key, started.definition_key, started.definition_id) == (
        "K",
        "p",
        "p:1",
    )
    assert started.started_at == stage.clock.now()
    assert started.ended_at is None
    stage.clock.pass_time(hours=1)
    await stage.work("A", "B")

    ended = await stage.see(started.instance_id)
    assert (ended.state, ended.waiting_at, ended.ended_at) == (
        InstanceState.COMPLETED,
        (),
        stage.clock.now(),
    )


async def test_instances_are_listed_newest_first_and_by_state(stage: Stage) -> None:
    await stage.deploy(TWO)
    first, second, third = [await stage.start() for _ in range(3)]
    await stage.engine.cancel(second.instance_id)

    listed = await stage.engine.instances()
    assert [each.instance_id for each in listed] == [
        each.instance_id for each in (third, second, first)
    ]
    active = await stage.engine.instances(state=InstanceState.ACTIVE, limit=1)
    assert [each.instance_id for each in active] == [third.instance_id]
    with pytest.raises(UnknownProcess):
        await stage.engine.instance("nobody")


async def test_cancelling_drops_everything_that_waits(stage: Stage) -> None:
    await stage.run(
        model(
            start(),
            node("parallelGateway", "f"),
            task("A"),
            boundary("late", "A", timer("PT1H")),
            node("userTask", "U"),
            node("subProcess", "sub", start("is") + task("C") + end("ie") + flows("is > C > ie")),
            end(),
            flows("s > f > A > e", "late > e", "f > U > e", "f > sub > e"),
        ),
        x=1,
    )
    held = await stage.take("A")
    await stage.fail("C")

    await stage.engine.cancel(stage.instance_id)

    seen = await stage.see()
    assert (seen.state, seen.waiting_at, seen.incident_count) == (InstanceState.CANCELLED, (), 0)
    assert seen.variables == {"x": 1}
    assert not await stage.engine.user_tasks()
    assert not await stage.engine.incidents()
    assert not await stage.engine.is_active(held)
    assert await stage.wait(hours=2) == 0
    with pytest.raises(TaskGone):
        await stage.engine.complete(held, variables={})
    with pytest.raises(EngineRejected, match="has ended already"):
        await stage.engine.cancel(stage.instance_id)
    with pytest.raises(UnknownProcess):
        await stage.engine.cancel("nobody")


async def test_people_complete_their_tasks(stage: Stage) -> None:
    inner = "<bpmn:documentation>Look.</bpmn:documentation>" + extended(
        mapping({"shown": "${x}"}, {"kept": "${shown + approved}"})
    )
    await stage.run(
        model(
            start(),
            node("userTask", "U", inner, "name='Approve'"),
            node("exclusiveGateway", "g"),
            task("A"),
            task("B"),
            end(),
            flows("s > U > g", "A > e", "B > e"),
            flow("g", "A", "${kept == 3}"),
            flow("g", "B", "${kept == 4}"),
        ),
        x=1,
    )

    (waiting,) = await stage.engine.user_tasks()
    assert (waiting.element_id, waiting.name, waiting.documentation) == ("U", "Approve", "Look.")
    assert waiting.instance_id == stage.instance_id
    with pytest.raises(EngineRejected, match="No condition"):
        await stage.engine.complete_user_task(waiting.task_id, variables={"approved": 9})
    await stage.engine.complete_user_task(waiting.task_id, variables={"approved": 2})

    assert await stage.offered() == ["A"]
    with pytest.raises(UnknownProcess, match="no user task"):
        await stage.engine.complete_user_task(waiting.task_id, variables={})


async def test_the_end_of_an_instance_is_told_until_it_is_forgotten(stage: Stage) -> None:
    await stage.deploy(TWO)
    first, second = [await stage.start() for _ in range(2)]
    assert await stage.engine.ended_instances(after=0, limit=10) == ()
    await stage.engine.cancel(second.instance_id)
    await stage.work("A", "B")

    told = await stage.engine.ended_instances(after=0, limit=10)
    assert [(each.instance_id, each.state) for each in told] == [
        (second.instance_id, InstanceState.CANCELLED),
        (first.instance_id, InstanceState.COMPLETED),
    ]
    assert await stage.engine.ended_instances(after=told[0].position, limit=10) == told[1:]
    await stage.engine.forget_ended(up_to=told[0].position)
    assert await stage.engine.ended_instances(after=0, limit=10) == told[1:]


async def test_an_instance_that_waits_for_nothing_is_over_when_it_starts(stage: Stage) -> None:
    started = await stage.run(model(start(), end(), flows("s > e")))

    assert started.state is InstanceState.COMPLETED
    assert len(await stage.engine.ended_instances(after=0, limit=10)) == 1


async def test_a_start_that_cannot_reach_its_first_wait_leaves_nothing(stage: Stage) -> None:
    await stage.deploy(
        model(
            start(),
            task("A", attributes="camunda:taskPriority='${rank}'"),
            end(),
            flows("s > A > e"),
        )
    )

    with pytest.raises(EngineRejected, match=r"cannot go on at A: .*no variable 'rank'"):
        await stage.start()
    with pytest.raises(EngineRejected, match="beyond all measure"):
        await stage.start(rank=2**40)
    with pytest.raises(EngineRejected, match="business_key contains control characters"):
        await stage.engine.start("p", variables={"rank": 1}, business_key="a\x00b")

    assert not await stage.engine.instances()
