"""Tokens part and meet at gateways as BPMN says, whatever the order they come in."""

import itertools

import pytest

from dadm.domain.errors import EngineRejected
from dadm.ports.engine import InstanceState
from tests.adapters.engines.bpmn import (
    boundary,
    caught,
    end,
    flow,
    flows,
    model,
    node,
    start,
    task,
    timer,
)
from tests.adapters.engines.stage import Stage

FORK_AND_JOIN = model(
    start(),
    node("parallelGateway", "fork"),
    task("A"),
    task("B"),
    task("C"),
    node("parallelGateway", "join"),
    task("D"),
    end(),
    flows("s > fork > A > join", "fork > B > join", "fork > C > join", "join > D > e"),
)


@pytest.mark.parametrize("order", list(itertools.permutations("ABC")))
async def test_a_parallel_join_waits_for_every_branch(stage: Stage, order: tuple[str, ...]) -> None:
    await stage.run(FORK_AND_JOIN)
    assert sorted(await stage.offered()) == ["A", "B", "C"]

    await stage.work(*order[:2])
    assert await stage.stands_at() == tuple(sorted((order[2], "join")))
    await stage.work(order[2])

    assert await stage.offered() == ["D"]
    await stage.work("D")
    assert (await stage.see()).state is InstanceState.COMPLETED


@pytest.mark.parametrize("second_round", [("A", "B"), ("B", "A")])
async def test_a_parallel_join_in_a_loop_starts_from_nothing_each_time(
    stage: Stage, second_round: tuple[str, str]
) -> None:
    await stage.run(
        model(
            start(),
            node("exclusiveGateway", "again"),
            node("parallelGateway", "fork"),
            task("A"),
            task("B"),
            node("parallelGateway", "join"),
            node("exclusiveGateway", "enough"),
            end(),
            flows("s > again > fork > A > join", "fork > B > join", "join > enough"),
            flow("enough", "again", "${n < 2}"),
            flow("enough", "e", "${n >= 2}"),
        ),
        n=0,
    )

    await stage.work("A", "B", n=1)
    await stage.work(second_round[0], n=2)
    assert (await stage.see()).state is InstanceState.ACTIVE
    await stage.work(second_round[1], n=2)

    assert (await stage.see()).state is InstanceState.COMPLETED


async def test_two_tokens_through_one_fork_keep_both_their_branches(stage: Stage) -> None:
    await stage.run(
        model(
            start(),
            node("parallelGateway", "first"),
            task("A"),
            task("B"),
            node("exclusiveGateway", "merge"),
            node("parallelGateway", "second"),
            task("C"),
            task("D"),
            end(),
            flows("s > first > A > merge", "first > B > merge", "merge > second"),
            flows("second > C > e", "second > D > e"),
        )
    )

    await stage.work("A", "B")

    assert sorted(await stage.offered()) == ["C", "C", "D", "D"]
    await stage.work("C", "D", "C")
    assert (await stage.see()).state is InstanceState.ACTIVE
    await stage.work("D")
    assert (await stage.see()).state is InstanceState.COMPLETED


async def test_a_second_token_on_one_flow_waits_for_the_next_round(stage: Stage) -> None:
    await stage.run(
        model(
            start(),
            node("parallelGateway", "first"),
            task("A"),
            task("B"),
            task("C"),
            task("D"),
            node("exclusiveGateway", "merge"),
            node("exclusiveGateway", "merge2"),
            node("parallelGateway", "join"),
            task("E"),
            end(),
            flows("s > first > A > merge > join", "first > B > merge"),
            flows("first > C > merge2 > join", "first > D > merge2", "join > E > e"),
        )
    )

    await stage.work("A", "B")
    assert "E" not in await stage.offered()
    await stage.work("C")
    assert (await stage.offered()).count("E") == 1
    await stage.work("D")

    assert (await stage.offered()).count("E") == 2
    await stage.work("E", "E")
    assert (await stage.see()).state is InstanceState.COMPLETED


async def test_a_join_that_can_never_complete_leaves_an_incident(stage: Stage) -> None:
    await stage.run(
        model(
            start(),
            node("exclusiveGateway", "g", attributes="default='g_A'"),
            task("A"),
            task("B"),
            node("parallelGateway", "join"),
            end(),
            flows("g > A > join", "s > g", "B > join > e"),
            flow("g", "B", "${false}"),
        )
    )

    await stage.work("A")

    incident = await stage.the_incident()
    assert incident.element_id == "join"
    assert "can never come" in incident.message
    assert (await stage.see()).state is InstanceState.ACTIVE
    with pytest.raises(EngineRejected, match="no token of the instance"):
        await stage.engine.retry_incident(incident.incident_id, variables={})
    assert (await stage.see()).incident_count == 1
    await stage.engine.cancel(stage.instance_id)
    assert not await stage.engine.incidents()


