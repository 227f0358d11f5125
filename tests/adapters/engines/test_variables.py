"""Variables: process scope, local scopes, and mappings in both dialects."""

import pytest

from dadm.domain.errors import EngineRejected
from tests.adapters.engines.bpmn import (
    end,
    extended,
    flows,
    job,
    mapping,
    model,
    node,
    properties,
    start,
    task,
)
from tests.adapters.engines.stage import Stage


def one(*nodes: str) -> bytes:
    """Write a process of A, then B."""
    return model(start(), *nodes, task("B"), end(), flows("s > A > B > e"))


async def test_what_a_task_reports_becomes_process_variables(stage: Stage) -> None:
    await stage.run(one(task("A")), x=1)

    await stage.work("A", x=2, y={"deep": [1, None, True, "ä", 1.5, 10**30]})

    assert (await stage.take("B")).variables == {
        "x": 2,
        "y": {"deep": [1, None, True, "ä", 1.5, 10**30]},
    }


async def test_inputs_are_local_to_the_task(stage: Stage) -> None:
    inputs = {"sum": "${a + b}", "text": "a is ${a}", "plain": "PT5M", "a": "${b}"}
    await stage.run(one(task("A", extended(mapping(inputs)))), a=1, b=2)

    held = await stage.take("A")
    assert held.mapped == ("sum", "text", "plain", "a")
    assert held.variables == {"a": 2, "b": 2, "sum": 3, "text": "a is 1", "plain": "PT5M"}
    await stage.engine.complete(held, variables={"result": 9, "sum": 10})

    assert (await stage.take("B")).variables == {"a": 1, "b": 2, "result": 9}


async def test_a_task_without_mapping_says_so(stage: Stage) -> None:
    await stage.run(one(task("A")), x=1)

    assert (await stage.take("A")).mapped is None


async def test_lists_and_maps_of_values_are_built(stage: Stage) -> None:
    value = (
        "<camunda:map><camunda:entry key='k'>${a}</camunda:entry>"
        "<camunda:entry key='l'><camunda:list><camunda:value>x</camunda:value>"
        "<camunda:value>${a}</camunda:value></camunda:list></camunda:entry></camunda:map>"
    )
    await stage.run(one(task("A", extended(mapping({"built": value})))), a=1)

    assert (await stage.take("A")).variables["built"] == {"k": 1, "l": ["x", 1]}


async def test_outputs_are_mapped_into_the_process(stage: Stage) -> None:
    inner = extended(mapping({"local": "${x}"}, {"kept": "${local + result}"}))
    await stage.run(one(task("A", inner)), x=1)

    await stage.work("A", result=5)

    assert (await stage.see()).variables == {"x": 1, "result": 5, "kept": 6}


async def test_an_output_leaves_the_task_even_under_the_name_of_an_input(stage: Stage) -> None:
    inner = extended(mapping({"x": "${x * 10}"}, {"x": "${x + 1}"}))
    await stage.run(one(task("A", inner)), x=1)

    await stage.work("A")

    assert (await stage.see()).variables == {"x": 11}


async def test_an_output_that_has_no_value_refuses_the_completion(stage: Stage) -> None:
    await stage.run(one(task("A", extended(mapping(outputs={"kept": "${missing}"})))))
    held = await stage.take("A")

    with pytest.raises(EngineRejected, match="no variable 'missing'"):
        await stage.engine.complete(held, variables={"result": 5})
    assert (await stage.see()).variables == {}
    await stage.engine.complete(held, variables={"missing": 5})

    assert (await stage.see()).variables == {"missing": 5, "kept": 5}


async def test_camunda_8_keeps_to_the_task_what_its_outputs_do_not_name(stage: Stage) -> None:
    io = (
        "<zeebe:ioMapping><zeebe:input source='=x' target='y'/>"
        "<zeebe:input source='=y + 1' target='z'/>"
        "<zeebe:output source='=recommendation' target='advice'/></zeebe:ioMapping>"
    )
    await stage.run(one(job("A", extensions=io)), x=1)

    held = await stage.take("A")
    assert held.variables == {"x": 1, "y": 1, "z": 2}
    await stage.engine.complete(held, variables={"recommendation": "Go.", "noise": 1})

    assert (await stage.see()).variables == {"x": 1, "advice": "Go."}


