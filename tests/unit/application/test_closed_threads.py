"""A turn that is open when its thread is closed comes to its end all the same."""

import asyncio

from dadm.application.endings.closed_threads import LOOK_SECONDS, PATIENCE_SECONDS, ClosedThreads
from dadm.domain.errors import BackendUnavailable, OutcomeUnknown, StoreUnavailable
from dadm.domain.thread import GenerationState
from dadm.domain.turn import TurnState
from dadm.ports.audit import AuditAction
from dadm.ports.observer import RunStopped, TurnRefused
from tests.builders import make_task
from tests.unit.application.stage import LIMITS, Replica, Stage, settled


async def left_open(stage: Stage, *, is_answered: bool) -> Replica:
    """Have a turn whose answer, if any, was not received before its thread was closed."""
    replica = await stage.replica()
    await replica.ask("t1")
    stage.backend.fail_turn(OutcomeUnknown("Cut."), is_applied=is_answered)
    for method in ("retrieve", "look"):
        stage.backend.fail(method, BackendUnavailable("Not now."))
    await settled(replica.ask("t2"))
    await close(stage)
    assert (await stage.turn(make_task("t2"))).state.is_open
    return await stage.replica()


async def close(stage: Stage) -> None:
    await stage.store.close_scope(engine="embedded", tenant="", scope="p1")


async def oldest(stage: Stage) -> float:
    return (await stage.store.statistics()).oldest_open_seconds


async def test_withdrawn_turn_of_an_ended_instance_does_not_stay_open_for_ever(
    keeping: Stage,
) -> None:
    replica = await keeping.replica()
    hold = keeping.backend.hold_turn()
    keeping.backend.fail("retrieve", BackendUnavailable("Not now."))
    asking = keeping.begin(settled(replica.ask("t1")))
    await hold.asked.wait()
    await replica.manager.withdraw_task(make_task("t1"))
    hold.gone_on.set()
    await asking
    await close(keeping)
    assert (await keeping.turn()).state is TurnState.UNKNOWN
    await asyncio.sleep(1000)
    assert await oldest(keeping) > 1000
    stop = asyncio.Event()
    running = keeping.begin(ClosedThreads(replica.world).run(stop))
    await asyncio.sleep(2 * LOOK_SECONDS)
    stop.set()
    await running

    assert await oldest(keeping) == 0
    assert (await keeping.turn()).state is TurnState.ABANDONED


async def test_answer_that_is_at_the_backend_is_recorded(keeping: Stage) -> None:
    replica = await left_open(keeping, is_answered=True)

    assert await ClosedThreads(replica.world).end_open_turns() == 1

    turn = await keeping.turn(make_task("t2"))
    assert (turn.state, turn.answer, turn.recovered) == (TurnState.COMPLETED, "ok", True)
    assert (await keeping.states()) == [GenerationState.LIVE]
    assert not replica.told(TurnRefused)
    again = await replica.ask("t2")
    assert (again.recommendation, again.is_replayed) == ("ok", True)


async def test_turn_without_an_answer_is_abandoned_and_nothing_is_opened_for_it(
    keeping: Stage,
) -> None:
    replica = await left_open(keeping, is_answered=False)
    opened = keeping.called("open")

    assert await ClosedThreads(replica.world).end_open_turns() == 1

    turn = await keeping.turn(make_task("t2"))
    assert turn.state is TurnState.ABANDONED
    assert turn.refusal is not None
    assert turn.refusal.reason == "Its process instance has ended, and its backend holds no answer."
    assert keeping.called("open") == opened
    assert await keeping.states() == [GenerationState.RETIRED]
    assert [event.reason for event in replica.told(TurnRefused)] == [turn.refusal.reason]
    assert await oldest(keeping) == 0
    assert await ClosedThreads(replica.world).end_open_turns() == 0


async def test_run_that_is_under_way_is_stopped(keeping: Stage) -> None:
    replica = await keeping.replica()
    hold = keeping.backend.hold_turn()
    keeping.let_run(replica.ask("t1"))
    await hold.asked.wait()
    await replica.crash()
    await close(keeping)
    await asyncio.sleep(LIMITS.lease_seconds)
    other = await keeping.replica()

    assert await ClosedThreads(other.world).end_open_turns() == 1

    assert keeping.called("cancel") == 1
    assert len(other.told(RunStopped)) == 1
    assert (await keeping.turn()).state is TurnState.ABANDONED
    rows = await keeping.store.audit((await keeping.thread()).ref)
    assert [row.action for row in rows][-2:] == [AuditAction.CANCELLED, AuditAction.ABANDONED]


