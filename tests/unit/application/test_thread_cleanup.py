"""Threads of ended instances: closed once the engine says so, and none forgotten."""

import asyncio
from collections.abc import Sequence
from typing import cast

import pytest

from dadm.adapters.engines.memory import MemoryEngine
from dadm.application.endings.job_holding import ASK_SECONDS, LEASE_SECONDS, JobHolding
from dadm.application.endings.thread_cleanup import (
    BATCH,
    GRACE_SECONDS,
    HISTORY_BATCH,
    Shift,
    ThreadCleanup,
)
from dadm.domain.errors import EngineUnavailable, StoreUnavailable, ThreadClosed
from dadm.domain.thread import ThreadState
from dadm.ports.ended_threads import EndedThreads
from dadm.ports.engine import EndedInstance, ProcessHistory
from dadm.ports.jobs import JobKey
from dadm.ports.observer import EngineTrouble, ThreadsClosed
from dadm.ports.store import ThreadStore
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


async def test_threads_of_an_instance_s_elements_end_with_it_and_those_of_business_keys_stay(
    work: Work,
) -> None:
    kept = ["business-key:p1", "element:p10:Review"]
    for scope in ("element:p1:Review", "element:p1:Review:t9", kept[0]):
        await work.replica.ask(f"in {scope}", scope=scope)
    await work.replica.ask("other", process_instance_id="p10", scope=kept[1])
    work.board.end_instance("p1")

    await work.cleanup.close_ended()

    open_still = [each.key.scope for each in await work.stage.threads() if each.state.takes_turns]
    assert sorted(open_still) == kept
    assert [event.count for event in work.replica.told(ThreadsClosed)] == [2]
    with pytest.raises(ThreadClosed):
        await work.replica.ask("late", scope="element:p1:Review")


async def test_an_element_that_is_met_after_the_end_is_closed_for_good_as_well(work: Work) -> None:
    await work.replica.ask("t1")
    work.board.end_instance("p1")
    await work.cleanup.close_ended()
    await work.replica.ask("late", scope="element:p1:Review")

    await asyncio.sleep(GRACE_SECONDS)
    await work.cleanup.close_ended()

    assert {each.state for each in await work.stage.threads()} == {ThreadState.CLOSED}


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
    assert {each.about for each in told} == {"ends"}


class Watch:
    """A cleanup that takes part in a shift with others of the same store."""

    def __init__(
        self, work: Work, name: str, *, looks: Wire | None = None, batch: int = BATCH
    ) -> None:
        self.engine = looks or Wire(work.board)
        self.jobs = Wire(work.stage.store)
        clock = LoopClock()
        job = JobHolding(
            cast("ThreadStore", self.jobs), JobKey(name="ends"), clock, Numbers(f"{name}_")
        )
        self.stop = asyncio.Event()
        self.shift = Shift(job=job, fraction=lambda: 0.5, batch=batch)
        self.cleanup = ThreadCleanup(
            engine_id="embedded",
            history=cast("ProcessHistory", self.engine),
            directory=work.stage.store,
            observer=work.replica,
            clock=clock,
            interval_seconds=30.0,
            shift=self.shift,
        )
        self.running = work.stage.begin(self.cleanup.run(self.stop))

    @property
    def looks(self) -> int:
        return self.engine.calls["ended_instances"]

    async def end(self) -> None:
        self.stop.set()
        await self.running


async def test_replicas_look_at_the_engine_once_an_interval_together(work: Work) -> None:
    for number in range(40):
        work.board.end_instance(f"p{number}")
    watches = [Watch(work, f"r{number}") for number in range(5)]

    for _ in range(20):
        work.board.end_instance("another")
        await asyncio.sleep(30)

    assert sorted(watch.looks for watch in watches)[:4] == [0] * 4
    assert 18 <= sum(watch.looks for watch in watches) <= 21


async def test_an_engine_where_nothing_ends_is_asked_less_and_less(work: Work) -> None:
    watch = Watch(work, "r1")
    await asyncio.sleep(3600)
    assert watch.looks <= 5 + 3600 / 300
    await work.replica.ask("t1")
    work.board.end_instance("p1")
    await asyncio.sleep(301)
    assert (await work.stage.thread()).state is ThreadState.CLOSED
    before = watch.looks

    await asyncio.sleep(61)

    assert watch.looks > before


async def test_ends_that_fill_a_batch_are_followed_by_the_next_at_once(work: Work) -> None:
    for number in range(2 * BATCH + 1):
        work.board.end_instance(f"p{number}")
    watch = Watch(work, "r1")

    await asyncio.sleep(1)

    assert watch.looks == 3


async def test_a_history_is_read_in_large_batches(work: Work) -> None:
    for number in range(HISTORY_BATCH - 1):
        work.board.end_instance(f"p{number}")
    watch = Watch(work, "r1", batch=HISTORY_BATCH)

    await asyncio.sleep(1)

    assert watch.looks == 1
    assert Shift(job=watch.shift.job, fraction=lambda: 0.5).batch == HISTORY_BATCH >= 10 * BATCH


async def test_catching_up_for_long_keeps_the_job_and_stops_when_it_is_told_to(work: Work) -> None:
    class Slow(Wire):
        async def ended_instances(self, *, after: int, limit: int) -> Sequence[EndedInstance]:
            self.calls["ended_instances"] += 1
            await asyncio.sleep(LEASE_SECONDS / 2)
            return await work.board.ended_instances(after=after, limit=limit)

    for number in range(9 * BATCH):
        work.board.end_instance(f"p{number}")
    first = Watch(work, "r1", looks=Slow(work.board))
    await asyncio.sleep(1)
    second = Watch(work, "r2")
    await asyncio.sleep(3 * LEASE_SECONDS)
    assert second.looks == 0
    await second.end()

    await first.end()

    assert first.looks < 9


async def test_whoever_takes_over_begins_behind_what_was_closed_for_good(work: Work) -> None:
    first = Watch(work, "r1")
    work.board.end_instance("done")
    await asyncio.sleep(31 + GRACE_SECONDS + 300)
    work.board.end_instance("closed once")
    await asyncio.sleep(301)
    assert first.shift.job.position == 1
    await first.end()
    second = Watch(work, "r2")

    await asyncio.sleep(LEASE_SECONDS + ASK_SECONDS)

    assert second.engine.given["forget_ended"][0] == ((), {"up_to": 1})
    assert second.looks


async def test_a_replica_that_stops_leaves_the_shift_to_the_others_at_once(work: Work) -> None:
    first = Watch(work, "r1")
    await asyncio.sleep(1)
    second = Watch(work, "r2")
    await first.end()

    await asyncio.sleep(ASK_SECONDS + 1)

    assert second.looks == 1


async def test_a_replica_that_lost_the_shift_looks_no_more(work: Work) -> None:
    first = Watch(work, "r1")
    await asyncio.sleep(1)
    first.jobs.fail_next("take_job", StoreUnavailable("Away."), times=5)
    second = Watch(work, "r2")
    await asyncio.sleep(200)
    assert second.looks
    before = first.looks

    await asyncio.sleep(1000)

    assert first.looks == before
