"""Several instances of one activity, at once and one after the other."""

import pytest

from dadm.domain.errors import EngineRejected
from dadm.ports.engine import InstanceState
from tests.adapters.engines.bpmn import (
    boundary,
    end,
    extended,
    flows,
    instances,
    job,
    model,
    node,
    start,
    task,
    timer,
)
from tests.adapters.engines.stage import Stage


def over_items(**loop: bool | str) -> bytes:
    given = instances(collection="items", element="item", **loop)  # type: ignore[arg-type]  # words of the helper
    return model(start(), task("A", given), task("B"), end(), flows("s > A > B > e"))


async def test_parallel_instances_each_have_their_item_and_their_own_id(stage: Stage) -> None:
    await stage.run(over_items(), items=["x", "y", "z"])

    held = await stage.fetch()

    assert [task.variables["item"] for task in held] == ["x", "y", "z"]
    assert [task.variables["loopCounter"] for task in held] == [0, 1, 2]
    assert {task.element_id for task in held} == {"A"}
    assert len({task.task_id for task in held}) == 3
    assert {task.variables["nrOfInstances"] for task in held} == {3}
    await stage.work("A", "A")
    assert await stage.offered() == ["A"]
    await stage.work("A")
    assert await stage.offered() == ["B"]
    assert (await stage.see()).variables == {"items": ["x", "y", "z"]}


async def test_sequential_instances_come_one_after_the_other(stage: Stage) -> None:
    await stage.run(over_items(sequential=True), items=["x", "y"])

    seen = []
    for _ in range(2):
        held = await stage.take("A")
        assert await stage.offered() == []
        seen.append(held.variables["item"])
        await stage.engine.complete(held, variables={})

    assert seen == ["x", "y"]
    assert await stage.offered() == ["B"]


@pytest.mark.parametrize("sequential", [True, False])
async def test_an_empty_collection_is_passed_by(stage: Stage, sequential: bool) -> None:
    await stage.run(over_items(sequential=sequential), items=[])

    assert await stage.offered() == ["B"]


async def test_no_list_is_no_collection(stage: Stage) -> None:
    await stage.deploy(over_items())

    with pytest.raises(EngineRejected, match="is no list"):
        await stage.start(items="xyz")
    with pytest.raises(EngineRejected, match="no variable 'items'"):
        await stage.start()


@pytest.mark.parametrize("count", [-1, 5001])
async def test_a_count_beyond_reason_is_refused(stage: Stage, count: int) -> None:
    await stage.deploy(
        model(start(), task("A", instances(count="${n}")), end(), flows("s > A > e"))
    )

    with pytest.raises(EngineRejected, match=f"is to have {count} instances"):
        await stage.start(n=count)


async def test_a_completion_condition_takes_the_rest_away(stage: Stage) -> None:
    await stage.run(
        over_items(until="${nrOfCompletedInstances >= 2 &amp;&amp; found}"),
        items=[1, 2, 3, 4],
        found=True,
    )

    await stage.work("A")
    assert await stage.offered() == ["A", "A", "A"]
    await stage.work("A")

    assert await stage.offered() == ["B"]


async def test_a_cardinality_may_be_computed(stage: Stage) -> None:
    await stage.run(
        model(start(), task("A", instances(count="${n + 1}")), end(), flows("s > A > e")), n=1
    )

    assert await stage.offered() == ["A", "A"]


async def test_instances_are_sub_processes_with_variables_of_their_own(stage: Stage) -> None:
    inner = start("is") + task("A") + task("B") + end("ie") + flows("is > A > B > ie")
    await stage.run(
        model(
            start(),
            node("subProcess", "sub", instances(collection="items", element="item") + inner),
            task("C"),
            end(),
            flows("s > sub > C > e"),
        ),
        items=["x", "y"],
    )

    await stage.work("A", answer=1)
    held = await stage.fetch()
    assert sorted((task.element_id, task.variables["item"]) for task in held) == [
        ("A", "y"),
        ("B", "x"),
    ]
    await stage.work("B", "A", "B")

    assert await stage.offered() == ["C"]
    assert (await stage.see()).variables == {"items": ["x", "y"], "answer": 1}


async def test_an_interrupted_multi_instance_sub_process_leaves_nothing_behind(
    stage: Stage,
) -> None:
    inner = (
        start("is")
        + task("A")
        + boundary("never", "A", timer("PT9H"))
        + end("ie")
        + flows("is > A > ie", "never > ie")
    )
    await stage.run(
        model(
            start(),
            node("subProcess", "sub", instances(count="3") + inner),
            boundary("late", "sub", timer("PT1H")),
            task("C"),
            end(),
            flows("s > sub > e", "late > C > e"),
        )
    )
    await stage.work("A")

    await stage.wait(hours=1)

    assert await stage.offered() == ["C"]
    assert await stage.wait(hours=10) == 0
    await stage.work("C")
    assert (await stage.see()).state is InstanceState.COMPLETED


async def test_camunda_8_gathers_what_instances_leave_in_the_order_of_the_items(
    stage: Stage,
) -> None:
    loop = (
        "<bpmn:multiInstanceLoopCharacteristics>"
        + extended(
            "<zeebe:loopCharacteristics inputCollection='=items' inputElement='item' "
            "outputCollection='results' outputElement='=result'/>"
        )
        + "</bpmn:multiInstanceLoopCharacteristics>"
    )
    await stage.run(
        model(start(), job("A", loop), job("B"), end(), flows("s > A > B > e")), items=["x", "y"]
    )
    first, second = await stage.fetch()
    assert (first.variables["loopCounter"], second.variables["loopCounter"]) == (1, 2)

    await stage.engine.complete(second, variables={"result": "of y", "other": 1})
    await stage.engine.complete(first, variables={"result": "of x"})

    assert (await stage.see()).variables == {
        "items": ["x", "y"],
        "results": ["of x", "of y"],
        "other": 1,
    }


async def test_lists_of_siblings_are_not_mixed(stage: Stage) -> None:
    await stage.run(
        model(
            start(),
            node("parallelGateway", "f"),
            task("A"),
            task("B"),
            node("parallelGateway", "j"),
            task("C"),
            end(),
            flows("s > f > A > j > C > e", "f > B > j"),
        ),
        both=[0],
    )

    (a,) = await stage.fetch("A")
    await stage.engine.complete(a, variables={"both": [1, 2], "a": 1})
    b = await stage.take("B")
    await stage.engine.complete(b, variables={"both": [2, 2, 3]})

    assert b.variables == {"both": [1, 2], "a": 1}
    assert (await stage.take("C")).variables == {"both": [2, 2, 3], "a": 1}