async def test_turn_that_is_being_taken_is_left_to_its_holder(keeping: Stage) -> None:
    replica = await keeping.replica()
    hold = keeping.backend.hold_turn()
    asking = keeping.begin(replica.ask("t1"))
    await hold.asked.wait()
    await close(keeping)

    assert await ClosedThreads((await keeping.replica()).world).end_open_turns() == 0

    assert keeping.called("cancel") == 0
    hold.let_go()
    assert (await asking).recommendation == "ok"


async def test_open_turn_of_an_open_thread_is_left_to_its_task(keeping: Stage) -> None:
    replica = await keeping.replica()
    hold = keeping.backend.hold_turn()
    keeping.let_run(replica.ask("t1"))
    await hold.asked.wait()
    await replica.crash()
    await asyncio.sleep(LIMITS.lease_seconds)

    assert await ClosedThreads((await keeping.replica()).world).end_open_turns() == 0

    assert (await keeping.turn()).state is TurnState.SUBMITTED


async def test_backend_that_cannot_be_asked_is_waited_for(keeping: Stage) -> None:
    replica = await left_open(keeping, is_answered=True)
    cleanup = ClosedThreads(replica.world)
    keeping.backends.known.clear()

    assert await cleanup.end_open_turns() == 0
    await asyncio.sleep(PATIENCE_SECONDS - 1)
    assert await cleanup.end_open_turns() == 0
    assert (await keeping.turn(make_task("t2"))).state.is_open
    keeping.backends.add(keeping.backend)
    assert await cleanup.end_open_turns() == 1

    assert (await keeping.turn(make_task("t2"))).state is TurnState.COMPLETED


async def test_turn_is_abandoned_where_its_backend_stays_away(keeping: Stage) -> None:
    replica = await left_open(keeping, is_answered=True)
    cleanup = ClosedThreads(replica.world)
    keeping.backends.known.clear()

    assert await cleanup.end_open_turns() == 0
    await asyncio.sleep(PATIENCE_SECONDS)
    assert await cleanup.end_open_turns() == 1

    turn = await keeping.turn(make_task("t2"))
    assert turn.refusal is not None
    assert turn.refusal.reason.startswith(
        "Its process instance has ended, and its backend cannot be asked: No backend"
    )


async def test_turn_at_a_backend_that_keeps_nothing_is_abandoned(forgetful: Stage) -> None:
    replica = await forgetful.replica()
    hold = forgetful.backend.hold_turn()
    forgetful.let_run(replica.ask("t1"))
    await hold.asked.wait()
    await replica.crash()
    await close(forgetful)
    await asyncio.sleep(LIMITS.lease_seconds)

    assert await ClosedThreads((await forgetful.replica()).world).end_open_turns() == 1

    assert (await forgetful.turn()).state is TurnState.ABANDONED


async def test_replicas_beside_each_other_end_a_turn_once(keeping: Stage) -> None:
    await left_open(keeping, is_answered=True)
    replicas = [await keeping.replica() for _ in range(3)]

    ended = await asyncio.gather(
        *(ClosedThreads(replica.world).end_open_turns() for replica in replicas)
    )

    assert sum(ended) == 1
    rows = await keeping.store.audit((await keeping.thread()).ref)
    assert [row.action for row in rows].count(AuditAction.RECOVERED) == 1


async def test_store_that_falters_is_asked_again_later(keeping: Stage) -> None:
    replica = await left_open(keeping, is_answered=True)
    replica.store.fail_next("open_turns_of_closed", StoreUnavailable("Away."), times=4)
    stop = asyncio.Event()
    running = keeping.begin(ClosedThreads(replica.world).run(stop))

    await asyncio.sleep(2 * LOOK_SECONDS)
    stop.set()
    await running

    assert (await keeping.turn(make_task("t2"))).state is TurnState.COMPLETED