EXCLUSIVE = model(
    start(),
    node("exclusiveGateway", "g", attributes="default='g_C'"),
    task("A"),
    task("B"),
    task("C"),
    end(),
    flows("s > g", "g > C", "A > e", "B > e", "C > e"),
    flow("g", "A", "${amount > 100}"),
    flow("g", "B", "${amount > 10}"),
)


@pytest.mark.parametrize(("amount", "chosen"), [(500, "A"), (50, "B"), (5, "C")])
async def test_an_exclusive_gateway_takes_the_first_true_way(
    stage: Stage, amount: int, chosen: str
) -> None:
    await stage.run(EXCLUSIVE, amount=amount)

    assert await stage.offered() == [chosen]


async def test_ways_are_tried_in_the_order_of_the_file_and_not_of_the_drawing(
    stage: Stage,
) -> None:
    drawing = (
        "<bpmndi:BPMNDiagram xmlns:bpmndi='http://www.omg.org/spec/BPMN/20100524/DI' "
        "xmlns:dc='http://www.omg.org/spec/DD/20100524/DC'><bpmndi:BPMNPlane>"
        "<bpmndi:BPMNShape bpmnElement='A'><dc:Bounds x='0' y='900' width='1' height='1'/>"
        "</bpmndi:BPMNShape><bpmndi:BPMNShape bpmnElement='B'>"
        "<dc:Bounds x='0' y='1' width='1' height='1'/></bpmndi:BPMNShape>"
        "</bpmndi:BPMNPlane></bpmndi:BPMNDiagram></bpmn:definitions>"
    )
    drawn = EXCLUSIVE.decode().replace("</bpmn:definitions>", drawing)

    await stage.run(drawn.encode(), amount=500)

    assert await stage.offered() == ["A"]


async def test_no_true_way_and_no_default_refuses_the_completion_and_keeps_the_task(
    stage: Stage,
) -> None:
    await stage.run(
        model(
            start(),
            task("A"),
            node("exclusiveGateway", "g"),
            task("B"),
            task("C"),
            end(),
            flows("s > A > g", "B > e", "C > e"),
            flow("g", "B", "${x == 1}"),
            flow("g", "C", "${x == 2}"),
        )
    )
    held = await stage.take("A")

    with pytest.raises(EngineRejected, match="No condition of the gateway g"):
        await stage.engine.complete(held, variables={"x": 3})
    with pytest.raises(EngineRejected, match="there is no variable 'x'"):
        await stage.engine.complete(held, variables={})

    assert "x" not in (await stage.see()).variables
    await stage.engine.extend(held, lease_duration=stage.clock.now() - stage.clock.now())
    await stage.engine.complete(held, variables={"x": 2})
    assert await stage.offered() == ["C"]


INCLUSIVE = model(
    start(),
    node("inclusiveGateway", "fork", attributes="default='fork_C'"),
    task("A"),
    task("A2"),
    task("B"),
    task("C"),
    node("inclusiveGateway", "join"),
    task("D"),
    end(),
    flows("s > fork", "fork > C", "A > A2 > join", "B > join", "C > join", "join > D > e"),
    flow("fork", "A", "${a}"),
    flow("fork", "B", "${b}"),
)


@pytest.mark.parametrize(
    ("a", "b", "ways"),
    [(True, True, ["A", "B"]), (True, False, ["A"]), (False, False, ["C"])],
)
async def test_an_inclusive_gateway_takes_every_true_way(
    stage: Stage, a: bool, b: bool, ways: list[str]
) -> None:
    await stage.run(INCLUSIVE, a=a, b=b)

    assert sorted(await stage.offered()) == ways


async def test_an_inclusive_join_waits_for_a_branch_two_tasks_away(stage: Stage) -> None:
    await stage.run(INCLUSIVE, a=True, b=True)

    await stage.work("B")
    assert await stage.offered() == ["A"]
    await stage.work("A")
    assert await stage.offered() == ["A2"]
    await stage.work("A2")

    assert await stage.offered() == ["D"]


