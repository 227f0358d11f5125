"""Threads that nobody has used for long: closed where their instance is gone, or else parked."""

import asyncio
from collections.abc import Collection, Mapping
from typing import Any, cast

import pytest

from dadm.adapters.engines.memory import MemoryEngine
from dadm.application.care.thread_care import ThreadCare
from dadm.application.endings.idle_threads import (
    AT_ONCE,
    PARKED_AT_ONCE,
    PAUSE_SECONDS,
    IdleThreads,
)
from dadm.application.endings.job_holding import ASK_SECONDS, JobHolding
from dadm.domain.errors import EngineUnavailable, ThreadClosed
from dadm.domain.thread import GenerationReason, GenerationState, ThreadState
from dadm.ports.engine import InstanceState, ProcessHistory
from dadm.ports.jobs import JobKey
from dadm.ports.observer import ThreadRebuilt, ThreadsClosed
from dadm.ports.store_values import ThreadFilter, ThreadGranted
from tests.builders import make_leased_task
from tests.clocks import LoopClock, Numbers
from tests.unit.application.stage import Replica, Stage, Wire

DAY = 1000.0
"""A day of these tests, whose clocks go no further than a real one."""

MONTHS = 10 * DAY


class Rounds:
    """One replica's rounds over the threads of an engine."""

    def __init__(
        self,
        stage: Stage,
        replica: Replica,
        engine: Wire,
        *,
        name: str = "r",
        can_tell: bool = True,
        idle_seconds: float = DAY,
        parked_seconds: float = MONTHS,
    ) -> None:
        clock, identifiers = LoopClock(), Numbers(f"{name}_")
        self.engine = engine
        self.work = IdleThreads(
            engine_id="embedded",
            history=cast("ProcessHistory", engine) if can_tell else None,
            store=replica.world.store,
            job=JobHolding(replica.world.store, JobKey(name="idle"), clock, identifiers),
            observer=replica,
            clock=clock,
            identifiers=identifiers,
            idle_seconds=idle_seconds,
            parked_seconds=parked_seconds,
            round_seconds=DAY,
        )


@pytest.fixture
def engine() -> Wire:
    return Wire(MemoryEngine(LoopClock(), Numbers(), engine_id="embedded"))


def run_in(engine: Wire, instance_id: str) -> None:
    engine.target.offer(make_leased_task(f"task of {instance_id}", process_instance_id=instance_id))


def end_in(engine: Wire, instance_id: str) -> None:
    """Let an instance have ended without its end having been told."""
    engine.target.end_instance(instance_id)
    engine.target._ended.clear()


async def states(stage: Stage) -> dict[str, ThreadState]:
    return {thread.key.scope: thread.state for thread in await stage.threads()}


async def test_idle_threads_whose_instance_has_ended_are_closed(
    forgetful: Stage, engine: Wire
) -> None:
    replica = await forgetful.replica()
    for instance_id in ("running", "gone", "unknown"):
        await replica.ask(f"of {instance_id}", process_instance_id=instance_id)
    await replica.ask("of a loop", process_instance_id="gone", scope="element:gone:Loop")
    run_in(engine, "running")
    end_in(engine, "gone")
    rounds = Rounds(forgetful, replica, engine)
    await asyncio.sleep(DAY)
    await replica.ask("of recent", process_instance_id="recent")
    end_in(engine, "recent")

    assert await rounds.work.make_round() == 2

    assert await states(forgetful) == {
        "running": ThreadState.OPEN,
        "gone": ThreadState.CLOSED,
        "element:gone:Loop": ThreadState.CLOSED,
        "unknown": ThreadState.OPEN,
        "recent": ThreadState.OPEN,
    }
    assert [told.process_instance_id for told in replica.told(ThreadsClosed)] == ["gone", "gone"]
    with pytest.raises(ThreadClosed):
        await replica.ask("late", process_instance_id="gone", assistant="critic")


async def test_an_engine_that_knows_none_of_the_instances_closes_no_thread(
    forgetful: Stage, engine: Wire
) -> None:
    replica = await forgetful.replica()
    await replica.ask("t1", process_instance_id="of an engine that was wiped")
    await replica.ask("t2", scope="a caller's own word")
    await replica.ask("t3", process_instance_id="")
    await replica.ask("t4", scope="business-key:order 7")
    rounds = Rounds(forgetful, replica, engine)
    await asyncio.sleep(DAY)

    assert await rounds.work.make_round() == 0

    assert set((await states(forgetful)).values()) == {ThreadState.OPEN}


