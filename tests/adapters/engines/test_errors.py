"""BPMN errors reach the nearest boundary event that catches them, and no other."""

import pytest

from dadm.domain.errors import EngineRejected, TaskGone
from dadm.ports.engine import InstanceState
from tests.adapters.engines.bpmn import (
    boundary,
    caught,
    definitions,
    end,
    error,
    flows,
    instances,
    model,
    node,
    process,
    start,
    task,
)
from tests.adapters.engines.stage import Stage


async def test_an_error_goes_to_the_boundary_of_its_own_task_only(stage: Stage) -> None:
    await stage.run(
        model(
            start(),
            node("parallelGateway", "f"),
            task("A"),
            boundary("a_fails", "A", caught("bad")),
            task("B"),
            boundary("b_fails", "B", caught("bad")),
            task("MendA"),
            task("MendB"),
            end(),
            flows("s > f > A > e", "f > B > e", "a_fails > MendA > e", "b_fails > MendB > e"),
            declared=error("BAD"),
        )
    )

    await stage.throw("A", "BAD", why="rain")

    assert sorted(await stage.offered()) == ["B", "MendA"]
    assert await stage.variable("why") == "rain"
    await stage.work("B", "MendA")
    assert (await stage.see()).state is InstanceState.COMPLETED


async def test_the_code_itself_comes_before_a_catch_all(stage: Stage) -> None:
    await stage.run(
        model(
            start(),
            task("A"),
            boundary("any", "A", caught()),
            boundary("bad", "A", caught("e_bad")),
            task("Any"),
            task("Bad"),
            end(),
            flows("s > A > e", "any > Any > e", "bad > Bad > e"),
            declared="<bpmn:error id='e_bad' errorCode='BAD'/>",
        )
    )

    held = await stage.take("A")
    assert held.caught_errors == {"", "BAD"}
    await stage.engine.bpmn_error(held, error_code="BAD", message="", variables={})

    assert await stage.offered() == ["Bad"]


NESTED = model(
    start(),
    node(
        "subProcess",
        "outer",
        start("os")
        + node(
            "subProcess",
            "inner",
            start("is") + task("A") + task("B") + end("ie") + flows("is > A > B > ie"),
        )
        + boundary("inner_x", "inner", caught("x"))
        + task("InnerMend")
        + end("oe")
        + flows("os > inner > oe", "inner_x > InnerMend > oe"),
    ),
    boundary("outer_y", "outer", caught("y")),
    boundary("outer_all", "outer", caught()),
    task("OuterMend"),
    task("CatchAll"),
    end(),
    flows("s > outer > e", "outer_y > OuterMend > e", "outer_all > CatchAll > e"),
    declared=error("X") + error("Y"),
)


@pytest.mark.parametrize(
    ("code", "mending"), [("X", "InnerMend"), ("Y", "OuterMend"), ("Z", "CatchAll")]
)
async def test_an_error_goes_outward_until_it_is_caught(
    stage: Stage, code: str, mending: str
) -> None:
    await stage.run(NESTED)
    held = await stage.take("A")
    assert held.caught_errors == {"X", "Y", ""}

    await stage.engine.bpmn_error(held, error_code=code, message="", variables={})

    assert await stage.offered() == [mending]
    with pytest.raises(TaskGone):
        await stage.engine.complete(held, variables={})
    await stage.work(mending)
    assert (await stage.see()).state is InstanceState.COMPLETED


async def test_an_error_that_nothing_catches_leaves_an_incident(stage: Stage) -> None:
    await stage.run(
        model(
            start(),
            task("A"),
            boundary("x", "A", caught("x")),
            task("M"),
            end(),
            flows("s > A > e", "x > M > e"),
            declared=error("X"),
        )
    )

    await stage.throw("A", "Y")

    incident = await stage.the_incident()
    assert (incident.element_id, incident.message) == (
        "A",
        "The model catches no error 'Y' here: Thrown.",
    )
    assert (await stage.see()).state is InstanceState.ACTIVE
    assert await stage.offered() == []
    await stage.engine.retry_incident(incident.incident_id, variables={})
    await stage.work("A")
    assert (await stage.see()).state is InstanceState.COMPLETED


async def test_code_and_message_of_an_error_become_variables_where_asked(stage: Stage) -> None:
    attributes = "camunda:errorCodeVariable='code' camunda:errorMessageVariable='text'"
    await stage.run(
        model(
            start(),
            task("A"),
            boundary("any", "A", caught("", attributes)),
            task("M"),
            end(),
            flows("s > A > e", "any > M > e"),
        )
    )

    await stage.throw("A", "BAD")

    assert (await stage.see()).variables == {"code": "BAD", "text": "Thrown."}


