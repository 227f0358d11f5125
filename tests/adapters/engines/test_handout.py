"""Waiting for tasks: woken by this program at once, by others soon, and timers come meanwhile."""

import asyncio
from collections.abc import Coroutine, Sequence
from datetime import timedelta
from typing import Any

import pytest

from dadm.adapters.engines.embedded import EmbeddedEngine
from dadm.adapters.stores.memory import MemoryProcessStore
from dadm.domain.errors import EngineUnavailable, StoreUnavailable
from dadm.ports.engine import LeasedTask, TopicSubscription
from tests.adapters.engines.bpmn import end, flows, model, node, start, task, timer
from tests.adapters.engines.stage import Stage
from tests.clocks import LoopClock, Numbers, VirtualTimeLoop

TWO = model(start(), task("A"), task("B"), end(), flows("s > A > B > e"))
A_MINUTE = timedelta(minutes=1)


def in_virtual_time(scene: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(scene)


async def fetched(
    engine: EmbeddedEngine, *topics: str, seconds: float = 60, most: int = 10
) -> Sequence[LeasedTask]:
    return await engine.fetch_and_lease(
        [TopicSubscription(topic=topic, lease_duration=A_MINUTE) for topic in topics],
        max_tasks=most,
        request_timeout=timedelta(seconds=seconds),
    )


def seconds_passed() -> float:
    return asyncio.get_running_loop().time()


def test_a_fetch_without_work_returns_when_its_time_is_over() -> None:
    async def scene() -> None:
        engine = EmbeddedEngine(MemoryProcessStore(LoopClock()), LoopClock(), Numbers())
        await engine.deploy({"p.bpmn": TWO})

        assert await fetched(engine, "A", seconds=7.25) == ()
        assert seconds_passed() == pytest.approx(7.25)
        assert await fetched(engine, "A", seconds=0) == ()
        assert await fetched(engine, seconds=9) == ()
        assert await fetched(engine, "A", most=0) == ()
        assert seconds_passed() == pytest.approx(7.25)

    in_virtual_time(scene())


def test_a_waiting_fetch_is_woken_at_once_by_what_this_program_does() -> None:
    async def scene() -> None:
        engine = EmbeddedEngine(MemoryProcessStore(LoopClock()), LoopClock(), Numbers())
        await engine.deploy({"p.bpmn": TWO})
        await engine.start("p", variables={})
        (a,) = await fetched(engine, "A")

        async def later() -> None:
            await asyncio.sleep(0.3)
            await engine.complete(a, variables={})

        async with asyncio.TaskGroup() as group:
            group.create_task(later())
            (b,) = await fetched(engine, "B")
        assert b.element_id == "B"
        assert seconds_passed() == pytest.approx(0.3)
        await engine.fail(b, message="", details="", retries=1, retry_after=timedelta(0))
        (again,) = await fetched(engine, "B", seconds=0)
        await engine.unlease(again)
        assert len(await fetched(engine, "B", seconds=0)) == 1

    in_virtual_time(scene())


def test_a_waiting_fetch_sees_what_another_program_does_within_half_a_second() -> None:
    async def scene() -> None:
        store = MemoryProcessStore(LoopClock())
        here, there = (EmbeddedEngine(store, LoopClock(), Numbers(name)) for name in "ht")
        await here.deploy({"p.bpmn": TWO})

        async def later() -> None:
            await asyncio.sleep(1.6)
            await there.start("p", variables={})

        async with asyncio.TaskGroup() as group:
            group.create_task(later())
            (a,) = await fetched(here, "A")
        assert a.element_id == "A"
        assert 1.6 <= seconds_passed() <= 2.1

    in_virtual_time(scene())


def test_due_timers_come_while_a_fetch_waits_and_while_work_abounds() -> None:
    async def scene() -> None:
        engine = EmbeddedEngine(MemoryProcessStore(LoopClock()), LoopClock(), Numbers())
        waiting = model(
            start(),
            node("intermediateCatchEvent", "w", timer("PT10S")),
            task("T"),
            end(),
            flows("s > w > T > e"),
            key="timed",
        )
        await engine.deploy({"p.bpmn": TWO, "timed.bpmn": waiting})
        await engine.start("timed", variables={})

        (held,) = await fetched(engine, "T")
        assert held.element_id == "T"
        assert 10 <= seconds_passed() <= 10.5

        await engine.start("timed", variables={})
        seen: list[str] = []
        while "T" not in seen:
            assert seconds_passed() < 25
            await engine.start("p", variables={})
            seen += [each.element_id for each in await fetched(engine, "A", "T")]
            await asyncio.sleep(1)

    in_virtual_time(scene())


async def test_tasks_come_by_priority_and_then_by_age(stage: Stage) -> None:
    ranked = model(
        start(),
        task("A", attributes="camunda:taskPriority='${rank}'"),
        end(),
        flows("s > A > e"),
    )
    await stage.deploy(ranked)
    started = [await stage.start(rank=rank) for rank in (1, 5, 1, 9)]

    held = await fetched(stage.engine, "A", seconds=0, most=3)

    assert [each.process_instance_id for each in held] == [
        started[index].instance_id for index in (3, 1, 0)
    ]


async def test_a_subscription_may_want_some_processes_and_tenants_only(stage: Stage) -> None:
    other = model(start(), task("A"), end(), flows("s > A > e"), key="q")
    await stage.engine.deploy({"p.bpmn": TWO, "q.bpmn": other})
    await stage.engine.deploy({"p.bpmn": TWO}, tenant="acme")
    for key, tenant in (("p", ""), ("q", ""), ("p", "acme")):
        await stage.engine.start(key, variables={}, tenant=tenant)

    async def wanted(**filters: tuple[str, ...]) -> list[tuple[str, str]]:
        held = await stage.engine.fetch_and_lease(
            [TopicSubscription(topic="A", lease_duration=timedelta(0), **filters)],
            max_tasks=10,
            request_timeout=timedelta(0),
        )
        return [(each.process_definition_key, each.tenant) for each in held]

    assert await wanted(process_definition_keys=("q",)) == [("q", "")]
    assert await wanted(tenants=("acme",)) == [("p", "acme")]
    assert len(await wanted()) == 3


async def test_each_topic_has_its_own_lease_duration(stage: Stage) -> None:
    await stage.deploy(model(start(), task("A"), task("B"), end(), flows("s > A > e", "s > B > e")))
    await stage.start()

    held = await stage.engine.fetch_and_lease(
        [
            TopicSubscription(topic="A", lease_duration=timedelta(minutes=1)),
            TopicSubscription(topic="B", lease_duration=timedelta(minutes=2)),
        ],
        max_tasks=10,
        request_timeout=timedelta(0),
    )

    assert {each.topic: each.lease_expires_at - stage.clock.now() for each in held} == {
        "A": timedelta(minutes=1),
        "B": timedelta(minutes=2),
    }


async def test_a_store_that_does_not_answer_is_an_engine_that_is_away(stage: Stage) -> None:
    await stage.run(TWO)
    held = await stage.take("A")

    class Away:
        def __getattr__(self, name: str) -> object:
            raise StoreUnavailable

    engine = EmbeddedEngine(Away(), stage.clock, stage.numbers)  # type: ignore[arg-type]  # answers nothing
    for report in (
        lambda: engine.complete(held, variables={}),
        lambda: engine.extend(held, lease_duration=A_MINUTE),
        lambda: engine.bpmn_error(held, error_code="X", message="", variables={}),
        lambda: engine.unlease(held),
        lambda: fetched(engine, "A"),
    ):
        with pytest.raises(EngineUnavailable):
            await report()