async def test_a_round_is_made_once_a_day_by_one_replica(forgetful: Stage, engine: Wire) -> None:
    replica = await forgetful.replica()
    await replica.ask("t1", process_instance_id="running")
    run_in(engine, "running")
    await asyncio.sleep(DAY)
    stop = asyncio.Event()
    running = [
        forgetful.begin(Rounds(forgetful, replica, engine, name=f"r{number}").work.run(stop))
        for number in range(4)
    ]

    await asyncio.sleep(3 * DAY)
    stop.set()
    await asyncio.gather(*running)

    assert engine.calls["instance_states"] == 3


async def test_instances_are_asked_about_a_page_at_a_time_with_pauses(
    forgetful: Stage, engine: Wire
) -> None:
    replica = await forgetful.replica()
    for number in range(AT_ONCE + 1):
        await replica.ask(f"t{number}", process_instance_id=f"p{number}")
        end_in(engine, f"p{number}")
    rounds = Rounds(forgetful, replica, engine)
    await asyncio.sleep(DAY)
    began = asyncio.get_running_loop().time()

    assert await rounds.work.make_round() == AT_ONCE + 1

    assert engine.calls["instance_states"] == 2
    assert asyncio.get_running_loop().time() - began >= 2 * PAUSE_SECONDS


async def test_an_interrupted_round_goes_on_behind_its_last_page(
    forgetful: Stage, engine: Wire
) -> None:
    replica = await forgetful.replica()
    for number in range(AT_ONCE + 1):
        await replica.ask(f"t{number}", process_instance_id=f"p{number}")
        run_in(engine, f"p{number}")
    rounds = Rounds(forgetful, replica, engine)
    await asyncio.sleep(DAY)
    stopped = forgetful.begin(rounds.work.make_round())
    await engine.called.wait()
    await asyncio.sleep(PAUSE_SECONDS / 2)
    stopped.cancel()
    other = Rounds(forgetful, replica, engine, name="other")
    await asyncio.sleep(100)

    await other.work.make_round()

    asked: list[Any] = [args[0] for args, _ in engine.given["instance_states"]]
    assert [len(each) for each in asked] == [AT_ONCE, 1]


async def test_an_engine_that_does_not_answer_closes_nothing_and_is_asked_again(
    forgetful: Stage, engine: Wire
) -> None:
    replica = await forgetful.replica()
    await replica.ask("t1")
    end_in(engine, "p1")
    await asyncio.sleep(DAY)
    engine.fail_next("instance_states", EngineUnavailable("Away."))
    rounds = Rounds(forgetful, replica, engine)
    with pytest.raises(EngineUnavailable):
        await rounds.work.make_round()
    assert (await forgetful.thread()).state is ThreadState.OPEN
    stop = asyncio.Event()
    running = forgetful.begin(rounds.work.run(stop))

    await asyncio.sleep(2 * ASK_SECONDS)
    stop.set()
    await running

    assert (await forgetful.thread()).state is ThreadState.CLOSED


async def test_where_the_engine_cannot_tell_a_thread_is_parked_and_finds_its_memory(
    keeping: Stage, engine: Wire
) -> None:
    replica = await keeping.replica()
    await replica.ask("t1")
    rounds = Rounds(keeping, replica, engine, can_tell=False)
    await asyncio.sleep(MONTHS - 10)
    assert await rounds.work.make_round() == 0
    await asyncio.sleep(DAY)

    assert await rounds.work.make_round() == 1

    assert (await keeping.thread()).state is ThreadState.PARKED
    assert await keeping.states() == [GenerationState.RETIRED]
    assert not engine.calls
    await replica.ask("t2")
    assert (await keeping.thread()).state is ThreadState.OPEN
    rebuilt = replica.told(ThreadRebuilt)[0]
    assert (rebuilt.reason, rebuilt.copied_messages) == (GenerationReason.UNPARKED, 2)


async def test_what_the_engine_knows_is_not_parked_however_long_it_waits(
    keeping: Stage, engine: Wire
) -> None:
    replica = await keeping.replica()
    for instance_id in ("waiting", "unknown"):
        await replica.ask(f"of {instance_id}", process_instance_id=instance_id)
    run_in(engine, "waiting")
    await asyncio.sleep(MONTHS)

    assert await Rounds(keeping, replica, engine).work.make_round() == 1

    assert await states(keeping) == {
        "waiting": ThreadState.OPEN,
        "unknown": ThreadState.PARKED,
    }


