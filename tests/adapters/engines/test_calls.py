"""Call activities start processes of their own and go on when those end."""

import pytest

from dadm.domain.errors import EngineRejected, TaskGone
from dadm.ports.engine import InstanceState
from tests.adapters.engines.bpmn import (
    boundary,
    definitions,
    end,
    extended,
    flow,
    flows,
    instances,
    job,
    mapping,
    node,
    process,
    start,
    task,
    timer,
)
from tests.adapters.engines.stage import Stage

CALLED = process(start("cs"), task("Inner"), end("ce"), flows("cs > Inner > ce"), key="called")


def calling(inner: str = "", attributes: str = "calledElement='called'", more: str = "") -> str:
    return process(
        start(),
        node("callActivity", "call", inner, attributes),
        more,
        task("After"),
        end(),
        flows("s > call > After > e"),
    )


async def test_a_called_process_is_an_instance_of_its_own(stage: Stage) -> None:
    carried = extended(
        "<camunda:in source='amount' target='sum'/>"
        "<camunda:in sourceExpression='${amount * 2}' target='double'/>"
        "<camunda:in businessKey='#{execution.processBusinessKey}'/>"
        "<camunda:out source='answer' target='called_answer'/>"
        "<camunda:out sourceExpression='${sum + 1}' target='more'/>"
    )
    await stage.deploy(definitions(calling(carried), CALLED))
    root = await stage.engine.start("p", variables={"amount": 5, "x": 1}, business_key="K")
    stage.instance_id = root.instance_id

    held = await stage.take("Inner")

    assert held.process_instance_id != root.instance_id
    assert held.root_process_instance_id == root.instance_id
    assert held.process_definition_key == "called"
    assert held.business_key == "K"
    assert held.variables == {"sum": 5, "double": 10}
    assert await stage.stands_at() == ("call",)
    child = await stage.see(held.process_instance_id)
    assert child.parent_id == root.instance_id
    await stage.engine.complete(held, variables={"answer": "yes"})

    assert (await stage.see(held.process_instance_id)).state is InstanceState.COMPLETED
    assert await stage.offered() == ["After"]
    assert (await stage.see()).variables == {
        "amount": 5,
        "x": 1,
        "called_answer": "yes",
        "more": 6,
    }


async def test_without_in_and_out_nothing_passes_in_camunda_7(stage: Stage) -> None:
    await stage.deploy(definitions(calling(), CALLED))
    await stage.start(x=1)

    held = await stage.take("Inner")
    assert held.variables == {}
    assert held.business_key == ""
    await stage.engine.complete(held, variables={"y": 2})

    assert (await stage.see()).variables == {"x": 1}


async def test_everything_may_pass(stage: Stage) -> None:
    carried = extended("<camunda:in variables='all'/><camunda:out variables='all'/>")
    await stage.deploy(definitions(calling(carried), CALLED))
    await stage.start(x=1)

    await stage.work("Inner", y=2)

    assert (await stage.see()).variables == {"x": 1, "y": 2}


async def test_camunda_8_passes_everything_unless_told_otherwise(stage: Stage) -> None:
    called = process(start("cs"), job("Inner"), end("ce"), flows("cs > Inner > ce"), key="called")
    everything = extended("<zeebe:calledElement processId='called'/>")
    mapped = extended(
        "<zeebe:calledElement processId='=which' propagateAllParentVariables='false'/>"
        "<zeebe:ioMapping><zeebe:input source='=x' target='given'/>"
        "<zeebe:output source='=y' target='taken'/></zeebe:ioMapping>"
    )
    await stage.deploy(definitions(calling(everything, ""), called))
    await stage.start(x=1)
    await stage.work("Inner", y=2)
    assert (await stage.see()).variables == {"x": 1, "y": 2}
    await stage.work("After")

    await stage.deploy(definitions(calling(mapped, ""), called))
    await stage.start(x=1, which="called")
    held = await stage.take("Inner")
    assert held.variables == {"given": 1}
    await stage.engine.complete(held, variables={"y": 2, "z": 3})
    assert (await stage.see()).variables == {"x": 1, "which": "called", "taken": 2}


async def test_mappings_around_a_call_have_their_scope(stage: Stage) -> None:
    inner = extended(
        mapping({"local": "${x + 1}"}, {"result": "${answer}"})
        + "<camunda:in source='local' target='given'/><camunda:out variables='all'/>"
    )
    await stage.deploy(definitions(calling(inner), CALLED))
    await stage.start(x=1)

    held = await stage.take("Inner")
    assert held.variables == {"given": 2}
    await stage.engine.complete(held, variables={"answer": 3})

    assert (await stage.see()).variables == {"x": 1, "given": 2, "answer": 3, "result": 3}


