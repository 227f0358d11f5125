"""Shutting down: turns in flight finish or are left recoverable, and no new ones begin."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from dadm.application.turns.name_based_assistant_manager import NameBasedAssistantManager
from dadm.domain.errors import BackendUnavailable, ShuttingDown, StoreMisconfigured
from dadm.domain.turn import TurnState
from tests.builders import make_task
from tests.unit.application.stage import LIMITS, Stage, settled


def seconds() -> float:
    return asyncio.get_running_loop().time()


async def test_draining_waits_for_turns_that_hold_their_threads(stage: Stage) -> None:
    replica = await stage.replica()
    hold = stage.backend.hold_turn()
    asking = stage.begin(replica.ask("t1"))
    await hold.asked.wait()
    draining = stage.begin(replica.manager.drain(seconds=30))
    await asyncio.sleep(1)
    hold.let_go()

    assert await draining == 0
    assert (await asking).recommendation == "ok"


async def test_draining_takes_no_new_tasks(stage: Stage) -> None:
    replica = await stage.replica()
    await replica.ask("t1")
    await replica.manager.drain(seconds=30)

    for task in ("t1", "t2"):
        with pytest.raises(ShuttingDown):
            await replica.ask(task)
    with pytest.raises(ShuttingDown):
        await replica.manager.get_or_create_process_thread("p1", "analyst")


async def test_draining_sends_waiting_tasks_away_at_once(stage: Stage) -> None:
    replica = await stage.replica()
    hold = stage.backend.hold_turn()
    asking = [stage.begin(replica.ask(f"t{number}")) for number in range(5)]
    await hold.asked.wait()
    await asyncio.sleep(1)
    draining = stage.begin(replica.manager.drain(seconds=30))
    await asyncio.sleep(0.1)

    assert [task.done() for task in asking] == [False, True, True, True, True]
    hold.let_go()
    assert await draining == 0
    outcomes = await settled(*asking)
    assert [type(each).__name__ for each in outcomes] == ["TaskAnswer", *["ShuttingDown"] * 4]
    assert len(stage.asked) == 1


async def test_tasks_sent_away_find_their_places_again_at_another_replica(stage: Stage) -> None:
    one, other = await stage.replica(), await stage.replica()
    hold = stage.backend.hold_turn()
    first = stage.begin(one.ask("t1"))
    await hold.asked.wait()
    second = stage.begin(settled(one.ask("t2")))
    await asyncio.sleep(0.1)
    third = stage.begin(other.ask("t3"))
    await asyncio.sleep(0.1)
    draining = stage.begin(one.manager.drain(seconds=30))
    await second
    again = stage.begin(other.ask("t2"))
    hold.let_go()

    await asyncio.gather(first, third, again, draining)

    assert [turn.key.task_id for turn in await stage.turns()] == ["t1", "t2", "t3"]


async def test_draining_sends_tasks_away_that_wait_for_a_permit(stage: Stage) -> None:
    replica = await stage.replica(limits=replace(LIMITS, concurrent_turns=1))
    hold = stage.backend.hold_turn()
    first = stage.begin(replica.ask("t1"))
    await hold.asked.wait()
    second = stage.begin(settled(replica.ask("t1", process_instance_id="p2")))
    await asyncio.sleep(1)
    draining = stage.begin(replica.manager.drain(seconds=30))
    await asyncio.sleep(1)
    hold.let_go()

    assert await draining == 0
    await first
    assert isinstance((await second)[0], ShuttingDown)
    assert len(stage.asked) == 1


async def test_turn_that_takes_too_long_is_stopped_and_recovered_elsewhere(stage: Stage) -> None:
    one, other = await stage.replica(), await stage.replica()
    hold = stage.backend.hold_turn()
    asking = stage.begin(one.ask("t1"))
    await hold.asked.wait()
    begun_at = seconds()

    assert await one.manager.drain(seconds=5) == 1

    assert seconds() - begun_at == pytest.approx(5, abs=0.1)
    with pytest.raises(ShuttingDown):
        await asking
    assert (await stage.turn()).state is TurnState.SUBMITTED
    hold.let_go()
    assert (await other.ask("t1")).recommendation == "ok"
    assert len(await stage.turns()) == 1


async def test_caller_that_leaves_while_its_turn_is_stopped_just_leaves(stage: Stage) -> None:
    replica = await stage.replica()
    hold = stage.backend.hold_turn()
    asking = stage.begin(replica.ask("t1"))
    await hold.asked.wait()
    asking.cancel()
    await replica.manager.drain(seconds=0)

    await settled(asking)

    assert asking.cancelled()


async def test_leaving_the_manager_waits_for_turns_in_flight(stage: Stage) -> None:
    world = (await stage.replica()).world
    hold = stage.backend.hold_turn()
    async with NameBasedAssistantManager(world) as manager:
        asking = stage.begin(manager.process_task(make_task("t1")))
        await hold.asked.wait()
        asyncio.get_running_loop().call_later(10, hold.let_go)

    assert seconds() == pytest.approx(10, abs=1)
    assert (await asking).recommendation == "ok"
    with pytest.raises(ShuttingDown):
        await manager.process_task(make_task("t2"))


async def test_leaving_the_manager_twice_cancelled_leaves_nothing_running(stage: Stage) -> None:
    world = (await stage.replica()).world
    hold = stage.backend.hold_turn()
    manager = NameBasedAssistantManager(world)

    async def run() -> None:
        async with manager:
            await asyncio.Event().wait()

    running = stage.begin(run())
    await asyncio.sleep(0)
    asking = stage.begin(manager.process_task(make_task("t1")))
    await hold.asked.wait()
    running.cancel()
    await asyncio.sleep(1)
    assert not running.done()
    running.cancel()
    await settled(running)

    assert running.cancelled()
    assert manager.in_flight_count == 0
    assert isinstance((await settled(asking))[0], ShuttingDown)


async def test_keeping_tickets_ends_with_the_manager(stage: Stage) -> None:
    replica = await stage.replica()
    manager = NameBasedAssistantManager(replica.world)
    async with manager:
        pass
    before = len(asyncio.all_tasks())
    async with NameBasedAssistantManager(replica.world):
        assert len(asyncio.all_tasks()) == before + 1

    assert len(asyncio.all_tasks()) == before


async def test_store_that_cannot_be_used_stops_the_manager_and_not_in_silence(
    stage: Stage,
) -> None:
    replica = await stage.replica()
    hold = stage.backend.hold_turn()
    replica.store.fail_next("keep_tickets", StoreMisconfigured(), times=99)
    manager = NameBasedAssistantManager(replica.world)

    async def run() -> None:
        async with manager:
            first = stage.begin(settled(manager.process_task(make_task("t1"))))
            await hold.asked.wait()
            await manager.process_task(make_task("t2"))
            await first

    with pytest.raises(ExceptionGroup) as raised:
        await run()

    assert raised.group_contains(StoreMisconfigured)
    assert (await stage.turn()).state is TurnState.SUBMITTED
    assert manager.in_flight_count == 0


async def test_draining_sends_away_at_once_what_waits_for_its_backend(stage: Stage) -> None:
    patient = replace(LIMITS, patience_seconds=60.0)
    one, other = await stage.replica(limits=patient), await stage.replica()
    stage.backend.fail_turn(BackendUnavailable(retry_after=timedelta(seconds=50)))
    asking = stage.begin(one.ask("t1"))
    await asyncio.sleep(1)
    begun_at = seconds()

    assert await one.manager.drain(seconds=30) == 0

    with pytest.raises(ShuttingDown):
        await asking
    assert (await other.ask("t1")).recommendation == "ok"
    assert seconds() - begun_at < 1, "its thread is free"
