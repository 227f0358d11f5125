"""A task that is gone from its engine: its run is stopped where that is possible, and nothing is asked."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from dadm.application.care.thread_care import ThreadCare
from dadm.domain.errors import BackendUnavailable, LeaseLost, TaskGone
from dadm.domain.turn import Attempt, TurnRef, TurnState
from dadm.ports.assistant_service import ThreadChange
from dadm.ports.audit import AuditAction
from dadm.ports.backend import RunCancelled
from dadm.ports.observer import RunStopped
from dadm.ports.store_values import ThreadGranted
from tests.builders import make_leased_task, make_task
from tests.unit.application.stage import LIMITS, NamelessRuns, Stage, settled
from tests.unit.application.test_service_orchestrator import Work


async def test_run_of_a_task_that_is_gone_is_stopped(keeping: Stage) -> None:
    replica = await keeping.replica()
    hold = keeping.backend.hold_turn()
    asking = keeping.begin(replica.ask("t1"))
    await hold.asked.wait()

    await replica.manager.withdraw_task(make_task("t1"))
    hold.gone_on.set()

    with pytest.raises(TaskGone):
        await asking
    run = keeping.backend._conversations.run("resp_1")
    assert run is not None
    assert run.state == RunCancelled()
    assert (await keeping.turn()).state is TurnState.PLANNED, "looked for and proven unasked"
    assert [event.reason for event in replica.told(RunStopped)] == ["its task is gone"]
    row, again = await keeping.store.audit((await keeping.thread()).ref)
    assert (row.action, row.detail) == (AuditAction.CANCELLED, "run resp_1")
    assert again.action is AuditAction.ASKED_AGAIN


@pytest.mark.parametrize("is_waiting_there", [False, True])
async def test_run_is_stopped_by_whichever_replica_hears_that_its_task_is_gone(
    keeping: Stage, is_waiting_there: bool
) -> None:
    asker, hearer = await keeping.replica(), await keeping.replica()
    hold = keeping.backend.hold_turn()
    asking = keeping.begin(asker.ask("t1"))
    await hold.asked.wait()
    waiting = keeping.begin(settled(hearer.ask("t1"))) if is_waiting_there else None
    await asyncio.sleep(1)

    await hearer.manager.withdraw_task(make_task("t1"))
    hold.gone_on.set()

    with pytest.raises(TaskGone):
        await asking
    if waiting is not None:
        assert [type(each) for each in await waiting] == [TaskGone]
    assert keeping.called("cancel") == 1
    assert keeping.asked == ["What about t1?"], "it is not asked again by who waited for it"
    assert [event.response_id for event in hearer.told(RunStopped)] == ["resp_1"]
    assert asker.told(RunStopped) == []
    assert (await asker.ask("t2")).sequence == 1


async def test_run_found_by_a_replica_that_came_later_is_stopped_elsewhere_too(
    keeping: Stage,
) -> None:
    dying, asker, hearer = [await keeping.replica() for _ in range(3)]
    hold = keeping.backend.hold_turn()
    keeping.let_run(dying.ask("t1"))
    await hold.asked.wait()
    await dying.crash()
    asking = keeping.begin(asker.ask("t1"))
    await asyncio.sleep(40)
    assert keeping.called("retrieve") > 0

    await hearer.manager.withdraw_task(make_task("t1"))

    with pytest.raises(TaskGone):
        await asking
    assert keeping.asked == ["What about t1?"]
    assert (await keeping.turn()).state is TurnState.PLANNED


async def test_answer_that_came_before_the_run_could_be_stopped_elsewhere_is_recorded(
    keeping: Stage,
) -> None:
    asker, hearer = await keeping.replica(), await keeping.replica()
    hold = keeping.backend.hold_turn()
    asking = keeping.begin(asker.ask("t1"))
    await hold.asked.wait()
    keeping.backend.fail("cancel", BackendUnavailable())

    with pytest.raises(BackendUnavailable):
        await hearer.manager.withdraw_task(make_task("t1"))
    hold.let_go()

    assert (await asking).recommendation == "ok"


@pytest.mark.parametrize("state", ["no turn", "answered", "no name", "another conversation"])
async def test_nothing_is_stopped_elsewhere_unless_a_run_may_be_under_way(
    keeping: Stage, state: str
) -> None:
    if state == "no name":
        keeping.use(NamelessRuns(keeps_conversations=True))
    asker, hearer = await keeping.replica(), await keeping.replica()
    if state == "answered":
        await asker.ask("t1")
    elif state in {"no name", "another conversation"}:
        keeping.backend.hold_turn()
        keeping.let_run(asker.ask("t1"))
        await asyncio.sleep(1)
        await asker.crash()
    if state == "another conversation":
        await asyncio.sleep(40)
        thread = await keeping.thread()
        granted = await keeping.store.lease_known_thread(thread.ref, owner="x", lease_seconds=9)
        assert isinstance(granted, ThreadGranted)
        await keeping.store.retire(granted.lease, 1)

    await hearer.manager.withdraw_task(make_task("t1"))

    assert keeping.called("cancel") == 0


async def test_thread_that_is_erased_meanwhile_has_no_run_to_stop(
    keeping: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    asker, hearer = await keeping.replica(), await keeping.replica()
    keeping.backend.hold_turn()
    keeping.let_run(asker.ask("t1"))
    await asyncio.sleep(1)
    await asker.crash()
    await asyncio.sleep(40)
    thread, attempts = await keeping.thread(), keeping.store.attempts

    async def erased_before(turn: TurnRef) -> Sequence[Attempt]:
        # The second time, nothing can be under way there any more.
        await ThreadCare(hearer.world).erasing.erase(thread.ref)
        await asyncio.sleep(2 * LIMITS.turn_seconds)
        await ThreadCare(hearer.world).erasing.erase(thread.ref)
        return await attempts(turn)

    monkeypatch.setattr(hearer.world.store, "attempts", erased_before)
    await hearer.manager.withdraw_task(make_task("t1"))

    assert not await keeping.store.turns(thread.ref)


async def test_next_task_goes_on_where_the_withdrawn_one_left_the_thread(keeping: Stage) -> None:
    replica = await keeping.replica()
    hold = keeping.backend.hold_turn()
    asking = keeping.begin(replica.ask("t1"))
    await hold.asked.wait()
    await replica.manager.withdraw_task(make_task("t1"))
    hold.gone_on.set()
    with pytest.raises(TaskGone):
        await asking

    answer = await replica.ask("t2")

    # The run was stopped for certain, so that no new conversation was needed.
    assert (answer.sequence, answer.change) == (1, ThreadChange.REUSED)
    assert [each.text for each in await keeping.kept(answer.thread_id)] == ["What about t2?", "ok"]


async def test_answer_that_came_all_the_same_is_recorded(keeping: Stage) -> None:
    replica = await keeping.replica()
    hold = keeping.backend.hold_turn()
    asking = keeping.begin(replica.ask("t1"))
    await hold.asked.wait()
    keeping.backend.fail("cancel", BackendUnavailable())

    with pytest.raises(BackendUnavailable):
        await replica.manager.withdraw_task(make_task("t1"))
    hold.let_go()

    assert (await asking).recommendation == "ok"
    assert (await keeping.turn()).state is TurnState.COMPLETED


async def test_run_that_gets_its_name_late_is_stopped_then(keeping: Stage) -> None:
    replica = await keeping.replica()
    arrived, let_go = replica.store.hold_next("note_response")
    hold = keeping.backend.hold_turn()
    asking = keeping.begin(replica.ask("t1"))
    await arrived.wait()

    await replica.manager.withdraw_task(make_task("t1"))
    let_go.set()
    await hold.asked.wait()
    hold.gone_on.set()

    with pytest.raises(TaskGone):
        await asking
    assert keeping.called("cancel") >= 1


async def test_run_without_a_name_goes_on_and_is_found_by_the_next(keeping: Stage) -> None:
    keeping.use(NamelessRuns(keeps_conversations=True))
    replica = await keeping.replica()
    hold = keeping.backend.hold_turn()
    asking = keeping.begin(replica.ask("t1"))
    await asyncio.sleep(1)
    assert keeping.asked

    await replica.manager.withdraw_task(make_task("t1"))
    hold.let_go()

    assert (await asking).recommendation == "ok"
    assert keeping.called("cancel") == 0


async def test_backend_that_keeps_nothing_is_left_at_once(forgetful: Stage) -> None:
    replica = await forgetful.replica()
    hold = forgetful.backend.hold_turn()
    asking = forgetful.begin(replica.ask("t1"))
    await hold.asked.wait()

    await replica.manager.withdraw_task(make_task("t1"))

    with pytest.raises(TaskGone):
        await asking
    answer = await replica.ask("t2")
    assert (answer.recommendation, answer.sequence) == ("ok", 1)


async def test_task_that_waits_gives_up_its_place(stage: Stage) -> None:
    replica = await stage.replica()
    hold = stage.backend.hold_turn()
    first = stage.begin(replica.ask("t1"))
    await hold.asked.wait()
    second = stage.begin(replica.ask("t2"))
    await asyncio.sleep(1)
    third = stage.begin(replica.ask("t3"))
    await asyncio.sleep(1)

    await replica.manager.withdraw_task(make_task("t2"))

    with pytest.raises(TaskGone):
        await second
    hold.let_go()
    begun_at = asyncio.get_running_loop().time()
    assert ((await first).sequence, (await third).sequence) == (1, 2)
    assert asyncio.get_running_loop().time() - begun_at < 1
    assert stage.asked == ["What about t1?", "What about t3?"]


async def test_task_that_nobody_works_on_is_withdrawn_without_effect(stage: Stage) -> None:
    replica = await stage.replica()

    await replica.manager.withdraw_task(make_task("t1"))

    assert (await replica.ask("t1")).recommendation == "ok"


@pytest.mark.parametrize(("lost", "is_withdrawn"), [(TaskGone(), True), (LeaseLost(), False)])
async def test_only_a_task_that_is_gone_is_withdrawn_never_one_whose_lease_was_lost(
    keeping: Stage, lost: TaskGone | LeaseLost, is_withdrawn: bool
) -> None:
    replica = await keeping.replica()
    work = Work(keeping, replica)
    hold = keeping.backend.hold_turn()
    work.board.offer(make_leased_task("t1", properties={"service.type": "assistant"}))
    running = keeping.begin(work.orchestrator.run(work.stop, drain_seconds=1))
    await hold.asked.wait()
    work.engine.fail_next("extend", lost)
    await asyncio.sleep(30)

    assert work.service.calls["withdraw_task"] == int(is_withdrawn)
    assert keeping.called("cancel") == int(is_withdrawn)

    hold.let_go()
    work.stop.set()
    await running


async def test_task_withdrawn_between_two_attempts_is_not_asked_again(stage: Stage) -> None:
    replica = await stage.replica(limits=replace(LIMITS, patience_seconds=60.0))
    stage.backend.fail_turn(BackendUnavailable(retry_after=timedelta(seconds=30)))
    asking = stage.begin(replica.ask("t1"))
    await asyncio.sleep(10)

    await replica.manager.withdraw_task(make_task("t1"))

    with pytest.raises(TaskGone):
        await asking
    assert not stage.asked
    assert (await stage.turn()).state is TurnState.PLANNED
    assert (await replica.ask("t2")).sequence == 1


async def test_task_withdrawn_while_it_was_claimed_is_not_asked(stage: Stage) -> None:
    replica = await stage.replica()
    await replica.ask("t0")
    arrived, let_go = replica.store.hold_next("claim")
    asking = stage.begin(replica.ask("t1"))
    await arrived.wait()

    await replica.manager.withdraw_task(make_task("t1"))
    let_go.set()

    with pytest.raises(TaskGone):
        await asking
    assert stage.asked == ["What about t0?"]
    assert (await replica.ask("t2")).sequence == 2
