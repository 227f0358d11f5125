"""The memory engine beyond the contract: what it remembers, and how it waits."""

import asyncio
from collections.abc import Coroutine
from datetime import timedelta
from typing import Any

import pytest

from dadm.adapters.engines.memory import MemoryEngine
from dadm.domain.errors import UnknownProcess
from dadm.domain.task import BpmnError, Completed, Failed
from dadm.ports.engine import AssistantTask, LeasedTask, TopicSubscription
from tests.builders import make_leased_task
from tests.clocks import LoopClock, Numbers, VirtualTimeLoop


def in_virtual_time(scene: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(scene)


async def fetched(engine: MemoryEngine, seconds: float = 0) -> list[LeasedTask]:
    subscription = TopicSubscription(topic="dadm", lease_duration=timedelta(minutes=1))
    return list(
        await engine.fetch_and_lease(
            [subscription], max_tasks=10, request_timeout=timedelta(seconds=seconds)
        )
    )


def test_reports_are_remembered_in_order() -> None:
    async def scene() -> None:
        engine = MemoryEngine(LoopClock(), Numbers())
        for task_id in ("a", "b", "c"):
            engine.offer(make_leased_task(task_id, caught_errors=frozenset({"X"})))
        a, b, c = await fetched(engine)

        await engine.complete(b, variables={"x": 1})
        await engine.fail(a, message="No.", details="d", retries=0, retry_after=timedelta(0))
        await engine.bpmn_error(c, error_code="X", message="m", variables={})

        assert [(report.task_id, report.outcome) for report in engine.reports] == [
            ("b", Completed(variables={"x": 1})),
            ("a", Failed(message="No.", details="d", retries=0, retry_after=timedelta(0))),
            ("c", BpmnError(error_code="X", message="m")),
        ]
        with pytest.raises(UnknownProcess):
            engine.retry("b")

    in_virtual_time(scene())


def test_a_waiting_fetch_is_woken_by_an_offer() -> None:
    async def scene() -> None:
        engine = MemoryEngine(LoopClock(), Numbers())

        async def later() -> None:
            await asyncio.sleep(3)
            engine.offer(make_leased_task("a"))

        async with asyncio.TaskGroup() as group:
            group.create_task(later())
            (task,) = await fetched(engine, seconds=60)
        assert task.task_id == "a"
        assert asyncio.get_running_loop().time() == pytest.approx(3)

    in_virtual_time(scene())


def test_a_waiting_fetch_gets_what_time_alone_sets_free() -> None:
    async def scene() -> None:
        engine = MemoryEngine(LoopClock(), Numbers())
        engine.offer(make_leased_task("a"))
        (task,) = await fetched(engine)

        (again,) = await fetched(engine, seconds=600)
        assert asyncio.get_running_loop().time() == pytest.approx(60)
        await engine.fail(
            again, message="", details="", retries=1, retry_after=timedelta(seconds=5)
        )
        assert len(await fetched(engine, seconds=600)) == 1
        assert asyncio.get_running_loop().time() == pytest.approx(65)
        assert await engine.is_active(task)

    in_virtual_time(scene())


def test_a_fetch_without_work_ends_in_time() -> None:
    async def scene() -> None:
        engine = MemoryEngine(LoopClock(), Numbers())

        assert await fetched(engine, seconds=7) == []
        assert asyncio.get_running_loop().time() == pytest.approx(7)

    in_virtual_time(scene())


async def test_ai_tasks_that_were_offered_are_declared() -> None:
    engine = MemoryEngine(LoopClock(), Numbers())
    properties = {"service.type": "assistant", "assistant": "legal"}
    engine.offer(make_leased_task("a", properties=properties))
    engine.offer(make_leased_task("b", properties=properties))
    engine.offer(make_leased_task("c"))

    assert await engine.assistant_tasks() == (
        AssistantTask(
            topic="dadm",
            element_id="Task_1",
            process_definition_key="decision",
            assistant="legal",
        ),
    )