async def test_an_inclusive_join_goes_on_when_the_other_branch_ends_elsewhere(
    stage: Stage,
) -> None:
    await stage.run(
        model(
            start(),
            node("inclusiveGateway", "fork"),
            task("A"),
            task("B"),
            node("exclusiveGateway", "g", attributes="default='g_join'"),
            node("inclusiveGateway", "join"),
            task("D"),
            end(),
            end("other"),
            flows("s > fork", "A > join", "B > g > join", "join > D > e"),
            flow("fork", "A", "${true}"),
            flow("fork", "B", "${true}"),
            flow("g", "other", "${away}"),
        ),
        away=True,
    )

    await stage.work("A")
    assert await stage.offered() == ["B"]
    await stage.work("B")

    assert await stage.offered() == ["D"]


async def test_an_inclusive_join_minds_a_boundary_event_that_may_still_come(stage: Stage) -> None:
    await stage.run(
        model(
            start(),
            node("inclusiveGateway", "fork"),
            task("A"),
            task("B"),
            boundary("late", "B", timer("PT1H")),
            node("inclusiveGateway", "join"),
            task("D"),
            end(),
            end("other"),
            flows("s > fork", "A > join", "late > join", "B > other", "join > D > e"),
            flow("fork", "A", "${true}"),
            flow("fork", "B", "${true}"),
        )
    )

    await stage.work("A")
    assert await stage.offered() == ["B"]
    await stage.wait(hours=2)

    assert await stage.offered() == ["D"]
    await stage.work("D")
    assert (await stage.see()).state is InstanceState.COMPLETED


async def test_nothing_behind_the_last_node_is_an_end(stage: Stage) -> None:
    await stage.run(
        model(
            start(),
            node("subProcess", "sub", start("is") + task("A") + flows("is > A")),
            task("B"),
            flows("s > sub > B"),
        )
    )

    await stage.work("A", "B")

    assert (await stage.see()).state is InstanceState.COMPLETED


async def test_two_flows_out_of_a_task_are_both_taken(stage: Stage) -> None:
    await stage.run(
        model(start(), task("A"), task("B"), task("C"), end(), flows("s > A > B > e", "A > C > e"))
    )

    await stage.work("A")

    assert sorted(await stage.offered()) == ["B", "C"]


async def test_elements_called_like_parts_of_the_library_are_ordinary(stage: Stage) -> None:
    await stage.run(
        model(
            start("Start"),
            task("End"),
            task("Root"),
            end("p.EndJoin"),
            flows("Start > End > Root > p.EndJoin"),
        )
    )

    await stage.work("End")
    assert (await stage.see()).state is InstanceState.ACTIVE
    await stage.work("Root")

    assert (await stage.see()).state is InstanceState.COMPLETED


async def test_tasks_without_work_and_none_events_are_passed_through(stage: Stage) -> None:
    await stage.run(
        model(
            start(),
            node("task", "t"),
            node("manualTask", "m"),
            node("intermediateThrowEvent", "n"),
            end(),
            flows("s > t > m > n > e"),
        )
    )

    assert (await stage.see()).state is InstanceState.COMPLETED


async def test_a_terminate_end_takes_a_sibling_that_was_about_to_start(stage: Stage) -> None:
    await stage.run(
        model(
            start(),
            task("A"),
            node("parallelGateway", "fork"),
            node("task", "t"),
            node("endEvent", "stop", "<bpmn:terminateEventDefinition/>"),
            node("task", "u"),
            task("B"),
            task("C"),
            end(),
            flows("s > A > fork > C > e", "fork > t > stop", "fork > u > B > e"),
        )
    )

    await stage.work("A")

    assert await stage.offered() == []
    assert (await stage.see()).state is InstanceState.COMPLETED
    assert not await stage.store.tasks_of(stage.instance_id)


async def test_a_terminate_end_in_a_sub_process_ends_that_sub_process_only(stage: Stage) -> None:
    await stage.run(
        model(
            start(),
            node(
                "subProcess",
                "sub",
                start("is")
                + node("parallelGateway", "fork")
                + task("A")
                + task("B")
                + node("endEvent", "stop", "<bpmn:terminateEventDefinition/>")
                + end("ie")
                + flows("is > fork > A > stop", "fork > B > ie"),
            ),
            task("C"),
            end(),
            flows("s > sub > C > e"),
        )
    )

    await stage.work("A")

    assert await stage.offered() == ["C"]


async def test_boundary_catching_nothing_leaves_the_normal_way(stage: Stage) -> None:
    await stage.run(
        model(
            start(),
            task("A"),
            boundary("b", "A", caught()),
            task("B"),
            task("C"),
            end(),
            flows("s > A > B > e", "b > C > e"),
        )
    )

    await stage.work("A")

    assert await stage.offered() == ["B"]