async def test_an_error_end_event_takes_the_boundary_way_and_not_the_normal_one_too(
    stage: Stage,
) -> None:
    await stage.run(
        model(
            start(),
            node(
                "subProcess",
                "sub",
                start("is")
                + node("parallelGateway", "f")
                + task("A")
                + task("B")
                + end("bad", caught("x"))
                + end("ie")
                + flows("is > f > A > bad", "f > B > ie"),
            ),
            boundary("caught_x", "sub", caught("x")),
            task("Mend"),
            task("Normal"),
            end(),
            flows("s > sub > Normal > e", "caught_x > Mend > e"),
            declared=error("X"),
        )
    )

    await stage.work("A")

    assert await stage.offered() == ["Mend"]
    await stage.work("Mend")
    assert (await stage.see()).state is InstanceState.COMPLETED


async def test_an_error_end_event_passes_a_boundary_inside_its_own_scope(stage: Stage) -> None:
    await stage.run(
        model(
            start(),
            node(
                "subProcess",
                "sub",
                start("is")
                + node("parallelGateway", "f")
                + task("A")
                + task("B")
                + boundary("b_x", "B", caught("x"))
                + end("bad", caught("x"))
                + end("ie")
                + flows("is > f > A > bad", "f > B > ie", "b_x > ie"),
            ),
            boundary("sub_x", "sub", caught("x")),
            task("Mend"),
            end(),
            flows("s > sub > e", "sub_x > Mend > e"),
            declared=error("X"),
        )
    )

    await stage.work("A")

    assert await stage.offered() == ["Mend"]


async def test_a_completion_that_leads_to_an_uncaught_error_end_is_refused(stage: Stage) -> None:
    await stage.run(
        model(
            start(),
            task("A"),
            end("bad", caught("x")),
            flows("s > A > bad"),
            declared=error("X"),
        )
    )
    held = await stage.take("A")

    with pytest.raises(EngineRejected, match=r"threw the error X\. Nothing catches it"):
        await stage.engine.complete(held, variables={})

    assert await stage.engine.is_active(held)
    assert (await stage.see()).state is InstanceState.ACTIVE


async def test_an_error_in_one_instance_takes_the_others_away(stage: Stage) -> None:
    await stage.run(
        model(
            start(),
            task("A", instances(count="3")),
            boundary("x", "A", caught("x")),
            task("M"),
            end(),
            flows("s > A > e", "x > M > e"),
            declared=error("X"),
        )
    )
    await stage.work("A")

    await stage.throw("A", "X")

    assert await stage.offered() == ["M"]


CALLED = process(
    start("cs"),
    task("Inner"),
    node("exclusiveGateway", "g", attributes="default='g_ce'"),
    end("ce"),
    flows("cs > Inner > g > ce"),
    "<bpmn:endEvent id='bad'><bpmn:errorEventDefinition errorRef='x'/></bpmn:endEvent>",
    "<bpmn:sequenceFlow id='g_bad' sourceRef='g' targetRef='bad'>"
    "<bpmn:conditionExpression>${isBad}</bpmn:conditionExpression></bpmn:sequenceFlow>",
    key="called",
)
CALLER = process(
    start(),
    node("callActivity", "call", attributes="calledElement='called'"),
    boundary("call_x", "call", caught("x")),
    task("Mend"),
    task("After"),
    end(),
    flows("s > call > After > e", "call_x > Mend > e"),
)


async def test_an_error_in_a_called_process_reaches_its_caller(stage: Stage) -> None:
    await stage.run(definitions(error("X"), CALLER, CALLED))
    held = await stage.take("Inner")
    assert held.caught_errors == {"X"}

    await stage.engine.bpmn_error(held, error_code="X", message="", variables={})

    assert await stage.offered() == ["Mend"]
    child = await stage.see(held.process_instance_id)
    assert child.state is InstanceState.CANCELLED


async def test_an_error_end_event_of_a_called_process_reaches_its_caller(stage: Stage) -> None:
    await stage.run(definitions(error("X"), CALLER, CALLED))

    await stage.work("Inner", isBad=True)

    assert await stage.offered() == ["Mend"]


async def test_an_error_that_no_caller_catches_leaves_an_incident_at_the_task(
    stage: Stage,
) -> None:
    await stage.run(definitions(error("X"), CALLER, CALLED))

    await stage.throw("Inner", "Y")

    assert (await stage.the_incident()).element_id == "Inner"
    assert (await stage.see()).state is InstanceState.ACTIVE
