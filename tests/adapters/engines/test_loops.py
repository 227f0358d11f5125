"""Loops turn as often as the model says, at the price of a single turn."""

import pytest

from dadm.domain.errors import EngineRejected
from dadm.ports.engine import InstanceState
from tests.adapters.engines.bpmn import (
    end,
    extended,
    flow,
    flows,
    mapping,
    model,
    node,
    start,
    task,
)
from tests.adapters.engines.stage import Stage

TURNS = 1000


def looping(*inside: str, limit: int = TURNS) -> bytes:
    """Write a process whose element A is passed until n reaches a limit."""
    return model(
        start(),
        *inside,
        node("exclusiveGateway", "back"),
        node("exclusiveGateway", "enough"),
        end(),
        flows("s > back > A > enough"),
        flow("enough", "back", f"${{n < {limit}}}"),
        flow("enough", "e", f"${{n >= {limit}}}"),
    )


async def test_a_thousand_turns_are_a_thousand_tasks_and_leave_no_trace(stage: Stage) -> None:
    await stage.deploy(looping(task("A")))
    started = await stage.start(n=0)
    engine, sizes, seen = stage.engine, [], set()
    for turn in range(1, TURNS + 1):
        (held,) = await stage.fetch()
        stage._held.clear()
        seen.add(held.task_id)
        stored = await stage.store.instance(started.instance_id)
        assert stored is not None
        sizes.append(len(stored.document))
        await engine.complete(held, variables={"n": turn})

    assert (await stage.see()).state is InstanceState.COMPLETED
    assert len(seen) == TURNS
    assert max(sizes) < 2 * sizes[0]


async def test_a_thousand_turns_beside_a_waiting_branch_complete_too(stage: Stage) -> None:
    await stage.run(
        model(
            start(),
            node("parallelGateway", "f"),
            task("Other"),
            task("A"),
            node("exclusiveGateway", "back"),
            node("exclusiveGateway", "enough"),
            node("parallelGateway", "j"),
            end(),
            flows("s > f > back > A > enough", "f > Other > j > e"),
            flow("enough", "back", f"${{n < {TURNS}}}"),
            flow("enough", "j", f"${{n >= {TURNS}}}"),
        ),
        n=0,
    )
    engine = stage.engine
    for turn in range(1, TURNS + 1):
        held = await stage.fetch("A")
        stage._held.clear()
        await engine.complete(held[0], variables={"n": turn})
    assert (await stage.see()).state is InstanceState.ACTIVE

    await stage.work("Other")

    assert (await stage.see()).state is InstanceState.COMPLETED


async def test_a_thousand_turns_through_a_sub_process_in_one_step_complete(stage: Stage) -> None:
    inner = (
        extended(mapping(outputs={"n": "${n + 1}"}))
        + start("is")
        + node("task", "t")
        + end("ie")
        + flows("is > t > ie")
    )

    await stage.run(looping(node("subProcess", "A", inner)), n=0)

    assert (await stage.see()).state is InstanceState.COMPLETED
    assert await stage.variable("n") == TURNS


async def test_a_loop_that_never_waits_and_never_ends_is_stopped(stage: Stage) -> None:
    await stage.deploy(looping(node("task", "A")))

    with pytest.raises(EngineRejected, match="without waiting for anything"):
        await stage.start(n=0)

    assert not await stage.engine.instances()


async def test_a_process_of_a_thousand_tasks_in_a_row_runs(stage: Stage) -> None:
    names = [f"T{i}" for i in range(1000)]
    await stage.run(
        model(
            start(),
            *(node("task", name) for name in names),
            task("A"),
            end(),
            flows(f"s > {' > '.join(names)} > A > e"),
        )
    )

    assert await stage.offered() == ["A"]
