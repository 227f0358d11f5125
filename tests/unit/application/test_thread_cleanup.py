"""Threads of ended instances: closed once the engine says so, and none forgotten."""

import asyncio
from typing import cast

import pytest

from dadm.adapters.engines.memory import MemoryEngine
from dadm.application.thread_cleanup import BATCH, GRACE_SECONDS, ThreadCleanup
from dadm.domain.errors import EngineUnavailable, StoreUnavailable, ThreadClosed
from dadm.domain.thread import ThreadState
from dadm.ports.ended_threads import EndedThreads
from dadm.ports.engine import ProcessHistory
from dadm.ports.observer import EngineTrouble, ThreadsClosed
from tests.clocks import LoopClock, Numbers
from tests.unit.application.stage import Replica, Stage, Wire


class Work:
    """A cleanup between an engine's record of ended instances and the stage's store."""

    def __init__(self, stage: Stage, replica: Replica) -> None:
        self.stage = stage
        self.replica = replica
        self.board = MemoryEngine(LoopClock(), Numbers(), engine_id="embedded")
        self.engine = Wire(self.board)
        self.store = Wire(stage.store)
        self.cleanup = ThreadCleanup(
            engine_id="embedded",
            history=cast("ProcessHistory", self.engine),
            directory=cast("EndedThreads", self.store),
            observer=replica,
            clock=LoopClock(),
        )


@pytest.fixture
async def work(forgetful: Stage) -> Work:
    return Work(forgetful, await forgetful.replica())


async def test_threads_of_an_ended_instance_are_closed_and_those_of_others_stay(work: Work) -> None:
    for assistant in ("analyst", "critic"):
        await work.replica.ask(f"of {assistant}", assistant=assistant)
    await work.replica.ask("t1", process_instance_id="p2")
    await work.replica.ask("t1", tenant="acme")
    await work.replica.ask("t1", engine="camunda")
    work.board.end_instance("p1")

    assert await work.cleanup.close_ended() == 1

    closed = [each.key for each in await work.stage.threads() if each.state is ThreadState.CLOSED]
    assert [(key.engine, key.tenant, key.scope) for key in closed] == [("embedded", "", "p1")] * 2
    assert [event.count for event in work.replica.told(ThreadsClosed)] == [2]
    with pytest.raises(ThreadClosed):
        await work.replica.ask("t2")


async def test_closing_again_changes_and_tells_nothing(work: Work) -> None:
    await work.replica.ask("t1")
    for instance in ("p1", "p1", "unknown"):
        work.board.end_instance(instance)

    assert await work.cleanup.close_ended() == 3
    assert await work.cleanup.close_ended() == 0

    assert len(work.replica.told(ThreadsClosed)) == 1


async def test_tenant_of_the_instance_is_that_of_its_threads(work: Work) -> None:
    await work.replica.ask("t1", tenant="acme")
    work.board.end_instance("p1", tenant="acme")

    await work.cleanup.close_ended()

    assert (await work.stage.thread()).state is ThreadState.CLOSED


async def test_record_is_dropped_only_after_the_threads_were_closed_for_good(work: Work) -> None:
    await work.replica.ask("t1")
    work.board.end_instance("p1")
    work.store.fail_next("close_scope", StoreUnavailable())
    with pytest.raises(StoreUnavailable):
        await work.cleanup.close_ended()
    await work.cleanup.close_ended()
    assert (await work.stage.thread()).state is ThreadState.CLOSED
    await asyncio.sleep(GRACE_SECONDS - 1)
    await work.cleanup.close_ended()
    assert work.board._ended

    await asyncio.sleep(1)
    await work.cleanup.close_ended()

    assert not work.board._ended


async def test_thread_that_a_late_task_opens_after_the_end_is_closed_too(work: Work) -> None:
    work.board.end_instance("p1")
    await work.cleanup.close_ended()
    await work.replica.ask("handed out before the end")
    assert (await work.stage.thread()).state is ThreadState.OPEN

    await asyncio.sleep(GRACE_SECONDS)
    await work.cleanup.close_ended()

    assert (await work.stage.thread()).state is ThreadState.CLOSED


async def test_replica_that_takes_over_begins_with_all_that_were_not_closed_for_good(
    work: Work,
) -> None:
    work.board.end_instance("p1")
    await work.cleanup.close_ended()
    await work.replica.ask("handed out before the end")
    other = Work(work.stage, work.replica)
    other.engine.target = work.board

    assert await other.cleanup.close_ended() == 1

    assert (await work.stage.thread()).state is ThreadState.CLOSED


async def test_running_follows_the_engine_until_it_is_stopped(work: Work) -> None:
    for number in range(3):
        await work.replica.ask("t1", process_instance_id=f"p{number}")
    for number in range(BATCH + 3):
        work.board.end_instance(f"p{number % 3}")
    stop = asyncio.Event()
    running = work.stage.begin(work.cleanup.run(stop))
    await asyncio.sleep(0.9)
    assert {thread.state for thread in await work.stage.threads()} == {ThreadState.CLOSED}
    await work.replica.ask("t1", process_instance_id="late")
    work.board.end_instance("late")
    await asyncio.sleep(1.5)
    stop.set()
    await running

    assert {thread.state for thread in await work.stage.threads()} == {ThreadState.CLOSED}
    assert work.engine.calls["ended_instances"] <= 7


@pytest.mark.parametrize("error", [EngineUnavailable("Away."), StoreUnavailable("Away.")])
async def test_trouble_is_told_when_it_begins_and_when_it_ends(
    work: Work, error: Exception
) -> None:
    await work.replica.ask("t1")
    work.board.end_instance("p1")
    wire, method = (
        (work.engine, "ended_instances")
        if isinstance(error, EngineUnavailable)
        else (work.store, "close_scope")
    )
    wire.fail_next(method, error, times=3)
    stop = asyncio.Event()
    running = work.stage.begin(work.cleanup.run(stop))
    await asyncio.sleep(10)
    stop.set()
    await running

    assert (await work.stage.thread()).state is ThreadState.CLOSED
    told = work.replica.told(EngineTrouble)
    assert [(each.reason, each.is_over) for each in told] == [("Away.", False), ("", True)]