async def test_threads_that_are_held_do_not_keep_others_from_being_parked(
    keeping: Stage, engine: Wire
) -> None:
    replica = await keeping.replica()
    for number in range(PARKED_AT_ONCE + 1):
        await replica.ask(f"t{number}", process_instance_id=f"p{number}")
    first = await keeping.store.threads_to_park("embedded", idle_seconds=0, limit=PARKED_AT_ONCE)
    for thread in first:
        await keeping.store.lease_known_thread(thread.ref, owner="somebody", lease_seconds=1e9)
    await asyncio.sleep(MONTHS)

    assert await Rounds(keeping, replica, engine, can_tell=False).work.make_round() == 1

    parked = ThreadFilter(states=frozenset({ThreadState.PARKED}))
    (last,) = await keeping.store.threads(parked)
    assert last.key.scope == f"p{PARKED_AT_ONCE}"


async def test_a_thread_that_is_held_is_not_parked(keeping: Stage, engine: Wire) -> None:
    replica = await keeping.replica()
    await replica.ask("t1")
    await asyncio.sleep(MONTHS)
    thread = await keeping.thread()
    await keeping.store.lease_known_thread(thread.ref, owner="somebody", lease_seconds=1000)
    rounds = Rounds(keeping, replica, engine, can_tell=False)

    assert await rounds.work.make_round() == 0

    assert (await keeping.thread()).state is ThreadState.OPEN


async def test_a_thread_with_an_open_turn_is_not_parked(keeping: Stage, engine: Wire) -> None:
    replica = await keeping.replica()
    hold = keeping.backend.hold_turn()
    keeping.let_run(replica.ask("t1"))
    await hold.asked.wait()
    await replica.crash()
    await asyncio.sleep(MONTHS)
    rounds = Rounds(keeping, await keeping.replica(), engine, can_tell=False)

    assert await rounds.work.make_round() == 0

    thread = await keeping.thread()
    assert thread.state is ThreadState.OPEN
    taken = await keeping.store.lease_known_thread(thread.ref, owner="next", lease_seconds=1)
    assert isinstance(taken, ThreadGranted), "it was released"


async def test_a_thread_that_was_used_while_the_engine_was_asked_is_not_parked(
    keeping: Stage,
) -> None:
    replica = await keeping.replica()
    await replica.ask("t1")

    class UsedMeanwhile(MemoryEngine):
        async def instance_states(
            self, instance_ids: Collection[str]
        ) -> Mapping[str, InstanceState]:
            await replica.ask("t2")
            return await super().instance_states(instance_ids)

    rounds = Rounds(
        keeping,
        replica,
        Wire(UsedMeanwhile(LoopClock(), Numbers(), engine_id="embedded")),
        idle_seconds=0,
    )
    await asyncio.sleep(MONTHS)

    assert await rounds.work.make_round() == 0

    assert (await keeping.thread()).state is ThreadState.OPEN
    assert await keeping.states() == [GenerationState.LIVE]


async def test_a_thread_that_is_erased_meanwhile_is_not_parked(
    keeping: Stage, engine: Wire
) -> None:
    replica = await keeping.replica()
    await replica.ask("t1")
    await asyncio.sleep(MONTHS)
    rounds = Rounds(keeping, replica, engine, can_tell=False)
    arrived, let_go = replica.store.hold_next("lease_known_thread")
    parking = keeping.begin(rounds.work.make_round())
    await arrived.wait()
    other = await keeping.replica()

    await ThreadCare(other.world).erasing.erase((await keeping.thread()).ref)
    let_go.set()

    assert await parking == 0


@pytest.mark.parametrize("can_tell", [True, False])
async def test_where_nothing_is_to_be_done_nothing_is_asked(
    keeping: Stage, engine: Wire, *, can_tell: bool
) -> None:
    replica = await keeping.replica()
    rounds = Rounds(keeping, replica, engine, can_tell=can_tell, idle_seconds=0, parked_seconds=0)

    await rounds.work.run(asyncio.Event())

    assert not replica.store.calls
    assert not engine.calls


async def test_ends_are_looked_for_where_parking_is_off(keeping: Stage, engine: Wire) -> None:
    replica = await keeping.replica()
    for instance_id in ("gone", "unknown"):
        await replica.ask(f"of {instance_id}", process_instance_id=instance_id)
    end_in(engine, "gone")
    await asyncio.sleep(MONTHS)

    assert await Rounds(keeping, replica, engine, parked_seconds=0).work.make_round() == 1

    assert await states(keeping) == {"gone": ThreadState.CLOSED, "unknown": ThreadState.OPEN}