async def test_a_sub_process_has_a_scope_where_it_maps_something_in(stage: Stage) -> None:
    inner = (
        extended(mapping({"local": "${x}"}, {"kept": "${local}"}))
        + start("is")
        + task("A")
        + end("ie")
        + flows("is > A > ie")
    )
    await stage.run(
        model(
            start(), node("subProcess", "sub", inner), task("B"), end(), flows("s > sub > B > e")
        ),
        x=1,
    )

    assert (await stage.take("A")).variables == {"x": 1, "local": 1}
    await stage.store.release_task(
        (await stage.store.tasks_of(stage.instance_id))[0].task_id,
        worker=(await stage.store.tasks_of(stage.instance_id))[0].worker,
    )
    await stage.work("A", local=2, wide=3)

    assert (await stage.see()).variables == {"x": 1, "wide": 3, "kept": 2}


async def test_inner_scopes_hide_outer_ones(stage: Stage) -> None:
    inner = (
        extended(mapping({"x": "outer", "y": "outer"}))
        + start("is")
        + task("A", extended(mapping({"x": "inner"}, {"seen": "${x} ${y} ${z}"})))
        + end("ie")
        + flows("is > A > ie")
    )
    await stage.run(
        model(start(), node("subProcess", "sub", inner), end(), flows("s > sub > e")),
        x="process",
        y="process",
        z="process",
    )

    held = await stage.take("A")
    assert held.variables == {"x": "inner", "y": "outer", "z": "process"}
    await stage.engine.complete(held, variables={})

    assert await stage.variable("seen") == "inner outer process"


async def test_a_task_carries_what_the_model_says_about_it(stage: Stage) -> None:
    inner = (
        "<bpmn:documentation>Ask ${who} &lt;now&gt;.\n\nSecond ü.</bpmn:documentation>"
        + extended(properties(service__type="assistant", assistant="legal", variables="none"))
    )
    attributes = "name='Ask' camunda:taskPriority='${10 * 2}'"
    await stage.deploy(one(task("A", inner, topic="questions", attributes=attributes)))
    started = await stage.engine.start("p", variables={}, business_key="order 7")

    held = await stage.take("A")

    assert held.topic == "questions"
    assert held.element_name == "Ask"
    assert held.documentation == "Ask ${who} <now>.\n\nSecond ü."
    assert held.properties == {
        "service.type": "assistant",
        "assistant": "legal",
        "variables": "none",
    }
    assert (held.priority, held.retries, held.business_key) == (20, None, "order 7")
    assert held.process_instance_id == held.root_process_instance_id == started.instance_id
    assert held.process_definition_id == "p:1"


async def test_answers_that_the_model_writes_are_named(stage: Stage) -> None:
    ai = properties(service__type="assistant", resultVariable="risk")
    copies = mapping(outputs={"copy": "${risk}", "part": "${risk + '!'}"})
    await stage.run(
        model(
            start(),
            task("A", extended(ai + copies)),
            task("B", extended(properties(service__type="assistant"))),
            task("C", extended(properties(service__type="other"))),
            end(),
            flows("s > A > B > C > e"),
        )
    )

    assert (await stage.take("A")).own_answers == {
        "risk",
        "A_result",
        "copy",
        "recommendation",
        "B_result",
    }


async def test_a_variable_that_is_no_json_is_refused(stage: Stage) -> None:
    await stage.run(one(task("A")))
    held = await stage.take("A")

    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    for value in (float("nan"), float("inf"), {1, 2}, b"x", "\ud800", deep):
        with pytest.raises(EngineRejected, match="no JSON"):
            await stage.engine.complete(held, variables={"x": value})  # type: ignore[dict-item]  # the point
    await stage.engine.complete(held, variables={})