async def test_a_process_that_is_not_deployed_refuses_the_step(stage: Stage) -> None:
    await stage.deploy(definitions(calling(attributes="calledElement='${which}'")))

    with pytest.raises(EngineRejected, match="call calls the process 'nowhere', which is not"):
        await stage.start(which="nowhere")


async def test_the_latest_version_is_called_and_a_running_one_keeps_its_own(stage: Stage) -> None:
    await stage.deploy(definitions(calling()), definitions(CALLED))
    await stage.start()
    newer = process(start("cs"), task("Newer"), end("ce"), flows("cs > Newer > ce"), key="called")
    await stage.deploy(definitions(newer))

    await stage.start()

    assert sorted(await stage.offered()) == ["Inner", "Newer"]
    await stage.work("Inner", "Newer")
    assert await stage.offered() == ["After", "After"]


async def test_interrupting_a_call_cancels_what_was_called_however_deep(stage: Stage) -> None:
    middle = process(
        start("ms"),
        node("callActivity", "deeper", attributes="calledElement='called'"),
        end("me"),
        flows("ms > deeper > me"),
        key="middle",
    )
    caller = process(
        start(),
        node("callActivity", "call", attributes="calledElement='middle'"),
        boundary("late", "call", timer("PT1H")),
        task("Late"),
        end(),
        flows("s > call > e", "late > Late > e"),
    )
    await stage.deploy(definitions(caller, middle, CALLED))
    await stage.start()
    held = await stage.take("Inner")
    assert held.root_process_instance_id == stage.instance_id

    await stage.wait(hours=1)

    assert await stage.offered() == ["Late"]
    with pytest.raises(TaskGone):
        await stage.engine.complete(held, variables={})
    states = {each.definition_key: each.state for each in await stage.engine.instances()}
    assert states == {
        "p": InstanceState.ACTIVE,
        "middle": InstanceState.CANCELLED,
        "called": InstanceState.CANCELLED,
    }
    ended = await stage.engine.ended_instances(after=0, limit=10)
    assert {each.instance_id for each in ended} == {
        each.instance_id for each in await stage.engine.instances(state=InstanceState.CANCELLED)
    }


async def test_cancelling_any_instance_ends_the_whole_run(stage: Stage) -> None:
    await stage.deploy(definitions(calling(), CALLED))
    await stage.start()
    held = await stage.take("Inner")

    await stage.engine.cancel(held.process_instance_id)

    assert {each.state for each in await stage.engine.instances()} == {InstanceState.CANCELLED}
    assert await stage.offered() == []


async def test_processes_that_wait_for_nothing_run_through_in_one_step(stage: Stage) -> None:
    quick = process(start("cs"), node("task", "t"), end("ce"), flows("cs > t > ce"), key="called")
    await stage.deploy(definitions(calling(), quick))

    await stage.start()

    assert await stage.offered() == ["After"]
    assert len(await stage.engine.ended_instances(after=0, limit=10)) == 1


async def test_a_process_that_calls_itself_for_ever_is_stopped(stage: Stage) -> None:
    await stage.deploy(
        definitions(
            process(
                start(),
                node("callActivity", "call", attributes="calledElement='p'"),
                end(),
                flows("s > call > e"),
            )
        )
    )

    with pytest.raises(EngineRejected, match="have called each other"):
        await stage.start()
    assert not await stage.engine.instances()


async def test_several_instances_of_a_call_each_go_on_alone(stage: Stage) -> None:
    carried = extended("<camunda:in source='item' target='given'/>")
    loop = instances(collection="items", element="item")
    await stage.deploy(definitions(calling(carried + loop), CALLED))
    await stage.start(items=["x", "y"])

    held = await stage.fetch()
    assert [each.variables["given"] for each in held] == ["x", "y"]
    assert len({each.process_instance_id for each in held}) == 2
    await stage.work("Inner")
    assert await stage.offered() == ["Inner"]
    await stage.work("Inner")

    assert await stage.offered() == ["After"]


async def test_what_the_caller_cannot_go_on_with_refuses_the_last_task_inside(
    stage: Stage,
) -> None:
    caller = process(
        start(),
        node(
            "callActivity",
            "call",
            extended("<camunda:out source='answer' target='answer'/>"),
            "calledElement='called'",
        ),
        node("exclusiveGateway", "g"),
        task("A"),
        task("B"),
        end(),
        flows("s > call > g", "A > e", "B > e"),
        flow("g", "A", "${answer == 1}"),
        flow("g", "B", "${answer == 2}"),
    )
    await stage.deploy(definitions(caller, CALLED))
    await stage.start()
    held = await stage.take("Inner")

    with pytest.raises(EngineRejected, match="No condition of the gateway g"):
        await stage.engine.complete(held, variables={"answer": 3})
    assert (await stage.see(held.process_instance_id)).state is InstanceState.ACTIVE
    await stage.engine.complete(held, variables={"answer": 2})

    assert await stage.offered() == ["B"]
